"""Tables that prose pages take from where the facts live: presets, records, executed notebooks.

A prose page says where a table goes with a comment line, `% hplab: presets`. The line is replaced
when the book is staged, so no number of runs, version or time is ever typed.
"""

from __future__ import annotations

import datetime
import json
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hplab.pages.tables import doctor
from hplab.pages.tables.markdown import table
from hplab.sweeps.records import DamagedError
from hplab.trial import TASK, HplabError

TOOLS = ("jupyter-book", "sphinx", "myst-nb", "sphinx-book-theme", "papermill", "jupytext")
Record = Mapping[str, Any]


def tables(
    notebooks: Sequence[Path], store: Any = None, *, repository: str = ""
) -> dict[str, Callable[[], str]]:
    """Return the tables of this module by the name that a page asks for.

    Args:
        notebooks: Executed notebooks of the studies.
        store: Where records are read from; None for the default one.
        repository: Address of the repository, for the commands that clone it.
    """
    return {
        "clone": lambda: clone(repository),
        "presets": presets,
        "pages": lambda: pages(notebooks),
        "records": lambda: records(_all_records(store), _lookup(store)),
        "cost": lambda: cost(_all_records(store), _lookup(store)),
        "tools": tools,
    }


def clone(repository: str) -> str:
    """The two commands that make this book from nothing."""
    folder = repository.rstrip("/").rsplit("/", 1)[-1]
    return f"```console\n$ git clone {repository} && cd {folder}\n$ make execute\n```"


def presets() -> str:
    """The four presets: name, seeds and what each is for."""
    from hplab.sweeps.presets import PRESETS

    rows = [
        (
            f"`{preset.name}`",
            "the report's own" if not preset.stand_in else "handwritten digits",
            preset.n_seeds,
            preset.summary,
        )
        for preset in PRESETS.values()
    ]
    return table(("preset", "data and model", "seeds", "what it is for"), rows)


def pages(notebooks: Iterable[Path]) -> str:
    """What each study's page was made with: preset, device, when, how long, on which Python."""
    rows = []
    for path in sorted(notebooks):
        metadata = json.loads(path.read_text(encoding="utf-8")).get("metadata", {})
        stamp, run = metadata.get("hplab", {}), metadata.get("papermill", {})
        given = run.get("parameters", {})
        seconds = stamp.get("seconds", run.get("duration"))
        rows.append(
            (
                f"{{doc}}`studies/{path.stem}`",
                stamp.get("preset") or given.get("preset"),
                stamp.get("device") or given.get("device"),
                _day(stamp.get("started") or run.get("start_time")),
                None if seconds is None else _seconds(float(seconds)),
                metadata.get("language_info", {}).get("version"),
            )
        )
    head = ("study", "preset asked for", "device", "executed", "took", "Python")
    return table(head, rows) if rows else "No study has been executed yet."


def records(found: Iterable[Record], provenance: Callable[[str], Mapping[str, Any]]) -> str:
    """How many trials there are of each data set, where they ran, when and with which versions."""
    groups: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    days: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for record in found:
        origin = provenance(str(record.get("prov", "")))
        key = (
            str(record["config"].get("data", "?")),
            _device(record, origin),
            str(origin.get("torch", "?")),
            str(origin.get("python", "?")),
        )
        groups[key][record["status"]] += 1
        days[key].add(_day(origin.get("date")))
    rows = [
        (data, sum(counts.values()), counts["diverged"], device, torch, python, _span(days[key]))
        for key, counts in sorted(groups.items())
        for data, device, torch, python in [key]
    ]
    head = ("data", "trials", "diverged", "ran on", "torch", "Python", "when")
    return table(head, rows) if rows else "There are no records yet."


def cost(found: Iterable[Record], provenance: Callable[[str], Mapping[str, Any]]) -> str:
    """What one training run cost, by data set, model, length and number format: median seconds."""
    groups: dict[tuple[str, str, int, str, str], list[float]] = defaultdict(list)
    for record in found:
        config, spent = record["config"], record.get("cost", {}).get("train_s")
        if spent is not None and record["task"] == TASK:
            device = _device(record, provenance(str(record.get("prov", ""))))
            what = str(config.get("data")), str(config.get("model")), int(config["epochs"])
            groups[*what, str(config.get("precision", "fp32")), device].append(float(spent))
    rows = [
        (*key, len(spent), _seconds(statistics.median(spent)))
        for key, spent in sorted(groups.items())
    ]
    head = ("data", "model", "epochs", "precision", "device", "trials", "training, median")
    return table(head, rows) if rows else "There are no records yet."


def tools() -> str:
    """The versions of what made these pages."""
    return table(("tool", "version"), [(name, doctor.version(name)) for name in TOOLS])


def _all_records(store: Any) -> list[Record]:
    """Every record, or none when there is no store to read."""
    try:
        return list(_store(store).records())
    except (HplabError, OSError):
        return []


def _lookup(store: Any) -> Callable[[str], Mapping[str, Any]]:
    known: dict[str, Mapping[str, Any]] = {}

    def find(name: str) -> Mapping[str, Any]:
        if name not in known:
            try:
                known[name] = _store(store).provenance(name)
            except DamagedError:
                raise
            except (HplabError, OSError):  # none is recorded, which the table says
                known[name] = {}
        return known[name]

    return find


def _store(store: Any) -> Any:
    if store is not None:
        return store
    from hplab.sweeps.store import default_store

    return default_store()


def _device(record: Record, origin: Mapping[str, Any]) -> str:
    device = origin.get("device") or {}
    named = device.get("name") if isinstance(device, Mapping) else device
    return str(named or record.get("cost", {}).get("device") or "not noted")


def _seconds(value: float) -> str:
    return f"{value:.2g} s" if value < 10 else f"{value:.0f} s"


def _day(moment: Any) -> str:
    try:
        return datetime.datetime.fromisoformat(str(moment)).date().isoformat()
    except ValueError:
        return ""


def _span(days: Iterable[str]) -> str:
    known = sorted(day for day in days if day)
    if not known:
        return ""
    return known[0] if known[0] == known[-1] else f"{known[0]} to {known[-1]}"
