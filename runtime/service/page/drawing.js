/** The drawing area, for mouse, touch, pen and keyboard. */

/**
 * @typedef {[x: number, y: number]} Point
 * @typedef {Point[]} Stroke
 */

const PAPER = "#ffffff";
const INK = "#000000";
/** Stroke width as a fraction of the canvas height; a digit that fills the canvas then has the stroke width of MNIST. */
const PEN = 0.075;
/** The same on a wide canvas, on which numbers are drawn. */
const THIN_PEN = 0.035;
/** Distance that an arrow key moves the pen, as a fraction of the canvas height. */
const STEP = 0.04;

/** @type {Record<string, [right: number, down: number]>} */
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Drawing {
  /**
   * @param {HTMLCanvasElement} paper the canvas to draw on, black ink on white
   * @param {HTMLCanvasElement} overlay a canvas of the same size above it; shows the pen during keyboard input
   * @param {(finished: boolean) => void} changed called when the drawing changes; `finished` at the end of a stroke
   * @param {(text: string) => void} say announces the position of the pen to screen readers
   */
  constructor(paper, overlay, changed, say) {
    this.paper = paper;
    this.overlay = overlay;
    this.changed = changed;
    this.say = say;
    this.context = context2d(paper, { willReadFrequently: true });
    /** @type {Stroke[]} */
    this.strokes = [];
    /** @type {Map<number, Stroke>} */
    this.pointers = new Map();
    this.pen = { x: paper.width / 2, y: paper.height / 2, stroke: /** @type {Stroke | null} */ (null), isShown: false };
    this.#redraw();
    paper.addEventListener("pointerdown", (event) => this.#startStroke(event));
    paper.addEventListener("pointermove", (event) => this.#move(event));
    paper.addEventListener("pointerup", (event) => this.#endStroke(event));
    paper.addEventListener("pointercancel", (event) => this.#endStroke(event));
    paper.addEventListener("keydown", (event) => this.#press(event));
    paper.addEventListener("blur", () => this.#hidePen());
  }

  /**
   * Change the size of the canvas, which clears it.
   *
   * @param {number} width
   * @param {number} height
   */
  resize(width, height) {
    if (width === this.paper.width && height === this.paper.height) return;
    for (const canvas of [this.paper, this.overlay]) Object.assign(canvas, { width, height });
    Object.assign(this.pen, { x: width / 2, y: height / 2, stroke: null });
    this.strokes = [];
    this.pointers.clear();
    this.#redraw();
  }

  /** Width of the pen in pixels. */
  get penWidth() {
    return (this.paper.width > this.paper.height ? THIN_PEN : PEN) * this.paper.height;
  }

  get isEmpty() {
    return this.strokes.length === 0;
  }

  /** @returns {ImageData} the pixels of the drawing */
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

  /**
   * Show a picture, scaled to fit; the next stroke replaces it.
   *
   * @param {ImageBitmap} picture
   */
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

  /** @param {PointerEvent} event */
  #startStroke(event) {
    if (event.button !== 0) return;
    event.preventDefault();
    this.paper.focus({ preventScroll: true, focusVisible: false });
    this.paper.setPointerCapture(event.pointerId);
    this.#hidePen();
    this.pointers.set(event.pointerId, this.#newStroke(this.#position(event)));
    this.changed(false);
  }

  /** @param {PointerEvent} event */
  #move(event) {
    const stroke = this.pointers.get(event.pointerId);
    if (!stroke) return;
    const moves = event.getCoalescedEvents?.() ?? [];
    for (const move of moves.length ? moves : [event]) this.#extend(stroke, this.#position(move));
    this.changed(false);
  }

  /** @param {PointerEvent} event */
  #endStroke(event) {
    if (this.pointers.delete(event.pointerId)) this.changed(true);
  }

  /** @param {KeyboardEvent} event */
  #press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const pen = this.pen;
    if (event.key in ARROWS) {
      const [right, down] = ARROWS[event.key];
      pen.x = clamp(pen.x + right * STEP * this.paper.height, this.paper.width);
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
    const [x, y] = [pen.x / this.paper.width, pen.y / this.paper.height].map((fraction) => Math.round(100 * fraction));
    this.say(`Pen ${pen.stroke ? "down" : "up"}, ${x} % from the left, ${y} % from the top`);
  }

  /**
   * @param {Point} point
   * @returns {Stroke}
   */
  #newStroke(point) {
    if (this.isEmpty) this.#redraw(); // removes a picture
    const stroke = [point];
    this.strokes.push(stroke);
    this.#drawLine(stroke, 0);
    return stroke;
  }

  /**
   * @param {Stroke} stroke
   * @param {Point} point
   */
  #extend(stroke, point) {
    stroke.push(point);
    this.#drawLine(stroke, stroke.length - 2);
  }

  /**
   * @param {PointerEvent} event
   * @returns {Point}
   */
  #position(event) {
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

  /**
   * @param {Stroke} stroke
   * @param {number} from index of a point
   */
  #drawLine(stroke, from) {
    const context = this.context;
    context.strokeStyle = INK;
    context.lineWidth = this.penWidth;
    context.lineCap = context.lineJoin = "round";
    context.beginPath();
    context.moveTo(...stroke[from]);
    for (const point of stroke.slice(from)) context.lineTo(...point);
    context.stroke();
  }

  #showPen() {
    const context = context2d(this.overlay);
    this.#hidePen();
    this.pen.isShown = true;
    context.strokeStyle = this.pen.stroke ? "#d55e00" : "#0072b2";
    context.lineWidth = 3;
    context.beginPath();
    context.arc(this.pen.x, this.pen.y, this.penWidth / 2, 0, 2 * Math.PI);
    context.stroke();
  }

  #hidePen() {
    if (!this.pen.isShown) return;
    this.pen.isShown = false;
    this.#wipeOverlay();
  }

  #wipeOverlay() {
    context2d(this.overlay).clearRect(0, 0, this.overlay.width, this.overlay.height);
  }
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {CanvasRenderingContext2DSettings} [settings]
 * @returns {CanvasRenderingContext2D}
 */
export function context2d(canvas, settings) {
  return /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", settings));
}

/**
 * @param {number} position
 * @param {number} size
 */
function clamp(position, size) {
  return Math.min(Math.max(position, 0), size);
}
