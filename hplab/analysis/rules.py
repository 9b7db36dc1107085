"""How each type of claim is decided, on the seeds that its arms share.

One function a type of test; each returns a `Finding`. The decision itself is in
`hplab.analysis.stats`; here the numbers are gathered, put in the reader's unit and put in words.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from hplab.analysis import phrases, stats
from hplab.analysis.cells import (
    Curves,
    Missing,
    Sample,
    at_checkpoints,
    declared,
    describe,
    sample,
    short,
    values_of,
)
from hplab.analysis.ledger import Claim, unit_of
from hplab.analysis.stats import CONTRADICTED, INCONCLUSIVE, SUPPORTED, Interval


@dataclasses.dataclass(frozen=True)
class Finding:
    """What a test found, before Holm's correction.

    Attributes:
        outcome: "supported", "contradicted" or "inconclusive".
        reason: The numbers and what follows, in one or two sentences.
        unit: Unit of the interval, "" for none.
        sample: The runs it rests on.
        interval: The deciding interval, where there is one.
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


def evaluate(claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
    """Return what a claim's test finds on a table of runs.

    Raises:
        Missing: If the runs do not allow the test, with what is missing.
        HplabError: If the table holds several runs for one arm and seed.
    """
    finding = _TESTS[claim.test["type"]](claim, runs, curves)
    n, n_diverged = finding.sample.n, finding.sample.n_diverged
    if n_diverged > claim.max_diverged_share * (n + n_diverged):
        reason = (
            f"{n_diverged} of {n + n_diverged} seeds diverged; the others cannot decide a claim "
            f"about all of them. Among those left: {finding.reason}"
        )
        return dataclasses.replace(finding, outcome=INCONCLUSIVE, reason=reason)
    return finding


def _direction(claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
    test = claim.test
    found = sample(runs, [test["first"], test["second"]], claim)
    (first, cut_a), (second, cut_b) = (
        values_of(rows, test["quantity"], curves, found.stretch) for rows in found.rows
    )
    differences, unit = first - second, unit_of(test["quantity"])
    margin, n_cut = test["margin"]["value"], int((cut_a | cut_b).sum())
    difference = stats.mean_interval(differences, level=1 - claim.alpha)
    # A value cut off at the first or last epoch pulls the difference towards 0.
    tost_p = 1.0 if n_cut else stats.tost(differences, margin=margin)
    outcome = stats.three_way(difference, margin=margin, tost_p=tost_p, alpha=claim.alpha)
    small = outcome == CONTRADICTED and not difference.high < 0
    subject, more = phrases.subject(test["quantity"], difference.estimate)
    by = phrases.number(abs(difference.estimate), unit)
    reason = (
        f"{_on(found, 'within' if unit == 'epochs' else 'after')} {subject} is {by} {more} "
        f"at {found.arms[0]} than at {found.arms[1]} "
        f"({phrases.limits(difference, unit, 'of the difference ')}); "
        f"{phrases.margin(outcome, difference, margin, unit, small=small)}"
    )
    if n_cut:
        reason += f" In {n_cut} seeds a run passed the threshold in its first epoch or never."
    return Finding(
        outcome,
        reason,
        unit,
        found,
        difference,
        tost_p if small else difference.p,
        stats.sign_flip(differences),
    )


def _equivalence(claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
    test = claim.test
    found = sample(runs, [test["arm"]], claim)
    values, _ = values_of(found.rows[0], test["quantity"], curves, found.stretch)
    unit, margin = unit_of(test["quantity"]), test["margin"]["value"]
    mean = stats.mean_interval(values, level=1 - claim.alpha)
    tost_p = stats.tost(values, margin=margin)
    outcome = stats.equivalence(mean, margin=margin, tost_p=tost_p, alpha=claim.alpha)
    allowed = f"the plus or minus {phrases.number(margin, unit)} fixed beforehand"
    end = {
        SUPPORTED: f"it stays inside {allowed}.",
        CONTRADICTED: f"it lies outside {allowed}.",
        INCONCLUSIVE: f"that does not settle whether it stays inside {allowed}.",
    }[outcome]
    reason = (
        f"{_on(found)} {phrases.subject(test['quantity'])[0]} at {found.arms[0]} is "
        f"{phrases.number(mean.estimate, unit)} ({phrases.limits(mean, unit)}); {end}"
    )
    p = mean.p if outcome == CONTRADICTED else tost_p
    return Finding(outcome, reason, unit, found, mean, p)


def _number_test(claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
    test = claim.test
    found = sample(runs, [test["arm"]], claim)
    if found.differs:
        raise Missing(
            "The report's numbers can only be compared at its own setting; here "
            f"{phrases.differences(found.differs)}."
        )
    published = _published(claim)
    parts = [_compare(claim, found, metric, published[metric]) for metric in test["metrics"]]
    outcome, end = SUPPORTED, "Each published value is one that a new run could give."
    if missed := [part["why"] for part in parts if not part["holds"]]:
        outcome, end = INCONCLUSIVE, f"Not all of it is met: {', '.join(missed)}."
        if any(part["outside"] for part in parts):
            if claim.report.reconstructed:
                end += " The setting is our reconstruction, so the miss may be ours."
            else:
                outcome = CONTRADICTED
    said = "; ".join(part["words"] for part in parts)
    one = parts[0] if len(parts) == 1 else None
    return Finding(
        outcome,
        f"{_on(found)} at {found.arms[0]}: {said}. {end}",
        one["unit"] if one else "",
        found,
        one["interval"] if one else None,
        parts=tuple(parts),
    )


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
    outside, words = theirs not in new_run, phrases.WORDS[metric]
    why = ""
    if outside:
        why = f"the {words} lies outside the prediction interval"
    elif new_run.high - new_run.low > 2 * allowed:
        why = f"the {words} varies too much from run to run"
    return {
        "part": words,
        "report": theirs,
        "interval": new_run,
        "unit": unit,
        "holds": not why,
        "why": why,
        "outside": outside,
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


def _trend(claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
    test = claim.test
    levels = sorted(test["levels"])
    found = sample(runs, [{test["x"]: x, **test["arm"]} for x in levels], claim)
    # Shape (metric, seed, level), turned so that the claimed direction is up.
    values = np.stack(
        [
            (1 if way == "up" else -1)
            * np.stack([rows[name].to_numpy(float) for rows in found.rows], 1)
            for name, way in test["metrics"].items()
        ]
    )
    slopes = stats.simultaneous_intervals(
        stats.log2_slopes(values, levels).T, level=1 - claim.alpha
    )
    steps = stats.simultaneous_intervals(np.hstack(np.diff(values, axis=-1)), level=1 - claim.alpha)
    outcome, p = _all_parts(slopes)
    turned = [step for step in steps if step.high < 0]
    if turned:
        outcome, p = CONTRADICTED, min(1.0, len(steps) * min(step.p for step in turned))
    up = sum(slope.low > 0 for slope in slopes)
    reason = (
        f"{_on(found)} {up} of {len(slopes)} metrics move in the claimed direction from "
        f"{test['x']} {short(levels[0])} to {short(levels[-1])}"
    )
    if down := sum(slope.high < 0 for slope in slopes):
        reason += f" and {down} the other way"
    reason += " (slopes whose simultaneous intervals exclude 0)"
    reason += f", but {len(turned)} steps between neighbours go back." if turned else "."
    return Finding(outcome, reason, "", found, p=p, parts=_slope_parts(test, slopes))


def _slope_parts(test: Mapping[str, Any], slopes: Sequence[Interval]) -> tuple[dict, ...]:
    """Return one row a metric: the slope in the metric's own direction and unit."""
    rows = []
    for (name, way), slope in zip(test["metrics"].items(), slopes, strict=True):
        factor = (1 if way == "up" else -1) * (100 if unit_of(name) == "pp" else 1)
        part = f"{phrases.WORDS[name]}, a doubling of {test['x']}"
        row = {"part": part, "interval": slope.scaled(factor), "unit": unit_of(name)}
        rows.append({**row, "holds": slope.low > 0})
    return tuple(rows)


def _ranking(claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
    test = claim.test
    levels, x = test["levels"], test["x"]
    found = sample(runs, [{x: level, **test["arm"]} for level in levels], claim)
    values = np.array(
        [values_of(rows, test["quantity"], curves, found.stretch)[0] for rows in found.rows]
    ).T
    chance = stats.argmax_probability(values)
    best = levels.index(test["best"])
    rivals = np.delete(values, best, axis=1) - values[:, [best]]
    ahead = stats.simultaneous_intervals(rivals, level=1 - claim.alpha)
    outcome = INCONCLUSIVE
    if any(rival.low > 0 for rival in ahead):
        outcome = CONTRADICTED
    elif chance[best] > test["probability"]:
        outcome = SUPPORTED
    subject = phrases.subject(test["quantity"])[0]
    reason = (
        f"{_on(found)} {found.arms[best]} has the highest mean {subject} in "
        f"{100 * chance[best]:.1f} % of the sets of seeds drawn anew from these; "
        f"fixed beforehand were more than {100 * test['probability']:g} %."
    )
    reason += _wider(claim, runs, found)
    parts = tuple(
        {"part": found.arms[i], "share": float(chance[i]), "holds": i == int(chance.argmax())}
        for i in range(len(levels))
    )
    return Finding(outcome, reason, "", found, parts=parts)


def _wider(claim: Claim, runs: pd.DataFrame, found: Sample) -> str:
    """Return one sentence on a wider grid, if the runs hold one; it decides nothing."""
    x, test, means = claim.test["x"], claim.test, {}
    for level in declared(runs, x).dropna().unique():
        try:
            one = sample(runs, [{x: level, **test["arm"]}], claim)
        except Missing:
            continue
        if one.differs == found.differs:
            means[level] = float(one.rows[0][test["quantity"]].mean())
    if len(means) <= len(test["levels"]):
        return ""
    best = max(means, key=means.get)
    edge = ", at the edge of the grid" if best in (min(means), max(means)) else ""
    return f" On the wider grid of {len(means)} values, {x} {short(best)} comes first{edge}."


def _variance(claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
    test = claim.test
    found = sample(runs, [test["first"], test["second"]], claim)
    first, second = (values_of(r, test["quantity"], curves, found.stretch)[0] for r in found.rows)
    pseudo = stats.log_sd_pseudo_values(first, second)
    if not np.isfinite(pseudo).all():
        raise Missing("One of the settings has no spread over seeds.")
    log_ratio = stats.mean_interval(pseudo, level=1 - claim.alpha)
    margin = math.log(test["margin"]["value"])
    tost_p = stats.tost(pseudo, margin=margin)
    outcome = stats.three_way(log_ratio, margin=margin, tost_p=tost_p, alpha=claim.alpha)
    small = outcome == CONTRADICTED and not log_ratio.high < 0
    ratio = dataclasses.replace(
        log_ratio,
        estimate=math.exp(log_ratio.estimate),
        low=math.exp(log_ratio.low),
        high=math.exp(log_ratio.high),
    )
    subject = phrases.subject(test["quantity"])[0]
    reason = (
        f"{_on(found)} {subject} spreads {ratio.estimate:.2f} times as much over seeds at "
        f"{found.arms[0]} as at {found.arms[1]} ({phrases.limits(ratio, '')}); the ratio fixed "
        f"beforehand was {test['margin']['value']:g}"
    )
    reason += ", and the true one is surely nearer to 1." if small else "."
    return Finding(outcome, reason, "", found, ratio, tost_p if small else log_ratio.p)


def _shape(claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
    test = claim.test
    lowest = test["form"] == "lowest"
    arms = [test["first"], *test["rivals"]] if lowest else [test["arm"]]
    found = sample(runs, arms, claim)
    points = [at_checkpoints(rows, test["quantity"], test["points"], curves) for rows in found.rows]
    if lowest:
        pieces = np.concatenate([rival - points[0] for rival in points[1:]], axis=1)
        names = [
            f"{arm}, point {i + 1}" for arm in found.arms[1:] for i in range(points[0].shape[1])
        ]
    else:
        pieces = np.diff(points[0], axis=1)
        names = [f"point {i + 1} to {i + 2}" for i in range(pieces.shape[1])]
    if not pieces.shape[1]:
        raise Missing("One epoch shows no course; train for two or more.")
    unit = unit_of(test["quantity"])
    intervals = stats.simultaneous_intervals(pieces, level=1 - claim.alpha)
    outcome, p = _all_parts(intervals)
    reason = phrases.shape(_on(found, "over"), found.arms[0], test, intervals, unit)
    parts = tuple(
        {"part": name, "interval": interval, "unit": unit, "holds": interval.low > 0}
        for name, interval in zip(names, intervals, strict=True)
    )
    worst = min(intervals, key=lambda interval: interval.low)
    return Finding(outcome, reason, unit, found, worst, p, parts=parts)


def _on(found: Sample, when: str = "after") -> str:
    """Return how a reason begins: "On 5 seeds, after 5 epochs,"."""
    return f"On {found.n} seeds" + (f", {when} {found.length}," if found.length else "")


def _all_parts(intervals: Sequence[Interval]) -> tuple[str, float]:
    """Decide a claim that has to hold in every part, and its Bonferroni p value.

    The p value is that of the worst part, or of a part on the wrong side.
    """
    wrong = [interval.p for interval in intervals if interval.high < 0]
    p = min(wrong) if wrong else max(interval.p for interval in intervals)
    outcome = SUPPORTED if all(interval.low > 0 for interval in intervals) else INCONCLUSIVE
    return CONTRADICTED if wrong else outcome, min(1.0, len(intervals) * p)


_TESTS: dict[str, Callable[[Claim, pd.DataFrame, Curves], Finding]] = {
    "direction": _direction,
    "equivalence": _equivalence,
    "number": _number_test,
    "trend": _trend,
    "ranking": _ranking,
    "variance": _variance,
    "shape": _shape,
}
