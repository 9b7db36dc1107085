"""Optimizer updates without the cost of launching them: CUDA graphs.

A graphics card finishes the kernels of a small network's update faster than Python can ask for
them. A CUDA graph records the kernels of one update and starts all of them with one call.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from hplab.training.dropout import LaneDropout

WARM_UP = 3  # updates made the ordinary way, so that libraries and optimizer state are set up
# Optimizers whose every number lives on the device when asked for: what a graph needs.
CAPTURABLE = ("sgd", "adam", "adamw", "rmsprop")
Step = Callable[..., Sequence[Tensor]]


def can_capture(optimizer: str, modules: Sequence[nn.Module], device: torch.device) -> bool:
    """Return whether updates of these networks can be recorded as a graph.

    Dropout masks are drawn on the CPU, so networks with dropout cannot.
    """
    drops = any(isinstance(layer, LaneDropout) for net in modules for layer in net.modules())
    return device.type == "cuda" and optimizer in CAPTURABLE and not drops


def current(device: str) -> contextlib.AbstractContextManager:
    """Return the context in which a graphics card is the current one.

    Streams and graphs belong to the current card, whatever device the tensors are on.
    """
    on_cuda = torch.device(device).type == "cuda"
    return torch.cuda.device(device) if on_cuda else contextlib.nullcontext()


class Captured:
    """A step that is recorded once for each shape of its inputs, and replayed from then on.

    Args:
        step: Takes tensors on the device, changes state on the device only, never waits for the
            device, and returns tensors.
    """

    def __init__(self, step: Step) -> None:
        self.step = step
        self.n_calls: dict[tuple, int] = {}
        self.graphs: dict[tuple, tuple[torch.cuda.CUDAGraph, list[Tensor], Sequence[Tensor]]] = {}

    def __call__(self, *inputs: Tensor) -> Sequence[Tensor]:
        """Make one step; what it returns is overwritten by the next."""
        shape = tuple((x.shape, x.dtype) for x in inputs)
        if shape in self.graphs:
            graph, places, outputs = self.graphs[shape]
            for place, x in zip(places, inputs, strict=True):
                place.copy_(x)
            graph.replay()
            return outputs
        self.n_calls[shape] = self.n_calls.get(shape, 0) + 1
        if self.n_calls[shape] <= WARM_UP:
            return self._aside(inputs)
        places = [x.clone(memory_format=torch.preserve_format) for x in inputs]
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            outputs = self.step(*places)
        self.graphs[shape] = graph, places, outputs
        graph.replay()  # recording computes nothing
        return outputs

    def _aside(self, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        """Make one step on a stream of its own, as recording will."""
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            outputs = self.step(*inputs)
        torch.cuda.current_stream().wait_stream(side)
        return outputs
