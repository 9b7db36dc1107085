"""A metric over two hyperparameters at once, and how much of it is interaction."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import Rectangle

from hplab.pages import labels
from hplab.pages.figures import captions, cells, svg
from hplab.pages.figures.figure import Figure, Html, nothing_recorded, one_value

DARKEST = 0.62  # opacity of the best cell; the number in it must stay readable


def heatmap(runs: pd.DataFrame, x: str, y: str, z: str = "val_acc") -> Figure | Html:
    """Draw the mean of a metric for every pair of two hyperparameters.

    The fuller the colour, the better the mean; the best is framed. The caption says which share of
    the variation between cells is interaction: what is left when the mean effect of `x` and the
    mean effect of `y` are taken off. Without interaction each could be tuned by itself.

    Args:
        runs: One row a trial.
        x: Column of the hyperparameter across.
        y: Column of the hyperparameter upwards.
        z: Column of the metric.

    Returns:
        The figure, which shows itself in a notebook and has `save`; a note where `runs` is empty,
        or where trials are missing and one value of `x` or `y` is recorded.

    Raises:
        HplabError: If there is no such column.
    """
    if runs.empty:
        return nothing_recorded()
    cells.require(runs, x, y, z, what="plots.heatmap")
    for name in (x, y):
        if (waits := one_value(runs, name)) is not None:
            return waits
    table = cells.cells(runs, z, [y, x])
    across, up = cells.levels(runs[x]), cells.levels(runs[y])
    top = cells.best(table, z)

    def draw(fig: Canvas) -> None:
        ax = fig.add_subplot()
        for i, cell in table.iterrows():
            place = across.index(cell[x]), up.index(cell[y])
            _cell(ax, place, cell, z, _opacity(cell["mean"], table["mean"], z), framed=i == top)
        ax.set_xlim(-0.5, len(across) - 0.5)
        ax.set_ylim(-0.5, len(up) - 0.5)
        ax.set_xticks(range(len(across)), [labels.setting(level, x) for level in across])
        ax.set_yticks(range(len(up)), [labels.setting(level, y) for level in up])
        ax.grid(False)
        ax.set_xlabel(labels.label(x))
        ax.set_ylabel(labels.label(y))

    lost, total = int(table["n_diverged"].sum()), len(runs)
    return Figure(
        draw,
        caption=captions.full(
            _clauses(table, (x, y, z), top, runs), lost=lost, total=total, runs=runs
        ),
        alt=captions.trend(table, (x, z, y), means=True),
        data=table.drop(columns="values"),
        shown=captions.shown(table, [y, x], z),
        height=0.9 + 0.55 * len(up) + 0.9,
    )


def _cell(
    ax: Axes, place: tuple[int, int], cell: pd.Series, z: str, opacity: float, *, framed: bool
) -> None:
    """Draw one cell: a box as full as its mean is good, with the mean as a number."""
    box = (place[0] - 0.47, place[1] - 0.44), 0.94, 0.88
    ax.add_patch(Rectangle(*box, facecolor=svg.SERIES[0], alpha=opacity, edgecolor="none"))
    if framed:
        ax.add_patch(Rectangle(*box, fill=False, edgecolor=svg.INK, lw=2))
    text = labels.number(z, cell["mean"], with_unit=False) if cell["n"] else "×"
    ax.text(*place, text, ha="center", va="center", color=svg.INK, fontsize=11.5)


def interaction(table: pd.DataFrame, x: str, y: str) -> float:
    """Return the share of the variation between cells that rows and columns do not add up to.

    Args:
        table: One row a cell, with its "mean".
        x: Column of one hyperparameter.
        y: Column of the other.

    Returns:
        Sum of squares of the interaction divided by the total sum of squares between cells, from 0
        to 1; not a number if a cell is missing or all are equal.
    """
    grid = table.pivot(index=y, columns=x, values="mean").to_numpy(dtype=float)
    centred = grid - grid.mean()
    rest = centred - centred.mean(axis=0) - centred.mean(axis=1, keepdims=True)
    total = float((centred**2).sum())
    return float((rest**2).sum()) / total if total > 0 else math.nan


def _opacity(mean: float, means: pd.Series, z: str) -> float:
    low, high = means.min(), means.max()
    if not (math.isfinite(mean) and high > low):
        return 0.05
    share = (mean - low) / (high - low)
    return 0.05 + (DARKEST - 0.05) * (1 - share if labels.better(z) < 0 else share)


def _clauses(
    table: pd.DataFrame, names: tuple[str, str, str], top: object, runs: pd.DataFrame
) -> list[str]:
    x, y, z = names
    pair = f"{labels.quantity(x)} and {labels.quantity(y)}"
    lead = f"mean {labels.label(z, labels.loss(runs))} for every pair of {pair}"
    if top is not None:
        place = captions.at(table.loc[top], [x, y])
        lead += f": the best (framed) is {labels.interval(z, table.loc[top])} at {place}"
    seeds = table.loc[table["n"] > 0, "n"]
    clauses = [lead, *captions.shared(table)] if top is not None else [lead]
    clauses += [f"n = {labels.span(seeds)} seeds a cell" if len(seeds) else "no run converged"]
    if others := cells.mixed(runs, [x, y]):
        clauses.append(f"a mean is over all values, since {captions.also(others)}")
    share = interaction(table, x, y)
    if np.isfinite(share):
        clauses.append(f"{100 * share:.0f} % of the variation between the cells is interaction")
    return clauses
