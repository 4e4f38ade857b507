/**
 * Search of the written lines of a picture: `findLines`. runtime/reader/lines.py gives the reasons for the method.
 *
 * @typedef {import("./ink.js").Prepared} Prepared
 * @typedef {import("./morphology.js").Box} Box
 * @typedef {import("./morphology.js").Mask} Mask
 * @typedef {{box: Box, slope: number, parts: number}} FoundLine the box of its ink in pixels of the picture, how many
 *   pixels it falls for each pixel to the right, and the number of its components of the size of digits
 */

import {
  LINES_BORDER_SHARE,
  LINES_FIELD_ASPECT,
  LINES_FIELD_SHARE,
  LINES_MAX_ASPECT,
  LINES_MAX_FRAME_FILL,
  LINES_MAX_GAP,
  LINES_MAX_HEIGHT_RATIO,
  LINES_MAX_LINES,
  LINES_MAX_SHIFT,
  LINES_MAX_SLOPE,
  LINES_MAX_UPRIGHT_ASPECT,
  LINES_MIN_FRAMED,
  LINES_MIN_HEIGHT,
  LINES_MIN_HEIGHT_SHARE,
  LINES_MIN_INSIDE,
  LINES_MIN_LINE_SHARE,
  LINES_MIN_PAGE_SIDE,
  LINES_MIN_PIXELS,
  LINES_MIN_RULE_PIXELS,
  LINES_MIN_SLOPE,
  LINES_NEAR_SHARE,
  LINES_SEARCH_SIDE,
  LINES_SIDE_ASPECT,
  LINES_SIDE_HEIGHT,
  LINES_SPLIT_GAPS,
  LINES_SPLIT_HEIGHTS,
} from "./constants.js";
import { grey, resized } from "./ink.js";
import { boxes, pieces } from "./morphology.js";
import { mean, rint, sum } from "./numeric.js";
import { inkMask } from "./page_ink.js";
import { border } from "./planes.js";
import { lightInk } from "./polarity.js";
import { flattened } from "./transparency.js";

/**
 * Find the lines of writing, from top to bottom.
 *
 * @param {Prepared} picture
 * @returns {FoundLine[]}
 */
export function findLines(picture) {
  const { width, height } = picture;
  const whole = /** @type {Box} */ ([0, 0, width, height]);
  if (Math.min(width, height) < LINES_MIN_PAGE_SIDE) return [{ box: whole, slope: 0, parts: 1 }];
  const scale = Math.min(1, LINES_SEARCH_SIDE / Math.max(width, height));
  const size = /** @type {[number, number]} */ ([width, height].map((side) => Math.max(1, rint(side * scale))));
  const levels = lightInk(grey(flattened(resized(picture, whole, size))), false);
  const lines = chained(componentsOf(inkMask(levels)), Math.max(...size));
  const isField = lines.some((line) => heightOf(line.box) >= LINES_FIELD_SHARE * size[1] && !isPrintedBox(line));
  if (isField && size[0] >= LINES_FIELD_ASPECT * size[1]) {
    return [{ box: whole, slope: 0, parts: Math.max(...lines.map(({ parts }) => parts)) }];
  }
  const [x, y] = [width / size[0], height / size[1]];
  return lines.map(({ box: [left, upper, right, lower], slope, parts }) => ({
    box: [
      Math.trunc(left * x),
      Math.trunc(upper * y),
      Math.min(Math.ceil(right * x), width),
      Math.min(Math.ceil(lower * y), height),
    ],
    slope: (slope * y) / x,
    parts,
  }));
}

/**
 * @param {Mask} mask
 * @returns {Box[]} the boxes of the components that may be parts of characters
 */
function componentsOf(mask) {
  const { numbered, count } = pieces(mask);
  const found = boxes(numbered, count, mask.width);
  const area = countsOf(numbered, count);
  const onBorder = countsOf(border({ ...mask, values: numbered }), count);
  return found.filter((box, i) => {
    const [width, height] = [box[2] - box[0], box[3] - box[1]];
    const isEdge = onBorder[i] > LINES_BORDER_SHARE * Math.max(width, height);
    const isRule = width > LINES_MAX_ASPECT * height || height > LINES_MAX_UPRIGHT_ASPECT * width;
    const isFrame = area[i] < LINES_MAX_FRAME_FILL * width * height && found.some((other) => isFramed(other, box));
    return !isEdge && !isFrame && !(isRule && area[i] > LINES_MIN_RULE_PIXELS) && area[i] > LINES_MIN_PIXELS;
  });
}

