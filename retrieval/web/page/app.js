/** The page put together: the address says what is shown, everything else writes the address. */

import { api } from "./api.js";
import { makeBanner } from "./banner.js";
import { connection } from "./connection.js";
import { find } from "./dom.js";
import { Duplicates } from "./duplicates.js";
import { makeFilters } from "./filters.js";
import { Judging } from "./judge.js";
import { LibraryView } from "./library.js";
import { Pictures } from "./pictures.js";
import { drawPieces } from "./pieces.js";
import { signOf, withPicture } from "./query.js";
import { forgetResults } from "./results.js";
import { address, go, onChange, state } from "./state.js";
import { listenForPictures } from "./upload.js";
import { Viewer } from "./viewer.js";

const PAUSE = 250; // milliseconds without a key until a query is asked

const field = find("#q");
const pieces = find("#pieces");
const views = {
  "": find("#pictures"),
  duplicates: find("#duplicates"),
  status: find("#status"),
  judge: find("#judge"),
};

const pictures = new Pictures(views[""], { weigh, toPlace, start: starter });
const duplicates = new Duplicates(views.duplicates);
const library = new LibraryView(views.status, { start: starter });
const judging = new Judging(views.judge);
const showFilters = makeFilters(find("#filters"));
const viewer = new Viewer(find("#viewer"), { neighbours, weigh, closed });
const offer = makeBanner(find("#banner"));

// -- what the parts ask of each other -------------------------------------------------------------

/** Adds a picture to the query, or takes it out if it is there so; shows what is found then. */
function weigh(id, sign) {
  const picture = `id:${id}`;
  const q = withPicture(state.q, picture, signOf(state.q, picture) === sign ? null : sign);
  go({ q, view: "", sort: "score", picture: null });
}

function toPlace(position) {
  field.focus();
  field.setSelectionRange(position, field.value.length);
}

/** Starts a run; null where this server does not take such orders. */
function starter() {
  if (!connection.status?.can_index) return null;
  return async (folder) => {
    await api.startIndex([folder]);
    await connection.ask();
    go({ view: "status" });
  };
}

function neighbours(id) {
  const items = { duplicates, judge: judging }[state.view]?.items ?? pictures.results?.items ?? [];
  const at = items.findIndex((item) => item.id === id);
  if (at < 0) return {};
  if (at > items.length - 10 && !state.view) pictures.more();
  return { before: items[at - 1], it: items[at], after: items[at + 1] };
}

function closed(id) {
  if (state.view === "duplicates") duplicates.focusPicture(id);
  else if (state.view === "judge") judging.focusPicture(id);
  else if (!state.view) pictures.grid.focusPicture(id);
}

function showNew() {
  forgetResults();
  if (state.view) go({ view: "" });
  else pictures.again();
}

// -- the address → the page -----------------------------------------------------------------------

function draw(before, how = {}) {
  const isSame =
    before !== null &&
    before.view === state.view &&
    before.q === state.q &&
    before.sort === state.sort &&
    before.using === state.using;
  for (const [name, view] of Object.entries(views)) view.hidden = name !== state.view;
  for (const link of document.querySelectorAll("nav a")) {
    const isHere = link.dataset.view === state.view;
    if (isHere) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
    link.href = address({ view: link.dataset.view, picture: null });
  }
  connection.isWatched = state.view === "status";
  find("#filters").hidden = ["status", "judge"].includes(state.view);
  if (field.value !== state.q && !(how.typed && document.activeElement === field))
    field.value = state.q;
  find("#clear").hidden = !field.value;
  showFilters(state.q);
  drawPieces(pieces, state.q, { open: (id) => go({ picture: id }) });
  document.title = state.q ? `${state.q} – retrieve` : "retrieve";
  if (!isSame) show(how);
  viewer.show(state.picture);
}

function show(how) {
  if (state.view === "duplicates") return duplicates.show(state.q);
  if (state.view === "status") return library.show();
  if (state.view === "judge") return judging.show();
  return pictures.show(state.q, state.sort, state.using, {
    scroll: how.isBack ? history.state?.scroll : 0,
    typed: how.typed,
  });
}

onChange((before, after, how) => draw(before, how));

// -- the field ------------------------------------------------------------------------------------

let pausing = 0;
let isTyping = false; // from the first key until Enter, or until the field is left

function ask({ typed }) {
  clearTimeout(pausing);
  go({ q: field.value.trim(), view: "", picture: null }, { replace: isTyping, typed });
  isTyping = typed;
}

field.addEventListener("input", () => {
  find("#clear").hidden = !field.value;
  clearTimeout(pausing);
  pausing = setTimeout(() => ask({ typed: true }), PAUSE);
});
field.addEventListener("blur", () => (isTyping = false));
field.form.addEventListener("submit", (event) => {
  event.preventDefault();
  ask({ typed: false });
  pictures.insist();
});
find("#clear").addEventListener("click", () => {
  field.value = "";
  isTyping = false;
  ask({ typed: false });
  field.focus();
});

// -- keys, links, the theme -----------------------------------------------------------------------

addEventListener("keydown", (event) => {
  const isInField = event.target.closest?.("input, textarea, select");
  if (event.key === "Escape" && event.target === field) return toGrid();
  if (event.key === "ArrowDown" && event.target === field)
    return (event.preventDefault(), toGrid());
  if (isInField || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/" && !find("#viewer").open) {
    event.preventDefault();
    field.focus();
    field.select();
  } else if (event.key === "?") find("#keys").showModal();
});

function toGrid() {
  if (!state.view) pictures.grid.focus(pictures.grid.current);
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[data-view]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  go(
    link.classList.contains("brand")
      ? { q: "", view: "", picture: null, sort: "score", using: "" }
      : { view: link.dataset.view, picture: null },
  );
});

find("#theme").addEventListener("click", () => {
  const root = document.documentElement;
  const isDark = root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = isDark ? "light" : "dark";
  localStorage.setItem("theme", root.dataset.theme);
});
find("#help").addEventListener("click", () => find("#keys").showModal());

listenForPictures(find("#chooser"));
if (localStorage.getItem("facts") !== "" && innerWidth > 900) viewer.toggleFacts();

connection.addEventListener("back", () => {
  if (state.view) show({});
  else if (pictures.hasFailed) pictures.again();
});
connection.addEventListener("version", () => {
  if (state.view) forgetResults();
  else if (pictures.results?.empty) showNew();
  else offer(showNew); // nothing moves under somebody's eyes
});
connection.addEventListener("status", () => {
  find("#running").hidden = !connection.status.indexing;
});
connection.start();
draw(null);
