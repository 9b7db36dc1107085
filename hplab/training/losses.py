"""Training losses, one value an example."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

LossFunction = Callable[[Tensor, Tensor], Tensor]


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy in nats of each example: shapes `(N, C)`, `(N,)` to `(N,)`."""
    return functional.cross_entropy(logits, labels, reduction="none")


LOSSES: dict[str, LossFunction] = {"cross_entropy": cross_entropy}


def n_correct(logits: Tensor, labels: Tensor) -> Tensor:
    """Return how many examples have their label as the largest logit, as an integer tensor."""
    return (logits.argmax(dim=1) == labels).sum()


def all_finite(tensors: list[Tensor]) -> bool:
    """Return whether no element of any tensor is infinite or NaN."""
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)
