"""Intervals and tests; the unit is always the seed. What they decide is in `evidence`.

scipy does the work. Functions take one value a seed along the last axis, so that a
simulation can pass many data sets at once; then the fields of the result are arrays.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

ROUNDING = 1e-9  # relative differences below this are those of floating point
SUPPORTED, CONTRADICTED, INCONCLUSIVE = "supported", "contradicted", "inconclusive"
EXACT_SIGN_FLIPS = 30  # up to this many seeds all 2**n sign patterns are counted
MOST_SIGNS = 10_000_000  # signs that are drawn at once, so that many values take no longer


@dataclasses.dataclass(frozen=True)
class Interval:
    """An estimate with its two-sided interval.

    Attributes:
        estimate: The point estimate.
        low, high: The limits.
        level: Nominal coverage, 0..1.
        n: Seeds (or runs) it rests on.
        p: Two-sided p value against 0, where the method has one.
        sd: Of runs that are not paired, how much the difference of one run of each setting
            scatters, as a standard deviation; None where it is read off the interval.
        ends: The least and the greatest value there can be, where that is known. Limits may lie
            beyond: a rule that goes by them is not changed, and what is shown stops at the end.

    Example:
        >>> found = mean_interval([0.2, 0.4, 0.3])
        >>> 0.3 in found, 0.0 in found
        (True, False)
    """

    estimate: Any
    low: Any
    high: Any
    level: float
    n: int
    p: Any = None
    sd: float | None = None
    ends: tuple[float, float] | None = None

    def __contains__(self, value: float) -> bool:
        return bool(self.low <= value <= self.high)

    def scaled(self, factor: float) -> Interval:
        """Return the interval in another unit (100 turns shares into pp); -1 turns it round."""
        low, high = sorted((self.low * factor, self.high * factor))
        sd = None if self.sd is None else self.sd * abs(factor)
        ends = self.ends
        if ends is not None:
            ends = min(end * factor for end in ends), max(end * factor for end in ends)
        changed = {"estimate": self.estimate * factor, "low": low, "high": high}
        return dataclasses.replace(self, **changed, sd=sd, ends=ends)


def mean_interval(values: ArrayLike, *, level: float = 0.95) -> Interval:
    """Return the mean with its t interval, and the p value of the t test against 0.

    Args:
        values: One finite number a seed. Shape `(..., n)` with n at least 2.
        level: Nominal coverage, between 0 and 1.

    Returns:
        The interval. Values without any spread give an interval of width 0, with p = 1 if they
        are all 0 and p = 0 otherwise.

    Raises:
        ValueError: If there are fewer than two values, a value is not finite, or the level is not
            between 0 and 1.

    Example:
        >>> found = mean_interval([0.31, 0.24, 0.28, 0.30, 0.27])
        >>> f"{found.estimate:.3f} ({found.low:.3f} to {found.high:.3f})"
        '0.280 (0.246 to 0.314)'
    """
    x = check_values(values, level)
    mean, error = x.mean(-1), x.std(-1, ddof=1) / math.sqrt(x.shape[-1])
    with np.errstate(divide="ignore", invalid="ignore"):
        p = 2 * stats.t.sf(np.abs(mean / error), x.shape[-1] - 1)
    p = np.where((error == 0) & (mean == 0), 1.0, p)
    half = t_half_width(x, level) * math.sqrt(1 / x.shape[-1])
    return _interval(mean, half, level, x.shape[-1], p)


def paired_difference(first: ArrayLike, second: ArrayLike, *, level: float = 0.95) -> Interval:
    """Return the mean of first minus second, seed by seed, with its t interval and p value.

    Args:
        first: One value a seed. Shape `(..., n)`.
        second: The same seeds in the same order.
        level: Nominal coverage.

    Returns:
        First minus second, with its interval; shape `(...)` each.

    Raises:
        ValueError: If the shapes differ, or as `mean_interval`.

    Example:
        >>> found = paired_difference([98.2, 98.4, 98.3], [98.0, 98.1, 98.1])
        >>> f"{found.estimate:.2f} ({found.low:.2f} to {found.high:.2f})"
        '0.23 (0.09 to 0.38)'
    """
    a, b = np.asarray(first, float), np.asarray(second, float)
    if a.shape != b.shape:
        raise ValueError(f"paired values need equal shapes, got {a.shape} and {b.shape}")
    return mean_interval(a - b, level=level)


def independent_difference(first: ArrayLike, second: ArrayLike, *, level: float = 0.95) -> Interval:
    """Return the difference of two means of unpaired runs with Welch's interval and p value.

    Args:
        first: One value a run, at least two.
        second: One value a run of the other setting; other seeds, perhaps another number of them.
        level: Nominal coverage.

    Returns:
        First minus second, with its interval; `n` is the smaller number of runs.

    Example:
        >>> found = independent_difference([98.2, 98.4, 98.3], [98.0, 98.1, 98.1, 98.2])
        >>> f"{found.estimate:.2f} ({found.low:.2f} to {found.high:.2f})"
        '0.20 (0.00 to 0.40)'
    """
    a, b = check_values(first, level), check_values(second, level)
    found = stats.ttest_ind(a, b, equal_var=False, axis=-1)
    limits = found.confidence_interval(level)
    difference = plain(a.mean(-1) - b.mean(-1))
    n = min(a.shape[-1], b.shape[-1])
    return Interval(
        difference, plain(limits.low), plain(limits.high), level, n, plain(found.pvalue)
    )


def prediction_interval(values: ArrayLike, *, level: float = 0.95) -> Interval:
    """Return the interval that should hold one new run, from `n` runs alike: mean, low, high.

    Args:
        values: One value a run. Shape `(..., n)`.
        level: Nominal coverage.

    Returns:
        The mean as `estimate`, and the limits for one new run; shape `(...)` each.

    Raises:
        ValueError: As `mean_interval`.

    Example:
        >>> found = prediction_interval([98.1, 98.3, 98.0, 98.2, 98.4])
        >>> f"a new run: {found.low:.1f} to {found.high:.1f}"
        'a new run: 97.7 to 98.7'
    """
    x = check_values(values, level)
    half = t_half_width(x, level) * math.sqrt(1 + 1 / x.shape[-1])
    return _interval(x.mean(-1), half, level, x.shape[-1])


def sign_flip(differences: ArrayLike, *, n_random: int = 100_000, seed: int = 0) -> float:
    """Return the two-sided sign-flip p value of "the differences are symmetric about 0".

    All 2**n sign patterns are counted up to n = 30, so the smallest p is 2 / 2**n; above that
    `n_random` random patterns plus the observed one, fewer where there are hundreds of values.

    Args:
        differences: One value a seed. Shape `(n,)`.
        n_random: Random patterns for n above 30.
        seed: Seed of those patterns.

    Raises:
        ValueError: As `mean_interval`.

    Example:
        Five seeds that all agree: 2 of the 32 patterns of signs are as far from 0.

        >>> sign_flip([0.31, 0.24, 0.28, 0.30, 0.27])
        0.0625
    """
    x = check_values(differences, 0.95)
    least = abs(x.sum()) - 1e-12 * np.abs(x).sum()  # equal sums may differ in the last digits
    if len(x) > EXACT_SIGN_FLIPS:
        n_random = min(n_random, max(1, MOST_SIGNS // len(x)))
        signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(n_random, len(x)))
        return float((np.append(np.abs(signs @ x), np.inf) >= least).mean())
    # Each pattern is one of the first half with one of the second: count pairs, not patterns.
    first, second = _signed_sums(x[::2]), np.sort(_signed_sums(x[1::2]))
    above = len(second) - np.searchsorted(second, least - first, side="left")
    below = np.searchsorted(second, -least - first, side="right")
    return min(1.0, float((above + below).sum() / 2 ** len(x)))


def holm(p_values: ArrayLike) -> np.ndarray:
    """Return Holm-adjusted p values, in the order given.

    The same as statsmodels' `multipletests(method="holm")`, which collects garbage at every call
    (a fifth of a second in a notebook that holds torch).

    Args:
        p_values: Raw p values; use 1 for a test that could not be made. Shape `(m,)`.

    Returns:
        The adjusted p values, shape `(m,)`.

    Example:
        >>> holm([0.01, 0.04, 0.03]).round(2).tolist()
        [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, float)
    order = np.argsort(p)
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return np.minimum(adjusted, 1.0)


