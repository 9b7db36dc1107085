"""Runs as every tracker can hold them: settings, seed, how they ended, metrics, curves, units.

A tracker has no place for some of it, such as that a run diverged. So each run also carries a small
note of JSON, by which `table` gives the same table of runs when the tracker's file is read here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any, NamedTuple

import pandas as pd

from hplab.errors import HplabError
from hplab.sweeps import foreign, series
from hplab.sweeps import metrics as named
from hplab.sweeps import store as stores
from hplab.sweeps import table as schema
from hplab.sweeps.records import digest_of
from hplab.trial import canonical

NOTE = "hplab"  # what the note is called, with a "_" before it where settings stand
_UNITS = {"%": "share", "pp": "difference of shares"}  # what a table holds of what is shown so
_LONGEST = 120  # name of a run


class Run(NamedTuple):
    """One run.

    Attributes:
        name: What people know it by: the settings that differ, and the seed. No two are the same.
        key: 32 hex digits that name it.
        settings: Its settings, without those that have no value.
        seed: Its seed; None where runs have none.
        status: "ok", "diverged", "stopped", or what another tool said.
        final: Its results, those that are finite.
        curves: Its metrics by epoch, from 1, those that are finite.
    """

    name: str
    key: str
    settings: dict[str, Any]
    seed: int | None
    status: str
    final: dict[str, float]
    curves: dict[int, dict[str, float]]

    @property
    def epochs(self) -> int:
        """How many epochs its curves have."""
        return max(self.curves, default=0)

    @property
    def config(self) -> dict[str, Any]:
        """Its settings and its seed, as a tracker's settings."""
        return self.settings if self.seed is None else {**self.settings, "seed": self.seed}

    def rows(self) -> dict[int, dict[str, float]]:
        """Return what to log by step, so that the last value of each metric is its result.

        A result that is not the last value of its curve has a step of its own after the curves.
        """
        rows = {step: dict(row) for step, row in self.curves.items()}
        last: dict[str, float] = {}
        for row in rows.values():
            last |= row
        for name, value in self.final.items():
            if name not in last:
                rows.setdefault(self.epochs, {})[name] = value
            elif last[name] != value:
                rows.setdefault(self.epochs + 1, {})[name] = value
        return dict(sorted(rows.items()))


class Batch(NamedTuple):
    """Runs to be written.

    Attributes:
        title: What they are together: the name of the project, experiment or study.
        runs: The runs.
        metrics: The metrics, the most important first.
        units: The units of those metrics that have one.
    """

    title: str
    runs: tuple[Run, ...]
    metrics: tuple[str, ...]
    units: dict[str, str]

    def note(self, run: Run) -> str:
        """Return the note of a run, as JSON."""
        said: dict[str, Any] = {"key": run.key, "status": run.status, "seed": run.seed}
        said |= {"final": run.final, "epochs": run.epochs}
        said |= {"settings": list(run.settings), "metrics": self.metrics}
        return json.dumps({**said, "units": self.units}, sort_keys=True)


def of(runs: pd.DataFrame, title: str, store: stores.Store | None = None) -> Batch:
    """Return what is to be written of a table of runs.

    Args:
        runs: One row a run, as `hp.run` or `hp.sweep` gives it, or as `files.read` reads it.
        title: What the runs are together.
        store: Where their curves are; None takes the project's own.

    Raises:
        HplabError: If the table holds no runs, or nothing in it is known to be a metric.
    """
    if runs.empty:
        raise HplabError("there are no runs to export")
    own = is_own(runs)
    if own:
        settings = schema.hyperparameters(runs)
        found = [name for name in schema.results(runs) if name != "lanes"]
        metrics = sorted(found, key=named.order)
        frame, curves = runs.reset_index(drop=True), _curves(runs, store)
        has_seed = "seed" in runs
    else:
        known = foreign.of(runs)
        settings, metrics = list(known.settings), list(known.metrics)
        left = known.left_out.assign(status=known.left_out.get("state"))
        frame = pd.concat([known.runs, left], ignore_index=True) if len(left) else known.runs
        curves, has_seed = known.curves, known.seed is not None
    rows = [_plain(row, settings) for row in frame[settings].to_dict("records")]
    seeds = [int(seed) for seed in frame["seed"]] if has_seed else [None] * len(frame)
    along = _along(curves, metrics)
    states = frame["status"].astype(str) if "status" in frame else ["ok"] * len(frame)
    finals = [_numbers(row) for row in frame[metrics].to_dict("records")]
    keys = list(frame["key"].astype(str)) if "key" in frame else [""] * len(frame)
    ids = keys if own and "key" in frame else _ids(rows, seeds)
    made = zip(_names(rows, seeds), ids, rows, seeds, states, finals, keys, strict=True)
    listed = tuple(
        Run(name, id_, row, seed, status, final, along.get(key, {}))
        for name, id_, row, seed, status, final, key in made
    )
    units = {name: schema.column(name).unit for name in [*metrics, *_others(curves, metrics)]}
    told = {name: _UNITS.get(unit, unit) for name, unit in units.items() if unit}
    return Batch(title, listed, tuple(metrics), told)


