"""When training ends before its last epoch: pure functions of the losses so far."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from hplab.trial import Trial

FIRST = 2  # report 002's code looks at changes from its third epoch on


def should_stop(trial: Trial, losses: Sequence[float]) -> bool:
    """Return whether training ends after this epoch.

    The rule "loss_change" counts the epochs whose mean loss differs from the epoch before by less
    than `tau`. Report 002 describes five such epochs in a row (`consecutive=True`); its code never
    sets the counter back, so that five in all are enough (`consecutive=False`).

    Args:
        trial: Names the rule and its arguments.
        losses: For each epoch so far the mean of its batch losses, in nats.
    """
    if trial.stop == "epochs":
        return False
    tau = trial.argument("stop", "tau")
    small = [abs(b - a) < tau for a, b in itertools.pairwise(losses[FIRST - 1 :])]
    if trial.argument("stop", "consecutive"):
        small = list(itertools.takewhile(bool, reversed(small)))
    return sum(small) >= trial.argument("stop", "times")
