"""What a reader hands in, mutated: every time one line of error, or a right result.

A hundred mutations or more run with every test; 4,000 with `-m slow`, and with `make faults`, which
counts them. All come from a seed, so a failure can be had again: it names the mutation's number.
"""

import contextlib
import json
import math
import os
import pickle
import random
import shutil
import string

import numpy as np
import pytest
from PIL import Image
from synthetic_records import make_record
from tally import tally

import hplab as hp
from hplab.analysis.claims import committed, ledger
from hplab.analysis.judge.judgement import Judgements
from hplab.pages.tables import judged
from hplab.sweeps import declared, presets, records, searches, slices, sweepfile, upkeep
from hplab.sweeps.store import Store
from hplab.training.datasets import photofiles, photos
from hplab.training.schedules import SCHEDULES
from hplab.trial import HplabError, Trial, grid

SCALES = [pytest.param(1, id="quick"), pytest.param(0, id="slow", marks=pytest.mark.slow)]


def outcome(call, *arguments):
    """What a call gives and None, or None and the one line in which it refuses."""
    try:
        return call(*arguments), None
    except HplabError as error:
        line = str(error)
    assert line.strip()
    assert len(line.splitlines()) == 1, line
    line.encode()  # it can be printed
    return None, line


def spoiled(rng, data):
    """Return bytes with one random damage."""
    at, end = sorted(rng.sample(range(len(data) + 1), 2))
    kinds = [
        lambda: data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :],
        lambda: data[:at],
        lambda: data[:at] + data[end:],
        lambda: data[:end] + data[at:],
        lambda: data[:at] + rng.randbytes(rng.randint(1, 9)) + data[at:],
        lambda: data[:at] + rng.choice(string.printable).encode() + data[at:],
        lambda: data.replace(b"\n", b"\r\n"),
        lambda: data[:at] + b"[" * 5000 + data[at:],
        lambda: data[:at] + b"9" * 5000 + data[at:],
        lambda: b"\xef\xbb\xbf" + data,
        lambda: data.decode("latin-1").encode("utf-16"),
        lambda: data.replace(b"0.", rng.choice([b"NaN", b"1e999", b"-", b"null,"]), 1),
        lambda: data.replace(b'"', b"'", rng.randint(1, 3)),
        lambda: data.replace(b":", b"=", 1),
        lambda: b"",
        lambda: rng.choice([b"null", b"[]", b"{}", b"3", b'"x"', b"true", b"\n\n", b"\x00"]),
    ]
    return rng.choice(kinds)()


# ------------------------------------------------------------------------------ trials (I3)

ODD = [
    *(None, "", "x", " ", "adam", "relu", "ünï", "a\nb", b"x", 0, 1, -1, 2, 7.5, -0.0, 1e-300),
    *(1e308, math.nan, math.inf, -math.inf, 10**400, -(10**30), True, False, [], [1], [None], ()),
    *([[1]], {}, {"a": 1}, {1: 2}, {"hidden": []}, {"beta1": 2}, {"init": -1}, {"crop": 1e9}),
    *(object(), Trial, len, range(3), set(), np.float32(1e-3), np.array([1, 2]), np.array(3)),
    *(np.nan, np.int64(4), 1 + 2j, "1e-3", ("sharpness",), ["confusion"], "nan", "\ud800"),
]
FIELDS = [*Trial.__dataclass_fields__, "learning_rate", "optimizer_args.beta1", "model_args."]


def fuzz_trial(rng):
    changes = {rng.choice(FIELDS): rng.choice(ODD) for _ in range(rng.randint(1, 3))}
    base = Trial(data=rng.choice(["digits", "mnist", "cifar10"]), model=rng.choice(["mlp", "cnn"]))
    made, line = outcome(lambda: base.replace(**changes))
    if made is None:
        named = (name.split(".")[0].removesuffix("_args") for name in changes)
        assert any(name in line for name in named), (changes, line)
    else:
        again = Trial.from_config(json.loads(json.dumps(made.config(), allow_nan=False)), made.seed)
        assert again.key("d") == made.key("d"), changes
        assert again.identity() == made.identity()
        made.flat()
    return made is not None


