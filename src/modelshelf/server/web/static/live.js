// Changes of the library: the page is read again and morphed, at most twice a second, and not while nobody looks.
const EACH_MS = 600;
const main = () => document.getElementById("main");
const kinds = (main()?.dataset.live || "").split(" ").filter(Boolean);
const bus = document.getElementById("bus");
let asked = false;
let reading = false;
let last = 0;
let lost;

for (const kind of bus ? [...kinds, "resync"] : []) bus.addEventListener(kind, ask);
bus?.addEventListener("htmx:sse:error", () => (lost ??= setTimeout(() => show(true), 5000)));
bus?.addEventListener("htmx:sse:after:connection", () => {
  clearTimeout(lost);
  lost = undefined;
  if (!document.getElementById("lost").hidden) ask();
  show(false);
});

// Only now, so that nothing is told before somebody listens; what changed since the page was made comes first.
bus?.setAttribute("hx-sse:connect", bus.dataset.events);
if (bus) htmx.process(bus);

// Engines tell of no change: their page is read again every few seconds.
const every = Number(main()?.dataset.every || 0);
if (every) setInterval(ask, every * 1000);

function show(isLost) {
  document.getElementById("lost").hidden = !isLost;
}

function ask() {
  if (asked) return;
  asked = true;
  setTimeout(refresh, Math.max(0, last + EACH_MS - performance.now()));
}

/** Return whether the page is being read, or somebody is in the middle of something that new rows would disturb. */
function isBusy() {
  const at = document.activeElement;
  return reading || document.hidden || document.querySelector("dialog[open], [data-dragging], [data-menu][open]") || at?.matches("main input:not([type=checkbox]), main select, main textarea");
}

async function refresh() {
  if (isBusy()) {
    setTimeout(refresh, EACH_MS);
    return;
  }
  asked = false;
  reading = true;
  last = performance.now();
  await htmx.ajax("GET", location.href, { target: "#app", swap: "outerMorph", select: "#app" }).catch(() => {});
  reading = false;
  document.dispatchEvent(new Event("page:morphed"));
}

// Jobs that start, end or fail are heard; percentages never are.
const heard = new Map();
bus?.addEventListener("job", (event) => {
  const job = JSON.parse(event.detail.data);
  if (heard.get(job.id) === job.state || job.state === "queued") return;
  heard.set(job.id, job.state);
  const words = { running: "started", done: "is done", failed: "failed", cancelled: "was cancelled", waiting: "waits" };
  if (words[job.state]) document.getElementById("told").textContent = `${job.kind} ${job.model_name} ${words[job.state]}`;
});
