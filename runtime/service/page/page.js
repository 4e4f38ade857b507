/** The page: sends drawings and uploaded, pasted or dropped pictures to the engine and shows the predictions. */

import { Crop } from "./crop.js";
import { Drawing, context2d } from "./drawing.js";
import { openEngine } from "./engine.js";
import { KeyRequired, storeKey } from "./key.js";
import { Latest } from "./latest.js";
import { cropsToInput, mapIsFast, readsDigits, readsHandwriting } from "./models.js";
import { NumbersView } from "./numbers_view.js";
import { watchPictures } from "./picture_files.js";
import { PredictionView } from "./prediction_view.js";

/**
 * @typedef {import("./prediction_view.js").Elements} Elements
 * @typedef {import("./prediction_view.js").Reading} Reading
 * @typedef {import("./models.js").Model} Model
 * @typedef {import("./numbers_view.js").Numbers} Numbers
 * @typedef {import("./numbers_view.js").ReaderModel} ReaderModel
 * @typedef {import("./crop.js").Region} Region
 * @typedef {{
 *   picture: Blob | ImageData,
 *   region: Region | null,
 *   isSlow: boolean,
 *   since: number,
 *   sheet: number,
 * }} PictureRequest `region` is the part of the uploaded picture that `picture` shows; null for all of it
 * @typedef {{scale: number, left: number, upper: number, width: number}} Placed position of a picture on the canvas
 */

/** Pause after a stroke before the contribution of each pixel is requested, which takes longer than a prediction. */
const PAUSE_MS = 150;
/** Sizes of the drawing area in pixels, for a character and for numbers. */
const [SIDE, WIDE_WIDTH, WIDE_HEIGHT] = [280, 840, 420];
/** @type {ImageBitmapOptions} */
const UNCHANGED = { premultiplyAlpha: "none", colorSpaceConversion: "none" };

/**
 * @template {keyof Elements} I
 * @param {I} id
 * @returns {Elements[I]}
 */
const element = (id) => /** @type {Elements[I]} */ (/** @type {unknown} */ (document.getElementById(id)));
const view = new PredictionView(element);
const numbersView = new NumbersView(element);
const drawing = new Drawing(element("paper"), element("overlay"), drawingChanged, (text) => view.say(text));
const crop = new Crop(element("photo"), cropChanged, (text) => view.say(text));
const requests = new Latest(send, show, fail);

/** @type {import("./prediction_view.js").Engine | null} */
let engine = null;
/** The chosen model that reads numbers; null if the chosen model classifies. @type {ReaderModel | null} */
let reader = null;
/** Whether the chosen model reads drawings; otherwise pictures are uploaded and cropped. */
let isForDrawing = true;
/**
 * The picture shown instead of a drawing, and its position if it is not in the cropping area; or null.
 *
 * @type {{blob: Blob, isCropped: boolean, placed: Placed | null} | null}
 */
let picture = null;
let frame = 0;
let pauseTimer = 0;
let isOpening = false;
/** Number of the current sheet. Results for an earlier sheet, and pictures that open too late, are dropped. */
let sheet = 0;

async function start() {
  try {
    engine = await openEngine();
  } catch (error) {
    fail(/** @type {Error} */ (error));
    return;
  }
  element("problem").textContent = "";
  element("status").textContent = "";
  element("about").replaceChildren(...engine.about);
  element("model").replaceChildren(...[...engine.models, ...engine.readers].map(({ name }) => new Option(name, name)));
  element("model").disabled = false;
  modelChanged();
}

function chosenModel() {
  const model = engine?.models.find(({ name }) => name === element("model").value);
  if (!model) throw new Error("No model is loaded.");
  return model;
}

async function modelChanged() {
  const previous = reader;
  reader = engine?.readers.find(({ name }) => name === element("model").value) ?? null;
  const model = reader ?? chosenModel();
  if (Boolean(previous) !== Boolean(reader)) {
    reset();
    drawing.resize(reader ? WIDE_WIDTH : SIDE, reader ? WIDE_HEIGHT : SIDE);
  }
  element("sheet").classList.toggle("wide", reader !== null);
  element("views").hidden = reader !== null;
  if (reader) prepareForNumbers();
  else prepareFor(chosenModel());
  element("figures").textContent = "Loading the model …";
  try {
    await engine?.load(model.name);
  } catch (error) {
    if (element("model").value === model.name) {
      element("figures").textContent = "";
      fail(/** @type {Error} */ (error));
    }
    return;
  }
  if (element("model").value !== model.name) return;
  element("problem").textContent = "";
  element("figures").textContent = "labels" in model ? figures(model) : sizeText(model);
  if (picture && picture.isCropped === isForDrawing) openPicture(picture.blob);
  else if (hasInput()) readWithMap();
}

