"""Learning-rate schedules: pure functions of the step."""

from __future__ import annotations

from hplab.trial import Trial


def lr_at(trial: Trial, step: int, *, n_steps: int) -> float:
    """Return the learning rate of one step.

    Args:
        trial: Names the schedule, its arguments and the base learning rate.
        step: Optimizer updates already made, counted from 0.
        n_steps: Updates in the whole run.

    Returns:
        The learning rate that update `step` uses. For "constant" it is the trial's `lr`; for
        "range_test" it grows exponentially from `start` to `lr` over the run (Smith, 2017).
    """
    if trial.schedule == "range_test":
        start = trial.argument("schedule", "start")
        return start * (trial.lr / start) ** (step / max(1, n_steps - 1))
    return trial.lr
