/** Moments: the seconds of a video, the frames of an animation, the pages of a document. */

import { large, original, thumbnail } from "./api.js";
import { el, icon } from "./dom.js";
import { clock } from "./words.js";

export const isFilm = (item) => item?.unit === "second";

/** The moment that was found, or the first; null for a still picture. */
export const best = (item) => item?.moments?.[0] ?? null;

/** What people call a moment: 1:23, page 2. */
export const nameOf = ({ unit, position }) =>
  unit === "second" ? clock(position) : `${unit} ${position + 1}`;

/** What a cell of the grid says of a video, or of a page that was found; null for a still picture. */
export function label(item) {
  const moment = best(item);
  if (!moment || (!isFilm(item) && moment.position === 0)) return null;
  const isListed = typeof item.score !== "number";
  return isFilm(item) && isListed && item.duration ? clock(item.duration) : nameOf(moment);
}

/** The browser's own player, at the moment; a frame and a line if it can't play the video. */
export function player(item, place) {
  const moment = best(item);
  const video = el("video", {
    controls: true,
    playsinline: true,
    preload: "metadata",
    poster: large(item.id, moment?.number),
    src: `${original(item.id)}#t=${item.moment ?? 0}`,
    "aria-label": item.name,
  });
  video.onerror = () =>
    place.replaceChildren(
      el("img", { class: "full", alt: item.name, src: large(item.id, moment?.number) }),
      el("p", { class: "unplayed" }, icon("warning"), "This browser can’t play this video."),
    );
  return video;
}

/** All moments, small; `pick` is told which one somebody wants to see. */
export function strip(id, moments, pick) {
  const shown = moments.map((moment) =>
    el(
      "button",
      { type: "button", class: "moment", "aria-label": nameOf(moment), onclick: () => pick(moment) },
      el("img", { alt: "", loading: "lazy", src: thumbnail(id, moment.number) }),
      el("span", { "aria-hidden": "true" }, nameOf(moment)),
    ),
  );
  return [el("h3", {}, "Moments"), el("div", { class: "alike" }, shown)];
}
