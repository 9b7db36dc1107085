"""Download a file whole and true, or not at all.

A download grows in `NAME.part` and is renamed to `NAME` only when its size and SHA-256 are the
expected ones, so a file under its final name can be trusted. A broken transfer is resumed where it
stopped. Only https is spoken (http to this machine itself, for tests).
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import socket
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from tqdm import tqdm

from hplab.trial import HplabError

_BLOCK = 1 << 16
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_TRANSIENT = (408, 425, 429)  # as every code from 500 on
_MAX_ATTEMPTS = 100


@dataclass(frozen=True)
class Remote:
    """A file to download.

    Args:
        name: File name, without folders.
        size: Exact size, in bytes.
        sha256: SHA-256 of the whole file, 64 hex digits.
        urls: Where to get it, in the order to try.
    """

    name: str
    size: int
    sha256: str
    urls: tuple[str, ...]


class _Refused(Exception):
    """This mirror cannot help: asking again would end the same way."""


class _Broken(Exception):
    """The transfer failed in a way that may pass."""


def fetch(
    remote: Remote,
    folder: Path,
    *,
    progress: Callable[[int], object] | None = None,
    tries: int = 3,
    timeout_s: float = 30.0,
    sleep: Callable[[float], object] = time.sleep,
) -> Path:
    """Return the path of a remote file in `folder`, downloading it if it is not there.

    Args:
        remote: What to get.
        folder: Where to put it; made if missing.
        progress: Called with the number of bytes present so far; by default a tqdm bar, silent
            where nobody watches (no terminal, or CI).
        tries: Attempts in a row without progress before a mirror is given up.
        timeout_s: Longest silence of a server, in seconds.
        sleep: Waits between attempts, in seconds: 1, 2, 4, ...

    Raises:
        HplabError: If no mirror delivers the file, naming each mirror's fault and where to put the
            file by hand; or if a file of that name is there already and is another one.
    """
    path = folder / remote.name
    with _making_room(path):
        folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        if path.exists():
            verify(path, remote)
            return path
        with contextlib.ExitStack() as stack:
            report = progress or stack.enter_context(_bar(remote))
            download = _Download(remote, path, report, tries, timeout_s, sleep)
            faults = []
            for url in remote.urls:
                fault = download.from_mirror(url)
                if fault is None:
                    return path
                faults.append(f"{urllib.parse.urlsplit(url).netloc}: {fault}")
    raise HplabError(f"cannot download {remote.name} ({'; '.join(faults)}); put it at {path}")


def verify(path: Path, remote: Remote) -> None:
    """Raise HplabError unless the file at `path` has the size and SHA-256 of `remote`."""
    try:
        size = path.stat().st_size
        digest = sha256_of(path) if size == remote.size else None
    except OSError as error:
        raise HplabError(f"cannot read {path}: {error.strerror}") from error
    if size != remote.size:
        raise HplabError(f"{path} has {size} bytes, expected {remote.size}; delete or replace it")
    if digest != remote.sha256:
        raise HplabError(
            f"{path} has SHA-256 {digest}, expected {remote.sha256}; delete or replace it"
        )


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class _Download:
    """One file on its way into `path`, by way of `path` + `.part`."""

    remote: Remote
    path: Path
    report: Callable[[int], object]
    tries: int
    timeout_s: float
    sleep: Callable[[float], object]

    @property
    def part(self) -> Path:
        return self.path.with_name(self.path.name + ".part")

    def present(self) -> int:
        """Return how many bytes earlier attempts left."""
        return self.part.stat().st_size if self.part.exists() else 0

    def from_mirror(self, url: str) -> str | None:
        """Complete the file from one mirror; return None, or why it was given up."""
        idle, fault = 0, None
        foreign = self.present() > 0  # bytes that came from elsewhere may be what is wrong
        for _ in range(_MAX_ATTEMPTS):
            before = self.present()
            try:
                self.transfer(url)
            except _Refused as refusal:
                return str(refusal)
            except _Broken as broken:
                fault = str(broken)
            else:
                fault = self.finish()
                if fault is None or not foreign:
                    return fault
                foreign = False
            idle = 0 if self.present() > before else idle + 1
            if idle >= self.tries:
                break
            self.sleep(2.0 ** max(idle - 1, 0))
        return fault

    def transfer(self, url: str) -> None:
        """Append to the part file what is missing."""
        start = self.present()
        if start > self.remote.size:
            self.part.unlink()
            start = 0
        if start == self.remote.size:
            return
        with _open(url, start, self.timeout_s) as response:
            start = _first_byte(response, start, self.remote.size)
            with _making_room(self.part), open(self.part, "ab" if start else "wb") as file:
                for block in _blocks(response, self.remote.size - start):
                    file.write(block)
                    start += len(block)
                    self.report(start)

    def finish(self) -> str | None:
        """Give the part file its final name if it is the file expected, else discard it."""
        digest = sha256_of(self.part)
        if digest != self.remote.sha256:
            self.part.unlink()
            return f"SHA-256 is {digest}, expected {self.remote.sha256}"
        with _making_room(self.path):
            with open(self.part, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(self.part, self.path)
            _sync_folder(self.path.parent)
        return None


def _open(url: str, start: int, timeout_s: float) -> http.client.HTTPResponse:
    """Ask for the file from byte `start` on."""
    _check_scheme(url)
    headers = {"Accept-Encoding": "identity", "User-Agent": "hplab"}
    if start:
        headers["Range"] = f"bytes={start}-"
    request = urllib.request.Request(url, headers=headers)
    try:
        return urllib.request.build_opener(_SafeRedirects).open(request, timeout=timeout_s)
    except urllib.error.HTTPError as error:
        error.close()
        kind = _Broken if error.code >= 500 or error.code in _TRANSIENT else _Refused
        raise kind(f"HTTP {error.code}") from error
    except urllib.error.URLError as error:
        unreachable = isinstance(error.reason, socket.gaierror)
        raise (_Refused if unreachable else _Broken)(_line(error.reason)) from error
    except (OSError, http.client.HTTPException) as error:
        raise _Broken(_line(error)) from error
    except ValueError as error:  # a redirect to something that is no address
        raise _Refused(_line(error)) from error


def _first_byte(response: http.client.HTTPResponse, start: int, size: int) -> int:
    """Return at which byte of the file the response begins; refuse one of another length."""
    if response.status == 206:
        if response.headers.get("Content-Range") != f"bytes {start}-{size - 1}/{size}":
            raise _Refused(f"answers with another range: {response.headers.get('Content-Range')}")
    elif response.status == 200:
        start = 0  # the server does not resume: take it from the beginning
    else:
        raise _Refused(f"HTTP {response.status}")
    length = response.headers.get("Content-Length")
    if length is not None and length != str(size - start):
        raise _Refused(f"offers {length} bytes, expected {size - start}")
    return start


def _blocks(response: http.client.HTTPResponse, n_bytes: int) -> Iterator[bytes]:
    """Yield exactly `n_bytes` of a response, in blocks; whatever follows is never read."""
    while n_bytes:
        try:
            block = response.read(min(_BLOCK, n_bytes))
        except (OSError, http.client.HTTPException) as error:
            raise _Broken(_line(error)) from error
        if not block:
            raise _Broken(f"connection cut {n_bytes} bytes before the end")
        n_bytes -= len(block)
        yield block


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from https to anything else."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        _check_scheme(newurl)
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise _Refused(f"redirects to {newurl}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _check_scheme(url: str) -> None:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise _Refused(f"{url} is not https")


@contextlib.contextmanager
def _making_room(path: Path) -> Iterator[None]:
    """Turn a fault of this machine's disk into an HplabError that names the path."""
    try:
        yield
    except OSError as error:
        raise HplabError(f"cannot write {path}: {error.strerror}") from error


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let one process at a time download into a folder.

    Without the lock two downloads at once may spoil each other, but never the result.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # some network file systems cannot lock
            stack.enter_context(FileLock(folder.with_name(f"{folder.name}.lock")))
        yield


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _bar(remote: Remote) -> Iterator[Callable[[int], object]]:
    quiet = "CI" in os.environ or not sys.stderr.isatty()
    with tqdm(total=remote.size, desc=remote.name, unit="B", unit_scale=True, disable=quiet) as bar:
        yield lambda done: bar.update(done - bar.n)


def _line(error: object) -> str:
    return " ".join(str(error).split()) or type(error).__name__
