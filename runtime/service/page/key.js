/** The service's key, where it has one; kept until the tab is closed. */

const PLACE = "digits-edge key";

export class KeyNeeded extends Error {}

export function keepKey(key) {
  sessionStorage.setItem(PLACE, key);
}

/** @returns {Record<string, string>} what a request has to carry */
export function keyHeaders() {
  const key = sessionStorage.getItem(PLACE);
  return key ? { authorization: `Bearer ${key}` } : {};
}
