import errno
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from synthetic_records import DIGEST, make_record

from hplab import places
from hplab.sweeps import provenance as provenances
from hplab.sweeps import records, store
from hplab.sweeps.store import Store, StoreError, default_store, seal, shortest
from hplab.trial import TASK_VERSION, Trial

DATA = DIGEST


def trial_of(record):
    return Trial.from_config(record["config"], record["seed"])


@pytest.fixture
def place(tmp_path):
    """Opens the same two folders again and again, each time as a new process would."""
    return lambda: Store(tmp_path / "results", tmp_path / ".hplab" / "pending")


def test_what_is_put_is_found_by_its_trial_before_and_after_packing(place):
    put = [make_record(seed) for seed in range(5)]
    place().put(put)
    for _ in range(2):
        reader = place()
        assert [reader.find(trial_of(r), DATA) for r in put] == [seal(r) for r in put]
        assert [reader.find(trial_of(r)) for r in put] == [seal(r) for r in put]
        assert [reader.get(r["key"]) for r in put] == [seal(r) for r in put]
        place().pack()
    assert list(place().pending.glob("*")) == []


def test_a_summary_is_the_record_without_its_curves(place):
    record = make_record(3)
    place().put([record])
    whole = {name: value for name, value in seal(record).items() if name != "curves"}
    assert place().summary(trial_of(record), DATA) == whole
    assert place().summary(trial_of(record)) == whole
    assert place().summary(trial_of(record).replace(seed=4)) is None


def test_an_interrupted_look_by_identity_loses_nothing(place, monkeypatch):
    put = [make_record(seed) for seed in range(5)]
    place().put(put)
    reader, calls = place(), []

    def interrupted(value):
        calls.append(value)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return records.canonical(value)

    monkeypatch.setattr(store, "canonical", interrupted)
    with pytest.raises(KeyboardInterrupt):
        reader.find(trial_of(put[0]))
    assert all(reader.summary(trial_of(record)) for record in put)


def test_a_record_whose_file_is_gone_is_not_found_after_a_refresh(place):
    record = make_record()
    path = place().put([record])
    reader = place()
    assert reader.find(trial_of(record))
    path.unlink()
    reader.refresh()
    assert reader.find(trial_of(record)) is None


def test_nothing_is_found_for_another_seed_setting_or_data(place):
    place().put([make_record(0)])
    reader, trial = place(), trial_of(make_record(0))
    assert reader.find(trial.replace(seed=1)) is None
    assert reader.find(trial.replace(lr=0.5)) is None
    assert reader.find(trial, "e" * 64) is None
    assert reader.get("f" * 32) is None


def test_a_writer_finds_its_own_records_at_once_and_others_after_refresh(place):
    mine, other = place(), place()
    assert list(mine.records()) == []
    mine.put([make_record(0)])
    other.put([make_record(1)])
    assert [r["seed"] for r in mine.records()] == [0]
    mine.refresh()
    assert sorted(r["seed"] for r in mine.records()) == [0, 1]


def test_changing_a_record_that_came_out_changes_nothing_inside(place):
    opened = place()
    opened.put([make_record(0)])
    found = next(opened.records())
    found["final"]["val_acc"] = 1.0
    assert next(opened.records())["final"]["val_acc"] == 0.5


def test_a_batch_is_sorted_canonical_ascii_named_by_its_digest(place):
    shuffled = [make_record(seed, note="größer") for seed in range(8)]
    random.Random(0).shuffle(shuffled)
    pending = place().put(shuffled)
    data = pending.read_bytes()
    (path,) = place().pack()
    assert path.read_bytes() == data
    assert pending.stem.endswith(path.stem)
    lines = data.decode("ascii").splitlines()
    rows = [json.loads(line) for line in lines]
    assert data.endswith(b"\n")
    assert path.parent.name == "digits"
    assert path.name == records.digest_of(data) + ".jsonl"
    assert [row["key"] for row in rows] == sorted(row["key"] for row in rows)
    assert lines == [json.dumps(r, sort_keys=True, separators=(",", ":")) for r in rows]
    assert rows == [seal(row) for row in rows]


def test_the_bytes_do_not_depend_on_the_order_of_names_or_records(place, tmp_path):
    one = [make_record(seed) for seed in range(3)]
    two = [dict(reversed(record.items())) for record in reversed(one)]
    other = Store(tmp_path / "other", tmp_path / "two" / "pending")
    place().put(one)
    other.put(two)
    (a,), (b,) = place().pack(), other.pack()
    assert a.name == b.name
    assert a.read_bytes() == b.read_bytes()


