"""Workers of a Dask scheduler, on this machine or on others, as an executor.

Who can talk to a scheduler can run code on its workers. So nothing here talks to one but on this
machine's own addresses, or by TLS. Before anything is computed every worker says which Python and
which hplab it has; one that has another is refused. Nothing here needs torch.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import ipaddress
import logging
import platform
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import (
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    InvalidStateError,
    wait,
)
from pathlib import Path
from typing import Any

from hplab.errors import HplabError
from hplab.sweeps import provenance, tasks

# Beside what computes results, what is spoken between this process and the workers.
CODE = (*provenance.RESULT_CODE, "digest.py", "errors.py", "places.py", "sweeps")
ANSWER_S = 15.0  # for a scheduler to answer at all
WORKERS_S = 600.0  # without a single worker before a sweep ends
_LOOK_S = 1.0
_TLS = (
    "the CA's file, a certificate and its key stand in Dask's own settings (distributed.comm.tls)"
)


# What Dask and Ray raise then, by name: nobody needs to import them to ask.
_LOST = ("KilledWorker", "WorkerCrashedError")
_KILLED = "its worker process was killed, on every worker that tried"


class WorkerLost(BrokenExecutor):
    """The worker of one call died, again and again; the others go on."""


def is_lost(error: BaseException) -> bool:
    """Return whether a call of an executor ended with its process, not by what it did."""
    return isinstance(error, BrokenExecutor) or type(error).__name__ in _LOST


def check_address(address: str) -> None:
    """Refuse the address of a scheduler or a worker that anybody in the network could use.

    Raises:
        HplabError: If it is no address, or neither this machine's own nor TLS.
    """
    scheme, _, place = address.rpartition("://")
    host, _, port = place.rpartition(":")
    if scheme not in ("", "tcp", "tls") or not host or not port.isdecimal():
        raise HplabError(
            f"{address!r} is no address of a Dask scheduler; write tcp://127.0.0.1:8786 on this "
            "machine, tls://HOST:8786 on another"
        )
    if scheme != "tls" and not _is_here(host.strip("[]")):
        raise HplabError(
            f"{address} is open to the network and not encrypted, so others could run code there; "
            "use tls://, or 127.0.0.1 at both ends of an SSH tunnel (--host 127.0.0.1)"
        )


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextlib.contextmanager
def connected(address: str, say: Callable[[str], object] = print) -> Iterator[Cluster]:
    """Yield the workers of the scheduler at an address, all checked; cancel what is left after.

    Args:
        address: tcp://127.0.0.1:8786, or tls:// and any host.
        say: What a line is given to while there is no worker yet.

    Raises:
        HplabError: If the address is refused, nobody answers, no worker comes, or one of them has
            another Python or other code than this process.
    """
    check_address(address)
    try:
        distributed = importlib.import_module("distributed")
    except ModuleNotFoundError:
        raise HplabError(
            "other machines are reached by Dask, which is not installed: pip install 'hplab[dask]'"
        ) from None
    security = distributed.Security()
    if address.startswith("tls://"):
        for file in (security.tls_ca_file, security.tls_client_cert, security.tls_client_key):
            if not file or not Path(file).is_file():
                raise HplabError(f"{address} needs certificates, {file or 'none named'}: {_TLS}")
    client = _client(functools.partial(distributed.Client, address, security=security), address)
    # Or Dask shows a traceback where a scheduler that is gone cannot be reached again.
    logging.getLogger("distributed.client").addFilter(_is_no_cancellation)
    try:
        check_address(client.scheduler_info(n_workers=0)["address"])
        cluster = Cluster(client, address)
        cluster.check(say)
        yield cluster
    finally:
        # Or tornado shows a traceback for each call that is cancelled so, some time after.
        logging.getLogger("tornado.application").addFilter(_is_no_cancellation)
        with contextlib.suppress(TimeoutError, OSError):
            client.close(timeout=ANSWER_S)  # cancels what it has asked for


def _client(make: Callable[..., Any], address: str) -> Any:
    """Return a client that has been answered; Dask's own waits for ever where nobody speaks."""
    made: Future[Any] = Future()

    def connect() -> None:
        try:
            made.set_result(make(timeout=ANSWER_S, set_as_default=False))
        except Exception as error:
            made.set_exception(error)

    threading.Thread(target=connect, daemon=True).start()
    try:
        return made.result(2 * ANSWER_S)
    except TimeoutError:
        why = f"what is there does not answer within {2 * ANSWER_S:g} s"
    except Exception as error:
        why = str(error).splitlines()[0]
    raise HplabError(f"no Dask scheduler can be reached at {address}: {why}")


