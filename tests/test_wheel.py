"""The built wheel works alone: installed with what it asks for, outside the checkout.

Building and installing take seconds where the packages are in uv's cache, minutes elsewhere (torch
is large), so the normal tests leave it out: `make test ARGS="tests/test_wheel.py -m network"`.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hplab import __version__
from hplab.analysis.claims.ledger import load

ROOT = Path(__file__).resolve().parents[1]
JUPYTER = ("IPython", "ipykernel", "ipywidgets", "jupyterlab", "nbformat", "notebook", "sphinx")
USE = """
import sys
from importlib.util import find_spec

import torch

import hplab as hp

if __name__ == "__main__":
    here, jupyter = sys.argv[1], sys.argv[2:]
    assert not hp.__file__.startswith(here), hp.__file__
    assert [name for name in jupyter if find_spec(name)] == []
    for name in hp.__all__:
        getattr(hp, name)

    base = hp.Trial(data="mnist", model="mlp", optimizer="adam", batch_size=64, epochs=30)
    runs = hp.run(hp.grid(base, lr=[1e-3, 5e-4], seed=range(2)), preset="smoke", device="cpu")
    assert sorted(runs["lr"].unique()) == [5e-4, 1e-3]
    assert (runs["val_acc"] > 0.5).all()
    verdicts = hp.claims.verdicts(["S4-06", "S4-08"], runs)
    assert "Not run yet: S4-06, S4-08" in repr(hp.claims_table(verdicts))
    assert round(hp.published("004")["val_acc"].max(), 6) == 0.9873
    hp.plots.axis(runs, x="lr", y="val_acc").save("axis.svg")
    hp.plots.learning_curves(runs, y="val_acc").save("curves.png")
    assert "controls" not in repr(hp.explore(runs))

    # A quadratic loss whose curvatures are known: 2/3, 2 and 10/3 along the axes.
    weights = torch.nn.Linear(3, 1, bias=False)
    scales = torch.tensor([1.0, 3.0, 5.0]).sqrt()
    loss = lambda outputs, _: outputs.squeeze(1) ** 2
    points = hp.sharpness.Objective(
        weights, torch.diag(scales), torch.zeros(3), batch_norm="running", loss=loss
    )
    top = hp.sharpness.top_eigenvalues(points, 1)
    assert abs(float(top.values[0]) - 10 / 3) < 1e-3, top
    print("all of it works")
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A fresh environment with the wheel, and an empty folder to work in."""
    folder = tmp_path_factory.mktemp("wheel")
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    told = {"check": True, "timeout": 900, "cwd": ROOT}
    subprocess.run([uv, "build", "-q", "-o", folder / "dist", ROOT], **told)
    (wheel,) = (folder / "dist").glob("*.whl")
    subprocess.run([uv, "venv", "-q", "-p", sys.executable, folder / "venv"], **told)
    asked = ["-c", ROOT / "requirements.lock", wheel]
    subprocess.run([uv, "pip", "install", "-q", "-p", folder / "venv", *asked], **told)
    (folder / "empty").mkdir()
    return folder


def run(installed, *command):
    """Run a program of the environment as somebody would who has no checkout; return its output."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HPLAB_")}
    kept.pop("PYTHONPATH", None)
    program = installed / "venv" / "bin" / command[0]
    done = subprocess.run(
        [program, *command[1:]],
        cwd=installed / "empty",
        env={**kept, "HPLAB_OFFLINE": "1", "CI": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.network
@pytest.mark.timeout(1200)
def test_every_example_of_the_readme_runs_from_the_wheel(installed):
    examples = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.S)
    assert examples
    for number, example in enumerate(examples):
        (installed / "empty" / f"example_{number}.py").write_text(example, encoding="utf-8")
        code, _, errors = run(installed, "python", f"example_{number}.py")
        assert code == 0, errors


@pytest.mark.network
@pytest.mark.timeout(1200)
def test_trials_claims_plots_and_sharpness_work_from_the_wheel_without_jupyter(installed):
    (installed / "empty" / "use.py").write_text(USE, encoding="utf-8")
    code, out, errors = run(installed, "python", "use.py", str(ROOT), *JUPYTER)

    assert code == 0, errors
    assert out.endswith("all of it works\n")
    assert {"axis.svg", "curves.png"} <= {p.name for p in (installed / "empty").iterdir()}


@pytest.mark.network
@pytest.mark.timeout(1200)
def test_the_command_works_from_the_wheel_or_says_in_a_line_what_it_needs(installed):
    code, out, errors = run(installed, "hplab", "claims")
    assert (code, len(out.splitlines())) == (0, 2 + len(load(ROOT / "book" / "claims.yaml")))
    told = f"no records here: these are the verdicts that came with hplab {__version__}\n"
    assert errors == told
    assert re.search(r"^S4-08 .* inconclusive +20  \S+ pp", out, re.M)
    for command in ("status", "doctor", "data"):
        assert run(installed, "hplab", command)[0] == 0
    for command in (["book"], ["execute"], ["sync"], ["check"], ["plan"], ["claims", "--check"]):
        code, out, errors = run(installed, "hplab", *command)
        assert (code, out, errors.count("\n")) == (2, "", 1), command
        assert "works in a clone of the repository" in errors
