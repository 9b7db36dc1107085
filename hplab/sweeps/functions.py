"""A sweep over a reader's own function: call it where it was not called yet, and make a table.

`hp.run` knows what it trains; here nothing is known but a function. The same store keeps the
results, under the task "function", so a sweep that was stopped goes on, and one that is asked for
again costs nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import sys
from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, as_completed
from typing import Any

import pandas as pd

from hplab import places
from hplab.errors import HplabError, stopped
from hplab.sweeps import calls, cluster, energy, live, progress, provenance, results
from hplab.sweeps import store as stores
from hplab.sweeps.keeping import Keeping
from hplab.sweeps.points import SEED, Point, expand, words
from hplab.sweeps.records import StoreError
from hplab.sweeps.tasks import Task
from hplab.sweeps.workers import Workers
from hplab.sweeps.writer import Writer
from hplab.trial import canonical

_LONGEST_NAME = 100  # files and folders are called by it
Answers = Generator[tuple[Point, calls.Answer], None, list[Point]]


def sweep(
    train: Callable[..., Any],
    /,
    *,
    points: Iterable[Mapping[str, Any]] | pd.DataFrame | None = None,
    name: str = "",
    version: str = "",
    jobs: int | None = None,
    executor: Executor | None = None,
    store: stores.Store | None = None,
    keep: str | None = None,
    **axes: Any,
) -> pd.DataFrame:
    """Call a function of your own at every point of a grid, and return one row a call.

        def train(lr, batch_size, seed):
            ...
            return {"val_acc": 0.93, "val_loss": 0.21}

        runs = hp.sweep(train, lr=[1e-3, 1e-4], batch_size=[16, 64], seed=range(10))
        hp.plots.axis(runs[runs["batch_size"] == 16], x="lr", y="val_acc")

    The function returns a mapping from names to numbers. Or it is a generator that yields one
    after every epoch: the last one is the result then, and all of them are the curves, which
    `hp.curves(runs)` gives. A result that is not finite makes the run a diverged one.

    Shares such as an accuracy are from 0 to 1. Where one goes above that, up to 100, it is taken as
    percent: the table and the curves have a hundredth of it, and a line says so.

    Each result is recorded, so only what is missing is called: after an interruption, or with more
    seeds, the rest. What is recorded belongs to the point and to the function: to a digest of its
    source and of what it uses, functions and values of yours, and versions of packages. A function
    that changed is called anew at every point. With `version` that text stands for all of this.

    A network or its weights (a mapping from names to arrays) may be among the numbers of the
    result: `return {"val_acc": 0.93, "model": model}`. With `keep` they are kept as an artifact of
    the sweep's name, which `hp.artifacts.load("train:best")` gives back bit for bit.

    Calls that raise are told and kept apart; they are no rows of the table and are tried again the
    next time. So is a call whose worker process is killed; the others go on.

    Args:
        train: The function. It is called with keywords only.
        points: Mappings from argument to value, or a data frame with a row a point. Each is
            combined with every value of the axes.
        name: What the sweep is called; by default the name of the function. It is a part of what
            names a result.
        version: Stands for the code: change it when results change.
        jobs: Worker processes; None takes the workers of the Dask scheduler that `HPLAB_DASK`
            names, or else `HPLAB_JOBS` or one a core. With 1 the function is called in this
            process. A process may use its share of the cores.
        executor: Any `concurrent.futures.Executor` to use instead. Of Dask that is
            `client.get_executor(pure=False)`.
        store: Where records are. None takes the folder you are in; in a checkout of the book, or
            with hplab imported from one, it takes the checkout's `.hplab/pending`, and `hplab pack`
            leaves them there.
        keep: "best" keeps what the best run so far trained, "all" what every new run did; None
            keeps nothing. The best is by the first metric, validation before others.
        **axes: For each argument a list of values, or one value: numbers, text, True, False, None
            or tuples of these. "seed" is the replicate; a function whose results are random has to
            draw all of it from that. Without a seed there is one run a setting. An argument that
            has a name of the above goes into `points`.

    Returns:
        A table as `hp.run` gives it, with the arguments as its hyperparameters (defaults included),
        "code", "seed", "status" and every number that the function gave. A number with the name of
        an argument is called "NAME_used".

    Raises:
        HplabError: If the function cannot be called so, a value is impossible, or every call
            failed.
        Stopped: If it was interrupted; what was finished is kept.
    """
    if not callable(train):
        raise HplabError(f"sweep needs a function to call, got {train!r:.80}")
    if executor is not None and jobs is not None:
        raise HplabError("sweep takes jobs (processes here) or an executor, not both")
    if executor is not None and not callable(getattr(executor, "submit", None)):
        raise HplabError(f"executor must be a concurrent.futures.Executor, got {executor!r:.80}")
    if name is not None and not (isinstance(name, str) and len(name) <= _LONGEST_NAME):
        raise HplabError(f"name must be text of at most {_LONGEST_NAME} letters, got {name!r:.80}")
    workers = places.n_workers(jobs)
    store = stores.given(store)
    keeping = Keeping(keep, store) if keep is not None else None
    task = Task(train, name, version)
    found = expand(train, points, axes)
    address = places.dask() if executor is None and jobs is None else ""
    wanted = address and not places.from_records() and _missing(task, found, store)
    with contextlib.ExitStack() as stack:
        task.post = stack.enter_context(live.posting(store.pending, task.name))
        if wanted:
            executor = stack.enter_context(cluster.connected(address))
        n_new = fill(task, found, workers, executor, store, keeping=keeping)
    return results.table_of(task, found, store, n_new)


@dataclasses.dataclass
class Tally:
    """Counts of a sweep, whose points may be filled in several parts.

    Attributes:
        n_missing: Runs that had no record at the beginning.
        failures: Those that failed since, with what came of them.
    """

    n_missing: int
    failures: list[tuple[Point, calls.Answer]] = dataclasses.field(default_factory=list)

    def tell(self, n: int) -> None:
        """Say how many of `n` runs are recorded, if some are and others are not."""
        if 0 < self.n_missing < n and not places.from_records():
            there, left = n - self.n_missing, self.n_missing
            print(f"{there} of {n} runs are recorded; {left} are left", file=sys.stderr)


def fill(
    task: Task,
    found: list[Point],
    workers: int,
    executor: Executor | None,
    store: stores.Store,
    *,
    may_fail: bool = False,
    tick: Callable[[], object] | None = None,
    keeping: Keeping | None = None,
    tally: Tally | None = None,
) -> int:
    """Call a task at the points that have no record, and record what comes of it.

    Args:
        task: What is called.
        found: Points, as `expand` gives them.
        workers: Worker processes, where there is no executor.
        executor: What calls it instead.
        store: Where records are.
        may_fail: Whether all calls may fail; they are told all the same.
        tick: Called after each call; None shows a bar of its own.
        keeping: Keeps what the calls trained; None keeps nothing.
        tally: Counts over all parts of a sweep; None if the points are all of it.

    Returns:
        How many were called: 0 where the environment says to take what is recorded.

    Raises:
        HplabError: If every call failed.
        Stopped: If it was interrupted; what was finished is kept.
    """
    heads = [task.head(point, store) for point in found]
    todo = [point for point, head in zip(found, heads, strict=True) if head is None]
    task.keeps = keeping is not None
    if task.post and not tick:  # else whoever ticks knows how many there are
        task.post.expect(len(todo))
    if todo and task.label not in store.said and (line := results.of_other_code(task, store)):
        store.said.add(task.label)
        print(line, file=sys.stderr)
    if tally is None:
        tally = Tally(len(todo))
        tally.tell(len(found))
    if todo and places.from_records():
        print(f"{len(todo)} of {len(found)} runs of {task.name!r} are not recorded yet")
        return 0
    if todo:
        try:
            _run(task, todo, workers, executor, store, may_fail, tick, keeping, tally)
        except KeyboardInterrupt:
            kept = sum(task.head(point, store) is not None for point in todo)
            raise stopped(
                f"Stopped: {kept} of the {len(todo)} runs that were missing are finished and "
                "kept; run this again and it goes on from there."
            ) from None
    if keeping:
        recorded = [head["key"] for head in heads if head is not None]
        if line := keeping.told(recorded):
            print(line, file=sys.stderr)
    return len(todo)


def _missing(task: Task, found: list[Point], store: stores.Store) -> list[Point]:
    return [point for point in found if task.head(point, store) is None]


# ------------------------------------------------------------------------------ its calls


def _run(
    task: Task,
    todo: list[Point],
    workers: int,
    executor: Executor | None,
    store: stores.Store,
    may_fail: bool,
    tick: Callable[[], object] | None,
    keeping: Keeping | None,
    tally: Tally,
) -> None:
    """Call the function at points that have no record, and keep each result."""
    n_before = len(tally.failures)
    described: dict[str, str] = {}
    answers = _answers(task, todo, workers, executor)
    shown = contextlib.nullcontext(tick) if tick else _bar(task, len(todo))
    meter = energy.Meter()
    with shown as tick, Writer(store) as writer:
        try:
            for point, answer in answers:
                joules = meter.lap()
                if "error" in answer:
                    tally.failures.append((point, answer))
                    _log(task, point, answer, store)
                else:
                    process = answer["made_with"]
                    if (text := canonical(process)) not in described:
                        whole = provenance.of_sweep(process)
                        described[text] = store.put_provenance(whole)
                    answer["cost"] |= joules
                    record = task.record(point, answer, described[text])
                    if keeping:  # before the record, by which the run counts as done
                        keeping.take(task.slug, answer["kept"], task.lineage(record), record)
                    writer.add(record)
                tick()
                if task.post:
                    task.post.ended()
                writer.flush_if_due()
        finally:
            answers.close()
    if len(tally.failures) > n_before:
        point, answer = tally.failures[0]
        place = f" ({answer['place']})" if answer["place"] else ""
        kind = "" if answer["error"] == HplabError.__name__ else f"{answer['error']}: "
        first = f"{kind}{answer['message']}{place} at {words(point)}"
        if writer.n_added or may_fail:
            n = f"{len(tally.failures)} of {tally.n_missing} runs"
            print(f"{n} failed and are tried again the next time; the first: {first}")
            return
        error = HplabError(f"every run of {task.name!r} failed; the first: {first}")
        error.add_note(answer["traceback"])
        raise error


def _bar(task: Task, n: int) -> contextlib.AbstractContextManager[Callable[[], object]]:
    return progress.bar(n, f"running {task.name}", "run")


def _log(task: Task, point: Point, answer: calls.Answer, store: stores.Store) -> None:
    what = {name: answer[name] for name in ("error", "message", "traceback")}
    named = {"key": task.key(point), "config": task.config(point), "seed": point.get(SEED, 0)}
    try:
        store.log_failure({**named, **what})
    except StoreError as error:  # it is told all the same
        print(error, file=sys.stderr)


def _answers(task: Task, todo: list[Point], workers: int, executor: Executor | None) -> Answers:
    """Yield each point with what came of it, as they finish."""
    if executor is not None:
        yield from _by(executor, task, todo)
        return []
    n = min(workers, len(todo))
    sent, why_not = task.to_send() if n > 1 else (b"", "")
    if why_not:
        print(f"one process runs everything: {task.name} cannot be sent to others ({why_not})")
    if not sent:
        for point in todo:
            yield point, task(point)
        return []
    with Workers(sent, n, workers) as pool:
        lost = yield from _as_completed(todo, pool.submit)
        for point in lost:  # perhaps it was too much for several at a time
            try:
                answer = pool.submit(point).result()
            except BrokenExecutor as error:
                answer = calls.failure(BrokenExecutor(f"{error}, twice"))
            yield point, answer
    return []


def _by(executor: Executor, task: Task, todo: list[Point]) -> Answers:
    """Yield what an executor makes of each point.

    What was lost with its process is tried once more, alone: it may have died of another call.
    """
    if isinstance(executor, cluster.Cluster):
        told = {"task": task.to_send_far(), "made_with": cluster.made_with()}
        executor.ask(cluster.unpack, told["task"])
        calling = functools.partial(executor.submit, cluster.call)

        def submit(point: Point) -> Future:
            return calling({**told, "point": point})

    else:

        def submit(point: Point) -> Future:
            return executor.submit(task, point)

    lost = yield from _as_completed(todo, submit)
    for i, point in enumerate(lost):
        try:
            future = submit(point)
        except (BrokenExecutor, RuntimeError):
            n = len(lost) - i
            print(f"the executor broke: {n} runs were lost; run this again for them")
            if n == len(todo):
                raise HplabError("the executor broke before any run was finished") from None
            return []
        yield point, _alone(future)
    return []


def _alone(future: Future) -> calls.Answer:
    try:
        return future.result()
    except HplabError:
        raise
    except (Exception, CancelledError) as error:
        if cluster.is_lost(error):
            error = BrokenExecutor("its worker process was killed, twice")
        return calls.failure(error)


def _as_completed(todo: list[Point], submit: Callable[[Point], Future]) -> Answers:
    """Yield points with their answers as they finish; return those whose process was lost."""
    lost: list[Point] = []
    futures: dict[Future, Point] = {}
    try:
        for i, point in enumerate(todo):
            try:
                futures[submit(point)] = point
            except BrokenExecutor:
                lost = todo[i:]
                break
        for future in as_completed(list(futures)):
            point = futures.pop(future)
            try:
                answer = future.result()
            except CancelledError:
                lost.append(point)
                continue
            except HplabError:
                raise  # no process could start
            except Exception as error:
                if cluster.is_lost(error):
                    lost.append(point)
                    continue
                answer = calls.failure(error)  # it cannot be pickled, or found over there
            yield point, answer
    finally:
        for future in futures:
            future.cancel()
    return lost