def test_large_packs_are_cut_into_several_batches(place, monkeypatch):
    monkeypatch.setattr(store, "BATCH_RECORDS", 3)
    place().put([make_record(seed) for seed in range(7)])
    written = place().pack()
    assert [len(path.read_text().splitlines()) for path in written] == [3, 3, 1]
    assert len(list(place().records())) == 7


def test_records_come_sorted_by_key_and_can_be_limited_to_a_data_set(place):
    mnist = make_record(9, config={"data": "mnist"}, key="a" * 32)
    place().put([mnist, *[make_record(seed) for seed in range(4)]])
    keys = [r["key"] for r in place().records()]
    assert keys == sorted(keys)
    assert len(keys) == 5
    assert [r["key"] for r in place().records("mnist")] == ["a" * 32]
    assert {path.parent.name for path in place().pack()} == {"digits", "mnist"}
    assert [r["key"] for r in place().records()] == keys


def test_packing_twice_changes_nothing(place):
    place().put([make_record(0)])
    (path,) = place().pack()
    place().put([make_record(0, cost={"train_s": 9.0})])
    assert place().pack() == []
    assert sorted(place().root.rglob("*.jsonl")) == [path]
    assert place().status()["records"] == 1


def test_a_store_that_was_read_before_packs_what_others_have_put_and_packed_since(place):
    early = place()
    early.put([make_record(0)])
    assert early.status()["records"] == 1
    (path,) = place().pack()
    place().put([make_record(1)])
    (new,) = early.pack()
    assert new != path
    assert sum(one.read_bytes().count(b"\n") for one in early.root.rglob("*.jsonl")) == 2
    assert place().status()["pending"] == 0


# ------------------------------------------------------------------------------ same key twice


def test_equal_results_are_one_record_whatever_cost_and_provenance_say(place):
    place().put([make_record(0)])
    place().put([make_record(0, cost={"train_s": 99.0}, prov="b" * 12)])
    assert [r["cost"]["train_s"] for r in place().records()] == [1.5]
    assert place().conflicts() == []


def test_of_two_results_the_earlier_is_kept_and_both_are_listed(place):
    first, second = make_record(0, val_acc=0.5), make_record(0, val_acc=0.75)
    place().put([first])
    place().put([second, make_record(1)])
    for _ in range(2):  # pending, then packed
        (conflict,) = place().conflicts()
        assert place().get(first["key"])["final"]["val_acc"] == 0.5
        assert [r["final"]["val_acc"] for r in conflict["records"]] == [0.5, 0.75]
        assert conflict["max_delta"] == 0.25
        assert conflict["key"] == first["key"]
        assert conflict["kept"] != conflict["other"]
        place().pack()
    assert place().status()["committed"] == 2


@pytest.mark.parametrize(
    "other",
    [
        {"curves": {"val_acc": [0.3, 0.5], "lr": [0.001, None]}},
        {"final": {"val_acc": 0.5, "val_loss": 0.2}},
        {"status": "stopped", "at": {"epoch": 2}},
        {"at": {"epoch": 2, "step": 1}},
    ],
)
def test_a_result_is_another_one_wherever_it_differs(place, other):
    place().put([make_record(0)])
    place().put([make_record(0, **other)])
    assert len(place().conflicts()) == 1


def test_a_number_that_json_does_not_have_is_refused_though_the_checksum_fits(place):
    text = records.canonical(seal(make_record(0, final={"val_acc": 0.125}))).encode()
    rest = json.loads(text)
    bad = text.replace(b"0.125", b"NaN").replace(f',"sum":"{rest["sum"]}"'.encode(), b"")
    digest = records.digest_of(bad)
    bad = bad.replace(b',"task":', f',"sum":"{digest}","task":'.encode())
    path = place().root / "digits" / records.batch([("k", bad)])[0]
    path.parent.mkdir(parents=True)
    path.write_bytes(bad + b"\n")
    with pytest.raises(StoreError, match=r":1: not JSON"):
        list(place().records())


def test_a_committed_record_wins_over_a_pending_one(place, monkeypatch):
    place().put([make_record(0, val_acc=0.5)])
    place().pack()
    monkeypatch.setattr(time, "time_ns", lambda: 0)  # a clock that was set back
    place().put([make_record(0, val_acc=0.75)])
    assert next(place().records())["final"]["val_acc"] == 0.5