/** @param {Box} one @param {Box} frame */
function isFramed(one, frame) {
  const isInside = one[0] > frame[0] && one[1] > frame[1] && one[2] < frame[2] && one[3] < frame[3];
  return isInside && heightOf(one) >= Math.max(LINES_MIN_HEIGHT, LINES_MIN_FRAMED * heightOf(frame));
}

/**
 * @param {Int32Array} numbered
 * @param {number} count of components
 * @returns {Float64Array} number of pixels of each
 */
function countsOf(numbered, count) {
  const counts = new Float64Array(count + 1);
  for (let i = 0; i < numbered.length; i += 1) counts[numbered[i]] += 1;
  return counts.subarray(1);
}

/**
 * @param {Box[]} parts
 * @param {number} longer side of the mask
 * @returns {FoundLine[]} in pixels of the mask
 */
function chained(parts, longer) {
  const least = Math.max(LINES_MIN_HEIGHT, LINES_MIN_HEIGHT_SHARE * longer);
  const digits = parts.filter((box) => heightOf(box) >= least);
  const small = parts.filter((box) => heightOf(box) < least);
  const chains = merged(chainsOf(digits).flatMap((chain) => split(withoutSides(chain))));
  if (!chains.length) return [];
  const highest = Math.max(...chains.map((chain) => Math.trunc(medianHeight(chain))));
  const lines = chains
    .filter((chain) => medianHeight(chain) >= LINES_MIN_LINE_SHARE * highest)
    .map((chain) => ({ chain, weight: sum(chain.map((box) => (box[2] - box[0]) * heightOf(box))) }))
    .sort((one, other) => other.weight - one.weight)
    .slice(0, LINES_MAX_LINES)
    .map(({ chain }) => lineOf(chain, small));
  return inReadingOrder(lines);
}

/**
 * @param {FoundLine} line
 * @returns {boolean} whether it may be the tinted box of a form: one component, much wider than a digit
 */
function isPrintedBox({ box, parts }) {
  return parts === 1 && box[2] - box[0] >= LINES_FIELD_ASPECT * heightOf(box);
}

/**
 * Rows from top to bottom, and the lines of each from left to right. A line is in the row of another one if its middle
 * is between the upper and the lower edge of the row's first line.
 *
 * @param {FoundLine[]} lines
 * @returns {FoundLine[]}
 */
function inReadingOrder(lines) {
  /** @type {FoundLine[][]} */
  const rows = [];
  const middleOf = (/** @type {FoundLine} */ { box }) => (box[1] + box[3]) / 2;
  for (const line of lines.sort((one, other) => middleOf(one) - middleOf(other) || one.box[0] - other.box[0])) {
    const row = rows.at(-1);
    if (row && middleOf(line) < row[0].box[3]) row.push(line);
    else rows.push([line]);
  }
  return rows.flatMap((row) => row.sort((one, other) => one.box[0] - other.box[0]));
}

/**
 * @param {Box[]} digits
 * @returns {Box[][]} groups of boxes beside each other
 */
function chainsOf(digits) {
  const parent = [...digits.keys()];
  const root = (/** @type {number} */ one) => {
    while (parent[one] !== one) one = parent[one] = parent[parent[one]];
    return one;
  };
  digits.forEach((one, i) => {
    digits.forEach((other, j) => {
      if (areBeside(one, other)) parent[root(j)] = root(i);
    });
  });
  /** @type {Map<number, Box[]>} */
  const groups = new Map();
  digits.forEach((box, i) => groups.set(root(i), [...(groups.get(root(i)) ?? []), box]));
  return [...groups.values()];
}

/** @param {Box} one @param {Box} other */
function areBeside(one, other) {
  const heights = [heightOf(one), heightOf(other)];
  const [lower, taller] = [Math.min(...heights), Math.max(...heights)];
  const gap = Math.max(other[0] - one[2], one[0] - other[2]);
  const shift = Math.abs(one[1] + one[3] - other[1] - other[3]) / 2;
  return gap <= LINES_MAX_GAP * taller && shift <= LINES_MAX_SHIFT * taller && taller <= LINES_MAX_HEIGHT_RATIO * lower;
}

