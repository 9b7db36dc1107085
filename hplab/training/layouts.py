"""How a convolutional network trains fastest where it is."""

from __future__ import annotations

import copy
import functools
from typing import NamedTuple

import torch
from torch import Tensor, nn

from hplab.training import convolutions, precision

N_WARM_UP, N_TIMED = 3, 5


class Layout(NamedTuple):
    """The memory format of weights and images, and whether convolutions are matrix products."""

    memory_format: torch.memory_format = torch.channels_last
    unfolded: bool = False

    def __call__(self, module: nn.Module, x: Tensor) -> Tensor:
        """Return what a network gives for images or hidden values of any memory format."""
        if x.dim() == 4:
            x = x.contiguous(memory_format=self.memory_format)
        if not self.unfolded:
            return module(x)
        for layer in module:
            is_convolution = isinstance(layer, nn.Conv2d)
            x = convolutions.unfolded(layer, x) if is_convolution else layer(x)
        return x


LAYOUTS = (Layout(), Layout(torch.contiguous_format), Layout(unfolded=True))


def fastest(module: nn.Module, shape: tuple[int, ...], number_format: str) -> Layout:
    """Return the layout to train a network in.

    On a processor channels last is always faster (`benchmarks/tried.py`). On a graphics card it
    depends on the number format and on the layers, so all are tried, once a process for each kind
    of network.

    Args:
        module: The network, on its device. It stays as it is.
        shape: Of one batch of images, `(B, C, H, W)`.
        number_format: One of `hplab.trial.PRECISIONS`.
    """
    weight = next(module.parameters())
    convolves = any(isinstance(layer, nn.Conv2d) for layer in module.modules())
    if weight.device.type != "cuda" or not convolves:
        return LAYOUTS[0]
    kind = repr(module), shape, number_format, str(weight.device), weight.dtype
    return _tried(_Kind(kind, module))


class _Kind:
    """A network that counts as equal to every other of its kind."""

    def __init__(self, kind: tuple, module: nn.Module) -> None:
        self.kind, self.module = kind, module

    def __hash__(self) -> int:
        return hash(self.kind)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Kind) and self.kind == other.kind


@functools.lru_cache(maxsize=64)
def _tried(some: _Kind) -> Layout:
    module, (_, shape, number_format, device, dtype) = some.module, some.kind
    images = torch.rand(shape, device=device, dtype=dtype)
    plain = isinstance(module, nn.Sequential) and number_format != "bf16"
    can_unfold = plain and convolutions.can_unfold(module)
    known = [layout for layout in LAYOUTS if can_unfold or not layout.unfolded]
    return min(known, key=lambda layout: milliseconds(module, images, layout, number_format))


def milliseconds(
    module: nn.Module, images: torch.Tensor, layout: Layout, number_format: str
) -> float:
    """Return how long training steps of a copy of a network take on a card, without updates."""
    network = copy.deepcopy(module).to(memory_format=layout.memory_format)
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    with precision.matmul(number_format):
        for i in range(N_WARM_UP + N_TIMED):
            if i == N_WARM_UP:
                start.record()
            with precision.autocast(number_format, images.device):
                logits = layout(network, images)
            logits.float().square().mean().backward()
        end.record()
    end.synchronize()
    return start.elapsed_time(end)
