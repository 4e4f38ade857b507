/**
 * The engine of the static site: runs model files in the browser with ONNX Runtime Web. It has the same interface as
 * the engine of the service's page, which it replaces.
 *
 * @typedef {import("./prediction_view.js").Reading} Reading
 * @typedef {import("./models.js").Model} Model
 * @typedef {{count: number, images: string, probabilities: string, tolerance: number}} Golden reference images and the
 *   probabilities of the Keras model, in base64
 * @typedef {Model & {
 *   file: string,
 *   integrity: string,
 *   golden: Golden,
 *   uncertain_below: number,
 * }} SiteModel an entry of models.json
 * @typedef {import("./numbers_view.js").ReaderModel & {
 *   file: string,
 *   integrity: string,
 *   golden: Golden & {shape: number[], classes: number},
 *   labels: string[],
 *   column_px: number,
 * }} SiteReader an entry of models.json for a model that reads numbers
 */

import * as ort from "../onnxruntime/ort.wasm.min.mjs";

import { MAX_PIXELS } from "./constants.js";
import { readsInk } from "./models.js";
import { readNumbers as readPicture } from "./number_reader.js";
import { occlusionMap } from "./occlusion.js";
import { applySteps } from "./steps.js";

/** Size of a canvas that every phone supports. */
const MAX_CANVAS_PIXELS = 16_000_000;
/** @type {ImageBitmapOptions} */
const UNCHANGED = { premultiplyAlpha: "none", colorSpaceConversion: "none" };
/** Calls in a measurement of the latency, because browsers reduce the resolution of their clocks; and measurements. */
const TIMED_CALLS = 10;
const MEASUREMENTS = 20;
/** Measurements stop after this time. */
const MAX_MEASURING_MS = 500;

ort.env.wasm.numThreads = 1; // small models finish before other threads have started
ort.env.wasm.wasmPaths = new URL("../onnxruntime/", import.meta.url).href;

/** @type {SiteModel[]} */
let models = [];
/** @type {SiteReader[]} */
let readers = [];
/** Sessions by the name of the model, from the first use of the model. @type {Map<string, Promise<ort.InferenceSession>>} */
const sessions = new Map();

/**
 * Load the first model. The others load when they are used first, so the page is usable as soon as possible.
 *
 * @returns {Promise<import("./prediction_view.js").Engine>}
 */
export async function openEngine() {
  ({ models, readers } = /** @type {{models: SiteModel[], readers: SiteReader[]}} */ (
    await (await fetched("models.json")).json()
  ));
  await load((models[0] ?? readers[0]).name);
  registerServiceWorker(); // later, because it downloads all files of the site
  return { models, readers, about: about(), load, read, readNumbers };
}

/**
 * Load a model, unless it is loaded, and complete its entry.
 *
 * @param {string} name of a model
 */
async function load(name) {
  const reader = readers.find((each) => each.name === name);
  if (reader) await openedReader(reader);
  else await opened(named(name));
}

/**
 * The session of a model that reads numbers, which is compared with its reference columns when it is opened.
 *
 * @param {SiteReader} reader
 * @returns {Promise<ort.InferenceSession>}
 */
function openedReader(reader) {
  let session = sessions.get(reader.name);
  if (!session) {
    session = checkedReader(reader);
    sessions.set(reader.name, session);
    session.catch(() => sessions.delete(reader.name)); // the next use tries again
  }
  return session;
}

/**
 * @param {SiteReader} reader
 * @returns {Promise<ort.InferenceSession>}
 */
async function checkedReader(reader) {
  const session = await ort.InferenceSession.create(await modelFile(reader));
  const { golden, name } = reader;
  const image = new ort.Tensor("uint8", await inflated(golden.images), [golden.count, ...golden.shape]);
  const expected = new Float32Array(bytes(golden.probabilities).buffer);
  refuseDifferences(name, (await session.run({ image })).columns.data, expected, golden.tolerance);
  return session;
}

/**
 * Read the numbers in a picture.
 *
 * @param {Blob | ImageData} picture
 * @param {{model: string}} options
 * @returns {Promise<import("./numbers_view.js").Numbers>}
 */
