"""Data sets that are a folder of photos, one sub-folder a class.

Every photo is decoded once, squeezed to one size and kept as bytes, so that training never opens
a file. A file that cannot be used stops the reading with a line that names it: a photo left out in
silence would be another data set under the same name.

How a photo is decoded, as torchvision's `ImageFolder` does where nothing else is said:

| a photo | becomes |
|---|---|
| greyscale, palette, CMYK, YCbCr | 8-bit RGB, by Pillow's conversion |
| 16 bits a channel, greyscale | its upper 8 bits, where Pillow would clip |
| with transparency | its colours without it; refused where nothing is left but one colour |
| animated, or of several pages | its first picture |
| turned by its EXIF orientation | not turned: its pixels as they are stored |
| floating-point, or beyond 16 bits | refused, since its scale is not known |
| of any shape | a square, bilinear and antialiased |
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from hplab.training.datasets import photofiles, readers
from hplab.training.datasets.dataset import Dataset
from hplab.trial import HplabError

PHOTOS = {"dinosaurs": 128}  # data sets of photos: rows and columns they are squeezed to
_KINDS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "AVIF")  # what Pillow may try to decode
MAX_PIXELS = 100_000_000  # refused before decoding
MAX_FILE_BYTES = 200 << 20
_LAYOUT = b"hplab photos 1"  # part of a cache's name: change it when decoding changes
# What Pillow raises on a damaged file, by the format's plugin.
_DAMAGES = (
    *(OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError, RuntimeError),
    struct.error,
)
_THUMB = 16
NEAR = 0.96  # correlation of two thumbnails from which photos count as near copies


def load(
    name: str, npz: Path | None, cache: Path
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...], np.ndarray]:
    """Return a data set of photos that its user has.

    Args:
        name: One of `PHOTOS`.
        npz: Where `NAME.npz` may be, and beside it the folder `NAME`; None where no place is known.
        cache: Folder for decoded photos.

    Returns:
        Images, labels and class names as `read` gives them, and groups as `near_copies` does.

    Raises:
        HplabError: If it is not there (saying what to put where), or cannot be used.
    """
    if npz is not None and npz.is_file():
        return from_npz(npz, PHOTOS[name])
    folder = None if npz is None else npz.with_suffix("")
    if folder is None or not folder.is_dir():
        raise HplabError(
            f"data set {name!r} is not on this machine and cannot be downloaded: put a folder "
            f"{name} with one folder a class inside, or {name}.npz, into the folder that "
            "HPLAB_DATA names"
        )
    images, labels, class_names = read(folder, PHOTOS[name], cache=cache)
    return images, labels, class_names, near_copies(images)


def from_npz(path: Path, size: int) -> tuple[np.ndarray, np.ndarray, tuple[str, ...], np.ndarray]:
    """Return photos that are already decoded.

    Args:
        path: The file: `images` uint8 `(N, size, size, 3)`, integer `labels` `(N,)`, `class_names`;
            `group`, integers `(N,)`, is worked out where it is missing.
        size: Rows and columns expected.

    Returns:
        Images, labels, class names and groups as `load` gives them.

    Raises:
        HplabError: If the file is damaged, or an array is missing or of another type or shape.
    """
    arrays = readers.read_npz(path, ("images", "labels", "class_names"), ("group",))
    images, labels, names = (arrays[name] for name in ("images", "labels", "class_names"))
    if images.dtype != np.uint8 or images.shape[1:] != (size, size, 3):
        found = f"{images.dtype} {images.shape}"
        raise HplabError(f"{path}: images is {found}, expected uint8 (N, {size}, {size}, 3)")
    if names.dtype.kind != "U" or len(set(names.ravel().tolist())) != names.size or names.size < 2:
        raise HplabError(f"{path}: class_names must be two or more different names")
    for name in ("labels", "group"):
        one = arrays.get(name)
        if one is not None and (one.dtype.kind not in "ui" or one.shape != images.shape[:1]):
            raise HplabError(
                f"{path}: {name} is {one.dtype} {one.shape}, expected integers ({len(images)},)"
            )
    if labels.min() < 0 or labels.max() >= names.size:
        raise HplabError(
            f"{path}: labels run from {labels.min()} to {labels.max()}, expected 0 to "
            f"{names.size - 1}"
        )
    images = images.transpose(0, 3, 1, 2)
    groups = arrays.get("group")
    groups = near_copies(images) if groups is None else groups.astype(np.int64)
    return images, labels.astype(np.int64), tuple(names.ravel().tolist()), groups


def read(
    folder: Path, size: int, *, cache: Path | None = None
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Return the photos of a folder.

    How each is decoded stands at the head of this module; what is passed over, in `photofiles`.

    Args:
        folder: One sub-folder a class, named as the class; photos inside, in no deeper folder.
        size: Rows and columns of the result.
        cache: Folder for the decoded arrays, found again by the content of all files; None decodes
            every time.

    Returns:
        Images, uint8 `(N, 3, size, size)`, in the order of class and file name; labels, int64
        `(N,)`; class names in alphabetical order.

    Raises:
        HplabError: If there are no classes, a class has no photo, or a file is empty, damaged, too
            large, not an image, named as none, or in no class. Up to five files are named.
    """
    found = photofiles.checked(folder).photos
    classes = list(found)
    paths = [path for photos in found.values() for path in photos]
    counts = [len(photos) for photos in found.values()]
    labels = np.repeat(np.arange(len(classes), dtype=np.int64), counts)
    kept = None if cache is None else cache / f"photos-{_digest(paths, size)}.npz"
    if kept is not None and kept.is_file():
        images = readers.read_npz(kept, ("images",))["images"]
    else:
        images = _decode_all(paths, size)
        if kept is not None:
            _keep(kept, images)
    return images.transpose(0, 3, 1, 2), labels, tuple(classes)


