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
 * Shear a line image so that strokes of a slant are upright, and widen it; between pixels, levels are interpolated.
 *
 * @param {Uint8Array} pixels (32, W)
 * @param {number} width
 * @param {number} slant
 * @param {number} widening columns of the result for each column of the sheared image
 * @returns {{pixels: Uint8Array, width: number}}
 */
export function withoutSlant(pixels, width, slant, widening) {
  const height = LINE_IMAGE_LINE_HEIGHT;
  const margin = Math.ceil((Math.abs(slant) * height) / 2) + 1;
  const columns = Math.floor((width + 2 * margin) * widening + 0.5);
  const sheared = new Uint8Array(height * columns);
  for (let y = 0; y < height; y += 1) {
    const shift = slant * (y - (height - 1) / 2) + margin;
    /** @param {number} x */
    const level = (x) => (x >= 0 && x < width ? pixels[y * width + x] : 0);
    for (let x = 0; x < columns; x += 1) {
      const place = (x + 0.5) / widening - 0.5 - shift;
      const left = Math.floor(place);
      const rest = place - left;
      sheared[y * columns + x] = rint(level(left) * (1 - rest) + level(left + 1) * rest);
    }
  }
  return { pixels: sheared, width: columns };
}
