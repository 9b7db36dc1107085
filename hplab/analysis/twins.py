"""Runs that ought to be the same: how far apart they are."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd


def largest_difference(
    curves: pd.DataFrame, column: str, metrics: Sequence[str] = ("train_loss", "val_loss")
) -> float:
    """Return how far apart the curves of paired runs ever are.

    Args:
        curves: One row a trial and epoch, as `hplab.curves` gives them, of settings that differ in
            `column` alone.
        column: A column with two values.
        metrics: Columns to compare.

    Returns:
        The largest absolute difference over seeds, epochs and metrics; NaN where there are not two
        values to compare, or no seed has both.
    """
    levels = curves[column].unique() if column in curves else []
    if len(levels) != 2:
        return math.nan
    by_run = curves.set_index(["seed", "epoch", column])[list(metrics)].astype(float)
    first, second = (by_run.xs(level, level=column) for level in levels)
    return float((first - second).abs().max().max())
