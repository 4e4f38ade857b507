/**
 * Arithmetic whose rounding matters: `rint`, `sum`, `mean`, `mixed`, `dot`.
 *
 * Where a digit is centred and how much its strokes are thickened is decided by rounding, so sums have to be rounded
 * in the order in which numpy rounds them: a symmetric drawing lies exactly between two answers.
 */

const BLOCK = 128;

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
 * The sum in float32, added in halves and in eights as numpy does.
 *
 * @param {Float32Array} values
 * @param {number} [start] the first value
 * @param {number} [count] how many
 * @returns {number} a float32
 */
export function sum(values, start = 0, count = values.length - start) {
  if (count < 8) return sumInOrder(values, start, start + count, 0);
  if (count <= BLOCK) return sumInEights(values, start, count);
  const half = Math.floor(count / 2);
  const first = half - (half % 8);
  return Math.fround(sum(values, start, first) + sum(values, start + first, count - first));
}

/**
 * The mean in float32.
 *
 * @param {Float32Array} values at least one
 * @returns {number} a float32
 */
export function mean(values) {
  return Math.fround(sum(values) / values.length);
}

/**
 * The weighted sums of three channels in float32, as numpy's matrix product has them: with one rounding for each
 * product added, and of a single column as `dot` has it.
 *
 * @param {{values: Float32Array, height: number, width: number}} colours (H, W, 3)
 * @param {Float32Array} weights (3,)
 * @returns {Float32Array} (H, W)
 */
export function mixed({ values, height, width }, weights) {
  const levels = new Float32Array(height * width);
  if (width === 1) return levels.map((_, i) => dot(values.subarray(3 * i, 3 * i + 3), weights));
  const [red, green, blue] = weights;
  for (let i = 0, c = 0; i < levels.length; i += 1, c += 3) {
    const two = Math.fround(Math.fround(values[c] * red) + values[c + 1] * green);
    levels[i] = two + values[c + 2] * blue;
  }
  return levels;
}

/**
 * The weighted sum of a single colour in float32: its products are rounded, but added in float64.
 *
 * @param {Float32Array} colour (3,)
 * @param {Float32Array} weights (3,)
 * @returns {number} a float32
 */
export function dot(colour, weights) {
  return Math.fround(colour.reduce((total, value, i) => total + Math.fround(value * weights[i]), 0));
}

function sumInOrder(values, start, end, total) {
  for (let i = start; i < end; i += 1) total = Math.fround(total + values[i]);
  return total;
}

function sumInEights(values, start, count) {
  const parts = values.slice(start, start + 8);
  const end = start + count - (count % 8);
  for (let i = start + 8; i < end; i += 8) {
    for (let j = 0; j < 8; j += 1) parts[j] += values[i + j];
  }
  const pair = (i) => Math.fround(parts[i] + parts[i + 1]);
  const total = Math.fround(Math.fround(pair(0) + pair(2)) + Math.fround(pair(4) + pair(6)));
  return sumInOrder(values, end, start + count, total);
}
