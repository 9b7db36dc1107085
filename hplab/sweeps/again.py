"""Records made a second time, beside those that are committed: which came out the same?

The canaries of the tests are a few dozen short trials that every change of code trains. This is the
same question asked of every record of a preset, before they are replaced or added to.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from hplab.sweeps.records import Record, max_delta, same_result
from hplab.sweeps.store import Store
from hplab.trial import canonical

EQUAL, MOVED, NEW, GONE = "equal", "moved", "new", "gone"
MOST_LINES = 20


@dataclasses.dataclass(frozen=True)
class Change:
    """What became of one trial.

    Attributes:
        kind: "equal", "moved", "new" (was not recorded) or "gone" (was not trained again).
        record: The new record, or the old one of a trial that is gone.
        delta: The largest difference between two final metrics; infinite if the status changed.
        kept: Whether the committed records hold this very key.
    """

    kind: str
    record: Record
    delta: float = 0.0
    kept: bool = True

    def __str__(self) -> str:
        config, seed = self.record["config"], self.record["seed"]
        said = {k: v for k, v in config.items() if k not in ("data", "measure")}
        return f"{self.kind} by {self.delta:.2g}: {canonical(said)} seed {seed}"


def compare(before: Store, after: Store, data: str) -> list[Change]:
    """Return what became of each trial on a data set, those that moved most first.

    Trials are the same if data, configuration and seed are; versions of the task may differ.
    """
    old = {_identity(record): record for record in _by_version(before.records(data))}
    new = {_identity(record): record for record in _by_version(after.records(data))}
    changes = [_change(old.get(name), record, before) for name, record in new.items()]
    changes += [Change(GONE, old[name]) for name in old.keys() - new.keys()]
    return sorted(changes, key=lambda change: (-change.delta, change.kind, change.record["key"]))


def summary(changes: Iterable[Change]) -> str:
    """Return how many trials came out the same, how far the others moved, and the farthest."""
    changes = list(changes)
    counts = {kind: sum(c.kind == kind for c in changes) for kind in (EQUAL, MOVED, NEW, GONE)}
    line = f"{len(changes)} trials: {counts[EQUAL]} equal to the last digit, {counts[MOVED]} moved"
    line += f", {counts[NEW]} not recorded before, {counts[GONE]} recorded and trained no more"
    moved = [change for change in changes if change.kind == MOVED]
    lines = [line, *(f"  {change}" for change in moved[:MOST_LINES])]
    if len(moved) > MOST_LINES:
        lines.append(f"  and {len(moved) - MOST_LINES} that moved less")
    return "\n".join(lines)


def unrecorded(changes: Iterable[Change]) -> list[Record]:
    """Return the new records whose keys the committed ones do not hold."""
    return [change.record for change in changes if not change.kept]


def _change(old: Record | None, new: Record, before: Store) -> Change:
    kept = before.has(new["key"])
    if old is None:
        return Change(NEW, new, kept=kept)
    if same_result(old, new):
        return Change(EQUAL, new, kept=kept)
    delta = max_delta([old["status"], old["final"]], [new["status"], new["final"]])
    return Change(MOVED, new, delta, kept)


def _identity(record: Record) -> str:
    return canonical({name: record[name] for name in ("task", "data", "config", "seed")})


def _by_version(records: Iterable[Record]) -> list[dict[str, Any]]:
    """Return the records, the newest version of a task last."""
    return sorted(records, key=lambda record: record["task_version"])
