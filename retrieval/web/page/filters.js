/** Filters as controls: they show what the query's line says, and write into it. */

import { api } from "./api.js";
import { el, find, icon, iconButton } from "./dom.js";
import { FILTERS, parse, withFilters } from "./query.js";
import { go, state } from "./state.js";
import { nameOf, number } from "./words.js";

const SIZES = {
  "HD, 1280 × 720": "1280x720",
  "Full HD, 1920 × 1080": "1920x1080",
  "4K, 3840 × 2160": "3840x2160",
};

/** Each control: which filters it holds, how it says them, and what its panel is made of. */
const CONTROLS = [
  {
    label: "Date",
    drawing: "calendar",
    names: ["after", "before"],
    said: saidDates,
    panel: datePanel,
  },
  {
    label: "Folder",
    drawing: "folder",
    names: ["in"],
    said: (values) => nameOf(values.in),
    panel: folderPanel,
  },
  {
    label: "Camera",
    drawing: "camera",
    names: ["camera"],
    said: (values) => values.camera,
    panel: cameraPanel,
  },
  {
    label: "Format",
    drawing: "file",
    names: ["format"],
    said: (values) => values.format.toUpperCase(),
    panel: formatPanel,
  },
  {
    label: "Orientation",
    drawing: "shape",
    names: ["orientation"],
    said: (values) => values.orientation,
    panel: shapePanel,
  },
  {
    label: "Size",
    drawing: "size",
    names: ["min-size"],
    said: (values) => `≥ ${values["min-size"].replace(/x/i, " × ")}`,
    panel: sizePanel,
  },
  { label: "Place", drawing: "pin", names: ["near"], said: saidPlace, panel: placePanel },
];

const set = (values) => go({ q: withFilters(state.q, values) });

/** Builds the controls once; the function that is returned shows what a line says. */
export function makeFilters(host) {
  const shown = CONTROLS.map((control) => makeControl(host, control));
  const none = el(
    "button",
    {
      type: "button",
      class: "link",
      onclick: () => set(Object.fromEntries(FILTERS.map((name) => [name, null]))),
    },
    "Clear filters",
  );
  host.append(none);
  return (line) => {
    const { filters } = parse(line);
    none.hidden = !filters.size;
    for (const show of shown) show(Object.fromEntries(filters));
  };
}

function makeControl(host, { label, drawing, names, said, panel }) {
  const title = el("span", {});
  const id = `filter-${names[0]}`;
  const button = el(
    "button",
    { type: "button", class: "chip", popovertarget: id },
    icon(drawing),
    title,
    icon("down"),
  );
  const out = iconButton("close", `Any ${label.toLowerCase()}`, () => {
    set(Object.fromEntries(names.map((name) => [name, null])));
    button.focus();
  });
  const sheet = el("div", {
    id,
    popover: "auto",
    class: "sheet",
    role: "group",
    "aria-label": label,
  });
  sheet.addEventListener("beforetoggle", (event) => {
    if (event.newState === "open") sheet.replaceChildren(el("h2", {}, label));
  });
  sheet.addEventListener("toggle", async (event) => {
    if (event.newState !== "open") return;
    place(sheet, button);
    const values = Object.fromEntries(parse(state.q).filters);
    const chosen = (changes) => {
      sheet.hidePopover();
      set(changes);
    };
    try {
      sheet.append(...(await panel(values, chosen)));
    } catch (error) {
      sheet.append(el("p", { class: "wrong" }, error.message));
    }
    place(sheet, button);
    find("input, button", sheet)?.focus();
  });
  const whole = el("span", { class: "control" }, button, out, sheet);
  host.append(whole);
  return (values) => {
    const isSet = names.some((name) => values[name]);
    whole.classList.toggle("set", isSet);
    out.hidden = !isSet;
    title.textContent = isSet ? said(values) : label;
    button.setAttribute("aria-label", isSet ? `${label}: ${said(values)}` : label);
  };
}

/** Under its button, and inside the window. */
function place(sheet, button) {
  const { left, bottom } = button.getBoundingClientRect();
  const room = document.documentElement.clientWidth - sheet.offsetWidth - 8;
  Object.assign(sheet.style, {
    left: `${Math.max(8, Math.min(left, room))}px`,
    top: `${bottom + 6}px`,
    maxHeight: `${innerHeight - bottom - 20}px`,
  });
}

// -- panels: nodes, from what is set and a function that sets ------------------------------------

function options(entries, now, choose) {
  return el(
    "div",
    { class: "options" },
    entries.map(([value, label, many]) =>
      el(
        "button",
        {
          type: "button",
          class: "option",
          "aria-pressed": value === now,
          title: value,
          onclick: () => choose(value === now ? null : value),
        },
        el("span", {}, label),
        many !== undefined && el("span", { class: "quiet" }, number(many)),
      ),
    ),
  );
}

