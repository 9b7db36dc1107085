"""The catalogue: every row names something that works, and its bounds hold."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch

from hplab import catalogue
from hplab.catalogue import Arg
from hplab.errors import HplabError
from hplab.trial import Trial


@pytest.mark.parametrize("field", ["model", "optimizer", "schedule", "loss", "activation"])
def test_every_row_names_what_computes_it(field):
    for name in catalogue.table(field):
        assert callable(catalogue.implementation(field, name)), name


@pytest.mark.parametrize("field", catalogue.FIELDS)
def test_a_wrong_name_gets_the_nearest_right_one(field):
    name = sorted(catalogue.table(field))[0]

    with pytest.raises(HplabError, match=f"did you mean '{name}'"):
        catalogue.check(field, name + "x")


@pytest.mark.parametrize("field", catalogue.WITH_ARGS)
def test_every_default_is_within_its_own_bounds(field):
    for row in catalogue.table(field).values():
        for name, arg in row.args.items():
            assert arg.checked(name, arg.default) == arg.default


@pytest.mark.parametrize(
    ("arg", "value", "said"),
    [
        (Arg(1.0), -0.1, "x must be at least 0, got -0.1"),
        (Arg(1.0, above=0), 0, "x must be positive, got 0.0"),
        (Arg(3.0, above=2), 2, "x must be above 2, got 2.0"),
        (Arg(1, low=1), 0, "x must be at least 1, got 0"),
        (Arg(0.5, high=1), 1.5, "x must be at most 1, got 1.5"),
        (Arg(0.5, below=1), 1, "x must be below 1, got 1.0"),
        (Arg([1], above=0), [2, 0], "x must be positive, got 0"),
        (Arg("a", choices=("a", "abc")), "abd", "did you mean 'abc'"),
        (Arg("a"), 3, "x must be text, got 3"),
        (Arg(True), 1, "x must be True or False, got 1"),
        (Arg(1), True, "x must be an integer, got True"),
        (Arg(1.0), "1", "x must be a number, got '1'"),
        (Arg(1.0), 10**400, "x must be finite, got 1000"),
        (Arg(1.0), math.nan, "x must be finite, got nan"),
        (Arg(1), 2**63, "x must be an integer of at most 64 bits"),
        (Arg(1), 64.0, "x must be an integer, got 64.0"),
        (Arg(1.0), np.array([1.0]), "x must be a number, got array([1.])"),
        (Arg(1.0), torch.ones(2), "x must be a number, got tensor([1., 1.])"),
    ],
)
def test_a_value_out_of_bounds_is_one_line(arg, value, said):
    with pytest.raises(HplabError) as caught:
        arg.checked("x", value)

    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "scalar",
    [
        np.float16,
        np.float32,
        np.float64,
        np.array,
        torch.tensor,
        torch.tensor(0.0).bfloat16().new_tensor,
    ],
)
@pytest.mark.parametrize("value", [0.001, 0.1, 0.3, 12.0, 0.0003, 0.0])
def test_a_scalar_is_the_number_it_prints(scalar, value):
    """A learning rate of `np.float32(1e-3)` is that of a trial with 0.001, whatever its width."""
    assert repr(Arg(1.0).checked("x", scalar(value))) == repr(value)


def test_a_scalar_integer_stays_one():
    for scalar in (np.int8(3), np.uint64(3), np.array(3), torch.tensor(3)):
        assert repr(Arg(1).checked("x", scalar)) == "3"


def test_a_share_may_be_a_count():
    arg = catalogue.SPLITS["holdout"].args["val"]

    assert (arg.checked("val", 0.25), arg.checked("val", 360.0)) == (0.25, 360)
    assert isinstance(arg.checked("val", 360.0), int)


def test_times_of_schedules_are_marked():
    times = {"step_size", "milestones", "warmup", "decay", "T_0"}
    for schedule, row in catalogue.table("schedule").items():
        marked = {name for name, arg in row.args.items() if arg.is_time}
        assert marked == times & set(row.args), schedule


def test_checking_a_trial_needs_no_torch():
    script = """
import sys
from hplab import catalogue, own
from hplab.trial import Trial
for field in ("model", "optimizer", "schedule"):
    for name in catalogue.table(field):
        Trial(data="mnist", **{field: name}).key("x")
print("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)

    assert done.stdout.strip() == "False", done.stderr


def test_a_trial_of_hplabs_components_says_nothing_of_their_code():
    assert Trial(data="mnist", code={"model:cnn": "0" * 16}) == Trial(data="mnist")
    assert "code" not in Trial(data="mnist").config()
    assert "code" not in Trial(data="mnist").flat()
