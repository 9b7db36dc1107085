"""Tests that come down to one effect a seed: a difference, a ratio, or what replaces it.

Each function takes a claim, the runs and their curves, and returns a `Finding`. The decision is in
`hplab.analysis.claims.decisions`; here the effect is computed and put in words.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from hplab.analysis.claims import phrases, quantities
from hplab.analysis.claims.decisions import (
    Decision,
    Finding,
    all_distances,
    claimed_side,
    comparison,
    not_same,
    on,
    same,
    shown,
)
from hplab.analysis.claims.ledger import Claim
from hplab.analysis.claims.quantities import Curves, Missing, Quantity
from hplab.analysis.claims.samples import Sample, sample
from hplab.analysis.stats import evidence, intervals, orders
from hplab.analysis.stats import variance as spread
from hplab.analysis.stats.intervals import CONTRADICTED, INCONCLUSIVE, SUPPORTED
from hplab.analysis.stats.resampling import superiority
from hplab.sweeps.table import setting

# Values of each arm, one a seed, and which of them are times cut off at the first or last epoch.
Sides = list[tuple[np.ndarray, np.ndarray]]
SEEDS_FOR_SPREAD = 10  # with fewer, the interval of a ratio of spreads is too narrow too often


def direction(claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
    """First minus second, seed by seed; the claimed side is positive."""
    test, quantity = claim.test, quantities.parse(claim.test["quantity"])
    found = sample(runs, [test["first"], test["second"]], claim)
    sides = _values(found, quantity, curves)
    if _nothing_measured(sides):
        return _open(found, quantity, sides)
    [(first, _), (second, _)], cut = sides, _cut(sides)
    exact = _identical(sides)
    decision = claimed_side(first - second, test["margin"], claim.alpha, cut=cut, exact=exact)
    when = "within" if quantity.unit == "epochs" else "after"
    said = comparison(quantities.words(quantity), decision, quantity.unit, found.arms)
    reason = f"{on(found, when)} {said}; {_margin(decision, test)}{_cut_words(cut)}"
    return _finding(decision, reason, quantity.unit, found, sides)


def interaction(claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
    """The difference of two differences, seed by seed."""
    test, quantity = claim.test, quantities.parse(claim.test["quantity"])
    found = sample(runs, [*test["first"], *test["second"]], claim)
    a, b, c, d = (values for values, _ in _values(found, quantity, curves))
    decision = claimed_side((a - b) - (c - d), test["margin"], claim.alpha)
    unit, scale = quantity.unit, intervals.mean_interval
    one, other = (phrases.number(shown(scale(x), unit).estimate, unit) for x in (a - b, c - d))
    reason = (
        f"{on(found)} going from {found.arms[1]} to {found.arms[0]} changes "
        f"{quantities.words(quantity)} by {one}, and going from {found.arms[3]} to "
        f"{found.arms[2]} by {other} "
        f"({phrases.limits(decision.interval, unit, 'of what is between them ')}); "
        f"{_margin(decision, test)}"
    )
    effects = (a - b) - (c - d)
    return _finding(decision, reason, quantity.unit, found, effects=effects)


def profile(claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
    """Per seed, one number from all levels of an axis, compared between two sides."""
    test, quantity = claim.test, quantities.parse(claim.test["quantity"])
    levels = sorted(test["levels"])
    sides = [test["first"], test["second"]]
    found = sample(
        runs, [{**test["arm"], **side, test["x"]: x} for side in sides for x in levels], claim
    )
    # Shape (side, level, seed).
    values = np.array([v for v, _ in _values(found, quantity, curves)]).reshape(2, len(levels), -1)
    spread = np.ptp(values, axis=1)
    if test["form"] == "largest_drop":
        spread = (-np.diff(values, axis=1)).max(axis=1)
    decision = claimed_side(spread[0] - spread[1], test["margin"], claim.alpha)
    what = "the range" if test["form"] == "range" else "the largest drop between neighbours"
    subject = f"{what} of {quantities.words(quantity)} over {test['x'].replace('_', ' ')}"
    names = [side["optimizer"] if "optimizer" in side else str(side) for side in sides]
    said = comparison(subject, decision, quantity.unit, names)
    reason = f"{on(found)} {said}; {_margin(decision, test)}"
    effects = spread[0] - spread[1]
    return _finding(decision, reason, quantity.unit, found, effects=effects)


def sign(claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
    """One quantity against 0 in every arm, simultaneously."""
    test, quantity = claim.test, quantities.parse(claim.test["quantity"])
    found = sample(runs, test["arms"], claim)
    turn = 1 if test["way"] == "up" else -1
    effects = [turn * values for values, _ in _values(found, quantity, curves)]
    each = [claimed_side(x, test["margin"], claim.alpha) for x in effects]
    together = evidence.all_of([decision.evidence for decision in each])
    outcome = evidence.three_way(together, alpha=claim.alpha)
    unit, subject = quantity.unit, quantities.words(quantity)
    said = "; ".join(
        f"{turn * d.interval.estimate:+.{2 if unit == 'pp' else 4}f} {unit}"
        + (f" at {arm}" if arm else "")
        + f" ({phrases.limits(d.interval.scaled(turn), unit)})"
        for d, arm in zip(each, found.arms, strict=True)
    ).replace("-", phrases.MINUS)
    word = "rise" if test["way"] == "up" else "fall"
    reason = (
        f"{on(found)} {subject} is {said}; the claim is a {word} of at least "
        f"{phrases.number(test['margin']['value'], unit)}{' in each' if len(each) > 1 else ''}."
    )
    one = each[0].interval.scaled(turn) if len(each) == 1 else None
    far = all_distances(each)
    return Finding(outcome, reason, unit if one else "", found, together, one, distances=far)


def equivalence(claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
    """A quantity, or the difference of two arms, inside plus or minus the margin."""
    test = claim.test
    found, quantity, sides, said = _one_or_two(claim, runs, curves)
    if _nothing_measured(sides):
        return _open(found, quantity, sides)
    values, cut = _effects(test, sides), _cut(sides)
    exact = _identical(sides)
    decision = same(values, test["margin"], claim.alpha, cut=cut, exact=exact)
    what, allowed = _against(test)
    end = {
        SUPPORTED: f"{what} stays inside {allowed}.",
        CONTRADICTED: f"{what} surely lies outside {allowed}.",
        INCONCLUSIVE: f"that does not settle whether {what} stays inside {allowed}.",
    }[decision.outcome]
    reason = f"{on(found)} {said(decision)}; {end}{_cut_words(cut)}"
    return _finding(decision, reason, quantity.unit, found, sides)


def difference(claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
    """A quantity, or the difference of two arms, outside plus or minus the margin."""
    test = claim.test
    found, quantity, sides, said = _one_or_two(claim, runs, curves)
    if _nothing_measured(sides):
        return _open(found, quantity, sides)
    values, cut = _effects(test, sides), _cut(sides)
    exact = _identical(sides)
    decision = not_same(values, test["margin"], claim.alpha, cut=cut, exact=exact)
    what, allowed = _against(test)
    end = {
        SUPPORTED: f"{what} surely lies outside {allowed}.",
        CONTRADICTED: f"{what} is surely inside {allowed}.",
        INCONCLUSIVE: f"that does not settle whether {what} lies outside {allowed}.",
    }[decision.outcome]
    reason = f"{on(found)} {said(decision)}; {end}{_cut_words(cut)}"
    return _finding(decision, reason, quantity.unit, found, sides)


def variance(claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
    """The ratio of two spreads over seeds, by the jackknife."""
    test, quantity = claim.test, quantities.parse(claim.test["quantity"])
    found = sample(runs, [test["first"], test["second"]], claim, learners=False)
    first, second = (values for values, _ in _values(found, quantity, curves))
    if found.n < SEEDS_FOR_SPREAD:
        raise Missing(
            f"A spread over seeds needs {SEEDS_FOR_SPREAD} complete seeds; there are {found.n}."
        )
    pseudo = spread.log_spread_pseudo_values(first, second)
    if not np.isfinite(pseudo).all():
        raise Missing("One of the settings has no spread over seeds.")
    decision = claimed_side(pseudo, test["margin"], claim.alpha)
    ratio = decision.interval
    reason = (
        f"{on(found)} {quantities.words(quantity)} spreads {ratio.estimate:.2f} times as much over "
        f"seeds at {found.arms[0]} as at {found.arms[1]} ({phrases.limits(ratio, '')}); the ratio "
        f"fixed beforehand was {test['margin']['value']:g}"
    )
    reason += ", and the true one is surely nearer to 1." if decision.small else "."
    far = decision.distances
    return Finding(
        decision.outcome, reason, "ratio", found, decision.evidence, ratio, distances=far
    )


def correlation(claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
    """Per seed, Kendall's rank correlation of two quantities over the settings."""
    test = claim.test
    first, second = (quantities.parse(test[name]) for name in ("quantity", "with"))
    found = sample(runs, test["cells"], claim, learners=False)
    # Shape (seed, cell).
    x, y = (
        np.array([values for values, _ in _values(found, quantity, curves)]).T
        for quantity in (first, second)
    )
    taus = intervals.kendall(x, y)
    if not np.isfinite(taus).all():
        raise Missing("In some seed all settings are equal, so there is nothing to rank.")
    decision = claimed_side(taus, test["margin"], claim.alpha)
    together = orders.agreement(taus, margin=test["margin"]["value"])
    outcome = evidence.three_way(together, alpha=claim.alpha)
    decision = dataclasses.replace(decision, evidence=together, outcome=outcome)
    reason = (
        f"On {found.n} seeds and {len(found.arms)} settings, Kendall's rank correlation of "
        f"{quantities.words(first)} and {quantities.words(second)} is "
        f"{phrases.number(decision.interval.estimate, 'tau')} "
        f"({phrases.limits(decision.interval, 'tau')}); {_margin(decision, test)}"
    )
    return _finding(decision, reason, "tau", found)


