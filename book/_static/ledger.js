// The filter of the ledger: shows the claims that fit all choices, and the studies that have any.
"use strict";

{
  const form = document.querySelector(".hp-filter");
  const rows = [...document.querySelectorAll(".hp-ledger tbody tr")];
  const choices = [...form.querySelectorAll("select")];

  const show = () => {
    for (const row of rows) {
      row.hidden = choices.some((one) => one.value && row.dataset[one.name] !== one.value);
    }
    for (const table of document.querySelectorAll(".hp-ledger")) {
      table.closest("section").classList.toggle("hp-empty", !table.querySelector("tbody tr:not([hidden])"));
    }
    const n = rows.filter((row) => !row.hidden).length;
    form.querySelector("output").textContent = n === 1 ? "1 claim" : `${n} claims`;
    const kept = new URLSearchParams(choices.filter((one) => one.value).map((one) => [one.name, one.value]));
    history.replaceState(null, "", kept.size ? `?${kept}${location.hash}` : location.pathname + location.hash);
  };

  const asked = new URLSearchParams(location.search);
  for (const one of choices) {
    if ([...one.options].some((option) => option.value === asked.get(one.name))) one.value = asked.get(one.name);
  }
  form.hidden = false;
  form.addEventListener("input", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  show();
}
