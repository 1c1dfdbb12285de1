/** What opens under a control: nodes, from the values that are set and a function that sets. */

import { api } from "./api.js";
import { el } from "./dom.js";
import { nameOf, number } from "./words.js";

const YEARS = 12; // of them as buttons
const FOLDERS = 200; // in a list at a time
const SIZES = [
  ["1280x720", "HD, 1280 × 720"],
  ["1920x1080", "Full HD, 1920 × 1080"],
  ["3840x2160", "4K, 3840 × 2160"],
];
const SHAPES = ["landscape", "portrait", "square"];

export async function date({ after, before }, set) {
  const { first, last } = await api.facets();
  const years = last ? yearsBetween(new Date(first), new Date(last)) : [];
  const now = years.find((year) => after === year && before === `${+year + 1}`);
  const choose = (year) => set({ after: year, before: year && `${+year + 1}` });
  const fields = [
    el("input", { type: "date", name: "after", value: wholeDate(after) }),
    el("input", { type: "date", name: "before", value: wholeDate(before) }),
  ];
  const choices = years.map((year) => [year, year]);
  return [options(choices, now, choose, "options years"), form(["From", "Before"], fields, set)];
}

export async function folder(values, set) {
  const folders = await api.folders();
  const list = el("div", {});
  const fill = (part) => {
    const found = folders.filter(({ path }) => path.toLowerCase().includes(part.toLowerCase()));
    const choices = found.slice(0, FOLDERS).map(({ path, files }) => [path, ending(path), files]);
    list.replaceChildren(
      found.length
        ? options(choices, values.in, (path) => set({ in: path }))
        : el("p", { class: "quiet" }, "No folder with that name."),
    );
  };
  fill("");
  const oninput = (event) => fill(event.target.value);
  const label = "Find a folder";
  const field = el("input", { type: "search", placeholder: label, "aria-label": label, oninput });
  return folders.length > 8 ? [field, list] : [list];
}

export async function camera(values, set) {
  const { cameras } = await api.facets();
  if (!cameras.length)
    return [el("p", { class: "quiet" }, "No picture has camera data.")];
  const choices = cameras.map(({ name, images }) => [name, name, images]);
  return [options(choices, values.camera, (camera) => set({ camera }))];
}

export async function format(values, set) {
  const { formats } = await api.facets();
  const choices = formats.map(({ name, images }) => [name.toLowerCase(), name, images]);
  return [options(choices, values.format?.toLowerCase(), (format) => set({ format }))];
}

export function orientation(values, set) {
  const choices = SHAPES.map((name) => [name, name[0].toUpperCase() + name.slice(1)]);
  return [options(choices, values.orientation, (orientation) => set({ orientation }))];
}

export function size(values, set) {
  const now = values["min-size"];
  const [width = "", height = ""] = (now ?? "").split(/[x×]/i);
  const fields = [numeric("width", width, { min: 1 }), numeric("height", height, { min: 1 })];
  return [
    options(SIZES, now, (size) => set({ "min-size": size })),
    form(["Width", "Height"], fields, (said) =>
      set({ "min-size": `${said.width}x${said.height}` }),
    ),
  ];
}

export function place(values, set) {
  const [north = "", east = "", km = "5"] = (values.near ?? "").split(",");
  const fields = [numeric("north", north), numeric("east", east), numeric("km", km, { min: 0 })];
  return [
    form(["Latitude", "Longitude", "Within km"], fields, (said) =>
      set({ near: `${said.north},${said.east},${said.km}` }),
    ),
  ];
}

// -- their parts ---------------------------------------------------------------------------------

/** Buttons of [value, label, how many pictures]; the one that is pressed can be taken back. */
function options(choices, now, choose, kind = "options") {
  const buttons = choices.map(([value, label, many]) => {
    const isNow = value === now;
    return el(
      "button",
      {
        type: "button",
        class: "option",
        title: value,
        "aria-pressed": isNow,
        onclick: () => choose(isNow ? null : value),
      },
      el("span", {}, label),
      many !== undefined && el("span", { class: "quiet" }, number(many)),
    );
  });
  return el("div", { class: kind }, buttons);
}

/** Fields under their labels; `set` gets an object of what was put in. */
function form(labels, fields, set) {
  const onsubmit = (event) => {
    event.preventDefault();
    set(Object.fromEntries(new FormData(event.target)));
  };
  const labelled = fields.map((field, i) => el("label", {}, labels[i], field));
  return el("form", { onsubmit }, labelled, el("button", { class: "button primary" }, "Apply"));
}

const numeric = (name, value, limits = {}) =>
  el("input", { type: "number", step: "any", name, value, required: true, ...limits });

function yearsBetween(first, last) {
  const count = last.getFullYear() - first.getFullYear() + 1;
  return Array.from({ length: Math.min(YEARS, count) }, (_, i) => `${last.getFullYear() - i}`);
}

/** 2023 → 2023-01-01, as a date field wants it; "" for what is no date. */
function wholeDate(written = "") {
  const parts = /^(\d{4})(?:-(\d\d?))?(?:-(\d\d?))?/.exec(written);
  if (!parts) return "";
  const [, year, month = "1", day = "1"] = parts;
  return [year, month.padStart(2, "0"), day.padStart(2, "0")].join("-");
}

/** The last two parts of a path. */
const ending = (path) => path.split(/[\\/]/).filter(Boolean).slice(-2).join(" / ") || nameOf(path);