def _values(found: Sample, quantity: Quantity, curves: Curves) -> Sides:
    """Return the values and cut-off masks of every arm."""
    return [quantities.values(rows, quantity, curves, found.stretch) for rows in found.rows]


def _cut(sides: Sides) -> np.ndarray:
    """Return in which seeds a time is cut off."""
    return np.any([cut for _, cut in sides], axis=0)


def _cut_words(cut: np.ndarray) -> str:
    if not cut.any():
        return ""
    return f" In {cut.sum()} seeds a run passed the threshold in its first epoch or never."


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


def _effects(test: Mapping[str, Any], sides: Sides) -> np.ndarray:
    """Return one effect a seed: the difference of two arms, or how far one is from a centre."""
    values = sides[0][0]
    return values - (sides[1][0] if len(sides) == 2 else test.get("centre", 0.0))


def _one_or_two(claim: Claim, runs: pd.DataFrame, curves: Curves):
    """Return sample, quantity, values, and what says them: of one arm, or of two compared."""
    test, quantity = claim.test, quantities.parse(claim.test["quantity"])
    subject, unit = quantities.words(quantity), quantity.unit
    if "first" in test:
        found = sample(runs, [test["first"], test["second"]], claim)
        said = lambda decision: comparison(subject, decision, unit, found.arms)  # noqa: E731
        return found, quantity, _values(found, quantity, curves), said
    found = sample(runs, [test["arm"]], claim)
    centre = test.get("centre", 0.0)

    def said(decision: Decision) -> str:
        ends = ("estimate", "low", "high")
        level = {name: getattr(decision.interval, name) + centre for name in ends}
        mean = dataclasses.replace(decision.interval, **level)
        words = f"{phrases.number(mean.estimate, unit)} ({phrases.limits(mean, unit)})"
        return f"{subject} at {found.arms[0]} is {words}"

    return found, quantity, _values(found, quantity, curves), said


