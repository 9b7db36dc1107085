"""What the page on errors shows: how often each rule decides wrongly, and how often at all."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hplab.pages.tables import markdown

Row = dict[str, Any]
_NONE = "None of this has been measured in this copy: run `python benchmarks/margins.py`."
_MARGIN, _PAST, _SHORT = "at the margin", "past it", "short of it"


def tables(folder: Path) -> dict[str, Callable[[], str]]:
    """Return the tables of the page by name.

    Args:
        folder: Where the benchmarks' JSON files are.
    """
    makers = {
        "margins-wrong": wrong,
        "margins-power": power,
        "margins-looks": looks,
        "margins-looks-said": looks_said,
        "margins-worlds": worlds,
    }
    path = folder / "margins.json"
    return {name: markdown.of_file(path, make, _NONE) for name, make in makers.items()}


def rows(found: dict[str, Any]) -> list[Row]:
    """Return the rates of the benchmark's file, one row a kind, truth and sort of world."""
    sorts = list(itertools.product(found["seeds"], (False, True), (False, True)))
    return [
        {
            **{"kind": kind, "where": where, "truth": truth, "n": n},
            **{"heavy": heavy, "paired": paired, "supported": pair[0], "contradicted": pair[1]},
        }
        for kind, where, truth, rates in found["rates"]
        for (n, heavy, paired), pair in zip(sorts, rates, strict=True)
    ]


def worlds(found: dict[str, Any]) -> str:
    """Say how many worlds were made up, and how far a rate may lie from the truth by luck."""
    luck = 200 * (0.025 * 0.975 / found["worlds"]) ** 0.5
    return (
        f"Each number rests on {found['worlds']:,} made-up worlds, so a true rate of 2.5 % shows "
        f"as {2.5 - luck:.1f} to {2.5 + luck:.1f} %. Runs scatter normally in half of the worlds "
        "and in the other half with heavy tails, as Student's *t* with four degrees of freedom "
        "does; settings share their seeds' luck or do not. Of these four the worst is shown."
    )


def wrong(found: dict[str, Any]) -> str:
    """In how many worlds at the margin the commoner of the two verdicts comes out, in percent.

    Of normal and heavy-tailed, paired and unpaired runs the worst is shown.
    """

    def worst(some: Sequence[Row]) -> str:
        return f"{100 * max(max(row['supported'], row['contradicted']) for row in some):.1f}"

    at_margin = [row for row in rows(found) if row["truth"] == _MARGIN and not _one_right(row)]
    return _by_seeds(at_margin, worst)


def power(found: dict[str, Any]) -> str:
    """In how many worlds that are past the margin, or short of it, the right verdict comes out.

    Normal runs; of paired and unpaired the worse is shown.
    """

    def least(truth: str, word: str) -> Callable[[Sequence[Row]], str]:
        def rate(some: Sequence[Row]) -> str:
            mine = [row[word] for row in some if row["truth"] == truth and not row["heavy"]]
            return f"{100 * min(mine):.0f}"

        return rate

    clear = [row for row in rows(found) if row["truth"] != _MARGIN]
    return _by_seeds(clear, least(_PAST, "supported"), least(_SHORT, "contradicted"))


def looks(found: dict[str, Any]) -> str:
    """How often a plan with looks on its way decides wrongly, with and without adjustment."""
    lines = []
    for plan in dict.fromkeys(row["plan"] for row in found["looks"]):
        mine = [row for row in found["looks"] if row["plan"] == plan]
        rates = [
            max(
                max(row["supported"], row["contradicted"])
                for row in mine
                if row["adjusted"] == adjusted
            )
            for adjusted in (False, True)
        ]
        lines.append((plan, *(f"{100 * rate:.1f} %" for rate in rates)))
    return markdown.table(("looks at", "each at 5 %", "as the ledger looks"), lines)


def looks_said(found: dict[str, Any]) -> str:
    """Return in a sentence how far a look after every seed exceeds what is meant."""
    rates = {
        plan: max(
            max(row["supported"], row["contradicted"])
            for row in found["looks"]
            if row["plan"] == plan and row["adjusted"]
        )
        for plan in {row["plan"] for row in found["looks"]}
    }
    worst = max(rates, key=lambda plan: rates[plan])
    return (
        f"The levels are exact where the scatter is known. It is not, so looks at {worst} err in "
        f"up to {100 * rates[worst]:.1f} % of worlds on a side where 2.5 % are meant. At the "
        "stricter levels that Holm's correction asks for, the excess is a larger part of what is "
        "meant (`hplab.analysis.stats.sequential` has the counts). The rule was not changed for "
        "it."
    )


def _one_right(row: Row) -> bool:
    """Return whether one verdict is right in these worlds, though they are entered as a margin."""
    return row["where"] in ("the last step back", "one better by half a deviation")


def _by_seeds(some: Sequence[Row], *rates: Callable[[Sequence[Row]], str]) -> str:
    """Return a table with a row a kind of world and a column a number of seeds."""
    seeds = sorted({row["n"] for row in some})
    lines = []
    for kind, where in dict.fromkeys((row["kind"], row["where"]) for row in some):
        mine = [row for row in some if (row["kind"], row["where"]) == (kind, where)]
        cells = [
            " / ".join(rate([row for row in mine if row["n"] == n]) for rate in rates)
            for n in seeds
        ]
        lines.append((kind.replace("_", " "), where or "one effect", *cells))
    return markdown.table(
        ("kind of claim", "what is hard to tell", *(f"{n} seeds" for n in seeds)), lines
    )
