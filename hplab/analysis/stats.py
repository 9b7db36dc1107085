"""Intervals, tests and the three-way decision; the unit is always the seed.

scipy and statsmodels do the work. Functions take one value a seed along the last axis, so that a
simulation can pass many data sets at once; then the fields of the result are arrays.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from statsmodels.stats.proportion import (
    confint_proportions_2indep,
    proportion_confint,
    test_proportions_2indep,
)
from statsmodels.stats.weightstats import DescrStatsW

SUPPORTED, CONTRADICTED, INCONCLUSIVE = "supported", "contradicted", "inconclusive"
EXACT_SIGN_FLIPS = 30  # up to this many seeds all 2**n sign patterns are counted


@dataclasses.dataclass(frozen=True)
class Interval:
    """An estimate with its two-sided interval.

    Attributes:
        estimate: The point estimate.
        low, high: The limits.
        level: Nominal coverage, 0..1.
        n: Seeds (or runs) it rests on.
        p: Two-sided p value against 0, where the method has one.
    """

    estimate: Any
    low: Any
    high: Any
    level: float
    n: int
    p: Any = None

    def __contains__(self, value: float) -> bool:
        return bool(self.low <= value <= self.high)

    def scaled(self, factor: float) -> Interval:
        """Return the interval in another unit (100 turns shares into pp); -1 turns it round."""
        low, high = sorted((self.low * factor, self.high * factor))
        return dataclasses.replace(self, estimate=self.estimate * factor, low=low, high=high)


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
    """
    x = _values(values, level)
    mean, error = x.mean(-1), x.std(-1, ddof=1) / math.sqrt(x.shape[-1])
    with np.errstate(divide="ignore", invalid="ignore"):
        p = 2 * stats.t.sf(np.abs(mean / error), x.shape[-1] - 1)
    p = np.where((error == 0) & (mean == 0), 1.0, p)
    half = _t_half_width(x, level) * math.sqrt(1 / x.shape[-1])
    return _interval(mean, half, level, x.shape[-1], p)


def paired_difference(first: ArrayLike, second: ArrayLike, *, level: float = 0.95) -> Interval:
    """Return the mean of first minus second, seed by seed, with its t interval and p value.

    Args:
        first: One value a seed. Shape `(..., n)`.
        second: The same seeds in the same order.
        level: Nominal coverage.

    Raises:
        ValueError: If the shapes differ, or as `mean_interval`.
    """
    a, b = np.asarray(first, float), np.asarray(second, float)
    if a.shape != b.shape:
        raise ValueError(f"paired values need equal shapes, got {a.shape} and {b.shape}")
    return mean_interval(a - b, level=level)


def prediction_interval(values: ArrayLike, *, level: float = 0.95) -> Interval:
    """Return the interval that should hold one new run, from `n` runs alike: mean, low, high.

    Args:
        values: One value a run. Shape `(..., n)`.
        level: Nominal coverage.

    Raises:
        ValueError: As `mean_interval`.
    """
    x = _values(values, level)
    half = _t_half_width(x, level) * math.sqrt(1 + 1 / x.shape[-1])
    return _interval(x.mean(-1), half, level, x.shape[-1])


def tost(values: ArrayLike, *, margin: float, other: ArrayLike | None = None) -> float:
    """Return the p value of two one-sided t tests: is the mean inside plus or minus the margin?

    Args:
        values: One value a seed, shape `(n,)`; differences, or the first of two paired samples.
        margin: Half-width of the region that counts as "no difference", not negative. With 0
            nothing can be equivalent and the answer is 1.
        other: The second sample, paired with `values`.

    Raises:
        ValueError: If the margin is negative, or as `mean_interval`.
    """
    if not margin >= 0:
        raise ValueError(f"margin must not be negative, got {margin}")
    x = np.asarray(values, float) - (0 if other is None else np.asarray(other, float))
    x = _values(x, 0.9)
    if margin == 0:
        return 1.0
    if np.ptp(x) == 0:
        return 0.0 if abs(x[0]) < margin else 1.0
    return float(DescrStatsW(x).ttost_mean(-margin, margin)[0])


