"""Random changes of the training images, drawn from a trial's own stream, made on the device.

What is drawn depends on the trial's seed and on nothing else: not on the batch size, the device or
the number of lanes. So two settings with the same seed see the same changes, and can be compared
in pairs. The changes are those of `torchvision.transforms` on the same random numbers; only the
numbers are drawn for a whole epoch at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from hplab.trial import Trial

Draws = dict[str, Tensor]


def streams(trials: Sequence[Trial]) -> list[torch.Generator]:
    """Return the generator of each trial's augmentation."""
    return [torch.Generator().manual_seed(t.stream("augment")) for t in trials]


def names(how: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the random numbers that `draw` draws for an image."""
    return tuple(name for change in how for name in _NUMBERS[change])


def draw(how: Mapping[str, Any], n: int, generators: Sequence[torch.Generator]) -> Draws:
    """Draw the changes of one epoch.

    Args:
        how: A trial's `augment`: from name to strength.
        n: Images in the epoch.
        generators: One for each of the M lanes.

    Returns:
        One tensor `(M, n)` a random number: for "crop" the corner of the window, "top" and "left",
        from 0 to twice the border; for "flip" whether the image is mirrored; for "rotate" the
        "angle" in degrees, counter-clockwise.
    """
    drawn: dict[str, list[Tensor]] = {}
    for generator in generators:
        for name in how:  # sorted, so the order of the draws is fixed
            for key, values in _DRAWS[name](how[name], n, generator).items():
                drawn.setdefault(key, []).append(values)
    return {key: torch.stack(values) for key, values in drawn.items()}


def apply(images: Tensor, how: Mapping[str, Any], draws: Draws) -> Tensor:
    """Change images as drawn.

    Args:
        images: uint8 images `(N, C, H, W)`.
        how: A trial's `augment`.
        draws: One value an image, tensors `(N,)` on the device of the images.

    Returns:
        uint8 images `(N, C, H, W)`. Images are cropped, flipped and then turned about their centre,
        each pixel taken from the nearest. What a crop or a turn takes from outside the image is
        black (0), as in torchvision, which pads before it normalizes.
    """
    if not how:
        return images
    n, n_channels, height, width = images.shape
    row = torch.arange(height, dtype=torch.float32, device=images.device).view(1, -1, 1)
    column = torch.arange(width, dtype=torch.float32, device=images.device).view(1, 1, -1)
    outside: list[Tensor] = []  # how far a pixel's source lies outside, which is seldom
    if "rotate" in how:
        row, column = _turned(height, width, draws["angle"])
        row, column = _kept(row, height, outside), _kept(column, width, outside)
    if "flip" in how:
        flip = draws["flip"].float().view(-1, 1, 1)
        column = column * (1 - 2 * flip) + (width - 1) * flip
    if "crop" in how:
        down, across = (draws[name].view(-1, 1, 1) - how["crop"] for name in ("top", "left"))
        row, column = _kept(row + down, height, outside), _kept(column + across, width, outside)
    source = (row * width + column).expand(n, -1, -1).long().flatten(1)  # exact below 2**24
    picked = images.flatten(2).gather(2, source[:, None].expand(-1, n_channels, -1))
    picked = picked.view(images.shape)
    return picked.mul_((cast(Tensor, sum(outside)) == 0)[:, None]) if outside else picked


def _kept(place: Tensor, size: int, outside: list[Tensor]) -> Tensor:
    """Return rows or columns moved into the image; append by how much each was moved."""
    kept = place.clamp(0, size - 1)
    outside.append((place - kept).abs_())
    return kept


def _turned(height: int, width: int, angles: Tensor) -> tuple[Tensor, Tensor]:
    """Return the row and column from which each pixel of turned images comes, `(N, H, W)` each.

    Pixels are squares and the centre of the image is where its halves meet; a result is a whole
    number and may lie outside the image.
    """
    turn = torch.deg2rad(angles.to(torch.float32))[:, None, None]
    y = torch.arange(height, device=angles.device).view(-1, 1) + 0.5 - height / 2
    x = torch.arange(width, device=angles.device) + 0.5 - width / 2
    down = (turn.sin() * x + turn.cos() * y).add_(height / 2)
    across = (turn.cos() * x - turn.sin() * y).add_(width / 2)
    return down.floor_(), across.floor_()


def _crop(border: int, n: int, generator: torch.Generator) -> Draws:
    corners = torch.randint(2 * border + 1, (2, n), generator=generator)
    return {"top": corners[0], "left": corners[1]}


def _flip(probability: float, n: int, generator: torch.Generator) -> Draws:
    return {"flip": torch.rand(n, generator=generator) < probability}


def _rotate(largest: float, n: int, generator: torch.Generator) -> Draws:
    return {"angle": (2 * torch.rand(n, generator=generator) - 1) * largest}


_DRAWS = {"crop": _crop, "flip": _flip, "rotate": _rotate}
_NUMBERS = {"crop": ("top", "left"), "flip": ("flip",), "rotate": ("angle",)}
