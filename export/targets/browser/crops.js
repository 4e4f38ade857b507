/**
 * Crops of a digit, in which ink reaches the edges: `isCrop`, `isSeparable`, `isPaper`, `asCrop`.
 *
 * runtime/preprocessing/levels.py and runtime/preprocessing/crops.py give the reasons for the method.
 *
 * @typedef {import("./morphology.js").FloatPlane} FloatPlane
 * @typedef {import("./morphology.js").Mask} Mask
 * @typedef {{levels: FloatPlane, margin: number, isTextured: boolean, isSeparable: boolean}} Crop the crop with a
 *   margin of paper; the width of the margin; whether the paper has a pattern; and whether ink and paper have different
 *   levels
 */

import {
  CROP_MARGIN_DIVISOR,
  MEDIAN,
  MIN_CROP_MARGIN,
  MIN_PAGE_SIDE,
  MIN_SEPARABILITY,
  MIN_TEXTURE,
  PAPER_SHARE,
  TEXTURE_FILTERS,
  TEXTURE_PERCENTILE,
} from "./constants.js";
import { otsu, percentile, transposed } from "./morphology.js";
import { mean, onGrid, sum } from "./numeric.js";
import { above, border, longerSide, selected } from "./planes.js";

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
 * Whether Otsu's threshold separates two kinds of pixels of a crop, and not noise.
 *
 * @param {FloatPlane} levels (H, W)
 * @returns {boolean}
 */
export function isSeparable(levels) {
  const light = selected(levels.values, above(levels, otsu(levels.values)).values);
  const pixels = levels.values.length;
  const total = sum(levels.values);
  const between = sum(light) * pixels - total * light.length;
  const variance = sum(Float64Array.from(levels.values, (level) => level * level)) * pixels - total * total;
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
 * Smooth textured paper, and add a margin of paper.
 *
 * @param {FloatPlane} levels (H, W), the ink lighter than the paper
 * @param {boolean} withMargin whether a margin is added
 * @returns {Crop}
 */
export function asCrop(levels, withMargin) {
  const isInk = above(levels, otsu(levels.values)).values;
  const [ink, paper] = [selected(levels.values, isInk), selected(levels.values, isInk, 0)];
  const [ground] = onGrid(Float64Array.of(percentile(paper, MEDIAN)));
  const texture = ground - percentile(paper, TEXTURE_PERCENTILE);
  const separable = isSeparable(levels);
  const isTextured = ink.length > 0 && texture > MIN_TEXTURE * (percentile(ink, MEDIAN) - ground);
  const smooth = isTextured ? smoothed(levels) : levels;
  const side = Math.max(MIN_CROP_MARGIN, Math.floor(longerSide(levels) / CROP_MARGIN_DIVISOR));
  const margin = withMargin && separable ? side : 0;
  return { levels: framedBy(smooth, margin, ground), margin, isTextured, isSeparable: separable };
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
 * @param {FloatPlane} levels (H, W)
 * @param {number} margin in pixels
 * @param {number} level of the margin
 * @returns {FloatPlane}
 */
function framedBy({ values, height, width }, margin, level) {
  const across = width + 2 * margin;
  const framed = new Float32Array(across * (height + 2 * margin)).fill(level);
  for (let y = 0; y < height; y += 1) {
    framed.set(values.subarray(y * width, (y + 1) * width), (y + margin) * across + margin);
  }
  return { values: framed, height: height + 2 * margin, width: across };
}
