// Talking to a model over /v1, as any client of OpenAI's protocol does. Answers are text, never HTML.
import { tell } from "./page.js";

const talk = document.getElementById("talk");
const ask = document.getElementById("ask");
const params = document.getElementById("params");
const stop = document.querySelector("[data-stop]");
const send = document.querySelector("[data-send]");
let messages = [];
let running;

function said(who, text) {
  document.querySelector("[data-empty]")?.remove();
  const turn = document.createElement("article");
  turn.className = who === "user" ? "q" : "a";
  const words = document.createElement("p");
  words.dir = "auto";
  words.textContent = text;
  turn.append(words);
  talk.append(turn);
  turn.scrollIntoView({ block: "end" });
  return { turn, words };
}

function body() {
  const said = new FormData(params);
  const system = said.get("system").trim();
  return {
    model: said.get("model"),
    messages: [...(system ? [{ role: "system", content: system }] : []), ...messages],
    temperature: Number(said.get("temperature")),
    max_tokens: Number(said.get("max_tokens")),
    stream: true,
  };
}

async function answer() {
  running = new AbortController();
  stop.hidden = false;
  send.disabled = true;
  const asked = messages; // a new chat begins another list
  const { turn, words } = said("assistant", "");
  const began = performance.now();
  let first;
  let tokens = 0;
  let text = "";
  try {
    const reply = await fetch("/v1/chat/completions", { method: "POST", signal: running.signal, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body()) });
    if (!reply.ok) throw new Error(await problem(reply));
    for await (const piece of pieces(reply.body)) {
      const part = piece.choices?.[0]?.delta?.content;
      if (piece.error) throw new Error(piece.error.message || "The engine failed.");
      if (!part) continue;
      first ??= performance.now();
      tokens += 1;
      text += part;
      words.textContent = text;
    }
  } catch (err) {
    if (err.name !== "AbortError") fail(turn, err.message);
  }
  if (text) asked.push({ role: "assistant", content: text });
  measure(turn, began, first, tokens);
  stop.hidden = true;
  send.disabled = false;
  running = undefined;
  document.getElementById("told").textContent = "The answer is complete.";
}

async function problem(reply) {
  const said = await reply.json().catch(() => ({}));
  return said.error?.message || said.detail || `The server answered ${reply.status}.`;
}

async function* pieces(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let left = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (left + value).split("\n");
    left = lines.pop();
    for (const line of lines) {
      if (line.startsWith("data:") && !line.includes("[DONE]")) yield JSON.parse(line.slice(5));
    }
  }
}

function measure(turn, began, first, tokens) {
  if (!first) return;
  const row = document.createElement("p");
  row.className = "meas";
  const seconds = (performance.now() - first) / 1000;
  const rate = tokens > 1 && seconds > 0 ? ` · ${((tokens - 1) / seconds).toFixed(1)} pieces/s` : "";
  row.textContent = `first piece ${((first - began) / 1000).toFixed(2)} s${rate} · ${tokens} pieces`;
  turn.append(row);
}

function fail(turn, text) {
  const note = document.createElement("p");
  note.className = "note bad";
  note.textContent = text;
  turn.append(note);
}

ask?.addEventListener("submit", (event) => {
  event.preventDefault();
  const field = ask.elements.text;
  if (running || !field.value.trim()) return;
  messages.push({ role: "user", content: field.value });
  said("user", field.value);
  field.value = "";
  answer();
});
ask?.elements.text.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) ask.requestSubmit();
});
stop?.addEventListener("click", () => running?.abort());
params?.addEventListener("input", (event) => {
  const shown = params.querySelector(`output[for="${event.target.id}"]`);
  if (shown) shown.textContent = event.target.value;
});
document.querySelector("[data-new]")?.addEventListener("click", () => {
  running?.abort();
  messages = [];
  talk?.replaceChildren();
});
document.querySelector("[data-curl]")?.addEventListener("click", async (event) => {
  const key = "key" in event.currentTarget.dataset ? ' -H "Authorization: Bearer $SHELF_API_KEY"' : "";
  const text = JSON.stringify({ ...body(), stream: false }).replaceAll("'", "'\\''");
  await navigator.clipboard.writeText(`curl ${location.origin}/v1/chat/completions${key} -H 'Content-Type: application/json' -d '${text}'`).then(() => tell("Copied as curl."), () => tell("Copying isn’t allowed here."));
});
