"""What is recorded of a reader's functions and scripts, as tables with a row a run."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from hplab.errors import HplabError, unknown
from hplab.sweeps import store as stores
from hplab.sweeps import table
from hplab.sweeps.metrics import is_percent
from hplab.sweeps.points import SEED, Point
from hplab.sweeps.records import Record, StoreError
from hplab.sweeps.store import FUNCTION
from hplab.sweeps.table import hyperparameters
from hplab.sweeps.tasks import Task, code_of
from hplab.trial import canonical


def table_of(task: Task, found: list[Point], store: stores.Store, n_new: int = 0) -> pd.DataFrame:
    """Return one row a recorded point, as `sweep` does.

    A run that was stopped early has no results: its row says "stopped", and its curves how far it
    came.
    """
    heads = [task.head(point, store) for point in found]
    pairs = [(p, head) for p, head in zip(found, heads, strict=True) if head is not None]
    names = dict.fromkeys(n for point in found for n in point)
    runs = _table(pairs, [n for n in names if n != SEED], store)
    runs.attrs = {"n_missing": len(found) - len(pairs), "n_new": n_new}
    return runs


def names(store: stores.Store | None = None) -> set[str]:
    """Return the names of the sweeps that are recorded."""
    heads = (store or stores.default_store()).heads()
    return {head["config"]["function"] for head in heads if head["task"] == FUNCTION}


def of_other_code(task: Task, store: stores.Store | None = None) -> str:
    """Return that there are records of the same name which do not count, and why; "" if none are.

    Args:
        task: What is swept.
        store: Where records are; None takes the project's own.
    """
    n, elsewhere = 0, set()
    for head in (store or stores.default_store()).heads():
        config = head["config"]
        if head["task"] == FUNCTION and config["function"] == task.name:
            n += code_of(config) != task.label
            elsewhere.add(config.get("place", ""))
    if not n:
        return ""
    others = ", ".join(sorted(elsewhere - {"", task.place}))
    return (
        f"{n} recorded run{'s' * (n != 1)} of {task.name!r} do not count here, and are kept: "
        "made by other code, which is this program before a change, or another program of that name"
        f"{f': {others}' if others else ''}"
    )


def recorded(
    name: str,
    *,
    code: str = "",
    settings: Sequence[str] = (),
    only: bool = False,
    store: stores.Store | None = None,
) -> pd.DataFrame:
    """Return all recorded runs of a sweep, whatever points they were asked at; nothing is called.

    Args:
        name: What the sweep is called: its function or script. With the digest of its code behind
            it, as the column "code" has it, only the runs of that code.
        code: That digest, or "version ...", by itself.
        settings: Arguments that its runs must have, in the order in which they are to stand.
        only: Whether its runs must have no others.
        store: Where records are; None takes the project's own.

    Returns:
        A table as `sweep` gives it; empty if there is no run with those arguments.

    Raises:
        HplabError: If no sweep of that name or code is recorded, or sweeps of several versions of
            its code are and none is named.
    """
    store = store or stores.default_store()
    codes: dict[str, list[Record]] = {}
    every = set()
    for head in store.heads():
        if head["task"] == FUNCTION:
            config, label = head["config"], code_of(head["config"])
            called = config["function"]
            if name not in (called, f"{called} {config['code']}", f"{called} {label}"):
                continue
            every.add(label)
            if code in ("", config["code"], label):
                codes.setdefault(label, []).append(head)
    if not every:
        raise unknown("sweep", name, names(store), "what is recorded")
    if not codes:
        raise unknown("code", code, every, f"what is recorded of {name!r}")
    if len(codes) > 1:
        raise HplabError(
            f"{name!r} has runs of {len(codes)} versions of its code: say which: "
            f"{_versions(name, codes, store)}"
        )
    found: dict[str, tuple[Point, Record]] = {}
    unseeded: dict[str, tuple[Point, Record]] = {}
    seeded: set[str] = set()
    for head in next(iter(codes.values())):
        point = {n: _as_given(value) for n, value in head["config"]["point"].items()}
        if not set(settings) <= {*point, SEED} or (only and not set(point) <= set(settings)):
            continue
        point = {n: point[n] for n in dict.fromkeys([*settings, *point]) if n in point}
        text = canonical(point)
        point[SEED] = head["seed"]
        if SEED in head["config"]:
            unseeded.setdefault(text, (point, head))
            continue
        seeded.add(text)
        if head["status"] != "stopped" or canonical(point) not in found:
            found[canonical(point)] = point, head
    # The seed of such a run may be one of the others.
    found |= {text: pair for text, pair in unseeded.items() if text not in seeded}
    columns = dict.fromkeys(n for point, _ in found.values() for n in point if n != SEED)
    return _table(list(found.values()), list(columns), store)


def _versions(name: str, codes: Mapping[str, list[Record]], store: stores.Store) -> str:
    """Return the versions of a sweep's code with their runs and days, the newest first."""
    last = {}
    for code, heads in codes.items():
        files = (store.file_of(head["key"]) for head in heads)
        written = max((file.stat().st_mtime for file in files if file), default=0.0)
        last[code] = max(_day(head["prov"], store) for head in heads), written
    order = sorted(codes, key=lambda code: (last[code], code), reverse=True)
    is_clear = last[order[0]] > last[order[1]]
    told = []
    for i, code in enumerate(order):
        days = sorted({_day(head["prov"], store) for head in codes[code]} - {""})
        parts = [f"{len(codes[code])} runs", " to ".join(dict.fromkeys(days[:1] + days[-1:]))]
        parts += ["the newest"] * (is_clear and not i)
        told.append(f"{name + ' ' + code!r} ({', '.join(filter(None, parts))})")
    return ", ".join(told)


