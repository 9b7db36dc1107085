"""Schedules are pure functions of the step."""

import itertools

import pytest

from hplab.training.schedules import lr_at
from hplab.trial import SCHEDULES, Trial


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_asking_twice_changes_nothing(schedule):
    trial = Trial(data="mnist", schedule=schedule)
    once = [lr_at(trial, step, n_steps=50) for step in range(50)]

    assert [lr_at(trial, step, n_steps=50) for step in reversed(range(50))] == once[::-1]


def test_constant_is_the_learning_rate_at_every_step():
    trial = Trial(data="mnist", lr=0.3)

    assert {lr_at(trial, step, n_steps=9) for step in range(9)} == {0.3}


def test_range_test_rises_by_one_factor_from_start_to_lr():
    trial = Trial(data="mnist", schedule="range_test", lr=10.0, schedule_args={"start": 1e-6})
    values = [lr_at(trial, step, n_steps=8) for step in range(8)]
    factors = [b / a for a, b in itertools.pairwise(values)]

    assert values[0] == 1e-6
    assert values[-1] == pytest.approx(10.0)
    assert factors == pytest.approx([10.0] * 7)


def test_a_range_test_of_one_step_stays_at_its_start():
    trial = Trial(data="mnist", schedule="range_test")

    assert lr_at(trial, 0, n_steps=1) == 1e-7
