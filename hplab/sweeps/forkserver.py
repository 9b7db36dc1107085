"""The server that worker processes are forked from, and how it is started.

Importing what training needs takes a process several seconds. On Linux a server process does it
once, and every worker of this and later sweeps is forked from it. Nothing here needs torch, so the
server can import it while the process that asks for workers does the same.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.context
import sys
from collections.abc import Iterable

from hplab.trial import Trial

# What a worker imports to train a trial, and what only some trials need beside.
_ALWAYS = "hplab.sweeps.driver"
_TO_SPLIT, _FOR_OWN_OPTIMIZERS = "sklearn.model_selection", "torch._dynamo"


def context() -> multiprocessing.context.BaseContext:
    """Return how worker processes are started."""
    return multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")


def start(trials: Iterable[Trial]) -> str:
    """Start the server, unless it is there or the system has none; it imports on its own.

    Args:
        trials: What the first of its workers will train.

    Returns:
        Why there can be no worker processes here, "" if there can. They need shared memory for
        semaphores, and a folder for temporary files with a path that is short enough for a socket.
    """
    try:
        context().Event()
        _start(trials)
    except OSError as error:
        return f"{error.strerror or error}; they need /dev/shm and a TMPDIR with a short path"
    return ""


def _start(trials: Iterable[Trial]) -> None:
    if sys.platform != "linux":
        return
    from multiprocessing import forkserver  # not to be had everywhere

    trials = list(trials)
    preloaded = [_ALWAYS]
    if any(trial.split != "official" for trial in trials):
        preloaded.append(_TO_SPLIT)
    if any(name.startswith("optimizer:") for trial in trials for name in trial.code):
        preloaded.append(_FOR_OWN_OPTIMIZERS)
    context().set_forkserver_preload(preloaded)
    forkserver.ensure_running()


def is_importing_main() -> bool:
    """Return whether this is a worker that is only starting: it runs the user's script again."""
    script = sys.modules.get("__mp_main__")  # the name under which a worker runs it
    return script is not None and script is not sys.modules["__main__"]  # it gets both when done
