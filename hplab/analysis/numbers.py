"""Tests of a stated number, and of intervals that a report prints.

A number is compared with the prediction interval for one new run, since the report made one run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from hplab.analysis import phrases, quantities, spread, stats
from hplab.analysis.cells import Sample, describe, sample
from hplab.analysis.findings import Finding, on, shown, size_of
from hplab.analysis.ledger import Claim
from hplab.analysis.quantities import METRICS, Curves, Missing
from hplab.analysis.stats import CONTRADICTED, INCONCLUSIVE, SUPPORTED


def number(claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
    """The numbers a report prints for one of its runs."""
    test = claim.test
    found = sample(runs, [test["arm"]], claim)
    _at_the_report_s_setting(found)
    published = _published(claim)
    parts = [_compare(claim, found, metric, published[metric]) for metric in test["metrics"]]
    outcome, end = SUPPORTED, "Each published value is one that a new run could give."
    if not all(part["outcome"] == SUPPORTED for part in parts):
        outcome, end = INCONCLUSIVE, f"Not all of it is met: {_missed(parts)}."
        if any(part["outcome"] == CONTRADICTED for part in parts):
            if claim.report.reconstructed:
                end += " The setting is our reconstruction, so the miss may be ours."
            else:
                outcome = CONTRADICTED
    said = "; ".join(part["words"] for part in parts)
    one = parts[0] if len(parts) == 1 else None
    return Finding(
        outcome,
        f"{on(found)} at {found.arms[0]}: {said}. {end}",
        one["unit"] if one else "",
        found,
        one["interval"] if one else None,
        parts=tuple(parts),
    )


def value(claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
    """One stated number: a quantity of an arm, or the difference or ratio of two."""
    test, quantity = claim.test, quantities.parse(claim.test["quantity"])
    arms = [test[name] for name in ("arm", "first", "second") if name in test]
    found = sample(runs, arms, claim)
    _at_the_report_s_setting(found)
    ours = [quantities.values(rows, quantity, curves, found.stretch)[0] for rows in found.rows]
    effects = ours[0] - ours[1] if len(ours) == 2 else ours[0]
    new_run = stats.prediction_interval(effects, level=1 - claim.alpha)
    theirs, allowed = size_of(test["value"]), size_of(test["tolerance"])
    outcome, end = SUPPORTED, "A new run could give that."
    if theirs not in new_run:
        outcome, end = CONTRADICTED, "That lies outside what a new run gives."
        if claim.report.reconstructed:
            outcome, end = INCONCLUSIVE, f"{end} The setting is our reconstruction."
    elif new_run.high - new_run.low > 2 * allowed or abs(new_run.estimate - theirs) > allowed:
        outcome, end = INCONCLUSIVE, "It varies too much from run to run to confirm that."
    unit = quantity.level_unit if len(arms) == 1 else quantity.unit
    interval = shown(new_run, quantity.unit)
    what = quantities.words(quantity)
    where = f" at {found.arms[0]}" + (f" against {found.arms[1]}" if len(arms) == 2 else "")
    kind = {"ratio": "the ratio of "}.get(unit, "the difference of ") if len(arms) == 2 else ""
    reason = (
        f"{on(found)} {kind}{what}{where} is {phrases.number(interval.estimate, unit)}, theirs "
        f"{phrases.number(test['value']['value'], unit)} (a new run: "
        f"{phrases.span(interval, unit)}). {end}"
    )
    return Finding(outcome, reason, unit, found, interval)


def coverage(claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
    """Intervals that count random directions as if they were models, against those over models."""
    test = claim.test
    found = sample(runs, test["cells"], claim)
    ratios = np.array([_width_ratio(rows, test, claim.alpha) for rows in found.rows])
    wide = ratios > test["margin"]["value"]
    outcome = INCONCLUSIVE
    if wide.mean() != 0.5:
        outcome = CONTRADICTED if wide.mean() > 0.5 else SUPPORTED
    reason = (
        f"On {found.n} models in each of {len(ratios)} settings, an interval over the models is "
        f"{np.median(ratios):.1f} times as wide (median) as one that counts all "
        f"{found.n * test['draws']} directions as independent; it is more than "
        f"{test['margin']['value']:g} times as wide in {int(wide.sum())} of {len(ratios)} settings."
    )
    return Finding(outcome, reason, "", found)


def _width_ratio(rows: pd.DataFrame, test: Mapping[str, Any], alpha: float) -> float:
    """Return the half-width over models divided by the one over all draws pooled."""
    means, spreads, errors = (
        quantities.final(rows, test[name]) for name in ("quantity", "spread", "error")
    )
    return spread.pooled_width_ratio(means, spreads, test["draws"], errors=errors, level=1 - alpha)


def _at_the_report_s_setting(found: Sample) -> None:
    if found.differs:
        raise Missing(
            "The report's numbers can only be compared at its own setting; here "
            f"{phrases.differences(found.differs)}."
        )


def _missed(parts: list[dict[str, Any]]) -> str:
    """Return which published values a new run would not give, or cannot be trusted to give."""
    outside = [f"the {part['part']}" for part in parts if part["outcome"] == CONTRADICTED]
    wide = [f"the {part['part']}" for part in parts if part["outcome"] == INCONCLUSIVE]
    said = []
    if outside:
        verb = "lies" if len(outside) == 1 else "lie"
        said.append(f"{phrases.listed(outside)} {verb} outside the prediction interval")
    if wide:
        verb = "varies" if len(wide) == 1 else "vary"
        said.append(f"{phrases.listed(wide)} {verb} too much from run to run")
    return "; ".join(said)


def _compare(claim: Claim, found: Sample, metric: str, value: float) -> dict[str, Any]:
    """Compare one published value with the prediction interval for a new run."""
    unit, scale = ("%", 100) if metric.endswith("acc") else ("nats", 1)
    tolerance = claim.test["tolerance"][metric.rsplit("_", 1)[1]]
    allowed = tolerance["value"]
    if tolerance["unit"] == "percent":
        allowed = abs(value) * scale * allowed / 100
    ours = found.rows[0][metric].to_numpy(float) * scale
    new_run, theirs = stats.prediction_interval(ours, level=1 - claim.alpha), value * scale
    # Inside an interval no wider than twice the tolerance, they are within it of the mean.
    outcome, words = SUPPORTED, METRICS[metric][1]
    if theirs not in new_run:
        outcome = CONTRADICTED
    elif new_run.high - new_run.low > 2 * allowed:
        outcome = INCONCLUSIVE
    return {
        "part": words,
        "report": theirs,
        "interval": new_run,
        "unit": unit,
        "outcome": outcome,
        "words": (
            f"{words} {phrases.number(new_run.estimate, unit)}, theirs "
            f"{phrases.number(theirs, unit)} (a new run: {phrases.span(new_run, unit)})"
        ),
    }


def _published(claim: Claim) -> Mapping[str, Any]:
    """Return the report's own run with the hyperparameters of the claim's arm."""
    arm = claim.test["arm"]
    for run in claim.report.published:
        if all(run.get(name) == value for name, value in arm.items()):
            return run
    raise Missing(f"Report {claim.report.id} prints no numbers for {describe(arm)}.")
