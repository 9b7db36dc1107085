"""Learning-rate schedules: pure functions of the step.

Every schedule gives the learning rate of an update from the number of updates made before it and
the length of the run, without any state: asking twice changes nothing, and a plotted schedule is
the one that trains. Where `torch.optim.lr_scheduler` has the same schedule, the values are equal
at every step. A schedule is a function and its row in `SCHEDULES`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from hplab import catalogue
from hplab.catalogue import Arg, Row, number
from hplab.trial import Trial


def lr_at(trial: Trial, step: int, *, n_steps: int) -> float:
    """Return the learning rate of one step.

    Args:
        trial: Names the schedule, its arguments and the base learning rate.
        step: Optimizer updates already made, counted from 0.
        n_steps: Updates in the whole run, a multiple of the trial's epochs.

    Returns:
        The learning rate that update `step` uses. For "constant" it is the trial's `lr`, which is
        also the largest rate of every other schedule.

    Raises:
        HplabError: If a schedule of the reader's own gives no finite number.
    """
    row = catalogue.row("schedule", trial.schedule)
    if row.digest == catalogue.OURS:
        return row.make(trial, step, n_steps)
    factor = row.make(step / n_steps, **trial.arguments("schedule"))
    return trial.lr * number(f"the factor of schedule {trial.schedule!r}", factor, float)


def duration(time: float, trial: Trial, n_steps: int) -> int:
    """Return a time of a schedule in steps: epochs from 1 on, a share of the run below.

    Parts of a step are rounded up, so that three thirds of a run are no shorter than the run.
    """
    whole = n_steps if time < 1 else n_steps / trial.epochs
    return math.ceil(time * whole - 1e-9)


def _constant(trial: Trial, step: int, n_steps: int) -> float:
    """The trial's `lr`."""
    return trial.lr


def _range_test(trial: Trial, step: int, n_steps: int) -> float:
    """From `start` up to `lr`, by the same factor every step (Smith, 2017)."""
    start = trial.argument("schedule", "start")
    return start * (trial.lr / start) ** (step / max(1, n_steps - 1))


