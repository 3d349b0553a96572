// Single keys, as in ?; never in a field, and never with a modifier. Settings of the page turn them off.
import { open } from "./sheets.js";

const PAGES = { s: "/", m: "/models", a: "/activity", n: "/add", r: "/running", p: "/playground", d: "/doctor" };
let waitsForPage = false;
let pinned = Promise.resolve();

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (localStorage.getItem("keys") === "off") return;
  if (event.target.matches("input:not([type=checkbox], [type=radio]), select, textarea, [contenteditable]")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (document.querySelector("dialog[open]")) return;
  if (waitsForPage) {
    waitsForPage = false;
    if (PAGES[event.key]) location.href = PAGES[event.key];
    return;
  }
  act(event);
});

const keys = document.querySelector("[data-keys]");
if (keys) {
  keys.checked = localStorage.getItem("keys") !== "off";
  keys.addEventListener("change", () => localStorage.setItem("keys", keys.checked ? "on" : "off"));
}

function act(event) {
  const row = document.activeElement?.closest?.("tr[data-model]");
  const verbs = { m: "move", Delete: "remove" };
  if (event.key === "g") waitsForPage = true;
  else if (event.key === "/") focusFind(event);
  else if (event.key === "?") open("/keys");
  else if (event.key === "j" || event.key === "ArrowDown") step(event, 1);
  else if (event.key === "k" || event.key === "ArrowUp") step(event, -1);
  else if (row && event.key === "x") row.querySelector("input[type=checkbox]").click();
  else if (row && event.key === "Enter" && document.activeElement === row) row.querySelector("a").click();
  else if (row && verbs[event.key]) open(`/${verbs[event.key]}?model=${encodeURIComponent(row.dataset.model)}`);
  else if (row && event.key === "p") pinned = pinned.then(() => pin(row.id));
  else if (row && event.key === "v") post("/verify", { model: row.dataset.model });
}

function focusFind(event) {
  const field = [...document.querySelectorAll("[data-find]")].reverse().find((one) => one.offsetParent);
  if (!field) return;
  event.preventDefault();
  field.focus();
  field.select();
}

function step(event, by) {
  const rows = [...document.querySelectorAll("tr[data-model]")];
  if (!rows.length || (event.key.startsWith("Arrow") && !document.activeElement?.closest?.("tr[data-model]"))) return;
  event.preventDefault();
  const at = rows.indexOf(document.activeElement?.closest?.("tr[data-model]"));
  rows[Math.max(0, Math.min(rows.length - 1, at + by))].focus();
}

/** Pin or unpin a model. Its row is drawn anew where it stands, so that it keeps the focus. */
async function pin(id) {
  const row = document.getElementById(id);
  if (!row) return;
  const fields = { model: row.dataset.model, pinned: row.querySelector(".pin") ? "" : "1" };
  const asked = { method: "POST", body: new URLSearchParams(fields), headers: { Accept: "text/html" } };
  const answer = await fetch("/pin", asked).catch(() => undefined);
  if (!answer?.ok) {
    post("/pin", fields); // the page that says why
    return;
  }
  const html = new DOMParser().parseFromString(await answer.text(), "text/html");
  const there = document.getElementById(id);
  const drawn = html.getElementById(id);
  if (!there || !drawn) return; // a filter hides it by now
  const isHeld = there.contains(document.activeElement);
  there.replaceChildren(...document.importNode(drawn, true).children);
  if (isHeld) there.focus({ preventScroll: true });
  document.dispatchEvent(new Event("page:rows"));
}

function post(action, fields) {
  const form = document.createElement("form");
  Object.assign(form, { method: "post", action, hidden: true });
  for (const [name, value] of Object.entries(fields)) form.append(Object.assign(document.createElement("input"), { name, value }));
  document.body.append(form);
  form.submit();
}
