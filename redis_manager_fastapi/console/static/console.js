// Draws what the app says of its Redis, once a second and at each change.

const WINDOW = 120; // seconds that the charts show
const LIFE = 300; // seconds that the line of states shows

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
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

function seconds(value) {
  if (value === null) return "–";
  if (!value) return "0 s";
  if (value < 0.001) return "< 1 ms";
  return value < 1 ? `${(value * 1000).toFixed(value < 0.01 ? 1 : 0)} ms` : `${value.toFixed(2)} s`;
}

function clock(at) {
  return new Date(at * 1000).toTimeString().slice(0, 8);
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

class Chart {
  constructor(title, names, shown) {
    this.names = names;
    this.shown = shown;
    this.title = title;
    this.svg = drawing("svg", { viewBox: "0 0 600 120", preserveAspectRatio: "none", role: "img" });
    this.legend = element("p");
    this.node = element("section", { class: "card chart" }, element("h3", {}, title), this.svg, this.legend);
  }

  draw(points) {
    const now = points.at(-1).at;
    const x = (at) => (600 * (WINDOW - (now - at))) / WINDOW;
    const values = points.flatMap((each) => each.values.filter((value) => value !== null));
    const top = Math.max(...values, 0) * 1.15 || 1;
    const parts = [30, 60, 90].map((y) => drawing("line", { class: "grid", x1: 0, x2: 600, y1: y, y2: y }));
    points.forEach((each, place) => {
      if (each.serving || !place) return;
      const from = x(points[place - 1].at);
      parts.unshift(drawing("rect", { class: "bad", x: from, y: 0, width: Math.max(1, x(each.at) - from), height: 120 }));
    });
    this.names.forEach((_, line) => {
      let d = "";
      for (const each of points) {
        const value = each.values[line];
        if (value === null) continue;
        d += `${d ? "L" : "M"}${x(each.at).toFixed(1)} ${(118 - (112 * value) / top).toFixed(1)}`;
      }
      if (d) parts.push(drawing("path", { class: line ? "two" : "one", d }));
    });
    this.svg.replaceChildren(...parts);
    const last = points.at(-1).values;
    const said = this.names.map((name, line) => `${name} ${this.shown(last[line])}`);
    this.svg.setAttribute("aria-label", `${this.title}, the last two minutes. Now: ${said.join(", ")}`);
    this.legend.replaceChildren(
      ...said.map((each, line) => element("span", { class: line ? "key-two" : "key-one" }, (line ? "┅ " : "━ ") + each)),
      element("span", {}, `top ${this.shown(top / 1.15)}`),
    );
  }
}

class Tiles {
  constructor() {
    this.node = element("dl", { class: "tiles" });
    this.values = new Map();
  }

  show(name, value, small = "") {
    let place = this.values.get(name);
    if (!place) {
      place = { value: text(""), small: element("small") };
      this.values.set(name, place);
      this.node.append(element("div", { class: "tile" }, element("dt", {}, name), element("dd", {}, place.value, place.small)));
    }
    if (place.value.data !== value) place.value.data = value;
    set(place.small, small ? ` ${small}` : "");
  }
}

class Table {
  constructor(caption, columns, kind = "card") {
    this.columns = columns;
    this.body = element("tbody");
    const heads = columns.map((each) => element("th", { scope: "col", class: each.number ? "number" : "" }, each.name));
    this.node = element("section", { class: kind },
      element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
        element("table", {}, element("caption", {}, caption), element("thead", {}, element("tr", {}, ...heads)), this.body)));
    this.node.hidden = true;
  }

  show(rows) {
    this.node.hidden = !rows.length;
    const drawn = JSON.stringify(rows);
    if (drawn === this.drawn) return;
    this.drawn = drawn;
    this.body.replaceChildren(...rows.map((row) => element("tr", {}, ...row.map((cell, place) => {
      const bad = typeof cell === "object" && cell !== null;
      const kind = `${this.columns[place].number ? "number" : ""} ${bad ? "bad-text" : ""}`.trim();
      const shown = bad ? cell.bad : cell ?? "–";
      return element("td", { class: kind }, typeof shown === "number" ? whole.format(shown) : shown);
    }))));
  }
}

const KIND = { standalone: "one server", sentinel: "by Sentinel", cluster: "Cluster" };

