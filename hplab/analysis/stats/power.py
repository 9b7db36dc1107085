"""How many seeds a question needs: power of the tests that the verdicts use.

Effects are in units of the standard deviation of the paired differences. All functions take arrays
and are exact for normal differences.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

# How much the difference of two runs scatters, for the scatter of what was measured.
SCATTERS = {"differences": 1.0, "setting": math.sqrt(2)}
_NODES = (np.arange(200) + 0.5) / 200  # quantiles at which a standard deviation is averaged over


def paired_power(effect: ArrayLike, n: ArrayLike, *, alpha: float = 0.05) -> np.ndarray:
    """Return the chance that a paired t test finds an effect on its right side.

    Args:
        effect: True mean difference over its standard deviation, not negative; with a margin, how
            far beyond it the mean is.
        n: Seeds, at least 2.
        alpha: Two-sided level.

    Returns:
        The chance, 0..1, in the common shape of effect and seeds.

    Example:
        >>> paired_power(1.0, [5, 10, 20]).round(2).tolist()
        [0.4, 0.8, 0.99]
    """
    d, n = np.broadcast_arrays(np.asarray(effect, float), np.asarray(n, float))
    critical = stats.t.ppf(1 - alpha / 2, n - 1)
    return stats.nct.sf(critical, n - 1, d * np.sqrt(n))


def equivalence_power(margin: ArrayLike, n: ArrayLike, *, alpha: float = 0.05) -> np.ndarray:
    """Return the chance that two one-sided tests find "no difference" when there is none.

    Args:
        margin: Margin over the standard deviation of the differences.
        n: Seeds, at least 2.
        alpha: Two-sided level; each of the tests has half of it.

    Returns:
        The chance, 0..1, in the common shape of margin and seeds.

    Example:
        >>> bool(equivalence_power(2.0, 5) > 0.8)
        True
    """
    m, n = np.broadcast_arrays(np.asarray(margin, float), np.asarray(n, float))
    sd = np.array([_sd(seeds) for seeds in n.flat]).reshape(*n.shape, -1)
    reach = m[..., None] * np.sqrt(n[..., None]) - stats.t.ppf(1 - alpha / 2, n[..., None] - 1) * sd
    return np.maximum(2 * stats.norm.cdf(reach) - 1, 0).mean(axis=-1)


@functools.lru_cache(maxsize=1024)
def _sd(n: float) -> np.ndarray:
    """Return quantiles of the standard deviation estimated from `n` seeds; the true one is 1."""
    return np.sqrt(stats.chi2.ppf(_NODES, n - 1) / (n - 1))


def smallest(
    power: Callable[[np.ndarray, np.ndarray], np.ndarray], n: ArrayLike, *, wanted: float = 0.8
) -> np.ndarray:
    """Return the smallest effect (or margin) at which each number of seeds has the wanted power.

    Args:
        power: `paired_power` or `equivalence_power`, perhaps with another level.
        n: Numbers of seeds.
        wanted: The power, between 0 and 1.

    Example:
        >>> smallest(paired_power, [5, 20]).round(2).tolist()
        [1.68, 0.66]
    """
    n = np.asarray(n, float)
    low, high = np.zeros_like(n), np.full_like(n, 200.0)
    for _ in range(36):
        middle = (low + high) / 2
        enough = power(middle, n) >= wanted
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return high


def seeds_for(
    power: Callable[[np.ndarray, np.ndarray], np.ndarray],
    effect: float,
    *,
    wanted: float = 0.8,
    most: int = 10_000,
) -> int | None:
    """Return the fewest seeds with the wanted power, None if `most` are not enough.

    Args:
        power: `paired_power` or `equivalence_power`, perhaps with another level.
        effect: The effect or margin, over the standard deviation of the differences.
        wanted: The power.
        most: The largest number tried.

    Returns:
        The number of seeds, or None.

    Example:
        >>> seeds_for(paired_power, 1.0)
        10
    """
    low, high = 1, 2  # power grows with n: double, then halve the gap
    while power(np.array(effect), np.array(high)) < wanted:
        low, high = high, 2 * high
        if low >= most:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        if power(np.array(effect), np.array(middle)) >= wanted:
            high = middle
        else:
            low = middle
    return high


def seeds_needed(
    expected: float,
    sd: float,
    *,
    margin: float = 0.0,
    scatter: str = "differences",
    wanted: float = 0.8,
    n_claims: int = 1,
    most: int = 10_000,
) -> int | None:
    """Return how many seeds of each of two settings a comparison takes.

    All numbers are in the unit of the metric, or logarithms if it is about a ratio.

    Args:
        expected: The difference that you expect to be there, not negative. With 0 the question is
            whether it is surely smaller than the margin.
        sd: How much runs scatter, as a standard deviation.
        margin: The difference that has to be exceeded for the answer yes; 0 for any difference.
        scatter: What `sd` is of: "differences", taken seed by seed, or "setting", the runs of one
            setting. The runs of two settings that share no luck differ by sqrt(2) times as much.
        wanted: The chance of the answer, if the difference is as expected.
        n_claims: Questions that Holm corrects for; the worst case is taken.
        most: The largest number tried.

    Returns:
        The number of seeds, None if `most` are not enough.

    Raises:
        ValueError: If the scatter is not above 0, or the expected difference is within the margin,
            so that no number of seeds shows it to be beyond.

    Example:
        >>> seeds_needed(0.3, 0.4), seeds_needed(0.3, 0.4, scatter="setting")
        (16, 30)
        >>> seeds_needed(0.6, 0.4, margin=0.3), seeds_needed(0, 0.4, margin=0.3)
        (16, 21)
    """
    if scatter not in SCATTERS:
        raise ValueError(f"scatter is one of {', '.join(SCATTERS)}, got {scatter!r}")
    if not (sd > 0 and expected >= 0 and margin >= 0):
        raise ValueError(
            "the scatter must be above 0, and neither difference below 0; got "
            f"sd={sd:g}, expected={expected:g}, margin={margin:g}"
        )
    if not (expected > margin or (not expected and margin)):
        raise ValueError(
            f"no number of seeds shows that a difference of {expected:g} is more than a margin of "
            f"{margin:g}"
        )
    test = paired_power if expected else equivalence_power
    test = functools.partial(test, alpha=0.05 / n_claims)
    beyond = expected - margin if expected else margin
    return seeds_for(test, beyond / (SCATTERS[scatter] * sd), wanted=wanted, most=most)


def runs_to_rule_out(share: float, *, alpha: float = 0.05) -> int:
    """Return how many runs without a single case rule out that it happens in `share` of them.

    Args:
        share: Between 0 and 1.
        alpha: One-sided level.

    Example:
        >>> runs_to_rule_out(0.1)
        29
    """
    return math.ceil(math.log(alpha) / math.log1p(-share))
