"""Data sets of the reader's own, from what `hp.register` was given."""

from __future__ import annotations

from typing import Any

import numpy as np

from hplab.catalogue import Row
from hplab.training.datasets import items
from hplab.training.datasets.archives import ARRAYS, check_labels
from hplab.training.datasets.dataset import Dataset, of_arrays, tensors_of
from hplab.trial import HplabError

_SHAPES = {4: "(N, C, H, W)", 3: "(N, H, W)"}  # what images may be


def load(name: str, row: Row) -> Dataset:
    """Return the data set that a registered function makes, with the digest of its content.

    Raises:
        HplabError: If the function gives anything but a `Dataset`, or two or four arrays of the
            types and shapes that `hp.register` names.
    """
    try:
        made = row.make(**row.defaults)
    except HplabError:
        raise
    except Exception as error:  # whatever a reader's function raises
        raise HplabError(f"data set {name!r}: {type(error).__name__}: {error}") from error
    if isinstance(made, Dataset):
        groups = None if made.groups is None else made.groups.numpy()
        return of_arrays(name, _checked(name, tensors_of(made)), made.class_names, groups)
    made, class_names = items.arrays_of(made, f"data set {name!r}")
    arrays = _checked(name, made)
    n_classes = 1 + max(int(labels.max(initial=0)) for labels in arrays[1::2])
    if len(class_names) < n_classes:
        class_names = tuple(map(str, range(n_classes)))
    return of_arrays(name, arrays, class_names)


def _checked(name: str, made: Any) -> tuple[np.ndarray, ...]:
    """Return training images `(N, C, H, W)` and labels, then those of the test part."""
    where = f"data set {name!r}"
    if not isinstance(made, tuple | list) or len(made) not in (2, 4):
        raise HplabError(f"{where} must give a data set or {', '.join(ARRAYS)}, got {made!r:.80}")
    arrays = [np.asarray(one) for one in made]
    if len(arrays) == 2:
        arrays += [arrays[0][:0], arrays[1][:0]]
    for i in (0, 2):
        images = items.as_bytes(arrays[i], f"{where}: {ARRAYS[i]}", _SHAPES)
        arrays[i] = images[:, None] if images.ndim == 3 else images
        labels = arrays[i + 1]
        if len(labels) and not np.issubdtype(labels.dtype, np.integer):
            raise HplabError(
                f"{where}: {ARRAYS[i + 1]} is {labels.dtype} {labels.shape}, expected integers "
                f"({len(images)},) from 0"
            )
        if not len(images) and i == 0:
            raise HplabError(f"{where}: {ARRAYS[i]} is empty, {images.shape}")
        if len(images):
            n_classes = 1 + int(arrays[i + 1].max(initial=0))
            check_labels(arrays[i + 1], len(images), n_classes, f"{where}: {ARRAYS[i + 1]}")
    if not len(arrays[0]) or arrays[0].shape[1:] != arrays[2].shape[1:]:
        shapes = f"{arrays[0].shape} and {arrays[2].shape}"
        raise HplabError(f"{where} needs training and test images of one shape, got {shapes}")
    return tuple(arrays)
