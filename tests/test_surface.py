"""The public surface is a decision: adding a name here is making one."""

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import hplab
from hplab.pages.notebooks import ipynb
from hplab.pages.tables import reference

STUDIES = sorted((Path(__file__).parents[1] / "book" / "studies").glob("*.md"))
SURFACE = {
    "HplabError",
    "Trial",
    "__version__",
    "artifacts",
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
    "export",
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
    "sweep",
    "train",
    "watch",
}

DOCUMENTED = {
    f"hp.{name}": value
    for names in reference.contents().values()
    for name, value in names.items()
    if callable(value)
}


def gaps(value):
    """What the docstring of a function or class does not say."""
    said = inspect.getdoc(value) or ""
    sections = dict(
        re.findall(r"(?ms)^(Args|Attributes|Returns|Yields|Raises):\n(.*?)(?=^\S|\Z)", said)
    )
    missing = [] if re.match(r".{10,}?[.:](\s|$)", said) else ["a first sentence"]
    if inspect.isclass(value) and issubclass(value, Exception):
        return missing
    listed = sections.get("Args", "") + sections.get("Attributes", "")
    told = {
        name.strip("* ")
        for names in re.findall(r"(?m)^ {4}(\*{0,2}\w+(?:, \*{0,2}\w+)*):", listed)
        for name in names.split(",")
    }
    signature = inspect.signature(value)
    missing += [f"argument {name}" for name in signature.parameters if name not in told]
    if not inspect.isclass(value):
        if signature.return_annotation not in (None, "None") and not {"Returns", "Yields"} & {
            *sections
        }:
            missing.append("what it returns")
        if re.search(r"(?m)^\s*raise ", inspect.getsource(value)) and "Raises" not in sections:
            missing.append("what it raises")
    return missing


def test_the_surface_is_what_was_decided():
    assert set(hplab.__all__) == SURFACE
    assert set(dir(hplab)) == SURFACE


@pytest.mark.parametrize("name", sorted(SURFACE - {"__version__"}))
def test_every_name_leads_to_what_explains_itself(name):
    """A constant has a docstring too, but that of its type."""
    found = getattr(hplab, name)
    assert found.__doc__
    assert found.__doc__ != type(found).__doc__


@pytest.mark.parametrize("name", DOCUMENTED)
def test_every_name_says_what_it_takes_gives_and_raises(name):
    assert gaps(DOCUMENTED[name]) == []


def test_what_a_docstring_leaves_out_is_seen():
    def bare(first: int, *, second: int = 1) -> int:
        raise ValueError

    def told(first: int, *more: int) -> int:
        """Return a number.

        Args:
            first: One.
            *more: Others.

        Returns:
            It.
        """
        return first

    assert gaps(bare) == [
        *("a first sentence", "argument first", "argument second"),
        *("what it returns", "what it raises"),
    ]
    assert gaps(told) == []


def test_every_name_of_the_surface_is_on_one_page_of_the_reference():
    pages = reference.pages()
    entries = re.findall(
        r"(?m)^\.\. (?:auto\w+|py:data):: hplab\.(\S+)$", "\n".join(pages.values())
    )

    assert len(entries) == len(set(entries))
    assert {entry.partition(".")[0] for entry in entries} == SURFACE - {"__version__"}
    for entry in entries:
        assert f"`hp.{entry} <hplab.{entry}>`" in reference.overview()


def test_a_name_new_on_the_surface_is_in_the_reference_by_itself(monkeypatch):
    monkeypatch.setitem(hplab._SURFACE, "seed_lists", "hplab.sweeps.presets:changes")
    monkeypatch.setitem(hplab._SURFACE, "ranks", "hplab.analysis.stats.rank:granulated")

    pages = reference.pages()

    assert ".. autofunction:: hplab.seed_lists\n" in pages["api/runs"]
    assert ".. autofunction:: hplab.ranks\n" in pages["api/numbers"]


def test_a_docstring_is_made_ready_for_sphinx():
    """Code in it, and signs of mathematics, are not taken for markup."""
    said = [
        *("Rise by |w| in `|w|`, or arm_ columns.", ""),
        *("    runs = f(a_, b | c)", "", "    g(runs)", ""),
        *("Then the rest.", "", "Args:", "    x: One of |y| or z_.", "        More.", ""),
        *("Example:", "    >>> f(1 | 2)"),
    ]
    reference.docstring(None, "", "", None, None, said)

    assert said == [
        *("Rise by \\|w\\| in `|w|`, or arm\\_ columns.", ""),
        *(".. code-block:: python", "", "    runs = f(a_, b | c)", "", "    g(runs)", ""),
        *("Then the rest.", "", "Args:", "    x: One of \\|y\\| or z\\_.", "        More.", ""),
        *("Example:", "    >>> f(1 | 2)"),
    ]


def test_no_colon_of_a_docstring_makes_a_type():
    said = ['What it is asked for by: "train:v3".', "", "Attributes:", "    low, high: The limits."]
    reference.docstring(None, "property", "", None, None, said)

    assert said[0] == ': What it is asked for by: "train:v3".'  # nothing before the first colon
    assert said[-1] == "    low,\u200bhigh: The limits."  # one word, or `low` were a type


def test_a_signature_shows_the_defaults_that_a_data_class_makes_anew():
    said = (
        "(data: str, split_args: Mapping = <factory>, fold: int = 1, augment: Mapping = <factory>)"
    )

    found = reference.signature(None, "class", "hplab.Trial", hplab.Trial, None, said, None)

    assert found == (said.replace("<factory>", "{}"), None)
    assert reference.signature(None, "function", "", hplab.run, None, "(x)", None) is None


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
