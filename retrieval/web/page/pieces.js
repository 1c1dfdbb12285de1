/** The example pictures in a query, shown under the field: each can be removed. */

import { thumbnailOf } from "./api.js";
import { el, icon } from "./dom.js";
import { parse, withPicture } from "./query.js";
import { go, state } from "./state.js";

/** @param {HTMLElement} host a list  @param {{open: (id: number) => void}} on */
export function drawPieces(host, q, on) {
  const pictures = parse(q).terms.filter((term) => term.picture);
  host.hidden = !pictures.length;
  host.replaceChildren(...pictures.map((term) => piece(term, on)));
}

function piece({ sign, picture, weight }, on) {
  const said = sign === "-" ? "Less like this" : "Like this";
  const image = el("img", { alt: "", src: thumbnailOf(picture) });
  image.onerror = () => image.replaceWith(icon("warning"));
  const id = picture.startsWith("id:") ? Number(picture.slice(3)) : null;
  const shown = id
    ? el(
        "button",
        {
          type: "button",
          class: "see",
          "aria-label": `Open picture ${id}`,
          onclick: () => on.open(id),
        },
        image,
      )
    : image;
  const out = () => go({ q: withPicture(state.q, picture, null) });
  return el(
    "li",
    { class: sign === "-" ? "piece minus" : "piece" },
    shown,
    el("span", {}, `${said}${weight ? ` (×${weight.slice(0, -1)})` : ""}`),
    el(
      "button",
      {
        type: "button",
        class: "out",
        "aria-label": `Remove ${id ? `picture ${id}` : "your picture"} from the search`,
        onclick: out,
      },
      icon("close"),
    ),
  );
}
