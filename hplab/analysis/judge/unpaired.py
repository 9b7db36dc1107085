"""The tests of questions whose runs cannot be paired by seed, and of the chance of winning.

The rules are those of the kinds; only the error is that of independent runs (see
`stats.independent`). What keeps runs from deciding, that some diverged or collapsed, is the same.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from hplab.analysis.claims import quantities
from hplab.analysis.claims.decisions import Finding, in_unit
from hplab.analysis.claims.quantities import Curves, Missing
from hplab.analysis.claims.samples import Sample, matches
from hplab.analysis.judge import question as asking
from hplab.analysis.judge.arms import MIN_SEEDS
from hplab.analysis.judge.resolve import Asked
from hplab.analysis.stats import evidence, independent
from hplab.analysis.stats.evidence import Evidence
from hplab.analysis.stats.independent import Contrast, contrast
from hplab.analysis.stats.intervals import Interval
from hplab.analysis.stats.rank import superiority


def evaluate(asked: Asked, curves: Curves) -> Finding:
    """Return what runs of several settings say, each run counting by itself.

    Raises:
        Missing: If too few runs are left.
    """
    found = _sample(asked)
    read = [quantities.values(rows, asked.quantity, curves, 1.0) for rows in found.rows]
    groups, cut = [values for values, _ in read], any(mask.any() for _, mask in read)
    finding = {
        asking.DIRECTION: _direction,
        asking.SOONER: _direction,
        asking.EQUIVALENCE: _equivalence,
        asking.BEST: _best,
        asking.TREND: _trend,
        asking.CHANCE: _chance,
    }[asked.question.kind](asked, found, groups)
    if cut:
        finding = finding.only_at_face("Some runs passed the level in their first epoch or never.")
    for why in (_diverged(asked, found), _collapse(asked, found)):
        finding = finding.only_at_face(why) if why else finding
    return finding


def _sample(asked: Asked) -> Sample:
    """Return the runs of every setting that finished and, where that is noted, learn."""
    tables = [_rows(asked.runs, arm) for arm in asked.arms]
    fine = [rows[rows["status"] == "ok"] for rows in tables]
    events: tuple[tuple[int, int], ...] = ()
    if all("collapsed" in rows for rows in fine):
        marks = [pd.to_numeric(rows["collapsed"], errors="coerce") == 1 for rows in fine]
        if any(mark.any() for mark in marks):
            events = tuple((int(mark.sum()), len(mark)) for mark in marks)
            fine = [rows[~mark] for rows, mark in zip(fine, marks, strict=True)]
    lost = [len(rows) - len(kept) for rows, kept in zip(tables, fine, strict=True)]
    for name, rows, n_lost in zip(asked.names, fine, lost, strict=True):
        if len(rows) < MIN_SEEDS:
            raise Missing(
                f"Of {len(rows) + n_lost} runs at {name}, {n_lost} diverged or collapsed; at least "
                f"{MIN_SEEDS} that learn are needed.",
                diverged=True,
            )
    n_diverged = sum(int((rows["status"] != "ok").sum()) for rows in tables)
    return Sample(
        tuple(asked.names), "", tuple(fine), n_diverged, (), {}, 1.0,
        sum(count for count, _ in events), events,
    )  # fmt: skip


def _rows(runs: pd.DataFrame, arm: Mapping[str, Any]) -> pd.DataFrame:
    return runs[matches(runs, arm)].set_index("seed")


def _diverged(asked: Asked, found: Sample) -> str:
    """Return why diverged runs leave too few to decide, "" if they do not."""
    for name, arm, rows in zip(asked.names, asked.arms, found.rows, strict=True):
        every = _rows(asked.runs, arm)
        lost = int((every["status"] != "ok").sum())
        if lost > asked.claim.max_diverged_share * len(every):
            return (
                f"{lost} of {len(every)} runs at {name} diverged; the {len(rows)} others cannot "
                "decide for all of them."
            )
    return ""


def _collapse(asked: Asked, found: Sample) -> str:
    """Return why those that learn do not speak for their settings, "" if they do."""
    events = found.collapsed
    pairs = [(i, j) for i in range(len(events)) for j in range(i)]
    for i, j in pairs:
        (a, of_a), (b, of_b) = events[i], events[j]
        p = stats.fisher_exact([[a, of_a - a], [b, of_b - b]]).pvalue
        if p * len(pairs) < asked.claim.alpha:
            return (
                f"How often runs collapse surely differs between {found.arms[j]} and "
                f"{found.arms[i]}, so those that learn do not speak for their settings."
            )
    return ""


def _direction(asked: Asked, found: Sample, groups: Sequence[np.ndarray]) -> Finding:
    which = [asked.arms.index(dict(arm)) for arm in asked.claim.test.settings]
    first, second = (groups[i] for i in which)
    one = contrast([first, second], [1, -1])
    margin = asked.margin.tested
    return _of_one(asked, found, one, one.beyond(margin), (one.distance(margin),))


def _equivalence(asked: Asked, found: Sample, groups: Sequence[np.ndarray]) -> Finding:
    one, margin = contrast(groups, [1, -1]), asked.margin.tested
    turned = contrast(groups, [-1, 1])
    far = one.distance(-margin), turned.distance(-margin)
    return _of_one(asked, found, one, one.within(margin), far)


def _of_one(
    asked: Asked, found: Sample, one: Contrast, said: Evidence, far: tuple[float, ...]
) -> Finding:
    """Return the finding of one difference, with its interval at any level."""
    unit = asked.margin.unit

    def at(level: float) -> Interval:
        return in_unit(one.interval(level), unit)

    outcome = evidence.three_way(said, alpha=asked.claim.alpha)
    interval = at(1 - asked.claim.alpha)
    return Finding(outcome, "", unit, found, said, interval, distances=far, at=at)


def _best(asked: Asked, found: Sample, groups: Sequence[np.ndarray]) -> Finding:
    leads = [contrast([groups[0], other], [asked.way, -asked.way]) for other in groups[1:]]
    said = evidence.all_of([lead.beyond() for lead in leads])
    parts = tuple(
        {
            "part": f"against {name}",
            "interval": in_unit(
                lead.interval(1 - asked.claim.alpha).scaled(asked.way), asked.margin.unit
            ),
            "unit": asked.margin.unit,
            "outcome": evidence.three_way(lead.beyond(), alpha=asked.claim.alpha),
        }
        for name, lead in zip(asked.names[1:], leads, strict=True)
    )
    outcome = evidence.three_way(said, alpha=asked.claim.alpha)
    far = tuple(lead.distance() for lead in leads)
    return Finding(outcome, "", "", found, said, parts=parts, distances=far)


def _trend(asked: Asked, found: Sample, groups: Sequence[np.ndarray]) -> Finding:
    test = asked.claim.test
    at = 2.0 ** np.arange(len(groups)) if test.scale == "rank" else np.array(test.levels, float)
    weights = list(asked.way * independent.slope_weights(at))
    slope, margin = contrast(groups, weights), asked.margin.tested
    steps = [contrast([a, b], [-asked.way, asked.way]) for a, b in itertools.pairwise(groups)]
    said = evidence.all_of([slope.beyond(margin), *(step.beyond() for step in steps)])
    outcome = evidence.three_way(said, alpha=asked.claim.alpha)
    interval = in_unit(slope.interval(1 - asked.claim.alpha).scaled(asked.way), asked.margin.unit)
    part = {"part": "slope", "interval": interval, "unit": asked.margin.unit, "outcome": ""}
    far = (slope.distance(margin), *(step.distance() for step in steps))
    return Finding(outcome, "", "", found, said, parts=(part,), distances=far)


def _chance(asked: Asked, found: Sample, groups: Sequence[np.ndarray]) -> Finding:
    """Return whether a run of the first setting wins against one of the second often enough.

    The chance has an interval but no p value of its own: it decides at the levels at which its
    interval leaves the asked chance out. Where one setting always wins it has no width; then the
    exact chance of that among equals stands for it.
    """
    first, second = (asked.way * values for values in groups)
    wanted = asked.question.chance

    def at(level: float) -> Interval:
        return superiority(first, second, level=level).scaled(100)

    interval = at(1 - asked.claim.alpha)
    estimate = interval.estimate / 100
    if interval.low == interval.high:
        extreme = stats.binom.sf(min(map(len, groups)) - 1, min(map(len, groups)), wanted)
        below = stats.binom.cdf(0, min(map(len, groups)), wanted)
        p = {1.0: (2 * extreme, 1.0), 0.0: (1.0, 2 * below)}.get(estimate, (1.0, 1.0))
        said = Evidence(*(min(1.0, float(one)) for one in p))
    else:
        logit = np.log(estimate / (1 - estimate)) - np.log(wanted / (1 - wanted))
        ends = np.array([interval.low, interval.high]) / 100
        error = np.diff(np.log(ends / (1 - ends)))[0] / (2 * stats.norm.isf(asked.claim.alpha / 2))
        z = logit / error
        said = Evidence(
            min(1.0, 2 * float(stats.norm.sf(z))), min(1.0, 2 * float(stats.norm.cdf(z)))
        )
    outcome = evidence.three_way(said, alpha=asked.claim.alpha)
    return Finding(outcome, "", "%", found, said, interval, at=at)
