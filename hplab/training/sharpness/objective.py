"""The loss of a network on fixed examples as a function of its weights alone."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _BatchNorm

from hplab.training import precision
from hplab.training.losses import LossFunction, cross_entropy
from hplab.training.networks.lanes import batch_head
from hplab.training.networks.models import StandardizedLogits
from hplab.trial import HplabError, unknown

BATCH_NORM = ("running", "batch")


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A sampled number.

    Attributes:
        value: The mean over the samples.
        se: Its Monte-Carlo standard error; nan for a single sample, which says nothing about it.
        samples: The independent values it is the mean of, shape `(n,)`.
    """

    value: float
    se: float
    samples: np.ndarray

    @classmethod
    def of(cls, samples: Sequence[float] | np.ndarray) -> Estimate:
        """Return the mean of independent samples with its standard error."""
        samples = np.asarray(samples, dtype=np.float64)
        n = len(samples)
        se = samples.std(ddof=1) / math.sqrt(n) if n > 1 else math.nan
        return cls(float(samples.mean()), float(se), samples)


class Objective:
    """The mean loss of a network on fixed examples.

    Losses are kept example by example in float64, so that two of them can be subtracted before
    they are averaged: a rise of 0.002 on a loss of 1.9 then keeps its digits. Every evaluation sees
    the same examples in the same order, without dropout, autocast or TF32.

    Args:
        model: Any module. Evaluations restore its weights, buffers and modes.
        inputs: What the module takes, first dimension the examples.
        targets: What the loss compares with, one row an example.
        loss: `loss(outputs, targets)` with one value an example.
        batch_norm: "running" uses the statistics that layers have stored (evaluation mode), "batch"
            those of all examples at once. There is no default, since the two are different
            functions of the weights.
        chunk: Examples a forward pass, where layers do not mix examples.

    Raises:
        HplabError: If the mode is unknown, there are no examples or unequally many targets, they
            are no tensors or lie on another device than the network, or it has no weights to
            train. When evaluated: if the loss gives anything but one value an example, or is not
            finite at the network's own weights.
    """

    def __init__(
        self,
        model: nn.Module,
        inputs: Tensor,
        targets: Tensor,
        *,
        batch_norm: str,
        loss: LossFunction = cross_entropy,
        chunk: int = 2500,
    ) -> None:
        if batch_norm not in BATCH_NORM:
            raise unknown("batch_norm mode", batch_norm, BATCH_NORM, "Objective")
        for name, value in (("inputs", inputs), ("targets", targets)):
            if not isinstance(value, Tensor) or not value.dim():
                raise HplabError(
                    f"Objective: {name} must be a tensor with a row an example, got "
                    f"{type(value).__name__}; torch.as_tensor makes one"
                )
        if not len(inputs) or len(inputs) != len(targets):
            raise HplabError(f"Objective: {len(inputs)} inputs and {len(targets)} targets")
        self.model, self.inputs, self.targets, self.loss = model, inputs, targets, loss
        self.batch_norm, self.chunk = batch_norm, chunk
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.names = [n for n, p in model.named_parameters() if p.requires_grad]
        if not self.parameters:
            raise HplabError("Objective: the network has no weights that require a gradient")
        devices = {str(t.device) for t in (*self.parameters, inputs, targets)}
        if len(devices) > 1:
            raise HplabError(
                f"Objective: network, inputs and targets must be on one device, got "
                f"{', '.join(sorted(devices))}"
            )
        self.head = batch_head(model)
        mixing = [m for m in model.modules() if _mixes(m, batch_norm) and m is not self.head]
        self.whole = bool(mixing)

    @property
    def dim(self) -> int:
        """Number of weights."""
        return sum(p.numel() for p in self.parameters)

    def vector(self) -> Tensor:
        """Return a copy of the weights as one vector, shape `(d,)`."""
        return torch.cat([p.detach().flatten() for p in self.parameters])

    def shaped(self, vector: Tensor) -> list[Tensor]:
        """Return a vector `(d,)` cut into tensors of the weights' shapes, without a copy."""
        pieces = vector.split([p.numel() for p in self.parameters])
        return [v.view_as(p) for v, p in zip(pieces, self.parameters, strict=True)]

    @torch.no_grad()
    def assign(self, vector: Tensor) -> None:
        """Write a vector into the weights; use it inside `restored`."""
        for p, value in zip(self.parameters, self.shaped(vector), strict=True):
            p.copy_(value)

    def losses(self, vector: Tensor | None = None) -> Tensor:
        """Return the loss of every example at some weights, float64, shape `(N,)`.

        Args:
            vector: The weights, shape `(d,)`; None for those the network has.
        """
        with restored(self.model), self.measuring(), torch.inference_mode():
            if vector is not None:
                self.assign(vector)
            parts = [part.to(precision.exact(part.device)) for part in self._parts()]
            losses = torch.cat(parts)
        if vector is None:
            _check_finite(losses)
        return losses

    def losses_of(self, vectors: Tensor) -> Tensor:
        """Return the losses at several weights `(K, d)`, float64, shape `(K, N)`.

        They are computed in one pass, or one after the other where a layer cannot be batched.
        """
        try:
            return self._batched(vectors)
        except RuntimeError:  # torch has no batched form of it, or the memory is too small
            return torch.stack([self.losses(vector) for vector in vectors])

    def _batched(self, vectors: Tensor) -> Tensor:
        with restored(self.model), self.measuring(), torch.no_grad():
            stacked = [
                torch.stack(pieces)
                for pieces in zip(*(self.shaped(v) for v in vectors), strict=True)
            ]
            weights = dict(zip(self.names, stacked, strict=True))
            size = len(self.inputs) if self.whole or self.head is not None else self.chunk
            parts = []
            for inputs, targets in self._pairs(size):
                parts.append(self._vmapped(weights, inputs, targets))
            losses = torch.cat(parts, dim=1)
            return losses.to(precision.exact(losses.device))

    def _vmapped(self, weights: dict[str, Tensor], inputs: Tensor, targets: Tensor) -> Tensor:
        def one(lane: dict[str, Tensor]) -> Tensor:
            return self.each(functional_call(self.model, lane, (inputs,)), targets)

        return torch.vmap(one)(weights)

    def each(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of each example, shape `(n,)`, from what the network gives for them.

        Raises:
            HplabError: If it is another shape: a loss that is a mean already would make every
                curvature smaller by the number of examples.
        """
        try:
            losses = self.loss(outputs, targets)
        except (AttributeError, TypeError) as error:
            if isinstance(outputs, Tensor):
                raise
            raise HplabError(
                f"Objective: the network gives a {type(outputs).__name__}, which the loss does not "
                "take; pass a loss that does, or a network that gives a tensor"
            ) from error
        if not isinstance(losses, Tensor) or losses.shape != (len(targets),):
            got = tuple(losses.shape) if isinstance(losses, Tensor) else type(losses).__name__
            raise HplabError(
                f"Objective: the loss must give one value an example, ({len(targets)},), got {got};"
                ' a loss of torch does with reduction="none"'
            )
        return losses

    def rise(self, vector: Tensor, base: Tensor) -> float:
        """Return the mean over examples of the loss at `vector` minus `base`, in nats."""
        return float((self.losses(vector) - base).mean())

    def mean_loss(self, vector: Tensor | None = None) -> float:
        """Return the mean loss in nats."""
        return float(self.losses(vector).mean())

    def graph(self) -> Iterator[Tensor]:
        """Yield sums of losses, with a graph for autograd, that add up to the loss of all."""
        for inputs, targets in self._pairs(self._whole_size()):
            losses = self.each(self.model(inputs), targets)
            _check_finite(losses)
            yield losses.sum()

    def _whole_size(self) -> int:
        return len(self.inputs) if self.whole or self.head is not None else self.chunk

    def _pairs(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        yield from zip(self.inputs.split(size), self.targets.split(size), strict=True)

    def _parts(self) -> Iterator[Tensor]:
        if self.head is None or self.whole:
            for inputs, targets in self._pairs(self._whole_size()):
                yield self.each(self.model(inputs), targets)
            return
        body = cast(nn.Sequential, self.model)[:-1]
        logits = torch.cat([body(inputs) for inputs, _ in self._pairs(self.chunk)])
        yield self.each(self.head(logits), self.targets)

    @contextlib.contextmanager
    def measuring(self) -> Iterator[None]:
        """Put the network into the objective's mode, with exact arithmetic."""
        modes = {m: m.training for m in self.model.modules()}
        tracks = {m: m.track_running_stats for m in modes if isinstance(m, _BatchNorm)}
        self.model.eval()
        if self.batch_norm == "batch":
            for layer in tracks:
                layer.train()
                layer.track_running_stats = False  # neither used nor updated
        try:
            with exact_matmul(self.inputs.device.type), twice_differentiable(self.model):
                yield
        finally:
            for module, mode in modes.items():
                module.training = mode
            for layer, mode in tracks.items():
                layer.track_running_stats = mode


@contextlib.contextmanager
def restored(model: nn.Module) -> Iterator[None]:
    """Give back weights and buffers bit for bit when the body ends, also if it raises.

    The saved numbers are copied back. Subtracting a perturbation would leave rounding errors.

    Args:
        model: Any network.

    Returns:
        A context manager.
    """
    tensors = [*model.parameters(), *model.buffers()]
    saved = [t.detach().clone() for t in tensors]
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, value in zip(tensors, saved, strict=True):
                tensor.copy_(value)


@contextlib.contextmanager
def exact_matmul(device: str) -> Iterator[None]:
    """Compute matrix products in full float32: no TF32, no bfloat16 inside, no autocast.

    Args:
        device: Kind of device whose autocast is switched off, such as "cpu" or "cuda".

    Returns:
        A context manager; afterwards everything is as it was.
    """
    # On a processor, where it may round to bfloat16; torch puts an object in place of the module.
    place = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = place.fp32_precision
    place.fp32_precision = "ieee"
    try:
        with torch.autocast(device, enabled=False), precision.matmul("fp32"):
            yield
    finally:
        place.fp32_precision = before


@contextlib.contextmanager
def twice_differentiable(model: nn.Module) -> Iterator[None]:
    """Compute attention and recurrent layers by kernels whose derivative has a derivative.

    The arithmetic is the same but for rounding; the fused kernels are only faster.
    """
    fused, cudnn = torch.backends.mha.get_fastpath_enabled(), torch.backends.cudnn.enabled
    recurrent = any(isinstance(layer, nn.RNNBase) for layer in model.modules())
    torch.backends.mha.set_fastpath_enabled(False)
    torch.backends.cudnn.enabled = cudnn and not recurrent
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
        torch.backends.cudnn.enabled = cudnn


def _check_finite(losses: Tensor) -> None:
    wrong = int((~losses.isfinite()).sum())
    if wrong:
        raise HplabError(
            f"Objective: the loss is not finite on {wrong} of {len(losses)} examples; a network "
            "that diverged has no sharpness"
        )


def _mixes(layer: nn.Module, batch_norm: str) -> bool:
    if isinstance(layer, _BatchNorm):
        return batch_norm == "batch" or not layer.track_running_stats
    return isinstance(layer, StandardizedLogits)
