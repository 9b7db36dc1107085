"""From declared trials to a table of runs: train what the store does not hold yet.

`run` is the only way from a page to training. It scales the declared trials by a preset, looks each
up in the store, trains what is missing (see `hplab.sweeps.driver`), and returns one row a
trial. With `HPLAB_MODE=cached` it never trains; it shows what is recorded and names what is not.
"""

from __future__ import annotations

import functools
import math
import os
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from hplab.sweeps import driver, executors, presets
from hplab.sweeps import store as stores
from hplab.training import datasets as data
from hplab.training import loop
from hplab.training.measures import diagnostics
from hplab.trial import TASK, TASK_VERSION, Stopped, Trial

FINAL = ("val_acc", "val_loss", "train_acc", "train_loss")
GAPS = ("acc_gap", "loss_gap")
LAYERS = tuple(
    f"layer_{what}_{when}" for what in ("signal", "gradient", "dead") for when in ("start", "end")
)
LADDER = ("ladder_radius", "ladder_sharpness", "ladder_se")


def run(
    trials: Iterable[Trial],
    *,
    preset: str = "laptop",
    device: str = "auto",
    n_seeds: int | None = None,
    jobs: int | None = None,
    store: stores.Store | None = None,
    least_epochs: int = 1,
) -> pd.DataFrame:
    """Train what is missing and return one row a trial.

    Args:
        trials: The study's trials, as the report declares them.
        preset: "smoke", "laptop", "reduced" or "paper".
        device: "auto", "cpu", "cuda" or "mps".
        n_seeds: Seeds a setting; None takes the preset's number.
        jobs: Worker processes on the CPU; None takes `HPLAB_JOBS` or one a core.
        store: Where records are; None takes the project's own.
        least_epochs: How long runs must be to show what they are for. Where the page shows what is
            recorded, presets that cut the trials shorter are passed over for one that does not.

    Returns:
        A table with one column a hyperparameter, "seed", "status", the final metrics, and for each
        field the preset changed an "arm_" column with the declared value.

    Raises:
        HplabError: If a name is wrong, the data cannot be had, or no trial could be trained.
        Stopped: If training was interrupted; what was finished is kept.
    """
    store = store or stores.default_store()
    declared = list(trials)
    if os.environ.get("HPLAB_MODE") == "cached":
        presets.preset(preset)
        smaller = presets.SIZES[: presets.SIZES.index(preset) + 1]
        return _cached(declared, smaller, store, least_epochs=least_epochs)
    size = presets.preset(preset)
    declared = size.choose(declared, n_seeds)
    scaled = [size.scale(trial) for trial in declared]
    datasets = {name: data.load(name) for name in sorted({t.data for t in scaled})}
    digests = {name: dataset.digest for name, dataset in datasets.items()}
    if noted := os.environ.get("HPLAB_NEEDED"):  # see hplab.pages.notebooks.uptodate
        with open(noted, "a", encoding="utf-8") as file:
            file.writelines(f"{trial.key(digests[trial.data])}\n" for trial in scaled)
    found = [store.summary(trial, digests[trial.data]) for trial in scaled]
    missing = (trial for trial, record in zip(scaled, found, strict=True) if record is None)
    todo = list({trial.identity(): trial for trial in missing}.values())
    if todo:
        try:
            driver.train(todo, datasets, executors.resolve_device(device), jobs, store)
        except KeyboardInterrupt:
            raise _stopped(todo, digests, store) from None
        found = [store.summary(trial, digests[trial.data]) for trial in scaled]
    return _table(declared, scaled, found, preset, n_new=len(todo))


def _stopped(todo: list[Trial], digests: dict[str, str], store: stores.Store) -> Stopped:
    """Return what says how many of the trials that were to be trained are kept."""
    kept = sum(store.summary(trial, digests[trial.data]) is not None for trial in todo)
    return Stopped(
        f"Stopped: {kept} of the {len(todo)} trials that were missing are trained and kept; "
        "run this again and it goes on from there."
    )


def recorded(
    trials: Iterable[Trial],
    *,
    preset: str | None = None,
    study: str | None = None,
    store: stores.Store | None = None,
) -> pd.DataFrame:
    """Return what is recorded on the report's own data; never trains.

    Args:
        trials: The study's trials, as the report declares them.
        preset: The preset whose records are wanted; None takes "paper", or "reduced" if that has
            records of more settings. Presets that use stand-in data have to be named.
        study: The study that trains them, where it is not the one that asks.
        store: Where records are; None takes the project's own.

    Returns:
        A table as `run` gives it, empty when nothing is recorded.
    """
    own_data = [name for name in presets.SIZES if not presets.PRESETS[name].stand_in]
    sizes = [presets.preset(preset).name] if preset else own_data
    return _cached(list(trials), sizes, store or stores.default_store(), study)


