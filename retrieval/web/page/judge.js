/** Judging the models on one's own pictures: searches, yes or no to what they find, a verdict. */

import { api, thumbnail } from "./api.js";
import { connection } from "./connection.js";
import { el, find } from "./dom.js";
import { modelName, modelsHeld } from "./models.js";
import { best } from "./moments.js";
import { notice, sentence } from "./notices.js";
import { address, go } from "./state.js";
import { count } from "./words.js";

const SEARCHES = 10;
const WRITE = `Write up to ${SEARCHES} searches that you would really do, one a line. You then see the best results of all models in random order, and say which of them are right. You don’t see which model found a picture.`;

export class Judging {
  constructor(view) {
    this.place = find(".judging", view);
    this.begin();
    connection.addEventListener("status", () => view.hidden || this.show());
  }

  begin() {
    Object.assign(this, { queries: [], at: 0, items: [], answers: new Map(), isShown: false });
  }

  /** What was begun goes on; it ends with the page. */
  show() {
    if (this.isShown || !connection.status) return;
    this.isShown = true;
    this.draw(...(modelsHeld(connection.status).length < 2 ? [onlyOne()] : this.form()));
  }

  draw(...nodes) {
    this.place.replaceChildren(...nodes);
  }

  // -- the searches --------------------------------------------------------------------------------

  form() {
    const field = el("textarea", {
      rows: SEARCHES,
      "aria-label": "Searches, one a line",
      placeholder: "a dog on the beach\nbirthday cake",
      spellcheck: "false",
    });
    const wrong = el("p", { class: "wrong", role: "alert" });
    const onsubmit = (event) => {
      event.preventDefault();
      const lines = field.value.split("\n").map((line) => line.trim());
      this.queries = [...new Set(lines.filter(Boolean))];
      const many = this.queries.length;
      wrong.textContent = !many ? "Write at least one search." : "";
      if (many > SEARCHES) wrong.textContent = `Write at most ${SEARCHES} searches, not ${many}.`;
      if (!wrong.textContent) this.ask(0);
    };
    const start = el("button", { class: "button primary" }, "Start");
    return [el("p", { class: "quiet" }, WRITE), el("form", { onsubmit }, field, wrong, start)];
  }

  // -- yes or no -----------------------------------------------------------------------------------

  async ask(at) {
    this.at = at;
    this.items = [];
    let wrong = null;
    this.place.setAttribute("aria-busy", true);
    try {
      this.items = (await api.toJudge(this.queries[at])).pictures;
    } catch (error) {
      wrong = el("p", { class: "wrong", role: "alert" }, sentence(error.message));
    }
    this.place.setAttribute("aria-busy", false);
    if (!wrong && !this.items.length) wrong = el("p", { class: "quiet" }, "Nothing was found.");
    this.list = el("ul", { class: "results", onkeydown: (event) => this.key(event) });
    this.list.append(...this.items.map((item, i) => this.result(item, i)));
    this.said = el("p", { class: "count", "aria-live": "polite" });
    this.rest = action("All others are wrong", () => this.denyRest());
    const isLast = at === this.queries.length - 1;
    this.next = action(isLast ? "Show the verdict" : "Next search", () => this.goOn());
    this.next.classList.add("primary");
    this.draw(
      el("p", { class: "quiet" }, `Search ${at + 1} of ${this.queries.length}`),
      el("h2", { tabindex: -1 }, `“${this.queries[at]}”`),
      wrong ?? this.list,
      el("div", { class: "line" }, this.said, this.items.length > 0 && this.rest, this.next),
    );
    this.count();
    (find("a", this.list) ?? find("h2", this.place)).focus({ preventScroll: true });
    scrollTo(0, 0);
  }

