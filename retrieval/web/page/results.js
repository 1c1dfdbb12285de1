/** The answers to one query, page by page, each picture once. */

import { api } from "./api.js";

const FIRST = 60; // enough for a large screen
const MORE = 200;
export const DEEPEST = 10_000; // of what the server answers
const KEPT = 12; // queries whose answers are kept for going back

export class Results {
  constructor(q, sort, using) {
    Object.assign(this, { q, sort, using, seconds: 0, looksLikeNothing: false, empty: false });
    /** @type {import("./grid.js").Match[]} */
    this.items = [];
    this.ids = new Set();
    this.next = 0; // offset of the next page, null at the end
    this.waiting = null;
    this.aborter = new AbortController();
  }

  /** Fetches the next page; one at a time. Resolves to false if there is none. */
  more() {
    if (this.next === null) return Promise.resolve(false);
    this.waiting ??= this.fetch().finally(() => (this.waiting = null));
    return this.waiting;
  }

  async fetch() {
    const limit = Math.min(this.next ? MORE : FIRST, DEEPEST - this.next);
    const query = { q: this.q, sort: this.sort, using: this.using, offset: this.next, limit };
    const answer = await api.search(query, this.aborter.signal);
    if (this.next === 0) {
      this.seconds = answer.seconds;
      this.looksLikeNothing = answer.looks_like_nothing;
      this.empty = answer.empty;
    }
    for (const match of answer.matches) {
      if (this.ids.has(match.id)) continue;
      this.ids.add(match.id);
      this.items.push(match);
    }
    this.next = answer.next_offset;
    return true;
  }

  stop() {
    this.aborter.abort();
  }
}

const kept = new Map();

/** Results that were seen are there at once; `afresh` asks again. */
export function resultsFor(q, sort, using, { afresh = false } = {}) {
  const key = JSON.stringify([q, sort, using]);
  const known = kept.get(key);
  if (known && !afresh && !known.aborter.signal.aborted && known.next !== 0) return known;
  kept.delete(key);
  const made = new Results(q, sort, using);
  kept.set(key, made);
  if (kept.size > KEPT) kept.delete(kept.keys().next().value);
  return made;
}

export const forgetResults = () => kept.clear();
