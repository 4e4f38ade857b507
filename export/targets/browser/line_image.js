/**
 * Conversion of one written line to the input of a sequence model: `lineLevels`, `lineImage`.
 * runtime/reader/line_image.py gives the reasons for the method.
 *
 * @typedef {import("./ink.js").Prepared} Prepared
 * @typedef {import("./morphology.js").FloatPlane} FloatPlane
 * @typedef {{pixels: Uint8Array, width: number, inkWidth: number, upper: number, scale: number}} LineImage the image,
 *   (32, W); W; its width without the paper added on the right; the row of the levels at the upper edge of its ink, and
 *   the number of its pixels for one of the levels
 */

import {
  LINE_IMAGE_BAND_THRESHOLD,
  LINE_IMAGE_FULL_INK_PERCENTILE,
  LINE_IMAGE_INK_HEIGHT,
  LINE_IMAGE_LINE_HEIGHT,
  LINE_IMAGE_MAX_ASPECT,
  LINE_IMAGE_MAX_LIGHTENING,
  LINE_IMAGE_MAX_LINE_WIDTH,
  LINE_IMAGE_MAX_PART_GAP,
  LINE_IMAGE_MIN_CONTRAST,
  LINE_IMAGE_MIN_HEIGHT_SHARE,
  LINE_IMAGE_MIN_LINE_WIDTH,
  LINE_IMAGE_MIN_PART_OVERLAP,
  LINE_IMAGE_MIN_REGION_SHARE,
  LINE_IMAGE_NEIGHBOUR_SHARE,
  LINE_IMAGE_PAPER_BLUR_RADIUS,
  LINE_IMAGE_PAPER_SIDE_SHARE,
  LINE_IMAGE_SCALED_INK_PERCENTILE,
  LINE_IMAGE_STRONG_INK,
  LINE_IMAGE_STRONG_SHARE,
  LINE_IMAGE_THIN_BAND_THRESHOLD,
  LINE_IMAGE_THIN_INK,
  LINE_IMAGE_WORK_HEIGHT,
  MEDIAN,
} from "./constants.js";
import { grey, resized } from "./ink.js";
import { blurred, boxes, largest, opened, otsu, percentile, pieces } from "./morphology.js";
import { onGrid, rint } from "./numeric.js";
import { above } from "./planes.js";
import { lightInk } from "./polarity.js";
import { resizedRowsByTriangle } from "./resampling.js";
import { flattened } from "./transparency.js";

/**
 * The grey levels of a crop, the ink lighter than the paper.
 *
 * @param {Prepared} picture
 * @returns {FloatPlane}
 */
export function lineLevels(picture) {
  const { width, height } = picture;
  const scale = Math.min(1, LINE_IMAGE_WORK_HEIGHT / height);
  const size = /** @type {[number, number]} */ ([width, height].map((side) => Math.max(1, rint(side * scale))));
  return lightInk(grey(flattened(resized(picture, [0, 0, width, height], size))), false);
}

/**
 * Flatten the light of one written line, and scale it so that its ink has a fixed height.
 *
 * @param {FloatPlane} levels as `lineLevels` returns it
 * @returns {LineImage}
 */
export function lineImage(levels) {
  const ink = flattenedLight(levels);
  const [upper, end] = bandOf(ink);
  const lower = Math.max(end, upper + 1);
  const scale = LINE_IMAGE_INK_HEIGHT / (lower - upper);
  const margin = (LINE_IMAGE_LINE_HEIGHT - LINE_IMAGE_INK_HEIGHT) / 2 / scale;
  const border = Math.ceil(margin) + 1;
  const padded = withRows(ink, border);
  const inkWidth = Math.min(Math.max(1, rint(ink.width * scale)), LINE_IMAGE_MAX_LINE_WIDTH);
  const rows = /** @type {[number, number]} */ ([upper - margin + border, lower + margin + border]);
  const small = resizedRowsByTriangle(padded, rows, inkWidth, LINE_IMAGE_LINE_HEIGHT);
  let values = onGrid(small.values);
  if (largest(ink.values) >= 1) values = lightened(values);
  const width = Math.max(inkWidth, LINE_IMAGE_MIN_LINE_WIDTH);
  const pixels = new Uint8Array(LINE_IMAGE_LINE_HEIGHT * width);
  values.forEach((value, i) => {
    pixels[Math.floor(i / inkWidth) * width + (i % inkWidth)] = rint(Math.fround(value * 255));
  });
  return { pixels, width, inkWidth, upper, scale };
}

