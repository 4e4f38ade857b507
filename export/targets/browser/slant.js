/**
 * The slant of a line image: `slantOf`, and `withoutSlant`, which shears it upright. runtime/reader/slant.py gives the
 * reasons for the method.
 */

import { LINE_IMAGE_LINE_HEIGHT, SLANT_MAX_SLANT } from "./constants.js";
import { rint } from "./numeric.js";

/**
 * The slant of the strokes: pixels to the right for each pixel upwards.
 *
 * @param {Uint8Array} pixels (32, W)
 * @param {number} width
 * @returns {number}
 */
export function slantOf(pixels, width) {
  let [steep, both] = [0, 0];
  for (let y = 1; y < LINE_IMAGE_LINE_HEIGHT - 1; y += 1) {
    for (let x = 1, i = y * width + 1; x < width - 1; x += 1, i += 1) {
      const across = pixels[i + 1] - pixels[i - 1];
      const down = pixels[i + width] - pixels[i - width];
      steep += across * across;
      both += across * down;
    }
  }
  return Math.max(-SLANT_MAX_SLANT, Math.min(steep ? both / steep : 0, SLANT_MAX_SLANT));
}

/**
 * Shear a line image so that strokes of a slant are upright; its middle row does not move.
 *
 * @param {Uint8Array} pixels (32, W)
 * @param {number} width
 * @param {number} slant
 * @returns {{pixels: Uint8Array, width: number}}
 */
export function withoutSlant(pixels, width, slant) {
  const height = LINE_IMAGE_LINE_HEIGHT;
  const margin = Math.ceil((Math.abs(slant) * height) / 2) + 1;
  const line = width + 2 * margin;
  const sheared = new Float64Array(height * line);
  for (let y = 0; y < height; y += 1) {
    const shift = slant * (y - (height - 1) / 2) + margin;
    const left = Math.floor(shift);
    const rest = shift - left;
    for (let x = 0, to = y * line + left; x < width; x += 1, to += 1) {
      sheared[to] += pixels[y * width + x] * (1 - rest);
      sheared[to + 1] += pixels[y * width + x] * rest;
    }
  }
  return { pixels: Uint8Array.from(sheared, rint), width: line };
}
