/**
 * Resizing of pictures, bit for bit like Pillow: `resizedByBox` for 8-bit RGBA, `resizedByTriangle` for a float32
 * plane, and `premultiplied` and `straight` for alpha.
 *
 * Both filters weight the pixels in a window around the centre of each new pixel, along the rows and then along the
 * columns or the other way round. The result of the first pass is rounded.
 *
 * @typedef {import("./morphology.js").Box} Box
 * @typedef {import("./morphology.js").FloatPlane} FloatPlane
 * @typedef {{width: number, height: number, data: Uint8Array | Uint8ClampedArray}} Pixels (H, W, 4)
 * @typedef {{support: number, weigh: (x: number) => number}} Filter
 * @typedef {{starts: Int32Array, counts: Int32Array, weights: Float64Array | Int32Array, most: number}} Windows for
 *   each new pixel, `counts` weights of the pixels from `starts` on; the weights of two new pixels are `most` apart
 */

import { REDUCING_GAP, REGION_OFFSET } from "./constants.js";
import { transposed } from "./morphology.js";

/** Precision of Pillow's weights of 8-bit pixels. */
const PRECISION_BITS = 22;
const HALF = 1 << (PRECISION_BITS - 1);

/** @type {Filter} */
const BOX = { support: 0.5, weigh: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) };
/** @type {Filter} */
const TRIANGLE = { support: 1, weigh: (x) => Math.max(0, 1 - Math.abs(x)) };

/**
 * Crop and resize a picture with a box filter; a new pixel is about the mean of the pixels it covers.
 *
 * @param {Pixels} picture colours opaque or multiplied by alpha
 * @param {Box} region in pixels
 * @param {[width: number, height: number]} size
 * @returns {Pixels & {data: Uint8Array}} of that size
 */
export function resizedByBox(picture, region, size) {
  const sides = [region[2] - region[0], region[3] - region[1]];
  const offset = sides[0] === size[0] && sides[1] === size[1] ? 0 : REGION_OFFSET;
  const factors = [0, 1].map((axis) => Math.floor((sides[axis] - offset) / size[axis] / REDUCING_GAP) || 1);
  if (Math.max(...factors) > 1) {
    picture = reducedByFactors(picture, region, factors);
    region = [offset / factors[0], offset / factors[1], sides[0] / factors[0], sides[1] / factors[1]];
  } else {
    region = [region[0] + offset, region[1] + offset, region[2], region[3]];
  }
  const across = fixedPoint(windows(region[0], region[2], picture.width, size[0], BOX));
  const down = fixedPoint(windows(region[1], region[3], picture.height, size[1], BOX));
  if (isDownFirst(picture, size)) {
    const [left, right] = span(across);
    return weighedAcross(weighedDown(picture, down, left, right), movedBack(across, left), 0, size[1]);
  }
  const [top, bottom] = span(down);
  return weighedDown(weighedAcross(picture, across, top, bottom), movedBack(down, top), 0, size[0]);
}

/**
 * Resize a plane with a triangle filter: weights decrease linearly from the centre of each new pixel.
 *
 * @param {FloatPlane} plane (H, W)
 * @param {number} width
 * @param {number} height
 * @returns {FloatPlane} of that size
 */
export function resizedByTriangle(plane, width, height) {
  if (isDownFirst(plane, [width, height])) return planeAcross(planeDown(plane, height), width);
  return planeDown(planeAcross(plane, width), height);
}

/**
 * Resize the rows between two, which may be fractions, with a triangle filter.
 *
 * @param {FloatPlane} plane (H, W)
 * @param {[number, number]} rows first row, and the one after the last
 * @param {number} width
 * @param {number} height
 * @returns {FloatPlane} of that size
 */
export function resizedRowsByTriangle(plane, rows, width, height) {
  const across = transposed(planeAcross(plane, width));
  return transposed(planeAcross(across, height, rows));
}

/**
 * Multiply colours by alpha, so that transparent pixels have no weight.
 *
 * @param {Uint8Array | Uint8ClampedArray} data (…, 4), straight alpha
 * @returns {Uint8Array} (…, 4)
 */
export function premultiplied(data) {
  const product = new Uint8Array(data);
  for (let i = 0; i < data.length; i += 4) {
    const alpha = data[i + 3];
    if (alpha === 255) continue;
    for (let c = i; c < i + 3; c += 1) {
      const scaled = data[c] * alpha + 128;
      product[c] = ((scaled >> 8) + scaled) >> 8;
    }
  }
  return product;
}

