// Draws what the app reports about its Redis, once a second and at each change.

import { duration, element, set } from "./elements.js";
import { Instance } from "./instance.js";
import { meanings } from "./parts.js";

const SILENCE = 3500; // milliseconds without a report after which the page says so
const HIDDEN = 60000; // milliseconds in the background after which the page stops listening
const FIRST = 2000; // milliseconds before the first of further tries, each twice as late as the last
const LAST = 60000; // and as late at most

const FULL = "Waiting for the app. A browser has few connections to it: close other tabs of this page.";
const AGAIN = "No news from the app. Connecting again.";
const OUT = "The app does not let this page in. Reload to sign in.";
const GONE = "The app cannot be reached. Trying again.";

// Stays in sight: where each of several instances stands, with a link to it, and how old that is.
class Bar {
  constructor() {
    this.links = element("nav", { class: "summary", "aria-label": "Instances" });
    this.late = element("p", { class: "late" });
    this.node = element("div", { class: "bar" }, this.links, this.late);
    this.states = new Map();
    this.late.hidden = this.links.hidden = true;
    new ResizeObserver(() => this.keep()).observe(this.node);
  }

  // What a link leads to, or the Tab key, is not to land beneath it.
  keep() {
    document.documentElement.style.scrollPaddingTop = `${this.node.offsetHeight + 10}px`;
  }

  begin(instances) {
    this.links.hidden = instances.length < 2;
    this.states = new Map(instances.map((each) => [each.limits.name, element("span")]));
    this.links.replaceChildren(...instances.map((each) => {
      const { name } = each.limits;
      const link = element("a", { href: `#${each.id}`, title: name }, element("b", {}, name), " ", this.states.get(name));
      link.addEventListener("click", () => each.heading.focus({ preventScroll: true }));
      return link;
    }));
  }

  show(name, state) {
    const place = this.states.get(name);
    if (!place) return;
    set(place, state);
    if (place.dataset.state !== state) place.dataset.state = state;
  }

  tell(words) {
    this.late.hidden = !words;
    set(this.late, words);
  }
}

class Console {
  constructor(place, said, address) {
    Object.assign(this, { place, said, address });
    this.title = document.title;
    this.instances = new Map();
    this.bar = new Bar();
    this.meanings = meanings();
    this.heard = Date.now();
    this.pause = FIRST;
    this.connect();
    setInterval(() => this.check(), 1000);
    document.addEventListener("visibilitychange", () => this.turn());
  }

  connect() {
    this.source = new EventSource(this.address);
    this.source.addEventListener("instances", (event) => this.begin(JSON.parse(event.data)));
    this.source.addEventListener("look", (event) => this.look(JSON.parse(event.data)));
    // A browser gives up for good where the answer was no stream of events.
    this.source.addEventListener("error", () => {
      if (this.source.readyState === EventSource.CLOSED) this.refused();
    });
  }

  async refused() {
    const { source } = this;
    this.again = setTimeout(() => this.connect(), this.pause);
    this.pause = Math.min(2 * this.pause, LAST);
    const words = await this.ask();
    if (source === this.source) this.away(words);
  }

  async ask() {
    try {
      const answer = await fetch(this.address, { method: "HEAD", cache: "no-store" });
      if (answer.status === 401 || answer.status === 403 || answer.redirected) return OUT;
      return answer.ok ? AGAIN : `The app answers ${answer.status}. Trying again.`;
    } catch {
      return GONE;
    }
  }

  begin(all) {
    const known = this.instances;
    const first = !known.size;
    this.instances = new Map(all.map((limits) => {
      const instance = known.get(limits.name) ?? new Instance(limits, this.number = (this.number ?? 0) + 1);
      instance.begin(limits);
      return [limits.name, instance];
    }));
    const instances = [...this.instances.values()];
    const nodes = [this.bar.node, ...instances.map((each) => each.node), this.meanings];
    this.bar.begin(instances);
    if (nodes.some((each, at) => this.place.children[at] !== each) || this.place.children.length > nodes.length) {
      this.place.replaceChildren(...nodes);
    }
    // The address named what was not here yet.
    this.sought = first ? instances.find((each) => location.hash === `#${each.id}`) : null;
  }

  look(looks) {
    this.heard = Date.now();
    this.pause = FIRST;
    for (const each of looks) {
      this.instances.get(each.name)?.look(each);
      this.bar.show(each.name, each.state);
    }
    this.live();
    const bad = looks.filter((each) => each.state !== "ready").map((each) => `${each.name} ${each.state}`);
    const title = bad.length ? `${bad.join(", ")} · ${this.title}` : this.title;
    if (document.title !== title) document.title = title;
    if (!this.sought) return;
    this.bar.keep();
    this.sought.heading.focus({ preventScroll: true });
    this.sought.heading.scrollIntoView();
    this.sought = null;
  }

  live() {
    this.grey(false);
    this.said.classList.remove("away");
    set(this.said, "Live: updated every second");
    this.bar.tell("");
  }

  away(words) {
    this.grey(true);
    this.said.classList.add("away");
    set(this.said, words);
    this.age();
    const title = `no news · ${this.title}`;
    if (document.title !== title) document.title = title;
  }

  grey(stale) {
    for (const each of this.instances.values()) each.node.classList.toggle("stale", stale);
    this.bar.links.classList.toggle("stale", stale);
  }

  // Grows each second, and so is not announced: what is, stands in `said`.
  age() {
    this.bar.tell(`No news from the app for ${duration((Date.now() - this.heard) / 1000)}`);
  }

  check() {
    const late = Date.now() - this.heard > SILENCE;
    const refused = this.source.readyState === EventSource.CLOSED;
    if (late && !refused) this.away(this.instances.size ? AGAIN : FULL);
    else if (late && this.said.classList.contains("away")) this.age();
  }

  turn() {
    clearTimeout(this.leaving);
    if (document.hidden) {
      this.leaving = setTimeout(() => {
        clearTimeout(this.again);
        this.source.close();
      }, HIDDEN);
    } else if (this.source.readyState === EventSource.CLOSED) {
      clearTimeout(this.again);
      this.heard = Date.now();
      this.connect();
    }
  }
}

// Shows every instance of the app in *place*, and in *said* whether the app answers.
export function watch(place, said, address) {
  return new Console(place, said, address);
}

const place = document.getElementById("console");
if (place) watch(place, document.getElementById("feed"), place.dataset.events);
