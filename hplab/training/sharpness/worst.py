"""Worst-case sharpness: the largest rise of the loss within a small region around the weights."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import torch
from torch import Tensor

from hplab.training.sharpness.hessian import gradient
from hplab.training.sharpness.objective import Objective, restored
from hplab.trial import HplabError, unknown

NORMS = ("l2", "linf")


@dataclasses.dataclass(frozen=True)
class Worst:
    """The highest point found. Any search for a maximum gives a lower bound of it.

    Attributes:
        value: Rise of the mean loss there, in nats; Keskar's measure is in percent.
        path: The rise after each step of the search.
        delta: The perturbation, shape `(d,)`.
    """

    value: float
    path: tuple[float, ...]
    delta: Tensor


def sam(objective: Objective, rho: float) -> Worst:
    """Return the rise one step along the gradient, as the optimizer SAM looks at it.

    Foret et al. (2021) evaluate the loss at `rho * g / |g|` only: the first step of a search.

    Args:
        objective: What is measured.
        rho: Length of the step, in weight space.

    Returns:
        The rise in nats (`value`) and the step (`delta`).

    Raises:
        HplabError: As `worst_case`.
    """
    return worst_case(objective, rho, n_steps=1)


def worst_case(
    objective: Objective,
    rho: float,
    *,
    norm: str = "l2",
    adaptive: bool = False,
    eta: float = 0.0,
    n_steps: int = 20,
    seed: int = 0,
) -> Worst:
    """Search for the largest rise of the loss in a ball around the weights.

    The search repeats `delta = rho * g / |g|` with the gradient g at the present delta (for the
    maximum norm, `rho * sign(g)`). On a convex loss every step goes up; in general the best point
    seen is returned. Where the loss is not a number the rise is infinite, and the search ends.

    Args:
        objective: What is measured.
        rho: Radius.
        norm: "l2" or "linf".
        adaptive: Measure the perturbation of each weight in units of `|weight| + eta` (ASAM;
            Kwon et al., 2021), so that rescaling the layers of a network changes nothing.
        eta: Added to `|weight|` when adaptive.
        n_steps: Gradients to compute.
        seed: Seed of the first perturbation, which is random where the gradient is zero.

    Returns:
        The largest rise seen, in nats (`value`), the rise after each step (`path`), and where it is
        (`delta`, shape `(d,)`).

    Raises:
        HplabError: If the norm is unknown or there are no steps.
    """
    if norm not in NORMS:
        raise unknown("norm", norm, NORMS, "worst_case")
    if n_steps < 1:
        raise HplabError(f"worst_case: n_steps must be at least 1, got {n_steps}")
    theta, base = objective.vector(), objective.losses()
    unit = theta.abs() + eta if adaptive else torch.ones_like(theta)
    best, path = Worst(0.0, (), torch.zeros_like(theta)), []
    delta = torch.zeros_like(theta)
    with restored(objective.model):
        for _ in range(n_steps):
            objective.assign(theta + delta)
            slope = gradient(objective) * unit
            if not slope.any():
                slope = torch.randn(len(slope), generator=torch.Generator().manual_seed(seed))
                slope = slope.to(theta)
            push = slope.sign() if norm == "linf" else slope / slope.norm()
            delta = rho * unit * push
            rise = objective.rise(theta + delta, base)
            path.append(math.inf if math.isnan(rise) else rise)
            if path[-1] > best.value:
                best = Worst(path[-1], (), delta)
            if path[-1] == math.inf:
                break
    return dataclasses.replace(best, path=tuple(path))


def keskar(
    objective: Objective,
    eps: float = 1e-3,
    *,
    n_dims: int | None = None,
    n_steps: int = 10,
    seed: int = 0,
) -> Worst:
    """Return Keskar's sharpness: the largest relative rise in a box, in percent.

    The box holds every y with `|y_i| <= eps * (|(A^+ theta)_i| + 1)`; the value is
    `100 * (max L(theta + A y) - L) / (1 + L)`, searched with L-BFGS-B (Keskar et al., 2017).

    Args:
        objective: What is measured.
        eps: Size of the box.
        n_dims: Columns of the random matrix A; None searches the whole space (A = I).
        n_steps: Iterations of L-BFGS-B.
        seed: Seed of A and of the starting point near the centre.

    Returns:
        The rise in percent (`value`) and where it is (`delta`, shape `(d,)`).
    """
    from scipy.optimize import minimize  # slow to import

    theta, generator = objective.vector(), torch.Generator().manual_seed(seed)
    base, loss = objective.losses(), objective.mean_loss()
    matrix, centre = None, theta
    if n_dims is not None:
        matrix = torch.randn(len(theta), n_dims, generator=generator).to(theta)
        centre = torch.linalg.lstsq(matrix.double(), theta.double()[:, None]).solution[:, 0]
    box = eps * (centre.abs().cpu().double().numpy() + 1)

    def moved(y: np.ndarray) -> Tensor:
        at = torch.from_numpy(y).to(theta)
        return at if matrix is None else matrix @ at

    def negative(y: np.ndarray) -> tuple[float, np.ndarray]:
        delta = moved(y)
        rise = objective.rise(theta + delta, base)
        objective.assign(theta + delta)
        slope = gradient(objective)
        slope = slope if matrix is None else matrix.T @ slope
        return -rise, -slope.cpu().double().numpy()

    start = 0.1 * box * (2 * torch.rand(len(box), generator=generator).numpy() - 1)
    with restored(objective.model):
        bounds = list(zip(-box, box, strict=True))
        options = {"maxiter": n_steps, "maxcor": 10}
        found = minimize(negative, start, jac=True, method="L-BFGS-B", bounds=bounds,
                         options=options)  # fmt: skip
    value = 100 * max(0.0, -float(found.fun)) / (1 + loss)
    return Worst(value, (), moved(found.x))
