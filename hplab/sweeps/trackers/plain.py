"""Runs as plain tables, CSV or Parquet: one of runs, and one of their curves beside it."""

from __future__ import annotations

import io
import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd

from hplab.sweeps import table as schema
from hplab.sweeps.records import write_whole
from hplab.sweeps.trackers import batch

KINDS = ("csv", "parquet")


def files(place: Path) -> tuple[Path, Path, Path]:
    """Return where the runs, their curves and what is said of the columns are written."""
    return (
        place,
        place.with_name(f"{place.stem}-curves{place.suffix}"),
        place.with_name(f"{place.stem}-columns{place.suffix}"),
    )


def write(made: batch.Batch, place: Path, kind: str, runs: pd.DataFrame | None) -> None:
    """Write the runs, and beside them the curves if there are any and what the columns are.

    Args:
        made: The runs.
        place: The file of the runs.
        kind: "csv" or "parquet".
        runs: The table that they are from, if it says what its columns are.
    """
    if runs is None:
        runs = batch.table((run.config, json.loads(made.note(run))) for run in made.runs)
    curves = [
        {"key": run.key, "run": run.name, "epoch": epoch, **row}
        for run in made.runs
        for epoch, row in run.curves.items()
    ]
    paths = files(place)
    encode = _csv if kind == "csv" else _parquet
    write_whole(paths[2], encode(_columns(made, runs), {}))
    if curves:
        write_whole(paths[1], encode(pd.DataFrame(curves), made.units))
    write_whole(place, encode(runs, made.units))  # last: where it is, all is


def _columns(made: batch.Batch, runs: pd.DataFrame) -> pd.DataFrame:
    """Return a row a column: its name, what it is, its unit, and what it is called."""
    settings = schema.hyperparameters(runs)
    names = dict.fromkeys([*map(str, runs.columns), *made.units])
    kinds = {**dict.fromkeys(settings, "setting"), **dict.fromkeys(made.metrics, "metric")}
    kinds |= {name: "curve" for name in made.units if name not in kinds}
    rows = [(n, kinds.get(n, ""), made.units.get(n, ""), schema.column(n).words) for n in names]
    return pd.DataFrame(rows, columns=["column", "kind", "unit", "words"])


def _csv(frame: pd.DataFrame, units: dict[str, str]) -> bytes:
    return frame.to_csv(index=False, lineterminator="\n").encode()


def _parquet(frame: pd.DataFrame, units: dict[str, str]) -> bytes:
    """Return a table with each unit beside its column."""
    arrow: Any = import_module("pyarrow")
    writer: Any = import_module("pyarrow.parquet")
    found = arrow.Table.from_pandas(frame, preserve_index=False)
    fields = [
        field.with_metadata({"unit": units[field.name]}) if field.name in units else field
        for field in found.schema
    ]
    found = found.cast(arrow.schema(fields, metadata=found.schema.metadata))
    held = io.BytesIO()
    writer.write_table(found, held)
    return held.getvalue()
