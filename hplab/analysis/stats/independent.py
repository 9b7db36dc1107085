"""Differences of the means of settings whose runs are not paired: Welch's test and its like.

Runs made elsewhere often have no seeds in common, so that no difference can be taken seed by seed.
What is asked of them is a weighted sum of the settings' means: one minus another, or a slope. Its
error is that of every mean by itself, with the degrees of freedom of Welch and Satterthwaite.

References:
    Satterthwaite (1946), Biometrics Bulletin 2; Welch (1947), Biometrika 34.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from hplab.analysis.stats.evidence import Evidence
from hplab.analysis.stats.intervals import ROUNDING, Interval, check_values


@dataclasses.dataclass(frozen=True)
class Contrast:
    """A weighted sum of means of independent runs.

    Attributes:
        estimate: The sum.
        error: Its standard error.
        df: Degrees of freedom of the error; nan where no setting scatters.
        n: Runs of the setting that has the fewest.
        sd: Standard deviation of the sum with one run of each setting.
    """

    estimate: float
    error: float
    df: float
    n: int
    sd: float

    def interval(self, level: float = 0.95) -> Interval:
        """Return the sum with its t interval."""
        half = self.error * stats.t.isf((1 - level) / 2, self.df) if self.error else 0.0
        low, high = float(self.estimate - half), float(self.estimate + half)
        return Interval(self.estimate, low, high, level, self.n, sd=self.sd)

    def minus(self, other: Contrast) -> Contrast:
        """Return the difference of two sums of different runs."""
        parts = [(one.error**2, one.df) for one in (self, other) if one.error]
        total = sum(variance for variance, _ in parts)
        df = total**2 / sum(variance**2 / df for variance, df in parts) if parts else math.nan
        estimate = self.estimate - other.estimate
        sd = math.hypot(self.sd, other.sd)
        return Contrast(estimate, math.sqrt(total), df, min(self.n, other.n), sd)

    def beyond(self, margin: float = 0.0) -> Evidence:
        """Test "the sum is more than the margin", as `evidence.beyond` does for paired values."""
        above, below = self._tails(margin)
        return Evidence(min(1.0, 2 * above), min(1.0, 2 * below))

    def within(self, margin: float) -> Evidence:
        """Test "the sum lies between minus the margin and the margin", as `evidence.within`."""
        if not margin >= 0:
            raise ValueError(f"margin must not be negative, got {margin}")
        above, below_high = self._tails(margin)
        above_low, below = self._tails(-margin)
        inside = max(above_low, below_high) if margin else 1.0
        return Evidence(min(1.0, 2 * inside), min(1.0, 4 * min(above, below)))

    def distance(self, margin: float = 0.0) -> float:
        """Return how far the sum is beyond a margin, in what one run of each setting scatters."""
        away = self.estimate - margin
        if self.error:
            return away / (self.error * math.sqrt(self.n))
        return math.copysign(math.inf, away) if away else 0.0

    def _tails(self, bound: float) -> tuple[float, float]:
        """Return the p values of "more than the bound" and "less".

        Without scatter there is no error to go by; runs count as in a sign test then, as in
        `evidence`.
        """
        away = self.estimate - bound
        if self.error:
            t = away / self.error
            return float(stats.t.sf(t, self.df)), float(stats.t.cdf(t, self.df))
        if abs(away) <= ROUNDING * max(abs(bound), abs(self.estimate)):
            return 1.0, 1.0
        least = 0.5**self.n
        return (least, 1.0) if away > 0 else (1.0, least)


def contrast(groups: Sequence[ArrayLike], weights: Sequence[float]) -> Contrast:
    """Return a weighted sum of the groups' means.

    Args:
        groups: One array a setting, one number a run, at least two.
        weights: One number a group, such as 1 and -1 for a difference.

    Raises:
        ValueError: If there are fewer than two values, one is not finite, or the lengths differ.

    Example:
        >>> found = contrast([[98.2, 98.4, 98.3], [98.0, 98.1, 98.1, 98.2]], [1, -1])
        >>> interval = found.interval()
        >>> f"{interval.estimate:.2f} ({interval.low:.2f} to {interval.high:.2f})"
        '0.20 (0.00 to 0.40)'
    """
    values = [check_values(group, 0.95) for group in groups]
    w = np.asarray(weights, float)
    if len(values) != len(w):
        raise ValueError(f"{len(values)} groups for {len(w)} weights")
    n = np.array([len(x) for x in values])
    alike = [np.ptp(x) <= ROUNDING * np.abs(x).max() for x in values]
    variances = np.where(alike, 0.0, [x.var(ddof=1) for x in values])
    parts = w**2 * variances / n
    total = parts.sum()
    df = total**2 / (parts**2 / (n - 1)).sum() if total > 0 else math.nan
    estimate = float(w @ [x.mean() for x in values])
    sd = math.sqrt((w**2 * variances).sum())
    return Contrast(estimate, math.sqrt(total), float(df), int(n[w != 0].min()), sd)


def slope_weights(levels: ArrayLike) -> np.ndarray:
    """Return the weights that make a least-squares slope on log2 of the levels from their means.

    Example:
        >>> slope_weights([1, 2, 4]).tolist()
        [-0.5, 0.0, 0.5]
    """
    at = np.log2(np.asarray(levels, float))
    centred = at - at.mean()
    return centred / (centred**2).sum()
