"""The ledger of claims: read once, checked at the door, and typed from there on.

The file holds what the reports say and how each statement is decided. Everything that a test needs
is checked here, so that a misspelt field or a forgotten margin is an error of the file and never a
wrong verdict.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from hplab import places
from hplab.analysis.claims.claim import Claim, Report
from hplab.analysis.claims.grammar import fields, mapping
from hplab.analysis.claims.kinds import registry
from hplab.trial import HplabError, unknown

SCHEMA = "hplab-claims/1"
OWN_VERDICTS = (
    "supported",
    "contradicted",
    "mixed",
    "unclear",
    "invalid-evidence",
    "not-tested",
    "not-available",
    "not-applicable",
)
TRAINING = ("running", "evaluated", "not published")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's is ten times as fast
_CLAIM = ("id", "report", "study", "section", "says", "primary", "test", "own_data")
_CLAIM_OPTIONAL = ("quote", "seeds", "min_seeds", "note")


class Ledger:
    """All claims by id, in the order of the file.

    Attributes:
        changes: What was changed after it was fixed: "date", "what" and "why" of each.
    """

    def __init__(self, claims: Iterable[Claim], changes: Iterable[Mapping[str, Any]] = ()) -> None:
        self._claims = {claim.id: claim for claim in claims}
        self.changes = tuple(changes)

    def __iter__(self):
        return iter(self._claims.values())

    def __len__(self) -> int:
        return len(self._claims)

    def __getitem__(self, claim_id: str) -> Claim:
        if claim_id not in self._claims:
            raise unknown("claim", claim_id, self._claims, "the ledger")
        return self._claims[claim_id]

    def family(self, claim: Claim) -> list[Claim]:
        """Return the primary claims that share Holm's correction: same report, same study."""
        same = (claim.report.id, claim.study)
        return [c for c in self if c.primary and (c.report.id, c.study) == same]


def load(path: Path | None = None) -> Ledger:
    """Read and check the ledger.

    Args:
        path: The file; None looks for the project's own.

    Raises:
        HplabError: If the file is missing, is not YAML, or says something it may not; the message
            names the claim and the field.
    """
    path = path or places.ledger()
    try:
        changed = path.stat().st_mtime_ns
    except OSError as error:
        raise HplabError(f"cannot read the ledger {path}: {error.strerror}") from error
    try:
        return _load(path, changed)
    except (TypeError, ValueError, LookupError, AttributeError, RecursionError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise HplabError(f"{path.name} does not have the form of a ledger ({reason})") from error


@functools.lru_cache(maxsize=4)
def _load(path: Path, _changed: int) -> Ledger:
    content = mapping(_yaml(path), path.name)
    fields(content, ("schema", "defaults", "rules", "reports", "claims"), ("changes",), path.name)
    if content["schema"] != SCHEMA:
        raise HplabError(f"{path.name} has schema {content['schema']!r}; this hplab reads {SCHEMA}")
    defaults = mapping(content["defaults"], "defaults")
    fields(defaults, ("alpha", "seeds", "min_seeds", "max_diverged_share"), (), "defaults")
    reports = {
        str(name): _report(str(name), mapping(entry, f"report {name}"), path.parent)
        for name, entry in mapping(content["reports"], "reports").items()
    }
    seen: set[str] = set()
    claims = []
    for entry in content["claims"]:
        claim = _claim(mapping(entry, "a claim"), reports, content["rules"], defaults)
        if claim.id in seen:
            raise HplabError(f"claim {claim.id} stands twice in the ledger")
        seen.add(claim.id)
        claims.append(claim)
    changes = [mapping(change, "a change") for change in content.get("changes", ())]
    for change in changes:
        fields(change, ("date", "what", "why"), (), "a change of the ledger")
    return Ledger(claims, changes)


def _claim(
    entry: Mapping[str, Any],
    reports: Mapping[str, Report],
    rules: Mapping[str, str],
    defaults: Mapping[str, Any],
) -> Claim:
    where = f"claim {entry.get('id', '?')}"
    fields(entry, _CLAIM, _CLAIM_OPTIONAL, where)
    if str(entry["report"]) not in reports:
        raise unknown("report", entry["report"], reports, where)
    own = mapping(entry["own_data"], where)
    fields(own, ("verdict", "why"), ("cause",), f"{where}, own_data")
    if own["verdict"] not in OWN_VERDICTS:
        raise unknown("own-data verdict", own["verdict"], OWN_VERDICTS, where)
    test = registry.read(entry["test"], where)
    if test.type not in rules:
        raise unknown("rule", test.type, rules, f"{where}: no rule is written for it")
    if not isinstance(entry["primary"], bool):
        raise HplabError(f"{where}: primary must be true or false, got {entry['primary']!r}")
    if entry["primary"] and not test.has_p:
        raise HplabError(f"{where}: a {test.type} test has no p value and cannot be primary")
    report = reports[str(entry["report"])]
    return Claim(
        **{name: entry[name] for name in ("id", "study", "section", "primary")},
        report=report,
        says=entry["says"].strip(),
        test=test,
        rule=rules[test.type].strip(),
        seeds=entry.get("seeds", report.seeds or defaults["seeds"]),
        min_seeds=entry.get("min_seeds", defaults["min_seeds"]),
        max_diverged_share=defaults["max_diverged_share"],
        alpha=defaults["alpha"],
        own_verdict=own["verdict"],
        own_why=own["why"].strip(),
        own_cause=own.get("cause", ""),
        quote=entry.get("quote", ""),
        note=entry.get("note", "").strip(),
    )


def _report(name: str, entry: Mapping[str, Any], folder: Path) -> Report:
    where = f"report {name}"
    needed = ("title", "reference", "reconstructed", "training", "fixed", "setting", "caveat")
    fields(entry, needed, ("seeds", "setups"), where)
    training = mapping(entry["training"], f"{where}, training")
    fields(training, ("how", "why"), (), f"{where}, training")
    if training["how"] not in TRAINING:
        raise unknown("way to measure training", training["how"], TRAINING, where)
    reference = mapping(_yaml(folder / entry["reference"]), entry["reference"])
    percent = [k for k, unit in reference["units"].items() if unit == "percent"]
    published = tuple(
        {key: value / 100 if key in percent else value for key, value in run.items()}
        for run in reference["runs"]
    )
    return Report(
        name,
        entry["title"],
        entry["fixed"],
        entry["setting"],
        entry["caveat"].strip(),
        entry["reconstructed"],
        published,
        reference["source"].strip(),
        entry.get("seeds"),
        mapping(entry.get("setups", {}), f"{where}, setups"),
        training["how"],
        training["why"].strip(),
    )


def _yaml(path: Path) -> Any:
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)
    except OSError as error:
        raise HplabError(f"cannot read {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        reason = str(error).replace("\n", " ")
        raise HplabError(f"{path.name} is not valid YAML: {reason}") from error
