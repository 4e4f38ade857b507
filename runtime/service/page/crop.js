/** A picture with a frame that is cropped to: moved and resized with the mouse, touch, pen and keyboard. */

import { context2d } from "./drawing.js";

/**
 * @typedef {{left: number, upper: number, width: number, height: number}} Region in pixels of the picture
 * @typedef {{start: Region, x: number, y: number, corner: [number, number] | null}} Drag the frame and the position at
 *   the start, and the corner that is dragged: 0 or 1 across and down; null for the complete frame
 */

/** Maximum side of the cropped picture in pixels; larger ones are reduced. No model has a larger input. */
const MAX_SIDE = 1024;
/** Minimum size of the frame, as a fraction of the largest frame in the picture. */
const MIN_SIZE = 0.05;
/** Distance that an arrow key moves the frame, as a fraction of the picture's longer side. */
const STEP = 0.02;
const ZOOM = 1.1;
/** Distance in CSS pixels at which a corner is grasped, and the half side of its mark. */
const REACH = 24;
const MARK = 5;
/** Margin around the picture in CSS pixels, in which the marks of the corners are visible. */
const MARGIN = 8;

/** @type {Record<string, [right: number, down: number]>} */
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const CORNERS = /** @type {[number, number][]} */ ([
  [0, 0],
  [1, 0],
  [0, 1],
  [1, 1],
]);

export class Crop {
  /**
   * @param {HTMLCanvasElement} canvas shows the picture and the frame
   * @param {(finished: boolean) => void} changed called when the frame changes; `finished` at the end of a movement
   * @param {(text: string) => void} say announces the frame to screen readers
   */
  constructor(canvas, changed, say) {
    this.canvas = canvas;
    this.changed = changed;
    this.say = say;
    /** @type {ImageBitmap | null} */
    this.picture = null;
    this.aspect = 1;
    this.startsWhole = false;
    /** Whether the user has not changed the frame. */
    this.isUnchanged = true;
    /** @type {Region} */
    this.frame = { left: 0, upper: 0, width: 0, height: 0 };
    /** @type {Region | null} */
    this.object = null;
    /** @type {Map<number, Drag>} */
    this.drags = new Map();
    canvas.addEventListener("pointerdown", (event) => this.#grasp(event));
    canvas.addEventListener("pointermove", (event) => this.#drag(event));
    canvas.addEventListener("pointerup", (event) => this.#release(event));
    canvas.addEventListener("pointercancel", (event) => this.#release(event));
    canvas.addEventListener("keydown", (event) => this.#press(event));
  }

  /**
   * Show a picture with the frame around its middle, or around all of it.
   *
   * @param {ImageBitmap | null} picture null if the browser cannot decode it; closed with the next picture
   */
  open(picture) {
    this.picture?.close();
    this.picture = picture;
    this.reset();
  }

  /**
   * Set the shape of the frame; a change resets it.
   *
   * @param {number} aspect width divided by height
   * @param {boolean} startsWhole whether the first frame is the complete picture, of any shape
   */
  setShape(aspect, startsWhole) {
    if (aspect === this.aspect && startsWhole === this.startsWhole) return;
    this.aspect = aspect;
    this.startsWhole = startsWhole;
    this.reset();
  }

  reset() {
    this.isUnchanged = true;
    this.object = null;
    this.drags.clear();
    if (this.picture) this.frame = this.startsWhole ? { left: 0, upper: 0, ...sizeOf(this.picture) } : this.#largest();
    this.#draw();
  }

  /**
   * The pixels in the frame.
   *
   * @returns {ImageData}
   */
  pixels() {
    const [left, upper] = [Math.round(this.frame.left), Math.round(this.frame.upper)];
    const width = Math.max(1, Math.round(this.frame.left + this.frame.width) - left);
    const height = Math.max(1, Math.round(this.frame.upper + this.frame.height) - upper);
    const scale = Math.min(1, MAX_SIDE / Math.max(width, height));
    const canvas = new OffscreenCanvas(Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale)));
    const context = canvas.getContext("2d", { willReadFrequently: true });
    if (!context || !this.picture) throw new Error("The picture cannot be cropped; use another browser.");
    context.imageSmoothingQuality = "high";
    context.drawImage(this.picture, left, upper, width, height, 0, 0, canvas.width, canvas.height);
    return context.getImageData(0, 0, canvas.width, canvas.height);
  }

  /**
   * The frame if the user has changed it; null for the complete picture.
   *
   * @returns {Region | null}
   */
  get region() {
    return this.picture && !this.isUnchanged ? this.frame : null;
  }

  /**
   * Mark the object that a model has found.
   *
   * @param {number[] | null} box left, upper, right, lower in pixels of the image that it was found in
   * @param {number} width of that image
   * @param {Region | null} region of the picture that the image shows; null for the complete picture
   */
  mark(box, width, region) {
    const { left, upper, width: whole } = region ?? { left: 0, upper: 0, width: this.picture?.width ?? 0 };
    const [x0, y0, x1, y1] = (box ?? [0, 0, 0, 0]).map((side) => (side * whole) / width);
    this.object = box && { left: left + x0, upper: upper + y0, width: x1 - x0, height: y1 - y0 };
    this.#draw();
  }

  /**
   * Resize the frame around its centre.
   *
   * @param {number} factor
   */
  zoom(factor) {
    this.#begin();
    const { left, upper, width, height } = this.frame;
    this.#place(left + width / 2, upper + height / 2, width * factor);
    this.#announce();
  }

  get zoomFactor() {
    return ZOOM;
  }

  /** The largest frame in the middle of the picture. */
  #largest() {
    const { width, height } = sizeOf(this.picture);
    const largest = Math.min(width, height * this.aspect);
    const size = { width: largest, height: largest / this.aspect };
    return { left: (width - size.width) / 2, upper: (height - size.height) / 2, ...size };
  }

  /** Start to change the frame: from then on it has the shape of the model's input. */
  #begin() {
    if (this.isUnchanged && this.startsWhole) this.frame = this.#largest();
    this.isUnchanged = false;
    this.object = null;
  }

  /**
   * Place the frame; its size and position are limited to the picture.
   *
   * @param {number} x centre
   * @param {number} y centre
   * @param {number} width
   */
  #place(x, y, width) {
    const picture = sizeOf(this.picture);
    const largest = this.#largest().width;
    const size = Math.min(Math.max(width, MIN_SIZE * largest, Math.min(1, largest)), largest);
    const frame = { width: size, height: size / this.aspect };
    this.frame = {
      left: between(x - frame.width / 2, picture.width - frame.width),
      upper: between(y - frame.height / 2, picture.height - frame.height),
      ...frame,
    };
    this.#draw();
  }

