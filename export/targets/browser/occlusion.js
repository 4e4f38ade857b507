/** Occlusion maps: the effect of hiding a part of an image on a probability; like `occlusion_maps` in Python. */

import { IMAGE_SIDE, OCCLUSION_SQUARE, OCCLUSION_STEP } from "./constants.js";

const PIXELS = IMAGE_SIDE * IMAGE_SIDE;

/**
 * Compute the occlusion map of an image for one class.
 *
 * @param {(images: Uint8Array) => Promise<Float32Array>} predict N·784 pixels → N·C probabilities
 * @param {Uint8Array} image 784 pixels, white ink on black
 * @param {number} digit index of the class
 * @returns {Promise<number[]>} 784 values, −1 to 1: positive where hiding the pixel lowers the probability
 */
export async function occlusionMap(predict, image, digit) {
  const squares = squarePixels();
  const images = new Uint8Array((squares.length + 1) * PIXELS);
  images.set(image);
  squares.forEach((pixels, square) => {
    const start = (square + 1) * PIXELS;
    images.set(image, start);
    for (const pixel of pixels) images[start + pixel] = 0;
  });
  const probabilities = await predict(images);
  const classes = probabilities.length / (squares.length + 1);
  const falls = new Float64Array(PIXELS);
  const covered = new Float64Array(PIXELS);
  squares.forEach((pixels, square) => {
    const fall = probabilities[digit] - probabilities[(square + 1) * classes + digit];
    for (const pixel of pixels) {
      falls[pixel] += fall;
      covered[pixel] += 1;
    }
  });
  return Array.from(falls, (fall, pixel) => fall / covered[pixel]);
}

/**
 * The pixels that each position of the square hides; positions at the edges extend beyond the image.
 *
 * @returns {number[][]}
 */
function squarePixels() {
  const starts = /** @type {number[]} */ ([]);
  for (let start = OCCLUSION_STEP - OCCLUSION_SQUARE; start < IMAGE_SIDE; start += OCCLUSION_STEP) starts.push(start);
  const ranges = starts.map((start) => {
    const positions = Array.from({ length: OCCLUSION_SQUARE }, (_, offset) => start + offset);
    return positions.filter((position) => position >= 0 && position < IMAGE_SIDE);
  });
  return ranges.flatMap((rows) =>
    ranges.map((columns) => rows.flatMap((row) => columns.map((column) => row * IMAGE_SIDE + column))),
  );
}
