/**
 * Image operations: `percentile`, `percentileOfColours`, `blurred`, `running`, `opened`, `otsu`, `pieces`, `boxes`,
 * `transposed`, `emptyLike`, `smallest`, `largest`, `stepsAcross`, `stepsDown`.
 *
 * A plane is `{values, height, width}` in row-major order, with one or more values for each pixel: a Float32Array of
 * levels, or a Uint8Array of zeros and ones as a mask.
 *
 * @typedef {Float32Array | Uint8Array | Int32Array} Values
 * @typedef {[left: number, upper: number, right: number, lower: number]} Box right and lower are exclusive
 * @typedef {PlaneOf<Float32Array>} FloatPlane
 * @typedef {PlaneOf<Uint8Array>} Mask
 */

/**
 * @template {Values} A
 * @typedef {{values: A, height: number, width: number}} PlaneOf
 */

import { OTSU_BINS } from "./constants.js";
import { onGrid } from "./numeric.js";

/**
 * Compute a percentile like `numpy.percentile`; between two values, the result is interpolated linearly.
 *
 * @param {Float32Array} values (N,), N at least 1
 * @param {number} percent 0 to 100
 * @returns {number} a float32
 */
export function percentile(values, percent) {
  const place = ((values.length - 1) * percent) / 100;
  const index = Math.floor(place);
  const parted = partedAt(values, index);
  const low = parted[index];
  const high = index + 1 < parted.length ? smallest(parted.subarray(index + 1)) : low;
  return Math.fround(low + (place - index) * (high - low));
}

/**
 * Compute the percentile of each channel.
 *
 * @param {Float32Array} colours (N, 3)
 * @param {number} percent 0 to 100
 * @returns {Float32Array} (3,)
 */
export function percentileOfColours(colours, percent) {
  const count = colours.length / 3;
  return Float32Array.from([0, 1, 2], (channel) => {
    const values = new Float32Array(count);
    for (let i = 0; i < count; i += 1) values[i] = colours[3 * i + channel];
    return percentile(values, percent);
  });
}

/**
 * Apply a box filter with edge padding, rounded by `onGrid`.
 *
 * @param {FloatPlane} plane (H, W) or (H, W, C)
 * @param {number} radius in pixels; the box has 2·radius + 1 pixels a side; 0 returns the plane unchanged
 * @returns {FloatPlane} of the same shape
 */
export function blurred(plane, radius) {
  if (radius < 1) return plane;
  const means = blurredAcross(blurredDown(plane, radius), radius);
  return { ...means, values: onGrid(means.values) };
}

/**
 * Apply a maximum or minimum filter with edge padding: dilation or erosion by a rectangle.
 *
 * @template {Float32Array | Uint8Array} A
 * @param {"maximum" | "minimum"} extreme
 * @param {PlaneOf<A>} plane (H, W)
 * @param {number} height of the rectangle in pixels, odd
 * @param {number} width of the rectangle in pixels, odd
 * @returns {PlaneOf<A>} of the same shape
 */
export function running(extreme, plane, height, width) {
  const down = height > 1 ? runningDown(extreme, plane, height) : plane;
  return width > 1 ? runningAcross(extreme, down, width) : down;
}

/**
 * Apply a morphological opening: remove light structures in which a rectangle does not fit.
 *
 * @template {Float32Array | Uint8Array} A
 * @param {PlaneOf<A>} plane (H, W)
 * @param {number} height of the rectangle in pixels, odd
 * @param {number} width of the rectangle in pixels, odd
 * @returns {PlaneOf<A>} of the same shape
 */
export function opened(plane, height, width) {
  return running("maximum", running("minimum", plane, height, width), height, width);
}

/**
 * Compute Otsu's threshold (Otsu 1979): the level with the least variance within the two classes it separates.
 *
 * @param {Float32Array} levels (N,)
 * @returns {number} compare float32 levels with `Math.fround` of it
 */
export function otsu(levels) {
  const [low, high] = [smallest(levels), largest(levels)];
  if (high <= low) return high;
  const step = (high - low) / OTSU_BINS;
  return low + step * (1 + bestSplit(histogram(levels, low, Math.fround(step)), levels.length));
}

