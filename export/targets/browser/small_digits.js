/**
 * Digits that are small on a large page: `findSmallDigits`.
 *
 * runtime/preprocessing/small_digits.py gives the reasons for the method.
 *
 * @typedef {import("./ink.js").Ink} Ink
 * @typedef {import("./ink.js").Prepared} Prepared
 * @typedef {import("./morphology.js").Box} Box
 */

import {
  MAX_CLOSE_UPS,
  MAX_STROKE_SHARE,
  MIN_COHERENCE,
  MIN_SMALL_CONTRAST,
  MIN_SMALL_CONTRAST_TO_NOISE,
  MIN_SMALL_PIXELS,
  MIN_SMALL_SHARE,
  SMALL_BLUR_RADIUS,
  SMALL_DILATION,
  SMALL_INK_SHARE,
  SPOT_MARGIN,
} from "./constants.js";
import { findInk, inPicture, strokeWidth } from "./ink.js";
import { blurred, boxes, largest, pieces, running } from "./morphology.js";
import { sum } from "./numeric.js";
import { above } from "./planes.js";

/**
 * Find small digits in a picture in which `findInk` found none.
 *
 * @param {Prepared} picture
 * @param {Ink} page result of `findInk` for the complete picture
 * @returns {Ink[]} close-ups of the digits, the largest first; empty if there are none
 */
export function findSmallDigits(picture, page) {
  /** @type {Ink[]} */
  const found = [];
  for (const spot of spotsIn(page)) {
    const box = inPicture(spot, page.region, page.raised, page.margin);
    const closeUp = findInk(picture, around(box, page, picture));
    if (closeUp.box !== null && isDigit(closeUp) && !found.some((each) => overlap(closeUp, each))) found.push(closeUp);
  }
  if (found.length === 0) return [];
  const first = found.reduce((one, other) => (sizeOf(other) > sizeOf(one) ? other : one));
  return [first, ...found.filter((ink) => ink !== first && sizeOf(ink) >= MIN_SMALL_SHARE * sizeOf(first))];
}

/**
 * The boxes of the heaviest spots of ink in the reduced picture.
 *
 * @param {Ink} page
 * @returns {Box[]}
 */
function spotsIn({ raised, noise }) {
  const smooth = blurred(raised, SMALL_BLUR_RADIUS);
  const mask = above(smooth, Math.max(MIN_SMALL_CONTRAST, MIN_SMALL_CONTRAST_TO_NOISE * noise));
  const { numbered, count } = pieces(running("maximum", mask, SMALL_DILATION, SMALL_DILATION));
  const weights = new Float64Array(count);
  for (let i = 0; i < numbered.length; i += 1) if (numbered[i]) weights[numbered[i] - 1] += smooth.values[i];
  const spotBoxes = boxes(numbered, count, raised.width);
  const heaviest = [];
  for (let taken = 0; taken < Math.min(count, MAX_CLOSE_UPS); taken += 1) {
    const spot = weights.indexOf(largest(weights));
    weights[spot] = -1;
    heaviest.push(spotBoxes[spot]);
  }
  return heaviest;
}

/**
 * A box with a margin of `SPOT_MARGIN` reduced pixels, within the picture.
 *
 * @param {Box} box
 * @param {Ink} page
 * @param {{width: number, height: number}} size
 * @returns {Box}
 */
function around([left, upper, right, lower], { region, raised }, { width, height }) {
  const margin = Math.ceil((SPOT_MARGIN * (region[2] - region[0])) / raised.width);
  return [
    Math.max(0, left - margin),
    Math.max(0, upper - margin),
    Math.min(width, right + margin),
    Math.min(height, lower + margin),
  ];
}

/**
 * Whether the ink is large enough, drawn with strokes, and most of the ink in the close-up.
 *
 * @param {Ink} closeUp
 * @returns {boolean}
 */
function isDigit(closeUp) {
  if (sizeOf(closeUp) < MIN_SMALL_PIXELS) return false;
  const { raised, cut } = closeUp;
  const threshold = Math.fround(SMALL_INK_SHARE) * largest(cut.values);
  const digit = above(cut, threshold);
  if (sum(digit.values) < MIN_COHERENCE * sum(above(raised, threshold).values)) return false;
  return strokeWidth(digit) <= MAX_STROKE_SHARE * Math.max(digit.height, digit.width);
}

/**
 * @param {Ink} ink
 * @returns {number} the longer side of its box
 */
function sizeOf({ box }) {
  return box === null ? 0 : Math.max(box[2] - box[0], box[3] - box[1]);
}

/**
 * @param {Ink} one
 * @param {Ink} other
 * @returns {boolean}
 */
function overlap({ box: one }, { box: other }) {
  if (one === null || other === null) return false;
  return (
    Math.min(one[2], other[2]) > Math.max(one[0], other[0]) && Math.min(one[3], other[3]) > Math.max(one[1], other[1])
  );
}
