"""What `hplab judge` prints: what the columns of a table of runs are, and what the runs say."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hplab.analysis.claims import phrases
from hplab.analysis.judge import overview as overviews
from hplab.analysis.judge import question as asking
from hplab.analysis.judge.judge import judge
from hplab.analysis.judge.judgement import Judgements
from hplab.analysis.judge.overview import Comparison, Overview, Value
from hplab.analysis.judge.question import WAYS
from hplab.errors import HplabError, unknown
from hplab.sweeps import files, foreign, metrics
from hplab.sweeps.foreign import RunTable
from hplab.sweeps.table import setting

MOST_NAMES = 12  # of columns that are listed
_OUTCOMES = {
    overviews.BEST: "best",
    overviews.BEHIND: "surely worse",
    overviews.OPEN: "open",
    overviews.TIED: "not compared",
}


def read(
    path: Path,
    *,
    settings: Sequence[str] = (),
    seed: str | None = None,
    metrics: Sequence[str] = (),
    ignore: Sequence[str] = (),
) -> RunTable:
    """Return the runs of a file, with what its columns are; see `hplab.sweeps.foreign.of`."""
    return foreign.of(
        files.read(path), settings=settings, seed=seed, metrics=metrics, ignore=ignore
    )


def answer(
    table: RunTable,
    questions: Sequence[str] = (),
    *,
    metric: str = "",
    margin: str | None = None,
    better: str = "",
    where: str | None = None,
    pair: bool | None = None,
    planned: int | None = None,
) -> Judgements | Overview:
    """Return what the runs say to questions, or by themselves where there are none.

    Raises:
        HplabError: If a question cannot be judged on these runs.
    """
    if questions:
        said: dict[str, Any] = {"margin": margin, "better": better, "where": where, "pair": pair}
        found = judge(table, list(questions), metric=metric, planned=planned, **said)
        return found if isinstance(found, Judgements) else Judgements([found])
    if planned is not None:
        raise HplabError("planned seeds belong to a question; ask one")
    if better and better not in WAYS:
        raise unknown("side", better, WAYS, "better")
    chosen = asking.arm(where, table.settings) if where else {}
    sides: dict[str, Any] = {"metric": metric, "better": WAYS.get(better, 0), "margin": margin}
    return overviews.overview(table, **sides, where=chosen, pair=pair)


def columns(table: RunTable) -> str:
    """Return what the columns were taken for, in a few lines."""
    constant = [x for x in table.settings if x not in table.varied]
    parts = [f"settings: {_listed(table.varied)}"]
    if constant:
        parts.append(f"the same in all runs: {_listed(constant)}")
    parts += [f"seed: {table.seed or 'none'}", f"metrics: {_listed(table.metrics)}"]
    if table.ignored:
        parts.append(f"ignored: {_listed(table.ignored)}")
    lines = ["; ".join(parts)]
    n, left = len(table.runs), table.states
    runs = f"{n} runs"
    if left:
        told = {"pruned": "stopped early"}
        gone = ", ".join(f"{count} {told.get(state, state)}" for state, count in left.items())
        runs += f"; left out, as they did not finish: {gone}"
    return "\n".join([*lines, runs, *table.notes])


def _listed(names: Sequence[str]) -> str:
    shown = [*names[: MOST_NAMES - 1], f"{len(names) - MOST_NAMES + 1} more"]
    return ", ".join(names if len(names) <= MOST_NAMES else shown) or "none"


def printed(table: RunTable, found: Judgements | Overview) -> str:
    """Return what the columns are and what the runs say, for a terminal."""
    return f"{columns(table)}\n\n{text(found)}"


def text(found: Judgements | Overview) -> str:
    """Return answers for a terminal."""
    if isinstance(found, Judgements):
        return repr(found)
    tables = "\n\n".join(_comparison(one, found) for one in found.comparisons)
    return f"{tables}\n\n{corrected(found)}" if found.n_pairs else tables


def corrected(found: Overview) -> str:
    """Return how often an overview is wrong, in a sentence."""
    size = ""
    if found.margin:
        size = f" by more than {found.margin:g} {found.metric.unit}".removesuffix(" any")
    return (
        f"Surely worse: worse{size}, with Holm's correction over all pairs of values "
        f"({found.n_pairs}): so corrected, fewer than 5 tables in 100 call a value surely worse "
        "that is not. A single question that you had before you saw the runs needs no such "
        f"correction; ask it by itself: {_example(found)!r}"
    )


def _example(found: Overview) -> str:
    """Return a question about two values of the table, in the form that can be asked."""
    compared = [one for one in found.comparisons if not one.why]
    one = next((one for one in compared if one.fixed == 1), compared[0])
    first, second = (setting(value.value, one.name) for value in one.values[:2])
    by = f" by {found.margin:g} {found.metric.unit}".removesuffix(" any") if found.margin else ""
    name = metrics.one_word(one.name)
    asked = f"{metrics.one_word(found.metric.name)} at {name}={first} beats {name}={second}{by}"
    return f"{asked} where {one.other}" if one.other else asked


def _comparison(one: Comparison, found: Overview) -> str:
    """Return a setting's values as a table, the best first."""
    lines = [one.sentence]
    if one.why and not one.values:
        return lines[0]
    head = (one.name, "runs", f"{found.metric.words} ({_unit(found)})".replace(" ()", ""),
            "behind the best", "p", "")  # fmt: skip
    rows = [head, *(cells(value, one, found) for value in one.values)]
    shown = [i for i in range(len(head)) if any(row[i] for row in rows[1:])]
    rows = [tuple(row[i] for i in shown) for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(shown))]
    lines += [
        "  "
        + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    if not one.why:
        how = "compared seed by seed" if one.paired else "runs not paired"
        if any(0 < value.used < value.n for value in one.values):
            how += ", with the seeds and other settings that all values have"
        over = f"; means over {one.fixed} combinations of the other settings" * (one.fixed > 1)
        lines.append(f"  ({how}{over})")
    return "\n".join(lines)


def _unit(found: Overview) -> str:
    unit = found.metric.level_unit
    return "" if unit == "any" else unit


def cells(value: Value, one: Comparison, found: Overview) -> tuple[str, ...]:
    """Return a value's row: value, runs, mean, how far behind, p, and the word for it."""
    unit = found.metric.unit
    lost = ", ".join(f"{n} {state}" for state, n in value.lost.items())
    mean, behind = "", ""
    if value.mean:
        level = found.metric.level_unit
        number = phrases.number(value.mean.estimate, level).removesuffix(f" {level}")
        mean = f"{number} ({phrases.span(value.mean, level)})"
    if value.behind:
        behind = (
            f"{phrases.number(value.behind.estimate, unit)} ({phrases.span(value.behind, unit)})"
        )
    p = "" if value.p is None else phrases.p_value(value.p).removeprefix("p = ").removeprefix("p ")
    word = "" if one.why else _OUTCOMES[value.outcome]
    word += f" ({value.why})" if value.why else ""
    part = f"{value.used} of " * (0 < value.used < value.n)
    runs = f"{part}{value.n}{f' (and {lost})' if lost else ''}"
    return setting(value.value, one.name), runs, mean, behind, p, word


def as_json(table: RunTable, found: Judgements | Overview) -> str:
    """Return columns and answers as JSON."""
    told: dict[str, Any] = {
        "columns": {
            "settings": list(table.settings),
            "varied": list(table.varied),
            "seed": table.seed,
            "metrics": list(table.metrics),
            "ignored": list(table.ignored),
        },
        "runs": len(table.runs),
        "left_out": table.states,
        "notes": list(table.notes),
    }
    if isinstance(found, Judgements):
        told["judgements"] = [one.row() for one in found]
    else:
        told["metric"], told["margin"] = found.metric.name, found.margin
        told["pairs"] = found.n_pairs
        told["comparisons"] = [
            {"setting": one.name, "finding": one.sentence, "paired": one.paired}
            for one in found.comparisons
        ]
        told["values"] = found.rows()
    return json.dumps(told, indent=1, ensure_ascii=False, default=_plain)


def _plain(value: Any) -> Any:
    """Return a number of numpy as one of Python, anything else as text."""
    return value.item() if hasattr(value, "item") else str(value)
