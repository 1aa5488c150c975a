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

const NAMES = { 200: "200 answered", 503: "503 Redis is away", 504: "504 too late", 500: "500 a bug", 0: "no answer" };
const LASTING = new Set(["kill", "pause", "fill", "cut", "slow"]);

function ask(method, path) {
  return fetch(path, { method, headers: { "X-Demo": "1" } }).catch(() => {});
}

const buttons = new Map();

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
    button.addEventListener("click", () => ask("POST", `demo/acts/${name}`));
    buttons.set(name, button);
    return button;
  }));
}

function drawStage({ alive, broken, failure }) {
  for (const [name, button] of buttons) {
    const on = String(broken.includes(name));
    if (LASTING.has(name) || on === "true") button.setAttribute("aria-pressed", on);
    else button.removeAttribute("aria-pressed");
  }
  const down = Object.entries(alive).filter(([, runs]) => !runs).map(([name]) => name);
  const state = down.length ? `Down: ${down.join(", ")}.` : "Every process runs.";
  set(by("alive"), failure ? `${state} Not done: ${failure}.` : state);
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

function verdict(report) {
  const { counted, told, unsure, waiting } = report;
  const line = by("verdict");
  if (counted === null) {
    say("", "Redis cannot be asked now.", `Visitors have been told of ${whole.format(told)} hits.`);
    return;
  }
  const may = unsure ? `, and ${whole.format(unsure)} more that they may have been counted` : "";
  const facts = `Redis counted ${whole.format(counted)} hits. Visitors were told of ${whole.format(told)}${may}.`;
  // Those on their way are counted and not told of yet.
  if (counted > told + unsure + waiting) say("bad", "Some were counted twice.", facts);
  else if (counted >= told) say("good", "None lost, none doubled.", facts);
  else {
    say("less", `None doubled, ${whole.format(told - counted)} lost by Redis.`,
      `${facts} The new primary lacks what the old one had confirmed and not replicated.`);
  }

  function say(kind, short, long) {
    if (line.className !== kind) line.className = kind;
    if (line.textContent !== short + long) line.replaceChildren(element("strong", {}, short), long);
  }
}

function drawReport(report) {
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
