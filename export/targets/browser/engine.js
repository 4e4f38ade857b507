/**
 * What reads the pictures: ONNX Runtime Web with the model file, here in the browser. It has the form of the service's
 * engine, which stands in its place on the service's page.
 */

import * as ort from "../onnxruntime/ort.wasm.min.mjs";

import { canonical } from "./canonical.js";
import { garment } from "./garment.js";
import { occlusionMap } from "./occlusion.js";

const SIDE = 28;
const PIXELS = SIDE * SIDE;
/** As the Python runtime has it: more is no picture of a digit. */
const MOST_PIXELS = 60_000_000;
/** What a canvas holds on every telephone. */
const MOST_CANVAS_PIXELS = 16_000_000;
const AS_IT_IS = { premultiplyAlpha: "none", colorSpaceConversion: "none" };
const TIMED_ANSWERS = 20;

ort.env.wasm.numThreads = 1; // a model this small is done before threads have been woken
ort.env.wasm.wasmPaths = new URL("../onnxruntime/", import.meta.url).href;

const sessions = new Map();

export async function openEngine() {
  keepForOffline();
  const { models } = await (await fetched("models.json")).json();
  const checks = [];
  for (const model of models) {
    const session = await ort.InferenceSession.create(await modelFile(model));
    sessions.set(model.name, { model, session });
    checks.push(await checked(model));
    model.latency_us = await measuredUs(model);
  }
  return { models, about: about(checks), read };
}

/**
 * @param {string} name of a model
 * @param {Uint8Array} images N·784, white ink on black
 * @returns {Promise<Float32Array>} N·C
 */
export async function probabilities(name, images) {
  const { session } = sessions.get(name);
  const image = new ort.Tensor("uint8", images, [images.length / PIXELS, SIDE, SIDE]);
  return (await session.run({ image })).probabilities.data;
}

async function read(picture, { model: name, withMap }) {
  const { model } = sessions.get(name);
  const pixels = picture instanceof Blob ? await decoded(picture) : picture;
  const seen = (model.preprocessing === "fashion-mnist" ? garment : canonical)(pixels);
  const reading = {
    model: name,
    labels: model.labels,
    provider: "wasm",
    width: pixels.width,
    height: pixels.height,
    box: seen.box,
    image: seen.image,
    map: null,
  };
  if (seen.blank || !seen.image.some(Boolean)) {
    const none = model.labels.map(() => 0);
    return { ...reading, digit: null, label: null, confidence: 0, probabilities: none, status: "blank" };
  }
  const answers = await probabilities(name, seen.image);
  const confidence = Math.max(...answers);
  const digit = answers.indexOf(confidence);
  return {
    ...reading,
    digit,
    label: model.labels[digit],
    confidence,
    probabilities: [...answers],
    status: confidence < model.uncertain_below ? "uncertain" : "ok",
    map: withMap ? await occlusionMap((images) => probabilities(name, images), seen.image, digit) : null,
  };
}

/** The pixels of a picture file, turned the way its EXIF says; of a large one a reduction, as telephones need it. */
async function decoded(blob) {
  let bitmap = await opened(blob);
  try {
    const pixels = bitmap.width * bitmap.height;
    if (pixels > MOST_PIXELS) throw new Error(`The picture has ${bitmap.width}×${bitmap.height} pixels; reduce it first.`);
    if (pixels > MOST_CANVAS_PIXELS) {
      const resizeWidth = Math.floor(bitmap.width * Math.sqrt(MOST_CANVAS_PIXELS / pixels));
      const small = await createImageBitmap(bitmap, { ...AS_IT_IS, resizeWidth, resizeQuality: "high" });
      bitmap.close();
      bitmap = small;
    }
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(bitmap, 0, 0);
    return context.getImageData(0, 0, bitmap.width, bitmap.height);
  } finally {
    bitmap.close();
  }
}

async function opened(blob) {
  try {
    return await createImageBitmap(blob, AS_IT_IS);
  } catch {
    throw new Error("This browser cannot read that picture; save it as PNG or JPEG.");
  }
}

async function modelFile({ file, integrity }) {
  return new Uint8Array(await (await fetched(`models/${file}`, { integrity })).arrayBuffer());
}

async function fetched(path, options = {}) {
  let answer;
  try {
    // past what the browser kept of the site before
    answer = await fetch(new URL(`../${path}`, import.meta.url), { cache: "no-cache", ...options });
  } catch {
    throw new Error(`${path} could not be had, or is not what it was; load the page again.`);
  }
  if (!answer.ok) throw new Error(`${path} is missing (${answer.status}); export the site again.`);
  return answer;
}

/** How far the model is from what Keras answered to the reference images, here. */
async function checked({ name, labels, golden }) {
  const inflated = new Blob([bytes(golden.images)]).stream().pipeThrough(new DecompressionStream("deflate"));
  const images = new Uint8Array(await new Response(inflated).arrayBuffer());
  const expected = new Float32Array(bytes(golden.probabilities).buffer);
  const found = await probabilities(name, images);
  const difference = Math.max(...found.map((share, place) => Math.abs(share - expected[place])));
  if (found.length !== golden.count * labels.length || !(difference <= golden.tolerance)) {
    throw new Error(`${name} does not answer like Keras in this browser; please report it.`);
  }
  return golden.count;
}

async function measuredUs({ name }) {
  const image = new Uint8Array(PIXELS);
  const times = [];
  for (let turn = 0; turn < TIMED_ANSWERS; turn += 1) {
    const started = performance.now();
    // browsers round their clocks: ten at a time
    for (let call = 0; call < 10; call += 1) await probabilities(name, image);
    times.push((performance.now() - started) * 100);
  }
  return times.sort((one, other) => one - other)[TIMED_ANSWERS / 2];
}

function bytes(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

function about(checks) {
  const count = checks.reduce((sum, more) => sum + more, 0);
  return [`Pictures stay in this browser. Here, the models answer ${count} reference images as Keras did.`];
}

function keepForOffline() {
  navigator.serviceWorker?.register(new URL("../service-worker.js", import.meta.url)).catch(() => {
    // the page works without: only not offline
  });
}
