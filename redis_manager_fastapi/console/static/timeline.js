// The states of the last five minutes, as coloured stretches of a line.

import { duration, element, set } from "./elements.js";

const LIFE = 300; // seconds that it shows

// Neither ready nor not: it opens, or closes, because it was told to.
const NEITHER = new Set(["unknown", "new", "starting", "draining", "closed"]);

export class Timeline {
  constructor() {
    this.lives = [];
    this.line = element("div", { class: "life", role: "img" });
    this.share = element("span");
    const keys = ["ready", "suspect", "down"].map((each) => element("span", { class: "key", "data-state": each }, each));
    const times = ["5 min ago", "4", "3", "2", "1", "now"].map((each) => element("span", {}, each));
    this.node = element("section", { class: "card timeline" }, element("h3", {}, "The last five minutes"),
      element("p", { class: "legend" }, this.share, ...keys), this.line,
      element("div", { class: "axis", "aria-hidden": "true" }, ...times));
  }

  get since() {
    return this.lives.at(-1)?.at;
  }

  // What the app remembers takes the place of what was seen of the same time. Where another
  // process answers, nobody knows what was between it and when the other one was seen last.
  recall(states, seen) {
    if (!states.length) return;
    this.lives = this.lives.filter((each) => each.at < states[0].at);
    if (seen && seen < states[0].at) this.change("unknown", seen);
    for (const each of states) this.change(each.state, each.at);
  }

  // A Cluster that opens is not suspect because not all of its nodes have answered yet.
  change(state, at) {
    const last = this.lives.at(-1)?.state;
    if (last !== state && !(last === "starting" && state === "suspect")) this.lives.push({ state, at });
  }

  draw(now) {
    while (this.lives.length > 1 && this.lives[1].at < now - LIFE) this.lives.shift();
    const begin = Math.max(this.lives[0].at, now - LIFE);
    const known = this.lives.map((each, place) => {
      const ends = this.lives[place + 1]?.at ?? now;
      return { state: each.state, span: Math.max(0, ends - Math.max(each.at, begin)) };
    });
    const drawn = [{ state: "unknown", span: begin - (now - LIFE) }, ...known].map((each) => {
      const made = element("span", { "data-state": each.state });
      if (each.state !== "unknown") made.title = `${each.state} for ${duration(each.span)}`;
      made.style.flexGrow = each.span;
      return made;
    });
    this.line.replaceChildren(...drawn);
    this.line.setAttribute("aria-label", known.slice(-6).map((each) => `${each.state} for ${duration(each.span)}`).join(", then "));
    const total = (states) => states.reduce((all, each) => all + each.span, 0);
    const seen = total(known.filter((each) => !NEITHER.has(each.state)));
    const ready = total(known.filter((each) => each.state === "ready"));
    set(this.share, seen ? `ready for ${(Math.floor((1000 * ready) / seen) / 10).toFixed(1)} %` : "");
  }
}
