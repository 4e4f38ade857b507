/**
 * Answers test_browser_preprocessing.py: on each line of stdin a request, on each line of stdout its answers, as JSON.
 *
 * A request names a file that holds the RGBA bytes of some pictures, one after the other, and says for each what is to
 * be done: `{"file": "…", "pictures": [{"what": "canonical", "width": 3, "height": 2}, …]}`. For "resized" it also has
 * `region` and `size`, and the answer is straight RGBA. Bytes are answered in hexadecimal, an error as
 * `{"error": "…"}`.
 */

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const folder = pathToFileURL(`${process.argv[2]}/`);
const { canonical } = await import(new URL("canonical.js", folder));
const { garment } = await import(new URL("garment.js", folder));
const { resized, withoutIdleAlpha } = await import(new URL("ink.js", folder));

const WHAT = {
  canonical,
  garment,
  resized: (picture, { region, size }) => ({ pixels: resized(withoutIdleAlpha(picture), region, size).data }),
};

function answers({ file, pictures }) {
  const content = readFileSync(file);
  let end = 0;
  return pictures.map((request) => {
    const start = end;
    end += 4 * request.width * request.height;
    const { width, height } = request;
    const picture = { width, height, data: new Uint8ClampedArray(content.subarray(start, end)) };
    return answer(picture, request);
  });
}

function answer(picture, request) {
  try {
    return withHexadecimals(WHAT[request.what](picture, request));
  } catch (error) {
    return { error: `${error.name}: ${error.message}` };
  }
}

function withHexadecimals(found) {
  const bytes = (value) => (ArrayBuffer.isView(value) ? Buffer.from(value).toString("hex") : value);
  return Object.fromEntries(Object.entries(found).map(([name, value]) => [name, bytes(value)]));
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(answers(JSON.parse(line)))}\n`);
}
