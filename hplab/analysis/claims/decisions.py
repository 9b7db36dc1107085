"""What a test found, and the decisions that most tests end in."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import t

from hplab.analysis.claims import phrases
from hplab.analysis.claims.grammar import Size
from hplab.analysis.claims.samples import Sample
from hplab.analysis.stats import evidence, intervals, power
from hplab.analysis.stats.evidence import Evidence
from hplab.analysis.stats.intervals import CONTRADICTED, INCONCLUSIVE, Interval


@dataclasses.dataclass(frozen=True)
class Finding:
    """What a test found, before Holm's correction.

    Attributes:
        outcome: "supported", "contradicted" or "inconclusive".
        reason: The numbers and what follows, in one or two sentences.
        in_short: What was measured, as a clause without interval; "" for claims of several parts.
        unit: Unit of the interval, "" for none.
        sample: The runs it rests on.
        evidence: The p values for and against, where a test could be made.
        interval: The deciding interval, where there is one; of a ratio, not of its logarithm.
        p_sign_flip: Exact check of a paired comparison, where it has one.
        parts: One row a part of the test, for the table beneath the verdict.
        distances: How far each part's mean is from its margin, in standard deviations over seeds,
            positive where it speaks for the claim; empty where that is not what decides.
        identical: Whether the arms gave the very same numbers, seed by seed.
        at: The interval at another level, where that is no t interval.
        chance: The chance that a number of seeds decides at a level if things are as seen so far,
            where `distances` do not say it.
        wins: The chance that a run of the first of two settings has the larger value than a run of
            the second, ties half; it decides nothing.
        face: What the test alone says of runs that may not decide the claim; "" where they may.
        each: Of a claim of several tests, what each of them found.
        beside: The same with training measured the other way (see `estimands`); decides nothing.
    """

    outcome: str
    reason: str
    unit: str
    sample: Sample
    evidence: Evidence | None = None
    interval: Interval | None = None
    p_sign_flip: float | None = None
    parts: tuple[Mapping[str, Any], ...] = ()
    distances: tuple[float, ...] = ()
    identical: bool = False
    at: Callable[[float], Interval] | None = None
    chance: Callable[[int, float], float] | None = None
    wins: Interval | None = None
    face: str = ""
    beside: Finding | None = None
    in_short: str = ""
    each: tuple[Finding, ...] = ()

    @property
    def samples(self) -> list[Sample]:
        """The runs of every test."""
        return [found.sample for found in self.each] or [self.sample]

    @property
    def p(self) -> float | None:
        """p value of the deciding test, where it has one."""
        return self.evidence.p if self.evidence else None

    def at_level(self, level: float) -> Interval | None:
        """Return the deciding interval at another level."""
        if self.at or self.interval is None:
            return self.at(level) if self.at else None
        return other_level(self.interval, level, ratio=self.unit == "ratio")

    @property
    def lacks_scatter(self) -> bool:
        """Whether values are all the same, though the settings need not compute the very same."""
        return any(map(math.isinf, self.distances)) and not self.identical

    def chance_of(self, n: int, alpha: float) -> float | None:
        """Return the chance that `n` seeds decide if things are as seen so far, None if unknown.

        All parts have to be shown; that the claim fails shows in one, corrected for their number.
        """
        if self.chance or not self.distances:
            return self.chance(n, alpha) if self.chance else None
        if any(map(math.isinf, self.distances)):  # no spread, so none to go by
            return 1.0 if self.identical else None
        least = min(self.distances)
        if least < 0:
            alpha /= len(self.distances)
        return float(power.paired_power(abs(least), n, alpha=alpha))

    def only_at_face(self, why: str) -> Finding:
        """Return the finding of runs that may not decide: open, with the reason."""
        return dataclasses.replace(
            self,
            outcome=INCONCLUSIVE,
            reason=f"{self.reason} {why}",
            evidence=None,
            face=self.face or self.outcome,
        )


@dataclasses.dataclass(frozen=True)
class Decision:
    """An effect judged against a margin.

    Attributes:
        outcome: What was decided.
        interval: The effect's t interval in the reader's unit; ratios as ratios.
        evidence: What speaks for it and against it.
        small: Whether the claim fails because the whole interval is short of the margin.
        distances: As in `Finding`.
    """

    outcome: str
    interval: Interval
    evidence: Evidence
    small: bool = False
    distances: tuple[float, ...] = ()


def in_unit(interval: Interval, unit: str) -> Interval:
    """Return an interval as a reader sees it: of a ratio instead of a logarithm.

    Example:
        >>> in_unit(Interval(0.0, -math.log(2), math.log(2), 0.95, 5), "ratio").high.__round__(3)
        2.0
    """
    if unit != "ratio":
        return interval
    estimate, low, high = map(math.exp, (interval.estimate, interval.low, interval.high))
    return dataclasses.replace(interval, estimate=estimate, low=low, high=high)


def claimed_side(
    effects: np.ndarray,
    margin: Size,
    alpha: float,
    *,
    cut: np.ndarray | None = None,
    exact: bool = False,
) -> Decision:
    """Decide a directional claim on one effect a seed, the claimed side being positive.

    Args:
        effects: One number a seed; logarithms for ratios.
        margin: The smallest effect that matters, with its unit.
        alpha: Two-sided level.
        cut: In which seeds a value is cut off, which pulls the effect towards 0. Then a claim fails
            only if the opposite holds, not for being too small; and if effects are cut off that
            speak against an outcome, there might be more of them than is seen.
        exact: Whether the two settings compute the very same (see `evidence.beyond`).

    Example:
        >>> gains = np.array([0.31, 0.24, 0.28, 0.30, 0.27])
        >>> claimed_side(gains, Size(0.2, "pp"), 0.05).outcome
        'supported'
    """
    limit = margin.tested
    found = evidence.beyond(effects, margin=limit, exact=exact)
    cut = np.zeros(len(effects), bool) if cut is None else cut
    if cut.any():
        opposite = evidence.beyond(effects).p_against
        found = Evidence(
            1.0 if (effects[cut] <= 0).any() else found.p_for,
            1.0 if (effects[cut] >= 0).any() else opposite,
        )
    decision = _decided(found, effects, margin, alpha)
    small = decision.outcome == CONTRADICTED and not decision.interval.high < margin.null
    far = () if cut.any() else (distance(effects, limit),)
    return dataclasses.replace(decision, small=small, distances=far)


def same(
    effects: np.ndarray,
    margin: Size,
    alpha: float,
    *,
    cut: np.ndarray | None = None,
    exact: bool = False,
) -> Decision:
    """Decide a claim of "no difference that matters" on one effect a seed.

    Values that are cut off (see `claimed_side`, also for `exact`) do not show that there is none.

    Example:
        >>> same(np.array([0.01, -0.02, 0.02]), Size(0.1, "pp"), 0.05).outcome
        'supported'
    """
    limit = margin.tested
    found = evidence.within(effects, margin=limit, exact=exact)
    cut = np.zeros(len(effects), bool) if cut is None else cut
    if cut.any():
        one_way = (effects[cut] * np.mean(effects) > 0).all()
        found = Evidence(1.0, found.p_against if one_way else 1.0)
    far = () if cut.any() else (distance(effects, -limit), distance(-effects, -limit))
    return dataclasses.replace(_decided(found, effects, margin, alpha), distances=far)


def not_same(
    effects: np.ndarray,
    margin: Size,
    alpha: float,
    *,
    cut: np.ndarray | None = None,
    exact: bool = False,
) -> Decision:
    """Decide a claim that there is a difference, in whichever direction; else as `same`.

    Example:
        >>> not_same(np.array([0.01, -0.02, 0.02]), Size(0.1, "pp"), 0.05).outcome
        'contradicted'
    """
    opposite = same(effects, margin, alpha, cut=cut, exact=exact)
    found = opposite.evidence.turned()
    outcome = evidence.three_way(found, alpha=alpha)
    return dataclasses.replace(
        opposite,
        outcome=outcome,
        evidence=found,
        small=outcome == CONTRADICTED,
    )


def _decided(found: Evidence, effects: np.ndarray, margin: Size, alpha: float) -> Decision:
    interval = in_unit(intervals.mean_interval(effects, level=1 - alpha), margin.unit)
    return Decision(evidence.three_way(found, alpha=alpha), interval, found)


def distance(effects: np.ndarray, limit: float) -> float:
    """Return how far the mean is above a limit, in standard deviations; inf without spread.

    Example:
        >>> distance(np.array([1.0, 2.0, 3.0]), 1.0)
        1.0
    """
    away, sd = float(np.mean(effects) - limit), float(np.std(effects, ddof=1))
    if sd > 0:
        return away / sd
    return math.copysign(math.inf, away) if away else 0.0


def all_distances(parts: Sequence[Finding | Decision]) -> tuple[float, ...]:
    """Return the distances of all parts, none if those of one are not known."""
    if not all(part.distances for part in parts):
        return ()
    return tuple(far for part in parts for far in part.distances)


def other_level(interval: Interval, level: float, *, ratio: bool = False) -> Interval:
    """Return a t interval at another level.

    Args:
        interval: An interval of `interval.n` seeds.
        level: The new coverage, between 0 and 1.
        ratio: Whether it is that of a ratio, symmetric on the log scale.

    Example:
        >>> found = other_level(Interval(1.0, 0.0, 2.0, 0.95, 10), 0.99)
        >>> round(found.low, 3), round(found.high, 3)
        (-0.437, 2.437)
    """
    into, back = (np.log, np.exp) if ratio else (float, float)
    centre = into(interval.estimate)
    wider = t.isf((1 - level) / 2, interval.n - 1) / t.ppf((1 + interval.level) / 2, interval.n - 1)
    with np.errstate(over="ignore"):
        low, high = (
            float(back(centre + wider * (into(end) - centre)))
            for end in (interval.low, interval.high)
        )
    return dataclasses.replace(interval, low=low, high=high, level=level)


def on(found: Sample, when: str = "after") -> str:
    """Return how a reason begins: "On 5 seeds, after 5 epochs,"."""
    return f"On {found.n} seeds" + (f", {when} {found.length}," if found.length else "")


def comparison(subject: str, decision: Decision, unit: str, arms: Sequence[str]) -> str:
    """Return a difference of two arms in words, with its interval."""
    interval, words = decision.interval, compared(subject, decision, unit, arms)
    if _exactly_same(interval, unit):
        return words
    of = "of the ratio " if unit == "ratio" else "of the difference "
    return f"{words} ({phrases.limits(interval, unit, of)})"


def compared(subject: str, decision: Decision, unit: str, arms: Sequence[str]) -> str:
    """Return a difference of two arms in words."""
    interval = decision.interval
    if _exactly_same(interval, unit):
        return f"{subject} is exactly the same at {arms[0]} and {arms[1]}, seed by seed"
    if unit == "ratio":
        ratio = phrases.number(interval.estimate, "ratio")
        return f"{subject} at {arms[0]} is {ratio} times that at {arms[1]}"
    by = phrases.number(abs(interval.estimate), unit)
    more = phrases.more(subject, interval.estimate)
    return f"{subject} is {by} {more} at {arms[0]} than at {arms[1]}"


def _exactly_same(interval: Interval, unit: str) -> bool:
    return unit != "ratio" and interval.low == interval.high == 0
