/* The explorer: a reader looks at a table of runs. One ES module: no library, no request, no build step.

   Its hosts: a page (div.hp-explorer#NAME with a figure for who has no scripts, and the JSON script element
   .hp-explorer-data[data-for=NAME]), anywidget (`_esm`, `_css` and the traitlet `data`), and any script (mount).
   explorer_data.py describes the data, whose text is never parsed as markup. No mean mixes settings. */

const VIEWS = { points: "Points", parallel: "Parallel coordinates", curves: "Curves", isolation: "Isolation", confusion: "Confusion" };
const MOST_BANDS = 12; // more curves have no band and colour
const MOST_LEVELS = 20; // more were drawn by a search
const MOST_BARS = 100; // more means have no intervals
const [LEFT, TOP, BOTTOM, RIGHT] = [62, 30, 330, 14]; // pixels of the drawing
const { isFinite } = Number;
const { abs, ceil, exp, floor, hypot, log, log10, max, min, round, sqrt } = Math;

// ---- numbers

const T = [12.7062, 4.30265, 3.18245, 2.77645, 2.57058, 2.44691, 2.36462, 2.306, 2.26216, 2.22814, 2.20099, 2.17881];

// The 97.5 % quantile of Student's t; beyond the table its expansion.
export function tQuantile(df) {
  const z = 1.959964;
  const terms = [z ** 3 + z, 5 * z ** 5 + 16 * z ** 3 + 3 * z, 3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z];
  return T[df - 1] ?? z + terms[0] / 4 / df + terms[1] / 96 / df ** 2 + terms[2] / 384 / df ** 3;
}

const sumOf = (values) => values.reduce((sum, value) => sum + value, 0);

// Mean and 95 % interval (NaN for fewer than two), within [low, high] as in hplab.analysis.stats.bounded.
export function meanOf(values, low = -Infinity, high = Infinity) {
  const n = values.length;
  const mean = sumOf(values) / n;
  const sd = sqrt(sumOf(values.map((value) => (value - mean) ** 2)) / (n - 1));
  const half = n > 1 ? (tQuantile(n - 1) * sd) / sqrt(n) : NaN;
  if (min(...values) < low) low = -Infinity; // a loss that went below 0 is of a kind that can
  const above = mean - low;
  const fits = mean - half >= low && mean + half <= high;
  if (n < 2 || !isFinite(low) || fits || !(above > 0) || !(mean < high)) return { n, mean, low: mean - half, high: mean + half };
  if (!isFinite(high)) {
    const factor = exp(min(half / above, 700));
    return { n, mean, low: low + above / factor, high: low + above * factor };
  }
  const share = above / (high - low);
  const [at, step] = [log(share / (1 - share)), half / (high - low) / (share * (1 - share))];
  const end = (move) => low + (high - low) / (1 + exp(-at - move));
  return { n, mean, low: end(-step), high: end(step) };
}

// A number as it is typed in code: 1e-3, 0.01, 64.
export function short(value) {
  if (!isFinite(value)) return "none";
  const size = abs(value);
  const text = (Number.isInteger(value) && size < 1e6) || (size >= 0.01 && size < 1e4) ? String(Number(value.toPrecision(size < 1e4 ? 4 : 6)))
    : value.toExponential(3).replace(/\.?0*e\+?/, "e");
  return text.replace(/^-/, "\u2212");
}

