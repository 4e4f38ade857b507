/**
 * Conversion of a picture of a digit to the MNIST format: `toMnistFormat`.
 *
 * It gives the same result as `digits_edge.runtime.preprocessing.mnist_format` for the same pixels, so that a web page
 * can use the same model file. It runs unchanged in browsers and in Node.
 *
 * @typedef {import("./ink.js").Box} Box
 * @typedef {import("./ink.js").Picture} Picture
 * @typedef {import("./morphology.js").FloatPlane} FloatPlane
 * @typedef {{image: Uint8Array, blank: boolean, box: Box | null, boxes: Box[]}} PreparedPicture the model's input,
 *   (H, W) or (H, W, 3), all zero if the picture is blank; whether ink or an object was looked for and not found; the
 *   box of the ink and of each digit in pixels of the picture
 */

import {
  CLOSE_UP_MARGIN_DIVISOR,
  CLOSE_UP_SHARE,
  FRAMED_INK_PERCENTILE,
  FULL_INK_PERCENTILE,
  IMAGE_SIDE,
  INK_SIDE,
  MAX_STROKE,
  MIN_FULL_INK_SHARE,
  MIN_NARROWED_LEVEL,
  NARROWED_STROKE,
  STROKE,
  THICKENING_SCALE,
  THICKENING_SIDE,
} from "./constants.js";
import { bounds, findInk } from "./ink.js";
import { largest, percentile, running, stepsAcross, stepsDown } from "./morphology.js";
import { onGrid, rint, sum } from "./numeric.js";
import { above, cutOut } from "./planes.js";
import { resizedByTriangle } from "./resampling.js";
import { inReadingOrder } from "./separate_digits.js";
import { findSmallDigits } from "./small_digits.js";
import { withoutIdleAlpha } from "./transparency.js";

/**
 * Convert a picture of one digit to the MNIST format.
 *
 * @param {Picture} picture RGBA with straight alpha, for example an ImageData: dark ink on light or light on dark, of
 *   any colour and size, evenly or unevenly lit, on plain, ruled, squared or transparent paper
 * @param {{side?: number, size?: number}} [lengths] longer side of the digit in the image; height and width of the
 *   image; in pixels
 * @returns {PreparedPicture} (size, size), white ink on black
 * @throws {RangeError} if the data are not width × height × 4 values
 */
export function toMnistFormat(picture, { side = INK_SIDE, size = IMAGE_SIDE } = {}) {
  const prepared = withoutIdleAlpha(picture);
  const { width, height } = prepared;
  let { cut, box, boxes } = smallDigitIn(prepared, findInk(prepared, [0, 0, width, height]));
  if (box === null) return blankPicture(size);
  if (Math.max(box[2] - box[0], box[3] - box[1]) < CLOSE_UP_SHARE * Math.max(width, height)) {
    const closeUp = findInk(prepared, withMargin(box, width, height));
    if (closeUp.box !== null) {
      ({ cut, box } = closeUp);
      if (boxes.length < 2) boxes = closeUp.boxes;
    }
  }
  return { image: framed(thickened(cut), side, size), blank: false, box, boxes };
}

/**
 * The ink of the page, or of its largest small digit if the page has no ink, with the boxes of all small digits.
 *
 * @param {import("./ink.js").Prepared} picture
 * @param {import("./ink.js").Ink} page
 * @returns {import("./ink.js").Ink}
 */
function smallDigitIn(picture, page) {
  if (page.box !== null) return page;
  const found = findSmallDigits(picture, page);
  return found.length ? { ...found[0], boxes: found.flatMap((ink) => ink.boxes).sort(inReadingOrder) } : page;
}

/**
 * The result for a picture without ink.
 *
 * @param {number} size height and width of the image in pixels
 * @returns {PreparedPicture}
 */
export function blankPicture(size) {
  return { image: new Uint8Array(size * size), blank: true, box: null, boxes: [] };
}

/**
 * Widen strokes that are thinner than MNIST's, and narrow those that are much wider.
 *
 * @param {FloatPlane} cut (H, W), cropped to its bounding box, at least one value above 0
 * @returns {FloatPlane} (H, W) in 0…1
 */
export function thickened(cut) {
  const full = percentile(
    cut.values.filter((value) => value > 0),
    FULL_INK_PERCENTILE,
  );
  let ink = { ...cut, values: onGrid(cut.values.map((value) => Math.min(Math.max(value / full, 0), 1))) };
  const width = (strokeWidth(ink) * INK_SIDE) / Math.max(ink.height, ink.width);
  if (width > MAX_STROKE) return narrowed(ink, rint(((width - NARROWED_STROKE) * THICKENING_SCALE) / 2));
  const radius = rint(((STROKE - width) * THICKENING_SCALE) / 2);
  if (radius < 1) return ink;
  ink = padded(resized(ink, THICKENING_SCALE * INK_SIDE), radius);
  for (let step = 0; step < radius; step += 1) ink = byOctagon("maximum", ink, step);
  return ink;
}

/**
 * Erode the ink by a radius in pixels of the larger image, and crop it to its bounding box.
 *
 * @param {FloatPlane} cut (H, W) in 0…1
 * @param {number} radius
 * @returns {FloatPlane}
 */