/**
 * Label the connected components of a mask (8-connectivity), in the order of their first pixels.
 *
 * @param {Mask} mask (H, W)
 * @returns {{numbered: Int32Array, count: number}} labels, 0 outside the mask and from 1 inside; number of components
 */
export function pieces({ values, height, width }) {
  const numbered = new Int32Array(values.length);
  const stack = new Int32Array(values.length);
  let count = 0;
  for (let start = 0; start < values.length; start += 1) {
    if (!values[start] || numbered[start]) continue;
    count += 1;
    numbered[start] = count;
    stack[0] = start;
    for (let depth = 1; depth > 0; ) {
      depth -= 1;
      const x = stack[depth] % width;
      const y = (stack[depth] - x) / width;
      const [left, right] = [Math.max(x - 1, 0), Math.min(x + 1, width - 1)];
      for (let row = Math.max(y - 1, 0); row <= Math.min(y + 1, height - 1); row += 1) {
        for (let i = row * width + left; i <= row * width + right; i += 1) {
          if (!values[i] || numbered[i]) continue;
          numbered[i] = count;
          stack[depth] = i;
          depth += 1;
        }
      }
    }
  }
  return { numbered, count };
}

/**
 * Compute the bounding box of each connected component.
 *
 * @param {Int32Array | Uint8Array} numbered (H, W), labels as `pieces` returns them
 * @param {number} count of components, likewise
 * @param {number} width of the plane
 * @returns {Box[]}
 */
export function boxes(numbered, count, width) {
  const found = Array.from({ length: count }, () => /** @type {Box} */ ([Infinity, Infinity, 0, 0]));
  for (let i = 0; i < numbered.length; i += 1) {
    if (!numbered[i]) continue;
    const box = found[numbered[i] - 1];
    const x = i % width;
    const y = (i - x) / width;
    if (x < box[0]) box[0] = x;
    if (y < box[1]) box[1] = y;
    if (x >= box[2]) box[2] = x + 1;
    if (y >= box[3]) box[3] = y + 1;
  }
  return found;
}

/**
 * Transpose a plane.
 *
 * @template {Values} A
 * @param {PlaneOf<A>} plane (H, W)
 * @returns {PlaneOf<A>} (W, H)
 */
export function transposed({ values, height, width }) {
  const turned = emptyLike(values, values.length);
  for (let y = 0, i = 0; y < height; y += 1) {
    for (let to = y; to < turned.length; to += height, i += 1) turned[to] = values[i];
  }
  return { values: turned, height: width, width: height };
}

/**
 * Create an array of zeros of the same type.
 *
 * @template {Values} A
 * @param {A} values
 * @param {number} length
 * @returns {A}
 */
export function emptyLike(values, length) {
  const TypedArray = /** @type {new (length: number) => A} */ (values.constructor);
  return new TypedArray(length);
}

/**
 * Return the smallest value.
 *
 * @param {ArrayLike<number>} values at least one
 * @returns {number}
 */
export function smallest(values) {
  let least = values[0];
  for (let i = 1; i < values.length; i += 1) if (values[i] < least) least = values[i];
  return least;
}

/**
 * Return the largest value.
 *
 * @param {ArrayLike<number>} values at least one
 * @returns {number}
 */
export function largest(values) {
  let most = values[0];
  for (let i = 1; i < values.length; i += 1) if (values[i] > most) most = values[i];
  return most;
}

/**
 * Compute the absolute differences of neighbours in each row.
 *
 * @param {FloatPlane} plane (H, W)
 * @returns {Float32Array} (H, W − 1)
 */
export function stepsAcross({ values, height, width }) {
  const steps = new Float32Array(height * (width - 1));
  for (let i = 0; i < steps.length; i += 1) {
    const at = i + Math.floor(i / (width - 1));
    steps[i] = Math.abs(values[at + 1] - values[at]);
  }
  return steps;
}

/**
 * Compute the absolute differences of neighbours in each column.
 *
 * @param {FloatPlane} plane (H, W)
 * @returns {Float32Array} (H − 1, W)
 */
export function stepsDown({ values, width }) {
  return values.slice(width).map((value, i) => Math.abs(value - values[i]));
}

/**
 * A copy with no larger values before an index and no smaller ones after it (Hoare's FIND, 1961).
 *
 * @param {Float32Array} values
 * @param {number} index
 * @returns {Float32Array}
 */
