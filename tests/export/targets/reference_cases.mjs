/**
 * Compare the preprocessing in JavaScript with the reference cases, bit for bit.
 *
 * Usage: node reference_cases.mjs FOLDER FILE, with the folder of the JavaScript modules and
 * tests/data/preprocessing_cases.json. Prints each case that differs; the exit code is 1 if there are any.
 */

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { inflateSync } from "node:zlib";

const [folderPath, casesPath] = process.argv.slice(2);
const folder = pathToFileURL(`${folderPath}/`);
const { applySteps } = await import(new URL("steps.js", folder));

function problem({ steps, input, width, height, pixels, image, blank, box, boxes }) {
  const data = new Uint8ClampedArray(inflateSync(Buffer.from(pixels, "base64")));
  const found = applySteps({ width, height, data }, steps, input);
  if (found.blank !== blank) return `blank is ${found.blank}, expected ${blank}`;
  if (JSON.stringify(found.box) !== JSON.stringify(box)) return `box is [${found.box}], expected [${box}]`;
  if (JSON.stringify(found.boxes) !== JSON.stringify(boxes)) return `boxes are ${JSON.stringify(found.boxes)}`;
  const expected = Buffer.from(image, "base64");
  const differing = expected.filter((value, i) => value !== found.image[i]).length;
  return differing || found.image.length !== expected.length ? `${differing} pixels of the image differ` : null;
}

const cases = JSON.parse(readFileSync(casesPath, "utf-8"));
for (const reference of cases) {
  const difference = problem(reference);
  if (difference === null) continue;
  console.log(`${reference.format}, ${reference.name}: ${difference}`);
  process.exitCode = 1;
}
console.log(`${cases.length} cases compared`);
