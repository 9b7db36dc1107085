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
    const [effect, sd] = [Number(given.get("effect")), Number(given.get("sd"))];
    const none = given.get("question") === "none";
    form.elements.claims.disabled = none;
    if (!(effect > 0 && sd > 0)) {
      answer.textContent = "Both numbers have to be above 0.";
      return;
    }
    const smallest = numbers[given.get("question")][`${given.get("power")}/${none ? 1 : form.elements.claims.value}`];
    const at = smallest.findIndex((least) => least <= effect / sd);
    if (at < 0) {
      answer.textContent = `More than ${last} seeds. With ${last} seeds the ${none ? "margin" : "difference"} `
        + `would have to be ${short(smallest.at(-1) * sd)} or more.`;
      return;
    }
    const n = numbers.first + at;
    const half = (numbers.t[at] * sd) / Math.sqrt(n);
    answer.textContent = `${n} seeds of each setting. A 95 % interval of the difference will then reach about `
      + `${short(half)} to each side.`;
  };

  for (const [name, value] of new URLSearchParams(location.search)) { // a verdict's numbers
    if ((name === "effect" || name === "sd") && Number(value) > 0) form.elements[name].value = value;
  }
  form.hidden = false;
  answer.hidden = false;
  form.addEventListener("input", say);
  form.addEventListener("submit", (event) => event.preventDefault());
  say();
}
