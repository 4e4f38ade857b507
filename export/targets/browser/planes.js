/**
 * Parts of planes: `above`, `border`, `cutOut`, `longerSide`, `selected`, `shareOf`.
 *
 * @typedef {import("./morphology.js").Box} Box
 * @typedef {import("./morphology.js").FloatPlane} FloatPlane
 * @typedef {import("./morphology.js").Mask} Mask
 */

/**
 * @template {import("./morphology.js").Values} A
 * @typedef {import("./morphology.js").PlaneOf<A>} PlaneOf
 */

import { emptyLike } from "./morphology.js";

/**
 * The mask of values above a threshold, which NumPy converts to float32 first.
 *
 * @param {FloatPlane} plane
 * @param {number} threshold
 * @returns {Mask}
 */
export function above({ values, height, width }, threshold) {
  const rounded = Math.fround(threshold);
  const mask = new Uint8Array(values.length);
  for (let i = 0; i < mask.length; i += 1) mask[i] = values[i] > rounded ? 1 : 0;
  return { values: mask, height, width };
}

/**
 * @template {import("./morphology.js").Values} A
 * @param {PlaneOf<A>} plane (H, W)
 * @returns {A} (2·W + 2·H,)
 */
export function border({ values, height, width }) {
  const edge = emptyLike(values, 2 * (height + width));
  edge.set(values.subarray(0, width));
  edge.set(values.subarray(values.length - width), width);
  for (let y = 0; y < height; y += 1) {
    edge[2 * width + y] = values[y * width];
    edge[2 * width + height + y] = values[(y + 1) * width - 1];
  }
  return edge;
}

/**
 * @template {import("./morphology.js").Values} A
 * @param {PlaneOf<A>} plane (H, W)
 * @param {Box} box
 * @returns {PlaneOf<A>}
 */
export function cutOut({ values, width }, [left, upper, right, lower]) {
  const cut = emptyLike(values, (right - left) * (lower - upper));
  for (let y = upper; y < lower; y += 1) {
    cut.set(values.subarray(y * width + left, y * width + right), (y - upper) * (right - left));
  }
  return { values: cut, height: lower - upper, width: right - left };
}

/**
 * @param {{height: number, width: number}} plane
 * @returns {number}
 */
export function longerSide({ height, width }) {
  return Math.max(height, width);
}

/**
 * The values where a mask is 1, or where it is 0.
 *
 * @param {Float32Array} values
 * @param {Uint8Array} mask
 * @param {0 | 1} wanted
 * @returns {Float32Array}
 */
export function selected(values, mask, wanted = 1) {
  const found = new Float32Array(values.length);
  let count = 0;
  for (let i = 0; i < mask.length; i += 1) if (mask[i] === wanted) found[count++] = values[i];
  return found.subarray(0, count);
}

/**
 * @param {Uint8Array} mask
 * @returns {number} the share of ones
 */
export function shareOf(mask) {
  return mask.reduce((total, value) => total + value, 0) / mask.length;
}
