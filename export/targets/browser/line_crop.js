/**
 * Crops of lines and turned pictures: `lineCrop`, `inPicture`, `turned`, `turnedBack`.
 * runtime/reader/line_crop.py gives the reasons for the method.
 *
 * @typedef {import("./ink.js").Prepared} Prepared
 * @typedef {import("./lines.js").FoundLine} FoundLine
 * @typedef {import("./morphology.js").Box} Box
 * @typedef {{picture: Prepared, left: number, upper: number, slope: number}} LineCrop the horizontal line, its left
 *   edge in the picture, its upper edge at half of the width, and the slope that was removed
 * @typedef {{width: number, height: number}} Size
 */

import { LINE_CROP_MARGIN_ACROSS, LINE_CROP_MARGIN_ALONG } from "./constants.js";
import { rint } from "./numeric.js";
import { withoutIdleAlpha } from "./transparency.js";

/**
 * Cut a line out of a picture, with a margin, and shear it until it is horizontal.
 *
 * @param {Prepared} picture
 * @param {FoundLine} line
 * @returns {LineCrop}
 */
export function lineCrop(picture, { box, slope }) {
  const [left, upper, right, lower] = box;
  if (left === 0 && upper === 0 && right === picture.width && lower === picture.height) {
    return { picture, left: 0, upper: 0, slope: 0 };
  }
  const height = Math.max(1, lower - upper - Math.abs(slope) * (right - left));
  const [across, along] = [LINE_CROP_MARGIN_ACROSS * height, LINE_CROP_MARGIN_ALONG * height];
  const x0 = Math.max(0, Math.trunc(left - along));
  const x1 = Math.min(picture.width, Math.ceil(right + along));
  if (!slope) {
    const y0 = Math.max(0, Math.trunc(upper - across));
    const y1 = Math.min(picture.height, Math.ceil(lower + across));
    return { picture: cropped(picture, [x0, y0, x1, y1]), left: x0, upper: y0, slope: 0 };
  }
  const top = (upper + lower) / 2 - height / 2 - across;
  const centre = (left + right) / 2;
  const size = { width: x1 - x0, height: rint(height + 2 * across) };
  const fill = medianColour(cropped(picture, box).data);
  const data = sheared(picture, size, x0, top + slope * (x0 - centre), slope, fill);
  const middle = top + slope * (x0 + (x1 - x0) / 2 - centre);
  return { picture: withoutIdleAlpha({ ...size, data }), left: x0, upper: middle, slope };
}

/**
 * The bounding box in the picture of a box in a crop.
 *
 * @param {LineCrop} crop
 * @param {Box} box
 * @param {Size} size of the picture
 * @returns {Box}
 */
export function inPicture(crop, [left, upper, right, lower], { width, height }) {
  const falls = [left, right].map((x) => crop.slope * (x - crop.picture.width / 2));
  const x0 = clamp(Math.floor(crop.left + left), width);
  const y0 = clamp(Math.floor(crop.upper + upper + Math.min(...falls)), height);
  return [
    x0,
    y0,
    Math.min(Math.max(Math.ceil(crop.left + right), x0 + 1), width),
    Math.min(Math.max(Math.ceil(crop.upper + lower + Math.max(...falls)), y0 + 1), height),
  ];
}

/**
 * Turn a picture clockwise.
 *
 * @param {Prepared} picture
 * @param {90 | 180 | 270} degrees
 * @returns {Prepared}
 */
export function turned({ width, height, data }, degrees) {
  const size = degrees === 180 ? { width, height } : { width: height, height: width };
  const [from, to] = [pixelsOf(data), new Uint32Array(width * height)];
  for (let y = 0, i = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1, i += 1) {
      const [left, upper] = turnedBack([x, y, x + 1, y + 1], /** @type {90 | 180 | 270} */ (360 - degrees), size);
      to[upper * size.width + left] = from[i];
    }
  }
  return withoutIdleAlpha({ ...size, data: new Uint8Array(to.buffer) });
}

/**
 * A box of a turned picture in the picture before.
 *
 * @param {Box} box
 * @param {90 | 180 | 270} degrees that the picture was turned clockwise
 * @param {Size} size of the picture before
 * @returns {Box}
 */
export function turnedBack([left, upper, right, lower], degrees, { width, height }) {
  if (degrees === 180) return [width - right, height - lower, width - left, height - upper];
  if (degrees === 90) return [upper, height - right, lower, height - left];
  return [width - lower, left, width - upper, right];
}

/**
 * @param {Prepared} picture
 * @param {Box} box
 * @returns {Prepared}
 */
function cropped({ width, data }, [left, upper, right, lower]) {
  const line = 4 * (right - left);
  const found = new Uint8Array(line * (lower - upper));
  for (let y = upper; y < lower; y += 1) {
    const start = 4 * (y * width + left);
    found.set(data.subarray(start, start + line), (y - upper) * line);
  }
  return withoutIdleAlpha({ width: right - left, height: lower - upper, data: found });
}

/**
 * Sample a picture along slanted rows, bilinearly.
 *
 * @param {Prepared} picture
 * @param {Size} size of the result
 * @param {number} left column of the picture at the left edge
 * @param {number} top row of the picture at the upper left corner
 * @param {number} slope
 * @param {number[]} fill colour beyond the edges of the picture
 * @returns {Uint8Array} RGBA
 */
function sheared({ width, height, data }, size, left, top, slope, fill) {
  const found = new Uint8Array(4 * size.width * size.height);
  for (let y = 0, to = 0; y < size.height; y += 1) {
    for (let x = 0; x < size.width; x += 1, to += 4) {
      const row = slope * (x + 0.5) + y + 0.5 + top;
      if (row < 0 || row >= height) {
        found.set(fill, to);
        continue;
      }
      const above = Math.floor(row - 0.5);
      const rest = row - 0.5 - above;
      const [one, other] = [clamp(above, height), clamp(above + 1, height)].map((at) => 4 * (at * width + left + x));
      for (let c = 0; c < 4; c += 1) {
        found[to + c] = Math.trunc(data[one + c] + (data[other + c] - data[one + c]) * rest);
      }
    }
  }
  return found;
}

/** @param {Uint8Array | Uint8ClampedArray} data RGBA @returns {number[]} */
function medianColour(data) {
  return [0, 1, 2, 3].map((channel) => {
    const values = Uint8Array.from({ length: data.length / 4 }, (_, i) => data[4 * i + channel]).sort();
    const middle = values.length >> 1;
    return values.length % 2 ? values[middle] : Math.trunc((values[middle - 1] + values[middle]) / 2);
  });
}

/** @param {Uint8Array | Uint8ClampedArray} data RGBA @returns {Uint32Array} a value for each pixel */
function pixelsOf(data) {
  return new Uint32Array(Uint8Array.from(data).buffer);
}

/** @param {number} position @param {number} length */
function clamp(position, length) {
  return Math.min(Math.max(position, 0), length - 1);
}