/**
 * Divide colours by alpha.
 *
 * @param {Uint8Array} data (…, 4), as `premultiplied` returns it
 * @returns {Uint8Array} (…, 4), straight alpha
 */
export function straight(data) {
  return data.map((value, i) => {
    const alpha = data[i | 3];
    if ((i & 3) === 3 || alpha === 0) return value;
    return Math.min(Math.floor((255 * value) / alpha), 255);
  });
}

/**
 * The means of blocks of pixels; blocks at the right and lower edges may be smaller.
 *
 * @param {Pixels} picture
 * @param {Box} region
 * @param {number[]} factors width and height of a block
 * @returns {Pixels}
 */
function reducedByFactors(picture, [left, upper, right, lower], [xFactor, yFactor]) {
  const width = Math.ceil((right - left) / xFactor);
  const height = Math.ceil((lower - upper) / yFactor);
  const data = new Uint8Array(4 * width * height);
  const sums = new Uint32Array(4 * width);
  for (let row = 0; row < height; row += 1) {
    const top = upper + row * yFactor;
    const bottom = Math.min(top + yFactor, lower);
    sums.fill(0);
    for (let y = top; y < bottom; y += 1) addBlocks(sums, picture, y, left, right, xFactor);
    divide(sums, data, 4 * row * width, right - left, xFactor, bottom - top);
  }
  return { width, height, data };
}

/**
 * Add the pixels of a row to the sums of their blocks.
 *
 * @param {Uint32Array} sums of the channels of each block
 * @param {Pixels} picture
 * @param {number} y
 * @param {number} left
 * @param {number} right
 * @param {number} factor width of a block
 */
function addBlocks(sums, picture, y, left, right, factor) {
  const { data } = picture;
  const end = 4 * (y * picture.width + right);
  let i = 4 * (y * picture.width + left);
  for (let to = 0; i < end; to += 4) {
    const blockEnd = Math.min(i + 4 * factor, end);
    let [red, green, blue, alpha] = [0, 0, 0, 0];
    for (; i < blockEnd; i += 4) {
      red += data[i];
      green += data[i + 1];
      blue += data[i + 2];
      alpha += data[i + 3];
    }
    sums[to] += red;
    sums[to + 1] += green;
    sums[to + 2] += blue;
    sums[to + 3] += alpha;
  }
}

/**
 * Divide the sums of blocks by their areas, rounded like Pillow.
 *
 * @param {Uint32Array} sums of the channels of each block
 * @param {Uint8Array} data the result
 * @param {number} offset in the result
 * @param {number} width of all blocks, in pixels
 * @param {number} factor width of a block
 * @param {number} rows height of a block
 */
function divide(sums, data, offset, width, factor, rows) {
  for (let i = 0, x = 0; i < sums.length; x += factor) {
    const area = Math.min(factor, width - x) * rows;
    const multiplier = Math.floor(Math.fround(2 ** 32 / Math.fround(256 * area)));
    for (const end = i + 4; i < end; i += 1) data[offset + i] = Math.imul(sums[i] + (area >> 1), multiplier) >>> 24;
  }
}

/**
 * The pixels that contribute to each new pixel, and their weights.
 *
 * The edges of the region are float32 in Pillow, everything else is float64.
 *
 * @param {number} from
 * @param {number} to
 * @param {number} length of the picture along this axis
 * @param {number} newLength
 * @param {Filter} filter
 * @returns {Windows & {weights: Float64Array}}
 */
function windows(from, to, length, newLength, filter) {
  const first = Math.fround(from);
  const scale = Math.fround(Math.fround(to) - first) / newLength;
  const stretch = Math.max(scale, 1);
  const support = filter.support * stretch;
  const most = Math.ceil(support) * 2 + 1;
  const starts = new Int32Array(newLength);
  const counts = new Int32Array(newLength);
  const weights = new Float64Array(newLength * most);
  for (let i = 0; i < newLength; i += 1) {
    const centre = first + (i + 0.5) * scale;
    starts[i] = Math.max(Math.trunc(centre - support + 0.5), 0);
    counts[i] = Math.min(Math.trunc(centre + support + 0.5), length) - starts[i];
    for (let j = 0; j < counts[i]; j += 1) {
      weights[i * most + j] = filter.weigh((j + starts[i] - centre + 0.5) * (1 / stretch));
    }
    normalize(weights.subarray(i * most, i * most + counts[i]));
  }
  return { starts, counts, weights, most };
}

/** @param {Float64Array} weights changed in place, so that their sum is 1 */
function normalize(weights) {
  let total = 0;
  for (const weight of weights) total += weight;
  if (total === 0) return;
  for (let i = 0; i < weights.length; i += 1) weights[i] /= total;
}

