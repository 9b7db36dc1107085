"""Tests that come down to one effect a seed: a difference, a ratio, or what replaces it.

The decision is in `hplab.analysis.claims.decisions`; here the effect is computed and put in words.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd

from hplab.analysis.claims import phrases, quantities
from hplab.analysis.claims.claim import Claim
from hplab.analysis.claims.decisions import (
    Decision,
    Finding,
    all_distances,
    claimed_side,
    compared,
    comparison,
    in_unit,
    not_same,
    on,
    same,
)
from hplab.analysis.claims.grammar import Arm, Arms, Size
from hplab.analysis.claims.kinds.kind import Kind
from hplab.analysis.claims.quantities import Curves, Missing, Quantity
from hplab.analysis.claims.samples import Sample, sample
from hplab.analysis.stats import evidence, intervals, orders
from hplab.analysis.stats.intervals import CONTRADICTED, INCONCLUSIVE, SUPPORTED, Interval
from hplab.analysis.stats.rank import superiority
from hplab.analysis.stats.variance import log_spread_pseudo_values
from hplab.sweeps.table import setting

# Values of each arm, one a seed, and which of them are times cut off at the first or last epoch.
Sides = list[tuple[np.ndarray, np.ndarray]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Direction(Kind):
    """First minus second, seed by seed; the claimed side is positive."""

    type = "direction"
    from_report = True
    quantity: Quantity
    first: Arm
    second: Arm
    margin: Size

    def evaluate(self, claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
        quantity, found = self.quantity, sample(runs, self.settings, claim)
        sides = _values(found, quantity, curves)
        if _nothing_measured(sides):
            return _open(found, quantity, sides)
        [(first, _), (second, _)], cut = sides, _cut(sides)
        exact = _identical(sides)
        decision = claimed_side(first - second, self.margin, claim.alpha, cut=cut, exact=exact)
        decision = _ended(decision, quantity, found)
        when = "within" if quantity.unit == "epochs" else "after"
        about = (quantities.words(quantity), decision, quantity.unit, found.arms)
        said = comparison(*about)
        reason = f"{on(found, when)} {said}; {_margin(decision, self.margin)}{_cut_words(cut)}"
        return _finding(decision, reason, quantity.unit, found, sides, in_short=compared(*about))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Interaction(Kind):
    """The difference of two differences, seed by seed."""

    type = "interaction"
    from_report = True
    quantity: Quantity
    first: Arms
    second: Arms
    margin: Size

    def evaluate(self, claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
        found, unit = sample(runs, self.settings, claim), self.quantity.unit
        a, b, c, d = (values for values, _ in _values(found, self.quantity, curves))
        effects = (a - b) - (c - d)
        decision = _ended(claimed_side(effects, self.margin, claim.alpha), self.quantity, found)
        if possible := decision.interval.ends:  # twice as far as one difference goes
            wider = dataclasses.replace(decision.interval, ends=(2 * possible[0], 2 * possible[1]))
            decision = dataclasses.replace(decision, interval=wider)
        means = (in_unit(intervals.mean_interval(x), unit).estimate for x in (a - b, c - d))
        one, other = (phrases.number(mean, unit) for mean in means)
        in_short = (
            f"going from {found.arms[1]} to {found.arms[0]} changes "
            f"{quantities.words(self.quantity)} by {one}, and going from {found.arms[3]} to "
            f"{found.arms[2]} by {other}"
        )
        reason = (
            f"{on(found)} {in_short} "
            f"({phrases.limits(decision.interval, unit, 'of what is between them ')}); "
            f"{_margin(decision, self.margin)}"
        )
        return _finding(decision, reason, unit, found, effects=effects, in_short=in_short)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Profile(Kind):
    """How far the means over all levels of an axis reach, compared between two sides."""

    type = "profile"
    quantity: Quantity
    form: Literal["range", "largest_drop"]
    x: str
    levels: tuple[float, ...]
    arm: Arm
    first: Arm
    second: Arm
    margin: Size

    @property
    def settings(self) -> list[Mapping[str, Any]]:
        """Every level of the first side, then of the second."""
        sides = (self.first, self.second)
        return [{**self.arm, **s, self.x: x} for s in sides for x in sorted(self.levels)]

    def evaluate(self, claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
        quantity, found = self.quantity, sample(runs, self.settings, claim)
        values = np.array([values for values, _ in _values(found, quantity, curves)])
        first, second = values.reshape(2, len(self.levels), -1)  # level, seed
        drops, limit = self.form == "largest_drop", self.margin.tested
        judged = orders.wider(first, second, margin=limit, neighbours=drops)

        possible = quantities.ends(quantity, found.rows[0], found.stretch, difference=True)

        def at(level: float) -> Interval:
            wider = orders.wider_by(first, second, neighbours=drops, level=level)
            return dataclasses.replace(in_unit(wider, self.margin.unit), ends=possible)

        outcome, interval = evidence.three_way(judged, alpha=claim.alpha), at(1 - claim.alpha)
        small = outcome == CONTRADICTED and not interval.high < self.margin.null
        decision = Decision(outcome, interval, judged, small)
        what = "the largest drop between neighbours" if drops else "the range"
        subject = f"{what} of mean {quantities.words(quantity)} over {self.x.replace('_', ' ')}"
        names = [side.get("optimizer", str(side)) for side in (self.first, self.second)]
        about = (subject, decision, quantity.unit, names)
        reason = f"{on(found)} {comparison(*about)}; {_margin(decision, self.margin)}"
        made = _finding(decision, reason, quantity.unit, found, in_short=compared(*about))
        return dataclasses.replace(made, at=at)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sign(Kind):
    """One quantity against 0 in every arm, simultaneously."""

    type = "sign"
    quantity: Quantity
    arms: Arms
    way: Literal["up", "down"]
    margin: Size

    def evaluate(self, claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
        found = sample(runs, self.settings, claim)
        turn, word = (1, "rise") if self.way == "up" else (-1, "fall")
        effects = [turn * values for values, _ in _values(found, self.quantity, curves)]
        each = [claimed_side(x, self.margin, claim.alpha) for x in effects]
        together = evidence.all_of([decision.evidence for decision in each])
        outcome = evidence.three_way(together, alpha=claim.alpha)
        unit = self.quantity.unit
        said = "; ".join(
            f"{turn * d.interval.estimate:+.{2 if unit == 'pp' else 4}f} {unit}"
            + (f" at {arm}" if arm else "")
            + f" ({phrases.limits(d.interval.scaled(turn), unit)})"
            for d, arm in zip(each, found.arms, strict=True)
        ).replace("-", phrases.MINUS)
        least = (
            f" of at least {phrases.number(self.margin.value, unit)}" if self.margin.value else ""
        )
        reason = (
            f"{on(found)} {quantities.words(self.quantity)} is {said}; the claim is a {word}{least}"
            f"{' in each' if len(each) > 1 else ''}."
        )
        one = each[0].interval.scaled(turn) if len(each) == 1 else None
        far = all_distances(each)
        return Finding(outcome, reason, unit if one else "", found, together, one, distances=far)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _BothSides(Kind):
    """A quantity, or the difference of two arms, against plus and minus a margin."""

    either = (("arm",), ("first", "second"))
    from_report = True
    decide = staticmethod(same)
    ends: ClassVar[Mapping[str, str]]  # what is said of each outcome
    quantity: Quantity
    margin: Size
    arm: Arm | None = None
    first: Arm | None = None
    second: Arm | None = None

    @property
    def centre(self) -> float | None:
        """What the quantity of one arm is compared with, if that is not 0."""
        return None

    def evaluate(self, claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
        quantity, found = self.quantity, sample(runs, self.settings, claim)
        sides = _values(found, quantity, curves)
        if _nothing_measured(sides):
            return _open(found, quantity, sides)
        effects = sides[0][0] - (sides[1][0] if len(sides) == 2 else self.centre or 0.0)
        cut, exact = _cut(sides), _identical(sides)
        decision = self.decide(effects, self.margin, claim.alpha, cut=cut, exact=exact)
        decision = _ended(decision, quantity, found, self.centre or 0.0, len(sides) == 2)
        end = self.ends[decision.outcome].format(*self._words())
        reason = f"{on(found)} {self._said(decision, found)}; {end}{_cut_words(cut)}"
        in_short = self._said(decision, found, with_limits=False)
        return _finding(decision, reason, quantity.unit, found, sides, in_short=in_short)

    def _said(self, decision: Decision, found: Sample, *, with_limits: bool = True) -> str:
        """Return the level of one arm, or the difference of two, in words."""
        subject, unit = quantities.words(self.quantity), self.quantity.unit
        if self.first is not None:
            words = comparison if with_limits else compared
            return words(subject, decision, unit, found.arms)
        ends = ("estimate", "low", "high")
        level: dict[str, Any] = {
            name: getattr(decision.interval, name) + (self.centre or 0.0) for name in ends
        }
        level["ends"] = quantities.ends(self.quantity, found.rows[0], found.stretch)
        mean = dataclasses.replace(decision.interval, **level)
        level_is = f"{subject} at {found.arms[0]} is {phrases.number(mean.estimate, unit)}"
        return f"{level_is} ({phrases.limits(mean, unit)})" if with_limits else level_is

    def _words(self) -> tuple[str, str]:
        """Return what is held against the margin on both sides, and the margin, in words."""
        size, ratio = self.margin, self.margin.unit == "ratio"
        allowed = f"plus or minus {phrases.number(size.value, size.unit)}"
        if ratio:
            allowed = f"a factor of {size.value:g} either way"
        around = "" if self.centre is None else f" around {setting(self.centre)}"
        of_two = "the ratio" if ratio else "the mean difference"
        what = "the mean" if self.first is None else of_two
        return what, f"the margin of {allowed}{around} fixed beforehand"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Equivalence(_BothSides):
    """A quantity, or the difference of two arms, inside plus or minus the margin."""

    type = "equivalence"
    ends: ClassVar[Mapping[str, str]] = {
        SUPPORTED: "{} stays inside {}.",
        CONTRADICTED: "the whole 97.5 % interval of {} lies outside {}.",
        INCONCLUSIVE: "that does not settle whether {} stays inside {}.",
    }
    centre: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Difference(_BothSides):
    """A quantity, or the difference of two arms, outside plus or minus the margin."""

    type = "difference"
    decide = staticmethod(not_same)
    ends: ClassVar[Mapping[str, str]] = {
        SUPPORTED: "the whole 97.5 % interval of {} lies outside {}.",
        CONTRADICTED: "the whole 95 % interval of {} lies inside {}.",
        INCONCLUSIVE: "that does not settle whether {} lies outside {}.",
    }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Variance(Kind):
    """The ratio of two spreads over seeds, by the jackknife."""

    type = "variance"
    fewest = 10  # with fewer, the interval of a ratio of spreads is too narrow too often
    units = frozenset({"ratio"})
    quantity: Quantity
    first: Arm
    second: Arm
    margin: Size

    def evaluate(self, claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
        found = sample(runs, self.settings, claim, learners=False)
        first, second = (values for values, _ in _values(found, self.quantity, curves))
        if found.n < self.fewest:
            raise Missing(
                f"A spread over seeds needs {self.fewest} complete seeds; there are {found.n}."
            )
        pseudo = log_spread_pseudo_values(first, second)
        if not np.isfinite(pseudo).all():
            raise Missing("One of the settings has no spread over seeds.")
        decision = claimed_side(pseudo, self.margin, claim.alpha)
        ratio = decision.interval
        in_short = (
            f"{quantities.words(self.quantity)} spreads {ratio.estimate:.2f} times as "
            f"much over seeds at {found.arms[0]} as at {found.arms[1]}"
        )
        reason = (
            f"{on(found)} {in_short} "
            f"({phrases.limits(ratio, '')}); the ratio fixed beforehand was {self.margin.value:g}"
        )
        reason += ", and the whole interval lies nearer to 1." if decision.small else "."
        return _finding(decision, reason, "ratio", found, in_short=in_short)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Correlation(Kind):
    """Per seed, Kendall's rank correlation of two quantities over the settings."""

    type = "correlation"
    units = frozenset({"tau"})
    quantity: Quantity
    with_: Quantity
    cells: Arms
    margin: Size

    def evaluate(self, claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
        found, both = sample(runs, self.cells, claim, learners=False), (self.quantity, self.with_)
        x, y = (  # shape (seed, cell)
            np.array([values for values, _ in _values(found, quantity, curves)]).T
            for quantity in both
        )
        taus = intervals.kendall(x, y)
        if not np.isfinite(taus).all():
            raise Missing("In some seed all settings are equal, so there is nothing to rank.")
        decision = claimed_side(taus, self.margin, claim.alpha)
        together = orders.agreement(taus, margin=self.margin.value)
        outcome = evidence.three_way(together, alpha=claim.alpha)
        decision = dataclasses.replace(decision, evidence=together, outcome=outcome)
        reason = (
            f"On {found.n} seeds and {len(found.arms)} settings, Kendall's rank correlation of "
            f"{quantities.words(self.quantity)} and {quantities.words(self.with_)} is "
            f"{phrases.number(decision.interval.estimate, 'tau')} "
            f"({phrases.limits(decision.interval, 'tau')}); {_margin(decision, self.margin)}"
        )
        return _finding(decision, reason, "tau", found)


def _values(found: Sample, quantity: Quantity, curves: Curves) -> Sides:
    """Return the values and cut-off masks of every arm."""
    return [quantities.values(rows, quantity, curves, found.stretch) for rows in found.rows]


def _ended(
    decision: Decision,
    quantity: Quantity,
    found: Sample,
    centre: float = 0.0,
    difference: bool = True,
) -> Decision:
    """Return a decision whose interval, of values minus `centre`, knows where its scale ends."""
    possible = quantities.ends(quantity, found.rows[0], found.stretch, difference=difference)
    possible = possible and (possible[0] - centre, possible[1] - centre)
    interval = dataclasses.replace(decision.interval, ends=possible)
    return dataclasses.replace(decision, interval=interval)


def _cut(sides: Sides) -> np.ndarray:
    """Return in which seeds a time is cut off."""
    return np.any([cut for _, cut in sides], axis=0)


def _cut_words(cut: np.ndarray) -> str:
    if not cut.any():
        return ""
    n = int(cut.sum())
    seeds = "1 seed" if n == 1 else f"{n} seeds"
    return f" In {seeds} a run passed the threshold in its first epoch or never."


def _nothing_measured(sides: Sides) -> bool:
    """Return whether every time is cut off, in each seed at the same end in all arms."""
    first, _ = sides[0]
    return all(cut.all() and (values == first).all() for values, cut in sides)


def _open(found: Sample, quantity: Quantity, sides: Sides) -> Finding:
    """Return the finding where nothing was measured: inconclusive, without a number."""
    times = np.exp(sides[0][0]) if quantity.log else sides[0][0]
    never = (times * found.stretch > 1.5).all()  # in trained epochs: 1 is the first
    why = "need longer" if never else "pass it in their first epoch or never"
    reason = (
        f"{on(found, 'within')} {quantities.words(quantity)} could not be measured: all runs {why}."
    )
    return Finding(INCONCLUSIVE, reason, "", found)


def _finding(
    decision: Decision,
    reason: str,
    unit: str,
    found: Sample,
    sides: Sides | None = None,
    effects: np.ndarray | None = None,
    *,
    in_short: str = "",
) -> Finding:
    """Return a decision as a finding; of two arms, or of effects, with the checks of a pair."""
    pair = sides if sides and len(sides) == 2 else None
    if pair:
        effects = pair[0][0] - pair[1][0]
    return Finding(
        decision.outcome,
        reason,
        unit,
        found,
        decision.evidence,
        decision.interval,
        None if effects is None else intervals.sign_flip(effects),
        distances=decision.distances,
        identical=bool(pair and _identical(pair)),
        wins=superiority(pair[0][0], pair[1][0]) if pair and len(pair[0][0]) > 1 else None,
        in_short=in_short,
    )


def _identical(sides: Sides) -> bool:
    """Return whether two arms agree in every seed, in values that seeds change."""
    if len(sides) != 2:
        return False
    (first, _), (second, _) = sides
    return bool((first == second).all() and np.ptp(first) > 0)


def _margin(decision: Decision, margin: Size) -> str:
    """Return what the margin says about an effect on the claimed side."""
    above = decision.interval.low > margin.null
    size, unit = margin.value, margin.unit
    return phrases.margin(decision.outcome, above, size, unit, small=decision.small)


KINDS = (Direction, Interaction, Profile, Sign, Equivalence, Difference, Variance, Correlation)
