/** Shows the numbers of a picture: a row for each line, and the boxes of the characters over the picture. */

import { context2d } from "./drawing.js";
import { percentText } from "./prediction_view.js";

/**
 * @typedef {{digit: string, confidence: number, box: number[]}} DigitBox
 * @typedef {{
 *   text: string,
 *   confidence: number,
 *   status: string,
 *   box: number[],
 *   digits: DigitBox[],
 *   alternatives: {text: string, confidence: number}[],
 * }} Line
 * @typedef {{
 *   model: string,
 *   width: number,
 *   height: number,
 *   status: string,
 *   lines: Line[],
 * }} Numbers the response of `POST /read`
 * @typedef {{
 *   name: string,
 *   bytes: number,
 *   characters: string,
 *   uncertain_below: number,
 * }} ReaderModel a model that reads numbers
 * @typedef {import("./prediction_view.js").Elements} Elements
 */

/** Colours of boxes by status, and of the boxes of characters. */
const COLOURS = /** @type {Record<string, string>} */ ({ ok: "#0072b2", uncertain: "#d55e00" });
const CHARACTER = "#56b4e9";
/** Maximum number of lines that are listed. */
const MAX_ROWS = 20;

export class NumbersView {
  /** @param {<I extends keyof Elements>(id: I) => Elements[I]} element */
  constructor(element) {
    this.text = element("digit");
    this.status = element("status");
    this.spoken = element("spoken");
    this.rows = element("probabilities").tBodies[0];
    this.overlay = element("overlay");
  }

  /**
   * Remove the numbers and show a message.
   *
   * @param {string} message
   */
  clear(message) {
    this.text.textContent = " ";
    this.text.className = "";
    this.status.textContent = message;
    this.spoken.textContent = "";
    this.rows.replaceChildren();
    context2d(this.overlay).clearRect(0, 0, this.overlay.width, this.overlay.height);
  }

  /**
   * @param {Numbers} numbers the result of an engine
   * @param {{scale: number, left: number, upper: number, width: number} | null} placed position of the picture
   */
  show(numbers, placed) {
    this.clear(messageOf(numbers));
    const lines = numbers.lines.slice(0, MAX_ROWS);
    if (lines.length) {
      this.text.textContent = lines.map(({ text }) => text || "?").join("\n");
      this.text.className = ["numbers", numbers.status].join(" ");
    }
    this.rows.replaceChildren(...lines.map(rowOf));
    const { scale, left, upper, width } = placed ?? { scale: 1, left: 0, upper: 0, width: numbers.width };
    this.#drawBoxes(lines, (scale * width) / numbers.width, left, upper);
  }

  /** Announce the numbers to screen readers. */
  speak() {
    const text = (this.text.textContent ?? "").trim().split("\n").join(", ");
    this.spoken.textContent = `${text ? `${text}. ` : ""}${this.status.textContent}`;
  }

  /**
   * @param {Line[]} lines
   * @param {number} scale
   * @param {number} left
   * @param {number} upper
   */
  #drawBoxes(lines, scale, left, upper) {
    const context = context2d(this.overlay);
    /** @param {number[]} box @param {string} colour @param {number} width */
    const draw = ([x0, y0, x1, y1], colour, width) => {
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.strokeRect(left + x0 * scale, upper + y0 * scale, (x1 - x0) * scale, (y1 - y0) * scale);
    };
    for (const line of lines) {
      for (const { box } of line.digits) draw(box, CHARACTER, 1);
      draw(line.box, COLOURS[line.status] ?? "#777777", 2);
    }
  }
}

/** @param {Numbers} numbers */
function messageOf({ status, lines }) {
  if (status === "blank") return "Blank: no ink found.";
  if (status === "not-a-number") return "No number found.";
  const uncertain = lines.filter((line) => line.status === "uncertain").length;
  const count = `${lines.length} ${lines.length === 1 ? "number" : "numbers"}`;
  return uncertain ? `${count}, ${uncertain} uncertain` : count;
}

/** @param {Line} line */
function rowOf({ text, confidence, status, alternatives }) {
  const row = document.createElement("tr");
  const head = document.createElement("th");
  head.scope = "row";
  head.textContent = text || status;
  head.title = alternatives.map((each) => `${each.text} ${percentText(each.confidence)}`).join("\n");
  const bar = document.createElement("td");
  const meter = document.createElement("meter-bar");
  meter.style.setProperty("--share", confidence.toFixed(4));
  bar.append(meter);
  const percent = document.createElement("td");
  percent.textContent = text ? percentText(confidence) : "";
  row.append(head, bar, percent);
  row.classList.toggle("best", status === "ok");
  return row;
}
