"""Tests over several settings: trends, curves, who is first, how much lies between settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from hplab.analysis.claims import phrases, quantities
from hplab.analysis.claims.decisions import Finding, distance, on, shown, size_of
from hplab.analysis.claims.ledger import Claim
from hplab.analysis.claims.quantities import Curves, Missing, Quantity
from hplab.analysis.claims.samples import Sample, declared, sample
from hplab.analysis.stats import intervals as stats
from hplab.analysis.stats import orders, variance
from hplab.analysis.stats.evidence import all_of, beyond, most_of, three_way
from hplab.analysis.stats.intervals import CONTRADICTED, INCONCLUSIVE, SUPPORTED, Interval
from hplab.sweeps.table import setting


def trend(claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
    """Per seed, the slope over levels of one hyperparameter; the claimed way is turned up."""
    test = claim.test
    levels = sorted(test["levels"])
    groups = test.get("groups", [{}])
    arms = [{**test["arm"], **group, test["x"]: x} for group in groups for x in levels]
    found = sample(runs, arms, claim)
    # Shape (group and metric, level, seed).
    values = np.array(
        [
            (1 if way == "up" else -1) * np.stack(_levels(part, name, test, curves))
            for part in _split(found.rows, len(groups))
            for name, way in test["metrics"].items()
        ]
    )
    at = 2.0 ** np.arange(len(levels)) if test.get("scale") == "rank" else levels
    kept, margin = test.get("steps") != "free", size_of(test["margin"])
    together = orders.trend(values, at, margin=margin, steps=kept)
    slopes = orders.slopes(values, at)
    steps = np.diff(values, axis=1).reshape(-1, found.n) if kept else slopes[:0]
    n_turned = sum(len(steps) * beyond(step).p_against < claim.alpha for step in steps)
    intervals = [stats.mean_interval(slope, level=1 - claim.alpha) for slope in slopes]
    far = [distance(slope, margin) for slope in slopes] + [distance(step, 0) for step in steps]
    return Finding(
        three_way(together, alpha=claim.alpha),
        f"{on(found)} {_trend_words(test, intervals, n_turned, levels)}",
        "",
        found,
        together,
        parts=_slope_parts(test, groups, intervals),
        distances=tuple(far),
    )


def _levels(
    tables: Sequence[pd.DataFrame], name: str, test: Mapping[str, Any], curves: Curves
) -> list[np.ndarray]:
    """Return a metric at every level, in the unit of the margin or as its logarithm."""
    if "matched" in test:
        found = quantities.matched(tables, name, test["matched"], curves)
    else:
        found = [quantities.last(rows, name, curves) for rows in tables]
    if not test.get("log"):
        return [values * quantities.scale(test["margin"]["unit"]) for values in found]
    if not all((values > 0).all() for values in found):
        raise Missing(f"Where {name} is not positive there is no ratio.")
    return [np.log(values) for values in found]


def _split(rows: Sequence[pd.DataFrame], n: int) -> list[Sequence[pd.DataFrame]]:
    each = len(rows) // n
    return [rows[i * each : (i + 1) * each] for i in range(n)]


def _trend_words(
    test: Mapping[str, Any], slopes: Sequence[Interval], n_turned: int, levels: Sequence[float]
) -> str:
    size = size_of(test["margin"])
    up = sum(slope.low > size for slope in slopes)
    what = "metrics" if len(test["metrics"]) > 1 or len(slopes) == 1 else "trends"
    words = (
        f"{up} of {len(slopes)} {what} surely move in the claimed direction from "
        f"{test['x'].replace('_', ' ')} {setting(levels[0])} to {setting(levels[-1])}"
    )
    if test["margin"]["value"]:
        words += " by more than the margin"
    if down := sum(slope.high < 0 for slope in slopes):
        words += f" and {down} the other way"
    if n_turned:
        return f"{words}, but {n_turned} steps between neighbours go back."
    return f"{words}."


def _slope_parts(
    test: Mapping[str, Any], groups: Sequence[Mapping[str, Any]], slopes: Sequence[Interval]
) -> tuple[dict, ...]:
    """Return one row a group and metric: the slope in the metric's own direction and unit."""
    rows = []
    step = "one level up in" if test.get("scale") == "rank" else "a doubling of"
    named = [(group, *metric) for group in groups for metric in test["metrics"].items()]
    for (group, name, way), slope in zip(named, slopes, strict=True):
        unit, words = quantities.METRICS[name]
        turn = 1 if way == "up" else -1
        if test.get("log"):
            interval, unit = shown(slope.scaled(turn), "ratio"), "ratio"
        else:
            done = test["margin"]["unit"] == unit
            interval = slope.scaled(turn * (1 if done else quantities.scale(unit)))
        who = "".join(f"{value}: " for value in group.values())
        part = f"{who}{words}, {step} {test['x'].replace('_', ' ')}"
        size = size_of(test["margin"])
        outcome = SUPPORTED if slope.low > size else INCONCLUSIVE
        outcome = CONTRADICTED if slope.high < size else outcome
        rows.append({"part": part, "interval": interval, "unit": unit, "outcome": outcome})
    return tuple(rows)


