"""One page of its own about a table of runs: what `hplab judge --html` writes."""

from __future__ import annotations

import functools
import html
import math
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

import pandas as pd

from hplab.analysis.claims import needs
from hplab.analysis.judge import question as asking
from hplab.analysis.judge.judgement import Judgement, Judgements
from hplab.analysis.judge.overview import TIED, Comparison, Overview
from hplab.pages import plots
from hplab.pages.figures.figure import Figure, Html
from hplab.pages.figures.figure import table as html_table
from hplab.pages.site import alone
from hplab.pages.tables import judged, seeds
from hplab.sweeps.foreign import RunTable
from hplab.sweeps.table import SETTINGS

MOST_POINTS = 2000  # runs that a figure draws one by one


def write(path: Path, name: str, table: RunTable, found: Judgements | Overview) -> Path:
    """Write the page about a table of runs; return its path.

    Args:
        path: The file to write.
        name: What the table is called, such as the name of its file.
        table: The runs.
        found: What they say.

    Raises:
        HplabError: If the file cannot be written.
    """
    return alone.write(path, page(name, table, found))


def page(name: str, table: RunTable, found: Judgements | Overview) -> str:
    """Return the page: the answers, figures, the calculator of seeds, and the data."""
    is_overview = isinstance(found, Overview)
    answers = _overview(table, found) if isinstance(found, Overview) else _answers(table, found)
    note, mark = "", None
    if isinstance(found, Overview) and found.n_pairs:
        note = alone.paragraphs(judged.corrected(found))
    if isinstance(found, Judgements):
        mark = functools.partial(_used, found=found)
    return alone.page(
        f"What {name} says",
        f"{alone.paragraphs(judged.columns(table))}"
        f"<h2>{'Every setting, value by value' if is_overview else 'Answers'}</h2>{answers}{note}"
        f"<h2>Planning a new comparison</h2>{_calculator(found)}"
        f"<h2>The runs</h2>{alone.data(table, mark)}",
    )


def _answers(table: RunTable, found: Iterable[Judgement]) -> str:
    return "".join(_asked(table, one) + one.card() + _figure_of(table, one) for one in found)


def _asked(table: RunTable, one: Judgement) -> str:
    """Return the question as it was put, and how many of the runs it is about."""
    about, n = len(one.asked.runs), len(table.runs)
    whole = f"all {n} runs" if about == n else f"{about} of the {n} runs"
    return f"<p>Asked: <q>{html.escape(one.asked.question.text)}</q> This is about {whole}.</p>"


def _figure_of(table: RunTable, one: Judgement) -> str:
    """Return the runs that an answer rests on, drawn: along a setting, or as curves.

    Runs that diverged are drawn too; those of a seed that another setting lacks are not.
    """
    asked = one.asked
    names = list(dict.fromkeys(name for arm in asked.arms for name in arm))
    x = asked.question.x or names[0]
    if asked.question.kind == asking.SOONER and table.curves is not None:
        told = ["key", SETTINGS, "seed", "status", *table.settings]
        curves = table.curves.merge(asked.runs[told], on="key")
        return _html(plots.learning_curves(curves, asked.metric.name, by=x))
    runs = asked.runs
    used = runs["row"].isin(one.runs["row"]) | (runs["status"] != "ok")
    return _along(runs[used], x, asked.metric.name, best=len(asked.arms) > 2)


def _along(runs: pd.DataFrame, x: str, y: str, *, best: bool = True) -> str:
    if y not in runs:  # measured along the run, and kept as a curve
        return ""
    return _html(plots.axis(runs, x, y, seeds=len(runs) <= MOST_POINTS, best=best))


def _html(figure: Figure | Html) -> str:
    return figure.html


def _overview(table: RunTable, found: Overview) -> str:
    return "".join(_comparison(table, found, one) for one in found.comparisons)


def _comparison(table: RunTable, found: Overview, one: Comparison) -> str:
    """Return a setting: what was found, its values as a table, and its runs drawn."""
    sentence = f"<p><strong>{html.escape(one.sentence)}</strong></p>"
    if not one.values:
        return sentence
    head = (one.name, "runs", found.metric.words, "behind the best", "p", "found")
    rows = pd.DataFrame([judged.cells(value, one, found) for value in one.values])
    rows.columns = pd.Index(head)
    drawn = "" if one.why else _along(table.runs, one.name, found.metric.name)
    return sentence + html_table(rows) + drawn


def _calculator(found: Judgements | Overview) -> str:
    """Return the calculator, with the margin and the scatter of the first answer filled in.

    It plans with new seeds, at a difference that is chosen beforehand. How many seeds an answer
    lacks is another number: it depends on the difference that was seen, and stands in its card.
    """
    shown = _measured(found)
    said = (
        "How many seeds a comparison of two settings takes, if it is made anew. This does not say "
        "how many more seeds an answer above needs: an open answer says that itself. "
    )
    numbers = {}
    if shown is not None:
        sd = needs.scatter(shown.interval, shown.n, shown.unit)
        is_ratio = shown.unit == "ratio"
        margin = shown.margin if shown.margin > is_ratio else None
        effect = abs(shown.interval.estimate) if margin is None else margin
        effect = math.log(effect) if is_ratio else effect
        if sd and effect:
            numbers = {"effect": abs(effect), "sd": sd}
            what = "the difference seen, as no margin was asked for" if margin is None else "the"
            what += " margin as the difference that matters" * (margin is not None)
            of = " (both as logarithms of ratios)" * is_ratio
            said += f"Filled in are {what}, and the scatter seen between seeds{of}."
    said += "" if numbers else "The numbers filled in are examples."
    return f"<p>{said}</p>{seeds.form(**numbers)}"


def _measured(found: Judgements | Overview) -> SimpleNamespace | None:
    """Return interval, runs, unit and margin of the first difference that was measured."""
    if isinstance(found, Overview):
        values = [v for one in found.comparisons for v in one.values if v.outcome != TIED]
        first = next((value.behind for value in values if value.behind), None)
        if first is None:
            return None
        return SimpleNamespace(
            interval=first, n=first.n, unit=found.metric.unit, margin=found.margin
        )
    for one in found:
        if one.interval and one.asked.question.kind != asking.CHANCE:
            margin = one.asked.margin
            return SimpleNamespace(
                interval=one.interval, n=min(one.n), unit=margin.unit, margin=margin.value
            )
    return None


def _used(shown: pd.DataFrame, found: Judgements) -> pd.DataFrame:
    """Return the runs with whether they answer a question, and what they lack for it."""
    used = {int(row) for one in found for row in one.runs["row"]}
    fine, status = shown["status"] == "ok", shown["status"]
    for name in dict.fromkeys(one.asked.metric.name for one in found):
        if name in shown:
            status = status.mask(fine & shown[name].isna(), f"no {name}")
    says = ["yes" if row in used else "" for row in shown["row"]]
    return shown.assign(status=status, used=says)