/**
 * Show the drawing area or the cropping area.
 *
 * @param {Model} model
 */
function prepareFor(model) {
  isForDrawing = readsHandwriting(model);
  const title = readsDigits(model) ? "Draw a digit" : isForDrawing ? "Draw a character" : "Classify a picture";
  element("title").textContent = title;
  document.title = `${title} – digits-edge`;
  for (const each of document.querySelectorAll(".for-drawing, .for-cropping")) {
    /** @type {HTMLElement} */ (each).hidden = each.classList.contains("for-drawing") !== isForDrawing;
  }
  crop.setShape(model.input.width / model.input.height, !cropsToInput(model));
  view.setModel(model, noInput());
  updateTools();
}

/** Show the wide drawing area, for numbers. */
function prepareForNumbers() {
  isForDrawing = true;
  element("title").textContent = "Write a number";
  document.title = "Write a number – digits-edge";
  for (const each of document.querySelectorAll(".for-drawing, .for-cropping")) {
    /** @type {HTMLElement} */ (each).hidden = !each.classList.contains("for-drawing");
  }
  numbersView.clear(noInput());
  updateTools();
}

function noInput() {
  return isForDrawing ? "Nothing drawn yet." : "No picture yet.";
}

function hasInput() {
  return picture !== null || (isForDrawing && !drawing.isEmpty);
}

function updateTools() {
  element("undo").disabled = drawing.isEmpty;
  element("clear").disabled = !hasInput();
  element("invitation").hidden = isForDrawing || picture !== null;
  for (const id of /** @type {const} */ (["smaller", "larger", "reset"])) element(id).disabled = !crop.picture;
}

/** @param {Model} model */
function figures(model) {
  const { test_errors: errors, test_images: images } = model;
  const accuracy = images && errors !== null ? 1 - errors / images : null;
  return [
    accuracy === null ? "" : `${(100 * accuracy).toFixed(2)} % accuracy on the ${model.test_data} test set`,
    sizeText(model),
    `${latencyText(model.latency_us)} per image`,
  ]
    .filter(Boolean)
    .join(" · ");
}

/** @param {{bytes: number}} model */
function sizeText({ bytes }) {
  return `${Math.round(bytes / 1000).toLocaleString("en")}\u00a0kB`;
}

/** @param {number} us */
function latencyText(us) {
  return us < 1000 ? `${Math.round(us)}\u00a0µs` : `${(us / 1000).toFixed(1)}\u00a0ms`;
}

/** @param {boolean} finished */
function drawingChanged(finished) {
  if (picture || isOpening) newSheet();
  element("problem").textContent = "";
  updateTools();
  if (drawing.isEmpty) reset();
  else read(finished);
}

/** @param {boolean} finished */
function cropChanged(finished) {
  element("problem").textContent = "";
  read(finished);
}

/**
 * Request a prediction, at most one per frame; after a pause, with the contribution of each pixel.
 *
 * @param {boolean} finished
 */
function read(finished) {
  if (!frame) {
    const since = performance.now();
    frame = requestAnimationFrame(() => {
      frame = 0;
      if (engine && hasInput()) put({ isSlow: false, since });
    });
  }
  clearTimeout(pauseTimer);
  if (finished) pauseTimer = setTimeout(readWithMap, PAUSE_MS);
}

function readWithMap() {
  if (engine && hasInput()) put({ isSlow: true, since: performance.now() });
}

/**
 * Request a prediction of the drawing, the picture's file, or the part of it in the frame.
 *
 * @param {Pick<PictureRequest, "isSlow" | "since">} request
 */
function put(request) {
  const region = picture?.isCropped ? crop.region : null;
  requests.put({ ...request, picture: region ? crop.pixels() : (picture?.blob ?? drawing.pixels()), region, sheet });
}

function newSheet() {
  sheet += 1;
  picture = null;
  isOpening = false;
}

