"""Optimizer updates without the cost of launching them: CUDA graphs.

A graphics card finishes the kernels of a small network's update faster than Python can ask for
them. A CUDA graph records the kernels of one update and starts all of them with one call.
"""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from hplab import catalogue

WARM_UP = 3  # updates made the ordinary way, so that libraries and optimizer state are set up
Step = Callable[..., Sequence[Tensor]]
Shape = tuple[tuple[torch.Size, torch.dtype], ...]


def can_capture(optimizer: str, device: torch.device) -> bool:
    """Return whether updates by this optimizer can be recorded as a graph.

    It is not known of every optimizer, and of none of a reader's own, whether its every number
    lives on the device.
    """
    row = catalogue.row("optimizer", optimizer)
    known = isinstance(row, catalogue.Optimizer) and (row.capturable is not None or row.in_graphs)
    return device.type == "cuda" and bool(known)


def current(device: str) -> contextlib.AbstractContextManager:
    """Return the context in which a graphics card is the current one.

    Streams and graphs belong to the current card, whatever device the tensors are on.
    """
    on_cuda = torch.device(device).type == "cuda"
    return torch.cuda.device(device) if on_cuda else contextlib.nullcontext()


class Captured:
    """A step that is recorded once for each shape of its inputs, and replayed from then on.

    All graphs share one stream, made on the card that is current at the first step, and one pool
    of memory: a step's results are used before the next step is made. A step that cannot be
    recorded is made the ordinary way from then on.

    Args:
        step: Takes tensors on the device, changes state on the device only, never waits for the
            device, and returns tensors, among them whole numbers that are never negative.

    Attributes:
        refusal: Why recording failed, or None.
    """

    def __init__(self, step: Step) -> None:
        self.step = step
        self.refusal: str | None = None
        self.n_calls: dict[Shape, int] = {}
        self.graphs: dict[Shape, tuple[torch.cuda.CUDAGraph, list[Tensor], Sequence[Tensor]]] = {}

    @functools.cached_property
    def _stream(self) -> torch.cuda.Stream:
        return torch.cuda.Stream()

    @functools.cached_property
    def _pool(self) -> torch.cuda._POOL_HANDLE:
        return torch.cuda.graph_pool_handle()

    def __call__(self, *inputs: Tensor) -> Sequence[Tensor]:
        """Make one step; what it returns is overwritten by the next."""
        if self.refusal is not None:
            return self.step(*inputs)
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
        try:
            return self._record(shape, inputs)
        except RuntimeError as error:  # whatever refused, the step itself has not been made
            self.refusal = str(error).partition("\n")[0] or type(error).__name__
            print(f"updates cannot be recorded as a CUDA graph ({self.refusal}): training goes on")
            return self.step(*inputs)

    def _record(self, shape: Shape, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        """Record the step for inputs of this shape, and make it by the first replay.

        Raises:
            RuntimeError: If it cannot be recorded, or the replay computes nothing.
        """
        places = [x.clone(memory_format=torch.preserve_format) for x in inputs]
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream):
            outputs = self.step(*places)
        counts = [x for x in outputs if not x.is_floating_point()]
        for count in counts:
            count.fill_(-1)
        graph.replay()  # recording computes nothing
        if any(bool((count < 0).any()) for count in counts):
            raise RuntimeError("a replay left its results untouched")
        self.graphs[shape] = graph, places, outputs
        return outputs

    def _aside(self, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        """Make one step on the stream that will record it."""
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream), warnings.catch_warnings():
            # Optimizers that are ready to be recorded say so when they are not.
            warnings.filterwarnings("ignore", message=".*capturable.*")
            outputs = self.step(*inputs)
        torch.cuda.current_stream().wait_stream(self._stream)
        return outputs
