"""The public surface is a decision: adding a name here is making one."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import hplab
from hplab.pages.notebooks import ipynb

STUDIES = sorted((Path(__file__).parents[1] / "book" / "studies").glob("*.md"))
SURFACE = {
    "HplabError",
    "Trial",
    "__version__",
    "batch_sizes",
    "headlines",
    "labels",
    "metrics",
    "published",
    "stats",
    "claims",
    "claims_table",
    "cost",
    "curves",
    "explore",
    "glue",
    "grid",
    "judge",
    "keep",
    "ladder",
    "layers",
    "lr_find",
    "luck",
    "plots",
    "preset_changes",
    "probes",
    "prose",
    "provenance",
    "recorded",
    "register",
    "run",
    "setups",
    "sharpness",
    "show",
    "steps",
    "train",
}


def test_the_surface_is_what_was_decided():
    assert set(hplab.__all__) == SURFACE
    assert set(dir(hplab)) == SURFACE


@pytest.mark.parametrize("name", sorted(SURFACE - {"__version__"}))
def test_every_name_leads_to_what_explains_itself(name):
    """A constant has a docstring too, but that of its type."""
    found = getattr(hplab, name)
    assert found.__doc__
    assert found.__doc__ != type(found).__doc__


def test_a_wrong_name_lists_the_right_ones():
    with pytest.raises(AttributeError, match=r"no attribute 'grids'.*'grid'"):
        _ = hplab.grids


def test_importing_hplab_starts_nothing():
    """No torch, no pandas, no thread: a page or a command that needs little loads little."""
    script = "import sys, hplab; print(sorted({'torch', 'pandas', 'scipy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)

    assert done.stdout.strip() == "[]", done.stderr


def test_the_whole_surface_is_there_without_jupyter():
    """`pip install hplab` brings none of it; a command that needs it says so in a line."""
    script = """
import importlib.abc, sys

class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in NAMES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

NAMES = {"jupytext", "nbformat", "nbclient", "papermill", "jupyter_client", "ipykernel", "IPython"}
NAMES |= {"ipywidgets", "myst_nb", "bs4", "pybtex", "jupyter_server", "tornado", "sphinx"}
sys.meta_path.insert(0, Blocked())
import hplab
print(sorted(name for name in hplab.__all__ if getattr(hplab, name) is None))
import hplab.cli
hplab.cli.main(["sync", "--check"])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)

    assert done.stdout == "[]\n", done.stderr
    needs = "hplab: this command needs jupytext, which is not installed"
    assert done.stderr == f"{needs}; this brings it: pip install 'hplab[book]'\n"
    assert done.returncode == 2


@pytest.mark.parametrize("page", STUDIES, ids=lambda page: page.stem)
def test_a_page_takes_from_hplab_what_is_on_the_surface_and_no_more(page):
    """Readers copy from pages, so what they copy has to stay."""
    for cell in ipynb.read(page).cells:
        if cell.cell_type == "code":
            tree = ast.parse(re.sub(r"(?m)^(\s*)[!%].*$", r"\1pass", cell.source))
            for node in ast.walk(tree):
                if isinstance(node, ast.ImportFrom):
                    assert (node.module or "").split(".")[0] != "hplab", ast.unparse(node)
                elif isinstance(node, ast.Import):
                    names = {alias.name for alias in node.names if alias.name.startswith("hplab")}
                    assert names <= {"hplab"}, ast.unparse(node)
                elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                    assert node.value.id != "hp" or node.attr in SURFACE, ast.unparse(node)


def test_the_rule_for_pages_sees_an_import_from_within(tmp_path):
    page = tmp_path / "08-inside.md"
    page.write_text("```{code-cell}\nfrom hplab.sweeps import runner\n```\n")
    with pytest.raises(AssertionError, match=r"from hplab\.sweeps import runner"):
        test_a_page_takes_from_hplab_what_is_on_the_surface_and_no_more(page)
