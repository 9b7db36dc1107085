// Live units dying: the recorded number of units that still answer some image, after early steps of training.
"use strict";

{
  const { make, draw, slider, place } = hplabPieces;
  const found = place("units");
  if (found) {
    const { root, data } = found;
    const across = 16;
    const gap = 22;
    const chosen = { change: 0, at: 0 };
    let timer = null;
    const figure = make("div", { className: "hp-piece-chart" });
    const says = make("p", { className: "hp-piece-says" });
    says.setAttribute("aria-live", "polite");

    function show() {
      const { name, counts } = data.changes[chosen.change];
      const now = counts.map((run) => run[chosen.at]);
      const mean = now.reduce((sum, one) => sum + one, 0) / now.length;
      const live = Math.round(mean);
      const height = Math.ceil(data.units / across) * gap;
      const svg = draw(document.createDocumentFragment(), "svg", { viewBox: `0 0 ${across * gap} ${height}`, role: "img",
        "aria-label": `${live} of ${data.units} units live after ${data.steps[chosen.at]} steps` });
      for (let i = 0; i < data.units; i++) {
        const isLive = i < live;
        draw(svg, "circle", { cx: ((i % across) + 0.5) * gap, cy: (Math.floor(i / across) + 0.5) * gap, r: isLive ? 8 : 4,
          fill: isLive ? "var(--hp-c3)" : "none", stroke: isLive ? "var(--hp-c3)" : "var(--hp-muted)" });
      }
      figure.replaceChildren(svg);
      const range = now.length > 1 ? ` (from ${Math.min(...now)} to ${Math.max(...now)} in ${now.length} seeds)` : "";
      const steps = data.steps[chosen.at] === 1 ? "one step" : `${data.steps[chosen.at]} steps`;
      says.textContent = `${name}: ${mean.toFixed(1)} of ${data.units} units are live after ${steps}${range}.`;
    }

    function stop() {
      clearInterval(timer);
      timer = null;
      play.textContent = "Play";
    }

    const time = slider("After step", { min: 0, max: data.steps.length - 1, step: 1, value: 0 }, (i) => String(data.steps[i]), (i) => {
      chosen.at = i;
      show();
    });
    const move = (i) => {
      time.input.value = i;
      time.input.dispatchEvent(new Event("input"));
    };
    const menu = make("select", { onchange: () => {
      chosen.change = menu.selectedIndex;
      show();
    } }, ...data.changes.map(({ name }) => make("option", {}, name)));
    const play = make("button", { type: "button", textContent: "Play", onclick: () => {
      if (timer) return stop();
      play.textContent = "Stop";
      move(0);
      timer = setInterval(() => (chosen.at < data.steps.length - 1 ? move(chosen.at + 1) : stop()), 700);
    } });
    root.append(make("div", { className: "hp-piece-controls" }, make("label", {}, "Change ", menu), time.label, play), figure, says);
    show();
  }
}
