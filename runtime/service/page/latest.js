/** Asking for what is newest, one question at a time: what came while an answer was awaited is asked once, at its end. */

export class Latest {
  /**
   * @param {(question: any) => Promise<any>} ask
   * @param {(answer: any, question: any) => void} show
   * @param {(error: Error) => void} fail
   */
  constructor(ask, show, fail) {
    this.ask = ask;
    this.show = show;
    this.fail = fail;
    this.next = null;
    this.isAsking = false;
  }

  /** Ask soon; a question that still waits is forgotten. */
  put(question) {
    this.next = question;
    if (!this.isAsking) this.#askAll();
  }

  /** Forget the question that still waits. */
  drop() {
    this.next = null;
  }

  async #askAll() {
    this.isAsking = true;
    while (this.next !== null) {
      const question = this.next;
      this.next = null;
      try {
        this.show(await this.ask(question), question); // one to what has changed meanwhile still moves the bars
      } catch (error) {
        this.fail(error);
      }
    }
    this.isAsking = false;
  }
}