def everything(
    preset: str = "paper", *, stands_for: str = "", store: stores.Store | None = None
) -> pd.DataFrame:
    """Return every record on a report's data as if a preset had made it; never trains.

    Records of another version of the task, or of the data (see `_main_digests`), are left out.

    Args:
        preset: Whose declared values the "arm_" columns give.
        stands_for: With a preset on stand-in data, the report's data set; only records that the
            preset makes of trials on it are returned.
        store: Where records are; None takes the project's own.
    """
    size, store = presets.preset(preset), store or stores.default_store()
    current = [
        record
        for record in store.records()
        if (record["task"], record["task_version"]) == (TASK, TASK_VERSION)
        and (record["config"]["data"] == "digits") == size.stand_in
    ]
    digests = _main_digests(current)
    found = [record for record in current if record["data"] == digests[record["config"]["data"]]]
    _say_left_out(len(current) - len(found), digests)
    rows = []
    for record in found:
        trial = Trial.from_config(record["config"], record["seed"])
        if declared := size.declared(trial, stands_for):
            rows.append((declared, trial, record))
    if not rows:
        return pd.DataFrame()
    declared, trials, found = (list(column) for column in zip(*rows, strict=True))
    return _table(declared, trials, found, preset, n_new=0)


def curves(runs: pd.DataFrame, *, store: stores.Store | None = None) -> pd.DataFrame:
    """Return the learning curves of a table of runs in long form.

    Returns:
        One row a trial and epoch: the columns of `runs` without its final metrics, "epoch" counted
        from 1, one column for each of `hplab.training.loop.METRICS`, and one for each curve that a
        measure added; the learning rate of the epoch's last step is "lr_used", since "lr" is the
        trial's own.
    """
    store = store or stores.default_store()
    found = dict.fromkeys(name for key in runs["key"] for name in store.get(key)["curves"])
    more = [n for n in found if n not in (*LADDER, *LAYERS) and not n.startswith(loop.BY_STEP)]
    names = list(dict.fromkeys([*loop.METRICS, *more]))
    return _long(runs, store, names, "epoch").rename(columns={"curve_lr": "lr_used"})


def probes(runs: pd.DataFrame, *, store: stores.Store | None = None) -> pd.DataFrame:
    """Return the live units after early steps, for trials with the measure "probes".

    Returns:
        One row a trial and probe: the columns of `runs` without its final metrics, "probe_step" and
        "probe_live_units".
    """
    return _long(runs, store, ("probe_step", "probe_live_units"), "probe")


def confusion(run: pd.Series, *, store: stores.Store | None = None) -> pd.DataFrame:
    """Return a run's confusion matrix, for trials with the measure "confusion".

    Args:
        run: One row of a table of runs.
        store: Where records are; None takes the project's own.

    Returns:
        Counts of validation images: the true class down, the predicted class across.
    """
    counts = (store or stores.default_store()).get(run["key"])["curves"]["confusion"]
    n_classes = math.isqrt(len(counts))
    rows = [counts[i * n_classes : (i + 1) * n_classes] for i in range(n_classes)]
    return pd.DataFrame(rows)


def steps(runs: pd.DataFrame, *, store: stores.Store | None = None) -> pd.DataFrame:
    """Return the loss and learning rate of every step, for trials with the measure "steps".

    Returns:
        One row a trial and step: the columns of `runs` without its final metrics, "step" counted
        from 1, "step_loss" and "step_lr".
    """
    return _long(runs, store, ("step_loss", "step_lr"), "step")


def ladder(runs: pd.DataFrame, *, store: stores.Store | None = None) -> pd.DataFrame:
    """Return average-direction sharpness by radius, for trials with the measure "sharpness".

    Returns:
        One row a trial and radius: the columns of `runs`, "rung" counted from 1, "ladder_radius",
        "ladder_sharpness" and its Monte-Carlo standard error "ladder_se". The last rung is the
        radius relative to the norm of the weights.
    """
    return _long(runs, store, LADDER, "rung")


def layers(runs: pd.DataFrame, *, store: stores.Store | None = None) -> pd.DataFrame:
    """Return what happens layer by layer, for trials with the measure "layers".

    Returns:
        One row a trial and layer: the columns of `runs`, "layer" counted from 1 at the images, and
        "signal", "gradient" and "dead" (see `training.measures.layers.Profile`), each followed by
        "_start" (before the first step) or "_end".
    """
    table = _long(runs, store, LAYERS, "layer")
    return table.rename(columns={name: name.removeprefix("layer_") for name in LAYERS})


