"""A plan travels whole, is trained in its order, and stops in time."""

import subprocess
import sys

import pytest

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
