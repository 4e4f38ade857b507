/**
 * The digit's ink in a picture: `findInk`.
 *
 * Its steps are functions on small planes, in this order: `reduced`, `flattened`, `grey`, `lightInk`,
 * `withoutBackground`, `cleaned`. What is decided here, and why, is told in runtime/preprocessing/ink.py.
 *
 * @typedef {import("./morphology.js").Plane} Plane
 * @typedef {{width: number, height: number, data: Uint8Array | Uint8ClampedArray}} Picture RGBA, straight alpha
 * @typedef {Picture & {premultiplied: Uint8Array | null}} Prepared null where no pixel is transparent
 */

import {
  blurred,
  boxes,
  largest,
  opened,
  otsu,
  percentile,
  percentileOfColours,
  pieces,
  running,
  stepsAcross,
  transposed,
} from "./morphology.js";
import { GRID, mean, mixed, onGrid, rint, sum } from "./numeric.js";
import { premultiplied, resizedByBox, straight } from "./resampling.js";

const WORK_SIDE = 160;
const MIN_CONTRAST = 12;
const MIN_CONTRAST_TO_NOISE = 2.5;
const FLAT = 2 ** -6;
const MIN_SHARE = 0.04;
const MIN_PIXELS = 3;

/**
 * The ink of the one digit in a region of a picture.
 *
 * @param {Prepared} picture
 * @param {number[]} region left, upper, right, lower in pixels, the last two exclusive
 * @returns {{cut: Plane, box: number[] | null}} the ink cut to its box, float32 in 0…255, and the box in the picture's
 *   own pixels; null where nothing stands out
 */
export function findInk(picture, region) {
  let levels = levelsOf(picture, region);
  const sheet = sheetIn(levels);
  if (sheet !== null) {
    region = inPicture(sheet, region, levels);
    levels = levelsOf(picture, region);
  }
  const digit = cleaned(withoutBackground(levels), grainOf(levels));
  const solid = above(digit, Math.fround(0.15) * largest(digit.values));
  if (!solid.values.includes(1)) return { cut: { values: new Float32Array(0), height: 0, width: 0 }, box: null };
  const box = bounds(solid);
  return { cut: cutOut(digit, box), box: inPicture(box, region, digit) };
}

/**
 * The picture as everything here takes it; colours are multiplied by alpha once, and only if there is any.
 *
 * @param {Picture} picture
 * @returns {Prepared}
 * @throws {RangeError} if the data are not width × height × 4 values
 */
export function withoutIdleAlpha({ width, height, data }) {
  if (!(width > 0 && height > 0) || data.length !== 4 * width * height) {
    throw new RangeError(`${data.length} values are no RGBA picture of ${width}×${height} pixels`);
  }
  return { width, height, data, premultiplied: isOpaque(data) ? null : premultiplied(data) };
}

/**
 * A region of the picture, its longer side at most `WORK_SIDE`.
 *
 * @param {Prepared} picture
 * @param {number[]} region left, upper, right, lower
 * @returns {Prepared}
 */
export function reduced(picture, region) {
  const [width, height] = [region[2] - region[0], region[3] - region[1]];
  const scale = Math.min(1, WORK_SIDE / Math.max(width, height));
  return resized(picture, region, [Math.max(1, rint(width * scale)), Math.max(1, rint(height * scale))]);
}

/**
 * A region of the picture brought to a size; pixels are about means.
 *
 * @param {Prepared} picture
 * @param {number[]} region left, upper, right, lower
 * @param {number[]} size width, height
 * @returns {Prepared}
 */
export function resized(picture, region, size) {
  const { width, height, data, premultiplied: product } = picture;
  if ([0, 0, ...size].every((side, i) => side === region[i]) && size[0] === width && size[1] === height) return picture;
  const small = resizedByBox({ width, height, data: product ?? data }, region, size);
  return product === null
    ? { ...small, premultiplied: null }
    : { ...small, data: straight(small.data), premultiplied: small.data };
}

/**
 * The picture on an opaque ground.
 *
 * Where most is transparent, the rest is the ink and the ground its contrast, black or white. Where most is opaque,
 * the paper came with the picture, and its colour goes under the transparent parts.
 *
 * @param {Prepared} picture
 * @returns {Plane} float32, (H, W, 3)
 */
