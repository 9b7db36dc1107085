"""What a network of hplab's costs, counted from the shapes of its layers before it is built.

Planning a sweep asks this of every setting, and needs no torch for it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from hplab.trial import Trial

# MobileNet: output channels of each block, and 2 where it halves the image.
BLOCKS = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (1024, 2),
    (1024, 1),
)
STEM = 32  # channels of its first convolution
SMALLEST = 2  # height and width of its smallest feature map, in pixels


class Cost(NamedTuple):
    """What a network costs.

    Attributes:
        n_parameters: Its trained numbers.
        flops: Multiplications and additions of one image on its way through the convolutions and
            linear layers.
        convolves: Whether it has convolutions.
    """

    n_parameters: int
    flops: int
    convolves: bool


def cost(trial: Trial, in_shape: Sequence[int], n_classes: int) -> Cost | None:
    """Return what a trial's network costs, or None where only building it can tell.

    Args:
        trial: Names the model and its arguments.
        in_shape: Channels, height and width of one image.
        n_classes: Number of logits.
    """
    own = any(name.startswith(("model:", "activation:")) for name in trial.code)
    if own or trial.model not in _COUNTED:
        return None
    if not (counts := _COUNTED[trial.model](trial, in_shape, n_classes)):
        return None  # building it says why it cannot be built
    n_parameters, flops = (sum(numbers) for numbers in zip(*counts, strict=True))
    return Cost(n_parameters, flops, trial.model != "mlp")


def blocks(in_shape: Sequence[int], width: float) -> Iterator[tuple[int, int, int]]:
    """Yield channels in, channels out and stride of each block of a MobileNet.

    Args:
        in_shape: Channels, height and width of one image.
        width: Factor on the channels of every layer, at least one channel each.
    """
    n, size = scaled(STEM, width), min(in_shape[1:])
    for full, halving in BLOCKS:
        stride = halving if size >= 2 * SMALLEST else 1
        size = math.ceil(size / stride)
        yield n, scaled(full, width), stride
        n = scaled(full, width)


def scaled(channels: int, width: float) -> int:
    """Return the channels of a layer of a MobileNet of that width."""
    return max(1, round(channels * width))


# ------------------------------------------------- parameters and operations of each layer

_Counts = list[tuple[int, int]]


def _linear(n_in: int, n_out: int) -> tuple[int, int]:
    return (n_in + 1) * n_out, 2 * n_in * n_out


def _conv(n_in: int, n_out: int, kernel: int, pixels: int, *, bias: bool) -> tuple[int, int]:
    """Count a convolution in which every output channel sees `n_in` input channels."""
    n_weights = n_in * n_out * kernel**2
    return n_weights + n_out * bias, 2 * n_weights * pixels


def _norm(n: int) -> tuple[int, int]:
    return 2 * n, 0


def _mlp(trial: Trial, in_shape: Sequence[int], n_classes: int) -> _Counts:
    widths = [math.prod(in_shape), *trial.argument("model", "hidden"), n_classes]
    found = [_linear(a, b) for a, b in itertools.pairwise(widths)]
    normed = widths[1:-1] if trial.argument("model", "batch_norm") else []
    return found + [_norm(n) for n in normed]


def _cnn(trial: Trial, in_shape: Sequence[int], n_classes: int) -> _Counts:
    given = trial.arguments("model")
    n, height, width = in_shape
    found = []
    for n_out in given["channels"]:
        found.append(_conv(n, n_out, 3, height * width, bias=True))
        found += [_norm(n_out)] if given["batch_norm"] else []
        n, height, width = n_out, height // 2, width // 2
    if not height * width:
        return []
    seen = 1 if given["global_pool"] else height * width
    found += [_linear(n * seen, given["hidden"]), _linear(given["hidden"], n_classes)]
    return found + ([_norm(given["hidden"])] if given["hidden_batch_norm"] else [])


def _mobilenet(trial: Trial, in_shape: Sequence[int], n_classes: int) -> _Counts:
    factor, (height, width) = trial.argument("model", "width"), in_shape[1:]
    if max(trial.argument("model", "blocks"), default=0) >= len(BLOCKS):
        return []
    stem = n = scaled(STEM, factor)
    found = [_conv(in_shape[0], stem, 3, height * width, bias=False), _norm(stem)]
    for n_in, n, stride in blocks(in_shape, factor):
        height, width = math.ceil(height / stride), math.ceil(width / stride)
        depthwise = _conv(1, n_in, 3, height * width, bias=False)
        pointwise = _conv(n_in, n, 1, height * width, bias=False)
        found += [depthwise, _norm(n_in), pointwise, _norm(n)]
    return [*found, _linear(n, n_classes)]


_COUNTED = {"mlp": _mlp, "cnn": _cnn, "mobilenet": _mobilenet}
