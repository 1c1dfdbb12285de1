/** Notices in place of pictures, or above them: each says what to do. */

import { el, icon } from "./dom.js";
import { number } from "./words.js";

/** A calm page of its own: a drawing, a title, and what to do. */
export function notice(drawing, title, ...rest) {
  return el("div", { class: "notice" }, icon(drawing), el("h2", {}, title), ...rest);
}

export function errorNotice(error, again) {
  return notice(
    "warning",
    "Something went wrong",
    el("p", {}, error.message),
    el("button", { type: "button", class: "button", onclick: again }, "Try again"),
  );
}

/** An error in a query, with the place marked at which it is. */
export function queryNotice(error, line, toPlace) {
  const { position } = error;
  const message = error.message.replace(/\s*\(at character .*\)$/s, "");
  const isPlaced = position !== null && position < line.length;
  const rest = isPlaced ? line.slice(position) : "";
  const length = rest.search(/\s/) > 0 ? rest.search(/\s/) : rest.length;
  return notice(
    "warning",
    "Check your search",
    isPlaced &&
      el(
        "p",
        { class: "marked" },
        line.slice(0, position),
        el("mark", {}, rest.slice(0, length)),
        rest.slice(length),
      ),
    el("p", {}, sentence(message)),
    el(
      "button",
      { type: "button", class: "button", onclick: () => toPlace(position ?? line.length) },
      "Edit search",
    ),
  );
}

export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

export const sentence = (text) => capital(text) + (/[.!?]$/.test(text) ? "" : ".");

/** A library without pictures: how to get some in. `start` is null where the server may not. */
export function emptyLibrary(start) {
  return notice(
    "pictures",
    "No pictures yet",
    start
      ? [
          el(
            "p",
            {},
            "Choose a folder. Pictures are scanned on this machine and never changed.",
          ),
          indexForm(start),
        ]
      : el("p", {}, "On the machine with the pictures, run:"),
    el(
      "p",
      { class: "quiet" },
      start && "Or in a terminal: ",
      el("code", {}, "retrieve index ~/Pictures"),
    ),
  );
}

/** A library whose first run has not encoded any picture yet. */
export function firstRun({ done, total }) {
  return notice(
    "pictures",
    "Indexing is running",
    el("p", {}, "You can search pictures as soon as they are encoded."),
    total ? el("p", { class: "quiet" }, `${number(done)} of ${number(total)} files so far`) : "",
  );
}

/** @param {(folder: string) => Promise<void>} start */
export function indexForm(start) {
  const field = el("input", {
    type: "text",
    "aria-label": "Folder to index",
    placeholder: "~/Pictures",
    autocomplete: "off",
    spellcheck: "false",
  });
  const wrong = el("p", { class: "wrong", role: "alert" });
  const onsubmit = async (event) => {
    event.preventDefault();
    wrong.textContent = "";
    try {
      await start(field.value.trim() || field.placeholder);
      field.value = "";
    } catch (error) {
      wrong.textContent = sentence(error.message);
    }
  };
  return el(
    "form",
    { class: "index-form", onsubmit },
    field,
    el("button", { class: "button primary" }, "Index"),
    wrong,
  );
}
