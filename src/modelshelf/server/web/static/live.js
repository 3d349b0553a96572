// Changes of the library: the page is read again and morphed, at most twice a second, and not while nobody looks.
const EACH_MS = 600;
const LONGEST_MS = 30000;
const REST = 4; // times as long as reading took: a large page may cost a fifth of the time
const main = () => document.getElementById("main");
const kinds = (main()?.dataset.live || "").split(" ").filter(Boolean);
const bus = document.getElementById("bus");
let asked = false;
let reading = false;
let last = 0;
let rest = EACH_MS;
let shown;
let lost;

for (const kind of bus ? [...kinds, "resync"] : []) bus.addEventListener(kind, ask);
bus?.addEventListener("htmx:sse:error", () => (lost ??= setTimeout(() => show(true), 5000)));
bus?.addEventListener("htmx:sse:after:connection", () => {
  clearTimeout(lost);
  lost = undefined;
  if (!document.getElementById("lost").hidden) ask();
  show(false);
});

// The connection begins only now that every kind of event has its listener; first comes what changed since this page was made.
bus?.setAttribute("hx-sse:connect", bus.dataset.events);
if (bus) htmx.process(bus);

function show(isLost) {
  document.getElementById("lost").hidden = !isLost;
}

function ask() {
  if (asked) return;
  asked = true;
  setTimeout(refresh, Math.max(0, last + rest - performance.now()));
}

/** Return whether nobody looks, or somebody is in the middle of something that new rows would disturb. */
function isBusy() {
  const at = document.activeElement;
  return document.hidden || document.querySelector("dialog[open], [data-dragging], [data-menu][open]") || at?.matches("main input:not([type=checkbox]), main select, main textarea");
}

async function refresh() {
  if (reading || isBusy()) {
    setTimeout(refresh, EACH_MS);
    return;
  }
  asked = false;
  reading = true;
  const began = performance.now();
  const failed = await read(location.href).catch(() => false);
  last = performance.now();
  rest = failed ? Math.min(2 * rest, LONGEST_MS) : Math.max(EACH_MS, REST * (last - began));
  if (failed) ask();
  reading = false;
}

/** Read the page again; what is as it was costs no more than that, and what a person changed meanwhile stays.
 *  While the server can't make the page, the one that is there stays, and is read again later, ever more seldom.
 *  Return whether that is so. */
async function read(address) {
  const answer = await fetch(address, { headers: { Accept: "text/html" } });
  const text = await answer.text();
  if (answer.status >= 500) return true;
  if (location.href !== address || isBusy()) {
    ask();
    return false;
  }
  const app = text.slice(text.indexOf('id="app"'), text.indexOf('id="sheet"'));
  if (app === shown) return false;
  shown = app;
  await htmx.swap({ text, sourceElement: document.body, target: "#app", swap: "outerMorph", select: "#app" });
  document.dispatchEvent(new Event("page:morphed"));
  return false;
}

document.addEventListener("page:rows", () => (shown = undefined));

// Jobs that start, end or fail are heard; percentages never are.
const heard = new Map();
bus?.addEventListener("job", (event) => {
  const job = JSON.parse(event.detail.data);
  if (heard.get(job.id) === job.state || job.state === "queued") return;
  heard.set(job.id, job.state);
  const words = { running: "started", done: "is done", failed: "failed", cancelled: "was cancelled", waiting: "waits" };
  if (words[job.state]) document.getElementById("told").textContent = `${job.kind} ${job.model_name} ${words[job.state]}`;
});
