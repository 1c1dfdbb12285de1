/**
 * A grid of pictures of which only the rows near the window are in the document.
 *
 * @typedef {{id: number, name: string, path: string, width: number, height: number, date: string,
 *   strength: "strong"|"fair"|"weak"|null}} Match
 */

import { thumbnail } from "./api.js";
import { el, iconButton } from "./dom.js";
import { isOdd, justify, rowAt, rowHeight } from "./layout.js";
import { best, isFilm, label } from "./moments.js";
import { address } from "./state.js";
import { day, month } from "./words.js";

const BEYOND = 900; // pixels above and below the window that are drawn as well
const FLING = 4; // pixels a millisecond: too fast to look at pictures on the way

export class Grid {
  /**
   * @param {HTMLElement} host a list  @param {HTMLElement} bubble says the month while one scrolls
   * @param {{open: (id: number) => void, weigh: (id: number, sign: "+"|"-") => void,
   *   nearEnd: () => void}} on
   */
  constructor(host, bubble, on) {
    Object.assign(this, { host, bubble, on });
    /** @type {Match[]} */
    this.items = [];
    this.current = 0; // the index that has the keyboard
    this.byDate = false;
    this.cells = new Map(); // index → element in the document
    this.plan = justify([], 0, 1);
    this.width = 0;
    new ResizeObserver(() => this.resize()).observe(host);
    addEventListener("scroll", () => this.scrolled(), { passive: true });
    host.addEventListener("keydown", (event) => this.key(event));
    host.addEventListener("click", (event) => this.click(event));
    host.addEventListener("focusin", (event) => this.focused(event));
  }

  /** @param {Match[]} items  @param {boolean} byDate whether they go from new to old */
  show(items, byDate) {
    const hadFocus = this.host.contains(document.activeElement);
    for (const index of this.cells.keys()) this.drop(index);
    [this.items, this.current, this.byDate] = [items, 0, byDate];
    this.lay();
    if (hadFocus) this.focus(0);
  }

  /** Draws what was added to the end of `items`. */
  grown() {
    this.lay();
  }

  /** False while another view is shown. */
  get isShown() {
    return this.host.clientWidth > 0;
  }

  lay() {
    if (!this.isShown) return;
    this.width = this.host.clientWidth;
    this.plan = justify(this.items, this.width, rowHeight(this.width));
    this.host.style.height = `${this.plan.height}px`;
    for (const [index, cell] of this.cells) this.place(cell, index);
    this.draw();
  }

  resize() {
    if (!this.isShown || this.host.clientWidth === this.width) return;
    const from = scrollY - this.above();
    const top = this.plan.rows[rowAt(this.plan.rows, from)];
    this.lay();
    // What was at the top of the window stays there.
    if (from > 0 && top) scrollBy(0, this.plan.cells[top.first].y - top.top);
  }

  /** Where the grid begins in the document. */
  above() {
    return this.host.getBoundingClientRect().top + scrollY;
  }

  draw(isFling = false) {
    const { rows } = this.plan;
    if (!rows.length) return;
    const from = scrollY - this.above();
    const first = rowAt(rows, from - BEYOND);
    let last = first;
    while (last < rows.length && rows[last].top < from + innerHeight + BEYOND) last++;
    const [begin, end] = first < last ? [rows[first].first, rows[last - 1].end] : [0, 0];
    for (const index of this.cells.keys()) {
      const hasFocus =
        index === this.current && this.cells.get(index).contains(document.activeElement);
      if ((index < begin || index >= end) && !hasFocus) this.drop(index);
    }
    let next = null;
    for (let index = end - 1; index >= begin; index--) {
      let cell = this.cells.get(index);
      if (!cell) {
        cell = this.make(index);
        this.host.insertBefore(cell, next);
      }
      if (!isFling) load(cell);
      next = cell;
    }
    if (from + innerHeight + 2 * BEYOND > this.plan.height) this.on.nearEnd();
  }

  scrolled() {
    if (!this.items.length || !this.isShown) return;
    const now = performance.now();
    const speed =
      Math.abs(scrollY - (this.lastY ?? scrollY)) / Math.max(1, now - (this.lastTime ?? 0));
    [this.lastY, this.lastTime] = [scrollY, now];
    this.draw(speed > FLING);
    this.sayMonth();
    clearTimeout(this.resting);
    this.resting = setTimeout(
      () => {
        this.draw();
        this.bubble.hidden = true;
      },
      120 + 700 * !this.bubble.hidden,
    );
    if (speed > FLING) {
      clearTimeout(this.loading);
      this.loading = setTimeout(() => this.draw(), 120);
    }
  }

  sayMonth() {
    const row = this.plan.rows[rowAt(this.plan.rows, scrollY - this.above() + 80)];
    const item = row && this.items[row.first];
    this.bubble.hidden = !this.byDate || !item || scrollY < this.above();
    if (!this.bubble.hidden) this.bubble.textContent = month(item.date);
  }

