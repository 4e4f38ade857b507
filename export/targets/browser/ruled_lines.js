/**
 * Removal of ruled lines from the ink of a page: `withoutRuledLines`. runtime/reader/ruled_lines.py gives the reasons
 * for the method.
 *
 * @typedef {import("./morphology.js").Mask} Mask
 */

import {
  RULED_LINES_BEYOND_RULES,
  RULED_LINES_MANY_RULES,
  RULED_LINES_MANY_RULES_LENGTH,
  RULED_LINES_MIN_RULE_COVERAGE,
  RULED_LINES_RULE_CLOSING,
  RULED_LINES_RULE_GAP,
  RULED_LINES_RULE_LENGTH,
  RULED_LINES_RULE_SLOPES,
  RULED_LINES_RULE_THICKNESS,
  RULED_LINES_UPRIGHT_LENGTH,
} from "./constants.js";
import { boxes, opened, pieces, running, transposed } from "./morphology.js";
import { rint } from "./numeric.js";
import { longerSide } from "./planes.js";

/**
 * Remove ruled lines; strokes that cross them are joined again.
 *
 * @param {Mask} mask
 * @returns {Mask}
 */
export function withoutRuledLines(mask) {
  const half = halved(mask);
  const across = doubled(rulesIn(half, 0), mask);
  const down = doubled(transposed(rulesIn(transposed(half), RULED_LINES_UPRIGHT_LENGTH)), mask);
  if (!across.values.includes(1) && !down.values.includes(1)) return mask;
  const thinAcross = thin(combined(mask, down, (ink, rule) => ink && !rule));
  const thinDown = transposed(thin(transposed(combined(mask, across, (ink, rule) => ink && !rule))));
  const cleared = {
    ...mask,
    values: mask.values.map((ink, i) => {
      const isAcross = across.values[i] && (thinAcross.values[i] || down.values[i]);
      return ink && !isAcross && !(down.values[i] && thinDown.values[i]) ? 1 : 0;
    }),
  };
  const joinedDown = closed(cleared);
  const joinedAcross = transposed(closed(transposed(cleared)));
  return {
    ...mask,
    values: cleared.values.map((ink, i) => {
      const isJoined = (joinedDown.values[i] && across.values[i]) || (joinedAcross.values[i] && down.values[i]);
      return ink || (isJoined && mask.values[i]) ? 1 : 0;
    }),
  };
}

/**
 * @param {Mask} one
 * @param {Mask} other
 * @param {(one: number, other: number) => boolean | number} rule
 * @returns {Mask}
 */
function combined(one, other, rule) {
  return { ...one, values: one.values.map((value, i) => (rule(value, other.values[i]) ? 1 : 0)) };
}

/**
 * @param {Mask} mask
 * @returns {Mask} the parts that are not higher than ruled lines
 */
function thin(mask) {
  const side = (Math.floor(RULED_LINES_RULE_THICKNESS * longerSide(mask)) | 1) + 2;
  return combined(mask, opened(mask, side, 1), (ink, isHigh) => ink && !isHigh);
}

/**
 * @param {Mask} mask
 * @returns {Mask} half of the size: a pixel for each square of four, if one of them is 1
 */
function halved({ values, height, width }) {
  const half = { values: new Uint8Array(0), height: Math.ceil(height / 2), width: Math.ceil(width / 2) };
  half.values = new Uint8Array(half.height * half.width);
  for (let i = 0; i < values.length; i += 1) {
    if (values[i]) half.values[Math.floor(Math.floor(i / width) / 2) * half.width + ((i % width) >> 1)] = 1;
  }
  return half;
}

/**
 * @param {Mask} half
 * @param {Mask} mask of the size of the result
 * @returns {Mask}
 */
function doubled(half, { values, height, width }) {
  const found = new Uint8Array(values.length);
  for (let i = 0; i < found.length; i += 1) {
    found[i] = half.values[Math.floor(Math.floor(i / width) / 2) * half.width + ((i % width) >> 1)];
  }
  return { values: found, height, width };
}

/**
 * The nearly horizontal ruled lines, all with the slope that finds the most pixels.
 *
 * @param {Mask} mask
 * @param {number} minLength minimum length if they are few, as a share of the width
 * @returns {Mask}
 */
