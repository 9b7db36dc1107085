"""The tests of the store are sharp: six stores that lose or invent results are caught by them.

Into each a mistake is put that somebody could make. What `test_store_faults` does to the real one
has to bring it to light, on a disk that takes a kilobyte at a time.
"""

import os

import pytest
import test_store_faults as faults
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from hplab.sweeps import records, store
from hplab.sweeps.store import Store, StoreError

commit, load = Store._commit, Store._load


def unlink_first(self, data, lines):
    """Pending files are gone before the committed one is there."""
    for path in {line.path for line in lines}:
        path.unlink()
    return commit(self, data, lines)


def forget_the_old_pack(self, data, lines):
    """A new committed file takes the place of those before it."""
    old = {*self.root.glob("*/*.jsonl")}
    written = commit(self, data, lines)
    for path in old - {*written}:
        path.unlink()
    return written


def ignore_pending(self, paths):
    """What is not packed does not count."""
    return load(self, [path for path in paths if path.parent != self.pending])


def write_in_place(path, data):
    """A file has its name while it is being written."""
    records.make_folder(path.parent)
    handle, rest = os.open(path, os.O_CREAT | os.O_WRONLY, 0o644), memoryview(data)
    try:
        while rest:
            rest = rest[os.write(handle, rest) :]
        os.fsync(handle)
    finally:
        os.close(handle)


def write_once(path, data):
    """Nobody looks how much of a file the disk has taken."""
    records.make_folder(path.parent)
    temp = path.parent / ".tmp-1-a"
    handle = os.open(temp, os.O_CREAT | os.O_WRONLY, 0o644)
    try:
        os.write(handle, data)
        os.fsync(handle)
    finally:
        os.close(handle)
    os.replace(temp, path)


def read_unchecked(path, data):
    """Whatever is JSON is a record."""
    texts = enumerate(data.split(b"\n")[:-1], 1)
    return [records.Line(records.parse(text, path), text, path, n) for n, text in texts]


HISTORY = {
    "unlink before write": (Store, "_commit", unlink_first),
    "forget the old pack": (Store, "_commit", forget_the_old_pack),
    "ignore pending": (Store, "_load", ignore_pending),
    "write in place": (store, "write_whole", write_in_place),
    "write once": (store, "write_whole", write_once),
}


@pytest.mark.parametrize("mutant", [*HISTORY, "none"])
def test_a_history_of_failures_shows_which_store_is_wrong(tmp_path, monkeypatch, mutant):
    monkeypatch.setenv("HPLAB_TEST_FOLDER", str(tmp_path))
    monkeypatch.setattr(*HISTORY.get(mutant, (Store, "_load", load)))
    write = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: write(handle, data[:1000]))
    limits = settings(
        max_examples=30,
        stateful_step_count=20,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )

    try:
        run_state_machine_as_test(faults.StoreHistory, settings=limits)
    except (AssertionError, StoreError) as error:
        found = error
    else:
        found = None

    assert (found is None) == (mutant == "none")


def test_a_store_without_checksums_reads_damaged_files_wrongly(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "read_batch", read_unchecked)

    _, wrong = faults.spoil_batches(tmp_path, 200)

    assert len(wrong) > 20
