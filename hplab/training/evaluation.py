"""Measuring networks on whole parts of a data set, example by example."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor

from hplab.training import losses, precision
from hplab.training.networks import lanes

EVAL_BATCH = 100  # enough to fill a core; the activations of more do not stay in its cache
CARD_VALUES = 2**26  # input values of all lanes in one batch on a graphics card: 0.3 GB of them


@torch.inference_mode()
def evaluate(
    network: lanes.Single | lanes.Stack,
    loss: losses.LossFunction,
    prepare: Callable[[Tensor], Tensor],
    images: Tensor,
    labels: Tensor,
    *,
    rows: Tensor | None = None,
    watch: Watch | None = None,
) -> tuple[list[float], list[float]]:
    """Return mean loss and accuracy of each lane, in whatever mode the network is.

    Args:
        network: The networks, `M` lanes.
        loss: Gives one value an example.
        prepare: Makes uint8 images `(M, B, C, H, W)` what the networks take.
        images: uint8 `(N, C, H, W)`.
        labels: int64 `(N,)`.
        rows: Which images each lane is measured on, `(M, n)`; None for all, the same for every
            lane.
        watch: Sees hidden values and outputs as they pass.

    Returns:
        Means in nats and shares between 0 and 1, one a lane, summed in float64 where the device
        has it.
    """
    n_lanes, device = network.n_lanes, labels.device
    n = len(labels) if rows is None else rows.shape[1]
    size = batch_size(n_lanes, images[0].numel(), device)
    exact = precision.exact(device)
    total = torch.zeros(n_lanes, dtype=exact, device=device)
    correct = torch.zeros(n_lanes, dtype=torch.int64, device=device)
    waiting = []
    for start in range(0, n, size):
        part = slice(start, min(n, start + size))
        if rows is None:
            x = prepare(images[None, part]).expand(n_lanes, -1, -1, -1, -1)
            wanted = labels[part].repeat(n_lanes)
        else:
            chosen = rows[:, part].to(device)
            x, wanted = prepare(images[chosen]), labels[chosen].flatten()
        body = network.body(x, watch.see_hidden if watch else None)
        waiting.append((body, wanted.view(n_lanes, -1)))
        if network.head is not None and start + size < n:
            continue  # the head has to see all examples at once
        logits, wanted = (torch.cat(parts, dim=1) for parts in zip(*waiting, strict=True))
        logits = logits if network.head is None else network.head(logits)
        if watch is not None:
            watch.see_outputs(logits, wanted)
        logits, wanted, waiting = logits.flatten(0, 1), wanted.flatten(), []
        total += loss(logits, wanted).to(exact).view(n_lanes, -1).sum(dim=1)
        correct += losses.is_correct(logits, wanted).view(n_lanes, -1).sum(dim=1)
    return [x / n for x in total.tolist()], [x / n for x in correct.tolist()]


def batch_size(n_lanes: int, n_values: int, device: torch.device) -> int:
    """Return how many examples are measured at once.

    Args:
        n_lanes: Networks that are measured side by side.
        n_values: Values of one image.
        device: Where they are. A processor wants what stays in its cache, a graphics card what
            keeps all of it busy.
    """
    if device.type == "cpu":
        return EVAL_BATCH
    return max(EVAL_BATCH, CARD_VALUES // (n_lanes * n_values))


class Watch:
    """Watches the batches of one evaluation pass for every lane.

    Args:
        n_lanes: Networks that are evaluated side by side.
    """

    def __init__(self, n_lanes: int) -> None:
        self.n_lanes, self.n_images = n_lanes, 0
        self.low: Tensor | None = None
        self.high: Tensor | None = None
        self.entropy: Tensor | None = None
        self.confusion: Tensor | None = None

    def see_hidden(self, hidden: Tensor) -> None:
        """Take in what the last linear layer is given for one batch, `(M, B, H)`."""
        low, high = hidden.amin(dim=1), hidden.amax(dim=1)
        self.low = low if self.low is None else torch.minimum(self.low, low)
        self.high = high if self.high is None else torch.maximum(self.high, high)

    def see_outputs(self, logits: Tensor, labels: Tensor) -> None:
        """Take in logits `(M, B, C)` and labels, M * B of them, of one batch."""
        entropy = output_entropy(logits).sum(dim=1)
        n_classes = logits.shape[2]
        cells = labels.view(self.n_lanes, -1) * n_classes + logits.argmax(dim=2)
        counts = torch.zeros(
            self.n_lanes, n_classes**2, dtype=torch.int64, device=logits.device
        ).scatter_add_(1, cells, torch.ones_like(cells))
        self.entropy = entropy if self.entropy is None else self.entropy + entropy
        self.confusion = counts if self.confusion is None else self.confusion + counts
        self.n_images += logits.shape[1]

    def live_units(self) -> list[int]:
        """Return for each lane how many hidden units do not give all images the same output.

        A ReLU whose input is negative for every image gives 0 for all of them: it is dead, no
        gradient reaches its weights.
        """
        return (cast(Tensor, self.high) > cast(Tensor, self.low)).sum(dim=1).tolist()

    def n_predicted(self) -> list[int]:
        """Return for each lane how many different classes it predicts."""
        return (self._predicted() > 0).sum(dim=1).tolist()

    def top_class(self) -> list[int]:
        """Return for each lane the class it predicts most often."""
        return self._predicted().argmax(dim=1).tolist()

    def mean_entropy(self) -> list[float]:
        """Return for each lane the mean entropy of its outputs, in nats."""
        return (cast(Tensor, self.entropy).cpu().double() / self.n_images).tolist()

    def matrix(self) -> list[list[int]]:
        """Return each lane's confusion matrix, flat: row the true class, column the predicted."""
        return cast(Tensor, self.confusion).tolist()

    def _predicted(self) -> Tensor:
        confusion = cast(Tensor, self.confusion)
        n_classes = round(confusion.shape[1] ** 0.5)
        return confusion.view(self.n_lanes, n_classes, n_classes).sum(dim=1)


def output_entropy(logits: Tensor) -> Tensor:
    """Return the entropy of the softmax of each row, in nats: `(..., C)` to `(...)`."""
    log_p = logits.log_softmax(dim=-1)
    return -torch.xlogy(log_p.exp(), log_p.exp()).sum(dim=-1)
