"""The memory format in which a convolutional network trains fastest where it is."""

from __future__ import annotations

import copy
import functools

import torch
from torch import nn

from hplab.training import precision

FORMATS = (torch.channels_last, torch.contiguous_format)
N_WARM_UP, N_TIMED = 3, 5


def fastest(module: nn.Module, shape: tuple[int, ...], number_format: str) -> torch.memory_format:
    """Return the memory format to train a network in.

    On a processor channels last is always faster (`benchmarks/tried.py`). On a graphics card it
    depends on the number format and on the layers, so both are tried, once a process for each kind
    of network.

    Args:
        module: The network, on its device. It stays as it is.
        shape: Of one batch of images, `(B, C, H, W)`.
        number_format: One of `hplab.trial.PRECISIONS`.
    """
    weight = next(module.parameters())
    convolves = any(isinstance(layer, nn.Conv2d) for layer in module.modules())
    if weight.device.type != "cuda" or not convolves:
        return torch.channels_last
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
def _tried(some: _Kind) -> torch.memory_format:
    module, (_, shape, number_format, device, dtype) = some.module, some.kind
    images = torch.rand(shape, device=device, dtype=dtype)
    return min(FORMATS, key=lambda layout: _milliseconds(module, images, layout, number_format))


def _milliseconds(
    module: nn.Module, images: torch.Tensor, layout: torch.memory_format, number_format: str
) -> float:
    """Return how long training steps of a copy of a network take on a card, without updates."""
    network = copy.deepcopy(module).to(memory_format=layout)
    images = images.contiguous(memory_format=layout)
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    with precision.matmul(number_format):
        for i in range(N_WARM_UP + N_TIMED):
            if i == N_WARM_UP:
                start.record()
            with precision.autocast(number_format, images.device):
                logits = network(images)
            logits.float().square().mean().backward()
        end.record()
    end.synchronize()
    return start.elapsed_time(end)