def _is_no_cancellation(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, CancelledError | asyncio.CancelledError)


class Cluster(Executor):
    """What a Dask client reaches; `submit` takes functions that a worker finds by their names.

    A call whose worker dies is made again on another one. The call that kills its workers ends
    as `WorkerLost`.

    Args:
        client: A `distributed.Client`.
        address: What messages call it.
    """

    def __init__(self, client: Any, address: str) -> None:
        self.client, self.address = client, address
        self._executor = client.get_executor(pure=False, retries=0)
        self._running: dict[Future, Future] = {}
        self._lock = threading.Lock()
        self._seen = time.monotonic()  # when there was a worker
        self._watch: threading.Thread | None = None

    def workers(self) -> dict[str, dict[str, Any]]:
        """Return what the scheduler knows of its workers, by address.

        Raises:
            HplabError: If it is gone.
        """
        try:
            return dict(self.client.scheduler_info(n_workers=-1)["workers"])
        except (KeyError, OSError, RuntimeError, ValueError):  # the client was closed meanwhile
            raise self._gone() from None

    def n_workers(self) -> int:
        """Return how many workers there are, 1 where they are all away for the moment."""
        return max(1, len(self.workers()))

    def submit(self, fn: Callable, /, *args: Any, **kwargs: Any) -> Future:
        """Call a function on a worker.

        The future raises `WorkerLost` if the call kills its workers, and `HplabError` if no worker
        is left, or the scheduler is gone.
        """
        inner, outer = self._executor.submit(fn, *args, **kwargs), Future[Any]()
        with self._lock:
            self._running[outer] = inner
            if self._watch is None:
                self._watch = threading.Thread(target=self._watch_workers, daemon=True)
                self._watch.start()
        inner.add_done_callback(functools.partial(self._pass_on, outer))
        outer.add_done_callback(self._drop)
        return outer

    def _pass_on(self, outer: Future, inner: Future) -> None:
        with self._lock:
            self._running.pop(outer, None)
        with contextlib.suppress(InvalidStateError):  # it was cancelled meanwhile
            try:
                outer.set_result(inner.result())
            except CancelledError:
                outer.set_exception(self._gone())
            except Exception as error:
                outer.set_exception(WorkerLost(_KILLED) if is_lost(error) else error)

    def _drop(self, outer: Future) -> None:
        with self._lock:
            inner = self._running.pop(outer, None)
        if inner is not None:
            inner.cancel()

    def _watch_workers(self) -> None:
        """End what waits if there is no worker for long, or no scheduler: Dask might never."""
        with contextlib.suppress(HplabError):
            while self.client.status not in ("closing", "closed"):
                if self.workers():
                    self._seen = time.monotonic()
                elif time.monotonic() - self._seen > WORKERS_S:
                    self._end(self._no_workers())
                time.sleep(_LOOK_S)
        self._end(self._gone())

    def _end(self, error: HplabError) -> None:
        with self._lock:
            waiting = list(self._running)
        for outer in waiting:
            with contextlib.suppress(InvalidStateError):
                outer.set_exception(error)

    def _gone(self) -> HplabError:
        return HplabError(f"the Dask scheduler at {self.address} is gone")

    def _no_workers(self) -> HplabError:
        return HplabError(
            f"{self.address} has had no worker for {WORKERS_S / 60:.0f} minutes; this starts one: "
            f"dask worker {self.address} --nthreads 1"
        )

    # -------------------------------------------------------------------------- before it starts

    def check(self, say: Callable[[str], object] = print) -> None:
        """Wait for the first worker, and refuse workers that differ from this process.

        Raises:
            HplabError: If none comes, or one is refused.
        """
        if not self.workers():
            say(f"no worker at {self.address} yet: waiting for the first one")
        self._wait()
        for name, worker in self.workers().items():
            check_address(name)
            if worker["nthreads"] != 1:
                raise HplabError(
                    f"worker {name} makes {worker['nthreads']} calls at a time; start it with "
                    "--nthreads 1, and as many workers as there are cores or cards (--nworkers)"
                )
        for name, there in self.ask(made_with).items():
            _check_same(f"worker {name}", there, made_with())

    def _wait(self) -> None:
        """Wait until there is a worker."""
        try:
            self.client.wait_for_workers(1, timeout=WORKERS_S)
        except TimeoutError:
            raise self._no_workers() from None

    def ask(self, fn: Callable[..., Any], *args: Any) -> dict[str, Any]:
        """Call a function on every worker; return what each answers, by address: one at least.

        A worker that leaves meanwhile is left out.

        Raises:
            HplabError: What the function raised, or what kept a worker from calling it; or there is
                no worker for long.
        """
        answers: dict[str, Any] = {}
        while not answers:
            self._wait()
            answers = self._ask(fn, *args)
        return answers

    def _ask(self, fn: Callable[..., Any], *args: Any) -> dict[str, Any]:
        only = functools.partial(self.client.get_executor, pure=False)
        asked = {only(workers=[name]).submit(fn, *args): name for name in self.workers()}
        answers: dict[str, Any] = {}
        waiting = set(asked)
        while waiting:
            done, waiting = wait(waiting, timeout=_LOOK_S)
            for future in done:
                with _saying(asked[future]):
                    answers[asked[future]] = future.result()
            there = self.workers()
            waiting = {future for future in waiting if asked[future] in there}
        return answers


