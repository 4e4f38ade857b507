/** The page: sends drawings and uploaded, pasted or dropped pictures to the engine and shows the predictions. */

import { Drawing, context2d } from "./drawing.js";
import { openEngine } from "./engine.js";
import { KeyRequired, storeKey } from "./key.js";
import { Latest } from "./latest.js";
import { PredictionView } from "./prediction_view.js";

/**
 * @typedef {import("./prediction_view.js").Elements} Elements
 * @typedef {import("./prediction_view.js").Reading} Reading
 * @typedef {{picture: Blob | ImageData, isSlow: boolean, since: number, sheet: number}} PictureRequest
 * @typedef {{scale: number, left: number, upper: number, width: number}} Placed position of a picture on the canvas
 */

/** Pause after a stroke before the contribution of each pixel is requested, which takes longer than a prediction. */
const PAUSE_MS = 150;

/**
 * @template {keyof Elements} I
 * @param {I} id
 * @returns {Elements[I]}
 */
const element = (id) => /** @type {Elements[I]} */ (/** @type {unknown} */ (document.getElementById(id)));
const view = new PredictionView(element);
const drawing = new Drawing(element("paper"), element("overlay"), drawingChanged, (text) => view.say(text));
const requests = new Latest(send, show, fail);

/** @type {import("./prediction_view.js").Engine | null} */
let engine = null;
/**
 * The picture shown instead of a drawing; or null.
 *
 * @type {{blob: Blob, placed: Placed | null} | null}
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
  element("model").replaceChildren(...engine.models.map(({ name }) => new Option(name, name)));
  element("model").disabled = false;
  modelChanged();
}

function chosenModel() {
  const model = engine?.models.find(({ name }) => name === element("model").value);
  if (!model) throw new Error("No model is loaded.");
  return model;
}

async function modelChanged() {
  const model = chosenModel();
  view.setLabels(model.labels);
  element("figures").textContent = "Loading the model …";
  try {
    await engine?.load(model.name);
  } catch (error) {
    if (chosenModel() === model) {
      element("figures").textContent = "";
      fail(/** @type {Error} */ (error));
    }
    return;
  }
  if (chosenModel() !== model) return;
  element("problem").textContent = "";
  element("figures").textContent = figures(model);
  if (picture || !drawing.isEmpty) readWithMap();
}

/** @param {import("./prediction_view.js").Model} model */
function figures(model) {
  const { test_errors: errors, test_images: images } = model;
  const accuracy = images && errors !== null ? 1 - errors / images : null;
  return [
    accuracy === null ? "" : `${(100 * accuracy).toFixed(2)} % accuracy on the ${model.test_data} test set`,
    `${Math.round(model.bytes / 1000).toLocaleString("en")}\u00a0kB`,
    `${latencyText(model.latency_us)} per image`,
  ]
    .filter(Boolean)
    .join(" · ");
}

/** @param {number} us */
function latencyText(us) {
  return us < 1000 ? `${Math.round(us)}\u00a0µs` : `${(us / 1000).toFixed(1)}\u00a0ms`;
}

/** @param {boolean} finished */
function drawingChanged(finished) {
  if (picture || isOpening) newSheet();
  element("problem").textContent = "";
  element("undo").disabled = element("clear").disabled = drawing.isEmpty;
  if (drawing.isEmpty) {
    reset();
    return;
  }
  // one request per frame
  if (!frame) {
    const since = performance.now();
    frame = requestAnimationFrame(() => {
      frame = 0;
      if (engine && !drawing.isEmpty) put({ picture: drawing.pixels(), isSlow: false, since });
    });
  }
  clearTimeout(pauseTimer);
  if (finished) pauseTimer = setTimeout(readWithMap, PAUSE_MS);
}

function readWithMap() {
  if (engine) put({ picture: picture?.blob ?? drawing.pixels(), isSlow: true, since: performance.now() });
}

/** @param {Omit<PictureRequest, "sheet">} request */
function put(request) {
  requests.put({ ...request, sheet });
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
  view.clear("Nothing drawn yet.");
}

/**
 * @param {PictureRequest} request
 * @param {AbortSignal} signal
 */
function send(request, signal) {
  if (!engine) throw new Error("No model is loaded.");
  return engine.read(request.picture, { model: chosenModel().name, withMap: request.isSlow, signal });
}

/**
 * @param {Reading} reading
 * @param {PictureRequest} request
 */
function show(reading, request) {
  if (request.sheet !== sheet || reading.model !== chosenModel().name) return;
  element("problem").textContent = "";
  view.show(reading);
  if (picture) drawInkBox(reading, picture.placed);
  performance.measure("digits-edge prediction", { start: request.since, end: performance.now() });
  if (request.isSlow) view.speak();
}

/** @param {Error} error */
function fail(error) {
  element("key-form").hidden = !(error instanceof KeyRequired);
  if (picture || !engine) view.clear(engine ? "Not classified." : "");
  element("problem").textContent = error.message;
}

/** @param {Blob} blob */
async function openPicture(blob) {
  reset();
  element("problem").textContent = "";
  isOpening = true;
  const ownSheet = sheet;
  // the engine may support formats that the browser does not
  const bitmap = await createImageBitmap(blob).catch(() => null);
  if (ownSheet === sheet) {
    drawing.clear();
    picture = { blob, placed: bitmap && { ...drawing.show(bitmap), width: bitmap.width } };
    element("clear").disabled = false;
    readWithMap();
  }
  bitmap?.close();
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

/**
 * @param {DataTransfer | null} transfer
 * @returns {File | null}
 */
function firstPicture(transfer) {
  return [...(transfer?.files ?? [])].find((file) => file.type.startsWith("image/") || !file.type) ?? null;
}

element("model").addEventListener("change", modelChanged);
element("undo").addEventListener("click", () => drawing.undo());
element("clear").addEventListener("click", () => drawing.clear());
element("upload").addEventListener("click", () => element("file").click());
element("file").addEventListener("change", (event) => {
  const input = /** @type {HTMLInputElement} */ (event.target);
  const [file] = input.files ?? [];
  input.value = ""; // allows the same file to be chosen again
  if (file) openPicture(file);
});
element("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  storeKey(element("key").value);
  element("key-form").hidden = true;
  start();
});
document.addEventListener("keydown", (event) => {
  if (/** @type {Element} */ (event.target).closest("input, select")) return;
  if (event.key === "Escape" && !element("clear").disabled) drawing.clear();
  if (event.key === "z" && (event.ctrlKey || event.metaKey) && !drawing.isEmpty) drawing.undo();
});
document.addEventListener("paste", (event) => {
  const pasted = firstPicture(event.clipboardData);
  if (!pasted) return;
  event.preventDefault();
  openPicture(pasted);
});
for (const kind of ["dragenter", "dragover"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    document.body.classList.add("dropping");
  });
}
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dropping");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  const dropped = firstPicture(event.dataTransfer);
  if (dropped) openPicture(dropped);
  else element("problem").textContent = "The dropped item is not a picture.";
});

start();
