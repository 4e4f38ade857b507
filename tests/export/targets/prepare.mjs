/**
 * Driver of test_browser_preprocessing.py: for each line of stdin, a request, writes a line to stdout, the results, as
 * JSON.
 *
 * A request names a file with the RGBA bytes of several pictures, one after the other, and the operation for each:
 * `{"file": "…", "pictures": [{"operation": "toMnistFormat", "width": 3, "height": 2}, …]}`. For "resized" it also has
 * `region` and `size`, and the result is straight RGBA; for "applySteps" it has `steps` and `input`. Bytes are written
 * in hexadecimal, an error as `{"error": "…"}`.
 *
 * Usage: node prepare.mjs FOLDER, with the folder of the JavaScript modules.
 */

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const folder = pathToFileURL(`${process.argv[2]}/`);
const { resized } = await import(new URL("ink.js", folder));
const { toMnistFormat } = await import(new URL("mnist_format.js", folder));
const { toObjectFormat } = await import(new URL("plain_object.js", folder));
const { applySteps } = await import(new URL("steps.js", folder));
const { withoutIdleAlpha } = await import(new URL("transparency.js", folder));

const OPERATIONS = {
  toMnistFormat: (picture) => toMnistFormat(picture),
  toObjectFormat: (picture) => toObjectFormat(picture),
  applySteps: (picture, { steps, input }) => applySteps(picture, steps, input),
  resized: (picture, { region, size }) => ({ pixels: resized(withoutIdleAlpha(picture), region, size).data }),
};

function results({ file, pictures }) {
  const content = readFileSync(file);
  let end = 0;
  return pictures.map((request) => {
    const start = end;
    end += 4 * request.width * request.height;
    const { width, height } = request;
    const picture = { width, height, data: new Uint8ClampedArray(content.subarray(start, end)) };
    return result(picture, request);
  });
}

function result(picture, request) {
  try {
    return inHexadecimal(OPERATIONS[request.operation](picture, request));
  } catch (error) {
    return { error: `${error.name}: ${error.message}` };
  }
}

function inHexadecimal(found) {
  const bytes = (value) => (ArrayBuffer.isView(value) ? Buffer.from(value).toString("hex") : value);
  return Object.fromEntries(Object.entries(found).map(([name, value]) => [name, bytes(value)]));
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(results(JSON.parse(line)))}\n`);
}
