"""Optimizers: torch's own, with a trial's arguments."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch.nn import Parameter

from hplab.trial import Trial

_CLASSES: dict[str, type[torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "adagrad": torch.optim.Adagrad,
}
_FUSED = ("sgd", "adam", "adamw", "adagrad")  # RMSprop has no fused form


def build(trial: Trial, parameters: Iterable[Parameter]) -> torch.optim.Optimizer:
    """Return the torch optimizer the trial names, in its fused form where torch has one.

    `beta1` and `beta2` become torch's `betas`; every other argument has torch's name and default.
    """
    arguments = trial.arguments("optimizer")
    if "beta1" in arguments:
        arguments["betas"] = (arguments.pop("beta1"), arguments.pop("beta2"))
    if trial.optimizer in _FUSED:
        arguments["fused"] = True
    return _CLASSES[trial.optimizer](
        parameters, lr=trial.lr, weight_decay=trial.weight_decay, **arguments
    )
