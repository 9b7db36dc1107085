"""Training what is missing: stacks of trials into processes, and their results into the store."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import gc
import math
import time
import traceback
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Protocol

import torch

from hplab import own, places
from hplab.sweeps import (
    checkpoints,
    cluster,
    contents,
    costs,
    energy,
    executors,
    forkserver,
    live,
    progress,
    provenance,
    records,
    stacking,
)
from hplab.sweeps import store as stores
from hplab.sweeps.costs import POOL_FROM_S
from hplab.sweeps.keeping import Keeping
from hplab.sweeps.writer import Writer
from hplab.training import datasets as data
from hplab.training import loop
from hplab.trial import TASK, TASK_VERSION, HplabError, Trial, canonical

Result = dict[str, Any] | Exception
Stack = list[Trial]


class Elsewhere(Protocol):
    """Workers that are not this process's own (see `hplab.sweeps.remote`)."""

    executor: Executor

    def n_workers(self) -> int:
        """Return how many there are at the moment."""

    def submit(self, executor: Executor, stack: Stack) -> Future:
        """Have a stack computed; each result says in "made_with" what it was made with."""


def train(
    todo: list[Trial],
    datasets: dict[str, data.Dataset],
    device: str,
    jobs: int | None,
    store: stores.Store,
    *,
    sharers: int = 1,
    in_order: bool = False,
    until: float = math.inf,
    elsewhere: Elsewhere | None = None,
    keeping: Keeping | None = None,
) -> None:
    """Compute trials, longest first, and store each stack of them as it finishes.

    Args:
        todo: Different trials that have no record yet.
        datasets: The data of every trial, by name.
        device: A resolved torch device.
        jobs: Worker processes on the CPU; None takes `HPLAB_JOBS` or one a core.
        store: Where the records go.
        sharers: Processes that share a graphics card, each with whole stacks of its own: while one
            of them asks for kernels or measures, another computes.
        in_order: Compute the trials in the order given instead.
        until: When to be done, on the clock of `time.monotonic`. No stack is begun that would take
            longer, judging by the slowest of its kind so far, or of all if it is the first.
        elsewhere: Workers that compute instead; `jobs` and `sharers` do not count then.
        keeping: Keeps the trained networks; None keeps none.

    Raises:
        HplabError: If no trial could be trained, no worker process starts, or the store refuses
            the records to the end.
    """
    if forkserver.is_importing_main():
        raise SystemExit(1)  # the process that started this one says why
    stacking.check(todo, datasets)
    if elsewhere:
        workers = sharers = elsewhere.n_workers()
    else:
        workers, sharers = _here(todo, datasets, device, jobs, sharers)
    folder = checkpoints.Folder.of(store.pending, device)
    stacks = folder.begun(todo, {name: dataset.digest for name, dataset in datasets.items()})
    begun = {trial.identity() for stack in stacks for trial in stack}
    fresh = [trial for trial in todo if trial.identity() not in begun]
    stacks += stacking.stacks(fresh, device, workers, datasets, in_order=in_order)
    for line in stacking.told(stacks, datasets):
        print(line)
    workers = min(workers if device == "cpu" else sharers, len(stacks))
    here = {} if elsewhere else provenance.of_trials(device)
    described: dict[str, str] = {}
    failures: list[str] = []

    def prov(made_with: dict[str, Any]) -> str:
        if (text := canonical(made_with)) not in described:
            described[text] = store.put_provenance(made_with)
        return described[text]

    if here:
        prov(here)  # what cannot be written is told before anything is trained

    def is_kept(trial: Trial, digest: str) -> bool:
        return store.summary(trial, digest) is not None

    with (
        live.posting(store.pending, f"training on {device}") as post,
        progress.bar(len(todo), f"training on {device}") as tick,
        Writer(store, functools.partial(folder.tidy, is_kept)) as writer,
        contextlib.closing(
            _results(
                *(stacks, device, workers, datasets, _Clock(until)),
                dataclasses.replace(folder, posts=post.folder, varied=checkpoints.varied(todo)),
                elsewhere,
                keeps=keeping is not None,
            )
        ) as finished,
    ):
        post.expect(len(todo))
        meter = None if elsewhere else energy.Meter(device)
        for stack, results in finished:
            spent = meter.lap() if meter else {}  # by this machine, not by others
            joules = {name: round(x / len(stack), 3) for name, x in spent.items()}
            for trial, result in zip(stack, results, strict=True):
                digest = datasets[trial.data].digest
                if isinstance(result, Exception):
                    failures.append(f"{type(result).__name__}: {result}")
                    with contextlib.suppress(records.StoreError):  # it is told below all the same
                        store.log_failure(_failure(trial, digest, result))
                else:
                    made_with, items = result.pop("made_with", here), result.pop("kept", [])
                    result["cost"] |= joules
                    record = _record(trial, digest, prov(made_with), result)
                    if keeping:  # before the record, by which the trial counts as done
                        name = f"{trial.data}-{trial.model}"
                        keeping.take(name, items, _lineage(record, made_with), record)
                    writer.add(record)
                tick()
                post.ended()
            writer.flush_if_due()
    left = len(todo) - writer.n_added - len(failures)
    if left:
        print(f"{left} trials were left, since there was no time for them")
    if failures:
        print(f"{len(failures)} trials failed and can be tried again; the first: {failures[0]}")
        if not writer.n_added:
            raise HplabError(f"no trial could be trained: {failures[0]}")


