/**
 * Several digits in one picture: `separateDigits`.
 *
 * runtime/preprocessing/separate_digits.py gives the reasons for the method.
 *
 * @typedef {import("./morphology.js").Box} Box
 */

import {
  MAX_PART_GAP,
  MIN_HEIGHT_SHARE,
  MIN_HEIGHT_TO_STROKE,
  MIN_PART_OVERLAP,
  MIN_SIDE_BY_SIDE,
} from "./constants.js";

/**
 * Find digits side by side among the components of ink.
 *
 * @param {Box[]} parts boxes of the components of comparable weight
 * @param {number} stroke mean width of the strokes, in pixels
 * @returns {Box[]} the digits from left to right if there are two or more; otherwise none
 */
export function separateDigits(parts, stroke) {
  const found = joined(parts);
  const tallest = found.reduce((one, other) => (heightOf(other) > heightOf(one) ? other : one));
  const minHeight = Math.max(MIN_HEIGHT_SHARE * heightOf(tallest), MIN_HEIGHT_TO_STROKE * stroke);
  const digits = found.filter((box) => {
    const beside = Math.min(box[3], tallest[3]) - Math.max(box[1], tallest[1]);
    return heightOf(box) >= minHeight && beside >= MIN_SIDE_BY_SIDE * heightOf(box);
  });
  return digits.length > 1 ? digits.sort(inReadingOrder) : [];
}

/**
 * The boxes of the digits: parts one above the other are joined.
 *
 * @param {Box[]} parts
 * @returns {Box[]}
 */
function joined(parts) {
  /** @type {Box[]} */
  const found = [];
  for (const part of parts) {
    let box = part;
    for (;;) {
      const index = found.findIndex((other) => isOneDigit(box, other));
      if (index < 0) break;
      const [other] = found.splice(index, 1);
      box = [
        Math.min(box[0], other[0]),
        Math.min(box[1], other[1]),
        Math.max(box[2], other[2]),
        Math.max(box[3], other[3]),
      ];
    }
    found.push(box);
  }
  return found;
}

/**
 * @param {Box} one
 * @param {Box} other
 * @returns {boolean}
 */
function isOneDigit(one, other) {
  const overlap = Math.min(one[2], other[2]) - Math.max(one[0], other[0]);
  const gap = Math.max(one[1], other[1]) - Math.min(one[3], other[3]);
  const isAbove = overlap > MIN_PART_OVERLAP * Math.min(one[2] - one[0], other[2] - other[0]);
  return isAbove && gap <= MAX_PART_GAP * Math.max(heightOf(one), heightOf(other));
}

/** @param {Box} box */
function heightOf(box) {
  return box[3] - box[1];
}

/**
 * Compare boxes by their left sides, then the upper ones.
 *
 * @param {Box} one
 * @param {Box} other
 * @returns {number}
 */
export function inReadingOrder(one, other) {
  for (let side = 0; side < one.length; side += 1) if (one[side] !== other[side]) return one[side] - other[side];
  return 0;
}
