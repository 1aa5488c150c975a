// What happened lately, in words, the newest first.

import { clock, element, many, reachable, set } from "./elements.js";

const KEPT = 400; // as many as the app keeps

export class News {
  constructor(name) {
    this.node = element("ol", { class: "news", "aria-label": `What happened to ${name}, newest first` });
    this.forget();
  }

  // Another process numbers its events anew.
  forget() {
    this.items = new Map();
    this.newest ??= 0;
  }

  // Returns what is news to this page: an app that does not know it tells again what it told before.
  add(news) {
    const told = news.filter((each) => each.at > this.newest);
    for (const each of told) {
      const item = this.items.get(each.first) ?? this.make(each);
      item.at = each.at;
      item.when.setAttribute("datetime", new Date(each.at * 1000).toISOString());
      set(item.words, `${each.node ? `${each.node}: ` : ""}${each.words}`);
      set(item.times, each.times > 1 ? many(each.times, "time") : "");
      this.node.prepend(item.node);
      this.items.set(each.first, item);
      this.newest = each.at;
    }
    while (this.node.childElementCount > KEPT) {
      const last = this.node.lastElementChild;
      this.items.delete(Number(last.dataset.first));
      last.remove();
    }
    const today = new Date().toDateString();
    if (told.length || today !== this.today) for (const each of this.items.values()) set(each.when, clock(each.at));
    this.today = today;
    if (told.length) reachable(this.node);
    return told;
  }

  make(each) {
    const [when, words, times] = [element("time"), element("span"), element("span", { class: "times" })];
    const node = element("li", { "data-first": each.first }, when, words, times);
    if (each.kind) node.dataset.state = each.kind;
    return { node, when, words, times };
  }
}
