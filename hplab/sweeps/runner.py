"""From declared trials to a table of runs: train what the store does not hold yet.

`run` is the only way from a page to training. It scales the declared trials by a preset, looks each
up in the store, trains what is missing (see `hplab.sweeps.driver`), and returns one row a
trial. With `HPLAB_MODE=cached` it never trains; it shows what is recorded and names what is not.
"""

from __future__ import annotations

import functools
import os
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from hplab import places
from hplab.errors import Stopped, stopped
from hplab.sweeps import costs, forkserver, presets
from hplab.sweeps import store as stores
from hplab.sweeps.keeping import Keeping
from hplab.sweeps.table import of_trials
from hplab.trial import TASK, TASK_VERSION, HplabError, Trial

# Where Linux has a graphics card that torch may know of.
_CARDS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")


def run(
    trials: Iterable[Trial],
    *,
    preset: str = "laptop",
    device: str = "auto",
    n_seeds: int | None = None,
    jobs: int | None = None,
    store: stores.Store | None = None,
    least_epochs: int = 1,
    keep: str | None = None,
) -> pd.DataFrame:
    """Train what is missing and return one row a trial.

    Args:
        trials: The study's trials, as the report declares them.
        preset: "smoke", "laptop", "reduced" or "paper".
        device: "auto", "cpu", "cuda" or "mps".
        n_seeds: Seeds a setting; None takes the preset's number.
        jobs: Worker processes on the CPU; None takes the workers of the Dask scheduler that
            `HPLAB_DASK` names, or else `HPLAB_JOBS` or one a core.
        store: Where records are; None takes the project's own.
        least_epochs: How long runs must be to show what they are for. Where the page shows what is
            recorded, presets that cut the trials shorter are passed over for one that does not.
        keep: "best" keeps the network of the best run so far of each data set and model, by
            validation accuracy, "all" that of every new run; None keeps none. They are artifacts:
            `hp.artifacts.network("digits-mlp:best")`.

    Returns:
        A table with one column a hyperparameter, "seed", "status", the final metrics, and for each
        field the preset changed an `arm_` column with the declared value.

    Raises:
        HplabError: If a name is wrong, the data cannot be had, or no trial could be trained.
        Stopped: If training was interrupted; what was finished is kept.
    """
    store = stores.given(store)
    declared = presets.as_list(trials)
    if places.from_records():
        presets.preset(preset)
        smaller = presets.SIZES[: presets.SIZES.index(preset) + 1]
        return _cached(declared, smaller, store, least_epochs=least_epochs)
    size = presets.preset(preset)
    declared = size.choose(declared, n_seeds)
    scaled = size.scaled(declared)
    address = places.dask() if jobs is None else ""
    if "torch" not in sys.modules and not address:
        _start_ahead(scaled, device, jobs, store)
    from hplab.sweeps import driver, executors, remote  # with torch, unlike a look at records
    from hplab.training import datasets as data

    datasets = {name: data.load(name) for name in sorted({t.data for t in scaled})}
    digests = {name: dataset.digest for name, dataset in datasets.items()}
    found = [store.summary(trial, digests[trial.data]) for trial in scaled]
    missing = (trial for trial, record in zip(scaled, found, strict=True) if record is None)
    todo = list({trial.identity(): trial for trial in missing}.values())
    keeping = Keeping(keep, store, "val_acc") if keep is not None else None
    if todo:
        try:
            if address:
                keeps = keeping is not None
                opened = remote.opened(address, todo, str(device), digests, store, keeps=keeps)
                with opened as there:
                    call = functools.partial(driver.train, elsewhere=there, keeping=keeping)
                    call(todo, datasets, there.device, None, store)
            else:
                chosen = executors.resolve_device(device)
                driver.train(todo, datasets, chosen, jobs, store, keeping=keeping)
        except KeyboardInterrupt:
            raise _stopped(todo, digests, store) from None
        before, found = found, [store.summary(trial, digests[trial.data]) for trial in scaled]
    else:
        before = found
    if keeping and (line := keeping.told([record["key"] for record in before if record])):
        print(line, file=sys.stderr)
    return of_trials(declared, scaled, found, preset, n_new=len(todo))


def _start_ahead(trials: list[Trial], device: str, jobs: int | None, store: stores.Store) -> None:
    """Start the server of worker processes if they will be needed: both import torch at once."""
    on_cpu = device == "cpu" or (device == "auto" and not any(map(os.path.exists, _CARDS)))
    if not on_cpu or places.n_workers(jobs) == 1 or forkserver.is_importing_main():
        return
    known = [trial for trial in trials if trial.data in costs.SIZES and not trial.code]
    missing = [trial for trial in known if store.summary(trial) is None]
    if costs.seconds(missing, costs.SIZES) >= costs.POOL_FROM_S:
        forkserver.start(missing)


