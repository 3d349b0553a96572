// Plans and questions open over the page: the same address as their own page, shown in a dialog.
const sheet = document.getElementById("sheet");

document.addEventListener("click", async (event) => {
  const link = event.target.closest("a[data-sheet]");
  if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
    event.preventDefault();
    await open(link.href);
  }
  if (event.target.closest("[data-close]") && sheet.open) {
    event.preventDefault();
    sheet.close();
  }
  if (event.target === sheet) sheet.close();
});

/** Open what an address shows in a dialog; where that can't be read, go there. */
export async function open(address) {
  try {
    const answer = await fetch(address, { headers: { Accept: "text/html" } });
    const html = new DOMParser().parseFromString(await answer.text(), "text/html");
    const body = html.querySelector("[data-sheet-body]");
    if (!body || answer.redirected && !answer.url.startsWith(address.split("?")[0])) throw new Error("no sheet");
    sheet.className = body.dataset.sheetBody === "dialog" ? "dlg-box" : "sheet";
    sheet.replaceChildren(document.importNode(body, true));
    if (!sheet.open) sheet.showModal();
  } catch {
    location.href = address;
  }
}

// A plan's own form for other numbers asks again, in the same dialog.
sheet.addEventListener("submit", (event) => {
  if (event.target.method !== "get") return;
  event.preventDefault();
  open(`${event.target.action}?${new URLSearchParams(new FormData(event.target))}`);
});

// A form whose plan is shown first: in the dialog, or, where something is wrong, as the page that shows it at its field.
document.addEventListener("submit", (event) => {
  if (!event.target.matches("[data-sheet-form]")) return;
  event.preventDefault();
  open(`${event.target.action}?${new URLSearchParams(new FormData(event.target))}`);
});