def _day(prov: str, store: stores.Store) -> str:
    try:
        return str(store.provenance(prov).get("date", ""))
    except StoreError:
        return ""


def with_failed(
    runs: pd.DataFrame, name: str, code: str, *, store: stores.Store | None = None
) -> pd.DataFrame:
    """Return a table of recorded runs with a row for each that failed and has no record since.

    Args:
        runs: The table, as `recorded` gives it.
        name: What the sweep is called.
        code: Its code, as tables name it.
        store: Where failures are; None takes the project's own.

    Returns:
        The table; the status of the rows that are added is "failed", and they have no results.
    """
    store = store or stores.default_store()
    names = [n for n in runs if n in hyperparameters(runs)]
    found: dict[str, dict[str, Any]] = {}
    for failure in store.failures():
        config, key = failure.get("config"), str(failure.get("key"))
        if not isinstance(config, dict) or config.get("function") != name:
            continue
        point = config.get("point", {})
        if code_of(config) == code and not store.has(key) and set(names) <= {*point, "code"}:
            told = {"code": f"{name} {code}", "seed": failure.get("seed"), "status": "failed"}
            point = _shown({n: _as_given(point[n]) for n in names if n in point})
            found[key] = {**point, **told, "key": key, table.SETTINGS: runs[table.SETTINGS].iloc[0]}
    if not found:
        return runs
    return pd.concat([runs, pd.DataFrame([*found.values()])], ignore_index=True)


def _as_given(value: Any) -> Any:
    """Return a value as it was given: JSON has lists for tuples."""
    return tuple(map(_as_given, value)) if isinstance(value, list) else value


def _table(
    pairs: Sequence[tuple[Point, Record]], names: list[str], store: stores.Store
) -> pd.DataFrame:
    """Return one row a point and what is recorded of it."""
    settings = table.settings_text([*names, "code"])
    rows: list[dict[str, Any]] = []
    metrics: dict[str, None] = {}
    for point, head in pairs:
        metrics |= dict.fromkeys(head["final"])
        code = f"{head['config']['function']} {code_of(head['config'])}"
        made = {"code": code, "seed": head["seed"], "status": head["status"]}
        kept = {"key": head["key"], "prov": head["prov"], table.SETTINGS: settings}
        cost = {"train_s": head["cost"]["train_s"]}
        final = head["final"] if head["status"] != "stopped" else {}
        rows.append({**_shown(point), **made, **cost, **final, **kept})
    told = ("train_s", "code", table.SETTINGS, "key", "prov")  # last: few read them
    columns = dict.fromkeys((*names, SEED, *metrics, "status", *told))
    runs = pd.DataFrame(rows, columns=list(columns))
    runs = runs.astype(dict.fromkeys({*metrics, "train_s"} - set(names), float))
    known = (head for head in store.heads() if head["task"] == FUNCTION)
    called = {(head["config"]["function"], code_of(head["config"])) for _, head in pairs}
    every = [
        one["final"]
        for one in known
        if (one["config"]["function"], code_of(one["config"])) in called
    ]
    _as_shares(runs, {name: [one.get(name) for one in every] for name in metrics})
    return runs


def _shown(point: Point) -> dict[str, Any]:
    """Return a point with its tuples as text, which a table can compare."""
    return {k: str(v) if isinstance(v, tuple) else v for k, v in point.items()}


def _as_shares(runs: pd.DataFrame, metrics: Mapping[str, list[Any]]) -> None:
    """Divide what was given in percent by 100, as for a table from elsewhere, and say so.

    Args:
        runs: Some runs of a function.
        metrics: All values of each metric that this code ever gave: which they are is the same for
            all of its runs.
    """
    for name, given in metrics.items():
        values = [value for value in given if isinstance(value, int | float)]
        largest = max(filter(math.isfinite, values), default=0.0)
        line = ""
        if is_percent(name, values):
            runs[name] /= 100
            line = f"{name} has values above 1: taken as percent"
        elif table.column(name).unit == "%" and largest > 1 + 1e-6:
            line = (
                f"{name} goes up to {largest:.4g}, but a name that ends so is read as a share: "
                "give it from 0 to 1 or in percent, or call it otherwise"
            )
        if line:
            print(line, file=sys.stderr)
