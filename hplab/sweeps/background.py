"""Training in the background: at the lowest priority, and not at all while others need the machine.

`fill` starts a process that trains, watches what everybody else asks of the processor, and tells it
to wait while that is more than half of it. What waits keeps its
memory and goes on with the next update. Nothing outlives the process that called `fill`: the
trainer ends when that is gone, and writes down first how far it is.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import filelock
import psutil

from hplab.errors import Terminated
from hplab.sweeps import checkpoints, driver, executors, remote, slices
from hplab.sweeps import store as stores
from hplab.training import datasets as data
from hplab.trial import HplabError, Trial

LOOK_S = 1.0  # between two looks at what others do
TOO_MUCH = 0.5  # of all cores: what others may use beside the training
NICENESS = 19  # of Linux: the lowest priority
QUIET_LOOKS = 3  # in a row, before it goes on
LINE_S = 60.0
STOP_S = 25.0  # before the budget's end: to make an update, write checkpoints and records


def fill(
    trials: Sequence[Trial],
    store: stores.Store,
    *,
    device: str = "cpu",
    jobs: int | None = None,
    dask: str = "",
    seconds: float | None = None,
    say: Callable[[str], None] = print,
) -> int:
    """Train trials in their order, out of everybody's way; return how many of them are recorded.

    Args:
        trials: Different trials, the most wanted first.
        store: Where the records go.
        device: "auto", "cpu", "cuda" or "mps".
        jobs: Worker processes on the CPU; None takes `HPLAB_JOBS` or one a core.
        dask: The address of a Dask scheduler whose workers train instead. Then nothing waits: what
            others ask of this machine's processor is not in the way of theirs.
        seconds: When to be done, from now; None for when all are trained.
        say: What a line of progress is given to.

    Raises:
        HplabError: If another one is at work in the same store, or the training fails.
    """
    until = None if seconds is None else time.monotonic() + seconds - STOP_S
    with _alone(store), tempfile.TemporaryDirectory() as scratch:
        plan = Path(scratch, "plan.jsonl")
        slices.write(plan, trials)
        command = [sys.executable, "-m", "hplab.sweeps.background", str(plan), device]
        command += [str(store.root), str(store.pending), str(0 if dask else NICENESS), dask]
        env = os.environ | {"TQDM_DISABLE": "1", "PYTHONUNBUFFERED": "1"}
        if jobs is not None:
            env["HPLAB_JOBS"] = str(jobs)
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=env,
            start_new_session=True,  # Linux gives each session its own share of the processor
        ) as trainer:
            report = _Report(trials, store, say)
            threading.Thread(target=report.pass_on, args=(trainer,), daemon=True).start()
            try:
                others = None if dask else Others(trainer.pid)
                _watch(trainer, others, checkpoints.Folder.beside(store.pending), until, report)
            finally:
                _stop(trainer)
        n = report.line()
    if trainer.returncode not in (0, *_ENDED):
        raise HplabError(f"the training ended with code {trainer.returncode}; see what it said")
    return n


_ENDED = (143, -signal.SIGTERM)  # it was told to


@contextlib.contextmanager
def _alone(store: stores.Store) -> Iterator[None]:
    store.pending.mkdir(parents=True, exist_ok=True)
    path = store.pending.parent / "fill.lock"
    try:
        with filelock.FileLock(path, timeout=0):
            yield
    except filelock.Timeout:
        raise HplabError(f"another hplab fill is at work here (it holds {path})") from None


def _watch(
    trainer: subprocess.Popen,
    others: Others | None,
    folder: Path,
    until: float | None,
    report: _Report,
) -> None:
    """Let a trainer work while others leave room, until it is done or time is up."""
    quiet, said = QUIET_LOOKS, time.monotonic()
    while trainer.poll() is None and (until is None or time.monotonic() < until):
        with contextlib.suppress(subprocess.TimeoutExpired):
            trainer.wait(LOOK_S)
        quiet = 0 if others and others.share() > TOO_MUCH else quiet + 1
        waits = quiet < QUIET_LOOKS
        hold(folder, waits)
        report.waited_s += LOOK_S * waits
        if time.monotonic() - said >= LINE_S:
            report.line()
            said += LINE_S
    hold(folder, False)


def hold(folder: Path, waits: bool) -> None:
    """Say, for the next seconds, whether what trains with checkpoints in a folder is to wait."""
    path = folder / checkpoints.HOLD
    if waits:
        folder.mkdir(parents=True, exist_ok=True)
        path.touch()
    else:
        path.unlink(missing_ok=True)


def _stop(trainer: subprocess.Popen) -> None:
    """End a trainer and all it has started; it writes checkpoints first."""
    if trainer.poll() is None:
        trainer.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            trainer.wait(STOP_S - 5)
    if trainer.poll() is None:
        trainer.kill()  # its workers follow, since they watch it


class Others:
    """What all processes but a trainer's ask of the processor.

    Args:
        pid: The trainer, whose children count as its own.
        system: The module psutil, or what is like it.
    """

    def __init__(self, pid: int, system: Any = psutil) -> None:
        self.system, self.pid = system, pid
        self.before = self._now()

    def share(self) -> float:
        """Return the share of all cores that others have used since the last call."""
        (then, all_then, own_then), now = self.before, self._now()
        self.before = now
        spent = sum(max(0.0, own - own_then.get(pid, 0.0)) for pid, own in now[2].items())
        seconds = max(now[0] - then, 1e-6) * (self.system.cpu_count() or 1)
        return max(0.0, now[1] - all_then - spent) / seconds

    def _now(self) -> tuple[float, float, dict[int, float]]:
        """Return the time, the busy seconds of all cores, and those of each process of ours."""
        times = self.system.cpu_times()._asdict()
        idle = ("idle", "iowait", "guest", "guest_nice")  # guests are in "user" already
        busy = sum(value for name, value in times.items() if name not in idle)
        own: dict[int, float] = {}
        for process in self._family():
            with contextlib.suppress(self.system.Error):
                spent = process.cpu_times()
                own[process.pid] = spent.user + spent.system
        return time.monotonic(), busy, own

    def _family(self) -> Iterable:
        with contextlib.suppress(self.system.Error):
            trainer = self.system.Process(self.pid)
            return [trainer, *trainer.children(recursive=True), self.system.Process()]
        return []


class _Report:
    """Says how far a plan is."""

    def __init__(
        self, trials: Sequence[Trial], store: stores.Store, say: Callable[[str], None]
    ) -> None:
        self.trials, self.store, self.say = trials, store, say
        self.waited_s = 0.0

    def pass_on(self, trainer: _Speaking) -> None:
        """Say what a trainer says, as it says it."""
        for line in trainer.stdout or ():
            self.say(line.rstrip("\n"))

    def line(self) -> int:
        """Say how many trials are recorded and how far those are that are not; return how many."""
        self.store.refresh()
        n = sum(self.store.summary(trial) is not None for trial in self.trials)
        folder = checkpoints.Folder.beside(self.store.pending)
        begun = [f"epoch {head.epoch} of {head.epochs}" for _, head in checkpoints.heads(folder)]
        now = datetime.datetime.now().strftime("%H:%M")
        parts = [f"{now}  {n} of {len(self.trials)} trials recorded"]
        parts += [f"begun: {', '.join(begun)}"] if begun else []
        parts += [f"waited {self.waited_s / 60:.0f} min for others"] if self.waited_s > 30 else []
        self.say("; ".join(parts))
        return n


class _Speaking(Protocol):
    stdout: Iterable[str] | None


# ------------------------------------------------------------------- in the process that trains


def main(arguments: Sequence[str]) -> int:
    """Train the trials of a plan, as `fill` says; return 1 on a mistake, 143 when told to end."""
    plan, device, root, pending, niceness, address = arguments
    signal.signal(signal.SIGTERM, _terminate)
    _step_back(int(niceness))
    _end_with_parent()
    store = stores.Store(root, pending)
    try:
        trials = slices.read(Path(plan))
        datasets = {name: data.load(name) for name in dict.fromkeys(t.data for t in trials)}
        digests = {name: dataset.digest for name, dataset in datasets.items()}
        todo = [t for t in trials if store.summary(t, digests[t.data]) is None]
        if todo and address:
            with remote.opened(address, todo, device, digests, store) as there:
                driver.train(
                    todo, datasets, there.device, None, store, in_order=True, elsewhere=there
                )
        else:
            chosen = executors.resolve_device(device)
            driver.train(todo, datasets, chosen, None, store, in_order=True)
    except HplabError as error:
        print(f"error: {error}")
        return 1
    except Terminated:
        return 143
    return 0


def _terminate(*_: object) -> None:
    raise Terminated


def _step_back(niceness: int) -> None:
    """Give this process and all it starts a low priority."""
    windows = sys.platform == "win32"
    psutil.Process().nice(psutil.IDLE_PRIORITY_CLASS if windows else niceness)
    with contextlib.suppress(OSError):  # Linux shares out by session first, then within it
        Path("/proc/self/autogroup").write_text(str(niceness))


def _end_with_parent() -> None:
    """End this process, as SIGTERM does, when the other end of its standard input closes."""

    def watch() -> None:
        sys.stdin.read()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
