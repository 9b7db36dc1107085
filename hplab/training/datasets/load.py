"""Data sets as tensors of bytes: loading, splitting and normalizing them.

A data set lives in memory as uint8 images `(N, C, H, W)` and int64 labels `(N,)`, so that it can
be moved to a device whole and needs no loader. Its digest names its content: results recorded on
other pixels can never be mistaken for results on these.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hplab.training.datasets import archives, photos
from hplab.training.datasets.fetch import fetch
from hplab.training.datasets.sources import DIGESTS, SOURCES, Source
from hplab.trial import NORMALIZATIONS, SPLITS, HplabError, unknown

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_KNOWN = ("digits", *SOURCES, *photos.PHOTOS)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set in memory, on the CPU.

    Args:
        name: Its name, one of `hplab.trial.DATA`.
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


@dataclass(frozen=True, eq=False)
class Split:
    """Which images train, which validate and which are kept for the test.

    Only indices are stored. Images are gathered when asked for, and not copied where a whole part
    of the data set is used.

    Args:
        dataset: The data set that is split.
        train_index: Indices into its training part, int64, ascending.
        val_index: Indices into its training part, or None where the test part validates.
    """

    dataset: Dataset
    train_index: Tensor
    val_index: Tensor | None

    @property
    def train_images(self) -> Tensor:
        """Images to train on, uint8 `(n_train, C, H, W)`."""
        return _gather(self.dataset.images, self.train_index)

    @property
    def train_labels(self) -> Tensor:
        """Labels to train on, int64 `(n_train,)`."""
        return _gather(self.dataset.labels, self.train_index)

    @property
    def val_images(self) -> Tensor:
        """Images to validate on, uint8 `(n_val, C, H, W)`."""
        if self.val_index is None:
            return self.dataset.test_images
        return _gather(self.dataset.images, self.val_index)

    @property
    def val_labels(self) -> Tensor:
        """Labels to validate on, int64 `(n_val,)`."""
        if self.val_index is None:
            return self.dataset.test_labels
        return _gather(self.dataset.labels, self.val_index)

    @property
    def test_images(self) -> Tensor:
        """Images of the published test part."""
        return self.dataset.test_images

    @property
    def test_labels(self) -> Tensor:
        """Labels of the published test part."""
        return self.dataset.test_labels


def load(name: str, *, root: Path | None = None, download: bool = True) -> Dataset:
    """Return a data set, from this machine or from the internet.

    The places are, in this order: the package (`digits` comes with scikit-learn), `NAME.npz` in
    the folder that the environment variable HPLAB_DATA names, the files downloaded earlier to
    HPLAB_CACHE (default `~/.cache/hplab`), and the mirrors in `sources.py`, unless HPLAB_OFFLINE is
    set. Photos (`dinosaurs`) are not downloaded: they come as `NAME.npz` or as the folder `NAME`,
    with one folder a class inside (see `photos.py`).

    Args:
        name: One of `hplab.trial.DATA`.
        root: A folder to use in place of both HPLAB_DATA and the cache.
        download: Whether the internet may be asked.

    Raises:
        HplabError: If the name is unknown, a file is damaged or is another one than its digest
            says, or the data set is nowhere to be had (naming where to put it).
    """
    if name not in _KNOWN:
        raise unknown("data set", name, _KNOWN)
    if name == "digits":
        return _digits()
    if name in photos.PHOTOS:
        npz, cache = _places(name, root)
        images, labels, class_names, groups = photos.load(name, npz, cache)
        none = (np.empty((0, *images.shape[1:]), np.uint8), np.empty(0, np.int64))
        return _dataset(name, (images, labels, *none), class_names, groups)
    source = SOURCES[name]
    npz, folder = _places(name, root)
    if npz is not None and npz.is_file():
        return _dataset(name, *archives.from_npz(npz, source))
    if npz is not None and not npz.parent.is_dir() and root is None:
        raise HplabError(f"HPLAB_DATA names {npz.parent}, which is not a folder")
    if not _is_complete(source, folder):
        _download(name, source, folder, download)
    return _dataset(name, archives.from_downloads(folder, source), source.class_names)


def available(name: str, *, root: Path | None = None) -> str | None:
    """Return where `load` would find a data set without downloading, or None.

    Nothing is opened: the answer is "embedded", "HPLAB_DATA" or "cache" by what exists.
    """
    if name not in _KNOWN:
        raise unknown("data set", name, _KNOWN)
    if name == "digits":
        return "embedded"
    npz, folder = _places(name, root)
    if npz is not None and npz.is_file():
        return "HPLAB_DATA"
    if name in photos.PHOTOS:
        return "HPLAB_DATA" if npz is not None and npz.with_suffix("").is_dir() else None
    return "cache" if _is_complete(SOURCES[name], folder) else None


def can_fetch(name: str) -> bool:
    """Return whether a data set can be downloaded; photos cannot."""
    return name not in photos.PHOTOS


def is_official(dataset: Dataset) -> bool:
    """Return whether a data set is, bit for bit, the one its authors published.

    Photos are resized here, so no published file is equal to them bit for bit. A data set
    read from an npz file need not be: it is used all the same, under its own digest.
    """
    if dataset.name in DIGESTS:
        return dataset.digest == DIGESTS[dataset.name]
    if dataset.name in photos.PHOTOS:
        return False
    arrays = [tensor.numpy() for tensor in _tensors(dataset)]
    return archives.equal_published(arrays, SOURCES[dataset.name])


def split(dataset: Dataset, *, split: str, split_args: Mapping[str, Any], fold: int) -> Split:
    """Divide a data set into images to train on and images to validate on.

    Args:
        dataset: The data set.
        split: "official" (the test part validates), "holdout" (a stratified share of the training
            part) or "kfold" (stratified folds of the training part, with all near copies of an
            image in one fold if `grouped`).
        split_args: For "holdout" `val`, a share below 1 or a count, and `seed`; for "kfold"
            `n_folds`, `seed` and `grouped`. Missing ones have the defaults of `hplab.trial.SPLITS`.
        fold: The fold that validates, counted from 1.

    Raises:
        HplabError: If a name is unknown, there is no such fold, or a class would be missing from
            one side.
    """
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    for name in split_args:
        if name not in SPLITS[split]:
            raise unknown("split argument", name, SPLITS[split], f"split {split!r}")
    arguments = {**SPLITS[split], **split_args}
    n_folds = arguments.get("n_folds", 1)
    if not 1 <= fold <= n_folds:
        raise HplabError(f"fold must be between 1 and {n_folds}, got {fold}")
    if split == "official":
        if not len(dataset.test_labels):
            raise HplabError(f"data set {dataset.name!r} has no test part; use another split")
        return Split(dataset, torch.arange(len(dataset.labels)), None)
    labels = dataset.labels.numpy()
    if split == "holdout":
        train, val = _holdout(labels, **arguments)
    else:
        if arguments.pop("grouped"):
            if dataset.groups is None:
                raise HplabError(f"near copies in {dataset.name!r} are not known: grouped folds")
            arguments["groups"] = dataset.groups.numpy()
        train, val = _fold(labels, fold=fold, **arguments)
    for part, index in (("training", train), ("validation", val)):
        _check_every_class(dataset, index, f"the {part} side of split {split!r}")
    return Split(dataset, torch.from_numpy(np.sort(train)), torch.from_numpy(np.sort(val)))


def normalize(images_u8: Tensor, how: str, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Return images as float32 on the device they are on: see `normalizer`.

    Args:
        images_u8: uint8 images `(N, C, H, W)`.
        how: One of `hplab.trial.NORMALIZATIONS`.
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
    if how not in NORMALIZATIONS:
        raise unknown("normalize", how, NORMALIZATIONS)
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


# ---------------------------------------------------------------------------------------------
# Splits


def _gather(values: Tensor, index: Tensor) -> Tensor:
    """Return `values[index]`, or `values` itself where the index holds every entry."""
    return values if len(index) == len(values) else values[index.to(values.device)]


def _holdout(labels: np.ndarray, *, val: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return training and validation indices of a stratified holdout."""
    from sklearn.model_selection import StratifiedShuffleSplit  # slow to import

    if not 0 < val < len(labels):
        raise HplabError(f"split_args.val must be a share or a count below {len(labels)}: {val}")
    try:
        splitter = StratifiedShuffleSplit(n_splits=1, test_size=val, random_state=seed)
        return next(splitter.split(labels, labels))
    except ValueError as error:
        raise HplabError(f"cannot hold out {val} of {len(labels)} images: {error}") from error


