"""Which images train, which validate and which are kept for the test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hplab.catalogue import row
from hplab.training.datasets.dataset import Dataset
from hplab.trial import HplabError, unknown


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


def split(dataset: Dataset, *, split: str, split_args: Mapping[str, Any], fold: int) -> Split:
    """Divide a data set into images to train on and images to validate on.

    Args:
        dataset: The data set.
        split: "official" (the test part validates), "holdout" (a stratified share of the training
            part) or "kfold" (stratified folds of the training part, with all near copies of an
            image in one fold if `grouped`).
        split_args: For "holdout" `val`, a share below 1 or a count, and `seed`; for "kfold"
            `n_folds`, `seed` and `grouped`. Missing ones have the catalogue's defaults.
        fold: The fold that validates, counted from 1.

    Raises:
        HplabError: If a name is unknown, there is no such fold, or a class would be missing from
            one side.
    """
    defaults = row("split", split).defaults
    for name in split_args:
        if name not in defaults:
            raise unknown("split argument", name, defaults, f"split {split!r}")
    arguments = {**defaults, **split_args}
    n_folds = arguments.get("n_folds", 1)
    if not 1 <= fold <= n_folds:
        raise HplabError(f"fold must be between 1 and {n_folds}, got {fold}")
    if split == "official":
        if not len(dataset.test_labels):
            raise HplabError(f"data set {dataset.name!r} has no test part; use another split")
        return Split(dataset, torch.arange(len(dataset.labels)), None)
    labels = dataset.labels.numpy()
    if split == "holdout":
        train, val = holdout(labels, **arguments)
    else:
        if arguments.pop("grouped"):
            if dataset.groups is None:
                raise HplabError(f"near copies in {dataset.name!r} are not known: grouped folds")
            arguments["groups"] = dataset.groups.numpy()
        train, val = _fold(labels, fold=fold, **arguments)
    for part, index in (("training", train), ("validation", val)):
        _check_every_class(dataset, index, f"the {part} side of split {split!r}")
    return Split(dataset, torch.from_numpy(np.sort(train)), torch.from_numpy(np.sort(val)))


def _gather(values: Tensor, index: Tensor) -> Tensor:
    """Return `values[index]`, or `values` itself where the index holds every entry."""
    return values if len(index) == len(values) else values[index.to(values.device)]


def holdout(labels: np.ndarray, *, val: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
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
    if groups is not None and n_folds > (n_groups := len(np.unique(groups))):
        raise HplabError(f"n_folds is {n_folds}, but there are {n_groups} groups of near copies")
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