def decode(path: Path, size: int) -> np.ndarray:
    """Return one photo, squeezed to a square: uint8 `(size, size, 3)`.

    Raises:
        HplabError: If the file is empty, damaged, too large or no image.
    """
    from PIL import Image, UnidentifiedImageError  # slow to import

    if path.stat().st_size == 0:
        raise HplabError(f"{path} is empty")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise HplabError(f"{path} is larger than {MAX_FILE_BYTES >> 20} MiB")
    try:
        Image.init()
        with Image.open(path, formats=[kind for kind in _KINDS if kind in Image.OPEN]) as photo:
            if photo.width * photo.height > MAX_PIXELS:
                raise HplabError(
                    f"{path} has {photo.width} x {photo.height} pixels, more than "
                    f"{MAX_PIXELS // 10**6} million"
                )
            return np.asarray(rgb(photo).resize((size, size), Image.Resampling.BILINEAR))
    except UnidentifiedImageError:
        raise HplabError(f"{path} is not an image, whatever its name says") from None
    except Image.DecompressionBombError:
        raise HplabError(f"{path} has too many pixels") from None
    except _DAMAGES as error:
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise HplabError(f"{path} cannot be used: {reason}") from error


def near_copies(images: np.ndarray) -> np.ndarray:
    """Return a group number for each image; near copies share theirs.

    Two images belong together if their grey thumbnails of 16 x 16, as they are or mirrored,
    correlate to 0.96 or more; groups are closed under that.

    Args:
        images: uint8 `(N, 3, H, W)`, height and width at least 16.

    Returns:
        int64 `(N,)`, numbered in the order of first appearance.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    thumbs = _thumbnails(images)
    mirrored = thumbs[:, :, ::-1].reshape(len(thumbs), -1)
    plain = thumbs.reshape(len(thumbs), -1)
    rows, columns = [], []
    for start in range(0, len(plain), 512):
        block = plain[start : start + 512]
        close = (block @ plain.T >= NEAR) | (block @ mirrored.T >= NEAR)
        i, j = np.nonzero(close)
        rows.append(i + start)
        columns.append(j)
    i, j = np.concatenate(rows), np.concatenate(columns)
    graph = csr_array((np.ones(len(i), bool), (i, j)), shape=(len(plain), len(plain)))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def n_astride(dataset: Dataset) -> int:
    """Return how many groups of near copies have photos in more than one class."""
    if dataset.groups is None:
        return 0
    pairs = {*zip(dataset.groups.tolist(), dataset.labels.tolist(), strict=True)}
    return sum(count > 1 for count in Counter(group for group, _ in pairs).values())


def _thumbnails(images: np.ndarray) -> np.ndarray:
    """Return grey thumbnails with mean 0 and length 1, float32 `(N, 16, 16)`."""
    height, width = images.shape[2:]
    rows = np.linspace(0, height, _THUMB + 1).astype(int)[:-1]
    columns = np.linspace(0, width, _THUMB + 1).astype(int)[:-1]
    thumbs = np.empty((len(images), _THUMB, _THUMB), np.float32)
    for i, image in enumerate(images):
        grey = image.sum(axis=0, dtype=np.float32)
        thumbs[i] = np.add.reduceat(np.add.reduceat(grey, rows, axis=0), columns, axis=1)
    thumbs -= thumbs.mean(axis=(1, 2), keepdims=True)
    length = np.sqrt(np.square(thumbs).sum(axis=(1, 2), keepdims=True))
    return thumbs / np.maximum(length, 1e-6)


def rgb(photo):
    """Return a Pillow image in 8-bit RGB, by the rules at the head of this module.

    Raises:
        ValueError: If its pixels are not on a known scale, or all of it is in its transparency.
    """
    if photo.mode == "F":
        raise ValueError("its pixels are floating-point numbers of no known scale")
    if photo.mode.startswith("I"):
        from PIL import Image

        pixels = np.asarray(photo)
        if pixels.min() < 0 or pixels.max() > 0xFFFF:
            raise ValueError("its pixels are beyond 16 bits")
        return Image.fromarray((pixels.astype(np.uint32) >> 8).astype(np.uint8)).convert("RGB")
    rgb = photo.convert("RGB")
    if photo.has_transparency_data:
        low, high = photo.convert("RGBA").getchannel("A").getextrema()
        if low < high and all(a == b for a, b in rgb.getextrema()):
            raise ValueError("it is one colour without its transparency; put a background in")
    return rgb


def _decode_all(paths: Sequence[Path], size: int) -> np.ndarray:
    """Return all photos, uint8 `(N, size, size, 3)`, or name those that cannot be used."""
    images = np.empty((len(paths), size, size, 3), np.uint8)
    problems: list[str] = []

    def work(i: int) -> None:
        try:
            images[i] = decode(paths[i], size)
        except HplabError as error:
            problems.append(str(error))

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:  # Pillow lets go of the lock
        list(pool.map(work, range(len(paths))))
    if problems:
        raise HplabError(f"{photofiles.named(sorted(problems))}: mend or remove them")
    return images


def _digest(paths: Sequence[Path], size: int) -> str:
    """Return a digest of the names and contents of all files."""
    digest = hashlib.sha256(_LAYOUT + str(size).encode())
    for path in paths:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise HplabError(f"{path} is larger than {MAX_FILE_BYTES >> 20} MiB")
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"\n{path.parent.name}/{path.name} {content}".encode())
    return digest.hexdigest()[:16]


def _keep(path: Path, images: np.ndarray) -> None:
    """Write a cache file whole or not at all; a cache that cannot be written costs time only."""
    temp = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temp.open("wb") as file:
            np.savez(file, images=images)
        os.replace(temp, path)
    except OSError:
        temp.unlink(missing_ok=True)
