"""One column against another: every setting a mark, at its mean over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from hplab.pages import labels
from hplab.pages.figures import captions, cells, marks, scales
from hplab.pages.figures.figure import Figure, Html, nothing_recorded
from hplab.sweeps.table import results


def scatter(
    runs: pd.DataFrame,
    x: str = "lr",
    y: str = "val_acc",
    *,
    by: str | None = None,
    log: bool | None = None,
    log_y: bool = False,
    seeds: bool = True,
) -> Figure | Html:
    """Draw one column against another: a mark for each setting, at its mean, with its interval.

    For searches, where no two settings share a value, and for two results against each other, such
    as accuracy against training time. For values that were chosen by hand `axis` says more.

    Args:
        runs: One row a run.
        x: Column of a hyperparameter or of a result.
        y: Column of the metric.
        by: Column whose values get their own colour and shape.
        log: Logarithmic horizontal axis; None decides by the name.
        log_y: Logarithmic vertical axis.
        seeds: Draw every run as a faint dot too.

    Returns:
        The figure, which shows itself in a notebook and has `save`; a note where `runs` is empty.

    Raises:
        HplabError: If there is no such column.
    """
    if runs.empty:
        return nothing_recorded()
    cells.require(runs, x, y, by, what="plots.scatter")
    is_result = x in results(runs)
    table = cells.by_setting(runs, y, *([x] if is_result else []))
    for name in (x, by):  # one that does not vary
        if name is not None and name not in table:
            table[name] = [runs[name].iloc[at[0]] for at in table["rows"]]
    drawn = table[np.isfinite(table["mean"].astype(float))]
    if is_result:
        drawn = drawn[np.isfinite(drawn[x])].assign(**{x: drawn[x] * labels.scale(x)})
    if drawn.empty:
        ran = labels.count(len(runs), "recorded run")
        return nothing_recorded(f"of {ran}, none has a value of {labels.quantity(y)}")
    factor = labels.scale(y)
    groups = [(None, drawn)] if by is None else cells.parts(drawn, by)
    dots = [
        _dots(runs, part, x, y, is_result=is_result) if seeds else ([], []) for _, part in groups
    ]
    tested = pd.Series([*drawn[x], *(place for places, _ in dots for place in places)])
    scale = scales.Scale(x, cells.levels(tested if is_result else drawn[x]), log)
    ends = [*(drawn["low"] * factor), *(drawn["high"] * factor)]
    values = [*(drawn["mean"] * factor), *(height for _, heights in dots for height in heights)]
    limits = scales.frame(values, ends, log=log_y)

    def draw(fig: Canvas) -> None:
        ax = fig.add_subplot()
        scale.apply(ax)
        if is_result:
            ax.xaxis.set_major_locator(MaxNLocator(6) if scale.kind == "linear" else LogLocator())
            ax.xaxis.set_minor_locator(NullLocator())
            ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: labels.setting(value)))
            ax.set_xlabel(labels.label(x, labels.loss(runs)))
        scales.vertical(ax, limits if log_y else scales.sensible(limits, y), log=log_y)
        ax.set_ylabel(labels.label(y, labels.loss(runs)))
        for i, ((_, part), (places, heights)) in enumerate(zip(groups, dots, strict=True)):
            look = marks.look(i)
            style: dict[str, Any] = {"color": look.colour, "mec": "none", "ls": "none"}
            at = [scale.at(place) for place in places]
            ax.plot(at, heights, look.marker, ms=3.5, alpha=0.35, **style)
            at = [scale.at(value) for value in part[x]]
            ax.vlines(at, part["low"] * factor, part["high"] * factor, look.colour, lw=1.4)
            ax.plot(at, part["mean"] * factor, look.marker, ms=6.5, **style)
        if by is not None:
            keyed = [
                (labels.setting(level, by), marks.key(marks.look(i), line=False))
                for i, (level, _) in enumerate(groups)
            ]
            marks.legend(fig, labels.quantity(by), keyed)

    keys = [name for name in cells.mixed(runs, []) if name in table]
    lost = int(table["n_diverged"].sum())
    return Figure(
        draw,
        caption=captions.full(_clauses(drawn, x, y, dots), lost=lost, total=len(runs), runs=runs),
        alt=_alt(drawn, x, y),
        data=drawn.drop(columns=["rows", "values"]),
        shown=captions.shown(drawn, keys or [x], y),
    )


def _dots(
    runs: pd.DataFrame, part: pd.DataFrame, x: str, y: str, is_result: bool
) -> tuple[list[Any], list[float]]:
    """The single runs of settings of several seeds, in the shown units; as many as can be seen."""
    several = [at for at in part["rows"] if len(at) > 1]
    every = marks.every(several)
    rows = runs.iloc[[i for at in several for i in at[::every]]]
    rows = rows[np.isfinite(rows[y].astype(float))]
    rows = rows[np.isfinite(rows[x].astype(float))] if is_result else rows
    places = rows[x] * labels.scale(x) if is_result else rows[x]
    return list(places), list(rows[y].astype(float) * labels.scale(y))


def _clauses(
    drawn: pd.DataFrame, x: str, y: str, dots: Sequence[tuple[list[Any], list[float]]]
) -> list[str]:
    what = "each mark is a setting, at its mean with its 95 % interval"
    if drawn["n"].max() < 2:
        what = "each mark is one run, as each setting was run once"
    elif any(places for places, _ in dots):
        what += ", dots are single runs"
    clauses = [f"{labels.quantity(y)} against {labels.quantity(x)}: {what}"]
    clauses.append(f"n = {labels.span(drawn['n'])} seeds a setting, {len(drawn)} settings")
    return clauses


def _alt(drawn: pd.DataFrame, x: str, y: str) -> str:
    low, high = (labels.number(y, end(drawn["mean"])) for end in (min, max))
    marks_ = labels.count(len(drawn), "mark")
    return f"{marks_}: {labels.quantity(y)} from {low} to {high} against {labels.quantity(x)}"
