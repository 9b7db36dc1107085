"""Runs as an experiment of MLflow in a file of SQLite, and such a file read."""

from __future__ import annotations

import json
import sqlite3
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd

from hplab.sweeps.trackers import batch

_STATES = {"ok": "FINISHED", "diverged": "FINISHED", "stopped": "KILLED"}
_MOST_METRICS, _MOST_PARAMS = 1000, 100  # that one call may log
_WORDS = {"True": True, "False": False}


def write(made: batch.Batch, place: Path, final: Path) -> None:
    """Write the runs into a new data base; artifacts of theirs would go beside where it ends up."""
    tool: Any = import_module("mlflow")
    entities: Any = import_module("mlflow.entities")
    batch.no_waiting(import_module("sqlalchemy.engine").Engine)
    client = tool.MlflowClient(f"sqlite:///{place}")
    folder = final.with_name(f"{final.stem}-artifacts")
    experiment = client.create_experiment(made.title, artifact_location=folder.as_uri())
    client.set_experiment_tag(experiment, f"{batch.NOTE}.units", json.dumps(made.units))
    for run in made.runs:
        tags = {f"{batch.NOTE}.status": run.status, f"{batch.NOTE}.note": made.note(run)}
        begun = client.create_run(experiment, run_name=run.name, tags=tags)
        params = [entities.Param(name, str(value)) for name, value in run.config.items()]
        metrics = [
            entities.Metric(name, value, begun.info.start_time, step)
            for step, row in run.rows().items()
            for name, value in row.items()
        ]
        for i in range(0, len(params), _MOST_PARAMS):
            client.log_batch(begun.info.run_id, params=params[i : i + _MOST_PARAMS])
        for i in range(0, len(metrics), _MOST_METRICS):
            client.log_batch(begun.info.run_id, metrics=metrics[i : i + _MOST_METRICS])
        client.set_terminated(begun.info.run_id, _STATES.get(run.status, "FAILED"))


def read(base: sqlite3.Connection) -> pd.DataFrame:
    """Return the runs of a data base, a row a run, as MLflow's own table of runs is."""
    active = "SELECT run_uuid, name, status FROM runs WHERE lifecycle_stage = 'active'"
    rows: dict[str, dict[str, Any]] = {}
    for run, name, status in base.execute(f"{active} ORDER BY start_time, rowid"):
        rows[run] = {"run_id": run, "run_name": name, "status": status}
    notes: dict[str, Any] = {}
    for run, key, text in base.execute("SELECT run_uuid, key, value FROM params"):
        if run in rows:
            rows[run][f"params.{key}"] = text
    for run, key, text in base.execute("SELECT run_uuid, key, value FROM tags"):
        if run in rows and key == f"{batch.NOTE}.note":
            notes[run] = json.loads(text)
    for run, key, value in base.execute(
        "SELECT run_uuid, key, value FROM latest_metrics WHERE NOT is_nan"
    ):
        if run in rows:
            rows[run][f"metrics.{key}"] = value
    if rows and notes.keys() == rows.keys():
        return batch.table((_settings(row), notes[run]) for run, row in rows.items())
    return pd.DataFrame(list(rows.values()))


def _settings(row: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a run, whose values MLflow keeps as text."""
    found = {k.removeprefix("params."): v for k, v in row.items() if k.startswith("params.")}
    return {name: _value(text) for name, text in found.items()}


def _value(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
