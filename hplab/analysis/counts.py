"""Tests of how often something happens: shares of runs, and their difference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from hplab.analysis import phrases, quantities, stats
from hplab.analysis.cells import Sample, sample
from hplab.analysis.findings import Finding, on
from hplab.analysis.ledger import Claim
from hplab.analysis.quantities import Curves, Missing
from hplab.analysis.stats import CONTRADICTED, INCONCLUSIVE, SUPPORTED, Interval

_WORDS = {
    ("n_predicted", 1): "predict one class for every image",
    ("live_units", 0): "have no live unit",
    ("died", 1): "lost all live units for three epochs in a row",
    ("revived", 1): "had a live unit again afterwards",
    ("predicts_majority", 1): "predict the largest class",
}


def proportion(claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
    """A share of runs against a bound, by its Clopper-Pearson interval."""
    test = claim.test
    found = sample(runs, [test["arm"]], claim)
    happened, given = _happened(found, 0, test["event"]), _happened(found, 0, test.get("given", {}))
    if not given.any():
        raise Missing(f"None of {found.n} runs {_said(test['given'])}, so the claim has no case.")
    count, n = int(happened[given].sum()), int(given.sum())
    share = stats.proportion_interval(count, n, level=1 - claim.alpha, method="exact")
    outcome = _bounded(share, count, n >= claim.seeds, test["bound"])
    of = f"of the {n} runs that {_said(test['given'])}" if "given" in test else f"of {n} runs"
    percent = share.scaled(100)
    length = f", after {found.length}," if found.length else ""
    reason = (
        f"At {found.arms[0]}{length} {count} {of} {_said(test['event'])} "
        f"({phrases.limits(percent, '%')} %); {_bound_words(test['bound'])}."
    )
    return Finding(outcome, reason, "%", found, percent)


def proportions(claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
    """The difference of two shares of runs."""
    test = claim.test
    found = sample(runs, [test["first"], test["second"]], claim)
    counts = [int(_happened(found, i, test["event"]).sum()) for i in (0, 1)]
    margin = test["margin"]["value"]
    difference = stats.proportion_difference(*counts, found.n, level=1 - claim.alpha)
    p_small = stats.proportion_difference_below(*counts, found.n, margin=margin / 100)
    percent = difference.scaled(100)
    outcome, p = INCONCLUSIVE, difference.p
    if percent.low > 0 and percent.estimate >= margin:
        outcome = SUPPORTED
    elif percent.high < 0:
        outcome = CONTRADICTED
    elif p_small < claim.alpha:
        outcome, p = CONTRADICTED, p_small
    reason = (
        f"{on(found)} {counts[0]} of {found.n} runs {_said(test['event'])} at {found.arms[0]} and "
        f"{counts[1]} of {found.n} at {found.arms[1]} "
        f"({phrases.limits(percent, 'pp', 'of the difference ')} pp); the margin fixed beforehand "
        f"was {phrases.number(margin, 'pp')}."
    )
    return Finding(outcome, reason, "pp", found, percent, p)


def _happened(found: Sample, arm: int, event: Mapping[str, Any]) -> np.ndarray:
    """Return in which runs of an arm all columns of an event have the stated values."""
    happened = np.ones(found.n, bool)
    for column, value in event.items():
        happened &= quantities.final(found.rows[arm], column) == value
    return happened


def _said(event: Mapping[str, Any]) -> str:
    return " and ".join(_WORDS.get(item, "{} {}".format(*item)) for item in event.items())


def _bounded(share: Interval, count: int, whole: bool, bound: Mapping[str, Any]) -> str:
    [(kind, limit)] = bound.items()
    if kind == "exists":
        return SUPPORTED if count else CONTRADICTED if whole else INCONCLUSIVE
    inside, outside = share.low > limit, share.high < limit
    if kind == "below":
        inside, outside = outside, inside
    return SUPPORTED if inside else CONTRADICTED if outside else INCONCLUSIVE


def _bound_words(bound: Mapping[str, Any]) -> str:
    [(kind, limit)] = bound.items()
    if kind == "exists":
        return "the claim is that it happens"
    return f"the claim is a share {kind} {100 * limit:g} %"
