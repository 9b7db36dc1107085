"""Data sets that give one example at a time, as torchvision's do: read whole, as bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor
from torch.utils import data

from hplab.training.datasets import photos
from hplab.trial import HplabError

_N_TWICE = 8  # examples that are read a second time, to see whether they are the same
_EXACT = 1e-3  # how far a float image, times 255, may be from whole numbers


def arrays_of(made: Any, where: str) -> tuple[Any, tuple[str, ...]]:
    """Return what a reader's function made with its data sets read whole, and names of the classes.

    Args:
        made: Anything; a `torch.utils.data.Dataset` of images with their labels, or two of them
            (training and test), are read.
        where: What it is called, for messages.

    Raises:
        HplabError: If an example is no image with a label, images differ in size or are not what
            they were a moment ago.
    """
    parts = made if isinstance(made, tuple | list) else (made,)
    if any(isinstance(part, data.DataLoader) for part in parts):
        raise HplabError(f"{where} is a DataLoader: give the data set in it (loader.dataset)")
    if not parts or not all(isinstance(part, data.Dataset) for part in parts):
        return made, ()
    if len(parts) > 2:
        raise HplabError(f"{where} has {len(parts)} data sets: give training, or training and test")
    read = [array for part in parts for array in _read(part, where)]
    inner = getattr(parts[0], "dataset", parts[0])  # that of a subset
    return tuple(read), tuple(map(str, getattr(inner, "classes", ())))


def as_bytes(images: Any, where: str) -> np.ndarray:
    """Return images as they are if they are bytes; floats from 0 to 1 that were bytes, as those.

    Raises:
        HplabError: If they are floats that no bytes give.
    """
    array = images.detach().cpu().numpy() if isinstance(images, Tensor) else np.asarray(images)
    if array.dtype.kind != "f":
        return array
    if not array.size:
        return array.astype(np.uint8)
    scaled = array.astype(np.float64) * 255
    whole = np.rint(scaled)
    if not (whole.min() >= 0 and whole.max() <= 255 and np.abs(scaled - whole).max() < _EXACT):
        raise HplabError(
            f"{where} is {array.dtype} {array.shape}, expected uint8 from 0 to 255, or the same as "
            f"floats from 0 to 1 (ToTensor); it goes from {array.min():.3g} to {array.max():.3g}. "
            "Leave Normalize out: a trial normalizes its images itself"
        )
    return whole.astype(np.uint8)


def _read(part: Any, where: str) -> tuple[np.ndarray, np.ndarray]:
    try:
        n = len(part)
    except TypeError as error:
        raise HplabError(f"{where}: a data set without a length cannot be read whole") from error
    images: list[np.ndarray] = []
    labels: list[int] = []
    for i in range(n):
        image, label = _example(part, i, where)
        if images and image.shape != images[0].shape:
            raise HplabError(
                f"{where}: image {i} is {image.shape} and image 0 {images[0].shape}: give them one "
                "size, with transform=Resize((64, 64)) for instance"
            )
        images.append(image)
        labels.append(label)
    for i in range(min(n, _N_TWICE)):
        if not np.array_equal(_example(part, i, where)[0], images[i]):
            raise HplabError(
                f"{where}: image {i} is another one each time: leave random transforms out; a "
                "trial changes its training images itself (augment)"
            )
    return np.array(images), np.array(labels, np.int64)


def _example(part: Any, i: int, where: str) -> tuple[np.ndarray, int]:
    try:
        image, label = part[i]
        label = int(label)
    except Exception as error:  # whatever a reader's data set raises
        why = f"{type(error).__name__}: {error}"
        raise HplabError(f"{where}: example {i} is no image with its label: {why}") from error
    if hasattr(image, "getbands"):  # Pillow's
        grey = image.mode == "L"
        image = np.asarray(image if grey else photos.rgb(image))
        image = image[None] if grey else image.transpose(2, 0, 1)
    return as_bytes(image, f"{where}: image {i}"), label
