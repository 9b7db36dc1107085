"""Tells whether an executed page would come out as it is, so that it need not run again.

A page is made of its text, its parameters, the code, the ledger, the installed versions and the
records it reads. On stand-in data and from records alone nothing else counts. A page that reads a
data set of the user's is always run: only loading it tells whether it changed.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from hplab.pages.notebooks import ipynb
from hplab.sweeps import presets
from hplab.sweeps.store import Store
from hplab.trial import HplabError

CHECKOUT = Path(__file__).resolve().parents[3]
SOURCES = ("hplab", "book/claims.yaml", "book/reference")
NEEDED = "HPLAB_NEEDED"  # names the file in which a run notes the keys of its trials
_WITHOUT_EFFECT = ("HPLAB_JOBS", "HPLAB_STUDY", "HPLAB_EXECUTION", NEEDED)


def ingredients(
    notebook: NotebookNode, parameters: Mapping[str, Any], env: Mapping[str, str], store: Store
) -> str | None:
    """Return a digest of all that a study's page is made of, but for its own stand-in trials.

    Args:
        notebook: The study's text.
        parameters: Values given for names of its `parameters` cell.
        env: Environment variables of its kernel, on top of this process's.
        store: Where its kernel reads records.

    Returns:
        64 hex digits, or None where a page may depend on more than can be seen from here.
    """
    given = ipynb.parameters(notebook) | dict(parameters)
    everywhere = {**os.environ, **env}
    from_records = everywhere.get("HPLAB_MODE") == "cached"
    preset = presets.PRESETS.get(str(given.get("preset")))
    if not from_records and not (preset and preset.stand_in):
        return None
    named = {
        name: value
        for name, value in everywhere.items()
        if name.startswith("HPLAB_") and name not in _WITHOUT_EFFECT
    }
    parts = [
        ipynb.source_digest(notebook),
        json.dumps([given, named], sort_keys=True, default=str),
        _code(),
        _installed(),
        _records(store, all_of_them=from_records),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def is_current(executed: Path, digest: str | None, store: Store) -> bool:
    """Return whether an executed page has these ingredients and its trials are all recorded."""
    if digest is None or not executed.exists():
        return False
    try:
        stamp = ipynb.read(executed).metadata.get("hplab", {})
    except HplabError:
        return False
    return stamp.get("ingredients") == digest and all(map(store.has, stamp.get("needed", [])))


def _records(store: Store, *, all_of_them: bool) -> str:
    """Return a digest of the records; without `all_of_them`, those of stand-in data stay out."""
    digest = hashlib.sha256()
    for key, data, content in store.contents():
        if all_of_them or data != "digits":
            digest.update(f"{key} {content}\n".encode())
    return digest.hexdigest()


@functools.cache
def _code() -> str:
    digest = hashlib.sha256()
    for name in SOURCES:
        top = CHECKOUT / name
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file() and "__pycache__" not in path.parts:
                content = hashlib.sha256(path.read_bytes()).hexdigest()
                digest.update(f"{path.relative_to(CHECKOUT).as_posix()} {content}\n".encode())
    return digest.hexdigest()


@functools.cache
def _installed() -> str:
    found = {f"{d.name} {d.version}" for d in importlib.metadata.distributions()}
    return hashlib.sha256(
        "\n".join([platform.python_version(), *sorted(found)]).encode()
    ).hexdigest()