def sign_flip(differences: ArrayLike, *, n_random: int = 100_000, seed: int = 0) -> float:
    """Return the two-sided sign-flip p value of "the differences are symmetric about 0".

    All 2**n sign patterns are counted up to n = 30, so the smallest p is 2 / 2**n; above that
    `n_random` random patterns plus the observed one.

    Args:
        differences: One value a seed. Shape `(n,)`.
        n_random: Random patterns for n above 30.
        seed: Seed of those patterns.

    Raises:
        ValueError: As `mean_interval`.
    """
    x = _values(differences, 0.95)
    least = abs(x.sum()) - 1e-12 * np.abs(x).sum()  # equal sums may differ in the last digits
    if len(x) > EXACT_SIGN_FLIPS:
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
    """
    p = np.asarray(p_values, float)
    order = np.argsort(p)
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return np.minimum(adjusted, 1.0)


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
    return Interval(_plain(k / n), _plain(low), _plain(high), level, n)


def simultaneous_intervals(values: ArrayLike, *, level: float = 0.95) -> list[Interval]:
    """Return one t interval a column such that all of them hold together (Bonferroni).

    Args:
        values: One row a seed, one column a quantity. Shape `(n, k)`.
        level: Coverage of all intervals at once; each has `1 - (1 - level) / k`.

    Raises:
        ValueError: If `values` is not a table, or as `mean_interval`.
    """
    x = np.asarray(values, float)
    if x.ndim != 2 or not x.shape[1]:
        raise ValueError(f"need one row a seed and one column a quantity, got shape {x.shape}")
    each = 1 - (1 - level) / x.shape[1]
    return [mean_interval(column, level=each) for column in x.T]


def log2_slopes(values: ArrayLike, x: ArrayLike) -> np.ndarray:
    """Return each seed's least-squares slope on log2(x): the change a doubling of x brings.

    Args:
        values: One row a seed, one column a level. Shape `(..., n, k)`.
        x: The k levels, positive and not all equal.

    Raises:
        ValueError: If a level is not positive, all are equal, or the shapes do not fit.
    """
    y, levels = np.asarray(values, float), np.asarray(x, float)
    if levels.ndim != 1 or y.shape[-1:] != levels.shape:
        raise ValueError(f"{y.shape[-1:]} columns of values for levels of shape {levels.shape}")
    if not (levels > 0).all() or np.ptp(levels) == 0:
        raise ValueError(f"levels must be positive and differ, got {levels.tolist()}")
    centred = np.log2(levels) - np.log2(levels).mean()
    return y @ (centred / (centred**2).sum())


def log_sd_pseudo_values(first: ArrayLike, second: ArrayLike) -> np.ndarray:
    """Return jackknife pseudo-values of log(sd(first) / sd(second)), one a seed.

    Their mean is the bias-corrected log ratio and their t interval its interval; leaving out whole
    seeds keeps the pairing. A value of inf or nan means that a sample has no spread.

    Args:
        first: One value a seed. Shape `(..., n)` with n at least 3.
        second: The same seeds in the same order.

    Raises:
        ValueError: If the shapes differ or there are fewer than three seeds.

    References:
        Miller (1968), Jackknifing variances, Annals of Mathematical Statistics 39.
    """
    a, b = _values(first, 0.95), _values(second, 0.95)
    n = a.shape[-1]
    if a.shape != b.shape or n < 3:
        raise ValueError(f"need equal shapes and 3 seeds or more, got {a.shape} and {b.shape}")
    with np.errstate(divide="ignore", invalid="ignore"):
        whole = _log_sd(a, n) - _log_sd(b, n)
        left_out = _log_sd_without_each(a) - _log_sd_without_each(b)
        return n * whole[..., None] - (n - 1) * left_out


def log_sd_ratio(first: ArrayLike, second: ArrayLike, *, level: float = 0.95) -> Interval:
    """Return log(sd(first) / sd(second)) over seeds with its paired jackknife t interval.

    Args:
        first: One value a seed. Shape `(n,)`.
        second: The same seeds in the same order.
        level: Nominal coverage.

    Raises:
        ValueError: If a sample has no spread, or as `log_sd_pseudo_values`.
    """
    pseudo = log_sd_pseudo_values(first, second)
    if not np.isfinite(pseudo).all():
        raise ValueError("a sample without spread has no log standard deviation")
    return mean_interval(pseudo, level=level)


def argmax_probability(values: ArrayLike, *, n_boot: int = 10_000, seed: int = 0) -> np.ndarray:
    """Return how often each column has the highest mean when the seeds are resampled.

    Args:
        values: One row a seed, one column a setting; rows are drawn whole, so pairing is kept.
        n_boot: Resamples.
        seed: Seed of the resampling.

    Returns:
        One share a column, adding up to 1; ties are split evenly. Shape `(k,)`.

    Raises:
        ValueError: If `values` is not a table, or as `mean_interval`.
    """
    x = np.asarray(values, float)
    if x.ndim != 2:
        raise ValueError(f"need one row a seed and one column a setting, got shape {x.shape}")
    _values(x.T, 0.95)
    n = len(x)
    counts = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=n_boot)
    means = counts @ x / n
    first = np.isclose(means, means.max(axis=1, keepdims=True), rtol=1e-12, atol=0)
    return (first / first.sum(axis=1, keepdims=True)).mean(axis=0)


def same_winner_probability(values: ArrayLike, *, n_boot: int = 10_000, seed: int = 0) -> float:
    """Return how often one rival has the highest mean in every group when seeds are resampled.

    Args:
        values: Shape `(n, groups, rivals)`; seeds are drawn whole.
        n_boot: Resamples.
        seed: Seed of the resampling.

    Raises:
        ValueError: If `values` has another shape, or as `mean_interval`.
    """
    x = np.asarray(values, float)
    if x.ndim != 3:
        raise ValueError(f"need values of shape (n, groups, rivals), got {x.shape}")
    _values(np.moveaxis(x, 0, -1), 0.95)
    n = len(x)
    counts = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=n_boot)
    first = np.einsum("bs,sgr->bgr", counts, x).argmax(axis=2)
    return float((first == first[:, :1]).all(axis=1).mean())


def between_share(values: ArrayLike, *, level: float = 0.95) -> Interval:
    """Return the share of variance between settings (intraclass correlation), with its interval.

    One-way random effects; the interval comes from the F distribution and is exact for normal
    values of equal variance.

    Args:
        values: One row a seed, one column a setting. Shape `(n, k)`.
        level: Nominal coverage.

    Raises:
        ValueError: If there are fewer than two seeds or settings, or a value is not finite.

    References:
        Shrout and Fleiss (1979), Intraclass correlations, Psychological Bulletin 86.
    """
    x = np.asarray(values, float)
    if x.ndim != 2 or x.shape[1] < 2:
        raise ValueError(f"need one row a seed and two settings or more, got shape {x.shape}")
    _values(x.T, level)
    n, k = x.shape
    between = n * x.mean(axis=0).var(ddof=1)
    within = x.var(axis=0, ddof=1).mean()
    if within == 0:
        share = 0.0 if between == 0 else 1.0
        return Interval(share, share, share, level, n)
    f, tail = between / within, (1 - level) / 2
    df = (k - 1, k * (n - 1))
    limits = [f / stats.f.ppf(1 - tail, *df), f, f / stats.f.ppf(tail, *df)]
    low, share, high = (max(0.0, (g - 1) / (g + n - 1)) for g in limits)
    return Interval(share, low, high, level, n)


def kendall(x: ArrayLike, y: ArrayLike) -> np.ndarray:
    """Return Kendall's tau-b of each row of `x` with the same row of `y`.

    Args:
        x: One row a seed, one column a setting. Shape `(n, k)`.
        y: The same seeds and settings.

    Raises:
        ValueError: If the shapes differ.
    """
    a, b = np.asarray(x, float), np.asarray(y, float)
    if a.shape != b.shape or a.ndim != 2:
        raise ValueError(f"need two tables of one shape, got {a.shape} and {b.shape}")
    return np.array([stats.kendalltau(*pair).statistic for pair in zip(a, b, strict=True)])


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

    Args:
        first: Successes of the first sample, out of n.
        second: Successes of the second, out of n.
        n: Trials of each sample.
        margin: As a share, positive.

    References:
        Miettinen and Nurminen (1985), Statistics in Medicine 4: the score test.
    """
    found = test_proportions_2indep(
        first, n, second, n, value=margin, compare="diff", method="score", alternative="smaller"
    )
    return float(found.pvalue)


