"""Where artifacts are kept: versions of named things, by the digest of their content.

    .hplab/artifacts/blobs/<sha256>                      a file, once however many versions use it
    .hplab/artifacts/versions/NAME/v<n>-<digest16>.json  what a version holds, and where it is from
    .hplab/artifacts/versions/NAME/aliases.json          the versions that other names point to

Blobs and versions are written whole, once, and never changed; only the aliases are. What no alias
points to may be deleted to make room.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hplab.errors import HplabError, unknown
from hplab.sweeps import locks
from hplab.sweeps.contents import Item
from hplab.sweeps.records import DamagedError, digest_of, seal, shown, write_whole
from hplab.trial import canonical

LATEST, BEST = "latest", "best"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_NUMBER = re.compile(r"v(\d+)")


@dataclasses.dataclass(frozen=True)
class Version:
    """One version of an artifact.

    Attributes:
        name: What the artifact is called.
        number: Which version it is, from 0.
        kind: "weights", "data", "table" or "files".
        files: For each file its "digest" (SHA-256) and its "size" in bytes.
        about: What is needed to make the thing of its files again.
        lineage: Where it is from: the key, settings and seed of its run, digests of data and code.
        made: When, in UTC.
        aliases: What points to it.
    """

    name: str
    number: int
    kind: str
    files: dict[str, dict[str, Any]]
    about: dict[str, Any]
    lineage: dict[str, Any]
    made: str
    aliases: tuple[str, ...] = ()

    @property
    def ref(self) -> str:
        """What it is asked for by: "train:v3"."""
        return f"{self.name}:v{self.number}"

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(one["size"] for one in self.files.values())


class Cleared(NamedTuple):
    """What was deleted.

    Attributes:
        versions: The versions.
        size: Bytes that are free now.
    """

    versions: list[Version]
    size: int


class Shelf:
    """The artifacts in a folder.

    Args:
        folder: Where they are.
        budget: Bytes that they may have together. Beyond that the oldest without an alias go.
    """

    def __init__(self, folder: Path, budget: float) -> None:
        self.folder, self.budget = folder, budget
        self.blobs, self.shelves = folder / "blobs", folder / "versions"

    # -- writing ------------------------------------------------------------------------------

    def add(
        self,
        name: str,
        item: Item,
        lineage: Mapping[str, Any],
        aliases: Sequence[str] = (),
    ) -> Version:
        """Keep something as the newest version; the same from the same run is no new one.

        Raises:
            HplabError: If a name or alias is impossible, it is larger than the budget, or the
                system refuses to write.
        """
        _check(name, "a name of an artifact")
        for alias in aliases:
            _check_alias(alias)
        files: dict[str, dict[str, Any]] = {
            file: {"digest": digest_of(data, 64), "size": len(data)}
            for file, data in sorted(item.files.items())
        }
        size = sum(one["size"] for one in files.values())
        if size > self.budget:
            raise HplabError(
                f"{name} has {size_text(size)}, and all artifacts together may have "
                f"{size_text(self.budget)} (HPLAB_ARTIFACTS_GB)"
            )
        what: dict[str, Any] = {
            "name": name,
            "kind": item.kind,
            "files": files,
            "about": item.about,
        }
        what["lineage"] = dict(lineage)
        digest = digest_of(canonical(what).encode())
        with self._locked():
            for file, data in item.files.items():
                path = self.blobs / files[file]["digest"]
                if not path.is_file() or path.stat().st_size != len(data):
                    write_whole(path, data)
            shelf = self.shelves / name
            known = sorted(shelf.glob(f"v*-{digest}.json"))
            number = 1 + max(map(_number, shelf.glob("v*.json")), default=-1)
            if known:
                number = _number(known[0])
            else:
                now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
                sealed = seal({**what, "number": number, "made": now})
                write_whole(shelf / f"v{number}-{digest}.json", canonical(sealed).encode())
            self._point(name, number, [LATEST, *aliases])
            if self.size() > self.budget:
                self._clear(self.budget)
            return self.find(f"{name}:v{number}")

    def alias(self, ref: str, alias: str) -> Version:
        """Let an alias point to a version, and no longer to another of that name."""
        _check_alias(alias)
        with self._locked():
            version = self.find(ref)
            self._point(version.name, version.number, [alias])
        return self.find(version.ref)

    def drop(self, version: Version) -> None:
        """Delete a version, unless an alias points to it."""
        with self._locked():
            if not self.find(version.ref).aliases:
                self._delete([version])

    def gc(self, budget: float | None = None, *, dry_run: bool = False) -> Cleared:
        """Delete versions that no alias points to, and blobs that no version has.

        Args:
            budget: Bytes to get to, the oldest versions first; None deletes all of them.
            dry_run: Whether to say only what would go.
        """
        with self._locked():
            return self._clear(-1.0 if budget is None else budget, dry_run=dry_run)

    # -- reading ------------------------------------------------------------------------------

    def find(self, ref: str) -> Version:
        """Return a version: "train" is the latest, "train:best" that of an alias, "train:v3" one.

        Raises:
            HplabError: If there is none, with the nearest match.
            DamagedError: If what is written of it is not what was written.
        """
        name, _, which = str(ref).partition(":")
        which = which or LATEST
        names = self.names()
        if name not in names:
            raise unknown("artifact", name, names)
        aliases = self._aliases(name)
        number = _NUMBER.fullmatch(which)
        wanted = int(number[1]) if number else aliases.get(which)
        paths = {_number(path): path for path in (self.shelves / name).glob("v*.json")}
        if wanted not in paths:
            raise unknown("version", which, [*aliases, *(f"v{n}" for n in paths)], name)
        return _version(paths[wanted], aliases)

    def item(self, version: Version) -> Item:
        """Return what a version holds, each file held against its digest.

        Raises:
            DamagedError: If a file is missing, or not what was written.
        """
        files = {}
        for name, said in version.files.items():
            files[name], fault = self._blob(said)
            if fault:
                raise DamagedError(f"{version.ref}: {name} {fault}")
        return Item(version.kind, files, version.about, version.name)

    def names(self) -> list[str]:
        """Return what is kept, by name."""
        return sorted(path.name for path in self.shelves.glob("*") if any(path.glob("v*.json")))

    def versions(self, name: str | None = None) -> list[Version]:
        """Return the versions that can be read, of one artifact or of all, oldest first."""
        if name is not None and name not in self.names():
            raise unknown("artifact", name, self.names())
        found = []
        for shelf in self.names() if name is None else [name]:
            aliases = self._aliases(shelf)
            for path in sorted((self.shelves / shelf).glob("v*.json"), key=_number):
                with contextlib.suppress(DamagedError):  # it hides no other; `faults` has it
                    found.append(_version(path, aliases))
        return found

    def faults(self) -> Iterator[str]:
        """Yield every fault, a line each: what is damaged or missing, and what points nowhere."""
        for name in self.names():
            for path in sorted((self.shelves / name).glob("v*.json"), key=_number):
                try:
                    version = _version(path, {})
                except DamagedError as error:
                    yield str(error)
                    continue
                for file, said in version.files.items():
                    if fault := self._blob(said)[1]:
                        yield f"{version.ref}: {file} {fault}"
            numbers = {_number(path) for path in (self.shelves / name).glob("v*.json")}
            try:
                aliases = self._aliases(name)
            except DamagedError as error:
                yield str(error)
                continue
            for alias, number in aliases.items():
                if number not in numbers:
                    yield f"{name}:{alias} points to v{number}, which is not there"

    def size(self) -> int:
        """Return the bytes of all blobs."""
        return sum(path.stat().st_size for path in self.blobs.glob("*"))

    # -- inside -------------------------------------------------------------------------------

    def _locked(self) -> contextlib.AbstractContextManager[None]:
        return locks.held(self.folder / "lock", "hplab artifact", waits=True)

    def _aliases(self, name: str) -> dict[str, int]:
        path = self.shelves / name / "aliases.json"
        if not path.is_file():
            return {}
        return _sealed(path)["aliases"]

    def _point(self, name: str, number: int, aliases: Sequence[str]) -> None:
        before = self._aliases(name)
        after = {**before, **dict.fromkeys(aliases, number)}
        if after != before:
            text = canonical(seal({"aliases": after}))
            write_whole(self.shelves / name / "aliases.json", text.encode())

    def _blob(self, said: Mapping[str, Any]) -> tuple[bytes, str]:
        """Return the bytes of a file, and what is wrong with them."""
        path = self.blobs / said["digest"]
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return b"", f"is missing ({shown(path)})"
        except OSError as error:
            return b"", f"cannot be read: {error.strerror} ({shown(path)})"
        if digest_of(data, 64) != said["digest"]:
            return b"", f"is damaged ({shown(path)})"
        return data, ""

    def _clear(self, budget: float, *, dry_run: bool = False) -> Cleared:
        """Delete the oldest versions without an alias until the rest fit, and blobs of nobody."""
        versions = self.versions()
        users: dict[str, int] = {}
        sizes = {path.name: path.stat().st_size for path in self.blobs.glob("*")}
        total, gone, freed = sum(sizes.values()), [], 0
        damaged = self._n_files() - len(versions)
        for version in versions:
            for one in version.files.values():
                users[one["digest"]] = users.get(one["digest"], 0) + 1
        for digest, size in sizes.items():
            if digest not in users and not damaged:  # a damaged version may be what needs it
                freed += size
                if not dry_run:
                    (self.blobs / digest).unlink(missing_ok=True)
        for version in sorted(versions, key=lambda one: one.made):
            if total - freed <= budget:
                break
            if version.aliases:
                continue
            gone.append(version)
            for one in version.files.values():
                users[one["digest"]] -= 1
                if not users[one["digest"]]:
                    freed += sizes.get(one["digest"], 0)
        if not dry_run:
            self._delete(gone)
        return Cleared(gone, freed)

    def _delete(self, gone: Sequence[Version]) -> None:
        """Delete versions, and then the blobs that no other has."""
        for version in gone:
            for path in (self.shelves / version.name).glob(f"v{version.number}-*.json"):
                path.unlink()
        left = self.versions()
        if self._n_files() > len(left):
            return  # a damaged version may need them
        used = {one["digest"] for version in left for one in version.files.values()}
        for version in gone:
            for one in version.files.values():
                if one["digest"] not in used:
                    (self.blobs / one["digest"]).unlink(missing_ok=True)

    def _n_files(self) -> int:
        return sum(1 for _ in self.shelves.glob("*/v*.json"))


def size_text(size: float) -> str:
    """Return a number of bytes as people read it: 12 B, 3.5 kB, 1.2 GB."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"


def _number(path: Path) -> int:
    found = _NUMBER.match(path.name)
    return int(found[1]) if found else -1


def _sealed(path: Path) -> dict[str, Any]:
    """Return what a sealed file says.

    Raises:
        DamagedError: If it is not what was written.
    """
    try:
        said = json.loads(path.read_bytes())
        if seal(said)["sum"] == said["sum"]:
            return said
    except (OSError, ValueError, KeyError, TypeError, HplabError):
        pass
    raise DamagedError(f"{shown(path)}: damaged or edited")


def _version(path: Path, aliases: Mapping[str, int]) -> Version:
    said = _sealed(path)
    fields = {field.name: said[field.name] for field in dataclasses.fields(Version)[:-1]}
    named = tuple(sorted(alias for alias, number in aliases.items() if number == said["number"]))
    return Version(**fields, aliases=named)


def _check(name: str, what: str) -> None:
    if not _NAME.fullmatch(name):
        raise HplabError(f"{what} has letters, digits, '.', '_' and '-' only, got {name!r}")


def _check_alias(alias: str) -> None:
    _check(alias, "an alias")
    if _NUMBER.fullmatch(alias):
        raise HplabError(f"{alias!r} is the number of a version: give an alias another name")
