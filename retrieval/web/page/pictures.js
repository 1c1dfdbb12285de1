/** The first view: matches, or the newest pictures if there is no query. */

import { connection } from "./connection.js";
import { el, find } from "./dom.js";
import { Grid } from "./grid.js";
import { justify, rowHeight } from "./layout.js";
import { offerModels } from "./models.js";
import { emptyLibrary, errorNotice, firstRun, notice, queryNotice, sentence } from "./notices.js";
import { parse, withoutFilters } from "./query.js";
import { DEEPEST, resultsFor } from "./results.js";
import { go, state } from "./state.js";
import { count, number } from "./words.js";

const SKELETON = [1.5, 0.75, 1.33, 1.5, 0.67, 1.78, 1.33, 1, 1.5, 0.75]; // shapes of pictures to come
const SLOW = 150; // milliseconds until waiting is shown

export class Pictures {
  /** @param {{weigh: Function, toPlace: (position: number) => void, start: Function}} on */
  constructor(view, on) {
    Object.assign(this, { view, on, results: null });
    connection.addEventListener("status", () => this.updateStatus());
    this.notice = find(".place", view);
    this.hint = find(".hint", view);
    this.said = find(".count", view);
    this.skeleton = find(".skeleton", view);
    this.using = find(".using", view);
    find("select", this.using).addEventListener("change", (event) =>
      go({ using: event.target.value }),
    );
    this.sort = find(".sort:not(.using) select", view);
    this.sort.addEventListener("change", () => go({ sort: this.sort.value }));
    this.grid = new Grid(find(".grid", view), find(".bubble", view), {
      open: (id) => go({ picture: id }),
      weigh: on.weigh,
      nearEnd: () => this.more(),
    });
  }

  /**
   * @param {{afresh?: boolean, scroll?: number, typed?: boolean}} how  `scroll`: where it was when
   *   it was left; `typed`: somebody is in the middle of a query
   */
  async show(q, sort, using, { afresh = false, scroll = 0, typed = false } = {}) {
    if (this.results?.next === 0) this.results.stop();
    this.isTyped = typed;
    const results = (this.results = resultsFor(q, sort, using, { afresh }));
    this.drawModels();
    this.sort.disabled = !parse(q).terms.length; // nothing to rank by: newest first
    this.sort.value = this.sort.disabled ? "date" : sort;
    if (results.next !== 0) return this.draw(scroll);
    const slow = setTimeout(() => this.wait(true), SLOW);
    try {
      await results.more();
      performance.mark("answer");
    } catch (error) {
      if (results === this.results && error.name !== "AbortError") this.fail(error);
      return;
    } finally {
      clearTimeout(slow);
    }
    if (results === this.results) this.draw(scroll);
  }

  /** The query is meant as it stands: what is wrong with it must be said. */
  insist() {
    this.isTyped = false;
    if (this.hasFailed) this.again();
  }

  again() {
    return this.show(state.q, state.sort, state.using, { afresh: true });
  }

  /** What was there before stays, paler; where nothing was, cells stand for what will come. */
  wait(isWaiting) {
    this.view.classList.toggle("waiting", isWaiting);
    this.view.setAttribute("aria-busy", isWaiting);
    this.skeleton.replaceChildren();
    if (!isWaiting || this.grid.items.length) return;
    this.notice.replaceChildren();
    const width = this.skeleton.clientWidth;
    const shapes = Array.from({ length: 40 }, (_, i) => ({
      width: SKELETON[(i * 7) % 10],
      height: 1,
    }));
    const { cells } = justify(shapes, width, rowHeight(width));
    for (const { x, y, ...size } of cells.filter(({ y }) => y < innerHeight)) {
      const style = {
        left: `${x}px`,
        top: `${y}px`,
        width: `${size.width}px`,
        height: `${size.height}px`,
      };
      this.skeleton.append(el("span", { style }));
    }
  }

