// A small network that is trained in the page: the arithmetic first, then its controls. No library, no request.
"use strict";

/* Linear layers with ReLU between them, mean cross-entropy, plain SGD: what hplab's "mlp" with "sgd" computes
   (tests/browser/test_pieces.py holds the two together). A network is a list of layers { inputs, outputs, weight,
   bias }; weight[o * inputs + i] leads from input i to output o. Images are rows of one flat array. */
const hplabNetwork = (() => {
  // Random numbers from 0 to 1 (mulberry32), the same for the same seed.
  function random(seed) {
    let state = seed >>> 0;
    return () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let t = Math.imul(state ^ (state >>> 15), 1 | state);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
  }

  // Weights and biases are uniform up to 1 / sqrt(inputs), as PyTorch draws them.
  function init(widths, next) {
    return widths.slice(1).map((outputs, i) => {
      const inputs = widths[i];
      const draw = () => ((2 * next() - 1) / Math.sqrt(inputs));
      return { inputs, outputs, weight: Float64Array.from({ length: inputs * outputs }, draw), bias: Float64Array.from({ length: outputs }, draw) };
    });
  }

  // The values of every layer for n images; the last are the logits.
  function forward(net, images, n) {
    const values = [images];
    net.forEach(({ inputs, outputs, weight, bias }, l) => {
      const [from, to] = [values[l], new Float64Array(n * outputs)];
      for (let k = 0; k < n; k++) {
        for (let o = 0; o < outputs; o++) {
          let sum = bias[o];
          for (let i = 0; i < inputs; i++) sum += weight[o * inputs + i] * from[k * inputs + i];
          to[k * outputs + o] = l < net.length - 1 && sum < 0 ? 0 : sum;
        }
      }
      values.push(to);
    });
    return values;
  }

  // Mean cross-entropy and how many are right; `slope`, if given, is filled with the slope of the loss by the logits.
  function judge(logits, labels, slope) {
    const [n, classes] = [labels.length, logits.length / labels.length];
    let [loss, right] = [0, 0];
    for (let k = 0; k < n; k++) {
      const row = logits.subarray(k * classes, (k + 1) * classes);
      const top = Math.max(...row);
      let sum = 0;
      for (const value of row) sum += Math.exp(value - top);
      loss += Math.log(sum) + top - row[labels[k]];
      right += row.indexOf(top) === labels[k] ? 1 : 0;
      if (slope) for (let c = 0; c < classes; c++) slope[k * classes + c] = (Math.exp(row[c] - top) / sum - (c === labels[k] ? 1 : 0)) / n;
    }
    return { loss: loss / n, right };
  }

  // One step of SGD, in place; returns the loss before it.
  function step(net, images, labels, rate) {
    const n = labels.length;
    const values = forward(net, images, n);
    let slope = new Float64Array(values.at(-1).length);
    const { loss } = judge(values.at(-1), labels, slope);
    for (let l = net.length - 1; l >= 0; l--) {
      const { inputs, outputs, weight, bias } = net[l];
      const from = values[l];
      const below = new Float64Array(l ? n * inputs : 0);
      const change = new Float64Array(weight.length);
      for (let k = 0; k < n; k++) {
        for (let o = 0; o < outputs; o++) {
          const s = slope[k * outputs + o];
          if (s === 0) continue;
          bias[o] -= rate * s;
          for (let i = 0; i < inputs; i++) change[o * inputs + i] += s * from[k * inputs + i];
          if (l) for (let i = 0; i < inputs; i++) below[k * inputs + i] += s * weight[o * inputs + i];
        }
      }
      for (let j = 0; j < weight.length; j++) weight[j] -= rate * change[j];
      for (let j = 0; j < below.length; j++) if (from[j] <= 0) below[j] = 0; // ReLU
      slope = below;
    }
    return loss;
  }

  function evaluate(net, images, labels) {
    const { loss, right } = judge(forward(net, images, labels.length).at(-1), labels);
    return { loss, accuracy: right / labels.length };
  }

  // The learning rate of a step, counted from 0, as in hplab.training.schedules.
  const SCHEDULES = {
    constant: (rate) => rate,
    cosine: (rate, at, n) => (rate * (1 + Math.cos((Math.PI * at) / n))) / 2,
    linear: (rate, at, n) => rate * (1 - at / n),
    step: (rate, at, n) => rate * 0.1 ** Math.floor(at / Math.max(1, Math.ceil(n / 3 - 1e-9))),
  };

  // The order of an epoch (Fisher and Yates).
  function shuffled(n, next) {
    const order = Array.from({ length: n }, (_, i) => i);
    for (let i = n - 1; i > 0; i--) {
      const j = Math.floor(next() * (i + 1));
      [order[i], order[j]] = [order[j], order[i]];
    }
    return order;
  }

  function gather({ images, labels, pixels }, rows) {
    const some = new Float64Array(rows.length * pixels);
    rows.forEach((row, k) => some.set(images.subarray(row * pixels, (row + 1) * pixels), k * pixels));
    return [some, rows.map((row) => labels[row])];
  }

  // Embedded images: a letter a pixel, "A" for the first of `levels`; standardised with the training images' mean.
  function decode({ levels, pixels, mean, std }, letters, digits) {
    const values = levels.map((level) => (level / 255 - mean) / std);
    return { pixels, images: Float64Array.from(letters, (letter) => values[letter.charCodeAt(0) - 65]), labels: Array.from(digits, Number) };
  }

  return { SCHEDULES, random, init, forward, step, evaluate, shuffled, gather, decode };
})();

