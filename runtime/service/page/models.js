/**
 * The models of an engine, and what their preprocessing means for the page.
 *
 * @typedef {{step: "digit", ink: number, size: number}} DigitStep
 * @typedef {{step: "object", side: number, size: number}} ObjectStep
 * @typedef {{step: "resize", height: number, width: number, fit: "stretch" | "contain" | "cover"}} ResizeStep
 * @typedef {{step: "center_crop", height: number, width: number}} CenterCropStep
 * @typedef {{step: "pad", height: number, width: number, level: number}} PadStep
 * @typedef {DigitStep | ObjectStep | ResizeStep | CenterCropStep | PadStep} PreprocessingStep
 * @typedef {{height: number, width: number, channels: number, polarity: string}} ImageInput
 * @typedef {{
 *   name: string,
 *   bytes: number,
 *   labels: string[],
 *   input: ImageInput,
 *   preprocessing: PreprocessingStep[],
 *   test_errors: number | null,
 *   test_images: number | null,
 *   test_data: string | null,
 *   latency_us: number,
 * }} Model
 */

/** Number of predictions for the contribution of each pixel, about, and the time limit for all of them. */
const MAP_IMAGES = 257;
const MAX_MAP_US = 3_000_000;

/**
 * Whether the model reads handwriting, so that it can be drawn.
 *
 * @param {Pick<Model, "preprocessing">} model
 */
export function readsHandwriting({ preprocessing }) {
  return preprocessing.some(({ step }) => step === "digit");
}

/**
 * Whether the model looks for ink or an object, so that a picture without it is blank.
 *
 * @param {Pick<Model, "preprocessing">} model
 */
export function readsInk({ preprocessing }) {
  return preprocessing.some(({ step }) => step === "digit" || step === "object");
}

/**
 * Whether the model's classes are digits.
 *
 * @param {Model} model
 */
export function readsDigits(model) {
  return readsHandwriting(model) && model.labels.every((label) => /^\d$/.test(label));
}

/**
 * Whether the model's preprocessing removes the edges of pictures of another shape than its input.
 *
 * @param {Model} model
 */
export function cropsToInput({ preprocessing: [first] }) {
  return first?.step === "resize" && first.fit === "cover";
}

/**
 * Whether the contribution of each pixel can be computed while the user waits.
 *
 * @param {Model} model
 */
export function mapIsFast({ latency_us: latencyUs }) {
  return latencyUs * MAP_IMAGES <= MAX_MAP_US;
}
