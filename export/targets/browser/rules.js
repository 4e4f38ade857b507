/**
 * Removal of the lines of ruled and squared paper: `withoutRules`.
 *
 * runtime/preprocessing/rules.py gives the reasons for the method.
 *
 * @typedef {import("./morphology.js").FloatPlane} FloatPlane
 * @typedef {import("./morphology.js").Mask} Mask
 * @typedef {{band: Uint8Array, levels: Float32Array, count: number}} Rules the pixels of nearly horizontal lines,
 *   (H, W), the lines without the digit, and their number
 */

import {
  MANY_RULES,
  MAX_RULE_SLOPE,
  MAX_WIDTH_BESIDE_RULES,
  MIN_RULE_COVERAGE,
  MIN_RULE_LENGTH,
  MIN_THIN_COVERAGE,
  RULE_CLOSING,
  RULE_DILATION,
  RULE_PERCENTILE,
  RULE_THICKNESS_DIVISOR,
  RULE_THRESHOLD,
} from "./constants.js";
import { opened, otsu, percentile, running, transposed } from "./morphology.js";
import { onGrid } from "./numeric.js";

/**
 * Subtract the lines of ruled and squared paper.
 *
 * @param {FloatPlane} ink (H, W), as `withoutBackground` returns it
 * @returns {FloatPlane} (H, W)
 */
export function withoutRules(ink) {
  const threshold = Math.fround(RULE_THRESHOLD * otsu(ink.values));
  const turned = transposed(ink);
  const across = rulesIn(ink, threshold);
  const down = rulesIn(turned, threshold);
  const downBand = transposed({ ...turned, values: down.band }).values;
  const rest = { ...ink, values: Uint8Array.from(ink.values, (value, i) =>
    value > threshold && !across.band[i] && !downBand[i] ? 1 : 0) };
  const isAcross = reachBeyond(across, rest);
  const isDown = reachBeyond(down, transposed(rest));
  if (!isAcross && !isDown) return ink;
  const downLevels = transposed({ ...turned, values: down.levels }).values;
  const cleared = { ...ink, values: ink.values.map((value, i) =>
    Math.max(value - Math.max(isAcross ? across.levels[i] : 0, isDown ? downLevels[i] : 0), 0)) };
  const values = cleared.values.slice();
  if (isAcross) join(values, ink.values, across.band, closed(cleared).values);
  if (isDown) join(values, ink.values, downBand, transposed(closed(transposed(cleared))).values);
  return { ...ink, values };
}

/**
 * Raise the values in a band to those of a closing, at most to the ink.
 *
 * @param {Float32Array} values changed in place
 * @param {Float32Array} ink
 * @param {Uint8Array} band
 * @param {Float32Array} joined
 */
function join(values, ink, band, joined) {
  for (let i = 0; i < values.length; i += 1) {
    if (band[i]) values[i] = Math.max(values[i], Math.min(ink[i], joined[i]));
  }
}

/**
 * The nearly horizontal lines that reach from edge to edge, all with the slope that finds the most pixels.
 *
 * @param {FloatPlane} ink (H, W)
 * @param {number} threshold
 * @returns {Rules}
 */
function rulesIn(ink, threshold) {
  const { values, height, width } = ink;
  const none = { band: new Uint8Array(values.length), levels: new Float32Array(values.length), count: 0 };
  const mask = { ...ink, values: Uint8Array.from(values, (value) => (value > threshold ? 1 : 0)) };
  if (columnsWithAny(mask).length < MIN_RULE_COVERAGE * width) return none;
  const thick = opened(ink, Math.floor(Math.max(height, width) / RULE_THICKNESS_DIVISOR) | 1, 1).values;
  const thin = { ...ink, values: Uint8Array.from(values, (value, i) => (value - thick[i] > threshold ? 1 : 0)) };
  if (columnsWithAny(thin).length < MIN_THIN_COVERAGE * width) return none;
  const isInk = running("maximum", mask, RULE_DILATION, 1).values;
  const isThin = running("maximum", thin, RULE_DILATION, 1).values;
  /** @type {{shifts: Int32Array, starts: number[]}} */
  let best = { shifts: new Int32Array(width), starts: [] };
  let most = 0;
  for (const shifts of slants(width)) {
    const { starts, pixels } = ruleRows(shifts, isInk, isThin, height);
    if (pixels > most) [best, most] = [{ shifts, starts }, pixels];
  }
  return rulesAlong(ink, best.shifts, best.starts);
}

