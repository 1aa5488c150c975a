// Charts of the last two minutes, with outages behind the lines.

import { drawing, element, set } from "./elements.js";

const WINDOW = 120; // seconds that the charts show

// The bucket of a histogram that a share of the counted lie in or below, by its upper bound.
export function quantile(share, counts, bounds) {
  const total = counts.reduce((all, each) => all + each, 0);
  if (!total) return null;
  let left = share * total;
  const place = counts.findIndex((each) => (left -= each) <= 0);
  return bounds[place] ?? Infinity;
}

// From 0 to a number above all values that is easy to read, and so is its half.
export function linear(scale, least) {
  return (values) => {
    const wanted = Math.max(...values, least);
    const unit = 10 ** Math.floor(Math.log10(wanted));
    const top = [1, 2, 4, 6, 8, 10].map((each) => each * unit).find((each) => each >= wanted * 0.9999);
    return { share: (value) => value / top, marks: [scale(top), scale(top / 2), "0"] };
  };
}

// From *low* to *high*, each step so many times the one before: one late reply flattens no other.
export function logarithmic(scale, low, high) {
  const share = (value) => Math.min(1, Math.max(0, Math.log(value / low) / Math.log(high / low)));
  return () => ({ share, marks: [high, Math.sqrt(low * high), low].map(scale) });
}

export class Chart {
  constructor(title, lines, { shown, axis }) {
    Object.assign(this, { title, lines, shown, axis, points: [] });
    this.svg = drawing("svg", {
      viewBox: "0 0 600 120", preserveAspectRatio: "none", role: "img", "aria-label": `${title}, nothing yet` });
    this.values = lines.map(() => element("b", {}, "–"));
    this.marks = axis([]).marks.map((each) => element("span", {}, each));
    const legend = lines.map((each, line) => element("span", { class: line ? "key-two" : "key-one" }, element("span", { class: "key" }, each), this.values[line]));
    const times = ["2 min ago", "1 min ago", "now"].map((each) => element("span", {}, each));
    this.node = element("section", { class: "card chart" },
      element("h3", {}, title), element("p", { class: "legend" }, ...legend),
      element("div", { class: "plot" },
        element("div", { class: "scale", "aria-hidden": "true" }, ...this.marks), this.svg,
        element("div", { class: "axis", "aria-hidden": "true" }, ...times)));
  }

  // A value is null where there is none.
  add(at, serving, values) {
    this.points.push({ at, serving, values });
    while (this.points[0].at < at - WINDOW) this.points.shift();
    this.draw();
  }

  draw() {
    const { points } = this;
    const now = points.at(-1).at;
    const { share, marks } = this.axis(points.flatMap((each) => each.values.filter((value) => value !== null)));
    const x = (at) => (600 * (WINDOW - (now - at))) / WINDOW;
    const y = (value) => 119 - 118 * share(value);
    const parts = [1, 60, 119].map((at) => drawing("line", { class: "grid", x1: 0, x2: 600, y1: at, y2: at }));
    this.lines.forEach((_, line) => {
      const kind = line ? "two" : "one";
      const { d, dots } = path(points, line, x, y);
      if (d) parts.push(drawing("path", { class: kind, d }));
      if (dots) parts.push(drawing("path", { class: `${kind} dot`, d: dots }));
    });
    this.svg.replaceChildren(...outages(points, x), ...parts);
    marks.forEach((each, place) => set(this.marks[place], each));
    const said = this.lines.map((name, line) => {
      const shown = this.shown(points.at(-1).values[line]);
      set(this.values[line], shown);
      return `${name} ${shown}`;
    });
    this.svg.setAttribute("aria-label", `${this.title}, the last two minutes, up to ${marks[0]}. Now: ${said.join(", ")}`);
  }
}

// The line through what follows within five seconds, and a dot for what nothing does.
function path(points, line, x, y) {
  const runs = [];
  let last = null;
  for (const { at, values } of points) {
    if (values[line] === null) continue;
    if (last === null || at - last >= 5) runs.push([]);
    runs.at(-1).push(`${x(at).toFixed(1)} ${y(values[line]).toFixed(1)}`);
    last = at;
  }
  const dots = runs.filter((each) => each.length === 1).map(([each]) => `M${each}h.01`);
  const lines = runs.filter((each) => each.length > 1).map((each) => `M${each.join("L")}`);
  return { d: lines.join(""), dots: dots.join("") };
}

function outages(points, x) {
  const spans = [];
  points.forEach((each, place) => {
    if (each.serving || !place) return;
    const from = points[place - 1].at;
    if (spans.length && spans.at(-1).to === from) spans.at(-1).to = each.at;
    else spans.push({ from, to: each.at });
  });
  return spans.map(({ from, to }) => drawing("rect", {
    class: "bad", x: x(from), y: 0, width: Math.max(2, x(to) - x(from)), height: 120 }));
}
