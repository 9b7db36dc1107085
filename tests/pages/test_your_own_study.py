"""The page that shows how to make a study says what works."""

import functools
import inspect
import re
from pathlib import Path

import pytest

import hplab as hp
from hplab import catalogue
from hplab.sweeps import searches, sweepfile
from hplab.sweeps.store import Store

PAGE = Path(__file__).resolve().parents[2] / "book" / "your-own-study.md"
TEXT = PAGE.read_text(encoding="utf-8")
CODE = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.timeout(300)
def test_its_code_runs_from_top_to_bottom(tmp_path, monkeypatch):
    """With three seeds a setting where hplab trains."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HPLAB_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("HPLAB_JOBS", "1")
    monkeypatch.setenv("CI", "1")
    monkeypatch.setattr(hp, "run", functools.partial(hp.run, n_seeds=3, device="cpu"))
    names = {"__name__": "page"}
    script = tmp_path / "page.py"  # a component's source is read from its file
    script.write_text("\n\n".join(CODE), encoding="utf-8")
    try:
        exec(compile(script.read_text(encoding="utf-8"), script, "exec"), names)
    finally:
        catalogue.table("model").pop("narrow", None)

    assert set(hp.run(names["trials"], preset="paper")["lr"]) == {1e-4, 1e-3, 1e-2}
    assert names["runs"].groupby("alpha").size().tolist() == [10, 10]  # of the function
    assert names["runs"]["val_acc"].between(0.5, 1).all()
    assert names["best"]["coef"].shape == (10, 64)


def test_its_sweep_file_is_read(tmp_path):
    [text] = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    path = tmp_path / "sweep.yaml"
    path.write_text(text, encoding="utf-8")
    points = searches.points(sweepfile.read(path))
    assert len(points) == 20
    assert all(1e-4 <= point["lr"] <= 0.1 for point in points)


def test_every_command_that_it_shows_is_there():
    from hplab.cli import cli

    shown = set(re.findall(r"(?m)^(?:\.venv/bin/)?hplab ([a-z-]+)", TEXT))
    assert shown == {"artifact", "export", "judge", "new-study", "report", "sweep", "watch"}
    assert shown <= cli.commands.keys()


def test_the_verdict_that_it_shows_is_of_its_own_claim(tmp_path):
    from hplab.pages.tables import pieces

    [claim] = re.findall(r'^claim = "(.*)"$', TEXT, re.MULTILINE)
    verdict = pieces.tables(Store(PAGE.parent / "results", tmp_path))["own-verdict"]()
    assert claim in inspect.getsource(pieces.example)
    assert "higher at lr 0.01 than at lr 1e-3" in verdict
    assert "n = 5 seeds" in verdict
