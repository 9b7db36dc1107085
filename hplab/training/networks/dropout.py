"""Dropout whose masks are a trial's own, whoever trains beside it."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LaneDropout(nn.Module):
    """Set each value to zero with probability `p` and scale the others by `1 / (1 - p)`.

    As `torch.nn.Dropout`, but the masks come from a stream of the module's own instead of the
    global one, so a network drops the same values alone and in a stack. The masks are drawn on the
    CPU and moved, so that they are the same on every device.

    Args:
        p: Probability that a value is dropped, at least 0 and below 1.
        seed: Seed of the stream.
    """

    def __init__(self, p: float, *, seed: int) -> None:
        super().__init__()
        self.p, self.stream = p, torch.Generator().manual_seed(seed)

    def mask(self, x: Tensor) -> Tensor:
        """Return the next mask for values like `x`, zeros and `1 / (1 - p)`, of the same shape."""
        kept = torch.rand(x.shape, generator=self.stream) >= self.p
        return kept.to(x.device, x.dtype).div_(1.0 - self.p)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.mask(x) if self.training else x

    def extra_repr(self) -> str:
        return f"p={self.p}"