def pooled_width_ratio(
    means: ArrayLike, errors: ArrayLike, n_draws: int, *, level: float = 0.95
) -> float:
    """Return how much wider an interval over models is than one over all their draws pooled.

    Args:
        means: One mean over draws a model. Shape `(n,)`.
        errors: The standard error of each mean over its draws.
        n_draws: Draws a model.
        level: Nominal coverage of both.

    Raises:
        ValueError: If the shapes differ, or as `mean_interval`.
    """
    m, e = _values(means, level), _values(errors, level)
    if m.shape != e.shape or m.ndim != 1:
        raise ValueError(f"need one mean and one error a model, got {m.shape} and {e.shape}")
    n, total = len(m), len(m) * n_draws
    squares = (n_draws - 1) * n_draws * (e**2).sum() + n_draws * ((m - m.mean()) ** 2).sum()
    pooled = stats.t.ppf((1 + level) / 2, total - 1) * math.sqrt(squares / (total - 1) / total)
    return float(_t_half_width(m, level) / math.sqrt(n) / pooled)


def three_way(difference: Interval, *, margin: float, tost_p: float, alpha: float = 0.05) -> str:
    """Decide a directional claim whose claimed side is positive.

    Args:
        difference: The effect with its two-sided interval.
        margin: The smallest effect that matters, not negative, in the effect's unit.
        tost_p: p value of TOST with that margin.
        alpha: Level of TOST.

    Returns:
        "supported" if the interval lies above 0 and the estimate reaches the margin,
        "contradicted" if the interval lies below 0 or TOST finds the effect inside the margin,
        else "inconclusive".
    """
    if difference.low > 0 and difference.estimate >= margin:
        return SUPPORTED
    if difference.high < 0 or tost_p < alpha:
        return CONTRADICTED
    return INCONCLUSIVE


