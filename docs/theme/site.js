// What tables need on a narrow page: the name of its column for each cell, joints at which a name
// may break, and for what scrolls, a stop of the Tab key.

const JOINTS = /(?<=[a-z0-9])(?=[A-Z])|(?<=[_.,(/])(?=\w)/;

function label(table) {
  const names = [...table.querySelectorAll("thead th")].map((each) => each.textContent.trim());
  for (const row of table.tBodies[0]?.rows ?? []) {
    [...row.cells].forEach((cell, place) => {
      if (names[place]) cell.dataset.label = names[place];
    });
  }
}

function joint(code) {
  const texts = document.createTreeWalker(code, NodeFilter.SHOW_TEXT);
  const found = [];
  while (texts.nextNode()) found.push(texts.currentNode);
  for (const each of found) {
    const parts = each.data.split(JOINTS);
    each.replaceWith(...parts.flatMap((part, place) => (place ? [document.createElement("wbr"), part] : [part])));
  }
}

function reach() {
  for (const each of document.querySelectorAll(".md-typeset__scrollwrap, .md-typeset pre > code")) {
    if (each.scrollWidth > each.clientWidth) each.tabIndex = 0;
    else each.removeAttribute("tabindex");
  }
}

document.querySelectorAll(".md-typeset table:not([class])").forEach(label);
document.querySelectorAll(".md-typeset td:not(:first-child) code").forEach(joint);
// The page's own script wraps tables, once it has run.
new MutationObserver(reach).observe(document.body, { childList: true, subtree: true });
addEventListener("resize", reach);
reach();