async function datePanel({ after, before }, set) {
  const { first, last } = await api.facets();
  const years = [];
  for (
    let year = last ? new Date(last).getFullYear() : 0;
    first && year >= new Date(first).getFullYear() && years.length < 12;
    year--
  )
    years.push(year);
  const now = years.find((year) => after === `${year}` && before === `${year + 1}`);
  const field = (name, label, value) =>
    el("label", {}, label, el("input", { type: "date", name, value: wholeDate(value) }));
  const form = el(
    "form",
    {
      onsubmit: (event) => {
        event.preventDefault();
        const { after, before } = event.target.elements;
        set({ after: after.value, before: before.value });
      },
    },
    field("after", "From", after),
    field("before", "Before", before),
    el("button", { class: "button primary" }, "Apply"),
  );
  return [
    el(
      "div",
      { class: "years" },
      years.map((year) =>
        el(
          "button",
          {
            type: "button",
            class: "option",
            "aria-pressed": year === now,
            onclick: () =>
              set(
                year === now
                  ? { after: null, before: null }
                  : { after: `${year}`, before: `${year + 1}` },
              ),
          },
          `${year}`,
        ),
      ),
    ),
    form,
  ];
}

async function folderPanel(values, set) {
  const folders = await api.folders();
  const list = el("div", {});
  const fill = (part) => {
    const found = folders
      .filter(({ path }) => path.toLowerCase().includes(part.toLowerCase()))
      .slice(0, 200);
    list.replaceChildren(
      found.length
        ? options(
            found.map(({ path, files }) => [path, shortened(path), files]),
            values.in,
            (path) => set({ in: path }),
          )
        : el("p", { class: "quiet" }, "No folder is called so."),
    );
  };
  fill("");
  const field = el("input", {
    type: "search",
    placeholder: "Find a folder",
    "aria-label": "Find a folder",
    oninput: (event) => fill(event.target.value),
  });
  return folders.length > 8 ? [field, list] : [list];
}

async function cameraPanel(values, set) {
  const { cameras } = await api.facets();
  if (!cameras.length)
    return [el("p", { class: "quiet" }, "No picture here says which camera took it.")];
  return [
    options(
      cameras.map(({ name, images }) => [name, name, images]),
      values.camera,
      (camera) => set({ camera }),
    ),
  ];
}

async function formatPanel(values, set) {
  const { formats } = await api.facets();
  return [
    options(
      formats.map(({ name, images }) => [name.toLowerCase(), name, images]),
      values.format?.toLowerCase(),
      (format) => set({ format }),
    ),
  ];
}

function shapePanel(values, set) {
  return [
    options(
      [
        ["landscape", "Landscape"],
        ["portrait", "Portrait"],
        ["square", "Square"],
      ],
      values.orientation,
      (orientation) => set({ orientation }),
    ),
  ];
}

function sizePanel(values, set) {
  const [width = "", height = ""] = (values["min-size"] ?? "").split(/[x×]/i);
  const field = (name, label, value) =>
    el("label", {}, label, el("input", { type: "number", min: 1, name, value, required: true }));
  const form = el(
    "form",
    {
      onsubmit: (event) => {
        event.preventDefault();
        const { width, height } = event.target.elements;
        set({ "min-size": `${width.value}x${height.value}` });
      },
    },
    field("width", "Width", width),
    field("height", "Height", height),
    el("button", { class: "button primary" }, "Apply"),
  );
  return [
    options(
      Object.entries(SIZES).map(([label, value]) => [value, label]),
      values["min-size"],
      (size) => set({ "min-size": size }),
    ),
    form,
  ];
}

function placePanel(values, set) {
  const [north = "", east = "", km = "5"] = (values.near ?? "").split(",");
  const field = (name, label, value) =>
    el(
      "label",
      {},
      label,
      el("input", { type: "number", step: "any", name, value, required: true }),
    );
  return [
    el(
      "form",
      {
        onsubmit: (event) => {
          event.preventDefault();
          const { north, east, km } = event.target.elements;
          set({ near: `${north.value},${east.value},${km.value}` });
        },
      },
      field("north", "Degrees north", north),
      field("east", "Degrees east", east),
      field("km", "Within km", km),
      el("button", { class: "button primary" }, "Apply"),
    ),
  ];
}

// -- how filters are said -------------------------------------------------------------------------

function saidDates({ after, before }) {
  if (after && before)
    return /^\d{4}$/.test(after) && before === `${+after + 1}` ? after : `${after} to ${before}`;
  return after ? `Since ${after}` : `Before ${before}`;
}

function saidPlace({ near }) {
  const [north, east, km] = near.split(",");
  return `${km ?? "?"} km around ${north}, ${east ?? "?"}`;
}

/** 2023 → 2023-01-01, as a date field wants it. */
const wholeDate = (value = "") =>
  (/^\d{4}(-\d\d?)?(-\d\d?)?/.exec(value)?.[0] ?? "")
    .split("-")
    .concat(["01", "01"])
    .slice(0, 3)
    .map((part) => part.padStart(2, "0"))
    .join("-")
    .replace(/^00.*/, "");

/** The last two parts of a path. */
const shortened = (path) => path.split(/[\\/]/).filter(Boolean).slice(-2).join(" / ") || path;
