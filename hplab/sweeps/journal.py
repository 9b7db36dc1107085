"""Finished records on disk from the moment they are finished, until they are stored.

    .hplab/journal/<time>-<random>.jsonl    one a process; deleted when what it holds is stored

Small results are stored many at a time, since each file of the store costs a few milliseconds. A
process that is killed meanwhile leaves its journal, and the next that reads the store takes it in.
A line costs a write of some microseconds and no wait for the disk, so what a journal adds is safe
from a kill of the process; from a failure of power, only what is stored is.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from hplab.sweeps.records import Record, StoreError, make_folder, read_line


class Journal:
    """The journal of this process: a file that grows, whose lock says that its writer lives.

    Where the system refuses to write, it holds less, and nothing else happens: the records are in
    memory all the same.

    Args:
        folder: Where journals are. Nothing is made before the first record.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / f"{time.time_ns():020d}-{secrets.token_hex(8)}.jsonl"
        self._lock = _lock(self.path)
        self._handle: int | None = None

    def add(self, text: bytes) -> None:
        """Append the text of a sealed record."""
        with contextlib.suppress(OSError, StoreError):
            if self._handle is None:
                make_folder(self.path.parent)
                self._lock.acquire(timeout=0)
                flags = os.O_CREAT | os.O_APPEND | os.O_WRONLY
                self._handle = os.open(self.path, flags, 0o644)
            # The first line end closes a line that a full disk cut.
            os.write(self._handle, b"\n" + text + b"\n")

    def clear(self) -> None:
        """Forget what is in it: it is stored."""
        if self._handle is not None:
            os.ftruncate(self._handle, 0)

    def close(self) -> None:
        """Delete it."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
            _delete(self.path)
        self._lock.release()
        _delete(self._lock.lock_file)


def recover(folder: Path, put: Callable[[Iterable[Record]], Any]) -> int:
    """Store what processes that are gone have left in their journals; return how many records.

    A line that was cut is left out: nobody was told that its record is kept. What cannot be stored
    now stays where it is.

    Args:
        folder: Where journals are.
        put: Stores records.
    """
    n = 0
    for path in sorted(folder.glob("*.jsonl")):
        with contextlib.suppress(OSError, Timeout, StoreError), _lock(path).acquire(timeout=0):
            found = list(_whole(path))
            if found:
                put(found)
            n += len(found)
            _delete(path)
            _delete(_lock(path).lock_file)
    return n


def _whole(path: Path) -> Iterable[Record]:
    for number, text in enumerate(path.read_bytes().split(b"\n"), 1):
        with contextlib.suppress(StoreError):
            if text:
                yield read_line(text, path, number).record()


def _lock(path: Path) -> FileLock:
    return FileLock(path.with_suffix(".lock"))


def _delete(path: str | Path) -> None:
    with contextlib.suppress(OSError):
        Path(path).unlink()
