"""How often something happened to a network, beside what a report saw."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure as Canvas

from hplab.analysis.stats import proportions as intervals
from hplab.pages import labels as words
from hplab.pages.figures import captions, cells, marks, scales
from hplab.pages.figures.figure import NO_TRIALS, Figure, Html, nothing_recorded
from hplab.trial import HplabError


def shares(
    runs: pd.DataFrame,
    event: str,
    x: str,
    *,
    published: Mapping[Any, tuple[int, int]] | None = None,
) -> Figure | Html:
    """Draw how often something happened, with Jeffreys' 95 % interval, for each value of a column.

    Args:
        runs: One row a trial.
        event: Column that is 1 where it happened and 0 where it did not, such as "collapsed".
        x: Column of the setting.
        published: What a report saw: for values of `x`, how many of how many runs. It is drawn as
            diamonds, alone where none of ours can be judged.

    Returns:
        The figure, which shows itself in a notebook and has `save`; a note where `runs` is empty.

    Raises:
        HplabError: If a column is missing, or the runs of a value differ in more than their seed.
    """
    if len(runs):
        cells.require(runs, x, what="plots.shares")
    known = runs[runs[event].notna()] if event in runs else runs[:0]
    if known.empty and not published:
        return nothing_recorded(_unjudged(runs, event) if len(runs) else NO_TRIALS)
    if others := cells.mixed(known, [x]) if len(known) else []:
        raise HplabError(f"plots.shares: {captions.also(others)}; keep one value of it")
    ours = _counts(known, event, x)
    theirs = _shares([(level, *counts) for level, counts in (published or {}).items()], x)
    both = pd.concat([ours.assign(by="ours"), theirs.assign(by="published")], ignore_index=True)
    scale = scales.Scale(x, cells.levels(both[x]))

    def draw(fig: Canvas) -> None:
        ax = fig.add_subplot()
        scale.apply(ax)
        ax.set_ylim(-3, 103)
        ax.set_ylabel(f"{event} (% of runs)")  # longer, it would run into the legend
        keyed = []
        for i, (who, marker) in enumerate([("ours", "o"), ("published", "D")]):
            look = marks.look(i)._replace(marker=marker)
            for _, cell in both[both["by"] == who].iterrows():
                shown = {name: 100 * cell[name] for name in ("mean", "low", "high")}
                marks.mean(ax, scale.at(cell[x]), shown, look, 8.0 * i)
            keyed += [(who, marks.key(look, line=False))] if (both["by"] == who).any() else []
        if published:
            marks.legend(fig, "", keyed)

    return Figure(
        draw,
        caption=_told(runs, known, ours, theirs, event, x),
        alt=f"Share of runs that {event}: {_fractions(both, x)}",
        data=both,
        shown=_shown(both, event, x),
        height=3.0,
    )


def _told(
    runs: pd.DataFrame,
    known: pd.DataFrame,
    ours: pd.DataFrame,
    theirs: pd.DataFrame,
    event: str,
    x: str,
) -> str:
    """The caption of `shares`."""
    clauses = [
        f"share of runs that {event} against {words.quantity(x)}, with Jeffreys' 95 % interval"
    ]
    if len(theirs):
        clauses.append(f"published (diamonds): {_fractions(theirs, x)}")
    if known.empty:
        clauses.append(_unjudged(runs, event) if len(runs) else NO_TRIALS)
        return words.sentence("; ".join(clauses))
    clauses.append(f"{'ours: ' if len(theirs) else ''}{_fractions(ours, x)}")
    return captions.full(clauses, lost=0, total=len(runs), runs=runs)


def _fractions(table: pd.DataFrame, x: str) -> str:
    return ", ".join(
        f"{cell['k']:.0f} of {cell['n']:.0f} at {words.setting(cell[x])}"
        for _, cell in table.iterrows()
    )


def _unjudged(runs: pd.DataFrame, event: str) -> str:
    ran = words.count(len(runs), "recorded run")
    return f"of {ran}, none was long enough, or measured, to say if it {event}"


def _counts(runs: pd.DataFrame, event: str, x: str) -> pd.DataFrame:
    parts = cells.parts(runs, x) if len(runs) else []
    return _shares([(level, int(part[event].sum()), len(part)) for level, part in parts], x)


def _shares(counts: Iterable[tuple[Any, int, int]], x: str) -> pd.DataFrame:
    """Share and interval for each value of `x`: how many of how many runs."""
    rows = []
    for level, k, n in counts:
        found = intervals.proportion_interval(k, n)
        rows.append({x: level, "k": k, "n": n, "mean": k / n, "low": found.low, "high": found.high})
    return pd.DataFrame(rows, columns=[x, "k", "n", "mean", "low", "high"])


def _shown(table: pd.DataFrame, event: str, x: str) -> pd.DataFrame:
    percent = {name: [f"{100 * v:.1f}" for v in table[name]] for name in ("mean", "low", "high")}
    return pd.DataFrame(
        {
            words.quantity(x): [words.setting(level, x) for level in table[x]],
            "whose": table["by"],
            event: table["k"].astype(str),
            "runs": table["n"].astype(str),
            "share (%)": percent["mean"],
            "95 % from (%)": percent["low"],
            "to (%)": percent["high"],
        }
    )
