/** The library view: what it contains, the run in progress, unreadable files. */

import { api } from "./api.js";
import { connection } from "./connection.js";
import { el, find, toast } from "./dom.js";
import { modelLines } from "./models.js";
import { indexForm, sentence } from "./notices.js";
import { bytes, count, duration, number } from "./words.js";

const FAILURES = 50; // a page

export class LibraryView {
  /** @param {{start: () => ((folder: string) => Promise<void>)|null}} on */
  constructor(view, on) {
    Object.assign(this, { view, on });
    this.figures = find(".figures", view);
    this.run = find(".run", view);
    this.roots = find(".roots", view);
    this.failures = find(".failures", view);
    connection.addEventListener("status", () => this.view.hidden || this.draw());
  }

  show() {
    this.shown = null;
    connection.ask();
    if (connection.status) this.draw();
    this.showFailures(0);
  }

  draw() {
    const { status } = connection;
    const what = JSON.stringify({ ...status, indexing: null });
    this.drawRun(status);
    if (what === this.shown) return;
    if (this.shown && JSON.parse(this.shown).failures !== status.failures) this.showFailures(0);
    this.shown = what;
    const figures = [
      [number(status.images), "pictures"],
      [number(status.files), "files"],
      [bytes(status.bytes), "on disk"],
      [number(status.failures), "unreadable"],
      [number(status.companions), "companions"],
    ].filter(([value, label]) => value !== "0" || label !== "companions");
    this.figures.replaceChildren(
      ...figures.map(([value, label]) => el("div", {}, el("dd", {}, value), el("dt", {}, label))),
    );
    const lacking = status.images - status.embedded;
    this.roots.replaceChildren(
      ...status.roots.map(({ path, files, present, excluded, left_out: left }) =>
        el(
          "li",
          {},
          el("span", { class: "path" }, path),
          el("span", { class: "quiet" }, count(files, "file")),
          excluded.length > 0 && el("span", { class: "quiet" }, `excluding ${excluded.join(", ")}`),
          left.length > 0 && el("span", { class: "quiet" }, `left out: ${left.map(({ text }) => text).join(", ")}`),
          !present && el("span", { class: "tag" }, "not mounted"),
        ),
      ),
      !status.roots.length ? el("li", { class: "quiet" }, "No folders are indexed yet.") : "",
    );
    const better = status.better_model && ` (small; for better answers: retrieve index --model ${status.better_model})`;
    find(".about", this.view).textContent =
      `${status.library} · model ${status.model ?? "not chosen yet"}${better || ""}${lacking ? ` · ${count(lacking, "picture")} not encoded yet` : ""} · retrieve ${status.version_of_program}`;
    const models = find(".models", this.view);
    const lines = modelLines(status);
    models.hidden = !lines.length;
    find("ul", models).replaceChildren(...lines);
    this.drawStart();
  }

  /** Once: somebody may be typing in it when the next status comes. */
  drawStart() {
    const place = find(".start", this.view);
    if (place.hasChildNodes()) return;
    const start = this.on.start();
    const command = el("code", {}, "retrieve index FOLDER");
    place.append(
      start
        ? indexForm(start)
        : el("p", { class: "quiet" }, "To add a folder, run ", command, " on the machine with the pictures."),
    );
  }

  /** The run's own elements stay in the document, so that the button keeps the keyboard. */
  drawRun({ indexing, roots, last_run: last }) {
    const [bar, text, stop, again] = ["progress", "p", ".stop", ".again"].map((part) =>
      find(part, this.run),
    );
    bar.hidden = !indexing;
    stop.hidden = !indexing || !this.on.start();
    again.hidden = Boolean(indexing) || !roots.length || !this.on.start();
    stop.onclick = () => act(api.stopIndex());
    again.onclick = () => act(api.startIndex([]));
    if (!indexing)
      return (text.textContent = last ?? (roots.length ? "No indexing in progress." : ""));
    const { done, total, seconds } = indexing;
    bar.max = Math.max(1, total);
    bar.value = done;
    const left = done > 20 ? `, ${duration(((total - done) * seconds) / done)} left` : "";
    text.textContent = total
      ? `Indexing: ${number(done)} of ${number(total)} files${left}`
      : "Indexing: scanning folders …";
  }

  async showFailures(offset) {
    try {
      const { failures, total } = await api.failures(offset, FAILURES);
      const rows = failures.map(({ path, reason }) =>
        el("li", {}, el("span", { class: "path" }, path), el("span", { class: "quiet" }, reason)),
      );
      const list = find("ul", this.failures);
      list.replaceChildren(...(offset ? list.children : []), ...rows);
      this.failures.hidden = !total;
      const more = find("button", this.failures);
      more.hidden = offset + failures.length >= total || !failures.length;
      more.onclick = () => this.showFailures(offset + failures.length);
    } catch (error) {
      if (error.status !== 0) toast(sentence(error.message));
    }
  }
}

async function act(asked) {
  try {
    await asked;
  } catch (error) {
    toast(sentence(error.message));
  }
  connection.ask();
}
