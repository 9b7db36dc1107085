"""What runs have cost, as `hplab cost` prints it: runs, seconds of cores and cards, joules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from hplab.errors import unknown
from hplab.pages.tables import upkeep
from hplab.pages.tables.doctor import aligned
from hplab.sweeps import energy
from hplab.sweeps.store import FUNCTION, Store
from hplab.trial import canonical

HEAD = ("what", "runs", "core-hours", "GPU-hours", "kJ (processor)", "kJ (card)")
NO_STUDY = "(in no study)"
NOTE = (
    "energy is what counters say where they could be read (RAPL, NVML), with all that the device "
    "did meanwhile; '-' where no run was measured, '>' where only some were"
)


class Cost(NamedTuple):
    """What runs have cost together.

    Attributes:
        runs: How many they are.
        core_s: Seconds of processor cores.
        gpu_s: Seconds of graphics cards.
        joules: Joules by kind of counter.
        measured: How many of the runs were measured, by kind.
    """

    runs: int
    core_s: float
    gpu_s: float
    joules: dict[str, float]
    measured: dict[str, int]


def of_records(heads: Iterable[Mapping[str, Any]]) -> Cost:
    """Return what records have cost.

    A run on a graphics card counts for that alone; the seconds of trials that trained side by side
    are those of the stack, in equal parts. Of a function the time of its process is known, which
    counts as one core.
    """
    runs, core, gpu = 0, 0.0, 0.0
    joules = {energy.CPU: 0.0, energy.GPU: 0.0}
    measured = {energy.CPU: 0, energy.GPU: 0}
    for head in heads:
        cost = head.get("cost") or {}
        seconds = float(cost.get("train_s") or 0) + float(cost.get("eval_s") or 0)
        runs += 1
        if str(cost.get("device") or "cpu").startswith("cpu"):
            core += seconds * (cost.get("threads") or 1)
        else:
            gpu += seconds
        for kind in joules:
            if kind in cost:
                joules[kind] += cost[kind]
                measured[kind] += 1
    return Cost(runs, core, gpu, joules, measured)


def table(store: Store, book: Path, what: str = "") -> str:
    """Return a row a study and a sweep with what its runs have cost, as text.

    A run that belongs to several studies is in each of them; in the sum it is there once.

    Args:
        store: Where records are.
        book: The folder of the book, whose `trials.jsonl` says which study a trial is of.
        what: Only this study, sweep or claim; of a claim the runs that its verdict rests on.

    Raises:
        HplabError: If there is nothing of that name.
    """
    groups = _groups(store, book)
    if what and what not in groups:
        keys = _of_claim(what, store, groups)
        if not keys:
            return _none_yet(what, store, book)
        groups = {what: [head for head in store.heads() if head["key"] in keys]}
    elif what:
        groups = {what: groups[what]}
    rows = [_row(name, of_records(heads)) for name, heads in sorted(groups.items())]
    if len(groups) > 1:
        rows.append(_row("in all", of_records(store.heads())))
    missing = "; ".join(energy.Meter().missing.values())
    here = [f"not to be measured on this machine: {missing}"] if missing else []
    return "\n".join([*aligned(HEAD, rows), NOTE, *here]) if rows else "there are no records yet"


def _groups(store: Store, book: Path) -> dict[str, list[Mapping[str, Any]]]:
    """Return the records of each study and each sweep."""
    studies = upkeep.studies(book / "trials.jsonl")
    found: dict[str, list[Mapping[str, Any]]] = {}
    for head in store.heads():
        if head["task"] == FUNCTION:
            names = {str(head["config"]["function"])}
        else:
            names = studies.get(canonical(head["config"]), {NO_STUDY})
        for name in names:
            found.setdefault(name, []).append(head)
    return found


def _of_claim(claim_id: str, store: Store, names: Iterable[str]) -> set[str]:
    """Return the keys of the runs that a claim's verdict rests on."""
    from hplab.analysis.claims import ledger, rerun

    claims = ledger.load()
    if claim_id not in {claim.id for claim in claims}:
        raise unknown("study, sweep or claim", claim_id, {*names, *(c.id for c in claims)})
    return rerun.keys_of(claims[claim_id], store)


def _none_yet(claim_id: str, store: Store, book: Path) -> str:
    """Return what a claim that no run decides would cost."""
    from hplab.analysis.claims import ledger, wanted
    from hplab.pages.tables import torun

    if not (book / "trials.jsonl").is_file():
        return torun.none_yet(ledger.load()[claim_id], wanted.Lack(), lambda _: None)
    lacks, seconds = torun.of_book(book, store)
    return torun.none_yet(ledger.load()[claim_id], lacks[claim_id], seconds)


def _row(name: str, cost: Cost) -> tuple[str, ...]:
    joules = [_joules(cost, kind) for kind in (energy.CPU, energy.GPU)]
    return (name, str(cost.runs), f"{cost.core_s / 3600:.3g}", f"{cost.gpu_s / 3600:.3g}", *joules)


def _joules(cost: Cost, kind: str) -> str:
    if not cost.measured[kind]:
        return "-"
    sign = ">" if cost.measured[kind] < cost.runs else ""
    return f"{sign}{cost.joules[kind] / 1000:.3g}"
