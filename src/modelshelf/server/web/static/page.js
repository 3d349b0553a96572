// What every page does: theme, copying, sheets, keys, dropping, live changes. Without it all pages work as plain HTML.
import "./sheets.js";
import "./keys.js";
import "./rows.js";
import "./table.js";
import "./live.js";

document.addEventListener("click", async (event) => {
  const copy = event.target.closest("[data-copy]");
  if (copy) {
    await navigator.clipboard.writeText(copy.dataset.copy).then(() => tell("Copied."), () => tell("Copying isn’t allowed here: select the text."));
  }
  if (event.target.closest("[data-theme-toggle]")) {
    const now = document.documentElement.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
    const next = now === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    document.cookie = `theme=${next}; path=/; max-age=31536000; samesite=strict`;
  }
});

// A button that was pressed says so until the answer comes.
document.addEventListener("submit", (event) => {
  const button = event.submitter;
  if (button && event.target.method === "post") setTimeout(() => button.setAttribute("aria-busy", "true"));
});

// The server restarts: this page stays until the new one answers. A refusal takes the page's place.
document.addEventListener("submit", async (event) => {
  if (!event.target.matches("[data-restart]")) return;
  event.preventDefault();
  const answer = await fetch(event.target.action, { method: "POST", redirect: "manual", headers: { Accept: "text/html", "Content-Type": "application/x-www-form-urlencoded" } }).catch(() => undefined);
  if (answer && answer.type !== "opaqueredirect") {
    await htmx.swap({ text: await answer.text(), sourceElement: document.body, target: "#app", swap: "outerMorph", select: "#app" });
    return;
  }
  tell("The server is restarting.");
  for (let tries = 0, gone = false; tries < 240; tries++) {
    await new Promise((rest) => setTimeout(rest, 250));
    const isThere = await fetch("/healthz").then((found) => found.ok, () => false);
    if (isThere && (gone || tries > 120)) return location.reload();
    gone ||= !isThere;
  }
  tell("The server hasn’t come back. Its log says why.");
});
addEventListener("pageshow", () => {
  for (const busy of document.querySelectorAll("[aria-busy]")) busy.removeAttribute("aria-busy");
});

/** Tell people who hear the page, and show it for a while. */
export function tell(text) {
  document.getElementById("told").textContent = text;
  const toast = document.createElement("div");
  toast.className = "toast";
  const words = document.createElement("span");
  words.textContent = text;
  toast.append(words);
  document.body.append(toast);
  setTimeout(() => toast.remove(), 4000);
}
