"""The fast path for fully connected networks: the first layer is computed once a direction.

The first layer is linear in its weights, so moving them by `s` in a direction G gives
X (W + s G) = X W + s (X G). X W is computed once for a network and X G once for a direction,
whatever the number of radii and signs: for a network on images, where nine tenths of the
arithmetic are in the first layer, a pair of opposite directions costs little more than one.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from hplab.training import precision
from hplab.training.networks.lanes import ELEMENTWISE, stackable
from hplab.training.sharpness.objective import Objective

GROUP = 4  # directions in one matrix product
RANK, SAMPLE = 32, 256  # dimensions multiplied in float32; examples they are found on


def applies(objective: Objective) -> bool:
    """Return whether the network is a plain chain of linear and elementwise layers."""
    model = objective.model
    if not stackable(model) or objective.whole:  # a reader's own may only look like a chain
        return False
    layers = list(model)[: -1 if objective.head is not None else None]
    if layers and isinstance(layers[0], nn.Flatten):
        layers = layers[1:]
    known = (nn.Linear, *ELEMENTWISE)
    return (
        bool(layers)
        and isinstance(layers[0], nn.Linear)
        and all(type(layer) in known for layer in layers)
        and all(layer.bias is not None for layer in layers if isinstance(layer, nn.Linear))
        and len(objective.parameters) == len(list(model.parameters()))
    )


@torch.inference_mode()
def rises(
    objective: Objective,
    drawn: Iterator[Tensor],
    steps: Sequence[float],
    *,
    bf16: bool = False,
) -> np.ndarray:
    """Return the mean rise of the loss along each direction at each signed radius.

    Args:
        objective: An objective to which this path `applies`.
        drawn: Directions, each of shape `(d,)`.
        steps: Signed radii.
        bf16: Whether to compute X G, and nothing else, in bfloat16. Images lie close to a space of
            few dimensions, so their part in it (`RANK` dimensions, found on some of them) is
            multiplied in float32 and only what is left over is rounded.

    Returns:
        Shape `(number of directions, len(steps))`, in nats.
    """
    with objective.measuring():
        base = objective.losses()
        found: list[list[float]] = []
        drawn = iter(drawn)
        chunks = [_Chunk(x.flatten(1)) for x, _ in objective._pairs(objective.chunk)]
        if bf16:
            subspace = _subspace(objective.inputs[:SAMPLE].flatten(1))
            chunks = [_RoundedChunk(chunk.x, subspace) for chunk in chunks]
        while group := list(itertools.islice(drawn, GROUP)):
            outputs = _outputs(objective, group, steps, chunks)
            for lane in outputs:
                losses = (objective.each(_headed(objective, o), objective.targets) for o in lane)
                found.append(
                    [float((x.to(precision.exact(x.device)) - base).mean()) for x in losses]
                )
    return np.array(found).reshape(-1, len(steps))


def _headed(objective: Objective, outputs: Tensor) -> Tensor:
    return outputs if objective.head is None else objective.head(outputs)


class _Chunk:
    """Some examples, and their products with weights of the first layer."""

    def __init__(self, x: Tensor) -> None:
        self.x = x

    def times(self, weights: Tensor) -> Tensor:
        """Return x W' for weights `(width, features)`."""
        return self.x @ weights.T


class _RoundedChunk(_Chunk):
    """Some examples as their part in a subspace and a remainder in bfloat16."""

    def __init__(self, x: Tensor, subspace: Tensor) -> None:
        super().__init__(x)
        self.subspace, self.inside = subspace, x @ subspace
        self.outside = torch.addmm(x, self.inside, subspace.T, alpha=-1).bfloat16()

    def times(self, weights: Tensor) -> Tensor:
        product = (self.outside @ weights.bfloat16().T).to(weights.dtype)
        return product.addmm_(self.inside, self.subspace.T @ weights.T)


def _subspace(x: Tensor) -> Tensor:
    """Return an orthonormal basis `(features, r)` of where most of some examples lies."""
    return torch.linalg.svd(x, full_matrices=False)[2][:RANK].T.contiguous()


def _outputs(
    objective: Objective, group: list[Tensor], steps: Sequence[float], chunks: list[_Chunk]
) -> list[list[Tensor]]:
    """Return the network's last linear output for each direction and signed radius."""
    weights = [p.detach() for p in objective.parameters]
    moved = [objective.shaped(u) for u in group]
    first = torch.cat([pieces[0] for pieces in moved])
    rest = [
        [[torch.add(w, g, alpha=s) for w, g in zip(weights[2:], pieces[2:], strict=True)]
         for s in steps]
        for pieces in moved
    ]  # fmt: skip
    parts: list[list[list[Tensor]]] = [[[] for _ in steps] for _ in group]
    for chunk in chunks:
        at_rest = chunk.x @ weights[0].T + weights[1]
        pushes = chunk.times(first).chunk(len(group), dim=1)
        for k, (push, pieces) in enumerate(zip(pushes, moved, strict=True)):
            push = push + pieces[1]
            for j, s in enumerate(steps):
                hidden = torch.add(at_rest, push, alpha=s)
                parts[k][j].append(_tail(objective, hidden, rest[k][j]))
    return [[torch.cat(pieces) for pieces in lane] for lane in parts]


def _tail(objective: Objective, hidden: Tensor, weights: list[Tensor]) -> Tensor:
    """Return the outputs of the layers after the first linear one, with the given weights."""
    layers = [
        layer for layer in cast(nn.Sequential, objective.model) if not isinstance(layer, nn.Flatten)
    ][1:]
    left = iter(weights)
    for layer in layers:
        if layer is objective.head:
            break
        if isinstance(layer, nn.Linear):
            hidden = functional.linear(hidden, next(left), next(left))
        elif isinstance(layer, nn.ReLU):
            hidden = hidden.relu_()
        else:
            hidden = layer(hidden)
    return hidden
