"""One page of its own about a table of runs: what `hplab judge --html` writes."""

from __future__ import annotations

import functools
import html
import math
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd

from hplab.analysis.claims import needs
from hplab.analysis.judge import comparison
from hplab.analysis.judge import question as asking
from hplab.analysis.judge.arms import POINT, with_points
from hplab.analysis.judge.comparison import TIED, Comparison, Overview
from hplab.analysis.judge.judgement import Judgement, Judgements
from hplab.analysis.stats import power
from hplab.pages import plots
from hplab.pages.figures.figure import Figure, Html
from hplab.pages.figures.figure import table as html_table
from hplab.pages.site import alone
from hplab.pages.tables import judged, seeds
from hplab.sweeps.foreign import RunTable
from hplab.sweeps.table import SETTINGS

FOR = (
    "This page says whether one setting beats another, and by how much. For looking through runs "
    "and finding good settings there is the page of hplab report."
)
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
    about = found.metric.name if isinstance(found, Overview) else ""
    if isinstance(found, Overview) and found.n_pairs:
        note = alone.paragraphs(comparison.corrected(found))
    if isinstance(found, Judgements):
        mark = functools.partial(_used, found=found)
    return alone.page(
        f"What {name} says",
        f"{alone.paragraphs(judged.columns(table))}{alone.paragraphs(FOR)}"
        f"<h2>{'Every setting, value by value' if is_overview else 'Answers'}</h2>{answers}{note}"
        f"<h2>Planning a new comparison</h2>{_calculator(found)}"
        f"<h2>The runs</h2>{alone.data(table, mark, about=about)}",
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
    if found.scatter:
        return alone.paragraphs("\n".join(comparison.told(found)))
    parts = [_comparison(table, found, one) for one in found.comparisons]
    return "".join([alone.paragraphs(found.note), *parts])


def _comparison(table: RunTable, found: Overview, one: Comparison) -> str:
    """Return a setting: what was found, its values as a table, and its runs drawn."""
    sentence = f"<p><strong>{html.escape(one.sentence)}</strong> {html.escape(one.note)}</p>"
    if not one.values:
        return sentence
    head, *values = comparison.table(one, found)
    rows = pd.DataFrame(values, columns=pd.Index(head))
    if one.why:
        return sentence + html_table(rows)
    runs = with_points(table.runs, table) if one.name == POINT else table.runs
    if one.name == POINT:
        runs = runs[runs[POINT].isin(one.words)]
    how = alone.paragraphs(f"{comparison.how(one).capitalize()}.")
    return sentence + html_table(rows) + how + _along(runs, one.name, found.metric.name)


def _calculator(found: Judgements | Overview) -> str:
    """Return the calculator, with the first difference that was measured filled in.

    It plans with new seeds, for a difference that is expected. How many seeds an answer lacks is
    another number, for one look more at these runs, and stands in its card.
    """
    said = (
        "How many seeds a comparison of two settings takes, if it is made anew. This does not say "
        "how many more seeds an answer above needs: an open answer says that itself. "
    )
    numbers, words = _of_setting(found) or _of_difference(found) or ({}, "")
    return f"<p>{said}{words or 'The numbers filled in are examples.'}</p>{seeds.form(**numbers)}"


def _of_setting(found: Judgements | Overview) -> tuple[dict[str, Any], str] | None:
    """Return what the runs of one setting fill in, and the words for it."""
    if not isinstance(found, Overview) or not found.scatter or not found.scatter.sd:
        return None
    sd = found.scatter.sd
    numbers = {"expected": found.margin + sd, "margin": found.margin, "sd": sd}
    words = "Filled in is the scatter of the runs of this setting; the difference is an example."
    return {**numbers, "scatter": "setting"}, words


def _of_difference(found: Judgements | Overview) -> tuple[dict[str, Any], str] | None:
    """Return what the first difference fills in, and the words for it."""
    shown = _measured(found)
    sd = needs.scatter(shown.interval, shown.n, shown.unit) if shown else None
    if shown is None or not sd:
        return None
    margin, seen = shown.margin, abs(shown.interval.estimate)
    is_ratio = shown.unit == "ratio"
    if is_ratio:
        margin, seen = math.log(margin) if margin > 1 else 0.0, abs(math.log(seen))
    if not max(seen, margin):
        return None
    what = "the difference seen" if seen > margin else "twice the margin, as less was seen"
    asked = "the margin that was asked for" if margin else "no margin, as none was asked for"
    how = "the differences, seed by seed" if shown.paired else "the runs of one setting"
    words = (
        f"Filled in are {what}; {asked}; and the scatter of {how}"
        f"{' (all as logarithms of ratios)' * is_ratio}. Expect what you had reason to expect "
        "before these runs: the difference seen is often larger than the true one."
    )
    if shown.fixed > 1:
        words += f" A seed stands for one run at each of {shown.fixed} combinations of the other"
        words += " settings."
    scatter = "differences" if shown.paired else "setting"
    sd /= power.SCATTERS[scatter]
    numbers = {"scatter": scatter} | {
        "expected": seen if seen > margin else 2 * margin,
        "margin": margin,
        "sd": sd,
    }
    is_same = shown.kind == asking.EQUIVALENCE
    return {**numbers, "question": "none" if is_same else "see"}, words


def _measured(found: Judgements | Overview) -> SimpleNamespace | None:
    """Return interval, runs, unit, margin and so on of the first difference of two settings."""
    if isinstance(found, Overview):
        whole = sorted(found.comparisons, key=lambda one: one.fixed > 1)
        leads = [
            (one, value.behind)
            for one in whole
            for value in one.values
            if value.behind and value.outcome != TIED
        ]
        if not leads:
            return None
        top, first = leads[0]
        return SimpleNamespace(
            interval=first, n=first.n, unit=found.metric.unit, margin=found.margin,
            paired=top.paired, kind=asking.DIRECTION, fixed=top.fixed,
        )  # fmt: skip
    for one in found:
        kind, margin = one.asked.question.kind, one.asked.margin
        if one.interval and kind in (asking.DIRECTION, asking.EQUIVALENCE, asking.SOONER):
            return SimpleNamespace(
                interval=one.interval, n=min(one.n), unit=margin.unit, margin=margin.value,
                paired=one.asked.paired, kind=kind, fixed=1,
            )  # fmt: skip
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