def equivalence(difference: Interval, *, margin: float, tost_p: float, alpha: float = 0.05) -> str:
    """Decide a claim of "no difference that matters".

    Returns:
        "supported" if TOST finds the effect inside the margin, "contradicted" if the interval
        excludes 0 and the estimate lies outside the margin, else "inconclusive".
    """
    if tost_p < alpha:
        return SUPPORTED
    if 0 not in difference and abs(difference.estimate) > margin:
        return CONTRADICTED
    return INCONCLUSIVE


def _values(values: ArrayLike, level: float) -> np.ndarray:
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


def _t_half_width(x: np.ndarray, level: float) -> np.ndarray:
    n = x.shape[-1]
    return stats.t.ppf((1 + level) / 2, n - 1) * x.std(-1, ddof=1)


def _interval(centre: Any, half: Any, level: float, n: int, p: Any = None) -> Interval:
    p = None if p is None else _plain(p)
    return Interval(_plain(centre), _plain(centre - half), _plain(centre + half), level, n, p)


def _plain(value: Any) -> Any:
    return float(value) if np.ndim(value) == 0 else value


def _log_sd(x: np.ndarray, n: int) -> np.ndarray:
    centred = x - x.mean(-1, keepdims=True)
    return 0.5 * np.log((centred**2).sum(-1) / (n - 1))


def _log_sd_without_each(x: np.ndarray) -> np.ndarray:
    n = x.shape[-1]
    centred = x - x.mean(-1, keepdims=True)
    # Leaving out one value takes n/(n-1) of its squared distance off the sum of squares.
    rest = (centred**2).sum(-1, keepdims=True) - centred**2 * n / (n - 1)
    return 0.5 * np.log(np.maximum(rest, 0) / (n - 2))
