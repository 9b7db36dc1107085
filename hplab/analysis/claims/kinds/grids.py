"""Tests over several settings: trends, curves, who is first, how much lies between settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from hplab.analysis.claims import phrases, quantities
from hplab.analysis.claims.claim import Claim
from hplab.analysis.claims.decisions import Finding, distance, in_unit, on
from hplab.analysis.claims.grammar import Arm, Arms, Size
from hplab.analysis.claims.kinds.kind import Kind
from hplab.analysis.claims.quantities import Curves, Missing, Quantity
from hplab.analysis.claims.samples import Sample, declared, sample
from hplab.analysis.stats import intervals, orders, variance
from hplab.analysis.stats.evidence import all_of, beyond, most_of, three_way
from hplab.analysis.stats.intervals import CONTRADICTED, INCONCLUSIVE, SUPPORTED, Interval
from hplab.sweeps.table import setting
from hplab.trial import HplabError

_NO_GROUPS = Arms((Arm({}),))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trend(Kind):
    """Per seed, the slope over levels of one hyperparameter; the claimed way is turned up.

    Attributes:
        x, levels, arm: The hyperparameter, its levels, and what all settings share.
        metrics: Which way each is claimed to go.
        margin: The smallest slope that counts, a doubling of x (of a rank: one level).
        scale: "rank" counts levels instead of doublings.
        groups: Settings in each of which the trend is looked for.
        log: Whether metrics are compared by ratio.
        steps: Whether every step between neighbours has to keep the way ("kept"), or not ("free").
        matched: The falling curve at whose common level metrics are read; None reads their end.
    """

    type = "trend"
    x: str
    levels: tuple[float, ...]
    arm: Arm
    metrics: Mapping[str, Literal["up", "down"]]
    margin: Size
    scale: Literal["log2", "rank"] = "log2"
    groups: Arms = _NO_GROUPS
    log: bool = False
    steps: Literal["kept", "free"] = "kept"
    matched: str | None = None

    @property
    def settings(self) -> list[Mapping[str, Any]]:
        """Every level of the first group, then of the next."""
        return [{**self.arm, **g, self.x: x} for g in self.groups for x in sorted(self.levels)]

    @property
    def measured(self) -> list[Quantity]:
        """The metrics."""
        return [quantities.parse(name) for name in self.metrics]

    @property
    def columns(self) -> set[str]:
        """See `Kind.columns`; matched metrics are curves."""
        return set() if self.matched else super().columns

    @property
    def curves(self) -> set[str]:
        if not self.matched:
            return super().curves
        return super().columns | super().curves | {self.matched}

    @property
    def units(self) -> Collection[str]:
        """See `Kind.units`; several metrics have a margin without one."""
        return {"ratio"} if self.log else {*super().units, "none"}

    def evaluate(self, claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
        found, levels = sample(runs, self.settings, claim), sorted(self.levels)
        n = len(levels)
        groups = [found.rows[i : i + n] for i in range(0, len(found.rows), n)]
        values = np.array(  # shape (group and metric, level, seed)
            [
                (1 if way == "up" else -1) * np.stack(self._levels(group, name, curves))
                for group in groups
                for name, way in self.metrics.items()
            ]
        )
        at = 2.0 ** np.arange(len(levels)) if self.scale == "rank" else levels
        kept, margin = self.steps == "kept", self.margin.tested
        together = orders.trend(values, at, margin=margin, steps=kept)
        slopes = orders.slopes(values, at)
        steps = np.diff(values, axis=1).reshape(-1, found.n) if kept else slopes[:0]
        n_turned = sum(len(steps) * beyond(step).p_against < claim.alpha for step in steps)
        means = [intervals.mean_interval(slope, level=1 - claim.alpha) for slope in slopes]
        far = [distance(slope, margin) for slope in slopes] + [distance(step, 0) for step in steps]
        return Finding(
            three_way(together, alpha=claim.alpha),
            f"{on(found)} {self._words(means, n_turned)}",
            "",
            found,
            together,
            parts=self._parts(means),
            distances=tuple(far),
        )

    def _levels(
        self, tables: Sequence[pd.DataFrame], name: str, curves: Curves
    ) -> list[np.ndarray]:
        """Return a metric at every level, in the unit of the margin or as its logarithm."""
        if self.matched:
            found = quantities.matched(tables, name, self.matched, curves)
        else:
            found = [quantities.last(rows, name, curves) for rows in tables]
        if not self.log:
            return [values * quantities.scale(self.margin.unit) for values in found]
        if not all((values > 0).all() for values in found):
            raise Missing(f"Where {name} is not positive there is no ratio.")
        return [np.log(values) for values in found]

    def _words(self, slopes: Sequence[Interval], n_turned: int) -> str:
        up = sum(slope.low > self.margin.tested for slope in slopes)
        what = "metrics" if len(self.metrics) > 1 or len(slopes) == 1 else "trends"
        first, last = min(self.levels), max(self.levels)
        words = (
            f"{up} of {len(slopes)} {what} move in the claimed direction from "
            f"{self.x.replace('_', ' ')} {setting(first)} to {setting(last)}"
        )
        if self.margin.value:
            words += " by more than the margin"
        words += " (95 % intervals)"
        if down := sum(slope.high < 0 for slope in slopes):
            words += f" and {down} the other way"
        if n_turned:
            return f"{words}, but {n_turned} steps between neighbours go back."
        return f"{words}."

    def _parts(self, slopes: Sequence[Interval]) -> tuple[dict, ...]:
        """Return one row a group and metric: the slope in the metric's own direction and unit."""
        rows = []
        step = "one level up in" if self.scale == "rank" else "a doubling of"
        named = [(group, *metric) for group in self.groups for metric in self.metrics.items()]
        size = self.margin.tested
        for (group, name, way), slope in zip(named, slopes, strict=True):
            unit, words = quantities.METRICS.get(name, ("", name))
            turn = 1 if way == "up" else -1
            if self.log:
                interval, unit = in_unit(slope.scaled(turn), "ratio"), "ratio"
            else:
                done = self.margin.unit == unit
                interval = slope.scaled(turn * (1 if done else quantities.scale(unit)))
            who = "".join(f"{value}: " for value in group.values())
            part = f"{who}{words}, {step} {self.x.replace('_', ' ')}"
            outcome = SUPPORTED if slope.low > size else INCONCLUSIVE
            outcome = CONTRADICTED if slope.high < size else outcome
            rows.append({"part": part, "interval": interval, "unit": unit, "outcome": outcome})
        return tuple(rows)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shape(Kind):
    """Curves at checkpoints: the lowest of all, or rising."""

    type = "shape"
    either = (("first", "rivals"), ("arm",))
    form: Literal["lowest", "rising"]
    quantity: Quantity
    points: int
    margin: Size
    first: Arm | None = None
    rivals: Arms | None = None
    arm: Arm | None = None

    @property
    def columns(self) -> set[str]:
        """None: it reads curves."""
        return set()

    @property
    def curves(self) -> set[str]:
        return super().columns | super().curves

    def evaluate(self, claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
        quantity, found = self.quantity, sample(runs, self.settings, claim)
        points = [
            quantities.at_checkpoints(rows, quantity, self.points, curves) for rows in found.rows
        ]
        if self.form == "lowest":
            pieces = np.concatenate([rival - points[0] for rival in points[1:]], axis=1)
            names = [
                f"{arm}, point {i + 1}" for arm in found.arms[1:] for i in range(points[0].shape[1])
            ]
        else:
            pieces = np.diff(points[0], axis=1)
            names = [f"point {i + 1} to {i + 2}" for i in range(pieces.shape[1])]
        if not pieces.shape[1]:
            raise Missing("One epoch shows no course; train for two or more.")
        unit, margin = quantity.unit, self.margin.tested
        each = [beyond(piece, margin=margin) for piece in pieces.T]
        together = all_of(each)
        means = _intervals(pieces, claim, quantity, found, difference=True)
        what = f"{quantities.words(quantity)} at {found.arms[0]}"
        in_short = phrases.course(what, self.form, means)
        reason = phrases.shape(on(found, "over"), in_short, means, unit)
        parts = tuple(
            {"part": name, "interval": mean, "unit": unit, "outcome": three_way(one)}
            for name, mean, one in zip(names, means, each, strict=True)
        )
        worst = min(means, key=lambda interval: interval.low)
        outcome = three_way(together, alpha=claim.alpha)
        far = tuple(distance(piece, margin) for piece in pieces.T)
        made = Finding(outcome, reason, unit, found, together, worst, parts=parts, distances=far)
        return dataclasses.replace(made, in_short=in_short)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ranking(Kind):
    """Which setting has the best mean: one that is surely ahead of every other.

    Its settings are `cells`, or the levels of one hyperparameter; `best` is one of them.
    """

    type = "ranking"
    either = (("x", "levels", "arm"), ("cells", "way"))
    quantity: Quantity
    best: Arm | float
    x: str = ""
    levels: tuple[float, ...] = ()
    arm: Arm | None = None
    cells: Arms | None = None
    way: Literal["highest", "lowest"] = "highest"

    @property
    def settings(self) -> list[Mapping[str, Any]]:
        """The cells, or all levels."""
        return list(self.cells or map(self._at, self.levels))

    @property
    def _best(self) -> Mapping[str, Any]:
        return self.best if self.cells and isinstance(self.best, Mapping) else self._at(self.best)

    def _at(self, level: Arm | float) -> Mapping[str, Any]:
        return {**(self.arm or {}), self.x: level}

    def check(self, where: str) -> None:
        if self._best not in self.settings:
            raise HplabError(f"{where}: best is none of the settings, {self.best!r}")

    def evaluate(self, claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
        found, values = _matrix(self, claim, runs, curves)
        which, unit = self.settings.index(self._best), self.quantity.unit
        turn, than = (1, "higher") if self.way == "highest" else (-1, "lower")
        turned = turn * values
        together = orders.best(turned.T, which)
        ahead = {i: turned[:, which] - turned[:, i] for i in range(len(found.arms)) if i != which}
        each = {i: beyond(lead) for i, lead in ahead.items()}
        every = _intervals(
            np.stack(list(ahead.values()), axis=-1), claim, self.quantity, found, difference=True
        )
        leads = dict(zip(ahead, every, strict=True))
        outcome = three_way(together, alpha=claim.alpha)
        n_behind = sum(three_way(one, alpha=claim.alpha) == SUPPORTED for one in each.values())
        closest = min(leads, key=lambda i: leads[i].estimate)
        lead = in_unit(leads[closest].scaled(turn), unit)
        in_short = (
            f"{found.arms[which]} has a {than} mean {_bare(self.quantity)} "
            f"than {n_behind} of its {len(ahead)} rivals"
        )
        reason = (
            f"{on(found)} {in_short}. From the nearest, {found.arms[closest]}, "
            f"it differs by {phrases.number(lead.estimate, unit)} ({phrases.limits(lead, unit)})."
        )
        if outcome == CONTRADICTED:
            first = found.arms[int(turned.mean(axis=0).argmax())]
            reason += f" {first[:1].upper()}{first[1:]} is ahead of it (95 % interval)."
        parts = tuple(
            {
                "part": f"against {found.arms[i]}",
                "interval": in_unit(leads[i].scaled(turn), unit),
                "unit": unit,
                "outcome": three_way(each[i], alpha=claim.alpha),
            }
            for i in ahead
        )
        reason += self._wider(claim, runs, curves, found) if self.levels else ""
        far = tuple(distance(lead, 0.0) for lead in ahead.values())
        made = Finding(outcome, reason, "", found, together, parts=parts, distances=far)
        return dataclasses.replace(made, in_short=in_short)

    def _wider(self, claim: Claim, runs: pd.DataFrame, curves: Curves, found: Sample) -> str:
        """Return one sentence on a wider grid, if the runs hold one; it decides nothing."""
        by_seed: dict[Any, pd.Series] = {}
        for level in declared(runs, self.x).dropna().unique():
            try:
                one = sample(runs, [{self.x: level, **(self.arm or {})}], claim)
                values, _ = quantities.values(one.rows[0], self.quantity, curves, one.stretch)
            except Missing:
                continue
            if one.differs == found.differs:
                by_seed[level] = pd.Series(values, index=one.rows[0].index)
        together = pd.DataFrame(by_seed).dropna()
        if len(by_seed) <= len(self.levels) or together.empty:
            return ""
        best = together.mean().idxmax()
        edge = ", at the edge of the grid" if best in (min(by_seed), max(by_seed)) else ""
        some = any(len(one) > len(together) for one in by_seed.values())
        there = f" on the {len(together)} seeds that all have," if some else ""
        first = f"{self.x} {setting(best)} comes first{edge}"
        return f" On the wider grid of {len(by_seed)} values,{there} {first}."


@dataclasses.dataclass(frozen=True, kw_only=True)
class Winners(Kind):
    """Whether one rival is first in every group; the claim is that none is."""

    type = "winners"
    quantity: Quantity
    groups: Arms
    rivals: Arms

    @property
    def settings(self) -> list[Mapping[str, Any]]:
        """Every rival of the first group, then of the next."""
        return [{**group, **rival} for group in self.groups for rival in self.rivals]

    def evaluate(self, claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
        found, values = _matrix(self, claim, runs, curves)
        values = values.reshape(found.n, len(self.groups), len(self.rivals))
        together = orders.no_single_best(np.moveaxis(values, 0, -1))
        means = values.mean(axis=0)
        first = [found.arms[g * means.shape[1] + int(means[g].argmax())] for g in range(len(means))]
        outcome = three_way(together, alpha=claim.alpha)
        end = {
            SUPPORTED: "Each rival is beaten in one group or another (5 % in all, by Bonferroni).",
            CONTRADICTED: "One and the same is first in all of them (5 % in all, by Bonferroni).",
            INCONCLUSIVE: "That does not settle whether one and the same is first everywhere.",
        }[outcome]
        bare, winners = _bare(self.quantity), "; ".join(first)
        reason = f"{on(found)} the highest mean {bare} is that of {winners}. {end}"
        return Finding(outcome, reason, "", found, together)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Components(Kind):
    """The share of the variance over runs that lies between settings, not between seeds."""

    type = "components"
    quantity: Quantity
    cells: Arms
    share: float

    def evaluate(self, claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
        found, values = _matrix(self, claim, runs, curves, learners=False)

        def at(level: float) -> Interval:
            return variance.between_share(values, level=level).scaled(100)

        percent = at(1 - claim.alpha)
        together = orders.share_between(values.T, self.share)
        outcome = three_way(together, alpha=claim.alpha)
        reason = (
            f"{on(found)} {percent.estimate:.0f} % of the variance of "
            f"{quantities.words(self.quantity)} lies between the {len(found.arms)} settings and "
            f"the rest between seeds (95 % interval {percent.low:.0f} to {percent.high:.0f} %); "
            f"the claim asks for more than {100 * self.share:g} %."
        )
        return Finding(outcome, reason, "%", found, together, percent, at=at)


@dataclasses.dataclass(frozen=True, kw_only=True)
class MostCells(Kind):
    """In how many settings a quantity surely exceeds a limit."""

    type = "most_cells"
    quantity: Quantity
    cells: Arms
    above: Size

    def evaluate(self, claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
        found, values = _matrix(self, claim, runs, curves)
        limit, unit = self.above.tested, self.quantity.unit
        means = _intervals(values, claim, self.quantity, found)
        each = [beyond(column, margin=limit) for column in values.T]
        together = most_of(each)
        outcome = three_way(together, alpha=claim.alpha)
        above, below = sum(m.low > limit for m in means), sum(m.high < limit for m in means)
        in_short = (
            f"{quantities.words(self.quantity)}, taken by itself, exceeds "
            f"{phrases.number(self.above.value, unit)} in {above} of {len(means)} settings and "
            f"stays below it in {below} (95 % intervals)"
        )
        reason = f"{on(found)} {in_short}."
        parts = tuple(
            {"part": arm, "interval": mean, "unit": unit, "outcome": three_way(one)}
            for arm, mean, one in zip(found.arms, means, each, strict=True)
        )
        return Finding(outcome, reason, "", found, together, parts=parts, in_short=in_short)


def _matrix(
    test: Ranking | Winners | Components | MostCells,
    claim: Claim,
    runs: pd.DataFrame,
    curves: Curves,
    *,
    learners: bool = True,
) -> tuple[Sample, np.ndarray]:
    """Return the sample and its values: one row a seed, one column a setting."""
    found = sample(runs, test.settings, claim, learners=learners)
    each = (quantities.values(rows, test.quantity, curves, found.stretch) for rows in found.rows)
    return found, np.array([values for values, _ in each]).T


def _intervals(
    values: np.ndarray,
    claim: Claim,
    quantity: Quantity,
    found: Sample,
    *,
    difference: bool = False,
) -> list[Interval]:
    """Return the t interval of each column, one row a seed, with the ends of its scale."""
    possible = quantities.ends(quantity, found.rows[0], found.stretch, difference=difference)
    means = (intervals.mean_interval(column, level=1 - claim.alpha) for column in values.T)
    return [dataclasses.replace(mean, ends=possible) for mean in means]


def _bare(quantity: Quantity) -> str:
    return quantities.words(quantity).removeprefix("the ").removeprefix("mean ")


KINDS = (Trend, Shape, Ranking, Winners, Components, MostCells)
