/**
 * The engine of the service's page: classifies pictures by requests to the service. In the static site of
 * `digits-edge export --target web`, another module with the same interface replaces it and runs models in the browser.
 *
 * An engine has
 *   models: [{name, bytes, labels, test_errors, test_images, test_data, latency_us, …}], the default first;
 *   about: text about the use of pictures, as nodes to append;
 *   load(name): completes when the model can be used, and its entry in `models` is complete;
 *   read(picture, {model, withMap, signal}): the response of `POST /predict`, with `image` and `map` as arrays of 784.
 * A picture is a Blob with a picture file, or ImageData.
 */

import { KeyRequired, keyHeaders } from "./key.js";
import { Busy } from "./latest.js";

const MIN_PAUSE_MS = 200;

/** @returns {Promise<import("./prediction_view.js").Engine>} */
export async function openEngine() {
  const { models } = await (await request("models")).json();
  return { models, about: about(), load: async () => {}, read }; // the service has loaded all models
}

/**
 * @param {Blob | ImageData} picture
 * @param {import("./prediction_view.js").ReadOptions} options
 * @returns {Promise<import("./prediction_view.js").Reading>}
 */
async function read(picture, { model, withMap, signal }) {
  const show = withMap ? "image,map" : "image";
  const body = picture instanceof Blob ? picture : portableGreyMap(picture);
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
 * Encode a drawing as PGM, which is faster than the PNG encoder of a canvas.
 *
 * @param {ImageData} drawing
 */
function portableGreyMap({ width, height, data }) {
  const head = new TextEncoder().encode(`P5 ${width} ${height} 255\n`);
  const file = new Uint8Array(head.length + width * height);
  file.set(head);
  for (let pixel = 0; pixel < width * height; pixel += 1) file[head.length + pixel] = data[4 * pixel];
  return file;
}

function about() {
  const link = document.createElement("a");
  link.href = "docs";
  link.textContent = "API documentation";
  return ["Pictures are sent to the service that provides this page, and are not stored. ", link];
}
