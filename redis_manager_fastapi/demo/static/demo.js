// What visitors meet, the buttons, and the console under them.

import { watch } from "../../redis/static/console.js";

const by = (id) => document.getElementById(id);
const said = by("said");

function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const NAMES = { 200: "200 answered", 503: "503 Redis is away", 504: "504 too late", 500: "500 a bug", 0: "no answer" };

function ask(method, path) {
  return fetch(path, { method, headers: { "X-Demo": "1" } }).catch(() => {});
}

function drawActs({ acts }) {
  by("acts").replaceChildren(...acts.map(([name, label, does]) => {
    const button = element("button", { type: "button", "data-name": name },
      element("strong", {}, label), element("span", {}, does));
    button.addEventListener("click", () => ask("POST", `demo/acts/${name}`));
    return button;
  }));
}

const tiles = new Map();

function tile(name, value, small) {
  let place = tiles.get(name);
  if (!place) {
    place = element("dd", {});
    tiles.set(name, place);
    by("statuses").append(element("div", { class: "tile" }, element("dt", {}, name), place));
  }
  const shown = `${value} ${small}`;
  if (place.dataset.shown === shown) return;
  place.dataset.shown = shown;
  place.replaceChildren(`${value} `, element("small", {}, small));
}

function verdict(report) {
  const { counted, told, unsure } = report;
  const line = by("verdict");
  if (counted === null) {
    line.className = "";
    line.textContent = `Visitors were told of ${told} hits; Redis cannot be asked now.`;
    return;
  }
  // Those on their way are counted and not told of yet.
  const doubled = counted > told + unsure + report.waiting;
  const may = unsure ? ` (${unsure} more may have been counted, and were told so)` : "";
  const facts = `Redis counted ${counted}, visitors were told of ${told}${may}`;
  line.className = doubled ? "bad" : "good";
  if (doubled) line.textContent = `${facts}: some were counted twice.`;
  else if (counted >= told) line.textContent = `${facts}: none lost, none doubled.`;
  else {
    line.textContent = `${facts}: none doubled. Redis itself lost ${told - counted} that it had `
      + "confirmed, because a new primary lacks what the old one had not replicated.";
  }
}

function drawReport(report) {
  for (const status of [200, 503, 504, 500, 0]) {
    const total = report.total[status] ?? 0;
    if (total || status === 200 || status === 503) {
      tile(NAMES[status], report.now[status] ?? 0, `in the last second, ${total} in all`);
    }
  }
  tile("Slowest", `${(report.slowest * 1000).toFixed(0)} ms`, "in the last second");
  tile("Waiting", report.waiting, "visitors");
  verdict(report);
  by("answers").replaceChildren(...report.last.map(([status, seconds, code]) => element("li", {},
    element("span", { class: `status s${status}` }, `${status || "–"}`),
    element("span", {}, `${(seconds * 1000).toFixed(1)} ms`),
    element("span", {}, code))));
  const down = Object.entries(report.alive).filter(([, runs]) => !runs).map(([name]) => name);
  by("alive").textContent = down.length ? `Down: ${down.join(", ")}` : "Every process runs.";
  if (!by("rate").matches(":active")) {
    by("rate").value = report.rate;
    by("shown").textContent = report.rate;
  }
}

by("rate").addEventListener("input", (event) => {
  by("shown").textContent = event.target.value;
  ask("PUT", `demo/rate?visits=${event.target.value}`);
});

const source = new EventSource("demo/events");
source.addEventListener("acts", (event) => drawActs(JSON.parse(event.data)));
source.addEventListener("report", (event) => drawReport(JSON.parse(event.data)));
watch(by("watched"), said, "redis/events");
