/**
 * Reading of the numbers in a picture: `readNumbers`. runtime/reader/reader.py and line_reader.py give the reasons for
 * the method.
 *
 * @typedef {import("./ink.js").Picture} Picture
 * @typedef {import("./ink.js").Prepared} Prepared
 * @typedef {import("./line_crop.js").LineCrop} LineCrop
 * @typedef {import("./line_image.js").LineImage} LineImage
 * @typedef {import("./line_search.js").Columns} Columns
 * @typedef {import("./line_search.js").Hypothesis} Hypothesis
 * @typedef {import("./line_search.js").Span} Span
 * @typedef {import("./lines.js").FoundLine} FoundLine
 * @typedef {import("./morphology.js").Box} Box
 * @typedef {import("./numbers_view.js").Line} Line
 * @typedef {{
 *   labels: string[],
 *   columnPx: number,
 *   uncertainBelow: number,
 *   run: (pixels: Uint8Array, width: number) => Promise<Columns>,
 * }} LineModel its labels, the width of a column in pixels, the confidence below which a number is uncertain, and a
 *   function that computes the columns of a line image, (32, W)
 */

import {
  LINE_IMAGE_INK_HEIGHT,
  LINE_IMAGE_LINE_HEIGHT,
  LINE_READER_INK_LEVEL,
  LINE_READER_MAX_ALTERNATIVES,
  LINE_READER_MAX_INK_GAP,
  LINE_READER_MIN_ALTERNATIVE,
  LINE_READER_MIN_CHARACTER,
  LINE_READER_NO_NUMBER,
  LINE_READER_READ_AGAIN_BELOW,
  LINE_READER_SLANT_SHARES,
  LINE_READER_WIDENINGS,
  READER_MIN_TURNED,
  READER_MIN_TURNED_DIGITS,
  READER_TURN_BELOW,
  READER_TURN_FACTOR,
} from "./constants.js";
import { findInk } from "./ink.js";
import { inPicture, lineCrop, turned, turnedBack } from "./line_crop.js";
import { lineImage, lineLevels } from "./line_image.js";
import { emptyProbability, search, spans } from "./line_search.js";
import { findLines } from "./lines.js";
import { slantOf, withoutSlant } from "./slant.js";
import { withoutIdleAlpha } from "./transparency.js";

const TURNS = /** @type {const} */ ([90, 270, 180]);
/** Digits that are digits upside down, too. */
const ALSO_UPSIDE_DOWN = "01689";

/**
 * Read the numbers in a picture.
 *
 * @param {Picture} picture RGBA with straight alpha
 * @param {LineModel} model
 * @returns {Promise<{status: string, lines: Line[]}>} boxes are in pixels of the picture
 */
export async function readNumbers(picture, model) {
  const prepared = withoutIdleAlpha(picture);
  const found = findLines(prepared);
  const upright = await readLines(prepared, found, model);
  if (!found.length || confidenceOf(upright.lines) >= READER_TURN_BELOW) return upright;
  let best = upright;
  for (const degrees of TURNS) {
    const page = turned(prepared, degrees);
    const lines = findLines(page);
    if (Math.max(0, ...lines.map(({ parts }) => parts)) < READER_MIN_TURNED_DIGITS) continue;
    const reading = await readLines(page, lines, model);
    const confidence = confidenceOf(reading.lines);
    const least = Math.max(
      READER_MIN_TURNED,
      confidenceOf(best.lines),
      READER_TURN_FACTOR * confidenceOf(upright.lines),
    );
    if (!isTurned(reading.lines, degrees) || confidence <= least) continue;
    const back = (/** @type {number[]} */ box) => turnedBack(/** @type {Box} */ (box), degrees, prepared);
    const moved = reading.lines.map((line) => ({
      ...line,
      box: back(line.box),
      digits: line.digits.map((digit) => ({ ...digit, box: back(digit.box) })),
    }));
    best = { ...reading, lines: moved };
  }
  return best;
}

