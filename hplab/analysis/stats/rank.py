"""Does one quantity order settings as another does? Rank correlation, one hyperparameter a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from hplab.analysis.stats import intervals


def granulated(runs: pd.DataFrame, x: str, y: str, axes: Sequence[str]) -> dict[str, float]:
    """Return the granulated Kendall correlation of two columns.

    A correlation over all settings can come from one hyperparameter that drives both quantities.
    Here runs are compared only where they differ in a single hyperparameter, with the same seed;
    Kendall's tau of such groups is averaged for each hyperparameter, and these over
    hyperparameters (Jiang et al., 2020).

    Args:
        runs: One row a trial, with the columns `axes` and "seed".
        x: One quantity.
        y: The other.
        axes: Hyperparameters that were varied.

    Returns:
        For each axis the mean tau (nan where no group has two different values), the mean of them
        as "all axes", and as "together" Kendall's tau over the whole table.

    Example:
        >>> runs = pd.DataFrame({"lr": [1, 2, 1, 2], "seed": [0, 0, 1, 1]})
        >>> runs["sharpness"], runs["gap"] = [1.0, 2.0, 1.5, 2.5], [0.1, 0.3, 0.2, 0.1]
        >>> granulated(runs, "sharpness", "gap", ["lr"])["lr"]
        0.0
    """
    if not {x, y} <= set(runs):
        return dict.fromkeys((*axes, "all axes", "together"), float("nan"))
    known = runs.dropna(subset=[x, y])
    found: dict[str, float] = {}
    for axis in axes:
        fixed = [name for name in (*axes, "seed") if name != axis]
        taus = [_tau(group, x, y) for _, group in known.groupby(fixed) if group[axis].nunique() > 1]
        kept = [tau for tau in taus if np.isfinite(tau)]
        found[axis] = float(np.mean(kept)) if kept else float("nan")
    known_axes = [tau for tau in found.values() if np.isfinite(tau)]
    found["all axes"] = float(np.mean(known_axes)) if known_axes else float("nan")
    found["together"] = _tau(known, x, y)
    return found


def _tau(rows: pd.DataFrame, x: str, y: str) -> float:
    if len(rows) < 2 or rows[x].nunique() < 2 or rows[y].nunique() < 2:
        return float("nan")
    return float(intervals.kendall(rows[[x]].to_numpy().T, rows[[y]].to_numpy().T)[0])
