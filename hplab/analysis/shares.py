"""Shares of runs: their intervals and their difference."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from hplab.analysis.stats import Interval, mean_interval, plain


def proportion_interval(
    count: ArrayLike, n: int, *, level: float = 0.95, method: str = "jeffreys"
) -> Interval:
    """Return a proportion with its interval.

    Args:
        count: Successes, 0..n.
        n: Trials, at least 1.
        level: Nominal coverage.
        method: "jeffreys" (right on average), "exact" (Clopper-Pearson, never below nominal) or
            "wilson".

    Raises:
        ValueError: If the count is outside 0..n, or the method unknown.
    """
    methods = {"jeffreys": "jeffreys", "exact": "beta", "wilson": "wilson"}
    if method not in methods:
        raise ValueError(f"unknown method {method!r}; known: {', '.join(methods)}")
    k = np.asarray(count)
    if n < 1 or (k < 0).any() or (k > n).any():
        raise ValueError(f"need 0 <= count <= n and n >= 1, got {count} of {n}")
    low, high = proportion_confint(k, n, alpha=1 - level, method=methods[method])
    return Interval(plain(k / n), plain(low), plain(high), level, n)


@dataclasses.dataclass(frozen=True)
class TwoPart:
    """A setting in which some runs collapse, in two parts: a mean over both describes neither.

    Attributes:
        collapsed: The share of runs that collapse, with its Jeffreys interval.
        survivors: The mean of the others with its t interval; None if fewer than two survive.
        median: The median of all runs.
    """

    collapsed: Interval
    survivors: Interval | None
    median: float


def two_part(values: ArrayLike, collapsed: ArrayLike, *, level: float = 0.95) -> TwoPart:
    """Return the share of collapsed runs, and the mean of those that did not collapse.

    Args:
        values: One value a run. Shape `(n,)`.
        collapsed: Which runs collapsed. Shape `(n,)`.
        level: Nominal coverage of each interval.

    Raises:
        ValueError: If the shapes differ or there are no runs.
    """
    x, gone = np.asarray(values, float), np.asarray(collapsed, bool)
    if x.shape != gone.shape or x.ndim != 1:
        raise ValueError(f"need one value and one mark a run, got {x.shape} and {gone.shape}")
    share = proportion_interval(int(gone.sum()), len(x), level=level)
    alive = x[~gone]
    mean = mean_interval(alive, level=level) if len(alive) > 1 else None
    return TwoPart(share, mean, float(np.median(x)))


def proportion_difference(first: int, second: int, n: int, *, level: float = 0.95) -> Interval:
    """Return the difference of two shares with Newcombe's interval and Boschloo's exact p value.

    Args:
        first: Successes of the first sample, out of n.
        second: Successes of the second, out of n.
        n: Trials of each sample, at least 1.
        level: Nominal coverage.

    Raises:
        ValueError: If a count is outside 0..n.

    References:
        Newcombe (1998), Statistics in Medicine 17, method 10; Boschloo (1970), Statistica
        Neerlandica 24.
    """
    if n < 1 or not (0 <= first <= n and 0 <= second <= n):
        raise ValueError(f"need counts of 0 to {n}, got {first} and {second}")
    low, high = confint_proportions_2indep(
        first, n, second, n, method="newcomb", compare="diff", alpha=1 - level
    )
    table = [[first, second], [n - first, n - second]]
    p = 1.0 if first == second else float(stats.boschloo_exact(table, n=16).pvalue)
    return Interval((first - second) / n, float(low), float(high), level, n, min(1.0, p))


def proportion_difference_below(first: int, second: int, n: int, *, margin: float) -> float:
    """Return the p value of "the first share exceeds the second by the margin or more".

    It is the level at which the upper limit of Newcombe's interval meets the margin; 1 if the
    observed difference reaches it.

    Args:
        first: Successes of the first sample, out of n.
        second: Successes of the second, out of n.
        n: Trials of each sample.
        margin: As a share, positive.
    """
    a, b = first / n, second / n
    if a - b >= margin:
        return 1.0
    low, high = 0.0, 40.0
    for _ in range(60):
        z = (low + high) / 2
        reach = math.hypot(_wilson(a, n, z)[1] - a, b - _wilson(b, n, z)[0])
        low, high = (z, high) if a - b + reach < margin else (low, z)
    return float(stats.norm.sf(low))


def _wilson(share: float, n: int, z: float) -> tuple[float, float]:
    """Return Wilson's limits at a normal quantile."""
    centre = share + z**2 / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return (centre - half) / (1 + z**2 / n), (centre + half) / (1 + z**2 / n)
