"""The number formats a trial may train in.

"fp32": IEEE single precision everywhere. "tf32": the same, but a graphics card may round the
factors of matrix products and convolutions to 10 bits of mantissa (TensorFloat-32); elsewhere it is
the same as "fp32". "bf16": torch's autocast, which computes layers in bfloat16 (7 bits of mantissa)
with products summed in fp32, and keeps weights, their gradients, optimizer and loss in fp32.
Whatever the format, what a trial is measured by at the end of an epoch is computed in "fp32".
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


def autocast(precision: str, device: torch.device) -> contextlib.AbstractContextManager:
    """Return the context in which a training step computes the logits.

    Args:
        precision: One of `hplab.catalogue.PRECISIONS`.
        device: Where the step runs.
    """
    if precision != "bf16":
        return contextlib.nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def exact(device: torch.device) -> torch.dtype:
    """Return the format in which sums are taken: float64, where the device has it."""
    return torch.float32 if device.type == "mps" else torch.float64


@contextlib.contextmanager
def tuned(device: str) -> Iterator[None]:
    """Let cuDNN time its algorithms on each new shape and take the fastest, on a graphics card.

    Args:
        device: Any torch device; elsewhere than on a card nothing changes.
    """
    before = torch.backends.cudnn.benchmark
    try:
        torch.backends.cudnn.benchmark = before or torch.device(device).type == "cuda"
        yield
    finally:
        torch.backends.cudnn.benchmark = before


@contextlib.contextmanager
def matmul(precision: str) -> Iterator[None]:
    """Fix whether a graphics card may use TF32, whatever the caller's settings, and restore them.

    Args:
        precision: One of `hplab.catalogue.PRECISIONS`; only "tf32" allows it.
    """
    # torch puts an object in place of the module `cudnn`.
    places = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)  # type: ignore[attr-defined]
    before = [place.fp32_precision for place in places]
    try:
        for place in places:
            place.fp32_precision = "tf32" if precision == "tf32" else "ieee"
        yield
    finally:
        for place, value in zip(places, before, strict=True):
            place.fp32_precision = value
