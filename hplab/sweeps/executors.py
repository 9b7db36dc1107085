"""Where trials are computed: in this process, or in one worker process a core.

Both are `concurrent.futures.Executor`s. On the CPU a trial always computes with one thread, so its
result does not depend on which of them ran it.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import multiprocessing.connection
import multiprocessing.process
import multiprocessing.synchronize
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor

import torch

from hplab import own
from hplab.sweeps import forkserver
from hplab.training.datasets.dataset import Dataset
from hplab.trial import HplabError, unknown

DEVICES = ("auto", "cpu", "cuda", "mps")
# glibc's names for the sizes below which freed memory stays with the process (malloc.h).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT = 2**30
_USUAL = 2**25  # where glibc's own adjustment of them ends
# Between a worker's order to end and its end: to make an update and to write a checkpoint.
_GRACE_S = 10.0
_SHARED = "/dev/shm" if sys.platform == "linux" else "/"


class SerialExecutor(Executor):
    """Run each call at once, in this process."""

    def submit(self, fn: Callable, /, *args, **kwargs) -> Future:
        future: Future = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def resolve_device(name: str | torch.device) -> str:
    """Return the name of the torch device for "auto", "cpu", "cuda" (or "cuda:1") or "mps".

    Raises:
        HplabError: If the name is unknown, or the device is not there.
    """
    name = str(name)
    kind = name.split(":")[0]
    if kind not in DEVICES:
        raise unknown("device", name, DEVICES)
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if kind == "auto":
        return next((device for device, found in there.items() if found), "cpu")
    if not there.get(kind, True):
        raise HplabError(f"device {name!r} was asked for, but torch finds none; use auto or cpu")
    index = name.partition(":")[2]
    n = torch.cuda.device_count() if kind == "cuda" else 0
    if ":" in name and not (index.isdecimal() and int(index) < n):
        raise HplabError(f"device {name!r} was asked for, but torch finds {n} numbered devices")
    return name


@contextlib.contextmanager
def open_executor(device: str, workers: int) -> Iterator[Executor]:
    """Yield an executor for trials on that device, and leave no process behind.

    Args:
        device: A resolved torch device.
        workers: Worker processes; 1 runs in this process. Several on a graphics card share it:
            while one of them asks for kernels or measures, another computes.
    """
    if workers == 1:
        threads = torch.get_num_threads()
        torch.set_num_threads(1 if device == "cpu" else threads)
        keep_freed_memory()
        try:
            yield SerialExecutor()
        finally:
            torch.set_num_threads(threads)
            keep_freed_memory(_USUAL)
    else:
        with open_pool(workers) as pool:
            yield pool


class WorkerPool(ProcessPoolExecutor):
    """Worker processes that compute with one thread each; `started` once one of them is ready."""

    def __init__(self, workers: int) -> None:
        context = forkserver.context()
        self.started = context.Event()
        given = (self.started, own.to_send()[0])
        super().__init__(workers, context, initializer=_start_worker, initargs=given)


@contextlib.contextmanager
def open_pool(workers: int) -> Iterator[WorkerPool]:
    """Yield a pool of worker processes, and leave none behind."""
    before = set(multiprocessing.active_children())
    pool = WorkerPool(workers)
    try:
        yield pool
    except BaseException:  # Ctrl-C too: do not wait for trials nobody will collect
        _end(set(multiprocessing.active_children()) - before)
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _end(workers: Iterable[multiprocessing.process.BaseProcess]) -> None:
    """End processes: they have a moment to write down how far they are."""
    workers = list(workers)
    for worker in workers:
        worker.terminate()
    until = time.monotonic() + _GRACE_S
    for worker in workers:
        worker.join(max(0.0, until - time.monotonic()))
        worker.kill()


def share(dataset: Dataset) -> Dataset | None:
    """Move a data set's tensors to memory that worker processes map instead of copying.

    Returns:
        The data set itself, or None where there is too little of such memory: containers often
        allow 64 MiB, and running over it kills a process without a word.
    """
    tensors = (dataset.images, dataset.labels, dataset.test_images, dataset.test_labels)
    here = all(tensor.is_shared() for tensor in tensors)
    try:
        if not here and shutil.disk_usage(_SHARED).free < 2 * sum(t.nbytes for t in tensors):
            return None
        for tensor in tensors:
            tensor.share_memory_()
    except (OSError, RuntimeError):  # there is no such memory, or none that may be written
        return None
    return dataset


def _start_worker(started: multiprocessing.synchronize.Event, components: bytes) -> None:
    """Set up one worker: one thread, deaf to Ctrl-C (the parent decides), gone with its parent.

    Args:
        started: Set once the worker is there.
        components: What the parent has registered beside hplab's own.
    """
    started.set()
    own.receive(components)
    torch.set_num_threads(1)
    keep_freed_memory()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Wait until the process that started this sweep is gone, however it went, and go too."""
    if parent := multiprocessing.parent_process():
        multiprocessing.connection.wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)  # what trains writes down first how far it is
    time.sleep(_GRACE_S)
    os._exit(1)


def keep_freed_memory(up_to: int = _KEPT) -> None:
    """Ask the C library to reuse large blocks instead of giving them back after every step.

    By default glibc returns each freed activation to the kernel, which clears the same pages anew
    for the next step: 2 to 20 % of the step of a small convolutional network, from one run of
    `benchmarks/tried.py` to the next. Elsewhere than on Linux with glibc there is nothing to do.

    Args:
        up_to: Bytes of the largest block to keep; what is free beyond that goes back at once.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            libc = ctypes.CDLL("libc.so.6")
            libc.mallopt(_M_MMAP_THRESHOLD, up_to)
            libc.mallopt(_M_TRIM_THRESHOLD, up_to)
            libc.malloc_trim(ctypes.c_size_t(up_to))
