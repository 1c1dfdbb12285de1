/** Copies and near copies in groups, the one worth keeping first. Nothing here deletes. */

import { api, thumbnail } from "./api.js";
import { copy, el, find, icon } from "./dom.js";
import { errorNotice, notice } from "./notices.js";
import { parse } from "./query.js";
import { address, go } from "./state.js";
import { bytes, count, day, folderOf, number } from "./words.js";

const PARTS = { almost: 1 / 3, similar: 2 }; // of the model's own distance from a cosine of 1

export class Duplicates {
  own = 0.97; // the cosine that the server takes by default, as soon as it has said so

  constructor(view) {
    this.view = view;
    this.list = find(".groups", view);
    this.said = find(".count", view);
    this.nearness = find("select", view);
    this.all = find("button.all", view);
    this.nearness.addEventListener("change", () => this.show(this.q));
    this.all.addEventListener("click", () => copyPaths(this.groups.flatMap(redundant)));
  }

  async show(q) {
    this.q = q;
    this.aborter?.abort();
    const { signal } = (this.aborter = new AbortController());
    this.all.hidden = true;
    this.said.textContent = "Searching for duplicates …";
    this.view.setAttribute("aria-busy", true);
    try {
      const query = { ...Object.fromEntries(parse(q).filters), threshold: this.threshold };
      this.draw(await api.duplicates(query, signal));
    } catch (error) {
      if (error.name === "AbortError") return;
      this.said.textContent = "";
      this.list.replaceChildren(
        el(
          "li",
          {},
          errorNotice(error, () => this.show(q)),
        ),
      );
    }
    this.view.setAttribute("aria-busy", false);
  }

  /** What is asked for: nothing for the model's own. */
  get threshold() {
    const part = PARTS[this.nearness.value];
    return part ? 1 - part * (1 - this.own) : this.nearness.value;
  }

  /** Every picture once: a group may hold several files of one. */
  get items() {
    const every = (this.groups ?? []).flatMap(({ keep, others }) => [keep, ...others]);
    return [...new Map(every.map((picture) => [picture.id, picture])).values()];
  }

  focusPicture(id) {
    find(`a[data-id="${id}"]`, this.list)?.focus();
  }

  draw({ groups, redundant_files, left_out_files, threshold }) {
    this.groups = groups;
    if (!this.nearness.value && threshold < 1) this.own = threshold;
    this.all.hidden = !groups.length;
    this.said.textContent = [
      groups.length && `${count(groups.length, "group")}, ${count(redundant_files, "redundant file")}`,
      left_out_files && `${count(left_out_files, "missing or changed file")} skipped`,
    ]
      .filter(Boolean)
      .join("; ");
    this.list.replaceChildren(
      ...(groups.length
        ? groups.map(group)
        : [
            el(
              "li",
              {},
              notice(
                "copies",
                "No duplicates",
                el("p", {}, "Every picture here is unique."),
              ),
            ),
          ]),
    );
  }
}

const redundant = ({ others }) => others.map(({ path }) => path);

const copyPaths = (paths) => copy(paths.join("\n"), count(paths.length, "path"));

function group(held) {
  const { keep, others } = held;
  return el(
    "li",
    { class: "group" },
    el(
      "ul",
      {},
      [keep, ...others].map((picture, i) => member(picture, keep, i)),
    ),
    el(
      "button",
      { type: "button", class: "button", onclick: () => copyPaths(redundant(held)) },
      icon("copy"),
      others.length === 1 ? "Copy duplicate’s path" : `Copy paths of ${others.length} duplicates`,
    ),
  );
}

function member(picture, best, i) {
  const open = (event) => {
    if (event.metaKey || event.ctrlKey) return;
    event.preventDefault();
    go({ picture: picture.id });
  };
  const alike = {
    bytes: "Identical",
    hash: "Looks the same",
    vectors: `Similarity ${picture.score?.toFixed(3)}`, // a cosine is no percentage
  }[picture.by];
  return el(
    "li",
    {},
    el(
      "a",
      {
        href: address({ picture: picture.id }),
        "data-id": picture.id,
        onclick: open,
        "aria-label": `${picture.name}, ${i ? alike : "best"}`,
      },
      el("img", { alt: "", loading: "lazy", src: thumbnail(picture.id) }),
    ),
    el(
      "p",
      {},
      el("span", { class: i ? "tag" : "tag best" }, i ? alike : "Best"),
      el("strong", { title: picture.name }, picture.name),
    ),
    el("p", { class: "quiet" }, differing(picture, best, i)),
    el("p", { class: "path", title: picture.path }, folderOf(picture.path)),
  );
}

/** Size and date, as far as they tell it from the best. */
function differing(picture, best, i) {
  const size = `${number(picture.width)} × ${number(picture.height)}`;
  return [
    size,
    picture.size !== null && bytes(picture.size),
    (!i || picture.date !== best.date) && day(picture.date),
  ]
    .filter(Boolean)
    .join(" · ");
}