function partedAt(values, index) {
  const parted = values.slice();
  let [first, last] = [0, parted.length - 1];
  while (first < last) {
    const pivot = parted[index];
    let [i, j] = [first, last];
    while (i <= j) {
      while (parted[i] < pivot) i += 1;
      while (parted[j] > pivot) j -= 1;
      if (i > j) break;
      const value = parted[i];
      parted[i] = parted[j];
      parted[j] = value;
      i += 1;
      j -= 1;
    }
    if (j < index) first = i;
    if (i > index) last = j;
  }
  return parted;
}

/**
 * The means of each column. They are differences of cumulative sums in float64, like NumPy's, for identical rounding.
 *
 * @param {FloatPlane} plane (H, W, C)
 * @param {number} radius
 * @returns {FloatPlane}
 */
function blurredDown({ values, height, width }, radius) {
  const side = 2 * radius + 1;
  const line = values.length / height;
  const sums = new Float64Array((height + side) * line);
  sums.set(values.subarray(0, line));
  for (let row = 1, to = line; row < height + side; row += 1) {
    let from = clamped(row - radius - 1, height) * line;
    for (const end = to + line; to < end; to += 1, from += 1) sums[to] = sums[to - line] + values[from];
  }
  const means = new Float32Array(values.length);
  for (let i = 0; i < means.length; i += 1) means[i] = (sums[i + side * line] - sums[i]) / side;
  return { values: means, height, width };
}

/**
 * The means of each row, likewise.
 *
 * @param {FloatPlane} plane (H, W, C)
 * @param {number} radius
 * @returns {FloatPlane}
 */
function blurredAcross({ values, height, width }, radius) {
  const channels = values.length / (height * width);
  const means = new Float32Array(values.length);
  const sums = new Float64Array(width + 2 * radius + 1);
  for (let y = 0; y < height; y += 1) {
    for (let c = 0; c < channels; c += 1) {
      const start = y * width * channels + c;
      addUp(sums, values, start, channels, width, radius);
      for (let x = 0, to = start; x < width; x += 1, to += channels) {
        means[to] = (sums[x + 2 * radius + 1] - sums[x]) / (2 * radius + 1);
      }
    }
  }
  return { values: means, height, width };
}

/**
 * Write the cumulative sums of a row.
 *
 * @param {Float64Array} sums the result
 * @param {Float32Array} values
 * @param {number} start index of the row's first value
 * @param {number} stride distance of its values
 * @param {number} width number of its values
 * @param {number} radius
 */
function addUp(sums, values, start, stride, width, radius) {
  sums[0] = values[start];
  for (let i = 1; i < sums.length; i += 1) {
    sums[i] = sums[i - 1] + values[start + clamped(i - radius - 1, width) * stride];
  }
}

/**
 * @param {number} index
 * @param {number} length
 * @returns {number} the nearest index of an array of this length
 */
function clamped(index, length) {
  return index < 0 ? 0 : index < length ? index : length - 1;
}

/**
 * @template {Float32Array | Uint8Array} A
 * @param {"maximum" | "minimum"} extreme
 * @param {PlaneOf<A>} plane
 * @param {number} side
 * @returns {PlaneOf<A>}
 */
function runningDown(extreme, { values, height, width }, side) {
  const padded = rowsRepeated(values, width, side >> 1);
  extend(extreme, padded, side, width);
  return { values: /** @type {A} */ (padded.subarray(0, values.length)), height, width };
}

/**
 * @template {Float32Array | Uint8Array} A
 * @param {"maximum" | "minimum"} extreme
 * @param {PlaneOf<A>} plane
 * @param {number} side
 * @returns {PlaneOf<A>}
 */
function runningAcross(extreme, { values, height, width }, side) {
  const line = width + side - 1;
  const padded = columnsRepeated(values, width, side >> 1);
  // windows that extend from the end of a row into the next one start after the `width` values that are used
  extend(extreme, padded, side, 1);
  const found = emptyLike(values, values.length);
  for (let y = 0; y < height; y += 1) found.set(padded.subarray(y * line, y * line + width), y * width);
  return { values: found, height, width };
}

