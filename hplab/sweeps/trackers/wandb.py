"""Runs as offline runs of W&B, and offline runs read: what lies in a folder `wandb`."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd

from hplab.errors import HplabError
from hplab.sweeps.trackers import batch

_BLOCK, _HEADER = 32_768, 7  # bytes: the format is that of LevelDB's log
_FULL, _FIRST, _LAST = 1, 2, 4


def write(made: batch.Batch, place: Path, _final: Path | None = None) -> None:
    """Write each run as an offline run, in `wandb` below the place."""
    tool: Any = import_module("wandb")
    place.mkdir()
    for run in made.runs:
        settings = tool.Settings(
            mode="offline",
            console="off",
            silent=True,
            disable_git=True,
            disable_code=True,
            x_disable_stats=True,
            x_disable_meta=True,
        )
        config = {**run.config, f"_{batch.NOTE}": json.loads(made.note(run))}
        tags = [] if run.status == "ok" else [run.status]
        named = {"id": run.key, "name": run.name, "group": made.title, "project": made.title}
        begun = tool.init(dir=str(place), config=config, tags=tags, settings=settings, **named)
        for step, row in run.rows().items():
            begun.log(row, step=step)
        begun.summary.update(run.final)
        begun.finish(exit_code=0 if run.status in ("ok", "diverged", "stopped") else 1)


def find(folder: Path) -> list[Path]:
    """Return the files of runs in a folder of W&B, or in one that holds it."""
    return sorted(
        path for path in folder.glob("**/*run-*/run-*.wandb") if "latest-run" not in path.parts
    )


def read(folder: Path) -> pd.DataFrame:
    """Return the offline runs in a folder: a row a run, with what was logged last of each metric.

    Raises:
        HplabError: If wandb, which knows what a record is, is not installed, or a file is damaged.
    """
    try:
        known: Any = import_module("wandb.proto.wandb_internal_pb2")
    except ImportError as error:
        how = "pip install 'hplab[wandb]', or export the table of runs as CSV"
        raise HplabError(f"reading runs of W&B in {folder.name} needs wandb: {how}") from error
    rows = sorted((_run(path, known) for path in find(folder)), key=lambda row: row.pop("began"))
    notes = [row["config"].get(f"_{batch.NOTE}") for row in rows]
    if all(notes):
        made = [{k: v for k, v in row["config"].items() if not k.startswith("_")} for row in rows]
        return batch.table(zip(made, notes, strict=True))
    return pd.DataFrame(rows)


def _run(path: Path, known: Any) -> dict[str, Any]:
    """Return name, state, settings and results of a run, and when it began."""
    row: dict[str, Any] = {"name": path.stem, "state": "running", "config": {}, "summary": {}}
    row["began"] = 0
    for data in _records(path):
        record = known.Record()
        record.ParseFromString(data)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            row["name"] = record.run.display_name or record.run.run_id
            row["began"] = record.run.start_time.ToNanoseconds()
            row["config"] |= _items(record.run.config.update)
        elif kind == "config":
            row["config"] |= _items(record.config.update)
        elif kind == "history":
            row["summary"] |= _items(record.history.item)
        elif kind == "summary":
            row["summary"] |= _items(record.summary.update)
        elif kind == "exit":
            row["state"] = "failed" if record.exit.exit_code else "finished"
    row["config"].pop("_wandb", None)
    row["summary"] = {k: v for k, v in row["summary"].items() if not k.startswith("_")}
    return row


def _items(items: Any) -> dict[str, Any]:
    return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}


def _records(path: Path) -> Iterator[bytes]:
    """Yield the records of a file, each put together of its parts.

    Raises:
        HplabError: If a part is not what was written. A run that was cut off just ends.
    """
    data = path.read_bytes()
    if data[:4] != b":W&B":
        raise HplabError(f"{path.name} is no file of W&B")
    at = _HEADER
    parts: list[bytes] = []
    while at + _HEADER <= len(data):
        left = _BLOCK - at % _BLOCK
        if left < _HEADER:
            at += left
            continue
        checksum, size, kind = struct.unpack_from("<IHB", data, at)
        content = data[at + _HEADER : at + _HEADER + size]
        if not kind or len(content) < size:
            return
        if zlib.crc32(bytes([kind]) + content) != checksum:
            raise HplabError(f"{path.name} is damaged at byte {at}")
        parts = [content] if kind in (_FULL, _FIRST) else [*parts, content]
        if kind in (_FULL, _LAST):
            yield b"".join(parts)
        at += _HEADER + size
