"""The table of runs: what its columns are, and one row a trial.

A column is a hyperparameter (how a run was made; see `hyperparameters`), what the report declared
where a preset trained something else ("arm_NAME"), one of `RESULTS` (what came of the run), of
`RUN` (which run it is) or of `PLACES` (where along the run, in the long tables of `series`). Any
other column, such as one that a page adds, is no hyperparameter.

A table of runs that are no trials says itself which of its columns are hyperparameters, in a column
"settings" (see `settings_text`). There the names of trials mean nothing: a run of somebody's own
function may have a result called "loss".
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any, NamedTuple

import pandas as pd

from hplab import catalogue
from hplab.sweeps import metrics
from hplab.training import collapse
from hplab.trial import STREAMS, Trial


class Column(NamedTuple):
    """What a reader has to know of a column.

    Attributes:
        words: What it is called; "" for its name with spaces.
        unit: "%" for a share that is shown in percent, "pp" for a difference of shares, "nats" or
            "s"; "" for none.
        low: The least it can be, in units of the table.
        high: The greatest it can be.
    """

    words: str = ""
    unit: str = ""
    low: float = -math.inf
    high: float = math.inf


SETTINGS = "settings"  # holds the names of the hyperparameters, in a table of runs without trials
RUN = ("seed", "status", "key", "prov", "device", SETTINGS)
PLACES = {name: Column() for name in ("epoch", "step", "rung", "layer", "probe")}
PLACES["probe_step"] = Column("step")
FINAL = ("val_acc", "val_loss", "train_acc", "train_loss")
GAPS = ("acc_gap", "loss_gap")
LADDER = ("ladder_radius", "ladder_sharpness", "ladder_se")
LAYERS = tuple(
    f"layer_{what}_{when}" for what in ("signal", "gradient", "dead") for when in ("start", "end")
)
RESULTS = {
    "val_acc": Column("validation accuracy", "%", 0, 1),
    "val_loss": Column("validation loss", "nats", 0),
    "test_acc": Column("test accuracy", "%", 0, 1),
    "test_loss": Column("test loss", "nats", 0),
    "train_acc": Column("training accuracy", "%", 0, 1),
    "train_loss": Column("training loss", "nats", 0),
    "running_acc": Column("running training accuracy", "%", 0, 1),
    "running_loss": Column("running training loss", "nats", 0),
    "step_loss": Column("", "nats", 0),
    "acc_gap": Column("accuracy gap", "pp"),
    "loss_gap": Column("loss gap", "nats"),
    "epochs_run": Column("epochs trained", "", 0),
    "train_s": Column("training time", "s", 0),
    # the measures "diagnostics" and "probes"
    "live_units": Column("live units", "", 0),
    "probe_live_units": Column("live units", "", 0),
    "n_predicted": Column("classes predicted", "", 0),
    "output_entropy": Column("entropy of the outputs", "nats", 0),
    "batch_grad_norm": Column("gradient norm of a batch", "", 0),
    # "sharpness", "sharpness_path", "curvature" and "keskar"
    "sharpness": Column("sharpness", "nats"),
    "sharpness_path": Column("sharpness", "nats"),
    "sharpness_relative": Column("sharpness at a relative radius", "nats"),
    "ladder_sharpness": Column("sharpness", "nats"),
    "grad_norm": Column("gradient norm", "", 0),
    "hessian_top": Column("largest eigenvalue of the Hessian"),
    "hessian_top_lr": Column("largest eigenvalue times learning rate"),
    "hessian_trace": Column("trace of the Hessian"),
    "keskar": Column("sharpness of Keskar and others (%)"),
    # "norms", "layers" and "gradient_noise"
    "weight_norm": Column("norm of all weights", "", 0),
    "scale_free_norm": Column("norm of the scale-free weights", "", 0),
    "effective_lr": Column("effective learning rate", "", 0),
    "gradient_ratio": Column("gradient of the first layer over the last", "", 0),
    "dead_share": Column("share of dead units", "", 0, 1),
    "noise_scale": Column("gradient noise scale (examples)", "", 0),
    # read off curves
    "roughness": Column("", "", 0),
    "steps_to_target": Column("steps to the target", "", 0),
    "examples_to_target": Column("examples to the target", "", 0),
    **dict.fromkeys(
        (
            *("collapsed", "died", "revived", "top_is_majority", "stopped", "lanes", "lr_used"),
            *("step_lr", "steps_per_epoch", "ladder_se", "weight_norm_path", "grad_norm_path"),
            *("sharpness_se", "sharpness_direction_sd", "sharpness_quadratic"),
            *("sharpness_relative_se", "hessian_trace_se", "hessian_top_bound"),
            *(name.removeprefix("layer_") for name in LAYERS),
        ),
        Column(),
    ),
}
# Hyperparameters that are called something else than their name.
_CALLED = {
    "lr": Column("learning rate"),
    "n_train": Column("training examples"),
    "hidden": Column("hidden units"),
    "ladder_radius": Column("radius \u03b5"),
    "n_directions": Column("pairs of directions"),
}
_ENDINGS = {"_acc": Column("", "%", 0, 1), "_loss": Column("", "nats", 0), "_s": Column("", "s")}
# The radius of a ladder is chosen as a hyperparameter is, by the measure.
_CHOSEN = {field.name for field in dataclasses.fields(Trial)} | {"ladder_radius"}
_CHOSEN |= {f"seed_{stream}" for stream in STREAMS}


def hyperparameters(runs: pd.DataFrame) -> list[str]:
    """Return the columns that say how the runs were made, in their order, without the seed.

    They are those that the column "settings" names, and those of a trial where a run has none.
    """
    texts = runs[SETTINGS].unique() if SETTINGS in runs else [None]
    named = {name for text in texts if isinstance(text, str) for name in json.loads(text)}
    has_trials = not all(isinstance(text, str) for text in texts)
    return [
        name
        for name in runs
        if name != "seed" and (name in named or (has_trials and is_hyperparameter(name)))
    ]


def settings_text(names: Iterable[str]) -> str:
    """Return what the column "settings" holds, the same in each row: the names as a JSON list.

    It is a column because pandas keeps columns whatever is done to a table, and drops `attrs`.
    """
    return json.dumps(list(names))


def results(runs: pd.DataFrame) -> list[str]:
    """Return the columns of numbers that say what came of the runs, in their order.

    Any number in a table that is neither a hyperparameter nor says which run it is, or where along
    one, is taken as a result.
    """
    others = {*hyperparameters(runs), *RUN, *PLACES}
    return [
        name
        for name in runs
        if name not in others
        and not str(name).startswith("arm_")
        and pd.api.types.is_numeric_dtype(runs[name])
    ]


def is_hyperparameter(name: str) -> bool:
    """Return whether a column of a table of trials says how a run was made.

    Which columns of a given table do, whatever runs it holds, is said by `hyperparameters`.
    """
    return name not in RUN and (name in _CHOSEN or owner(name) != "")


def is_result(name: str) -> bool:
    """Return whether a column is one of `RESULTS`; "NAME_2" is that of the second layer."""
    return name in RESULTS or re.sub(r"_\d+$", "", name) in RESULTS


def is_known(name: str) -> bool:
    """Return whether a column is in the schema and none of the hyperparameters."""
    return is_result(name) or name in (*RUN, *PLACES) or name.startswith("arm_")


def owner(name: str) -> str:
    """Return which component an argument belongs to ("optimizer" for "momentum"), "" for none."""
    if name == "blocks":
        return "activation"  # which blocks of a MobileNet have the trial's activation
    component, _, argument = name.rpartition(".")
    for one in catalogue.WITH_ARGS:
        rows = catalogue.table(one).values()
        if component in ("", one) and any(argument in row.args for row in rows):
            return one
    return ""


def column(name: str) -> Column:
    """Return what is known of a column; of one that is not in the schema, what its ending says."""
    for known in (RESULTS, PLACES, _CALLED):
        if name in known:
            return known[name]
    found = next((found for end, found in _ENDINGS.items() if name.endswith(end)), None)
    if found is None and metrics.is_share(name) and not is_hyperparameter(name):
        found = Column("", "pp" if "gap" in metrics.tokens(name) else "%")
    return found or Column()


def setting(value: Any, name: str = "") -> str:
    """Return a value of a hyperparameter as it is typed in code: 1e-3, 0.01, 64, adam, none.

    With the name of the column, None of `n_train` is "all".
    """
    if value is None or (isinstance(value, Real) and math.isnan(value)):
        return "all" if name.endswith("n_train") else "none"
    if not isinstance(value, Real) or isinstance(value, (bool, Integral)):
        return str(value)
    number = float(value)
    if number.is_integer() and abs(number) < 1e6:
        return str(int(number))
    if 0.01 <= abs(number) < 1e4:
        return f"{number:.4g}"
    mantissa, exponent = f"{number:.3e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


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
        {
            **row,
            "seed": trial.seed,
            **{f"arm_{name}": arm.get(name) for name in changed},
            **_results_of(record),
        }
        for trial, arm, row, record in zip(scaled, arms, flat, found, strict=True)
    ]
    columns = list(
        dict.fromkeys(name for names in dict.fromkeys(map(tuple, rows)) for name in names)
    )
    table = pd.DataFrame([row for row in rows if row["status"]], columns=columns)
    measured = {name for record in found if record for name in record["final"]} & set(table)
    table = table.astype(dict.fromkeys((*FINAL, *GAPS, "train_s", *measured), float))
    table.attrs = {  # for captions: pandas drops it at will, and nothing may hang on it
        "preset": preset,
        "data": ", ".join(dict.fromkeys(table["data"])),
        "device": ", ".join(dict.fromkeys(table["device"])),
        "n_missing": len(rows) - len(table),
        "n_new": n_new,
    }
    return table


def _flat(trials: list[Trial]) -> list[dict[str, Any]]:
    """Return each trial as a row of a table; those that differ by seed share it, seed and all."""
    known: dict[str, dict[str, Any]] = {}
    for trial in trials:
        if trial.setting not in known:
            known[trial.setting] = trial.flat()
    return [known[trial.setting] for trial in trials]


def _results_of(record: dict[str, Any] | None) -> dict[str, Any]:
    final: dict[str, Any] = record["final"] if record else {}
    if record and record["config"]["epochs"] < collapse.N_JUDGED:  # too short to have collapsed
        final = {name: value for name, value in final.items() if name not in collapse.JUDGED}
    row: dict[str, Any] = {name: final.get(name) for name in FINAL}
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