export function flattened({ width, height, data, premultiplied: product }) {
  const colours = new Float32Array(3 * width * height);
  for (let i = 0, c = 0; c < colours.length; i += 1) if ((i & 3) !== 3) colours[c++] = data[i];
  const values = product === null ? colours : onGround(colours, alphaOf(data));
  return { values, height, width };
}

/**
 * The mix of the three channels in which the ink stands out most: the main axis of the colours' local differences.
 *
 * @param {Plane} colours float32, (H, W, 3)
 * @returns {Plane} float32, (H, W) in 0…255
 */
export function grey(colours) {
  const coarse = halved(colours);
  const around = blurred(coarse, Math.max(coarse.height, coarse.width) >> 3);
  const local = quarters(coarse.values.map((value, i) => value - around.values[i]));
  const weights = weightsAlong(mainAxis(covariance(local)));
  const lowest = 255 * sum(weights.map((weight) => Math.min(weight, 0)));
  const { height, width } = colours;
  return { values: onGrid(mixed(colours, weights).map((level) => level - lowest)), height, width };
}

function levelsOf(picture, region) {
  return lightInk(grey(flattened(reduced(picture, region))));
}

function isOpaque(data) {
  for (let i = 3; i < data.length; i += 4) if (data[i] !== 255) return false;
  return true;
}

function alphaOf(data) {
  return new Float32Array(data.length / 4).map((_, i) => data[4 * i + 3] / 255);
}

/** Differences of levels in whole quarters: sums of their products are exact. */
function quarters(differences) {
  return Float64Array.from(differences, (value) => rint(Math.fround(value * 4)));
}

function onGround(colours, alpha) {
  const inked = colours.map((value, i) => value * alpha[Math.floor(i / 3)]);
  const opaque = colours.filter((_, i) => alpha[Math.floor(i / 3)] > 0.5);
  if ((2 * opaque.length) / 3 > alpha.length) return onPaper(inked, alpha, percentileOfColours(opaque, 50));
  const brightness = sum(onGrid(inked)) / Math.max((3 * sum(alpha.map((share) => rint(share * 255)))) / 255, 1e-6);
  const ground = brightness > 127 ? 0 : 255;
  return onGrid(Float64Array.from(inked, (value, i) => value + ground * Math.fround(1 - alpha[Math.floor(i / 3)])));
}

function onPaper(inked, alpha, paper) {
  return onGrid(
    inked.map((value, i) => value + Math.fround(paper[i % 3] * Math.fround(1 - alpha[Math.floor(i / 3)]))),
  );
}

/** Every second pixel of every second row. */
function halved({ values, height, width }) {
  const half = { height: (height + 1) >> 1, width: (width + 1) >> 1 };
  const coarse = new Float32Array(3 * half.height * half.width);
  for (let y = 0, i = 0; y < height; y += 2) {
    for (let x = 0; x < width; x += 2, i += 3) {
      const from = 3 * (y * width + x);
      coarse.set(values.subarray(from, from + 3), i);
    }
  }
  return { values: coarse, ...half };
}

function covariance(local) {
  let [rr, rg, rb, gg, gb, bb] = [0, 0, 0, 0, 0, 0];
  for (let i = 0; i < local.length; i += 3) {
    const [red, green, blue] = [local[i], local[i + 1], local[i + 2]];
    rr += red * red;
    rg += red * green;
    rb += red * blue;
    gg += green * green;
    gb += green * blue;
    bb += blue * blue;
  }
  const [a, b, c, d, e, f] = [rr, rg, rb, gg, gb, bb].map((value) => value + FLAT);
  return [
    [a, b, c],
    [b, d, e],
    [c, e, f],
  ];
}

/** An axis as weights on the grid whose sizes sum to 1 and which sum to no less than 0. */
function weightsAlong(axis) {
  const steps = axis.map((part) => rint((part * GRID) / sum(axis.map(Math.abs))));
  const sizes = steps.map(Math.abs);
  const heaviest = sizes.indexOf(Math.max(...sizes));
  steps[heaviest] += Math.sign(steps[heaviest]) * (GRID - sum(sizes));
  const lightens = sum(steps) > 0 || (sum(steps) === 0 && steps[heaviest] > 0);
  return steps.map((step) => (lightens ? step : -step) / GRID);
}

