"""Data sets that give one example at a time, as torchvision's do: read whole, as bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils import data

from hplab.training.datasets import photos
from hplab.trial import HplabError

_N_TWICE = 8  # examples that are read a second time, to see whether they are the same
_ONE = {3: "(C, H, W)", 2: "(H, W)"}  # what an image may be
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


def as_bytes(images: Any, where: str, shapes: Mapping[int, str]) -> np.ndarray:
    """Return images as they are if they are bytes; floats from 0 to 1 that were bytes, as those.

    Args:
        images: An array or tensor.
        where: What they are called, for messages.
        shapes: The numbers of dimensions that are allowed, with the shape that each stands for.

    Raises:
        HplabError: If they have another shape or type, or are floats that no bytes give. It names
            every fault.
    """
    array = images.detach().cpu().numpy() if isinstance(images, Tensor) else np.asarray(images)
    given = f"{array.dtype} {array.shape}"
    faults = []
    if array.dtype.kind == "f":
        array, fault = _of_floats(array)
        faults.append(fault)
    elif array.dtype != np.uint8:
        faults.append(f"its type is {array.dtype}")
    if array.ndim not in shapes:
        faults.append(
            f"{array.shape} is no shape of images; for a table of features use hp.sweep with a "
            "function that trains on it"
        )
    if any(faults):
        raise HplabError(
            f"{where} is {given}, expected uint8 from 0 to 255, {' or '.join(shapes.values())}: "
            + "; and ".join(filter(None, faults))
        )
    return array


def _of_floats(array: np.ndarray) -> tuple[np.ndarray, str]:
    """Return the bytes that gave floats by division by 255, or why none did."""
    if not array.size:
        return array.astype(np.uint8), ""
    low, high = array.min(), array.max()
    if not (low >= -_EXACT / 255 and high <= 1 + _EXACT / 255):
        return array, (
            f"it goes from {low:.3g} to {high:.3g}, and floats go from 0 to 1. Leave Normalize "
            "out: a trial normalizes its images itself"
        )
    scaled = array.astype(np.float64) * 255
    whole = np.rint(scaled)
    off = np.abs(scaled - whole)
    if off.max() >= _EXACT:
        return array, (
            f"it holds {array.flat[off.argmax()]:.4g}, and no byte over 255 gives that: images are "
            "kept as bytes, so floats must be bytes over 255, as ToTensor makes them (or round: "
            "(255 * x).round().astype('uint8'))"
        )
    return whole.astype(np.uint8), ""


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
    return as_bytes(image, f"{where}: image {i}", _ONE), label
