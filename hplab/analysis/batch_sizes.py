"""Batch sizes compared by what they need to reach a target, each at its own best learning rate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from hplab.analysis.curve_metrics import epochs_to

__all__ = [
    "first_there",
    "to_target",
    "tuned",
]


def to_target(
    runs: pd.DataFrame, curves: pd.DataFrame, target: float, metric: str = "val_acc"
) -> pd.DataFrame:
    """Return the runs with the steps and examples each needed to reach a target.

    Args:
        runs: One row a trial, with "steps_per_epoch" (the measure "gradient_noise" notes it).
        curves: The curves of these runs, one row a trial and epoch.
        target: What has to be reached, in the unit of the curves.
        metric: Column of the curves.

    Returns:
        `runs` with "steps_to_target" and "examples_to_target", between epochs by a straight line;
        infinite for a run that never got there. "at_most" is true where a run was there when it was
        first measured, after one epoch: it may have taken any number of steps up to that.
    """
    reached = {
        key: epochs_to(part.sort_values("epoch")[metric].astype(float), target)
        for key, part in curves.groupby("key")
    }
    epochs = np.array([reached.get(key, np.inf) for key in runs["key"]], float)
    epochs[np.isnan(epochs)] = np.inf  # diverged at once
    steps = epochs * runs.get("steps_per_epoch", pd.Series(np.nan, runs.index)).to_numpy(float)
    steps[np.isinf(epochs)] = np.inf  # a diverged run has no steps_per_epoch
    return runs.assign(
        steps_to_target=steps,
        examples_to_target=steps * runs["batch_size"],
        at_most=epochs == 1,
    )


def first_there(runs: pd.DataFrame, y: str, *, by: str, over: str) -> dict[object, list[object]]:
    """Return for each value of `by` the values of `over` with the least mean `y`: several if equal.

    Runs that reach a target within their first epoch are equal, as nothing was measured before.

    Args:
        runs: One row a trial.
        y: Column of which less is better.
        by: Column of the values to compare.
        over: Column that is tuned.

    Returns:
        The values, in their order; values of `by` without a finite mean are left out.
    """
    found = {}
    for value, group in runs.groupby(by, sort=True):
        means = group.groupby(over)[y].agg(lambda v: v.to_numpy(float).mean()).fillna(np.inf)
        if len(means) and np.isfinite(means.min()):
            found[value] = list(means.index[means == means.min()])
    return found


def tuned(runs: pd.DataFrame, y: str, *, by: str, over: Sequence[str]) -> pd.DataFrame:
    """Return for each value of `by` the runs of its best setting of `over`: the least mean `y`.

    A setting of which a run has no finite `y` is not the best; a value of `by` without any other
    is left out.

    Args:
        runs: One row a trial.
        y: Column of which less is better.
        by: Column of the values to compare.
        over: Columns that are tuned.

    Returns:
        The rows of `runs` that belong to those settings.
    """
    kept = []
    for _, group in runs.groupby(by, sort=True):
        # numpy's mean of a missing value is missing; pandas would leave the diverged run out.
        means = group.groupby(list(over))[y].agg(lambda v: v.to_numpy(float).mean()).fillna(np.inf)
        if len(means) and np.isfinite(means.min()):
            best = means.idxmin()
            best = best if isinstance(best, tuple) else (best,)
            match = np.logical_and.reduce([group[n] == v for n, v in zip(over, best, strict=True)])
            kept.append(group[match])
    return pd.concat(kept) if kept else runs[:0]