def fuzz_grid(rng):
    axes = {rng.choice(FIELDS): [rng.choice(ODD) for _ in range(rng.randint(0, 3))]}
    if rng.random() < 0.3:
        axes = {rng.choice(FIELDS): rng.choice(ODD)}
    made, _ = outcome(grid, Trial("digits", model="mlp"), axes)
    assert made is None or len({trial.identity() for trial in made}) == len(made) > 0
    return made is not None


def fuzz_preset(rng):
    """Trials as a study declares them, or not quite, by a preset that may be none."""
    fields = {"data": rng.choice(["digits", "mnist", "cifar10", "cifar100", "dinosaurs"])}
    fields |= {"model": rng.choice(["mlp", "cnn"]), "epochs": rng.randint(1, 20_000)}
    fields |= {"schedule": rng.choice([*SCHEDULES]), "lr": 10 ** rng.uniform(-5, 1)}
    trials = grid(Trial(**fields), seed=range(3))
    trials = rng.choice([*ODD, [trials[0], rng.choice(ODD)]] if rng.random() < 0.1 else [trials])
    name = rng.choice([*presets.PRESETS] * 50 + ODD)
    n_seeds = rng.choice([None, 1, 2] * 50 + ODD)
    kept, line = outcome(lambda: presets.preset(name).choose(trials, n_seeds))
    if kept is None:
        assert any(word in line for word in ("preset", "n_seeds", "trials")), line
        return False
    for one, run in zip(kept, presets.preset(name).scaled(kept), strict=True):
        assert (run.seed, run.lr, run.schedule) == (one.seed, one.lr, one.schedule)
        assert run.epochs >= 1
    return True


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("fuzz", [fuzz_trial, fuzz_grid, fuzz_preset])
def test_a_trial_is_a_trial_or_one_line(fuzz, scale):
    rng, n = random.Random(1), 600 if scale else 4000
    made = sum(fuzz(rng) for _ in range(n))
    assert 0 < made < n


# ------------------------------------------------------------------------------ files of text


@contextlib.contextmanager
def named(path):
    """Put the name of a file before a refusal."""
    try:
        yield
    except HplabError as error:
        raise HplabError(f"{path.name}: {error}") from None


def plan_file(folder):
    path = folder / "plan.jsonl"
    slices.write(path, grid(Trial("digits", model="mlp"), lr=[0.1, 0.2], seed=range(2)))
    return path, slices.read


def declared_file(folder):
    path = folder / "trials.jsonl"
    trials = grid(Trial("digits", model="mlp"), lr=[0.1, 0.2], seed=range(3))
    path.write_text(declared.dumps([("01-learning-rate", trial) for trial in trials]))
    return path, declared.read


def verdicts_file(folder):
    path = folder / "verdicts.json"
    path.write_text(json.dumps({"S0-01": {"outcome": "open", "n": 5, "estimate": 0.25}}))
    return path, committed.read


LEDGER = """\
schema: hplab-claims/1
defaults: {alpha: 0.05, seeds: 20, min_seeds: 3, max_diverged_share: 0.1}
rules: {direction: "Per seed, first minus second.", none: No run could decide this.}
reports:
  "004":
    title: On learning rates
    reference: reference-004.yaml
    reconstructed: [model]
    training: {how: running, why: The code adds it up.}
    fixed: {optimizer: adam, epochs: 5}
    setting: One run each.
    caveat: One seed.
claims:
  - id: S1-01
    report: "004"
    study: 1
    section: "4"
    says: A rate of 0.001 is better than 0.0005.
    primary: true
    own_data: {verdict: unclear, why: One run of each.}
    test:
      type: direction
      quantity: val_acc
      first: {lr: 0.001}
      second: {lr: 0.0005}
      margin: {value: 0.1, unit: pp}
  - id: S1-02
    report: "004"
    study: 1
    section: "4"
    says: Nobody can tell.
    primary: false
    own_data: {verdict: not-applicable, why: No numbers.}
    test: {type: none, why: Nothing was said.}
"""
REFERENCE = """\
source: A report.
units: {val_acc: percent, lr: one}
runs:
  - {lr: 0.001, val_acc: 98.1}
  - {lr: 0.0005, val_acc: 98.0}
"""


