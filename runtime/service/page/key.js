/** The API key of the service, stored until the tab is closed. */

const STORAGE_KEY = "digits-edge key";

export class KeyRequired extends Error {}

/** @param {string} key */
export function storeKey(key) {
  sessionStorage.setItem(STORAGE_KEY, key);
}

/** @returns {Record<string, string>} the headers for a request; empty without a key */
export function keyHeaders() {
  const key = sessionStorage.getItem(STORAGE_KEY);
  return key ? { authorization: `Bearer ${key}` } : {};
}
