"""A metric against one hyperparameter: every seed, or the best over nuisance hyperparameters."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from hplab.pages import labels
from hplab.pages.figures import captions, cells, marks, scales, svg
from hplab.pages.figures.figure import Figure, Html, nothing_recorded, one_value
from hplab.trial import HplabError

WIDTH_PT = 390.0  # of the axes, about: what groups side by side share


def axis(
    runs: pd.DataFrame,
    x: str = "lr",
    y: str = "val_acc",
    *,
    by: str | None = None,
    log: bool | None = None,
    log_y: bool = False,
    seeds: bool = True,
    best: bool = True,
    ylim: tuple[float, float] | None = None,
) -> Figure | Html:
    """Draw a metric against one hyperparameter: every seed, mean and 95 % interval.

    This is the basic hyperparameter axis plot of the deep learning tuning playbook. Runs that
    diverged are crosses at the worse edge of the frame. The best mean is ringed, and flagged if it
    belongs to the first or last value tested. Means are drawn only where the runs of a cell differ
    in nothing but their seed; if another hyperparameter varies too, the caption names it.

    Args:
        runs: One row a trial, as `hplab.run` returns it.
        x: Column of the hyperparameter.
        y: Column of the metric.
        by: Column whose values get their own colour, marker and dash.
        log: Logarithmic horizontal axis; None decides by the name (lr, weight_decay: log10;
            batch_size, widths: log2).
        log_y: Logarithmic vertical axis.
        seeds: Draw every run, not only means.
        best: Ring the best mean and flag one at the edge of the grid; a figure of two settings that
            are compared needs neither.
        ylim: Limits of the vertical axis in the shown unit (percent for accuracies); the caption
            counts the runs outside.

    Returns:
        The figure, which shows itself in a notebook and has `save`; a note where `runs` is empty,
        or where trials are missing and one value of `x` is recorded.

    Raises:
        HplabError: If there is no such column.
    """
    cells.require(runs, what="plots.axis")
    if runs.empty:
        return nothing_recorded()
    cells.require(runs, x, y, by, what="plots.axis")
    if (waits := one_value(runs, x)) is not None:
        return waits
    keys = [x] if by is None else [by, x]
    others = cells.mixed(runs, keys)
    table = cells.cells(runs, y, keys)
    if not table[["n", "n_diverged"]].to_numpy().any():
        ran = labels.count(len(runs), "recorded run")
        return nothing_recorded(f"of {ran}, none has a value of {labels.quantity(y)}")
    scale = scales.Scale(x, cells.levels(runs[x]), log)
    top = cells.best(table, y) if best and not others else None
    limits = ylim or _limits(table, y, log_y, with_intervals=not others)
    flags = [] if others or not best else _edges(table, x, y, by, scale.tested)

    def draw(fig: Canvas) -> None:
        ax = _axes(fig, scale, limits, log_y)
        ax.set_ylabel(labels.label(y, labels.loss(runs)))
        _groups(ax, table, (x, y, by), scale, seeds=seeds, means=not others)
        if top is not None:
            _ring(ax, table, top, (x, y, by), scale, seeds=seeds)
        for side in dict.fromkeys(side for _, side in flags):
            marks.edge_flag(ax, side, "best at the edge of the grid")
        if by is not None:
            texts = enumerate(map(labels.setting, cells.levels(runs[by])))
            keyed = [(text, marks.key(marks.look(i))) for i, text in texts]
            marks.legend(fig, labels.quantity(by), keyed)

    clauses = captions.axis(
        table, (x, y, by), top, flags, others, seeds=seeds, outside=_outside(table, y, ylim)
    )
    clauses += [] if others else captions.clipped(table, y, limits)
    clauses += captions.fallen(table, (x, y, by), means=not others) if log_y else []
    return _finished(draw, clauses, table, (x, y, by), runs, means=not others)


def isolation(
    runs: pd.DataFrame,
    x: str,
    y: str = "val_acc",
    *,
    over: Sequence[str],
    log: bool | None = None,
    log_y: bool = False,
) -> Figure | Html:
    """Draw the best over nuisance hyperparameters for each value of one: tuned for each.

    For each value of `x` the setting of `over` with the best mean over seeds is drawn with all its
    runs; the means of the others are short dashes.

    Args:
        runs: One row a trial.
        x: Column of the scientific hyperparameter.
        y: Column of the metric; must have a better side (accuracy or loss).
        over: Columns of the nuisance hyperparameters that were tuned.
        log: As for `axis`.
        log_y: As for `axis`.

    Returns:
        The figure, which shows itself in a notebook and has `save`; a note where `runs` is empty,
        or where trials are missing and one value of `x` is recorded.

    Raises:
        HplabError: If a column is missing, `over` is empty, `y` has no better side, or yet another
            hyperparameter varies.
    """
    cells.require(runs, what="plots.isolation")
    if runs.empty:
        return nothing_recorded()
    over = [over] if isinstance(over, str) else list(over)
    cells.require(runs, x, y, *over, what="plots.isolation")
    _check_isolation(runs, x, y, over)
    if (waits := one_value(runs, x)) is not None:
        return waits
    table = cells.cells(runs, y, [x, *over])
    groups = [part for _, part in cells.parts(table, x)]
    table["chosen"] = table.index.isin([cells.best(group, y) for group in groups])
    chosen = table[table["chosen"]]
    scale = scales.Scale(x, cells.levels(runs[x]), log)
    limits = _limits(chosen, y, log_y, with_intervals=True)
    top = cells.best(chosen, y)
    side = None if top is None else cells.edge(scale.tested, chosen.loc[top, x])
    lost = [int(group["n_diverged"].sum()) for group in groups]

    def draw(fig: Canvas) -> None:
        ax = _axes(fig, scale, limits, log_y)
        ax.set_ylabel(labels.label(y, labels.loss(runs)))
        for _, cell in table[~table["chosen"] & table["mean"].notna()].iterrows():
            _dash(ax, scale.at(cell[x]), cell["mean"] * labels.scale(y))
        _groups(ax, chosen, (x, y, None), scale, seeds=True, means=True, crossed=False)
        for level, n_lost in zip(scale.tested, lost, strict=True):
            if n_lost:
                _cross(ax, scale.at(level), n_lost, None, marks.look(1).colour, y, 0.0)
        if top is not None:
            _ring(ax, chosen, top, (x, y, None), scale, seeds=True)
        if side:
            marks.edge_flag(ax, side, "best at the edge of the grid")

    clauses = captions.isolation(table, x, y, over, top, side)
    clauses += captions.clipped(chosen, y, limits)
    clauses += captions.fallen(chosen, (x, y, None), means=True) if log_y else []
    return _finished(draw, clauses, table, (x, y, None), runs, means=True, keys=[x, *over])


def _axes(fig: Canvas, scale: scales.Scale, limits: tuple[float, float], log_y: bool) -> Axes:
    ax = fig.add_subplot()
    scale.apply(ax)
    scales.vertical(ax, limits, log=log_y)
    return ax


def _check_isolation(runs: pd.DataFrame, x: str, y: str, over: Sequence[str]) -> None:
    if not over:
        raise HplabError("plots.isolation: `over` is empty; name what was tuned")
    if labels.better(y) == 0:
        raise HplabError(f"plots.isolation: no side of {y!r} is better; use an accuracy or a loss")
    if others := cells.mixed(runs, [x, *over]):
        raise HplabError(
            f"plots.isolation: {', '.join(others)} also varies at the same {x} and "
            f"{', '.join(over)}; add it to `over` or keep one value of it"
        )


def _finished(
    draw: Callable[[Canvas], None],
    clauses: Sequence[str],
    table: pd.DataFrame,
    names: captions.Names,
    runs: pd.DataFrame,
    *,
    means: bool,
    keys: Sequence[str] | None = None,
) -> Figure:
    """The figure of a table of cells, with its words."""
    x, y, by = names
    lost = int(table["n_diverged"].sum())
    drawn = table[table["chosen"]] if "chosen" in table else table
    return Figure(
        draw,
        caption=captions.full(clauses, lost=lost, total=len(runs), runs=runs),
        alt=captions.trend(drawn, names, means=means),
        data=table,
        shown=captions.shown(table, keys or [name for name in (by, x) if name], y, means=means),
    )


def _limits(table: pd.DataFrame, y: str, log: bool, *, with_intervals: bool) -> tuple[float, float]:
    factor = labels.scale(y)
    values = [value * factor for cell in table["values"] for value in cell]
    ends = [*(table["low"] * factor), *(table["high"] * factor)] if with_intervals else []
    limits = scales.frame(values, ends, log=log)
    return limits if log else scales.sensible(limits, y)


def _shift(i: int, n_groups: int, scale: scales.Scale) -> float:
    """How far a group stands beside its value, in points, so that groups do not cover another."""
    step = min(10.0, 0.8 * _room(scale) / n_groups)
    return (i - (n_groups - 1) / 2) * step


def _groups(
    ax: Axes,
    table: pd.DataFrame,
    names: captions.Names,
    scale: scales.Scale,
    *,
    seeds: bool,
    means: bool,
    crossed: bool = True,
) -> None:
    """Draw every group of cells: dots, means with intervals, the line through them, crosses."""
    x, y, by = names
    groups = [table] if by is None else [part for _, part in cells.parts(table, by)]
    every = marks.every(table["values"])
    for i, group in enumerate(groups):
        style = marks.look(i)
        right = _shift(i, len(groups), scale)
        beside = right + _beside(len(groups), scale) * seeds
        places = [scale.at(level) for level in group[x]]
        shown = group[["mean", "low", "high"]] * labels.scale(y)
        if means and scale.kind != "names":
            marks.joined(ax, places, list(shown["mean"]), style, beside)
        for place, (_, cell), (_, values) in zip(
            places, group.iterrows(), shown.iterrows(), strict=True
        ):
            if seeds or not means:
                kept = marks.thinned(cell["values"], every)
                marks.dots(ax, place, [v * labels.scale(y) for v in kept], style, right)
            if means and math.isfinite(values["mean"]):
                marks.mean(ax, place, dict(values), style, beside)
                if values["mean"] <= 0 and ax.get_yscale() == "log":
                    marks.below(ax, place, style, beside)
            if crossed and cell["n_diverged"]:
                total = None if len(groups) > 1 else int(cell["n"] + cell["n_diverged"])
                colour = style.colour if len(groups) > 1 else marks.look(1).colour
                _cross(ax, place, int(cell["n_diverged"]), total, colour, y, right)


def _cross(
    ax: Axes, place: float, lost: int, of: int | None, colour: str, y: str, right: float
) -> None:
    marks.crosses(ax, place, lost, of, colour, top=labels.better(y) <= 0, right=right)


def _dash(ax: Axes, place: float, mean: float) -> None:
    ax.plot([place], [mean], "_", color=svg.MUTED, ms=11, mew=1.6, zorder=1.8)


def _beside(n_groups: int, scale: scales.Scale) -> float:
    """How far right of its runs a mean stands, in points."""
    return min(6.0, 0.3 * _room(scale) / n_groups)


def _room(scale: scales.Scale) -> float:
    """The distance of the two nearest values, in points: no group may reach the next value."""
    places = sorted(scale.share(level) for level in scale.tested)
    return WIDTH_PT * min((b - a for a, b in itertools.pairwise(places)), default=1.0)


def _ring(
    ax: Axes,
    table: pd.DataFrame,
    top: Any,
    names: captions.Names,
    scale: scales.Scale,
    *,
    seeds: bool,
) -> None:
    x, y, by = names
    groups = [table] if by is None else [part for _, part in cells.parts(table, by)]
    i = next(n for n, group in enumerate(groups) if top in group.index)
    right = _shift(i, len(groups), scale) + _beside(len(groups), scale) * seeds
    marks.ring(ax, scale.at(table.loc[top, x]), table.loc[top, "mean"] * labels.scale(y), right)


def _edges(
    table: pd.DataFrame, x: str, y: str, by: str | None, tested: list[Any]
) -> list[tuple[Any, str]]:
    """Groups whose best mean belongs to the first or last value tested, and which of the two."""
    flags = []
    for level, group in [(None, table)] if by is None else cells.parts(table, by):
        top = cells.best(group, y)
        side = None if top is None else cells.edge(cells.levels(group[x]), group.loc[top, x])
        if side:
            flags.append((level, side))
    return flags


def _outside(table: pd.DataFrame, y: str, ylim: tuple[float, float] | None) -> int:
    """How many runs lie outside the limits that the caller chose."""
    if ylim is None:
        return 0
    values = np.array([value for cell in table["values"] for value in cell]) * labels.scale(y)
    return int(((values < ylim[0]) | (values > ylim[1])).sum())
