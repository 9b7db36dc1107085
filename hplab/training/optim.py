"""Optimizers: torch's own, with a trial's arguments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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


def build(groups: Sequence[tuple[Trial, Iterable[Parameter]]]) -> torch.optim.Optimizer:
    """Return one torch optimizer for several settings, in its fused form where torch has one.

    `beta1` and `beta2` become torch's `betas`; every other argument has torch's name and default.

    Args:
        groups: A trial and the parameters to train with its learning rate, weight decay and
            optimizer arguments. All trials name the same optimizer.
    """
    name = groups[0][0].optimizer
    rows = []
    for trial, parameters in groups:
        row = trial.arguments("optimizer")
        if "beta1" in row:
            row["betas"] = (row.pop("beta1"), row.pop("beta2"))
        row |= {"params": list(parameters), "lr": trial.lr, "weight_decay": trial.weight_decay}
        rows.append(row)
    return _CLASSES[name](rows, **({"fused": True} if name in _FUSED else {}))
