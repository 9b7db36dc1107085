"""A claim of a report, and the report: what the ledger says of them, typed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Report:
    """A published report: what its settings were and where its numbers are.

    Attributes:
        id, title: Its number here and its own title.
        fixed: Hyperparameters that must be as stated for a run to count at all.
        setting: Hyperparameters of the report's own setting that a preset may change.
        caveat: What had to be inferred.
        reconstructed: Whether so much of the setting was inferred that a missed number may be ours.
        published: Its printed numbers, one mapping a run, accuracies as shares.
        source: Where those numbers are printed.
        seeds: Planned seeds of its claims, where they differ from the ledger's default.
        setups: Of a reconstructed report, the set-ups that are plausible: name to the fields of a
            trial that differ from the study's own (see `hplab.analysis.claims.setups`).
        training: How it measured training, one of `ledger.TRAINING`; `training_why` says how we
            know.
    """

    id: str
    title: str
    fixed: Mapping[str, Any]
    setting: Mapping[str, Any]
    caveat: str
    reconstructed: bool
    published: tuple[Mapping[str, Any], ...]
    source: str
    seeds: int | None = None
    setups: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    training: str = "running"
    training_why: str = ""


@dataclasses.dataclass(frozen=True)
class Claim:
    """A sentence of a report made testable.

    Attributes:
        id: Its name in the ledger.
        report: The report it comes from.
        study, section: The study it belongs to and where the report says it.
        says: The claim in our words; `quote` holds a few of the report's own where they matter.
        primary: Whether it counts in Holm's correction.
        test: How it is decided, a `Kind` (`hplab.analysis.claims.kinds`) with its fields. Not named
            as a type here, since a kind knows claims.
        rule: How this type of test decides, in words.
        seeds, min_seeds: Planned seeds, and the fewest that give any verdict.
        max_diverged_share: Share of diverged seeds above which there is no decision.
        alpha: Two-sided level.
        own_verdict, own_why: What the report's own published data say.
        own_cause: What misled the report, where something other than one run a setting did.
        quote, note: May be empty.
    """

    id: str
    report: Report
    study: str
    section: str
    says: str
    primary: bool
    test: Any
    rule: str
    seeds: int
    min_seeds: int
    max_diverged_share: float
    alpha: float
    own_verdict: str
    own_why: str
    own_cause: str = ""
    quote: str = ""
    note: str = ""
