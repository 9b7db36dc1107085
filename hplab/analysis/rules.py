"""How a claim is decided: its type names a test, the test gives a finding.

The tests are in `contrasts` (one effect a seed), `levels` (several settings), `numbers` (a stated
value) and `counts` (how often); the grammar of their fields is in `forms`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pandas as pd

from hplab.analysis import contrasts, counts, evidence, levels, numbers
from hplab.analysis.evidence import Evidence
from hplab.analysis.findings import Finding, hangs_on
from hplab.analysis.ledger import Claim
from hplab.analysis.quantities import Curves, Missing
from hplab.analysis.stats import INCONCLUSIVE


class Untestable(Missing):
    """Why no run could decide a claim."""


def evaluate(claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
    """Return what a claim's test finds on a table of runs.

    Raises:
        Untestable: If no run can decide the claim.
        Missing: If the runs do not allow the test, with what is missing.
        HplabError: If the table holds several runs for one arm and seed.
    """
    finding = TESTS[claim.test["type"]](claim, runs, curves)
    n, n_diverged = finding.sample.n, finding.sample.n_diverged
    if n_diverged > claim.max_diverged_share * (n + n_diverged):
        reason = (
            f"{n_diverged} of {n + n_diverged} seeds diverged; the others cannot decide a claim "
            f"about all of them. Among those left: {finding.reason}"
        )
        return dataclasses.replace(finding, outcome=INCONCLUSIVE, reason=reason)
    return finding


def _all(claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
    """Several tests that all have to hold; the smallest sample stands for all."""
    found = [
        TESTS[part["type"]](dataclasses.replace(claim, test=part), runs, curves)
        for part in claim.test["parts"]
    ]
    together = evidence.all_of([part.evidence or Evidence(1.0, 1.0) for part in found])
    smallest = min(found, key=lambda part: part.sample.n).sample
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
        distance=hangs_on(part.distance for part in found),
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
    "number": numbers.number,
    "value": numbers.value,
    "coverage": numbers.coverage,
    "trend": levels.trend,
    "shape": levels.shape,
    "ranking": levels.ranking,
    "winners": levels.winners,
    "components": levels.components,
    "most_cells": levels.most_cells,
    "proportion": counts.proportion,
    "proportions": counts.proportions,
    "all": _all,
    "none": _none,
}
