// Light and dark, the contents drawer, copy buttons, scroll boxes, search. No library, no request.
"use strict";

const html = document.documentElement;
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

function remember(theme) {
  try {
    localStorage.setItem("hplab-theme", theme);
  } catch {
    return; // a browser that refuses storage for this page: the choice lasts until the next one
  }
}

function setUpTheme() {
  const button = document.querySelector(".hp-theme");
  button.addEventListener("click", () => {
    html.dataset.theme = html.dataset.theme === "dark" ? "light" : "dark";
    remember(html.dataset.theme);
  });
}

function setUpMenu() {
  const button = document.querySelector(".hp-menu");
  const side = document.querySelector(".hp-side");
  const open = (yes) => {
    side.classList.toggle("hp-open", yes);
    button.setAttribute("aria-expanded", String(yes));
  };
  button.addEventListener("click", () => open(!side.classList.contains("hp-open")));
  for (const link of all('.hp-nav a[href^="#"]')) link.addEventListener("click", () => open(false));
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, textarea, select, [contenteditable]");
    if (event.key === "Escape" && side.classList.contains("hp-open")) {
      open(false);
      button.focus();
    } else if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      open(true);
      (document.getElementById("hp-query") || side.querySelector("input")).focus();
    }
  });
}

function setUpCopying() {
  if (!navigator.clipboard) return;
  for (const block of all("div.highlight")) {
    if (block.closest(".cell_output")) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "hp-copy";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      const code = block.querySelector("pre").cloneNode(true);
      all(".gp, .go", code).forEach((prompt) => prompt.remove());
      await navigator.clipboard.writeText(code.textContent.trimEnd());
      button.textContent = "Copied";
      setTimeout(() => (button.textContent = "Copy"), 1500);
    });
    block.append(button);
  }
}

// A box that scrolls has to be reachable by keyboard, and one that does not has not. What the page says stays.
const SCROLL_MARKS = { tabindex: "0", role: "group", "aria-label": "Scrolls" };
function markScrollBoxes(root = document) {
  const boxes = "pre, .pst-scrollable-table-container, .cell_output > .output, .hp-scroll, div.math";
  for (const box of all(boxes, root)) {
    if (box.scrollWidth > box.clientWidth + 1 || box.scrollHeight > box.clientHeight + 1) {
      const added = Object.keys(SCROLL_MARKS).filter((name) => !box.hasAttribute(name));
      for (const name of added) box.setAttribute(name, SCROLL_MARKS[name]);
      if (added.length) box.dataset.marked = added.join(" ");
    } else if (box.dataset.marked) {
      for (const name of box.dataset.marked.split(" ")) box.removeAttribute(name);
      delete box.dataset.marked;
    }
  }
}

function followHeadings() {
  const links = new Map(all(".hp-toc a[href^='#']").map((a) => [a.hash.slice(1), a]));
  const targets = [...links.keys()].filter(Boolean).map((id) => document.getElementById(decodeURIComponent(id)));
  if (!targets.length) return;
  const mark = () => {
    const above = targets.filter((t) => t && t.getBoundingClientRect().top < innerHeight * 0.3);
    for (const link of links.values()) link.removeAttribute("aria-current");
    if (above.length) links.get(above.at(-1).id)?.setAttribute("aria-current", "true");
  };
  addEventListener("scroll", mark, { passive: true });
  mark();
}

/* Search: each word of the query that says something begins a word of the section; titles weigh more. Where no
   section has all words, those with some of them are shown, rare words first. */

const SMALL = new Set(("a an and are as at be by can could do does for from how i in is it its me my of on or our should so "
  + "that the there this to true was we were what when where which who why will with you your").split(" "));
const wordsOf = (text) => (text.toLowerCase().match(/[\p{L}\p{N}.%-]+/gu) || [])
  .map((word) => word.replace(/^[.-]+|[.-]+$/g, "")).filter(Boolean);
