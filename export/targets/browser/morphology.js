/**
 * Image operations: `percentile`, `percentileOfColours`, `blurred`, `running`, `opened`, `otsu`, `pieces`, `boxes`,
 * `transposed`, `smallest`, `largest`, `stepsAcross`, `stepsDown`.
 *
 * A plane is `{values, height, width}`, row after row, one or more values a pixel: a Float32Array of levels, or a
 * Uint8Array of zeros and ones as a mask.
 *
 * @typedef {{values: Float32Array | Uint8Array, height: number, width: number}} Plane
 */

import { onGrid } from "./numeric.js";

const BINS = 64;

/**
 * As `numpy.percentile`: between two values the result lies linearly.
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
 * The percentile of each channel.
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
 * The mean over a square of 2·radius + 1 pixels, the edges repeated.
 *
 * @param {Plane} plane float32, (H, W) or (H, W, C)
 * @param {number} radius pixels; 0 leaves the plane as it is
 * @returns {Plane} of the same shape
 */
export function blurred(plane, radius) {
  if (radius < 1) return plane;
  const means = blurredAcross(blurredDown(plane, radius), radius);
  return { ...means, values: onGrid(means.values) };
}

/**
 * The running extreme over a rectangle of odd sides, the edges repeated, in log2(side) steps per axis.
 *
 * @param {"maximum" | "minimum"} extreme on a mask they are dilation and erosion
 * @param {Plane} plane (H, W)
 * @param {number} height of the rectangle, odd, pixels
 * @param {number} width likewise
 * @returns {Plane} of the same shape
 */
export function running(extreme, plane, height, width) {
  const down = height > 1 ? runningDown(extreme, plane, height) : plane;
  return width > 1 ? runningAcross(extreme, down, width) : down;
}

/**
 * The opening: everything light in which a rectangle of these odd sides does not fit is gone, the rest stays.
 *
 * @param {Plane} plane (H, W)
 * @param {number} height of the rectangle, odd, pixels
 * @param {number} width likewise
 * @returns {Plane} of the same shape
 */
export function opened(plane, height, width) {
  return running("maximum", running("minimum", plane, height, width), height, width);
}

/**
 * The level that parts the histogram in two with the least variance within the parts (Otsu 1979).
 *
 * @param {Float32Array} levels (N,)
 * @returns {number} compare float32 levels with `Math.fround` of it
 */
export function otsu(levels) {
  const [low, high] = [smallest(levels), largest(levels)];
  if (high <= low) return high;
  const step = (high - low) / BINS;
  return low + step * (1 + bestSplit(histogram(levels, low, Math.fround(step)), levels.length));
}

/**
 * The pieces of a mask that hang together, diagonals included, numbered by their first pixels.
 *
 * @param {Plane} mask (H, W)
 * @returns {{numbered: Int32Array, count: number}} 0 outside the mask, else the number of the piece, from 1
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
 * The box of each piece.
 *
 * @param {Int32Array} numbered (H, W), as `pieces` returns it
 * @param {number} count likewise
 * @param {number} width of the plane
 * @returns {number[][]} left, upper, right, lower of each, the last two exclusive
 */
