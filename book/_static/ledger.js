// The ledger: its filter, and the fold of the claim that a link leads to.
"use strict";

{
  const form = document.querySelector("#hp-ledger-filter");
  const folds = [...document.querySelectorAll(".hp-fold[data-report]")];
  const lists = [...document.querySelectorAll(".hp-folds")];
  const choices = [...form.querySelectorAll("select")];
  const count = (n) => (n === 1 ? "1 claim" : `${n} claims`);

  const show = () => {
    const chosen = choices.filter((one) => one.value);
    for (const fold of folds) fold.hidden = chosen.some((one) => fold.dataset[one.name] !== one.value);
    for (const list of lists) {
      const [shown, all] = [list.querySelectorAll(".hp-fold:not([hidden])").length, list.querySelectorAll(".hp-fold").length];
      const tally = list.parentElement.querySelector(".hp-tally");
      tally.dataset.whole ??= tally.textContent;
      tally.textContent = chosen.length ? `${shown} of ${count(all)}` : tally.dataset.whole;
      list.closest("section").classList.toggle("hp-empty", shown === 0);
    }
    const n = folds.filter((fold) => !fold.hidden).length;
    form.querySelector("output").textContent = chosen.length ? `${n} of ${count(folds.length)}` : count(n);
    const kept = new URLSearchParams(chosen.map((one) => [one.name, one.value]));
    history.replaceState(history.state, "", (kept.size ? `?${kept}` : location.pathname) + location.hash);
  };

  const open = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target?.matches(".hp-fold")) return;
    if (target.hidden) {
      for (const one of choices) one.value = "";
      show();
    }
    target.open = true;
    target.scrollIntoView();
  };

  const asked = new URLSearchParams(location.search);
  for (const one of choices) {
    if ([...one.options].some((option) => option.value === asked.get(one.name))) one.value = asked.get(one.name);
  }
  form.hidden = false;
  form.addEventListener("input", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", open);
  show();
  open();
}
