"""Readers for the files that data sets come in: idx, CIFAR's binary records, tar.gz and npz.

Nothing is unpickled and nothing is unpacked to disk. Every size is checked before memory is taken
for it, and a file that is not exactly what it should be is refused with one line, whatever is
wrong with it.
"""

from __future__ import annotations

import ast
import contextlib
import gzip
import io
import math
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

import numpy as np

from hplab.trial import HplabError

CIFAR_SHAPE = (3, 32, 32)  # channels, rows, columns, as stored
MAX_ARRAY_BYTES = 1 << 30
MAX_TAR_BYTES = 256 << 20  # the CIFAR archives hold 184 MB
MAX_TAR_MEMBERS = 100

# What the standard library and NumPy raise on damaged or hostile files (found by fuzzing too).
_DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    IndexError,
    OverflowError,
    RuntimeError,  # also encrypted members and unknown compression
    SyntaxError,
    TypeError,
    MemoryError,
    struct.error,
    zlib.error,
    tarfile.TarError,
    zipfile.BadZipFile,
)


@contextlib.contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """Turn whatever a damaged file provokes into one HplabError that names it."""
    try:
        yield
    except _DAMAGE as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise HplabError(f"cannot read {path}: {reason}") from error


def gunzip(path: Path, *, limit: int) -> bytes:
    """Return the decompressed content of a gzip file.

    Args:
        path: The `.gz` file.
        limit: Largest size to accept after decompression, in bytes.

    Raises:
        HplabError: If the file is missing, damaged, truncated or larger than `limit`.
    """
    with _refusing(path), gzip.open(path) as file:
        content = file.read(limit + 1)
        if len(content) > limit:
            raise ValueError(f"holds more than the {limit} bytes expected")
    return content


def tar_members(path: Path, sizes: Mapping[str, int]) -> dict[str, memoryview]:
    """Return chosen members of a tar.gz file, read in memory.

    Members that are not asked for are skipped, so their names and kinds cannot matter.

    Args:
        path: The `.tar.gz` file.
        sizes: Full name to exact size in bytes of each wanted member.

    Returns:
        Member name to its bytes (a view, no copy), in the order of `sizes`.

    Raises:
        HplabError: If a wanted member is missing, appears twice, is not a regular file or has
            another size; if the archive is damaged or too large.
    """
    content = gunzip(path, limit=MAX_TAR_BYTES)
    found: dict[str, memoryview] = {}
    with _refusing(path), tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
        for count, member in enumerate(tar):
            if count >= MAX_TAR_MEMBERS:
                raise ValueError(f"more than {MAX_TAR_MEMBERS} members")
            if member.name not in sizes:
                continue
            if member.name in found:
                raise ValueError(f"member {member.name!r} appears twice")
            if not member.isreg() or member.issparse():
                raise ValueError(f"member {member.name!r} is not a regular file")
            start, size = member.offset_data, sizes[member.name]
            if member.size != size or len(content) < start + size:
                raise ValueError(f"member {member.name!r} has {member.size} bytes, expected {size}")
            found[member.name] = memoryview(content)[start : start + size]
    missing = [name for name in sizes if name not in found]
    if missing:
        raise HplabError(f"cannot read {path}: member {missing[0]!r} is missing")
    return {name: found[name] for name in sizes}


