"""What a reader hands in, mutated: every time one line of error, or a right result.

A few hundred mutations run with every test; 4,000 with `-m slow`. All come from a seed, so a
failure can be had again: the message names the number of the mutation.
"""

import json
import math
import random
import shutil
import string

import numpy as np
import pytest
from PIL import Image
from synthetic_records import make_record

from hplab.analysis.claims import committed
from hplab.sweeps import declared, records, slices, upkeep
from hplab.sweeps.store import Store
from hplab.training.datasets import photofiles, photos
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
    made, _ = outcome(lambda: base.replace(**changes))
    if made is not None:
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


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("fuzz", [fuzz_trial, fuzz_grid])
def test_a_trial_is_a_trial_or_one_line(fuzz, scale):
    rng, n = random.Random(1), 600 if scale else 4000
    made = sum(fuzz(rng) for _ in range(n))
    assert 0 < made < n


# ------------------------------------------------------------------------------ files of text


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


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("make", [plan_file, declared_file, verdicts_file])
def test_a_file_of_text_is_read_or_refused_by_its_name(tmp_path, make, scale):
    rng = random.Random(2)
    path, read = make(tmp_path)
    good, whole = path.read_bytes(), read(path)
    refused = 0
    for _ in range(150 if scale else 4000):
        path.write_bytes(spoiled(rng, good))
        found, line = outcome(read, path)
        refused += line is not None
        assert line is None or path.name in line
        assert found is None or type(found) is type(whole)
    assert refused > 0


# ------------------------------------------------------------------------------ stores


def one_store(folder):
    store = Store(folder / "results", folder / ".hplab" / "pending")
    prov = store.put_provenance({"code": "0" * 16, "python": "3.11.7"})
    found = [make_record(seed, prov=prov) for seed in range(4)]
    store.put(found)
    store.pack()
    return store, sorted(folder.glob("results/*/*.json*"))


@pytest.mark.parametrize("scale", SCALES)
def test_every_damage_of_a_store_is_named_and_none_is_mended_by_guessing(tmp_path, scale):
    rng = random.Random(3)
    store, files = one_store(tmp_path)
    good = {path: path.read_bytes() for path in files}
    before = {one["key"]: one for one in store.records()}
    for number in range(120 if scale else 4000):
        path = rng.choice(files)
        bad = spoiled(rng, good[path])
        path.write_bytes(bad)
        mine = Store(store.root, store.pending)
        faults = upkeep.faults(mine)
        if bad != good[path] and not _same_origin(path, bad, good[path]):
            assert faults, number
            assert all(len(line.splitlines()) == 1 for line in faults)
            assert any(path.name in line or path.stem in line for line in faults), number
        found, _ = outcome(lambda mine=mine: {one["key"]: one for one in mine.records()})
        assert found is None or found == before, number
        for call in (upkeep.compact, upkeep.gc):
            outcome(call, mine)
        assert path.read_bytes() == bad
        path.write_bytes(good[path])
    assert upkeep.faults(Store(store.root, store.pending)) == []


def _same_origin(path, bad, good):
    """Whether a description of an environment only lost its last line end."""
    return path.parent.name == "prov" and bad.removesuffix(b"\n") == good.removesuffix(b"\n")


@pytest.mark.parametrize("scale", SCALES)
def test_records_sealed_again_with_odd_values_are_refused_or_kept_as_they_are(tmp_path, scale):
    """The checksum fits, so the fields themselves must be told from nonsense."""
    rng = random.Random(4)
    plain = [value for value in ODD if _is_json(value)]
    for number in range(150 if scale else 4000):
        record = make_record(number)
        place = rng.choice([record, record["config"], record["final"]])
        place[rng.choice([*place, "new"])] = rng.choice(plain)
        folder = tmp_path / str(number % 10)
        shutil.rmtree(folder, ignore_errors=True)
        store = Store(folder / "results", folder / ".hplab" / "pending")
        path, _ = outcome(store.put, [record])
        if path is None:
            assert not list(store.pending.glob("*"))
            continue
        outcome(upkeep.faults, store)
        outcome(store.pack)
        outcome(store.status)
        found, _ = outcome(lambda store=store: list(store.records()))
        assert found is None or found == [records.seal(record)]


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


@pytest.mark.parametrize("scale", SCALES)
def test_a_folder_of_photos_is_used_whole_or_refused(tmp_path, scale):
    rng, used = random.Random(5), 0
    n = 120 if scale else 4000
    for number in range(n):
        folder = tmp_path / f"photos{number}"
        photo_folder(folder)
        for _ in range(rng.randint(1, 3)):
            if any(path.is_file() for path in folder.rglob("*")):
                disturb(rng, folder)
        found, _ = outcome(photos.read, folder, 16)
        if found is not None:
            used += 1
            images, labels, names = found
            shown = [p for p in folder.glob("*/*") if p.is_file() and not p.name.startswith(".")]
            kept = [p for p in shown if p.name.lower() not in photofiles.LITTER]
            assert images.shape == (len(kept), 3, 16, 16), number
            assert [names[label] for label in labels] == sorted(p.parent.name for p in kept)
        shutil.rmtree(folder)
    assert 0 < used < n


@pytest.mark.parametrize("scale", SCALES)
def test_an_npz_of_photos_is_read_as_it_was_or_refused(tmp_path, scale):
    rng, path = random.Random(6), tmp_path / "dinosaurs.npz"
    images = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), np.uint8)
    names = np.array(["a", "b"])
    np.savez(path, images=images, labels=np.arange(6) % 2, class_names=names)
    good, whole = path.read_bytes(), photos.from_npz(path, 16)
    for number in range(150 if scale else 4000):
        path.write_bytes(spoiled(rng, good))
        found, line = outcome(photos.from_npz, path, 16)
        assert line is None or "dinosaurs.npz" in line
        if found is not None:
            for mine, theirs in zip(found, whole, strict=True):
                assert np.array_equal(mine, theirs), number
