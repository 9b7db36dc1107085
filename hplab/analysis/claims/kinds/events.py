"""Tests of how often something happens: shares of runs, and their difference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from hplab.analysis.claims import phrases, quantities
from hplab.analysis.claims.decisions import Finding, on
from hplab.analysis.claims.ledger import Claim
from hplab.analysis.claims.quantities import Curves, Missing
from hplab.analysis.claims.samples import Sample, sample
from hplab.analysis.stats import proportions as shares
from hplab.analysis.stats.evidence import Evidence, three_way
from hplab.analysis.stats.intervals import Interval

_WORDS = {
    ("collapsed", 1): "collapsed",
    ("died", 1): "had no live unit for three epochs in a row",
    ("revived", 1): "had one again later",
    ("top_is_majority", 1): "predict the largest class most often",
}


def proportion(claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
    """A share of runs against a bound, by its Clopper-Pearson interval."""
    test = claim.test
    found = sample(runs, [test["arm"]], claim, learners=False)
    _long_enough(found)
    rows = found.rows[0]
    happened = quantities.event(rows, test["event"], curves)
    given = quantities.event(rows, test.get("given", {}), curves)
    if not given.any():
        raise Missing(f"None of {found.n} runs {_said(test['given'])}, so the claim has no case.")
    count, n = int(happened[given].sum()), int(given.sum())
    share = shares.proportion_interval(count, n, level=1 - claim.alpha, method="exact")
    together = _bounded(count, n, test["bound"])
    of = f"of the {n} runs that {_said(test['given'])}" if "given" in test else f"of {n} runs"
    percent = share.scaled(100)
    length = f", after {found.length}," if found.length else ""
    reason = (
        f"At {found.arms[0]}{length} {count} {of} {_said(test['event'])} "
        f"({phrases.limits(percent, '%')} %); {_bound_words(test['bound'])}."
    )
    outcome = three_way(together, alpha=claim.alpha)

    def at(level: float) -> Interval:
        return shares.proportion_interval(count, n, level=level, method="exact").scaled(100)

    def chance(more: int, alpha: float) -> float:
        counts = np.arange(more + 1)
        decides = [_bounded(int(k), more, test["bound"]).p < alpha for k in counts]
        return float(stats.binom.pmf(counts, more, count / n) @ np.array(decides, float))

    return Finding(outcome, reason, "%", found, together, percent, at=at, chance=chance)


def proportions(claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
    """The difference of two shares of runs."""
    test = claim.test
    found = sample(runs, [test["first"], test["second"]], claim, learners=False)
    _long_enough(found)
    counts = [int(quantities.event(rows, test["event"], curves).sum()) for rows in found.rows]
    margin = test["margin"]["value"]
    difference = shares.proportion_difference(*counts, found.n, level=1 - claim.alpha)
    percent = difference.scaled(100)
    together = shares.excess(*counts, found.n, margin=margin / 100)
    outcome = three_way(together, alpha=claim.alpha)
    reason = (
        f"{on(found)} {counts[0]} of {found.n} runs {_said(test['event'])} at {found.arms[0]} and "
        f"{counts[1]} of {found.n} at {found.arms[1]} "
        f"({phrases.limits(percent, 'pp', 'of the difference ')} pp); the margin fixed beforehand "
        f"was {phrases.number(margin, 'pp')}."
    )

    def at(level: float) -> Interval:
        return shares.proportion_difference(*counts, found.n, level=level).scaled(100)

    def chance(more: int, alpha: float) -> float:
        luck = [stats.binom.pmf(np.arange(more + 1), more, k / found.n) for k in counts]
        decides = np.minimum(*shares.tails(more, margin / 100)) < alpha / 2
        return float(luck[0] @ decides @ luck[1])

    return Finding(outcome, reason, "pp", found, together, percent, at=at, chance=chance)


def _long_enough(found: Sample) -> None:
    """Refuse runs of the report's data that were cut short: what has not happened yet still may."""
    if "epochs" in found.differs and "data" not in found.differs:
        ours, theirs = found.differs["epochs"]
        raise Missing(f"It is judged after {theirs} epochs; the recorded runs have {ours}.")


def _said(event: Mapping[str, Any]) -> str:
    return " and ".join(_WORDS.get(item, "{} {}".format(*item)) for item in event.items())


def _bounded(count: int, n: int, bound: Mapping[str, Any]) -> Evidence:
    """Return the evidence about a share: above or below a limit, or that it exists at all.

    One case shows that something exists. No number of runs without a case shows that it does not;
    against it speaks that it surely happens in fewer runs than the stated share.
    """
    [(kind, limit)] = bound.items()
    found = shares.above(count, n, limit)
    if kind == "exists":
        return Evidence(0.0, 1.0) if count else Evidence(1.0, found.p_against)
    return found if kind == "above" else found.turned()


def _bound_words(bound: Mapping[str, Any]) -> str:
    [(kind, limit)] = bound.items()
    if kind == "exists":
        return f"the claim is that it happens; rarer than in {100 * limit:g} % counts as never"
    return f"the claim is a share {kind} {100 * limit:g} %"