def _here(
    todo: list[Trial],
    datasets: dict[str, data.Dataset],
    device: str,
    jobs: int | None,
    sharers: int,
) -> tuple[int, int]:
    """Return how many processes are to train here: on the CPU, and on a card."""
    workers = places.n_workers(jobs) if device == "cpu" else 1
    stays = own.to_send()[1]
    if named := [name for trial in todo for name in trial.code if name in stays]:
        if max(workers, sharers) > 1:
            print(f"one process trains: {named[0]} cannot be sent to others ({stays[named[0]]})")
        workers = sharers = 1
    sizes = {name: costs.size(dataset) for name, dataset in datasets.items()}
    if workers > 1 and costs.seconds(todo, sizes) < POOL_FROM_S:
        workers = 1
    if max(workers, sharers) > 1 and (why := forkserver.start(todo)):
        print(f"one process trains: others cannot be started here ({why})")
        workers = sharers = 1
    return workers, sharers


# ------------------------------------------------------------------------------- processes


class _Clock:
    """Says whether there is time for another stack, judging by those that are done."""

    def __init__(self, until: float) -> None:
        self.until = until
        self.slowest: dict[str, float] = {}

    def note(self, stack: Stack, seconds: float) -> None:
        kind = loop.stack_key(stack[0])
        self.slowest[kind] = max(seconds, self.slowest.get(kind, 0.0))

    def has_room(self, stack: Stack) -> bool:
        longest = max(self.slowest.values(), default=0.0)
        needed = self.slowest.get(loop.stack_key(stack[0]), longest)
        return time.monotonic() + needed < self.until


def _results(
    stacks: list[Stack],
    device: str,
    workers: int,
    datasets: dict[str, data.Dataset],
    clock: _Clock,
    folder: checkpoints.Folder | None = None,
    elsewhere: Elsewhere | None = None,
    keeps: bool = False,
) -> Generator[tuple[Stack, list[Result]], None, None]:
    """Yield each stack with its results as they finish.

    A worker that is killed takes its pool with it. What the pool had not begun goes on in a new
    one; what it had begun is tried again at the end, in a process of its own.
    """
    waiting, begun = collections.deque(stacks), []
    if elsewhere:
        begun = yield from _until_broken(
            elsewhere.executor, elsewhere.submit, waiting, lambda: 2 * elsewhere.n_workers(), clock
        )
        for stack in begun:
            yield from _alone(stack, elsewhere.submit, elsewhere.executor)
        return
    in_here = workers == 1
    sources = datasets if in_here else {n: executors.share(d) or n for n, d in datasets.items()}

    def submit(executor: Executor, stack: Stack) -> Future:
        call = [(trial.config(), trial.seed) for trial in stack]
        source, more = sources[stack[0].data], [True] if keeps else []
        return executor.submit(compute, call, device, source, folder, *more)

    # One more than there are workers: none has to wait for this process.
    width = 1 if in_here else workers + 1
    while waiting:
        with executors.open_executor(device, workers) as executor:
            begun += yield from _until_broken(executor, submit, waiting, lambda: width, clock)
    for stack in begun:
        yield from _alone(stack, submit)


