"""Looking before all planned seeds are there, without being wrong more often for it.

A plan of N seeds may be judged after any number of them from the first that the rule allows. Who
looks often and stops when it pleases is wrong more often than he says, so each look gets only a
part of what may go wrong: by Lan and DeMets' spending function of the O'Brien and Fleming kind,
next to nothing early and most of it at the end. As nobody keeps a list of who looked when, the
levels are those of a look after every single seed. That is the worst case: fewer looks err less.

The levels are exact for normal means of known spread. They are used as levels of t tests, which
err a little more often under repeated looks: with one after every seed from 3 to 20, in 2.7 % of
worlds a side where 2.5 % are meant (0.05), and at the stricter levels of Holm's correction by an
eighth more than is meant (0.47 % for 0.42 % at 0.05 / 6; 1.5 million worlds at the margin, normal).
Looks at 3, 5, 10 and 20 seeds alone stay below it (`benchmarks/margins.py` counts them).

References:
    Lan and DeMets (1983), Discrete sequential boundaries for clinical trials, Biometrika 70;
    O'Brien and Fleming (1979), Biometrics 35; Armitage, McPherson and Rowe (1969), JRSS A 132, for
    the recursion; Jennison and Turnbull (1989), JRSS B 51, for intervals under repeated looks.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np
from scipy import optimize, stats

from hplab.analysis.stats.evidence import Evidence

_ALPHAS = np.geomspace(1e-6, 1.0, 25)  # levels between which p values are interpolated
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(160)
_LOWEST = -6.5  # standard deviations below which no path is followed
_NO_CHANCE = 1e-300


@dataclasses.dataclass(frozen=True)
class Look:
    """One look at a plan.

    Attributes:
        n: Complete seeds.
        planned: Seeds of the plan.
        first: The fewest seeds that are looked at.
        level: Two-sided level at which this look decides, where the plan as a whole has `alpha`.
        alpha: That of the plan.

    Example:
        >>> after_ten = look(10, 20)
        >>> after_ten.interim, after_ten.fraction
        (True, 0.5)
    """

    n: int
    planned: int
    first: int
    level: float
    alpha: float

    @property
    def interim(self) -> bool:
        """Whether seeds are still to come."""
        return self.n < self.planned

    @property
    def fraction(self) -> float:
        """The information fraction: the share of the planned seeds that is there, at most 1."""
        return min(1.0, self.n / self.planned)

    def adjusted(self, found: Evidence) -> Evidence:
        """Return p values that hold for the plan as a whole, to be compared with `alpha`."""
        return Evidence(*(self._adjusted(float(p)) for p in (found.p_for, found.p_against)))

    def _adjusted(self, p: float) -> float:
        if p <= 0:
            return 0.0
        levels = np.log(_table(self.first, self.planned)[:, min(self.n, self.planned) - self.first])
        return float(np.exp(np.interp(math.log(p), levels, np.log(_ALPHAS))))


def look(n: int, planned: int, *, first: int = 3, alpha: float = 0.05) -> Look:
    """Return the look at a plan after `n` of its seeds; of more than planned, that at its end.

    Args:
        n: Complete seeds, at least `first`.
        planned: Seeds of the plan, at least 1; never fewer than `first`.
        first: The fewest seeds at which anything is decided.
        alpha: Two-sided level of the whole plan.

    Raises:
        ValueError: If there are fewer seeds than `first`.

    Example:
        After 5 of 20 seeds nearly nothing of the 5 % is spent; the end has most of it left.

        >>> [f"{look(n, 20).level:.5f}" for n in (5, 10, 20)]
        ['0.00001', '0.00249', '0.03377']
    """
    planned = max(planned, first)
    if n < first:
        raise ValueError(f"the first look is at {first} seeds, got {n}")
    level = levels(first, planned, alpha)[min(n, planned) - first]
    return Look(n, planned, first, float(level), alpha)


@functools.lru_cache(maxsize=512)
def levels(first: int, planned: int, alpha: float) -> np.ndarray:
    """Return the two-sided level of each look, after every seed from `first` to `planned`.

    Args:
        first: Seeds at the first look, at least 1.
        planned: Seeds at the last.
        alpha: Two-sided level of all looks together; each side has half.

    Example:
        A plan without looks before its end is an ordinary test.

        >>> levels(10, 10, 0.05).round(4).tolist()
        [0.05]
    """
    times = np.arange(first, planned + 1) / planned
    spent = 2 * stats.norm.sf(stats.norm.isf(alpha / 4) / np.sqrt(times))
    spent = np.minimum(spent, alpha / 2)
    found, before, time = [], 0.0, 0.0
    nodes, weights = np.zeros(1), np.ones(1)  # where paths are that have not been stopped
    for now, used in zip(times, spent, strict=True):
        step = math.sqrt(now - time)
        bound = _bound(nodes, weights, step, max(used - before, _NO_CHANCE))
        found.append(2 * stats.norm.sf(bound / math.sqrt(now)))
        low = _LOWEST * math.sqrt(now)
        half = (bound - low) / 2
        there = low + half * (_NODES + 1)
        density = stats.norm.pdf((there[:, None] - nodes) / step) @ weights / step
        nodes, weights = there, half * _WEIGHTS * density
        before, time = used, now
    return np.array(found)


def _bound(nodes: np.ndarray, weights: np.ndarray, step: float, wanted: float) -> float:
    """Return the bound that a path crosses in its next step with a wanted chance."""

    def surplus(bound: float) -> float:
        crossing = weights @ stats.norm.sf((bound - nodes) / step)
        return math.log(max(crossing, _NO_CHANCE)) - math.log(wanted)

    return float(optimize.brentq(surplus, -8.0, 12.0, xtol=1e-10))


@functools.lru_cache(maxsize=64)
def _table(first: int, planned: int) -> np.ndarray:
    """Return the level of each look for each of `_ALPHAS`: one row a level, one column a look."""
    table = np.array([levels(first, planned, float(alpha)) for alpha in _ALPHAS])
    return np.maximum.accumulate(np.maximum(table, _NO_CHANCE), axis=0)