class Instance {
  constructor(limits) {
    this.limits = limits;
    this.points = [];
    this.lives = [];
    this.previous = null;
    this.since = null;
    const title = element("h2", { id: `name-${limits.name}` }, limits.name);
    this.state = element("span", { class: "state" });
    this.words = element("p");
    this.announced = element("p", { class: "unseen", role: "status" });
    this.tiles = new Tiles();
    for (const name of ["Commands per second", "p50", "p99"]) this.tiles.show(name, "–");
    this.rates = new Chart("Commands per second", ["answered"], (value) => whole.format(value ?? 0));
    this.times = new Chart("Time to a reply", ["p50", "p99"], seconds);
    this.life = element("div", { class: "life", role: "img" });
    this.news = element("ol", { class: "news", tabindex: "0", "aria-label": `What happened to ${limits.name}, newest first` });
    this.errors = new Table("Errors that callers met", [{ name: "code" }, { name: "since the start", number: true }]);
    this.consumers = new Table("Stream consumers", [
      { name: "stream" }, { name: "group" }, { name: "lag", number: true }, { name: "pending", number: true },
      { name: "in hand", number: true }, { name: "handled", number: true }, { name: "failed", number: true },
      { name: "dead-lettered", number: true }]);
    this.listening = new Table("Listening", [
      { name: "what" }, { name: "open", number: true }, { name: "received", number: true },
      { name: "gaps", number: true }, { name: "dropped", number: true }, { name: "not heard" }]);
    this.workers = new Table("Workers", [{ name: "function" }, { name: "state" }, { name: "restarts", number: true }, { name: "last error" }]);
    this.cache = new Table("Client-side cache", [{ name: "measure" }, { name: "value", number: true }]);
    this.slots = element("div", { class: "slots", role: "img" });
    this.shards = new Table("Shards", [{ name: "slots" }, { name: "primary" }, { name: "replicas", number: true }, { name: "commands", number: true }, { name: "state" }], "card wide");
    this.map = element("section", { class: "card wide" }, element("h3", {}, "Slots"), this.slots);
    this.map.hidden = limits.topology !== "cluster";
    this.node = element("section", { class: "instance", "aria-labelledby": `name-${limits.name}` },
      element("header", {}, title, this.state, this.words),
      this.announced, this.tiles.node,
      element("div", { class: "charts" }, this.rates.node, this.times.node),
      element("div", { class: "cards" },
        element("section", { class: "card wide" }, element("h3", {}, "The last five minutes"), this.life),
        this.map, this.shards.node,
        element("section", { class: "card" }, element("h3", {}, "What happened"), this.news),
        this.errors.node, this.listening.node, this.consumers.node, this.workers.node, this.cache.node));
  }

  look(now, at) {
    const before = this.previous;
    const span = before ? at - before.at : 0;
    this.tell(now.news);
    this.showState(now, at);
    if (before && span > 0.2 && now.commands >= before.now.commands) {
      const counts = now.latency.map((each, place) => each - before.now.latency[place]);
      const rate = (now.commands - before.now.commands) / span;
      this.point(at, now, rate, quantile(0.5, counts, this.limits.bounds), quantile(0.99, counts, this.limits.bounds));
      this.previous = { now, at };
    } else if (!before || now.commands < before.now.commands) {
      this.previous = { now, at };
    }
    this.showNumbers(now);
    this.showParts(now);
  }

  point(at, now, rate, p50, p99) {
    this.points.push({ at, serving: now.serving, rate, p50, p99 });
    while (this.points[0].at < at - WINDOW) this.points.shift();
    this.rates.draw(this.points.map((each) => ({ ...each, values: [each.rate] })));
    this.times.draw(this.points.map((each) => ({ ...each, values: [each.p50, each.p99] })));
    this.tiles.show("Commands per second", whole.format(rate));
    this.tiles.show("p50", seconds(p50));
    this.tiles.show("p99", seconds(p99));
  }

  showState(now, at) {
    const { state } = now;
    if (this.state.dataset.state !== state) {
      this.state.dataset.state = state;
      set(this.state, state);
    }
    const last = this.lives.at(-1);
    if (!last || last.state !== state) this.lives.push({ state, at: last ? at : this.since ?? at });
    while (this.lives.length > 1 && this.lives[1].at < at - LIFE) this.lives.shift();
    const kind = KIND[this.limits.topology] + (this.limits.critical ? "" : ", optional");
    const where = now.address ? ` at ${now.address}` : "";
    const why = now.reason ? `: ${now.reason}` : "";
    const lasting = `for ${duration(at - this.lives.at(-1).at)}`;
    set(this.words, `${kind}${where}, ${lasting}${why}`);
    this.drawLife(at);
  }

  drawLife(at) {
    const begin = Math.max(this.lives[0].at, at - LIFE);
    const unknown = { state: "unknown", span: begin - (at - LIFE) };
    const known = this.lives.map((each, place) => {
      const ends = this.lives[place + 1]?.at ?? at;
      return { state: each.state, span: Math.max(0, ends - Math.max(each.at, begin)) };
    });
    const drawn = [unknown, ...known].map((each) => {
      const made = element("span", { "data-state": each.state });
      made.style.flexGrow = each.span;
      return made;
    });
    this.life.replaceChildren(...drawn);
    const said = known.map((each) => `${each.state} for ${duration(each.span)}`);
    this.life.setAttribute("aria-label", said.slice(-6).join(", then "));
  }

  tell(news) {
    for (const each of news) {
      const node = each.node ? `${each.node}: ` : "";
      const when = element("time", { datetime: new Date(each.at * 1000).toISOString() }, clock(each.at));
      this.news.prepend(element("li", {}, when, `${node}${each.words}`));
      if (each.state) {
        this.lives.push({ state: each.state, at: each.at });
        set(this.announced, `${clock(each.at)} ${each.words}`);
      }
    }
    while (this.news.childElementCount > 200) this.news.lastElementChild.remove();
  }

