/** Sends one request at a time; of the requests that arrive in the meantime, only the latest is sent next. */

/** The service is busy; the request can be repeated later. */
export class Busy extends Error {
  /**
   * @param {string} message
   * @param {number} retryAfterMs
   */
  constructor(message, retryAfterMs) {
    super(message);
    this.retryAfterMs = retryAfterMs;
  }
}

/**
 * @template {{isSlow: boolean}} Q a request
 * @template R its result
 */
export class Latest {
  /**
   * @param {(request: Q, signal: AbortSignal) => Promise<R>} send
   * @param {(result: R, request: Q) => void} show
   * @param {(error: Error) => void} fail
   */
  constructor(send, show, fail) {
    this.send = send;
    this.show = show;
    this.fail = fail;
    /** @type {Q | null} */
    this.next = null;
    /** @type {Q | null} */
    this.current = null;
    this.abort = new AbortController();
  }

  /**
   * Send a request soon. It replaces a waiting request and aborts a running one that is slow (`isSlow`).
   *
   * @param {Q} request
   */
  put(request) {
    this.next = request;
    if (this.current === null) this.#sendAll();
    else if (this.current.isSlow) this.abort.abort();
  }

  /** Remove the waiting request. */
  drop() {
    this.next = null;
  }

  async #sendAll() {
    while (this.next !== null) {
      const request = (this.current = this.next);
      this.next = null;
      this.abort = new AbortController();
      try {
        this.show(await this.send(request, this.abort.signal), request);
      } catch (thrown) {
        const error = /** @type {Error} */ (thrown);
        if (error.name === "AbortError") continue;
        this.fail(error);
        if (error instanceof Busy) {
          await new Promise((resolve) => setTimeout(resolve, error.retryAfterMs));
          this.next ??= request;
        }
      }
    }
    this.current = null;
  }
}
