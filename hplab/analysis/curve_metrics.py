"""What is measured on finished runs and their learning curves: pure functions of plain arrays.

"Overfitting" is three different things here: the accuracy gap, the loss gap and the epoch of
minimal validation loss.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

__all__ = [
    "acc_gap",
    "change_over_last",
    "epoch_of_minimum",
    "epochs_to",
    "fitted_change",
    "largest_difference",
    "loss_gap",
    "mean_over",
    "rise_from_minimum",
    "roughness",
]


def acc_gap(train_acc: ArrayLike, val_acc: ArrayLike) -> np.ndarray:
    """Return training minus validation accuracy, in the unit given; positive is the usual sign.

    Args:
        train_acc: Training accuracy. Any shape.
        val_acc: Validation accuracy, of that shape.

    Returns:
        The gap, in the unit of the accuracies and of their shape.
    """
    return np.asarray(train_acc, float) - np.asarray(val_acc, float)


def loss_gap(train_loss: ArrayLike, val_loss: ArrayLike) -> np.ndarray:
    """Return validation minus training loss, in nats; positive is the usual sign.

    Args:
        train_loss: Training loss in nats. Any shape.
        val_loss: Validation loss, of that shape.

    Returns:
        The gap in nats, of their shape.
    """
    return np.asarray(val_loss, float) - np.asarray(train_loss, float)


def epochs_to(curve: ArrayLike, threshold: float, *, start: float | None = None) -> float:
    """Return after how many epochs a rising curve first reaches a threshold, with fractions.

    Between two epochs the curve is taken as straight.

    Args:
        curve: One value an epoch, the first after epoch 1. Shape `(n_epochs,)`; nan after a
            divergence.
        threshold: The value to reach.
        start: The value before training (epoch 0). Without it a curve that has passed the
            threshold after its first epoch counts as 1, the latest it can have been.

    Returns:
        Epochs, `inf` if the curve never gets there, nan if there is no finite value at all.
    """
    y = _curve(curve)
    if not np.isfinite(y).any():
        return math.nan
    reached = np.flatnonzero(y >= threshold)
    if not len(reached):
        return math.inf
    after = int(reached[0])
    before = y[after - 1] if after else start
    if before is None or not math.isfinite(before):
        return float(after + 1)
    if before >= threshold:  # only the value before training can be there already
        return 0.0
    return float(after + (threshold - before) / (y[after] - before))


def at_epochs(curve: ArrayLike, epochs: ArrayLike) -> np.ndarray:
    """Return a curve's values at epochs that may be fractions, straight between whole ones.

    Args:
        curve: One value an epoch, the first after epoch 1.
        epochs: Epochs to read off, from 1 to the last.

    Raises:
        ValueError: If an epoch lies outside the curve.
    """
    y, at = _curve(curve), np.asarray(epochs, float)
    if at.size and (at.min() < 1 or at.max() > len(y)):
        raise ValueError(f"epochs must lie between 1 and {len(y)}, got {at.tolist()}")
    return np.interp(at, np.arange(1, len(y) + 1), y)


def change_over_last(curve: ArrayLike, share: float) -> float:
    """Return the last value minus the value when `share` of training was still to come.

    Args:
        curve: One value an epoch. Shape `(n_epochs,)`.
        share: Between 0 and 1; 0.2 of five epochs is epoch 5 minus epoch 4.

    Returns:
        The change, in the unit of the curve.

    Raises:
        ValueError: If the share is not between 0 and 1, or reaches back before epoch 1.
    """
    y = _curve(curve)
    if not 0 < share < 1:
        raise ValueError(f"share must be between 0 and 1, got {share}")
    return float(y[-1] - at_epochs(y, [len(y) * (1 - share)])[0])


def roughness(curve: ArrayLike, *, window: int = 5) -> float:
    """Return the standard deviation of a curve's epoch-to-epoch steps once its trend is removed.

    The trend at each epoch is a straight line fitted to the `window` epochs around it (fewer at
    the ends).

    Args:
        curve: One value an epoch. Shape `(n_epochs,)`.
        window: Epochs of the local line, odd and at least 3.

    Returns:
        The roughness in the curve's unit; nan if the curve has fewer than `window` epochs or a
        value that is not finite.

    Raises:
        ValueError: If the window is even or below 3.
    """
    if window < 3 or window % 2 == 0:
        raise ValueError(f"window must be odd and at least 3, got {window}")
    y = _curve(curve)
    if len(y) < window or not np.isfinite(y).all():
        return math.nan
    half, epochs = window // 2, np.arange(len(y))
    trend = np.empty(len(y))
    for i in epochs:
        near = slice(max(0, i - half), i + half + 1)
        trend[i] = np.polyfit(epochs[near] - i, y[near], 1)[1]
    return float(np.diff(y - trend).std(ddof=1))


def fitted_change(curve: ArrayLike, start: float, end: float) -> float:
    """Return how much the least-squares line through a part of a curve rises from end to end.

    Args:
        curve: One value an epoch. Shape `(n_epochs,)`.
        start: Where the part begins, as a share of training; its first epoch is the next one.
        end: Where it ends, as a share of training, included.

    Returns:
        Slope times the length of the part (so it can be compared across numbers of epochs); nan if
        the part has fewer than three epochs.

    Raises:
        ValueError: If not 0 <= start < end <= 1.
    """
    if not 0 <= start < end <= 1:
        raise ValueError(f"need 0 <= start < end <= 1, got {start} and {end}")
    y = _curve(curve)
    first, last = round(start * len(y)), round(end * len(y))
    if last - first < 3:
        return math.nan
    slope = np.polyfit(np.arange(first, last), y[first:last], 1)[0]
    return float(slope * (last - first))


def mean_over(curve: ArrayLike, *, first: float | None = None, last: float | None = None) -> float:
    """Return the mean of a curve over its first or last epochs: a share of them, at least one.

    Args:
        curve: One value an epoch. Shape `(n_epochs,)`.
        first: Share of the epochs from the start, in (0, 1].
        last: Share of the epochs up to the end, in (0, 1].

    Returns:
        The mean, in the unit of the curve.

    Raises:
        ValueError: If not exactly one of the shares is given, or it is not in (0, 1].
    """
    shares = [share for share in (first, last) if share is not None]
    if len(shares) != 1:
        raise ValueError("give either first or last")
    [share] = shares
    if not 0 < share <= 1:
        raise ValueError(f"a share lies in (0, 1], got {share}")
    y = _curve(curve)
    n = max(1, round(len(y) * share))
    return float((y[:n] if last is None else y[-n:]).mean())


def rise_from_minimum(curve: ArrayLike) -> float:
    """Return the last value of a curve minus its lowest.

    Args:
        curve: One value an epoch. Shape `(n_epochs,)`.

    Returns:
        The rise, in the unit of the curve; 0 if it ends at its lowest.
    """
    y = _curve(curve)
    return float(y[-1] - np.nanmin(y)) if np.isfinite(y).any() else math.nan


def where(curve: ArrayLike, other: ArrayLike, level: float) -> float:
    """Return a curve's value at the time when another first reaches a level.

    Args:
        curve: One value an epoch. Shape `(n_epochs,)`.
        other: The rising curve that sets the time, of the same shape.
        level: What it has to reach.

    Returns:
        The value, straight between epochs; nan if the level is never reached.
    """
    at = epochs_to(other, level)
    return float(at_epochs(curve, [at])[0]) if math.isfinite(at) else math.nan


def filled(curve: ArrayLike) -> np.ndarray:
    """Return a curve measured at some epochs only (nan elsewhere), straight in between.

    Before the first and after the last measurement it is level; without any it stays nan.
    """
    y = _curve(curve)
    known = np.flatnonzero(np.isfinite(y))
    return np.interp(np.arange(len(y)), known, y[known]) if len(known) else y


def zeros_from(curve: ArrayLike, *, in_a_row: int = 3) -> int:
    """Return the index of the first epoch of a row of zeros; the curve's length if there is none.

    Args:
        curve: One count an epoch.
        in_a_row: How many zeros make a row.
    """
    zero = _curve(curve) == 0
    if len(zero) < in_a_row:
        return len(zero)
    found = np.flatnonzero(np.convolve(zero, np.ones(in_a_row, int), "valid") == in_a_row)
    return int(found[0]) if len(found) else len(zero)


def epoch_of_minimum(curve: ArrayLike) -> float:
    """Return the epoch, from 1, at which a curve is lowest: the first of equals, nan if none.

    Args:
        curve: One value an epoch. Shape `(n_epochs,)`.

    Returns:
        The epoch, nan if no value is finite.
    """
    y = _curve(curve)
    return float(np.nanargmin(y) + 1) if np.isfinite(y).any() else math.nan


def _curve(curve: ArrayLike) -> np.ndarray:
    y = np.asarray(curve, float)
    if y.ndim != 1:
        raise ValueError(f"a curve has one value an epoch, got shape {y.shape}")
    return y


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