export function boxes(numbered, count, width) {
  const found = Array.from({ length: count }, () => [Infinity, Infinity, 0, 0]);
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
 * The plane with rows and columns exchanged.
 *
 * @param {Plane} plane (H, W)
 * @returns {Plane} (W, H)
 */
export function transposed({ values, height, width }) {
  const turned = new values.constructor(values.length);
  for (let y = 0, i = 0; y < height; y += 1) {
    for (let to = y; to < turned.length; to += height, i += 1) turned[to] = values[i];
  }
  return { values: turned, height: width, width: height };
}

/**
 * The smallest value.
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
 * The largest value.
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
 * How much neighbours along the rows differ.
 *
 * @param {Plane} plane float32, (H, W)
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
 * How much neighbours along the columns differ.
 *
 * @param {Plane} plane float32, (H, W)
 * @returns {Float32Array} (H − 1, W)
 */
export function stepsDown({ values, width }) {
  return values.slice(width).map((value, i) => Math.abs(value - values[i]));
}

/** A copy with no larger values before an index and no smaller ones behind it (Hoare's FIND, 1961). */
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

// The means are differences of running sums in float64, as numpy's are: these are rounded, and have to be alike.
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

/** The running sums of a row, which begins at `start`, and whose values are some `apart`. */
function addUp(sums, values, start, apart, width, radius) {
  sums[0] = values[start];
  for (let i = 1; i < sums.length; i += 1) {
    sums[i] = sums[i - 1] + values[start + clamped(i - radius - 1, width) * apart];
  }
}

function clamped(index, length) {
  return index < 0 ? 0 : index < length ? index : length - 1;
}

function runningDown(extreme, { values, height, width }, side) {
  const padded = rowsRepeated(values, width, side >> 1);
  extend(extreme, padded, side, width);
  return { values: padded.subarray(0, values.length), height, width };
}

function runningAcross(extreme, { values, height, width }, side) {
  const line = width + side - 1;
  const padded = columnsRepeated(values, width, side >> 1);
  // What runs over a row's end into the next lies behind the `width` values that are taken from it.
  extend(extreme, padded, side, 1);
  const found = new values.constructor(values.length);
  for (let y = 0; y < height; y += 1) found.set(padded.subarray(y * line, y * line + width), y * width);
  return { values: found, height, width };
}

/** Each value becomes the extreme of itself and of `side − 1` values behind it, some `apart`. */
function extend(extreme, values, side, apart) {
  if (values instanceof Uint8Array) {
    extendMask(values, side, apart, extreme === "maximum" ? 1 : side);
    return;
  }
  const take = extreme === "maximum" ? takeMaximum : takeMinimum;
  let end = values.length;
  for (let covered = 1; covered < side; ) {
    const step = Math.min(covered, side - covered);
    end -= step * apart;
    take(values, step * apart, end);
    covered += step;
  }
}

/** The same for a mask, by counting the ones: 1 where there are as many as are needed. */
function extendMask(mask, side, apart, needed) {
  const reach = (side - 1) * apart;
  for (let first = 0; first < apart; first += 1) {
    let count = 0;
    for (let i = first; i < first + reach; i += apart) count += mask[i];
    for (let i = first; i + reach < mask.length; i += apart) {
      const leaving = mask[i];
      count += mask[i + reach];
      mask[i] = count >= needed ? 1 : 0;
      count -= leaving;
    }
  }
}

function takeMaximum(levels, ahead, end) {
  for (let i = 0; i < end; i += 1) if (levels[i + ahead] > levels[i]) levels[i] = levels[i + ahead];
}

function takeMinimum(levels, ahead, end) {
  for (let i = 0; i < end; i += 1) if (levels[i + ahead] < levels[i]) levels[i] = levels[i + ahead];
}

function rowsRepeated(values, width, rows) {
  const padded = new values.constructor(values.length + 2 * rows * width);
  padded.set(values, rows * width);
  for (let row = 0; row < rows; row += 1) {
    padded.set(values.subarray(0, width), row * width);
    padded.set(values.subarray(values.length - width), padded.length - (row + 1) * width);
  }
  return padded;
}

function columnsRepeated(values, width, columns) {
  const line = width + 2 * columns;
  const padded = new values.constructor((values.length / width) * line);
  for (let from = 0, to = 0; from < values.length; from += width, to += line) {
    padded.fill(values[from], to, to + columns);
    padded.set(values.subarray(from, from + width), to + columns);
    padded.fill(values[from + width - 1], to + columns + width, to + line);
  }
  return padded;
}

function histogram(levels, low, step) {
  const counts = new Int32Array(BINS);
  for (let i = 0; i < levels.length; i += 1) {
    counts[Math.min(Math.floor(Math.fround(Math.fround(levels[i] - low) / step)), BINS - 1)] += 1;
  }
  return counts;
}

function bestSplit(counts, count) {
  const total = counts.reduce((moment, inBin, bin) => moment + inBin * bin, 0);
  let [below, moment, best, most] = [0, 0, 0, -Infinity];
  for (let bin = 0; bin < BINS - 1; bin += 1) {
    below += counts[bin];
    moment += counts[bin] * bin;
    const between = (total * below - moment * count) ** 2 / Math.max(below * (count - below), 1);
    if (between > most) [best, most] = [bin, between];
  }
  return best;
}