/** The eigenvector of the largest eigenvalue of a symmetric matrix, by Jacobi's rotations. */
function mainAxis(matrix) {
  const axes = [
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
  ];
  for (let sweep = 0; sweep < 12; sweep += 1) {
    for (const [p, q] of [[0, 1], [0, 2], [1, 2]]) rotate(matrix, axes, p, q);
  }
  const values = matrix.map((row, i) => row[i]);
  return axes.map((row) => row[values.indexOf(Math.max(...values))]);
}

/** Turns the axes p and q so that they no longer covary. */
function rotate(matrix, axes, p, q) {
  if (matrix[p][q] === 0) return;
  const half = (matrix[q][q] - matrix[p][p]) / (2 * matrix[p][q]);
  const tangent = (half < 0 ? -1 : 1) / (Math.abs(half) + Math.hypot(half, 1));
  const cosine = 1 / Math.hypot(tangent, 1);
  const sine = tangent * cosine;
  const turn = (row) => [row[p], row[q]] = [cosine * row[p] - sine * row[q], sine * row[p] + cosine * row[q]];
  matrix.forEach(turn);
  axes.forEach(turn);
  [matrix[p], matrix[q]] = [
    matrix[p].map((value, i) => cosine * value - sine * matrix[q][i]),
    matrix[p].map((value, i) => sine * value + cosine * matrix[q][i]),
  ];
}

/**
 * The same picture with the ink lighter than its ground: inverted if the ground is light.
 *
 * @param {Plane} levels float32, (H, W)
 * @returns {Plane} float32, (H, W)
 */
export function lightInk(levels) {
  const light = above(levels, otsu(levels.values));
  if (!(borderIsEven(levels, light) ? shareOf(border(light)) > 0.5 : differsByBeingDarker(levels))) return levels;
  return { ...levels, values: levels.values.map((level) => 255 - level) };
}

/**
 * How much lighter each pixel is than the paper around it: uneven light and shadows are gone.
 *
 * @param {Plane} levels float32, (H, W)
 * @returns {Plane} float32, (H, W)
 */
export function withoutBackground(levels) {
  const width = Math.floor(longerSide(levels) / 3) | 1;
  const paper = opened(blurred(levels, 1), width, width);
  return { ...levels, values: levels.values.map((level, i) => Math.max(level - paper.values[i], 0)) };
}

/**
 * Only what belongs to the digit: 0 elsewhere, all 0 if there is no digit.
 *
 * @param {Plane} ink float32, (H, W), as `withoutBackground` returns it
 * @param {number} grain how much neighbouring pixels of the paper differ, in levels
 * @returns {Plane} float32, (H, W)
 */
export function cleaned(ink, grain) {
  const smooth = blurred(ink, Math.floor(longerSide(ink) / 100));
  const threshold = otsu(smooth.values);
  const rules = rulesIn(above(smooth, 0.3 * threshold));
  const mask = without(above(smooth, 0.7 * threshold), rules);
  const { numbered, count } = pieces(mask);
  const nothing = { ...ink, values: new Float32Array(ink.values.length) };
  if (count === 0) return nothing;
  const weights = weightsOf(smooth, numbered, count);
  const onBorder = countsOf(border({ ...ink, values: numbered }), count);
  const kept = digitPieces(boxes(numbered, count, ink.width), weights, onBorder);
  const digit = { ...mask, values: mask.values.map((_, i) => (numbered[i] && kept[numbered[i] - 1] ? 1 : 0)) };
  if (!standsOut(smooth, digit, mask, grain)) return nothing;
  const near = running("maximum", digit, 3, 3);
  return { ...ink, values: ink.values.map((value, i) => (near.values[i] ? value : 0)) };
}

/** Whether the ink is dark: what differs from its surroundings in few pixels but strongly. */
function differsByBeingDarker(levels) {
  const around = blurred(levels, longerSide(levels) >> 3);
  const local = quarters(levels.values.map((level, i) => level - around.values[i]));
  return sum(local.map((value) => value * value * value)) < 0;
}

/** The box of a sheet of paper on a darker table, or of a card: a solid, wide piece where ink would be expected. */
function sheetIn(levels) {
  const light = above(levels, otsu(levels.values));
  if (!borderIsEven(levels, light)) return null;
  const { numbered, count } = pieces(light);
  if (count === 0) return null;
  const sizes = countsOf(numbered, count);
  const box = boxes(numbered, count, levels.width)[sizes.indexOf(largest(sizes))];
  const [left, upper, right, lower] = box;
  const [width, height] = [right - left, lower - upper];
  if (Math.min(width, height) < 0.4 * longerSide(levels) || shareOf(cutOut(light, box).values) < 0.75) return null;
  const inset = Math.floor(Math.max(width, height) / 30);
  return [left + inset, upper + inset, right - inset, lower - inset];
}

