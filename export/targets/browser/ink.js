/**
 * Detection of the ink of a digit in a picture: `findInk`.
 *
 * The steps are functions of small planes, applied in this order: `reduced`, `flattened`, `grey`, `lightInk`,
 * `withoutBackground`, `withoutRules`, `cleaned`. runtime/preprocessing/ink.py gives the reasons for the method.
 *
 * @typedef {import("./morphology.js").Box} Box
 * @typedef {import("./morphology.js").FloatPlane} FloatPlane
 * @typedef {import("./morphology.js").Mask} Mask
 * @typedef {{width: number, height: number, data: Uint8Array | Uint8ClampedArray}} Picture RGBA, straight alpha
 * @typedef {Picture & {premultiplied: Uint8Array | null}} Prepared null if no pixel is transparent
 * @typedef {{
 *   raised: FloatPlane,
 *   noise: number,
 *   region: Box,
 *   margin: number,
 *   cut: FloatPlane,
 *   box: Box | null,
 *   boxes: Box[],
 * }} Ink the difference of each pixel from the paper around it, 0…255; the paper's noise; the region and the margin
 *   around it; the ink cropped to its bounding box; the box in pixels of the picture, null if no ink was found; and the
 *   boxes of the digits
 * @typedef {{noise: number, margin: number, isCrop: boolean, isTextured: boolean}} Paper the standard deviation of its
 *   noise in levels; the width of the margin that was added around the picture; whether the picture is a crop of a
 *   digit, and has a pattern
 */

/**
 * @template {import("./morphology.js").Values} A
 * @typedef {import("./morphology.js").PlaneOf<A>} PlaneOf
 */

import {
  BORDER_COMPONENT_SHARE,
  BORDER_COMPONENT_WEIGHT,
  BOX_THRESHOLD,
  COLOUR_STRIDE,
  COVARIANCE_OFFSET,
  DIGIT_DILATION,
  EDGE_SHARE,
  GRID,
  INK_THRESHOLD,
  MAX_COMPONENT_GAP,
  MEDIAN,
  MIN_COMPONENT_WEIGHT,
  MIN_CONTRAST,
  MIN_CONTRAST_TO_NOISE,
  MIN_CROP_COVERAGE,
  MIN_PART_WEIGHT,
  MIN_PIXELS,
  MIN_SHARE,
  MIN_SHEET_FILL,
  MIN_SHEET_SHARE,
  NOISE_PER_DIFFERENCE,
  PAPER_BLUR_RADIUS,
  PAPER_SIDE_DIVISOR,
  SHEET_INSET_DIVISOR,
  SMOOTHING_DIVISOR,
  TEXTURED_COMPONENT_WEIGHT,
  TEXTURED_INK_THRESHOLD,
  WORK_SIDE,
} from "./constants.js";
import {
  blurred,
  boxes,
  largest,
  opened,
  otsu,
  percentile,
  pieces,
  running,
  stepsAcross,
} from "./morphology.js";
import { asCrop, framedBy, groundOf } from "./crops.js";
import { mean, mixed, onGrid, rint, sum } from "./numeric.js";
import { above, border, cutOut, longerSide, selected, shareOf } from "./planes.js";
import { borderIsEven, isCrop, isTight, lightInk, roundedDifferences } from "./polarity.js";
import { resizedByBox, straight } from "./resampling.js";
import { withoutRules } from "./rules.js";
import { separateDigits } from "./separate_digits.js";
import { flattened, inkMargin, padded } from "./transparency.js";

/** @type {Paper} */
const noPaper = { noise: 0, margin: 0, isCrop: false, isTextured: false };

/**
 * Find the ink of the one digit in a region of a picture.
 *
 * @param {Prepared} picture
 * @param {Box} region in pixels
 * @returns {Ink}
 */
