// Talking to one or two models over /v1, as any client of OpenAI's protocol does. Answers are text, never HTML.
import { tell } from "./page.js";

const talk = document.getElementById("talk");
const ask = document.getElementById("ask");
const params = document.getElementById("params");
const send = document.querySelector("[data-send]");
let lanes = []; // one for each model: its name, and what was said so far
const running = new Set();

/** Return the lanes of the chosen models; what was said to a model stays with its place. */
function chosen() {
  const said = new FormData(params);
  const names = [said.get("model"), said.get("second")].filter(Boolean);
  lanes = names.map((model, at) => ({ model, messages: lanes[at]?.messages ?? lanes[0]?.messages.slice() ?? [] }));
  return lanes;
}

function body(lane) {
  const said = new FormData(params);
  const system = said.get("system").trim();
  return {
    model: lane.model,
    messages: [...(system ? [{ role: "system", content: system }] : []), ...lane.messages],
    temperature: Number(said.get("temperature")),
    top_p: Number(said.get("top_p")),
    max_tokens: Number(said.get("max_tokens")),
  };
}

function element(name, css, text = "") {
  const made = document.createElement(name);
  if (css) made.className = css;
  made.textContent = text;
  return made;
}

/** Show a question, and a place for each answer. */
function turn(text) {
  document.querySelector("[data-empty]")?.remove();
  const question = element("article", "q");
  const words = element("p", "", text);
  words.dir = "auto";
  question.append(words);
  const row = element("div", lanes.length > 1 ? "answers two" : "answers");
  const places = lanes.map((lane) => {
    const place = element("article", "a");
    const head = element("header", "who");
    const stop = element("button", "btn sm", "Stop");
    stop.type = "button";
    stop.setAttribute("aria-label", `Stop ${lane.model}`);
    head.append(element("b", "anyw", lane.model), stop);
    const answer = element("p", "said");
    answer.dir = "auto";
    const wait = element("p", "mute s12 wait", "Waiting for the first word.");
    place.append(head, answer, wait);
    row.append(place);
    return { place, answer, stop, wait };
  });
  talk.append(question, row);
  row.scrollIntoView({ block: "end" });
  return places;
}

async function answer(lane, { place, answer, stop, wait }) {
  const control = new AbortController();
  running.add(control);
  show();
  stop.addEventListener("click", () => control.abort());
  const asked = lane.messages; // a new chat begins another list
  const told = { began: performance.now(), first: undefined, last: undefined, pieces: 0, tokens: undefined };
  let text = "";
  try {
    const request = { ...body(lane), stream: true, stream_options: { include_usage: true } };
    const reply = await fetch("/v1/chat/completions", { method: "POST", signal: control.signal, headers: { "Content-Type": "application/json" }, body: JSON.stringify(request) });
    if (!reply.ok) throw new Error(await problem(reply));
    for await (const piece of pieces(reply.body)) {
      if (piece.waits) wait.textContent = `${piece.waits}, ${((performance.now() - told.began) / 1000).toFixed(0)} s`;
      if (piece.error) throw new Error(piece.error.message || "The engine failed.");
      told.tokens = piece.usage?.completion_tokens ?? told.tokens;
      const part = piece.choices?.[0]?.delta?.content;
      if (!part) continue;
      wait.remove();
      told.last = performance.now();
      told.first ??= told.last;
      told.pieces += 1;
      text += part;
      answer.textContent = text;
    }
  } catch (err) {
    if (err.name === "AbortError") place.append(element("p", "mute s12", "Stopped."));
    else place.append(element("p", "note bad", err.message));
  }
  wait.remove();
  if (text) asked.push({ role: "assistant", content: text });
  measure(place, told);
  stop.remove();
  running.delete(control);
  show();
  document.getElementById("told").textContent = `The answer of ${lane.model} is complete.`;
}

function show() {
  send.disabled = running.size > 0;
}

async function problem(reply) {
  const said = await reply.json().catch(() => ({}));
  return said.error?.message || said.detail || `The server answered ${reply.status}.`;
}

/** Yield what the stream brings: pieces of the answer, and in comments what it waits for while the model loads. */
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
      if (line.startsWith(":")) yield { waits: line.slice(1).trim().replace(/^loading/, "Loading") };
    }
  }
}

/** Say how fast an answer came: by the engine's count of tokens, else by the pieces that arrived. */
function measure(place, { began, first, last, pieces, tokens }) {
  if (!first) return;
  const count = tokens ?? pieces;
  const unit = tokens === undefined ? ["pieces/s", "pieces"] : ["tok/s", "tokens"];
  const row = element("p", "meas");
  const figure = (before, number, after) => row.append(before, element("b", "", number), after);
  figure("first token ", ((first - began) / 1000).toFixed(2), " s");
  if (pieces > 1) figure(" · ", ((count - 1) / ((last - first) / 1000)).toFixed(1), ` ${unit[0]}`);
  figure(" · ", String(count), ` ${unit[1]}`);
  place.append(row);
}

ask?.addEventListener("submit", (event) => {
  event.preventDefault();
  const text = ask.elements.text.value;
  if (running.size || !text.trim()) return;
  ask.elements.text.value = "";
  for (const lane of chosen()) lane.messages.push({ role: "user", content: text });
  const places = turn(text);
  lanes.forEach((lane, at) => answer(lane, places[at]));
});
ask?.elements.text.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) ask.requestSubmit();
});
params?.addEventListener("input", (event) => {
  const shown = params.querySelector(`output[for="${event.target.id}"]`);
  if (shown) shown.textContent = event.target.value;
});
document.querySelector("[data-new]")?.addEventListener("click", () => {
  for (const control of running) control.abort();
  lanes = [];
  talk?.replaceChildren();
});

/** Return what was asked last, with what is chosen now, for another program. */
function request() {
  const lane = lanes[0] ? { ...lanes[0], model: new FormData(params).get("model") } : chosen()[0];
  const asked = lane.messages.filter((one, at, all) => at < all.length - 1 || one.role !== "assistant");
  return body({ ...lane, messages: asked.length ? asked : [{ role: "user", content: "Hi" }] });
}

const AS = {
  curl(said, asksKey) {
    const key = asksKey ? ' -H "Authorization: Bearer $SHELF_API_KEY"' : "";
    return `curl ${location.origin}/v1/chat/completions${key} -H 'Content-Type: application/json' -d '${JSON.stringify(said).replaceAll("'", "'\\''")}'`;
  },
  Python(said, asksKey) {
    const key = asksKey ? 'os.environ["SHELF_API_KEY"]' : '"none"';
    const words = Object.entries(said).map(([name, value]) => `    ${name}=${JSON.stringify(value)},`);
    return `${asksKey ? "import os\n\n" : ""}from openai import OpenAI\n\nclient = OpenAI(base_url="${location.origin}/v1", api_key=${key})\nanswer = client.chat.completions.create(\n${words.join("\n")}\n)\nprint(answer.choices[0].message.content)\n`;
  },
};
for (const button of document.querySelectorAll("[data-as]")) {
  button.addEventListener("click", async () => {
    const text = AS[button.dataset.as](request(), "key" in button.dataset);
    await navigator.clipboard.writeText(text).then(() => tell(`Copied as ${button.dataset.as}.`), () => tell("Copying isn’t allowed here."));
  });
}
