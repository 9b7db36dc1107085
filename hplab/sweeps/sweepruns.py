"""Running a sweep file: its points, one after another or side by side, until it is done.

What is recorded is not run again, so a sweep that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import contextlib
import math
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from hplab import places
from hplab.errors import unknown
from hplab.sweeps import cluster, functions, live, programs, progress, results, searches
from hplab.sweeps import store as stores
from hplab.sweeps.keeping import Keeping
from hplab.sweeps.points import SEED, Point, expand
from hplab.sweeps.scripts import Script
from hplab.sweeps.stopping import Board
from hplab.sweeps.sweepfile import SweepFile
from hplab.sweeps.tasks import Task
from hplab.trial import canonical

MOST_FAILURES = 3  # so many runs fail one after the other before any works, and the sweep ends


class Job(NamedTuple):
    """What a sweep file runs, ready to be called.

    Attributes:
        task: It, as the store names it.
        executor: What calls it; None for worker processes.
        what: What it is, in words.
        notes: What the reader should know, a sentence each.
    """

    task: Task
    executor: Executor | None
    what: str
    notes: tuple[str, ...] = ()


class Swept(NamedTuple):
    """What came of a sweep.

    Attributes:
        runs: A row a recorded run, as `hp.sweep` gives it. The metrics of runs that were stopped
            early are NaN.
        n_points: How many points were asked for.
        n_failed: How many runs failed; they are tried again the next time.
        reached: Whether the metric came to its target, so that no more runs were begun.
    """

    runs: pd.DataFrame
    n_points: int
    n_failed: int
    reached: bool


@contextlib.contextmanager
def prepared(
    file: SweepFile,
    *,
    n_seeds: int | None = None,
    jobs: int | None = None,
    stand_in: bool | None = None,
    version: str = "",
    dask: str = "",
) -> Iterator[Job]:
    """Find what the file runs; processes of scripts that are still there end with the context.

    Args:
        file: The sweep file.
        n_seeds: Seeds a point, if seeds are given.
        jobs: Runs side by side; None takes `HPLAB_JOBS` or one a core.
        stand_in: Whether the stand-in answers for `wandb`; see `Script`.
        version: Stands for the code.
        dask: The address of a Dask scheduler whose workers run it instead.

    Raises:
        HplabError: If it cannot be found or called, or the workers are refused.
    """
    if dask and file.rule:
        raise file.error(
            "early_terminate",
            "runs on several machines cannot see each other's metrics: leave out this or --dask",
        )
    if n_seeds is not None and SEED in file.parameters:
        raise file.error(
            f"parameters.{SEED}",
            "seed is a parameter here, so --seeds has nothing to add: keep one",
        )
    place = programs.place_of(file) if version else ""
    if programs.is_function(file):
        elsewhere = cluster.connected(dask) if dask else contextlib.nullcontext(None)
        with programs.function_of(file) as function, elsewhere as executor:
            task = Task(function, "", version, place)
            if any("." in name for name in file.parameters):
                task.function = programs.Nested(function)
            yield Job(task, executor, f"{task.name}() of {file.program}, called in Python")
        return
    workers = places.n_workers(jobs)
    threads = 1 if dask else max(1, places.n_workers() // workers)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="hplab-script")
    with (
        cluster.connected(dask) if dask else pool as executor,
        Script(file, stand_in, threads) as script,
    ):
        task = Task(script, script.name, version or script.version, place)
        reads = "what it logs to wandb" if script.logs else "what it prints"
        what = f"{script.name}, a process a run; {reads} is read"
        yield Job(task, executor, what, tuple(script.notes))


def run(
    file: SweepFile,
    job: Job,
    *,
    seed: int = 0,
    n_seeds: int | None = None,
    count: int | None = None,
    jobs: int | None = None,
    store: stores.Store | None = None,
    keep: str | None = None,
) -> Swept:
    """Run what is missing of a sweep.

    Args:
        file: The sweep file.
        job: What it runs.
        seed: What the search draws from.
        n_seeds: Runs each point with seeds 0 to n_seeds - 1, as replicates.
        count: Points at most, besides what the file says.
        jobs: Runs side by side.
        store: Where records are; None takes the project's own.
        keep: "best" or "all" of what the runs train is kept as artifacts; None keeps nothing.

    Raises:
        HplabError: If the first `MOST_FAILURES` runs fail, or the first one that does not fail does
            not give the metric.
        Stopped: If it was interrupted; what was finished is kept.
    """
    store = store or stores.default_store()
    with contextlib.ExitStack() as stack:
        job.task.post = stack.enter_context(live.posting(store.pending, job.task.name))
        if file.rule:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="hplab-board-"))
            job.task.board = Board(file.rule, Path(folder))
        goal = -1 if file.goal == "minimize" else 1
        keeping = Keeping(keep, store, file.metric, goal) if keep is not None else None
        if isinstance(job.task.function, Script):
            job.task.function.keeps = keeping is not None
        there = job.executor
        at_once = there.n_workers() if isinstance(there, cluster.Cluster) else None
        at_once = at_once or places.n_workers(jobs)
        runner = _Runner(file, job, n_seeds, at_once, store, stack, keeping)
        if file.method == "bayes":
            runner.search(searches.Bayes(file, seed), count)
        else:
            runner.go_through(searches.points(file, seed=seed, n=count))
        runs = results.table_of(job.task, runner.done, store, runner.n_new)
        n_failed = 0 if places.from_records() else len(runner.done) - len(runs)
        return Swept(runs, runner.n_points, n_failed, runner.reached)


class _Runner:
    """Runs points in parts, and looks at what came of each part.

    The first run goes alone: if it does not give the metric, the others need not run. If it fails,
    the next one is the first.
    """

    def __init__(
        self,
        file: SweepFile,
        job: Job,
        n_seeds: int | None,
        workers: int,
        store: stores.Store,
        stack: contextlib.ExitStack,
        keeping: Keeping | None,
    ) -> None:
        self.file, self.job, self.store, self.workers = file, job, store, workers
        self.stack = stack  # holds the bar
        self.keeping = keeping
        self.tick: Callable[[], object] | None = None
        self.n_tried, self.works = 0, places.from_records()
        self.axes = {} if n_seeds is None else {SEED: range(n_seeds)}
        self.done: list[Point] = []
        self.n_new, self.n_points, self.reached = 0, 0, False
        self.tally = functions.Tally(0)

    def expand(self, points: list[Point]) -> list[Point]:
        """Return the points with all seeds, and the defaults of the function."""
        return expand(self.job.task.function, points, self.axes)

    def go_through(self, points: list[Point]) -> None:
        """Run points that are known beforehand."""
        found = self.expand(points)
        self.n_points = len(points)
        self._post(found)
        self._show(sum(self.job.task.head(point, self.store) is None for point in found))
        self.tally.tell(len(found))
        while found and not self.reached:
            size = self.workers if self.file.target is not None else len(found)
            part, found = (found[:size], found[size:]) if self.works else (found[:1], found[1:])
            self._run(part, is_last=not found)

    def search(self, bayes: searches.Bayes, count: int | None) -> None:
        """Run points of which each follows from the results so far."""
        most = searches.cap(self.file, count)
        if most is None:
            raise searches.endless(self.file)
        seen: set[str] = set()
        self._show(most * max(len(self.axes.get(SEED, ())), 1))
        for i in range(most):
            trial, point = bayes.ask()
            found = self.expand([point])
            if (text := canonical(point)) not in seen:
                seen.add(text)
                self.n_points += 1
                self._post(found)
                self._run(found, is_last=i == most - 1)
            heads = [self.job.task.head(one, self.store) for one in found]
            ends = [_end(head, self.file.metric) for head in heads]
            stopped = any(head is not None and head["status"] == "stopped" for head in heads)
            bayes.tell(trial, [x for x in ends if x is not None], stopped=stopped)
            if self.reached:
                return

    def _show(self, total: int) -> None:
        """Show one bar for all parts, and count over them."""
        self.tally.n_missing = total
        if total and not places.from_records():
            if self.job.task.post:
                self.job.task.post.expect(total)
            what = f"running {self.job.task.name}"
            self.tick = self.stack.enter_context(progress.bar(total, what, "run"))

    def _run(self, part: list[Point], *, is_last: bool) -> None:
        was_working, self.n_tried = self.works, self.n_tried + 1
        may_fail = was_working or (self.n_tried < MOST_FAILURES and not is_last)
        options: dict[str, Any] = {"may_fail": may_fail, "tick": self.tick}
        options |= {"keeping": self.keeping, "tally": self.tally}
        executor, store = self.job.executor, self.store
        self.n_new += functions.fill(self.job.task, part, self.workers, executor, store, **options)
        self.done += part
        heads = [self.job.task.head(point, self.store) for point in part]
        for head in [head for head in heads if head is not None][:1]:
            self.works = True
            if not was_working:
                self._check_first(head)
        if self.file.target is not None:
            ends = [_end(head, self.file.metric) for head in heads]
            self.reached = any(x is not None and self._is_there(x) for x in ends)

    def _is_there(self, value: float) -> bool:
        target = self.file.target if self.file.target is not None else math.nan
        return value <= target if self.file.goal == "minimize" else value >= target

    def _check_first(self, head: dict[str, Any]) -> None:
        """Refuse a metric that nobody logs, before the rest is run."""
        metric = self.file.metric
        if metric and metric not in head["final"]:
            fault = str(unknown("metric", metric, head["final"])).replace("known:", "it gave:", 1)
            raise self.file.error("metric.name", f"after the first run, which is kept: {fault}")
        if self.file.rule and not (self.store.get(head["key"]) or {}).get("curves"):
            line = "it gives its result at the end only, so early_terminate never stops it"
            print(f"{self.job.task.name}: {line}", file=sys.stderr)

    def _post(self, found: list[Point]) -> None:
        """Post what recorded runs had, as if they ran now."""
        board = self.job.task.board
        for point in found if board else ():
            head = self.job.task.head(point, self.store)
            if board and head and (record := self.store.get(head["key"])):
                board.post(record["curves"])


def _end(head: dict[str, Any] | None, metric: str) -> float | None:
    """Return the metric of a finished run, None of any other."""
    return head["final"].get(metric) if head is not None and head["status"] == "ok" else None
