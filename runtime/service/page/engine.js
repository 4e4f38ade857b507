/**
 * The engine of the service's page: classifies pictures by requests to the service. In the static site of
 * `digits-edge export --target web`, another module with the same interface replaces it and runs models in the browser.
 *
 * An engine has
 *   readers: [{name, bytes, characters, uncertain_below}], the models that read numbers (see numbers_view.js);
 *   readNumbers(picture, {model, signal}): the response of `POST /read`;
 *   models: [{name, bytes, labels, input, preprocessing, test_errors, …}], the default first (see models.js);
 *   about: text about the use of pictures, as nodes to append;
 *   load(name): completes when the model can be used, and its entry in `models` is complete;
 *   read(picture, {model, withMap, signal}): the response of `POST /predict`, with `image` and `map` as arrays.
 * A picture is a Blob with a picture file, or ImageData.
 */

import { KeyRequired, keyHeaders } from "./key.js";
import { Busy } from "./latest.js";

const MIN_PAUSE_MS = 200;

/** @returns {Promise<import("./prediction_view.js").Engine>} */
export async function openEngine() {
  const { models, readers } = await (await request("models")).json();
  return { models, readers, about: about(), load: async () => {}, read, readNumbers }; // all models are loaded
}

/**
 * @param {Blob | ImageData} picture
 * @param {import("./prediction_view.js").ReadOptions} options
 * @returns {Promise<import("./prediction_view.js").Reading>}
 */
async function read(picture, { model, withMap, signal }) {
  const show = withMap ? "image,map" : "image";
  const body = picture instanceof Blob ? picture : await encoded(picture);
  const response = await request(`predict?${new URLSearchParams({ model, show })}`, {
    method: "POST",
    body,
    headers: { "content-type": "application/octet-stream" },
    signal,
  });
  const reading = await response.json();
  return { ...reading, image: Uint8Array.from(atob(reading.image), (character) => character.charCodeAt(0)) };
}

/**
 * @param {Blob | ImageData} picture
 * @param {{model: string, signal: AbortSignal}} options
 * @returns {Promise<import("./numbers_view.js").Numbers>}
 */
async function readNumbers(picture, { model, signal }) {
  const body = picture instanceof Blob ? picture : await encoded(picture);
  const headers = { "content-type": "application/octet-stream" };
  const response = await request(`read?${new URLSearchParams({ model })}`, { method: "POST", body, headers, signal });
  return response.json();
}

/**
 * @param {string} path
 * @param {RequestInit & {headers?: Record<string, string>}} options
 * @returns {Promise<Response>}
 */
async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { ...options, headers: { ...options.headers, ...keyHeaders() } });
  } catch (error) {
    if (/** @type {Error} */ (error).name === "AbortError") throw error;
    throw new Error("The service does not respond. Check that it is running.");
  }
  if (response.status === 401) throw new KeyRequired("The service requires an API key.");
  if (response.ok) return response;
  if (response.status === 429) {
    const pauseMs = 1000 * Number(response.headers.get("retry-after"));
    throw new Busy("The service is busy. Retrying …", Math.max(pauseMs || 0, MIN_PAUSE_MS));
  }
  const body = await response.json().catch(() => ({}));
  throw new Error(body.error ?? `The service responded with status ${response.status}.`);
}

/**
 * Encode a picture as a file: as PGM or PPM, which is faster than the PNG encoder of a canvas, unless it is transparent.
 *
 * @param {ImageData} picture
 * @returns {Promise<Blob>}
 */
async function encoded(picture) {
  const { width, height, data } = picture;
  let isGrey = true;
  for (let i = 0; i < data.length; i += 4) {
    if (data[i + 3] !== 255) return portableNetworkGraphic(picture);
    isGrey = isGrey && data[i] === data[i + 1] && data[i] === data[i + 2];
  }
  const channels = isGrey ? 1 : 3;
  const pixels = new Uint8Array(width * height * channels);
  for (let i = 0, to = 0; to < pixels.length; i += 4) {
    for (let channel = 0; channel < channels; channel += 1, to += 1) pixels[to] = data[i + channel];
  }
  return new Blob([`${isGrey ? "P5" : "P6"} ${width} ${height} 255\n`, pixels]);
}

/**
 * @param {ImageData} picture
 * @returns {Promise<Blob>}
 */
function portableNetworkGraphic(picture) {
  const canvas = new OffscreenCanvas(picture.width, picture.height);
  const context = canvas.getContext("2d");
  if (!context) throw new Error("This browser cannot draw on a canvas; use another browser.");
  context.putImageData(picture, 0, 0);
  return canvas.convertToBlob();
}

function about() {
  const link = document.createElement("a");
  link.href = "docs";
  link.textContent = "API documentation";
  return ["Pictures are sent to the service that provides this page, and are not stored. ", link];
}
