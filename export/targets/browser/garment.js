/**
 * From a picture of a garment to the form Fashion-MNIST's images have: `garment`.
 *
 * It gives what `digits_edge.runtime.preprocessing.garment` gives for the same pixels; the recipe is told there.
 */

import { IMAGE_SIDE, blank, placed } from "./canonical.js";
import { bounds, flattened, reduced, resized, withoutIdleAlpha } from "./ink.js";
import { percentileOfColours, pieces } from "./morphology.js";
import { GRID, mixed, rint } from "./numeric.js";

const GROUND_TOLERANCE = 12.75;
const SMALLEST_PIECE = 0.02;
const LUMINANCE = [1225 / GRID, 2404 / GRID, 467 / GRID];

/**
 * Bring a picture of one garment on a plain ground to the Fashion-MNIST form.
 *
 * @param {import("./ink.js").Picture} picture RGBA with straight alpha, as an ImageData: the garment alone, on a ground
 *   of one colour, light or dark
 * @returns {import("./canonical.js").Canonical} blank if nothing in the picture differs from its ground
 * @throws {RangeError} if the data are not width × height × 4 values
 */
export function garment(picture) {
  const prepared = withoutIdleAlpha(picture);
  const colours = flattened(reduced(prepared, [0, 0, prepared.width, prepared.height]));
  const ground = percentileOfColours(borderColours(colours), 50);
  const mask = withoutSpecks(differing(colours, ground));
  if (!mask.values.includes(1)) return blank();
  const box = boxIn(prepared, mask);
  const [width, height] = [box[2] - box[0], box[3] - box[1]];
  const scale = IMAGE_SIDE / Math.max(width, height);
  const size = [Math.max(1, rint(width * scale)), Math.max(1, rint(height * scale))];
  const away = fromGround(flattened(resized(prepared, box, size)), ground);
  const [left, upper] = [Math.floor((IMAGE_SIDE - size[0]) / 2), Math.floor((IMAGE_SIDE - size[1]) / 2)];
  return { image: placed(away, left, upper), blank: false, box };
}

function borderColours({ values, height, width }) {
  const row = 3 * width;
  const edge = new Float32Array(2 * row + 6 * height);
  edge.set(values.subarray(0, row));
  edge.set(values.subarray(values.length - row), row);
  for (let y = 0; y < height; y += 1) {
    edge.set(values.subarray(y * row, y * row + 3), 2 * row + 6 * y);
    edge.set(values.subarray((y + 1) * row - 3, (y + 1) * row), 2 * row + 6 * y + 3);
  }
  return edge;
}

function differing({ values, height, width }, ground) {
  const mask = new Uint8Array(height * width);
  values.forEach((value, i) => {
    if (Math.fround(Math.abs(value - ground[i % 3])) > GROUND_TOLERANCE) mask[Math.floor(i / 3)] = 1;
  });
  return { values: mask, height, width };
}

function withoutSpecks(mask) {
  const { numbered, count } = pieces(mask);
  const sizes = new Int32Array(count + 1);
  for (const number of numbered) if (number) sizes[number] += 1;
  const least = SMALLEST_PIECE * sizes.reduce((most, size) => Math.max(most, size));
  return { ...mask, values: mask.values.map((_, i) => (numbered[i] && sizes[numbered[i]] >= least ? 1 : 0)) };
}

function boxIn(picture, mask) {
  const [left, upper, right, lower] = bounds(mask);
  const [xScale, yScale] = [picture.width / mask.width, picture.height / mask.height];
  return [Math.floor(left * xScale), Math.floor(upper * yScale), rint(right * xScale), rint(lower * yScale)];
}

/** How far each pixel's luminance is from the ground's, 0…255 where that is as far as it can be. */
function fromGround(colours, ground) {
  const [zero] = mixed({ values: ground, height: 1, width: 1 }, LUMINANCE);
  const groundIsLight = zero > 127;
  const scale = 255 / (groundIsLight ? zero : 255 - zero);
  const away = mixed(colours, LUMINANCE).map((level) => {
    const difference = groundIsLight ? zero - level : level - zero;
    return Math.min(Math.max(difference * scale, 0), 255);
  });
  return { ...colours, values: Float32Array.from(away) };
}
