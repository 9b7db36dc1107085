"""The public surface is a decision: adding a name here is making one."""

import subprocess
import sys

import pytest

import hplab

SURFACE = {
    "HplabError",
    "Trial",
    "__version__",
    "claims",
    "claims_table",
    "cost",
    "curves",
    "explore",
    "glue",
    "grid",
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


def test_every_name_is_there_and_explains_itself():
    for name in SURFACE:
        assert getattr(hplab, name).__doc__, name


def test_a_wrong_name_lists_the_right_ones():
    with pytest.raises(AttributeError, match=r"no attribute 'grids'.*'grid'"):
        _ = hplab.grids


def test_importing_hplab_starts_nothing():
    """No torch, no pandas, no thread: a page or a command that needs little loads little."""
    script = "import sys, hplab; print(sorted({'torch', 'pandas', 'scipy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)

    assert done.stdout.strip() == "[]", done.stderr