/**
 * @param {Windows & {weights: Float64Array}} window
 * @returns {Windows}
 */
function fixedPoint(window) {
  return { ...window, weights: Int32Array.from(window.weights, (weight) => 0.5 + weight * 2 ** PRECISION_BITS) };
}

/**
 * Whether Pillow resizes columns before rows: from version 13 on, if many more rows than columns are removed.
 *
 * @param {{width: number, height: number}} picture
 * @param {[width: number, height: number]} size
 */
function isDownFirst(picture, [width, height]) {
  return picture.height - height > 2 * Math.max(picture.width - width, 0);
}

/**
 * The first pixel in any of the windows, and the one after the last.
 *
 * @param {Windows} windows
 * @returns {[number, number]}
 */
function span({ starts, counts }) {
  const last = starts.length - 1;
  return [starts[0], starts[last] + counts[last]];
}

/**
 * @param {Windows} window
 * @param {number} by
 * @returns {Windows}
 */
function movedBack(window, by) {
  return { ...window, starts: window.starts.map((start) => start - by) };
}

/**
 * Filter along the rows, from row `top` to `bottom`.
 *
 * @param {Pixels} picture
 * @param {Windows} windows
 * @param {number} top
 * @param {number} bottom
 * @returns {Pixels & {data: Uint8Array}}
 */
function weighedAcross(picture, { starts, counts, weights, most }, top, bottom) {
  const [width, height] = [starts.length, bottom - top];
  const data = new Uint8Array(4 * width * height);
  for (let y = top, to = 0; y < bottom; y += 1) {
    for (let x = 0; x < width; x += 1, to += 4) {
      weigh(picture.data, 4 * (y * picture.width + starts[x]), 4, weights, x * most, counts[x], data, to);
    }
  }
  return { width, height, data };
}

/**
 * Filter along the columns, from column `left` to `right`.
 *
 * @param {Pixels} picture
 * @param {Windows} windows
 * @param {number} left
 * @param {number} right
 * @returns {Pixels & {data: Uint8Array}}
 */
function weighedDown(picture, { starts, counts, weights, most }, left, right) {
  const [width, height] = [right - left, starts.length];
  const line = 4 * picture.width;
  const data = new Uint8Array(4 * width * height);
  for (let y = 0, to = 0; y < height; y += 1) {
    for (let x = left; x < right; x += 1, to += 4) {
      weigh(picture.data, starts[y] * line + 4 * x, line, weights, y * most, counts[y], data, to);
    }
  }
  return { width, height, data };
}

/**
 * Compute a new pixel of four channels. A box has no negative weights, so that no value exceeds 255.
 *
 * @param {Uint8Array | Uint8ClampedArray} data
 * @param {number} from index of the first pixel
 * @param {number} stride distance of the pixels
 * @param {ArrayLike<number>} weights
 * @param {number} firstWeight
 * @param {number} count
 * @param {Uint8Array} result
 * @param {number} to index in the result
 */
function weigh(data, from, stride, weights, firstWeight, count, result, to) {
  let [red, green, blue, alpha] = [HALF, HALF, HALF, HALF];
  for (let j = 0, i = from; j < count; j += 1, i += stride) {
    const weight = weights[firstWeight + j];
    red += data[i] * weight;
    green += data[i + 1] * weight;
    blue += data[i + 2] * weight;
    alpha += data[i + 3] * weight;
  }
  result[to] = red >> PRECISION_BITS;
  result[to + 1] = green >> PRECISION_BITS;
  result[to + 2] = blue >> PRECISION_BITS;
  result[to + 3] = alpha >> PRECISION_BITS;
}

/**
 * @param {FloatPlane} plane
 * @param {number} height
 * @returns {FloatPlane}
 */
function planeDown(plane, height) {
  return transposed(planeAcross(transposed(plane), height));
}

/**
 * @param {FloatPlane} plane
 * @param {number} width
 * @param {[number, number]} columns first column, and the one after the last
 * @returns {FloatPlane}
 */
function planeAcross(plane, width, columns = [0, plane.width]) {
  const { starts, counts, weights, most } = windows(...columns, plane.width, width, TRIANGLE);
  const values = new Float32Array(width * plane.height);
  for (let i = 0; i < values.length; i += 1) {
    const x = i % width;
    const from = ((i - x) / width) * plane.width + starts[x];
    let total = 0;
    for (let j = 0; j < counts[x]; j += 1) total += plane.values[from + j] * weights[x * most + j];
    values[i] = total;
  }
  return { values, height: plane.height, width };
}
