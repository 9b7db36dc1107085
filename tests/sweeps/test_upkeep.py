"""Every fault of a store is named by file and line, and looking after it loses no record."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest
from synthetic_records import make_record

import hplab as hp
from hplab.sweeps import locks, records, upkeep
from hplab.sweeps.records import StoreError, canonical
from hplab.sweeps.store import LEFTOVER_S, Store
from hplab.trial import HplabError, Trial

ORIGIN = {"code": "0" * 16, "python": "3.11.7"}
DATA = "d" * 64


def made(seed, *, prov, val_loss=0.5, **changes):
    """A record with the key that its trial has."""
    trial = Trial(data="digits", model="mlp", epochs=1, seed=seed)
    one = make_record(seed, data=DATA, prov=prov, config=trial.config(), key=trial.key(DATA))
    return {**one, "final": {"val_loss": val_loss}, **changes}


@pytest.fixture
def filled(store):
    """A store of three committed files, of two records each, with a description of where."""
    prov = store.put_provenance(ORIGIN)
    for seed in (0, 2, 4):
        store.put([made(seed, prov=prov), made(seed + 1, prov=prov)])
        store.pack()
    return store


def files(store):
    return sorted(store.root.glob("*/*.jsonl"))


def rewritten(path, data):
    """Put other bytes into a file and give it the name that fits them, as a careful hand would."""
    path.unlink()
    new = path.with_name(f"{records.digest_of(data)}.jsonl")
    new.write_bytes(data)
    return new


def test_a_whole_store_has_no_fault(filled):
    assert upkeep.faults(filled) == []


def test_a_run_of_ones_own_function_has_no_fault_and_an_edited_one_is_named(store):
    hp.sweep(
        lambda x, seed: {"y": x}, name="f", version="1", x=[1, 2], seed=[0], jobs=1, store=store
    )
    assert upkeep.faults(store) == []

    path = next(store.pending.glob("*.jsonl"))
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    lines[0]["config"]["point"]["x"] = 7
    data = b"".join(canonical(records.seal(one)).encode() + b"\n" for one in lines)
    new = rewritten(path, data)

    found = upkeep.faults(store)
    assert len(found) == 1
    assert found[0].startswith(f"{new}:1: its key is {lines[0]['key'][:12]}, but its call's is")


# ----------------------------------------------------------------------------- what is wrong


def conflict_marks(store):
    path = files(store)[0]
    first, second = path.read_bytes().splitlines()
    marks = [b"<<<<<<< HEAD", first, b"=======", second, b">>>>>>> other"]
    path.write_bytes(b"\n".join(marks) + b"\n")
    return [f"{path}:{n}: a mark of a merge conflict" for n in (1, 3, 5)]


def dos_line_ends(store):
    path = files(store)[0]
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    return [f"{path}:{n}: checksum mismatch (line ends were changed to CRLF)" for n in (1, 2)]


def byte_order_mark(store):
    path = files(store)[0]
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    return [f"{path}:1: a byte order mark that an editor put there"]


def edited_by_hand(store):
    path = files(store)[-1]
    path.write_bytes(path.read_bytes().replace(b"0.5", b"0.4", 1))
    return [f"{path}:1: checksum mismatch (damaged or edited)"]


def edited_and_sealed_again(store):
    """Another seed under the old key, with a checksum and a file name that fit."""
    path = files(store)[0]
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    lines[0]["seed"] = 77
    new = rewritten(path, b"".join(canonical(records.seal(x)).encode() + b"\n" for x in lines))
    return [f"{new}:1: its key is {lines[0]['key'][:12]}, but its trial's is"]


def another_value_sealed_again(store):
    path = files(store)[0]
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    lines[1]["final"]["val_loss"] = 0.25
    text = b"".join(canonical(records.seal(x)).encode() + b"\n" for x in lines)
    new = path.with_name(f"{records.digest_of(text)}.jsonl")
    new.write_bytes(text)
    first, second = sorted([path, new])
    return [f"{second}:2: contradicts {first}:2, another result of the same trial"]


def of_a_newer_hplab(store):
    path = files(store)[0]
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    lines[1]["v"] = 2
    new = rewritten(path, b"".join(canonical(records.seal(x)).encode() + b"\n" for x in lines))
    return [f"{new}:2: record version 2 is unknown here (known: 1); install the hplab that wrote"]


def with_a_newer_field(store):
    path = files(store)[0]
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    lines[1]["config"]["label_smoothing"] = 0.1
    new = rewritten(path, b"".join(canonical(records.seal(x)).encode() + b"\n" for x in lines))
    return [
        f"{new}:2: its key is",
        f"{new}:2: unknown field 'label_smoothing' in a recorded trial",
    ]


def copied(store):
    path = files(store)[0]
    copy = path.with_name(f"{path.stem} (1).jsonl")
    shutil.copy(path, copy)
    return [f"{copy}: a copy under another name than {path.name}"]


def cut(store):
    path = files(store)[0]
    path.write_bytes(path.read_bytes()[:-20])
    return [f"{path}:2: not JSON (damaged or edited)"]


def a_line_gone(store):
    path = files(store)[0]
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    return [f"{path}: lines were cut, added or moved (digest mismatch)"]


def in_another_folder(store):
    path = files(store)[0]
    (store.root / "mnist").mkdir()
    path = path.rename(store.root / "mnist" / path.name)
    return [f"{path}:{n}: a record of digits among those of mnist" for n in (1, 2)]


def no_origin(store):
    shutil.rmtree(store.root / "prov")
    return [f"{files(store)[0]}:1: no provenance "]


def edited_origin(store):
    [path] = (store.root / "prov").glob("*.json")
    path.write_text(path.read_text().replace("3.11", "3.12"))
    return [f"{path}: damaged or edited"]


def link_to_nothing(store):
    path = files(store)[0]
    path.unlink()
    path.symlink_to(path.with_name("gone"))
    return [f"{path}: cannot be read"]


FAULTS = (
    *(conflict_marks, dos_line_ends, byte_order_mark, edited_by_hand, edited_and_sealed_again),
    *(another_value_sealed_again, of_a_newer_hplab, with_a_newer_field, copied, cut, a_line_gone),
    *(in_another_folder, no_origin, edited_origin, link_to_nothing),
)


@pytest.mark.parametrize("make", FAULTS)
def test_a_fault_is_named_by_file_and_line_and_nothing_is_changed(filled, make):
    expected = make(filled)
    before = {p: p.read_bytes() for p in filled.root.rglob("*") if p.is_file()}

    found = upkeep.faults(Store(filled.root, filled.pending))

    assert len(found) == len(expected)
    for text, start in zip(found, expected, strict=True):
        assert text.startswith(start)
        assert "\n" not in text
    assert {p: p.read_bytes() for p in filled.root.rglob("*") if p.is_file()} == before


DAMAGE = [make for make in FAULTS if make not in (
    edited_and_sealed_again, another_value_sealed_again, with_a_newer_field, in_another_folder,
    no_origin, edited_origin)]  # fmt: skip


@pytest.mark.parametrize("make", DAMAGE)
@pytest.mark.parametrize("mend", [upkeep.compact, upkeep.gc])
def test_a_damaged_store_is_left_alone(filled, make, mend):
    make(filled)
    before = sorted(filled.root.rglob("*"))

    with pytest.raises(StoreError):
        mend(Store(filled.root, filled.pending))
    assert sorted(filled.root.rglob("*")) == before


# ----------------------------------------------------------------------------- fewer files


def everything(store):
    return {one["key"]: one for one in Store(store.root, store.pending).records()}


def test_compacting_keeps_every_record_in_one_file(filled):
    prov = filled.put_provenance(ORIGIN)
    before = everything(filled)
    waiting = filled.put([made(9, prov=prov)])

    done = upkeep.compact(filled)

    assert (len(done.written), len(done.deleted), done.n_records) == (1, 3, 6)
    assert len(files(filled)) == 1
    after = everything(filled)
    assert {key: after[key] for key in before} == before
    assert waiting.exists()
    assert upkeep.compact(filled).deleted == []  # it is done


def test_two_contradicting_records_both_stay(filled):
    another_value_sealed_again(filled)
    conflicts = Store(filled.root, filled.pending).conflicts()
    upkeep.compact(filled)
    assert (
        Store(filled.root, filled.pending).conflicts()[0]["max_delta"] == conflicts[0]["max_delta"]
    )


def test_a_compaction_that_stops_anywhere_loses_nothing(filled, monkeypatch):
    before = everything(filled)
    for nth in (0, 1, 1):
        calls = iter(range(100))
        unlink = type(filled.root).unlink

        def refuse(path, *args, nth=nth, calls=calls, unlink=unlink, **options):
            if path.suffix == ".jsonl" and next(calls) == nth:
                raise OSError("pulled")
            unlink(path, *args, **options)

        with monkeypatch.context() as patched:
            patched.setattr(type(filled.root), "unlink", refuse)
            with pytest.raises(OSError, match="pulled"):
                upkeep.compact(Store(filled.root, filled.pending))
        assert everything(filled) == before
    upkeep.compact(filled)
    assert everything(filled) == before


def test_a_reader_never_misses_a_record_while_files_are_put_together(filled):
    keys = {*everything(filled)}
    prov = filled.put_provenance(ORIGIN)
    over, missing = threading.Event(), []

    def read():
        mine = Store(filled.root, filled.pending)
        while not over.is_set():
            mine.refresh()
            missing.extend(keys - {key for key, _, _ in mine.contents()})

    reader = threading.Thread(target=read)
    reader.start()
    for seed in range(10, 40):
        filled.put([made(seed, prov=prov)])
        filled.pack()
        upkeep.compact(filled)
    over.set()
    reader.join()
    assert not missing


# ----------------------------------------------------------------------------- from elsewhere


def elsewhere(tmp_path, *seeds, **changes):
    other = Store(tmp_path / "other" / "results", tmp_path / "other" / ".hplab" / "pending")
    prov = other.put_provenance({**ORIGIN, "date": "elsewhere"})
    other.put([made(seed, prov=prov, **changes) for seed in seeds])
    return other, prov


def test_records_from_elsewhere_are_taken_once_with_where_they_were_made(filled, tmp_path):
    _, prov = elsewhere(tmp_path, 4, 5, 6, 7)

    done = upkeep.merge(filled, tmp_path / "other")
    again = upkeep.merge(filled, tmp_path / "other")

    assert (done.n_records, done.n_known) == (2, 2)
    assert (again.n_records, again.n_known, again.written) == (0, 4, [])
    assert filled.provenance(prov)["date"] == "elsewhere"
    assert upkeep.faults(filled) == []
    filled.pack()
    assert len(everything(filled)) == 8


@pytest.mark.parametrize("make", DAMAGE)
def test_nothing_is_taken_from_what_is_damaged_elsewhere(store, tmp_path, make):
    other, _ = elsewhere(tmp_path, 1, 2)
    other.pack()
    make(other)

    with pytest.raises(HplabError):
        upkeep.merge(store, tmp_path / "other")
    assert not list(store.pending.glob("*.jsonl"))


def test_another_result_of_the_same_trial_is_not_taken(filled, tmp_path):
    elsewhere(tmp_path, 5, 6, val_loss=0.25)
    before = everything(filled)

    with pytest.raises(StoreError, match=r"jsonl:\d contradicts .*jsonl:\d, another result"):
        upkeep.merge(filled, tmp_path / "other")
    assert everything(filled) == before
    with pytest.raises(StoreError, match="holds no records"):
        upkeep.merge(filled, filled.root / "prov")
    with pytest.raises(StoreError, match="is not a folder"):
        upkeep.merge(filled, tmp_path / "gone")


# ----------------------------------------------------------------------------- clearing up


def test_only_what_no_record_and_no_writer_needs_is_cleared(filled):
    prov = filled.put_provenance(ORIGIN)
    double = filled.put([made(0, prov=prov)])
    waiting = filled.put([made(9, prov=prov)])
    old, new = filled.pending / ".tmp-1-old", filled.pending / ".tmp-2-new"
    for path in (old, new):
        path.write_bytes(b"x")
    os.utime(old, (time.time() - LEFTOVER_S - 60,) * 2)
    good = filled.log_failure({"key": made(1, prov=prov)["key"]})
    open_still = filled.log_failure({"key": "f" * 32})
    before = everything(filled)

    would = upkeep.gc(filled, dry_run=True).deleted
    assert {*would} == {double, old, good}
    assert all(path.exists() for path in would)
    assert {*upkeep.gc(filled).deleted} == {*would}

    assert not any(path.exists() for path in would)
    assert all(path.exists() for path in (waiting, new, open_still))
    assert everything(filled) == before


# ----------------------------------------------------------------------------- locks

HOLDER = """
import sys, time
from pathlib import Path
from hplab.sweeps import locks
with locks.held(Path(sys.argv[1]), "hplab pack", waits=True):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_lock_goes_with_its_holder_however_that_ends(tmp_path):
    path = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        with (
            pytest.raises(HplabError, match=rf"hplab pack \(process {other.pid}, since 20.*\) is"),
            locks.held(path, "me", waits=False),
        ):
            pytest.fail("two hold it")
        other.send_signal(signal.SIGKILL)
    with locks.held(path, "me", waits=False), locks.held(path, "me", waits=False):
        assert f"process {os.getpid()}" in (tmp_path / "lock.holder").read_text()
    assert not (tmp_path / "lock.holder").exists()


def test_who_waits_for_a_lock_says_for_whom(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(locks, "SAID_AFTER_S", 0.05)
    path = tmp_path / "lock"
    script = HOLDER.replace("60", "1.5")
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        with locks.held(path, "me", waits=True):
            said = capfd.readouterr().err
    assert said.startswith(f"waiting for hplab pack (process {other.pid}, since ")


def test_the_records_of_a_checkout_are_those_in_its_folders(store, tmp_path):
    checkout = tmp_path / "other"
    other = Store(checkout / "book" / "results", checkout / ".hplab" / "pending")
    prov = other.put_provenance(ORIGIN)
    other.put([made(1, prov=prov)])
    other.pack()
    other.put([made(2, prov=prov)])
    (checkout / "tests").mkdir()
    (checkout / "tests" / "notes.jsonl").write_text("{}\n", encoding="utf-8")

    assert upkeep.merge(store, checkout).n_records == 2
