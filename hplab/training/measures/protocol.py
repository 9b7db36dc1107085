"""What a measure is: an object that a run asks at some moments of training.

A run makes one object of each measure that its trials name, without arguments, for all lanes of the
stack. It has any of these methods, and what it lacks costs nothing:

- `check(trial, n_images)`: refuse what so few training images cannot give, before any training.
- `on_step(run, is_last)`: after every update; `is_last` says whether it ends an epoch. Training
  waits for it, so it does nothing after most updates.
- `after_updates(run, losses, rates)`: after the updates of an epoch, before it is known which lanes
  diverged in it. Losses have shape `(steps, M)`, on the CPU, rates are one list a step.
- `on_eval(run, on_train, on_val)`: after the evaluation of an epoch, with what was seen on its two
  passes (`evaluation.Watch`), of the training and of the validation images.
- `after_epoch(view)`: after an epoch, for one lane; returns its numbers of this epoch by name.
- `at_end(view)`: after training, for one lane that did not diverge; returns single numbers, and
  short series.

The first four note what they find in the curves of `run.going`. Every measure leaves the networks
as it found them. An attribute `padded` names curves that go on with None when a lane diverges.

To add a measure, add a file: it has the name of the measure, its class that name in capitals.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from torch import Tensor, nn

from hplab.training.lane import Lane
from hplab.training.networks.lanes import Single, Stack
from hplab.trial import Trial

Numbers = Mapping[str, float | None]
Series = Mapping[str, Sequence[float]]


class Run(Protocol):
    """A stack in training, as a measure sees it.

    Attributes:
        lanes: All lanes; `going` those that have neither diverged nor stopped.
        network: Their networks.
        images: The training part, uint8 `(N, C, H, W)`; `labels` are its labels, `(N,)`.
        step: Updates made so far.
        evaluate: Takes images, labels and `watch=`; see `evaluation.evaluate`.
    """

    lanes: Sequence[Lane]
    going: Sequence[Lane]
    network: Single | Stack
    images: Tensor
    labels: Tensor
    step: int
    evaluate: Callable[..., tuple[list[float], list[float]]]


@dataclasses.dataclass(frozen=True)
class View:
    """One lane with its network and the images it was trained on.

    Attributes:
        lane: The lane.
        model: Its network, on the device.
        inputs: Returns the first `n` training images as the network takes them, and their labels;
            all of them for None.
        is_last: Whether the trial's stopping rule ends it after this epoch.
    """

    lane: Lane
    model: nn.Module
    inputs: Callable[[int | None], tuple[Tensor, Tensor]]
    is_last: bool = False

    @property
    def trial(self) -> Trial:
        """The trial."""
        return self.lane.trial

    @property
    def seed(self) -> int:
        """Seed of the random directions: the same for a seed in every setting."""
        return self.trial.stream("directions")
