"""Worker processes for a reader's own function.

Each is a Python of its own that a thread here talks to. It does not run the reader's script again,
so a script needs no `if __name__ == "__main__":`, and when one is killed only its call is lost.
Nothing here needs torch.
"""

from __future__ import annotations

import contextlib
import functools
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor
from typing import Any

from hplab.errors import HplabError
from hplab.sweeps import calls
from hplab.sweeps.points import Point

# What linear algebra asks for the number of its threads.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
_READY = "ready"
_MOST_FAILED_STARTS = 3  # in a row, of processes that something kills
_ASK = (  # Ctrl-C reaches a worker too, perhaps while it imports; its parent decides
    "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); "
    "from hplab.sweeps import workers; workers.serve()"
)


class Workers:
    """A pool of processes that call one function; processes are started as they are needed.

    Args:
        function: What gives the answer at a point, as cloudpickle writes it; each process gets it
            once.
        n: Processes at most.
        cores: Cores that they share: each may use as many threads as its part, unless the
            environment says otherwise.
    """

    def __init__(self, function: bytes, n: int, cores: int) -> None:
        self._function = function
        self._env = {**dict.fromkeys(THREADS, str(max(1, cores // n))), **os.environ}
        self._env["PYTHONPATH"] = os.pathsep.join(path or os.getcwd() for path in sys.path)
        self._threads = ThreadPoolExecutor(n, thread_name_prefix="hplab-worker")
        self._mine = threading.local()
        self._all: list[subprocess.Popen[bytes]] = []
        self._lock = threading.Lock()
        self._is_closed = False
        self._n_failed_starts = 0

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        """End all processes, whatever they are doing."""
        with self._lock:
            self._is_closed = True
            for process in self._all:
                process.kill()
        self._threads.shutdown(wait=True, cancel_futures=True)
        for process in list(self._all):
            self._end(process)

    def submit(self, point: Point) -> Future[calls.Answer]:
        """Call the function at a point, in the next process that is free.

        The future raises `BrokenExecutor` if that process ended meanwhile, also while it started,
        and `HplabError` if none can be started.
        """
        return self._threads.submit(self._ask, point)

    def _ask(self, point: Point) -> calls.Answer:
        if (process := getattr(self._mine, "process", None)) is None:
            process = self._mine.process = self._start()
        try:
            _send(process.stdin, point)
            return pickle.load(process.stdout)
        except (OSError, EOFError, pickle.UnpicklingError):
            self._mine.process = None
            raise BrokenExecutor(f"its worker process {ended(self._end(process))}") from None

    def _start(self) -> Any:
        with self._lock:
            if self._is_closed:
                raise BrokenExecutor("the sweep is over")
            process: Any = subprocess.Popen(
                [sys.executable, "-P", "-c", _ASK],  # -P: its path is that of this process
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=self._env,
            )
            self._all.append(process)
        try:
            _send(process.stdin, self._function)
            if pickle.load(process.stdout) == _READY:
                self._n_failed_starts = 0
                return process
        except (OSError, EOFError, pickle.UnpicklingError):
            pass
        code = self._end(process)
        self._n_failed_starts += 1
        if code < 0 and self._n_failed_starts < _MOST_FAILED_STARTS:  # for want of memory, perhaps
            raise BrokenExecutor(f"its worker process {ended(code)} while it started")
        raise HplabError(f"no worker process could start: it {ended(code)}; jobs=1 needs none")

    def _end(self, process: Any) -> int:
        try:
            code = process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()
        with self._lock, contextlib.suppress(ValueError):
            self._all.remove(process)
        return code


def serve() -> None:
    """Answer what comes on standard input until that ends; what the function prints is no answer.

    A thread reads, so that the process notices in the middle of a call that its parent is gone.
    """
    questions, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what is printed goes where messages go
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(questions, inbox), daemon=True).start()
    sent = inbox.get()
    _answer(answers, _READY)
    call = _load(sent)
    while True:
        _answer(answers, call(inbox.get()))


def _load(sent: bytes) -> Any:
    try:
        return pickle.loads(sent)
    except Exception as error:  # a module that is not here, or whatever it raises
        why = f"it cannot be had in a worker process: {type(error).__name__}: {error}"

    def failed(**_: Any) -> None:
        raise HplabError(f"{why}; jobs=1 runs it in this process")

    return functools.partial(calls.call, failed)


def _read(questions: Any, inbox: queue.SimpleQueue[Any]) -> None:
    try:
        while True:
            inbox.put(pickle.load(questions))
    except BaseException:
        os._exit(1)  # the parent is gone, however it went


def _send(pipe: Any, what: Any) -> None:
    pickle.dump(what, pipe, protocol=pickle.HIGHEST_PROTOCOL)
    pipe.flush()


def _answer(pipe: Any, what: Any) -> None:
    try:
        _send(pipe, what)
    except BrokenPipeError:
        os._exit(1)  # the parent is gone, and nobody is left to be told


def ended(code: int) -> str:
    """Return how a process ended, in words."""
    if code >= 0:
        return f"ended by itself with code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