@pytest.mark.parametrize(
    ("a", "b", "delta"),
    [
        ({"x": [1.0, 2.0]}, {"x": [1.5, 1.0]}, 1.0),
        ({"x": None}, {"x": None}, 0.0),
        ({"x": None}, {"x": 1.0}, float("inf")),
        ([1.0], [1.0, 2.0], float("inf")),
        ({"x": 1}, {"y": 1}, float("inf")),
        ("ok", "diverged", float("inf")),
        ([], [], 0.0),
    ],
)
def test_the_largest_difference_of_two_results(a, b, delta):
    assert records.max_delta(a, b) == delta


# ---------------------------------------------------------------------------------- refusals


def damaged(place, change):
    """Pack five records, change the file's bytes, and return its path."""
    place().put([make_record(seed) for seed in range(5)])
    (path,) = place().pack()
    path.write_bytes(change(path.read_bytes()))
    return path


def edit_line_three(data):
    lines = data.splitlines(keepends=True)
    lines[2] = lines[2].replace(b'"val_acc":0.5', b'"val_acc":0.9')
    return b"".join(lines)


@pytest.mark.parametrize(
    ("change", "where", "what"),
    [
        (edit_line_three, ":3:", "checksum mismatch"),
        (lambda d: d[:-10], ":5:", "the last line is cut"),
        (lambda d: b"".join(d.splitlines(keepends=True)[:4]), ":", "lines were cut"),
        (lambda d: d.replace(b"\n", b"\r\n"), ":1:", "mismatch"),
        (lambda d: b"\xff" + d, ":1:", "not JSON"),
        (lambda d: b"[]\n" + d, ":1:", "not a record"),
        (lambda d: b"", ":", "lines were cut"),
    ],
)
def test_a_damaged_batch_is_refused_with_file_line_and_remedy(place, change, where, what):
    path = damaged(place, change)
    for read in (
        lambda s: list(s.records()),
        lambda s: s.find(trial_of(make_record(0))),
        lambda s: s.get("0" * 32),
        Store.conflicts,
        Store.pack,
    ):
        with pytest.raises(StoreError) as refusal:
            read(place())
        message = str(refusal.value)
        assert f"{path}{where}" in message
        assert what in message
        assert f"git checkout -- {path}" in message
        assert "\n" not in message


def test_paths_in_messages_start_at_the_current_folder(place, tmp_path, monkeypatch):
    path = damaged(place, edit_line_three)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError, match=f"^results/digits/{path.name}:3: checksum mismatch"):
        place().get("0" * 32)


def test_a_damaged_pending_file_is_refused_and_may_be_deleted(place):
    path = place().put([make_record(0)])
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(StoreError, match="delete the file and its trials are trained again"):
        list(place().records())
    path.unlink()
    assert list(place().records()) == []


@pytest.mark.parametrize(
    ("spoil", "what", "said"),
    [
        (lambda data: data.replace(b"\n", b"\r\n"), "", "undo that, .* nothing is lost"),
        (lambda data: b"\xef\xbb\xbf" + data, "", "undo that, .* nothing is lost"),
        (lambda data: data, " (1)", "give it that name, or delete it if that file is there"),
    ],
)
def test_where_nothing_need_be_lost_the_message_says_so(place, spoil, what, said):
    path = place().put([make_record(0)])
    data = path.read_bytes()
    path.unlink()
    path.with_name(f"{path.stem}{what}.jsonl").write_bytes(spoil(data))
    with pytest.raises(StoreError, match=said):
        list(place().records())


def test_status_counts_the_good_and_names_the_damaged(place):
    path = damaged(place, edit_line_three)
    reader = place()
    reader.put([make_record(7), make_record(8, status="diverged", at={"epoch": 1, "step": 3})])
    status = place().status()
    assert (status["records"], status["pending"], status["committed"]) == (2, 2, 0)
    assert (status["batches"], status["diverged"], status["data"]) == (2, 1, {"digits": 2})
    assert len(status["damaged"]) == 1
    assert str(path) in status["damaged"][0]


def test_a_mended_file_is_read_again_by_the_same_store(place):
    good = {}

    def spoil(data):
        good["bytes"] = data
        return b"?" + data

    path = damaged(place, spoil)
    reader = place()
    with pytest.raises(StoreError):
        reader.get("0" * 32)
    path.write_bytes(good["bytes"])
    assert len(list(reader.records())) == 5


