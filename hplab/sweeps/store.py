"""The results store: finished trials as immutable, content-addressed batches of JSON lines.

    results/<data set>/<digest16>.jsonl     committed: one sealed record a line, sorted by key
    results/prov/<id>.json                  committed: the environments that records refer to
    .hplab/pending/*.jsonl, prov/*.json     ignored by git: finished, not yet packed
    .hplab/failures/*.json                  ignored by git: what went wrong, where, when
    .hplab/journal/*.jsonl                  ignored by git: finished, not yet stored (`journal`)

A file is written once, under a name that holds the SHA-256 of its bytes, and never changed: two
branches that both add results merge without conflict, writers need no lock, and damage shows.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import json
import re
import secrets
import shlex
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from hplab import places
from hplab.sweeps import journal, locks
from hplab.sweeps.provenance import collect_provenance
from hplab.sweeps.records import (
    RESULT,
    DamagedError,
    Line,
    Record,
    StoreError,
    batch,
    digest_of,
    max_delta,
    read_batch,
    same_result,
    seal,
    sealed,
    shortest,
    shown,
    write_whole,
)
from hplab.trial import TASK, TASK_VERSION, HplabError, Trial, canonical

__all__ = [
    "Record",
    "Store",
    "StoreError",
    "collect_provenance",
    "default_store",
    "seal",
    "shortest",
]

FUNCTION, FUNCTION_VERSION = "function", 1  # runs of a reader's own function (`functions`)
TASKS = {TASK: TASK_VERSION, FUNCTION: FUNCTION_VERSION}
BATCH_RECORDS = 2000  # at most this many records a committed file: a few megabytes each
_LOOKS = 5  # at a folder whose files are being put together, before a missing one is a fault
LEFTOVER_S = 24 * 3600  # a temporary file older than this belongs to no living writer


class Store:
    """Records of finished trials, in a committed folder and a pending one.

    The store is read on first use and then answered from memory; `refresh` looks for what others
    have written since. Every whole record that comes out is a new copy.

    Args:
        root: Folder of committed results.
        pending: Folder of results not yet packed. The lock file and the failures lie beside it.
    """

    def __init__(self, root: Path | str, pending: Path | str) -> None:
        self.root = Path(root)
        self.pending = Path(pending)
        self.failed = self.pending.parent / "failures"
        self.journal = self.pending.parent / "journal"
        self._batches: dict[Path, list[Line]] = {}
        self.is_read = False  # whether the files have been read
        self._damage: dict[Path, str] = {}
        self._by_key: dict[str, Line] = {}
        self._by_identity: dict[str, Line] | None = None
        self._conflicts: list[dict[str, Any]] = []
        self.said: set[str] = set()  # lines about these records that need no saying again

    # -- writing ------------------------------------------------------------------------------

    def put(self, records: Iterable[Record]) -> Path:
        """Write finished trials as one pending batch: after it returns, all are on disk, or none.

        Returns:
            The new file.

        Raises:
            StoreError: If a record is malformed or the file cannot be written (disk full, ...).
                Nothing is written then; the records are the caller's still, to put again.
        """
        whole = [sealed(record) for record in records]
        if not whole:
            raise StoreError("no records to put")
        name, data = batch((record["key"], canonical(record).encode()) for record in whole)
        path = self.pending / f"{time.time_ns():020d}-{secrets.token_hex(8)}-{name}"
        write_whole(path, data)
        if self.is_read:
            self._batches[path] = read_batch(path, data)
            self._index(self._batches[path])
        return path

    def pack(self, *, trials_only: bool = False) -> list[Path]:
        """Move pending records and provenance into committed files; return the new batches.

        A pending file stays when it holds a record that contradicts an earlier one; `conflicts`
        names it. Readers and writers may go on meanwhile; a second `pack` on this host waits.

        Args:
            trials_only: Leave runs of a reader's own functions, and what they ran with, pending.

        Raises:
            StoreError: If a batch is damaged or a file cannot be written. Nothing is lost.
        """
        with self.locked("pack"):
            self.refresh()
            self.check_whole()
            new: dict[str, list[Line]] = {}
            staying: set[Path] = set()
            for line in self._by_key.values():
                if line.path.parent == self.pending:
                    if trials_only and line.head["task"] == FUNCTION:
                        staying.add(line.path)
                    else:
                        new.setdefault(line.head["config"]["data"], []).append(line)
            used = {line.head["prov"] for lines in new.values() for line in lines}
            self._pack_provenance(used if trials_only else None)
            written = [path for data in sorted(new) for path in self._commit(data, new[data])]
            staying |= {entry["path"] for entry in self._conflicts}  # they contradict others
            for path in self._batches:
                if path.parent == self.pending and path not in staying:
                    path.unlink(missing_ok=True)
            self._delete_leftovers()
            self.refresh()
        return written

    def put_provenance(self, provenance: dict[str, Any]) -> str:
        """Keep the description of an environment; return its id, the digest of its content."""
        text = canonical(provenance)
        name = digest_of(text.encode(), 12)
        if (self.root / "prov" / f"{name}.json").exists():
            return name
        write_whole(self.pending / "prov" / f"{name}.json", text.encode() + b"\n")
        return name

    def log_failure(self, failure: dict[str, Any]) -> Path:
        """Write down an exception, kill or timeout: what, where, traceback, attempt.

        Values that are not plain JSON are written as text. The time (UTC) is added as "when".
        """
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        text = json.dumps({"when": now, **failure}, sort_keys=True, default=str)
        path = self.failed / f"{time.time_ns():020d}-{secrets.token_hex(8)}.json"
        write_whole(path, text.encode() + b"\n")
        return path

    # -- reading ------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Look at the folders again; files seen before are not read again.

        What a process that was killed had finished and not stored is stored first.
        """
        self._damage = {}
        journal.recover(self.journal, self.put)
        # Pending before committed, because records move that way: none can slip past in between.
        pending = self._load(sorted(self.pending.glob("*.jsonl")))
        committed = self._load(paths := sorted(self.root.glob("*/*.jsonl")))
        for _ in range(_LOOKS):
            gone = [path for path in paths if path not in committed and path not in self._damage]
            if not gone:
                break
            # What was gone when it was to be read is in another file by now (`upkeep.compact`).
            committed = self._load(paths := sorted(self.root.glob("*/*.jsonl")))
        else:
            self._damage |= {path: f"{shown(path)}: a link to nothing" for path in gone}
        self._batches, self.is_read = {**committed, **pending}, True
        self._by_key, self._by_identity, self._conflicts = {}, None, []
        for lines in self._batches.values():
            self._index(lines)

    def find(self, trial: Trial, digest: str | None = None) -> Record | None:
        """Return the record of a trial under the current task version, or None.

        Args:
            trial: What was trained.
            digest: Digest of the data it must have seen; None takes any.

        Raises:
            StoreError: If any batch is damaged: a missing record cannot be told from a lost one.
        """
        line = self._find(trial, digest)
        return line.record() if line else None

    def summary(self, trial: Trial, digest: str | None = None) -> Record | None:
        """Return the record of a trial without its curves, many times as fast as `find`.

        What is nested in it is the store's own: read it only.

        Args:
            trial: What was trained.
            digest: Digest of the data it must have seen; None takes any.

        Raises:
            StoreError: As `find`.
        """
        line = self._find(trial, digest)
        return dict(line.head) if line else None

    def get(self, key: str) -> Record | None:
        """Return the record with this key, or None."""
        self.check_whole()
        line = self._by_key.get(key)
        return line.record() if line else None

    def head(self, key: str) -> Record | None:
        """Return the record with this key without its curves, or None; see `summary`."""
        self.check_whole()
        line = self._by_key.get(key)
        return dict(line.head) if line else None

    def file_of(self, key: str) -> Path | None:
        """Return the file that a record is in, None if there is no such record."""
        self.check_whole()
        line = self._by_key.get(key)
        return line.path if line else None

    def where(self, key: str) -> str:
        """Return the place of a record as "file:line", "" if there is no such record."""
        self.check_whole()
        return str(self._by_key[key]) if key in self._by_key else ""

    def has(self, key: str) -> bool:
        """Return whether there is a record with this key."""
        self.check_whole()
        return key in self._by_key

    def contents(self) -> Iterator[tuple[str, str, str]]:
        """Yield key, data set and checksum of each record, sorted by key."""
        self.check_whole()
        for key in sorted(self._by_key):
            head = self._by_key[key].head
            yield key, head["config"]["data"], head["sum"]

    def heads(self) -> Iterator[Record]:
        """Yield each record without its curves, sorted by key; the store's own: read them only."""
        self.check_whole()
        for key in sorted(self._by_key):
            yield self._by_key[key].head

    def records(self, data: str | None = None) -> Iterator[Record]:
        """Yield one record a key, sorted by key; of one data set, or of all."""
        self.check_whole()
        for key in sorted(self._by_key):
            line = self._by_key[key]
            if data is None or line.head["config"].get("data") == data:
                yield line.record()

    def conflicts(self) -> list[dict[str, Any]]:
        """List records that contradict the one kept for their key.

        Committed records win over pending ones, earlier pending ones over later, and of two
        committed ones that in the file whose name sorts first, which is the same on every machine.

        Returns:
            A dict each: "key", "kept" and "other" (file:line), "records" (both), "max_delta" (the
            largest difference between their metrics), "path" (the file of the other).
        """
        self.check_whole()
        return list(self._conflicts)

    def provenance(self, name: str) -> dict[str, Any]:
        """Return the environment with this id.

        Raises:
            StoreError: If there is none, or its file is damaged.
        """
        is_id = re.fullmatch(r"[0-9a-f]{12}", name)  # a record may say anything
        for folder in (self.pending / "prov", self.root / "prov") if is_id else ():
            path = folder / f"{name}.json"
            with contextlib.suppress(FileNotFoundError):
                data = path.read_bytes()
                if digest_of(data.removesuffix(b"\n"), 12) != name:
                    raise DamagedError(f"{shown(path)}: damaged or edited; restore or delete it")
                return json.loads(data)
        raise StoreError(f"no provenance {name!r} in {shown(self.root)} or {shown(self.pending)}")

    def failures(self) -> list[dict[str, Any]]:
        """List logged failures, oldest first, without those whose trial has a record by now."""
        if not self.is_read:
            self.refresh()
        found = []
        for path in sorted(self.failed.glob("*.json")):
            try:
                failure = json.loads(path.read_bytes())
            except (OSError, ValueError):
                failure = {"error": f"unreadable failure log {shown(path)}"}
            if failure.get("key") not in self._by_key:
                found.append(failure)
        return found

    def status(self) -> dict[str, Any]:
        """Count what is there now, damaged files included: this never refuses to answer.

        Returns:
            "records", "committed", "pending", "diverged", "outdated" (of another task version),
            "conflicts", "failures", "leftovers" (temporary files), "batches", "bytes" (of the
            readable ones), "data" (records a data set) and "damaged" (a message a file).
        """
        self.refresh()
        heads = [line.head for line in self._by_key.values()]
        waiting = sum(line.path.parent == self.pending for line in self._by_key.values())
        return {
            "records": len(heads),
            "committed": len(heads) - waiting,
            "pending": waiting,
            "diverged": sum(head["status"] == "diverged" for head in heads),
            "outdated": sum(not _is_current(head) for head in heads),
            "conflicts": len(self._conflicts),
            "failures": len(self.failures()),
            "leftovers": len(self.leftovers()),
            "batches": len(self._batches) + len(self._damage),
            "bytes": sum(len(line.text) + 1 for lines in self._batches.values() for line in lines),
            "data": dict(sorted(Counter(str(h["config"].get("data")) for h in heads).items())),
            "damaged": list(self._damage.values()),
        }

    # -- inside -------------------------------------------------------------------------------

    def _load(self, paths: list[Path]) -> dict[Path, list[Line]]:
        """Read the files not known yet; put damaged ones down in `_damage`."""
        batches = {}
        for path in paths:  # in this order: of two records of one key the first is kept
            try:
                batches[path] = self._batches.get(path) or read_batch(path, path.read_bytes())
            except FileNotFoundError:
                continue  # packed between listing and reading: the committed batch has it
            except OSError as error:
                self._damage[path] = f"{shown(path)}: cannot be read: {error.strerror}"
            except DamagedError as error:
                self._damage[path] = f"{error}; {self._remedy(path, str(error))}"
            except StoreError as error:
                self._damage[path] = str(error)
        return batches

    def _find(self, trial: Trial, digest: str | None) -> Line | None:
        self.check_whole()
        if digest is not None:
            return self._by_key.get(trial.key(digest))
        if self._by_identity is None:
            found: dict[str, Line] = {}
            for line in self._by_key.values():
                if _is_current(line.head):
                    parts = {"config": line.head["config"], "seed": line.head["seed"]}
                    found.setdefault(canonical(parts), line)
            self._by_identity = found  # whole or not at all
        return self._by_identity.get(trial.identity())

    def _index(self, lines: list[Line]) -> None:
        self._by_identity = None
        for line in lines:
            kept = self._by_key.setdefault(line.head["key"], line)
            if kept is not line and not same_result(*(pair := [kept.record(), line.record()])):
                delta = max(max_delta(*(record.get(name) for record in pair)) for name in RESULT)
                self._conflicts.append(
                    {
                        "key": line.head["key"],
                        "kept": str(kept),
                        "other": str(line),
                        "records": pair,
                        "max_delta": delta,
                        "path": line.path,
                    }
                )

    def check_whole(self) -> None:
        """Read on first use; refuse to answer while a batch is damaged.

        Raises:
            StoreError: Naming the first damage.
        """
        if not self.is_read or self._damage:  # it may have been mended
            self.refresh()
        for message in self._damage.values():
            raise StoreError(message)

    def _remedy(self, path: Path, why: str) -> str:
        if "a copy under another name" in why:
            return "give it that name, or delete it if that file is there"
        delete = "delete the file and its trials are trained again"
        if any(kept in why for kept in ("CRLF", "byte order mark")):
            delete = f"undo that, with an editor or a tool, and nothing is lost; or {delete}"
        if self.pending in path.parents:
            return delete
        return f"restore it with git checkout -- {shlex.quote(str(shown(path)))}, or {delete}"

    def _commit(self, data: str, lines: list[Line]) -> list[Path]:
        pairs = sorted((line.head["key"], line.text) for line in lines)
        written = []
        for start in range(0, len(pairs), BATCH_RECORDS):
            name, content = batch(pairs[start : start + BATCH_RECORDS])
            written.append(self.root / data / name)
            write_whole(written[-1], content)
        return written

    def _pack_provenance(self, names: set[str] | None) -> None:
        """Move the descriptions of these names, or all."""
        for path in sorted((self.pending / "prov").glob("*.json")):
            if names is not None and path.stem not in names:
                continue
            text = canonical(self.provenance(path.stem))
            write_whole(self.root / "prov" / path.name, text.encode() + b"\n")
            path.unlink()

    def leftovers(self) -> list[Path]:
        """Temporary files of writers that were killed, or that are writing now."""
        folders = [self.pending, self.failed, *self.pending.glob("prov"), *self.root.glob("*")]
        return [path for folder in folders for path in folder.glob(".tmp-*")]

    def _delete_leftovers(self) -> None:
        for path in self.leftovers():
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > LEFTOVER_S:
                    path.unlink()

    def locked(self, what: str) -> contextlib.AbstractContextManager[None]:
        """Return what keeps every other process from moving or deleting files meanwhile."""
        return locks.held(self.pending.parent / "lock", f"hplab {what}", waits=True)


def default_store() -> Store:
    """Return the store of the project: see `hplab.places.records` for where that is.

    A process reads each file once: the next call gives the same store, after a look at what others
    have written since.
    """
    store = _kept(*places.records())
    if store.is_read:
        store.refresh()
    return store


def given(store: Store | None) -> Store:
    """Return the store that a caller named, or the project's own for None.

    Raises:
        HplabError: If it is something else.
    """
    if store is None:
        return default_store()
    if not isinstance(store, Store):
        raise HplabError(f"store must be a Store, or None for the project's own; got {store!r:.80}")
    return store


@functools.cache
def _kept(root: Path, pending: Path) -> Store:
    return Store(root, pending)


def _is_current(record: Record) -> bool:
    return TASKS.get(record["task"]) == record["task_version"]
