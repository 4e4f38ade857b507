/** Shows a prediction: the label, the probabilities, the input image and the contribution of each pixel. */

import { context2d } from "./drawing.js";

/**
 * @typedef {{
 *   name: string,
 *   bytes: number,
 *   labels: string[],
 *   test_errors: number | null,
 *   test_images: number | null,
 *   test_data: string | null,
 *   latency_us: number,
 * }} Model
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
 * }} Engine
 * @typedef {{
 *   about: HTMLElement,
 *   clear: HTMLButtonElement,
 *   digit: HTMLElement,
 *   figures: HTMLElement,
 *   file: HTMLInputElement,
 *   key: HTMLInputElement,
 *   "key-form": HTMLFormElement,
 *   map: HTMLCanvasElement,
 *   model: HTMLSelectElement,
 *   overlay: HTMLCanvasElement,
 *   paper: HTMLCanvasElement,
 *   probabilities: HTMLTableElement,
 *   problem: HTMLElement,
 *   seen: HTMLCanvasElement,
 *   spoken: HTMLElement,
 *   status: HTMLElement,
 *   undo: HTMLButtonElement,
 *   upload: HTMLButtonElement,
 * }} Elements the elements of index.html by their ids
 */

const SIDE = 28;
const FOR = [255, 140, 60];
const AGAINST = [70, 150, 235];
/** Lower limit of the contribution that is shown at full intensity. */
const MIN_SCALE = 0.01;

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
  }

  /**
   * Create one row per class.
   *
   * @param {string[]} labels
   */
  setLabels(labels) {
    this.rows.replaceChildren(
      ...labels.map((label) => {
        const row = document.createElement("tr");
        const head = document.createElement("th");
        head.scope = "row";
        head.textContent = label;
        const bar = document.createElement("td");
        bar.append(document.createElement("meter-bar"));
        row.append(head, bar, document.createElement("td"));
        return row;
      }),
    );
    this.clear("Nothing drawn yet.");
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
    for (const canvas of [this.seen, this.map]) context2d(canvas).clearRect(0, 0, SIDE, SIDE);
  }

  /** @param {Reading} reading the result of an engine */
  show(reading) {
    const { label, confidence, status, image, map } = reading;
    if (status === "several") {
      this.clear(`Several digits: ${reading.boxes.length} found. Draw or upload one at a time.`);
      return;
    }
    if (status === "blank" || label === null) {
      this.clear("Blank: no ink found.");
      return;
    }
    this.digit.textContent = label;
    this.digit.className = [status, label.length > 2 ? "word" : ""].join(" ").trim();
    this.status.textContent =
      status === "uncertain" ? `Uncertain: possibly ${label}, ${percentText(confidence)}` : percentText(confidence);
    this.#showBars(reading.probabilities, reading.digit);
    if (image) this.#paint(this.seen, (pixel) => Array(3).fill(image[pixel]));
    if (map) this.#showMap(map, image);
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
    [...this.rows.rows].forEach((row, index) => {
      const probability = probabilities ? probabilities[index] : 0;
      row.classList.toggle("best", index === best);
      /** @type {HTMLElement} */ (row.cells[1].firstChild).style.setProperty("--share", probability.toFixed(4));
      row.cells[2].textContent = probabilities ? percentText(probability) : "";
    });
  }

  /**
   * @param {number[]} map
   * @param {Uint8Array | null} image
   */
  #showMap(map, image) {
    const scale = Math.max(MIN_SCALE, ...map.map(Math.abs));
    this.#paint(this.map, (pixel) => {
      const weight = Math.abs(map[pixel]) / scale;
      const colour = map[pixel] >= 0 ? FOR : AGAINST;
      return colour.map((channel) => weight * channel + (1 - weight) * 0.35 * (image ? image[pixel] : 0));
    });
  }

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {(pixel: number) => number[]} colourOf
   */
  #paint(canvas, colourOf) {
    const pixels = new ImageData(SIDE, SIDE);
    for (let pixel = 0; pixel < SIDE * SIDE; pixel += 1) pixels.data.set([...colourOf(pixel), 255], 4 * pixel);
    context2d(canvas).putImageData(pixels, 0, 0);
  }
}
