"""Parallel coordinates: every setting a line through its values, to what came of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from hplab.pages import labels
from hplab.pages.figures import captions, cells, explorer_data, scales, svg
from hplab.pages.figures.figure import Figure, Html, nothing_recorded

MOST_AXES = 7
MOST_LINES = 400  # beyond this they are thinned, the best and the worst always among them
FEW = 6  # values that all get a label
FAINTEST, FULLEST = 0.08, 0.75  # opacity of the worst and the best line


def parallel(
    runs: pd.DataFrame, y: str = "val_acc", *, x: Sequence[str] = (), log: Sequence[str] = ()
) -> Figure | Html:
    """Draw every setting as a line through the values of its hyperparameters, to its mean result.

    The better a setting's rank, the fuller its line; the best is drawn in another colour, if it
    rests on two seeds or more. Settings are drawn, not runs: a single lucky run leads nowhere.
    Settings without a mean, since runs of them diverged or were stopped early, end before the last
    axis, dotted.

    Args:
        runs: One row a run.
        y: Column of the metric, the last axis.
        x: The columns of the other axes; none takes all hyperparameters that vary.
        log: Those of them whose axis is logarithmic, beside those that look so.

    Returns:
        The figure, which shows itself in a notebook and has `save`; a note where `runs` is empty.

    Raises:
        HplabError: If there is no such column.
    """
    if runs.empty:
        return nothing_recorded()
    cells.require(runs, y, *x, what="plots.parallel")
    table = cells.by_setting(runs, y)
    names = list(x) or explorer_data.varied_columns(runs)[:MOST_AXES]
    if not names:
        return nothing_recorded("no hyperparameter differs between the runs")
    for name in names:  # of an axis that was asked for and does not vary
        table[name] = [runs[name].iloc[at[0]] for at in table["rows"]]
    way = labels.better(y) or 1
    table = table.assign(rank=(way * table["mean"]).rank(pct=True)).sort_values(
        "rank", kind="stable"
    )
    top = _best(table, y)
    axes = [_axis(name, table[name], log=name in log) for name in names]
    values = table["mean"] * labels.scale(y)
    last = _axis(y, values[np.isfinite(values)] if values.notna().any() else pd.Series([0.0]))
    every = max(1, math.ceil(len(table) / MOST_LINES))

    def draw(fig: Canvas) -> None:
        ax = fig.add_subplot()
        ax.set_axis_off()
        for i, row in enumerate(table.to_dict("records")):
            if i % every and row["rank"] < 1 and i != len(table) - 1:
                continue
            heights = [axis.at(row[axis.name]) for axis in axes]
            is_whole = math.isfinite(row["mean"])
            if is_whole:
                heights.append(last.at(row["mean"] * labels.scale(y)))
            style: dict[str, Any] = {"color": svg.SERIES[0], "lw": 1.2}
            style["alpha"] = FAINTEST + (FULLEST - FAINTEST) * row["rank"] if is_whole else 0.5
            if not is_whole:
                style |= {"color": svg.MUTED, "ls": ":"}
            ax.plot(range(len(heights)), heights, **style)
        if top is not None:
            heights = [axis.at(top[axis.name]) for axis in axes]
            heights.append(last.at(top["mean"] * labels.scale(y)))
            ax.plot(range(len(heights)), heights, color=svg.SERIES[1], lw=2.6)
        for i, axis in enumerate([*axes, last]):
            title = labels.label(y, labels.loss(runs)) if axis is last else None
            _draw_axis(ax, i, axis, title or labels.quantity(axis.name))
        ax.set_xlim(-0.08 * len(axes), 1.16 * len(axes))
        ax.set_ylim(-0.04, 1.32)

    return Figure(
        draw,
        caption=captions.full(
            _clauses(table, names, y, top, every), lost=0, total=len(runs), runs=runs
        ),
        alt=_alt(table, names, y, top),
        data=table.drop(columns=["rows", "rank", "values"]),
        shown=captions.shown(table[::-1], names, y),
        height=4.2,
    )


class _Axis(NamedTuple):
    """An upright axis: where a value stands, from 0 to 1, and what is written beside it."""

    name: str
    scale: scales.Scale
    ticks: list[tuple[float, str]]

    def at(self, value: Any) -> float:
        return self.scale.share(None if pd.isna(value) else value)


def _axis(name: str, column: pd.Series, *, log: bool = False) -> _Axis:
    tested = [None if pd.isna(value) else value for value in cells.levels(column)]
    scale = scales.Scale(name, tested, log or None)
    if len(tested) <= FEW or scale.kind == "names":
        chosen = tested[:: max(1, math.ceil(len(tested) / 2 / FEW))]
    else:
        ends = [tested[0], tested[len(tested) // 2], tested[-1]]
        return _Axis(name, scale, [(scale.share(v), _rounded(v)) for v in ends])
    ticks = [(scale.share(value), labels.setting(value, name)) for value in chosen]
    return _Axis(name, scale, ticks)


def _rounded(value: Any) -> str:
    """A value that nobody typed to three digits; a whole number as it is."""
    return labels.setting(value if float(value).is_integer() else float(f"{value:.3g}"))


def _draw_axis(ax: Axes, i: int, axis: _Axis, title: str) -> None:
    ax.plot([i, i], [0, 1], color=svg.INK, lw=1, zorder=3)
    ax.text(i, 1.05, labels.shortened(title, 26), ha="left", va="bottom", rotation=24, fontsize=12)
    last = -1.0
    for height, text in sorted(axis.ticks):
        if height - last < 0.06:
            continue
        last = height
        words = labels.shortened(text, 12)
        box = {"facecolor": svg.PAPER, "alpha": 0.75, "lw": 0, "pad": 0.8}
        style = {"va": "center", "fontsize": 11, "color": svg.INK, "zorder": 4, "bbox": box}
        ax.text(i - 0.04, height, words, ha="right", **style)


def _best(table: pd.DataFrame, y: str) -> pd.Series | None:
    """Return the best setting of those with two seeds or more, if one side is better."""
    several = _several(table)
    top = cells.best(several, y) if len(several) else None
    return None if top is None else several.loc[top]


def _several(table: pd.DataFrame) -> pd.DataFrame:
    return table[(table["n"] > 1) & (table["n_diverged"] == 0)]


def _clauses(
    table: pd.DataFrame, names: Sequence[str], y: str, top: pd.Series | None, every: int
) -> list[str]:
    n = len(table)
    clauses = [
        f"{labels.count(n, 'setting')} by {labels.listed(map(labels.quantity, names))} and mean "
        f"{labels.quantity(y)}"
    ]
    if top is not None:
        clauses[0] += f": the best mean of several seeds (orange) is {labels.interval(y, top)}"
        clauses[0] += f" at {captions.at(top, list(names))}"
        clauses += captions.shared(_several(table))
        clauses.append("the best of many is flattered by luck")
    elif table["n"].max() < 2:
        clauses.append("one run a setting, so none is called the best")
    if every > 1:
        clauses.append(f"only every {labels.ordinal(every)} of them is drawn")
    if cut := int(table["mean"].isna().sum()):
        clauses.append(f"{cut} without a mean (dotted), as runs of them diverged or were stopped")
    return clauses


def _alt(table: pd.DataFrame, names: Sequence[str], y: str, top: pd.Series | None) -> str:
    axes = labels.listed(map(labels.quantity, names))
    text = f"{labels.count(len(table), 'line')} through {axes} to {labels.quantity(y)}"
    if top is None:
        return text
    return f"{text}; the best of several seeds ends at {labels.number(y, top['mean'])}"
