"""Dropout whose masks are a trial's own, whoever trains beside it."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LaneDropout(nn.Module):
    """Set each value to zero with probability `p` and scale the others by `1 / (1 - p)`.

    As `torch.nn.Dropout`, but the masks come from a stream of the module's own instead of the
    global one, so a network drops the same values alone and in a stack. The masks are drawn on the
    CPU and moved, so that they are the same on every device. A mask may be drawn before the pass
    that uses it: a CUDA graph cannot draw.

    Args:
        p: Probability that a value is dropped, at least 0 and below 1.
        shape: Of the values of one example.
        seed: Seed of the stream.

    Attributes:
        mask: The mask of the next pass, if it is drawn already.
    """

    def __init__(self, p: float, shape: tuple[int, ...], *, seed: int) -> None:
        super().__init__()
        self.p, self.shape, self.stream = p, shape, torch.Generator().manual_seed(seed)
        self.mask: Tensor | None = None

    def draw(self, n: int) -> Tensor:
        """Return which values of the next `n` examples are kept: bool `(n, *shape)`, on the CPU."""
        return torch.rand(n, *self.shape, generator=self.stream) >= self.p

    def drop(self, x: Tensor, kept: Tensor) -> Tensor:
        """Return values with zeros where they are not kept, scaled by `1 / (1 - p)` elsewhere."""
        return x * kept.to(x.device, x.dtype).div_(1.0 - self.p)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        kept, self.mask = self.mask, None
        return self.drop(x, self.draw(len(x)) if kept is None else kept)

    def extra_repr(self) -> str:
        return f"p={self.p}, shape={self.shape}"