const escaped = (word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

// Other words for what a page calls by one name.
const SAME = { license: "licence", licenses: "licence", copyright: "licence", citation: "cite", citing: "cite", bibtex: "cite",
  email: "contact", mail: "contact", install: "run", reproduce: "run" };

function askedFor(query) {
  const words = [...new Set(wordsOf(query).map((word) => SAME[word] || word))];
  const telling = words.filter((word) => !SMALL.has(word));
  return telling.length ? telling : words;
}

// Finds "seeds" by "seed" and the other way round.
const patternOf = (word) => {
  const stem = /[^s0-9]s$/.test(word) && word.length > 3 ? word.slice(0, -1) : word;
  return new RegExp(`(?<![\\p{L}\\p{N}])${escaped(stem)}`, "giu");
};

// How much a word tells: one that few sections have tells most.
const worth = (pattern, sections) => Math.log(1 + sections.length
  / (1 + sections.filter(({ title, text }) => title.search(pattern) >= 0 || text.search(pattern) >= 0).length));

function score(section, patterns, worths) {
  let [points, found] = [0, 0];
  patterns.forEach((pattern, i) => {
    const inTitle = (section.title.match(pattern) || []).length;
    const inText = (section.text.match(pattern) || []).length;
    found += inTitle || inText ? 1 : 0;
    points += worths[i] * (8 * Math.min(inTitle, 2) + Math.min(inText, 5));
  });
  const rest = patterns.reduce((title, pattern) => title.replace(pattern, ""), section.title);
  if (rest.length < 0.4 * section.title.length) points *= 1.5; // the title is what was asked for
  const isNamed = section.title.search(patterns[0]) === 0 || (patterns.length > 1 && patterns.every((pattern) => section.title.search(pattern) >= 0));
  if (section.title === section.page && isNamed) points *= 2; // a page of that name
  return { section, found, points: points * section.weight, last: section.weight === 0 };
}

function excerpt(text, patterns) {
  const at = Math.max(0, text.search(patterns[0]));
  const from = at < 70 ? 0 : text.indexOf(" ", at - 70) + 1;
  const part = document.createElement("p");
  const end = text.length <= from + 220 ? text.length : text.lastIndexOf(" ", from + 220);
  const shown = (from ? "… " : "") + text.slice(from, end) + (end < text.length ? " …" : "");
  const any = new RegExp(patterns.map((p) => p.source).join("|"), "giu");
  let last = 0;
  for (const hit of shown.matchAll(any)) {
    part.append(shown.slice(last, hit.index));
    const mark = document.createElement("mark");
    mark.textContent = hit[0];
    part.append(mark);
    last = hit.index + hit[0].length;
  }
  part.append(shown.slice(last));
  return part;
}

function hitItem(section, patterns) {
  const item = document.createElement("li");
  const link = document.createElement("a");
  link.href = html.dataset.root + section.url;
  link.textContent = section.title;
  const page = document.createElement("span");
  page.textContent = section.page === section.title ? "" : section.page;
  item.append(link, " ", page, excerpt(section.text, patterns));
  return item;
}

function find(query) {
  const patterns = askedFor(query).map(patternOf);
  const sections = window.hplabSections;
  const worths = patterns.map((pattern) => worth(pattern, sections));
  const scored = sections.map((section) => score(section, patterns, worths)).filter((one) => one.found);
  const whole = scored.filter((one) => one.found === patterns.length);
  const hits = (whole.length ? whole : scored).sort((a, b) => a.last - b.last || b.points - a.points).slice(0, 40);
  const found = document.getElementById("hp-found");
  const count = hits.length === 1 ? "One section" : `${hits.length} sections`;
  found.textContent = !patterns.length ? "Type a word." : hits.length === 0 ? "Nothing found. Try fewer or shorter words."
    : whole.length ? `${count}.` : `No section has all words. ${count} with some of them.`;
  document.getElementById("hp-hits").replaceChildren(...hits.map((one) => hitItem(one.section, patterns)));
}

function setUpSearch() {
  const input = document.getElementById("hp-query");
  if (!input || !window.hplabSections) return;
  input.value = new URLSearchParams(location.search).get("q") || "";
  input.form.addEventListener("submit", (event) => event.preventDefault());
  input.addEventListener("input", () => find(input.value));
  find(input.value);
  input.focus();
}

setUpTheme();
setUpMenu();
setUpCopying();
markScrollBoxes();
followHeadings();
addEventListener("load", () => markScrollBoxes());
addEventListener("resize", () => markScrollBoxes());
addEventListener("toggle", (event) => markScrollBoxes(event.target), true); // what a fold hides has no width before
addEventListener("DOMContentLoaded", setUpSearch);
