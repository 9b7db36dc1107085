"""The examples of the README work as they stand there."""

import re
import shlex
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from hplab import cli

TEXT = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
COMMANDS = re.findall(r"(?m)^hplab (judge .*?)(?: +#.*)?$", TEXT)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HPLAB_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("HPLAB_JOBS", "1")
    monkeypatch.setenv("HPLAB_OFFLINE", "1")
    monkeypatch.setenv("CI", "1")


def run(example, folder):
    """Run an example as a script; return its names."""
    script = folder / "example.py"  # a function's source is read from its file
    script.write_text(example, encoding="utf-8")
    names = {"__name__": "__main__"}
    exec(compile(example, script, "exec"), names)
    return names


def test_there_are_examples_of_both_kinds():
    assert len(EXAMPLES) == len(COMMANDS) == 2


def test_runs_of_a_function_are_judged(tmp_path, capsys):
    (example,) = (text for text in EXAMPLES if "hp.judge" in text)

    made = run(example, tmp_path)

    assert made["runs"].groupby("alpha").size().tolist() == [10, 10]
    said = capsys.readouterr().out
    assert re.match("(Supported|Contradicted|Inconclusive): The runs ", said)
    assert "n = 10 seeds of each setting, compared seed by seed" in said


def test_the_trials_of_a_grid_are_drawn(tmp_path):
    (example,) = (text for text in EXAMPLES if "hp.grid" in text)
    small, n_changed = re.subn(r"epochs=20|range\(5\)", _smaller, example)
    assert n_changed == 2

    made = run(small, tmp_path)

    assert sorted(set(made["runs"]["lr"])) == [1e-4, 1e-3, 1e-2]
    assert (tmp_path / "lr.png").read_bytes().startswith(b"\x89PNG")


def _smaller(found):
    return {"epochs=20": "epochs=2", "range(5)": "range(2)"}[found[0]]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_table_of_runs_is_judged(command, tmp_path):
    luck = {0.001: [0, 1, 2, 1, 0], 0.01: [11, 10, 11, 13, 12]}  # thousandths
    rows = [(lr, seed, 0.9 + x / 1000) for lr in luck for seed, x in enumerate(luck[lr])]
    pd.DataFrame(rows, columns=["lr", "seed", "val_acc"]).to_csv("runs.csv", index=False)

    done = CliRunner().invoke(cli.cli, shlex.split(command), catch_exceptions=False)

    assert "settings: lr; seed: seed; metrics: val_acc" in done.output
    asked = "beats" in command
    assert ("Supported: The runs show that val_acc is higher at lr 0.01" in done.output) == asked
    assert Path("report.html").is_file() == ("--html" in command)