export function findInk(picture, region) {
  let { levels, margin, isTightPage } = levelsOf(picture, region);
  const sheet = isCrop(levels) ? null : sheetIn(levels);
  if (sheet !== null) {
    region = inPicture(sheet, region, levels, margin);
    ({ levels, margin, isTightPage } = levelsOf(picture, region));
  }
  let [raised, paper] = [levels, noPaper];
  if (isCrop(levels)) {
    ({ levels, raised, paper } = raisedCrop(levels, margin === 0));
    margin += paper.margin;
  } else {
    paper = { ...noPaper, noise: noiseOf(levels) };
    raised = withoutRules(withoutBackground(levels, isTightPage ? groundOf(levels) : null));
  }
  const { noise } = paper;
  const { digit, parts } = cleaned(raised, paper);
  const found = { raised, noise, region, margin };
  const solid = above(digit, Math.fround(BOX_THRESHOLD) * largest(digit.values));
  if (!solid.values.includes(1)) {
    return { ...found, cut: { values: new Float32Array(0), height: 0, width: 0 }, box: null, boxes: [] };
  }
  const box = bounds(solid);
  const [whole, ...digits] = [box, ...parts].map((each) => inPicture(each, region, digit, margin));
  return { ...found, cut: cutOut(digit, box), box: whole, boxes: digits.length ? digits : [whole] };
}

/**
 * Crop a region and reduce its longer side to at most `WORK_SIDE` pixels.
 *
 * @param {Prepared} picture
 * @param {Box} region in pixels
 * @returns {Prepared}
 */
export function reduced(picture, region) {
  const [width, height] = [region[2] - region[0], region[3] - region[1]];
  const scale = Math.min(1, WORK_SIDE / Math.max(width, height));
  return resized(picture, region, [Math.max(1, rint(width * scale)), Math.max(1, rint(height * scale))]);
}

/**
 * Crop a region and resize it; a new pixel is about the mean of the pixels it covers.
 *
 * @param {Prepared} picture
 * @param {Box} region in pixels
 * @param {[width: number, height: number]} size
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
 * Convert to grey with the channel weights that give the ink the most contrast: the first principal axis of the local
 * colour differences.
 *
 * @param {FloatPlane} colours (H, W, 3)
 * @returns {FloatPlane} (H, W) in 0…255
 */
export function grey(colours) {
  const local = roundedDifferences(strided(colours));
  const weights = weightsAlong(mainAxis(covariance(local)));
  const lowest = 255 * sum(weights.map((weight) => Math.min(weight, 0)));
  const { height, width } = colours;
  return { values: onGrid(mixed(colours, weights).map((level) => level - lowest)), height, width };
}

/**
 * @param {Prepared} picture
 * @param {Box} region
 * @returns {boolean} whether the region is the complete picture
 */
function isComplete({ width, height }, region) {
  return [0, 0, width, height].every((side, i) => side === region[i]);
}

/**
 * The grey levels of a region, the ink lighter than the paper; and the width of the margin around it, in pixels.
 *
 * @param {Prepared} picture
 * @param {Box} region
 * @returns {{levels: FloatPlane, margin: number, isTightPage: boolean}} (H, W); and whether it is a page that is a
 *   tight crop
 */
function levelsOf(picture, region) {
  const pixels = reduced(picture, region);
  const margin = inkMargin(pixels);
  const levels = grey(flattened(padded(pixels, margin)));
  const isTightPage = isComplete(picture, region) && !isCrop(levels) && isTight(levels);
  return { levels: lightInk(levels, isTightPage), margin, isTightPage };
}

/**
 * Every COLOUR_STRIDE-th pixel of every COLOUR_STRIDE-th row.
 *
 * @param {FloatPlane} colours (H, W, 3)
 * @returns {FloatPlane} (H, W, 3)
 */
function strided({ values, height, width }) {
  const coarse = { height: Math.ceil(height / COLOUR_STRIDE), width: Math.ceil(width / COLOUR_STRIDE) };
  const colours = new Float32Array(3 * coarse.height * coarse.width);
  for (let y = 0, i = 0; y < height; y += COLOUR_STRIDE) {
    for (let x = 0; x < width; x += COLOUR_STRIDE, i += 3) {
      const from = 3 * (y * width + x);
      colours.set(values.subarray(from, from + 3), i);
    }
  }
  return { values: colours, ...coarse };
}

