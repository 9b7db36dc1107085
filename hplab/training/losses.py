"""Training losses, one value an example."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

LossFunction = Callable[[Tensor, Tensor], Tensor]


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy in nats of each example: shapes `(N, C)`, `(N,)` to `(N,)`."""
    return functional.cross_entropy(logits, labels, reduction="none")


LOSSES: dict[str, LossFunction] = {"cross_entropy": cross_entropy}


def is_correct(logits: Tensor, labels: Tensor) -> Tensor:
    """Return whether the largest logit is the label: `(N, C)` and `(N,)` to `(N,)`."""
    return logits.argmax(dim=1) == labels
