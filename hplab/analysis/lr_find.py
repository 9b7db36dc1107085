"""The learning-rate range test: read a learning rate off one short run.

A range test raises the learning rate exponentially, step by step, and watches the loss (Smith,
2017). Rules that pick a learning rate from the curve differ by a decade or more, so `lr_find`
returns several and the curve itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import pandas as pd

from hplab.trial import HplabError

SMOOTHING = 0.9  # weight of the past in the moving average of the loss
GIVE_UP = 4.0  # the test ends where the smoothed loss exceeds this multiple of its minimum


@dataclasses.dataclass(frozen=True)
class LrFind:
    """A range test, averaged over its seeds.

    Attributes:
        lr: Learning rate of each step, rising. Shape `(n_steps,)`.
        loss: Smoothed training loss in nats at that step, mean over seeds. Shape `(n_steps,)`.
        suggestions: What each rule picks: "steepest" (the smoothed loss falls fastest in log lr),
            "minimum / 10" (a tenth of the lr of minimal loss) and "valley" (two thirds into the
            longest fall).
        diverged_at: Learning rate at which the test was cut, or None if it never blew up.
        at_edge: Rules whose pick lies at either end of the tested range, or beyond.
        left_out: Seeds that are not in the mean since they diverged early, before half the steps
            of the middle seed: for each the learning rate at which it did.
    """

    lr: np.ndarray
    loss: np.ndarray
    suggestions: dict[str, float]
    diverged_at: float | None
    at_edge: tuple[str, ...]
    left_out: Mapping[int, float] = dataclasses.field(default_factory=dict)


def lr_find(steps: pd.DataFrame) -> LrFind:
    """Read suggestions off a range test.

    Args:
        steps: One row a seed and step with "seed", "step", "step_lr" and "step_loss", as
            `hplab.steps` returns it for trials with the schedule "range_test".

    Returns:
        The curve over the rates tested (`lr`, and `loss` in nats, smoothed), what each rule picks
        (`suggestions`), where the test `diverged_at`, and which picks lie `at_edge` of the range.

    Raises:
        HplabError: If there are fewer than ten usable steps.
    """
    wide = steps.pivot(index="step", columns="seed", values="step_loss")
    lr = steps.groupby("step")["step_lr"].first().reindex(wide.index).to_numpy()
    finite = np.isfinite(wide.to_numpy())
    ends = np.where(finite.all(axis=0), len(finite), finite.argmin(axis=0))
    kept = ends >= np.median(ends) / 2
    n_finite = int(ends[kept].min())
    if n_finite < 10:
        raise HplabError(f"a range test needs at least 10 finite steps, got {n_finite}")
    smooth = smoothed(wide.to_numpy()[:n_finite, kept]).mean(axis=1)
    best = np.minimum.accumulate(smooth)
    blown = np.flatnonzero(smooth > GIVE_UP * best)
    end = int(blown[0]) + 1 if len(blown) else n_finite
    cut = len(blown) > 0 or n_finite < len(finite)
    lr_kept, loss_kept = lr[:end], smooth[:end]
    picks = suggest(lr_kept, loss_kept)
    return LrFind(
        lr=lr_kept,
        loss=loss_kept,
        suggestions=picks,
        diverged_at=float(lr_kept[-1]) if cut else None,
        at_edge=tuple(r for r, pick in picks.items() if not lr_kept[0] < pick < lr_kept[-1]),
        left_out={int(wide.columns[i]): float(lr[ends[i]]) for i in np.flatnonzero(~kept)},
    )


def smoothed(losses: np.ndarray) -> np.ndarray:
    """Return the exponential moving average along the first axis, corrected for its start.

    A constant series stays as it is: the average is divided by the weight it has seen so far.
    """
    average = np.zeros_like(losses, dtype=float)
    running = np.zeros(losses.shape[1:])
    for i, loss in enumerate(losses):
        running = SMOOTHING * running + (1 - SMOOTHING) * loss
        average[i] = running / (1 - SMOOTHING ** (i + 1))
    return average


def suggest(lr: np.ndarray, loss: np.ndarray) -> dict[str, float]:
    """Return what each rule picks from a curve of loss against rising learning rate."""
    slope = np.gradient(loss, np.log(lr))
    start, stop = longest_fall(loss)
    return {
        "steepest": float(lr[slope.argmin()]),
        "minimum / 10": float(lr[loss.argmin()] / 10),
        "valley": float(lr[start + round((stop - start) * 2 / 3)]),
    }


def longest_fall(loss: np.ndarray) -> tuple[int, int]:
    """Return first and last index of the longest strictly falling subsequence of the losses."""
    length = np.ones(len(loss), dtype=int)
    before = np.arange(len(loss))
    for i in range(1, len(loss)):
        higher = np.flatnonzero(loss[:i] > loss[i])
        if len(higher):
            j = higher[length[higher].argmax()]
            length[i], before[i] = length[j] + 1, j
    stop = start = int(length.argmax())
    while before[start] != start:
        start = int(before[start])
    return start, stop
