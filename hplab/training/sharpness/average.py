"""Average-direction sharpness: the mean rise of the loss over random directions.

For a unit vector u drawn uniformly from the sphere, S(eps) = E L(theta + eps u) - L(theta). Where
the loss is quadratic, S(eps) = eps**2 tr(H) / (2 d) (Wen, Ma, Li, 2022): it measures the mean
curvature, not the largest.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from hplab.training.sharpness import factored
from hplab.training.sharpness.objective import Estimate, Objective
from hplab.trial import HplabError, unknown

KINDS = ("sphere", "gaussian")
SCALES = (None, "elementwise", "filter")


@dataclasses.dataclass(frozen=True)
class AverageSharpness(Estimate):
    """Average-direction sharpness at one radius.

    Attributes:
        radius: The radius in weight space.
        signed: The rise of the loss in each direction and its opposite, shape `(n, 2)`; with one
            column when directions are not paired.
    """

    radius: float = 0.0
    signed: np.ndarray = dataclasses.field(default_factory=lambda: np.empty((0, 2)))

    @property
    def direction_sd(self) -> float:
        """Standard deviation over single directions, as an unpaired estimate would see it."""
        return float(self.signed.std(ddof=1))


def directions(n: int, dim: int, seed: int, kind: str = "sphere") -> Iterator[Tensor]:
    """Yield `n` random directions of length `dim`, float64 on the CPU.

    They depend on seed and dimension only: networks of one architecture are measured along the
    same directions, whatever they were trained with.

    Args:
        n: How many.
        dim: Length of each.
        seed: Seed of their own random stream.
        kind: "sphere" has length exactly 1, "gaussian" length 1 in the mean square.

    Yields:
        The directions, shape `(dim,)` each.

    Raises:
        HplabError: If there is no such kind.
    """
    if kind not in KINDS:
        raise unknown("kind of direction", kind, KINDS)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(n):
        z = torch.randn(dim, generator=generator)
        z = z.double()
        yield z / (z.norm() if kind == "sphere" else dim**0.5)


def average_direction(
    objective: Objective,
    radius: float,
    *,
    n_directions: int = 16,
    seed: int = 0,
    antithetic: bool = True,
    kind: str = "sphere",
    scale: str | None = None,
    lanes: int = 1,
    bf16: bool = False,
) -> AverageSharpness:
    """Estimate average-direction sharpness at one radius; see `average_ladder`.

    Args:
        objective: What is measured.
        radius: Radius in weight space (with a scale: a factor on that scale).
        n_directions: As in `average_ladder`, like all that follow.
        seed: Seed of the directions.
        antithetic: Whether to add the opposite of every direction.
        kind: "sphere" or "gaussian".
        scale: None, "elementwise" or "filter".
        lanes: Directions evaluated in one pass.
        bf16: Round one product to bfloat16.

    Returns:
        The mean rise of the loss in nats with its standard error; `signed` has every direction.

    Raises:
        HplabError: As `average_ladder`.
    """
    [found] = average_ladder(
        objective,
        [radius],
        n_directions=n_directions,
        seed=seed,
        antithetic=antithetic,
        kind=kind,
        scale=scale,
        lanes=lanes,
        bf16=bf16,
    )
    return found


def average_ladder(
    objective: Objective,
    radii: Sequence[float],
    *,
    n_directions: int = 16,
    seed: int = 0,
    antithetic: bool = True,
    kind: str = "sphere",
    scale: str | None = None,
    lanes: int = 1,
    bf16: bool = False,
) -> list[AverageSharpness]:
    """Estimate average-direction sharpness at several radii, along the same directions.

    Each direction is evaluated with its opposite, which cancels the gradient and every other odd
    term: most of the noise of a single direction where the loss is not at a minimum.

    Args:
        objective: What is measured.
        radii: Radii in weight space (with a scale: factors on that scale).
        n_directions: Independent directions; twice as many evaluations when antithetic.
        seed: Seed of the directions.
        antithetic: Whether to add the opposite of every direction.
        kind: "sphere", or "gaussian" with the same mean square length.
        scale: None perturbs all weights alike. "elementwise" multiplies a standard normal vector
            by `|theta|`: the adaptive average sharpness, unchanged when layers are rescaled.
            "filter" gives every row or filter the norm of the weights it perturbs.
        lanes: Directions evaluated in one pass; more than 1 pays on a graphics card.
        bf16: Round the product of images and perturbation to bfloat16, where the network is a
            chain of linear layers; the error is below 5e-4 of the mean rise. Other networks are
            measured in float32 all the same.

    Returns:
        One estimate a radius. Its standard error counts directions, not networks: it says how well
        this network is measured, nothing about other seeds.

    Raises:
        HplabError: If there are no directions or radii, or a name is unknown.
    """
    if scale not in SCALES:
        raise unknown("scale", scale, map(str, SCALES))
    if n_directions < 1 or not radii:
        raise HplabError(f"need at least one direction and radius, got {n_directions}, {radii}")
    drawn = _perturbations(objective, n_directions, seed, kind, scale)
    signs = (1.0, -1.0) if antithetic else (1.0,)
    steps = [sign * radius for radius in radii for sign in signs]
    if lanes == 1 and factored.applies(objective):
        rises = factored.rises(objective, drawn, steps, bf16=bf16)
    else:
        rises = _rises(objective, drawn, steps, lanes)
    table = rises.reshape(n_directions, len(radii), len(signs))
    return [_summary(table[:, i], radius) for i, radius in enumerate(radii)]


def _perturbations(
    objective: Objective, n: int, seed: int, kind: str, scale: str | None
) -> Iterator[Tensor]:
    """Yield perturbations of radius 1, on the device of the weights."""
    theta = objective.vector()
    for u in directions(n, objective.dim, seed, kind if scale is None else "gaussian"):
        u = u.to(theta)
        if scale == "elementwise":
            u = u * theta.abs() * objective.dim**0.5
        elif scale == "filter":
            u = torch.cat([t.flatten() for t in _filter_scaled(objective.shaped(u), objective)])
        yield u


def _filter_scaled(direction: list[Tensor], objective: Objective) -> list[Tensor]:
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


def _rises(
    objective: Objective, drawn: Iterator[Tensor], steps: Sequence[float], lanes: int
) -> np.ndarray:
    """Return the mean rise for each direction and signed radius, shape `(n, len(steps))`."""
    theta, base = objective.vector(), objective.losses()
    points = (theta + step * u for u in drawn for step in steps)
    found: list[float] = []
    if lanes == 1:
        found = [objective.rise(point, base) for point in points]
    else:
        waiting: list[Tensor] = []
        for point in points:
            waiting.append(point)
            if len(waiting) == lanes:
                found += (objective.losses_of(torch.stack(waiting)) - base).mean(dim=1).tolist()
                waiting = []
        if waiting:
            found += (objective.losses_of(torch.stack(waiting)) - base).mean(dim=1).tolist()
    return np.array(found).reshape(-1, len(steps))


def _summary(signed: np.ndarray, radius: float) -> AverageSharpness:
    estimate = Estimate.of(signed.mean(axis=1))
    return AverageSharpness(estimate.value, estimate.se, estimate.samples, radius, signed)