  /** @param {PointerEvent} event */
  #grasp(event) {
    if (event.button !== 0 || !this.picture || this.drags.size) return;
    event.preventDefault();
    this.canvas.focus({ preventScroll: true, focusVisible: false });
    this.canvas.setPointerCapture(event.pointerId);
    const [x, y] = this.#position(event);
    const reach = (REACH * this.#perCssPixel()) / this.#placed().scale;
    const corner = CORNERS.find(([across, down]) => {
      const { left, upper, width, height } = this.frame;
      return Math.hypot(x - left - across * width, y - upper - down * height) < Math.min(reach, width / 3);
    });
    this.#begin();
    if (!corner && !contains(this.frame, x, y)) this.#place(x, y, this.frame.width);
    this.drags.set(event.pointerId, { start: this.frame, x, y, corner: corner ?? null });
    this.#draw();
    this.changed(false);
  }

  /** @param {PointerEvent} event */
  #drag(event) {
    const drag = this.drags.get(event.pointerId);
    if (!drag) return;
    const [x, y] = this.#position(event);
    const { left, upper, width, height } = drag.start;
    if (!drag.corner) {
      this.#place(left + width / 2 + x - drag.x, upper + height / 2 + y - drag.y, width);
    } else {
      this.#stretch(drag.start, drag.corner, x - drag.x, y - drag.y);
    }
    this.changed(false);
  }

  /**
   * Move a corner of the frame; the opposite one stays.
   *
   * @param {Region} start
   * @param {[number, number]} corner
   * @param {number} right
   * @param {number} down
   */
  #stretch(start, [across, down_], right, down) {
    const picture = sizeOf(this.picture);
    const [toRight, toBottom] = [across ? 1 : -1, down_ ? 1 : -1];
    const fixed = [start.left + (1 - across) * start.width, start.upper + (1 - down_) * start.height];
    const room = [across ? picture.width - fixed[0] : fixed[0], down_ ? picture.height - fixed[1] : fixed[1]];
    const wanted = start.width + Math.max(toRight * right, toBottom * down * this.aspect);
    const width = Math.min(Math.max(wanted, MIN_SIZE * this.#largest().width), room[0], room[1] * this.aspect);
    this.#place(fixed[0] + (toRight * width) / 2, fixed[1] + (toBottom * width) / this.aspect / 2, width);
  }

  /** @param {PointerEvent} event */
  #release(event) {
    if (this.drags.delete(event.pointerId)) this.changed(true);
  }

  /** @param {KeyboardEvent} event */
  #press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.picture) return;
    if (event.key in ARROWS) {
      const [right, down] = ARROWS[event.key];
      const step = STEP * Math.max(this.picture.width, this.picture.height);
      this.#begin();
      const { left, upper, width, height } = this.frame;
      this.#place(left + width / 2 + right * step, upper + height / 2 + down * step, width);
      this.#announce();
    } else if (event.key === "+" || event.key === "=") {
      this.zoom(ZOOM);
    } else if (event.key === "-") {
      this.zoom(1 / ZOOM);
    } else {
      return;
    }
    event.preventDefault();
  }

  #announce() {
    const { left, upper, width } = this.frame;
    const picture = sizeOf(this.picture);
    const shares = [width / picture.width, left / picture.width, upper / picture.height];
    const [size, x, y] = shares.map((share) => Math.round(100 * share));
    this.changed(true);
    this.say(`Crop ${size} % of the width, ${x} % from the left, ${y} % from the top`);
  }

  /** Scale and position of the picture on the canvas. */
  #placed() {
    const { width, height } = sizeOf(this.picture);
    const margin = 2 * MARGIN * this.#perCssPixel();
    const scale = Math.min((this.canvas.width - margin) / width, (this.canvas.height - margin) / height);
    return { scale, x: (this.canvas.width - width * scale) / 2, y: (this.canvas.height - height * scale) / 2 };
  }

  /** Pixels of the canvas per CSS pixel. */
  #perCssPixel() {
    return this.canvas.width / (this.canvas.getBoundingClientRect().width || this.canvas.width);
  }

  /**
   * @param {PointerEvent} event
   * @returns {[x: number, y: number]} in pixels of the picture
   */
  #position(event) {
    const box = this.canvas.getBoundingClientRect();
    const { scale, x, y } = this.#placed();
    return [
      (((event.clientX - box.left) / box.width) * this.canvas.width - x) / scale,
      (((event.clientY - box.top) / box.height) * this.canvas.height - y) / scale,
    ];
  }

  #draw() {
    const context = context2d(this.canvas);
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    if (!this.picture) return;
    const { scale, x, y } = this.#placed();
    const { width, height } = this.picture;
    /** @param {Region} region @returns {[number, number, number, number]} */
    const onCanvas = (region) => [
      x + region.left * scale,
      y + region.upper * scale,
      region.width * scale,
      region.height * scale,
    ];
    context.imageSmoothingQuality = "high";
    context.drawImage(this.picture, x, y, width * scale, height * scale);
    const frame = onCanvas(this.frame);
    context.fillStyle = "rgb(0 0 0 / 55%)";
    context.beginPath();
    context.rect(x, y, width * scale, height * scale);
    context.rect(...frame);
    context.fill("evenodd");
    this.#drawFrame(context, frame);
    if (!this.object) return;
    context.strokeStyle = "#d55e00";
    context.lineWidth = 3;
    context.strokeRect(...onCanvas(this.object));
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {[number, number, number, number]} frame
   */
  #drawFrame(context, [left, upper, width, height]) {
    const css = this.#perCssPixel();
    for (const [colour, line] of /** @type {[string, number][]} */ ([
      ["#000000", 4],
      ["#ffffff", 2],
    ])) {
      context.strokeStyle = colour;
      context.lineWidth = line * css;
      context.strokeRect(left, upper, width, height);
    }
    for (const [across, down] of CORNERS) {
      const [centreX, centreY, half] = [left + across * width, upper + down * height, MARK * css];
      context.fillStyle = "#000000";
      context.fillRect(centreX - half - css, centreY - half - css, 2 * (half + css), 2 * (half + css));
      context.fillStyle = "#ffffff";
      context.fillRect(centreX - half, centreY - half, 2 * half, 2 * half);
    }
  }
}

/** @param {ImageBitmap | null} picture */
function sizeOf(picture) {
  return { width: picture?.width ?? 1, height: picture?.height ?? 1 };
}

/**
 * @param {number} position
 * @param {number} room
 */
function between(position, room) {
  return Math.min(Math.max(position, 0), Math.max(room, 0));
}

/**
 * @param {Region} region
 * @param {number} x
 * @param {number} y
 */
function contains({ left, upper, width, height }, x, y) {
  return x >= left && y >= upper && x <= left + width && y <= upper + height;
}
