/**
 * Driver of test_browser_numbers.py: for each line of stdin, a request, writes a line to stdout, the readings, as JSON.
 *
 * A request names a file with the RGBA bytes of several pictures, one after the other: `{"file": "…", "pictures":
 * [{"width": 3, "height": 2}, …]}`. The model is the one of tests/sequence_models.py, computed here.
 *
 * Usage: node read_numbers.mjs FOLDER FILE, with the folder of the JavaScript modules and a JSON file with the model:
 * `weights` (K + 1, 32, width), `bias`, `labels`, `columnPx`, `uncertainBelow`.
 */

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const folder = pathToFileURL(`${process.argv[2]}/`);
const { readNumbers } = await import(new URL("number_reader.js", folder));
const { findLines } = await import(new URL("lines.js", folder));
const { lineCrop } = await import(new URL("line_crop.js", folder));
const { lineImage, lineLevels } = await import(new URL("line_image.js", folder));
const { search } = await import(new URL("line_search.js", folder));
const { withoutIdleAlpha } = await import(new URL("transparency.js", folder));
const { weights, bias, ...model } = JSON.parse(readFileSync(process.argv[3], "utf-8"));

async function run(pixels, width) {
  const side = (weights[0][0].length - model.columnPx) / 2;
  const count = Math.floor((width + 2 * side - weights[0][0].length) / model.columnPx) + 1;
  const values = new Float32Array(count * weights.length);
  for (let column = 0; column < count; column += 1) {
    const scores = weights.map((rows, k) => bias[k] + score(rows, pixels, width, column * model.columnPx - side));
    const most = Math.max(...scores);
    const powers = scores.map((value) => Math.exp(value - most));
    const total = powers.reduce((one, other) => one + other);
    values.set(powers.map((power) => power / total), column * weights.length);
  }
  return { values, count, classes: weights.length };
}

function score(rows, pixels, width, left) {
  let total = 0;
  rows.forEach((row, y) => {
    row.forEach((weight, i) => {
      const x = left + i;
      if (x >= 0 && x < width) total += (weight * pixels[y * width + x]) / 255;
    });
  });
  return total;
}

async function read(picture) {
  const prepared = withoutIdleAlpha(picture);
  const lines = findLines(prepared).map((line) => {
    const { pixels, width } = lineImage(lineLevels(lineCrop(prepared, line).picture));
    return { ...line, image: Buffer.from(pixels).toString("hex"), width };
  });
  return { found: lines, ...(await readNumbers(picture, { ...model, run })) };
}

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  if (request.columns) {
    const { columns, labels } = request;
    const values = Float32Array.from(columns.flat());
    const found = search({ values, count: columns.length, classes: labels.length + 1 }, [...labels]);
    process.stdout.write(`${JSON.stringify(found)}\n`);
    continue;
  }
  const content = readFileSync(request.file);
  const readings = [];
  let end = 0;
  for (const { width, height } of request.pictures) {
    const start = end;
    end += 4 * width * height;
    readings.push(await read({ width, height, data: new Uint8ClampedArray(content.subarray(start, end)) }));
  }
  process.stdout.write(`${JSON.stringify(readings)}\n`);
}