@contextlib.contextmanager
def _saying(worker: str) -> Iterator[None]:
    """Say which worker failed, in one line."""
    try:
        yield
    except HplabError as error:
        raise HplabError(f"worker {worker}: {error}") from None
    except CancelledError:
        raise HplabError(f"worker {worker} left while it was asked what it has") from None
    except Exception as error:
        why = " ".join(str(error).split())
        raise HplabError(
            f"worker {worker} cannot do the work ({type(error).__name__}: {why:.200}); install "
            "there what is installed here"
        ) from error


# ----------------------------------------------------------------------------- on the workers


@functools.cache
def made_with() -> dict[str, str]:
    """Return what has to be equal on both sides: the version of Python, and hplab's code."""
    python = ".".join(platform.python_version_tuple()[:2])
    return {"python": python, "code": provenance.code_digest(parts=CODE)}


def _check_same(who: str, there: Mapping[str, str], here: Mapping[str, str]) -> None:
    if there["python"] != here["python"]:
        raise HplabError(
            f"{who} has Python {there['python']}, and here it is {here['python']}; code cannot be "
            "sent between the two"
        )
    if there["code"] != here["code"]:
        raise HplabError(
            f"{who} has hplab of code {there['code']}, and here it is {here['code']}; install the "
            "same commit"
        )


def check_here(asked: Mapping[str, str]) -> None:
    """Refuse a call from a process with other code: a worker may have come late.

    Args:
        asked: `made_with` of the process that asked.
    """
    _check_same("a worker that came late", made_with(), asked)


def unpack(task: bytes) -> None:
    """Refuse a function that cannot be called in this process.

    Args:
        task: What `Task.to_send_far` gives.
    """
    tasks.received(task)


def call(job: Mapping[str, Any]) -> Any:
    """Call a reader's own function at a point.

    Args:
        job: "task", as `Task.to_send_far` gives it, the "point", and `made_with` of who asks.
    """
    check_here(job["made_with"])
    return tasks.received(job["task"])(job["point"])