  draw(scroll) {
    const { items, next, q, empty } = this.results;
    this.wait(false);
    this.notice.replaceChildren(...this.inPlace());
    const where = parse(q).filters.size ? "matching these filters" : "in this library";
    this.hint.textContent =
      this.results.looksLikeNothing && items.length
        ? `Nothing ${where} looks like “${withoutFilters(q)}”. These are the closest.`
        : "";
    this.say();
    this.view.classList.toggle("bare", empty);
    this.view.classList.toggle("empty", empty || (!items.length && next === null));
    this.grid.show(items, !parse(q).terms.length || this.results.sort === "date");
    scrollTo(0, scroll);
    requestAnimationFrame(() => setTimeout(() => measure()));
  }

  /** The choice of a model, where there are several, and something to ask them. */
  drawModels() {
    const { q = "", using = "" } = this.results ?? {};
    const isOffered = offerModels(find("select", this.using), connection.status, using);
    this.using.hidden = !isOffered || !parse(q).terms.length;
  }

  /** Show what depends on the status of the library. */
  updateStatus() {
    this.drawModels();
    if (!this.results || this.results.next === 0) return;
    const waits = Boolean(connection.status?.indexing);
    if (this.results.empty && (waits !== this.waits || !find("form", this.notice)))
      this.notice.replaceChildren(...this.inPlace());
    if (!this.results.q) this.say();
  }

  inPlace() {
    if (this.results.empty) {
      const run = connection.status?.indexing;
      this.waits = Boolean(run);
      return [run ? firstRun(run) : emptyLibrary(this.on.start())];
    }
    if (this.results.items.length) return [];
    const { filters } = parse(this.results.q);
    const widen = el(
      "button",
      { type: "button", class: "button", onclick: () => go({ q: withoutFilters(state.q) }) },
      "Remove filters",
    );
    const title = filters.size ? "No pictures match these filters" : "No pictures match";
    return [notice("search", title, filters.size > 0 && widen)];
  }

  say() {
    const { items, next, q } = this.results;
    const isAsked = parse(q).terms.length > 0;
    const all = !q.trim() ? connection.status?.images : null;
    const some = next === null && items.length < DEEPEST ? count(items.length, "picture") : null;
    const many =
      some ?? (all ? count(all, "picture") : `More than ${number(items.length)} pictures`);
    const order = !isAsked || this.results.sort === "date" ? "newest first" : "best first";
    const said = [many, el("span", { class: "order" }, `, ${order}`)];
    this.said.replaceChildren(...(items.length ? said : []));
  }

  async more() {
    const { results } = this;
    if (!results || results.next === null || results.waiting || this.gaveUp) return;
    try {
      if (!(await results.more()) || results !== this.results) return;
      this.grid.grown();
      if (results.next === null) this.say();
    } catch (error) {
      if (results !== this.results || error.name === "AbortError") return;
      this.gaveUp = setTimeout(() => (this.gaveUp = 0), 3000); // a later scroll tries again
      if (error.status === 0) connection.ask();
    }
  }

  get hasFailed() {
    return Boolean(this.results && this.results.next === 0 && !this.results.waiting);
  }

  fail(error) {
    this.wait(false);
    if (error.status === 0) connection.ask(); // it tells of this, and when it is over
    const isQuery = error.status === 400;
    // What was found before stays where the error may pass by itself.
    if (this.grid.items.length && (error.status === 0 || (isQuery && this.isTyped))) {
      this.hint.textContent = isQuery ? sentence(error.message) : "";
      return;
    }
    this.grid.show([], false);
    this.view.classList.add("empty");
    this.said.textContent = this.hint.textContent = "";
    this.notice.replaceChildren(
      isQuery
        ? queryNotice(error, state.q, this.on.toPlace)
        : errorNotice(error, () => this.again()),
    );
  }
}

/** From the answer to its place on the screen, thumbnails aside. */
function measure() {
  if (performance.getEntriesByName("answer").length) performance.measure("paint", "answer");
  performance.clearMarks("answer");
}
