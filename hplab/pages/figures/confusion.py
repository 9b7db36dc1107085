"""Figures of what happened to a network: how often it collapsed, and what it confuses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from hplab.pages.figures import captions, cells, svg
from hplab.pages.figures.figure import Figure, Html, nothing_recorded
from hplab.trial import HplabError

MOST_MATRICES = 3


def confusion(
    runs: pd.DataFrame,
    matrices: Sequence[pd.DataFrame],
    names: Sequence[str] = (),
    *,
    class_names: Sequence[str] = (),
) -> Figure | Html:
    """Draw the confusion matrices of up to three runs side by side.

    Args:
        runs: The runs.
        matrices: The confusion matrix of each, as `hplab.sweeps.series.confusion` returns it.
        names: What to call each; its seed where there is none.
        class_names: Names of the classes; numbers from 1 where there are none.

    Raises:
        HplabError: If there are more than three runs, not one name for each, or no images.
    """
    if runs.empty:
        return nothing_recorded()
    if len(runs) > MOST_MATRICES:
        raise HplabError(f"plots.confusion: at most {MOST_MATRICES} runs, got {len(runs)}")
    names = list(names)
    if not names:
        cells.require(runs, "seed", what="plots.confusion")
        names = [f"seed {seed}" for seed in runs["seed"]]
    if len(names) != len(runs):
        raise HplabError(f"plots.confusion: {len(names)} names for {len(runs)} runs")
    if not all(matrix.to_numpy().any() for matrix in matrices):
        raise HplabError("plots.confusion: a matrix counts no image")
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
