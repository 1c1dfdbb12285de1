/** Elements without markup in strings: what came from outside is only ever text. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * @param {string} tag
 * @param {Object<string, any>} properties `class`, `style` (an object), `onclick` …, else attributes;
 *   null and false leave an attribute out.
 * @param {...(Node|string|number|null|undefined|false)} children
 * @returns {HTMLElement}
 */
export function el(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "style") Object.assign(made.style, value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined)
      made.setAttribute(name, value);
  }
  made.append(...children.flat().filter((child) => child || child === 0));
  return made;
}

/** One of the drawings in index.html. */
export function icon(name) {
  const drawing = document.createElementNS(SVG, "svg");
  drawing.setAttribute("class", "icon");
  drawing.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  drawing.append(use);
  return drawing;
}

/** A button of an icon alone, its name said to those who do not see it. */
export function iconButton(name, label, onclick, properties = {}) {
  return el(
    "button",
    {
      type: "button",
      class: "icon-button",
      "aria-label": label,
      title: label,
      onclick,
      ...properties,
    },
    icon(name),
  );
}

export const find = (selector, within = document) => within.querySelector(selector);

export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Plain http on another machine has no clipboard API; an open dialog would make the rest inert.
    const area = el("textarea", { class: "aside" });
    area.value = text;
    (find("dialog[open]") ?? document.body).append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  toast(`${what} copied`);
}

let fading = 0;

/** Says something for a few seconds, above all else. */
export function toast(text) {
  const place = find("#toast");
  place.textContent = text;
  place.hidePopover?.();
  place.showPopover?.(); // in the top layer, so that an open dialog does not hide it
  clearTimeout(fading);
  fading = setTimeout(() => {
    place.hidePopover?.();
    place.textContent = "";
  }, 4000);
}
