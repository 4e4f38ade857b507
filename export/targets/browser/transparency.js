/**
 * Pictures with an alpha channel: `withoutIdleAlpha`, `inkMargin`, `padded`, `flattened`.
 *
 * The opaque part of such a picture is the ink itself, as a signature pad exports it, or paper with ink on it.
 * runtime/preprocessing/transparency.py gives the reasons for the method.
 *
 * @typedef {import("./ink.js").Picture} Picture
 * @typedef {import("./ink.js").Prepared} Prepared
 * @typedef {import("./morphology.js").FloatPlane} FloatPlane
 */

import {
  INK_MARGIN_DIVISOR,
  INK_TOLERANCE,
  MAX_DIFFERING_SHARE,
  MAX_INK_FILL,
  MAX_OPAQUE_STROKE,
  MEDIAN,
  MID_GREY,
  MIN_TOTAL_ALPHA,
  OPAQUE_ALPHA,
} from "./constants.js";
import { percentileOfColours, running } from "./morphology.js";
import { onGrid, rint, sum } from "./numeric.js";
import { premultiplied } from "./resampling.js";

/**
 * Check a picture and premultiply its colours by alpha if any pixel is transparent.
 *
 * @param {Picture} picture
 * @returns {Prepared}
 * @throws {RangeError} if the data are not width × height × 4 values
 */
export function withoutIdleAlpha({ width, height, data }) {
  if (!(width > 0 && height > 0) || data.length !== 4 * width * height) {
    throw new RangeError(`${data.length} values are not an RGBA picture of ${width}×${height} pixels`);
  }
  return { width, height, data, premultiplied: isOpaque(data) ? null : premultiplied(data) };
}

/**
 * Compute the width of the transparent margin that a picture needs, in pixels: a quarter of the longer side if most of
 * the picture is opaque and this part is ink; otherwise 0.
 *
 * @param {Prepared} picture
 * @returns {number}
 */
export function inkMargin({ width, height, data, premultiplied: product }) {
  if (product === null) return 0;
  const isOpaque = opaquePart(alphaOf(data));
  const isCroppedInk = 2 * sum(isOpaque) > isOpaque.length && !isPaper({ width, height, data }, isOpaque);
  return isCroppedInk ? Math.floor(Math.max(width, height) / INK_MARGIN_DIVISOR) : 0;
}

/**
 * Add a transparent margin on each side.
 *
 * @param {Prepared} picture
 * @param {number} margin in pixels
 * @returns {Prepared}
 */
export function padded({ width, height, data, premultiplied: product }, margin) {
  if (margin === 0) return { width, height, data, premultiplied: product };
  const wide = width + 2 * margin;
  const around = new Uint8Array(4 * wide * (height + 2 * margin));
  for (let y = 0; y < height; y += 1) {
    around.set(data.subarray(4 * y * width, 4 * (y + 1) * width), 4 * ((y + margin) * wide + margin));
  }
  return { width: wide, height: height + 2 * margin, data: around, premultiplied: around };
}

/**
 * Composite the picture on an opaque background.
 *
 * If the opaque part is ink, the background is black or white, whichever contrasts more. If it is paper, the paper's
 * colour fills the transparent parts.
 *
 * @param {Prepared} picture
 * @returns {FloatPlane} (H, W, 3)
 */
export function flattened({ width, height, data, premultiplied: product }) {
  const colours = new Float32Array(3 * width * height);
  for (let i = 0, c = 0; c < colours.length; i += 1) if ((i & 3) !== 3) colours[c++] = data[i];
  const values = product === null ? colours : onGround(colours, alphaOf(data), { data, width, height });
  return { values, height, width };
}

/**
 * @param {Picture["data"]} data
 * @returns {boolean}
 */
function isOpaque(data) {
  for (let i = 3; i < data.length; i += 4) if (data[i] !== 255) return false;
  return true;
}

/**
 * @param {Picture["data"]} data
 * @returns {Float32Array} (H, W) in 0…1
 */
function alphaOf(data) {
  return new Float32Array(data.length / 4).map((_, i) => data[4 * i + 3] / 255);
}

/**
 * @param {Float32Array} alpha (H, W)
 * @returns {Uint8Array} (H, W)
 */
function opaquePart(alpha) {
  return Uint8Array.from(alpha, (share) => (share > OPAQUE_ALPHA ? 1 : 0));
}

/**
 * Whether an opaque part that is more than half of the picture is paper: wider than strokes, or a narrow card.
 *
 * @param {Picture} picture
 * @param {Uint8Array} isOpaque (H, W)
 * @returns {boolean}
 */
function isPaper({ width, height, data }, isOpaque) {
  const side = Math.floor(MAX_OPAQUE_STROKE * Math.max(width, height)) | 1;
  if (running("minimum", framed(isOpaque, width, height), side, side).values.includes(1)) return true;
  const count = sum(isOpaque);
  if (count <= MAX_INK_FILL * isOpaque.length) return false;
  const colours = new Float32Array(3 * count);
  for (let i = 0, c = 0; i < isOpaque.length; i += 1) {
    if (isOpaque[i]) for (let channel = 0; channel < 3; channel += 1, c += 1) colours[c] = data[4 * i + channel];
  }
  const paper = percentileOfColours(colours, MEDIAN);
  let differing = 0;
  for (let c = 0; c < colours.length; c += 3) {
    if ([0, 1, 2].some((channel) => Math.abs(colours[c + channel] - paper[channel]) > INK_TOLERANCE)) differing += 1;
  }
  return differing > MAX_DIFFERING_SHARE * count;
}

/**
 * A mask with a frame of zeros of one pixel.
 *
 * @param {Uint8Array} mask (H, W)
 * @param {number} width
 * @param {number} height
 * @returns {import("./morphology.js").Mask}
 */
function framed(mask, width, height) {
  const values = new Uint8Array((width + 2) * (height + 2));
  for (let y = 0; y < height; y += 1) {
    values.set(mask.subarray(y * width, (y + 1) * width), (y + 1) * (width + 2) + 1);
  }
  return { values, height: height + 2, width: width + 2 };
}

/**
 * @param {Float32Array} colours (H, W, 3)
 * @param {Float32Array} alpha (H, W)
 * @param {Picture} picture
 * @returns {Float32Array} (H, W, 3)
 */
function onGround(colours, alpha, picture) {
  const inked = colours.map((value, i) => value * alpha[Math.floor(i / 3)]);
  const isOpaque = opaquePart(alpha);
  if (2 * sum(isOpaque) > alpha.length && isPaper(picture, isOpaque)) {
    const opaque = colours.filter((_, i) => isOpaque[Math.floor(i / 3)]);
    return onPaper(inked, alpha, percentileOfColours(opaque, MEDIAN));
  }
  const totalAlpha = (3 * sum(alpha.map((share) => rint(share * 255)))) / 255;
  const ground = sum(onGrid(inked)) / Math.max(totalAlpha, MIN_TOTAL_ALPHA) > MID_GREY ? 0 : 255;
  return onGrid(Float64Array.from(inked, (value, i) => value + ground * Math.fround(1 - alpha[Math.floor(i / 3)])));
}

/**
 * @param {Float32Array} inked (H, W, 3)
 * @param {Float32Array} alpha (H, W)
 * @param {Float32Array} paper (3,)
 * @returns {Float32Array} (H, W, 3)
 */
function onPaper(inked, alpha, paper) {
  return onGrid(
    inked.map((value, i) => value + Math.fround(paper[i % 3] * Math.fround(1 - alpha[Math.floor(i / 3)]))),
  );
}
