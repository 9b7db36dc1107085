"""Tests of a stated number, and of intervals that a report prints.

The report made one run, so its number may differ from our mean by what runs differ from each other;
that it is wrong takes more than that.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from hplab.analysis.claims import phrases, quantities
from hplab.analysis.claims.claim import Claim
from hplab.analysis.claims.decisions import Finding, distance, in_unit, on
from hplab.analysis.claims.grammar import Arm, Arms, Size
from hplab.analysis.claims.kinds.kind import Kind
from hplab.analysis.claims.quantities import EVALUATED, METRICS, Curves, Missing, Quantity
from hplab.analysis.claims.samples import Sample, describe, sample
from hplab.analysis.stats import evidence, intervals, variance
from hplab.analysis.stats.evidence import Evidence
from hplab.analysis.stats.intervals import CONTRADICTED, INCONCLUSIVE, SUPPORTED

_NO_MINIATURE = (
    "The report's own numbers come from its own data and length; smaller runs have others."
)
_OURS = " The setting is our reconstruction, so the miss may be ours."


@dataclasses.dataclass(frozen=True, kw_only=True)
class Number(Kind):
    """The numbers a report prints for one of its runs.

    Its tolerances are by the last word of a metric: "acc", "loss".
    """

    type = "number"
    units = frozenset({"pp", "percent"})
    new_run = True
    no_miniature = _NO_MINIATURE
    arm: Arm
    metrics: tuple[Quantity, ...]
    tolerance: Mapping[str, Size]

    @property
    def measured(self) -> list[Quantity]:
        """The printed metrics."""
        return list(self.metrics)

    def check(self, where: str) -> None:
        for name, allowed in self.tolerance.items():
            allowed.check(self.units, f"{where}, tolerance of {name}")

    def evaluate(self, claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
        found = sample(runs, self.settings, claim)
        _at_the_report_s_setting(found)
        published, names = self._published(claim), [one.metric for one in self.metrics]
        theirs = {name: published[EVALUATED.get(name, name)] for name in names}
        each = [self._compare(claim, found, *one, curves) for one in theirs.items()]
        parts, together = [part for part, _ in each], evidence.all_of([one for _, one in each])
        missed = evidence.three_way(together, alpha=claim.alpha) == CONTRADICTED
        if claim.report.reconstructed:
            together = Evidence(together.p_for, 1.0)
        outcome = evidence.three_way(together, alpha=claim.alpha)
        end = "Each published value is met within its tolerance."
        if outcome != SUPPORTED:
            end = f"Not all of it is met: {_missed(parts)}."
            if missed and claim.report.reconstructed:
                end += _OURS
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
            in_short=f"of its numbers at {found.arms[0]}, {_missed(parts) or 'all are met'}",
        )

    def _compare(
        self, claim: Claim, found: Sample, metric: str, value: float, curves: Curves
    ) -> tuple[dict[str, Any], Evidence]:
        """Compare one published value with our runs: a row for the page, and the evidence."""
        unit, scale = ("%", 100) if metric.endswith("acc") else ("nats", 1)
        tolerance = self.tolerance[metric.rsplit("_", 1)[1]]
        allowed = tolerance.value
        if tolerance.unit == "percent":
            allowed = abs(value) * scale * allowed / 100
        ours = quantities.last(found.rows[0], metric, curves) * scale
        new_run, theirs = intervals.prediction_interval(ours, level=1 - claim.alpha), value * scale
        possible = quantities.ends(Quantity(metric), found.rows[0], found.stretch)
        new_run = dataclasses.replace(new_run, ends=possible)
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

    def _published(self, claim: Claim) -> Mapping[str, Any]:
        """Return the report's own run with the hyperparameters of the arm."""
        for run in claim.report.published:
            if all(run.get(name) == value for name, value in self.arm.items()):
                return run
        raise Missing(f"Report {claim.report.id} prints no numbers for {describe(self.arm)}.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Value(Kind):
    """One stated number: a quantity of an arm, or the difference or ratio of two."""

    type = "value"
    either = (("arm",), ("first", "second"))
    new_run = True
    from_report = True
    no_miniature = _NO_MINIATURE
    quantity: Quantity
    value: Size
    tolerance: Size
    arm: Arm | None = None
    first: Arm | None = None
    second: Arm | None = None

    def evaluate(self, claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
        quantity, found = self.quantity, sample(runs, self.settings, claim)
        _at_the_report_s_setting(found)
        ours = [quantities.values(rows, quantity, curves, found.stretch)[0] for rows in found.rows]
        two = len(ours) == 2
        effects = ours[0] - ours[1] if two else ours[0]
        new_run = intervals.prediction_interval(effects, level=1 - claim.alpha)
        together = evidence.stated(effects, self.value.tested, tolerance=self.tolerance.tested)
        outcome = evidence.three_way(together, alpha=claim.alpha)
        end = {
            SUPPORTED: "The whole 95 % interval of the mean is within the tolerance of it.",
            CONTRADICTED: "The mean is further away than the tolerance (97.5 % interval), and a "
            "new run would not give it (99 % interval).",
            INCONCLUSIVE: "That does not settle whether it is met.",
        }[outcome]
        if claim.report.reconstructed and outcome == CONTRADICTED:
            together, outcome = Evidence(together.p_for, 1.0), INCONCLUSIVE
            end += _OURS
        unit = quantity.unit if two else quantity.level_unit
        possible = quantities.ends(quantity, found.rows[0], found.stretch, difference=two)
        interval = dataclasses.replace(in_unit(new_run, quantity.unit), ends=possible)
        what = quantities.words(quantity)
        where = f" at {found.arms[0]}" + (f" against {found.arms[1]}" if two else "")
        kind = {"ratio": "the ratio of "}.get(unit, "the difference of ") if two else ""
        level = f"{kind}{what}{where} is {phrases.number(interval.estimate, unit)}"
        theirs = phrases.number(self.value.value, unit)
        reason = (
            f"{on(found)} {level}, theirs {theirs} (a new run: "
            f"{phrases.span(interval, unit)}). {end}"
        )
        in_short = f"{level}, in the report {theirs}"
        return Finding(outcome, reason, unit, found, together, interval, in_short=in_short)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Coverage(Kind):
    """Intervals that count random directions as if they were models, against those over models.

    Attributes:
        spread, error: Final columns: the standard deviation over directions, and the standard
            error of a model's mean.
        draws: Directions that the report drew from each model.
    """

    type = "coverage"
    fewest = 5  # models; with fewer, that they differ is concluded too often
    units = frozenset({"ratio"})
    quantity: Quantity
    spread: str
    error: str
    draws: int
    cells: Arms
    margin: Size

    @property
    def columns(self) -> set[str]:
        return {*super().columns, self.spread, self.error}

    def evaluate(self, claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
        found = sample(runs, self.cells, claim, learners=False)
        ratios = np.array([self.width_ratio(rows, claim.alpha) for rows in found.rows])
        if found.n < self.fewest:
            raise Missing(
                f"A spread over models needs {self.fewest} of them in each setting; there are "
                f"{found.n}."
            )
        limit = self.margin.value
        means, spreads, errors = np.swapaxes([self._columns(rows) for rows in found.rows], 0, 1)
        effects = variance.width_effects(
            means, spreads, self.draws, margin=limit, errors=errors, level=1 - claim.alpha
        )
        # Few models that happen to agree do not show that models agree: nothing speaks for it.
        together = Evidence(1.0, evidence.beyond(effects).p_for)
        outcome = evidence.three_way(together, alpha=claim.alpha)
        reason = (
            f"On {found.n} models in each of {len(ratios)} settings, an interval over the models "
            f"is {np.median(ratios):.1f} times as wide (median) as one that counts all "
            f"{found.n * self.draws} directions as independent; it is more than "
            f"{limit:g} times as wide in {int((ratios > limit).sum())} of {len(ratios)} settings."
        )
        return Finding(outcome, reason, "", found, together, distances=(-distance(effects, 0.0),))

    def width_ratio(self, rows: pd.DataFrame, alpha: float) -> float:
        """Return the half-width over models divided by the one over all draws pooled."""
        means, spreads, errors = self._columns(rows)
        return variance.pooled_width_ratio(
            means, spreads, self.draws, errors=errors, level=1 - alpha
        )

    def _columns(self, rows: pd.DataFrame) -> list[np.ndarray]:
        names = (self.quantity.metric, self.spread, self.error)
        return [quantities.final(rows, name) for name in names]


def _at_the_report_s_setting(found: Sample) -> None:
    if found.differs:
        raise Missing(
            "The report's numbers can only be compared at its own setting; here "
            f"{phrases.differences(found.differs)}."
        )


def _missed(parts: list[dict[str, Any]]) -> str:
    """Return which published values are missed, and which are open."""
    said = []
    for outcome, word in ((CONTRADICTED, "missed"), (INCONCLUSIVE, "open")):
        names = [f"the {part['part']}" for part in parts if part["outcome"] == outcome]
        if names:
            said.append(f"{phrases.listed(names)} {'is' if len(names) == 1 else 'are'} {word}")
    return "; ".join(said)


KINDS = (Number, Value, Coverage)
