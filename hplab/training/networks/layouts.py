"""The way of computing convolutions in which a network, or a stack of them, trains fastest."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import nn

from hplab.training import precision
from hplab.training.networks import lanes

FORMATS = (torch.channels_last, torch.contiguous_format)
N_WARM_UP, N_TIMED = 3, 5


class Way(NamedTuple):
    """How a stack computes its convolutions: see the arguments of `lanes.Stack`."""

    layout: torch.memory_format
    unfolds: bool


WAYS = (*(Way(layout, False) for layout in FORMATS), Way(torch.contiguous_format, True))


def fastest(module: nn.Module, shape: tuple[int, ...], number_format: str) -> torch.memory_format:
    """Return the memory format to train a network in.

    On a processor channels last is always faster (`benchmarks/tried.py`). On a graphics card it
    depends on the number format and on the layers, so both are tried for a few steps.

    Args:
        module: The network, on its device. It stays as it is.
        shape: Of one batch of images, `(B, C, H, W)`.
        number_format: One of `hplab.catalogue.PRECISIONS`.
    """
    if _place(module) != "cuda" or not _convolves(module):
        return torch.channels_last

    def milliseconds(layout: torch.memory_format) -> float:
        network = lanes.Single(copy.deepcopy(module), layout)
        return _milliseconds(network, (1, *shape), number_format)

    return min(FORMATS, key=milliseconds)


def fastest_way(
    modules: Sequence[nn.Sequential], shape: tuple[int, ...], number_format: str
) -> Way:
    """Return how to compute the convolutions of a stack of networks.

    On a processor grouped convolutions with channels last are the fastest; pooling alone is ten
    times faster in it. On a graphics card every way is tried: cuDNN has no good grouped
    convolutions of some shapes, least of all in single precision with channels last.

    Args:
        modules: The networks, on their device. They stay as they are.
        shape: Of one batch of images of each network, `(B, C, H, W)`.
        number_format: One of `hplab.catalogue.PRECISIONS`.
    """
    place = _place(modules[0])
    if place != "cuda" or not _convolves(modules[0]):
        return Way(torch.channels_last if place == "cpu" else torch.contiguous_format, False)
    copies = copy.deepcopy(list(modules))

    def milliseconds(way: Way) -> float:
        stack = lanes.Stack(copies, way.layout, unfolds=way.unfolds)
        return _milliseconds(stack, (len(modules), *shape), number_format)

    return min(WAYS, key=milliseconds)


def _place(module: nn.Module) -> str:
    return next(module.parameters()).device.type


def _convolves(module: nn.Module) -> bool:
    return any(isinstance(layer, nn.Conv2d) for layer in module.modules())


def _milliseconds(
    network: lanes.Single | lanes.Stack, shape: tuple[int, ...], number_format: str
) -> float:
    """Return how long training steps take on a card, without updates.

    It is infinity where the card's memory does not suffice.

    Args:
        network: A copy of the networks, on the card.
        shape: Of one batch of images of all lanes, `(M, B, C, H, W)`.
        number_format: One of `hplab.catalogue.PRECISIONS`.
    """
    weight = next(network.modules[0].parameters())
    images = torch.zeros(shape, device=weight.device, dtype=weight.dtype)

    def step() -> None:
        with precision.autocast(number_format, images.device):
            logits = network(images)
        logits.float().square().mean().backward()

    network.train(True)
    try:
        with precision.matmul(number_format):
            return _timed(step)
    except torch.OutOfMemoryError:
        return math.inf
    finally:
        torch.cuda.empty_cache()  # other processes may share the card


def _timed(step: Callable[[], None]) -> float:
    """Return how many milliseconds the current card takes for some steps, after others."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    for i in range(N_WARM_UP + N_TIMED):
        if i == N_WARM_UP:
            start.record()
        step()
    end.record()
    end.synchronize()
    return start.elapsed_time(end)