def _finding(
    decision: Decision,
    reason: str,
    unit: str,
    found: Sample,
    sides: Sides | None = None,
    effects: np.ndarray | None = None,
) -> Finding:
    """Return a decision as a finding; with the values of two arms also the checks of a pair."""
    pair = sides is not None and len(sides) == 2
    flips = effects if effects is not None else sides[0][0] - sides[1][0] if pair else None
    return Finding(
        decision.outcome,
        reason,
        unit,
        found,
        decision.evidence,
        decision.interval,
        None if flips is None else intervals.sign_flip(flips),
        distances=decision.distances,
        identical=sides is not None and _identical(sides),
        wins=superiority(sides[0][0], sides[1][0]) if pair and len(sides[0][0]) > 1 else None,
    )


def _identical(sides: Sides) -> bool:
    """Return whether there are two arms that agree in every seed, in values that seeds change."""
    if len(sides) != 2:
        return False
    (first, _), (second, _) = sides
    return bool((first == second).all() and np.ptp(first) > 0)


def _margin(decision: Decision, test) -> str:
    size, unit = test["margin"]["value"], test["margin"]["unit"]
    null = 1.0 if unit == "ratio" else 0.0
    above = decision.interval.low > null
    return phrases.margin(decision.outcome, above, size, unit, small=decision.small)


def _against(test: Mapping[str, Any]) -> tuple[str, str]:
    """Return what is held against a margin on both sides, and that margin, in words."""
    size = test["margin"]
    allowed = f"plus or minus {phrases.number(size['value'], size['unit'])}"
    if size["unit"] == "ratio":
        allowed = f"a factor of {size['value']:g} either way"
    around = f" around {setting(test['centre'])}" if "centre" in test else ""
    what = "the mean"
    if "first" in test:
        what = "the ratio" if size["unit"] == "ratio" else "the mean difference"
    return what, f"the margin of {allowed}{around} fixed beforehand"