function linearTicks(low, high) {
  const rough = (high - low) / 6;
  const power = 10 ** floor(log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
  const first = ceil(low / step - 1e-9);
  return Array.from({ length: floor(high / step + 1e-9) - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

function logTicks(low, high) {
  const [first, last] = [floor(log10(low)), ceil(log10(high))];
  const ticks = [];
  for (let power = first; power <= last; power += ceil((last - first) / 8)) {
    for (const factor of last - first <= 2 ? [1, 2, 5] : [1]) ticks.push(Number(`${factor}e${power}`));
  }
  return ticks.filter((tick) => tick >= low && tick <= high);
}

// From numbers to pixels. On a logarithmic scale, what is not above 0 has no place (NaN).
function numberScale(all, from, to, isLog = false, pad = 0.05) {
  const move = isLog ? log10 : (value) => value;
  const values = all.filter((value) => isFinite(value) && (!isLog || value > 0));
  let [low, high] = values.length ? [min, max].map((end) => values.reduce((a, b) => end(a, b))) : [1, 1]; // too many for arguments
  if (low === high) [low, high] = isLog ? [low / 2, high * 2] : [low - (abs(low) || 1) / 20, high + (abs(high) || 1) / 20];
  const extra = pad * (move(high) - move(low));
  const [start, end] = [move(low) - extra, move(high) + extra];
  const at = (value) => (isLog && value <= 0 ? NaN : from + ((move(value) - start) / (end - start)) * (to - from));
  const ticks = isLog ? logTicks(10 ** start, 10 ** end) : linearTicks(start, end);
  const back = (place) => start + ((place - from) / (to - from)) * (end - start);
  const shownTicks = values.length ? (ticks.length > 1 ? ticks : [low, high]) : [];
  return { at, back: (place) => (isLog ? 10 ** back(place) : back(place)), ticks: shownTicks.map((value) => ({ at: at(value), text: short(value) })) };
}

function levelScale(column, used, from, to) {
  const step = (to - from) / used.length;
  const place = new Map(used.map((code, i) => [code, from + (i + 0.5) * step]));
  return { at: (code) => place.get(code), step: abs(step), ticks: used.map((code) => ({ at: place.get(code), text: column.texts[code] })) };
}

// ---- the table of runs

export function read(data) {
  if (data.version !== 1) throw new Error(`data of version ${data.version}, not 1`);
  const columns = data.columns.map((one) => {
    const column = { unit: "", scale: 1, low: -Infinity, high: Infinity, ...one };
    if (one.codes) {
      column.texts ||= one.values.map((value) => (value === null ? "none" : String(value)));
      column.isNumeric = one.values.every((value) => typeof value === "number");
    }
    if (one.rows) {
      column.numbers = Array(data.n).fill(null);
      one.rows.forEach((row, i) => (column.numbers[row] = one.numbers[i]));
    }
    return column;
  });
  const of = (role) => columns.filter((column) => column.role === role);
  const [settings, results, groups] = [of("setting"), of("result"), new Map()];
  for (let row = 0; row < data.n; row++) {
    const name = settings.map((column) => column.codes[row]).join();
    groups.set(name, [...(groups.get(name) || []), row]);
  }
  const varied = settings.filter((column) => new Set(column.codes).size > 1);
  const series = data.curves?.series || {};
  const lost = new Map([...(data.diverged || []).map((row) => [row, "diverged"]), ...Object.entries(data.ended || {}).map(([row, why]) => [Number(row), why])]);
  const views = [];
  if (results.length && settings.length) views.push("points");
  if (results.length && varied.length) views.push("parallel");
  if (Object.keys(series).length) views.push("curves");
  if (varied.length > 1 && results.some((column) => column.better)) views.push("isolation");
  if (data.confusion && Object.keys(data.confusion.counts).length) views.push("confusion");
  if (!views.length) throw new Error("no setting or no result to show");
  return { data, n: data.n, columns, named: new Map(columns.map((column) => [column.name, column])), varied, results, notes: of("run"), groups: [...groups.values()],
    lost, across: varied.length ? varied : settings.slice(0, 1), axes: [...varied, ...results], series, views };
}

const shown = (column, value) => {
  if (!isFinite(value)) return "none";
  const isShare = column.unit === "%" || column.unit === "pp";
  const text = isShare ? (value * column.scale).toFixed(2).replace("-", "\u2212") : short(value * column.scale);
  return isShare || column.unit === "s" ? `${text} ${column.unit}` : text;
};
const titled = (column) => (column.unit && !(column.unit === "%" && column.label.includes("%"))
  ? `${column.label} (${column.unit})` : column.label);
const plural = (n, noun) => `${n} ${noun}${n === 1 ? "" : "s"}`;
const settingText = (table, row) => table.varied.map((column) => `${column.label} ${column.texts[column.codes[row]]}`).join(", ") || "the one setting";
const runText = (table, row) => table.notes.map((column) => `${column.label} ${(column.numbers || column.texts)[row]}`).join(", ");
const meanText = (column, mean) => `mean ${shown(column, mean.mean)} (${isFinite(mean.low)
  ? `95 % interval ${shown(column, mean.low)} to ${shown(column, mean.high)}, n = ${mean.n}` : `n = ${mean.n}, too few for an interval`})`;
const fullText = (table, column, mean, row) => `${column.label}, ${meanText(column, mean)}: ${settingText(table, row)}`;
const usedCodes = (column, rows) => [...new Set(rows.map((row) => column.codes[row]))].sort((a, b) => a - b);

// Numbers stand where their value is; names, and a 0 on a logarithmic axis, stand one beside the other.
const isMeasured = (column) => !!column.numbers || (column.isNumeric && !(column.log && column.values[0] <= 0));

// Whether somebody typed these values: few, and whole or of up to three digits. A search draws others.
const isTyped = (column, used) => used.length <= MOST_LEVELS && used.map((code) => column.values[code]).every((value) => Number.isInteger(value) || Number(value.toPrecision(3)) === value);

// The lines of parallel coordinates: runs or settings, their value on each axis, and whether all are in the ranges.
function linesOf(table, state, all) {
  const y = table.named.get(state.y);
  const columns = table.axes.filter((column) => state.axes.includes(column.name));
  const rows = all.filter((row) => table.lost.has(row) || y.numbers[row] !== null);
  const value = (column, of) => (column.numbers ? groupMean(table, of, column).mean * column.scale : isMeasured(column) ? column.values[column.codes[of[0]]] : column.codes[of[0]]);
  const ranges = columns.map((column) => state.within.get(column.name));
  const lines = (state.seeds ? rows.map((row) => [row]) : groupsOf(table, rows)).map((of) => {
    const values = columns.map((column) => value(column, of));
    return { of, values, y: groupMean(table, of, y).mean, isIn: ranges.every((range, k) => !range || (values[k] >= range[0] && values[k] <= range[1])) };
  });
  return { y, columns, rows, lines };
}

// The runs that are chosen: those of the filter, and of parallel coordinates those within the ranges.
function chosen(table, state) {
  const all = kept(table, state);
  return state.view === "parallel" && state.within.size ? linesOf(table, state, all).lines.filter((one) => one.isIn).flatMap((one) => one.of).sort((a, b) => a - b) : all;
}

function kept(table, state) {
  const outs = [...state.out].map(([name, codes]) => [table.named.get(name).codes, codes]);
  return Array.from({ length: table.n }, (_, row) => row).filter((row) => outs.every(([of, codes]) => !codes.has(of[row])));
}

function groupsOf(table, rows) {
  const wanted = new Set(rows);
  return table.groups.map((group) => group.filter((row) => wanted.has(row))).filter((group) => group.length);
}

const matricesOf = (table, rows) => groupsOf(table, rows.filter((row) => table.data.confusion && row in table.data.confusion.counts));
const valuesOf = (table, rows, column) => rows.filter((row) => !table.lost.has(row)).map((row) => column.numbers[row]).filter(isFinite);
const isCensored = (table, rows) => rows.some((row) => ["stopped", "pruned"].includes(table.lost.get(row)));
// Of a setting of which a run was stopped early, those that finished are the better ones: it has no mean.
const groupMean = (table, rows, column) => meanOf(isCensored(table, rows) ? [] : valuesOf(table, rows, column), column.low, column.high);

function lostText(table, rows) {
  const by = Object.entries(Object.groupBy(rows.filter((row) => table.lost.has(row)), (row) => table.lost.get(row)));
  return by.map(([why, of]) => `${of.length} ${why === "stopped" ? "stopped early" : why}`).join(", ");
}

function csvOf(table, rows) {
  const line = (cells) => cells.map((cell) => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell)).join() + "\n";
  const cell = (column, row) => String((column.codes ? column.values[column.codes[row]] : (column.numbers || column.texts)[row]) ?? "");
  return [line([...table.columns.map((column) => column.name), "status"]),
    ...rows.map((row) => line([...table.columns.map((column) => cell(column, row)), table.lost.get(row) ?? "ok"]))].join("");
}

// ---- elements

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name in node) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

const button = (text, onclick) => make("button", { type: "button", onclick }, text);

function draw(parent, tag, attributes = {}, text = null) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, typeof value === "number" ? round(value * 10) / 10 : value);
  if (text !== null) node.textContent = text;
  parent?.append(node);
  return node;
}