function narrowed(cut, radius) {
  let ink = padded(resized(cut, THICKENING_SCALE * INK_SIDE), 1);
  for (let step = 0; step < radius; step += 1) {
    const narrower = byOctagon("minimum", ink, step);
    if (largest(narrower.values) < MIN_NARROWED_LEVEL) break;
    ink = narrower;
  }
  return cutOut(ink, bounds(above(ink, 0)));
}

/**
 * Scale and centre a digit like MNIST: strokes near 255, centred by centre of mass.
 *
 * @param {FloatPlane} ink (H, W), cropped to its bounding box, at least one value above 0
 * @param {number} side longer side of the digit in the image, in pixels
 * @param {number} size height and width of the image in pixels
 * @returns {Uint8Array} (size, size)
 */
export function framed(ink, side, size) {
  const small = resized(ink, side);
  const strong = percentile(
    small.values.filter((value) => value > 0),
    FRAMED_INK_PERCENTILE,
  );
  const full = Math.fround(Math.max(strong, MIN_FULL_INK_SHARE * largest(small.values)));
  const strengths = small.values.map((value) => Math.min(value / full, 1));
  small.values = strengths.map((value) => rint(Math.fround(value * 255)));
  const [x, y] = centreOfMass(small);
  // MNIST's centre of mass is in the pixel right of and below the middle, never before it: hence ceil
  const left = Math.min(Math.max(Math.ceil(size / 2 - x), 0), size - small.width);
  const upper = Math.min(Math.max(Math.ceil(size / 2 - y), 0), size - small.height);
  return placed(small, left, upper, size);
}

/**
 * Copy levels into a black image.
 *
 * @param {FloatPlane} levels (H, W) in 0…255, H and W at most `size`
 * @param {number} left
 * @param {number} upper
 * @param {number} size height and width of the image in pixels
 * @returns {Uint8Array} (size, size)
 */
export function placed({ values, width }, left, upper, size) {
  const image = new Uint8Array(size * size);
  values.forEach((value, i) => {
    const x = i % width;
    image[(upper + (i - x) / width) * size + left + x] = rint(value);
  });
  return image;
}

/**
 * A step of a dilation or erosion: alternately by a cross and a square, whose sequence is an octagon.
 *
 * @param {"maximum" | "minimum"} extreme
 * @param {FloatPlane} ink
 * @param {number} step
 * @returns {FloatPlane}
 */
function byOctagon(extreme, ink, step) {
  if (step % 2) return running(extreme, ink, THICKENING_SIDE, THICKENING_SIDE);
  const down = running(extreme, ink, THICKENING_SIDE, 1);
  const across = running(extreme, ink, 1, THICKENING_SIDE);
  const either = extreme === "maximum" ? Math.max : Math.min;
  return { ...ink, values: down.values.map((value, i) => either(value, across.values[i])) };
}

/**
 * @param {Box} box
 * @param {number} width of the picture
 * @param {number} height of the picture
 * @returns {Box}
 */
function withMargin([left, upper, right, lower], width, height) {
  const margin = Math.floor(Math.max(right - left, lower - upper) / CLOSE_UP_MARGIN_DIVISOR);
  return [
    Math.max(0, left - margin),
    Math.max(0, upper - margin),
    Math.min(width, right + margin),
    Math.min(height, lower + margin),
  ];
}

/**
 * The mean width of the strokes in pixels: twice their area divided by their outline, averaged over directions.
 *
 * @param {FloatPlane} ink in 0…1
 * @returns {number}
 */
function strokeWidth(ink) {
  const around = padded(ink, 1);
  const outline = ((sum(stepsDown(around)) + sum(stepsAcross(around))) * Math.PI) / 4;
  return (2 * sum(ink.values)) / outline;
}

/**
 * @param {FloatPlane} plane
 * @param {number} margin of zeros on each side, in pixels
 * @returns {FloatPlane}
 */
function padded({ values, height, width }, margin) {
  const wide = width + 2 * margin;
  const around = new Float32Array(wide * (height + 2 * margin));
  for (let y = 0; y < height; y += 1) {
    around.set(values.subarray(y * width, (y + 1) * width), (y + margin) * wide + margin);
  }
  return { values: around, height: height + 2 * margin, width: wide };
}

/**
 * The ink with its longer side scaled to `side` pixels, antialiased.
 *
 * @param {FloatPlane} ink
 * @param {number} side
 * @returns {FloatPlane}
 */
function resized(ink, side) {
  const scale = side / Math.max(ink.height, ink.width);
  const small = resizedByTriangle(ink, Math.max(1, rint(ink.width * scale)), Math.max(1, rint(ink.height * scale)));
  return { ...small, values: onGrid(small.values) };
}

/**
 * The centre of mass of integer levels, whose sums are exact.
 *
 * @param {FloatPlane} levels
 * @returns {[number, number]} x and y
 */
function centreOfMass({ values, width }) {
  let [x, y] = [0, 0];
  values.forEach((level, i) => {
    x += level * (2 * (i % width) + 1);
    y += level * (2 * Math.floor(i / width) + 1);
  });
  const doubled = 2 * sum(values);
  return [x / doubled, y / doubled];
}