def log2_slopes(values: ArrayLike, x: ArrayLike) -> np.ndarray:
    """Return each seed's least-squares slope on log2(x): the change a doubling of x brings.

    Args:
        values: One row a seed, one column a level. Shape `(..., n, k)`.
        x: The k levels, positive and not all equal.

    Raises:
        ValueError: If a level is not positive, all are equal, or the shapes do not fit.

    Example:
        >>> log2_slopes([[1.0, 2.0, 3.0], [1.0, 1.0, 1.0]], [1, 2, 4]).tolist()
        [1.0, 0.0]
    """
    y, levels = np.asarray(values, float), np.asarray(x, float)
    if levels.ndim != 1 or y.shape[-1:] != levels.shape:
        raise ValueError(f"{y.shape[-1:]} columns of values for levels of shape {levels.shape}")
    if not (levels > 0).all() or np.ptp(levels) == 0:
        raise ValueError(f"levels must be positive and differ, got {levels.tolist()}")
    centred = np.log2(levels) - np.log2(levels).mean()
    return y @ (centred / (centred**2).sum())


def kendall(x: ArrayLike, y: ArrayLike) -> np.ndarray:
    """Return Kendall's tau-b of each row of `x` with the same row of `y`.

    Args:
        x: One row a seed, one column a setting. Shape `(n, k)`.
        y: The same seeds and settings.

    Raises:
        ValueError: If the shapes differ.

    Example:
        >>> kendall([[1, 2, 3, 4]], [[1, 2, 4, 3]]).round(3).tolist()
        [0.667]
    """
    a, b = np.asarray(x, float), np.asarray(y, float)
    if a.shape != b.shape or a.ndim != 2:
        raise ValueError(f"need two tables of one shape, got {a.shape} and {b.shape}")
    return np.array([stats.kendalltau(*pair).statistic for pair in zip(a, b, strict=True)])


