"""Shares of runs: their intervals, their tests and their difference."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from hplab.analysis.stats.evidence import Evidence
from hplab.analysis.stats.intervals import Interval, plain


def proportion_interval(
    count: ArrayLike, n: int, *, level: float = 0.95, method: str = "jeffreys"
) -> Interval:
    """Return a proportion with its interval.

    Args:
        count: Successes, 0..n.
        n: Trials, at least 1.
        level: Nominal coverage.
        method: "jeffreys" (right on average) or "exact" (Clopper-Pearson, never below nominal).

    Returns:
        The share, 0..1, with its interval.

    Raises:
        ValueError: If the count is outside 0..n, or the method unknown.

    Example:
        >>> found = proportion_interval(0, 40, method="exact")
        >>> f"{found.low:.3f} to {found.high:.3f}"
        '0.000 to 0.088'
    """
    methods = {"jeffreys": "jeffreys", "exact": "beta"}
    if method not in methods:
        raise ValueError(f"unknown method {method!r}; known: {', '.join(methods)}")
    k = np.asarray(count)
    if n < 1 or (k < 0).any() or (k > n).any():
        raise ValueError(f"need 0 <= count <= n and n >= 1, got {k} of {n}")
    low, high = proportion_confint(k, n, alpha=1 - level, method=methods[method])
    return Interval(plain(k / n), plain(low), plain(high), level, n)


def above(count: ArrayLike, n: int, share: float) -> Evidence:
    """Test "it happens in more than this share of runs", by the binomial distribution.

    The same as asking on which side of the share the Clopper-Pearson interval lies.

    Args:
        count: How often it happened, 0..n.
        n: Runs, at least 1.
        share: Between 0 and 1.

    Example:
        >>> from hplab.analysis.stats.evidence import three_way
        >>> three_way(above(30, 40, 0.5)), three_way(above(0, 36, 0.1))
        ('supported', 'contradicted')
    """
    k = np.asarray(count)
    more, fewer = stats.binom.sf(k - 1, n, share), stats.binom.cdf(k, n, share)
    return Evidence(plain(np.minimum(1, 2 * more)), plain(np.minimum(1, 2 * fewer)))


def excess(first: int, second: int, n: int, *, margin: float = 0.0) -> Evidence:
    """Test "the first share exceeds the second by more than the margin", exactly.

    Both samples have `n` runs, drawn independently or with the same luck; where luck for one is bad
    luck for the other, it errs more often. Tables are ordered by the distance of their
    difference from the margin in standard errors; of a table's p value the largest over all pairs
    of shares that differ by the margin is taken, so it is never too small.

    Args:
        first: How often it happened in the first sample, 0..n.
        second: How often in the second.
        n: Runs of each, at least 1.
        margin: As a share, between -1 and 1.

    Raises:
        ValueError: If a count is outside 0..n.

    References:
        Chan (1998), Exact tests of equivalence and efficacy with a non-zero lower bound for
        comparative studies, Statistics in Medicine 17. The standard errors are those of Agresti and
        Caffo (2000).

    Example:
        >>> from hplab.analysis.stats.evidence import three_way
        >>> three_way(excess(30, 5, 40, margin=0.15)), three_way(excess(9, 4, 40, margin=0.15))
        ('supported', 'inconclusive')
    """
    if n < 1 or not (0 <= first <= n and 0 <= second <= n):
        raise ValueError(f"need counts of 0 to {n}, got {first} and {second}")
    found = (min(1.0, 2 * float(tail[first, second])) for tail in tails(n, float(margin)))
    return Evidence(*found)


def proportion_difference(first: int, second: int, n: int, *, level: float = 0.95) -> Interval:
    """Return the difference of two shares with the interval of all margins that `excess` allows.

    Args:
        first: Successes of the first sample, out of n.
        second: Successes of the second, out of n.
        n: Trials of each sample, at least 1.
        level: Nominal coverage; the true one is not below it.

    Raises:
        ValueError: If a count is outside 0..n.

    References:
        Chan and Zhang (1999), Test-based exact confidence intervals for the difference of two
        binomial proportions, Biometrics 55.

    Example:
        >>> found = proportion_difference(12, 4, 40)
        >>> f"{found.estimate:.2f} ({found.low:.2f} to {found.high:.2f})"
        '0.20 (0.02 to 0.39)'
    """
    estimate, p = (first - second) / n, excess(first, second, n).p
    ends = []
    for sign, name in ((-1, "p_for"), (1, "p_against")):
        near, far = estimate, float(sign)
        while abs(far - near) > 1e-4:
            middle = (near + far) / 2
            shown = getattr(excess(first, second, n, margin=middle), name) < 1 - level
            near, far = (near, middle) if shown else (middle, far)
        ends.append(far)
    return Interval(estimate, ends[0], ends[1], level, n, p)


@functools.lru_cache(maxsize=256)
def tails(n: int, margin: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the one-sided p values of `excess` for all pairs of counts, "more" and "less".

    Args:
        n: Runs of each sample.
        margin: As a share.

    Returns:
        Two arrays of shape `(n + 1, n + 1)`, the first count along the first axis.

    Example:
        >>> more, less = tails(10, 0.0)
        >>> bool(more[9, 1] < 0.001), bool(less[9, 1] > 0.999)
        (True, True)
    """
    counts = np.arange(n + 1)
    share = (counts + 1) / (n + 2)
    error = share * (1 - share) / (n + 2)
    z = (share[:, None] - share - margin) / np.sqrt(error[:, None] + error)
    order = np.argsort(-z, axis=None, kind="stable")
    second = np.linspace(max(0.0, -margin), min(1.0, 1.0 - margin), 201)
    one = stats.binom.pmf(counts, n, np.clip(second + margin, 0, 1)[:, None])
    two = stats.binom.pmf(counts, n, second[:, None])
    chance = (one[:, :, None] * two[:, None, :]).reshape(len(second), -1)[:, order]
    ranked = z.ravel()[order]
    last = np.searchsorted(-ranked, -ranked + 1e-12, side="right") - 1  # ties count together
    start = np.searchsorted(-ranked, -ranked - 1e-12, side="left")
    summed = chance.cumsum(axis=1)
    more, less = np.empty_like(ranked), np.empty_like(ranked)
    more[order] = summed[:, last].max(axis=0)
    before = np.concatenate([np.zeros((len(second), 1)), summed], axis=1)
    less[order] = (1 - before[:, start]).max(axis=0)
    return more.reshape(n + 1, n + 1), less.reshape(n + 1, n + 1)
