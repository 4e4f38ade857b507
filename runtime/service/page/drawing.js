/** Paper to draw on, with mouse, finger, pen or keys. */

const PAPER = "#ffffff";
const INK = "#000000";
/** Width of the pen as a share of the paper: a digit that fills the paper then has MNIST's strokes. */
const PEN = 0.075;
/** How far an arrow key moves the pen, as a share of the paper. */
const STEP = 0.04;

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Drawing {
  /**
   * @param {HTMLCanvasElement} paper what is drawn on; its pixels are dark ink on white
   * @param {HTMLCanvasElement} overlay of the same size, over it; shows the pen that keys move
   * @param {(finished: boolean) => void} changed called when the drawing changes; finished where a stroke has ended
   * @param {(text: string) => void} say tells who cannot see the pen where it is
   */
  constructor(paper, overlay, changed, say) {
    this.paper = paper;
    this.overlay = overlay;
    this.changed = changed;
    this.say = say;
    this.context = paper.getContext("2d", { willReadFrequently: true });
    this.strokes = [];
    this.pointers = new Map();
    this.pen = { x: paper.width / 2, y: paper.height / 2, stroke: null, isShown: false };
    this.#redraw();
    paper.addEventListener("pointerdown", (event) => this.#begin(event));
    paper.addEventListener("pointermove", (event) => this.#go(event));
    for (const end of ["pointerup", "pointercancel"]) paper.addEventListener(end, (event) => this.#end(event));
    paper.addEventListener("keydown", (event) => this.#key(event));
    paper.addEventListener("blur", () => this.#hidePen());
  }

  get isEmpty() {
    return this.strokes.length === 0;
  }

  /** @returns {ImageData} what is on the paper */
  pixels() {
    return this.context.getImageData(0, 0, this.paper.width, this.paper.height);
  }

  clear() {
    this.strokes = [];
    this.pen.stroke = null;
    this.pointers.clear();
    this.#redraw();
    this.changed(true);
  }

  undo() {
    this.pen.stroke = null;
    this.pointers.clear();
    this.strokes.pop();
    this.#redraw();
    this.changed(true);
  }

  /** Put a picture on the paper, as large as fits; the next stroke begins on a new sheet. */
  show(picture) {
    this.strokes = [];
    this.#redraw();
    const { width, height } = this.paper;
    const scale = Math.min(width / picture.width, height / picture.height);
    const [w, h] = [picture.width * scale, picture.height * scale];
    const [left, upper] = [(width - w) / 2, (height - h) / 2];
    this.context.imageSmoothingQuality = "high";
    this.context.drawImage(picture, left, upper, w, h);
    this.paper.classList.add("picture");
    return { scale, left, upper };
  }

  #begin(event) {
    if (event.button !== 0) return;
    event.preventDefault();
    this.paper.focus({ preventScroll: true, focusVisible: false });
    this.paper.setPointerCapture(event.pointerId);
    this.#hidePen();
    this.pointers.set(event.pointerId, this.#newStroke(this.#place(event)));
    this.changed(false);
  }

  #go(event) {
    const stroke = this.pointers.get(event.pointerId);
    if (!stroke) return;
    const moves = event.getCoalescedEvents?.() ?? [];
    for (const move of moves.length ? moves : [event]) this.#extend(stroke, this.#place(move));
    this.changed(false);
  }

  #end(event) {
    if (this.pointers.delete(event.pointerId)) this.changed(true);
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const pen = this.pen;
    if (event.key in ARROWS) {
      const [right, down] = ARROWS[event.key];
      pen.x = clamp(pen.x + right * STEP * this.paper.width, this.paper.width);
      pen.y = clamp(pen.y + down * STEP * this.paper.height, this.paper.height);
      if (pen.stroke) {
        this.#extend(pen.stroke, [pen.x, pen.y]);
        this.changed(false);
      }
    } else if (event.key === " ") {
      pen.stroke = pen.stroke ? null : this.#newStroke([pen.x, pen.y]);
      this.changed(!pen.stroke);
    } else {
      return;
    }
    event.preventDefault();
    this.#showPen();
    const [x, y] = [pen.x / this.paper.width, pen.y / this.paper.height].map((share) => Math.round(100 * share));
    this.say(`Pen ${pen.stroke ? "down" : "up"}, ${x} across, ${y} down`);
  }

  #newStroke(point) {
    if (this.isEmpty) this.#redraw(); // a picture may lie there
    const stroke = [point];
    this.strokes.push(stroke);
    this.#drawLine(stroke, 0);
    return stroke;
  }

  #extend(stroke, point) {
    stroke.push(point);
    this.#drawLine(stroke, stroke.length - 2);
  }

  #place(event) {
    const box = this.paper.getBoundingClientRect();
    return [
      ((event.clientX - box.left) / box.width) * this.paper.width,
      ((event.clientY - box.top) / box.height) * this.paper.height,
    ];
  }

  #redraw() {
    this.paper.classList.remove("picture");
    this.pen.isShown = false;
    this.#wipeOverlay();
    this.context.fillStyle = PAPER;
    this.context.fillRect(0, 0, this.paper.width, this.paper.height);
    for (const stroke of this.strokes) this.#drawLine(stroke, 0);
  }

  #drawLine(stroke, from) {
    const context = this.context;
    context.strokeStyle = INK;
    context.lineWidth = PEN * this.paper.width;
    context.lineCap = context.lineJoin = "round";
    context.beginPath();
    context.moveTo(...stroke[from]);
    for (const point of stroke.slice(from)) context.lineTo(...point);
    context.stroke();
  }

  #showPen() {
    const context = this.overlay.getContext("2d");
    this.#hidePen();
    this.pen.isShown = true;
    context.strokeStyle = this.pen.stroke ? "#d55e00" : "#0072b2";
    context.lineWidth = 3;
    context.beginPath();
    context.arc(this.pen.x, this.pen.y, (PEN * this.paper.width) / 2, 0, 2 * Math.PI);
    context.stroke();
  }

  #hidePen() {
    if (!this.pen.isShown) return;
    this.pen.isShown = false;
    this.#wipeOverlay();
  }

  #wipeOverlay() {
    this.overlay.getContext("2d").clearRect(0, 0, this.overlay.width, this.overlay.height);
  }
}

function clamp(place, size) {
  return Math.min(Math.max(place, 0), size);
}
