/**
 * What is shown, and the address that says so. Every change goes through `go`; listeners draw it.
 *
 * @typedef {{q: string, sort: "score"|"date", using: string, view: ""|"duplicates"|"status"|"judge",
 *   picture: number|null}} State  `using`: a model's name, or "all"; "" for the current one
 */

const listeners = [];

/** @type {State} */
export let state = read();

/** @returns {State} */
function read() {
  const said = new URLSearchParams(location.search);
  const [view, picture] = [said.get("view"), Number(said.get("picture"))];
  return {
    q: said.get("q") ?? "",
    sort: said.get("sort") === "date" ? "date" : "score",
    using: said.get("using") ?? "",
    view: ["duplicates", "status", "judge"].includes(view) ? view : "",
    picture: Number.isInteger(picture) && picture > 0 ? picture : null,
  };
}

/** The address of the current state with some of it changed. */
export function address(changes = {}) {
  const { q, sort, using, view, picture } = { ...state, ...changes };
  const said = new URLSearchParams();
  if (view) said.set("view", view);
  if (q) said.set("q", q);
  if (sort !== "score") said.set("sort", sort);
  if (using) said.set("using", using);
  if (picture) said.set("picture", picture);
  return `/${said.size ? `?${said}` : ""}`;
}

/** @param {Partial<State>} changes  @param {{replace?: boolean, typed?: boolean}} how */
export function go(changes, { replace = false, typed = false } = {}) {
  const place = address(changes);
  if (place === address()) return;
  if (replace) history.replaceState(history.state, "", place);
  else history.pushState({ from: address() }, "", place);
  change({ isBack: false, typed });
}

/** To the state with `changes`: a step back where we came from it, so that no step leads in circles. */
export function leave(changes) {
  if (history.state?.from === address(changes)) history.back();
  else go(changes, { replace: true });
}

/** @param {(before: State, after: State, how: {isBack: boolean, typed: boolean}) => void} listener */
export function onChange(listener) {
  listeners.push(listener);
}

function change(how) {
  const before = state;
  state = read();
  for (const listener of listeners) listener(before, state, how);
}

history.scrollRestoration = "manual";
let settling = 0;
addEventListener("popstate", () => {
  clearTimeout(settling); // the place that is left has said how far it was scrolled
  change({ isBack: true, typed: false });
});
addEventListener(
  "scroll",
  () => {
    clearTimeout(settling);
    settling = setTimeout(
      () => history.replaceState({ ...history.state, scroll: scrollY }, ""),
      200,
    );
  },
  { passive: true },
);
