/**
 * What reads the pictures: the service that this page came from. The page of `digits-edge export --target web` has
 * another engine of the same form in this place, which reads them in the browser.
 *
 * An engine has
 *   models: [{name, bytes, labels, test_errors, test_images, test_data, latency_us, …}], the default first;
 *   about: a sentence about where pictures go, as nodes to append;
 *   read(picture, {model, withMap, signal}): a reading, as `POST /predict` has it, `image` and `map` as arrays of 784.
 * A picture is a Blob of a picture file, or ImageData.
 */

import { KeyNeeded, keyHeaders } from "./key.js";
import { Busy } from "./latest.js";

const LEAST_PAUSE_MS = 200;

export async function openEngine() {
  const { models } = await (await asked("models")).json();
  return { models, about: about(), read };
}

async function read(picture, { model, withMap, signal }) {
  const show = withMap ? "image,map" : "image";
  const body = picture instanceof Blob ? picture : portableGreyMap(picture);
  const answer = await asked(`predict?${new URLSearchParams({ model, show })}`, {
    method: "POST",
    body,
    headers: { "content-type": "application/octet-stream" },
    signal,
  });
  const reading = await answer.json();
  return { ...reading, image: Uint8Array.from(atob(reading.image), (character) => character.charCodeAt(0)) };
}

async function asked(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { ...options, headers: { ...options.headers, ...keyHeaders() } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The service does not answer; is it still running?");
  }
  if (answer.status === 401) throw new KeyNeeded("The service asks for its key.");
  if (answer.ok) return answer;
  if (answer.status === 429) {
    const pauseMs = 1000 * Number(answer.headers.get("retry-after"));
    throw new Busy("The service is busy; it is asked again.", Math.max(pauseMs || 0, LEAST_PAUSE_MS));
  }
  const reason = await answer.json().catch(() => ({}));
  throw new Error(reason.error ?? `The service answered ${answer.status}.`);
}

/** The drawing as a picture file, at once: a canvas takes its time to make a PNG. */
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
  link.textContent = "The API";
  return ["Pictures go to the service that this page came from, and are not kept. ", link, " is open to programs too."];
}
