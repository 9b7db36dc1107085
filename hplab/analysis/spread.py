"""How much runs differ: over seeds, between settings, between models and directions."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from hplab.analysis.stats import Interval, check_values, mean_interval


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
    a, b = check_values(first, 0.95), check_values(second, 0.95)
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
    check_values(x.T, level)
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


def variance_components(values: ArrayLike) -> dict[str, float]:
    """Return how much of the variance comes from each of two crossed sources of luck.

    Every combination is run once, such as initial weights (rows) with data orders (columns). The
    estimates are unbiased and may be negative when a source contributes nothing.

    Args:
        values: One run a cell. Shape `(rows, columns)`, at least 2 by 2.

    Returns:
        The variances "rows", "columns" and "rest" (their interaction and everything else).

    Raises:
        ValueError: If there are fewer than two rows or columns.
    """
    x = np.asarray(values, float)
    if x.ndim != 2 or min(x.shape) < 2:
        raise ValueError(f"need two rows and columns or more, got shape {x.shape}")
    n_rows, n_columns = x.shape
    rows, columns = x.mean(axis=1, keepdims=True), x.mean(axis=0, keepdims=True)
    rest = ((x - rows - columns + x.mean()) ** 2).sum() / ((n_rows - 1) * (n_columns - 1))
    return {
        "rows": float(rows.var(ddof=1) - rest / n_columns),
        "columns": float(columns.var(ddof=1) - rest / n_rows),
        "rest": float(rest),
    }


def pooled_width_ratio(
    means: ArrayLike,
    spreads: ArrayLike,
    n_draws: int,
    *,
    errors: ArrayLike | None = None,
    level: float = 0.95,
) -> float:
    """Return how much wider an interval over models is than one over all their draws pooled.

    Both intervals are those of `n_draws` single draws a model. Where the means were measured in
    another way, the noise of that way is taken off the variance over models and the noise of single
    draws put in its place.

    Args:
        means: One mean over draws a model. Shape `(n,)`.
        spreads: The standard deviation over single draws of each model.
        n_draws: Single draws a model that are pooled.
        errors: The standard error of each mean as it was measured; None: it is over those draws.
        level: Nominal coverage of both.

    Raises:
        ValueError: If the shapes differ, or as `mean_interval`.
    """
    m, sd = check_values(means, level), check_values(spreads, level)
    if m.shape != sd.shape or m.ndim != 1:
        raise ValueError(f"need one mean and one spread a model, got {m.shape} and {sd.shape}")
    n, total, over_models = len(m), len(m) * n_draws, m.var(ddof=1)
    if errors is not None:
        noise = check_values(errors, level) ** 2
        over_models = max(0.0, over_models + (sd**2 / n_draws - noise).mean())
    squares = (n_draws - 1) * (sd**2).sum() + n_draws * (n - 1) * over_models
    pooled = stats.t.ppf((1 + level) / 2, total - 1) * math.sqrt(squares / (total - 1) / total)
    honest = stats.t.ppf((1 + level) / 2, n - 1) * math.sqrt(over_models / n)
    return float(honest / pooled)


def _log_sd(x: np.ndarray, n: int) -> np.ndarray:
    centred = x - x.mean(-1, keepdims=True)
    return 0.5 * np.log((centred**2).sum(-1) / (n - 1))


def _log_sd_without_each(x: np.ndarray) -> np.ndarray:
    n = x.shape[-1]
    centred = x - x.mean(-1, keepdims=True)
    # Leaving out one value takes n/(n-1) of its squared distance off the sum of squares.
    rest = (centred**2).sum(-1, keepdims=True) - centred**2 * n / (n - 1)
    return 0.5 * np.log(np.maximum(rest, 0) / (n - 2))
