"""How noisy a batch's gradient is: the simple gradient noise scale of McCandlish et al. (2018)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from hplab.training import batches, losses
from hplab.training.measures.protocol import Numbers, Series, View
from hplab.trial import HplabError, Trial

SMALL, BIG = 16, 1024  # examples a batch, and in all at most


class GradientNoise:
    """Measures the gradient noise scale on some training images; notes the steps of an epoch."""

    def check(self, trial: Trial, n_images: int) -> None:
        """Raise an `HplabError` if there are less than two small batches of images."""
        if n_images < 2 * SMALL:
            raise HplabError(
                f"measure 'gradient_noise' needs at least {2 * SMALL} training images, "
                f"got {n_images}"
            )

    def at_end(self, view: View) -> tuple[Numbers, Series]:
        images, labels = view.inputs(None)
        draw = torch.Generator().manual_seed(view.seed)
        rows = torch.randperm(len(labels), generator=draw)[:BIG].to(labels.device)
        loss = view.trial.loss
        small, big = squared_norms(view.model, images[rows], labels[rows], loss=loss)
        n_big = len(rows) // SMALL * SMALL
        return {
            "noise_scale": noise_scale(small, big, b_small=SMALL, b_big=n_big),
            "steps_per_epoch": float(batches.steps_per_epoch(view.trial, len(labels))),
        }, {}


def noise_scale(small: float, big: float, *, b_small: int, b_big: int) -> float:
    """Return the gradient noise scale: about the batch size above which batches stop helping.

    The mean gradient of b examples has an expected squared length of |G|^2 + tr(S) / b, where G is
    the gradient over all data and S the covariance of one example's. Two batch sizes are two
    equations for the two unknowns.

    Args:
        small: Mean squared length of the gradients of batches of `b_small` examples.
        big: The same for `b_big` examples, at the same weights.
        b_small: Examples in a small batch, at least 1.
        b_big: Examples in a big batch, more than `b_small`.

    Returns:
        tr(S) / |G|^2, in examples; `inf` if no |G|^2 above 0 is left under the noise.

    Raises:
        ValueError: If not 0 < b_small < b_big.

    References:
        McCandlish et al. (2018), arXiv:1812.06162, appendix A.1.
    """
    if not 0 < b_small < b_big:
        raise ValueError(f"need 0 < b_small < b_big, got {b_small} and {b_big}")
    trace = (small - big) * b_small * b_big / (b_big - b_small)
    signal = big - trace / b_big
    return trace / signal if signal > 0 else math.inf


def squared_norms(
    model: nn.Module, images: Tensor, labels: Tensor, *, loss: str, b_small: int = SMALL
) -> tuple[float, float]:
    """Return the squared lengths of a network's gradients over small batches and over all of them.

    Args:
        model: The network; it is left as it was, in evaluation mode.
        images: Images as the network takes them, `(n, C, H, W)`, in random order; what does not
            fill a small batch is left out.
        labels: Labels `(n,)`.
        loss: Name of the loss.
        b_small: Examples in a small batch.

    Returns:
        The mean over small batches, and the one of all examples together.
    """
    model.eval()
    weights = [p for p in model.parameters() if p.requires_grad]
    n = len(labels) // b_small
    total, squares = torch.zeros((), dtype=torch.float64), 0.0
    for part in range(n):
        rows = slice(part * b_small, (part + 1) * b_small)
        value = losses.named(loss)(model(images[rows]), labels[rows]).mean()
        gradient = torch.autograd.grad(value, weights)
        flat = torch.cat([g.flatten() for g in gradient]).cpu().double()
        squares += float(flat.square().sum())
        total = total + flat
    return squares / n, float((total / n).square().sum())
