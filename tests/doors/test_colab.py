"""Each study from its .ipynb alone, with the packages of Google Colab: "Run all" comes to its end.

`make doors` makes the environment, in .venv-colab. The first cell clones the repository; git is
told that its address is a copy of this working tree.
"""

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import nbformat
import pytest
import yaml
from doors_tree import PRESET, ROOT, copy_to, git

from hplab.pages.notebooks import pairing

PYTHON = ROOT / ".venv-colab" / "bin" / "python"
STUDIES = [page.stem for page in pairing.pages(ROOT / "book" / "studies")]
ADDRESS = yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]["url"]
VIEW = "application/vnd.jupyter.widget-view+json"
pytestmark = [pytest.mark.doors, pytest.mark.timeout(1800)]

# As Colab's front end does: a kernel in the notebook's folder, all cells, none after an error.
RUN = """
import sys, nbclient, nbformat
path, out = sys.argv[1:]
notebook = nbformat.read(path, as_version=4)
client = nbclient.NotebookClient(notebook, kernel_name="python3", timeout=1200, allow_errors=False)
try:
    client.execute()
except nbclient.exceptions.CellExecutionError:
    pass  # the outputs have it
finally:
    nbformat.write(notebook, out)
"""


def run(folder, notebook, python=PYTHON, **environment):
    """Run a notebook in a folder; return it with its outputs."""
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, folder / "study.ipynb")
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH")
    clean = {name: os.environ[name] for name in kept if name in os.environ}
    done = subprocess.run(
        [python, "-c", RUN, "study.ipynb", "out.ipynb"],
        cwd=folder,
        env=clean | {"IPYTHONDIR": str(folder / ".ipython")} | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return nbformat.read(folder / "out.ipynb", as_version=4)


def study(name, preset=PRESET):
    notebook = nbformat.read(ROOT / "book" / "studies" / f"{name}.ipynb", as_version=4)
    for cell in notebook.cells:
        cell.source = cell.source.replace('preset = "laptop"', f"preset = {json.dumps(preset)}")
    return notebook


def outputs(notebook):
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def errors(notebook):
    return [output for output in outputs(notebook) if output.output_type == "error"]


@pytest.fixture(scope="module")
def colab():
    """What says to hplab that this is Colab; the environment has to be there."""
    assert PYTHON.is_file(), "there is no .venv-colab: `make doors` makes it"
    return {"COLAB_RELEASE_TAG": "release-colab", "HPLAB_OFFLINE": "1"}


@pytest.fixture(scope="module")
def mirror(tmp_path_factory):
    """What makes git fetch the repository from a copy of this working tree."""
    folder = copy_to(tmp_path_factory.mktemp("colab") / "origin")
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{folder.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": ADDRESS,
    }


@pytest.fixture(scope="module")
def executed(colab, mirror, tmp_path_factory):
    """Every study after "Run all", two at a time, each in an empty folder; by name."""
    top = tmp_path_factory.mktemp("content")

    def one(name):
        return name, run(top / name, study(name), **colab, **mirror), top / name

    with ThreadPoolExecutor(2) as pool:
        return {name: rest for name, *rest in pool.map(one, STUDIES)}


@pytest.mark.parametrize("name", STUDIES)
def test_run_all_comes_to_its_end(executed, name):
    notebook, folder = executed[name]

    assert errors(notebook) == []
    found = outputs(notebook)
    texts = ["".join(output.get("data", {}).get("text/html", "")) for output in found]
    assert sum('<figure class="hp-figure">' in text for text in texts) >= 3
    assert found[0].data["text/markdown"].startswith("**In short.**")
    explored = [c for c in notebook.cells if c.source.startswith("hp.explore(")]
    assert [any(VIEW in o.get("data", {}) for o in c.outputs) for c in explored] == [True] * len(
        explored
    )
    pending = folder / "hplab-book" / ".hplab" / "pending"
    last = notebook.cells[-1].outputs[0].data["text/plain"]
    assert "vanish" in last
    assert str(pending) in last
    assert list(pending.glob("*.jsonl"))
    assert git(folder / "hplab-book", "status", "--porcelain") == ""


def first_cells(n=1):
    notebook = study(STUDIES[0])
    kept = [cell for cell in notebook.cells if cell.cell_type == "code"][:n]
    return nbformat.v4.new_notebook(cells=kept, metadata=notebook.metadata)


def test_without_a_network_the_first_cell_ends_in_one_sentence(colab, tmp_path):
    nowhere = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{(tmp_path / 'nothing').as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": ADDRESS,
    }
    (error,) = errors(run(tmp_path / "empty", first_cells(2), **colab, **nowhere))

    (line,) = error.traceback
    assert line.startswith("hplab cannot run here (fatal: ")
    assert line.endswith("`make lab` in a checkout of it can.")
    assert "\n" not in line


def test_without_the_packages_the_first_cell_ends_in_one_sentence(tmp_path, mirror):
    """A Python that has Jupyter and nothing else: this one, without its other packages."""
    bare = first_cells(1)
    hide = "import importlib.util as u\nreal = u.find_spec\n"
    hide += "u.find_spec = lambda n: None if n in ('hplab', 'torch') else real(n)"
    bare.cells.insert(0, nbformat.v4.new_code_cell(hide))
    (error,) = errors(run(tmp_path / "bare", bare, python=sys.executable, **mirror))

    assert error.traceback == [
        "hplab cannot run here (this Python lacks PyTorch); `make lab` in a checkout of it can."
    ]
    assert not (tmp_path / "bare" / "hplab-book").exists()


def test_inside_a_checkout_nothing_is_cloned(colab, mirror, tmp_path):
    clone = tmp_path / "hplab"
    shutil.copytree(
        mirror["GIT_CONFIG_KEY_0"].split("file://")[1].removesuffix(".insteadOf"), clone
    )
    notebook = first_cells(2)
    notebook.cells.append(nbformat.v4.new_code_cell("import hplab.trial\nprint(hp.__file__)"))

    done = run(clone / "book" / "studies", notebook, **colab, **mirror)

    assert errors(done) == []
    assert done.cells[-1].outputs[-1].text.strip() == str(clone / "hplab" / "__init__.py")
    assert not (clone / "book" / "studies" / "hplab-book").exists()
