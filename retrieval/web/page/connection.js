/** Asks the server for the status of the library, as often as that may change, and notices when it is gone. */

import { api } from "./api.js";

const CALM = 5000;
const BUSY = 1000; // while it indexes, or somebody watches for that
const LONGEST = 30000; // between two tries to reach a server that is gone

class Connection extends EventTarget {
  status = null;
  gone = false;
  isWatched = false;
  #wait = 1000;
  #timer = 0;

  start() {
    document.addEventListener("visibilitychange", () => document.hidden || this.ask());
    return this.ask();
  }

  /** Now, and then again and again. */
  async ask() {
    clearTimeout(this.#timer);
    try {
      const before = this.status;
      this.status = await api.status();
      if (this.gone) this.#say("back");
      this.gone = false;
      this.#wait = 1000;
      this.#say("status");
      if (before && before.version !== this.status.version) this.#say("version");
    } catch (error) {
      if (error.status === 0) this.lost();
    }
    clearTimeout(this.#timer);
    if (!document.hidden) this.#timer = setTimeout(() => this.ask(), this.#pause());
  }

  /** A request found nobody. */
  lost() {
    this.gone = true;
    this.retryAt = Date.now() + this.#wait;
    this.#say("gone");
  }

  #pause() {
    if (!this.gone) return this.isWatched || this.status?.indexing ? BUSY : CALM;
    const wait = this.#wait;
    this.#wait = Math.min(LONGEST, wait * 1.6);
    return wait;
  }

  #say(what) {
    this.dispatchEvent(new Event(what));
  }
}

export const connection = new Connection();