/**
 * Replace each value by the extreme of itself and of the `side − 1` values after it, `stride` apart.
 *
 * @param {"maximum" | "minimum"} extreme
 * @param {Float32Array | Uint8Array} values changed in place
 * @param {number} side
 * @param {number} stride
 */
function extend(extreme, values, side, stride) {
  if (values instanceof Uint8Array) {
    extendMask(values, side, stride, extreme === "maximum" ? 1 : side);
    return;
  }
  const take = extreme === "maximum" ? takeMaximum : takeMinimum;
  let end = values.length;
  for (let covered = 1; covered < side; ) {
    const step = Math.min(covered, side - covered);
    end -= step * stride;
    take(values, step * stride, end);
    covered += step;
  }
}

/**
 * The same for a mask, by counting ones: 1 where there are at least `needed`.
 *
 * @param {Uint8Array} mask changed in place
 * @param {number} side
 * @param {number} stride
 * @param {number} needed
 */
function extendMask(mask, side, stride, needed) {
  const reach = (side - 1) * stride;
  for (let first = 0; first < stride; first += 1) {
    let count = 0;
    for (let i = first; i < first + reach; i += stride) count += mask[i];
    for (let i = first; i + reach < mask.length; i += stride) {
      const leaving = mask[i];
      count += mask[i + reach];
      mask[i] = count >= needed ? 1 : 0;
      count -= leaving;
    }
  }
}

/**
 * @param {Float32Array} levels changed in place
 * @param {number} ahead
 * @param {number} end
 */
function takeMaximum(levels, ahead, end) {
  for (let i = 0; i < end; i += 1) if (levels[i + ahead] > levels[i]) levels[i] = levels[i + ahead];
}

/**
 * @param {Float32Array} levels changed in place
 * @param {number} ahead
 * @param {number} end
 */
function takeMinimum(levels, ahead, end) {
  for (let i = 0; i < end; i += 1) if (levels[i + ahead] < levels[i]) levels[i] = levels[i + ahead];
}

/**
 * @template {Float32Array | Uint8Array} A
 * @param {A} values
 * @param {number} width
 * @param {number} rows copies of the first and of the last row
 * @returns {A}
 */
function rowsRepeated(values, width, rows) {
  const padded = emptyLike(values, values.length + 2 * rows * width);
  padded.set(values, rows * width);
  for (let row = 0; row < rows; row += 1) {
    padded.set(values.subarray(0, width), row * width);
    padded.set(values.subarray(values.length - width), padded.length - (row + 1) * width);
  }
  return padded;
}

/**
 * @template {Float32Array | Uint8Array} A
 * @param {A} values
 * @param {number} width
 * @param {number} columns copies of the first and of the last column
 * @returns {A}
 */
function columnsRepeated(values, width, columns) {
  const line = width + 2 * columns;
  const padded = emptyLike(values, (values.length / width) * line);
  for (let from = 0, to = 0; from < values.length; from += width, to += line) {
    padded.fill(values[from], to, to + columns);
    padded.set(values.subarray(from, from + width), to + columns);
    padded.fill(values[from + width - 1], to + columns + width, to + line);
  }
  return padded;
}

/**
 * @param {Float32Array} levels
 * @param {number} low smallest level
 * @param {number} step width of a bin
 * @returns {Int32Array} (OTSU_BINS,)
 */
function histogram(levels, low, step) {
  const counts = new Int32Array(OTSU_BINS);
  for (let i = 0; i < levels.length; i += 1) {
    counts[Math.min(Math.floor(Math.fround(Math.fround(levels[i] - low) / step)), OTSU_BINS - 1)] += 1;
  }
  return counts;
}

/**
 * The last bin of the lower class in Otsu's method.
 *
 * @param {Int32Array} counts (OTSU_BINS,)
 * @param {number} count their sum
 * @returns {number}
 */
function bestSplit(counts, count) {
  const total = counts.reduce((moment, inBin, bin) => moment + inBin * bin, 0);
  let [below, moment, best, most] = [0, 0, 0, -Infinity];
  for (let bin = 0; bin < OTSU_BINS - 1; bin += 1) {
    below += counts[bin];
    moment += counts[bin] * bin;
    const between = (total * below - moment * count) ** 2 / Math.max(below * (count - below), 1);
    if (between > most) [best, most] = [bin, between];
  }
  return best;
}
