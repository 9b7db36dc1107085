"""Where the luck of a run comes from: initial weights, the order of the images, or the split.

A seed usually sets all three at once. Here each has a seed of its own and every combination is
trained, so that the variance can be divided among them.
"""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd

from hplab.analysis.stats import variance
from hplab.analysis.stats.intervals import Interval
from hplab.pages import labels
from hplab.pages.figures.cells import require
from hplab.pages.figures.figure import Html, nothing_recorded, table
from hplab.sweeps import runner
from hplab.sweeps import store as stores
from hplab.trial import HplabError, Trial, grid

__all__ = [
    "components",
    "shown",
    "trials",
]

# A setting that trains in a second, with a fifth of its images held out for validation.
BASE = Trial(data="mnist", model="mlp", optimizer="sgd", lr=0.1, epochs=1, split="holdout")
STUDY = "02-batch-size"  # the study that trains it
LEVELS = 5  # of each source
SOURCES = {"seed_init": "initial weights", "seed_order": "order of images", "split.seed": "split"}
REST = "what they do together"


def trials(base: Trial = BASE) -> list[Trial]:
    """Return a trial for every combination of initial weights, order of images and split.

    Args:
        base: A trial that holds out part of its images (`split="holdout"`).

    Returns:
        The trials: five levels of each source, every combination.
    """
    pairs = itertools.product(range(LEVELS), repeat=2)
    seeds = [{"init": init, "order": order} for init, order in pairs]
    return grid(base, {"seeds": seeds, "split_args.seed": range(LEVELS)})


def components(runs: pd.DataFrame, y: str) -> dict[str, Interval]:
    """Return the variance of a metric from each source of luck.

    Args:
        runs: Finished runs of `trials`, one for every combination of the levels they have.
        y: A column of them.

    Returns:
        For each source, and for "what they do together", the variance with its interval, in the
        squared unit of the metric.

    Raises:
        HplabError: If a column or a combination is missing.
    """
    require(runs, *SOURCES, y, what="luck")
    cells = runs.set_index([*SOURCES])[y].sort_index()
    shape = tuple(len(level) for level in cells.index.levels)
    if len(cells) != np.prod(shape):
        raise HplabError(f"{len(cells)} runs are not every combination of {shape} levels")
    names = [*SOURCES.values()]
    found = variance.variance_components(cells.to_numpy().reshape(shape), names)
    found[REST] = found.pop("rest")
    return found


def shown(runs: pd.DataFrame, y: str = "val_acc") -> Html:
    """Return the luck of a setting as a table: each source's standard deviation, with its interval.

    Args:
        runs: Runs of `trials`.
        y: An accuracy among their columns.

    Returns:
        The table, which shows itself in a notebook.
    """
    if runs.empty:
        return nothing_recorded()
    found = components(runs, y)
    whole = sum(one.estimate for one in found.values()) or 1.0
    rows = [
        {
            "source": name,
            "standard deviation": f"{100 * np.sqrt(one.estimate):.2f} pp",
            "95 % interval": f"{100 * np.sqrt(one.low):.2f} to {100 * np.sqrt(one.high):.2f}",
            "of the variance": f"{100 * one.estimate / whole:.0f} %",
        }
        for name, one in found.items()
    ]
    caption = f"Where the luck in {labels.quantity(y)} comes from, {labels.context(runs)}"
    frame = pd.DataFrame(rows)
    return Html(table(frame, caption=caption), f"{caption}\n{frame.to_string(index=False)}")


def of_records(store: stores.Store | None = None) -> Html:
    """Return the table of what is recorded at preset "paper"; it never trains."""
    return shown(runner.recorded(trials(), preset="paper", study=STUDY, store=store))
