"""Schedules are pure functions of the step."""

import itertools

import pytest
import torch
from torch.optim import lr_scheduler as schedulers

from hplab.training import loop
from hplab.training.schedules import SCHEDULES, lr_at
from hplab.trial import Trial


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


# --- against torch, at every step -----------------------------------------------------------------


def torchs(make, trial, n_steps, every=1):
    """Return the rates of a torch scheduler that steps every so many updates."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=trial.lr)
    scheduler = make(optimizer)
    rates = []
    for step in range(n_steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if (step + 1) % every == 0 and step + 1 < n_steps:
            scheduler.step()
    return rates


def ours(trial, n_steps):
    return [lr_at(trial, step, n_steps=n_steps) for step in range(n_steps)]


def trial_with(schedule, *, epochs, **arguments):
    return Trial(data="mnist", lr=0.3, schedule=schedule, schedule_args=arguments, epochs=epochs)


def warm(optimizer, warmup, then):
    first = schedulers.LinearLR(optimizer, 1 / warmup, total_iters=warmup - 1)
    return schedulers.SequentialLR(optimizer, [first, then], milestones=[warmup])


# Each case: our schedule and its arguments, torch's scheduler for 12 epochs of 7 steps, and after
# how many updates torch's `step()` is called.
PER_EPOCH, EPOCHS = 7, 12
TORCH = {
    "step": (
        {"step_size": 4, "gamma": 0.2},
        lambda o: schedulers.StepLR(o, 4, gamma=0.2),
        PER_EPOCH,
    ),
    "step, a share of the run": (
        {"step_size": 1 / 3},
        lambda o: schedulers.StepLR(o, EPOCHS // 3),
        PER_EPOCH,
    ),
    "multi_step": (
        {"milestones": [3, 4, 10], "gamma": 0.5},
        lambda o: schedulers.MultiStepLR(o, [3, 4, 10], gamma=0.5),
        PER_EPOCH,
    ),
    "cosine": (
        {"eta_min": 0.01},
        lambda o: schedulers.CosineAnnealingLR(o, EPOCHS * PER_EPOCH, eta_min=0.01),
        1,
    ),
    "cosine, once an epoch": (
        {"every": "epoch"},
        lambda o: schedulers.CosineAnnealingLR(o, EPOCHS),
        PER_EPOCH,
    ),
    "cosine, after a warm-up": (
        {"warmup": 2},
        lambda o: warm(o, 14, schedulers.CosineAnnealingLR(o, EPOCHS * PER_EPOCH - 14)),
        1,
    ),
    "linear": (
        {"end_factor": 0.1},
        lambda o: schedulers.LinearLR(o, 1.0, 0.1, EPOCHS * PER_EPOCH),
        1,
    ),
    "warm_restarts": (
        {"T_0": 1, "T_mult": 2, "eta_min": 0.001},
        lambda o: schedulers.CosineAnnealingWarmRestarts(o, 7, 2, eta_min=0.001),
        1,
    ),
    "warm_restarts, once an epoch": (
        {"T_0": 5, "T_mult": 1, "every": "epoch"},
        lambda o: schedulers.CosineAnnealingWarmRestarts(o, 5),
        PER_EPOCH,
    ),
    "one_cycle": (
        {"pct_start": 0.25, "div_factor": 10, "final_div_factor": 100},
        lambda o: schedulers.OneCycleLR(
            o, 0.3, EPOCHS * PER_EPOCH, pct_start=0.25, div_factor=10, final_div_factor=100
        ),
        1,
    ),
    "one_cycle, torch's defaults": (
        {},
        lambda o: schedulers.OneCycleLR(o, 0.3, EPOCHS * PER_EPOCH),
        1,
    ),
}


@pytest.mark.parametrize("case", TORCH)
@pytest.mark.filterwarnings("ignore:Detected call of")  # torch's own order of the first two steps
@pytest.mark.filterwarnings("ignore:The epoch parameter")  # inside SequentialLR
def test_every_step_has_the_rate_of_torchs_scheduler(case):
    arguments, make, every = TORCH[case]
    trial = trial_with(case.split(",")[0], epochs=EPOCHS, **arguments)

    rates = torchs(make, trial, EPOCHS * PER_EPOCH, every)

    assert ours(trial, EPOCHS * PER_EPOCH) == pytest.approx(rates, rel=1e-12, abs=1e-15)


def test_warmup_stable_decay_is_three_straight_lines():
    trial = trial_with("warmup_stable_decay", epochs=10, warmup=1, decay=0.2)

    rates = ours(trial, 40)  # 4 steps up, 28 level, 8 down

    up, down = [0.3 * k / 4 for k in (1, 2, 3, 4)], [0.3 * k / 8 for k in range(8, 0, -1)]
    assert rates == pytest.approx(up + [0.3] * 28 + down)


def test_inverse_sqrt_halves_when_time_quadruples():
    trial = trial_with("inverse_sqrt", epochs=10, warmup=1)

    rates = ours(trial, 100)

    assert rates[:10] == pytest.approx([0.03 * k for k in range(1, 11)])
    assert rates[39] == pytest.approx(0.3 / 2)
    assert rates[89] == pytest.approx(0.3 / 3)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("n_steps", [1, 2, 3, 7, 30])
def test_no_run_is_too_short_for_a_schedule(schedule, n_steps):
    rates = ours(trial_with(schedule, epochs=1), n_steps)

    assert all(0 <= rate <= 0.3 * (1 + 1e-12) for rate in rates)


@pytest.mark.parametrize("schedule", ["step", "multi_step", "cosine", "linear", "inverse_sqrt"])
def test_a_run_ten_times_as_long_is_the_same_curve_stretched(schedule):
    """Times below 1 are shares of the run, so a longer run drops its rate at the same share."""
    short, long = trial_with(schedule, epochs=4), trial_with(schedule, epochs=40)

    assert ours(long, 2400)[9::10] == pytest.approx(ours(short, 240), abs=0.003)


def test_the_rate_that_trained_is_the_rate_of_the_function():
    """What a page plots as the schedule is what the optimizer used, at every step."""
    trial = Trial(
        data="digits",
        model="mlp",
        model_args={"hidden": [4]},
        n_train=96,
        batch_size=32,
        epochs=4,
        schedule="cosine",
        schedule_args={"warmup": 1},
        measure=("steps",),
    )

    curves = loop.train(trial).curves

    assert curves["step_lr"] == ours(trial, 12)
    assert curves["lr"] == ours(trial, 12)[2::3]


@pytest.mark.parametrize("n_steps", [92, 184, 400, 461])
@pytest.mark.parametrize("schedule", ["step", "warm_restarts"])
def test_parts_of_a_run_fill_it_whatever_its_length(schedule, n_steps):
    """Rounded down, three thirds would leave a last step that begins a fourth."""
    trial = Trial(data="mnist", schedule=schedule, lr=1.0)
    last = [lr_at(trial, step, n_steps=n_steps) for step in range(n_steps)][-3:]

    assert last == sorted(last, reverse=True)
    assert last[-1] == pytest.approx(0.01) if schedule == "step" else last[-1] < 0.05
