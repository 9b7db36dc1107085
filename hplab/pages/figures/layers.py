"""Figures of what happens inside training: the rate over the run, and layer after layer."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Canvas

from hplab.pages import labels
from hplab.pages.figures import captions, cells, marks
from hplab.pages.figures.figure import Figure, Html, nothing_recorded
from hplab.trial import HplabError


def layers(
    profiles: pd.DataFrame, y: str = "gradient", *, by: str = "activation", when: str = "start"
) -> Figure | Html:
    """Draw a quantity layer by layer, from the images to the logits.

    Args:
        profiles: What `hplab.layers` returns.
        y: "signal" (spread of the activations), "gradient" (of the weights) or "dead" (share of
            dead units).
        by: Column whose values get their own line.
        when: "start", before the first step, or "end", after the last.

    Returns:
        The figure, which shows itself in a notebook and has `save`; a note where `profiles` is
        empty.

    Raises:
        HplabError: If there is no such quantity or column.
    """
    if profiles.empty:
        return nothing_recorded()
    column = f"{y}_{when}"
    if column not in profiles:
        raise HplabError(
            f"plots.layers: no {column!r}; y is signal, gradient or dead, when is start or end"
        )
    cells.require(profiles, by, "layer", "seed", what="plots.layers")
    known = profiles[np.isfinite(profiles[column].astype(float))]
    fallen = captions.off_log("value", known[column]) if y != "dead" else []
    if y != "dead":
        known = known[known[column] > 0]
    table = known.groupby([by, "layer"], sort=False)[column].median().reset_index()
    groups = cells.parts(table, by)
    moment = "before the first step" if when == "start" else "after training"
    clauses = [
        f"{_NAMES[y]} layer by layer {moment}: median over seeds (line), every seed a dot",
        f"n = {labels.span(profiles.groupby(by)['seed'].nunique())} seeds",
        *fallen,
    ]
    told = [
        f"{labels.setting(level)} from {part[column].iloc[0]:.2g} to {part[column].iloc[-1]:.2g}"
        for level, part in groups
    ]
    return Figure(
        functools.partial(_draw, known=known, groups=groups, by=by, y=y, column=column),
        caption=captions.full(clauses, lost=0, total=0, runs=profiles),
        alt=f"{_NAMES[y]} from the first to the last layer: {labels.listed(told)}",
        data=table,
        shown=_wide(table, by, column),
    )


def _draw(
    fig: Canvas,
    known: pd.DataFrame,
    groups: Sequence[tuple[Any, pd.DataFrame]],
    by: str,
    y: str,
    column: str,
) -> None:
    """Draw every seed of `known` as a dot, and the medians of each group as a line."""
    ax, factor = fig.add_subplot(), 100.0 if y == "dead" else 1.0
    for i, (level, part) in enumerate(groups):
        style = marks.look(i)
        runs = known[cells.select(known, by, level)]
        faint = {"color": style.colour, "ms": 4, "alpha": 0.35, "mec": "none", "ls": "none"}
        ax.plot(runs["layer"], runs[column] * factor, marker=style.marker, **faint)
        line = {"color": style.colour, "ls": style.line, "marker": style.marker, "ms": 6}
        ax.plot(part["layer"], part[column] * factor, **line)
    if y != "dead":
        ax.set_yscale("log")
    ax.set_xlabel("layer, counted from the images")
    ax.set_ylabel(_NAMES[y])
    keys = [
        (labels.setting(level), marks.key(marks.look(i))) for i, (level, _) in enumerate(groups)
    ]
    marks.legend(fig, labels.quantity(by), keys)


_NAMES = {
    "signal": "spread of the activations (sd)",
    "gradient": "gradient of the weights (rms)",
    "dead": "dead units (%)",
}


def _wide(table: pd.DataFrame, by: str, column: str) -> pd.DataFrame:
    wide = table.pivot(index="layer", columns=by, values=column)
    wide = wide.map(lambda value: f"{value:.2g}" if np.isfinite(value) else "")
    return wide.rename(columns=labels.setting).reset_index()