def test_putting_works_while_a_batch_is_damaged(place):
    path = damaged(place, edit_line_three)
    writer = place()
    assert writer.status()["damaged"]
    writer.put([make_record(9)])
    path.unlink()
    assert [r["seed"] for r in place().records()] == [9]


def test_a_file_that_cannot_be_read_is_named(place):
    place().put([make_record(0)])
    folder = place().root / "digits" / "0123456789abcdef.jsonl"
    folder.mkdir(parents=True)
    with pytest.raises(StoreError, match=r"0123456789abcdef\.jsonl: cannot be read"):
        place().get("0" * 32)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"final": {"val_acc": float("nan")}}, "not plain JSON"),
        ({"final": {"val_acc": float("inf")}}, "not plain JSON"),
        ({"final": {"val_acc": np.float32(1)}}, "not plain JSON"),
        ({"final": {10: 1, 9: 2}}, "every name in it must be text"),
        ({"v": 2}, "record version 2 is unknown here"),
        ({"v": True}, "record version True is unknown here"),
        ({"key": "xyz"}, "a key is 32 hex digits"),
        ({"key": None}, "field 'key' must be str"),
        ({"seed": "1"}, "field 'seed' must be int"),
        ({"seed": True}, "field 'seed' must be int"),
        ({"config": None}, "field 'config' must be dict"),
        ({"config": {"data": "../up"}}, "name of a data set"),
        ({"config": {}}, "name of a data set"),
        ({"status": "failed"}, "status must be ok, diverged or stopped"),
        ({"sum": "0" * 16}, "changed after it was sealed"),
    ],
)
def test_a_malformed_record_is_refused_and_nothing_is_written(place, changes, message):
    with pytest.raises(StoreError, match=message) as refusal:
        place().put([make_record(1), {**make_record(0), **changes}])
    assert "\n" not in str(refusal.value)
    assert list(place().records()) == []


def test_an_empty_put_is_refused(place):
    with pytest.raises(StoreError, match="no records"):
        place().put([])


def test_a_record_edited_after_sealing_is_refused(place):
    record = seal(make_record(0))
    record["final"]["val_acc"] = 0.99
    with pytest.raises(StoreError, match="changed after it was sealed"):
        place().put([record])


# --------------------------------------------------------------------------------- evolution


def write_batch(folder, rows):
    """Write rows as another version of hplab would: sealed and under their digest."""
    lines = [records.canonical(seal(row)).encode() for row in rows]
    name, data = records.batch((row["key"], line) for row, line in zip(rows, lines, strict=True))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
    return folder / name


def test_unknown_fields_are_kept_and_ignored(place):
    row = make_record(0, zeta={"sum": "not the checksum"}, joules=3.5, after=[{"curves": {}}])
    write_batch(place().root / "digits", [row])
    assert place().find(trial_of(row), DATA) == seal(row)
    place().put([make_record(0)])
    assert place().conflicts() == []


def test_an_unknown_record_version_is_refused(place):
    path = write_batch(place().root / "digits", [make_record(0, v=2)])
    with pytest.raises(StoreError, match=f"{path.name}:1: record version 2 is unknown here"):
        place().get("0" * 32)
    assert "git checkout" not in place().status()["damaged"][0]


@pytest.mark.parametrize("field", list(records.FIELDS)[:-1])
def test_a_record_without_a_needed_field_is_refused(place, field):
    row = make_record(0)
    key = row["key"]
    del row[field]
    text = records.canonical(seal(row)).encode()
    name, data = records.batch([(key, text)])
    (place().root / "digits").mkdir(parents=True)
    (place().root / "digits" / name).write_bytes(data)
    with pytest.raises(StoreError, match=f"{name}:1: field '{field}' must be"):
        place().get(key)


def test_records_of_another_task_version_are_kept_but_not_found(place):
    old = make_record(0, task_version=TASK_VERSION - 1, key="e" * 32)
    place().put([old])
    assert place().find(trial_of(old)) is None
    assert place().get("e" * 32) == seal(old)
    assert place().status()["outdated"] == 1


def test_files_that_are_no_batches_are_ignored(place):
    folder = place().root / "digits"
    folder.mkdir(parents=True)
    for name in ("README.md", ".tmp-1-abc", "ab.jsonl.orig", ".gitattributes"):
        (folder / name).write_text("not a record")
    assert list(place().records()) == []
    assert place().status()["damaged"] == []