/**
 * Subtract the paper and its shadows, and divide by the level of full ink.
 *
 * @param {FloatPlane} levels
 * @returns {FloatPlane} in 0…1
 */
function flattenedLight(levels) {
  const side = Math.floor(LINE_IMAGE_PAPER_SIDE_SHARE * levels.height) | 1;
  const paper = opened(blurred(levels, LINE_IMAGE_PAPER_BLUR_RADIUS), side, side).values;
  const differences = levels.values.map((level, i) => level - paper[i]);
  const middle = percentile(differences, MEDIAN);
  const raised = differences.map((level) => Math.max(level - middle, 0));
  const split = Math.fround(otsu(raised));
  const strong = raised.filter((level) => level > split);
  const full = strong.length ? percentile(strong, LINE_IMAGE_FULL_INK_PERCENTILE) : 0;
  const divisor = Math.fround(Math.max(full, LINE_IMAGE_MIN_CONTRAST));
  return { ...levels, values: onGrid(raised.map((level) => Math.min(level / divisor, 1))) };
}

/**
 * The rows of the line; all rows if there is no ink.
 *
 * @param {FloatPlane} ink
 * @returns {[number, number]} the last exclusive
 */
function bandOf(ink) {
  const { height } = ink;
  const smooth = blurred(ink, 1);
  const strong = smooth.values.filter((_, i) => ink.values[i] >= LINE_IMAGE_STRONG_INK);
  const full = strong.length ? percentile(strong, LINE_IMAGE_FULL_INK_PERCENTILE) : 1;
  const isInk = above(smooth, LINE_IMAGE_BAND_THRESHOLD);
  if (full < LINE_IMAGE_THIN_INK) {
    for (const [i, bit] of above(ink, LINE_IMAGE_THIN_BAND_THRESHOLD).values.entries()) isInk.values[i] |= bit;
  }
  const { numbered, count } = pieces(isInk);
  const parts = boxes(numbered, count, ink.width).map(([left, upper, right, lower]) => {
    const part = { left, upper, right, lower, width: right - left, height: lower - upper };
    const isNeighbour = (upper === 0 || lower === height) && part.height < LINE_IMAGE_NEIGHBOUR_SHARE * height;
    return { ...part, isPossible: !isNeighbour && part.width <= LINE_IMAGE_MAX_ASPECT * part.height };
  });
  const possible = parts.filter((part) => part.isPossible && part.height >= LINE_IMAGE_MIN_REGION_SHARE * height);
  if (!possible.length) return [0, height];
  const least = LINE_IMAGE_MIN_HEIGHT_SHARE * Math.max(...possible.map((part) => part.height));
  const tall = possible.filter((part) => part.height >= least);
  const all = new Set(tall);
  for (const one of tall) {
    for (const part of parts) {
      const shared = Math.min(part.right, one.right) - Math.max(part.left, one.left);
      const gap = Math.max(part.upper - one.lower, one.upper - part.lower);
      const isPart = shared >= LINE_IMAGE_MIN_PART_OVERLAP * part.width && gap <= LINE_IMAGE_MAX_PART_GAP * one.height;
      if (part.isPossible && isPart) all.add(part);
    }
  }
  const band = [...all];
  return [Math.min(...band.map(({ upper }) => upper)), Math.max(...band.map(({ lower }) => lower))];
}

/**
 * @param {FloatPlane} plane
 * @param {number} rows of zeros above and below
 * @returns {FloatPlane}
 */
function withRows({ values, height, width }, rows) {
  const padded = new Float32Array((height + 2 * rows) * width);
  padded.set(values, rows * width);
  return { values: padded, height: height + 2 * rows, width };
}

/**
 * The scaled levels, lightened if thin strokes have faded.
 *
 * @param {Float32Array} levels
 * @returns {Float32Array}
 */
function lightened(levels) {
  const highest = largest(levels);
  if (highest <= 0) return levels;
  const least = Math.fround(LINE_IMAGE_STRONG_SHARE * highest);
  const strong = levels.filter((level) => level >= least);
  const full = percentile(strong, LINE_IMAGE_SCALED_INK_PERCENTILE);
  if (full >= 1) return levels;
  const divisor = Math.fround(Math.max(full, 1 / LINE_IMAGE_MAX_LIGHTENING));
  return onGrid(levels.map((level) => Math.min(level / divisor, 1)));
}
