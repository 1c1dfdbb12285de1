/** A picture that is dropped, pasted or chosen becomes the query. */

import { api } from "./api.js";
import { find, toast } from "./dom.js";
import { sentence } from "./notices.js";
import { onlyPicture } from "./query.js";
import { go, state } from "./state.js";

export function listenForPictures(chooser) {
  chooser.addEventListener("change", () => {
    take([...chooser.files]);
    chooser.value = "";
  });
  addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length) return; // text goes into the field
    event.preventDefault();
    take(files);
  });
  const cover = find("#drop");
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragenter", (event) => hasFiles(event) && (cover.hidden = false));
  addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
  addEventListener("dragleave", (event) => !event.relatedTarget && (cover.hidden = true));
  addEventListener("drop", (event) => {
    cover.hidden = true;
    if (!hasFiles(event)) return;
    event.preventDefault();
    take([...event.dataTransfer.files]);
  });
}

async function take(files) {
  const picture = files[0];
  if (!picture) return;
  document.body.classList.add("uploading");
  try {
    const { key } = await api.upload(picture);
    go({ q: onlyPicture(state.q, `upload:${key}`), view: "", picture: null, sort: "score" });
  } catch (error) {
    toast(sentence(error.message));
  } finally {
    document.body.classList.remove("uploading");
  }
}