/**
 * @param {Float64Array} local (N, 3), differences
 * @returns {number[][]} (3, 3)
 */
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
  const [a, b, c, d, e, f] = [rr, rg, rb, gg, gb, bb].map((value) => value + COVARIANCE_OFFSET);
  return [
    [a, b, c],
    [b, d, e],
    [c, e, f],
  ];
}

/**
 * An axis as weights in multiples of 1/GRID whose absolute values sum to 1 and whose sum is at least 0.
 *
 * @param {number[]} axis (3,)
 * @returns {number[]} (3,)
 */
function weightsAlong(axis) {
  const steps = axis.map((part) => rint((part * GRID) / sum(axis.map(Math.abs))));
  const sizes = steps.map(Math.abs);
  const heaviest = sizes.indexOf(Math.max(...sizes));
  steps[heaviest] += Math.sign(steps[heaviest]) * (GRID - sum(sizes));
  const isPositive = sum(steps) > 0 || (sum(steps) === 0 && steps[heaviest] > 0);
  return steps.map((step) => (isPositive ? step : -step) / GRID);
}

/**
 * The eigenvector of the largest eigenvalue of a symmetric matrix, by Jacobi rotations.
 *
 * @param {number[][]} matrix (3, 3), changed in place
 * @returns {number[]} (3,)
 */
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

/**
 * Rotate the axes p and q so that their covariance becomes 0.
 *
 * @param {number[][]} matrix (3, 3), changed in place
 * @param {number[][]} axes (3, 3), changed in place
 * @param {number} p
 * @param {number} q
 */
function rotate(matrix, axes, p, q) {
  if (matrix[p][q] === 0) return;
  const half = (matrix[q][q] - matrix[p][p]) / (2 * matrix[p][q]);
  const tangent = (half < 0 ? -1 : 1) / (Math.abs(half) + Math.hypot(half, 1));
  const cosine = 1 / Math.hypot(tangent, 1);
  const sine = tangent * cosine;
  const turn = (/** @type {number[]} */ row) => {
    [row[p], row[q]] = [cosine * row[p] - sine * row[q], sine * row[p] + cosine * row[q]];
  };
  matrix.forEach(turn);
  axes.forEach(turn);
  [matrix[p], matrix[q]] = [
    matrix[p].map((value, i) => cosine * value - sine * matrix[q][i]),
    matrix[p].map((value, i) => sine * value + cosine * matrix[q][i]),
  ];
}

/**
 * Subtract the paper, and with it uneven light and shadows.
 *
 * @param {FloatPlane} levels (H, W), the ink lighter than the paper
 * @param {number | null} ground level of the paper beyond the edges, if strokes reach them
 * @returns {FloatPlane} (H, W): how much lighter each pixel is than the paper around it
 */
export function withoutBackground(levels, ground = null) {
  const side = Math.floor(longerSide(levels) / PAPER_SIDE_DIVISOR) | 1;
  const beyond = ground === null ? 0 : Math.floor(side / 2);
  const smooth = framedBy(blurred(levels, PAPER_BLUR_RADIUS), beyond, ground ?? 0);
  const inside = /** @type {Box} */ ([beyond, beyond, beyond + levels.width, beyond + levels.height]);
  const paper = cutOut(opened(smooth, side, side), inside);
  return { ...levels, values: levels.values.map((level, i) => Math.max(level - paper.values[i], 0)) };
}

/**
 * The levels of a crop, with a margin of paper; the difference of each pixel from the paper; and the paper.
 *
 * @param {FloatPlane} levels (H, W), the ink lighter than the paper
 * @param {boolean} withMargin
 * @returns {{levels: FloatPlane, raised: FloatPlane, paper: Paper}}
 */
