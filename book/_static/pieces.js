// What the pieces that teach share: elements, a line chart, reading a piece's data. No library, no request.
"use strict";

const hplabPieces = (() => {
  function make(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name in node && name !== "list") node[name] = value;
      else node.setAttribute(name, value);
    }
    node.append(...children);
    return node;
  }

  function draw(parent, tag, attributes, text) {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    if (text !== undefined) node.textContent = text;
    parent.append(node);
    return node;
  }

  // A range input with its name and its value in words.
  function slider(title, attributes, say, change) {
    const value = make("output");
    const input = make("input", { type: "range", ...attributes });
    const update = () => {
      value.textContent = say(Number(input.value));
      input.setAttribute("aria-valuetext", value.textContent);
    };
    input.addEventListener("input", () => {
      update();
      change(Number(input.value));
    });
    update();
    return { input, label: make("label", {}, `${title} `, value, input) };
  }

  const rounded = (value) => Math.round(value * 10) / 10;
  const path = (points) => points.map(([x, y], i) => `${i ? "L" : "M"}${rounded(x)} ${rounded(y)}`).join("");

  // Ticks at 1, 2 or 5 times a power of ten.
  function ticks(low, high) {
    const rough = (high - low) / 5;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
    const first = Math.ceil(low / step - 1e-9);
    const last = Math.floor(high / step + 1e-9);
    return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
  }

  /* An empty chart: { svg, at(x, y), back(pixels), line(points, options), band(low, high, options) }.
     x and y are [low, high]; with `log`, the places of x are logarithmic; `marks` are its ticks, [value, text] each. */
  function chart({ x, y, xTitle, yTitle, label, marks, log = false, height = 300 }) {
    const width = Math.max(300, Math.min(614, document.querySelector(".hp-piece").clientWidth));
    const [left, right, top, bottom] = [52, width - 12, 26, height - 44];
    const svg = draw(document.createDocumentFragment(), "svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
    const move = log ? Math.log10 : (value) => value;
    const across = (value) => left + ((move(value) - move(x[0])) / (move(x[1]) - move(x[0]))) * (right - left);
    const up = (value) => bottom - ((value - y[0]) / (y[1] - y[0])) * (bottom - top);
    for (const tick of ticks(...y)) {
      draw(svg, "path", { d: `M${left} ${rounded(up(tick))}H${right}`, stroke: "var(--hp-grid)" });
      draw(svg, "text", { x: left - 8, y: rounded(up(tick)) + 4, "text-anchor": "end" }, String(tick));
    }
    draw(svg, "path", { d: `M${left} ${bottom}H${right}`, stroke: "var(--hp-fg)" });
    let end = -Infinity; // of the last label
    for (const [value, text] of marks || ticks(...x).map((tick) => [tick, String(tick)])) {
      draw(svg, "path", { d: `M${rounded(across(value))} ${bottom}v5`, stroke: "var(--hp-fg)" });
      if (across(value) - end < 4 * text.length) continue;
      end = across(value) + 4 * text.length;
      draw(svg, "text", { x: rounded(across(value)), y: bottom + 20, "text-anchor": "middle" }, text);
    }
    draw(svg, "text", { x: (left + right) / 2, y: height - 6, "text-anchor": "middle" }, xTitle);
    draw(svg, "text", { x: 0, y: 13 }, yTitle);
    const at = (a, b) => [across(a), Math.max(top - 4, Math.min(bottom, up(b)))];
    const line = (points, options) => draw(svg, "path", { d: path(points.map(([a, b]) => at(a, b))), fill: "none", "stroke-width": 2, ...options });
    const band = (low, high, options) => draw(svg, "path", { d: `${path([...low, ...high.slice().reverse()].map(([a, b]) => at(a, b)))}Z`, "fill-opacity": 0.18, ...options });
    const back = (pixels) => y[0] + ((bottom - pixels) / (bottom - top)) * (y[1] - y[0]);
    return { svg, at, back, line, band };
  }

  // Where a piece stands: its element, emptied of what stands there without scripts, and its data.
  function place(name) {
    const root = document.getElementById(`hp-${name}`);
    if (!root) return null;
    const data = JSON.parse(document.getElementById(`hp-${name}-data`).textContent);
    for (const still of root.children) still.hidden = true;
    return { root, data };
  }

  return { make, draw, slider, chart, place };
})();
