"""Training losses, one value an example; the right ones and a gallery of common slips."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from hplab import catalogue
from hplab.trial import HplabError

LossFunction = Callable[[Tensor, Tensor], Tensor]


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy in nats of each example: shapes `(N, C)`, `(N,)` to `(N,)`."""
    return functional.cross_entropy(logits, labels, reduction="none")


def kl_div(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the divergence in nats of the predicted distribution from the one-hot label.

    The mean over examples is `nn.KLDivLoss(reduction="batchmean")` applied to log-softmax outputs
    and one-hot targets. A one-hot target has no entropy, so it equals `cross_entropy`.
    """
    return _kl_div(functional.log_softmax(logits, dim=1), labels).sum(dim=1)


def kl_div_mean(logits: Tensor, labels: Tensor) -> Tensor:
    """Return `kl_div` divided by the number of classes: `reduction="mean"`, torch's default."""
    return _kl_div(functional.log_softmax(logits, dim=1), labels).mean(dim=1)


def kl_div_of_softmax(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the slip of giving probabilities to a loss that wants their logarithm.

    It is minus the probability of the label: never below -1, and flat where the network is sure.
    """
    return _kl_div(functional.softmax(logits, dim=1), labels).sum(dim=1)


def kl_div_of_logits(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the slip of giving logits to a loss that wants log-probabilities.

    It is minus the logit of the label, which has no lower bound.
    """
    return _kl_div(logits, labels).sum(dim=1)


def cross_entropy_of_softmax(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the slip of a softmax before a loss that makes its own.

    It cannot fall below `log(1 + (C - 1) / e)` for C classes.
    """
    return cross_entropy(functional.softmax(logits, dim=1), labels)


def _kl_div(log_probabilities: Tensor, labels: Tensor) -> Tensor:
    # `functional.one_hot` would look at the labels, and wait for them.
    target = torch.zeros_like(log_probabilities).scatter(1, labels[:, None], 1.0)
    return functional.kl_div(log_probabilities, target, reduction="none")


def named(name: str) -> LossFunction:
    """Return the loss of that name.

    Raises:
        HplabError: If there is none; when called, if a reader's own gives no value an example.
    """
    row = catalogue.row("loss", name)
    if row.digest == catalogue.OURS:
        return row.implementation

    def checked(logits: Tensor, labels: Tensor) -> Tensor:
        values = row.make(logits, labels, **row.defaults)
        if not isinstance(values, Tensor) or values.shape != labels.shape:
            got = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
            raise HplabError(
                f"loss {name!r} must give one value an example, {tuple(labels.shape)}, got {got}"
            )
        if not values.is_floating_point() or values.requires_grad != logits.requires_grad:
            raise HplabError(
                f"loss {name!r} must give floating-point numbers that depend on the logits, got "
                f"{values.dtype}{'' if values.requires_grad else ' without a gradient'}"
            )
        return values

    return checked


def is_correct(logits: Tensor, labels: Tensor) -> Tensor:
    """Return whether the largest logit is the label: `(N, C)` and `(N,)` to `(N,)`."""
    return logits.argmax(dim=1) == labels