function raisedCrop(levels, withMargin) {
  const crop = asCrop(levels, withMargin);
  const { margin, ground, isTextured } = crop;
  const paper = { noise: crop.isSeparable ? 0 : noiseOf(levels), margin, isCrop: true, isTextured };
  const raised = crop.isSeparable && !isTextured
    ? { ...crop.levels, values: crop.levels.values.map((level) => Math.max(level - ground, 0)) }
    : withoutBackground(crop.levels);
  return { levels: crop.levels, raised, paper };
}

/**
 * Keep only the digit: 0 elsewhere, all 0 if there is no digit. `parts` are the boxes of the digits if there are
 * several side by side.
 *
 * @param {FloatPlane} ink (H, W), as `withoutRules` returns it
 * @param {Paper} paper
 * @returns {{digit: FloatPlane, parts: Box[]}} (H, W)
 */
export function cleaned(ink, paper) {
  const smooth = blurred(ink, Math.floor(longerSide(ink) / SMOOTHING_DIVISOR));
  const threshold = otsu(smooth.values);
  const mask = above(smooth, (paper.isTextured ? TEXTURED_INK_THRESHOLD : INK_THRESHOLD) * threshold);
  const { numbered, count } = pieces(mask);
  const nothing = { digit: { ...ink, values: new Float32Array(ink.values.length) }, parts: [] };
  if (count === 0) return nothing;
  const { margin } = paper;
  /** @type {Box} */
  const inside = [margin, margin, ink.width - margin, ink.height - margin];
  const innerNumbers = cutOut({ ...ink, values: numbered }, inside);
  const weights = weightsOf(cutOut(smooth, inside), innerNumbers.values, count);
  const onBorder = countsOf(border(innerNumbers), count);
  const pieceBoxes = boxes(numbered, count, ink.width);
  const minShare = paper.isTextured ? TEXTURED_COMPONENT_WEIGHT : MIN_COMPONENT_WEIGHT;
  const coversCrop = pieceBoxes.map((box) => paper.isCrop && covers(box, innerNumbers));
  const { heaviest, possible } = candidates(pieceBoxes, weights, onBorder, coversCrop, minShare);
  const isDigit = digitPieces(pieceBoxes, heaviest, possible);
  const digit = { ...mask, values: mask.values.map((_, i) => (numbered[i] && isDigit[numbered[i] - 1] ? 1 : 0)) };
  if (!standsOut(smooth, digit, mask, paper.noise)) return nothing;
  const near = running("maximum", digit, DIGIT_DILATION, DIGIT_DILATION);
  const isPart = possible.map((can, i) => i === heaviest || (can && weights[i] > MIN_PART_WEIGHT * weights[heaviest]));
  const partBoxes = pieceBoxes.filter((_, i) => isPart[i]);
  const partMask = { ...mask, values: mask.values.map((_, i) => (numbered[i] && isPart[numbered[i] - 1] ? 1 : 0)) };
  return {
    digit: { ...ink, values: ink.values.map((value, i) => (near.values[i] ? value : 0)) },
    parts: partBoxes.length > 1 ? separateDigits(partBoxes, strokeWidth(partMask)) : [],
  };
}

/**
 * The mean width of strokes in pixels: twice their area divided by their outline, averaged over directions.
 *
 * @param {Mask} mask (H, W)
 * @returns {number}
 */
export function strokeWidth({ values, height, width }) {
  let [area, outline] = [0, 0];
  for (let y = 0, i = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1, i += 1) {
      if (!values[i]) continue;
      area += 1;
      if (x === 0 || !values[i - 1]) outline += 1;
      if (x === width - 1 || !values[i + 1]) outline += 1;
      if (y === 0 || !values[i - width]) outline += 1;
      if (y === height - 1 || !values[i + width]) outline += 1;
    }
  }
  return (2 * area) / ((outline * Math.PI) / 4);
}

/**
 * The box of a sheet of paper on a darker table, or of a card: a solid, wide component instead of ink.
 *
 * @param {FloatPlane} levels (H, W)
 * @returns {Box | null}
 */