def _step(trial: Trial, step: int, n_steps: int) -> float:
    """Times `gamma` after every `step_size`: torch's StepLR."""
    size = duration(trial.argument("schedule", "step_size"), trial, n_steps)
    return trial.lr * trial.argument("schedule", "gamma") ** (step // max(1, size))


def _multi_step(trial: Trial, step: int, n_steps: int) -> float:
    """Times `gamma` at every milestone: torch's MultiStepLR."""
    times = trial.argument("schedule", "milestones")
    passed = sum(step >= duration(time, trial, n_steps) for time in times)
    return trial.lr * trial.argument("schedule", "gamma") ** passed


def _cosine(trial: Trial, step: int, n_steps: int) -> float:
    """Half a cosine from `lr` down to `eta_min` after the warm-up: torch's CosineAnnealingLR."""
    eta_min = trial.argument("schedule", "eta_min")

    def wave(done: float) -> float:
        return eta_min + (trial.lr - eta_min) * (1 + math.cos(math.pi * done)) / 2

    return _after_warmup(trial, step, n_steps, wave)


def _linear(trial: Trial, step: int, n_steps: int) -> float:
    """A straight line from `lr` to `lr * end_factor` after the warm-up: torch's LinearLR."""
    end = trial.argument("schedule", "end_factor")
    return _after_warmup(trial, step, n_steps, lambda done: trial.lr * (1 + (end - 1) * done))


def _warm_restarts(trial: Trial, step: int, n_steps: int) -> float:
    """Cosines one after another, each `T_mult` times as long: CosineAnnealingWarmRestarts."""
    arguments = trial.arguments("schedule")
    at, unit = _position(trial, step, n_steps)
    period = max(1, round(duration(arguments["T_0"], trial, n_steps) / unit))
    while at >= period:
        at -= period
        period *= arguments["T_mult"]
    wave = (1 + math.cos(math.pi * at / period)) / 2
    return arguments["eta_min"] + (trial.lr - arguments["eta_min"]) * wave


def _one_cycle(trial: Trial, step: int, n_steps: int) -> float:
    """Up and down along cosines: torch's OneCycleLR with `max_lr=lr`, momentum left alone."""
    arguments = trial.arguments("schedule")
    first = trial.lr / arguments["div_factor"]
    last = first / arguments["final_div_factor"]
    top = arguments["pct_start"] * n_steps - 1  # steps until the rate is at its highest
    if step <= top:
        start, end, done = first, trial.lr, step / top if top else 1.0
    else:
        start, end, done = trial.lr, last, (step - top) / (n_steps - 1 - top)
    return end + (start - end) / 2 * (1 + math.cos(math.pi * done))


def _warmup_stable_decay(trial: Trial, step: int, n_steps: int) -> float:
    """A warm-up, then `lr`, then a straight line to zero over the last part of the run."""
    decay = duration(trial.argument("schedule", "decay"), trial, n_steps)
    left = n_steps - step
    return _warmup_factor(trial, step, n_steps) * trial.lr * min(1.0, left / max(1, decay))


def _inverse_sqrt(trial: Trial, step: int, n_steps: int) -> float:
    """A warm-up, then down with the inverse square root of the step (Vaswani et al., 2017)."""
    warmup = max(1, duration(trial.argument("schedule", "warmup"), trial, n_steps))
    return trial.lr * min((step + 1) / warmup, math.sqrt(warmup / (step + 1)))


def _warmup_factor(trial: Trial, step: int, n_steps: int) -> float:
    """Return 1/W, 2/W, ..., 1 during the W steps of the warm-up, and 1 after it."""
    warmup = duration(trial.argument("schedule", "warmup"), trial, n_steps)
    return min(1.0, (step + 1) / max(1, warmup))


def _after_warmup(trial: Trial, step: int, n_steps: int, shape: Callable[[float], float]) -> float:
    """Return the warm-up's rate, then `shape` of the share of the remaining run that is done."""
    warmup = duration(trial.argument("schedule", "warmup"), trial, n_steps)
    if step < warmup:
        return trial.lr * _warmup_factor(trial, step, n_steps)
    at, unit = _position(trial, step - warmup, n_steps)
    return shape(at / ((n_steps - warmup) / unit))


def _position(trial: Trial, step: int, n_steps: int) -> tuple[int, int]:
    """Return how many steps or whole epochs are done, and how many steps one of them has."""
    unit = max(1, n_steps // trial.epochs) if trial.argument("schedule", "every") == "epoch" else 1
    return step // unit, unit


# Smooth schedules move with every step; with `every="epoch"` they stay where they are within an
# epoch, as torch's do when their `step()` is called once an epoch.
_EVERY = Arg("step", choices=("step", "epoch"))
_NO_WARMUP = Arg(0.0, is_time=True)
SCHEDULES = {
    "constant": Row(_constant),
    "step": Row(
        _step, {"step_size": Arg(1 / 3, above=0, is_time=True), "gamma": Arg(0.1, above=0)}
    ),
    "multi_step": Row(
        _multi_step,
        {
            "milestones": Arg([0.5, 0.75], above=0, is_time=True),
            "gamma": Arg(0.1, above=0),
        },
    ),
    "cosine": Row(_cosine, {"eta_min": Arg(0.0), "warmup": _NO_WARMUP, "every": _EVERY}),
    "warm_restarts": Row(
        _warm_restarts,
        {
            "T_0": Arg(1 / 7, above=0, is_time=True),
            "T_mult": Arg(2, above=0),
            "eta_min": Arg(0.0),
            "every": _EVERY,
        },
    ),
    "one_cycle": Row(
        _one_cycle,
        {
            "pct_start": Arg(0.3, high=1),
            "div_factor": Arg(25.0, above=0),
            "final_div_factor": Arg(1e4, above=0),
        },
    ),
    "linear": Row(_linear, {"end_factor": Arg(0.0), "warmup": _NO_WARMUP, "every": _EVERY}),
    "warmup_stable_decay": Row(
        _warmup_stable_decay,
        {"warmup": Arg(0.05, is_time=True), "decay": Arg(0.2, is_time=True)},
    ),
    "inverse_sqrt": Row(_inverse_sqrt, {"warmup": Arg(0.05, is_time=True)}),
    "range_test": Row(_range_test, {"start": Arg(1e-7, above=0)}),
}