  make(index) {
    const item = this.items[index];
    const picture = el("img", { alt: "", draggable: "false", "data-src": thumbnail(item.id, best(item)?.number) });
    if (isOdd(item)) picture.className = "whole";
    const time = label(item);
    const kind = isFilm(item) ? ", video" : "";
    const said = `${kind}${time ? `, ${time}` : ""}${item.strength ? `, ${item.strength} match` : ""}`;
    const link = el(
      "a",
      {
        href: address({ picture: item.id }),
        tabindex: index === this.current ? 0 : -1,
        "aria-label": `${item.name}${said}, ${day(item.date)}`,
      },
      picture,
      time && el("span", { class: "time", "aria-hidden": "true" }, time),
      el("span", { class: "name", "aria-hidden": "true" }, item.name),
      item.strength &&
        el(
          "span",
          { class: `strength ${item.strength}`, title: `${item.strength} match` },
          el("i"),
          el("i"),
          el("i"),
        ),
    );
    const weigh = (sign, label) =>
      iconButton(sign === "+" ? "more" : "less", label, () => this.on.weigh(item.id, sign), {
        tabindex: -1,
      });
    const cell = el(
      "li",
      { "data-index": index, "aria-posinset": index + 1, "aria-setsize": -1 },
      link,
      el("span", { class: "weigh" }, weigh("+", "More like this"), weigh("-", "Less like this")),
    );
    this.place(cell, index);
    this.cells.set(index, cell);
    return cell;
  }

  place(cell, index) {
    const { x, y, width, height } = this.plan.cells[index];
    Object.assign(cell.style, {
      left: `${x}px`,
      top: `${y}px`,
      width: `${width}px`,
      height: `${height}px`,
    });
  }

  drop(index) {
    const cell = this.cells.get(index);
    cell.querySelector("img").removeAttribute("src"); // a request under way ends
    cell.remove();
    this.cells.delete(index);
  }

  // -- keyboard and mouse --------------------------------------------------------------------------

  indexOf(event) {
    const cell = event.target.closest("li[data-index]");
    return cell ? Number(cell.dataset.index) : null;
  }

  click(event) {
    const link = event.target.closest("a");
    if (!link || event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    this.on.open(this.items[this.indexOf(event)].id);
  }

  focused(event) {
    const index = this.indexOf(event);
    if (index === null || index === this.current) return;
    this.cells.get(this.current)?.querySelector("a").setAttribute("tabindex", -1);
    this.current = index;
    this.cells.get(index).querySelector("a").setAttribute("tabindex", 0);
  }

  key(event) {
    if (event.metaKey || event.ctrlKey || event.altKey) return;
    const index = this.indexOf(event);
    const steps = {
      ArrowRight: () => this.focus(index + 1),
      ArrowLeft: () => this.focus(index - 1),
      ArrowDown: () => this.focus(this.beside(index, 1)),
      ArrowUp: () => this.focus(this.beside(index, -1)),
      Home: () => this.focus(0),
      End: () => this.focus(this.items.length - 1),
      "+": () => this.on.weigh(this.items[index].id, "+"),
      "-": () => this.on.weigh(this.items[index].id, "-"),
    };
    if (index === null || !steps[event.key]) return;
    event.preventDefault();
    event.stopPropagation();
    steps[event.key]();
  }

  /** The cell of the next row that is under or above this one's middle. */
  beside(index, step) {
    const { cells, rows } = this.plan;
    const row = rows[rows.findIndex(({ end }) => index < end) + step];
    if (!row) return index;
    const middle = cells[index].x + cells[index].width / 2;
    let found = row.first;
    while (found < row.end - 1 && cells[found].x + cells[found].width < middle) found++;
    return found;
  }

  /** Gives a cell the keyboard, and scrolls to it where it is out of sight. */
  focus(index) {
    if (!this.plan.cells[index]) return;
    const { y, height } = this.plan.cells[index];
    const top = this.above() + y;
    const header = document.querySelector("header").getBoundingClientRect().bottom + 8;
    if (top - scrollY < header) scrollTo(0, top - header);
    else if (top + height > scrollY + innerHeight) scrollTo(0, top + height - innerHeight + 8);
    this.draw();
    this.cells.get(index)?.querySelector("a").focus({ preventScroll: true });
  }

  focusPicture(id) {
    const index = this.items.findIndex((item) => item.id === id);
    if (index >= 0) this.focus(index);
  }
}

function load(cell) {
  const picture = cell.querySelector("img");
  if (picture.hasAttribute("src")) return;
  picture.src = picture.dataset.src;
  if (picture.complete) return; // it was in memory: no reason to fade in
  picture.classList.add("coming");
  picture.onload = () => picture.classList.remove("coming");
  picture.onerror = () => {
    picture.classList.remove("coming");
    cell.classList.add("lost");
  };
}
