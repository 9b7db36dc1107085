"""All kinds of tests by name, from the entry in the ledger to the finding.

The kinds are in `contrasts` (one effect a seed), `grids` (several settings), `stated` (a stated
value) and `events` (how often); here are the test of several tests, and the claim without one. A
new kind is a class in one of these modules, named in its `KINDS`, and a rule in the ledger.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pandas as pd

from hplab.analysis.claims import grammar
from hplab.analysis.claims.claim import Claim
from hplab.analysis.claims.decisions import Finding, all_distances
from hplab.analysis.claims.kinds import contrasts, events, grids, stated
from hplab.analysis.claims.kinds.kind import Kind
from hplab.analysis.claims.quantities import Curves, Missing, Quantity
from hplab.analysis.stats import evidence, proportions
from hplab.analysis.stats.evidence import Evidence
from hplab.trial import HplabError, unknown


class Untestable(Missing):
    """Why no run could decide a claim."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class All(Kind):
    """Several tests that all have to hold."""

    type = "all"
    parts: tuple[Kind, ...]

    @classmethod
    def read(cls, entry: Mapping[str, Any], where: str) -> All:
        """See `Kind.read`; each part is an entry of its own."""
        grammar.fields(entry, ("type", "parts"), ("common",), f"{where}, test")
        entries = grammar.sequence(entry["parts"], f"{where}, parts")
        parts = tuple(read(part, f"{where}, part") for part in entries)
        if len(parts) < 2 or any(isinstance(part, (All, Untested)) for part in parts):
            raise HplabError(f"{where}: 'all' needs two parts or more, each a test of its own")
        return cls(parts=parts)

    def guarded(self, claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
        """Return what it finds; each part is guarded by itself: one may decide, another not."""
        return self.evaluate(claim, runs, curves)

    def evaluate(self, claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
        """See `Kind.evaluate`; the sample with the fewest seeds run stands for all."""
        found = [part.guarded(claim, runs, curves) for part in self.parts]
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
            each=tuple(found),
        )

    @property
    def settings(self) -> list[Mapping[str, Any]]:
        """Those of all parts, each once."""
        found = [arm for part in self.parts for arm in part.settings]
        return [arm for i, arm in enumerate(found) if arm not in found[:i]]

    @property
    def measured(self) -> list[Quantity]:
        """Those of all parts."""
        return [quantity for part in self.parts for quantity in part.measured]

    @property
    def columns(self) -> set[str]:
        """Those of all parts."""
        return set().union(*(part.columns for part in self.parts))

    @property
    def curves(self) -> set[str]:
        """Those of all parts."""
        return set().union(*(part.curves for part in self.parts))

    @property
    def fewest(self) -> int:
        """The most that a part needs."""
        return max(part.fewest for part in self.parts)

    @property
    def no_miniature(self) -> str:
        """The reason of the first part that has one."""
        return next((part.no_miniature for part in self.parts if part.no_miniature), "")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Untested(Kind):
    """A claim that no run can decide."""

    type = "none"
    has_p = False
    why: str

    @property
    def no_miniature(self) -> str:
        """The same reason."""
        return self.why

    def evaluate(self, claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
        """Raise `Untestable`."""
        raise Untestable(self.why)


KINDS: dict[str, type[Kind]] = {
    kind.type: kind
    for kinds in (contrasts.KINDS, grids.KINDS, stated.KINDS, events.KINDS, (All, Untested))
    for kind in kinds
}


def read(entry: Any, where: str) -> Kind:
    """Return the test that an entry of the ledger says.

    Args:
        entry: A `test` of the file: the name of a kind as "type", and its fields.
        where: Which claim, for messages.

    Raises:
        HplabError: If a field is missing, unknown or impossible.

    Example:
        >>> read({"type": "none", "why": "Times are not tested."}, "claim X").no_miniature
        'Times are not tested.'
    """
    entry = grammar.mapping(entry, where)
    if str(entry.get("type")) not in KINDS:
        raise unknown("test type", entry.get("type"), KINDS, where)
    return KINDS[entry["type"]].read(entry, where)


def evaluate(claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding:
    """Return what a claim's test finds on a table of runs.

    Raises:
        Untestable: If no run can decide the claim.
        Missing: If the runs do not allow the test, with what is missing.
        HplabError: If the table holds several runs for one arm and seed.
    """
    finding = claim.test.guarded(claim, runs, curves)
    if why := _short(finding):
        finding = finding.only_at_face(why)
    return _with_collapse(claim, finding)


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


def _with_collapse(claim: Claim, finding: Finding) -> Finding:
    """Add the other of two parts where runs collapse: how many do, with an exact interval."""
    rows = []
    for arm, (count, n) in zip(finding.sample.arms, finding.sample.collapsed, strict=False):
        share = proportions.proportion_interval(count, n, level=1 - claim.alpha, method="exact")
        part = f"collapse{f' at {arm}' if arm else ''}: {count} of {n}"
        rows.append({"part": part, "interval": share.scaled(100), "unit": "%", "outcome": ""})
    return dataclasses.replace(finding, parts=(*finding.parts, *rows))
