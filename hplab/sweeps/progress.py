"""Progress of a sweep: a bar where somebody watches, plain lines where a log is read."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator

LINE_EVERY_S = 15.0


@contextlib.contextmanager
def bar(total: int, what: str, unit: str = "trial") -> Iterator[Callable[[], None]]:
    """Yield a function to call after each finished trial, or whatever the unit is.

    A terminal or a live notebook gets a bar with the time left; with `TQDM_DISABLE` or `CI` set, or
    when standard error is a file, a line is printed at most every 15 seconds and one at the end.
    The first result says nothing of the time left: until then processes start and modules load.
    """
    if _watched():
        from tqdm.auto import tqdm

        with tqdm(total=total, desc=what, unit=unit) as shown:
            yield shown.update
        return
    began = last = time.monotonic()
    done = 0

    def tick() -> None:
        nonlocal done, last
        done += 1
        now = time.monotonic()
        if done == total or now - last >= LINE_EVERY_S:
            left = f", {(now - began) / done * (total - done):.0f} s left" if done > 1 else ""
            print(f"{what}: {done} of {total} {unit}s{left}", file=sys.stderr, flush=True)
            last = now

    yield tick


def _watched() -> bool:
    if os.environ.get("TQDM_DISABLE") or os.environ.get("CI"):
        return False
    ipython = sys.modules.get("IPython")
    live = ipython is not None and ipython.get_ipython() is not None
    return live or sys.stderr.isatty()
