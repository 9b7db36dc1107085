"""Looking after a store: every fault of it, fewer files, records from elsewhere, what is left over.

Nothing here changes a record. Files are written whole before others are deleted, so a kill at any
point leaves every record in at least one file.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from hplab.sweeps import records, tasks
from hplab.sweeps.records import DamagedError, Line, Record, StoreError, shown
from hplab.sweeps.store import BATCH_RECORDS, FUNCTION, LEFTOVER_S, Store
from hplab.trial import HplabError, Trial, canonical, key_of

# ---------------------------------------------------------------------------------------------
# Checking


def faults(store: Store) -> list[str]:
    """Return every fault of a store, a sentence each that begins with the file and the line.

    A file that is damaged, edited, cut or half merged; a record of a newer version, in the folder
    of another data set, or with a key that is not its own; two records of one trial that disagree;
    a description of an environment that is missing or damaged.
    """
    found: list[str] = []
    whole: list[Line] = []
    for path in [*sorted(store.root.glob("*/*.jsonl")), *sorted(store.pending.glob("*.jsonl"))]:
        lines, wrong = _read(path)
        whole += lines
        found += wrong
    known: dict[str, Line] = {}
    for line in whole:
        found += _wrong(line, store)
        first = known.setdefault(line.head["key"], line)
        if first is not line and not records.same_result(first.record(), line.record()):
            found.append(f"{line}: contradicts {first}, another result of the same trial")
    found += _origins(store, whole)
    return found


def _read(path: Path) -> tuple[list[Line], list[str]]:
    """Return the lines of a file that can be read, and what is wrong with the rest of it."""
    try:
        data = path.read_bytes()
    except OSError as error:
        return [], [f"{shown(path)}: cannot be read: {error.strerror}"]
    with contextlib.suppress(StoreError):
        return records.read_batch(path, data), []
    lines: list[Line] = []
    wrong: list[str] = []
    for number, text in enumerate(data.removesuffix(b"\n").split(b"\n"), 1):
        try:
            lines.append(records.read_line(text, path, number))
        except StoreError as error:
            wrong.append(str(error))
    if not wrong:  # every line is whole, so it is the file that is not
        try:
            records.read_batch(path, data)
        except StoreError as error:
            wrong.append(str(error))
    return lines, wrong


def _wrong(line: Line, store: Store) -> Iterator[str]:
    """Yield what is wrong with a record whose text is as it was written."""
    head = line.head
    is_call = head["task"] == FUNCTION
    task = head["task"], head["task_version"]
    if is_call:
        wanted = tasks.key_of(head["config"], head["seed"], head["task_version"])
    else:
        wanted = key_of(canonical(head["config"]), head["seed"], head["data"], *task)
    if head["key"] != wanted:
        of = "its call's" if is_call else "its trial's"
        yield f"{line}: its key is {head['key'][:12]}, but {of} is {wanted[:12]} (edited?)"
    folder = line.path.parent
    if folder.parent == store.root and folder.name != head["config"].get("data"):
        yield f"{line}: a record of {head['config'].get('data')} among those of {folder.name}"
    if is_call:
        return
    try:
        Trial.from_config(head["config"], head["seed"])
    except HplabError as error:
        yield f"{line}: {error}; a newer hplab wrote it, or it was edited"


def _origins(store: Store, lines: Iterable[Line]) -> Iterator[str]:
    """Yield descriptions of environments that records refer to and that are missing or damaged."""
    first: dict[str, Line] = {}
    for line in lines:
        first.setdefault(str(line.head.get("prov")), line)
    for name, line in sorted(first.items()):
        try:
            store.provenance(name)
        except DamagedError as error:
            yield str(error)
        except StoreError as error:
            yield f"{line}: {error}"


# ---------------------------------------------------------------------------------------------
# Mending


@dataclasses.dataclass
class Done:
    """What was done to a store: files written and deleted, and how many records they hold."""

    written: list[Path] = dataclasses.field(default_factory=list)
    deleted: list[Path] = dataclasses.field(default_factory=list)
    n_records: int = 0
    n_known: int = 0


def compact(store: Store) -> Done:
    """Put the committed records of each data set into as few files as possible.

    Records that two files hold alike are kept once. Of records that contradict each other both
    stay.

    Raises:
        StoreError: If the store is damaged or a file cannot be written. Nothing is lost.
    """
    done = Done()
    with store.locked("compact"):
        store.refresh()
        store.check_whole()
        apart = {entry["path"] for entry in store.conflicts()}
        for folder in sorted({path.parent for path in store.root.glob("*/*.jsonl")}):
            paths = [path for path in sorted(folder.glob("*.jsonl")) if path not in apart]
            kept: dict[str, bytes] = {}
            for line in (line for path in paths for line in _lines(path)):
                kept.setdefault(line.head["key"], line.text)
            pairs = sorted(kept.items())
            blocks = [pairs[i : i + BATCH_RECORDS] for i in range(0, len(pairs), BATCH_RECORDS)]
            if len(blocks) >= len(paths):
                continue
            made = [records.batch(block) for block in blocks]
            new = {folder / name: content for name, content in made}
            for path, content in new.items():
                if path not in paths:
                    records.write_whole(path, content)
                    done.written.append(path)
            done.deleted += _delete(path for path in paths if path not in new)
            done.n_records += len(pairs)
        store.refresh()
    return done


def merge(store: Store, source: Path) -> Done:
    """Take the records of another folder, such as one from another machine, into `.hplab/pending`.

    Args:
        store: Where they go. What it holds already stays as it is.
        source: A folder of results, or of pending records, or one that has either inside; of a
            checkout its `.hplab` and `book/results` alone.

    Raises:
        StoreError: If there is nothing to take, anything in `source` is damaged, or a record there
            contradicts one that is here. Nothing is taken then.
    """
    if not source.is_dir():
        raise StoreError(f"{source} is not a folder")
    results = source / "book" / "results"
    folders = [source / ".hplab", results] if results.is_dir() else [source]
    paths = sorted(path for folder in folders for path in folder.rglob("*.jsonl"))
    if not paths:
        raise StoreError(f"{source} holds no records, which are files that end in .jsonl")
    new: dict[str, Record] = {}
    done = Done()
    for line in (line for path in paths for line in _lines(path)):
        record, key = line.record(), line.head["key"]
        here = store.get(key) or new.get(key)
        if here is not None and not records.same_result(here, record):
            at = store.where(key) or "another there"
            raise StoreError(f"{line} contradicts {at}, another result of the same trial")
        done.n_known += here is not None
        if here is None:
            new[key] = record
    origins = {path.stem: path for folder in folders for path in folder.rglob("prov/*.json")}
    for name in sorted({str(record.get("prov")) for record in new.values()} & {*origins}):
        content = _origin(origins[name])
        if store.put_provenance(content) != name:
            raise StoreError(f"{shown(origins[name])}: damaged or edited")
    if new:
        done.written.append(store.put(new.values()))
    done.n_records = len(new)
    return done


def gc(store: Store, *, dry_run: bool = False) -> Done:
    """Delete what no record and no living writer needs.

    Temporary files older than a day, failures of trials that have a record by now, pending files
    whose records are all committed, and pending descriptions that no record refers to.

    Raises:
        StoreError: If the store is damaged: what is needed cannot be told then.
    """
    done = Done()
    with store.locked("gc"):
        store.refresh()
        store.check_whole()
        doomed = [path for path in store.leftovers() if _age_s(path) > LEFTOVER_S]
        doomed += [path for path in store.failed.glob("*.json") if _is_done(path, store)]
        apart = {entry["path"] for entry in store.conflicts()}
        needed = set()
        for path in sorted(store.pending.glob("*.jsonl")):
            lines = _lines(path)
            needed |= {str(line.head.get("prov")) for line in lines}
            kept = {store.file_of(line.head["key"]) for line in lines}
            if path not in kept and path not in apart:
                doomed.append(path)
        for path in (store.pending / "prov").glob("*.json"):
            if path.stem not in needed and _age_s(path) > LEFTOVER_S:
                doomed.append(path)
        done.deleted = doomed if dry_run else _delete(doomed)
        store.refresh()
    return done


def _lines(path: Path) -> list[Line]:
    try:
        return records.read_batch(path, path.read_bytes())
    except OSError as error:
        raise StoreError(f"{shown(path)}: cannot be read: {error.strerror}") from error


def _origin(path: Path) -> dict:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise StoreError(f"{shown(path)}: damaged or edited") from error


def _is_done(failure: Path, store: Store) -> bool:
    try:
        return store.has(json.loads(failure.read_bytes()).get("key", ""))
    except (OSError, ValueError, AttributeError):
        return False


def _age_s(path: Path) -> float:
    with contextlib.suppress(FileNotFoundError):
        return time.time() - path.stat().st_mtime
    return 0.0


def _delete(paths: Iterable[Path]) -> list[Path]:
    gone = []
    for path in paths:
        path.unlink(missing_ok=True)
        gone.append(path)
    return gone
