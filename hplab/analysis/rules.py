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

from hplab.analysis import metrics, stats
from hplab.analysis.cells import Missing, Sample, declared, describe, sample, short
from hplab.analysis.ledger import Claim, unit_of
from hplab.analysis.stats import CONTRADICTED, INCONCLUSIVE, SUPPORTED, Interval

Curves = pd.DataFrame | Callable[[pd.DataFrame], pd.DataFrame]

WORDS = {
    "val_acc": "validation accuracy",
    "val_loss": "validation loss",
    "train_acc": "training accuracy",
    "train_loss": "training loss",
    "acc_gap": "the accuracy gap",
    "loss_gap": "the loss gap",
}
_DIGITS = {"pp": 2, "nats": 4, "epochs": 2, "%": 2, "": 3}


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
        _values(rows, test["quantity"], curves, found) for rows in found.rows
    )
    differences, unit = first - second, unit_of(test["quantity"])
    margin, n_cut = test["margin"]["value"], int((cut_a | cut_b).sum())
    difference = stats.mean_interval(differences, level=1 - claim.alpha)
    # A value cut off at the first or last epoch pulls the difference towards 0.
    tost_p = 1.0 if n_cut else stats.tost(differences, margin=margin)
    outcome = stats.three_way(difference, margin=margin, tost_p=tost_p, alpha=claim.alpha)
    small = outcome == CONTRADICTED and not difference.high < 0
    subject, more = _subject(test["quantity"], difference.estimate)
    reason = (
        f"On {found.n} seeds {subject} is {_number(abs(difference.estimate), unit)} {more} at "
        f"{found.arms[0]} than at {found.arms[1]} ({_limits(difference, unit)}); "
        f"{_margin_words(outcome, difference, margin, unit, small)}"
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
    values, _ = _values(found.rows[0], test["quantity"], curves, found)
    unit, margin = unit_of(test["quantity"]), test["margin"]["value"]
    mean = stats.mean_interval(values, level=1 - claim.alpha)
    tost_p = stats.tost(values, margin=margin)
    outcome = stats.equivalence(mean, margin=margin, tost_p=tost_p, alpha=claim.alpha)
    allowed = f"the plus or minus {_number(margin, unit)} fixed beforehand"
    end = {
        SUPPORTED: f"it stays inside {allowed}.",
        CONTRADICTED: f"it lies outside {allowed}.",
        INCONCLUSIVE: f"that does not settle whether it stays inside {allowed}.",
    }[outcome]
    reason = (
        f"On {found.n} seeds at {found.arms[0]} {_subject(test['quantity'], 0)[0]} is "
        f"{_number(mean.estimate, unit)} ({_limits(mean, unit)}); {end}"
    )
    p = mean.p if outcome == CONTRADICTED else tost_p
    return Finding(outcome, reason, unit, found, mean, p)


def _number_test(claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
    test = claim.test
    found = sample(runs, [test["arm"]], claim)
    if found.differs:
        raise Missing(
            "The report's numbers can only be compared at its own setting; here "
            f"{differences(found.differs)}."
        )
    published = _published(claim)
    parts = [_compare(claim, found, metric, published[metric]) for metric in test["metrics"]]
    missed = [part for part in parts if not part["holds"]]
    said = "; ".join(part["words"] for part in parts)
    if missed:
        end = (
            f"Not all of it is met ({', '.join(part['why'] for part in missed)}), which may be the "
            "fault of our reconstruction: the report does not name its data, network or optimizer."
        )
    else:
        end = "Every published value is one that a new run could give, within the tolerance."
    outcome = INCONCLUSIVE if missed else SUPPORTED
    one = parts[0] if len(parts) == 1 else None
    return Finding(
        outcome,
        f"On {found.n} seeds at {found.arms[0]}: {said}. {end}",
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
    failures = {
        f"{WORDS[metric]} lies outside the prediction interval": theirs not in new_run,
        f"mean {WORDS[metric]} is off by more than the tolerance": (
            abs(new_run.estimate - theirs) > allowed
        ),
        f"{WORDS[metric]} varies too much to tell": new_run.high - new_run.low > 2 * allowed,
    }
    why = [reason for reason, failed in failures.items() if failed]
    return {
        "part": WORDS[metric],
        "report": theirs,
        "interval": new_run,
        "unit": unit,
        "holds": not why,
        "why": why[0] if why else "",
        "words": (
            f"{WORDS[metric]} {_number(new_run.estimate, unit)} against their "
            f"{_number(theirs, unit)} (a new run: {_range(new_run, unit)})"
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
    names = list(test["metrics"])
    signs = np.array([1.0 if test["metrics"][name] == "up" else -1.0 for name in names])
    # Shape (metric, seed, level), turned so that the claimed direction is up.
    values = np.array([[rows[name] for rows in found.rows] for name in names], float)
    values = values.transpose(0, 2, 1) * signs[:, None, None]
    slopes = stats.simultaneous_intervals(
        stats.log2_slopes(values, levels).T, level=1 - claim.alpha
    )
    steps = np.diff(values, axis=-1).transpose(1, 0, 2).reshape(found.n, -1)
    turned = [i.high < 0 for i in stats.simultaneous_intervals(steps, level=1 - claim.alpha)]
    outcome = _all_parts(slopes)
    if any(turned):
        outcome = CONTRADICTED
    right = sum(slope.low > 0 for slope in slopes)
    ends = f"{short(levels[0])} to {short(levels[-1])}"
    reason = (
        f"On {found.n} seeds {right} of {len(names)} metrics move in the claimed direction from "
        f"{test['x']} {ends} (simultaneous 95 % intervals of the slopes)"
    )
    reason += f", but {sum(turned)} steps between neighbours go back." if any(turned) else "."
    parts = tuple(
        {
            "part": f"{WORDS[name]}, per doubling of {test['x']}",
            "interval": dataclasses.replace(
                slope, **_turned(slope, sign * (100 if unit_of(name) == "pp" else 1))
            ),
            "unit": unit_of(name),
            "holds": slope.low > 0,
        }
        for name, slope, sign in zip(names, slopes, signs, strict=True)
    )
    return Finding(outcome, reason, "", found, p=_joint_p(slopes, outcome), parts=parts)


def _turned(interval: Interval, factor: float) -> dict[str, float]:
    low, high = sorted((interval.low * factor, interval.high * factor))
    return {"estimate": interval.estimate * factor, "low": low, "high": high}


def _ranking(claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
    test = claim.test
    levels, x = test["levels"], test["x"]
    found = sample(runs, [{x: level, **test["arm"]} for level in levels], claim)
    values = np.array([_values(rows, test["quantity"], curves, found)[0] for rows in found.rows]).T
    chance = stats.argmax_probability(values)
    best = levels.index(test["best"])
    rivals = np.delete(values, best, axis=1) - values[:, [best]]
    ahead = stats.simultaneous_intervals(rivals, level=1 - claim.alpha)
    outcome = INCONCLUSIVE
    if any(rival.low > 0 for rival in ahead):
        outcome = CONTRADICTED
    elif chance[best] > test["probability"]:
        outcome = SUPPORTED
    reason = (
        f"When the {found.n} seeds are resampled, {found.arms[best]} has the highest mean "
        f"{_subject(test['quantity'], 0)[0]} in {100 * chance[best]:.1f} % of the resamples; "
        f"fixed beforehand were more than {100 * test['probability']:g} %.{_wider(claim, runs)}"
    )
    parts = tuple(
        {"part": found.arms[i], "share": float(chance[i]), "holds": i == int(chance.argmax())}
        for i in range(len(levels))
    )
    return Finding(outcome, reason, "", found, parts=parts)


def _wider(claim: Claim, runs: pd.DataFrame) -> str:
    """Return one sentence on a wider grid, if the runs hold one; it decides nothing."""
    x, test = claim.test["x"], claim.test
    levels = sorted(declared(runs, x).dropna().unique())
    try:
        means = {}
        for level in levels:
            one = sample(runs, [{x: level, **test["arm"]}], claim)
            means[level] = float(one.rows[0][test["quantity"]].mean())
    except Missing:
        means = {level: means[level] for level in means}
    if not set(means) > set(test["levels"]):
        return ""
    best = max(means, key=means.get)
    edge = ", at the edge of the grid" if best in (min(means), max(means)) else ""
    return f" On the wider grid of {len(means)} values {x} {short(best)} comes first{edge}."


def _variance(claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
    test = claim.test
    found = sample(runs, [test["first"], test["second"]], claim)
    first, second = (_values(r, test["quantity"], curves, found)[0] for r in found.rows)
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
    reason = (
        f"On {found.n} seeds {_subject(test['quantity'], 0)[0]} spreads {ratio.estimate:.2f} times "
        f"as much over seeds at {found.arms[0]} as at {found.arms[1]} ({_limits(ratio, '')}); the "
        f"ratio fixed beforehand was {test['margin']['value']:g}."
    )
    return Finding(outcome, reason, "", found, ratio, tost_p if small else log_ratio.p)


def _shape(claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
    test = claim.test
    lowest = test["form"] == "lowest"
    arms = [test["first"], *test["rivals"]] if lowest else [test["arm"]]
    found = sample(runs, arms, claim)
    points = [_checkpoints(rows, test, curves) for rows in found.rows]
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
    intervals = [
        i.scaled(100 if unit == "pp" else 1)
        for i in stats.simultaneous_intervals(pieces, level=1 - claim.alpha)
    ]
    outcome = _all_parts(intervals)
    reason = _shape_reason(found, test, intervals, unit)
    parts = tuple(
        {"part": name, "interval": interval, "unit": unit, "holds": interval.low > 0}
        for name, interval in zip(names, intervals, strict=True)
    )
    worst = min(intervals, key=lambda interval: interval.low)
    return Finding(outcome, reason, unit, found, worst, _joint_p(intervals, outcome), parts=parts)


def _shape_reason(
    found: Sample, test: Mapping[str, Any], intervals: Sequence[Interval], unit: str
) -> str:
    up = sum(interval.low > 0 for interval in intervals)
    down = sum(interval.high < 0 for interval in intervals)
    least = min(intervals, key=lambda interval: interval.estimate)
    subject = _subject(test["quantity"], 0)[0]
    if test["form"] == "lowest":
        what = (
            f"{subject} at {found.arms[0]} is surely below its rivals in {up} of {len(intervals)}"
        )
        what += f" comparisons over {test['points']} points in training"
    else:
        what = f"{subject} at {found.arms[0]} surely rises in {up} of {len(intervals)} steps"
    against = f" and surely the other way in {down}" if down else ""
    return (
        f"On {found.n} seeds {what}{against} (simultaneous 95 % intervals); the smallest mean "
        f"difference is {_number(least.estimate, unit)}."
    )


def _checkpoints(rows: pd.DataFrame, test: Mapping[str, Any], curves: Curves) -> np.ndarray:
    """Return each seed's curve at the report's epochs, in proportion to what was trained."""
    found = _curves(rows, test["quantity"], curves)
    n_epochs = min(len(curve) for curve in found)
    points = min(test["points"], n_epochs)
    at = np.arange(1, points + 1) * n_epochs / points
    return np.array([metrics.at_epochs(curve, at) for curve in found])


def _values(
    rows: pd.DataFrame, quantity: Any, curves: Curves, found: Sample
) -> tuple[np.ndarray, np.ndarray]:
    """Return a quantity a seed in its reader's unit, and which values are cut off at an end."""
    if isinstance(quantity, str):
        scale = 100 if unit_of(quantity) == "pp" else 1
        values = rows[quantity].to_numpy(float) * scale
        return values, np.zeros(len(values), bool)
    curve_of = _curves(rows, quantity["metric"], curves)
    if "change_over_last" in quantity:
        scale = 100 if unit_of(quantity["metric"]) == "pp" else 1
        try:
            values = [metrics.change_over_last(c, quantity["change_over_last"]) for c in curve_of]
        except ValueError as error:
            raise Missing(f"The runs are too short for this: {error}.") from error
        return np.array(values) * scale, np.zeros(len(values), bool)
    raw = np.array([metrics.epochs_to(curve, quantity["epochs_to"]) for curve in curve_of])
    last = np.array([len(curve) for curve in curve_of], float)
    cut = (raw <= 1) | ~np.isfinite(raw)
    return np.where(np.isfinite(raw), raw, last) / found.stretch, cut


def _curves(rows: pd.DataFrame, metric: str, curves: Curves) -> list[np.ndarray]:
    """Return one curve a row, in the order of the rows."""
    table = curves(rows.reset_index()) if callable(curves) else curves
    by_key = dict(iter(table.groupby("key"))) if len(table) else {}
    absent = [key for key in rows["key"] if key not in by_key]
    if absent:
        raise Missing(f"{len(absent)} of {len(rows)} runs have no recorded learning curve.")
    return [by_key[key].sort_values("epoch")[metric].to_numpy(float) for key in rows["key"]]


def _all_parts(intervals: Sequence[Interval]) -> str:
    """Decide a claim that has to hold in every part, on simultaneous intervals."""
    if any(interval.high < 0 for interval in intervals):
        return CONTRADICTED
    return SUPPORTED if all(interval.low > 0 for interval in intervals) else INCONCLUSIVE


def _joint_p(intervals: Sequence[Interval], outcome: str) -> float:
    """Return the Bonferroni p value of `_all_parts`: of the worst part, or of a wrong one."""
    p = [interval.p for interval in intervals]
    if outcome == CONTRADICTED:
        wrong = [i.p for i in intervals if i.high < 0]
        return min(1.0, len(p) * min(wrong or p))
    return min(1.0, len(p) * max(p))


def differences(differs: Mapping[str, tuple[str, str]]) -> str:
    """Return what was trained otherwise than in the report, in words."""
    return ", ".join(
        f"{name} is {ours} instead of {theirs}" for name, (ours, theirs) in differs.items()
    )


def _subject(quantity: Any, sign: float) -> tuple[str, str]:
    """Return the words for a quantity and for more or less of it."""
    if isinstance(quantity, str):
        return WORDS[quantity], "higher" if sign >= 0 else "lower"
    metric = WORDS[quantity["metric"]]
    if "epochs_to" in quantity:
        level = f"{100 * quantity['epochs_to']:g} % {metric}"
        return f"the time to {level}", "longer" if sign >= 0 else "shorter"
    share = quantity["change_over_last"]
    return f"the change of {metric} over the last {100 * share:g} % of training", ""


def _margin_words(outcome: str, difference: Interval, margin: float, unit: str, small: bool) -> str:
    fixed = f"the margin fixed beforehand was {_number(margin, unit)}"
    if small:
        return f"{fixed}, and the difference is surely smaller than that."
    if outcome == CONTRADICTED:
        return f"{fixed}, and the claim says the opposite."
    if outcome == INCONCLUSIVE and difference.low > 0:
        return f"{fixed}, which the estimate does not reach, nor is it surely below."
    if outcome == INCONCLUSIVE:
        return f"{fixed}, and the interval leaves open which is ahead."
    return f"{fixed}."


def _number(value: float, unit: str) -> str:
    text = f"{value:.{_DIGITS[unit]}f}"
    return f"{text} {unit}" if unit else text


def _range(interval: Interval, unit: str) -> str:
    digits = _DIGITS[unit]
    return f"{interval.low:.{digits}f} to {interval.high:.{digits}f}"


def _limits(interval: Interval, unit: str) -> str:
    return f"{100 * interval.level:g} % interval {_range(interval, unit)}"


_TESTS: dict[str, Callable[[Claim, pd.DataFrame, Curves], Finding]] = {
    "direction": _direction,
    "equivalence": _equivalence,
    "number": _number_test,
    "trend": _trend,
    "ranking": _ranking,
    "variance": _variance,
    "shape": _shape,
}