def shape(claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
    """Curves at checkpoints: the lowest of all, or rising."""
    test, quantity = claim.test, quantities.parse(claim.test["quantity"])
    lowest = test["form"] == "lowest"
    arms = [test["first"], *test["rivals"]] if lowest else [test["arm"]]
    found = sample(runs, arms, claim)
    points = [
        quantities.at_checkpoints(rows, quantity, test["points"], curves) for rows in found.rows
    ]
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
    unit, margin = quantity.unit, size_of(test["margin"])
    each = [beyond(piece, margin=margin) for piece in pieces.T]
    together = all_of(each)
    intervals = [stats.mean_interval(piece, level=1 - claim.alpha) for piece in pieces.T]
    what = f"{quantities.words(quantity)} at {found.arms[0]}"
    reason = phrases.shape(on(found, "over"), what, test["form"], intervals, unit)
    parts = tuple(
        {"part": name, "interval": interval, "unit": unit, "outcome": three_way(one)}
        for name, interval, one in zip(names, intervals, each, strict=True)
    )
    worst = min(intervals, key=lambda interval: interval.low)
    outcome = three_way(together, alpha=claim.alpha)
    far = tuple(distance(piece, margin) for piece in pieces.T)
    return Finding(outcome, reason, unit, found, together, worst, parts=parts, distances=far)


def ranking(claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
    """Which setting has the best mean: one that is surely ahead of every other."""
    test, quantity = claim.test, quantities.parse(claim.test["quantity"])
    cells, best = test.get("cells"), test["best"]
    if cells is None:
        cells = [{test["x"]: level, **test["arm"]} for level in test["levels"]]
        best = {test["x"]: best, **test["arm"]}
    found, values = _matrix(claim, runs, curves, cells, quantity)
    way = test.get("way", "highest")
    turned = values if way == "highest" else -values
    which = cells.index(best)
    together = orders.best(turned.T, which)
    ahead = {i: turned[:, which] - turned[:, i] for i in range(len(cells)) if i != which}
    each = {i: beyond(lead) for i, lead in ahead.items()}
    leads = {i: stats.mean_interval(lead, level=1 - claim.alpha) for i, lead in ahead.items()}
    outcome = three_way(together, alpha=claim.alpha)
    n_behind = sum(three_way(one, alpha=claim.alpha) == SUPPORTED for one in each.values())
    closest = min(leads, key=lambda i: leads[i].estimate)
    unit = quantity.unit
    lead = shown(leads[closest].scaled(1 if way == "highest" else -1), unit)
    reason = (
        f"{on(found)} {found.arms[which]} surely has a {_than(way)} mean {_bare(quantity)} than "
        f"{n_behind} of its {len(ahead)} rivals. From the nearest, {found.arms[closest]}, it "
        f"differs by {phrases.number(lead.estimate, unit)} ({phrases.limits(lead, unit)})."
    )
    if outcome == CONTRADICTED:
        first = found.arms[int(turned.mean(axis=0).argmax())]
        reason += f" {first[:1].upper()}{first[1:]} is surely ahead of it."
    reason += _wider(claim, runs, found) if "levels" in test else ""
    parts = tuple(
        {
            "part": f"against {found.arms[i]}",
            "interval": shown(leads[i].scaled(1 if way == "highest" else -1), unit),
            "unit": unit,
            "outcome": three_way(each[i], alpha=claim.alpha),
        }
        for i in ahead
    )
    far = tuple(distance(lead, 0.0) for lead in ahead.values())
    return Finding(outcome, reason, "", found, together, parts=parts, distances=far)


def _than(way: str) -> str:
    return {"highest": "higher", "lowest": "lower"}[way]


def winners(claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
    """Whether one rival is first in every group."""
    test, quantity = claim.test, quantities.parse(claim.test["quantity"])
    cells = [{**group, **rival} for group in test["groups"] for rival in test["rivals"]]
    found, values = _matrix(claim, runs, curves, cells, quantity)
    values = values.reshape(found.n, len(test["groups"]), len(test["rivals"]))
    together = orders.no_single_best(np.moveaxis(values, 0, -1))
    means = values.mean(axis=0)
    first = [found.arms[g * means.shape[1] + int(means[g].argmax())] for g in range(len(means))]
    outcome = three_way(together, alpha=claim.alpha)
    end = {
        SUPPORTED: "Each rival is surely beaten in one group or another.",
        CONTRADICTED: "One and the same is surely first in all of them.",
        INCONCLUSIVE: "That does not settle whether one and the same is first everywhere.",
    }[outcome]
    reason = f"{on(found)} the highest mean {_bare(quantity)} is that of {'; '.join(first)}. {end}"
    return Finding(outcome, reason, "", found, together)


def components(claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
    """The share of the variance over runs that lies between settings, not between seeds."""
    test, quantity = claim.test, quantities.parse(claim.test["quantity"])
    found, values = _matrix(claim, runs, curves, test["cells"], quantity, learners=False)
    share = variance.between_share(values, level=1 - claim.alpha)
    together = orders.share_between(values.T, test["share"])
    outcome = three_way(together, alpha=claim.alpha)
    percent = share.scaled(100)
    reason = (
        f"{on(found)} {percent.estimate:.0f} % of the variance of {quantities.words(quantity)} "
        f"lies between the {len(found.arms)} settings and the rest between seeds "
        f"(95 % interval {percent.low:.0f} to {percent.high:.0f} %); the claim asks for more than "
        f"{100 * test['share']:g} %."
    )

    def at(level: float) -> Interval:
        return variance.between_share(values, level=level).scaled(100)

    return Finding(outcome, reason, "%", found, together, percent, at=at)


def most_cells(claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
    """In how many settings a quantity surely exceeds a limit."""
    test, quantity = claim.test, quantities.parse(claim.test["quantity"])
    found, values = _matrix(claim, runs, curves, test["cells"], quantity)
    limit, unit = size_of(test["above"]), quantity.unit
    means = [stats.mean_interval(column, level=1 - claim.alpha) for column in values.T]
    each = [beyond(column, margin=limit) for column in values.T]
    together = most_of(each)
    outcome = three_way(together, alpha=claim.alpha)
    above, below = sum(m.low > limit for m in means), sum(m.high < limit for m in means)
    reason = (
        f"{on(found)} {quantities.words(quantity)}, taken by itself, surely exceeds "
        f"{phrases.number(test['above']['value'], unit)} in {above} of {len(means)} settings and "
        f"surely does not in {below}."
    )
    parts = tuple(
        {"part": arm, "interval": mean, "unit": unit, "outcome": three_way(one)}
        for arm, mean, one in zip(found.arms, means, each, strict=True)
    )
    return Finding(outcome, reason, "", found, together, parts=parts)


def _matrix(
    claim: Claim,
    runs: pd.DataFrame,
    curves: Curves,
    cells: Sequence[Mapping[str, Any]],
    quantity: Quantity,
    *,
    learners: bool = True,
) -> tuple[Sample, np.ndarray]:
    """Return the sample and its values: one row a seed, one column a setting."""
    found = sample(runs, cells, claim, learners=learners)
    columns = [quantities.values(rows, quantity, curves, found.stretch)[0] for rows in found.rows]
    return found, np.array(columns).T


def _bare(quantity: Quantity) -> str:
    return quantities.words(quantity).removeprefix("the ").removeprefix("mean ")


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
    return f" On the wider grid of {len(means)} values, {x} {setting(best)} comes first{edge}."
