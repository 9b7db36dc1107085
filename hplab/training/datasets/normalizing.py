"""From bytes to the numbers that networks are given."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from hplab import catalogue
from hplab.trial import HplabError

IMAGENET_MEAN = (0.485, 0.456, 0.406)


IMAGENET_STD = (0.229, 0.224, 0.225)


def normalize(images_u8: Tensor, how: str, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Return images as float32 on the device they are on: see `normalizer`.

    Args:
        images_u8: uint8 images `(N, C, H, W)`.
        how: One of `hplab.catalogue.NORMALIZATIONS`.
        mean: Mean of each channel, on the scale 0 to 1.
        std: Standard deviation of each channel, on the scale 0 to 1.

    Raises:
        HplabError: If `how` is unknown, or the channels do not fit it.
    """
    return normalizer(how, mean, std, images_u8.shape[1], images_u8.device)(images_u8)


def normalizer(
    how: str,
    mean: Sequence[float],
    std: Sequence[float],
    n_channels: int,
    device: torch.device | str,
) -> Callable[[Tensor], Tensor]:
    """Return the function that turns uint8 images `(N, C, H, W)` into float32 ones.

    Its constants are on the device already, so that it never waits for the host.

    Args:
        how: "unit" divides by 255; "standard" then subtracts `mean` and divides by `std`;
            "symmetric" does so with one half for both, so that black is -1 and white 1;
            "imagenet" with the constants of models trained on ImageNet.
        mean: Mean of each channel, on the scale 0 to 1.
        std: Standard deviation of each channel, on the scale 0 to 1.
        n_channels: Channels of the images.
        device: Where the images are.

    Raises:
        HplabError: If `how` is unknown, or the channels do not fit it.
    """
    catalogue.check("normalize", how)
    if how == "unit":
        return _unit
    if how == "imagenet":
        mean, std = IMAGENET_MEAN, IMAGENET_STD
    if how == "symmetric":
        mean = std = (0.5,) * n_channels
    if not n_channels == len(mean) == len(std):
        raise HplabError(f"normalize {how!r} has {len(mean)} channels, the images {n_channels}")
    if min(std) <= 0:
        raise HplabError(f"normalize {how!r} needs channels that vary, got std {tuple(std)}")
    shift = torch.tensor(mean, dtype=torch.float32, device=device).view(1, -1, 1, 1)
    scale = torch.tensor(std, dtype=torch.float32, device=device).view(1, -1, 1, 1)
    return lambda images: _unit(images).sub_(shift).div_(scale)


def _unit(images_u8: Tensor) -> Tensor:
    return images_u8.to(torch.float32).div_(255)
