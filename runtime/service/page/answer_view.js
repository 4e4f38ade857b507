/** Shows what a model reads: the digit, the bars, what it sees and where it looks. */

const SIDE = 28;
const FOR = [255, 140, 60];
const AGAINST = [70, 150, 235];
/** What changes the answer by less than this is shown fainter, not as strong as what decides it. */
const LEAST_WEIGHT = 0.01;

/** @param {number} share @returns {string} never 100 %, which no model can know */
export function percentText(share) {
  return share >= 0.9995 ? ">99.9 %" : `${(100 * share).toFixed(1)} %`;
}

export class AnswerView {
  /** @param {(id: string) => HTMLElement} element */
  constructor(element) {
    this.digit = element("digit");
    this.status = element("status");
    this.spoken = element("spoken");
    this.rows = element("probabilities").tBodies[0];
    this.seen = element("seen");
    this.map = element("map");
  }

  /** Make a row for every class. */
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

  /** Show nothing but a sentence. */
  clear(sentence) {
    this.digit.textContent = " ";
    this.digit.className = "";
    this.status.textContent = sentence;
    this.spoken.textContent = "";
    this.#showBars(null, null);
    for (const canvas of [this.seen, this.map]) canvas.getContext("2d").clearRect(0, 0, SIDE, SIDE);
  }

  /** @param {object} reading what an engine answers */
  show(reading) {
    if (reading.status === "blank") {
      this.clear("Blank: nothing stands out like ink.");
      return;
    }
    const { label, confidence, status } = reading;
    this.digit.textContent = label;
    this.digit.className = [status, label.length > 2 ? "word" : ""].join(" ").trim();
    this.status.textContent =
      status === "uncertain" ? `Uncertain: perhaps ${label}, ${percentText(confidence)}` : percentText(confidence);
    this.#showBars(reading.probabilities, reading.digit);
    if (reading.image) this.#paint(this.seen, (pixel) => Array(3).fill(reading.image[pixel]));
    if (reading.map) this.#showMap(reading);
  }

  /** Tell the answer who cannot see it. */
  speak() {
    const digit = this.digit.textContent.trim();
    this.say(digit ? `${digit}. ${this.status.textContent}` : this.status.textContent);
  }

  /** Tell who cannot see it. */
  say(text) {
    this.spoken.textContent = text;
  }

  #showBars(probabilities, best) {
    [...this.rows.rows].forEach((row, place) => {
      const share = probabilities ? probabilities[place] : 0;
      row.classList.toggle("best", place === best);
      row.cells[1].firstChild.style.setProperty("--share", share.toFixed(4));
      row.cells[2].textContent = probabilities ? percentText(share) : "";
    });
  }

  #showMap({ map, image }) {
    const most = Math.max(LEAST_WEIGHT, ...map.map(Math.abs));
    this.#paint(this.map, (pixel) => {
      const weight = Math.abs(map[pixel]) / most;
      const colour = map[pixel] >= 0 ? FOR : AGAINST;
      return colour.map((channel) => weight * channel + (1 - weight) * 0.35 * (image ? image[pixel] : 0));
    });
  }

  #paint(canvas, colourOf) {
    const pixels = new ImageData(SIDE, SIDE);
    for (let pixel = 0; pixel < SIDE * SIDE; pixel += 1) pixels.data.set([...colourOf(pixel), 255], 4 * pixel);
    canvas.getContext("2d").putImageData(pixels, 0, 0);
  }
}
