// What pages are made of: elements, and numbers and times as words.

const text = (value) => document.createTextNode(value);

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "class") made.className = value;
    else made.setAttribute(key, value);
  }
  made.append(...children.map((each) => (typeof each === "string" ? text(each) : each)));
  return made;
}

export function drawing(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

export function set(node, value) {
  if (node.textContent !== value) node.textContent = value;
}

// Makes what scrolls a stop for the Tab key, and what does not, none.
export function reachable(node) {
  const sideways = node.scrollWidth > node.clientWidth + 1;
  const scrolls = sideways || node.scrollHeight > node.clientHeight + 1;
  node.classList.toggle("sideways", sideways);
  if (scrolls !== node.hasAttribute("tabindex")) node.toggleAttribute("tabindex", scrolls);
  if (scrolls && node.tabIndex !== 0) node.tabIndex = 0;
}

export const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const rounded = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

export const count = (value) => (value < 1e6 ? whole : compact).format(value);
export const short = (value) => (value < 1e4 ? whole : compact).format(value);
export const rate = (value) => (value < 10 ? rounded : whole).format(value ?? 0);
export const sum = (counts) => Object.values(counts).reduce((all, each) => all + each, 0);
export const word = (number, one, more = `${one}s`) => (number === 1 ? one : more);
export const many = (number, one, more) => `${whole.format(number)} ${word(number, one, more)}`;

export function seconds(value) {
  if (!value) return "0 s";
  if (value < 0.001) return "< 1 ms";
  if (value < 1) return `${(value * 1000).toFixed(value < 0.01 ? 1 : 0)} ms`;
  return `${value.toFixed(value < 10 ? 2 : 1)} s`;
}

export function mark(value) {
  return value < 1 ? `${rounded.format(value * 1000)} ms` : `${rounded.format(value)} s`;
}

export function duration(span) {
  if (span < 60) return `${Math.max(0, span).toFixed(0)} s`;
  if (span < 3600) return `${Math.floor(span / 60)} min ${Math.floor(span % 60)} s`;
  if (span < 172800) return `${Math.floor(span / 3600)} h ${Math.floor((span % 3600) / 60)} min`;
  return `${Math.floor(span / 86400)} days`;
}

// The time of day, with the date of another day.
export function clock(at) {
  const then = new Date(at * 1000);
  const time = then.toTimeString().slice(0, 8);
  if (then.toDateString() === new Date().toDateString()) return time;
  return `${then.toLocaleDateString("en", { month: "short", day: "numeric" })}, ${time}`;
}
