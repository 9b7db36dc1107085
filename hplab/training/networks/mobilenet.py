"""MobileNet (Howard et al., 2017) for images of 32 by 32 pixels.

Thirteen blocks, each a 3x3 convolution of every channel by itself ("depthwise") and a 1x1
convolution that mixes channels ("pointwise"), both followed by batch normalization and an
activation. Images of 32 by 32 pixels are halved four times, to 2 by 2; smaller ones less often, to
no less than that.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import torch
from torch import Tensor, nn
from torch.nn import functional

from hplab.training.networks import shapes


def build(
    in_shape: tuple[int, ...],
    n_classes: int,
    *,
    width: float,
    activation: Callable[[], nn.Module],
    blocks: Collection[int],
    mixed: bool = False,
) -> nn.Sequential:
    """Return a MobileNet from images `(N, C, H, W)` to logits `(N, n_classes)`.

    Args:
        in_shape: Channels, height and width of one image.
        n_classes: Number of logits.
        width: Factor on the channels of every layer, at least one channel each.
        activation: Makes the activation of the chosen blocks.
        blocks: The chosen blocks, counted from 0; all others have ReLU. The first convolution goes
            with block 0.
        mixed: Whether the layers choose their own number format under autocast on a processor.
    """
    spatial, mixing = (Fp32Conv, Pointwise) if mixed else (nn.Conv2d, nn.Conv2d)

    def normalized(conv: nn.Conv2d, block: int) -> list[nn.Module]:
        kind = activation if block in blocks else nn.ReLU
        return [conv, nn.BatchNorm2d(conv.out_channels), kind()]

    n = shapes.scaled(shapes.STEM, width)
    layers = normalized(spatial(in_shape[0], n, 3, padding=1, bias=False), 0)
    for block, (n_in, n, stride) in enumerate(shapes.blocks(in_shape, width)):
        depthwise = spatial(n_in, n_in, 3, stride, padding=1, groups=n_in, bias=False)
        pointwise = mixing(n_in, n, 1, bias=False)
        layers += [*normalized(depthwise, block), *normalized(pointwise, block)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(n, n_classes))


class Fp32Conv(nn.Conv2d):
    """A convolution that autocast on a processor leaves in fp32, where bf16 makes it slower."""

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu":
            return super().forward(x)
        with torch.autocast("cpu", enabled=False):
            return super().forward(x.float())


class Pointwise(nn.Conv2d):
    """A 1x1 convolution that under autocast on a processor is a matrix product in bf16.

    oneDNN's bf16 convolution has a slow gradient of the weights; the product over channels, which
    lie next to each other in memory, has not. The result is fp32 again, so that normalization and
    activation are computed in it.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
            return super().forward(x)
        y = functional.linear(x.permute(0, 2, 3, 1), self.weight.flatten(1))
        return y.permute(0, 3, 1, 2).float()
