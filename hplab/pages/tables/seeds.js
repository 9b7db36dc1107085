// The calculator of seeds: looks the answer up in exact numbers that came with the page.
"use strict";

{
  const form = document.getElementById("hp-seeds");
  const answer = document.getElementById("hp-seeds-answer");
  const numbers = JSON.parse(document.getElementById("hp-seeds-numbers").textContent);
  const last = numbers.first + numbers.t.length - 1;
  const short = (value) => String(Number(value.toPrecision(2)));

  const say = () => {
    const given = new FormData(form);
    const [margin, scatter] = [Number(given.get("margin")), Number(given.get("sd"))];
    const none = given.get("question") === "none";
    form.elements.claims.disabled = form.elements.expected.disabled = none;
    const expected = none ? 0 : Number(form.elements.expected.value);
    const sd = scatter * numbers.scatter[given.get("scatter")]; // of the difference of two runs
    if (!(sd > 0 && margin >= 0)) {
      answer.textContent = "The scatter has to be above 0, and the margin not below it.";
      return;
    }
    if (none && !margin) {
      answer.textContent = "No number of seeds shows that there is no difference at all: say a margin above 0.";
      return;
    }
    if (!none && !(expected > margin)) {
      answer.textContent = `No number of seeds shows that a difference of ${short(expected)} is more than `
        + `${short(margin)}: expect more than the margin, or take a smaller margin.`;
      return;
    }
    const power = given.get("power");
    const smallest = numbers[given.get("question")][`${power}/${none ? 1 : form.elements.claims.value}`];
    const beyond = none ? margin : expected - margin;
    const at = smallest.findIndex((least) => least <= beyond / sd);
    if (at < 0) {
      const least = smallest.at(-1) * sd + (none ? 0 : margin);
      answer.textContent = `More than ${last} seeds. With ${last} seeds the ${none ? "margin" : "expected difference"} `
        + `would have to be ${short(least)} or more.`;
      return;
    }
    const n = numbers.first + at;
    const half = (numbers.t[at] * sd) / Math.sqrt(n);
    const found = none ? `that the difference is less than ${short(margin)}, if there is none`
      : `${margin ? `that the difference is more than ${short(margin)}` : "that there is a difference"}, if it is ${short(expected)}`;
    answer.textContent = `${n} seeds of each setting: with a chance of ${100 * power} % the test shows ${found}. A 95 % interval `
      + `of the difference will reach about ${short(half)} to each side.`;
  };

  const asked = new URLSearchParams(location.search); // a verdict's numbers
  for (const name of ["expected", "margin", "sd"]) {
    if (Number(asked.get(name)) > 0) form.elements[name].value = asked.get(name);
  }
  if (!asked.has("expected") && Number(asked.get("margin")) > 0) {
    form.elements.expected.value = 2 * Number(asked.get("margin"));
  }
  form.hidden = false;
  answer.hidden = false;
  form.addEventListener("input", say);
  form.addEventListener("submit", (event) => event.preventDefault());
  say();
}
