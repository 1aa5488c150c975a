// Tiles, tables, and what the words on them mean.

import { element, reachable, set, whole } from "./elements.js";

export class Tiles {
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

// On a phone each row of a table with more than two columns is a card, which says what each cell
// is; the roles keep it a table to a screen reader, whatever it looks like.
export class Table {
  constructor(caption, columns, kind = "card") {
    this.columns = columns;
    this.body = element("tbody", { role: "rowgroup" });
    const heads = columns.map((each) => element("th", { scope: "col", role: "columnheader", class: each.number ? "number" : "" }, each.name));
    const head = element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, ...heads));
    const table = element("table", { role: "table", "aria-label": caption, class: columns.length > 2 ? "many" : "" }, head, this.body);
    this.scroll = element("div", { class: "scroll", role: "group", "aria-label": caption }, table);
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
      const cells = this.columns.map(({ name }) => element("td", { role: "cell", "data-name": name }));
      this.body.append(element("tr", { role: "row" }, ...cells));
    }
    rows.forEach((row, at) => row.forEach((cell, place) => this.fill(this.body.rows[at].cells[place], cell, place)));
    reachable(this.scroll);
  }

  fill(node, cell, place) {
    const bad = typeof cell === "object" && cell !== null;
    const shown = bad ? cell.bad : cell ?? "–";
    const words = typeof shown === "string" && shown.length > 12;
    const kind = `${this.columns[place].number && !words ? "number" : ""} ${bad ? "bad-text" : ""}`.trim();
    if (node.className !== kind) node.className = kind;
    set(node, typeof shown === "number" ? whole.format(shown) : shown);
  }
}

const MEANINGS = {
  "ready": "Commands go out at once.",
  "suspect": "A reply is late, or a connection broke: it is being asked whether Redis is there. Commands wait, for as long as grace lasts.",
  "down": "Redis does not answer, or refuses. Commands wait until grace is used up, and are refused after that.",
  "starting, draining, closed": "The app opens it, or closes it. Neither counts in the share of time that it was ready.",
  "Commands per second": "The app's commands that Redis answered, and errors that callers met. What the library asks for itself is left out.",
  "p50, p99": "Half of the replies, and 99 in 100, came within so much time. Times are counted in classes, so only an upper bound is known.",
  "In flight, waiting": "Commands without a reply yet, sent or about to be; and callers that wait for Redis or for a connection.",
  "Shared, dedicated connections": "Most commands share a few connections. A transaction with WATCH, or a command that blocks, has one to itself.",
  "Grace used": "How long commands wait in an outage before they are refused, and how much of that the present one has used up.",
  "Waited in outages": "Callers that waited within grace, and those that were refused, since the start.",
  "Sent again, replies lost": "Commands that went out once more because nothing had come of the first time; and those that may have run, whose callers got an error that says so.",
  "Clients in use": "Clients that requests and tasks of the app hold now.",
  "Commands of a shard": "Those that its present servers answered, since each took its place: it begins again after a fail-over.",
  "Lag, pending, in hand": "Entries of a stream that the group has not been given yet; that were given and not acknowledged; that this process works on.",
  "Gaps, dropped": "Times that listeners were told that something may be missing, and what slow listeners lost.",
};

export function meanings() {
  const rows = Object.entries(MEANINGS).map(([name, said]) => element("div", {}, element("dt", {}, name), element("dd", {}, said)));
  return element("details", { class: "card meanings" },
    element("summary", {}, "What the words mean"), element("dl", {}, ...rows));
}
