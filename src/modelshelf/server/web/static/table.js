// The table of models, changed in place: filtered, sorted, and made longer while one scrolls. Only the table is asked for.
const TYPING_MS = 100;
const section = document.getElementById("models");
let asked = new AbortController();

/** Return what an address shows of the table; nothing when something newer was asked for by then. */
async function read(address) {
  asked.abort();
  const mine = (asked = new AbortController());
  try {
    const answer = await fetch(`/parts${new URL(address).pathname}${new URL(address).search}`, { signal: mine.signal });
    if (!answer.ok || answer.redirected) throw new Error(answer.statusText);
    const template = document.createElement("template");
    template.innerHTML = await answer.text();
    return template.content;
  } catch {
    if (!mine.signal.aborted) location.href = address;
    return undefined;
  }
}

async function show(address, remember) {
  const table = await read(address);
  if (!table) return;
  const head = document.activeElement?.closest("#models thead a")?.textContent;
  section.replaceChildren(table);
  history[remember](null, "", address);
  if (head) [...section.querySelectorAll("thead a")].find((one) => one.textContent === head)?.focus({ preventScroll: true });
  changed();
}

function changed() {
  document.dispatchEvent(new Event("page:rows"));
  wait();
}

/** Wait for the last row to come near, if more can follow. */
function wait() {
  const pages = section.querySelector(".pages");
  near.disconnect();
  if (pages?.querySelector("[rel=next]")) near.observe(pages);
}

const near = new IntersectionObserver((seen) => seen.some((one) => one.isIntersecting) && grow(), { rootMargin: "600px" });

/** Add the rows of the next page; the address says from then on how many are shown. */
async function grow() {
  near.disconnect();
  const address = new URL(location.href);
  const more = await read(section.querySelector(".pages [rel=next]").href);
  if (!more) return;
  for (const group of more.querySelectorAll("tbody")) {
    const there = document.getElementById(group.id);
    if (there) there.append(...group.querySelectorAll("tr[data-model]"));
    else section.querySelector("table").append(group);
  }
  section.querySelector("[data-last]").textContent = more.querySelector("[data-last]").textContent;
  const next = more.querySelector("[rel=next]");
  if (next) section.querySelector("[rel=next]").replaceWith(next);
  else section.querySelector("[rel=next]").remove();
  address.searchParams.set("pages", Number(address.searchParams.get("pages") || 1) + 1);
  history.replaceState(null, "", address);
  changed();
}

if (section) {
  let typing;
  const form = document.querySelector("form[data-auto]");
  const filter = () => {
    const said = new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
    show(said.size ? `${form.action}?${said}` : form.action, "replaceState");
  };
  document.addEventListener("input", (event) => {
    if (event.target.form !== form) return;
    clearTimeout(typing);
    typing = setTimeout(filter, event.target.type === "search" ? TYPING_MS : 0);
  });
  document.addEventListener("submit", (event) => {
    if (event.target !== form) return;
    event.preventDefault();
    clearTimeout(typing);
    filter();
  });
  // A head sorts in place, and the filter keeps that order from then on.
  document.addEventListener("click", (event) => {
    const head = event.target.closest("#models thead a");
    if (!head || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const sort = new URL(head.href).searchParams.get("sort");
    form.querySelector("[name=sort]")?.remove();
    if (sort) form.append(Object.assign(document.createElement("input"), { type: "hidden", name: "sort", value: sort }));
    show(head.href, "pushState");
  });
  addEventListener("popstate", () => location.reload());
  document.addEventListener("page:morphed", wait);
  wait();
}
