"""What a store needs: its faults, what was done to it, and records that other code made. Text."""

from __future__ import annotations

import platform
from collections import Counter
from pathlib import Path

from hplab.pages.tables.doctor import aligned
from hplab.sweeps import declared, presets, provenance
from hplab.sweeps.records import shown
from hplab.sweeps.store import Store
from hplab.sweeps.upkeep import Done
from hplab.trial import HplabError, canonical

STATES = SAME, OTHER, UNTOLD = ("this code", "other code", "cannot be told")
NO_STUDY = "(in no study's list)"


def done(what: Done, verb: str) -> str:
    """Return what was written and deleted, a line a file, and a line of counts."""
    lines = [f"wrote {shown(path)}" for path in what.written]
    lines += [f"{verb} {shown(path)}" for path in what.deleted]
    counts = f"{what.n_records} records, {len(what.written)} files written, {len(what.deleted)} "
    known = f"; {what.n_known} were here already" if what.n_known else ""
    return "\n".join([*lines, f"{counts}{verb}{known}"])


def stale(store: Store, book: Path) -> str:
    """Say which records were made with other code than this, by study.

    Such a record need not be wrong: the canary tests say whether the code still gives what is
    recorded.

    Args:
        store: Where records are.
        book: The folder of the book, whose `trials.jsonl` says which study a trial is of.
    """
    code, python = provenance.code_digest(), platform.python_version()
    found_in, states = studies(book / "trials.jsonl"), _States(store, code, python)
    counts: dict[str, Counter[str]] = {}
    whole: Counter[str] = Counter()
    for head in store.heads():
        state = states[str(head.get("prov"))]
        whole[state] += 1
        for study in found_in.get(canonical(head["config"]), {NO_STUDY}):
            counts.setdefault(study, Counter())[state] += 1
    rows = [(study, *(found[s] for s in STATES)) for study, found in sorted(counts.items())]
    told = (
        f"{whole[OTHER]} of {whole.total()} records were made with other code than this, {code}; "
        f"of {whole[UNTOLD]} it cannot be told, since another Python made them or no description "
        "is there"
    )
    return "\n".join([*aligned(("study", *STATES), rows), told])


class _States(dict[str, str]):
    """What each description of an environment says of the code, looked up once."""

    def __init__(self, store: Store, code: str, python: str) -> None:
        super().__init__()
        self.store, self.code, self.python = store, code, python

    def __missing__(self, name: str) -> str:
        try:
            made = self.store.provenance(name)
        except HplabError:
            made = {}
        minor = [version.split(".")[:2] for version in (self.python, str(made.get("python")))]
        if made.get("code") == self.code:
            self[name] = SAME
        else:
            self[name] = OTHER if made and minor[0] == minor[1] else UNTOLD
        return self[name]


def studies(path: Path) -> dict[str, set[str]]:
    """Return the studies that each setting is of, as any preset runs it."""
    if not path.is_file():
        return {}
    found: dict[str, set[str]] = {}
    settings = {(study, trial.setting): trial for study, trial in declared.read(path)}
    for (study, _), trial in settings.items():
        for preset in presets.PRESETS.values():
            found.setdefault(preset.scale(trial).setting, set()).add(study)
    return found