{
  const WIDTHS = [64, 32, 10];
  const EPOCHS = 20;
  const CHANCE = 0.1;
  const COLOURS = 8;
  const found = typeof hplabPieces === "undefined" ? null : hplabPieces.place("network");
  if (found) {
    const { make, draw, slider, chart } = hplabPieces;
    const { root, data } = found;
    const train = hplabNetwork.decode(data, data.train, data.train_labels);
    const held = hplabNetwork.decode(data, data.val, data.val_labels);
    const chosen = { rate: 0.1, size: 64, schedule: "constant", seed: 1 };
    const past = [];
    let timer = null;
    const figure = make("div", { className: "hp-piece-chart" });
    const says = make("p", { className: "hp-piece-says" });
    says.setAttribute("role", "status");
    const list = make("ul", { className: "hp-piece-list" });
    list.setAttribute("aria-label", "Validation accuracy of the last runs");
    const short = (value) => String(Number(value.toPrecision(2)));
    const words = ({ rate, size, schedule, seed }) => `learning rate ${short(rate)}, batch size ${size}, ${schedule}, seed ${seed}`;

    function show() {
      const top = Math.max(...past.flatMap((run) => run.points.map(([, value]) => value)), 30);
      const last = past.at(-1);
      const picture = chart({ x: [0, EPOCHS], y: [0, Math.max(top, 100)], xTitle: "epoch", yTitle: "validation accuracy (%)",
        label: last ? `Validation accuracy by epoch, ${words(last)}: ${last.points.at(-1)[1].toFixed(1)} % after ${last.points.length - 1} epochs` : "No run yet" });
      past.forEach((run, i) => picture.line(run.points, { stroke: `var(--hp-c${(run.number % COLOURS) + 1})`, "stroke-opacity": i === past.length - 1 ? 1 : 0.8, "stroke-width": i === past.length - 1 ? 3 : 2, "stroke-dasharray": i === past.length - 1 ? "none" : "5 3" }));
      figure.replaceChildren(picture.svg);
      list.replaceChildren(...past.map((run) => {
        const mark = draw(document.createDocumentFragment(), "svg", { viewBox: "0 0 14 14", width: 14, "aria-hidden": "true" });
        draw(mark, "path", { d: "M0 7H14", stroke: `var(--hp-c${(run.number % COLOURS) + 1})`, "stroke-width": 4 });
        return make("li", {}, mark, ` ${run.points.at(-1)[1].toFixed(1)} % after ${run.points.length - 1} epochs: ${words(run)}`);
      }));
    }

    function stop() {
      clearTimeout(timer);
      timer = null;
      button.textContent = "Train";
    }

    function start() {
      const next = hplabNetwork.random(chosen.seed);
      const net = hplabNetwork.init(WIDTHS, next);
      const n = train.labels.length;
      const perEpoch = Math.ceil(n / chosen.size);
      const run = { ...chosen, number: past.length ? past.at(-1).number + 1 : 0, points: [[0, 100 * hplabNetwork.evaluate(net, held.images, held.labels).accuracy]] };
      if (past.length > 5) past.shift();
      past.push(run);
      button.textContent = "Stop";
      let [epoch, at] = [0, 0];
      const work = () => {
        const order = hplabNetwork.shuffled(n, next);
        let loss = 0;
        for (let first = 0; first < n; first += run.size, at++) {
          const [images, labels] = hplabNetwork.gather(train, order.slice(first, first + run.size));
          loss += hplabNetwork.step(net, images, labels, hplabNetwork.SCHEDULES[run.schedule](run.rate, at, EPOCHS * perEpoch)) / perEpoch;
        }
        epoch++;
        const { accuracy } = hplabNetwork.evaluate(net, held.images, held.labels);
        run.points.push([epoch, 100 * (Number.isFinite(loss) ? accuracy : CHANCE)]);
        show();
        const ended = epoch === EPOCHS || !Number.isFinite(loss);
        const state = Number.isFinite(loss) ? `training loss ${loss.toFixed(3)}, validation accuracy ${(100 * accuracy).toFixed(1)} %` : "diverged: the loss is no number any more";
        says.textContent = `Epoch ${epoch} of ${EPOCHS}, ${words(run)}: ${state}.`;
        if (ended) stop();
        else timer = setTimeout(work, 30);
      };
      timer = setTimeout(work, 30);
    }

    const button = make("button", { type: "button", textContent: "Train", onclick: () => (timer ? stop() : start()) });
    const rate = slider("Learning rate", { min: -3, max: 1.5, step: 0.25, value: -1 }, (power) => short(10 ** power), (power) => (chosen.rate = 10 ** power));
    const size = slider("Batch size", { min: 2, max: 10, step: 1, value: 6 }, (power) => String(2 ** power), (power) => (chosen.size = 2 ** power));
    const seed = slider("Seed", { min: 1, max: 20, step: 1, value: 1 }, String, (value) => (chosen.seed = value));
    const schedule = make("select", { onchange: () => (chosen.schedule = schedule.value) }, ...Object.keys(hplabNetwork.SCHEDULES).map((name) => make("option", { value: name }, name)));
    root.append(make("div", { className: "hp-piece-controls" }, rate.label, size.label, make("label", {}, "Schedule ", schedule), seed.label, button), figure, list, says);
    says.textContent = `${train.labels.length} digits to learn from, ${held.labels.length} to be judged by; 64 inputs, 32 hidden units, 10 classes. Choose and press Train.`;
    show();
  }
}
