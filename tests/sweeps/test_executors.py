"""Where trials are computed, and what is left of it in the process that asked."""

import ctypes
import errno
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from hplab.sweeps import driver, executors, forkserver, runner
from hplab.trial import Trial, grid


class Memory(ctypes.Structure):
    """What glibc's `mallinfo2` counts; `mapped` are the blocks that go back when freed."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in ("arena", "free", "fast", "mapped", *(f"other{i}" for i in range(6)))
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc is asked to keep memory")
def test_a_serial_sweep_leaves_threads_and_memory_as_they_were():
    libc = ctypes.CDLL("libc.so.6")
    if not hasattr(libc, "mallinfo2"):
        pytest.skip("this C library does not count blocks")
    libc.mallinfo2.restype, libc.malloc.restype = Memory, ctypes.c_void_p
    libc.free.argtypes = [ctypes.c_void_p]

    def is_given_back(n_bytes):
        before = libc.mallinfo2().mapped
        block = libc.malloc(n_bytes)
        mapped = libc.mallinfo2().mapped - before
        libc.free(block)
        return mapped == 1

    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with executors.open_executor("cpu", 1):
            inside = is_given_back(2**26), torch.get_num_threads()
        after = is_given_back(2**26), torch.get_num_threads()
    finally:
        torch.set_num_threads(threads)

    assert inside == (False, 1)
    assert after == (True, 2)


@pytest.mark.parametrize("reason", [errno.ENOSYS, errno.EROFS, errno.ENOSPC])
def test_where_no_process_can_be_started_this_one_trains(store, monkeypatch, capsys, reason):
    """Semaphores need shared memory, which containers may not have, or not to write in."""

    def refuse():
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(driver, "POOL_FROM_S", 0.0)
    monkeypatch.setattr(forkserver, "context", lambda: SimpleNamespace(Event=refuse))
    trials = grid(Trial("digits", model="mlp", epochs=1, n_train=64), batch_size=[30, 31])

    runs = runner.run(trials, preset="paper", device="cpu", jobs=2, store=store)

    assert list(runs["status"]) == ["ok", "ok"]
    said = f"one process trains: others cannot be started here ({os.strerror(reason)}; they need"
    assert capsys.readouterr().out.count(said) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="sockets lie in TMPDIR there")
def test_a_temporary_folder_with_a_long_path_is_named(tmp_path):
    long = tmp_path / ("x" * 110)
    long.mkdir()
    code = "from hplab.sweeps import forkserver; print(forkserver.start([]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          env={**os.environ, "TMPDIR": str(long)})  # fmt: skip

    assert done.stdout.startswith("AF_UNIX path too long; they need"), done.stderr


def test_data_are_not_shared_where_there_is_no_room(stripes, monkeypatch, tmp_path):
    monkeypatch.setattr(executors, "_SHARED", str(tmp_path / "gone"))
    assert executors.share(stripes) is None
    monkeypatch.setattr(executors, "_SHARED", str(tmp_path))

    def refuse(_):
        raise RuntimeError("unable to open shared memory object </torch_1> in read-write mode")

    monkeypatch.setattr(torch.Tensor, "share_memory_", refuse)
    assert executors.share(stripes) is None