def ledger_file(folder, name="claims.yaml"):
    (folder / "reference-004.yaml").write_text(REFERENCE)
    (folder / "claims.yaml").write_text(LEDGER)

    def read(path):
        ledger._load.cache_clear()  # it goes by the time of the last change, which is too coarse
        with named(path):  # most lines name the claim instead
            return ledger.load(folder / "claims.yaml")

    return folder / name, read


def reference_file(folder):
    return ledger_file(folder, "reference-004.yaml")


SWEEP = """\
program: train.py
method: random
metric: {name: val_acc, goal: maximize, target: 0.99}
run_cap: 8
early_terminate: {type: hyperband, min_iter: 3, eta: 2}
parameters:
  lr: {distribution: log_uniform_values, min: 0.0001, max: 0.1}
  batch_size: {values: [16, 32, 64], probabilities: [0.2, 0.3, 0.5]}
  optimizer:
    parameters:
      name: {value: adam}
      eps: {distribution: q_uniform, min: 0, max: 1, q: 0.25}
  seed: {values: [0, 1, 2]}
"""


def sweep_file(folder):
    path = folder / "sweep.yaml"
    path.write_text(SWEEP)

    def read(path):
        found = sweepfile.read(path)
        with named(path):  # what a file asks for can be too much
            points = searches.points(found, n=5)
        names = set(found.parameters)
        assert all(set(point) == names for point in points)
        return found

    return path, read


def rows_of_runs():
    rng = random.Random(7)
    return [
        {"name": f"run {i}", "lr": lr, "seed": seed, "state": "finished", "val_acc": 0.9 + gain}
        for i, (lr, seed) in enumerate((lr, seed) for lr in (0.1, 0.01) for seed in range(4))
        for gain in [lr / 2 + rng.random() / 100]
    ]


def judge_file(name, text):
    """Return what makes a file of runs that were made elsewhere, and what judges it."""

    def make(folder):
        path = folder / name
        path.write_text(text(rows_of_runs()))

        def read(path):
            with named(path):  # most lines name the column instead
                table = judged.read(path)
                found = hp.judge(table, "val_acc at lr=0.1 beats lr=0.01")
            assert judged.columns(table) + judged.text(Judgements([found]))
            return found

        return path, read

    make.__name__ = name
    return make


def as_csv(rows, sign=","):
    lines = [sign.join(rows[0]), *(sign.join(map(str, row.values())) for row in rows)]
    return "\n".join(lines) + "\n"


RUNS = [
    judge_file("runs.csv", as_csv),
    judge_file("semicolons.csv", lambda rows: as_csv(rows, ";").replace(".", ",")),
    judge_file("runs.tsv", lambda rows: as_csv(rows, "\t")),
    judge_file("runs.json", json.dumps),
    judge_file("runs.jsonl", lambda rows: "".join(json.dumps(row) + "\n" for row in rows)),
]
READ = [plan_file, declared_file, verdicts_file, ledger_file, reference_file, sweep_file]


def fuzz_text(folder, n, make):
    rng = random.Random(2)
    path, read = make(folder)
    good, whole = path.read_bytes(), read(path)

    def one(_):
        path.write_bytes(spoiled(rng, good))
        found, line = outcome(read, path)
        assert line is None or path.name in line, line
        assert found is None or type(found) is type(whole)
        return line is not None

    return tally(n, one)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("make", [*READ, *RUNS], ids=lambda make: make.__name__)
