// A Cluster's slots by shard, and the shards, those that do not serve first.

import { element, many, set, whole } from "./elements.js";
import { Table } from "./parts.js";

const SLOTS = 16384;

export class Shards {
  constructor() {
    const number = true;
    this.slots = element("div", { class: "slots", role: "img" });
    this.served = element("p", { class: "legend" });
    this.table = new Table("Shards", [
      { name: "Slots" }, { name: "State" }, { name: "Primary" }, { name: "Replicas", number },
      { name: "Commands", number }], "card wide");
    const numbers = ["0", "4,096", "8,192", "12,288", "16,383"].map((each) => element("span", {}, each));
    this.map = element("section", { class: "card wide" }, element("h3", {}, "Slots"), this.served, this.slots,
      element("div", { class: "axis", "aria-hidden": "true" }, ...numbers));
    this.map.hidden = true;
    this.nodes = [this.map, this.table.node];
  }

  show(shards) {
    this.map.hidden = !shards.length;
    const drawn = JSON.stringify(shards.map((each) => [each.slots, each.serving]));
    if (drawn !== this.drawn && shards.length) this.draw(shards);
    this.drawn = drawn;
    const lostFirst = [...shards].sort((one, other) => one.serving - other.serving);
    this.table.show(lostFirst.map((shard) => [
      ranges(shard.slots),
      shard.serving ? "serves" : { bad: shard.reason || "does not serve" },
      shard.nodes.length ? shard.nodes[0].address || "not named" : { bad: "none" },
      Math.max(0, shard.nodes.length - 1),
      shard.nodes.reduce((all, each) => all + each.commands, 0)]));
  }

  draw(shards) {
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
}

function ranges(slots) {
  const all = slots.split(",");
  return all.slice(0, 4).join(", ") + (all.length > 4 ? ` and ${many(all.length - 4, "more range")}` : "");
}
