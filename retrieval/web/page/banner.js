/** One line above everything: the server is gone, or there are new pictures. */

import { connection } from "./connection.js";
import { el } from "./dom.js";

/** @param {HTMLElement} host @returns {(showNew: () => void) => void} offers what is new */
export function makeBanner(host) {
  let counting = 0;
  const say = (...what) => {
    clearInterval(counting);
    host.replaceChildren(...what);
    host.hidden = !what.length;
  };
  connection.addEventListener("gone", () => {
    const left = el("span", { "aria-hidden": "true" });
    const tick = () =>
      (left.textContent = ` Retrying in ${Math.max(0, Math.ceil((connection.retryAt - Date.now()) / 1000))} s.`);
    say(
      el(
        "span",
        {},
        "Can’t reach the server. If it was stopped, start it again with ",
        el("code", {}, "retrieve serve"),
        ".",
      ),
      left,
      el(
        "button",
        { type: "button", class: "button", onclick: () => connection.ask() },
        "Retry now",
      ),
    );
    tick();
    counting = setInterval(tick, 500);
  });
  connection.addEventListener("back", () => say());
  return (showNew) => {
    const onclick = () => {
      say();
      showNew();
    };
    say(
      el("span", {}, "The library has changed."),
      el("button", { type: "button", class: "button", onclick }, "Show new pictures"),
    );
  };
}
