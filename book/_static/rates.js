// Two pieces on recorded runs at several learning rates: drag the rate, and predict the curve before it is shown.
"use strict";

{
  const { make, draw, slider, chart, place } = hplabPieces;
  const percent = (value) => `${(100 * value).toFixed(1)} %`;

  const drag = place("drag-rate");
  if (drag) {
    const { root, data } = drag;
    const figure = make("div", { className: "hp-piece-chart" });
    const says = make("p", { className: "hp-piece-says" });
    says.setAttribute("aria-live", "polite");

    function show(i) {
      const { text, mean, low, high, seeds } = data.rates[i];
      const epochs = mean.map((_, epoch) => epoch + 1);
      const points = (values) => values.map((value, epoch) => [epochs[epoch], 100 * value]);
      const picture = chart({ x: [1, epochs.length], y: [0, 100], xTitle: "epoch", yTitle: "validation accuracy (%)",
        label: `Validation accuracy by epoch at learning rate ${text}` });
      for (const other of data.rates) picture.line(points(other.mean), { stroke: "var(--hp-muted)", "stroke-opacity": 0.3, "stroke-width": 1 });
      if (low) picture.band(points(low), points(high), { fill: "var(--hp-c1)" });
      for (const seed of seeds) picture.line(points(seed), { stroke: "var(--hp-c1)", "stroke-opacity": 0.5, "stroke-width": 1 });
      picture.line(points(mean), { stroke: "var(--hp-c1)", "stroke-width": 3 });
      figure.replaceChildren(picture.svg);
      const end = mean.length - 1;
      const interval = low ? `, 95 % interval ${percent(low[end])} to ${percent(high[end])}` : "";
      says.textContent = `Learning rate ${text}: ${percent(mean[end])} after ${end + 1} epochs (mean of ${seeds.length} seeds${interval}).`;
    }

    const start = Math.floor(data.rates.length / 2);
    const { label } = slider("Learning rate", { min: 0, max: data.rates.length - 1, step: 1, value: start }, (i) => data.rates[i].text, show);
    root.append(make("div", { className: "hp-piece-controls" }, label), figure, says);
    show(start);
  }

  const dice = place("seed-dice");
  if (dice) {
    const { root, data } = dice;
    const says = make("p", { className: "hp-piece-says" });
    says.setAttribute("role", "status");
    const wins = [0, 0];
    const end = (seeds) => seeds.map((one) => one.at(-1));
    const chosen = () => menus.map((menu) => data.rates[Number(menu.value)]);

    function roll() {
      const both = chosen();
      const drawn = both.map(({ seeds }) => Math.floor(Math.random() * seeds.length));
      const values = both.map(({ seeds }, i) => end(seeds)[drawn[i]]);
      if (values[0] !== values[1]) wins[values[0] > values[1] ? 0 : 1]++;
      const who = values[0] === values[1] ? "A tie" : `${both[values[0] > values[1] ? 0 : 1].text} wins`;
      says.textContent = `${both.map(({ text }, i) => `${text}: ${percent(values[i])}`).join(", ")}. ${who}. `
        + `Wins so far: ${both[0].text} ${wins[0]}, ${both[1].text} ${wins[1]}.`;
    }

    // What rolling without end would give: every run of the one against every run of the other.
    function tell() {
      const both = chosen();
      const [a, b] = both.map(({ seeds }) => end(seeds));
      const pairs = a.flatMap((one) => b.map((other) => Math.sign(one - other)));
      const of = (sign) => pairs.filter((one) => one === sign).length;
      const means = both.map(({ text, mean }) => `${text} ${percent(mean.at(-1))}`).join(", ");
      says.textContent = `Of all ${pairs.length} pairs of one run each ${both[0].text} wins ${of(1)}, ${both[1].text} ${of(-1)}, and ${of(0)} are ties. Means of all seeds: ${means}.`;
    }

    const change = () => {
      wins.fill(0);
      says.textContent = "Roll: one recorded run of each, drawn by chance.";
    };
    const menus = data.start.map((start, k) => {
      const menu = make("select", { onchange: change }, ...data.rates.map(({ text }, i) => make("option", { value: i }, text)));
      menu.value = start;
      menu.setAttribute("aria-label", `Learning rate ${k + 1}`);
      return menu;
    });
    const button = (textContent, onclick) => make("button", { type: "button", textContent, onclick });
    root.append(make("div", { className: "hp-piece-controls" }, ...menus, button("Roll", roll), button("Show all pairs", tell)), says);
    change();
  }

  const predict = place("predict");
  if (predict) {
    const { root, data } = predict;
    const { rates } = data;
    const last = rates.length - 1;
    const guess = rates.map(() => null);
    let [at, isShown] = [0, false];
    const figure = make("div", { className: "hp-piece-chart", tabIndex: 0 });
    figure.setAttribute("role", "application");
    figure.setAttribute("aria-label", "Draw your curve: left and right choose a learning rate, up and down move your guess.");
    const says = make("p", { className: "hp-piece-says" });
    says.setAttribute("aria-live", "polite");
    const value = ({ mean }) => mean.at(-1);

    let picture;
    function show() {
      picture = chart({ x: [rates[0].rate / 1.5, rates[last].rate * 1.5], log: true, y: [0, 100], xTitle: "learning rate",
        yTitle: "validation accuracy (%)", label: "Your curve", marks: rates.map(({ rate, text }) => [rate, text]) });
      if (isShown) {
        const ends = (name) => rates.filter((one) => one.low).map((one) => [one.rate, 100 * one[name].at(-1)]);
        picture.band(ends("low"), ends("high"), { fill: "var(--hp-c1)" });
        picture.line(rates.map((one) => [one.rate, 100 * value(one)]), { stroke: "var(--hp-c1)", "stroke-width": 3 });
      }
      const drawn = rates.flatMap(({ rate }, i) => (guess[i] === null ? [] : [[rate, 100 * guess[i]]]));
      if (drawn.length) picture.line(drawn, { stroke: "var(--hp-c2)", "stroke-dasharray": "6 4" });
      for (const [rate, height] of drawn) {
        const [cx, cy] = picture.at(rate, height);
        draw(picture.svg, "circle", { cx, cy, r: 4.5, fill: "var(--hp-c2)" });
      }
      if (!isShown) {
        const [x] = picture.at(rates[at].rate, 50);
        picture.svg.prepend(draw(picture.svg, "path", { d: `M${x} 26V256`, stroke: "var(--hp-rule)", "stroke-width": 18, "stroke-opacity": 0.5 }));
      }
      figure.replaceChildren(picture.svg);
      reveal.disabled = !isShown && drawn.length < rates.length;
      reveal.textContent = isShown ? "Try again" : "Show what was recorded";
    }

    function set(i, share) {
      [at, guess[i]] = [i, Math.max(0, Math.min(1, share))];
      const left = guess.filter((one) => one === null).length;
      says.textContent = `Your guess at learning rate ${rates[i].text}: ${percent(guess[i])}.${left ? ` ${left} to go.` : " All drawn: show what was recorded."}`;
      show();
    }

    function judge() {
      if (isShown) {
        guess.fill(null);
        isShown = false;
        says.textContent = "Draw again.";
      } else {
        isShown = true;
        const off = guess.reduce((sum, one, i) => sum + Math.abs(one - value(rates[i])), 0) / rates.length;
        const best = (values) => rates[values.indexOf(Math.max(...values))].text;
        says.textContent = `Your curve is off by ${(100 * off).toFixed(1)} percentage points on average. You put the best rate at ${best(guess)}; recorded it is ${best(rates.map(value))} `
          + `(means of ${data.seeds} seeds, the band is their 95 % interval).`;
      }
      show();
    }

    figure.addEventListener("keydown", (event) => {
      const here = guess[at] ?? guess.slice(0, at).findLast((one) => one !== null) ?? 0.5;
      const moves = { ArrowLeft: () => (at = Math.max(0, at - 1)), ArrowRight: () => (at = Math.min(last, at + 1)),
        ArrowUp: () => set(at, here + 0.02), ArrowDown: () => set(at, here - 0.02), PageUp: () => set(at, here + 0.1), PageDown: () => set(at, here - 0.1) };
      if (!(event.key in moves) || isShown) return;
      event.preventDefault();
      moves[event.key]();
      if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
        says.textContent = `Learning rate ${rates[at].text}: ${guess[at] === null ? "no guess yet" : percent(guess[at])}.`;
        show();
      }
    });
    const follow = (event) => {
      if (isShown || !event.buttons) return;
      const box = picture.svg.getBoundingClientRect();
      const scale = picture.svg.viewBox.baseVal.width / box.width;
      const [x, y] = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
      const far = rates.map(({ rate }) => Math.abs(picture.at(rate, 0)[0] - x));
      set(far.indexOf(Math.min(...far)), picture.back(y) / 100);
    };
    figure.addEventListener("pointerdown", (event) => {
      figure.setPointerCapture(event.pointerId);
      follow(event);
    });
    figure.addEventListener("pointermove", follow);
    const reveal = make("button", { type: "button", onclick: judge });
    const skip = make("button", { type: "button", textContent: "Fill in the rest with 50 %", onclick: () => {
      guess.forEach((one, i) => (guess[i] = one ?? 0.5));
      show();
    } });
    root.append(figure, says, make("div", { className: "hp-piece-controls" }, reveal, skip));
    says.textContent = "Draw with the pointer from left to right, or with the arrow keys.";
    show();
  }
}
