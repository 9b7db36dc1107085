"""The fast path for fully connected networks: the first layer is computed once a direction.

The first layer is linear in its weights, so moving them by `s` in a direction G gives
X (W + s G) = X W + s (X G). X W is computed once for a network and X G once for a direction,
whatever the number of radii and signs: for a network on images, where nine tenths of the
arithmetic are in the first layer, a pair of opposite directions costs little more than one.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from hplab.training.sharpness.objective import Objective, _exact

GROUP = 4  # directions in one matrix product
_ELEMENTWISE = (nn.ReLU, nn.LeakyReLU, nn.GELU, nn.SiLU, nn.Sigmoid, nn.Tanh)


def applies(objective: Objective) -> bool:
    """Return whether the network is a plain chain of linear and elementwise layers."""
    model = objective.model
    if not isinstance(model, nn.Sequential) or objective.whole:
        return False
    layers = list(model)[: -1 if objective.head is not None else None]
    if layers and isinstance(layers[0], nn.Flatten):
        layers = layers[1:]
    known = (nn.Linear, *_ELEMENTWISE)
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
    dtype: torch.dtype | None = None,
) -> np.ndarray:
    """Return the mean rise of the loss along each direction at each signed radius.

    Args:
        objective: An objective to which this path `applies`.
        drawn: Directions, each of shape `(d,)`.
        steps: Signed radii.
        dtype: Number format of the product X G alone; None for that of the weights. In bfloat16 its
            error is small against the perturbation, which is itself small against X W.

    Returns:
        Shape `(number of directions, len(steps))`, in nats.
    """
    with objective.measuring():
        base = objective.losses()
        found: list[list[float]] = []
        drawn = iter(drawn)
        while group := list(itertools.islice(drawn, GROUP)):
            outputs = _outputs(objective, group, steps, dtype)
            for lane in outputs:
                losses = (objective.loss(_headed(objective, o), objective.targets) for o in lane)
                found.append([float((x.to(_exact(x)) - base).mean()) for x in losses])
    return np.array(found).reshape(-1, len(steps))


def _headed(objective: Objective, outputs: Tensor) -> Tensor:
    return outputs if objective.head is None else objective.head(outputs)


def _outputs(
    objective: Objective, group: list[Tensor], steps: Sequence[float], dtype: torch.dtype | None
) -> list[list[Tensor]]:
    """Return the network's last linear output for each direction and signed radius."""
    weights = [p.detach() for p in objective.parameters]
    moved = [objective.shaped(u) for u in group]
    first = torch.cat([pieces[0] for pieces in moved]).to(dtype or weights[0].dtype)
    rest = [[[w + s * g for w, g in zip(weights[2:], pieces[2:], strict=True)] for s in steps]
            for pieces in moved]  # fmt: skip
    parts: list[list[list[Tensor]]] = [[[] for _ in steps] for _ in group]
    for inputs, _ in objective._pairs(objective.chunk):
        x = inputs.flatten(1)
        at_rest = functional.linear(x, weights[0], weights[1])
        pushes = (x.to(first.dtype) @ first.T).to(x.dtype).chunk(len(group), dim=1)
        for k, (push, pieces) in enumerate(zip(pushes, moved, strict=True)):
            push = push + pieces[1]
            for j, s in enumerate(steps):
                hidden = torch.add(at_rest, push, alpha=s)
                parts[k][j].append(_tail(objective, hidden, rest[k][j]))
    return [[torch.cat(chunks) for chunks in lane] for lane in parts]


def _tail(objective: Objective, hidden: Tensor, weights: list[Tensor]) -> Tensor:
    """Return the outputs of the layers after the first linear one, with the given weights."""
    layers = [layer for layer in objective.model if not isinstance(layer, nn.Flatten)][1:]
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
