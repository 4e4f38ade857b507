/** Asking for what is newest, one question at a time: what came while an answer was awaited is asked once, at its end. */

/** Not now: the same question may be asked again later. */
export class Busy extends Error {
  constructor(message, retryAfterMs) {
    super(message);
    this.retryAfterMs = retryAfterMs;
  }
}

export class Latest {
  /**
   * @param {(question: object, signal: AbortSignal) => Promise<any>} ask
   * @param {(answer: any, question: object) => void} show
   * @param {(error: Error) => void} fail
   */
  constructor(ask, show, fail) {
    this.ask = ask;
    this.show = show;
    this.fail = fail;
    this.next = null;
    this.current = null;
    this.abort = null;
  }

  /** Ask soon. A question that still waits is forgotten; one that is asked and takes long (`isSlow`) is given up. */
  put(question) {
    this.next = question;
    if (this.current === null) this.#askAll();
    else if (this.current.isSlow) this.abort.abort();
  }

  /** Forget the question that still waits. */
  drop() {
    this.next = null;
  }

  async #askAll() {
    while (this.next !== null) {
      const question = (this.current = this.next);
      this.next = null;
      this.abort = new AbortController();
      try {
        this.show(await this.ask(question, this.abort.signal), question);
      } catch (error) {
        if (error.name === "AbortError") continue;
        this.fail(error);
        if (error instanceof Busy) {
          await new Promise((resolve) => setTimeout(resolve, error.retryAfterMs));
          this.next ??= question;
        }
      }
    }
    this.current = null;
  }
}