def _until_broken(
    executor: Executor,
    submit: Callable[[Executor, Stack], Future],
    waiting: collections.deque[Stack],
    width: Callable[[], int],
    clock: _Clock,
) -> Generator[tuple[Stack, list[Result]], None, list[Stack]]:
    """Yield stacks with their results until none is left, time is up, or the pool breaks.

    Stacks there is no time for are dropped from `waiting`. At most `width()` stacks are submitted
    at a time.

    Returns:
        The stacks that a broken pool or a lost worker had begun; where the pool broke, those it had
        not begun are waiting still.
    """
    running: dict[Future, tuple[Stack, float]] = {}
    begun: list[Stack] = []
    broken = False
    while running or (waiting and not broken):
        room = width() if waiting and not broken else 0
        while waiting and not broken and len(running) < room:
            if not clock.has_room(waiting[0]):
                waiting.popleft()
                continue
            try:
                running[submit(executor, waiting[0])] = waiting[0], time.monotonic()
                waiting.popleft()
            except BrokenProcessPool:
                broken = True
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            (stack, start), error = running.pop(future), future.exception()
            clock.note(stack, time.monotonic() - start)
            if isinstance(error, BrokenExecutor):
                _check_started(executor)
                broken = broken or not isinstance(error, cluster.WorkerLost)
                begun.append(stack)
            elif error is not None:
                raise error
            else:
                yield stack, future.result()
    return begun


def _alone(
    stack: Stack, submit: Callable[[Executor, Stack], Future], executor: Executor | None = None
) -> Iterator[tuple[Stack, list[Result]]]:
    """Try a stack while nothing else runs, and its halves if its process is killed too.

    Without an executor it gets a process of its own.
    """
    with contextlib.nullcontext(executor) if executor else executors.open_pool(1) as pool:
        error = (future := submit(pool, stack)).exception()
        if isinstance(error, BrokenExecutor):
            _check_started(pool)
    if error is None:
        yield stack, future.result()
    elif not isinstance(error, BrokenExecutor):
        raise error
    elif len(stack) == 1:
        yield stack, [BrokenProcessPool("its worker process was killed twice")]
    else:
        for half in _halves(stack):
            yield from _alone(half, submit, executor)


def _check_started(pool: Executor) -> None:
    """Tell a worker that never ran from one that a trial killed."""
    if isinstance(pool, executors.WorkerPool) and not pool.started.is_set():
        raise HplabError(
            "no worker process could start; in a script, what trains has to stand under "
            "if __name__ == '__main__': (or train in one process, with jobs=1)"
        )


