"""Finished records outlive a kill of their process before they are stored."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from synthetic_records import make_record

from hplab.sweeps import records, writer
from hplab.sweeps.journal import recover
from hplab.sweeps.store import Store
from hplab.sweeps.writer import Writer
from hplab.trial import canonical

COST = {"train_s": 0.0, "eval_s": 0.0}  # too little to be worth a file


def finished(number):
    return make_record(number, cost=COST)


def line(number):
    return canonical(records.seal(finished(number))).encode()


def keys(store):
    return sorted(key for key, _, _ in Store(store.root, store.pending).contents())


def killed(folder, n, *, then="os.kill(os.getpid(), 9)"):
    """Run a process that finishes n records, stores none, and ends in some way."""
    script = f"""
        import os, sys
        sys.path.insert(0, {str(Path(__file__).parents[1])!r})
        from synthetic_records import make_record
        from hplab.sweeps.store import Store
        from hplab.sweeps.writer import Writer
        with Writer(Store({str(folder / "results")!r}, {str(folder / "pending")!r})) as writer:
            for number in range({n}):
                writer.add(make_record(number, cost={COST}))
                print(number, flush=True)
            {then}
    """
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=60
    )


def test_what_a_killed_process_had_finished_is_in_the_store(store, tmp_path):
    found = killed(tmp_path, 5)
    assert found.returncode == -signal.SIGKILL
    assert found.stdout.split() == ["0", "1", "2", "3", "4"]
    assert not list(store.pending.glob("*.jsonl"))

    assert keys(store) == sorted(make_record(number)["key"] for number in range(5))
    assert not list(store.journal.iterdir())
    assert len(list(store.pending.glob("*.jsonl"))) == 1
    assert keys(store) == sorted(make_record(number)["key"] for number in range(5))


def test_a_process_that_ends_as_it_should_leaves_no_journal(store, tmp_path):
    assert killed(tmp_path, 3, then="pass").returncode == 0

    assert len(keys(store)) == 3
    assert not list(store.journal.iterdir())


def test_the_journal_of_a_writer_that_lives_is_its_own(store):
    with Writer(store) as at_work:
        at_work.add(finished(1))
        assert keys(store) == []
        assert recover(store.journal, store.put) == 0
    assert keys(store) == [make_record(1)["key"]]


def test_what_is_stored_is_in_the_journal_no_more(store, monkeypatch):
    monkeypatch.setattr(writer, "PUT_FROM_S", 0.0)
    with Writer(store) as at_work:
        at_work.add(finished(1))
        (path,) = store.journal.glob("*.jsonl")
        assert path.stat().st_size > 100
        at_work.flush_if_due()
        assert path.stat().st_size == 0


def test_what_the_store_refuses_stays_in_the_journal(store, monkeypatch):
    monkeypatch.setattr(writer, "PUT_FROM_S", 0.0)

    def full(*_):
        raise records.StoreError("no space")

    with Writer(store) as at_work:
        at_work.add(finished(1))
        (path,) = store.journal.glob("*.jsonl")
        with monkeypatch.context() as patch:
            patch.setattr("hplab.sweeps.store.write_whole", full)
            at_work.flush_if_due()
            assert line(1) in path.read_bytes()  # a kill now would lose nothing
        at_work.flush_if_due()
        assert path.stat().st_size == 0
    assert keys(store) == [make_record(1)["key"]]


def test_a_line_after_one_that_a_full_disk_cut_is_whole(store, monkeypatch):
    with Writer(store) as at_work:
        write = os.write
        monkeypatch.setattr(os, "write", lambda handle, data: write(handle, data[:100]))
        at_work.add(finished(1))
        monkeypatch.undo()
        at_work.add(finished(2))
        (path,) = store.journal.glob("*.jsonl")
        left = path.read_bytes()
    (store.journal / "0-a.jsonl").write_bytes(left)  # as after a kill
    other = Store(store.root.parent / "other", store.pending.parent / "other-pending")
    assert recover(store.journal, other.put) == 1
    assert keys(other) == [make_record(2)["key"]]


@pytest.mark.parametrize("cut", [0, 1, 100, -1])
def test_a_line_that_was_cut_is_left_out_and_the_others_are_not(store, cut):
    """The process, or the room on the disk, ended in the middle of a write."""
    store.journal.mkdir()
    texts = [line(number) for number in range(3)]
    path = store.journal / "0-a.jsonl"
    path.write_bytes(b"\n" + texts[0] + b"\n\n" + texts[1][:cut] + b"\n" + texts[2] + b"\n")

    assert keys(store) == sorted(make_record(number)["key"] for number in (0, 2))
    assert not path.exists()


def test_nothing_is_lost_where_the_store_cannot_be_written(store, monkeypatch):
    store.journal.mkdir()
    path = store.journal / "0-a.jsonl"
    path.write_bytes(line(1) + b"\n")

    def full(*_):
        raise records.StoreError("no space")

    monkeypatch.setattr("hplab.sweeps.store.write_whole", full)
    assert keys(store) == []
    assert path.exists()
    monkeypatch.undo()
    assert keys(store) == [make_record(1)["key"]]


def test_a_journal_that_cannot_be_written_stops_nothing(store, monkeypatch):
    def full(*_):
        raise OSError(28, "no space")

    monkeypatch.setattr(os, "write", full)
    with Writer(store) as at_work:
        at_work.add(finished(1))
        monkeypatch.undo()
    assert keys(store) == [make_record(1)["key"]]


def test_a_record_stored_twice_by_a_kill_between_is_one(store):
    """Killed after the records were stored and before the journal was emptied."""
    store.put([finished(1)])
    store.journal.mkdir()
    (store.journal / "0-a.jsonl").write_bytes(line(1) + b"\n")

    assert keys(store) == [make_record(1)["key"]]
    fresh = Store(store.root, store.pending)
    fresh.pack()
    assert not fresh.conflicts()
    assert len(list(fresh.records())) == 1
