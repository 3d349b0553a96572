// Selecting rows, and dragging a model onto a tier. Both have a twin without a mouse: the checkbox, and Move….
import { open } from "./sheets.js";

const chosen = new Set();
let lastName;

function boxes() {
  return [...document.querySelectorAll("input[data-select]")];
}

function show() {
  let bytes = 0;
  const shown = new Set(boxes().map((box) => box.value));
  for (const name of [...chosen]) if (!shown.has(name)) chosen.delete(name); // what nobody sees, nothing acts on
  for (const box of boxes()) {
    box.checked = chosen.has(box.value);
    box.closest("tr").setAttribute("aria-selected", box.checked);
    if (box.checked) bytes += Number(box.dataset.bytes);
  }
  const bar = document.getElementById("selbar");
  if (!bar) return;
  bar.hidden = chosen.size === 0;
  bar.querySelector("[data-count]").textContent = chosen.size;
  bar.querySelector("[data-sum]").textContent = inWords(bytes);
  const all = document.getElementById("select-all");
  if (all) all.checked = chosen.size > 0 && boxes().every((box) => box.checked);
}

function inWords(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  while (bytes >= 999.95 && at < 4) {
    bytes /= 1000;
    at += 1;
  }
  return `${at === 0 ? bytes : bytes.toFixed(at === 4 ? 2 : 1)}\u00a0${units[at]}`;
}

document.addEventListener("click", (event) => {
  const box = event.target.closest("input[data-select]");
  if (box) {
    const all = boxes();
    const ends = [all.findIndex((one) => one.value === lastName), all.indexOf(box)].sort((one, other) => one - other);
    const range = event.shiftKey && ends[0] >= 0 ? all.slice(ends[0], ends[1] + 1) : [box];
    for (const one of range) box.checked ? chosen.add(one.value) : chosen.delete(one.value);
    lastName = box.value;
    show();
  }
  if (event.target.id === "select-all") {
    for (const one of boxes()) event.target.checked ? chosen.add(one.value) : chosen.delete(one.value);
    show();
  }
  if (event.target.closest("[data-clear]")) {
    chosen.clear();
    show();
  }
  const several = event.target.closest("[data-several]");
  if (several) {
    const names = new URLSearchParams([...chosen].map((name) => ["model", name]));
    open(`${several.dataset.several}?${names}`);
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && chosen.size && !document.querySelector("dialog[open]")) {
    chosen.clear();
    show();
  }
});
document.addEventListener("page:morphed", show);
document.addEventListener("page:rows", show);
addEventListener("pageshow", show);

// Dragging.
let dragged;
document.addEventListener("dragstart", (event) => {
  const row = event.target.closest?.("tr[data-model]");
  if (!row) return;
  dragged = row.dataset.model;
  document.body.dataset.dragging = "";
  event.dataTransfer.effectAllowed = "move";
  event.dataTransfer.setData("text/plain", dragged);
});
document.addEventListener("dragend", () => {
  dragged = undefined;
  delete document.body.dataset.dragging;
  for (const one of document.querySelectorAll(".over-t")) one.classList.remove("over-t");
});
document.addEventListener("dragover", (event) => {
  const tier = dragged && event.target.closest?.("[data-tier]");
  for (const one of document.querySelectorAll(".over-t")) if (one !== tier) one.classList.remove("over-t");
  if (!tier) return;
  event.preventDefault();
  if (!tier.classList.contains("over-t")) {
    tier.classList.add("over-t");
    tier.querySelector(".dropt").textContent = `Drop to see what moving ${dragged} does`;
  }
});
document.addEventListener("drop", (event) => {
  const tier = dragged && event.target.closest?.("[data-tier]");
  if (!tier) return;
  event.preventDefault();
  open(`/move?model=${encodeURIComponent(dragged)}&to=${encodeURIComponent(tier.dataset.tier)}`);
});
