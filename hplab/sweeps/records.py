"""Records and the files that hold them: canonical text, checksums, writing whole or not at all.

A record is one line of JSON: ASCII, names sorted, no spaces, no NaN. A batch is a file of records
sorted by key whose name ends in the SHA-256 of its bytes. The line's checksum finds the place of a
damage; the name proves that nothing was cut, added or moved.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import re
import secrets
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hplab.trial import HplabError, canonical

Record = dict[str, Any]

VERSION = 1  # of the record format
RESULT = ("status", "at", "final", "curves")  # what two records of one key must agree on
STATUS = ("ok", "diverged", "stopped")  # stopped early: what it would have come to is unknown
_ALLOWED = f"{', '.join(STATUS[:-1])} or {STATUS[-1]}"
FIELDS = {  # what every reader relies on; other fields are kept and ignored
    "key": str,
    "task": str,
    "task_version": int,
    "data": str,
    "config": dict,
    "seed": int,
    "status": str,
    "prov": str,
    "sum": str,
}


class StoreError(HplabError):
    """The store refuses to read or write; `errno` is set when the system refused first."""

    errno: int | None = None


class DamagedError(StoreError):
    """A file of the store is not what was written."""


# ---------------------------------------------------------------------------------------------
# One record


def shortest(x: float) -> float:
    """Return the number with the fewest digits that still rounds to `x` in float32.

    Metrics are computed in float32: 0.1 is stored as `0.1`, not as `0.10000000149011612`. NaN and
    infinities pass through; `seal` refuses them.
    """
    return float(str(np.float32(x)))


def seal(record: Record) -> Record:
    """Return a plain copy with its checksum: 16 hex digits of the SHA-256 of the rest.

    Raises:
        StoreError: If the record is not plain JSON, or holds NaN or infinity.
    """
    rest = {name: value for name, value in record.items() if name != "sum"}
    try:
        text = canonical(rest)
        plain = json.loads(text)
        if canonical(plain) != text:
            raise TypeError("every name in it must be text")
    except (TypeError, ValueError, RecursionError) as error:
        raise StoreError(f"record {record.get('key')!r} is not plain JSON: {error}") from error
    return {**plain, "sum": digest_of(text.encode())}


def sealed(record: Record) -> Record:
    """Return a record sealed and fit to be written.

    Raises:
        StoreError: If a field is missing or impossible, or it was changed after sealing.
    """
    where = f"record {record.get('key')!r}"
    out = seal(record)
    if record.get("sum", out["sum"]) != out["sum"]:
        raise StoreError(f"{where}: changed after it was sealed")
    check_fields(out, where)
    if not re.fullmatch(r"[0-9a-f]{32}", out["key"]):
        raise StoreError(f"{where}: a key is 32 hex digits")
    if out["status"] not in STATUS:
        raise StoreError(f"{where}: status must be {_ALLOWED}, got {out['status']!r}")
    data = out["config"].get("data")
    if not isinstance(data, str) or not re.fullmatch(r"[a-z0-9][a-z0-9_.-]*", data):
        raise StoreError(f"{where}: config needs the name of a data set, in lower-case letters")
    return out


def check_fields(record: Record, where: object) -> None:
    """Refuse a record of an unknown version, or one without the fields readers rely on."""
    if type(record.get("v")) is not int or record["v"] != VERSION:
        raise StoreError(
            f"{where}: record version {record.get('v')!r} is unknown here (known: {VERSION}); "
            "install the hplab that wrote it"
        )
    for name, kind in FIELDS.items():
        if type(record.get(name)) is not kind:
            got = repr(record.get(name))[:60]
            raise DamagedError(f"{where}: field {name!r} must be {kind.__name__}, got {got}")


def same_result(a: Record, b: Record) -> bool:
    """Say whether two records of one trial agree; cost and provenance do not count."""
    return all(a.get(name) == b.get(name) for name in RESULT)


def max_delta(a: Any, b: Any) -> float:
    """Return the largest difference between numbers in the same place of two JSON values.

    It is infinite where the two cannot be compared: another length, name, text, or null against a
    number.
    """
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        return max((max_delta(a[name], b[name]) for name in a), default=0.0)
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return max((max_delta(x, y) for x, y in zip(a, b, strict=True)), default=0.0)
    if all(type(value) in (int, float) for value in (a, b)):
        return abs(a - b)
    return 0.0 if a == b else math.inf


# ---------------------------------------------------------------------------------------------
# Files of records


def batch(lines: Iterable[tuple[str, bytes]]) -> tuple[str, bytes]:
    """Return name and bytes of the file that holds these records.

    Args:
        lines: Key and canonical text of each record. Of equal keys the first stays first.
    """
    data = b"".join(text + b"\n" for _, text in sorted(lines, key=lambda line: line[0]))
    return f"{digest_of(data)}.jsonl", data


class Line(NamedTuple):
    """One record as it stands in a file, parsed as far as an index needs it."""

    head: Record  # without its curves, which are most of the text
    text: bytes
    path: Path
    number: int

    def __str__(self) -> str:
        return f"{shown(self.path)}:{self.number}"

    def record(self) -> Record:
        """Return the whole record, a new one each time."""
        return parse(self.text, self)


def read_batch(path: Path, data: bytes) -> list[Line]:
    """Split a file's bytes: the digest in its name and the checksum of each line must be right.

    Raises:
        StoreError: If it is damaged, edited, cut or of an unknown version; it names file and line.
    """
    *texts, tail = data.split(b"\n")
    heads = [_head(text, path, n) for n, text in enumerate(texts, 1)]
    if tail:
        raise DamagedError(f"{shown(path)}:{len(heads) + 1}: the last line is cut")
    if (digest := digest_of(data)) != path.stem.rsplit("-", 1)[-1]:
        if digest in path.stem:
            raise DamagedError(f"{shown(path)}: a copy under another name than {digest}.jsonl")
        raise DamagedError(f"{shown(path)}: lines were cut, added or moved (digest mismatch)")
    lines = [Line(*one, path, n) for n, one in enumerate(zip(heads, texts, strict=True), 1)]
    for line in lines:
        check_fields(line.head, line)
    return lines


def read_line(text: bytes, path: Path, number: int) -> Line:
    """Return one line of a file, whole or refused.

    Raises:
        StoreError: As `read_batch`.
    """
    line = Line(_head(text, path, number), text, path, number)
    check_fields(line.head, line)
    return line


def _head(text: bytes, path: Path, number: int) -> Record:
    """Hold one line against its checksum and parse all of it but the curves."""
    where = Line({}, text, path, number)
    head = parse(_CURVES.sub(b"", text, count=1), where)
    checksum = head.get("sum")
    member = f',"sum":"{checksum}"'.encode("ascii", "replace")
    if digest_of(text.replace(member, b"", 1)) != checksum:
        changed = "line ends were changed to CRLF" if text.endswith(b"\r") else "damaged or edited"
        raise DamagedError(f"{where}: checksum mismatch ({changed})")
    return head


def parse(text: bytes, where: object) -> Record:
    """Parse one line, which must be strict JSON and an object."""
    try:
        record = _DECODER.decode(text.decode("ascii"))
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{where}: {_not_json(text)}") from error
    if type(record) is not dict:
        raise DamagedError(f"{where}: not a record (damaged or edited)")
    return record


def _not_json(text: bytes) -> str:
    """Say what a line looks like that is no record."""
    if text[:7] in (b"<<<<<<<", b"|||||||", b"=======", b">>>>>>>"):
        return "a mark of a merge conflict"
    if text.startswith(b"\xef\xbb\xbf"):
        return "a byte order mark that an editor put there"
    return "not JSON (damaged or edited)"


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)
_CURVES = re.compile(rb',"curves":\{[^{}]*\}')


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole and for good, or not at all.

    Temporary file in the same folder, write, fsync, rename, fsync of the folder: leaving out any
    step loses data in a crash on some file system (Pillai et al. 2014, OSDI).

    Raises:
        StoreError: If the system refuses; `errno` is kept.
    """
    temp = path.parent / f".tmp-{os.getpid()}-{secrets.token_hex(8)}"
    try:
        make_folder(path.parent)
        handle = os.open(temp, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(handle, rest) :]
            os.fsync(handle)
        finally:
            os.close(handle)
        os.replace(temp, path)
        sync_folder(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temp.unlink()
        if isinstance(error, OSError):
            raise _not_written(path, error) from error
        raise


def _not_written(path: Path, error: OSError) -> StoreError:
    free: int | str = "unknown"
    with contextlib.suppress(OSError):
        free = shutil.disk_usage(path.parent).free
    refused = StoreError(
        f"cannot write {shown(path)}: {error.strerror} (errno {error.errno}), {free} bytes free: "
        "make room or mend the folder, then try again"
    )
    refused.errno = error.errno
    return refused


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, with each one's entry on disk too."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Wait until the folder's entries are on disk, where a system can be asked to."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network folders cannot
            raise
    finally:
        os.close(handle)


def digest_of(data: bytes, n_digits: int = 16) -> str:
    """Return the first hex digits of the SHA-256."""
    return hashlib.sha256(data).hexdigest()[:n_digits]


def shown(path: Path) -> Path:
    """Return the path as a reader in the current folder would type it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
