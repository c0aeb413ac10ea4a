// The page's own script: charts into their places, tables that sort, pictures that pause, text to copy.
"use strict";

const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const say = (text) => { document.getElementById("said").textContent = text; };

// Charts: what Bokeh has drawn is drawn again when the colours of the page change.
const items = JSON.parse(document.getElementById("items").textContent);
const views = [];
async function draw() {
  for (const [place, item] of Object.entries(items)) {
    const shown = await Bokeh.embed.embed_item(item, place);
    views.push(...[...shown].filter((view) => view.model.type === "Figure"));
  }
  document.documentElement.dataset.charts = String(views.length);
}
function redraw() {
  for (const view of views) {
    view.invalidate_painters();
    view.paint();  // at once: a print does not wait
  }
}
draw();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
matchMedia("print").addEventListener("change", redraw);

// Tables: a click on a heading sorts by it, a second one the other way round; empty cells stay last.
function key(row, column) {
  const cell = row.cells[column];
  return "number" in cell.dataset ? Number(cell.dataset.number) : cell.textContent.trim();
}
function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), undefined, {numeric: true});
}
function sort(table, column) {
  const heads = all("th", table.tHead);
  const descending = heads[column].getAttribute("aria-sort") === "ascending";
  heads.forEach((head, i) => head.setAttribute("aria-sort", i !== column ? "none" : descending ? "descending" : "ascending"));
  const isEmpty = (row) => ["", "–"].includes(row.cells[column].textContent.trim());
  const rows = [...table.tBodies[0].rows];
  rows.sort((a, b) => isEmpty(a) - isEmpty(b) || (descending ? -1 : 1) * compare(key(a, column), key(b, column)));
  table.tBodies[0].append(...rows);
  say(`sorted by ${heads[column].textContent}, ${descending ? "descending" : "ascending"}`);
}
for (const table of all("table.sortable")) {
  all("th button", table).forEach((button, column) => button.addEventListener("click", () => sort(table, column)));
}

// Moving pictures: a paused one is replaced by its first frame.
async function freeze(image) {
  image.loading = "eager";
  await image.decode();
  const still = document.createElement("canvas");
  [still.width, still.height] = [image.naturalWidth, image.naturalHeight];
  still.getContext("2d").drawImage(image, 0, 0);
  still.setAttribute("role", "img");
  still.setAttribute("aria-label", image.alt);
  image.after(still);
  image.hidden = true;
}
function move(image) {
  image.nextElementSibling.remove();
  image.hidden = false;
}
function setPaused(button, paused) {
  if ((button.getAttribute("aria-pressed") === "true") === paused) return;
  button.setAttribute("aria-pressed", String(paused));
  button.textContent = paused ? "Play" : "Pause";
  all("img", button.closest("figure")).forEach(paused ? freeze : move);
}
const pauses = all("button.pause"), pauseAll = document.getElementById("pause-all");
function setAllPaused(paused) {
  pauseAll.setAttribute("aria-pressed", String(paused));
  pauseAll.textContent = paused ? "Play all" : "Pause all";
  pauses.forEach((button) => setPaused(button, paused));
}
for (const button of pauses) {
  button.addEventListener("click", () => setPaused(button, button.getAttribute("aria-pressed") !== "true"));
}
if (pauseAll) {
  pauseAll.addEventListener("click", () => setAllPaused(pauseAll.getAttribute("aria-pressed") !== "true"));
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) setAllPaused(true);
}

// Text to copy. A page from disk may not have the clipboard: then the text is selected.
for (const button of all("button.copy")) {
  button.addEventListener("click", async () => {
    const source = document.getElementById(button.dataset.from);
    try {
      await navigator.clipboard.writeText(source.textContent);
      say("copied");
    } catch {
      getSelection().selectAllChildren(source);
      say("selected: copy it with Ctrl+C");
    }
  });
}

// A print shows what is folded.
let opened = [];
addEventListener("beforeprint", () => {
  opened = all("details:not([open])");
  opened.forEach((each) => { each.open = true; });
});
addEventListener("afterprint", () => opened.forEach((each) => { each.open = false; }));
