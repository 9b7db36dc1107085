"""What a test found, and the decisions that most tests end in."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from hplab.analysis import evidence, phrases, stats
from hplab.analysis.cells import Sample
from hplab.analysis.evidence import Evidence
from hplab.analysis.stats import CONTRADICTED, Interval


@dataclasses.dataclass(frozen=True)
class Finding:
    """What a test found, before Holm's correction.

    Attributes:
        outcome: "supported", "contradicted" or "inconclusive".
        reason: The numbers and what follows, in one or two sentences.
        unit: Unit of the interval, "" for none.
        sample: The runs it rests on.
        evidence: The p values for and against, where a test could be made.
        interval: The deciding interval, where there is one; of a ratio, not of its logarithm.
        p_sign_flip: Exact check of a paired comparison, where it has one.
        parts: One row a part of the test, for the table beneath the verdict.
        distance: How far the mean is from the margin, in standard deviations over seeds, where
            that is what decides; of several parts, the one on which the decision hangs.
        identical: Whether the arms gave the very same numbers, seed by seed.
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
    distance: float | None = None
    identical: bool = False
    beside: Finding | None = None

    @property
    def p(self) -> float | None:
        """p value of the deciding test, where it has one."""
        return self.evidence.p if self.evidence else None


@dataclasses.dataclass(frozen=True)
class Decision:
    """An effect judged against a margin.

    Attributes:
        outcome: What was decided.
        interval: The effect's t interval in the reader's unit; ratios as ratios.
        evidence: What speaks for it and against it.
        small: Whether the claim fails because the effect is surely smaller than the margin.
        distance: As in `Finding`.
    """

    outcome: str
    interval: Interval
    evidence: Evidence
    small: bool = False
    distance: float | None = None


def size_of(size: Mapping[str, Any]) -> float:
    """Return a margin on the scale that is tested: ratios as logarithms."""
    return math.log(size["value"]) if size["unit"] == "ratio" else size["value"]


def shown(interval: Interval, unit: str) -> Interval:
    """Return an interval as a reader sees it: of a ratio instead of a logarithm."""
    if unit != "ratio":
        return interval
    ends = {name: math.exp(getattr(interval, name)) for name in ("estimate", "low", "high")}
    return dataclasses.replace(interval, **ends)


def claimed_side(
    effects: np.ndarray, margin: Mapping[str, Any], alpha: float, *, cut: bool = False
) -> Decision:
    """Decide a directional claim on one effect a seed, the claimed side being positive.

    Args:
        effects: One number a seed; logarithms for ratios.
        margin: The smallest effect that matters, with its unit.
        alpha: Two-sided level.
        cut: Whether some values are cut off, which pulls effects towards 0; then a claim fails only
            if the opposite holds, not for being too small.
    """
    limit = size_of(margin)
    found = evidence.beyond(effects, margin=limit)
    if cut:
        found = Evidence(found.p_for, evidence.beyond(effects).p_against)
    decision = _decided(found, effects, margin, alpha)
    small = decision.outcome == CONTRADICTED and not decision.interval.high < _null(margin)
    return dataclasses.replace(decision, small=small, distance=distance(effects, limit))


def same(
    effects: np.ndarray, margin: Mapping[str, Any], alpha: float, *, cut: bool = False
) -> Decision:
    """Decide a claim of "no difference that matters" on one effect a seed.

    Values that are cut off (see `claimed_side`) do not show that there is none.
    """
    limit = size_of(margin)
    found = evidence.within(effects, margin=limit)
    if cut:
        found = Evidence(1.0, found.p_against)
    nearest = min(distance(effects, limit), distance(effects, -limit), key=abs)
    return dataclasses.replace(_decided(found, effects, margin, alpha), distance=nearest)


def not_same(
    effects: np.ndarray, margin: Mapping[str, Any], alpha: float, *, cut: bool = False
) -> Decision:
    """Decide a claim that there is a difference, in whichever direction; `cut` as in `same`."""
    opposite = same(effects, margin, alpha, cut=cut)
    found = opposite.evidence.turned()
    outcome = evidence.three_way(found, alpha=alpha)
    return dataclasses.replace(
        opposite, outcome=outcome, evidence=found, small=outcome == CONTRADICTED
    )


def _decided(
    found: Evidence, effects: np.ndarray, margin: Mapping[str, Any], alpha: float
) -> Decision:
    interval = shown(stats.mean_interval(effects, level=1 - alpha), margin["unit"])
    return Decision(evidence.three_way(found, alpha=alpha), interval, found)


def _null(margin: Mapping[str, Any]) -> float:
    return 1.0 if margin["unit"] == "ratio" else 0.0


def distance(effects: np.ndarray, limit: float) -> float:
    """Return how far the mean is above a limit, in standard deviations; inf without spread."""
    away, sd = float(np.mean(effects) - limit), float(np.std(effects, ddof=1))
    if sd > 0:
        return away / sd
    return math.copysign(math.inf, away) if away else 0.0


def hangs_on(distances: Iterable[float | None]) -> float | None:
    """Return the distance on which a claim of several parts hangs: the least, None if unknown."""
    known = list(distances)
    return None if not known or None in known else min(known)


def on(found: Sample, when: str = "after") -> str:
    """Return how a reason begins: "On 5 seeds, after 5 epochs,"."""
    return f"On {found.n} seeds" + (f", {when} {found.length}," if found.length else "")


def comparison(subject: str, decision: Decision, unit: str, arms: Sequence[str]) -> str:
    """Return a difference of two arms in words, with its interval."""
    interval = decision.interval
    if unit != "ratio" and interval.low == interval.high == 0:
        return f"{subject} is exactly the same at {arms[0]} and {arms[1]}, seed by seed"
    if unit == "ratio":
        limits = phrases.limits(interval, unit, "of the ratio ")
        ratio = phrases.number(interval.estimate, "ratio")
        return f"{subject} at {arms[0]} is {ratio} times that at {arms[1]} ({limits})"
    by = phrases.number(abs(interval.estimate), unit)
    more = phrases.more(subject, interval.estimate)
    limits = phrases.limits(interval, unit, "of the difference ")
    return f"{subject} is {by} {more} at {arms[0]} than at {arms[1]} ({limits})"