const CIRCLE = "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0-9 0";
const SHAPES = [CIRCLE, "M-4-4h8v8h-8z", "M0-5.5 5 4H-5z", "M0-5.6 5.6 0 0 5.6-5.6 0z", "M0 5.5 5-4H-5z"];
const path = (points) => points.length ? `M${points.map((point) => point.map((value) => value.toFixed(1)).join(" ")).join("L")}` : "";
const isDrawn = (point) => isFinite(point[1]);
const line = (svg, points, stroke, more) => draw(svg, "path", { d: path(points), fill: "none", stroke, ...more });
const words = (svg, x, y, text, anchor = "start", more = {}) => draw(svg, "text", { x, y, "text-anchor": anchor, ...more }, text);
const turned = (svg, x, y, text, angle, anchor) => draw(svg, "text", { transform: `translate(${x.toFixed(1)} ${y}) rotate(${angle})`, "text-anchor": anchor }, text);
const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}\u2026` : text);
const colour = (i) => `var(--x-c${(i % 8) + 1})`;
const [FG, BG, MUTED, GRID] = ["fg", "bg", "muted", "grid"].map((name) => `var(--x-${name})`);
const ramp = (share) => `color-mix(in oklab, var(--x-c2) ${round(100 * share)}%, var(--x-c6))`;

// The mean of a setting with its interval.
function meanMark(svg, x, mean, up, paint, shape = CIRCLE) {
  const [y, low, high] = [mean.mean, mean.low, mean.high].map(up);
  if (isFinite(low) && isFinite(high)) line(svg, [[x, low], [x, high]], paint, { "stroke-width": 2 });
  draw(svg, "path", { d: shape, transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})`, fill: paint, stroke: BG });
  return y;
}

// Colours and shapes of the levels of a column: eight that differ, a range for more.
function coding(column, rows) {
  if (!column) return { paint: () => colour(0), shape: () => CIRCLE, key: [] };
  const used = usedCodes(column, rows);
  const rank = new Map(used.map((code, i) => [code, i]));
  const tint = (i) => (used.length <= 8 ? colour(i) : ramp(i / (used.length - 1)));
  const key = used.slice(0, 12).map((code, i) => ({ paint: tint(i), text: `${column.label} ${column.texts[code]}` }));
  if (used.length > 12) key.push({ paint: "none", text: `and ${used.length - 12} more` });
  const of = (row) => rank.get(column.codes[row]);
  return { paint: (row) => tint(of(row)), shape: (row) => SHAPES[of(row) % SHAPES.length], key };
}

// ---- state

const CHOICES = ["view", "x", "y", "by", "curve", "of"];
const FLAGS = ["seeds", "logx", "logy"];

function startOf(table) {
  const text = { seeds: table.n > 600 ? "0" : "1", ...table.data.start };
  text.axes ??= [...table.varied.slice(0, 6).map((column) => column.name), text.y || table.results[0]?.name].join("|");
  return ofText(table, text);
}

// What a link asks for may be gone.
function settle(table, state) {
  const among = (name, columns) => (columns.some((column) => column.name === name) ? name : columns[0]?.name || "");
  if (!table.views.includes(state.view)) state.view = table.views[0];
  state.x = among(state.x, state.view === "isolation" ? table.across : [...table.across, ...table.results]);
  state.logx ??= table.named.get(state.x)?.log || false;
  state.y = among(state.y, table.results);
  if (!table.varied.some((column) => column.name === state.by)) state.by = "";
  if (!(state.curve in table.series)) state.curve = state.y in table.series ? state.y : Object.keys(table.series)[0] || "";
  state.axes = table.axes.map((column) => column.name).filter((name) => state.axes.includes(name));
  state.within = new Map([...state.within].filter(([name]) => state.axes.includes(name)));
  const firsts = matricesOf(table, kept(table, state)).map((group) => String(group[0]));
  if (!firsts.includes(state.of)) state.of = firsts[0] || "";
  return state;
}

// A state as an address says it, and back; levels by their text, so that a link outlives new runs.
function asText(table, state) {
  const text = { axes: state.axes.join("|") };
  for (const name of CHOICES) text[name] = state[name];
  for (const name of FLAGS) text[name] = state[name] ? "1" : "0";
  for (const { name, texts } of table.varied) text[`not.${name}`] = [...(state.out.get(name) || [])].map((code) => texts[code]).join("|");
  for (const column of table.axes) text[`in.${column.name}`] = (state.within.get(column.name) || []).map((end) => (isMeasured(column) ? end : column.texts[end])).join("|");
  return text;
}

function ofText(table, text) {
  const state = { axes: text.axes.split("|"), out: new Map(), within: new Map() };
  for (const name of CHOICES) state[name] = text[name];
  for (const name of FLAGS) if (name in text) state[name] = text[name] === "1";
  for (const { name, texts } of table.varied) {
    const codes = (text[`not.${name}`] || "").split("|").map((level) => texts.indexOf(level)).filter((code) => code >= 0);
    if (codes.length) state.out.set(name, new Set(codes));
  }
  for (const column of table.axes) {
    const ends = (text[`in.${column.name}`] || "").split("|").map((end) => (!isMeasured(column) ? column.texts.indexOf(end) : end ? Number(end) : NaN));
    if (ends.length === 2 && ends[0] <= ends[1] && (isMeasured(column) || ends[0] >= 0)) state.within.set(column.name, ends);
  }
  return settle(table, state);
}

// ---- the explorer

