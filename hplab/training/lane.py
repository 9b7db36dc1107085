"""A lane: one trial inside a stack that trains together, and what is known of it so far."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from hplab.trial import Trial

if TYPE_CHECKING:  # who reads records needs no torch
    from torch import nn

METRICS = ("train_loss", "train_acc", "val_loss", "val_acc", "running_loss", "running_acc", "lr")
BY_STEP = ("step_", "probe_", "confusion")  # curves that are not one value an epoch


@dataclasses.dataclass
class Lane:
    """A trial in training.

    Attributes:
        index: Its place in the stack, counted from 0.
        trial: What is trained.
        curves: By name: one value an epoch for each of `METRICS`, and what measures add.
        at: Where it diverged, epoch and step counted from 1; None while it has not.
        stopped: Its network as it was when its stopping rule ended it; None while none has.
        epoch_losses: Mean of the batch losses of each epoch, kept for a stopping rule only.
    """

    index: int
    trial: Trial
    curves: dict[str, list[float | None]] = dataclasses.field(
        default_factory=lambda: {name: [] for name in METRICS}
    )
    at: dict[str, int] | None = None
    stopped: nn.Module | None = None
    epoch_losses: list[float] = dataclasses.field(default_factory=list)

    @property
    def is_over(self) -> bool:
        """Whether it has diverged or stopped, and takes no part in what the stack does now."""
        return self.at is not None or self.stopped is not None

    @property
    def n_epochs(self) -> int:
        """How many epochs it has trained and stayed finite."""
        return len(self.curves["lr"])

    @property
    def status(self) -> str:
        """What a record says of it: "ok" or "diverged"."""
        return "ok" if self.at is None else "diverged"

    def note(self, name: str, value: float | None) -> None:
        """Add the present epoch's value to a curve; epochs before it that have none are None."""
        curve = self.curves.setdefault(name, [])
        curve += [None] * (self.n_epochs - 1 - len(curve)) + [finite(value)]

    def extend(self, name: str, values: list[float]) -> None:
        """Add values to a curve that does not have one an epoch."""
        self.curves.setdefault(name, []).extend(map(finite, values))

    def state_dict(self) -> dict[str, Any]:
        """Return what is known of it so far, for a checkpoint."""
        stopped = None if self.stopped is None else self.stopped.state_dict()
        known = {name: getattr(self, name) for name in ("curves", "at", "epoch_losses")}
        return known | {"stopped": stopped}

    def load_state_dict(self, state: Mapping[str, Any], network: nn.Module) -> None:
        """Take up what `state_dict` gave.

        Args:
            state: That.
            network: Any network of its architecture, which is left as it is.
        """
        self.curves, self.at = state["curves"], state["at"]
        self.epoch_losses = state["epoch_losses"]
        if state["stopped"] is not None:
            self.stopped = copy.deepcopy(network)
            self.stopped.load_state_dict(state["stopped"])

    def pad(self, names: Iterable[str]) -> None:
        """Go on with None to the trial's last epoch in those of the named curves that exist."""
        for name in self.curves.keys() & names:
            self.curves[name] += [None] * (self.trial.epochs - len(self.curves[name]))


def finite(value: float | None) -> float | None:
    """Return a number as a record holds it: None where it is not finite."""
    return value if value is not None and math.isfinite(value) else None
