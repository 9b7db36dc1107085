"""Figures of what happened to a network: how often it collapsed, and what it confuses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from hplab.analysis.stats import proportions as intervals
from hplab.pages import labels as words
from hplab.pages.figures import captions, cells, marks, scales, svg
from hplab.pages.figures.figure import NO_TRIALS, Figure, Html, nothing_recorded
from hplab.sweeps import runner
from hplab.sweeps import store as stores
from hplab.trial import HplabError

MOST_MATRICES = 3


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
        ax.set_ylabel(f"share of runs that {event} (%)")
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


def confusion(
    runs: pd.DataFrame,
    names: Sequence[str] = (),
    *,
    class_names: Sequence[str] = (),
    store: stores.Store | None = None,
) -> Figure | Html:
    """Draw the confusion matrices of up to three runs side by side.

    Args:
        runs: The runs, trained with the measure "confusion".
        names: What to call each; its seed where there is none.
        class_names: Names of the classes; numbers from 1 where there are none.
        store: Where records are; None takes the project's own.

    Raises:
        HplabError: If there are more than three runs, or a run has no matrix.
    """
    if runs.empty:
        return nothing_recorded()
    if len(runs) > MOST_MATRICES:
        raise HplabError(f"plots.confusion: at most {MOST_MATRICES} runs, got {len(runs)}")
    names = list(names) or [f"seed {seed}" for seed in runs["seed"]]
    if len(names) != len(runs):
        raise HplabError(f"plots.confusion: {len(names)} names for {len(runs)} runs")
    matrices = [runner.confusion(row, store=store) for _, row in runs.iterrows()]
    labels = list(class_names) or [str(i + 1) for i in range(len(matrices[0]))]

    def draw(fig: Canvas) -> None:
        axs = np.atleast_1d(fig.subplots(1, len(matrices), sharey=True))
        for ax, matrix, name in zip(axs, matrices, names, strict=True):
            _matrix(ax, matrix, labels, name)
        axs[0].set_ylabel("true class")

    hit = [np.trace(m.to_numpy()) / m.to_numpy().sum() for m in matrices]
    used = [int((m.sum() > 0).sum()) for m in matrices]
    told = "; ".join(
        f"{name}: {100 * right:.1f} % right, {n} of {len(labels)} classes predicted"
        for name, right, n in zip(names, hit, used, strict=True)
    )
    lead = "validation images by true and predicted class, a darker cell holds more of its row"
    return Figure(
        draw,
        caption=captions.full([lead, told], lost=0, total=len(runs), runs=runs),
        alt=f"Confusion matrices. {told}",
        data=pd.concat(matrices, keys=names),
        shown=_listed(matrices, names, labels),
        height=6.0 / len(matrices) + 1.0 if len(matrices) > 1 else 4.5,
    )


def _matrix(ax: Axes, matrix: pd.DataFrame, labels: Sequence[str], name: str) -> None:
    counts = matrix.to_numpy()
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    for i, row in enumerate(share):
        for j, value in enumerate(row):
            if value:
                ax.fill_between([j - 0.5, j + 0.5], i - 0.5, i + 0.5, color=svg.SERIES[0],
                                alpha=float(value), lw=0)  # fmt: skip
    n = len(counts)
    ax.set_xlim(-0.5, n - 0.5)
    ax.set_ylim(n - 0.5, -0.5)
    ax.set_aspect("equal")
    ax.grid(False)
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.set_yticks(range(n), labels)
    ax.set_xticks(range(0, n, 2), [str(i + 1) for i in range(0, n, 2)])
    ax.set_xlabel(f"predicted class, {name}")


def _listed(
    matrices: Sequence[pd.DataFrame], names: Sequence[str], labels: Sequence[str]
) -> pd.DataFrame:
    """The cells that are not empty, one a row."""
    rows = []
    for matrix, name in zip(matrices, names, strict=True):
        for i, j in np.argwhere(matrix.to_numpy() > 0):
            rows.append((name, labels[i], labels[j], str(matrix.iat[i, j])))
    return pd.DataFrame(rows, columns=["run", "true class", "predicted class", "images"])
