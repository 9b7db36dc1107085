"""What data say for a claim and against it, as two p values, and the decision they lead to.

Every rule of the ledger ends here. A claim is a statement about an effect with a margin; it is
tested where it is hardest to tell, exactly at the margin. There `p_for` and `p_against` are each
below `alpha` in at most half of `alpha` of all worlds: with the usual 0.05, a verdict is wrong
that way once in forty. Lack of evidence is never evidence: what neither p value shows stays open.

Functions take one value a seed along the last axis; with more axes they answer for many data sets
at once.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from hplab.analysis.stats.intervals import (
    CONTRADICTED,
    INCONCLUSIVE,
    ROUNDING,
    SUPPORTED,
    check_values,
    plain,
    prediction_interval,
)


@dataclasses.dataclass(frozen=True)
class Evidence:
    """Two p values of one claim; each is twice a one-sided one, so 0.05 goes with 95 % intervals.

    Attributes:
        p_for: Small where the data show that the claim holds.
        p_against: Small where they show that it does not.

    Example:
        >>> Evidence(p_for=0.01, p_against=1.0).turned()
        Evidence(p_for=1.0, p_against=0.01)
    """

    p_for: Any
    p_against: Any

    @property
    def p(self) -> Any:
        """The smaller of the two: how far the data are from deciding nothing."""
        return plain(np.minimum(self.p_for, self.p_against))

    def turned(self) -> Evidence:
        """Return the evidence of the opposite claim."""
        return Evidence(self.p_against, self.p_for)


def three_way(found: Evidence, *, alpha: float = 0.05) -> Any:
    """Decide a claim: "supported", "contradicted" or, where neither is shown, "inconclusive".

    Args:
        found: The evidence.
        alpha: Two-sided level; a true claim is contradicted, and a false one supported, in at most
            half of it.

    Returns:
        A word, or an array of words where the p values are arrays.

    Example:
        >>> three_way(Evidence(p_for=0.01, p_against=1.0))
        'supported'
        >>> three_way(Evidence(p_for=0.10, p_against=1.0))
        'inconclusive'
    """
    words = np.select(
        [np.asarray(found.p_for) < alpha, np.asarray(found.p_against) < alpha],
        [SUPPORTED, CONTRADICTED],
        INCONCLUSIVE,
    )
    return str(words) if words.ndim == 0 else words


def beyond(values: ArrayLike, *, margin: float = 0.0, exact: bool = False) -> Evidence:
    """Test "the mean is more than the margin".

    Supported at 0.05 is the same as: the whole 95 % t interval lies above the margin; contradicted:
    the whole interval lies below it.

    Args:
        values: One number a seed, positive on the claimed side; differences of two settings, or
            logarithms of ratios. Shape `(..., n)` with n at least 2.
        margin: The smallest mean that matters, in the unit of the values.
        exact: Whether values without spread are known to have none, as where two settings compute
            the very same. Else they count as in a sign test: whole numbers may agree by chance.

    Raises:
        ValueError: If there are fewer than two values or one is not finite.

    Example:
        One setting beats the other by 0.28 on average; by more than 0.2 for sure, not by 0.25.

        >>> gains = [0.31, 0.24, 0.28, 0.30, 0.27]
        >>> three_way(beyond(gains, margin=0.2)), three_way(beyond(gains, margin=0.25))
        ('supported', 'inconclusive')
    """
    return Evidence(*(_doubled(p) for p in _one_sided(values, margin, exact)))


def within(values: ArrayLike, *, margin: float, exact: bool = False) -> Evidence:
    """Test "the mean lies between minus the margin and the margin": nothing that matters.

    For it speak two one-sided t tests (TOST); at 0.05 they ask that the 95 % interval lies inside.
    Against it speaks a mean surely outside. As it can lie outside on two sides, each gets half of
    what may go wrong, and the 97.5 % interval has to lie there.

    Args:
        values: One number a seed. Shape `(..., n)` with n at least 2.
        margin: Half-width of the region that counts as no difference, not negative. With 0 nothing
            can be shown to lie inside.
        exact: As in `beyond`.

    Raises:
        ValueError: If the margin is negative, or as `beyond`.

    Example:
        >>> three_way(within([0.02, -0.01, 0.03, 0.00, -0.02], margin=0.1))
        'supported'
        >>> three_way(within([0.22, 0.19, 0.23, 0.20, 0.18], margin=0.1))
        'contradicted'
    """
    if not margin >= 0:
        raise ValueError(f"margin must not be negative, got {margin}")
    above, below_high = _one_sided(values, margin, exact)
    above_low, below = _one_sided(values, -margin, exact)
    inside = np.maximum(above_low, below_high)
    if margin == 0:
        inside = np.ones_like(inside)
    return Evidence(_doubled(inside), _doubled(2 * np.minimum(above, below)))


def outside(values: ArrayLike, *, margin: float) -> Evidence:
    """Test "the mean differs from 0 by more than the margin", the opposite of `within`.

    Example:
        >>> three_way(outside([0.22, 0.19, 0.23, 0.20, 0.18], margin=0.1))
        'supported'
    """
    return within(values, margin=margin).turned()


def stated(values: ArrayLike, number: float, *, tolerance: float) -> Evidence:
    """Test a number that a report states of one run.

    For it speaks a mean surely within the tolerance of the number, if single runs scatter no more
    than the tolerance either (95 % prediction interval no wider than twice the tolerance). Against
    it speaks only what rules out both readings of such a number: a mean surely further away than
    the tolerance, and a number that a new run would not give (outside its 99 % prediction interval;
    of single runs with heavy tails 97.5 % would leave out too many).

    Args:
        values: One value a run. Shape `(..., n)`.
        number: What the report states.
        tolerance: How far off still counts as the same, positive.

    Example:
        >>> runs = [98.1, 98.3, 98.0, 98.2, 98.4]
        >>> [three_way(stated(runs, x, tolerance=0.6)) for x in (98.3, 98.7, 99.9)]
        ['supported', 'inconclusive', 'contradicted']
    """
    x = np.asarray(values, float)
    mean = within(x - number, margin=tolerance)
    new_run = prediction_interval(x)
    n = x.shape[-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.abs(number - x.mean(-1)) / (x.std(-1, ddof=1) * math.sqrt(1 + 1 / n))
    alien = 2 * stats.t.sf(np.nan_to_num(t, nan=0.0, posinf=np.inf), n - 1)
    scatters = np.asarray(new_run.high) - np.asarray(new_run.low) > 2 * tolerance
    return Evidence(
        plain(np.where(scatters, 1.0, mean.p_for)),
        plain(np.maximum(mean.p_against, np.minimum(1.0, 5 * alien))),
    )


def all_of(parts: Sequence[Evidence]) -> Evidence:
    """Return the evidence of a claim that holds if all its parts hold.

    For it: the part that is shown least (intersection-union test; no correction, since all have to
    be shown). Against it: the part that fails most surely, corrected for the number of parts that
    could have failed by luck (Bonferroni).

    References:
        Berger (1982), Multiparameter hypothesis testing and acceptance sampling, Technometrics 24.

    Example:
        >>> all_of([Evidence(0.01, 1.0), Evidence(0.03, 1.0)])
        Evidence(p_for=0.03, p_against=1.0)
        >>> all_of([Evidence(0.01, 1.0), Evidence(1.0, 0.01)])
        Evidence(p_for=1.0, p_against=0.02)
    """
    p_for = np.max([part.p_for for part in parts], axis=0)
    p_against = np.min([part.p_against for part in parts], axis=0)
    return Evidence(plain(p_for), plain(np.minimum(1.0, len(parts) * p_against)))


def any_of(parts: Sequence[Evidence]) -> Evidence:
    """Return the evidence of a claim that holds if at least one part holds.

    Example:
        >>> any_of([Evidence(0.01, 1.0), Evidence(1.0, 0.01)])
        Evidence(p_for=0.02, p_against=1.0)
    """
    return all_of([part.turned() for part in parts]).turned()


def most_of(parts: Sequence[Evidence]) -> Evidence:
    """Return the evidence of a claim that more than half of its parts hold.

    That at least u of k hold is shown by the u-th smallest p value, times k - u + 1: all but the
    surest u - 1 parts could be lucky (partial conjunction).

    References:
        Benjamini and Heller (2008), Screening for partial conjunction hypotheses, Biometrics 64.

    Example:
        Two of three parts are shown; the second smallest p value counts, twice.

        >>> most_of([Evidence(0.001, 1.0), Evidence(0.01, 1.0), Evidence(1.0, 0.01)])
        Evidence(p_for=0.02, p_against=1.0)
    """
    k = len(parts)
    u_for, u_against = k // 2 + 1, k - k // 2  # not more than half: at least this many fail
    p_for = np.sort([part.p_for for part in parts], axis=0)[u_for - 1]
    p_against = np.sort([part.p_against for part in parts], axis=0)[u_against - 1]
    return Evidence(
        plain(np.minimum(1.0, (k - u_for + 1) * p_for)),
        plain(np.minimum(1.0, (k - u_against + 1) * p_against)),
    )


def _one_sided(values: ArrayLike, bound: float, exact: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the p values of "the mean is above the bound" and "below", by the t test.

    Seeds without any spread, but for rounding, have no standard error. They count as in a sign
    test, one chance in 2 each; where they are exact they decide. At the bound they show neither.
    """
    x = check_values(values, 0.95)
    n = x.shape[-1]
    away, error = x.mean(-1) - bound, x.std(-1, ddof=1) / math.sqrt(n)
    alike = np.ptp(x, axis=-1) <= ROUNDING * np.abs(x).max(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = away / error
    one, least = x[..., 0] - bound, 0.0 if exact else 0.5**n
    one = np.where(np.abs(one) <= ROUNDING * abs(bound), 0.0, one)
    above = np.where(alike, np.where(one > 0, least, 1.0), stats.t.sf(t, n - 1))
    below = np.where(alike, np.where(one < 0, least, 1.0), stats.t.cdf(t, n - 1))
    return above, below


def _doubled(p: Any) -> Any:
    return plain(np.minimum(1.0, 2 * np.asarray(p)))
