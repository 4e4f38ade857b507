/**
 * Occlusion maps: the effect of hiding a part of an image on a probability; like `occlusion_maps` in Python.
 *
 * @typedef {import("./models.js").ImageInput} ImageInput
 */

import {
  MID_GREY,
  OCCLUSION_MAX_VALUES,
  OCCLUSION_REFERENCE_SIDE,
  OCCLUSION_SQUARE,
  OCCLUSION_STEP,
} from "./constants.js";
import { rint } from "./numeric.js";

/**
 * Compute the occlusion map of an image for one class.
 *
 * @param {(images: Uint8Array) => Promise<Float32Array>} predict N images → N·C probabilities
 * @param {Uint8Array} image (H, W) or (H, W, 3)
 * @param {ImageInput} input of the model
 * @param {number} index of the class
 * @returns {Promise<number[]>} (H, W), −1 to 1: positive where hiding the pixel lowers the probability
 */
export async function occlusionMap(predict, image, input, index) {
  const squares = squarePixels(input);
  const probabilities = await occludedProbabilities(predict, image, input, squares, index);
  const falls = new Float64Array(input.height * input.width);
  const covered = new Float64Array(falls.length);
  squares.forEach((pixels, square) => {
    const fall = probabilities[0] - probabilities[square + 1];
    for (const pixel of pixels) {
      falls[pixel] += fall;
      covered[pixel] += 1;
    }
  });
  return Array.from(falls, (fall, pixel) => fall / covered[pixel]);
}

/**
 * The probabilities of the image, and of the image with each of the squares hidden, in calls of limited size.
 *
 * @param {(images: Uint8Array) => Promise<Float32Array>} predict
 * @param {Uint8Array} image
 * @param {ImageInput} input
 * @param {number[][]} squares
 * @param {number} index of the class
 * @returns {Promise<number[]>}
 */
async function occludedProbabilities(predict, image, { channels, polarity }, squares, index) {
  const level = polarity === "white-on-black" ? 0 : MID_GREY;
  const hidden = [[], ...squares];
  const atOnce = Math.max(1, Math.floor(OCCLUSION_MAX_VALUES / image.length));
  const found = /** @type {number[]} */ ([]);
  for (let start = 0; start < hidden.length; start += atOnce) {
    const part = hidden.slice(start, start + atOnce);
    const images = new Uint8Array(part.length * image.length);
    part.forEach((pixels, i) => {
      images.set(image, i * image.length);
      for (const pixel of pixels) {
        const first = i * image.length + pixel * channels;
        images.fill(level, first, first + channels);
      }
    });
    const probabilities = await predict(images);
    const classes = probabilities.length / part.length;
    part.forEach((_, i) => found.push(probabilities[i * classes + index]));
  }
  return found;
}

/**
 * The pixels that each position of the square hides; positions at the edges extend beyond the image.
 *
 * @param {ImageInput} input
 * @returns {number[][]}
 */
function squarePixels({ height, width }) {
  const scale = Math.max(1, Math.max(height, width) / OCCLUSION_REFERENCE_SIDE);
  const [square, step] = [rint(OCCLUSION_SQUARE * scale), rint(OCCLUSION_STEP * scale)];
  const columns = ranges(width, square, step);
  return ranges(height, square, step).flatMap((rows) =>
    columns.map((range) => rows.flatMap((row) => range.map((column) => row * width + column))),
  );
}

/**
 * The positions along an axis that each position of the square covers.
 *
 * @param {number} length
 * @param {number} square
 * @param {number} step
 * @returns {number[][]}
 */
function ranges(length, square, step) {
  const found = /** @type {number[][]} */ ([]);
  for (let start = step - square; start < length; start += step) {
    const positions = Array.from({ length: square }, (_, offset) => start + offset);
    found.push(positions.filter((position) => position >= 0 && position < length));
  }
  return found;
}
