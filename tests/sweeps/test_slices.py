"""A plan travels whole, is trained in its order, and stops in time."""

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from hplab import places
from hplab.sweeps import slices
from hplab.sweeps.store import Store
from hplab.trial import HplabError, Trial, grid

BASE = Trial(data="digits", model="mlp", epochs=1)
TRIALS = [*grid(BASE, batch_size=[256, 128], seed=[1, 0]), BASE.replace(schedule="cosine")]


def test_a_plan_comes_back_as_it_was_written(tmp_path):
    assert slices.write(tmp_path / "plan.jsonl", TRIALS) == 5

    assert slices.read(tmp_path / "plan.jsonl") == TRIALS


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "no trial"),
        ("[]", "no trial"),
        ('{"seed": 0}', "'config'"),
        ('{"config": {"data": "digits", "lr": -1}, "seed": 0}', "lr must be positive"),
        ('{"config": {"data": "digits", "label_smoothing": 1}, "seed": 0}', "label_smoothing"),
    ],
)
def test_a_line_that_is_no_trial_is_named(tmp_path, line, said):
    path = tmp_path / "plan.jsonl"
    slices.write(path, TRIALS[:1])
    path.write_text(path.read_text() + line + "\n")

    with pytest.raises(HplabError, match="line 2") as error:
        slices.read(path)

    assert said in str(error.value)


def test_a_plan_is_trained_in_its_order_once(store, monkeypatch):
    order = []
    compute = slices.driver.compute

    def noted(trials, *rest):
        order.extend((config["batch_size"], seed) for config, seed in trials)
        return compute(trials, *rest)

    monkeypatch.setattr(slices.driver, "compute", noted)
    monkeypatch.setenv("HPLAB_JOBS", "1")

    assert slices.train(TRIALS, store, device="cpu", seconds=100) == 5
    assert slices.train(TRIALS, store, device="cpu", seconds=100) == 0

    assert order == [(256, 1), (256, 0), (128, 1), (128, 0), (64, 0)]


def test_the_command_stops_in_time_and_says_what_it_did(tmp_path):
    slices.write(tmp_path / "plan.jsonl", TRIALS)
    command = [sys.executable, "-m", "hplab.sweeps.slices", str(tmp_path / "plan.jsonl")]
    command += ["--out", str(tmp_path / "out"), "--device", "cpu"]

    late = subprocess.run([*command, "--minutes", "0"], capture_output=True, text=True, check=True)
    assert "5 trials were left" in late.stdout
    assert "0 of 5 trials recorded" in late.stdout

    done = subprocess.run([*command, "--minutes", "2"], capture_output=True, text=True, check=True)
    assert "5 of 5 trials recorded" in done.stdout
    found = Store(tmp_path / "out" / "results", tmp_path / "out" / "pending").records()
    assert {(r["config"]["batch_size"], r["seed"]) for r in found} == {
        (256, 1),
        (256, 0),
        (128, 1),
        (128, 0),
        (64, 0),
    }


def test_a_plan_that_is_not_there_is_one_line(tmp_path, capsys):
    assert slices.main([str(tmp_path / "none.jsonl"), "--out", str(tmp_path)]) == 1

    assert capsys.readouterr().err.count("\n") == 1


@pytest.fixture
def checkout(tmp_path):
    """A folder in which `tools/slice.sh merge` finds itself, and an hplab that packs nothing."""
    folder = tmp_path / "checkout"
    (folder / "tools").mkdir(parents=True)
    shutil.copy(places.CODE / "tools" / "slice.sh", folder / "tools")
    command = folder / ".venv" / "bin" / "hplab"
    command.parent.mkdir(parents=True)
    command.write_text(f"#!/bin/sh\n[ $1 = pack ] || exec '{sys.executable}' -m hplab.cli \"$@\"\n")
    command.chmod(0o755)
    return folder


def merge(checkout, archive):
    env = {**os.environ, "PYTHONPATH": str(places.CODE)}
    call = ["bash", checkout / "tools" / "slice.sh", "merge", archive]
    return subprocess.run(call, env=env, capture_output=True, text=True, check=False)


def archived(folder, archive, *more):
    with tarfile.open(archive, "w:gz") as tar:
        for path in (folder, *more):
            tar.add(path, path.name)
    return archive


def test_what_comes_back_is_taken_whole_or_not_at_all(tmp_path, checkout):
    elsewhere = Store(tmp_path / "results", tmp_path / "pending")
    assert slices.train(TRIALS[:2], elsewhere, device="cpu", seconds=100) == 2
    whole = archived(elsewhere.pending, tmp_path / "records.tgz")
    cut = tmp_path / "cut.tgz"
    cut.write_bytes(whole.read_bytes()[:-200])
    (path,) = sorted(elsewhere.pending.glob("*.jsonl"))[:1]
    text = path.read_text()
    path.write_text(text.replace('"seed":', '"seed":1'))
    edited = archived(elsewhere.pending, tmp_path / "edited.tgz")
    pending = checkout / ".hplab" / "pending"

    for damaged in (cut, edited, Path(places.CODE, "README.md")):
        done = merge(checkout, damaged)
        assert done.returncode == 1
        assert f"nothing is taken from {damaged}" in done.stderr
        assert [path for path in checkout.rglob("*") if path.suffix in (".json", ".jsonl")] == []

    for _ in range(2):
        assert merge(checkout, whole).returncode == 0
        here = Store(checkout / "results", pending)
        assert len(list(here.records())) == 2
        assert all(here.provenance(record["prov"]) for record in here.records())
    assert [path.name for path in (checkout / ".hplab").iterdir()] == ["pending"]