@pytest.mark.timeout(900)
def test_a_file_of_text_is_read_or_refused_by_its_name(tmp_path, make, scale):
    few = 30 if make in RUNS else 150  # a verdict takes longer than a look
    n_refused, wrong = fuzz_text(tmp_path, few if scale else 4000, make)
    assert wrong == []
    assert n_refused > 0


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def payloads(marker):
    """What runs code where it is read by a tool that trusts it: pickles, and YAML with tags."""
    yaml_tag = f"!!python/object/apply:os.mkdir ['{marker}']\n"
    return [
        pickle.dumps(Payload(marker)),
        pickle.dumps(Payload(marker), protocol=0),
        yaml_tag.encode(),
        f"program: {yaml_tag}".encode(),
        f"claims:\n  - {yaml_tag}".encode(),
    ]


@pytest.mark.parametrize("make", [*READ, *RUNS], ids=lambda make: make.__name__)
def test_nothing_in_a_file_is_executed_when_it_is_read(tmp_path, make):
    marker = tmp_path / "executed"
    path, read = make(tmp_path)
    for payload in payloads(marker):
        path.write_bytes(payload)
        outcome(read, path)
        assert not marker.exists()


def test_nothing_in_a_store_is_executed_when_it_is_read(tmp_path):
    marker = tmp_path / "executed"
    store, paths = one_store(tmp_path / "there")
    for path in paths:
        good = path.read_bytes()
        for payload in payloads(marker):
            for renamed in (path, path.with_stem(records.digest_of(payload))):
                renamed.write_bytes(payload)
                mine = Store(store.root, store.pending)
                for look in (lambda mine=mine: list(mine.records()), mine.status, mine.pack):
                    outcome(look)
                renamed.unlink()
                assert not marker.exists()
        path.write_bytes(good)
    pickle.loads(payloads(marker)[0])  # the test of the test: this payload does work
    assert marker.exists()


# ------------------------------------------------------------------------------ stores


def one_store(folder):
    store = Store(folder / "results", folder / ".hplab" / "pending")
    prov = store.put_provenance({"code": "0" * 16, "python": "3.11.7"})
    found = [make_record(seed, prov=prov) for seed in range(4)]
    store.put(found)
    store.pack()
    return store, sorted(folder.glob("results/*/*.json*"))


def fuzz_stores(folder, n):
    rng = random.Random(3)
    store, paths = one_store(folder)
    good = {path: path.read_bytes() for path in paths}
    before = {one["key"]: one for one in store.records()}

    def one(_):
        path = rng.choice(paths)
        bad = spoiled(rng, good[path])
        path.write_bytes(bad)
        mine = Store(store.root, store.pending)
        faults = upkeep.faults(mine)
        if bad != good[path] and not _same_origin(path, bad, good[path]):
            assert faults
            assert all(len(line.splitlines()) == 1 for line in faults)
            assert any(path.name in line or path.stem in line for line in faults)
        found, _ = outcome(lambda: {one["key"]: one for one in mine.records()})
        assert found is None or found == before
        for call in (upkeep.compact, upkeep.gc):
            outcome(call, mine)
        assert path.read_bytes() == bad
        path.write_bytes(good[path])
        return bool(faults)

    counted = tally(n, one)
    assert upkeep.faults(Store(store.root, store.pending)) == []
    return counted


@pytest.mark.parametrize("scale", SCALES)
def test_every_damage_of_a_store_is_named_and_none_is_mended_by_guessing(tmp_path, scale):
    n_refused, wrong = fuzz_stores(tmp_path, 120 if scale else 4000)
    assert wrong == []
    assert n_refused > 0


def _same_origin(path, bad, good):
    """Whether a description of an environment only lost its last line end."""
    return path.parent.name == "prov" and bad.removesuffix(b"\n") == good.removesuffix(b"\n")


def fuzz_records(folder, n):
    rng = random.Random(4)
    plain = [value for value in ODD if _is_json(value)]

    def one(number):
        record = make_record(number)
        place = rng.choice([record, record["config"], record["final"]])
        place[rng.choice([*place, "new"])] = rng.choice(plain)
        here = folder / str(number % 10)
        shutil.rmtree(here, ignore_errors=True)
        store = Store(here / "results", here / ".hplab" / "pending")
        path, _ = outcome(store.put, [record])
        if path is None:
            assert not list(store.pending.glob("*"))
            return True
        outcome(upkeep.faults, store)
        outcome(store.pack)
        outcome(store.status)
        found, _ = outcome(lambda: list(store.records()))
        assert found is None or found == [records.seal(record)]
        return found is None

    return tally(n, one)