def compute(
    trials: list[tuple[dict[str, Any], int]],
    device: str,
    source: data.Dataset | str,
    folder: checkpoints.Folder | None = None,
    keeps: bool = False,
) -> list[Result]:
    """Train a stack of trials in whatever process this is.

    If the stack does not fit into memory, its halves are tried: the stack gets smaller, never the
    batch. If it fails in another way, its first two trials are tried alone. Where both fail alike,
    the rest would too; otherwise the rest are tried in halves, so that a failure takes nobody with
    it.

    Args:
        trials: Config and seed of each.
        device: A resolved torch device.
        source: The data, or the name by which this process loads them itself.
        folder: Where a stack that was cut off left its checkpoint, and where to leave one.
        keeps: Whether the trained networks are given back.

    Returns:
        For each trial the result part of its record, with "kept" if networks are given back; or the
        exception it ended in.
    """
    lanes = [Trial.from_config(config, seed) for config, seed in trials]
    keeper = None
    try:
        dataset = loaded(source) if isinstance(source, str) else source
        keeper = folder.keeper(lanes, dataset.digest) if folder else None
        outcomes = loop.train_lanes(lanes, dataset, device=device, keeper=keeper)
        kept = [_weights(outcome, dataset) for outcome in outcomes] if keeps else []
    except Exception as error:
        error.add_note(traceback.format_exc())  # survives the way back to the driver
        failed = error.with_traceback(None)
        if keeper:
            keeper.drop()
    else:
        made = [_result(outcome, len(lanes), device) for outcome in outcomes]
        for result, items in zip(made, kept, strict=False):
            result["kept"] = items
        return [*made]
    gc.collect()  # what the failed run held is to be had again
    torch.cuda.empty_cache()  # does nothing where there is no graphics card
    if len(trials) == 1:
        return [failed]
    first: list[Result] = []
    if len(trials) > 2 and not _is_memory(failed):
        first = [
            *compute(trials[:1], device, source, folder, keeps),
            *compute(trials[1:2], device, source, folder, keeps),
        ]
        trials = trials[2:]
        if all(isinstance(one, Exception) and _same(one, failed) for one in first):
            return first + [failed] * len(trials)
    parts = [part for part in _halves(trials) if part]
    for part in parts:
        first += compute(part, device, source, folder, keeps)
    return first


def _halves(trials: list) -> tuple[list, list]:
    return trials[: len(trials) // 2], trials[len(trials) // 2 :]


def _is_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "memory" in str(error)


def _same(one: Exception, other: Exception) -> bool:
    return type(one) is type(other) and str(one) == str(other)


@functools.lru_cache(maxsize=1)
def loaded(name: str) -> data.Dataset:
    """Return a data set that this process keeps until it is asked for another one."""
    return data.load(name)


# --------------------------------------------------------------------------------- records


def _result(outcome: loop.Outcome, lanes: int, device: str) -> dict[str, Any]:
    return {
        "status": outcome.status,
        "at": outcome.at,
        "final": _shortest(outcome.final),
        "curves": {name: _shortest(values) for name, values in outcome.curves.items()},
        "cost": {
            **{name: round(seconds, 4) for name, seconds in outcome.seconds.items()},
            "lanes": lanes,
            "device": device,
            "threads": 1 if device == "cpu" else None,
            **({} if outcome.eager is None else {"eager": outcome.eager}),
        },
    }


def _shortest(values: Any) -> Any:
    """Return float32 numbers as their shortest decimals, in a list or a mapping; None stays."""
    if isinstance(values, dict):
        return {name: _shortest(value) for name, value in values.items()}
    if isinstance(values, list):
        return [_shortest(value) for value in values]
    return None if values is None else records.shortest(values)


def _weights(outcome: loop.Outcome, dataset: data.Dataset) -> list[contents.Item]:
    """Return a trained network to be kept, with what is needed to build it again."""
    about = {"shape": list(dataset.images.shape[1:]), "n_classes": len(dataset.class_names)}
    return [contents.item(outcome.model)._replace(about=about)]


def _lineage(record: dict[str, Any], described: dict[str, Any]) -> dict[str, Any]:
    """Return where a trained network is from."""
    told = {name: record[name] for name in ("key", "config", "seed", "data", "prov")}
    return {**told, "code": described["code"]}


def _record(trial: Trial, digest: str, prov: str, result: dict[str, Any]) -> dict[str, Any]:
    return {
        "v": 1,
        "key": trial.key(digest),
        "task": TASK,
        "task_version": TASK_VERSION,
        "data": digest,
        "config": trial.config(),
        "seed": trial.seed,
        "prov": prov,
        **result,
    }


def _failure(trial: Trial, digest: str, error: Exception) -> dict[str, Any]:
    return {
        "key": trial.key(digest),
        "config": trial.config(),
        "seed": trial.seed,
        "error": type(error).__name__,
        "message": str(error),
        "traceback": "".join(traceback.format_exception(error)),
    }
