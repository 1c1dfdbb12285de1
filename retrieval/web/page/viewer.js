/** One picture, large, with its details. */

import { api, full as whole, large, original, thumbnail } from "./api.js";
import { connection } from "./connection.js";
import { copy, el, find, icon, toast } from "./dom.js";
import { facts } from "./facts.js";
import { best, isFilm, player, strip } from "./moments.js";
import { signOf } from "./query.js";
import { address, go, leave, state } from "./state.js";

const LARGE = 2048; // pixels a side of what the server sends as large
const SWIPE = 60; // pixels that a finger goes for another picture

export class Viewer {
  /** @param {{neighbours: (id: number) => {before?: object, it?: object, after?: object},
   *   weigh: Function, closed: (id: number) => void}} on */
  constructor(dialog, on) {
    Object.assign(this, { dialog, on, id: null });
    this.stage = find(".stage", dialog);
    this.frame = find(".frame", dialog);
    this.panel = find(".facts", dialog);
    this.buttons = Object.fromEntries(
      [...dialog.querySelectorAll("[data-act]")].map((button) => [button.dataset.act, button]),
    );
    for (const [act, button] of Object.entries(this.buttons))
      button.addEventListener("click", () => this.act(act));
    dialog.addEventListener("cancel", (event) => {
      event.preventDefault(); // the address closes it
      leave({ picture: null });
    });
    dialog.addEventListener("close", () => {
      if (state.picture !== null && !dialog.open) leave({ picture: null }); // Esc twice asks nobody
    });
    dialog.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.fit()).observe(this.stage);
    this.listenToFingers();
  }

  /** @param {number|null} id */
  async show(id) {
    if (id === null) return this.close();
    this.aborter?.abort();
    this.aborter = new AbortController();
    [this.id, this.details] = [id, null];
    if (!this.dialog.open) this.dialog.showModal();
    const { it } = this.on.neighbours(id);
    this.weighed();
    this.step();
    this.draw(it);
    try {
      const details = await api.picture(id, this.aborter.signal);
      this.details = details;
      if (!it) this.draw(details);
      this.panel.replaceChildren(...facts({ ...details, ...given(it) }));
      if (details.moments.length > 1)
        this.panel.append(...strip(id, details.moments, (moment) => this.turnTo(moment)));
      await this.alike(id, this.aborter.signal);
    } catch (error) {
      if (error.name !== "AbortError")
        this.panel.replaceChildren(el("p", { class: "wrong" }, error.message));
    }
  }

  close() {
    if (!this.dialog.open) return;
    this.aborter?.abort();
    this.dialog.close();
    this.frame.replaceChildren();
    this.on.closed(this.id);
    this.id = null;
  }

  /** The thumbnail at once, the large picture over it as soon as it is there. */
  draw(item) {
    this.size = item;
    this.stage.classList.remove("zoomed");
    find(".title", this.dialog).textContent = item?.name ?? "";
    this.panel.replaceChildren(...(item ? facts(item) : []));
    if (!item) return this.frame.replaceChildren();
    if (isFilm(item)) {
      this.frame.replaceChildren(player(item, this.frame));
      return this.fit();
    }
    const number = best(item)?.number;
    const full = el("img", { class: "full coming", alt: item.name, src: large(item.id, number) });
    full.onload = () => full.classList.remove("coming");
    full.onerror = () =>
      this.frame.replaceChildren(
        el(
          "p",
          { class: "lost" },
          icon("warning"),
          "Can’t read this picture. The file may be missing, or its disk not mounted.",
        ),
      );
    this.frame.replaceChildren(el("img", { alt: "", src: thumbnail(item.id, number) }), full);
    this.fit();
  }

  /** Goes to a moment of a video, or shows a frame or page. */
  turnTo({ number, position }) {
    const video = find("video", this.frame);
    if (video) video.currentTime = position;
    else find(".full", this.frame)?.setAttribute("src", large(this.id, number));
  }

  /** As large as there is room, never larger than it is. */
  fit() {
    if (!this.size || this.isZoomed) return;
    const { width, height } = this.size;
    const scale = Math.min(this.stage.clientWidth / width, this.stage.clientHeight / height, 1);
    Object.assign(this.frame.style, {
      width: `${Math.max(1, width * scale)}px`,
      height: `${Math.max(1, height * scale)}px`,
    });
  }

  /** Twice the size, or all of its pixels if they are more; and back. */
  zoom(event) {
    if (!this.size || find(".lost, video, .unplayed", this.frame)) return;
    const isZoomed = this.stage.classList.toggle("zoomed");
    if (!isZoomed) return this.fit();
    const { left, top, width, height } = this.frame.getBoundingClientRect();
    const [x, y] = event
      ? [(event.clientX - left) / width, (event.clientY - top) / height]
      : [0.5, 0.5];
    const scale = Math.max(2, this.size.width / devicePixelRatio / width);
    Object.assign(this.frame.style, { width: `${width * scale}px`, height: `${height * scale}px` });
    const full = find(".full", this.frame);
    if (full && Math.max(this.size.width, this.size.height) > LARGE) full.src = whole(this.id);
    this.stage.scrollTo(
      x * width * scale - this.stage.clientWidth / 2,
      y * height * scale - this.stage.clientHeight / 2,
    );
  }

  /** Shows which ways there are to go on, and fetches what is likely next. */
  step() {
    const { before, after } = this.on.neighbours(this.id);
    this.buttons.before.disabled = !before;
    this.buttons.after.disabled = !after;
    for (const near of [after, before])
      if (near) new Image().src = large(near.id, best(near)?.number);
  }

  weighed() {
    const sign = signOf(state.q, `id:${this.id}`);
    this.buttons.more.setAttribute("aria-pressed", sign === "+");
    this.buttons.less.setAttribute("aria-pressed", sign === "-");
  }

  /** Small ones like it, for the next step of a stroll. */
  async alike(id, signal) {
    const { matches } = await api.similar(id, 9, signal);
    if (!matches.length || signal.aborted) return;
    this.panel.append(
      el("h3", {}, "Similar pictures"),
      el(
        "div",
        { class: "alike" },
        matches.map((match) => {
          const onclick = (event) => {
            if (event.metaKey || event.ctrlKey) return;
            event.preventDefault();
            go({ picture: match.id });
          };
          return el(
            "a",
            { href: address({ picture: match.id }), onclick, "aria-label": match.name },
            el("img", { alt: "", src: thumbnail(match.id) }),
          );
        }),
      ),
    );
  }

  act(act) {
    const { before, after } = this.on.neighbours(this.id);
    const acts = {
      close: () => leave({ picture: null }),
      before: () => before && go({ picture: before.id }, { replace: true }),
      after: () => after && go({ picture: after.id }, { replace: true }),
      more: () => this.on.weigh(this.id, "+"),
      less: () => this.on.weigh(this.id, "-"),
      similar: () => go({ q: `id:${this.id}`, picture: null, view: "", sort: "score" }),
      copy: () => this.path && copy(this.path, "Path"),
      original: () => open(original(this.id), "_blank", "noopener"),
      reveal: () =>
        connection.status?.can_reveal && api.reveal(this.id).catch((error) => toast(error.message)),
      info: () => this.toggleFacts(),
      zoom: () => this.zoom(),
    };
    acts[act]?.();
  }

  get isZoomed() {
    return this.stage.classList.contains("zoomed");
  }

  get path() {
    return this.details?.path ?? this.on.neighbours(this.id).it?.path;
  }

  toggleFacts() {
    const isShown = this.dialog.classList.toggle("with-facts");
    this.buttons.info.setAttribute("aria-pressed", isShown);
    localStorage.setItem("facts", isShown ? "shown" : "");
  }

  key(event) {
    if (event.metaKey || event.ctrlKey || event.altKey || event.target.tagName === "VIDEO") return;
    const keys = {
      ArrowLeft: "before",
      ArrowRight: "after",
      "+": "more",
      "-": "less",
      s: "similar",
      c: "copy",
      o: "original",
      r: "reveal",
      i: "info",
      z: "zoom",
    };
    if (!keys[event.key]) return;
    event.preventDefault();
    this.act(keys[event.key]);
  }

  listenToFingers() {
    let start = null;
    const move = (x, y) => (this.frame.style.translate = x || y ? `${x}px ${y}px` : "");
    this.stage.addEventListener("pointerdown", (event) => {
      const isOurs = event.isPrimary && event.target.tagName !== "VIDEO" && !this.isZoomed;
      start = event.pointerType !== "mouse" && isOurs ? event : null;
    });
    this.stage.addEventListener("pointermove", (event) => {
      if (start && event.isPrimary)
        move(event.clientX - start.clientX, Math.max(0, event.clientY - start.clientY));
    });
    this.stage.addEventListener("pointercancel", () => move(0, (start = null)));
    this.stage.addEventListener("pointerup", (event) => {
      if (!start) return;
      const [x, y] = [event.clientX - start.clientX, event.clientY - start.clientY];
      move(0, (start = null));
      if (Math.abs(x) > SWIPE && Math.abs(x) > Math.abs(y)) this.act(x < 0 ? "after" : "before");
      else if (y > 2 * SWIPE) this.act("close");
    });
    this.stage.addEventListener("dblclick", (event) => this.zoom(event));
    this.stage.addEventListener("click", (event) => {
      if (event.target === this.stage && !this.isZoomed) this.act("close");
    });
  }
}

/** What only a search knows of a picture. */
const given = (it) =>
  it ? { score: it.score, relevance: it.relevance, strength: it.strength } : {};
