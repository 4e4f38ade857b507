/** Shows a prediction: the label, the probabilities, the input image and the contribution of each pixel. */

import { context2d } from "./drawing.js";
import { mapIsFast, readsDigits, readsHandwriting } from "./models.js";

/**
 * @typedef {import("./models.js").Model} Model
 * @typedef {{
 *   model: string,
 *   labels: string[],
 *   provider: string,
 *   width: number,
 *   height: number,
 *   box: number[] | null,
 *   boxes: number[][],
 *   image: Uint8Array | null,
 *   map: number[] | null,
 *   digit: number | null,
 *   label: string | null,
 *   confidence: number,
 *   probabilities: number[],
 *   status: string,
 * }} Reading
 * @typedef {{model: string, withMap: boolean, signal: AbortSignal}} ReadOptions
 * @typedef {{
 *   models: Model[],
 *   about: (Node | string)[],
 *   load: (name: string) => Promise<void>,
 *   read: (picture: Blob | ImageData, options: ReadOptions) => Promise<Reading>,
 *   readers: import("./numbers_view.js").ReaderModel[],
 *   readNumbers: (
 *     picture: Blob | ImageData,
 *     options: {model: string, signal: AbortSignal},
 *   ) => Promise<import("./numbers_view.js").Numbers>,
 * }} Engine
 * @typedef {{
 *   about: HTMLElement,
 *   clear: HTMLButtonElement,
 *   digit: HTMLElement,
 *   figures: HTMLElement,
 *   file: HTMLInputElement,
 *   invitation: HTMLElement,
 *   key: HTMLInputElement,
 *   "key-form": HTMLFormElement,
 *   larger: HTMLButtonElement,
 *   map: HTMLCanvasElement,
 *   model: HTMLSelectElement,
 *   overlay: HTMLCanvasElement,
 *   paper: HTMLCanvasElement,
 *   photo: HTMLCanvasElement,
 *   probabilities: HTMLTableElement,
 *   problem: HTMLElement,
 *   reset: HTMLButtonElement,
 *   seen: HTMLCanvasElement,
 *   sheet: HTMLElement,
 *   smaller: HTMLButtonElement,
 *   spoken: HTMLElement,
 *   status: HTMLElement,
 *   title: HTMLElement,
 *   undo: HTMLButtonElement,
 *   upload: HTMLButtonElement,
 *   views: HTMLElement,
 * }} Elements the elements of index.html by their ids
 */

/** Maximum number of classes whose probabilities are shown. */
const MAX_ROWS = 10;
const FOR = [255, 140, 60];
const AGAINST = [70, 150, 235];
/** Lower limit of the contribution that is shown at full intensity. */
const MIN_SCALE = 0.01;
/** Brightness of the image behind the contributions. */
const DIMMED = 0.35;

/** @param {number} probability @returns {string} a percentage, never rounded up to 100 % */
export function percentText(probability) {
  return probability >= 0.9995 ? ">99.9 %" : `${(100 * probability).toFixed(1)} %`;
}

export class PredictionView {
  /** @param {<I extends keyof Elements>(id: I) => Elements[I]} element */
  constructor(element) {
    this.digit = element("digit");
    this.status = element("status");
    this.spoken = element("spoken");
    this.rows = element("probabilities").tBodies[0];
    this.seen = element("seen");
    this.map = element("map");
    /** @type {Model | null} */
    this.model = null;
  }

  /**
   * Prepare the view for a model: one row per class, at most ten, and canvases of the size of its input.
   *
   * @param {Model} model
   * @param {string} message the status until there is a prediction
   */
  setModel(model, message) {
    const { height, width } = model.input;
    this.model = model;
    for (const canvas of [this.seen, this.map]) Object.assign(canvas, { height, width });
    this.seen.setAttribute("aria-label", `Model input, ${width} by ${height} pixels`);
    this.map.closest("figure")?.toggleAttribute("hidden", !mapIsFast(model));
    const shown = model.labels.slice(0, MAX_ROWS);
    this.rows.replaceChildren(...shown.map(emptyRow));
    this.clear(message);
  }

  /**
   * Remove the prediction and show a message.
   *
   * @param {string} message
   */
  clear(message) {
    this.digit.textContent = " ";
    this.digit.className = "";
    this.status.textContent = message;
    this.spoken.textContent = "";
    this.#showBars(null, null);
    for (const canvas of [this.seen, this.map]) context2d(canvas).clearRect(0, 0, canvas.width, canvas.height);
  }

