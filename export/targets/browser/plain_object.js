/**
 * Conversion of a picture of an object on a plain background to the Fashion-MNIST format: `toObjectFormat`.
 *
 * It gives the same result as `digits_edge.runtime.preprocessing.plain_object`, which describes the method, for the
 * same pixels.
 *
 * @typedef {import("./ink.js").Box} Box
 * @typedef {import("./ink.js").Picture} Picture
 * @typedef {import("./morphology.js").FloatPlane} FloatPlane
 * @typedef {import("./morphology.js").Mask} Mask
 */

import { GROUND_TOLERANCE, IMAGE_SIDE, LUMINANCE, MEDIAN, MID_GREY, MIN_COMPONENT_SHARE } from "./constants.js";
import { bounds, reduced, resized } from "./ink.js";
import { blankPicture, placed } from "./mnist_format.js";
import { percentileOfColours, pieces } from "./morphology.js";
import { mixed, rint } from "./numeric.js";
import { flattened, withoutIdleAlpha } from "./transparency.js";

/**
 * Convert a picture of one object on a plain background to the Fashion-MNIST format: grey on black, centred.
 *
 * @param {Picture} picture RGBA with straight alpha, for example an ImageData: one object on a background of one
 *   colour, light or dark
 * @param {{side?: number, size?: number}} [lengths] longer side of the object in the image; height and width of the
 *   image; in pixels
 * @returns {import("./mnist_format.js").PreparedPicture} (size, size); blank if no pixel differs from the background
 * @throws {RangeError} if the data are not width × height × 4 values
 */
export function toObjectFormat(picture, { side = IMAGE_SIDE, size = IMAGE_SIDE } = {}) {
  const prepared = withoutIdleAlpha(picture);
  const colours = flattened(reduced(prepared, [0, 0, prepared.width, prepared.height]));
  const ground = percentileOfColours(borderColours(colours), MEDIAN);
  const mask = withoutSpecks(differing(colours, ground));
  if (!mask.values.includes(1)) return blankPicture(size);
  const box = boxIn(prepared, mask);
  const [width, height] = [box[2] - box[0], box[3] - box[1]];
  const scale = side / Math.max(width, height);
  const [newWidth, newHeight] = [Math.max(1, rint(width * scale)), Math.max(1, rint(height * scale))];
  const levels = contrast(flattened(resized(prepared, box, [newWidth, newHeight])), ground);
  const [left, upper] = [Math.floor((size - newWidth) / 2), Math.floor((size - newHeight) / 2)];
  return { image: placed(levels, left, upper, size), blank: false, box, boxes: [box] };
}

/**
 * @param {FloatPlane} colours (H, W, 3)
 * @returns {Float32Array} (N, 3)
 */
function borderColours({ values, height, width }) {
  const row = 3 * width;
  const edge = new Float32Array(2 * row + 6 * height);
  edge.set(values.subarray(0, row));
  edge.set(values.subarray(values.length - row), row);
  for (let y = 0; y < height; y += 1) {
    edge.set(values.subarray(y * row, y * row + 3), 2 * row + 6 * y);
    edge.set(values.subarray((y + 1) * row - 3, (y + 1) * row), 2 * row + 6 * y + 3);
  }
  return edge;
}

/**
 * The pixels that differ from the background's colour.
 *
 * @param {FloatPlane} colours (H, W, 3)
 * @param {Float32Array} ground (3,)
 * @returns {Mask} (H, W)
 */
function differing({ values, height, width }, ground) {
  const mask = new Uint8Array(height * width);
  values.forEach((value, i) => {
    if (Math.fround(Math.abs(value - ground[i % 3])) > GROUND_TOLERANCE) mask[Math.floor(i / 3)] = 1;
  });
  return { values: mask, height, width };
}

/**
 * The mask without connected components that are small compared to the largest one.
 *
 * @param {Mask} mask
 * @returns {Mask}
 */
function withoutSpecks(mask) {
  const { numbered, count } = pieces(mask);
  const sizes = new Int32Array(count + 1);
  for (const number of numbered) if (number) sizes[number] += 1;
  const minSize = MIN_COMPONENT_SHARE * sizes.reduce((most, size) => Math.max(most, size));
  return { ...mask, values: mask.values.map((_, i) => (numbered[i] && sizes[numbered[i]] >= minSize ? 1 : 0)) };
}

/**
 * The box of a mask in pixels of the picture.
 *
 * @param {Picture} picture
 * @param {Mask} mask not empty
 * @returns {Box}
 */
function boxIn(picture, mask) {
  const [left, upper, right, lower] = bounds(mask);
  const [xScale, yScale] = [picture.width / mask.width, picture.height / mask.height];
  return [Math.floor(left * xScale), Math.floor(upper * yScale), rint(right * xScale), rint(lower * yScale)];
}

/**
 * Difference of luminance from the background, scaled so that the largest possible difference is 255.
 *
 * @param {FloatPlane} colours (H, W, 3)
 * @param {Float32Array} ground (3,)
 * @returns {FloatPlane} (H, W) in 0…255
 */
function contrast(colours, ground) {
  const [zero] = mixed({ values: ground, height: 1, width: 1 }, LUMINANCE);
  const groundIsLight = zero > MID_GREY;
  const scale = 255 / (groundIsLight ? zero : 255 - zero);
  const levels = mixed(colours, LUMINANCE).map((level) => {
    const difference = groundIsLight ? zero - level : level - zero;
    return Math.min(Math.max(difference * scale, 0), 255);
  });
  return { ...colours, values: Float32Array.from(levels) };
}
