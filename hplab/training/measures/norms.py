"""The norm of all weights, and of those that batch normalization makes scale-free."""

from __future__ import annotations

import functools
import itertools

import torch
from torch import Tensor, nn

from hplab.training import precision
from hplab.training.measures.protocol import Numbers, Series, View

_WITH_WEIGHTS = (nn.Linear, nn.Conv2d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


class Norms:
    """Measures the norm of all weights, and of those that batch normalization makes scale-free."""

    def after_epoch(self, view: View) -> Numbers:
        return norms(view.model)

    def at_end(self, view: View) -> tuple[Numbers, Series]:
        return norms(view.model), {}


def norms(network: nn.Module) -> dict[str, float]:
    """Return Euclidean norms of the weights.

    Returns:
        "weight_norm" over all parameters, and "scale_free_norm" over the weights whose layer is
        followed by batch normalization: the network does not change when these are all multiplied
        by one number. The latter is left out where there are none.
    """
    parameters = [_square(p) for p in network.parameters()]
    found = {"weight_norm": float(functools.reduce(torch.add, parameters).sqrt())}
    modules = [m for m in network.modules() if not list(m.children())]
    scale_free = [
        _square(first.weight)
        for first, second in itertools.pairwise(modules)
        if isinstance(first, _WITH_WEIGHTS) and isinstance(second, _NORMS)
    ]
    if scale_free:
        found["scale_free_norm"] = float(functools.reduce(torch.add, scale_free).sqrt())
    return found


def _square(weights: Tensor) -> Tensor:
    """Return the sum of the squares."""
    return weights.detach().to(precision.exact(weights.device)).square().sum()
