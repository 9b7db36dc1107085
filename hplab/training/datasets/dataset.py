"""A data set in memory, and the digest that names its content."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hplab.training.datasets import archives


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set in memory, on the CPU.

    Args:
        name: Its name, one of `hplab.catalogue.DATA`.
        images: Training images, uint8 `(N, C, H, W)`, contiguous.
        labels: Training labels, int64 `(N,)`, from 0 to `len(class_names) - 1`.
        test_images: Test images, as `images`.
        test_labels: Test labels, as `labels`.
        class_names: What each label means.
        digest: SHA-256 over the arrays with their names, types and shapes, 64 hex digits.
        mean: Mean of each channel of the training images, on the scale 0 to 1.
        std: Standard deviation (of the population) of each channel, on the same scale.
        groups: Number of the group of near copies each training image is in, int64 `(N,)`, or None
            where they are not known.
    """

    name: str
    images: Tensor
    labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    class_names: tuple[str, ...]
    digest: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    groups: Tensor | None = None


def of_arrays(
    name: str,
    arrays: Sequence[np.ndarray],
    class_names: tuple[str, ...],
    groups: np.ndarray | None = None,
) -> Dataset:
    """Return the data set of checked arrays in the order of `files.ARRAYS`."""
    dtypes = (np.uint8, np.int64, np.uint8, np.int64)
    images, labels, test_images, test_labels = tensors = [
        torch.from_numpy(np.array(array, dtype, order="C"))  # a copy: a file's bytes are read-only
        for array, dtype in zip(arrays, dtypes, strict=True)
    ]
    mean, std = _channel_stats(images)
    digest = _digest(tensors)
    if groups is not None:
        digest = hashlib.sha256(f"{digest} {groups.tolist()}".encode()).hexdigest()
    near = None if groups is None else torch.from_numpy(groups)
    return Dataset(
        name, images, labels, test_images, test_labels, class_names, digest, mean, std, near
    )


def tensors_of(dataset: Dataset) -> tuple[Tensor, ...]:
    """Return the four arrays of a data set, in the order of `archives.ARRAYS`."""
    return dataset.images, dataset.labels, dataset.test_images, dataset.test_labels


def _digest(tensors: Sequence[Tensor]) -> str:
    """Return the SHA-256 over names, types, shapes and little-endian bytes of the four arrays."""
    digest = hashlib.sha256()
    for name, tensor in zip(archives.ARRAYS, tensors, strict=True):
        array = tensor.numpy()
        digest.update(f"{name} {array.dtype} {'x'.join(map(str, array.shape))}\n".encode())
        digest.update(array.astype(array.dtype.newbyteorder("<"), copy=False).data)
    return digest.hexdigest()


def _channel_stats(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of each channel on the scale 0 to 1.

    The sums are of whole numbers below 2**53: exact in float64, whatever the order of addition.
    """
    total = torch.zeros(images.shape[1], dtype=torch.float64)
    squares = torch.zeros_like(total)
    for block in images.split(64):  # small enough to stay in the processor's cache
        wide = block.to(torch.float64)
        total += wide.sum((0, 2, 3))
        squares += wide.square_().sum((0, 2, 3))
    n = images.numel() // images.shape[1]
    mean = total / n
    variance = (squares / n - mean.square()).clamp_(min=0)
    return tuple((mean / 255).tolist()), tuple((variance.sqrt() / 255).tolist())