def test_leftover_temporary_files_are_deleted_by_pack_after_a_day(place):
    place().put([make_record(0)])
    place().pack()
    old, young = place().pending / ".tmp-1-old", place().root / "digits" / ".tmp-2-young"
    for path in (old, young):
        path.write_text('{"half": ')
    os.utime(old, (time.time() - store.LEFTOVER_S - 60,) * 2)
    assert place().status()["leftovers"] == 2
    place().pack()
    assert not old.exists()
    assert young.exists()
    assert [r["seed"] for r in place().records()] == [0]


# ------------------------------------------------------------------------------------ numbers


@pytest.mark.parametrize("seed", range(3))
def test_shortest_decimals_are_exact_in_float32_and_never_longer(seed):
    bits = np.random.default_rng(seed).integers(0, 2**32, 2000, dtype=np.uint32)
    for value in bits.view(np.float32):
        if np.isfinite(value):
            short = shortest(float(value))
            assert np.float32(short).tobytes() == value.tobytes()
            assert len(repr(short)) <= len(repr(float(value)))


def test_shortest_decimals_of_familiar_numbers():
    assert [repr(shortest(float(np.float32(x)))) for x in (0.1, 1.0, 1e-4, 97.53)] == [
        "0.1",
        "1.0",
        "0.0001",
        "97.53",
    ]


# --------------------------------------------------------------- provenance, failures, places


def test_provenance_is_named_by_its_content_and_survives_packing(place):
    name = place().put_provenance({"torch": "2.15", "threads": 2})
    assert place().put_provenance({"threads": 2, "torch": "2.15"}) == name
    assert place().put_provenance({"torch": "2.16", "threads": 2}) != name
    assert len(name) == 12
    for _ in range(2):
        assert place().provenance(name) == {"torch": "2.15", "threads": 2}
        place().pack()
    assert (place().root / "prov" / f"{name}.json").exists()
    assert list((place().pending / "prov").glob("*")) == []
    place().put_provenance({"torch": "2.15", "threads": 2})
    assert list((place().pending / "prov").glob("*")) == []


def test_missing_or_edited_provenance_is_refused(place):
    with pytest.raises(StoreError, match="no provenance 'abc'"):
        place().provenance("abc")
    name = place().put_provenance({"torch": "2.15"})
    path = place().pending / "prov" / f"{name}.json"
    path.write_text('{"torch":"9.99"}\n')
    with pytest.raises(StoreError, match=f"{name}.json: damaged or edited"):
        place().provenance(name)


def test_failures_are_listed_until_their_trial_has_a_record(place):
    record = make_record(0)
    place().log_failure({"key": record["key"], "error": "MemoryError", "args": (1, {2})})
    place().log_failure({"key": "f" * 32, "error": "killed"})
    assert [f["error"] for f in place().failures()] == ["MemoryError", "killed"]
    assert place().failures()[0]["when"].endswith("+00:00")
    place().put([record])
    assert [f["error"] for f in place().failures()] == ["killed"]
    assert place().status()["failures"] == 1


def test_an_unreadable_failure_log_is_named(place):
    path = place().log_failure({"key": "f" * 32, "error": "killed"})
    path.write_text("{")
    assert path.name in place().failures()[0]["error"]


def test_collected_provenance_is_plain_json_without_names_or_times_of_day():
    found = provenances.collect_provenance("cpu")
    text = json.dumps(found, allow_nan=False)
    assert provenances.collect_provenance("cpu") == found
    assert found["device"]["type"] == "cpu"
    assert found["numpy"] == np.__version__
    assert len(found["date"]) == len("2026-01-31")
    assert str(Path.home()) not in text
    assert os.uname().nodename not in text.split('"')


def test_the_code_digest_sees_code_and_not_layout(tmp_path):
    def digest(folder, source):
        (tmp_path / folder / "training").mkdir(parents=True)
        (tmp_path / folder / "trial.py").write_text("x = 1\n")
        (tmp_path / folder / "training" / "loop.py").write_text(source)
        (tmp_path / folder / "plots.py").write_text(f"# {folder}")
        return provenances.code_digest(tmp_path / folder)

    first = digest("a", 'def f(x):\n    "Doubles."\n    return 2 * x\n')
    assert digest("b", '# new\ndef f( x ):\n\n    "Twice."\n    return (2 * x)\n') == first
    assert digest("c", 'def f(x):\n    "Doubles."\n    return 3 * x\n') != first