def _long(
    runs: pd.DataFrame, store: stores.Store | None, names: Sequence[str], index: str
) -> pd.DataFrame:
    store = store or stores.default_store()
    finals = {*FINAL, *GAPS, *runs.attrs.get("measured", ())}
    kept = [n for n in runs.columns if n not in finals and (n == "lr" or n not in names)]
    columns = [f"curve_{name}" if name in kept else name for name in names]
    pieces = []
    for row in runs[kept].to_dict("records"):
        values = store.get(row["key"])["curves"]
        series = [pd.Series(values.get(name, []), dtype=float) for name in names]
        piece = pd.DataFrame(dict(zip(columns, series, strict=True)))
        piece.insert(0, index, range(1, len(piece) + 1))
        pieces.append(piece.assign(**row))
    table = pd.concat(pieces, ignore_index=True) if pieces else pd.DataFrame()
    table.attrs.update(runs.attrs)
    return table.reindex(columns=[*kept, index, *columns])


# -------------------------------------------------------------------------------- tables


def _cached(
    declared: list[Trial],
    sizes: Sequence[str],
    store: stores.Store,
    study: str | None = None,
    *,
    least_epochs: int = 1,
) -> pd.DataFrame:
    """Return what is recorded at the preset with the most settings, and say what is not.

    Of presets with equally many the biggest is taken. Stand-in data are for when there is nothing
    on the report's own, or nothing that is long enough.
    """

    def rank(name: str) -> tuple[bool, bool, int, int]:
        size = presets.PRESETS[name]
        scaled = [size.scale(trial) for trial in size.choose(declared, len(declared))]
        settings = {trial.setting for trial in scaled if store.summary(trial)}
        there = bool(settings)
        long_enough = there and min(trial.epochs for trial in scaled) >= least_epochs
        return long_enough, there and not size.stand_in, len(settings), sizes.index(name)

    name = max(sizes, key=rank)
    size = presets.PRESETS[name]
    kept = size.choose(declared, len(declared))
    scaled = [size.scale(trial) for trial in kept]
    any_data = [record for trial in scaled if (record := store.summary(trial))]
    digests = _main_digests(any_data)
    found = [store.summary(trial, digests.get(trial.data)) for trial in scaled]
    _say_left_out(len(any_data) - sum(record is not None for record in found), digests)
    planned = [size.scale(trial) for trial in size.choose(declared)]
    gaps = sum(store.summary(trial, digests.get(trial.data)) is None for trial in planned)
    if gaps:
        print(_gap_note(name, gaps, len(planned), study))
    elif size.stand_in and name != sizes[-1]:
        print(_stand_in_note(name, declared, sizes[-1], study))
    return _table(kept, scaled, found, name, n_new=0)


def _main_digests(records: list[dict[str, Any]]) -> dict[str, str]:
    """Return for each data set the digest with the most records; of equals the first in order.

    The same photos may decode differently on another machine. Runs on both are not to be compared.
    """
    counts = Counter((record["config"]["data"], record["data"]) for record in records)
    fewest_first = sorted(sorted(counts, reverse=True), key=counts.__getitem__)
    return dict(fewest_first)


@functools.cache
def _say_once(line: str) -> None:
    print(line, file=sys.stderr)  # what `hplab claims --json` prints stays JSON


def _say_left_out(n: int, digests: dict[str, str]) -> None:
    if n:
        kept = ", ".join(f"{name} {digest[:12]}" for name, digest in sorted(digests.items()))
        _say_once(f"left out: {n} of the records, on other versions of their data than {kept}")


def _gap_note(preset: str, gaps: int, planned: int, study: str | None) -> str:
    return (
        f"{gaps} of {planned} trials of preset {preset!r} are not recorded yet; to run: "
        f"{_command(preset, study)}"
    )


def _stand_in_note(preset: str, declared: list[Trial], wanted: str, study: str | None) -> str:
    names = ", ".join(sorted({trial.data for trial in declared}))
    return (
        f"in miniature: preset {preset!r}, where digits stand in for {names}; to run the report's "
        f"own: {_command(wanted, study)}"
    )


def _command(preset: str, study: str | None) -> str:
    study = study or os.environ.get("HPLAB_STUDY")
    return f"make execute{f' STUDY={study}' if study else ''} PRESET={preset}"


def _table(
    declared: list[Trial],
    scaled: list[Trial],
    found: list[dict[str, Any] | None],
    preset: str,
    *,
    n_new: int,
) -> pd.DataFrame:
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
