"""The command that counts faults ends with an error where something was lost."""

import runpy
import sys

import pytest

from hplab import places

BENCHMARKS = places.CODE / "benchmarks"
CLEAN = {
    "kills": {"kills": 200, "acknowledged": 3000, "lost": 0},
    "damages": {"files": 4000, "refused": 3900, "wrong": 0},
    "sweep": {"lost": 0, "recorded_twice": 0, "equal_to_undisturbed": True},
    "many": {"records": 100_000, "seconds": 5.0},
}


@pytest.fixture(scope="module")
def is_lossy():
    before = list(sys.path)
    sys.path.insert(0, str(BENCHMARKS))
    yield runpy.run_path(str(BENCHMARKS / "faults.py"))["is_lossy"]
    sys.path[:] = before


@pytest.mark.parametrize("part", CLEAN)
def test_nothing_lost_is_no_fault(is_lossy, part):
    assert not is_lossy(CLEAN[part])


@pytest.mark.parametrize(
    ("part", "fault"),
    [
        ("kills", {"lost": 1}),
        ("damages", {"wrong": 1}),
        ("sweep", {"lost": 1}),
        ("sweep", {"recorded_twice": 1}),
        ("sweep", {"equal_to_undisturbed": False}),
    ],
)
def test_each_kind_of_loss_is_one(is_lossy, part, fault):
    assert is_lossy(CLEAN[part] | fault)
