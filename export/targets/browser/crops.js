/**
 * Crops of a digit, in which ink reaches the edges: `asCrop`, `groundOf`, `framedBy`.
 *
 * runtime/preprocessing/crops.py gives the reasons for the method.
 *
 * @typedef {import("./morphology.js").FloatPlane} FloatPlane
 * @typedef {{levels: FloatPlane, margin: number, ground: number, isTextured: boolean, isSeparable: boolean}} Crop the crop with a
 *   margin of paper; the width of the margin; the level of the paper; whether it has a pattern; and whether ink and
 *   paper have different levels
 */

import {
  CROP_MARGIN_DIVISOR,
  MEDIAN,
  MIN_CROP_MARGIN,
  MIN_TEXTURE,
  MIN_TEXTURED_SIDE,
  TEXTURE_FILTERS,
  TEXTURE_PERCENTILE,
} from "./constants.js";
import { otsu, percentile, transposed } from "./morphology.js";
import { onGrid } from "./numeric.js";
import { above, longerSide, selected } from "./planes.js";
import { isSeparable } from "./polarity.js";

/**
 * Smooth textured paper, and add a margin of paper.
 *
 * @param {FloatPlane} levels (H, W), the ink lighter than the paper
 * @param {boolean} withMargin whether a margin is added
 * @returns {Crop}
 */
export function asCrop(levels, withMargin) {
  const isInk = above(levels, otsu(levels.values)).values;
  const [ink, paper] = [selected(levels.values, isInk), selected(levels.values, isInk, 0)];
  const ground = groundOf(levels);
  const texture = ground - percentile(paper, TEXTURE_PERCENTILE);
  const separable = isSeparable(levels);
  const contrast = ink.length ? percentile(ink, MEDIAN) - ground : 0;
  const isTextured = longerSide(levels) >= MIN_TEXTURED_SIDE && texture > MIN_TEXTURE * contrast;
  const smooth = isTextured ? smoothed(levels) : levels;
  const side = Math.max(MIN_CROP_MARGIN, Math.floor(longerSide(levels) / CROP_MARGIN_DIVISOR));
  const margin = withMargin && separable ? side : 0;
  return { levels: framedBy(smooth, margin, ground), margin, ground, isTextured, isSeparable: separable };
}

/**
 * The level of the paper: the median of the levels that Otsu's threshold separates from the ink.
 *
 * @param {FloatPlane} levels (H, W), the ink lighter than the paper
 * @returns {number}
 */
export function groundOf(levels) {
  const paper = selected(levels.values, above(levels, otsu(levels.values)).values, 0);
  return onGrid(Float64Array.of(percentile(paper, MEDIAN)))[0];
}

/**
 * Apply TEXTURE_FILTERS binomial filters along rows and columns, with edge padding, rounded by `onGrid`.
 *
 * @param {FloatPlane} levels (H, W)
 * @returns {FloatPlane} (H, W)
 */
function smoothed(levels) {
  for (let filter = 0; filter < TEXTURE_FILTERS; filter += 1) {
    const twice = filteredDown(transposed(filteredDown(levels)));
    levels = transposed({ ...twice, values: onGrid(twice.values) });
  }
  return levels;
}

/**
 * @param {FloatPlane} levels (H, W)
 * @returns {FloatPlane} (H, W), filtered by [1, 2, 1] / 4 along columns
 */
function filteredDown({ values, height, width }) {
  const last = (height - 1) * width;
  const filtered = values.map((level, i) => {
    const [before, after] = [i < width ? level : values[i - width], i >= last ? level : values[i + width]];
    return (before + 2 * level + after) / 4;
  });
  return { values: filtered, height, width };
}

/**
 * Add a margin of one level.
 *
 * @param {FloatPlane} levels (H, W)
 * @param {number} margin in pixels
 * @param {number} level of the margin
 * @returns {FloatPlane}
 */
export function framedBy({ values, height, width }, margin, level) {
  const across = width + 2 * margin;
  const framed = new Float32Array(across * (height + 2 * margin)).fill(level);
  for (let y = 0; y < height; y += 1) {
    framed.set(values.subarray(y * width, (y + 1) * width), (y + margin) * across + margin);
  }
  return { values: framed, height: height + 2 * margin, width: across };
}