function sheetIn(levels) {
  const light = above(levels, otsu(levels.values));
  if (!borderIsEven(levels, light)) return null;
  const { numbered, count } = pieces(light);
  if (count === 0) return null;
  const sizes = countsOf(numbered, count);
  const box = boxes(numbered, count, levels.width)[sizes.indexOf(largest(sizes))];
  const [left, upper, right, lower] = box;
  const [width, height] = [right - left, lower - upper];
  if (Math.min(width, height) < MIN_SHEET_SHARE * longerSide(levels)) return null;
  if (shareOf(cutOut(light, box).values) < MIN_SHEET_FILL) return null;
  const inset = Math.floor(Math.max(width, height) / SHEET_INSET_DIVISOR);
  return [left + inset, upper + inset, right - inset, lower - inset];
}

/**
 * The standard deviation of the paper's noise, from the median difference of neighbours, which ignores strokes.
 *
 * @param {FloatPlane} levels (H, W)
 * @returns {number}
 */
function noiseOf(levels) {
  return levels.width > 1 ? NOISE_PER_DIFFERENCE * percentile(stepsAcross(levels), MEDIAN) : 0;
}

/**
 * The sum of each component's ink, weighted by centredness.
 *
 * @param {FloatPlane} smooth (H, W)
 * @param {Int32Array} numbered (H, W)
 * @param {number} count
 * @returns {Float64Array} (count,)
 */
function weightsOf(smooth, numbered, count) {
  const weights = new Float64Array(count);
  const across = centrednessAlong(smooth.width);
  const down = centrednessAlong(smooth.height);
  for (let y = 0, i = 0; y < smooth.height; y += 1) {
    for (let x = 0; x < smooth.width; x += 1, i += 1) {
      if (!numbered[i]) continue;
      const centredness = Math.fround(Math.min(1, down[y], across[x]));
      weights[numbered[i] - 1] += Math.fround(smooth.values[i] * centredness);
    }
  }
  return weights;
}

/**
 * Weights of pixels along an axis: at least 1, decreasing to 0 near the edges, where tables, shadows and spiral
 * bindings are.
 *
 * @param {number} length
 * @returns {Float64Array}
 */
function centrednessAlong(length) {
  return new Float64Array(length).map((_, i) => Math.min(i + 0.5, length - i - 0.5) / (EDGE_SHARE * length));
}

/**
 * @param {Int32Array} numbers labels
 * @param {number} count
 * @returns {Int32Array} (count,), the number of pixels of each label
 */
function countsOf(numbers, count) {
  const counts = new Int32Array(count);
  for (const number of numbers) if (number) counts[number - 1] += 1;
  return counts;
}

/**
 * @param {Box} box
 * @param {{height: number, width: number}} crop
 * @returns {boolean} whether the box covers so much of a crop that it is a digit
 */
function covers([left, upper, right, lower], { height, width }) {
  return right - left >= MIN_CROP_COVERAGE * width && lower - upper >= MIN_CROP_COVERAGE * height;
}

/**
 * The heaviest component, and the components that may belong to the digit.
 *
 * @param {Box[]} pieceBoxes
 * @param {Float64Array} weights sum of ink weighted by centredness
 * @param {Int32Array} borderPixels number of a component's pixels on the picture's border
 * @param {boolean[]} coversCrop whether a component covers a crop too much to be a part of its border
 * @param {number} minShare minimum weight of a component of the digit, as a share of the heaviest one's
 * @returns {{heaviest: number, possible: boolean[]}}
 */
function candidates(pieceBoxes, weights, borderPixels, coversCrop, minShare) {
  const alongBorder = pieceBoxes.map(
    ([left, upper, right, lower], i) =>
      !coversCrop[i] && borderPixels[i] > BORDER_COMPONENT_SHARE * Math.max(right - left, lower - upper),
  );
  const centralWeights = weights.map((weight, i) => (alongBorder[i] ? BORDER_COMPONENT_WEIGHT * weight : weight));
  const heaviest = centralWeights.indexOf(largest(centralWeights));
  const minWeight = minShare * weights[heaviest];
  const possible = pieceBoxes.map(
    (_, i) => weights[i] > minWeight && !alongBorder[i] && (borderPixels[i] === 0 || borderPixels[heaviest] > 0),
  );
  return { heaviest, possible };
}