function shareOf(mask) {
  return mask.reduce((total, value) => total + value, 0) / mask.length;
}

function border({ values, height, width }) {
  const edge = new values.constructor(2 * (height + width));
  edge.set(values.subarray(0, width));
  edge.set(values.subarray(values.length - width), width);
  for (let y = 0; y < height; y += 1) {
    edge[2 * width + y] = values[y * width];
    edge[2 * width + height + y] = values[(y + 1) * width - 1];
  }
  return edge;
}

/** Whether the border varies little beside the picture's contrast: no gradient, no half shadow. */
function borderIsEven(levels, isLight) {
  const light = selected(levels.values, isLight.values);
  if (light.length === 0 || light.length === levels.values.length) return true;
  const contrast = mean(light) - mean(selected(levels.values, isLight.values, 0));
  const edge = border(levels);
  return percentile(edge, 75) - percentile(edge, 25) < 0.25 * contrast;
}

/** The standard deviation of the paper's noise, from the median difference of neighbours: strokes do not count. */
function grainOf(levels) {
  return levels.width > 1 ? 1.05 * percentile(stepsAcross(levels), 50) : 0;
}

/** The pixels of ruled lines, along and across, that a mask holds. */
function rulesIn(mask) {
  return either(rulesAlong(mask), transposed(rulesAlong(transposed(mask))));
}

/** The pixels of thin, nearly horizontal lines, if they reach from edge to edge and well beyond everything else. */
function rulesAlong(mask) {
  const tolerance = 5;
  const stroke = Math.floor(longerSide(mask) / 25) | 1;
  const lines = opened(running("maximum", mask, tolerance, 1), 1, Math.floor(0.45 * mask.width) | 1);
  const rules = without(both(mask, lines), opened(mask, stroke, 1));
  const columns = columnsWithAny(rules);
  const rest = columnsWithAny(without(mask, rules));
  const across =
    columns.length / mask.width > 0.9 && rest.length > 0 && rest[rest.length - 1] - rest[0] < 0.8 * mask.width;
  return across ? rules : { ...mask, values: new Uint8Array(mask.values.length) };
}

function weightsOf(smooth, numbered, count) {
  const weights = new Float64Array(count);
  const across = nearnessToMiddle(smooth.width);
  const down = nearnessToMiddle(smooth.height);
  for (let y = 0, i = 0; y < smooth.height; y += 1) {
    for (let x = 0; x < smooth.width; x += 1, i += 1) {
      if (!numbered[i]) continue;
      const centredness = Math.fround(Math.min(1, down[y], across[x]));
      weights[numbered[i] - 1] += Math.fround(smooth.values[i] * centredness);
    }
  }
  return weights;
}

/** 1 and more, falling to 0 over the outermost tenth: where tables, shadows and spirals are. */
function nearnessToMiddle(length) {
  return new Float64Array(length).map((_, i) => Math.min(i + 0.5, length - i - 0.5) / (0.1 * length));
}

function countsOf(numbers, count) {
  const counts = new Int32Array(count);
  for (const number of numbers) if (number) counts[number - 1] += 1;
  return counts;
}

/**
 * Which of the pieces are the digit: the heaviest, and step by step what lies close to those taken.
 *
 * @param {number[][]} pieceBoxes left, upper, right, lower of each
 * @param {Float64Array} weights ink by centredness
 * @param {Int32Array} borderPixels how many of a piece's pixels lie on the picture's border
 * @returns {boolean[]}
 */