/**
 * @param {Prepared} picture
 * @param {FoundLine[]} found
 * @param {LineModel} model
 * @returns {Promise<{status: string, lines: Line[]}>}
 */
async function readLines(picture, found, model) {
  const lines = [];
  for (const each of found) lines.push(await readLine(picture, each, model));
  const numbers = lines.filter(({ status }) => status === "ok" || status === "uncertain");
  const statuses = (numbers.length ? numbers : lines).map(({ status }) => status);
  const status = ["uncertain", "ok", "not-a-number"].find((each) => statuses.includes(each)) ?? "blank";
  return { status, lines: numbers };
}

/**
 * @param {Prepared} picture
 * @param {FoundLine} found
 * @param {LineModel} model
 * @returns {Promise<Line>}
 */
async function readLine(picture, found, model) {
  const crop = lineCrop(picture, found);
  const levels = lineLevels(crop.picture);
  const image = lineImage(levels);
  const columns = await model.run(image.pixels, image.width);
  if (emptyProbability(columns) > LINE_READER_NO_NUMBER) return withoutNumber(picture, found);
  const asWritten = search(columns, model.labels);
  let numbers = byValue([asWritten]);
  if (numbers[0].confidence < LINE_READER_READ_AGAIN_BELOW) {
    const slant = slantOf(image.pixels, image.width);
    const readings = [asWritten];
    for (const [i, share] of LINE_READER_SLANT_SHARES.entries()) {
      const form = withoutSlant(image.pixels, image.width, share * slant, LINE_READER_WIDENINGS[i]);
      readings.push(search(await model.run(form.pixels, form.width), model.labels));
    }
    numbers = byValue(readings);
  }
  const [best, ...others] = numbers;
  if (!/[0-9]/.test(best.text) || !isLikely(best)) return withoutNumber(picture, found);
  const place = { crop, image, levels };
  const placed = boxesOf(place, spans(columns, model.labels, best.text), model.columnPx, picture);
  return {
    text: best.text,
    confidence: best.confidence,
    status: best.confidence < model.uncertainBelow ? "uncertain" : "ok",
    box: found.box,
    digits: placed.map(({ confidence, box }, i) => ({ digit: best.text[i], confidence, box })),
    alternatives: others
      .slice(0, LINE_READER_MAX_ALTERNATIVES)
      .filter(({ text, confidence }) => text && confidence >= LINE_READER_MIN_ALTERNATIVE),
  };
}

/**
 * The numbers of one or several readings of a line, the most probable first: for each value, the most probable text with
 * the probability of all its texts, on average over the readings.
 *
 * @param {Hypothesis[][]} readings
 * @returns {Hypothesis[]}
 */
function byValue(readings) {
  /** @type {Map<string, Map<string, number>>} */
  const texts = new Map();
  for (const numbers of readings) {
    for (const { text, confidence } of numbers) {
      const same = texts.get(valueOf(text)) ?? new Map();
      same.set(text, (same.get(text) ?? 0) + confidence / readings.length);
      texts.set(valueOf(text), same);
    }
  }
  return [...texts.values()]
    .map((same) => {
      const ranked = [...same].sort((one, other) => other[1] - one[1]);
      return { text: ranked[0][0], confidence: Math.min(1, ranked.reduce((sum, [, each]) => sum + each, 0)) };
    })
    .sort((one, other) => other.confidence - one.confidence);
}

/**
 * The digits of a text, with a point before one or two decimals; other separators do not change the number.
 *
 * @param {string} text
 * @returns {string}
 */
function valueOf(text) {
  const number = text.replace(/^[^0-9]+/, "").replace(/[^0-9]+$/, "");
  const decimals = /[.,]([0-9]{1,2})$/.exec(number)?.[1] ?? "";
  const digits = number.replace(/[^0-9]/g, "");
  return decimals ? `${digits.slice(0, -decimals.length)}.${decimals}` : digits;
}

/** @param {{text: string, confidence: number}} number @returns {boolean} whether it is a number at all */
function isLikely({ text, confidence }) {
  return confidence >= LINE_READER_MIN_CHARACTER ** text.length;
}

