/**
 * Arithmetic with defined rounding: `rint`, `onGrid`, `sum`, `mean`, `mixed`.
 *
 * Rounding decides the position of a digit and how much its strokes are widened. Therefore levels are multiples of
 * 1/GRID, and their sums are exact in any order, here and in `runtime/preprocessing/morphology.py`.
 */

import { GRID } from "./constants.js";

/**
 * Round to the nearest integer, ties to even, like Python's `round` and `numpy.rint`.
 *
 * @param {number} value
 * @returns {number}
 */
export function rint(value) {
  const below = Math.floor(value);
  const rest = value - below;
  if (rest !== 0.5) return rest < 0.5 ? below : below + 1;
  return below % 2 === 0 ? below : below + 1;
}

/**
 * Round values to multiples of 1/GRID.
 *
 * @param {Float32Array | Float64Array} values
 * @returns {Float32Array}
 */
export function onGrid(values) {
  const rounded = new Float32Array(values.length);
  for (let i = 0; i < values.length; i += 1) rounded[i] = rint(values[i] * GRID) / GRID;
  return rounded;
}

/**
 * Add values in float64, which is exact for multiples of 1/GRID.
 *
 * @param {ArrayLike<number>} values
 * @returns {number}
 */
export function sum(values) {
  let total = 0;
  for (let i = 0; i < values.length; i += 1) total += values[i];
  return total;
}

/**
 * Compute the mean in float64.
 *
 * @param {ArrayLike<number>} values at least one
 * @returns {number}
 */
export function mean(values) {
  return sum(values) / values.length;
}

/**
 * Compute the weighted sum of three channels, exact for colours and weights that are multiples of 1/GRID.
 *
 * @param {{values: Float32Array, height: number, width: number}} colours (H, W, 3)
 * @param {number[]} weights (3,)
 * @returns {Float64Array} (H, W)
 */
export function mixed({ values, height, width }, [red, green, blue]) {
  const levels = new Float64Array(height * width);
  for (let i = 0, c = 0; i < levels.length; i += 1, c += 3) {
    levels[i] = values[c] * red + values[c + 1] * green + values[c + 2] * blue;
  }
  return levels;
}