function digitPieces(pieceBoxes, weights, borderPixels) {
  const alongBorder = pieceBoxes.map(
    ([left, upper, right, lower], i) => borderPixels[i] > 0.6 * Math.max(right - left, lower - upper),
  );
  const centralWeights = weights.map((weight, i) => (alongBorder[i] ? 0.05 * weight : weight));
  const heaviest = centralWeights.indexOf(largest(centralWeights));
  let taken = pieceBoxes.map((_, i) => i === heaviest);
  let possible = pieceBoxes.map(
    (_, i) =>
      weights[i] > 0.02 * weights[heaviest] && !alongBorder[i] && (borderPixels[i] === 0 || borderPixels[heaviest] > 0),
  );
  for (;;) {
    const around = joined(pieceBoxes.filter((_, i) => taken[i]));
    const reach = 0.2 * Math.max(around[2] - around[0], around[3] - around[1]);
    possible = possible.map((can, i) => can && !encloses(pieceBoxes[i], around));
    const more = taken.map((has, i) => has || (possible[i] && gap(pieceBoxes[i], around) <= reach));
    if (more.every((has, i) => has === taken[i])) return taken;
    taken = more;
  }
}

function joined(some) {
  return [0, 1, 2, 3].map((side) =>
    some.map((box) => box[side]).reduce(side < 2 ? (a, b) => Math.min(a, b) : (a, b) => Math.max(a, b)),
  );
}

function encloses(one, other) {
  return one[0] < other[0] && one[1] < other[1] && one[2] > other[2] && one[3] > other[3];
}

function gap(one, other) {
  return Math.max(one[0] - other[2], other[0] - one[2], one[1] - other[3], other[1] - one[3]);
}

/** Whether the digit is more than the paper's grain, and more than a speck. */
function standsOut(ink, digit, mask, grain) {
  const [left, upper, right, lower] = bounds(digit);
  const paper = selected(ink.values, mask.values, 0);
  const contrast = mean(selected(ink.values, digit.values)) - (paper.length ? mean(paper) : 0);
  const isLarge = Math.max(right - left, lower - upper) > Math.max(MIN_PIXELS, MIN_SHARE * longerSide(ink));
  return isLarge && contrast > Math.max(MIN_CONTRAST, MIN_CONTRAST_TO_NOISE * grain);
}

function longerSide({ height, width }) {
  return Math.max(height, width);
}

/** The mask of what is above a threshold, which numpy brings to float32 first. */
function above({ values, height, width }, threshold) {
  const least = Math.fround(threshold);
  const mask = new Uint8Array(values.length);
  for (let i = 0; i < mask.length; i += 1) mask[i] = values[i] > least ? 1 : 0;
  return { values: mask, height, width };
}

/** The values where a mask is 1, or where it is 0. */
function selected(values, mask, wanted = 1) {
  const found = new Float32Array(values.length);
  let count = 0;
  for (let i = 0; i < mask.length; i += 1) if (mask[i] === wanted) found[count++] = values[i];
  return found.subarray(0, count);
}

function both(one, other) {
  const values = one.values.slice();
  for (let i = 0; i < values.length; i += 1) values[i] &= other.values[i];
  return { ...one, values };
}

function either(one, other) {
  const values = one.values.slice();
  for (let i = 0; i < values.length; i += 1) values[i] |= other.values[i];
  return { ...one, values };
}

function without(one, other) {
  const values = one.values.slice();
  for (let i = 0; i < values.length; i += 1) values[i] &= ~other.values[i];
  return { ...one, values };
}

function columnsWithAny({ values, width }) {
  const any = new Uint8Array(width);
  for (let i = 0; i < values.length; i += 1) if (values[i]) any[i % width] = 1;
  return [...any.keys()].filter((x) => any[x]);
}

function cutOut({ values, width }, [left, upper, right, lower]) {
  const cut = new values.constructor((right - left) * (lower - upper));
  for (let y = upper; y < lower; y += 1) {
    cut.set(values.subarray(y * width + left, y * width + right), (y - upper) * (right - left));
  }
  return { values: cut, height: lower - upper, width: right - left };
}

/**
 * The box of a mask that is not empty.
 *
 * @param {Plane} mask (H, W)
 * @returns {number[]} left, upper, right, lower, the last two exclusive
 */
export function bounds({ values, width }) {
  return boxes(values, 1, width)[0];
}

/** A box of the reduction of a region, in the picture's own pixels. */
function inPicture(box, region, { height, width }) {
  const [xScale, yScale] = [(region[2] - region[0]) / width, (region[3] - region[1]) / height];
  const [right, lower] = [region[0] + Math.ceil(box[2] * xScale), region[1] + Math.ceil(box[3] * yScale)];
  return [
    region[0] + Math.floor(box[0] * xScale),
    region[1] + Math.floor(box[1] * yScale),
    Math.min(right, region[2]),
    Math.min(lower, region[3]),
  ];
}