function reset() {
  newSheet();
  cancelAnimationFrame(frame);
  frame = 0;
  clearTimeout(pauseTimer);
  requests.drop();
  if (reader) numbersView.clear(noInput());
  else view.clear(noInput());
}

function clear() {
  if (isForDrawing) {
    drawing.clear();
    return;
  }
  reset();
  crop.open(null);
  element("problem").textContent = "";
  updateTools();
}

/**
 * @param {PictureRequest} request
 * @param {AbortSignal} signal
 */
function send(request, signal) {
  if (!engine) throw new Error("No model is loaded.");
  if (reader) return engine.readNumbers(request.picture, { model: reader.name, signal });
  const model = chosenModel();
  return engine.read(request.picture, { model: model.name, withMap: request.isSlow && mapIsFast(model), signal });
}

/**
 * @param {Reading | Numbers} reading
 * @param {PictureRequest} request
 */
function show(reading, request) {
  if (request.sheet !== sheet || reading.model !== element("model").value) return;
  element("problem").textContent = "";
  if ("lines" in reading) {
    numbersView.show(reading, picture?.placed ?? null);
    if (request.isSlow) numbersView.speak();
    return;
  }
  view.show(reading);
  if (picture?.isCropped) {
    crop.mark(reading.box, reading.width, request.region);
  } else if (picture) {
    drawInkBox(reading, picture.placed);
  }
  performance.measure("digits-edge prediction", { start: request.since, end: performance.now() });
  if (request.isSlow) view.speak();
}

/** @param {Error} error */
function fail(error) {
  element("key-form").hidden = !(error instanceof KeyRequired);
  if (reader) numbersView.clear("Not read.");
  else if (picture || !engine) view.clear(engine ? "Not classified." : "");
  element("problem").textContent = error.message;
}

/** @param {Blob} blob */
async function openPicture(blob) {
  reset();
  element("problem").textContent = "";
  isOpening = true;
  const ownSheet = sheet;
  // the engine may support formats that the browser does not
  const bitmap = await createImageBitmap(blob, UNCHANGED).catch(() => null);
  if (ownSheet !== sheet) {
    bitmap?.close();
    return;
  }
  if (isForDrawing) {
    drawing.clear();
    picture = { blob, isCropped: false, placed: bitmap && { ...drawing.show(bitmap), width: bitmap.width } };
    bitmap?.close();
  } else {
    newSheet();
    crop.open(bitmap);
    picture = { blob, isCropped: true, placed: null };
  }
  updateTools();
  readWithMap();
}

/**
 * Mark the region of the ink in the picture; of each digit if there are several.
 *
 * @param {Reading} reading
 * @param {Placed | null} placed
 */
function drawInkBox(reading, placed) {
  const context = context2d(element("overlay"));
  context.clearRect(0, 0, context.canvas.width, context.canvas.height);
  if (!placed || !reading.box) return;
  const { scale, left, upper, width } = placed;
  const ownScale = (scale * width) / reading.width; // the engine may have reduced a large picture
  context.strokeStyle = "#d55e00";
  context.lineWidth = 2;
  for (const box of reading.boxes.length > 1 ? reading.boxes : [reading.box]) {
    const [x0, y0, x1, y1] = box.map((side) => side * ownScale);
    context.strokeRect(left + x0, upper + y0, x1 - x0, y1 - y0);
  }
}

element("model").addEventListener("change", modelChanged);
element("undo").addEventListener("click", () => drawing.undo());
element("clear").addEventListener("click", clear);
element("smaller").addEventListener("click", () => crop.zoom(1 / crop.zoomFactor));
element("larger").addEventListener("click", () => crop.zoom(crop.zoomFactor));
element("reset").addEventListener("click", () => {
  crop.reset();
  cropChanged(true);
});
for (const id of /** @type {const} */ (["upload", "photo"])) {
  element(id).addEventListener("click", () => {
    if (id === "upload" || picture === null) element("file").click();
  });
}
watchPictures(element("file"), openPicture, (problem) => (element("problem").textContent = problem));
element("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  storeKey(element("key").value);
  element("key-form").hidden = true;
  start();
});
document.addEventListener("keydown", (event) => {
  if (/** @type {Element} */ (event.target).closest("input, select")) return;
  if (event.key === "Escape" && !element("clear").disabled) clear();
  if (event.key === "z" && (event.ctrlKey || event.metaKey) && isForDrawing && !drawing.isEmpty) drawing.undo();
});

start();
