/** The details of a picture, as a list of terms. */

import { api, original } from "./api.js";
import { connection } from "./connection.js";
import { copy, el, icon, toast } from "./dom.js";
import { capital } from "./notices.js";
import { withFilters } from "./query.js";
import { go, state } from "./state.js";
import { bytes, clock, folderOf, moment, number } from "./words.js";

/** @param {object} item a match, or the details of a picture @returns {Node[]} */
export function facts(item) {
  return [
    item.exists === false && el("p", { class: "wrong" }, "The file is missing."),
    item.truncated &&
      el(
        "p",
        { class: "wrong" },
        item.unit === "second"
          ? "The file ends too early, or is damaged."
          : "The file ends too early. The missing part is shown in grey.",
      ),
    el(
      "dl",
      {},
      rows(item).flatMap(([name, ...said]) => [el("dt", {}, name), el("dd", {}, ...said)]),
    ),
    el(
      "div",
      { class: "acts" },
      el(
        "button",
        { type: "button", class: "button", onclick: () => copy(item.path, "Path") },
        icon("copy"),
        "Copy path",
      ),
      el(
        "a",
        { class: "button", href: original(item.id), target: "_blank", rel: "noopener" },
        icon("original"),
        "Original",
      ),
      connection.status?.can_reveal &&
        el(
          "button",
          { type: "button", class: "button", onclick: () => reveal(item.id) },
          icon("folder"),
          "Open folder",
        ),
    ),
  ].filter(Boolean);
}

const reveal = (id) => api.reveal(id).catch((error) => toast(error.message));

function rows(item) {
  const megapixels = (item.width * item.height) / 1e6;
  return [
    item.strength && [
      "Match",
      capital(item.strength),
      el(
        "span",
        { class: "quiet" },
        ` ${Math.round(item.relevance * 100)}% likely, score ${item.score.toFixed(3)}`,
      ),
    ],
    !item.strength &&
      typeof item.score === "number" && [
        "Match",
        el("span", { class: "quiet" }, `score ${item.score.toFixed(3)}`),
      ],
    [
      item.taken_at ? "Taken" : "File date",
      moment(item.date),
      el("span", { class: "quiet" }, origin(item.taken_from)),
    ],
    ...texts(item),
    [
      "Size",
      `${number(item.width)} × ${number(item.height)}`,
      el(
        "span",
        { class: "quiet" },
        ` ${megapixels < 1 ? megapixels.toFixed(2) : megapixels.toFixed(1)} MP, ${item.format}${item.size ? `, ${bytes(item.size)}` : ""}`,
      ),
    ],
    item.duration && ["Duration", clock(item.duration)],
    item.camera && [
      "Camera",
      item.camera,
      item.lens && el("span", { class: "quiet" }, ` ${item.lens}`),
    ],
    exposure(item).length && ["Exposure", exposure(item).join(" · ")],
    typeof item.latitude === "number" && [
      "Place",
      `${item.latitude.toFixed(4)}, ${item.longitude.toFixed(4)} `,
      narrow("near", `${item.latitude.toFixed(4)},${item.longitude.toFixed(4)},5`, "Within 5 km"),
    ],
    [
      "Path",
      el("span", { class: "path" }, item.path),
      " ",
      narrow("in", folderOf(item.path), "In this folder"),
    ],
    item.copies?.length && [
      "Copies",
      ...item.copies.map((path) => el("span", { class: "path" }, path)),
    ],
    item.companions?.length && [
      "Companions",
      ...item.companions.map((path) => el("span", { class: "path" }, path)),
    ],
  ].filter(Boolean);
}

/** What is written about the picture, in its metadata or beside it. */
function texts({ descriptions, keywords, people, rating }) {
  return [
    ...(descriptions ?? []).map((text) => ["Description", text]),
    people?.length && ["People", people.join(", ")],
    keywords?.length && ["Keywords", keywords.join(", ")],
    rating && ["Rating", rating < 0 ? "Rejected" : "★".repeat(rating)],
  ];
}

/** Where a date is from, unless the camera wrote it, or it is the file's own. */
function origin(taken_from) {
  const from = {
    gps: "GPS",
    xmp: "XMP",
    iptc: "IPTC",
    modified: "last change",
    sidecar: "XMP sidecar",
    takeout: "Google Takeout",
    name: "file name",
  }[taken_from];
  return from ? ` from ${from}` : "";
}

function exposure({ exposure, aperture, iso, focal_length }) {
  const time =
    exposure && (exposure < 0.4 ? `1/${Math.round(1 / exposure)} s` : `${+exposure.toFixed(1)} s`);
  return [
    time,
    aperture && `f/${+aperture.toFixed(1)}`,
    iso && `ISO ${iso}`,
    focal_length && `${+focal_length.toFixed(1)} mm`,
  ].filter(Boolean);
}

/** A button that narrows the query down to pictures like this in one respect. */
function narrow(filter, value, label) {
  const onclick = () =>
    go({ q: withFilters(state.q, { [filter]: value }), picture: null, view: "" });
  return el("button", { type: "button", class: "link", onclick }, label);
}
