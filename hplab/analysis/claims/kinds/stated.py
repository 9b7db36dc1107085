"""Tests of a stated number, and of intervals that a report prints.

The report made one run, so its number may differ from our mean by what runs differ from each other;
that it is wrong takes more than that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from hplab.analysis.claims import phrases, quantities
from hplab.analysis.claims.decisions import Finding, distance, on, shown, size_of
from hplab.analysis.claims.ledger import Claim
from hplab.analysis.claims.quantities import EVALUATED, METRICS, Curves, Missing
from hplab.analysis.claims.samples import Sample, describe, sample
from hplab.analysis.stats import evidence, intervals, variance
from hplab.analysis.stats.evidence import Evidence
from hplab.analysis.stats.intervals import CONTRADICTED, INCONCLUSIVE, SUPPORTED

MODELS_FOR_WIDTH = 5  # with fewer, that they differ is concluded too often


def number(claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
    """The numbers a report prints for one of its runs."""
    test = claim.test
    found = sample(runs, [test["arm"]], claim)
    _at_the_report_s_setting(found)
    published = _published(claim)
    theirs = {name: published[EVALUATED.get(name, name)] for name in test["metrics"]}
    each = [_compare(claim, found, name, value, curves) for name, value in theirs.items()]
    parts, together = [part for part, _ in each], evidence.all_of([one for _, one in each])
    missed = evidence.three_way(together, alpha=claim.alpha) == CONTRADICTED
    if claim.report.reconstructed:
        together = Evidence(together.p_for, 1.0)
    outcome = evidence.three_way(together, alpha=claim.alpha)
    end = "Each published value is met within its tolerance."
    if outcome != SUPPORTED:
        end = f"Not all of it is met: {_missed(parts)}."
        if missed and claim.report.reconstructed:
            end += " The setting is our reconstruction, so the miss may be ours."
    said = "; ".join(part["words"] for part in parts)
    one = parts[0] if len(parts) == 1 else None
    return Finding(
        outcome,
        f"{on(found)} at {found.arms[0]}: {said}. {end}",
        one["unit"] if one else "",
        found,
        together,
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
    new_run = intervals.prediction_interval(effects, level=1 - claim.alpha)
    theirs, allowed = size_of(test["value"]), size_of(test["tolerance"])
    together = evidence.stated(effects, theirs, tolerance=allowed)
    outcome = evidence.three_way(together, alpha=claim.alpha)
    end = {
        SUPPORTED: "The mean is surely within the tolerance of it.",
        CONTRADICTED: "The mean is surely further away than that, and no new run would give it.",
        INCONCLUSIVE: "That does not settle whether it is met.",
    }[outcome]
    if claim.report.reconstructed and outcome == CONTRADICTED:
        together, outcome = Evidence(together.p_for, 1.0), INCONCLUSIVE
        end += " The setting is our reconstruction, so the miss may be ours."
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
    return Finding(outcome, reason, unit, found, together, interval)


def coverage(claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
    """Intervals that count random directions as if they were models, against those over models."""
    test = claim.test
    found = sample(runs, test["cells"], claim, learners=False)
    ratios = np.array([_width_ratio(rows, test, claim.alpha) for rows in found.rows])
    if found.n < MODELS_FOR_WIDTH:
        raise Missing(
            f"A spread over models needs {MODELS_FOR_WIDTH} of them in each setting; there are "
            f"{found.n}."
        )
    limit = test["margin"]["value"]
    means, spreads, errors = (
        np.array([quantities.final(rows, test[name]) for rows in found.rows])
        for name in ("quantity", "spread", "error")
    )
    effects = variance.width_effects(
        means, spreads, test["draws"], margin=limit, errors=errors, level=1 - claim.alpha
    )
    # Few models that happen to agree do not show that models agree: nothing speaks for the claim.
    together = Evidence(1.0, evidence.beyond(effects).p_for)
    outcome = evidence.three_way(together, alpha=claim.alpha)
    reason = (
        f"On {found.n} models in each of {len(ratios)} settings, an interval over the models is "
        f"{np.median(ratios):.1f} times as wide (median) as one that counts all "
        f"{found.n * test['draws']} directions as independent; it is more than "
        f"{limit:g} times as wide in {int((ratios > limit).sum())} of {len(ratios)} settings."
    )
    return Finding(outcome, reason, "", found, together, distances=(-distance(effects, 0.0),))


def _width_ratio(rows: pd.DataFrame, test: Mapping[str, Any], alpha: float) -> float:
    """Return the half-width over models divided by the one over all draws pooled."""
    means, spreads, errors = (
        quantities.final(rows, test[name]) for name in ("quantity", "spread", "error")
    )
    return variance.pooled_width_ratio(
        means, spreads, test["draws"], errors=errors, level=1 - alpha
    )


def _at_the_report_s_setting(found: Sample) -> None:
    if found.differs:
        raise Missing(
            "The report's numbers can only be compared at its own setting; here "
            f"{phrases.differences(found.differs)}."
        )


def _missed(parts: list[dict[str, Any]]) -> str:
    """Return which published values are surely missed, and which are open."""
    outside = [f"the {part['part']}" for part in parts if part["outcome"] == CONTRADICTED]
    wide = [f"the {part['part']}" for part in parts if part["outcome"] == INCONCLUSIVE]
    said = []
    if outside:
        verb = "is" if len(outside) == 1 else "are"
        said.append(f"{phrases.listed(outside)} {verb} surely missed")
    if wide:
        verb = "is" if len(wide) == 1 else "are"
        said.append(f"{phrases.listed(wide)} {verb} open")
    return "; ".join(said)


def _compare(
    claim: Claim, found: Sample, metric: str, value: float, curves: Curves
) -> tuple[dict[str, Any], Evidence]:
    """Compare one published value with our runs: a row for the page, and the evidence."""
    unit, scale = ("%", 100) if metric.endswith("acc") else ("nats", 1)
    tolerance = claim.test["tolerance"][metric.rsplit("_", 1)[1]]
    allowed = tolerance["value"]
    if tolerance["unit"] == "percent":
        allowed = abs(value) * scale * allowed / 100
    ours = quantities.last(found.rows[0], metric, curves) * scale
    new_run, theirs = intervals.prediction_interval(ours, level=1 - claim.alpha), value * scale
    words, one = METRICS[metric][1], evidence.stated(ours, theirs, tolerance=allowed)
    part = {
        "part": words,
        "report": theirs,
        "interval": new_run,
        "unit": unit,
        "outcome": evidence.three_way(one, alpha=claim.alpha),
        "words": (
            f"{words} {phrases.number(new_run.estimate, unit)}, theirs "
            f"{phrases.number(theirs, unit)} (a new run: {phrases.span(new_run, unit)})"
        ),
    }
    return part, one


def _published(claim: Claim) -> Mapping[str, Any]:
    """Return the report's own run with the hyperparameters of the claim's arm."""
    arm = claim.test["arm"]
    for run in claim.report.published:
        if all(run.get(name) == value for name, value in arm.items()):
            return run
    raise Missing(f"Report {claim.report.id} prints no numbers for {describe(arm)}.")
