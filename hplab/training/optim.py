"""Optimizers: torch's own, with a trial's arguments."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import Parameter

from hplab import catalogue, own
from hplab.trial import HplabError, Trial

# Methods of torch's optimizers that its compiler is told to skip.
_SKIPPED = ("step", "zero_grad", "add_param_group", "state_dict", "load_state_dict")


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
    def step(self) -> None:  # type: ignore[override]  # a graph has no use for a closure
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
    row = catalogue.row("optimizer", groups[0][0].optimizer)
    if not isinstance(row, catalogue.Optimizer):
        return _own(row.implementation, *groups[0], rates)
    rows = []
    for setting, (trial, parameters) in enumerate(groups):
        arguments = trial.arguments("optimizer")
        if "beta1" in arguments:
            arguments["betas"] = (arguments.pop("beta1"), arguments.pop("beta2"))
        trained = list(parameters)
        arguments |= {"lr": trial.lr if rates is None else rates[setting], "setting": setting}
        rows += [arguments | some for some in _decayed(trial, trained)]
    if rates is not None and row.in_graphs:
        return bare(catalogue.imported(row.in_graphs))(rows)
    options = {"fused": True} if trained[0].device.type in row.fused else {}
    if rates is not None and row.capturable:
        options["capturable"] = True
    return bare(row.implementation)(rows, **options)


@functools.cache
def bare(kind: type[torch.optim.Optimizer]) -> Callable[..., torch.optim.Optimizer]:
    """Return an optimizer of torch without what only `torch.compile` needs.

    Torch wraps some methods so that its compiler skips them, and the first call of any of these
    wrappers imports the compiler: a second of every process, and nothing here is compiled. What
    they wrap is called here as it is, and computes the same.
    """
    methods = {name: inspect.unwrap(getattr(kind, name)) for name in _SKIPPED}
    methods["step"] = torch.no_grad()(methods["step"])  # which one of the wrappers saw to
    return type(kind.__name__, (kind,), methods)


def _own(
    make: Callable, trial: Trial, parameters: Iterable[Parameter], rates: Tensor | None
) -> torch.optim.Optimizer:
    """Return an optimizer of the reader's own, for one setting."""
    options = {"lr": trial.lr if rates is None else rates[0], **trial.arguments("optimizer")}
    groups = [{"setting": 0} | some for some in _decayed(trial, list(parameters))]
    if own.takes(make, "weight_decay", loosely=True):
        options["weight_decay"] = trial.weight_decay
    elif trial.weight_decay:
        raise HplabError(f"optimizer {trial.optimizer!r} takes no weight_decay")
    else:
        groups = [{k: v for k, v in group.items() if k != "weight_decay"} for group in groups]
    made = make(groups, **options)
    if not isinstance(made, torch.optim.Optimizer) or isinstance(made, torch.optim.LBFGS):
        raise HplabError(
            f"optimizer {trial.optimizer!r} must give a torch.optim.Optimizer that needs no "
            f"closure (not LBFGS), got {type(made).__name__}"
        )
    return made


def set_lr(optimizer: torch.optim.Optimizer, rates: Sequence[float]) -> None:
    """Set the learning rate of each setting of an optimizer that has them as numbers."""
    for group in optimizer.param_groups:
        group["lr"] = rates[group.get("setting", 0)]  # a reader's own may make its groups anew


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
