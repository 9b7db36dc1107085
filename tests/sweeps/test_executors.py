"""Where trials are computed, and what is left of it in the process that asked."""

import ctypes
import sys

import pytest
import torch

from hplab.sweeps import executors


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
