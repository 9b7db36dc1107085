"""How a claim is decided: its type names a test, the test gives a finding.

The tests are in `contrasts` (one effect a seed), `levels` (several settings), `numbers` (a stated
value) and `counts` (how often); the grammar of their fields is in `forms`.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

import pandas as pd

from hplab.analysis.claims.decisions import Finding, all_distances
from hplab.analysis.claims.kinds import contrasts, events, grids, stated
from hplab.analysis.claims.ledger import Claim
from hplab.analysis.claims.quantities import Curves, Missing
from hplab.analysis.stats import evidence, proportions
from hplab.analysis.stats.evidence import Evidence


class Untestable(Missing):
    """Why no run could decide a claim."""


def evaluate(claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
    """Return what a claim's test finds on a table of runs.

    Raises:
        Untestable: If no run can decide the claim.
        Missing: If the runs do not allow the test, with what is missing.
        HplabError: If the table holds several runs for one arm and seed.
    """
    finding = _tested(claim, runs, curves)
    if why := _short(finding):
        finding = finding.only_at_face(why)
    return _with_collapse(claim, finding)


def _tested(claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
    """Return what a test finds; open where survivors would have to speak for all.

    Of several parts each is held to that by itself: one may decide though another may not.
    """
    finding = TESTS[claim.test["type"]](claim, runs, curves)
    if claim.test["type"] != "all":
        for why in (_diverged(claim, finding), _collapse_differs(claim, finding)):
            finding = finding.only_at_face(why) if why else finding
    return finding


def _diverged(claim: Claim, finding: Finding) -> str:
    """Return why diverged runs leave too few to decide, "" if they do not."""
    n, n_diverged = finding.sample.n_run, finding.sample.n_diverged
    if n_diverged <= claim.max_diverged_share * n:
        return ""
    return f"{n_diverged} of {n} seeds diverged; the others cannot decide for all of them."


def _short(finding: Finding) -> str:
    """Return why runs on less than the report had decide nothing, "" if they may.

    On other data a stand-in is shown as what it is. That two settings compute the same is seen in
    runs of any length.
    """
    differs = finding.sample.differs
    if "data" in differs or finding.identical:
        return ""
    for name, what in (("epochs", "epochs"), ("n_train", "training images")):
        if name in differs:
            ours, theirs = differs[name]
            return (
                f"These runs had {ours} {what} and the report's {theirs}: they are a miniature, "
                "and do not decide the claim."
            )
    return ""


def _collapse_differs(claim: Claim, finding: Finding) -> str:
    """Return why those that learn do not speak for their settings, "" if they do."""
    events = finding.sample.collapsed
    pairs = list(itertools.combinations(range(len(events)), 2))
    for i, j in pairs:
        found = proportions.excess(events[i][0], events[j][0], events[i][1])
        if found.p * len(pairs) < claim.alpha:
            arms = finding.sample.arms
            return (
                f"How often runs collapse surely differs between {arms[i]} and {arms[j]}, so those "
                "that learn do not speak for their settings."
            )
    return ""


def _with_collapse(claim: Claim, finding: Finding) -> Finding:
    """Add the other of two parts where runs collapse: how many do, with an exact interval."""
    rows = []
    for arm, (count, n) in zip(finding.sample.arms, finding.sample.collapsed, strict=False):
        share = proportions.proportion_interval(count, n, level=1 - claim.alpha, method="exact")
        part = f"collapse{f' at {arm}' if arm else ''}: {count} of {n}"
        rows.append({"part": part, "interval": share.scaled(100), "unit": "%", "outcome": ""})
    return dataclasses.replace(finding, parts=(*finding.parts, *rows))


def _all(claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
    """Several tests that all have to hold; the sample with the fewest seeds run stands for all."""
    found = [
        _tested(dataclasses.replace(claim, test=part), runs, curves) for part in claim.test["parts"]
    ]
    together = evidence.all_of([part.evidence or Evidence(1.0, 1.0) for part in found])
    smallest = min((part.sample for part in found), key=lambda one: (one.n_run, one.n))
    differs = {k: v for part in found for k, v in part.sample.differs.items()}
    parts = tuple(
        {"part": f"Part {i + 1}", "words": part.reason, "outcome": part.outcome}
        for i, part in enumerate(found)
    )
    return Finding(
        evidence.three_way(together, alpha=claim.alpha),
        " ".join(f"({i + 1}) {part.reason}" for i, part in enumerate(found)),
        "",
        dataclasses.replace(smallest, differs=differs),
        together,
        parts=parts,
        distances=all_distances(found),
        identical=all(part.identical for part in found),
    )


def _none(claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
    raise Untestable(claim.test["why"])


TESTS: dict[str, Callable[[Claim, pd.DataFrame, Curves], Finding]] = {
    "direction": contrasts.direction,
    "interaction": contrasts.interaction,
    "profile": contrasts.profile,
    "sign": contrasts.sign,
    "equivalence": contrasts.equivalence,
    "difference": contrasts.difference,
    "variance": contrasts.variance,
    "correlation": contrasts.correlation,
    "number": stated.number,
    "value": stated.value,
    "coverage": stated.coverage,
    "trend": grids.trend,
    "shape": grids.shape,
    "ranking": grids.ranking,
    "winners": grids.winners,
    "components": grids.components,
    "most_cells": grids.most_cells,
    "proportion": events.proportion,
    "proportions": events.proportions,
    "all": _all,
    "none": _none,
}
