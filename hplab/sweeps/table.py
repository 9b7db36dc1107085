"""Tables of runs: one row a trial, or a row an epoch, a step, a layer."""

from __future__ import annotations

from typing import Any

import pandas as pd

from hplab.training.measures import diagnostics
from hplab.trial import Trial

FINAL = ("val_acc", "val_loss", "train_acc", "train_loss")


GAPS = ("acc_gap", "loss_gap")


def of_trials(
    declared: list[Trial],
    scaled: list[Trial],
    found: list[dict[str, Any] | None],
    preset: str,
    *,
    n_new: int,
) -> pd.DataFrame:
    """Return one row a trial: declared and trained hyperparameters, then what is recorded."""
    arms, flat = _flat(declared), _flat(scaled)
    settings = [(arm.setting, trial.setting) for arm, trial in zip(declared, scaled, strict=True)]
    one_each = {pair: i for i, pair in enumerate(settings)}.values()
    changed = [
        name
        for name in arms[0]
        if name == "epochs" or any(arms[i].get(name) != flat[i].get(name) for i in one_each)
    ]
    rows = [
        {**row, **{f"arm_{name}": arm.get(name) for name in changed}, **_results_of(record)}
        for arm, row, record in zip(arms, flat, found, strict=True)
    ]
    columns = list(
        dict.fromkeys(name for names in dict.fromkeys(map(tuple, rows)) for name in names)
    )
    table = pd.DataFrame([row for row in rows if row["status"]], columns=columns)
    measured = {name for record in found if record for name in record["final"]} & set(table)
    table = table.astype(dict.fromkeys((*FINAL, *GAPS, "train_s", *sorted(measured)), float))
    table.attrs = {
        "preset": preset,
        "data": ", ".join(dict.fromkeys(table["data"])),
        "device": ", ".join(dict.fromkeys(table["device"])),
        "measured": sorted(measured),
        "n_missing": len(rows) - len(table),
        "n_new": n_new,
    }
    return table


def _flat(trials: list[Trial]) -> list[dict[str, Any]]:
    """Return each trial as a row of a table; trials that differ by seed are flattened once."""
    known: dict[str, dict[str, Any]] = {}
    for trial in trials:
        if trial.setting not in known:
            known[trial.setting] = trial.flat()
    return [{**known[trial.setting], "seed": trial.seed} for trial in trials]


def _results_of(record: dict[str, Any] | None) -> dict[str, Any]:
    final = record["final"] if record else {}
    if record and record["config"]["epochs"] < diagnostics.N_JUDGED:  # too short to have collapsed
        final = {name: value for name, value in final.items() if name not in diagnostics.JUDGED}
    row = {name: final.get(name) for name in FINAL}
    more = {name: value for name, value in final.items() if name not in FINAL}
    whole = all(value is not None for value in row.values())
    row["acc_gap"] = row["train_acc"] - row["val_acc"] if whole else None
    row["loss_gap"] = row["val_loss"] - row["train_loss"] if whole else None
    return {
        "status": record["status"] if record else None,
        **row,
        **more,
        "key": record["key"] if record else None,
        "prov": record["prov"] if record else None,
        "device": record["cost"]["device"] if record else None,
        "lanes": record["cost"]["lanes"] if record else None,
        "train_s": record["cost"]["train_s"] if record else None,
    }