// `name` begins its links; with `permalink` the page's address keeps the view.
export function mount(host, data, { name = "explorer", permalink = true } = {}) {
  const table = read(data);
  const state = startOf(table);
  const first = asText(table, state);
  const views = make("fieldset", { class: "hp-x-row", "aria-label": "View" }, ...table.views.map((view) => make("label", {},
    make("input", { type: "radio", name: `${name}-view`, value: view, onchange: () => set({ view }) }), VIEWS[view])));
  const controls = make("div", { class: "hp-x-row" });
  const filters = make("details", {}, make("summary"));
  const axes = make("details", {}, make("summary", {}, "Axes"));
  const ranges = make("details", {}, make("summary", {}, "Ranges"));
  const note = make("p", { class: "hp-x-note", role: "status" });
  const key = make("ul", { class: "hp-x-row", "aria-label": "Colours" });
  const chart = make("div", { class: "hp-x-chart", tabindex: "0", role: "application", onkeydown: onKey, onpointermove: onMove, onpointerdown: onDown, onpointerup: onUp, onpointercancel: () => (drag = null) });
  const reading = make("p", { class: "hp-x-read", "aria-live": "polite" });
  const reset = button("Reset ranges", () => set({ within: new Map() }));
  const link = make("a", { href: `#${name}`, hidden: !permalink }, "Link to this view");
  const rows = make("details", { ontoggle: fillRows }, make("summary", {}, "Show data"));
  const root = make("div", { class: "hp-x", role: "group", "aria-label": data.title || "Explore the runs" }, views, controls, filters, axes, ranges, note, key,
    chart, reading, make("div", { class: "hp-x-row" }, reset, button("Download CSV", save), link), rows);
  host.append(root);
  let [marks, at, brushes, drag] = [[], -1, [], null];

  function set(changes) {
    const inputs = () => [...root.querySelectorAll("input, select, button")];
    const focused = inputs().indexOf(document.activeElement); // what stands before it stays as it is
    settle(table, Object.assign(state, changes));
    render();
    const { codes } = table.named.get(state.x);
    const isOneLevel = changes.x && codes && new Set(kept(table, state).map((row) => codes[row])).size < 2;
    if (!changes.out && state.out.size && (!marks.length || isOneLevel)) { // a choice goes before a filter
      settle(table, Object.assign(state, { out: new Map() }));
      render();
      note.prepend("Filters cleared, they left nothing to compare here. ");
    }
    inputs()[focused]?.focus();
    if (permalink) history.replaceState(history.state, "", link.href);
  }

  function followLink() {
    const [where, query] = location.hash.slice(1).split("?");
    if (!permalink || where !== name) return false;
    Object.assign(state, ofText(table, { ...first, ...Object.fromEntries(new URLSearchParams(query)) }));
    render();
    return true;
  }

  function menu(what, title, options) {
    const change = () => set({ [what]: one.value, ...(what === "x" ? { logx: undefined } : {}) });
    const one = make("select", { onchange: change }, ...options.map(([value, text]) => make("option", { value }, text)));
    one.value = state[what];
    return make("label", {}, title, one);
  }

  const tick = (title, checked, change) => make("label", {},
    make("input", { type: "checkbox", checked, onchange: (event) => change(event.target.checked) }), title);

  function fillControls() {
    const { view } = state;
    for (const input of views.querySelectorAll("input")) input.checked = input.value === view;
    const names = (columns) => columns.map((column) => [column.name, column.label]);
    const isXY = view === "points" || view === "isolation";
    const across = table.named.get(state.x);
    const flag = (what, title) => tick(title, state[what], (on) => set({ [what]: on }));
    controls.replaceChildren(...[
      isXY && menu("x", "across", names([...table.across, ...(view === "points" ? table.results : [])])),
      view === "curves" && menu("curve", "up", Object.keys(table.series).map((one) => [one, table.named.get(one).label])),
      (isXY || view === "parallel") && menu("y", view === "parallel" ? "coloured by" : "up", names(table.results)),
      (view === "points" || view === "curves") && menu("by", "colour by", [["", "nothing"], ...names(table.varied)]),
      view === "confusion" && menu("of", "setting", matricesOf(table, kept(table, state)).map((group) => [String(group[0]), settingText(table, group[0])])),
      view !== "confusion" && flag("seeds", "every seed"),
      isXY && (!across.codes || across.isNumeric) && flag("logx", "log across"),
      (isXY || view === "curves") && flag("logy", "log up"),
    ].filter(Boolean));
    axes.hidden = view !== "parallel";
    const axis = ({ name: one, label }) => tick(label, state.axes.includes(one), (on) => set({ axes: on ? [...state.axes, one] : state.axes.filter((other) => other !== one) }));
    const sets = (...parts) => make("div", { class: "hp-x-sets" }, ...parts.map(([title, boxes, more = null]) => make("fieldset", {}, make("legend", {}, title), make("div", {}, ...boxes), more)));
    axes.replaceChildren(axes.firstChild, sets(["settings", table.varied.map(axis)], ["results", table.results.map(axis)]));
    ranges.hidden = view !== "parallel";
    reset.hidden = ranges.hidden || !state.within.size;
    ranges.replaceChildren(ranges.firstChild, make("p", {}, "Only lines within all ranges stay in colour. Drag along an axis, or say the ends here."),
      sets(...(ranges.hidden ? [] : table.axes.filter((column) => state.axes.includes(column.name)).map((column) => [titled(column), ends(column)]))));
    filters.hidden = !table.varied.length;
    const left = ({ label, texts }, out) => `${label} ${texts.filter((_, code) => !out.has(code)).join(", ") || "none"}`;
    const used = [...state.out].map(([one, out]) => left(table.named.get(one), out)).join("; ");
    filters.firstChild.textContent = cut(used ? `Filter in use: ${used}` : "Filter", 90);
    filters.replaceChildren(filters.firstChild, sets(...table.varied.map((column) => {
      const out = state.out.get(column.name) || new Set();
      const used = usedCodes(column, column.codes.map((_, row) => row));
      const change = (codes) => set({ out: new Map([...state.out, [column.name, new Set(codes)]].filter(([, one]) => one.size)) });
      const boxes = used.map((code) => tick(column.texts[code], !out.has(code), (on) => change(on ? [...out].filter((one) => one !== code) : [...out, code])));
      const all = button(out.size ? "all" : "first only", () => change(out.size ? [] : used.slice(1)));
      return [column.label, boxes, used.length > 2 ? all : null];
    })));
  }

  const limit = (name, range) => set({ within: new Map([...state.within].filter(([one]) => one !== name).concat(range ? [[name, range]] : [])) });

  // The two ends of the range of an axis: numbers that are typed, or names that are chosen.
  function ends(column) {
    const range = state.within.get(column.name);
    const all = isMeasured(column) ? [-Infinity, Infinity] : [0, column.texts.length - 1];
    return ["from", "to"].map((title, i) => {
      const change = (value) => {
        const found = [...(range || all)];
        found[i] = value;
        limit(column.name, found[0] > found[1] ? [value, value] : String(found) === String(all) ? null : found);
      };
      const value = (range || all)[i];
      const one = isMeasured(column) ? make("input", { type: "number", step: "any", value: isFinite(value) ? value : "", onchange: (event) => change(event.target.value === "" ? all[i] : Number(event.target.value)) })
        : make("select", { onchange: (event) => change(Number(event.target.value)) }, ...column.texts.map((text, code) => make("option", { value: code, selected: code === value }, text)));
      one.setAttribute("aria-label", `${column.label}, ${title}`);
      return make("label", {}, `${title} `, one);
    });
  }

  function render() {
    fillControls();
    const width = max(300, min(736, root.clientWidth || 640));
    const svg = draw(null, "svg", { "aria-hidden": "true" });
    const found = DRAW[state.view](svg, width, table, state, kept(table, state));
    brushes = found.brushes || [];
    marks = found.marks.filter((mark) => isFinite(mark.x + mark.y)).sort((a, b) => a.x - b.x || a.y - b.y);
    const isEmpty = !marks.length && state.out.size > 0;
    if (isEmpty) svg.replaceChildren();
    svg.setAttribute("viewBox", `0 0 ${width} ${isEmpty ? 1 : found.height}`);
    draw(svg, "circle", { r: 8, fill: "none", stroke: FG, "stroke-width": 2, visibility: "hidden" });
    at = -1;
    chart.replaceChildren(svg);
    chart.setAttribute("aria-label", `${found.title}: ${plural(marks.length, "mark")}. Arrow keys go through them.`);
    reading.textContent = marks.length ? "Point at a mark, or use the arrow keys." : "";
    note.replaceChildren(...(isEmpty ? ["0 runs with these filters: ", button("clear them", () => set({ out: new Map() }))] : [found.note]));
    key.replaceChildren(...(found.key || []).map(({ paint, text }, i) => {
      const sample = draw(null, "svg", { viewBox: "-7 -7 14 14", "aria-hidden": "true" });
      draw(sample, "path", { d: state.view === "points" ? SHAPES[i % SHAPES.length] : "M-7-2H7V2H-7z", fill: paint });
      return make("li", {}, sample, text);
    }));
    const said = Object.entries(asText(table, state)).filter(([what, text]) => text !== first[what]);
    link.href = `#${name}${said.length ? "?" : ""}${new URLSearchParams(said)}`;
    fillRows();
  }

  function show(index) {
    at = index;
    const ring = chart.firstChild.lastChild;
    ring.setAttribute("visibility", "visible");
    ring.setAttribute("cx", marks[at].x);
    ring.setAttribute("cy", marks[at].y);
    reading.textContent = marks[at].text;
  }

  function onKey(event) {
    const last = marks.length - 1;
    const back = at < 0 ? last : at - 1;
    const to = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: back, ArrowUp: back, Home: 0, End: last }[event.key];
    if (to === undefined || last < 0) return;
    event.preventDefault();
    show(max(0, min(last, to)));
  }

  function spot(event) {
    const box = chart.firstChild.getBoundingClientRect();
    const scale = chart.firstChild.viewBox.baseVal.width / box.width;
    return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
  }

  // A range is dragged along an axis; a click on the axis takes it away.
  function onDown(event) {
    const brush = brushes[event.target.dataset?.axis];
    if (!brush) return;
    event.preventDefault();
    chart.setPointerCapture(event.pointerId);
    const [, y] = spot(event);
    drag = { ...brush, y, area: draw(chart.firstChild, "rect", { ...brush.box, y, height: 0, class: "hp-x-brush" }) };
  }

  const stretch = (event) => [spot(event)[1], drag.y].map((y) => max(drag.top, min(drag.bottom, y))).sort((a, b) => a - b);

  function onUp(event) {
    if (!drag) return;
    const [{ column, range }, [high, low]] = [drag, stretch(event)];
    drag = null;
    limit(column.name, low - high < 4 ? null : range(low, high));
  }

  function onMove(event) {
    if (drag) {
      const [high, low] = stretch(event);
      drag.area.setAttribute("y", high);
      drag.area.setAttribute("height", low - high);
      return;
    }
    const [x, y] = spot(event);
    const far = marks.map((mark) => hypot(mark.x - x, mark.y - y));
    const near = far.indexOf(min(...far));
    if (far[near] < 26 && near !== at) show(near);
  }

  function fillRows() {
    if (!rows.open) return;
    const y = table.named.get(state.y);
    const groups = groupsOf(table, chosen(table, state));
    const cells = (tag, texts) => make("tr", {}, ...texts.map((text) => make(tag, tag === "th" ? { scope: "col" } : {}, String(text))));
    const lines = groups.map((group) => cells("td", [...table.varied.map((column) => column.texts[column.codes[group[0]]]), group.length,
      lostText(table, group) || "none", meanText(y, groupMean(table, group, y))]));
    const head = cells("th", [...table.varied.map((column) => column.label), "runs", "lost", y.label]);
    rows.replaceChildren(rows.firstChild, make("div", { class: "hp-x-scroll", tabindex: "0", role: "region", "aria-label": "Data" },
      make("table", {}, make("thead", {}, head), make("tbody", {}, ...lines))));
  }

  function save() {
    const file = URL.createObjectURL(new Blob([csvOf(table, chosen(table, state))], { type: "text/csv" }));
    make("a", { href: file, download: `${name}.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(file), 1000);
  }

  let width = root.clientWidth;
  const watch = new ResizeObserver(() => {
    if (width !== root.clientWidth) render();
    width = root.clientWidth;
  });
  if (followLink()) root.scrollIntoView();
  else render();
  addEventListener("hashchange", followLink);
  watch.observe(root);
  return { state, set, destroy: () => { watch.disconnect(); removeEventListener("hashchange", followLink); root.remove(); } };
}

// ---- views

function counted(table, rows) {
  const groups = groupsOf(table, rows);
  const lost = lostText(table, rows);
  return `${rows.length} of ${plural(table.n, "run")} in ${plural(groups.length, "setting")}${lost && `, ${lost}`}.`;
}

// Axes, grid and labels; returns the height of the drawing.
function frame(svg, width, x, y, xTitle, yTitle) {
  const right = width - RIGHT;
  for (const tick of y.ticks) {
    line(svg, [[LEFT, tick.at], [right, tick.at]], GRID);
    words(svg, LEFT - 8, tick.at + 4, tick.text, "end");
  }
  line(svg, [[LEFT, BOTTOM], [right, BOTTOM]], FG);
  const longest = max(...x.ticks.map((tick) => tick.text.length));
  const isTurned = x.step < longest * 7 + 8;
  let last = -Infinity;
  for (const { at, text } of x.ticks) {
    line(svg, [[at, BOTTOM], [at, BOTTOM + 5]], FG);
    const half = isTurned ? 6 : text.length * 3.5;
    if (at - half < last) continue;
    if (isTurned) turned(svg, at + 4, BOTTOM + 16, cut(text, 22), -38, "end");
    else words(svg, at, BOTTOM + 20, text, "middle");
    last = at + half + 6;
  }
  const low = BOTTOM + (isTurned ? 34 + min(22, longest) * 4.3 : 42);
  words(svg, (LEFT + right) / 2, low, xTitle, "middle");
  words(svg, 0, 12, yTitle);
  return low + 10;
}

function acrossScale(column, rows, width, isLog) {
  const [from, to] = [LEFT, width - RIGHT];
  if (!column.codes) {
    const scale = numberScale(rows.map((row) => (column.numbers[row] ?? NaN) * column.scale), from, to, isLog);
    return { ...scale, of: (row) => scale.at((column.numbers[row] ?? NaN) * column.scale) };
  }
  const used = usedCodes(column, rows);
  if (!column.isNumeric || used.length < 2 || (isLog && column.values[used[0]] <= 0)) {
    const scale = levelScale(column, used, from, to);
    return { ...scale, room: scale.step, of: (row) => scale.at(column.codes[row]) };
  }
  const scale = numberScale(used.map((code) => column.values[code]), from + 14, to - 14, isLog);
  const places = used.map((code) => scale.at(column.values[code]));
  return { ticks: used.length > 14 || !isTyped(column, used) ? scale.ticks : used.map((code, i) => ({ at: places[i], text: column.texts[code] })),
    room: min(...places.slice(1).map((place, i) => place - places[i])), of: (row) => scale.at(column.values[column.codes[row]]) };
}

const DRAW = {
  points(svg, width, table, state, all, rings = []) {
    const [x, y, by] = [state.x, state.y, state.by].map((name) => table.named.get(name));
    const isStrip = !!x.codes;
    const rows = all.filter((row) => table.lost.has(row) || (y.numbers[row] !== null && (isStrip || x.numbers[row] !== null)));
    const groups = groupsOf(table, rows);
    const means = groups.map((group) => groupMean(table, group, y));
    const across = acrossScale(x, [...rows, ...rings.map((one) => one.group[0])], width, state.logx);
    const hasBars = isStrip && groups.length <= MOST_BARS;
    const seen = [...rings.map((one) => one.mean), ...(state.seeds ? valuesOf(table, rows, y) : []), ...means.flatMap((one) => (hasBars ? [one.mean, one.low, one.high] : one.mean))];
    const scale = numberScale(seen.map((value) => value * y.scale), BOTTOM, TOP, state.logy);
    const up = (value) => scale.at(value * y.scale);
    const height = frame(svg, width, across, scale, isStrip ? x.label : titled(x), titled(y));
    const { paint, shape, key } = coding(by, rows);
    // Settings that share a place stand side by side.
    const here = Object.groupBy(groups.map((group) => group[0]), (row) => (isStrip ? x.codes[row] : 0));
    const most = max(...Object.values(here).map((firsts) => firsts.length));
    const room = min(across.room || 0, 90) * (x.isNumeric ? 0.3 : 0.7);
    const marks = rings.map((one) => ({ x: across.of(one.group[0]), y: up(one.mean), text: fullText(table, y, one, one.group[0]) }));
    for (const { x: cx, y: cy } of marks.filter((one) => isFinite(one.y))) draw(svg, "circle", { cx, cy, r: 3, fill: "none", stroke: MUTED });
    const lines = {};
    groups.forEach((group, g) => {
      const [row0, mean] = [group[0], means[g]];
      const beside = here[isStrip ? x.codes[row0] : 0];
      const aside = isStrip && beside.length > 1 ? (beside.indexOf(row0) / (beside.length - 1) - 0.5) * min(room, beside.length * 9) : 0;
      group.forEach((row, i) => {
        const cx = across.of(row) + aside + (isStrip && group.length > 1 ? (i / (group.length - 1) - 0.5) * min(14, (room / most) * 0.8) : 0);
        const said = `${isStrip ? "" : `${x.label} ${shown(x, x.numbers[row])}, `}${settingText(table, row)}, ${runText(table, row)}`;
        if (table.lost.has(row) && isStrip) {
          const isDiverged = table.lost.get(row) === "diverged";
          words(svg, cx, 41, isDiverged ? "\u00d7" : "\u25bf", "middle", { style: `fill: ${isDiverged ? "var(--x-c2)" : MUTED}` });
          marks.push({ x: cx, y: 36, text: `${lostText(table, [row]).slice(2)}: ${said}` });
        } else if (!table.lost.has(row) && state.seeds && isFinite(up(y.numbers[row]))) {
          draw(svg, "circle", { cx, cy: up(y.numbers[row]), r: 2.4, fill: paint(row), "fill-opacity": 0.55 });
          marks.push({ x: cx, y: up(y.numbers[row]), text: `${y.label} ${shown(y, y.numbers[row])}: ${said}` });
        }
      });
      if (!isFinite(up(mean.mean)) || (state.seeds && !isStrip)) return;
      const cx = meanOf(group.map(across.of).filter(isFinite)).mean + aside;
      const cy = meanMark(svg, cx, hasBars ? mean : { mean: mean.mean }, up, paint(row0), shape(row0));
      marks.push({ x: cx, y: cy, text: fullText(table, y, mean, row0) });
      (lines[by ? by.codes[row0] : 0] ||= []).push([cx, cy, row0]);
    });
    for (const points of Object.values(lines)) {
      const isSearched = !rings.length && x.isNumeric && !isTyped(x, usedCodes(x, rows)); // a line through values that nobody chose says nothing
      if (!isStrip || !x.isNumeric || isSearched || usedCodes(x, points.map((point) => point[2])).length < points.length) continue;
      points.sort((a, b) => a[0] - b[0]);
      svg.prepend(line(svg, points.map(([cx, cy]) => [cx, cy]), paint(points[0][2]), { "stroke-opacity": 0.6 }));
    }
    const how = isStrip ? `Means ${hasBars ? "with 95 % intervals" : "alone, as there are many"}${state.seeds ? ", and every run" : ""}.` : `Every mark is ${state.seeds ? "a run" : "a mean"}.`;
    return { title: `${y.label} against ${x.label}`, note: `${counted(table, rows)} ${how}`, marks, height, key };
  },

  // Settings that lost a run are passed over while there are others.
  isolation(svg, width, table, state, all) {
    const [x, y] = [state.x, state.y].map((name) => table.named.get(name));
    const means = groupsOf(table, all).map((group) => ({ group, isLost: group.some((row) => table.lost.has(row)), ...groupMean(table, group, y) })).filter((one) => isFinite(one.mean));
    const levels = Object.values(Object.groupBy(means, (one) => x.codes[one.group[0]]));
    const best = y.better ? levels.map((here) => here.sort((a, b) => a.isLost - b.isLost || (a.n < 2) - (b.n < 2) || (b.mean - a.mean) * y.better)[0]) : [];
    const found = DRAW.points(svg, width, table, { ...state, by: "" }, best.flatMap((one) => one.group), means);
    const how = y.better ? "Rings are means of settings, the line is the best of each level. The best of many is flattered by luck." : `It cannot be said whether more or less ${y.label} is better.`;
    return { ...found, title: `${found.title}, best over the rest`, note: `${counted(table, all)} ${how}` };
  },

  parallel(svg, width, table, state, all) {
    const { y, columns, rows, lines } = linesOf(table, state, all);
    const [top, bottom] = [100, 380];
    const places = columns.map((_, i) => 46 + (i * (width - 126)) / max(1, columns.length - 1));
    const scales = columns.map((column, k) => {
      const used = column.codes ? usedCodes(column, rows) : [];
      if (!isMeasured(column)) return { ...levelScale(column, used, bottom, top), used };
      const scale = numberScale(lines.map((one) => one.values[k]), bottom, top, column.log, 0.02);
      return used.length && isTyped(column, used) ? { ...scale, ticks: used.map((code) => ({ at: scale.at(column.values[code]), text: column.texts[code] })) } : scale;
    });
    const ranked = lines.map((one) => one.y).filter(isFinite).sort((a, b) => a - b); // so one outlier hides nothing
    const rank = new Map(ranked.map((one, i) => [one, i / max(1, ranked.length - 1)]));
    const marks = [];
    const isLimited = state.within.size > 0;
    for (const { of, values, y: mean, isIn } of lines.sort((a, b) => a.isIn - b.isIn || (a.y - b.y) * (y.better < 0 ? -1 : 1))) {
      const points = values.map((one, k) => [places[k], scales[k].at(one)]).filter(isDrawn);
      if (!points.length) continue;
      const isFaint = !isFinite(mean) || (lines.length > 300 && !(isLimited && isIn));
      line(svg, points, !isIn ? GRID : isFinite(mean) ? ramp(rank.get(mean)) : MUTED, { "stroke-opacity": isFaint ? 0.4 : 0.75 });
      const [cx, cy] = points.at(-1);
      if (isIn) marks.push({ x: cx, y: cy, text: `${y.label} ${shown(y, mean)}: ${settingText(table, of[0])}, ${state.seeds ? runText(table, of[0]) : plural(of.length, "run")}` });
    }
    const brushes = columns.map((column, k) => {
      const box = { x: places[k] - 7, width: 14 };
      line(svg, [[places[k], top], [places[k], bottom]], FG);
      turned(svg, places[k], top - 8, cut(column.label, width < 500 ? min(20, floor((width - places[k]) / 6)) : 20), -35, "start");
      let last = Infinity;
      for (const tick of scales[k].ticks) {
        if (last - tick.at < 13) continue;
        last = tick.at;
        words(svg, places[k] - 5, tick.at + 4, cut(tick.text, 12), "end", { stroke: BG, "stroke-width": 3, "paint-order": "stroke" });
      }
      const { at, back, step, used } = scales[k];
      const within = state.within.get(column.name);
      if (within) {
        const inside = used?.filter((code) => code >= within[0] && code <= within[1]).map(at);
        const [low, high] = used ? [max(...inside) + step / 2, min(...inside) - step / 2] : within.map((end, i) => (isFinite(end) ? at(end) : [bottom, top][i]));
        const [up, down] = [max(top, min(bottom, high)), max(top, min(bottom, low))];
        if (isFinite(down - up)) draw(svg, "rect", { ...box, y: up, height: max(2, down - up), class: "hp-x-brush" });
      }
      draw(svg, "rect", { x: places[k] - 14, width: 28, y: top - 6, height: bottom - top + 12, class: "hp-x-axis", "data-axis": String(k) });
      const range = (low, high) => {
        if (!used) return [back(low), back(high)].map((value) => Number(value.toPrecision(4)));
        const inside = used.filter((code) => at(code) >= high && at(code) <= low);
        return inside.length ? [min(...inside), max(...inside)] : null;
      };
      return { column, box, top, bottom, range };
    });
    const key = [0, 0.5, 1].filter(() => ranked.length).map((share) => ({ paint: ramp(share), text: `${y.label} ${shown(y, ranked[round(share * (ranked.length - 1))])}` }));
    const how = `Every line is ${state.seeds ? "a run" : "a mean"}, coloured by its rank in ${y.label}.`;
    const grey = !isLimited && lines.some((one) => !isFinite(one.y)) ? ` Grey ones have no ${y.label}.` : "";
    const inside = isLimited ? ` ${lines.filter((one) => one.isIn).length} of ${plural(lines.length, "line")} in the ranges.` : "";
    return { title: `Parallel coordinates, coloured by ${y.label}`, note: `${counted(table, rows)} ${how}${grey}${inside}`, marks, height: bottom + 20, key, brushes };
  },

  // A setting is its mean with a band, unless a run of it was stopped early: then each run is a line of its own, one
  // that was stopped is dashed up to where it was.
  curves(svg, width, table, state, all) {
    const { at: placesOf, which, x: along } = table.data.curves;
    const [series, column, by] = [table.series[state.curve], table.named.get(state.curve), table.named.get(state.by)];
    const groups = groupsOf(table, all).map((group) => ({ isCut: isCensored(table, group), same: group.filter((row) => series[row]) })).filter((one) => one.same.length);
    const rows = groups.flatMap((one) => one.same);
    const isFew = groups.length <= MOST_BANDS;
    const coded = coding(by, rows);
    const pointsOf = (row) => placesOf[which[row]].map((place, i) => ({ place, mean: series[row][i] })).filter((point) => isFinite(point.mean));
    // A mean is taken where every repeat has a value: one that diverged ends the line.
    const lines = groups.map(({ isCut, same: every }, g) => {
      const row = every[0];
      const same = isCut ? every : every.filter((one) => which[one] === which[row]);
      const points = isCut ? [] : placesOf[which[row]].map((place, i) => ({ place, ...meanOf(same.map((one) => series[one][i]).filter(isFinite), column.low, column.high) })).filter((point) => point.n === same.length);
      return { row, isCut, same, points, paint: by ? coded.paint(row) : colour(isFew ? g : 0) };
    });
    const seen = lines.flatMap(({ points, same, isCut }) => [...points.flatMap((one) => (isFew && !state.logy ? [one.mean, one.low, one.high] : one.mean)), ...(isCut || (state.seeds && isFew) ? same.flatMap((row) => series[row].filter(isFinite)) : [])]);
    const x = numberScale([0, ...[...new Set(rows.map((row) => which[row]))].flatMap((i) => placesOf[i])], LEFT, width - RIGHT, false, 0.01);
    const y = numberScale(seen.map((value) => value * column.scale), BOTTOM, TOP, state.logy);
    const height = frame(svg, width, x, y, along.label, titled(column));
    const to = ({ place, mean }) => [x.at(place), y.at(mean * column.scale)];
    const marks = [];
    for (const { row, isCut, same, points, paint } of lines) {
      for (const one of isCut ? same : []) {
        const isStopped = table.lost.has(one);
        const drawn = pointsOf(one).map((point) => ({ ...point, to: to(point) })).filter((point) => isDrawn(point.to));
        if (!drawn.length) continue;
        line(svg, drawn.map((point) => point.to), paint, { "stroke-opacity": isFew ? 0.8 : 0.4, ...(isStopped ? { "stroke-dasharray": "5 4" } : {}) });
        const { place, mean, to: [cx, cy] } = drawn.at(-1);
        if (isStopped) words(svg, cx, cy + 5, "\u25bf", "middle", { style: `fill: ${paint}` });
        marks.push({ x: cx, y: cy, text: `${isStopped ? "stopped early at" : "one run, no mean, as others of its setting were stopped early;"} ${along.label} ${short(place)}, ${column.label} ${shown(column, mean)}: ${settingText(table, one)}, ${runText(table, one)}` });
      }
      const [low, high] = ["low", "high"].map((end) => points.map((one) => to({ ...one, mean: one[end] })).filter(isDrawn));
      if (isFew && low.length > 1) draw(svg, "path", { d: `${path([...low, ...high.reverse()])}Z`, fill: paint, "fill-opacity": 0.18 });
      if (isFew && state.seeds && !isCut) for (const one of same) line(svg, pointsOf(one).map(to).filter(isDrawn), paint, { "stroke-opacity": 0.35, "stroke-width": 0.8 });
      if (points.length) line(svg, points.map(to).filter(isDrawn), paint, isFew ? { "stroke-width": 2 } : { "stroke-opacity": 0.6 });
      for (const one of isFew ? points : points.slice(-1)) {
        const [cx, cy] = to(one);
        marks.push({ x: cx, y: cy, text: `${along.label} ${short(one.place)}: ${fullText(table, column, one, row)}` });
      }
    }
    const key = by ? coded.key : isFew && lines.length > 1 ? lines.map(({ row, paint }) => ({ paint, text: settingText(table, row) })) : [];
    const nCut = groups.filter((one) => one.isCut).length;
    const how = nCut === groups.length ? "" : isFew ? "Bands are 95 % intervals." : `No bands for more than ${MOST_BANDS} settings: filter to see them.`;
    const stopped = nCut ? ` ${plural(nCut, "setting")} without a mean, as runs were stopped early: each run is a line, dashed up to \u25bf where it was stopped.` : "";
    return { title: `${column.label} along training`, note: `${counted(table, rows)} ${how}${stopped}`, marks, height, key };
  },

  confusion(svg, width, table, state, all) {
    const { names, counts } = table.data.confusion;
    const group = matricesOf(table, all).find((one) => String(one[0]) === state.of);
    if (!group) return { title: "Confusion matrix", note: "No run that is shown has one.", marks: [], height: 20 };
    const n = names.length;
    const left = min(120, 20 + 7 * max(...names.map((name) => name.length)));
    const cell = min(38, (width - left - 10) / n);
    const marks = [];
    words(svg, 0, 14, "true class down, predicted class across, % of the true class");
    names.forEach((name, i) => {
      const sums = names.map((_, j) => sumOf(group.map((row) => counts[row][i * n + j])));
      const whole = sumOf(sums);
      words(svg, left - 6, 44 + (i + 0.5) * cell, name, "end");
      if (left > 60) turned(svg, left + (i + 0.5) * cell + 4, 52 + n * cell, name, -50, "end");
      else words(svg, left + (i + 0.5) * cell, 56 + n * cell, name, "middle");
      sums.forEach((count, j) => {
        const share = count / (whole || 1);
        const [x, y] = [left + j * cell, 40 + i * cell];
        draw(svg, "rect", { x, y, width: cell - 1, height: cell - 1, fill: colour(i === j ? 0 : 1), "fill-opacity": String(0.04 + 0.96 * sqrt(share)), stroke: GRID });
        if (cell >= 26 && count) words(svg, x + cell / 2, y + cell / 2 + 4, round(100 * share), "middle", { style: share > 0.3 ? "fill: var(--x-bg)" : "" });
        marks.push({ x: x + cell / 2, y: y + cell / 2, text: `true ${name}, predicted ${names[j]}: ${count} of ${whole}` });
      });
    });
    return { title: "Confusion matrix", note: `${plural(group.length, "run")} of one setting added up: ${settingText(table, group[0])}.`, marks, height: 40 + n * cell + (left > 60 ? left : 30) };
  },
};

// ---- hosts

export default {
  render: ({ model, el }) => mount(el, model.get("data"), { permalink: false }).destroy,
};

for (const script of globalThis.document?.querySelectorAll("script.hp-explorer-data") || []) {
  const place = document.getElementById(script.dataset.for);
  const still = [...place.children];
  try {
    mount(place, JSON.parse(script.textContent), { name: place.id });
    for (const one of still) one.hidden = true;
  } catch (error) {
    console.error(`${place.id} stays a figure: ${error.message}`);
  }
}
