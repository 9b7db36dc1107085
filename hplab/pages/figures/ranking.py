"""The best settings of a table of runs, a row each: mean, interval, every run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from hplab.pages import labels
from hplab.pages.figures import captions, marks, scales, svg
from hplab.pages.figures.figure import Figure, Html, note

MOST_ROWS = 12  # settings that are drawn; the table beside the figure has more
ROW_IN = 0.36
LONGEST = 34  # characters of a setting
ASIDE = 0.24  # of a row: the single runs stand above their mean


def of(table: pd.DataFrame, names: Sequence[str], y: str, *, alpha: float) -> Figure | Html:
    """Draw the first settings of a ranking, with their intervals and every run.

    A setting that is surely worse than the first is hollow. One that was run once has no interval,
    and what has no mean (its runs diverged, or some were stopped early) is left out.

    Args:
        table: One row a setting, the best first: the columns of `names`, "mean", "low", "high",
            "values" of its runs, "n", and "p", that it is no worse than the first.
        names: The hyperparameters that differ.
        y: The metric.
        alpha: Below which p a setting is surely worse.

    Returns:
        The figure; a note where no setting has a mean.
    """
    known = table[table["mean"].map(math.isfinite)]
    drawn = known.head(MOST_ROWS).reset_index(drop=True)
    if drawn.empty:
        return note(f"No setting has a mean {labels.quantity(y)} to draw.")
    is_worse = (drawn["p"] < alpha).tolist()
    factor = labels.scale(y)
    every = marks.every(drawn["values"])
    rows = [_setting(row, names) for _, row in drawn.iterrows()]
    told = f"p < {alpha:g}, corrected for all pairs" if any(is_worse) else ""

    def draw(fig: Canvas) -> None:
        ax = fig.add_subplot()
        look = marks.look(0)
        for at, (row, worse) in enumerate(zip(drawn.to_dict("records"), is_worse, strict=True)):
            runs = [value * factor for value in row["values"][::every]] if row["n"] > 1 else []
            ax.plot(runs, [at - ASIDE] * len(runs), **_dot(look))
            if math.isfinite(row["low"]):
                ax.plot([row["low"] * factor, row["high"] * factor], [at] * 2, color=look.colour)
            ax.plot([row["mean"] * factor], [at], **_mean(look, worse))
        ax.set_yticks(range(len(rows)), rows)
        ax.set_ylim(len(rows) - 0.5, -0.5 - ASIDE)
        ax.tick_params(axis="y", length=0)
        ax.grid(False, axis="y")
        ends = [end * factor for name in ("low", "high") for end in drawn[name]]
        values = [value * factor for values in drawn["values"] for value in values]
        limits = scales.frame([*(drawn["mean"] * factor), *values], ends, log=False)
        ax.set_xlim(*scales.sensible(limits, y))
        ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
        ax.set_xlabel(labels.label(y))
        keys = [("mean", Line2D([], [], **_mean(look, False)))]
        keys += [("surely worse", Line2D([], [], **_mean(look, True)))] * any(is_worse)
        keys += [("one run", Line2D([], [], **_dot(look)))] * bool(drawn["n"].max() > 1)
        marks.legend(fig, "", keys)

    return Figure(
        draw,
        caption=labels.sentence("; ".join(_clauses(drawn, len(table), names, y, told))),
        alt=_alt(drawn, rows, y),
        data=drawn.drop(columns=["rows", "values"], errors="ignore"),
        shown=captions.shown(drawn, list(names), y),
        height=1.5 + ROW_IN * len(drawn),
    )


def _setting(row: pd.Series, names: Sequence[str]) -> str:
    """Return the values of a setting, in the order of the names, which the caption says."""
    told = ", ".join(labels.setting(row[name], name) for name in names)
    return labels.shortened(told, LONGEST) or "the one setting"


def _mean(look: marks.Look, is_hollow: bool) -> dict[str, Any]:
    face = svg.PAPER if is_hollow else look.colour
    return {"marker": "o", "ms": 7.5, "color": look.colour, "mfc": face, "mew": 1.6, "ls": "none"}


def _dot(look: marks.Look) -> dict[str, Any]:
    return {"marker": "o", "ms": 4.5, "color": look.colour, "mec": "none", "alpha": 0.5, "ls": ""}


def _clauses(drawn: pd.DataFrame, n: int, names: Sequence[str], y: str, worse: str) -> list[str]:
    shown = f"all {n}" if n == len(drawn) else f"the first {len(drawn)} of {n}"
    lead = f"{shown} settings by mean {labels.quantity(y)}, the best first"
    if n == 1:
        lead = f"the one setting by mean {labels.quantity(y)}"
    if names:
        lead += f", each by its {labels.listed(map(labels.quantity, names))}"
    if drawn["n"].max() < 2:
        return [f"{lead}: each was run once, so there is no interval"]
    clauses = [f"{lead}: means with 95 % intervals, and every run a dot above its mean"]
    if worse:
        clauses.append(f"hollow: surely worse than the first ({worse})")
    clauses.append(f"n = {labels.span(drawn['n'])} seeds a setting")
    return clauses


def _alt(drawn: pd.DataFrame, rows: Sequence[str], y: str) -> str:
    pairs = zip(rows, drawn["mean"], strict=True)
    told = [f"{setting}: {labels.number(y, mean)}" for setting, mean in pairs]
    return f"Mean {labels.quantity(y)} of the best settings; {labels.listed(told, 6)}"
