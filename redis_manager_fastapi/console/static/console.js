// Draws what the app reports about its Redis, once a second and at each change.

const WINDOW = 120; // seconds that the charts show
const LIFE = 300; // seconds that the timeline shows
const SILENCE = 3500; // milliseconds without a report after which the page says so
const HIDDEN = 60000; // milliseconds in the background after which the page stops listening
const SLOTS = 16384;

const text = (value) => document.createTextNode(value);

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "class") made.className = value;
    else made.setAttribute(key, value);
  }
  made.append(...children.map((each) => (typeof each === "string" ? text(each) : each)));
  return made;
}

function drawing(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const rounded = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

const count = (value) => (value < 1e6 ? whole : compact).format(value);
const short = (value) => (value < 1e4 ? whole : compact).format(value);
const rate = (value) => (value < 10 ? rounded : whole).format(value ?? 0);

function seconds(value) {
  if (value === null) return "–";
  if (!value) return "0 s";
  if (value < 0.001) return "< 1 ms";
  if (value < 1) return `${(value * 1000).toFixed(value < 0.01 ? 1 : 0)} ms`;
  return `${value.toFixed(value < 10 ? 2 : 1)} s`;
}

function mark(value) {
  return value < 1 ? `${rounded.format(value * 1000)} ms` : `${rounded.format(value)} s`;
}

function clock(at) {
  return new Date(at * 1000).toTimeString().slice(0, 8);
}

function duration(span) {
  if (span < 60) return `${Math.max(0, span).toFixed(0)} s`;
  if (span < 3600) return `${Math.floor(span / 60)} min ${Math.floor(span % 60)} s`;
  if (span < 172800) return `${Math.floor(span / 3600)} h ${Math.floor((span % 3600) / 60)} min`;
  return `${Math.floor(span / 86400)} days`;
}

function set(node, value) {
  if (node.textContent !== value) node.textContent = value;
}

// The value below which the given share of the counted lie, by a histogram's buckets.
function quantile(share, counts, bounds) {
  const total = counts.reduce((sum, each) => sum + each, 0);
  if (!total) return null;
  let left = share * total;
  for (let place = 0; place < counts.length; place += 1) {
    if (counts[place] && left <= counts[place]) {
      const low = place ? bounds[place - 1] : 0;
      const high = place < bounds.length ? bounds[place] : bounds[bounds.length - 1];
      return low + (high - low) * (left / counts[place]);
    }
    left -= counts[place];
  }
  return bounds[bounds.length - 1];
}

// The next number above that is easy to read, and so is its half.
function roundUp(value, least) {
  const wanted = Math.max(value, least);
  const unit = 10 ** Math.floor(Math.log10(wanted));
  return [1, 2, 4, 6, 8, 10].map((each) => each * unit).find((each) => each >= wanted * 0.9999);
}

// Makes what scrolls a stop for the Tab key, and what does not, none.
function reachable(node) {
  const scrolls = node.scrollHeight > node.clientHeight + 1 || node.scrollWidth > node.clientWidth + 1;
  if (scrolls !== node.hasAttribute("tabindex")) node.toggleAttribute("tabindex", scrolls);
  if (scrolls && node.tabIndex !== 0) node.tabIndex = 0;
}

class Chart {
  constructor(title, lines, { shown, scale = shown, least = 1 }) {
    Object.assign(this, { title, lines, shown, scale, least });
    this.svg = drawing("svg", {
      viewBox: "0 0 600 120", preserveAspectRatio: "none", role: "img", "aria-label": `${title}, nothing yet` });
    this.values = lines.map(() => element("b", {}, "–"));
    this.marks = [element("span"), element("span"), element("span", {}, "0")];
    const legend = lines.map((each, line) => element("span", { class: line ? "key-two" : "key-one" }, element("span", { class: "key" }, each), this.values[line]));
    const times = ["2 min ago", "1 min ago", "now"].map((each) => element("span", {}, each));
    this.node = element("section", { class: "card chart" },
      element("h3", {}, title), element("p", { class: "legend" }, ...legend),
      element("div", { class: "plot" },
        element("div", { class: "scale", "aria-hidden": "true" }, ...this.marks), this.svg,
        element("div", { class: "axis", "aria-hidden": "true" }, ...times)));
  }

  draw(points) {
    const now = points.at(-1).at;
    const x = (at) => (600 * (WINDOW - (now - at))) / WINDOW;
    const values = points.flatMap((each) => each.values.filter((value) => value !== null));
    const top = roundUp(Math.max(...values, 0), this.least);
    const y = (value) => (119 - (118 * value) / top).toFixed(1);
    const parts = [1, 60, 119].map((at) => drawing("line", { class: "grid", x1: 0, x2: 600, y1: at, y2: at }));
    this.lines.forEach((_, line) => {
      const d = path(points, line, x, y);
      if (d) parts.push(drawing("path", { class: line ? "two" : "one", d }));
    });
    this.svg.replaceChildren(...outages(points, x), ...parts);
    set(this.marks[0], this.scale(top));
    set(this.marks[1], this.scale(top / 2));
    const said = this.lines.map((name, line) => {
      const shown = this.shown(points.at(-1).values[line]);
      set(this.values[line], shown);
      return `${name} ${shown}`;
    });
    this.svg.setAttribute("aria-label", `${this.title}, the last two minutes, up to ${this.scale(top)}. Now: ${said.join(", ")}`);
  }
}

function path(points, line, x, y) {
  let d = "";
  let last = null;
  for (const each of points) {
    const value = each.values[line];
    if (value === null) last = null;
    else {
      d += `${last !== null && each.at - last < 5 ? "L" : "M"}${x(each.at).toFixed(1)} ${y(value)}`;
      last = each.at;
    }
  }
  return d;
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

class Tiles {
  constructor() {
    this.node = element("dl", { class: "tiles" });
    this.values = new Map();
  }

  show(name, value, small, bad = false) {
    let place = this.values.get(name);
    if (!place) {
      place = { value: element("span"), small: element("small") };
      this.values.set(name, place);
      this.node.append(element("div", { class: "tile" }, element("dt", {}, name), element("dd", {}, place.value, place.small)));
    }
    set(place.value, value);
    set(place.small, small);
    place.value.className = bad ? "bad-text" : "";
  }
}

class Table {
  constructor(caption, columns, kind = "card") {
    this.columns = columns;
    this.body = element("tbody");
    const heads = columns.map((each) => element("th", { scope: "col", class: each.number ? "number" : "" }, each.name));
    this.scroll = element("div", { class: "scroll", role: "group", "aria-label": caption },
      element("table", { "aria-label": caption }, element("thead", {}, element("tr", {}, ...heads)), this.body));
    this.node = element("section", { class: kind }, element("h3", {}, caption), this.scroll);
    this.node.hidden = true;
  }

  // Only what differs is touched, so that a selection and the place scrolled to stay.
  show(rows) {
    this.node.hidden = !rows.length;
    const drawn = JSON.stringify(rows);
    if (drawn === this.drawn) return;
    this.drawn = drawn;
    while (this.body.rows.length > rows.length) this.body.lastElementChild.remove();
    while (this.body.rows.length < rows.length) {
      this.body.append(element("tr", {}, ...this.columns.map(() => element("td"))));
    }
    rows.forEach((row, at) => row.forEach((cell, place) => this.fill(this.body.rows[at].cells[place], cell, place)));
    reachable(this.scroll);
  }

  fill(node, cell, place) {
    const bad = typeof cell === "object" && cell !== null;
    const shown = bad ? cell.bad : cell ?? "–";
    const kind = `${this.columns[place].number ? "number" : ""} ${bad ? "bad-text" : ""}`.trim();
    if (node.className !== kind) node.className = kind;
    set(node, typeof shown === "number" ? whole.format(shown) : shown);
  }
}

// The states of the last five minutes, as coloured stretches of a line.
class Timeline {
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

  // What the app remembers takes the place of what was seen of the same time; what lies between
  // the last sight of another process and this one's beginning, nobody knows.
  recall(states, seen) {
    if (!states.length) return;
    this.lives = this.lives.filter((each) => each.at < states[0].at);
    if (this.lives.length && seen < states[0].at) this.change("unknown", seen);
    for (const each of states) this.change(each.state, each.at);
  }

  change(state, at) {
    if (this.lives.at(-1)?.state !== state) this.lives.push({ state, at });
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
    const seen = known.filter((each) => each.state !== "unknown").reduce((sum, each) => sum + each.span, 0);
    const ready = known.filter((each) => each.state === "ready").reduce((sum, each) => sum + each.span, 0);
    set(this.share, seen ? `ready for ${(Math.floor((1000 * ready) / seen) / 10).toFixed(1)} %` : "");
  }
}

class Instance {
  constructor(limits) {
    this.points = [];
    this.before = null;
    this.newest = 0;
    this.id = `name-${limits.name}`;
    this.state = element("span", { class: "state" });
    this.words = element("p", { class: "words" });
    this.about = element("p", { class: "about" });
    this.announced = element("p", { class: "unseen", role: "status" });
    this.timeline = new Timeline();
    this.tiles = new Tiles();
    this.rates = new Chart("Commands per second", ["answered", "errors"], { shown: rate, scale: short, least: 10 });
    this.times = new Chart("Time to a reply", ["p50", "p99"], { shown: seconds, scale: mark, least: 0.01 });
    this.queue = new Chart("Not answered yet", ["in flight", "waiting"], { shown: rate, scale: short, least: 10 });
    this.news = element("ol", { class: "news", "aria-label": `What happened to ${limits.name}, newest first` });
    this.makeTables();
    this.node = element("section", { class: "instance", "aria-labelledby": this.id },
      element("header", {}, element("h2", { id: this.id }, limits.name), this.state, this.words, this.about),
      this.announced, this.timeline.node,
      element("div", { class: "charts" }, this.rates.node, this.times.node, this.queue.node),
      this.tiles.node,
      element("div", { class: "cards" }, this.map, this.shards.node,
        element("section", { class: "card" }, element("h3", {}, "What happened"), this.news),
        this.errors.node, this.listening.node, this.consumers.node, this.workers.node, this.cache.node));
    this.begin(limits);
  }

  makeTables() {
    const number = true;
    this.errors = new Table("Errors that callers met", [{ name: "Code" }, { name: "Since the start", number }]);
    this.consumers = new Table("Stream consumers", [
      { name: "Stream" }, { name: "Group" }, { name: "Lag", number }, { name: "Pending", number },
      { name: "In hand", number }, { name: "Handled", number }, { name: "Failed", number },
      { name: "Dead-lettered", number }], "card wide");
    this.listening = new Table("Subscriptions and tails", [
      { name: "Listening to" }, { name: "Open", number }, { name: "Received", number },
      { name: "Gaps", number }, { name: "Dropped", number }, { name: "Not heard now" }], "card wide");
    this.workers = new Table("Workers", [
      { name: "Function" }, { name: "State" }, { name: "Restarts", number }, { name: "Last error" }], "card wide");
    this.cache = new Table("Client-side cache", [{ name: "Measure" }, { name: "Value", number }]);
    this.slots = element("div", { class: "slots", role: "img" });
    this.served = element("p", { class: "legend" });
    this.shards = new Table("Shards", [
      { name: "Slots" }, { name: "State" }, { name: "Primary" }, { name: "Replicas", number },
      { name: "Commands", number }], "card wide");
    const numbers = ["0", "4,096", "8,192", "12,288", "16,383"].map((each) => element("span", {}, each));
    this.map = element("section", { class: "card wide" }, element("h3", {}, "Slots"), this.served, this.slots,
      element("div", { class: "axis", "aria-hidden": "true" }, ...numbers));
  }

  // The app's answer began, or began again: what was drawn stays.
  begin(limits) {
    this.limits = limits;
    this.replayed = true;
    this.map.hidden = limits.topology !== "cluster";
    this.timeline.recall(limits.states, this.last);
  }

  look(now) {
    this.tell(now.news);
    this.timeline.change(now.state, now.at);
    this.timeline.draw(now.at);
    this.showState(now);
    this.measure(now);
    this.showNumbers(now);
    this.showParts(now);
    this.last = now.at;
  }

  measure(now) {
    const { before } = this;
    const restarted = before && now.commands < before.commands;
    const span = before ? now.at - before.at : 0;
    if (before && !restarted && span < 0.2) return;
    this.before = now;
    if (!before || restarted) return;
    const counts = now.latency.map((each, place) => each - before.latency[place]);
    const [p50, p99] = [0.5, 0.99].map((share) => quantile(share, counts, this.limits.bounds));
    const errors = Math.max(0, sum(now.errors) - sum(before.errors)) / span;
    this.points.push({
      at: now.at, serving: now.serving, p50, p99, errors, answered: (now.commands - before.commands) / span,
      flying: now.in_flight, waiting: now.waiting });
    while (this.points[0].at < now.at - WINDOW) this.points.shift();
    const draw = (chart, ...names) => chart.draw(this.points.map((each) => ({ ...each, values: names.map((name) => each[name]) })));
    draw(this.rates, "answered", "errors");
    draw(this.times, "p50", "p99");
    draw(this.queue, "flying", "waiting");
  }

  showState(now) {
    const { state } = now;
    const why = now.reason ? `: ${now.reason}` : "";
    if (this.state.dataset.state !== state) {
      // A Cluster as a whole has no news: they are its nodes'.
      if (this.last && this.limits.topology === "cluster") this.announce(`${state}${why}`);
      this.state.dataset.state = state;
      set(this.state, state);
    }
    set(this.words, `for ${duration(now.at - this.timeline.since)}${why}`);
    set(this.about, this.described(now));
  }

  described(now) {
    const { limits } = this;
    const at = now.address ? ` ${now.address}` : "";
    const optional = limits.critical ? "" : ", optional: readiness does not depend on it";
    if (limits.topology === "sentinel") {
      const watch = `${now.sentinels} of ${limits.sentinels} Sentinels`;
      const reads = now.replica ? `, reads from a replica: ${now.replica.state}` : "";
      return `Primary${at} of ${limits.service}, watched by ${watch}${reads}${optional}`;
    }
    if (limits.topology === "cluster") {
      const lost = now.shards.filter((each) => !each.serving).length;
      const shards = `${now.shards.length} ${now.shards.length === 1 ? "shard" : "shards"}`;
      return `Cluster of ${shards}${lost ? `, ${lost} not served` : ""}${optional}`;
    }
    return `One server${at ? `, at${at}` : ""}${optional}`;
  }

  tell(news) {
    const told = this.replayed ? news.filter((each) => each.at > this.newest) : news;
    for (const each of told) {
      const where = each.node ? `${each.node}: ` : "";
      const when = element("time", { datetime: new Date(each.at * 1000).toISOString() }, clock(each.at));
      const item = element("li", {}, when, element("span", {}, `${where}${each.words}`));
      if (each.kind) item.dataset.state = each.kind;
      this.news.prepend(item);
      this.newest = each.at;
      if (!each.state) continue;
      // Another process opened it: nobody saw what was before.
      if (each.state === "starting" && this.last) this.timeline.change("unknown", this.last);
      this.timeline.change(each.state, each.at);
      if (!this.replayed) this.announce(each.words);
    }
    this.replayed = false;
    while (this.news.childElementCount > 200) this.news.lastElementChild.remove();
    if (told.length) reachable(this.news);
  }

  announce(words) {
    set(this.announced, `${this.limits.name}: ${words}`);
  }

  showNumbers(now) {
    const { tiles, limits } = this;
    const refused = now.shards ? ": callers of lost slots are refused" : ": callers are refused";
    const spent = !now.serving && now.grace_used >= limits.grace;
    tiles.show("Shared connections", count(now.links), "in service", !now.links);
    tiles.show("Dedicated connections", count(now.leased), `in use, ${now.idle} idle, up to ${limits.pool}`);
    tiles.show("Grace used", seconds(now.grace_used), `of ${limits.grace} s${spent ? refused : ""}`, spent);
    tiles.show("Waited in outages", count(now.waited), `callers; ${count(now.refused)} refused`);
    tiles.show("Sent again", count(now.retried), `commands; ${count(now.lost)} replies lost`);
    tiles.show("Clients in use", count(now.clients), "by requests and tasks");
    this.errors.show(Object.entries(now.errors).sort((one, other) => other[1] - one[1]));
  }

  showParts(now) {
    if (now.shards) this.showShards(now.shards);
    if (now.cache) this.showCache(now.cache);
    const { subscriptions, tails, consumers = [], workers = [] } = now.realtime ?? {};
    const rows = [];
    if (subscriptions?.listeners) {
      const deaf = subscriptions.deaf.length ? { bad: subscriptions.deaf.join(", ") } : "";
      rows.push([many(subscriptions.channels, "channel"), subscriptions.listeners, subscriptions.messages, subscriptions.gaps, subscriptions.dropped, deaf]);
    }
    if (tails?.tails) rows.push([many(tails.streams, "stream"), tails.tails, tails.entries, tails.gaps, tails.dropped, ""]);
    this.listening.show(rows);
    this.consumers.show(consumers.map((each) => [
      each.stream, each.group, each.lag, each.pending, each.in_hand, each.handled, each.failed, each.dead_lettered]));
    this.workers.show(workers.map((each) => [
      each.name, each.running ? "runs" : { bad: "pauses" }, each.restarts, each.error || ""]));
  }

  showShards(shards) {
    const drawn = JSON.stringify(shards.map((each) => [each.slots, each.serving]));
    if (drawn !== this.drawn) this.drawSlots(shards);
    this.drawn = drawn;
    const lostFirst = [...shards].sort((one, other) => one.serving - other.serving);
    this.shards.show(lostFirst.map((shard) => [
      ranges(shard.slots),
      shard.serving ? "serves" : { bad: shard.reason || "does not serve" },
      shard.nodes.length ? shard.nodes[0].address || "not named" : { bad: "none" },
      Math.max(0, shard.nodes.length - 1),
      shard.nodes.reduce((all, each) => all + each.commands, 0)]));
  }

  drawSlots(shards) {
    const parts = shards.flatMap((shard) => shard.slots.split(",").map((range) => {
      const [first, last = first] = range.split("-").map(Number);
      return { first, size: last - first + 1, shard };
    })).sort((one, other) => one.first - other.first);
    this.slots.replaceChildren(...parts.map(({ first, size, shard }) => {
      const of = shards.indexOf(shard) % 2 ? "odd" : "";
      const made = element("span", { class: shard.serving ? of : "lost" });
      made.title = `${first}-${first + size - 1}${shard.serving ? "" : `: ${shard.reason}`}`;
      made.style.flexGrow = size;
      return made;
    }));
    this.slots.classList.toggle("dense", parts.length > 64);
    const lost = parts.filter((each) => !each.shard.serving);
    const missing = lost.reduce((all, each) => all + each.size, 0);
    set(this.served, missing ? `${whole.format(missing)} of ${whole.format(SLOTS)} are not served` : `all ${whole.format(SLOTS)} are served`);
    this.served.classList.toggle("bad-text", missing > 0);
    const said = lost.length ? `, not served: ${ranges(lost.map((each) => `${each.first}-${each.first + each.size - 1}`).join())}` : ", all are served";
    this.slots.setAttribute("aria-label", `The slots of ${many(shards.length, "shard")}${said}`);
  }

  showCache(cache) {
    const asked = cache.hits + cache.misses;
    const ratio = asked ? `${((100 * cache.hits) / asked).toFixed(1)} %` : "–";
    const rows = Object.entries(cache).filter(([, value]) => typeof value !== "object");
    this.cache.show([["hit ratio", ratio], ...rows.map(([name, value]) => [
      name.replaceAll("_", " "), typeof value === "number" ? Math.round(value) : String(value) || "–"])]);
  }
}

const sum = (counts) => Object.values(counts).reduce((all, each) => all + each, 0);
const many = (number, word) => `${whole.format(number)} ${word}${number === 1 ? "" : "s"}`;

function ranges(slots) {
  const all = slots.split(",");
  return all.slice(0, 4).join(", ") + (all.length > 4 ? ` and ${many(all.length - 4, "more range")}` : "");
}

// Where each of several instances stands, with a link to it.
class Summary {
  constructor() {
    this.node = element("nav", { class: "summary", "aria-label": "Instances" });
    this.states = new Map();
  }

  begin(instances) {
    this.node.hidden = instances.length < 2;
    this.states = new Map(instances.map((each) => [each.limits.name, element("span")]));
    this.node.replaceChildren(...instances.map((each) => element("a", { href: `#${encodeURIComponent(each.id)}` },
      `${each.limits.name} `, this.states.get(each.limits.name))));
  }

  show(name, state) {
    const place = this.states.get(name);
    set(place, state);
    if (place.dataset.state !== state) place.dataset.state = state;
  }
}

class Console {
  constructor(place, said, address) {
    Object.assign(this, { place, said, address });
    this.title = document.title;
    this.instances = new Map();
    this.summary = new Summary();
    this.heard = Date.now();
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
      if (this.source.readyState !== EventSource.CLOSED) return;
      this.away("The app does not let this page in, or cannot be reached. Trying again.");
      this.again = setTimeout(() => this.connect(), 2000);
    });
  }

  begin(all) {
    const known = this.instances;
    this.instances = new Map(all.map((limits) => {
      const instance = known.get(limits.name) ?? new Instance(limits);
      instance.begin(limits);
      return [limits.name, instance];
    }));
    const nodes = [this.summary.node, ...[...this.instances.values()].map((each) => each.node)];
    this.summary.begin([...this.instances.values()]);
    if (nodes.some((each, at) => this.place.children[at] !== each) || this.place.children.length > nodes.length) {
      this.place.replaceChildren(...nodes);
    }
  }

  look(looks) {
    this.heard = Date.now();
    for (const each of looks) {
      this.instances.get(each.name)?.look(each);
      this.summary.show(each.name, each.state);
    }
    this.place.classList.remove("stale");
    this.said.classList.remove("away");
    set(this.said, "Live: updated every second");
    const bad = looks.filter((each) => each.state !== "ready").map((each) => `${each.name} ${each.state}`);
    const title = bad.length ? `${bad.join(", ")} · ${this.title}` : this.title;
    if (document.title !== title) document.title = title;
  }

  away(words) {
    this.place.classList.add("stale");
    this.said.classList.add("away");
    set(this.said, words);
    const title = `no news · ${this.title}`;
    if (document.title !== title) document.title = title;
  }

  check() {
    const late = Date.now() - this.heard > SILENCE;
    if (late && this.source.readyState !== EventSource.CLOSED) this.away("No news from the app. Connecting again.");
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