@pytest.mark.parametrize("scale", SCALES)
def test_records_sealed_again_with_odd_values_are_refused_or_kept_as_they_are(tmp_path, scale):
    """The checksum fits, so the fields themselves must be told from nonsense."""
    n_refused, wrong = fuzz_records(tmp_path, 150 if scale else 4000)
    assert wrong == []
    assert n_refused > 0


def _is_json(value):
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


# ------------------------------------------------------------------------------ folders, photos


def photo_folder(folder):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 2, 18, 18, 3), np.uint8)
    for i, name in enumerate(["Apato", "Brachio"]):
        (folder / name).mkdir(parents=True)
        for j in range(2):
            Image.fromarray(pixels[i, j]).save(folder / name / f"{j}.png")


def disturb(rng, folder):
    """Do one thing to a folder of photos that people and programs do."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    path, place = rng.choice(files), rng.choice([folder, folder / "Apato", folder / "Brachio"])
    names = ["x.png", "X.JPG", "notes.txt", ".hidden.png", "Thumbs.db", "a b.png", "ü.jpeg", "x"]
    name = rng.choice(names)
    things = [
        lambda: path.write_bytes(spoiled(rng, path.read_bytes())),
        lambda: path.unlink(),
        lambda: path.rename(path.with_name(name)),
        lambda: path.rename(folder / path.name),
        lambda: (place / name).write_bytes(path.read_bytes()),
        lambda: (place / name).write_text("no image"),
        lambda: (place / name).mkdir(),
        lambda: (place / name).symlink_to(rng.choice([path, folder / "gone", folder])),
        lambda: shutil.rmtree(place) if place != folder else None,
        lambda: place.rename(folder / "x y") if place != folder else None,
    ]
    try:
        rng.choice(things)()
    except OSError:  # what was to be moved is there, or gone
        return


def fuzz_photo_folders(folder, n):
    rng = random.Random(5)

    def one(number):
        here = folder / f"photos{number}"
        photo_folder(here)
        for _ in range(rng.randint(1, 3)):
            if any(path.is_file() for path in here.rglob("*")):
                disturb(rng, here)
        found, _ = outcome(photos.read, here, 16)
        if found is not None:
            images, labels, names = found
            shown = [p for p in here.glob("*/*") if p.is_file() and not p.name.startswith(".")]
            kept = [p for p in shown if p.name.lower() not in photofiles.LITTER]
            assert images.shape == (len(kept), 3, 16, 16)
            assert [names[label] for label in labels] == sorted(p.parent.name for p in kept)
        shutil.rmtree(here)
        return found is None

    return tally(n, one)


@pytest.mark.parametrize("scale", SCALES)
def test_a_folder_of_photos_is_used_whole_or_refused(tmp_path, scale):
    n = 120 if scale else 4000
    n_refused, wrong = fuzz_photo_folders(tmp_path, n)
    assert wrong == []
    assert 0 < n_refused < n


def fuzz_photo_npz(folder, n):
    rng, path = random.Random(6), folder / "dinosaurs.npz"
    images = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), np.uint8)
    names = np.array(["a", "b"])
    np.savez(path, images=images, labels=np.arange(6) % 2, class_names=names)
    good, whole = path.read_bytes(), photos.from_npz(path, 16)

    def one(_):
        path.write_bytes(spoiled(rng, good))
        found, line = outcome(photos.from_npz, path, 16)
        assert line is None or "dinosaurs.npz" in line
        assert found is None or all(map(np.array_equal, found, whole))
        return line is not None

    return tally(n, one)


@pytest.mark.parametrize("scale", SCALES)
def test_an_npz_of_photos_is_read_as_it_was_or_refused(tmp_path, scale):
    n_refused, wrong = fuzz_photo_npz(tmp_path, 150 if scale else 4000)
    assert wrong == []
    assert n_refused > 0
