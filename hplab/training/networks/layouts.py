"""The memory format in which a convolutional network trains fastest where it is."""

from __future__ import annotations

import copy

import torch
from torch import nn

from hplab.training import precision

FORMATS = (torch.channels_last, torch.contiguous_format)
N_WARM_UP, N_TIMED = 3, 5


def fastest(module: nn.Module, shape: tuple[int, ...], number_format: str) -> torch.memory_format:
    """Return the memory format to train a network in.

    On a processor channels last is always faster (`benchmarks/tried.py`). On a graphics card it
    depends on the number format and on the layers, so both are tried for a few steps.

    Args:
        module: The network, on its device. It stays as it is.
        shape: Of one batch of images, `(B, C, H, W)`.
        number_format: One of `hplab.catalogue.PRECISIONS`.
    """
    weight = next(module.parameters())
    convolves = any(isinstance(layer, nn.Conv2d) for layer in module.modules())
    if weight.device.type != "cuda" or not convolves:
        return torch.channels_last
    images = torch.zeros(shape, device=weight.device, dtype=weight.dtype)
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
