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
_COUNTS_STEPS = ("adam", "adamw", "rmsprop")  # and keeps the count on the device if capturable


def build(
    groups: Sequence[tuple[Trial, Iterable[Parameter]]], *, capturable: bool = False
) -> torch.optim.Optimizer:
    """Return one torch optimizer for several settings, in its fused form where torch has one.

    `beta1` and `beta2` become torch's `betas`; every other argument has torch's name and default.

    Args:
        groups: A trial and the parameters to train with its learning rate, weight decay and
            optimizer arguments. All trials name the same optimizer.
        capturable: Keep every number that changes, the learning rates too, on the parameters'
            device, so that updates can be recorded in a CUDA graph.

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
        parameters = list(parameters)
        device = parameters[0].device
        row |= {"lr": torch.tensor(trial.lr, device=device) if capturable else trial.lr}
        rows += [row | {"setting": setting} | some for some in _decayed(trial, parameters)]
    options = {"fused": True} if _has_fused(name, device) else {}
    if capturable and name in _COUNTS_STEPS:
        options["capturable"] = True
    return _CLASSES[name](rows, **options)


def set_lr(group: dict[str, object], lr: float) -> None:
    """Set the learning rate of a parameter group, in place where it lives on the device."""
    if isinstance(group["lr"], torch.Tensor):
        group["lr"].fill_(lr)
    else:
        group["lr"] = lr


def _has_fused(name: str, device: torch.device) -> bool:
    return name in _FUSED and not (name == "adagrad" and device.type == "cuda")


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
