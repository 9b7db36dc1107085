"""What a test found, and the two decisions that most tests end in."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hplab.analysis import phrases, stats
from hplab.analysis.cells import Sample
from hplab.analysis.stats import CONTRADICTED, INCONCLUSIVE, SUPPORTED, Interval


@dataclasses.dataclass(frozen=True)
class Finding:
    """What a test found, before Holm's correction.

    Attributes:
        outcome: "supported", "contradicted" or "inconclusive".
        reason: The numbers and what follows, in one or two sentences.
        unit: Unit of the interval, "" for none.
        sample: The runs it rests on.
        interval: The deciding interval, where there is one; of a ratio, not of its logarithm.
        p: p value of the deciding test, where it has one.
        p_sign_flip: Exact check of a paired comparison, where it has one.
        parts: One row a part of the test, for the table beneath the verdict.
    """

    outcome: str
    reason: str
    unit: str
    sample: Sample
    interval: Interval | None = None
    p: float | None = None
    p_sign_flip: float | None = None
    parts: tuple[Mapping[str, Any], ...] = ()


@dataclasses.dataclass(frozen=True)
class Decision:
    """An effect judged against a margin.

    Attributes:
        outcome: What was decided.
        interval: The effect's t interval in the reader's unit; ratios as ratios.
        p: p value of the test that decided.
        small: Whether the claim fails because the effect is surely smaller than the margin.
    """

    outcome: str
    interval: Interval
    p: float
    small: bool = False


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
        cut: Whether some values are cut off, which pulls effects towards 0; then no claim fails for
            being too small.
    """
    interval = stats.mean_interval(effects, level=1 - alpha)
    tost_p = _tost(effects, margin, cut)
    outcome = stats.three_way(interval, margin=size_of(margin), tost_p=tost_p, alpha=alpha)
    small = outcome == CONTRADICTED and not interval.high < 0
    p = tost_p if small else interval.p
    return Decision(outcome, shown(interval, margin["unit"]), p, small)


def same(
    effects: np.ndarray, margin: Mapping[str, Any], alpha: float, *, cut: bool = False
) -> Decision:
    """Decide a claim of "no difference that matters" on one effect a seed.

    Values that are cut off (see `claimed_side`) do not show that there is none.
    """
    interval = stats.mean_interval(effects, level=1 - alpha)
    tost_p = _tost(effects, margin, cut)
    outcome = stats.equivalence(interval, margin=size_of(margin), tost_p=tost_p, alpha=alpha)
    p = interval.p if outcome == CONTRADICTED else tost_p
    return Decision(outcome, shown(interval, margin["unit"]), p)


def not_same(
    effects: np.ndarray, margin: Mapping[str, Any], alpha: float, *, cut: bool = False
) -> Decision:
    """Decide a claim that there is a difference, in whichever direction; `cut` as in `same`."""
    interval = stats.mean_interval(effects, level=1 - alpha)
    tost_p = _tost(effects, margin, cut)
    outcome = INCONCLUSIVE
    if 0 not in interval and abs(interval.estimate) >= size_of(margin):
        outcome = SUPPORTED
    elif tost_p < alpha:
        outcome = CONTRADICTED
    small = outcome == CONTRADICTED
    return Decision(
        outcome, shown(interval, margin["unit"]), tost_p if small else interval.p, small
    )


def _tost(effects: np.ndarray, margin: Mapping[str, Any], cut: bool) -> float:
    """Return the p value of TOST; 1 where values are cut off, which pulls effects towards 0."""
    return 1.0 if cut else stats.tost(effects, margin=size_of(margin))


def all_parts(intervals: Sequence[Interval], margin: float = 0.0) -> tuple[str, float]:
    """Decide a claim that has to hold in every part, and its Bonferroni p value.

    The p value is that of the worst part, or of a part on the wrong side.

    Args:
        intervals: Simultaneous intervals, positive on the claimed side.
        margin: What every estimate has to reach.
    """
    wrong = [interval.p for interval in intervals if interval.high < 0]
    p = min(wrong) if wrong else max(interval.p for interval in intervals)
    holds = all(each.low > 0 and each.estimate >= margin for each in intervals)
    outcome = SUPPORTED if holds else INCONCLUSIVE
    return CONTRADICTED if wrong else outcome, min(1.0, len(intervals) * p)


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
