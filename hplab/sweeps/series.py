"""What is recorded along a run, in long form: a row an epoch, a step, a radius, a layer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from hplab.sweeps import store as stores
from hplab.sweeps.metrics import is_percent
from hplab.sweeps.records import Record
from hplab.sweeps.table import FINAL, GAPS, LADDER, LAYERS
from hplab.training.lane import BY_STEP, METRICS
from hplab.trial import TASK, HplabError


def curves(runs: pd.DataFrame, *, store: stores.Store | None = None) -> pd.DataFrame:
    """Return the learning curves of a table of runs in long form.

    Args:
        runs: One row a trial, as `hplab.run` returns it.
        store: Where records are; None takes the project's own.

    Returns:
        One row a trial and epoch: the columns of `runs` without its final metrics, "epoch" counted
        from 1, one column for each of `hplab.training.lane.METRICS`, and one for each curve that a
        measure added; the learning rate of the epoch's last step is "lr_used", since "lr" is the
        trial's own. Of a function's runs (`hp.sweep`) one for each number that it yielded.

    Raises:
        HplabError: If the store does not hold a run, or none has curves.
    """
    records = _records(runs, store)
    of_trials = [record for record in records.values() if record["task"] == TASK]
    names = dict.fromkeys(_of_trials(of_trials)) if of_trials or not records else {}
    for record in records.values():
        if record["task"] != TASK:
            names |= dict.fromkeys(record["curves"])
    if not names:
        raise HplabError(
            "these runs have no curves: let the function yield a mapping of numbers after every "
            "epoch instead of returning one"
        )
    _as_shares(runs, [record for record in records.values() if record["task"] != TASK])
    return _long(runs, records, list(names), "epoch").rename(columns={"curve_lr": "lr_used"})


def _as_shares(runs: pd.DataFrame, records: Sequence[Record]) -> None:
    """Divide by 100 what functions gave in percent: all of a metric, where the table has it so."""
    shown = runs.drop_duplicates("key").set_index("key") if records else runs
    for name in dict.fromkeys(name for record in records for name in record["curves"]):
        curves = [record["curves"][name] for record in records if name in record["curves"]]
        ends = {record["key"]: record["final"].get(name) for record in records}
        pairs = [
            (given, shown[name][key]) for key, given in ends.items() if given and name in shown
        ]
        known = [
            math.isclose(given, 100 * share, rel_tol=1e-9)
            for given, share in pairs
            if math.isfinite(share)  # a run that was stopped has none
        ]
        every = (value for curve in curves for value in curve if value is not None)
        if any(known) if known else is_percent(name, every):
            for curve in curves:
                curve[:] = [None if value is None else value / 100 for value in curve]


def _of_trials(records: Iterable[Record]) -> list[str]:
    """Return the curves that have a value an epoch."""
    found = dict.fromkeys(name for record in records for name in record["curves"])
    more = [n for n in found if n not in (*LADDER, *LAYERS) and not n.startswith(BY_STEP)]
    return [*METRICS, *more]


def probes(runs: pd.DataFrame, *, store: stores.Store | None = None) -> pd.DataFrame:
    """Return the live units after early steps, for trials with the measure "probes".

    Args:
        runs: One row a trial, as `hplab.run` returns it.
        store: Where records are; None takes the project's own.

    Returns:
        One row a trial and probe: the columns of `runs` without its final metrics, "probe_step" and
        "probe_live_units".

    Raises:
        HplabError: If the store does not hold the record of a run.
    """
    return _long(runs, _records(runs, store), ("probe_step", "probe_live_units"), "probe")


def confusion(run: pd.Series, *, store: stores.Store | None = None) -> pd.DataFrame:
    """Return a run's confusion matrix, for trials with the measure "confusion".

    Args:
        run: One row of a table of runs.
        store: Where records are; None takes the project's own.

    Returns:
        Counts of validation images: the true class down, the predicted class across.
    """
    [record] = _records(run.to_frame().T, store).values()
    counts = record["curves"]["confusion"]
    n_classes = math.isqrt(len(counts))
    rows = [counts[i * n_classes : (i + 1) * n_classes] for i in range(n_classes)]
    return pd.DataFrame(rows)


def steps(runs: pd.DataFrame, *, store: stores.Store | None = None) -> pd.DataFrame:
    """Return the loss and learning rate of every step, for trials with the measure "steps".

    Args:
        runs: One row a trial, as `hplab.run` returns it.
        store: Where records are; None takes the project's own.

    Returns:
        One row a trial and step: the columns of `runs` without its final metrics, "step" counted
        from 1, "step_loss" and "step_lr".

    Raises:
        HplabError: If the store does not hold the record of a run.
    """
    return _long(runs, _records(runs, store), ("step_loss", "step_lr"), "step")


def ladder(runs: pd.DataFrame, *, store: stores.Store | None = None) -> pd.DataFrame:
    """Return average-direction sharpness by radius, for trials with the measure "sharpness".

    Args:
        runs: One row a trial, as `hplab.run` returns it.
        store: Where records are; None takes the project's own.

    Returns:
        One row a trial and radius: the columns of `runs`, "rung" counted from 1, "ladder_radius",
        "ladder_sharpness" and its Monte-Carlo standard error "ladder_se". The last rung is the
        radius relative to the norm of the weights.

    Raises:
        HplabError: If the store does not hold the record of a run.
    """
    return _long(runs, _records(runs, store), LADDER, "rung")


def layers(runs: pd.DataFrame, *, store: stores.Store | None = None) -> pd.DataFrame:
    """Return what happens layer by layer, for trials with the measure "layers".

    Args:
        runs: One row a trial, as `hplab.run` returns it.
        store: Where records are; None takes the project's own.

    Returns:
        One row a trial and layer: the columns of `runs`, "layer" counted from 1 at the images, and
        "signal", "gradient" and "dead" (see `training.measures.layers.Profile`), each followed by
        "_start" (before the first step) or "_end".

    Raises:
        HplabError: If the store does not hold the record of a run.
    """
    table = _long(runs, _records(runs, store), LAYERS, "layer")
    return table.rename(columns={name: name.removeprefix("layer_") for name in LAYERS})


def _records(runs: pd.DataFrame, store: stores.Store | None) -> dict[str, Record]:
    """Return the whole record of each run, by its key.

    Raises:
        HplabError: If the store does not hold one.
    """
    store, records = store or stores.default_store(), {}
    if "key" not in runs and len(runs):
        raise HplabError("a table of runs needs its column 'key', by which records are found")
    for key in runs.get("key", []):
        if (record := store.get(key)) is None:
            raise HplabError(f"no record {key!r} in {store.root}: hand in the store it is in")
        records[key] = record
    return records


def _long(
    runs: pd.DataFrame, records: Mapping[str, Record], names: Sequence[str], index: str
) -> pd.DataFrame:
    finals = {*FINAL, *GAPS}.union(*(record["final"] for record in records.values()))
    kept = [n for n in runs.columns if n not in finals and (n == "lr" or n not in names)]
    columns = [f"curve_{name}" if name in kept else name for name in names]
    values = [records[key]["curves"] for key in runs["key"]]
    lengths = [max((len(one.get(name, [])) for name in names), default=0) for one in values]
    rows = np.repeat(np.arange(len(runs)), np.array(lengths, dtype=int))
    table = runs[kept].iloc[rows].infer_objects().reset_index(drop=True)
    table[index] = [i for n in lengths for i in range(1, n + 1)]
    for name, column in zip(names, columns, strict=True):
        padded = [
            [*one.get(name, []), *[None] * (n - len(one.get(name, [])))]
            for one, n in zip(values, lengths, strict=True)
        ]
        table[column] = pd.Series([x for one in padded for x in one], dtype=float)
    table.attrs.update(runs.attrs)
    return table[[*kept, index, *columns]]
