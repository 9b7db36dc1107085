"""What every kind of test has, and when its runs may decide: not where survivors speak for all."""

from __future__ import annotations

import abc
import dataclasses
import itertools
from collections.abc import Collection, Mapping
from typing import Any, ClassVar, Self

import pandas as pd

from hplab.analysis.claims import grammar, phrases
from hplab.analysis.claims.claim import Claim
from hplab.analysis.claims.decisions import Finding
from hplab.analysis.claims.grammar import Size
from hplab.analysis.claims.quantities import Curves, Quantity
from hplab.analysis.stats import proportions

_ARMS = ("arm", "first", "second", "arms", "rivals", "cells")  # fields that hold settings


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kind(abc.ABC):
    """The test of one claim; each kind of test is a class of its own.

    Its fields are those of the claim's `test` entry in the ledger, with their types (see
    `grammar.read`); a name that Python reserves ends in "_". What all tests of a kind have in
    common stands in the class:

    Attributes:
        type: Its name in the ledger.
        either: Groups of fields of which exactly one must be there, whole.
        has_p: Whether it gives a p value, without which a claim cannot be primary.
        new_run: Whether its interval is that of one new run, not of a mean.
        from_report: Whether it asks for a quantity of one arm, the difference of two, or that of
            two differences, which a report's own numbers can give (see `published`).
    """

    type: ClassVar[str] = ""
    either: ClassVar[tuple[tuple[str, ...], ...]] = ()
    has_p: ClassVar[bool] = True
    new_run: ClassVar[bool] = False
    from_report: ClassVar[bool] = False

    @classmethod
    def read(cls, entry: Mapping[str, Any], where: str) -> Self:
        """Return the test that an entry of the ledger says; `where` names it in messages.

        Raises:
            HplabError: If a field is missing, unknown or impossible.
        """
        test = cls(**grammar.read(cls, entry, where))
        test.check(where)
        return test

    @abc.abstractmethod
    def evaluate(self, claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
        """Return what the runs say about a claim by this test of it.

        Raises:
            Missing: If they do not allow the test, with what is missing.
            HplabError: If the table holds several runs for one arm and seed.
        """

    def guarded(self, claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
        """Return the same; open where the runs that are left would have to speak for all."""
        finding = self.evaluate(claim, runs, curves)
        for why in (_diverged(claim, finding), _collapse_differs(claim, finding)):
            finding = finding.only_at_face(why) if why else finding
        return finding

    @property
    def settings(self) -> list[Mapping[str, Any]]:
        """The settings it compares, in the order of `Sample.rows`."""
        found: list[Mapping[str, Any]] = []
        for held in (getattr(self, name, None) for name in _ARMS):
            found += [held] if isinstance(held, dict) else held or ()
        return found

    @property
    def measured(self) -> list[Quantity]:
        """Every quantity it takes off the runs."""
        return [value for value in vars(self).values() if isinstance(value, Quantity)]

    @property
    def columns(self) -> set[str]:
        """The final columns it takes from the table of runs."""
        return set().union(*(quantity.columns for quantity in self.measured))

    @property
    def curves(self) -> set[str]:
        """The learning curves it reads."""
        return set().union(*(quantity.curves for quantity in self.measured))

    @property
    def fewest(self) -> int:
        """The fewest seeds that give any outcome, where that is more than a claim's minimum."""
        return 0

    @property
    def no_miniature(self) -> str:
        """Why smaller runs cannot show it, "" if they can."""
        return ""

    @property
    def units(self) -> Collection[str]:
        """The units that its sizes may have."""
        return {quantity.unit for quantity in self.measured}

    def check(self, where: str) -> None:
        """Check what one field says against the others.

        Raises:
            HplabError: If a size has another unit than what it is held against.
        """
        for name, size in vars(self).items():
            if isinstance(size, Size):
                size.check(self.units, f"{where}, {name}")


def _diverged(claim: Claim, finding: Finding) -> str:
    """Return why diverged runs leave too few to decide, "" if they do not."""
    n, n_diverged = finding.sample.n_run, finding.sample.n_diverged
    if n_diverged <= claim.max_diverged_share * n:
        return ""
    return f"{n_diverged} of {n} seeds diverged; the others cannot decide for all of them."


def _collapse_differs(claim: Claim, finding: Finding) -> str:
    """Return why those that learn do not speak for their settings, "" if they do."""
    events = finding.sample.collapsed
    pairs = list(itertools.combinations(range(len(events)), 2))
    for i, j in pairs:
        found = proportions.excess(events[i][0], events[j][0], events[i][1])
        if found.p * len(pairs) < claim.alpha:
            arms = finding.sample.arms
            return (
                f"Runs collapse more often at one of {arms[i]} and {arms[j]} than at the other "
                f"({phrases.p_value(found.p * len(pairs))}), so those that learn do not speak for "
                "their settings."
            )
    return ""
