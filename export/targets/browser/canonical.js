/**
 * From a picture of a digit to the form MNIST's images have: `canonical`.
 *
 * It gives what `digits_edge.runtime.preprocessing.mnist_format` gives for the same pixels, so that the same model file can be used in
 * a web page. It runs unchanged in browsers and in Node.
 *
 * @typedef {import("./morphology.js").Plane} Plane
 * @typedef {{image: Uint8Array, blank: boolean, box: number[] | null}} Canonical the image, (28, 28), all zero if the
 *   picture is blank; whether nothing was found; left, upper, right, lower of the ink in the picture's own pixels
 */

import { findInk, withoutIdleAlpha } from "./ink.js";
import { largest, percentile, running, stepsAcross, stepsDown } from "./morphology.js";
import { onGrid, rint, sum } from "./numeric.js";
import { resizedByTriangle } from "./resampling.js";

export const IMAGE_SIDE = 28;
const INK_SIDE = 20;
const STROKE = 2.5;

/**
 * Bring a picture of one digit to the MNIST form.
 *
 * @param {import("./ink.js").Picture} picture RGBA with straight alpha, as an ImageData: dark ink on light or light on
 *   dark, of any colour and size, lit evenly or not, on plain, ruled, squared or transparent paper
 * @returns {Canonical} white ink on black
 * @throws {RangeError} if the data are not width × height × 4 values
 */
export function canonical(picture) {
  const prepared = withoutIdleAlpha(picture);
  const { width, height } = prepared;
  let ink = findInk(prepared, [0, 0, width, height]);
  if (ink.box === null) return blank();
  if (Math.max(ink.box[2] - ink.box[0], ink.box[3] - ink.box[1]) < 0.5 * Math.max(width, height)) {
    const closer = findInk(prepared, withMargin(ink.box, width, height));
    ink = closer.box === null ? ink : closer;
  }
  return { image: framed(thickened(ink.cut)), blank: false, box: ink.box };
}

/**
 * What a picture becomes in which nothing was found.
 *
 * @returns {Canonical}
 */
export function blank() {
  return { image: new Uint8Array(IMAGE_SIDE * IMAGE_SIDE), blank: true, box: null };
}

/**
 * Strokes at least as thick as MNIST's; thin pens would fade when made small.
 *
 * @param {Plane} cut float32, (H, W), cut to its box, at least one value above 0
 * @returns {Plane} float32, (H, W) in 0…1
 */
export function thickened(cut) {
  const full = percentile(cut.values.filter((value) => value > 0), 75);
  let ink = { ...cut, values: onGrid(cut.values.map((value) => Math.min(Math.max(value / full, 0), 1))) };
  const missing = STROKE - (thickness(ink) * INK_SIDE) / Math.max(ink.height, ink.width);
  const fine = 4;
  const radius = rint((missing * fine) / 2);
  if (radius < 1) return ink;
  ink = padded(resized(ink, fine * INK_SIDE), radius);
  // Cross and square in turn: an octagon.
  for (let step = 0; step < radius; step += 1) ink = step % 2 ? running("maximum", ink, 3, 3) : widenedByCross(ink);
  return ink;
}

/**
 * The ink as MNIST frames it: longer side 20, strokes near 255, centred by mass.
 *
 * @param {Plane} ink float32, (H, W), cut to its box, at least one value above 0
 * @returns {Uint8Array} (28, 28)
 */
export function framed(ink) {
  const small = resized(ink, INK_SIDE);
  const strong = percentile(small.values.filter((value) => value > 0), 80);
  const full = Math.fround(Math.max(strong, 0.5 * largest(small.values)));
  const strengths = small.values.map((value) => Math.min(value / full, 1));
  small.values = strengths.map((value) => rint(Math.fround(value * 255)));
  const [x, y] = centreOfMass(small);
  // MNIST's centre of mass lies in the pixel right of and below the middle, never before it: hence ceil.
  const left = Math.min(Math.max(Math.ceil(IMAGE_SIDE / 2 - x), 0), IMAGE_SIDE - small.width);
  const upper = Math.min(Math.max(Math.ceil(IMAGE_SIDE / 2 - y), 0), IMAGE_SIDE - small.height);
  return placed(small, left, upper);
}

/**
 * A black image with some levels in it.
 *
 * @param {Plane} levels float32, (H, W) in 0…255, H and W at most 28
 * @param {number} left
 * @param {number} upper
 * @returns {Uint8Array} (28, 28)
 */
export function placed({ values, width }, left, upper) {
  const image = new Uint8Array(IMAGE_SIDE * IMAGE_SIDE);
  values.forEach((value, i) => {
    const x = i % width;
    image[(upper + (i - x) / width) * IMAGE_SIDE + left + x] = rint(value);
  });
  return image;
}

function widenedByCross(ink) {
  const down = running("maximum", ink, 3, 1);
  const across = running("maximum", ink, 1, 3);
  return { ...ink, values: down.values.map((value, i) => Math.max(value, across.values[i])) };
}

function withMargin([left, upper, right, lower], width, height) {
  const margin = Math.floor(Math.max(right - left, lower - upper) / 2);
  return [
    Math.max(0, left - margin),
    Math.max(0, upper - margin),
    Math.min(width, right + margin),
    Math.min(height, lower + margin),
  ];
}

/** The mean width of the strokes in pixels: twice their area by their outline, the mean over directions. */
function thickness(ink) {
  const around = padded(ink, 1);
  const outline = ((sum(stepsDown(around)) + sum(stepsAcross(around))) * Math.PI) / 4;
  return (2 * sum(ink.values)) / outline;
}

function padded({ values, height, width }, margin) {
  const wide = width + 2 * margin;
  const around = new Float32Array(wide * (height + 2 * margin));
  for (let y = 0; y < height; y += 1) {
    around.set(values.subarray(y * width, (y + 1) * width), (y + margin) * wide + margin);
  }
  return { values: around, height: height + 2 * margin, width: wide };
}

/** The ink, its longer side brought to `side`, antialiased. */
function resized(ink, side) {
  const scale = side / Math.max(ink.height, ink.width);
  const small = resizedByTriangle(ink, Math.max(1, rint(ink.width * scale)), Math.max(1, rint(ink.height * scale)));
  return { ...small, values: onGrid(small.values) };
}

/** The centre of mass of whole numbers, whose sums are exact. */
function centreOfMass({ values, width }) {
  let [x, y] = [0, 0];
  values.forEach((level, i) => {
    x += level * (2 * (i % width) + 1);
    y += level * (2 * Math.floor(i / width) + 1);
  });
  const doubled = 2 * sum(values);
  return [x / doubled, y / doubled];
}
