"""Trials on the workers of a Dask scheduler: what is sent, what is checked, what a worker does.

A worker loads the data sets itself, by their names; their digests have to be those of the process
that asks. It needs no folder in common with it. Where it sees the folder of checkpoints all the
same, as on a shared disk, a stack that was cut off goes on from there on whatever worker.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import torch

from hplab import own
from hplab.sweeps import checkpoints, cluster, driver, executors, provenance
from hplab.sweeps.store import Store
from hplab.trial import HplabError, Trial

Digests = dict[str, str]


class Workers:
    """Workers that train, as `driver.train` uses them.

    Args:
        there: The workers.
        device: What they train on; "auto" is resolved by them.
        digests: The digest of every data set, by name.
        folder: Where checkpoints lie.
        keeps: Whether they give trained networks back.

    Attributes:
        executor: The workers.
        device: A resolved torch device, the same on all of them.

    Raises:
        HplabError: If a worker has other data, another device, or shares a card with another.
    """

    def __init__(
        self,
        there: cluster.Cluster,
        device: str,
        digests: Digests,
        folder: Path,
        keeps: bool = False,
    ) -> None:
        self.executor: Executor = there
        self._there = there
        self.device = self._checked(there.ask(describe, device, digests), digests)
        self._told = {
            "device": self.device,
            "digests": digests,
            "own": own.to_send()[0],
            "folder": (str(folder), _number(folder)),
            "made_with": cluster.made_with(),
            "keeps": keeps,
        }

    def n_workers(self) -> int:
        """Return how many there are at the moment."""
        return self._there.n_workers()

    def submit(self, executor: Executor, stack: list[Trial]) -> Future:
        """Have a stack computed."""
        call = [(trial.config(), trial.seed) for trial in stack]
        return executor.submit(compute, {**self._told, "trials": call, "data": stack[0].data})

    @staticmethod
    def _checked(answers: Mapping[str, Mapping[str, Any]], digests: Digests) -> str:
        """Return the one device of all workers; refuse other data, and two on one card."""
        devices: dict[str, str] = {}
        cards: dict[str, str] = {}
        for name, said in answers.items():
            _check_data(f"worker {name}", said["digests"], digests)
            devices.setdefault(said["device"], name)
            if (card := said["card"]) and (other := cards.setdefault(card, name)) != name:
                raise HplabError(
                    f"workers {other} and {name} share one card; start one worker a card, each "
                    "with its own CUDA_VISIBLE_DEVICES"
                )
        if len(devices) != 1:
            named = "; ".join(f"{name} has {device}" for device, name in devices.items())
            raise HplabError(f"workers differ in their device ({named}); name one with --device")
        return next(iter(devices))


@contextlib.contextmanager
def opened(
    address: str,
    trials: Sequence[Trial],
    device: str,
    digests: Digests,
    store: Store,
    *,
    keeps: bool = False,
) -> Iterator[Workers]:
    """Yield the workers of a scheduler, ready to train.

    Args:
        address: Where the scheduler is.
        trials: What they will train.
        device: What the workers are to train on; "auto" is resolved by them.
        digests: The digest of every data set, by name.
        store: Where the records will go; checkpoints lie beside it.
        keeps: Whether trained networks are given back.

    Raises:
        HplabError: If the address or a worker is refused, or a component cannot be sent.
    """
    stays = own.to_send()[1]
    for name in (name for trial in trials for name in trial.code if name in stays):
        raise HplabError(f"{name} cannot be sent to other machines ({stays[name]})")
    folder = checkpoints.Folder.beside(store.pending)
    with contextlib.suppress(OSError):  # then there are no checkpoints
        folder.mkdir(parents=True, exist_ok=True)
    with cluster.connected(address) as there:
        yield Workers(there, device, digests, folder, keeps)


def _number(folder: Path) -> int:
    """Return what a file system calls a folder: the same from every machine that shares it."""
    try:
        return folder.stat().st_ino
    except OSError:
        return 0


def _check_data(who: str, there: Mapping[str, str], here: Mapping[str, str]) -> None:
    for name, digest in here.items():
        if there[name] != digest:
            raise HplabError(
                f"{who} has {name} with digest {there[name][:16]}, and here it is {digest[:16]}; "
                "copy the same files there"
            )


# ----------------------------------------------------------------------------- on the workers


def describe(device: str, digests: Digests) -> dict[str, Any]:
    """Return what this process would train with.

    Args:
        device: What it is to train on.
        digests: The data sets, by name.

    Returns:
        "device", resolved; "card", which names a graphics card among all, else ""; and "digests".
    """
    found = executors.resolve_device(device)
    is_card = found.startswith("cuda")
    card = str(torch.cuda.get_device_properties(found).uuid) if is_card else ""
    return {"device": found, "card": card, "digests": _digests(digests)}


def compute(job: Mapping[str, Any]) -> list[driver.Result]:
    """Train a stack of trials; each result says what it was made with.

    Args:
        job: What `Workers.submit` puts together.
    """
    cluster.check_here(job["made_with"])
    _receive(job["own"])
    device, name = job["device"], job["data"]
    dataset = driver.loaded(name)
    here, asked = {name: dataset.digest}, {name: job["digests"][name]}
    _check_data("a worker that came late", here, asked)
    if device == "cpu":
        torch.set_num_threads(1)  # it counts for the thread that calls
    executors.keep_freed_memory()
    path, number = Path(job["folder"][0]), job["folder"][1]
    is_shared = number != 0 and _number(path) == number
    folder = checkpoints.Folder.of(path, device) if is_shared else None
    made_with = {"made_with": _described(device)}
    results = driver.compute(job["trials"], device, dataset, folder, job["keeps"])
    return [one if isinstance(one, Exception) else one | made_with for one in results]


def _digests(names: Iterable[str]) -> Digests:
    return {name: driver.loaded(name).digest for name in names}


@functools.lru_cache(1)
def _receive(sent: bytes) -> None:
    own.receive(sent)


@functools.lru_cache(4)
def _described(device: str) -> dict[str, Any]:
    return provenance.of_trials(device)
