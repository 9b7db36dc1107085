"""What a network is doing, beside how well: live units, output entropy, gradient norms.

The numbers come from evaluation passes and gradients that training makes anyway, so they cost
next to nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from hplab.training import precision

# Recorded once an epoch with the measure "diagnostics"; "batch_grad_norm_1", ... come on top.
CURVES = ("live_units", "n_predicted", "output_entropy", "batch_grad_norm")
N_JUDGED = 3  # epochs in a row on which a collapse is judged
JUDGED = ("collapsed", "died", "revived")  # mean nothing of a run that is shorter
PROBE_STEPS = (1, 2, 5, 10, 20, 50)  # early updates after which live units are counted
N_PROBE = 400  # training images, evenly spread, on which they are counted


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
        self.counts: Tensor | None = None
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
        return (self.high > self.low).sum(dim=1).tolist()

    def n_predicted(self) -> list[int]:
        """Return for each lane how many different classes it predicts."""
        return (self._predicted() > 0).sum(dim=1).tolist()

    def top_class(self) -> list[int]:
        """Return for each lane the class it predicts most often."""
        return self._predicted().argmax(dim=1).tolist()

    def mean_entropy(self) -> list[float]:
        """Return for each lane the mean entropy of its outputs, in nats."""
        return (self.entropy.cpu().double() / self.n_images).tolist()

    def matrix(self) -> list[list[int]]:
        """Return each lane's confusion matrix, flat: row the true class, column the predicted."""
        return self.confusion.tolist()

    def _predicted(self) -> Tensor:
        n_classes = round(self.confusion.shape[1] ** 0.5)
        return self.confusion.view(self.n_lanes, n_classes, n_classes).sum(dim=1)


def output_entropy(logits: Tensor) -> Tensor:
    """Return the entropy of the softmax of each row, in nats: `(..., C)` to `(...)`."""
    log_p = logits.log_softmax(dim=-1)
    return -torch.xlogy(log_p.exp(), log_p.exp()).sum(dim=-1)


def gradient_norms(gradients: Mapping[str, Tensor]) -> dict[str, list[float]]:
    """Return Euclidean norms of the last update's gradient, for the whole network and by layer.

    Args:
        gradients: By parameter name (`"0.weight"`), `(M, ...)` each.

    Returns:
        "batch_grad_norm" over all parameters and "batch_grad_norm_1", ... over weight and bias
        of each convolution and linear layer in turn; one value a lane.
    """
    squares = {
        name: g.flatten(1).to(precision.exact(g.device)).square().sum(dim=1)
        for name, g in gradients.items()
    }
    layers: dict[str, Tensor] = {}
    for name, gradient in gradients.items():
        if gradient.dim() > 2:  # lanes, outputs, inputs, ...: a weight, not a bias or scale
            prefix = name.rpartition(".")[0]
            layers[prefix] = sum(s for n, s in squares.items() if n.rpartition(".")[0] == prefix)
    norms = {"batch_grad_norm": sum(squares.values()).sqrt().tolist()}
    for i, square in enumerate(layers.values(), 1):
        norms[f"batch_grad_norm_{i}"] = square.sqrt().tolist()
    return norms


def after_epoch(
    on_train: Watch, on_val: Watch, gradients: Mapping[str, Tensor]
) -> dict[str, list[float]]:
    """Return `CURVES` and the gradient norms of layers for one epoch, one value a lane."""
    return {
        "live_units": on_train.live_units(),
        "n_predicted": on_val.n_predicted(),
        "output_entropy": on_val.mean_entropy(),
        **gradient_norms(gradients),
    }


def at_end(
    curves: Mapping[str, list[float | None]], top: int, labels: Tensor
) -> dict[str, float | None]:
    """Return what the diagnostics of a whole run say about it.

    Args:
        curves: The run's curves, `CURVES` among them.
        top: The class it predicts most often for the validation images at the end.
        labels: Labels of the training images.

    Returns:
        The last value of each of `CURVES`; as 1 or 0, "collapsed" (see `collapsed`), "died" (no
        live unit after three epochs in a row), "revived" (it had died, and a unit was live after a
        later epoch) and "top_is_majority" (`top` is the largest class of the training images).
    """
    common = int(torch.bincount(labels.cpu()).argmax())
    dead = collapsed(curves["live_units"], curves["n_predicted"])
    died = died_after(curves["live_units"])
    later = curves["live_units"][died:] if died is not None else []
    verdicts = {
        "collapsed": dead,
        "died": died is not None,
        "revived": any(later),
        "top_is_majority": top == common,
    }
    last = {name: curves[name][-1] for name in CURVES}
    return last | {name: float(value) for name, value in verdicts.items()}


def died_after(live_units: Sequence[float | None], n: int = N_JUDGED) -> int | None:
    """Return after which epoch there had been no live unit for `n` epochs in a row, or None."""
    for epoch in range(n, len(live_units) + 1):
        if not any(live_units[epoch - n : epoch]):
            return epoch
    return None


def collapsed(live_units: list[int | None], n_predicted: list[int | None]) -> bool:
    """Return whether a run ended dead: no live unit and one class in its last three epochs.

    Args:
        live_units: Live units on the training images after each epoch.
        n_predicted: Different classes predicted on the validation images after each epoch.
    """
    return set(live_units[-3:]) == {0} and set(n_predicted[-3:]) == {1}
