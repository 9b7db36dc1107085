"""What resampling the seeds says: who is first, and where whole curves lie."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from hplab.analysis.stats import Interval, check_values


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
    check_values(x.T, 0.95)
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
    check_values(np.moveaxis(x, 0, -1), 0.95)
    n = len(x)
    counts = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=n_boot)
    first = np.einsum("bs,sgr->bgr", counts, x).argmax(axis=2)
    return float((first == first[:, :1]).all(axis=1).mean())


def simultaneous_band(
    values: ArrayLike, *, level: float = 0.95, n_draws: int = 5000, seed: int = 0
) -> Interval:
    """Return mean curves with a band that holds the whole true curve.

    The half-width is one multiple of the standard error at every point: the quantile of the largest
    |t| over the points, in normal samples drawn with the observed correlations. A band over
    neighbouring epochs, which move together, is narrower than Bonferroni's.

    Args:
        values: One row a seed, one column a point of the curve. Shape `(n, k)`.
        level: Coverage of all points at once.
        n_draws: Samples drawn.
        seed: Seed of the samples.

    Returns:
        The band; estimate, low and high have shape `(k,)`.

    Raises:
        ValueError: If `values` is no table, or as `mean_interval`.

    References:
        Hothorn, Bretz and Westfall (2008), Simultaneous inference, Biometrical Journal 50.
    """
    x = np.asarray(values, float)
    if x.ndim != 2:
        raise ValueError(f"need one row a seed and one column a point, got shape {x.shape}")
    check_values(x.T, level)
    n = len(x)
    error = x.std(axis=0, ddof=1) / np.sqrt(n)
    centred = (x - x.mean(axis=0)) / np.where(error > 0, error * np.sqrt(n), 1.0)
    rng = np.random.default_rng(seed)
    # Normal mixtures of the centred seeds have the observed correlations: n such rows a draw.
    drawn = rng.normal(size=(n_draws, n, n)) @ (centred / np.sqrt(n - 1))
    spread = drawn.std(axis=1, ddof=1)
    t = drawn.mean(axis=1) * np.sqrt(n) / np.where(spread > 0, spread, 1.0)
    half = np.quantile(np.abs(t).max(axis=1), level) * error
    mean = x.mean(axis=0)
    return Interval(mean, mean - half, mean + half, level, n)


def superiority(first: ArrayLike, second: ArrayLike, *, level: float = 0.95) -> Interval:
    """Return the chance that a run of the first setting beats one of the second, ties half.

    All pairs of runs count, whatever their seeds. The interval has Brunner and Munzel's variance on
    the logit scale. It covers 95 to 96 % with 20 runs or more a setting, up to 97 % with ten and
    92 % with five, and has no width when one setting always wins. Bouthillier and others call a
    setting better when the chance exceeds 0.75.

    Args:
        first: One value a run, at least two.
        second: One value a run of the other setting.
        level: Nominal coverage.

    References:
        Brunner and Munzel (2000), Biometrical Journal 42; Bouthillier et al. (2021).
    """
    a, b = check_values(first, level), check_values(second, level)
    wins = (a[:, None] > b).astype(float) + 0.5 * (a[:, None] == b)
    chance, of_a, of_b = wins.mean(), wins.mean(axis=1), wins.mean(axis=0)
    variance = of_a.var(ddof=1) / len(a) + of_b.var(ddof=1) / len(b)
    n = min(len(a), len(b))
    if variance == 0 or chance in (0, 1):
        return Interval(float(chance), float(chance), float(chance), level, n)
    centre = np.log(chance / (1 - chance))
    half = stats.norm.ppf((1 + level) / 2) * np.sqrt(variance) / (chance * (1 - chance))
    low, high = (1 / (1 + np.exp(half - centre)), 1 / (1 + np.exp(-half - centre)))
    return Interval(float(chance), float(low), float(high), level, n)
