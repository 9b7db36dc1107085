"""Data sets as tensors of bytes: loading, splitting and normalizing them.

A data set lives in memory as uint8 images `(N, C, H, W)` and int64 labels `(N,)`, so that it can
be moved to a device whole and needs no loader. Its digest names its content: results recorded on
other pixels can never be mistaken for results on these.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hplab import catalogue, places
from hplab.training.datasets import archives, digits, photos, registered
from hplab.training.datasets.dataset import Dataset, of_arrays, tensors_of
from hplab.training.datasets.fetch import fetch
from hplab.training.datasets.sources import DIGESTS, SOURCES, Source
from hplab.trial import HplabError


def load(name: str, *, root: Path | None = None, download: bool = True) -> Dataset:
    """Return a data set, from this machine or from the internet.

    The places are, in this order: the package (`digits` comes with scikit-learn), `NAME.npz` in
    the folder that the environment variable HPLAB_DATA names, the files downloaded earlier to
    HPLAB_CACHE (default `~/.cache/hplab`), and the mirrors in `sources.py`, unless HPLAB_OFFLINE is
    set. Photos (`dinosaurs`) are not downloaded: they come as `NAME.npz` or as the folder `NAME`,
    with one folder a class inside (see `photos.py`).

    Args:
        name: One of `hplab.catalogue.DATA`.
        root: A folder to use in place of both HPLAB_DATA and the cache.
        download: Whether the internet may be asked.

    Raises:
        HplabError: If the name is unknown, a file is damaged or is another one than its digest
            says, or the data set is nowhere to be had (naming where to put it).
    """
    row = catalogue.row("data", name)
    if row.digest != catalogue.OURS:
        return registered.load(name, row)
    if name == "digits":
        return of_arrays(name, digits.read(), tuple("0123456789"))
    if name in photos.PHOTOS:
        npz, cache = _places(name, root)
        images, labels, class_names, groups = photos.load(name, npz, cache)
        none = (np.empty((0, *images.shape[1:]), np.uint8), np.empty(0, np.int64))
        return of_arrays(name, (images, labels, *none), class_names, groups)
    source = SOURCES[name]
    npz, folder = _places(name, root)
    if npz is not None and npz.is_file():
        return of_arrays(name, *archives.from_npz(npz, source))
    if npz is not None and not npz.parent.is_dir() and root is None:
        raise HplabError(f"HPLAB_DATA names {npz.parent}, which is not a folder")
    if not _is_complete(source, folder):
        _download(name, source, folder, download)
    return of_arrays(name, archives.from_downloads(folder, source), source.class_names)


def available(name: str, *, root: Path | None = None) -> str | None:
    """Return where `load` would find a data set without downloading, or None.

    Nothing is opened: the answer is "registered", "embedded", "HPLAB_DATA" or "cache" by what
    exists.
    """
    if catalogue.row("data", name).digest != catalogue.OURS:
        return "registered"
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
    return name in SOURCES


def is_official(dataset: Dataset) -> bool:
    """Return whether a data set is, bit for bit, the one its authors published.

    Photos are resized here, so no published file is equal to them bit for bit, and a reader's own
    have none. A data set read from an npz file need not be: it is used all the same, under its own
    digest.
    """
    if dataset.name in DIGESTS:
        return dataset.digest == DIGESTS[dataset.name]
    if dataset.name not in SOURCES:
        return False
    arrays = [tensor.numpy() for tensor in tensors_of(dataset)]
    return archives.equal_published(arrays, SOURCES[dataset.name])


def notes(dataset: Dataset) -> str:
    """Return what is to be known of a data set beside its counts, or ""."""
    said = [] if is_official(dataset) else ["differs from the official files"]
    if n := photos.n_astride(dataset):
        said.append(f"{n} groups of near copies have photos in more than one class")
    return "; ".join(said)


# ---------------------------------------------------------------------------------------------
# Loading


def _places(name: str, root: Path | None) -> tuple[Path | None, Path]:
    """Return where `NAME.npz` may be, and the folder of downloaded files."""
    if root is not None:
        return Path(root) / f"{name}.npz", Path(root) / name
    folder = places.data()
    return folder / f"{name}.npz" if folder else None, places.cache() / name


def _is_complete(source: Source, folder: Path) -> bool:
    return all((folder / remote.name).is_file() for remote in source.files)


def _download(name: str, source: Source, folder: Path, allowed: bool) -> None:
    """Fetch the files of a data set, or say how to put them where they belong."""
    by_hand = f"put {name}.npz into the folder that HPLAB_DATA names"
    if places.is_offline() or not allowed:
        why = "HPLAB_OFFLINE is set" if places.is_offline() else "downloading is switched off"
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
