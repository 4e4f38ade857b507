/**
 * The ink of a page in uneven light: `inkMask`. runtime/reader/page_ink.py gives the reasons for the method.
 *
 * @typedef {import("./morphology.js").FloatPlane} FloatPlane
 * @typedef {import("./morphology.js").Mask} Mask
 */

import {
  MEDIAN,
  NOISE_PER_DIFFERENCE,
  PAGE_INK_INK_PERCENTILE,
  PAGE_INK_INK_THRESHOLD,
  PAGE_INK_MIN_CONTRAST,
  PAGE_INK_MIN_CONTRAST_TO_NOISE,
  PAGE_INK_MIN_PAPER_DIVISOR,
  PAGE_INK_PAPER_SIDE_DIVISOR,
  PAGE_INK_PAPER_STROKES,
} from "./constants.js";
import { blurred, opened, otsu, percentile, stepsAcross, transposed } from "./morphology.js";
import { above, longerSide } from "./planes.js";
import { withoutRuledLines } from "./ruled_lines.js";

/**
 * Where the ink is.
 *
 * @param {FloatPlane} levels (H, W), the ink lighter than the paper
 * @returns {Mask}
 */
export function inkMask(levels) {
  const longer = longerSide(levels);
  const first = Math.floor(longer / PAGE_INK_PAPER_SIDE_DIVISOR);
  let raised = raisedIn(levels, first);
  const stroke = strokeOf(above(raised, thresholdOf(raised)));
  const second = Math.max(Math.floor(longer / PAGE_INK_MIN_PAPER_DIVISOR), PAGE_INK_PAPER_STROKES * stroke);
  if (second < first) raised = raisedIn(levels, second);
  return withoutRuledLines(above(raised, thresholdOf(raised)));
}

/**
 * @param {FloatPlane} levels
 * @param {number} side of the window
 * @returns {FloatPlane} how much lighter each pixel is than the paper around it
 */
function raisedIn(levels, side) {
  const paper = opened(blurred(levels, 1), side | 1, side | 1).values;
  return { ...levels, values: levels.values.map((level, i) => Math.max(level - paper[i], 0)) };
}

/**
 * @param {FloatPlane} raised
 * @returns {number} the level from which a pixel is ink
 */
function thresholdOf(raised) {
  const middle = percentile(raised.values, MEDIAN);
  const split = Math.fround(otsu(raised.values));
  const strong = raised.values.filter((level) => level > split);
  if (!strong.length) return Infinity;
  const most = percentile(strong, PAGE_INK_INK_PERCENTILE);
  const bounded = raised.values.map((level) => Math.min(level, most));
  const noise = raised.width < 2 ? 0 : NOISE_PER_DIFFERENCE * percentile(stepsAcross(raised), MEDIAN);
  return Math.max(
    middle + PAGE_INK_INK_THRESHOLD * (otsu(bounded) - middle),
    middle + PAGE_INK_MIN_CONTRAST,
    middle + PAGE_INK_MIN_CONTRAST_TO_NOISE * noise,
  );
}

/**
 * @param {Mask} mask
 * @returns {number} the median width of strokes along rows and columns, in pixels
 */
function strokeOf(mask) {
  const medians = [mask, transposed(mask)]
    .map(runsOf)
    .filter((runs) => runs.length)
    .map((runs) => Math.trunc(percentile(Float32Array.from(runs), MEDIAN)));
  return medians.length ? Math.min(...medians) : 1;
}

/**
 * @param {Mask} mask
 * @returns {number[]} lengths of the runs of ones along rows
 */
function runsOf({ values, width }) {
  const runs = [];
  let length = 0;
  for (let i = 0; i < values.length; i += 1) {
    if (values[i]) length += 1;
    if (length && (!values[i] || (i + 1) % width === 0)) {
      runs.push(length);
      length = 0;
    }
  }
  return runs;
}
