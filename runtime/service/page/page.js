/** The page: what is drawn, uploaded, pasted or dropped goes to the engine, and what it reads is shown. */

import { AnswerView } from "./answer_view.js";
import { Drawing } from "./drawing.js";
import { openEngine } from "./engine.js";
import { KeyNeeded, keepKey } from "./key.js";
import { Latest } from "./latest.js";

/** Where it looks takes longer to find than what it reads; it is asked when the hand rests for so long. */
const REST_MS = 150;

const element = (id) => document.getElementById(id);
const view = new AnswerView(element);
const drawing = new Drawing(element("paper"), element("overlay"), drawingChanged, (text) => view.say(text));
const questions = new Latest(ask, show, fail);

let engine;
/** The picture that is shown instead of a drawing: {blob, placed}, where it was put on the paper; or null. */
let picture = null;
let frame = 0;
let rest = 0;
let isOpening = false;
/** Counts the sheets of paper: an answer to what lay on another is shown no more, nor a picture that opens too late. */
let sheet = 0;

async function start() {
  try {
    engine = await openEngine();
  } catch (error) {
    fail(error);
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
  return engine.models.find(({ name }) => name === element("model").value);
}

function modelChanged() {
  const model = chosenModel();
  const right = model.test_images ? 1 - model.test_errors / model.test_images : null;
  element("figures").textContent = [
    right === null ? "" : `${(100 * right).toFixed(2)} % right on ${model.test_data}'s test images`,
    `${Math.round(model.bytes / 1000).toLocaleString("en")} kB`,
    `${model.latency_us < 1000 ? Math.round(model.latency_us) + " µs" : (model.latency_us / 1000).toFixed(1) + " ms"} an image here`,
  ]
    .filter(Boolean)
    .join(" · ");
  view.setLabels(model.labels);
  if (picture || !drawing.isEmpty) readAtRest();
}

function drawingChanged(finished) {
  if (picture || isOpening) newSheet();
  element("problem").textContent = "";
  element("undo").disabled = element("clear").disabled = drawing.isEmpty;
  if (drawing.isEmpty) {
    forget();
    return;
  }
  // a frame's strokes are one question
  if (!frame) {
    const since = performance.now();
    frame = requestAnimationFrame(() => {
      frame = 0;
      if (engine && !drawing.isEmpty) put({ picture: drawing.pixels(), isSlow: false, since });
    });
  }
  clearTimeout(rest);
  if (finished) rest = setTimeout(readAtRest, REST_MS);
}

function readAtRest() {
  if (engine) put({ picture: picture?.blob ?? drawing.pixels(), isSlow: true, since: performance.now() });
}

function put(question) {
  questions.put({ ...question, sheet });
}

function newSheet() {
  sheet += 1;
  picture = null;
  isOpening = false;
}

function forget() {
  newSheet();
  cancelAnimationFrame(frame);
  frame = 0;
  clearTimeout(rest);
  questions.drop();
  view.clear("Nothing drawn yet.");
}

function ask(question, signal) {
  return engine.read(question.picture, { model: chosenModel().name, withMap: question.isSlow, signal });
}

function show(reading, question) {
  if (question.sheet !== sheet || reading.model !== chosenModel().name) return;
  element("problem").textContent = "";
  view.show(reading);
  if (picture) boxInk(reading);
  performance.measure("digits-edge answer", { start: question.since, end: performance.now() });
  if (question.isSlow) view.speak();
}

function fail(error) {
  element("key-form").hidden = !(error instanceof KeyNeeded);
  if (picture || !engine) view.clear(engine ? "Not read." : "");
  element("problem").textContent = error.message;
}

async function openPicture(blob) {
  forget();
  element("problem").textContent = "";
  isOpening = true;
  const mine = sheet;
  // one that the browser cannot show, the engine may read all the same
  const bitmap = await createImageBitmap(blob).catch(() => null);
  if (mine === sheet) {
    drawing.clear();
    picture = { blob, placed: bitmap && { ...drawing.show(bitmap), width: bitmap.width } };
    element("clear").disabled = false;
    readAtRest();
  }
  bitmap?.close();
}

/** Show which part of the picture was read. */
function boxInk(reading) {
  const context = element("overlay").getContext("2d");
  context.clearRect(0, 0, context.canvas.width, context.canvas.height);
  if (!picture.placed || !reading.box) return;
  const { scale, left, upper, width } = picture.placed;
  const own = (scale * width) / reading.width; // a large picture may have been read at a part of its size
  const [x0, y0, x1, y1] = reading.box.map((side) => side * own);
  context.strokeStyle = "#d55e00";
  context.lineWidth = 2;
  context.strokeRect(left + x0, upper + y0, x1 - x0, y1 - y0);
}

function firstPicture(transfer) {
  return [...(transfer?.files ?? [])].find((file) => file.type.startsWith("image/") || !file.type) ?? null;
}

element("model").addEventListener("change", modelChanged);
element("undo").addEventListener("click", () => drawing.undo());
element("clear").addEventListener("click", () => drawing.clear());
element("upload").addEventListener("click", () => element("file").click());
element("file").addEventListener("change", (event) => {
  const [file] = event.target.files;
  event.target.value = ""; // the same file may be chosen again
  if (file) openPicture(file);
});
element("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  keepKey(element("key").value);
  element("key-form").hidden = true;
  start();
});
document.addEventListener("keydown", (event) => {
  if (event.target.closest("input, select")) return;
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
  else element("problem").textContent = "That is no picture.";
});

start();