def is_own(runs: pd.DataFrame) -> bool:
    """Return whether a table is one that this package made."""
    return {"key", "prov", "status"} <= set(runs) or schema.SETTINGS in runs


def table(noted: Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> pd.DataFrame:
    """Return the table of runs that were exported, from the settings and the note of each."""
    settings: dict[str, None] = {}
    metrics: dict[str, None] = {}
    rows = []
    for made, note in noted:
        settings |= dict.fromkeys(note["settings"])
        metrics |= dict.fromkeys(note["metrics"])
        ends = {name: note["final"].get(name, math.nan) for name in note["metrics"]}
        which = {"status": note["status"], "key": note["key"]}
        seed = {} if note["seed"] is None else {"seed": note["seed"]}
        rows.append({**made, **seed, **which, **ends})
    runs = pd.DataFrame(rows).astype(dict.fromkeys(metrics, float))
    runs[schema.SETTINGS] = schema.settings_text(settings)
    has_seed = ["seed"] if "seed" in runs else []
    return runs[[*settings, *has_seed, *metrics, "status", schema.SETTINGS, "key"]]


def no_waiting(engine: Any) -> None:
    """Let SQLite not wait for the disk after each run: what breaks off half-way is deleted anyhow.

    Args:
        engine: An engine of SQLAlchemy, or their class for all of this process.
    """
    event: Any = import_module("sqlalchemy.event")
    event.listen(engine, "connect", lambda link, _: link.execute("PRAGMA synchronous=OFF"))
    if not isinstance(engine, type):
        engine.dispose()  # those that are open begin anew


def _curves(runs: pd.DataFrame, store: stores.Store | None) -> pd.DataFrame | None:
    """Return the curves of recorded runs, None where there are none."""
    store = store or stores.default_store()
    if "key" not in runs:
        return None
    held = runs[[store.has(str(key)) for key in runs["key"]]]
    if not any((store.get(key) or {}).get("curves") for key in held["key"]):
        return None
    return series.curves(held, store=store)


def _others(curves: pd.DataFrame | None, metrics: Iterable[str]) -> list[str]:
    """Return the curves of names that no result has."""
    if curves is None:
        return []
    return [n for n in schema.results(curves) if n not in {*metrics, "lanes", "train_s", "row"}]


def _along(
    curves: pd.DataFrame | None, metrics: Iterable[str]
) -> dict[str, dict[int, dict[str, float]]]:
    """Return the curves by run, and then by epoch."""
    if curves is None:
        return {}
    chosen = [name for name in metrics if name in curves and name != "train_s"]
    chosen += _others(curves, metrics)
    found: dict[str, dict[int, dict[str, float]]] = {}
    rows = curves[chosen].to_dict("records")
    for key, epoch, row in zip(curves["key"].astype(str), curves["epoch"], rows, strict=True):
        found.setdefault(key, {})[int(epoch)] = _numbers(row)
    return found


def _numbers(row: Mapping[Any, Any]) -> dict[str, float]:
    return {str(k): float(v) for k, v in row.items() if v is not None and math.isfinite(v)}


def _plain(row: Mapping[Any, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return those settings that have a value, as plain Python has them."""
    found = {}
    for name in names:
        value = row[name].item() if hasattr(row[name], "item") else row[name]
        if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
            continue
        found[name] = value if isinstance(value, bool | int | float | str) else str(value)
    return found


def _names(rows: list[dict[str, Any]], seeds: list[int] | list[None]) -> list[str]:
    """Return what runs are called: the settings that differ, and the seed."""
    known = dict.fromkeys(name for row in rows for name in row)
    varied = [name for name in known if len({repr(row.get(name)) for row in rows}) > 1]
    names, taken = [], set()
    for number, (row, seed) in enumerate(zip(rows, seeds, strict=True), 1):
        parts = [f"{name}={schema.setting(row[name])}" for name in varied if name in row]
        parts += [] if seed is None else [f"seed={seed}"]
        name = " ".join(parts)[:_LONGEST] or f"run {number}"
        name = f"{name} ({number})" if name in taken else name
        taken.add(name)
        names.append(name)
    return names


def _ids(rows: list[dict[str, Any]], seeds: list[int] | list[None]) -> list[str]:
    """Return 32 hex digits a run; the number of the run tells equal ones apart."""
    made = enumerate(zip(rows, seeds, strict=True))
    return [digest_of(canonical([n, row, seed]).encode(), 32) for n, (row, seed) in made]