def check_values(values: ArrayLike, level: float) -> np.ndarray:
    """Return values as an array of shape `(..., n)`, checked.

    Raises:
        ValueError: If there are fewer than two, one is not finite, or the level is not in (0, 1).

    Example:
        >>> check_values([1.0, 2.0], 0.95).shape
        (2,)
    """
    x = np.asarray(values, float)
    if x.ndim < 1 or x.shape[-1] < 2:
        raise ValueError(f"an interval needs at least 2 values, got shape {x.shape}")
    if not np.isfinite(x).all():
        raise ValueError("values must be finite; count diverged runs first")
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level}")
    return x


def _signed_sums(x: np.ndarray) -> np.ndarray:
    """Return the 2**n sums of the values with all choices of sign."""
    sums = np.zeros(1)
    for value in x:
        sums = np.concatenate([sums + value, sums - value])
    return sums


def t_half_width(x: np.ndarray, level: float) -> np.ndarray:
    """Return the t quantile times the standard deviation; divide by sqrt(n) for a mean.

    Example:
        >>> round(float(t_half_width(np.array([1.0, 2.0, 3.0]), 0.95)), 3)
        4.303
    """
    n = x.shape[-1]
    return stats.t.ppf((1 + level) / 2, n - 1) * x.std(-1, ddof=1)


def _interval(centre: Any, half: Any, level: float, n: int, p: Any = None) -> Interval:
    p = None if p is None else plain(p)
    return Interval(plain(centre), plain(centre - half), plain(centre + half), level, n, p)


def plain(value: Any) -> Any:
    """Return a zero-dimensional array as a float, others as they are.

    Example:
        >>> plain(np.float64(0.5))
        0.5
    """
    return float(value) if np.ndim(value) == 0 else value