def _fold(
    labels: np.ndarray, *, fold: int, n_folds: int, seed: int, groups: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return training and validation indices of one of several stratified folds."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold  # slow to import

    rarest = np.bincount(labels)[np.unique(labels)].min()
    if not 2 <= n_folds <= rarest:
        raise HplabError(
            f"n_folds must be between 2 and {rarest}, the size of the rarest class; got {n_folds}"
        )
    kind = StratifiedKFold if groups is None else StratifiedGroupKFold
    splitter = kind(n_folds, shuffle=True, random_state=seed)
    return list(splitter.split(labels, labels, groups))[fold - 1]


def _check_every_class(dataset: Dataset, index: np.ndarray, where: str) -> None:
    counts = torch.bincount(dataset.labels[index], minlength=len(dataset.class_names))
    for name, count in zip(dataset.class_names, counts.tolist(), strict=True):
        if count == 0:
            raise HplabError(
                f"class {name!r} of {dataset.name!r} is missing from {where}; use fewer folds, a "
                "larger share or another seed"
            )


# ---------------------------------------------------------------------------------------------
# Loading


def _places(name: str, root: Path | None) -> tuple[Path | None, Path]:
    """Return where `NAME.npz` may be, and the folder of downloaded files."""
    if root is not None:
        return Path(root) / f"{name}.npz", Path(root) / name
    folder = os.environ.get("HPLAB_DATA")
    cache = os.environ.get("HPLAB_CACHE") or Path.home() / ".cache" / "hplab"
    return Path(folder) / f"{name}.npz" if folder else None, Path(cache) / name


def _is_complete(source: Source, folder: Path) -> bool:
    return all((folder / remote.name).is_file() for remote in source.files)


def _offline() -> bool:
    return os.environ.get("HPLAB_OFFLINE", "") not in ("", "0")


def _download(name: str, source: Source, folder: Path, allowed: bool) -> None:
    """Fetch the files of a data set, or say how to put them where they belong."""
    by_hand = f"put {name}.npz into the folder that HPLAB_DATA names"
    if _offline() or not allowed:
        why = "HPLAB_OFFLINE is set" if _offline() else "downloading is switched off"
        names = ", ".join(remote.name for remote in source.files)
        raise HplabError(
            f"data set {name!r} is not on this machine and {why}; {by_hand}, or {names} into "
            f"{folder}"
        )
    for remote in source.files:
        try:
            fetch(remote, folder)
        except HplabError as error:
            raise HplabError(f"{error}, or {by_hand}") from error


def _digits() -> Dataset:
    """Return scikit-learn's 1,797 handwritten digits, 1,437 to train on and 360 to test on."""
    from sklearn.datasets import load_digits  # slow to import

    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)[:, None]
    train, test = _holdout(digits.target, val=360, seed=0)
    train, test = np.sort(train), np.sort(test)
    arrays = (images[train], digits.target[train], images[test], digits.target[test])
    return _dataset("digits", arrays, tuple("0123456789"))


