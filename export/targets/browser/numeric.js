/**
 * Arithmetic whose rounding matters: `rint`, `onGrid`, `sum`, `mean`, `mixed`.
 *
 * Where a digit is centred and how much its strokes are thickened is decided by rounding. So levels are whole multiples
 * of 1/4096, and sums of them are exact in whatever order they are added, here and in `runtime/preprocessing/morphology.py`.
 */

export const GRID = 4096;

/**
 * The nearest whole number, of two equally near ones the even one, as Python's `round` and `numpy.rint`.
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
 * Values rounded to whole multiples of 1/4096.
 *
 * @param {Float32Array | Float64Array} values
 * @returns {Float32Array}
 */
export function onGrid(values) {
  return Float32Array.from(values, (value) => rint(value * GRID) / GRID);
}

/**
 * The sum in float64, which is exact for values on the grid.
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
 * The mean in float64.
 *
 * @param {ArrayLike<number>} values at least one
 * @returns {number}
 */
export function mean(values) {
  return sum(values) / values.length;
}

/**
 * The weighted sums of three channels, exact for colours and weights on the grid.
 *
 * @param {{values: Float32Array, height: number, width: number}} colours (H, W, 3)
 * @param {ArrayLike<number>} weights (3,)
 * @returns {Float64Array} (H, W)
 */
export function mixed({ values, height, width }, [red, green, blue]) {
  const levels = new Float64Array(height * width);
  for (let i = 0, c = 0; i < levels.length; i += 1, c += 3) {
    levels[i] = values[c] * red + values[c + 1] * green + values[c + 2] * blue;
  }
  return levels;
}
