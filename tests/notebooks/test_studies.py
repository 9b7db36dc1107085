"""Every study page keeps the rules, agrees with its notebook, and runs on the smoke preset."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hplab.pages.notebooks import ipynb, pairing

ROOT = Path(__file__).resolve().parents[2]
STUDIES = ROOT / "book" / "studies"
PAGES = pairing.pages(STUDIES)


def test_there_is_a_study():
    assert PAGES


def test_all_pairs_agree_and_keep_the_rules():
    assert [str(problem) for problem in pairing.check(STUDIES)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_study_takes_the_parameters_that_the_command_gives(page):
    values = ipynb.parameters(ipynb.read(page))

    assert values == {"preset": "laptop", "device": "auto", "n_seeds": None}


@pytest.mark.xdist_group("kernels")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_study_runs_on_the_smoke_preset(page, tmp_path):
    notebook = ipynb.fresh(ipynb.read(page))
    (cell,) = (c for c in notebook.cells if "parameters" in c.metadata.get("tags", []))
    cell.source, n_changed = re.subn(r"(?m)^preset = .*$", 'preset = "smoke"', cell.source)
    assert n_changed == 1
    copy = tmp_path / f"{page.stem}.ipynb"
    copy.write_text(ipynb.dumps(notebook), encoding="utf-8")
    shutil.copytree(ROOT / "book" / "results", tmp_path / "results")

    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", str(copy), "--rootdir", str(tmp_path)),
            *("--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout", "120"),
            *("-p", "no:cacheprovider", "-p", "no:xdist", "-q", "--color=no"),
        ],
        cwd=tmp_path,
        env=os.environ
        | {"HPLAB_RESULTS": str(tmp_path / "results"), "HPLAB_OFFLINE": "1", "TQDM_DISABLE": "1"},
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    n_cells = sum(c.cell_type == "code" and bool(c.source.strip()) for c in notebook.cells)
    assert f"{n_cells} passed" in done.stdout
    assert (tmp_path / ".hplab" / "pending").is_dir()  # trained there, and not in the clone