function rulesIn(mask, minLength) {
  const [length, gap] = [RULED_LINES_RULE_LENGTH, RULED_LINES_RULE_GAP].map(
    (share) => Math.floor(share * longerSide(mask)) | 1,
  );
  const { height, width } = mask;
  /** @type {Mask} */
  const none = { values: new Uint8Array(mask.values.length), height, width };
  let inked = thin(mask);
  if (columnsWithInk(inked).length < length) return none;
  inked = running("maximum", inked, 3, 1);
  let best = none;
  let most = 0;
  for (const slope of RULED_LINES_RULE_SLOPES) {
    const shift = Int32Array.from({ length: width }, (_, x) => rint(slope * (x - width / 2)));
    const sheared = shearedBy(inked, shift, gap);
    const bridged = running("minimum", running("maximum", sheared, 1, gap), 1, gap);
    const found = opened(bridged, 1, length);
    const count = found.values.reduce((total, value, i) => total + (value && sheared.values[i] ? 1 : 0), 0);
    if (count > most) {
      most = count;
      best = shearedBack(covered(found, sheared), shift, gap, mask);
    }
  }
  const rest = combined(mask, best, (ink, rule) => ink && !rule);
  return areRuled(best, rest, minLength) ? best : none;
}

/**
 * @param {Mask} mask
 * @param {Int32Array} shift of each column, in pixels
 * @param {number} margin empty columns on both sides
 * @returns {Mask}
 */
function shearedBy({ values, height, width }, shift, margin) {
  const line = width + 2 * margin;
  const found = new Uint8Array(height * line);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      found[y * line + margin + x] = values[clamp(y + shift[x], height) * width + x];
    }
  }
  return { values: found, height, width: line };
}

/**
 * @param {Mask} mask with a margin
 * @param {Int32Array} shift
 * @param {number} margin
 * @param {{height: number, width: number}} size of the result
 * @returns {Mask}
 */
function shearedBack(mask, shift, margin, { height, width }) {
  const found = new Uint8Array(height * width);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      found[y * width + x] = mask.values[clamp(y - shift[x], height) * mask.width + margin + x];
    }
  }
  return { values: found, height, width };
}

/** @param {number} row @param {number} height */
function clamp(row, height) {
  return Math.min(Math.max(row, 0), height - 1);
}

/**
 * @param {Mask} found
 * @param {Mask} inked
 * @returns {Mask} the components of a mask of which enough is inked
 */
function covered(found, inked) {
  const { numbered, count } = pieces(found);
  const [all, ink] = [new Float64Array(count + 1), new Float64Array(count + 1)];
  for (let i = 0; i < numbered.length; i += 1) {
    all[numbered[i]] += 1;
    ink[numbered[i]] += inked.values[i] && numbered[i] ? 1 : 0;
  }
  const values = found.values.map((value, i) =>
    value && ink[numbered[i]] >= RULED_LINES_MIN_RULE_COVERAGE * all[numbered[i]] ? 1 : 0,
  );
  return { ...found, values };
}

/**
 * Whether long straight lines are ruled: they are many, or reach beyond everything else.
 *
 * @param {Mask} rules
 * @param {Mask} rest
 * @param {number} minLength
 */
function areRuled(rules, rest, minLength) {
  const { numbered, count } = pieces(rules);
  if (!count) return false;
  const longest = Math.max(...boxes(numbered, count, rules.width).map(([left, , right]) => right - left));
  const columns = columnsWithInk(rest);
  if (!columns.length) return longest > RULED_LINES_UPRIGHT_LENGTH * rules.width;
  if (count >= RULED_LINES_MANY_RULES && longest >= RULED_LINES_MANY_RULES_LENGTH * rules.width) return true;
  const beyond = RULED_LINES_BEYOND_RULES * (columns[columns.length - 1] - columns[0]);
  return longest > Math.max(beyond, minLength * rules.width);
}

/**
 * @param {Mask} mask
 * @returns {number[]} the columns with a 1
 */
function columnsWithInk({ values, width }) {
  const counts = new Float64Array(width);
  for (let i = 0; i < values.length; i += 1) counts[i % width] += values[i];
  return [...counts.keys()].filter((x) => counts[x] > 0);
}

/**
 * @param {Mask} mask
 * @returns {Mask} a morphological closing along columns
 */
function closed(mask) {
  return running("minimum", running("maximum", mask, RULED_LINES_RULE_CLOSING, 1), RULED_LINES_RULE_CLOSING, 1);
}