/**
 * For each slope, the row of a slanted line in each column.
 *
 * @param {number} width
 * @returns {Int32Array[]}
 */
function slants(width) {
  const most = maxShift(width);
  const slopes = [...Array(2 * most + 1).keys()].map((i) => (i % 2 ? -(i + 1) / 2 : i / 2));
  return slopes.map((slope) =>
    new Int32Array(width).map((_, x) => Math.floor((slope * (2 * x - width + 1) + width) / (2 * width))),
  );
}

/** @param {number} width */
function maxShift(width) {
  return Math.floor(MAX_RULE_SLOPE * width);
}

/**
 * The first rows of the slanted rows that are lines, and the number of their thin pixels.
 *
 * @param {Int32Array} shifts (W,)
 * @param {Uint8Array} isInk (H, W)
 * @param {Uint8Array} isThin (H, W)
 * @param {number} height
 * @returns {{starts: number[], pixels: number}}
 */
function ruleRows(shifts, isInk, isThin, height) {
  const width = shifts.length;
  const most = maxShift(width);
  const starts = [];
  let pixels = 0;
  for (let start = -most; start < height + most; start += 1) {
    let [length, inked, thin] = [0, 0, 0];
    for (let x = 0; x < width; x += 1) {
      const y = start + shifts[x];
      if (y < 0 || y >= height) continue;
      length += 1;
      inked += isInk[y * width + x];
      thin += isThin[y * width + x];
    }
    if (length < MIN_RULE_LENGTH * width) continue;
    if (inked < MIN_RULE_COVERAGE * length || thin < MIN_THIN_COVERAGE * length) continue;
    starts.push(start);
    pixels += thin;
  }
  return { starts, pixels };
}

/**
 * @param {FloatPlane} ink (H, W)
 * @param {Int32Array} shifts (W,)
 * @param {number[]} starts
 * @returns {Rules}
 */
function rulesAlong({ values, height, width }, shifts, starts) {
  const band = new Uint8Array(values.length);
  const levels = new Float32Array(values.length);
  for (const start of starts) {
    const places = [...shifts.keys()].filter((x) => start + shifts[x] >= 0 && start + shifts[x] < height);
    const indices = places.map((x) => (start + shifts[x]) * width + x);
    const [level] = onGrid(Float32Array.of(percentile(Float32Array.from(indices, (i) => values[i]), RULE_PERCENTILE)));
    for (const i of indices) [band[i], levels[i]] = [1, level];
  }
  return { band, levels, count: starts.filter((start, i) => i === 0 || start > starts[i - 1] + 1).length };
}

/**
 * Whether lines are many or reach beyond everything else, and there is anything else.
 *
 * @param {Rules} rules
 * @param {Mask} rest (H, W)
 * @returns {boolean}
 */
function reachBeyond({ count }, rest) {
  const columns = columnsWithAny(rest);
  if (count === 0 || columns.length === 0) return false;
  return count >= MANY_RULES || columns[columns.length - 1] - columns[0] < MAX_WIDTH_BESIDE_RULES * rest.width;
}

/**
 * A morphological closing along columns.
 *
 * @param {FloatPlane} ink
 * @returns {FloatPlane}
 */
function closed(ink) {
  return running("minimum", running("maximum", ink, RULE_CLOSING, 1), RULE_CLOSING, 1);
}

/**
 * @param {Mask} mask
 * @returns {number[]} the columns in which any pixel is 1
 */
function columnsWithAny({ values, width }) {
  const any = new Uint8Array(width);
  for (let i = 0; i < values.length; i += 1) if (values[i]) any[i % width] = 1;
  return [...any.keys()].filter((x) => any[x]);
}
