// One manager of the app: its state, its numbers, and what happened to it.

import { Chart, linear, logarithmic, quantile } from "./chart.js";
import { count, duration, element, many, mark, rate, seconds, set, short, sum, word } from "./elements.js";
import { News } from "./news.js";
import { Table, Tiles } from "./parts.js";
import { Shards } from "./slots.js";
import { Timeline } from "./timeline.js";

const atMost = (value) => (value === null ? "–" : value === Infinity ? "> 10 s" : `≤ ${mark(value)}`);

export class Instance {
  constructor(limits, number) {
    this.before = null;
    this.id = `instance-${number}`;
    this.state = element("span", { class: "state" });
    this.words = element("p", { class: "words" });
    this.about = element("p", { class: "about" });
    this.announced = element("p", { class: "unseen", role: "status" });
    this.timeline = new Timeline();
    this.tiles = new Tiles();
    this.rates = new Chart("Commands per second", ["answered", "errors"], { shown: rate, axis: linear(short, 10) });
    this.times = new Chart("Time to a reply", ["p50", "p99"], { shown: atMost, axis: logarithmic(mark, 0.001, 10) });
    this.queue = new Chart("Not answered yet", ["in flight", "waiting"], { shown: rate, axis: linear(short, 10) });
    this.news = new News(limits.name);
    this.shards = new Shards();
    this.makeTables();
    this.heading = element("h2", { id: this.id, tabindex: "-1" }, limits.name);
    this.node = element("section", { class: "instance", "aria-labelledby": this.id },
      element("header", {}, this.heading, this.state, this.words, this.about),
      this.announced, this.timeline.node,
      element("div", { class: "charts" }, this.rates.node, this.times.node, this.queue.node),
      this.tiles.node,
      element("div", { class: "cards" }, ...this.shards.nodes,
        element("section", { class: "card" }, element("h3", {}, "What happened"), this.news.node),
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
  }

  // The app's answer began, or began again, perhaps of another process: what was drawn stays.
  begin(limits) {
    this.other = this.limits !== undefined && this.limits.mark !== limits.mark;
    if (this.other) {
      this.before = null;
      this.news.forget();
    }
    this.limits = limits;
  }

  look(now) {
    const told = this.news.add(now.news);
    // Who has just come, or meets another process, hears of what is yet to happen.
    if (this.last && !this.other) for (const each of told) if (each.state) this.announce(each.words);
    this.timeline.recall(now.states, this.other ? this.last : null);
    this.timeline.change(now.state, now.since ?? now.at);
    this.timeline.draw(now.at);
    this.showState(now);
    this.measure(now);
    this.showNumbers(now);
    this.showParts(now);
    this.last = now.at;
    this.other = false;
  }

  measure(now) {
    const { before } = this;
    const span = before ? now.at - before.at : 0;
    if (before && span < 0.2) return;
    this.before = now;
    if (!before) return;
    const counts = now.latency.map((each, place) => each - before.latency[place]);
    const errors = Math.max(0, sum(now.errors) - sum(before.errors)) / span;
    this.rates.add(now.at, now.serving, [(now.commands - before.commands) / span, errors]);
    this.times.add(now.at, now.serving, [0.5, 0.99].map((share) => quantile(share, counts, this.limits.bounds)));
    this.queue.add(now.at, now.serving, [now.in_flight, now.waiting]);
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
      return `Cluster of ${many(now.shards.length, "shard")}${lost ? `, ${lost} not served` : ""}${optional}`;
    }
    return `One server${at ? `, at${at}` : ""}${optional}`;
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
    tiles.show("Waited in outages", count(now.waited), `${word(now.waited, "caller")}; ${count(now.refused)} refused`);
    tiles.show("Sent again", count(now.retried), `${word(now.retried, "command")}; ${many(now.lost, "reply", "replies")} lost`);
    tiles.show("Clients in use", count(now.clients), "by requests and tasks");
    this.errors.show(Object.entries(now.errors).sort((one, other) => other[1] - one[1]));
  }

  showParts(now) {
    this.shards.show(now.shards ?? []);
    this.cache.show(now.cache ? cached(now.cache) : []);
    const { subscriptions, tails, consumers = [], workers = [] } = now.realtime ?? {};
    const rows = [];
    if (subscriptions?.listeners) {
      const deaf = subscriptions.deaf.length ? { bad: subscriptions.deaf.join(", ") } : null;
      rows.push([many(subscriptions.channels, "channel"), subscriptions.listeners, subscriptions.messages, subscriptions.gaps, subscriptions.dropped, deaf]);
    }
    if (tails?.tails) rows.push([many(tails.streams, "stream"), tails.tails, tails.entries, tails.gaps, tails.dropped, null]);
    this.listening.show(rows);
    this.consumers.show(consumers.map((each) => [
      each.stream, each.group, each.lag, each.pending, each.in_hand, each.handled, each.failed, each.dead_lettered]));
    this.workers.show(workers.map((each) => [
      each.name, each.running ? "runs" : { bad: "pauses" }, each.restarts, each.error || null]));
  }
}

function cached(cache) {
  const asked = cache.hits + cache.misses;
  const ratio = asked ? `${((100 * cache.hits) / asked).toFixed(1)} %` : null;
  const { reason, ...numbers } = cache;
  const counts = Object.entries(numbers).filter(([, value]) => typeof value === "number");
  return [["serves", reason ? { bad: `no: ${reason}` } : "yes"], ["hit ratio", ratio], ...counts];
}
