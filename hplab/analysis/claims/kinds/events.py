"""Tests of how often something happens: shares of runs, and their difference."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from hplab.analysis.claims import grammar, phrases, quantities
from hplab.analysis.claims.claim import Claim
from hplab.analysis.claims.decisions import Finding, on
from hplab.analysis.claims.grammar import Arm, Size
from hplab.analysis.claims.kinds.kind import Kind
from hplab.analysis.claims.quantities import Curves, Missing
from hplab.analysis.claims.samples import Sample, sample
from hplab.analysis.stats import proportions
from hplab.analysis.stats.evidence import Evidence, three_way
from hplab.analysis.stats.intervals import Interval
from hplab.trial import HplabError, unknown

# What may happen to a run: a final column, or what is read off a curve.
NAMES = ("collapsed", "top_is_majority", *quantities.EVENTS)
BOUNDS = ("above", "below", "exists")
_WORDS: dict[tuple[str, float], str] = {
    ("collapsed", 1): "collapsed",
    ("died", 1): "had no live unit for three epochs in a row",
    ("revived", 1): "had one again later",
    ("top_is_majority", 1): "predict the largest class most often",
}


class Event(dict[str, float]):
    """What happens in a run: all of these columns have these values."""

    @classmethod
    def read(cls, value: Any, where: str) -> Event:
        """Return the event that the ledger says.

        Raises:
            HplabError: If a column is unknown.
        """
        for name in grammar.mapping(value, where):
            if name not in NAMES:
                raise unknown("column", name, NAMES, where)
        return cls(value)

    def __str__(self) -> str:
        return " and ".join(_WORDS.get(item, "{} {}".format(*item)) for item in self.items())

    @property
    def columns(self) -> set[str]:
        """The final columns it needs."""
        return set(self) - set(quantities.EVENTS)

    @property
    def curves(self) -> set[str]:
        """The curves it needs."""
        return {quantities.EVENTS[name][0] for name in self if name in quantities.EVENTS}


@dataclasses.dataclass(frozen=True)
class Bound:
    """What is claimed of a share: that it is "above" or "below" another, or "exists" at all.

    Attributes:
        way: One of `BOUNDS`.
        share: The other share; for "exists" the one below which a thing counts as never.
    """

    way: str
    share: float

    @classmethod
    def read(cls, value: Any, where: str) -> Bound:
        """Return the bound that the ledger says.

        Raises:
            HplabError: If it is none, or no share.
        """
        grammar.fields(grammar.mapping(value, where), (), BOUNDS, where)
        if len(value) != 1:
            raise HplabError(f"{where} is one of {', '.join(BOUNDS)}")
        [(way, share)] = value.items()
        if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share < 1:
            raise HplabError(f"{where}: {way!r} must be a share between 0 and 1, got {share!r}")
        return cls(way, share)

    def __str__(self) -> str:
        if self.way == "exists":
            never = f"{100 * self.share:g} %"
            return f"the claim is that it happens; rarer than in {never} counts as never"
        return f"the claim is a share {self.way} {100 * self.share:g} %"

    def evidence(self, count: int, n: int) -> Evidence:
        """Return what `count` of `n` runs say about it.

        One case shows that something exists. No number of runs without a case shows that it does
        not; against it speaks that it surely happens in fewer runs than the stated share.
        """
        found = proportions.above(count, n, self.share)
        if self.way == "exists":
            return Evidence(0.0, 1.0) if count else Evidence(1.0, found.p_against)
        return found if self.way == "above" else found.turned()


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Events(Kind):
    """What tests of events share."""

    no_miniature = (
        "How often runs collapse is judged at the report's length; a run of two epochs is too "
        "short to tell one that has collapsed from one that has yet to begin."
    )
    event: Event

    @property
    def columns(self) -> set[str]:
        return set().union(*(one.columns for one in vars(self).values() if isinstance(one, Event)))

    @property
    def curves(self) -> set[str]:
        return set().union(*(one.curves for one in vars(self).values() if isinstance(one, Event)))

    def sample(self, claim: Claim, runs: pd.DataFrame) -> Sample:
        """Return the runs, collapsed ones too.

        Raises:
            Missing: As `samples.sample`; and if runs of the report's data were cut short, since
                what has not happened yet still may.
        """
        found = sample(runs, self.settings, claim, learners=False)
        if "epochs" in found.differs and "data" not in found.differs:
            ours, theirs = found.differs["epochs"]
            raise Missing(f"It is judged after {theirs} epochs; the recorded runs have {ours}.")
        return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class Proportion(_Events):
    """A share of runs against a bound, by its Clopper-Pearson interval."""

    type = "proportion"
    arm: Arm
    bound: Bound
    given: Event | None = None

    def evaluate(self, claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
        found = self.sample(claim, runs)
        happened = quantities.event(found.rows[0], self.event, curves)
        given = quantities.event(found.rows[0], self.given or {}, curves)
        if not given.any():
            raise Missing(f"None of {found.n} runs {self.given}, so the claim has no case.")
        count, n = int(happened[given].sum()), int(given.sum())

        def at(level: float) -> Interval:
            share = proportions.proportion_interval(count, n, level=level, method="exact")
            return share.scaled(100)

        def chance(more: int, alpha: float) -> float:
            counts = np.arange(more + 1)
            decides = [self.bound.evidence(int(k), more).p < alpha for k in counts]
            return float(stats.binom.pmf(counts, more, count / n) @ np.array(decides, float))

        together, percent = self.bound.evidence(count, n), at(1 - claim.alpha)
        of = f"of the {n} runs that {self.given}" if self.given else f"of {n} runs"
        length = f", after {found.length}," if found.length else ""
        happens = f"{count} {of} {self.event}"
        reason = (
            f"At {found.arms[0]}{length} {happens} "
            f"({phrases.limits(percent, '%')} %); {self.bound}."
        )
        outcome = three_way(together, alpha=claim.alpha)
        made = Finding(outcome, reason, "%", found, together, percent, at=at, chance=chance)
        return dataclasses.replace(made, in_short=f"{happens} at {found.arms[0]}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Proportions(_Events):
    """The difference of two shares of runs."""

    type = "proportions"
    units = frozenset({"pp"})
    first: Arm
    second: Arm
    margin: Size

    def evaluate(self, claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
        found, margin = self.sample(claim, runs), self.margin.value
        n = found.n
        counts = [int(quantities.event(rows, self.event, curves).sum()) for rows in found.rows]
        first, second = counts

        def at(level: float) -> Interval:
            return proportions.proportion_difference(first, second, n, level=level).scaled(100)

        def chance(more: int, alpha: float) -> float:
            luck = [stats.binom.pmf(np.arange(more + 1), more, k / n) for k in counts]
            decides = np.minimum(*proportions.tails(more, margin / 100)) < alpha / 2
            return float(luck[0] @ decides @ luck[1])

        percent = at(1 - claim.alpha)
        together = proportions.excess(first, second, n, margin=margin / 100)
        outcome = three_way(together, alpha=claim.alpha)
        in_short = (
            f"{first} of {n} runs {self.event} at {found.arms[0]} and "
            f"{second} of {n} at {found.arms[1]}"
        )
        reason = (
            f"{on(found)} {in_short} "
            f"({phrases.limits(percent, 'pp', 'of the difference ')} pp); the margin fixed "
            f"beforehand was {phrases.number(margin, 'pp')}."
        )
        made = Finding(outcome, reason, "pp", found, together, percent, at=at, chance=chance)
        return dataclasses.replace(made, in_short=in_short)


KINDS = (Proportion, Proportions)