  showNumbers(now) {
    const { tiles, limits } = this;
    tiles.show("In flight", whole.format(now.in_flight));
    tiles.show("Waiting", whole.format(now.waiting));
    tiles.show("Shared connections", whole.format(now.links));
    tiles.show("Dedicated", `${now.leased}`, `in use, ${now.idle} idle of ${limits.pool}`);
    tiles.show("Grace used", seconds(now.grace_used), `of ${limits.grace} s`);
    tiles.show("Waited, refused", `${compact.format(now.waited)}, ${compact.format(now.refused)}`);
    tiles.show("Sent again, lost", `${compact.format(now.retried)}, ${compact.format(now.lost)}`);
    tiles.show("Requests", whole.format(now.clients), "with a client");
    const errors = Object.entries(now.errors).sort((one, other) => other[1] - one[1]);
    this.errors.show(errors.slice(0, 12));
  }

  showParts(now) {
    if (now.shards) this.showShards(now.shards);
    if (now.cache) this.showCache(now.cache);
    const realtime = now.realtime;
    if (!realtime) return;
    const { subscriptions, tails } = realtime;
    const rows = [];
    if (subscriptions.listeners) {
      const deaf = subscriptions.deaf.length ? { bad: subscriptions.deaf.join(", ") } : "";
      rows.push([`${subscriptions.channels} channels`, subscriptions.listeners, subscriptions.messages, subscriptions.gaps, subscriptions.dropped, deaf]);
    }
    if (tails.tails) rows.push([`${tails.streams} streams`, tails.tails, tails.entries, tails.gaps, tails.dropped, ""]);
    this.listening.show(rows);
    this.consumers.show(realtime.consumers.map((each) => [
      each.stream, each.group, each.lag, each.pending, each.in_hand, each.handled, each.failed, each.dead_lettered]));
    this.workers.show(realtime.workers.map((each) => [
      each.name, each.running ? "runs" : { bad: "pauses" }, each.restarts, each.error]));
  }

  showShards(shards) {
    const parts = shards.flatMap((shard) => shard.slots.split(",").map((range) => {
      const [first, last = first] = range.split("-").map(Number);
      return { first, size: last - first + 1, shard };
    })).sort((one, other) => one.first - other.first);
    this.slots.replaceChildren(...parts.map(({ size, shard }) => {
      const made = element("span", { class: shard.serving ? "" : "lost", title: shard.slots });
      made.style.flexGrow = size;
      return made;
    }));
    const lost = shards.filter((each) => !each.serving).map((each) => each.slots);
    const all = lost.length ? `not served: slots ${lost.join(", ")}` : "all 16384 slots are served";
    this.slots.setAttribute("aria-label", `${shards.length} shards, ${all}`);
    this.shards.show(shards.map((shard) => [
      shard.slots.replaceAll(",", ", "),
      shard.nodes[0]?.address || (shard.nodes.length ? "known" : "none"),
      Math.max(0, shard.nodes.length - 1),
      shard.nodes.reduce((sum, each) => sum + each.commands, 0),
      shard.serving ? "serves" : { bad: shard.reason || "does not serve" }]));
  }

  showCache(cache) {
    const asked = cache.hits + cache.misses;
    const ratio = asked ? `${((100 * cache.hits) / asked).toFixed(1)} %` : "–";
    this.cache.show([["hit ratio", ratio], ...Object.entries(cache).map(([name, value]) => [
      name.replaceAll("_", " "), typeof value === "number" ? Math.round(value) : value || "–"])]);
  }
}

function duration(span) {
  if (span < 60) return `${Math.max(0, span).toFixed(0)} s`;
  if (span < 3600) return `${Math.floor(span / 60)} min ${Math.floor(span % 60)} s`;
  return `${Math.floor(span / 3600)} h ${Math.floor((span % 3600) / 60)} min`;
}

// Shows every instance of the app in *place*, and in *said* whether the app answers.
export function watch(place, said, address) {
  let instances = new Map();
  let heard = 0;
  const source = new EventSource(address);

  source.addEventListener("instances", (event) => {
    instances = new Map(JSON.parse(event.data).map((each) => [each.name, new Instance(each)]));
    place.replaceChildren(...[...instances.values()].map((each) => each.node));
  });
  source.addEventListener("look", (event) => {
    heard = Date.now();
    for (const each of JSON.parse(event.data)) instances.get(each.name)?.look(each, heard / 1000);
    place.classList.remove("stale");
    said.classList.remove("away");
    set(said, "live: the app is asked once a second");
  });
  const away = () => {
    place.classList.add("stale");
    said.classList.add("away");
    set(said, "the app does not answer; connecting again ...");
  };
  source.addEventListener("error", () => {
    away();
    // A browser gives up for good where the answer was no stream of events.
    if (source.readyState === EventSource.CLOSED) {
      clearInterval(silence);
      setTimeout(() => watch(place, said, address), 2000);
    }
  });
  const silence = setInterval(() => {
    if (heard && Date.now() - heard > 4000) away();
  }, 1000);
}

const place = document.getElementById("console");
if (place) watch(place, document.getElementById("feed"), place.dataset.events);