async function readNumbers(picture, { model: name }) {
  const reader = readers.find((each) => each.name === name);
  if (!reader) throw new Error(`There is no model ${name}.`);
  const session = await openedReader(reader);
  const pixels = picture instanceof Blob ? await decoded(picture) : picture;
  const height = reader.golden.shape[0];
  const reading = await readPicture(pixels, {
    labels: reader.labels,
    columnPx: reader.column_px,
    uncertainBelow: reader.uncertain_below,
    run: async (image, width) => {
      const { columns } = await session.run({ image: new ort.Tensor("uint8", image, [1, height, width]) });
      return { values: columns.data, count: columns.dims[1], classes: columns.dims[2] };
    },
  });
  return { model: name, width: pixels.width, height: pixels.height, ...reading };
}

/**
 * The session of a model, which is compared with the reference probabilities when it is opened.
 *
 * @param {SiteModel} model
 * @returns {Promise<ort.InferenceSession>}
 */
function opened(model) {
  let session = sessions.get(model.name);
  if (!session) {
    session = checkedSession(model);
    sessions.set(model.name, session);
    session.catch(() => sessions.delete(model.name)); // the next use tries again
  }
  return session;
}

/**
 * @param {SiteModel} model
 * @returns {Promise<ort.InferenceSession>}
 */
async function checkedSession(model) {
  const session = await ort.InferenceSession.create(await modelFile(model));
  await check(model, session);
  model.latency_us = await measuredUs(model, session);
  return session;
}

/**
 * Run a model.
 *
 * @param {string} name of a model
 * @param {Uint8Array} images (N, H, W) or (N, H, W, 3), inputs of the model
 * @returns {Promise<Float32Array>} N·C probabilities
 */
export async function probabilities(name, images) {
  const model = named(name);
  return run(model, await opened(model), images);
}

/**
 * @param {SiteModel} model
 * @param {ort.InferenceSession} session
 * @param {Uint8Array} images (N, H, W) or (N, H, W, 3)
 * @returns {Promise<Float32Array>} N·C probabilities
 */
async function run(model, session, images) {
  const { height, width, channels } = model.input;
  const shape = channels === 1 ? [height, width] : [height, width, channels];
  const image = new ort.Tensor("uint8", images, [images.length / valuesOf(model), ...shape]);
  return (await session.run({ image })).probabilities.data;
}

/**
 * @param {Blob | ImageData} picture
 * @param {import("./prediction_view.js").ReadOptions} options
 * @returns {Promise<Reading>}
 */
async function read(picture, { model: name, withMap }) {
  const model = named(name);
  await opened(model); // before decoding, so that an error of the model is reported first
  const pixels = picture instanceof Blob ? await decoded(picture) : picture;
  const prepared = applySteps(pixels, model.preprocessing, model.input);
  const reading = {
    model: name,
    labels: model.labels,
    provider: "wasm",
    width: pixels.width,
    height: pixels.height,
    box: prepared.box,
    boxes: prepared.boxes,
    image: prepared.image,
    map: null,
  };
  const isSeveral = prepared.boxes.length > 1;
  if (isSeveral || prepared.blank || (readsInk(model) && !prepared.image.some(Boolean))) {
    const none = model.labels.map(() => 0);
    const status = isSeveral ? "several" : "blank";
    return { ...reading, digit: null, label: null, confidence: 0, probabilities: none, status };
  }
  const found = await probabilities(name, prepared.image);
  const confidence = Math.max(...found);
  const digit = found.indexOf(confidence);
  return {
    ...reading,
    digit,
    label: model.labels[digit],
    confidence,
    probabilities: [...found],
    status: confidence < model.uncertain_below ? "uncertain" : "ok",
    map: withMap ? await mapOf(model, prepared.image, digit) : null,
  };
}

/**
 * @param {SiteModel} model
 * @param {Uint8Array} image
 * @param {number} index of a class
 */
function mapOf(model, image, index) {
  return occlusionMap((images) => probabilities(model.name, images), image, model.input, index);
}

/** @param {SiteModel} model */
function valuesOf({ input }) {
  return input.height * input.width * input.channels;
}

/** @param {string} name of a model */
function named(name) {
  const model = models.find((each) => each.name === name);
  if (!model) throw new Error(`There is no model ${name}.`);
  return model;
}

/**
 * The pixels of a picture file, rotated according to its EXIF orientation; reduced to the limit of phones.
 *
 * @param {Blob} blob
 * @returns {Promise<ImageData>}
 */