/**
 * @param {Prepared} picture
 * @param {FoundLine} found
 * @returns {Line}
 */
function withoutNumber(picture, { box }) {
  const status = findInk(picture, box).box === null ? "blank" : "not-a-number";
  return { text: "", confidence: 0, status, box, digits: [], alternatives: [] };
}

/**
 * The box of each character: the ink between the middles of the gaps to its neighbours.
 *
 * @param {{crop: LineCrop, image: LineImage, levels: {height: number}}} place
 * @param {Span[]} found
 * @param {number} columnPx
 * @param {Prepared} picture
 * @returns {{confidence: number, box: Box}[]}
 */
function boxesOf({ crop, image, levels }, found, columnPx, picture) {
  const peaks = found.map(({ peak }) => (peak + 0.5) * columnPx);
  const edges = [0, ...peaks.slice(1).map((peak, i) => (peaks[i] + peak) / 2), image.width];
  const xScale = crop.picture.width / image.inkWidth;
  const rowScale = crop.picture.height / levels.height;
  const yScale = rowScale / image.scale;
  const top = (image.upper - (LINE_IMAGE_LINE_HEIGHT - LINE_IMAGE_INK_HEIGHT) / 2 / image.scale) * rowScale;
  return found.map(({ confidence }, i) => {
    const left = Math.trunc(edges[i]);
    const right = Math.max(Math.ceil(edges[i + 1]), left + 1);
    const [x0, y0, x1, y1] = inkBox(image, left, right, Math.trunc(peaks[i]));
    const box = /** @type {Box} */ ([x0 * xScale, top + y0 * yScale, x1 * xScale, top + y1 * yScale]);
    return { confidence, box: inPicture(crop, box, picture) };
  });
}

/**
 * The ink in a range of columns around a peak.
 *
 * @param {LineImage} image
 * @param {number} left
 * @param {number} right
 * @param {number} peak
 * @returns {Box}
 */
function inkBox({ pixels, width }, left, right, peak) {
  const isInk = (/** @type {number} */ x, /** @type {number} */ y) => pixels[y * width + x] >= LINE_READER_INK_LEVEL;
  const rows = [...Array(LINE_IMAGE_LINE_HEIGHT).keys()];
  const columns = [];
  for (let x = left; x < Math.min(right, width); x += 1) if (rows.some((y) => isInk(x, y))) columns.push(x);
  if (!columns.length) return [left, 0, right, LINE_IMAGE_LINE_HEIGHT];
  const runs = /** @type {number[][]} */ ([]);
  for (const x of columns) {
    const last = runs.at(-1);
    if (last && x - last[last.length - 1] <= LINE_READER_MAX_INK_GAP) last.push(x);
    else runs.push([x]);
  }
  const distance = (/** @type {number[]} */ run) => Math.max(run[0] - peak, peak - run[run.length - 1], 0);
  const run = runs.reduce((best, each) => (distance(each) < distance(best) ? each : best));
  const [first, last] = [run[0], run[run.length - 1]];
  const inked = rows.filter((y) => {
    for (let x = first; x <= last; x += 1) if (isInk(x, y)) return true;
    return false;
  });
  return [first, inked[0], last + 1, inked[inked.length - 1] + 1];
}

/** @param {Line[]} lines @returns {number} the mean confidence, weighted by their characters */
function confidenceOf(lines) {
  const characters = lines.reduce((total, { text }) => total + text.length, 0);
  return lines.reduce((total, { text, confidence }) => total + confidence * text.length, 0) / Math.max(1, characters);
}

/** @param {Line[]} lines @param {number} degrees @returns {boolean} whether they are evidence of such a turn */
function isTurned(lines, degrees) {
  const longest = lines.reduce((best, { text }) => (text.length > best.length ? text : best), "");
  const digits = [...longest].filter((character) => /[0-9]/.test(character));
  const isCertain = degrees !== 180 || digits.some((digit) => !ALSO_UPSIDE_DOWN.includes(digit));
  return digits.length >= READER_MIN_TURNED_DIGITS && isCertain;
}