def _stopped(todo: list[Trial], digests: dict[str, str], store: stores.Store) -> Stopped:
    """Return what says how many of the trials that were to be trained are kept."""
    kept = sum(store.summary(trial, digests[trial.data]) is not None for trial in todo)
    return stopped(
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
    return _cached(presets.as_list(trials), sizes, stores.given(store), study)


def everything(
    preset: str = "paper", *, stands_for: str = "", store: stores.Store | None = None
) -> pd.DataFrame:
    """Return every record on a report's data as if a preset had made it; never trains.

    Records of another version of the task, or of the data (see `_main_digests`), are left out, and
    so are those of trials with components of a reader's own, which no report has.

    Args:
        preset: Whose declared values the "arm_" columns give.
        stands_for: With a preset on stand-in data, the report's data set; only records that the
            preset makes of trials on it are returned.
        store: Where records are; None takes the project's own.
    """
    size, store = presets.preset(preset), stores.given(store)
    hplabs, own = [], 0
    for record in store.records():
        if record["task"] != TASK:
            continue
        if "code" in record["config"]:
            own += 1
        else:
            hplabs.append(record)
    if own:
        _say_once(store, f"left out: {own} records of trials with a reader's own components")
    current = [
        record
        for record in hplabs
        if (record["task"], record["task_version"]) == (TASK, TASK_VERSION)
        and (record["config"]["data"] == presets.STAND_IN) == size.stand_in
    ]
    digests = _main_digests(current)
    found = [record for record in current if record["data"] == digests[record["config"]["data"]]]
    _say_left_out(len(current) - len(found), digests, store)
    arms: list[Trial] = []
    trials: list[Trial] = []
    kept: list[dict[str, Any] | None] = []
    for record in found:
        trial = _trial_of(record, store)
        if arm := size.declared(trial, stands_for):
            arms.append(arm)
            trials.append(trial)
            kept.append(record)
    return of_trials(arms, trials, kept, preset, n_new=0) if arms else pd.DataFrame()


def _trial_of(record: dict[str, Any], store: stores.Store) -> Trial:
    try:
        return Trial.from_config(record["config"], record["seed"])
    except HplabError as error:
        place = store.where(record["key"])
        raise HplabError(f"{place}: {error}; a newer hplab wrote it, or it was edited") from error


# -------------------------------------------------------------------------------- tables


def _cached(
    declared: list[Trial],
    sizes: Sequence[str],
    store: stores.Store,
    study: str | None = None,
    *,
    least_epochs: int = 1,
) -> pd.DataFrame:
    """Return what is recorded at the best preset (see `_best`), and say what is not."""
    size = _best(declared, [presets.PRESETS[name] for name in sizes], store, least_epochs)
    kept = size.choose(declared, len(declared))
    scaled = size.scaled(kept)
    any_data = [record for trial in scaled if (record := store.summary(trial))]
    digests = _main_digests(any_data)
    found = [store.summary(trial, digests.get(trial.data)) for trial in scaled]
    _say_left_out(len(any_data) - sum(record is not None for record in found), digests, store)
    planned = size.scaled(size.choose(declared))
    gaps = sum(store.summary(trial, digests.get(trial.data)) is None for trial in planned)
    if gaps:
        print(_gap_note(size.name, gaps, len(planned), study))
    elif size.stand_in and size.name != sizes[-1]:
        print(_stand_in_note(size.name, declared, sizes[-1], study))
    return of_trials(kept, scaled, found, size.name, n_new=0)


def _best(
    declared: list[Trial],
    sizes: Sequence[presets.Preset],
    store: stores.Store,
    least_epochs: int,
) -> presets.Preset:
    """Return the preset whose records are shown: that with the most settings, of equals the last.

    Stand-in data are for when there is nothing on the report's own, and runs of fewer epochs than
    `least_epochs` for when there are no longer ones. Where nothing is recorded it is the last.
    """
    n_settings, long_enough = {}, {}
    for size in sizes:
        scaled = size.scaled(size.choose(declared, len(declared)))
        n_settings[size.name] = len({trial.setting for trial in scaled if store.summary(trial)})
        long_enough[size.name] = min(trial.epochs for trial in scaled) >= least_epochs
    kept = [size for size in sizes if n_settings[size.name]] or sizes[-1:]
    kept = [size for size in kept if long_enough[size.name]] or kept
    kept = [size for size in kept if not size.stand_in] or kept
    most = max(n_settings[size.name] for size in kept)
    return [size for size in kept if n_settings[size.name] == most][-1]


def _main_digests(records: list[dict[str, Any]]) -> dict[str, str]:
    """Return for each data set the digest with the most records; of equals the first in order.

    The same photos may decode differently on another machine. Runs on both are not to be compared.
    """
    counts: dict[str, Counter[str]] = {}
    for record in records:
        counts.setdefault(record["config"]["data"], Counter())[record["data"]] += 1
    return {name: max(sorted(found), key=found.__getitem__) for name, found in counts.items()}


def _say_left_out(n: int, digests: dict[str, str], store: stores.Store) -> None:
    if n:
        kept = ", ".join(f"{name} {digest[:12]}" for name, digest in sorted(digests.items()))
        _say_once(
            store, f"left out: {n} of the records, on other versions of their data than {kept}"
        )


def _say_once(store: stores.Store, line: str) -> None:
    """Say something about a store's records on standard error, where no JSON is printed."""
    if line not in store.said:
        store.said.add(line)
        print(line, file=sys.stderr)


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
    study = study or places.study()
    return f"make execute{f' STUDY={study}' if study else ''} PRESET={preset}"
