// What visitors get, the buttons, and the console beside them.

import { watch } from "../../redis/static/console.js";

const by = (id) => document.getElementById(id);
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function set(node, value) {
  if (node.textContent !== value) node.textContent = value;
}

const many = (number, word) => `${whole.format(number)} ${word}${number === 1 ? "" : "s"}`;

const NAMES = { 200: "200 answered", 503: "503 Redis is away", 504: "504 too late", 500: "500 a bug", 0: "no answer" };
const LASTING = new Set(["kill", "pause", "fill", "cut", "slow"]);
const RESTORE = "restart";
const SILENCE = 3500; // milliseconds without a report after which the app is taken to be gone
const REFUSED = 4000; // milliseconds for which a refused press is said
const GONE = "The app does not answer: nothing can be done to its Redis.";

async function ask(method, path) {
  try {
    return await fetch(path, { method, headers: { "X-Demo": "1" }, signal: AbortSignal.timeout(SILENCE) });
  } catch {
    leave();
    return null;
  }
}

// What of the page the app's own reports feed: grey, and without effect, while there are none.
let gone = false;
let heard = Date.now();

function leave() {
  gone = true;
  by("beside").classList.add("stale");
  by("rate").setAttribute("aria-disabled", "true");
  set(by("alive"), GONE);
  allow();
}

function come() {
  heard = Date.now();
  if (!gone) return;
  gone = false;
  by("beside").classList.remove("stale");
  by("rate").removeAttribute("aria-disabled");
  allow();
}

setInterval(() => {
  if (source && !gone && Date.now() - heard > SILENCE) leave();
}, 500);

const buttons = new Map();
let doing = "";

// One thing is done at a time, and Restore ends it. A button that is not to be pressed keeps the
// focus, so it is not disabled to the browser.
function allow() {
  for (const [name, button] of buttons) {
    const off = gone || (doing !== "" && (name !== RESTORE || doing === RESTORE));
    if (off) button.setAttribute("aria-disabled", "true");
    else button.removeAttribute("aria-disabled");
  }
}

// Why a press had no effect, for as long as it takes to read it.
let refused = "";
let refusedAt = 0;
let stage = null;

function refuse(reason) {
  refused = reason;
  refusedAt = Date.now();
  if (stage) drawStage(stage);
}

async function press(name, button) {
  if (button.getAttribute("aria-disabled") === "true") return;
  const answer = await ask("POST", `demo/acts/${name}`);
  if (!answer) return;
  const told = await answer.json();
  if (answer.ok) {
    refused = "";
    drawStage(told);
  } else refuse(told.detail);
}

// After a restart of the demo the buttons are drawn again, if there are others.
function drawActs({ acts, most }) {
  by("rate").max = most;
  const drawn = JSON.stringify(acts);
  if (by("acts").dataset.drawn === drawn) return;
  by("acts").dataset.drawn = drawn;
  buttons.clear();
  by("acts").replaceChildren(...acts.map(([name, label, does]) => {
    const button = element("button", { type: "button", "data-name": name },
      element("strong", {}, label), element("span", {}, does));
    button.addEventListener("click", () => press(name, button));
    buttons.set(name, button);
    return button;
  }));
}

function drawStage(told) {
  stage = told;
  const { members, broken, failure } = told;
  doing = told.doing;
  if (Date.now() - refusedAt > REFUSED) refused = "";
  const not = refused || failure;
  for (const [name, button] of buttons) {
    const on = String(broken.includes(name) || doing === name);
    if (LASTING.has(name) || on === "true") button.setAttribute("aria-pressed", on);
    else button.removeAttribute("aria-pressed");
  }
  allow();
  const wrong = {};
  for (const [name, what] of Object.entries(members)) if (what) (wrong[what] ??= []).push(name);
  const state = Object.entries(wrong).map(([what, names]) => `${what}: ${names.join(", ")}.`).join(" ");
  set(by("alive"), `${state || "Every process runs."}${not ? ` Not done: ${not}.` : ""}`);
}

const tiles = new Map();

function tile(name, kind, value, small) {
  let place = tiles.get(name);
  if (!place) {
    place = [element("span", {}), element("small", {})];
    tiles.set(name, place);
    by("statuses").append(element("div", { class: "tile" }, element("dt", {}, name), element("dd", {}, ...place)));
  }
  if (place[0].className !== kind) place[0].className = kind;
  set(place[0], value);
  set(place[1], small);
}

function verdict({ found, told, unsure }) {
  const line = by("verdict");
  if (found === null) {
    say("", "Redis cannot be asked now.", `Visitors have been told of ${many(told, "hit")}.`);
    return;
  }
  const { counted, untold, lost, coming } = found;
  const others = coming ? `, and ${whole.format(coming)} more on their way` : "";
  const doubt = unsure ? `; for ${whole.format(unsure)} more the reply was lost` : "";
  const facts = `Redis counted ${many(counted, "hit")}. Visitors had been told of ${whole.format(found.told)}${others}${doubt}.`;
  if (untold > unsure) say("bad", "Some were counted twice.", facts);
  else if (lost) {
    say("less", `${whole.format(lost)} lost by Redis.`,
      `${facts} Redis confirmed those, and the server that took over had not got them yet.`);
  } else if (untold) say("good", `None lost, ${whole.format(untold)} counted without an answer.`, facts);
  else say("good", "None lost, none doubled.", facts);

  function say(kind, short, long) {
    if (line.className !== kind) line.className = kind;
    if (line.textContent !== short + long) line.replaceChildren(element("strong", {}, short), long);
  }
}

function drawReport(report) {
  come();
  drawStage(report);
  for (const status of [200, 503, 504, 500, 0]) {
    const total = report.total[status] ?? 0;
    if (total || status === 200 || status === 503) {
      const now = report.now[status] ?? 0;
      tile(NAMES[status], now ? `s${status}` : "", `${whole.format(now)} /s`, `${whole.format(total)} in all`);
    }
  }
  tile("Slowest", "", `${whole.format(report.slowest * 1000)} ms`, "in the last second");
  tile("Waiting", "", whole.format(report.waiting), "visitors");
  verdict(report);
  by("answers").replaceChildren(...report.last.map(([status, seconds, code]) => element("li", {},
    element("span", { class: `status s${status}` }, `${status || "–"}`),
    element("span", {}, `${(seconds * 1000).toFixed(1)} ms`),
    element("span", {}, code))));
  if (Date.now() - moved > 1500) showRate(report.rate);
}

let moved = 0;

function showRate(rate) {
  if (by("rate").value !== String(rate)) by("rate").value = rate;
  set(by("shown"), String(rate));
}

by("rate").addEventListener("input", (event) => {
  if (gone) {
    event.target.value = by("shown").textContent;
    return;
  }
  moved = Date.now();
  set(by("shown"), event.target.value);
  ask("PUT", `demo/rate?visits=${event.target.value}`);
});

// A browser opens few connections to one host: pages in the background keep none for this.
let source = null;

function listen() {
  source?.close();
  source = null;
  if (document.hidden) return;
  heard = Date.now();
  source = new EventSource("demo/events");
  source.addEventListener("acts", (event) => drawActs(JSON.parse(event.data)));
  source.addEventListener("report", (event) => drawReport(JSON.parse(event.data)));
  source.addEventListener("error", ({ target }) => {
    if (target.readyState === EventSource.CLOSED && target === source) setTimeout(listen, 2000);
  });
}

document.addEventListener("visibilitychange", listen);
listen();
watch(by("watched"), by("said"), "redis/events");