def parse_idx(content: bytes | memoryview, *, n_dims: int, where: str) -> np.ndarray:
    """Return the uint8 array of an idx file, the format of MNIST.

    Args:
        content: The whole file: 0, 0, 8 (unsigned bytes), the number of dimensions, each dimension
            as four big-endian bytes, then the values.
        n_dims: Number of dimensions expected.
        where: Name of the file, for the error message.

    Raises:
        HplabError: If the header is another one, or the length is not what it promises.
    """
    header = 4 + 4 * n_dims
    if len(content) < header or bytes(content[:4]) != bytes((0, 0, 8, n_dims)):
        raise HplabError(f"{where}: not an idx file of unsigned bytes with {n_dims} dimensions")
    shape = struct.unpack(f">{n_dims}I", content[4:header])
    if min(shape) == 0 or len(content) - header != math.prod(shape):
        got = len(content) - header
        raise HplabError(f"{where}: {got} values after the header, which promises {shape}")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def idx_bytes(array: np.ndarray) -> bytes:
    """Return the idx file of a uint8 array; the inverse of `parse_idx`."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def parse_cifar(
    content: bytes | memoryview, *, n_label_bytes: int, where: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return images (N, 3, 32, 32) and labels (N,), uint8, of a CIFAR binary file.

    Args:
        content: Records of the label bytes followed by the red, green and blue planes.
        n_label_bytes: 1 for CIFAR-10; 2 for CIFAR-100, where the last one is the fine label.
        where: Name of the file, for the error message.

    Raises:
        HplabError: If the length is not a positive multiple of the record's.
    """
    record = n_label_bytes + math.prod(CIFAR_SHAPE)
    n, rest = divmod(len(content), record)
    if n == 0 or rest:
        raise HplabError(f"{where}: {len(content)} bytes, not a multiple of {record}")
    rows = np.frombuffer(content, np.uint8).reshape(n, record)
    return rows[:, n_label_bytes:].reshape(n, *CIFAR_SHAPE), rows[:, n_label_bytes - 1]


def cifar_bytes(images: np.ndarray, labels: np.ndarray) -> bytes:
    """Return the CIFAR-10 binary file of images (N, 3, 32, 32) and labels (N,), both uint8."""
    return np.hstack([labels[:, None], images.reshape(len(images), -1)]).tobytes()


def read_npz(
    path: Path, required: tuple[str, ...], optional: tuple[str, ...] = ()
) -> dict[str, np.ndarray]:
    """Return arrays of an npz file without ever unpickling.

    Headers are checked against the sizes in the archive before anything is allocated.

    Args:
        path: The `.npz` file.
        required: Array names that must be there.
        optional: Array names to read if they are there; others are ignored.

    Returns:
        Name to array (read-only).

    Raises:
        HplabError: If the file is missing or damaged, lacks a required array, or an array holds
            Python objects.
    """
    arrays: dict[str, np.ndarray] = {}
    with _refusing(path), zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        for name in (*required, *optional):
            count = names.count(f"{name}.npy")
            if count > 1:
                raise ValueError(f"array {name!r} appears twice")
            if count == 0 and name in required:
                raise ValueError(f"array {name!r} is missing; it holds {', '.join(names[:10])}")
            if count:
                info = archive.getinfo(f"{name}.npy")
                with archive.open(info) as member:
                    arrays[name] = _read_npy(member, info.file_size, name)
    return arrays


def _read_npy(member: IO[bytes], size: int, name: str) -> np.ndarray:
    """Return one array of an npz file; `size` is the member's length by the archive's index."""
    start = member.read(10)
    if len(start) < 10 or start[:8] != b"\x93NUMPY\x01\x00":
        raise ValueError(f"array {name!r} is not in npy format 1.0")
    header = ast.literal_eval(member.read(int.from_bytes(start[8:], "little")).decode("ascii"))
    kind, shape = str(header["descr"]), header["shape"]
    if kind.endswith("O"):
        raise ValueError(f"array {name!r} holds pickled Python objects, which hplab never reads")
    if not re.fullmatch(r"[|<>]?([ui][1248]|U[1-9][0-9]{0,3})", kind) or header["fortran_order"]:
        raise ValueError(f"array {name!r} is {kind}, expected plain integers or text, row by row")
    if not isinstance(shape, tuple) or not shape or not all(type(n) is int for n in shape):
        raise ValueError(f"array {name!r} has shape {shape}")
    n_bytes = math.prod(shape) * np.dtype(kind).itemsize
    if min(shape) < 1 or n_bytes > MAX_ARRAY_BYTES:
        raise ValueError(f"array {name!r} is empty or too large: shape {shape}")
    left = size - member.tell()
    if left != n_bytes:
        raise ValueError(f"array {name!r} of shape {shape} needs {n_bytes} bytes, file has {left}")
    content = member.read(n_bytes)
    if len(content) != n_bytes or member.read(1):
        raise ValueError(f"array {name!r} is cut short")
    return np.frombuffer(content, kind).reshape(shape)
