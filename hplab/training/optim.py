"""Optimizers: torch's own, with a trial's arguments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
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


class TensorAdagrad(torch.optim.Optimizer):
    """AdaGrad whose every number lives on the parameters' device.

    `torch.optim.Adagrad` reads its step count on the host, so that its updates cannot be recorded
    in a CUDA graph. This is the same rule with the same arguments.

    References:
        Duchi, Hazan and Singer (2011), Adaptive subgradient methods, JMLR 12.
    """

    def __init__(self, params: Iterable, **options: object) -> None:
        super().__init__(params, options)
        for group in self.param_groups:
            for p in group["params"]:
                total = torch.full_like(p, group["initial_accumulator_value"])
                self.state[p] = {
                    "step": torch.zeros((), dtype=p.dtype, device=p.device),
                    "sum": total,
                }

    @torch.no_grad()
    def step(self) -> None:
        """Make one update from the parameters' gradients."""
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                gradient = p.grad.add(p, alpha=group["weight_decay"])
                rate = group["lr"] / (1 + state["step"] * group["lr_decay"])
                state["step"] += 1
                state["sum"].addcmul_(gradient, gradient)
                p.sub_(gradient.div_(state["sum"].sqrt().add_(group["eps"])).mul_(rate))


def build(
    groups: Sequence[tuple[Trial, Iterable[Parameter]]], *, rates: Tensor | None = None
) -> torch.optim.Optimizer:
    """Return one torch optimizer for several settings, in its fused form where torch has one.

    `beta1` and `beta2` become torch's `betas`; every other argument has torch's name and default.

    Args:
        groups: A trial and the parameters to train with its learning rate, weight decay and
            optimizer arguments. All trials name the same optimizer.
        rates: The learning rate of each of `groups`, on the parameters' device. The optimizer
            reads it at every update and keeps its other numbers there too, so that updates can be
            recorded in a CUDA graph. None takes the trials' own, as numbers (see `set_lr`).

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
        row |= {"lr": trial.lr if rates is None else rates[setting]}
        rows += [row | {"setting": setting} | some for some in _decayed(trial, parameters)]
    if rates is not None and name == "adagrad":
        return TensorAdagrad(rows)
    options = {"fused": True} if _has_fused(name, device) else {}
    if rates is not None and name in _COUNTS_STEPS:
        options["capturable"] = True
    return _CLASSES[name](rows, **options)


def set_lr(optimizer: torch.optim.Optimizer, rates: Sequence[float]) -> None:
    """Set the learning rate of each setting of an optimizer that has them as numbers."""
    for group in optimizer.param_groups:
        group["lr"] = rates[group["setting"]]


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