  result(item, i) {
    const answer = (right, label) =>
      el(
        "button",
        { type: "button", class: "button", onclick: () => this.answer(item.id, right) },
        label,
      );
    const open = (event) => {
      if (event.metaKey || event.ctrlKey || event.shiftKey) return;
      event.preventDefault();
      go({ picture: item.id });
    };
    return el(
      "li",
      { "data-id": item.id },
      el(
        "a",
        { href: address({ picture: item.id }), onclick: open, "aria-label": `Result ${i + 1}` },
        el("img", { alt: "", src: thumbnail(item.id, best(item)?.number) }),
      ),
      el("div", { class: "acts", role: "group", "aria-label": `Is result ${i + 1} right?` }, answer(true, "Yes"), answer(false, "No")),
    );
  }

  keyOf(id) {
    return JSON.stringify([this.queries[this.at], id]);
  }

  answer(id, right) {
    this.answers.set(this.keyOf(id), right);
    this.count();
  }

  denyRest() {
    for (const { id } of this.items)
      if (!this.answers.has(this.keyOf(id))) this.answers.set(this.keyOf(id), false);
    this.count();
    this.next.focus();
  }

  /** Shows the answers so far. */
  count() {
    let judged = 0;
    for (const cell of this.list.children) {
      const right = this.answers.get(this.keyOf(Number(cell.dataset.id)));
      judged += right !== undefined;
      const [yes, no] = cell.querySelectorAll("button");
      yes.setAttribute("aria-pressed", right === true);
      no.setAttribute("aria-pressed", right === false);
    }
    const all = this.items.length;
    this.said.textContent = all ? `${judged} of ${all} judged` : "";
    this.rest.disabled = judged === this.items.length;
  }

  /** y and n answer for the picture that has the keyboard, and go to the next. */
  key(event) {
    if (!["y", "n"].includes(event.key) || event.metaKey || event.ctrlKey || event.altKey) return;
    const cell = event.target.closest("li");
    event.preventDefault();
    this.answer(Number(cell.dataset.id), event.key === "y");
    (find("a", cell.nextElementSibling ?? el("p")) ?? this.next).focus();
  }

  focusPicture(id) {
    find(`[data-id="${id}"] a`, this.place)?.focus();
  }

  // -- the verdict ---------------------------------------------------------------------------------

  async goOn() {
    if (this.at + 1 < this.queries.length) return this.ask(this.at + 1);
    const answers = [...this.answers].map(([key, right]) => {
      const [query, picture] = JSON.parse(key);
      return { query, picture, right };
    });
    if (!answers.length) return this.draw(...nothingJudged(() => this.ask(0)));
    try {
      this.tell(await api.judge(answers));
    } catch (error) {
      this.said.textContent = sentence(error.message);
    }
  }

  tell({ models, queries, text }) {
    const again = action("Judge other searches", () => {
      this.begin();
      this.show();
    });
    this.items = [];
    this.draw(
      el("p", { class: "quiet" }, `By your answers to ${count(queries, "search", "searches")}:`),
      el("ul", { class: "verdict" }, models.map(row)),
      ...text.map((line) => el("p", {}, `${shortened(line, models)}.`)),
      again,
    );
  }
}

const shortened = (line, models) =>
  models.reduce((said, { model }) => said.replaceAll(model, modelName(model)), line);

const action = (label, onclick) => el("button", { type: "button", class: "button", onclick }, label);

/** A model, the share of its results that are right, and a bar as long. */
function row({ model, right, found, shown }) {
  const share = `${Math.round(right * 100)}%`;
  return el(
    "li",
    {},
    el("span", { class: "path", title: model }, modelName(model)),
    el("strong", {}, `${share} right`),
    el("span", { class: "quiet" }, `${found} of ${shown}`),
    el("progress", { max: 1, value: right, "aria-label": `${modelName(model)}: ${share} right` }),
  );
}

const nothingJudged = (again) => [
  el("p", {}, "Nothing was judged. Say yes or no to some results."),
  action("Start again", again),
];

const onlyOne = () =>
  notice(
    "similar",
    "There is one model to search with",
    el("p", {}, "Add another, then compare them here:"),
    el("p", {}, el("code", {}, "retrieve index --model NAME --also")),
  );
