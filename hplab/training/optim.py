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

    Returns:
        An optimizer whose parameter groups say under "setting" which of `groups` they belong to; a
        trial that decays weights only has two.
    """
    name = groups[0][0].optimizer
    rows = []
    for setting, (trial, parameters) in enumerate(groups):
        row = trial.arguments("optimizer")
        if "beta1" in row:
            row["betas"] = (row.pop("beta1"), row.pop("beta2"))
        row |= {"lr": trial.lr, "setting": setting}
        rows += [row | some for some in _decayed(trial, list(parameters))]
    return _CLASSES[name](rows, **({"fused": True} if name in _FUSED else {}))


def _decayed(trial: Trial, parameters: list[Parameter]) -> list[dict[str, object]]:
    """Return parameters with the weight decay they get: weights are matrices and more."""
    if trial.decayed == "all":
        return [{"params": parameters, "weight_decay": trial.weight_decay}]
    weights = [p for p in parameters if p.dim() > 1]
    others = [p for p in parameters if p.dim() <= 1]
    return [
        {"params": weights, "weight_decay": trial.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
