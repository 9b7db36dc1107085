"""Runs as a study of Optuna in a file of SQLite, and such a file read."""

from __future__ import annotations

import json
import sqlite3
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd

from hplab.sweeps import metrics as named
from hplab.sweeps.trackers import batch

_STATES = {"ok": "COMPLETE", "stopped": "PRUNED"}


def write(made: batch.Batch, place: Path) -> None:
    """Write the runs as trials; their first metric is the objective, and all are attributes.

    Optuna has no seeds and one curve a trial: the seed and the other curves are attributes too.
    """
    tool: Any = import_module("optuna")
    objective = made.metrics[0]
    said = tool.logging.get_verbosity()
    tool.logging.set_verbosity(tool.logging.WARNING)
    try:
        storage = tool.storages.RDBStorage(f"sqlite:///{place}")
        batch.no_waiting(storage.engine)
        study = tool.create_study(
            storage=storage,
            study_name=made.title,
            direction="minimize" if named.better(objective) < 0 else "maximize",
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", tool.exceptions.ExperimentalWarning)
            study.set_metric_names([objective])
        study.set_user_attr("units", made.units)
        study.add_trials(_trials(made, objective, tool))
    finally:
        tool.logging.set_verbosity(said)
        import_module("gc").collect()  # closes the file, so that it can be moved on any system


def _trials(made: batch.Batch, objective: str, tool: Any) -> list[Any]:
    spaces = _spaces(made, tool.distributions)
    states = tool.trial.TrialState
    found = []
    for run in made.runs:
        state = _STATES.get(run.status, "FAIL")
        if state == "COMPLETE" and objective not in run.final:
            state = "FAIL"
        seed = {} if run.seed is None else {"seed": run.seed}
        found.append(
            tool.trial.create_trial(
                state=states[state],
                value=run.final[objective] if state == "COMPLETE" else None,
                params=run.settings,
                distributions={name: spaces[name] for name in run.settings},
                user_attrs={
                    **run.final,
                    **seed,
                    "run_name": run.name,
                    "curves": {str(epoch): row for epoch, row in run.curves.items()},
                    batch.NOTE: json.loads(made.note(run)),
                },
                intermediate_values={
                    epoch: row[objective] for epoch, row in run.curves.items() if objective in row
                },
            )
        )
    return found


def _spaces(made: batch.Batch, kinds: Any) -> dict[str, Any]:
    """Return what each setting was chosen from: a range of numbers, or a list."""
    values: dict[str, list[Any]] = {}
    for run in made.runs:
        for name, value in run.settings.items():
            known = values.setdefault(name, [])
            if not any(value == one and type(value) is type(one) for one in known):
                known.append(value)
    spaces = {}
    for name, known in values.items():
        types = {type(value) for value in known}
        if types == {int}:
            spaces[name] = kinds.IntDistribution(min(known), max(known))
        elif types <= {int, float}:
            spaces[name] = kinds.FloatDistribution(float(min(known)), float(max(known)))
        else:
            spaces[name] = kinds.CategoricalDistribution(known)
    return spaces


def read(base: sqlite3.Connection) -> pd.DataFrame:
    """Return the trials of a data base, a row a trial, as Optuna's own table of trials is."""
    rows: dict[int, dict[str, Any]] = {}
    for trial, number, state in base.execute(
        "SELECT trial_id, number, state FROM trials ORDER BY trial_id"
    ):
        rows[trial] = {"number": number, "state": state}
    names = _metrics(base)
    for trial, objective, value, kind in base.execute(
        "SELECT trial_id, objective, value, value_type FROM trial_values"
    ):
        name = names[objective] if objective < len(names) else f"{objective}"
        name = f"values_{name}" if names or objective else "value"
        rows[trial][name] = {"INF_POS": float("inf"), "INF_NEG": float("-inf")}.get(kind, value)
    for trial, name, value, text in base.execute(
        "SELECT trial_id, param_name, param_value, distribution_json FROM trial_params"
        " ORDER BY param_id"
    ):
        rows[trial][f"params_{name}"] = _value(value, json.loads(text))
    notes: dict[int, Any] = {}
    for trial, name, text in base.execute(
        "SELECT trial_id, key, value_json FROM trial_user_attributes"
    ):
        if name == batch.NOTE:
            notes[trial] = json.loads(text)
        elif name != "curves":
            rows[trial][f"user_attrs_{name}"] = json.loads(text)
    if rows and notes.keys() == rows.keys():
        return batch.table((_settings(row), notes[trial]) for trial, row in rows.items())
    return pd.DataFrame(list(rows.values()))


def _metrics(base: sqlite3.Connection) -> list[str]:
    """Return what the objectives are called, if the study says it."""
    said = base.execute(
        "SELECT value_json FROM study_system_attributes WHERE key = 'study:metric_names'"
    ).fetchall()
    return json.loads(said[0][0]) if len(said) == 1 else []


def _settings(row: dict[str, Any]) -> dict[str, Any]:
    return {k.removeprefix("params_"): v for k, v in row.items() if k.startswith("params_")}


def _value(number: float, distribution: dict[str, Any]) -> Any:
    """Return a setting: Optuna keeps all as numbers, of a list the place in it."""
    told = distribution["attributes"]
    if "choices" in told:
        return told["choices"][int(number)]
    is_int = distribution["name"].startswith("Int")
    return int(number) if is_int else number