async function decoded(blob) {
  let bitmap = await bitmapOf(blob);
  try {
    const pixels = bitmap.width * bitmap.height;
    if (pixels > MAX_PIXELS) {
      const size = `${bitmap.width}×${bitmap.height}`;
      throw new Error(`The picture has ${size} pixels, more than ${MAX_PIXELS}; reduce it first.`);
    }
    if (pixels > MAX_CANVAS_PIXELS) {
      const resizeWidth = Math.floor(bitmap.width * Math.sqrt(MAX_CANVAS_PIXELS / pixels));
      const small = await createImageBitmap(bitmap, { ...UNCHANGED, resizeWidth, resizeQuality: "high" });
      bitmap.close();
      bitmap = small;
    }
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    if (!context) throw new Error("This browser cannot draw on a canvas; use another browser.");
    context.drawImage(bitmap, 0, 0);
    return context.getImageData(0, 0, bitmap.width, bitmap.height);
  } finally {
    bitmap.close();
  }
}

/**
 * @param {Blob} blob
 * @returns {Promise<ImageBitmap>}
 */
async function bitmapOf(blob) {
  try {
    return await createImageBitmap(blob, UNCHANGED);
  } catch {
    throw new Error("This browser cannot read the picture; save it as PNG or JPEG.");
  }
}

/**
 * @param {{file: string, integrity: string}} model
 * @returns {Promise<Uint8Array>}
 */
async function modelFile({ file, integrity }) {
  return new Uint8Array(await (await fetched(`models/${file}`, { integrity })).arrayBuffer());
}

/**
 * @param {string} path in the site
 * @param {RequestInit} options
 * @returns {Promise<Response>}
 */
async function fetched(path, options = {}) {
  let response;
  try {
    // bypasses the browser's cache, which may contain files of an earlier version of the site
    response = await fetch(new URL(`../${path}`, import.meta.url), { cache: "no-cache", ...options });
  } catch {
    throw new Error(`${path} could not be loaded or was changed; reload the page.`);
  }
  if (!response.ok) throw new Error(`${path} is missing (status ${response.status}); export the site again.`);
  return response;
}

/**
 * Compare a model's probabilities in this browser with those of the Keras model.
 *
 * @param {SiteModel} model
 * @param {ort.InferenceSession} session
 */
async function check(model, session) {
  const { name, labels, golden } = model;
  const expected = new Float32Array(bytes(golden.probabilities).buffer);
  const found = await run(model, session, await inflated(golden.images));
  if (found.length !== golden.count * labels.length) refuseDifferences(name, [], expected, 0);
  refuseDifferences(name, found, expected, golden.tolerance);
}

/** @param {string} text compressed and in base64 @returns {Promise<Uint8Array>} */
async function inflated(text) {
  const stream = new Blob([bytes(text)]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/**
 * @param {string} name of a model
 * @param {ArrayLike<number>} found
 * @param {Float32Array} expected
 * @param {number} tolerance
 */
function refuseDifferences(name, found, expected, tolerance) {
  let difference = found.length === expected.length ? 0 : Infinity;
  for (let i = 0; i < found.length; i += 1) difference = Math.max(difference, Math.abs(found[i] - expected[i]));
  if (!(difference <= tolerance)) {
    throw new Error(`The predictions of ${name} in this browser differ from the Keras model's; please report it.`);
  }
}

/**
 * The median latency of a prediction of one image.
 *
 * @param {SiteModel} model
 * @param {ort.InferenceSession} session
 * @returns {Promise<number>} in µs
 */
async function measuredUs(model, session) {
  const image = new Uint8Array(valuesOf(model));
  const times = /** @type {number[]} */ ([]);
  const end = performance.now() + MAX_MEASURING_MS;
  do {
    const started = performance.now();
    for (let call = 0; call < TIMED_CALLS; call += 1) await run(model, session, image);
    times.push(((performance.now() - started) * 1000) / TIMED_CALLS);
  } while (times.length < MEASUREMENTS && performance.now() < end);
  return times.sort((one, other) => one - other)[Math.floor(times.length / 2)];
}

/** @param {string} text in base64 */
function bytes(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

function about() {
  return [
    "Pictures are processed in this browser and are not sent anywhere. ",
    "Before a model is used, its probabilities for its reference images are compared with those of Keras.",
  ];
}

function registerServiceWorker() {
  navigator.serviceWorker?.register(new URL("../service-worker.js", import.meta.url)).catch(() => {
    // without a service worker, the page works online only
  });
}
