/** The models whose vectors the library holds: which answers a search, and the list of them. */

import { el } from "./dom.js";
import { bytes, count, nameOf } from "./words.js";

const ALL = "all"; // the ranks of all models, fused

/** @returns {{model: string, embedded: number, bytes?: number, keeps_up?: boolean}[]} */
export function modelsHeld(status) {
  if (!status?.model) return [];
  const { model, embedded, other_models: others } = status;
  return [{ model, embedded }, ...others].filter((each) => each.embedded > 0);
}

/** A model that is a file has its path as a name; the end of it says enough. */
export const modelName = (name) => (/^([/\\]|[a-z]:)/i.test(name) ? nameOf(name) : name);

/** Fills the list of a choice. @returns {boolean} whether there is anything to choose */
export function offerModels(choice, status, using) {
  const held = modelsHeld(status);
  if (held.length < 2) return false;
  const values = ["", ...held.slice(1).map(({ model }) => model), ALL];
  const labels = [...held.map(({ model }) => modelName(model)), "All together"];
  const chosen = using === held[0].model ? "" : using;
  const now = values.includes(chosen) ? values : [...values, chosen]; // one that is gone, too
  if (choice.dataset.values !== JSON.stringify(now)) {
    choice.dataset.values = JSON.stringify(now);
    choice.replaceChildren(
      ...now.map((value, i) => el("option", { value }, labels[i] ?? modelName(value))),
    );
  }
  choice.value = chosen;
  return true;
}

/** What the library view says of several models, a line each; nothing of one. */
export function modelLines(status) {
  const held = modelsHeld(status);
  if (held.length < 2) return [];
  return held.map(({ model, embedded, bytes: size, keeps_up: keepsUp }, i) =>
    el(
      "li",
      {},
      el("span", { class: "path", title: model }, modelName(model)),
      el("span", { class: "quiet" }, count(embedded, "picture")),
      size !== undefined && el("span", { class: "quiet" }, bytes(size)),
      !i && el("span", { class: "tag best" }, "answers searches"),
      i > 0 && !keepsUp && el("span", { class: "tag" }, "without new pictures"),
    ),
  );
}
