"""Lines and planes through weight space, for pictures of the loss around a network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from hplab.training.sharpness.objective import Objective


def filter_scales(direction: list[Tensor], objective: Objective) -> list[Tensor]:
    """Give each filter of a direction the norm of the filter of weights it perturbs.

    A filter is a row of a linear layer or an output channel of a convolution. Biases and the
    weights of normalisation layers, which have one dimension, are not moved (Li et al., 2018).
    """
    scaled = []
    for d, p in zip(direction, objective.parameters, strict=True):
        if p.dim() < 2:
            scaled.append(torch.zeros_like(d))
            continue
        wide = d.flatten(1)
        norms = p.detach().flatten(1).norm(dim=1, keepdim=True)
        scaled.append((wide * (norms / wide.norm(dim=1, keepdim=True).clamp_min(1e-12))).view_as(d))
    return scaled


def filter_normalized(objective: Objective, seed: int = 0) -> Tensor:
    """Return a random direction `(d,)` whose filters have the norms of the network's filters."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(objective.dim, generator=generator).to(objective.vector())
    return torch.cat([t.flatten() for t in filter_scales(objective.shaped(z), objective)])


def slice_1d(objective: Objective, direction: Tensor, at: Sequence[float]) -> np.ndarray:
    """Return the mean loss at `theta + a * direction` for each `a`, shape `(len(at),)`."""
    theta = objective.vector()
    return np.array([objective.mean_loss(theta + a * direction) for a in at])


def slice_2d(
    objective: Objective, first: Tensor, second: Tensor, at: Sequence[float]
) -> np.ndarray:
    """Return the mean loss on a square grid, rows along `first`, columns along `second`."""
    theta = objective.vector()
    rows = [[objective.mean_loss(theta + a * first + b * second) for b in at] for a in at]
    return np.array(rows)