def _dataset(
    name: str,
    arrays: Sequence[np.ndarray],
    class_names: tuple[str, ...],
    groups: np.ndarray | None = None,
) -> Dataset:
    """Return the data set of checked arrays in the order of `files.ARRAYS`."""
    dtypes = (np.uint8, np.int64, np.uint8, np.int64)
    tensors = tuple(
        torch.from_numpy(
            np.array(array, dtype, order="C")
        )  # a copy: the file's bytes are read-only
        for array, dtype in zip(arrays, dtypes, strict=True)
    )
    mean, std = _channel_stats(tensors[0])
    digest = _digest(tensors)
    if groups is not None:
        groups = torch.from_numpy(groups)
        digest = hashlib.sha256(f"{digest} {groups.tolist()}".encode()).hexdigest()
    return Dataset(name, *tensors, class_names, digest, mean, std, groups)


def _tensors(dataset: Dataset) -> tuple[Tensor, ...]:
    return dataset.images, dataset.labels, dataset.test_images, dataset.test_labels


def _digest(tensors: Sequence[Tensor]) -> str:
    """Return the SHA-256 over names, types, shapes and little-endian bytes of the four arrays."""
    digest = hashlib.sha256()
    for name, tensor in zip(archives.ARRAYS, tensors, strict=True):
        array = tensor.numpy()
        digest.update(f"{name} {array.dtype} {'x'.join(map(str, array.shape))}\n".encode())
        digest.update(array.astype(array.dtype.newbyteorder("<"), copy=False))
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
