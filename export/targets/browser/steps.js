/**
 * The preprocessing of a model file: `applySteps` converts a picture to a model's input.
 *
 * It gives the same result as `digits_edge.runtime.preprocessing.steps` for the same pixels. The types describe the
 * entries `preprocessing` and `input` of models.json.
 *
 * @typedef {import("./ink.js").Picture} Picture
 * @typedef {import("./ink.js").Prepared} Prepared
 * @typedef {import("./mnist_format.js").PreparedPicture} PreparedPicture
 * @typedef {import("./models.js").DigitStep} DigitStep
 * @typedef {import("./models.js").ResizeStep} ResizeStep
 * @typedef {import("./models.js").CenterCropStep} CenterCropStep
 * @typedef {import("./models.js").PadStep} PadStep
 * @typedef {import("./models.js").PreprocessingStep} PreprocessingStep
 * @typedef {import("./models.js").ImageInput} ImageInput
 */

import { LUMINANCE } from "./constants.js";
import { resized } from "./ink.js";
import { toMnistFormat } from "./mnist_format.js";
import { mixed, rint } from "./numeric.js";
import { toObjectFormat } from "./plain_object.js";
import { premultiplied } from "./resampling.js";
import { flattened, withoutIdleAlpha } from "./transparency.js";

/**
 * Convert a picture to a model's input.
 *
 * @param {Picture} picture RGBA with straight alpha, for example an ImageData
 * @param {PreprocessingStep[]} steps of the model, in order
 * @param {ImageInput} input of the model
 * @returns {PreparedPicture} the image, (H, W) or (H, W, 3), and what the steps have found
 * @throws {RangeError} if the data are not width × height × 4 values
 * @throws {Error} if the steps do not give an image of the model's height and width
 */
export function applySteps(picture, steps, input) {
  let prepared = withoutIdleAlpha(picture);
  const size = input.height * input.width;
  /** @type {Omit<PreparedPicture, "image">} */
  let found = { blank: false, box: null, boxes: [] };
  for (const step of steps) {
    if (step.step === "digit" || step.step === "object") {
      const { image, ...rest } = step.step === "digit" ? digitIn(prepared, step) : toObjectFormat(prepared, step);
      found = rest;
      if (found.blank) return { ...found, image: new Uint8Array(size * input.channels) };
      prepared = ofGreyLevels(image, step.size);
    } else {
      prepared = transformed(prepared, step);
    }
  }
  const { width, height } = prepared;
  if (width !== input.width || height !== input.height) {
    throw new Error(
      `The model's preprocessing gives ${height}×${width} pixels for this picture, expected ` +
        `${input.height}×${input.width}; export the model again.`,
    );
  }
  return { ...found, image: withChannels(prepared, input.channels) };
}

/**
 * @param {Prepared} picture
 * @param {DigitStep} step
 */
function digitIn(picture, { ink, size }) {
  return toMnistFormat(picture, { side: ink, size });
}

/**
 * A grey picture without alpha.
 *
 * @param {Uint8Array} levels (size, size)
 * @param {number} size
 * @returns {Prepared}
 */
function ofGreyLevels(levels, size) {
  const data = new Uint8Array(4 * levels.length);
  levels.forEach((level, i) => data.set([level, level, level, 255], 4 * i));
  return { width: size, height: size, data, premultiplied: null };
}

/**
 * @param {Prepared} picture
 * @param {ResizeStep | CenterCropStep | PadStep} step
 * @returns {Prepared}
 */
function transformed(picture, step) {
  if (step.step === "resize") return scaled(picture, step);
  const larger = step.step === "pad";
  const [width, height] = larger
    ? [Math.max(step.width, picture.width), Math.max(step.height, picture.height)]
    : [Math.min(step.width, picture.width), Math.min(step.height, picture.height)];
  const level = larger ? step.level : 0;
  // the position of the picture in the result: negative where it is cropped; floors of positive numbers
  const [left, upper] = larger
    ? [Math.floor((width - picture.width) / 2), Math.floor((height - picture.height) / 2)]
    : [-Math.floor((picture.width - width) / 2), -Math.floor((picture.height - height) / 2)];
  return withAlphaOf(picture, { width, height, data: moved(picture, width, height, left, upper, level) });
}

/**
 * @param {Prepared} picture
 * @param {ResizeStep} step
 * @returns {Prepared}
 */
function scaled(picture, step) {
  let [width, height] = [step.width, step.height];
  if (step.fit !== "stretch") {
    const scales = [step.width / picture.width, step.height / picture.height];
    const scale = step.fit === "contain" ? Math.min(...scales) : Math.max(...scales);
    [width, height] = [Math.max(1, rint(picture.width * scale)), Math.max(1, rint(picture.height * scale))];
  }
  return withAlphaOf(picture, resized(picture, [0, 0, picture.width, picture.height], [width, height]));
}

/**
 * A picture whose colours are multiplied by alpha again if the original has transparent pixels.
 *
 * @param {Prepared} original
 * @param {Picture} picture
 * @returns {Prepared}
 */
function withAlphaOf(original, { width, height, data }) {
  return { width, height, data, premultiplied: original.premultiplied === null ? null : premultiplied(data) };
}

/**
 * The pixels of a picture at another position, on opaque grey.
 *
 * @param {Picture} picture
 * @param {number} width of the result
 * @param {number} height of the result
 * @param {number} left position of the picture in the result
 * @param {number} upper position of the picture in the result
 * @param {number} level of the rest
 * @returns {Uint8Array} (height, width, 4)
 */
function moved(picture, width, height, left, upper, level) {
  const data = new Uint8Array(4 * width * height);
  for (let i = 0; i < data.length; i += 1) data[i] = (i & 3) === 3 ? 255 : level;
  const first = Math.max(0, -left);
  const last = Math.min(picture.width, width - left);
  for (let y = Math.max(0, -upper); y < Math.min(picture.height, height - upper); y += 1) {
    const row = picture.data.subarray(4 * (y * picture.width + first), 4 * (y * picture.width + last));
    data.set(row, 4 * ((y + upper) * width + first + left));
  }
  return data;
}

/**
 * The pixels of a picture on an opaque background, with the channels of a model's input.
 *
 * @param {Prepared} picture
 * @param {number} channels 1 or 3
 * @returns {Uint8Array} (H, W) or (H, W, 3)
 */
function withChannels(picture, channels) {
  const colours = flattened(picture);
  return Uint8Array.from(channels === 1 ? mixed(colours, LUMINANCE) : colours.values, rint);
}
