"""Locks between processes that say who holds them.

The lock itself is the operating system's and goes with the process that holds it, however that
ends. The name of the holder lies beside it, for whoever has to wait.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from hplab.sweeps.records import make_folder, shown
from hplab.trial import HplabError

SAID_AFTER_S = 2.0  # how long to wait without a word


@contextlib.contextmanager
def held(path: Path, what: str, *, waits: bool) -> Iterator[None]:
    """Hold a lock while the body runs; a process may take one again that it holds.

    Args:
        path: The lock's file, in a folder that is made if need be.
        what: Who this is, for those who come meanwhile: "hplab book".
        waits: Whether to wait for another process that holds it, or to refuse.

    Raises:
        HplabError: If another process holds it and this one does not wait; it says which.
    """
    make_folder(path.parent)
    lock, holder = FileLock(path, is_singleton=True), path.with_name(f"{path.name}.holder")
    try:
        lock.acquire(timeout=SAID_AFTER_S if waits else 0)
    except Timeout:
        who = _holder(holder)
        if not waits:
            raise HplabError(
                f"{who} is writing in {shown(path.parent)}; wait until it is done, or end it"
            ) from None
        print(f"waiting for {who}, which holds {shown(path)}", file=sys.stderr)
        lock.acquire()
    try:
        if lock.lock_counter == 1:
            since = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
            with contextlib.suppress(OSError):  # a full disk: the lock is held all the same
                holder.write_text(f"{what} (process {os.getpid()}, since {since})")
        yield
    finally:
        if lock.lock_counter == 1:
            with contextlib.suppress(OSError):
                holder.unlink()
        lock.release()


def _holder(path: Path) -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        if text := path.read_text().strip():
            return text.splitlines()[0]
    return "another process"
