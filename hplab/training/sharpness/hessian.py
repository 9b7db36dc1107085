"""Gradient and curvature of the mean loss, without ever writing down the Hessian."""

from __future__ import annotations

import dataclasses
from typing import cast

import numpy as np
import torch
from torch import Tensor

from hplab.training import precision
from hplab.training.sharpness.objective import Estimate, Objective, restored
from hplab.trial import HplabError


@dataclasses.dataclass(frozen=True)
class Eigenvalues:
    """The largest eigenvalues of a symmetric operator, from above.

    Attributes:
        values: Ritz values, largest first.
        bounds: For each a bound on its distance from a true eigenvalue (the Lanczos residual).
    """

    values: np.ndarray
    bounds: np.ndarray


def gradient(objective: Objective) -> Tensor:
    """Return the gradient of the mean loss, shape `(d,)`.

    Args:
        objective: What is measured.

    Returns:
        The gradient in nats per unit of weight, shape `(d,)`.
    """
    total = torch.zeros_like(objective.vector())
    with restored(objective.model), objective.measuring(), torch.enable_grad():
        for part in objective.graph():
            pieces = torch.autograd.grad(part, objective.parameters)
            total += torch.cat([g.flatten() for g in pieces])
    return total / len(objective.inputs)


def hessian_vector_product(objective: Objective, vector: Tensor) -> Tensor:
    """Return the Hessian of the mean loss times a vector, shape `(d,)`.

    Args:
        objective: What is measured.
        vector: Shape `(d,)`, on the network's device.

    Returns:
        The product, shape `(d,)`.

    Raises:
        HplabError: If torch knows no second derivative of a layer.
    """
    total = torch.zeros_like(vector)
    pieces = objective.shaped(vector)
    with restored(objective.model), objective.measuring(), torch.enable_grad():
        for part in objective.graph():
            first = torch.autograd.grad(part, objective.parameters, create_graph=True)
            along = cast(Tensor, sum((g * v).sum() for g, v in zip(first, pieces, strict=True)))
            try:
                second = torch.autograd.grad(along, objective.parameters, materialize_grads=True)
            except NotImplementedError as error:
                raise HplabError(f"a layer has no second derivative in torch: {error}") from error
            total += torch.cat([h.flatten() for h in second])
    return total / len(objective.inputs)


def _dot(a: Tensor, b: Tensor) -> float:
    return float((a * b).sum(dtype=precision.exact(a.device)))


def hessian_trace(objective: Objective, *, n_probes: int = 16, seed: int = 0) -> Estimate:
    """Estimate the trace of the Hessian by Hutchinson's method with random signs.

    Args:
        objective: What is measured.
        n_probes: Random vectors; each costs one Hessian-vector product.
        seed: Seed of their stream.

    Returns:
        The mean of v' H v with its standard error: stop when that is small enough, not when two
        successive means happen to agree.
    """
    generator = torch.Generator().manual_seed(seed)
    samples = []
    for _ in range(n_probes):
        signs = torch.randint(0, 2, (objective.dim,), generator=generator) * 2.0 - 1.0
        v = signs.to(objective.vector())
        samples.append(_dot(v, hessian_vector_product(objective, v)))
    return Estimate.of(samples)


def top_eigenvalues(
    objective: Objective, k: int = 1, *, n_steps: int = 20, seed: int = 0
) -> Eigenvalues:
    """Return the `k` largest eigenvalues of the Hessian by the Lanczos method.

    Every new vector is made orthogonal to all before, twice, so that no eigenvalue appears as its
    own ghost.

    Args:
        objective: What is measured.
        k: How many.
        n_steps: Hessian-vector products, at most the number of weights.
        seed: Seed of the starting vector.

    Returns:
        `values`, the largest first, and for each a bound on its error in `bounds`. Shape `(k,)`
        each.

    Raises:
        HplabError: If there are fewer steps than eigenvalues asked for.
    """
    n_steps = min(n_steps, objective.dim)
    if not 1 <= k <= n_steps:
        raise HplabError(f"top_eigenvalues: need 1 <= k <= n_steps, got k={k}, n_steps={n_steps}")
    generator = torch.Generator().manual_seed(seed)
    v = torch.randn(objective.dim, generator=generator).to(objective.vector())
    basis, alphas, betas = [v / v.norm()], [], []
    for _ in range(n_steps):
        w = hessian_vector_product(objective, basis[-1])
        alphas.append(_dot(w, basis[-1]))
        known = torch.stack(basis)
        for _ in range(2):
            w = w - known.T @ (known @ w)
        betas.append(float(w.norm()))
        if betas[-1] <= 1e-6 * max(map(abs, alphas)):  # the basis spans an invariant subspace
            break
        basis.append(w / betas[-1])
    inner = betas[: len(alphas) - 1]
    values, vectors = np.linalg.eigh(np.diag(alphas) + np.diag(inner, 1) + np.diag(inner, -1))
    order = np.argsort(values)[::-1][:k]
    return Eigenvalues(values[order], np.abs(betas[-1] * vectors[-1, order]))