  /** @param {Reading} reading the result of an engine */
  show(reading) {
    const { label, confidence, status, image, map } = reading;
    if (status === "several") {
      const found = this.model && !readsDigits(this.model) ? "characters" : "digits";
      this.clear(`Several ${found}: ${reading.boxes.length} found. Draw or upload one at a time.`);
      return;
    }
    if (status === "blank" || label === null) {
      this.clear(`Blank: no ${this.model && !readsHandwriting(this.model) ? "object" : "ink"} found.`);
      return;
    }
    this.digit.textContent = label;
    this.digit.className = [status, label.length > 2 ? "word" : ""].join(" ").trim();
    this.status.textContent =
      status === "uncertain" ? `Uncertain: possibly ${label}, ${percentText(confidence)}` : percentText(confidence);
    this.#showBars(reading.probabilities, reading.digit);
    const channels = this.model?.input.channels ?? 1;
    if (image) this.#paint(this.seen, (pixel) => coloursOf(image, pixel, channels));
    if (map) this.#showMap(map, image, channels);
  }

  /** Announce the prediction to screen readers. */
  speak() {
    const digit = (this.digit.textContent ?? "").trim();
    this.say(digit ? `${digit}. ${this.status.textContent}` : (this.status.textContent ?? ""));
  }

  /**
   * Announce a text to screen readers.
   *
   * @param {string} text
   */
  say(text) {
    this.spoken.textContent = text;
  }

  /**
   * @param {number[] | null} probabilities
   * @param {number | null} best index of the predicted class
   */
  #showBars(probabilities, best) {
    const labels = this.model?.labels ?? [];
    const isPart = labels.length > MAX_ROWS;
    const order = [...labels.keys()];
    if (isPart && probabilities) order.sort((one, other) => probabilities[other] - probabilities[one]);
    [...this.rows.rows].forEach((row, place) => {
      const index = order[place];
      const probability = probabilities ? probabilities[index] : 0;
      // which classes are shown depends on the prediction
      row.classList.toggle("vacant", isPart && !probabilities);
      row.classList.toggle("best", index === best);
      row.cells[0].textContent = row.cells[0].title = labels[index];
      /** @type {HTMLElement} */ (row.cells[1].firstChild).style.setProperty("--share", probability.toFixed(4));
      row.cells[2].textContent = probabilities ? percentText(probability) : "";
    });
  }

  /**
   * @param {number[]} map
   * @param {Uint8Array | null} image
   * @param {number} channels of the image
   */
  #showMap(map, image, channels) {
    const scale = map.reduce((most, value) => Math.max(most, Math.abs(value)), MIN_SCALE);
    this.#paint(this.map, (pixel) => {
      const weight = Math.abs(map[pixel]) / scale;
      const colour = map[pixel] >= 0 ? FOR : AGAINST;
      const [red, green, blue] = image ? coloursOf(image, pixel, channels) : [0, 0, 0];
      const grey = 0.3 * red + 0.59 * green + 0.11 * blue;
      return colour.map((channel) => weight * channel + (1 - weight) * DIMMED * grey);
    });
  }

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {(pixel: number) => number[]} colourOf
   */
  #paint(canvas, colourOf) {
    const pixels = new ImageData(canvas.width, canvas.height);
    for (let pixel = 0; pixel < canvas.width * canvas.height; pixel += 1) {
      pixels.data.set([...colourOf(pixel), 255], 4 * pixel);
    }
    context2d(canvas).putImageData(pixels, 0, 0);
  }
}

function emptyRow() {
  const row = document.createElement("tr");
  const head = document.createElement("th");
  head.scope = "row";
  const bar = document.createElement("td");
  bar.append(document.createElement("meter-bar"));
  row.append(head, bar, document.createElement("td"));
  return row;
}

/**
 * @param {Uint8Array} image (H, W) or (H, W, 3)
 * @param {number} pixel
 * @param {number} channels 1 or 3
 * @returns {number[]} red, green and blue
 */
function coloursOf(image, pixel, channels) {
  return [0, 1, 2].map((channel) => image[pixel * channels + (channels === 1 ? 0 : channel)]);
}
