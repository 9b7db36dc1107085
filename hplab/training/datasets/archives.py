"""From the files of a data set to its four arrays, every promise of the files checked."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from hplab.training.datasets import readers
from hplab.training.datasets.fetch import verify
from hplab.training.datasets.sources import Source
from hplab.trial import HplabError

ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")
_CIFAR_PART = 10_000  # records in a file of CIFAR-10


def from_npz(path: Path, source: Source) -> tuple[tuple[np.ndarray, ...], tuple[str, ...]]:
    """Return the arrays and class names of an npz file that holds a data set.

    Args:
        path: The file. Images are uint8 `(N, H, W, C)`, or `(N, H, W)` for one channel; labels are
            integers `(N,)`; `class_names` is optional.
        source: What the data set should be. The number of images is free.

    Returns:
        The arrays in the order of `ARRAYS`, images turned to `(N, C, H, W)`; and the class names.

    Raises:
        HplabError: If the file is damaged, or an array is missing, empty, of another type or shape,
            or a label is out of range.
    """
    arrays = readers.read_npz(path, ARRAYS, ("class_names",))
    names = arrays.get("class_names")
    class_names = source.class_names if names is None else tuple(names.ravel().tolist())
    n_classes = len(source.class_names)
    if names is not None and (names.dtype.kind != "U" or len(set(class_names)) != n_classes):
        raise HplabError(f"{path}: class_names must be {n_classes} different names")
    for part in ("train", "test"):
        images, labels = arrays[f"{part}_images"], arrays[f"{part}_labels"]
        arrays[f"{part}_images"] = _channels_first(images, source.shape, f"{path}: {part}_images")
        check_labels(labels, len(images), n_classes, f"{path}: {part}_labels")
    return tuple(arrays[name] for name in ARRAYS), class_names


def from_downloads(folder: Path, source: Source) -> tuple[np.ndarray, ...]:
    """Return the arrays of downloaded files, verified before and after decompression.

    Args:
        folder: Where the files of `source` are.
        source: The data set.

    Returns:
        The arrays in the order of `ARRAYS`, images `(N, C, H, W)`.

    Raises:
        HplabError: If a file is missing or is not, byte for byte, the published one.
    """
    for remote in source.files:
        verify(folder / remote.name, remote)
    raw = _decompress(folder, source)
    for name, content in raw.items():
        digest, expected = hashlib.sha256(content).hexdigest(), source.raw[name][1]
        if digest != expected:
            raise HplabError(f"{folder}: {name} has SHA-256 {digest}, expected {expected}")
    arrays = _parse_cifar(raw, source) if source.n_label_bytes else _parse_idx(raw)
    for images, labels in (arrays[:2], arrays[2:]):
        check_labels(labels, len(images), len(source.class_names), f"{folder}: labels")
    return arrays


def equal_published(arrays: Sequence[np.ndarray], source: Source) -> bool:
    """Return whether arrays, written as the published files are, have those files' digests.

    Args:
        arrays: In the order of `ARRAYS`, images `(N, C, H, W)`, labels of any integer type.
        source: A data set in idx files or CIFAR-10. (CIFAR-100's records also hold the coarse
            labels, which the arrays lack.)
    """
    digests = tuple(hashlib.sha256(content).hexdigest() for content in _encode(arrays, source))
    return digests == tuple(sha256 for _, sha256 in source.raw.values())


def _channels_first(images: np.ndarray, shape: tuple[int, int, int], where: str) -> np.ndarray:
    n_channels, height, width = shape
    expected = [(height, width, n_channels), (height, width)][: 2 if n_channels == 1 else 1]
    if images.dtype != np.uint8 or images.shape[1:] not in expected:
        wanted = ", ".join(str(n) for n in expected[-1])
        raise HplabError(f"{where} is {images.dtype} {images.shape}, expected uint8 (N, {wanted})")
    return images.reshape(len(images), height, width, n_channels).transpose(0, 3, 1, 2)


def check_labels(labels: np.ndarray, n_images: int, n_classes: int, where: str) -> None:
    """Raise HplabError unless there is an integer from 0 to `n_classes - 1` for each image."""
    if labels.dtype.kind not in "ui" or labels.shape != (n_images,):
        raise HplabError(
            f"{where} is {labels.dtype} {labels.shape}, expected integers ({n_images},)"
        )
    low, high = labels.min(), labels.max()
    if low < 0 or high >= n_classes:
        raise HplabError(f"{where} run from {low} to {high}, expected 0 to {n_classes - 1}")


def _decompress(folder: Path, source: Source) -> Mapping[str, bytes | memoryview]:
    """Return the files of `source.raw` by name, in its order."""
    if source.n_label_bytes:
        sizes = {name: size for name, (size, _) in source.raw.items()}
        return readers.tar_members(folder / source.files[0].name, sizes)
    return {
        name: readers.gunzip(folder / remote.name, limit=size)
        for remote, (name, (size, _)) in zip(source.files, source.raw.items(), strict=True)
    }


def _parse_idx(raw: Mapping[str, bytes | memoryview]) -> tuple[np.ndarray, ...]:
    arrays = [
        readers.parse_idx(content, n_dims=n_dims, where=name)
        for (name, content), n_dims in zip(raw.items(), (3, 1, 3, 1), strict=True)
    ]
    return arrays[0][:, None], arrays[1], arrays[2][:, None], arrays[3]


def _parse_cifar(raw: Mapping[str, bytes | memoryview], source: Source) -> tuple[np.ndarray, ...]:
    parts = [
        readers.parse_cifar(content, n_label_bytes=source.n_label_bytes, where=name)
        for name, content in raw.items()
    ]
    images, labels = (np.concatenate(arrays) for arrays in zip(*parts[:-1], strict=True))
    return images, labels, *parts[-1]


def _encode(arrays: Sequence[np.ndarray], source: Source) -> Iterator[bytes]:
    """Yield the published files as they would be if made from these arrays."""
    train_images, train_labels, test_images, test_labels = (
        array.astype(np.uint8, copy=False) for array in arrays
    )
    if source.n_label_bytes:
        for start in range(0, len(train_labels), _CIFAR_PART):
            part = slice(start, start + _CIFAR_PART)
            yield readers.cifar_bytes(train_images[part], train_labels[part])
        yield readers.cifar_bytes(test_images, test_labels)
        return
    for images, labels in ((train_images, train_labels), (test_images, test_labels)):
        yield readers.idx_bytes(images.reshape(len(images), *source.shape[1:]))
        yield readers.idx_bytes(labels)