def test_git_state_is_that_of_the_package_own_checkout_only(tmp_path):
    def git(*arguments):
        names = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
        subprocess.run(["git", "-C", str(tmp_path), *names, *arguments], check=True)

    package = tmp_path / "hplab"
    (package / "inner").mkdir(parents=True)
    (package / "trial.py").write_text("x = 1\n")
    assert provenances.git_state(package) is None
    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "one")
    assert provenances.git_state(package)["dirty"] is False
    assert provenances.git_state(package / "inner") is None
    (tmp_path / "notes").write_text("not code")
    assert provenances.git_state(package)["dirty"] is False
    (package / "trial.py").write_text("x = 2\n")
    assert provenances.git_state(package)["dirty"] is True


def test_the_default_store_is_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("HPLAB_RESULTS", str(tmp_path / "mine"))
    opened = default_store()
    assert opened.root == tmp_path / "mine"
    assert opened.pending == tmp_path / ".hplab" / "pending"


def test_the_default_store_is_in_the_checkout_around_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("HPLAB_RESULTS", raising=False)
    (tmp_path / "book" / "studies").mkdir(parents=True)
    (tmp_path / "hplab").mkdir()
    (tmp_path / "hplab" / "trial.py").touch()
    monkeypatch.chdir(tmp_path / "book" / "studies")
    assert default_store().root == tmp_path / "book" / "results"
    assert default_store().pending == tmp_path / ".hplab" / "pending"


def test_without_a_checkout_the_default_store_is_in_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("HPLAB_RESULTS", raising=False)
    monkeypatch.setattr(places, "CODE", tmp_path / "site")
    monkeypatch.chdir(tmp_path)
    assert default_store().root == tmp_path / "hplab-results"
    assert default_store().pending == tmp_path / ".hplab" / "pending"


def test_opening_reading_and_asking_for_status_write_nothing(place, tmp_path):
    opened = place()
    assert opened.status()["records"] == 0
    assert list(opened.records()) == []
    assert opened.failures() == []
    assert list(tmp_path.iterdir()) == []


def test_the_system_error_number_is_kept(place):
    place().root.write_text("a file where the folder should be")
    place().put([make_record(0)])
    with pytest.raises(
        StoreError, match=r"cannot write .*\(errno \d+\), \w+ bytes free"
    ) as refusal:
        place().pack()
    assert refusal.value.errno in (errno.EEXIST, errno.ENOTDIR)
    assert [r["seed"] for r in place().records()] == [0]


def test_importing_the_store_does_not_import_torch():
    code = "import sys, hplab.sweeps.store; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_default_store_reads_each_file_once_and_sees_what_others_wrote(tmp_path, monkeypatch):
    monkeypatch.setenv("HPLAB_RESULTS", str(tmp_path / "results"))
    first = default_store()
    first.put([make_record(seed=0)])
    assert len(list(first.records())) == 1
    read = []
    real = store.read_batch
    monkeypatch.setattr(store, "read_batch", lambda *given: read.append(given) or real(*given))
    elsewhere = Store(first.root, first.pending)
    elsewhere.put([make_record(seed=1)])

    assert default_store() is first
    assert len(list(first.records())) == 2
    assert len(read) == 1  # the new file, once


def test_every_committed_record_keeps_the_key_it_was_written_with():
    """Code moves, names of modules change; what a trial is called does not."""
    committed = Store(Path(__file__).parents[2] / "book" / "results", Path("no-pending"))
    moved, n = [], 0
    for record in committed.records():
        n += 1
        if trial_of(record).key(record["data"]) != record["key"]:
            moved.append(record["key"])
    assert n > 2000
    assert moved == []


@pytest.mark.parametrize(
    "name", ["../../secret", "\ud800", "a\0b", "", "0123456789AB", "/etc/passwd"]
)
def test_only_the_id_of_a_description_names_a_file(place, tmp_path, name):
    (tmp_path / "secret.json").write_text("{}")
    with pytest.raises(StoreError, match="no provenance"):
        place().provenance(name)


def test_a_folder_is_not_synced_where_a_system_has_no_such_thing(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "os", SimpleNamespace(name="nt"))  # where a folder is not opened
    assert records.sync_folder(tmp_path) is None
