/**
 * Whether the ink is lighter or darker than the paper: `lightInk`.
 *
 * runtime/preprocessing/polarity.py gives the reasons for the method.
 *
 * @typedef {import("./morphology.js").FloatPlane} FloatPlane
 * @typedef {import("./morphology.js").Mask} Mask
 */

import {
  DIFFERENCE_STEPS,
  LIGHT_BORDER_SHARE,
  LOCAL_RADIUS_DIVISOR,
  LOWER_QUARTILE,
  MAX_BORDER_SPREAD,
  MAX_TIGHT_PIECES,
  MAX_TIGHT_SIDE,
  MIN_PAGE_SIDE,
  MIN_SEPARABILITY,
  MIN_TIGHT_BORDER,
  PAPER_SHARE,
  TIGHT_LINE_DIVISOR,
  TIGHT_STROKE_DIVISOR,
  UPPER_QUARTILE,
  VARIANCE_STEPS,
} from "./constants.js";
import { blurred, opened, otsu, percentile, pieces } from "./morphology.js";
import { mean, rint, sum } from "./numeric.js";
import { above, border, longerSide, selected, shareOf } from "./planes.js";

/**
 * Invert the picture if the background is light, so that the ink is lighter than the background.
 *
 * @param {FloatPlane} levels (H, W)
 * @param {boolean} isTightPage whether it is a page that is a tight crop, see `isTight`
 * @returns {FloatPlane} (H, W)
 */
export function lightInk(levels, isTightPage) {
  const light = above(levels, otsu(levels.values));
  const isPaperLight = isTightPage || (isCrop(levels) && isSeparable(levels))
    ? isPaper(light)
    : isGroundLight(levels, light);
  return isPaperLight ? { ...levels, values: levels.values.map((level) => 255 - level) } : levels;
}

/**
 * Whether a picture is so small that it is a crop of a digit and not a page.
 *
 * @param {{height: number, width: number}} levels
 * @returns {boolean}
 */
export function isCrop(levels) {
  return longerSide(levels) < MIN_PAGE_SIDE;
}

/**
 * Whether Otsu's threshold separates two kinds of pixels, and not noise.
 *
 * @param {FloatPlane} levels (H, W)
 * @returns {boolean}
 */
export function isSeparable(levels) {
  const light = selected(levels.values, above(levels, otsu(levels.values)).values);
  const pixels = levels.values.length;
  const exact = inSteps(levels.values);
  const total = sum(exact);
  const between = sum(inSteps(light)) * pixels - total * light.length;
  const variance = sum(exact.map((level) => level * level)) * pixels - total * total;
  return between * between > MIN_SEPARABILITY * light.length * (pixels - light.length) * variance;
}

/**
 * Whether the pixels of a mask of a crop, rather than the others, are the paper.
 *
 * @param {Mask} mask (H, W)
 * @returns {boolean}
 */
export function isPaper(mask) {
  const { values, width } = mask;
  const corners = [0, width - 1, values.length - width, values.length - 1].map((corner) => values[corner]);
  return mean(border(mask)) + mean(corners) + mean(values) > 3 * PAPER_SHARE;
}

/**
 * Whether a page is a tight crop of a digit: strokes reach the edges, and no table or shadow.
 *
 * @param {FloatPlane} levels (H, W), the ink lighter or darker than the paper
 * @returns {boolean}
 */
export function isTight(levels) {
  const light = above(levels, otsu(levels.values));
  const ink = isPaper(light) ? { ...light, values: light.values.map((value) => 1 - value) } : light;
  const { height, width } = ink;
  const edge = border(ink);
  const minBorder = MIN_TIGHT_BORDER * 2 * (height + width);
  if (sum(edge) < minBorder) return false;
  const covered = (/** @type {number} */ from, /** @type {number} */ count) => sum(edge.subarray(from, from + count));
  if (Math.max(covered(0, width), covered(width, width)) > MAX_TIGHT_SIDE * width) return false;
  const [left, right] = [covered(2 * width, height), covered(2 * width + height, height)];
  if (Math.max(left, right) > MAX_TIGHT_SIDE * height) return false;
  if (!isSeparable(levels) || pieces(ink).count > MAX_TIGHT_PIECES) return false;
  const line = Math.floor(longerSide(ink) / TIGHT_LINE_DIVISOR) | 1;
  const stroke = Math.floor(longerSide(ink) / TIGHT_STROKE_DIVISOR) | 1;
  if (sum(border(opened(ink, line, line))) < minBorder) return false;
  return !opened(surrounded(ink, stroke), stroke, stroke).values.includes(1);
}

/**
 * @param {Mask} mask (H, W)
 * @param {number} margin
 * @returns {Mask} with a margin of zeros
 */
function surrounded({ values, height, width }, margin) {
  const across = width + 2 * margin;
  const wide = new Uint8Array(across * (height + 2 * margin));
  for (let y = 0; y < height; y += 1) {
    wide.set(values.subarray(y * width, (y + 1) * width), (y + margin) * across + margin);
  }
  return { values: wide, height: height + 2 * margin, width: across };
}

/**
 * @param {Float32Array} levels
 * @returns {Float64Array} in multiples of 1/VARIANCE_STEPS: sums of their squares are exact
 */
function inSteps(levels) {
  return Float64Array.from(levels, (level) => rint(Math.fround(level * VARIANCE_STEPS)));
}

/**
 * Whether the background of a page is light: its border if that is even, otherwise what is not ink.
 *
 * @param {FloatPlane} levels (H, W)
 * @param {Mask} light (H, W)
 * @returns {boolean}
 */
function isGroundLight(levels, light) {
  return borderIsEven(levels, light) ? shareOf(border(light)) > LIGHT_BORDER_SHARE : isSkewedToDark(levels);
}

/**
 * Whether the ink is dark, by the skewness of local differences: ink differs strongly from its surroundings in few
 * pixels.
 *
 * @param {FloatPlane} levels (H, W)
 * @returns {boolean}
 */
function isSkewedToDark(levels) {
  return sum(roundedDifferences(levels).map((value) => value * value * value)) < 0;
}

/**
 * Whether the border varies little compared to the picture's contrast: no gradient, no partial shadow.
 *
 * @param {FloatPlane} levels (H, W)
 * @param {Mask} isLight (H, W)
 * @returns {boolean}
 */
export function borderIsEven(levels, isLight) {
  const light = selected(levels.values, isLight.values);
  if (light.length === 0 || light.length === levels.values.length) return true;
  const contrast = mean(light) - mean(selected(levels.values, isLight.values, 0));
  const edge = border(levels);
  return percentile(edge, UPPER_QUARTILE) - percentile(edge, LOWER_QUARTILE) < MAX_BORDER_SPREAD * contrast;
}

/**
 * Differences from the local mean, rounded to multiples of 1/DIFFERENCE_STEPS: sums of their products are exact.
 *
 * @param {FloatPlane} levels (H, W) or (H, W, C)
 * @returns {Float64Array} in these units
 */
export function roundedDifferences(levels) {
  const around = blurred(levels, Math.floor(longerSide(levels) / LOCAL_RADIUS_DIVISOR));
  const differences = levels.values.map((level, i) => level - around.values[i]);
  return Float64Array.from(differences, (value) => rint(Math.fround(value * DIFFERENCE_STEPS)));
}