/** @param {Box[]} chain @returns {Box[]} without the sides of a box around the digits */
function withoutSides(chain) {
  const middle = medianHeight(chain);
  return chain.filter(
    (box) => !(heightOf(box) > LINES_SIDE_HEIGHT * middle && heightOf(box) > LINES_SIDE_ASPECT * (box[2] - box[0])),
  );
}

/**
 * @param {Box[]} chain
 * @returns {Box[][]} its numbers: those that are much further apart than the digits of each
 */
function split(chain) {
  const sorted = [...chain].sort((one, other) => one[0] - other[0]);
  let reach = sorted[0]?.[2] ?? 0;
  const gaps = sorted.slice(1).map((box) => {
    const gap = box[0] - reach;
    reach = Math.max(reach, box[2]);
    return gap;
  });
  if (gaps.length < 2) return [sorted];
  const limit = Math.max(LINES_SPLIT_HEIGHTS * medianHeight(chain), LINES_SPLIT_GAPS * Math.max(0, median(gaps)));
  const parts = [[sorted[0]]];
  gaps.forEach((gap, i) => {
    if (gap > limit) parts.push([]);
    parts[parts.length - 1].push(sorted[i + 1]);
  });
  return parts;
}

/**
 * @param {Box[][]} chains
 * @returns {Box[][]} those that are mostly inside the box of another one are joined to it
 */
function merged(chains) {
  const kept = /** @type {Box[][]} */ ([]);
  for (const chain of chains.map((each) => each).sort((one, other) => area(boundsOf(other)) - area(boundsOf(one)))) {
    const box = boundsOf(chain);
    const place = kept.findIndex((other) => {
      const [left, upper, right, lower] = boundsOf(other);
      const near = LINES_NEAR_SHARE * (lower - upper);
      const outer = /** @type {Box} */ ([left - near, upper - near, right + near, lower + near]);
      return overlap(box, outer) > LINES_MIN_INSIDE * area(box);
    });
    if (place < 0) kept.push(chain);
    else kept[place] = [...kept[place], ...chain];
  }
  return kept;
}

/**
 * @param {Box[]} chain
 * @param {Box[]} small components
 * @returns {FoundLine}
 */
function lineOf(chain, small) {
  const [left, upper, right, lower] = boundsOf(chain);
  const near = LINES_NEAR_SHARE * (lower - upper);
  const inside = small.filter(
    (box) => box[0] >= left - near && box[2] <= right + 2 * near && box[1] >= upper - near && box[3] <= lower + near,
  );
  return { box: boundsOf([...chain, ...inside]), slope: slopeOf(chain), parts: chain.length };
}

/** @param {Box[]} chain @returns {number} the slope of the line through the middles of at least three digits */
function slopeOf(chain) {
  if (chain.length < 3) return 0;
  const [x, y] = [0, 1].map((side) => chain.map((box) => (box[side] + box[side + 2]) / 2));
  const [xMean, yMean] = [mean(x), mean(y)];
  const spread = sum(x.map((value) => (value - xMean) ** 2));
  const slope = spread ? sum(x.map((value, i) => (value - xMean) * (y[i] - yMean))) / spread : 0;
  return Math.abs(slope) >= LINES_MIN_SLOPE && Math.abs(slope) <= LINES_MAX_SLOPE ? slope : 0;
}

/** @param {Box} box */
function heightOf(box) {
  return box[3] - box[1];
}

/** @param {Box[]} chain */
function medianHeight(chain) {
  return median(chain.map(heightOf));
}

/** @param {number[]} values */
function median(values) {
  const sorted = [...values].sort((one, other) => one - other);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** @param {Box[]} parts @returns {Box} */
function boundsOf(parts) {
  const [left, upper] = [0, 1].map((side) => Math.min(...parts.map((box) => box[side])));
  const [right, lower] = [2, 3].map((side) => Math.max(...parts.map((box) => box[side])));
  return [left, upper, right, lower];
}

/** @param {Box} box */
function area([left, upper, right, lower]) {
  return Math.max(0, right - left) * Math.max(0, lower - upper);
}

/** @param {Box} one @param {Box} other */
function overlap(one, other) {
  return area([
    Math.max(one[0], other[0]),
    Math.max(one[1], other[1]),
    Math.min(one[2], other[2]),
    Math.min(one[3], other[3]),
  ]);
}
