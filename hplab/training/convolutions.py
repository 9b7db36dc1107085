"""Convolutions as matrix products, for graphics cards.

cuDNN's single-precision kernels reach a tenth of a card's speed on the few channels of small
networks. Copying every 3 x 3 neighbourhood into a row of a matrix costs memory traffic, but turns a
convolution and both of its gradients into products that cuBLAS computes well.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

ROWS = 1024  # of the two factors of a weight's gradient that are multiplied at a time


def can_unfold(layers: Iterable[nn.Module]) -> bool:
    """Return whether every convolution among the layers is a plain 3 x 3 one of stride 1."""
    return all(
        layer.kernel_size == (3, 3)
        and layer.stride == layer.dilation == (1, 1)
        and layer.padding == (1, 1)
        and layer.groups == 1
        and layer.padding_mode == "zeros"
        and layer.bias is not None
        for layer in layers
        if isinstance(layer, nn.Conv2d)
    )


def unfolded(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """Return what a 3 x 3 convolution with bias and a border of one gives, by a matrix product.

    Args:
        layer: See `can_unfold`.
        x: `(B, C, H, W)`, channels last in memory.

    Returns:
        `(B, O, H, W)`, channels last in memory. It can be differentiated once.
    """
    y = _Unfolded.apply(x.permute(0, 2, 3, 1).contiguous(), layer.weight, layer.bias)
    return y.permute(0, 3, 1, 2)


class _Unfolded(torch.autograd.Function):
    """On images `(B, H, W, C)`, weights `(O, C, 3, 3)` and a bias `(O,)`."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        columns = _columns(x)
        ctx.save_for_backward(columns, weight)
        matrix = weight.permute(2, 3, 1, 0).reshape(-1, len(weight))
        return torch.addmm(bias, columns, matrix).view(*x.shape[:3], -1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, upstream: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        columns, weight = ctx.saved_tensors
        upstream = upstream.contiguous()
        n_out, n_in = weight.shape[:2]
        flat = upstream.view(-1, n_out)
        # The sum over all places is long and its result small: in parts, to keep a card busy.
        rows = math.gcd(len(flat), ROWS)
        parts = columns.view(-1, rows, columns.shape[1]).transpose(1, 2) @ flat.view(
            -1, rows, n_out
        )
        to_weight = parts.sum(dim=0).view(3, 3, n_in, n_out).permute(3, 2, 0, 1)
        to_x = None
        if ctx.needs_input_grad[0]:  # a convolution with the weights turned by half a circle
            matrix = weight.flip(2, 3).permute(2, 3, 0, 1).reshape(-1, n_in)
            to_x = (_columns(upstream) @ matrix).view(*upstream.shape[:3], n_in)
        return to_x, to_weight, flat.sum(dim=0)


def _columns(x: Tensor) -> Tensor:
    """Return the 3 x 3 neighbourhood of every place as a row: `(B, H, W, C)` to `(B H W, 9 C)`."""
    n, height, width, channels = x.shape
    padded = functional.pad(x, (0, 0, 1, 1, 1, 1))
    image, row, _, _ = padded.stride()
    shape, strides = (n, height, width, 3, 3 * channels), (image, row, channels, row, 1)
    return padded.as_strided(shape, strides).reshape(-1, 9 * channels)
