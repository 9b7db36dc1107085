"""Stacks hold every trial once, and only trials that can train together."""

import pytest
from torch import nn

from hplab.sweeps import stacking
from hplab.training import datasets, loop
from hplab.training.networks import models
from hplab.trial import Trial, grid

SMALL = Trial(data="digits", model_args={"channels": [4], "hidden": 8}, epochs=3)
LARGE = Trial(data="digits", model="mlp", model_args={"hidden": [900]}, epochs=3)

DATA = {"digits": datasets.load("digits")}


@pytest.mark.parametrize("workers", [1, 2, 3, 7])
def test_every_trial_is_in_exactly_one_stack(workers):
    trials = [*grid(SMALL, batch_size=[8, 16], lr=[1e-2, 1e-3], seed=range(9)), LARGE]

    found = stacking.stacks(trials, "cpu", workers, DATA)

    assert sorted(t.identity() for stack in found for t in stack) == sorted(
        t.identity() for t in trials
    )
    for stack in found:
        assert len({loop.stack_key(trial) for trial in stack}) == 1


def test_small_networks_share_a_stack_and_large_ones_do_not():
    assert [len(s) for s in stacking.stacks(grid(SMALL, seed=range(20)), "cpu", 1, DATA)] == [20]
    assert [len(s) for s in stacking.stacks(grid(LARGE, seed=range(3)), "cpu", 1, DATA)] == [
        1,
        1,
        1,
    ]


def test_no_stack_is_wider_than_the_rule():
    assert max(len(s) for s in stacking.stacks(grid(SMALL, seed=range(100)), "cpu", 1, DATA)) <= 30


def test_work_is_spread_over_the_workers():
    assert [len(s) for s in stacking.stacks(grid(SMALL, seed=range(9)), "cpu", 2, DATA)] in (
        [5, 4],
        [4, 5],
    )


def test_a_group_that_is_little_of_the_work_stays_together():
    trials = grid(SMALL, activation=["relu", "tanh", "sigmoid", "silu", "gelu"], seed=range(5))

    assert [len(stack) for stack in stacking.stacks(trials, "cpu", 2, DATA)] == [5] * 5


def test_the_longest_work_comes_first():
    trials = [*grid(SMALL, seed=range(2)), *grid(SMALL.replace(epochs=50), seed=range(2))]

    assert [stack[0].epochs for stack in stacking.stacks(trials, "cpu", 1, DATA)] == [50, 3]


def test_an_order_that_is_asked_for_is_kept():
    first, second = grid(SMALL, batch_size=[8], seed=range(2)), grid(SMALL, seed=range(3))
    long = [SMALL.replace(epochs=50)]

    found = stacking.stacks([*first, *long, *second], "cpu", 1, DATA, in_order=True)

    assert found == [first, long, second]


def test_a_network_that_cannot_be_stacked_trains_alone():
    network = models.build(SMALL, (1, 8, 8), 10)
    assert stacking.width(SMALL, network, "cpu") > 1
    assert stacking.width(SMALL, nn.Sequential(*network, nn.LayerNorm(10)), "cpu") == 1


def test_a_network_too_large_for_a_stack_is_not_built_to_find_out(monkeypatch):
    monkeypatch.setattr(stacking.models, "build", None)

    assert [len(s) for s in stacking.stacks(grid(LARGE, seed=range(3)), "cpu", 2, DATA)] == [1] * 3
    with pytest.raises(TypeError):  # a small one is: its layers say whether it can be stacked
        stacking.stacks([SMALL], "cpu", 2, DATA)