/**
 * Select the components of the digit: the heaviest, then repeatedly those close to the selected ones.
 *
 * @param {Box[]} pieceBoxes
 * @param {number} heaviest
 * @param {boolean[]} possible
 * @returns {boolean[]}
 */
function digitPieces(pieceBoxes, heaviest, possible) {
  let taken = pieceBoxes.map((_, i) => i === heaviest);
  for (;;) {
    const around = joined(pieceBoxes.filter((_, i) => taken[i]));
    const reach = MAX_COMPONENT_GAP * Math.max(around[2] - around[0], around[3] - around[1]);
    possible = possible.map((can, i) => can && !encloses(pieceBoxes[i], around));
    const more = taken.map((has, i) => has || (possible[i] && gap(pieceBoxes[i], around) <= reach));
    if (more.every((has, i) => has === taken[i])) return taken;
    taken = more;
  }
}

/**
 * @param {Box[]} some at least one
 * @returns {Box} that contains them
 */
function joined(some) {
  return some.reduce((one, other) => [
    Math.min(one[0], other[0]),
    Math.min(one[1], other[1]),
    Math.max(one[2], other[2]),
    Math.max(one[3], other[3]),
  ]);
}

/**
 * @param {Box} one
 * @param {Box} other
 * @returns {boolean}
 */
function encloses(one, other) {
  return one[0] < other[0] && one[1] < other[1] && one[2] > other[2] && one[3] > other[3];
}

/**
 * @param {Box} one
 * @param {Box} other
 * @returns {number} pixels between two boxes, negative if they overlap
 */
function gap(one, other) {
  return Math.max(one[0] - other[2], other[0] - one[2], one[1] - other[3], other[1] - one[3]);
}

/**
 * Whether the digit is larger than a speck and has more contrast than the paper's noise.
 *
 * @param {FloatPlane} ink (H, W)
 * @param {Mask} digit (H, W)
 * @param {Mask} mask (H, W), all ink
 * @param {number} noise
 * @returns {boolean}
 */
function standsOut(ink, digit, mask, noise) {
  const [left, upper, right, lower] = bounds(digit);
  const paper = selected(ink.values, mask.values, 0);
  const contrast = mean(selected(ink.values, digit.values)) - (paper.length ? mean(paper) : 0);
  const isLarge = Math.max(right - left, lower - upper) > Math.max(MIN_PIXELS, MIN_SHARE * longerSide(ink));
  return isLarge && contrast > Math.max(MIN_CONTRAST, MIN_CONTRAST_TO_NOISE * noise);
}

/**
 * Compute the bounding box of a mask.
 *
 * @param {Mask} mask (H, W), not empty
 * @returns {Box}
 */
export function bounds({ values, width }) {
  return boxes(values, 1, width)[0];
}

/**
 * A box of the reduced region with a margin, in pixels of the picture.
 *
 * @param {Box} box
 * @param {Box} region
 * @param {{height: number, width: number}} size of the reduced region with its margin
 * @param {number} margin
 * @returns {Box}
 */
export function inPicture(box, region, size, margin) {
  const [width, height] = [size.width - 2 * margin, size.height - 2 * margin];
  const [xScale, yScale] = [(region[2] - region[0]) / width, (region[3] - region[1]) / height];
  const left = Math.min(Math.max(box[0] - margin, 0), width - 1);
  const upper = Math.min(Math.max(box[1] - margin, 0), height - 1);
  const [right, lower] = [Math.max(box[2] - margin, left + 1), Math.max(box[3] - margin, upper + 1)];
  return [
    region[0] + Math.floor(left * xScale),
    region[1] + Math.floor(upper * yScale),
    Math.min(region[0] + Math.ceil(right * xScale), region[2]),
    Math.min(region[1] + Math.ceil(lower * yScale), region[3]),
  ];
}
