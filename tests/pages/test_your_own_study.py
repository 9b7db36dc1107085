"""The page that shows how to make a study says what works."""

import functools
import itertools
import re
from pathlib import Path

import pandas as pd
import pytest

import hplab as hp
from hplab import catalogue

PAGE = Path(__file__).resolve().parents[2] / "book" / "your-own-study.md"
TEXT = PAGE.read_text(encoding="utf-8")
CODE = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def call_everywhere(function, **axes):
    """A table of what a function gives at every point of a grid."""
    points = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    return pd.DataFrame([{**point, **function(**point)} for point in points])


@pytest.mark.timeout(300)
def test_its_code_runs_from_top_to_bottom(tmp_path, monkeypatch):
    """With three seeds a setting, and with a stand-in for hp.sweep where there is none."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HPLAB_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("HPLAB_JOBS", "1")
    monkeypatch.setenv("CI", "1")
    monkeypatch.setattr(hp, "run", functools.partial(hp.run, n_seeds=3, device="cpu"))
    if "sweep" not in hp.__all__:
        monkeypatch.setattr(hp, "sweep", call_everywhere, raising=False)
    names = {"__name__": "page"}
    script = tmp_path / "page.py"  # a component's source is read from its file
    script.write_text("\n\n".join(CODE), encoding="utf-8")
    try:
        exec(compile(script.read_text(encoding="utf-8"), script, "exec"), names)
    finally:
        catalogue.table("model").pop("narrow", None)

    assert set(hp.run(names["trials"], preset="paper")["lr"]) == {1e-4, 1e-3, 1e-2}
    assert 0.5 < names["train"](1e-4, 0)["val_acc"] < 1


def test_every_command_that_it_shows_is_there():
    from hplab.cli import cli

    shown = set(re.findall(r"(?m)^(?:\.venv/bin/)?hplab ([a-z-]+)", TEXT))
    assert shown == {"judge", "new-study"}
    assert shown <= cli.commands.keys()
