/** Filters as controls: they show what the query's line says, and write into it. */

import { el, find, icon, iconButton } from "./dom.js";
import * as panels from "./panels.js";
import { FILTERS, parse, withFilters } from "./query.js";
import { go, state } from "./state.js";
import { nameOf } from "./words.js";

/** Each control: which filters it holds, how it says them, and what its panel is made of. */
const CONTROLS = [
  {
    label: "Date",
    drawing: "calendar",
    names: ["after", "before"],
    said: saidDates,
    panel: panels.date,
  },
  {
    label: "Folder",
    drawing: "folder",
    names: ["in"],
    said: (values) => nameOf(values.in),
    panel: panels.folder,
  },
  {
    label: "Camera",
    drawing: "camera",
    names: ["camera"],
    said: (values) => values.camera,
    panel: panels.camera,
  },
  {
    label: "Format",
    drawing: "file",
    names: ["format"],
    said: (values) => values.format.toUpperCase(),
    panel: panels.format,
  },
  {
    label: "Orientation",
    drawing: "shape",
    names: ["orientation"],
    said: (values) => values.orientation,
    panel: panels.orientation,
  },
  {
    label: "Size",
    drawing: "size",
    names: ["min-size"],
    said: (values) => `At least ${values["min-size"].replace(/x/i, " × ")}`,
    panel: panels.size,
  },
  { label: "Place", drawing: "pin", names: ["near"], said: saidPlace, panel: panels.place },
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
    if (matchMedia("(hover: hover)").matches) find("input, button", sheet)?.focus(); // else a keyboard opens
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

// -- how filters are said -------------------------------------------------------------------------

function saidDates({ after, before }) {
  if (after && before)
    return /^\d{4}$/.test(after) && before === `${+after + 1}` ? after : `${after} to ${before}`;
  return after ? `Since ${after}` : `Before ${before}`;
}

function saidPlace({ near }) {
  const [north, east, km] = near.split(",");
  return `Within ${km ?? "?"} km of ${north}, ${east ?? "?"}`;
}
