"""What runs right now: sweeps post it in a folder, and `hplab watch` reads it.

    .hplab/live/<process>-<token>/sweep.json      the sweep: its name, its process, how far it is
    .hplab/live/<process>-<token>/<digest>.jsonl  a run: its point, then a line of metrics an epoch

A sweep deletes its folder when it ends. What a killed one leaves is deleted by whoever looks next.
Nothing here is needed for a result: where it cannot be written, the run goes on without.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import secrets
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from hplab.trial import canonical

EVERY_S = 0.2  # between two writes; a run that is over sooner is never seen
_IDLE = 10  # writes without a run, after which a process writes no longer
_FILE = "sweep.json"


class Running(NamedTuple):
    """A run that is going on.

    Attributes:
        point: What was called.
        began: When, in seconds since 1970.
        epochs: Its metrics so far, a mapping an epoch.
    """

    point: dict[str, Any]
    began: float
    epochs: list[dict[str, float]]


class Sweep(NamedTuple):
    """A sweep that is going on.

    Attributes:
        name: What it is called.
        process: The process that it belongs to.
        began: When, in seconds since 1970.
        total: How many runs it has to make.
        done: How many of them have ended.
        running: Those that are going on, the oldest first.
    """

    name: str
    process: int
    began: float
    total: int
    done: int
    running: list[Running]


# ------------------------------------------------------------------------------------- posting


class Post:
    """What a sweep tells of itself; a thread of `posting` writes it.

    Attributes:
        folder: Where it and its runs post.
        total: Runs that it has to make.
        done: Runs that have ended.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self.total = self.done = 0
        self._began, self._written = time.time(), (0, 0)

    def expect(self, n: int) -> None:
        """Say how many runs there are to make."""
        self.total = n

    def ended(self) -> None:
        """Say that one more run has ended."""
        self.done += 1

    def write(self) -> None:
        """Write it, if there is news."""
        now = (self.total, self.done)
        if now != self._written:
            said = {"name": self.name, "process": os.getpid(), "began": self._began}
            _put(self.folder / _FILE, {**said, "total": now[0], "done": now[1]})
            self._written = now


@contextlib.contextmanager
def posting(pending: Path, name: str) -> Iterator[Post]:
    """Post a sweep while the body runs.

    Args:
        pending: The folder of pending records, beside which it is posted.
        name: What it is called.
    """
    folder = _beside(pending) / f"{os.getpid()}-{secrets.token_hex(4)}"
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True)
    post, over = Post(folder, name), threading.Event()

    def write() -> None:
        while not over.wait(EVERY_S):
            post.write()

    thread = threading.Thread(target=write, daemon=True, name="hplab-live")
    thread.start()
    try:
        yield post
    finally:
        over.set()
        thread.join()
        shutil.rmtree(folder, ignore_errors=True)


class Poster:
    """Posts the runs of a sweep that are in this process. A thread writes: a run does not wait.

    Args:
        folder: That of the sweep.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._slots: list[Slot] = []
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def run(self, point: Mapping[str, Any]) -> Iterator[Slot]:
        """Post a run while the body runs.

        Args:
            point: What is called.
        """
        slot = Slot(self.folder, point)
        with self._lock:
            self._slots.append(slot)
            if self._thread is None:
                self._thread = threading.Thread(target=self._write, daemon=True, name="hplab-live")
                self._thread.start()
        try:
            yield slot
        finally:
            with self._lock:
                self._slots.remove(slot)
                slot.end()

    def _write(self) -> None:
        """Write what runs have, until there is none for a while."""
        idle = 0
        while idle < _IDLE:
            time.sleep(EVERY_S)
            with self._lock:
                for slot in self._slots:
                    slot.write()
                idle = 0 if self._slots else idle + 1
                if idle == _IDLE:
                    self._thread = None


class Slot:
    """One run that is posted.

    Attributes:
        epochs: Its metrics so far; whoever runs it puts its list here.
    """

    def __init__(self, folder: Path, point: Mapping[str, Any]) -> None:
        self.epochs: Sequence[Mapping[str, float]] = ()
        self.head = {"point": dict(point), "process": os.getpid(), "began": time.time()}
        self._folder, self._n = folder, -1  # lines that are written, without the head

    @property
    def path(self) -> Path:
        """Its file."""
        name = hashlib.sha256(canonical(self.head["point"]).encode()).hexdigest()[:16]
        return self._folder / f"{name}.jsonl"

    def write(self) -> None:
        """Write what is new."""
        n = len(self.epochs)
        if n > self._n:
            rows = [*([self.head] if self._n < 0 else []), *self.epochs[max(self._n, 0) : n]]
            mode = "w" if self._n < 0 else "a"
            self._n = n
            text = "".join(json.dumps(row) + "\n" for row in rows)
            with contextlib.suppress(OSError), self.path.open(mode, encoding="utf-8") as file:
                file.write(text)

    def end(self) -> None:
        """Delete what was written."""
        if self._n >= 0:
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)


@functools.lru_cache(4)
def poster(folder: Path) -> Poster:
    """Return the poster of this process for a sweep."""
    return Poster(folder)


def _put(path: Path, said: Mapping[str, Any]) -> None:
    """Write a small file so that a reader finds it whole; it need not outlive a crash."""
    temporary = path.with_name(f".tmp-{path.name}")
    with contextlib.suppress(OSError):
        temporary.write_text(json.dumps(said), encoding="utf-8")
        os.replace(temporary, path)


# ------------------------------------------------------------------------------------- looking


def sweeps(pending: Path) -> list[Sweep]:
    """Return the sweeps that are going on, the oldest first, and delete what dead ones left.

    Args:
        pending: The folder of pending records, beside which they are posted.
    """
    found = []
    for folder in _beside(pending).glob("*-*"):
        said = _read(folder / _FILE)
        head = said[0] if said else {"process": int(folder.name.partition("-")[0])}
        if not psutil.pid_exists(head["process"]):
            shutil.rmtree(folder, ignore_errors=True)
        elif said:
            runs = [_running(path) for path in folder.glob("*.jsonl")]
            alive = sorted((run for run in runs if run), key=lambda run: run.began)
            found.append(Sweep(**head, running=alive))
    return sorted(found, key=lambda sweep: sweep.began)


def stop(sweep: Sweep) -> None:
    """Tell a sweep to stop, as Ctrl-C does: what is finished is kept, what runs is not."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(sweep.process, signal.SIGINT)


def _running(path: Path) -> Running | None:
    """Return a run, None if its process is gone."""
    said = _read(path)
    if not said or not psutil.pid_exists(said[0]["process"]):
        return None
    return Running(said[0]["point"], said[0]["began"], said[1:])


def _read(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a file that are whole: the last one may be being written."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        return []
    found = []
    for line in text.splitlines():
        with contextlib.suppress(ValueError):
            found.append(json.loads(line))
    return found


def _beside(pending: Path) -> Path:
    return pending.parent / "live"
