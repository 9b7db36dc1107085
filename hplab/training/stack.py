"""Many networks of one architecture as one: the same layers with a leading lane dimension.

A small network leaves a processor idle: a training step of it costs tens of microseconds of
arithmetic and hundreds of overhead. A `Stack` holds the weights of many such networks ("lanes") in
one buffer and computes all of them with one call a layer: a linear layer becomes a batched matrix
product, a convolution a grouped one. Lanes never mix, so each follows the path it would follow
alone, up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

ELEMENTWISE = (nn.ReLU, nn.LeakyReLU, nn.GELU, nn.SiLU, nn.Sigmoid, nn.Tanh)
Layer = Callable[[Tensor, list[Tensor]], Tensor]


class Single:
    """One network behind the interface of a stack with one lane.

    Args:
        module: The network, on its device.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module, self.n_lanes = module, 1
        self.parameters = list(module.parameters())

    def __call__(self, images: Tensor) -> Tensor:
        """Return logits `(1, B, n_classes)` for images `(1, B, C, H, W)`."""
        x = images[0].contiguous(memory_format=torch.channels_last)
        return self.module(x)[None]

    def lane(self, i: int) -> nn.Module:
        """Return the network."""
        return self.module

    def rows(self, lanes: Sequence[int]) -> list[nn.Parameter]:
        """Return what an optimizer trains for these lanes: all parameters."""
        return self.parameters

    def zero_grad(self) -> None:
        """Nothing to do: the optimizer clears the parameters' own gradients."""

    def share_gradients(self) -> None:
        """Nothing to do: autograd writes to the parameters themselves."""

    def finite(self) -> Tensor:
        """Return for each lane whether all its weights are finite, shape `(1,)`."""
        return torch.stack([torch.isfinite(p.detach()).all() for p in self.parameters]).all()[None]

    def train(self, mode: bool) -> None:
        """Switch between training and evaluation mode."""
        self.module.train(mode)


class Stack:
    """Networks of one architecture, trained side by side.

    Args:
        modules: `nn.Sequential`s with the same layers and shapes, on one device. They are copied.

    Raises:
        TypeError: If a layer has no batched form (see `stackable`).
    """

    def __init__(self, modules: Sequence[nn.Sequential]) -> None:
        self.modules, self.n_lanes = list(modules), len(modules)
        self.shapes = [tuple(p.shape) for p in modules[0].parameters()]
        self.sizes = [p.numel() for p in modules[0].parameters()]
        vectors = [torch.cat([p.detach().flatten() for p in m.parameters()]) for m in modules]
        self.flat = torch.stack(vectors).requires_grad_()
        self.layers = [_batched(layer, self.n_lanes) for layer in modules[0]]
        self.slices: list[tuple[slice, nn.Parameter]] = []

    def __call__(self, images: Tensor) -> Tensor:
        """Return logits `(M, B, n_classes)` for images `(M, B, C, H, W)`, one batch a lane."""
        pieces = self.flat.split(self.sizes, dim=1)
        weights = [p.view(self.n_lanes, *s) for p, s in zip(pieces, self.shapes, strict=True)]
        x = images.transpose(0, 1).flatten(1, 2)
        x = x.contiguous(memory_format=torch.channels_last)  # pooling is ten times faster in it
        for n_weights, layer in self.layers:
            x = layer(x, weights[:n_weights])
            weights = weights[n_weights:]
        return x

    def lane(self, i: int) -> nn.Module:
        """Return network `i` with its present weights."""
        module = self.modules[i]
        nn.utils.vector_to_parameters(self.flat.detach()[i].clone(), module.parameters())
        return module

    def rows(self, lanes: Sequence[int]) -> list[nn.Parameter]:
        """Return what an optimizer trains for these lanes, which must be neighbours.

        The parameter is a view: an optimizer's step on it moves the stack's own weights.
        """
        part = slice(lanes[0], lanes[-1] + 1)
        parameter = nn.Parameter(self.flat.detach()[part])
        self.slices.append((part, parameter))
        return [parameter]

    def zero_grad(self) -> None:
        """Forget the gradient of the buffer."""
        self.flat.grad = None

    def share_gradients(self) -> None:
        """Hand each optimizer group its rows of the gradient, without a copy."""
        for part, parameter in self.slices:
            parameter.grad = self.flat.grad[part]

    def finite(self) -> Tensor:
        """Return for each lane whether all its weights are finite, shape `(M,)`."""
        return torch.isfinite(self.flat.detach()).all(dim=1)

    def train(self, mode: bool) -> None:
        """Nothing to do: no layer that can be stacked behaves differently in evaluation."""


def stackable(module: nn.Module) -> bool:
    """Return whether every layer of a network has a batched form."""
    known = (nn.Flatten, nn.Linear, nn.Conv2d, nn.MaxPool2d, *ELEMENTWISE)
    return isinstance(module, nn.Sequential) and all(type(layer) in known for layer in module)


def _batched(layer: nn.Module, n_lanes: int) -> tuple[int, Layer]:
    """Return how many weights a layer takes, and the layer for `n_lanes` networks at once.

    Before the flattening a value has shape `(B, M * C, H, W)`, after it `(M, B, F)`.
    """
    if isinstance(layer, nn.Conv2d):
        padding, stride = layer.padding, layer.stride

        def convolve(x: Tensor, weights: list[Tensor]) -> Tensor:
            weight, bias = weights[0].flatten(0, 1), weights[1].flatten()
            return functional.conv2d(x, weight, bias, stride, padding, groups=n_lanes)

        return 2, convolve
    if isinstance(layer, nn.Flatten):
        return 0, lambda x, _: x.unflatten(1, (n_lanes, -1)).transpose(0, 1).flatten(2)
    if isinstance(layer, nn.Linear):
        return 2, lambda x, w: torch.baddbmm(w[1].unsqueeze(1), x, w[0].transpose(1, 2))
    if isinstance(layer, nn.MaxPool2d) or type(layer) in ELEMENTWISE:
        return 0, lambda x, _: layer(x)
    raise TypeError(f"no batched form for {type(layer).__name__}")
