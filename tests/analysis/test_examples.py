"""The statistics are a small library: what it offers is shown by an example, and examples run."""

import doctest
import importlib
import inspect

import pytest

LIBRARY = "evidence intervals orders power proportions rank sequential variance"


@pytest.mark.parametrize("name", LIBRARY.split())
def test_every_public_function_has_an_example(name):
    module = importlib.import_module(f"hplab.analysis.stats.{name}")
    finder = doctest.DocTestFinder(exclude_empty=False)
    shown = {test.name.rpartition(".")[2] for test in finder.find(module) if test.examples}
    public = {
        one
        for one, value in vars(module).items()
        if not one.startswith("_")
        and inspect.isfunction(value)
        and value.__module__ == module.__name__
    }
    assert public
    assert public <= shown


def test_examples_are_collected(pytestconfig):
    """They are run with all other tests: pytest looks into the package and at docstrings."""
    assert "--doctest-modules" in pytestconfig.getini("addopts")
    assert "hplab" in pytestconfig.getini("testpaths")
