"""Tells whether an executed page would come out as it is, so that it need not run again.

A page is made of its text, its parameters, the code, the ledger, the installed versions and the
records it reads. On stand-in data and from records alone nothing else counts. A page that reads a
data set of the user's is always run: only loading it tells whether it changed. A page without a
preset, as those of the gallery, trains functions of its own on what is installed.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from hplab import places
from hplab.pages.notebooks import ipynb
from hplab.sweeps import presets
from hplab.sweeps.store import Store
from hplab.trial import HplabError

SOURCES = ("hplab", "book/claims.yaml", "book/reference")


def ingredients(
    notebook: NotebookNode, parameters: Mapping[str, Any], env: Mapping[str, str], store: Store
) -> str | None:
    """Return a digest of all that a study's page is made of, but for its own stand-in trials.

    Args:
        notebook: The page's text.
        parameters: Values given for names of its `parameters` cell.
        env: Environment variables of its kernel, on top of this process's.
        store: Where its kernel reads records.

    Returns:
        64 hex digits, or None where a page may depend on more than can be seen from here.
    """
    given = ipynb.parameters(notebook) | dict(parameters)
    from_records = places.from_records(env)
    preset = presets.PRESETS.get(str(given.get("preset")))
    has_trials = from_records or "preset" in given
    if has_trials and not from_records and not (preset and preset.stand_in):
        return None
    named = {
        name: value
        for name, value in places.settings(env).items()
        if name not in places.WITHOUT_EFFECT
    }
    parts = [
        ipynb.source_digest(notebook),
        json.dumps([given, named], sort_keys=True, default=str),
        _code(places.CODE),
        _installed(),
        _records(store, all_of_them=from_records) if has_trials else "",
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
    there = {*stamp.get("stand_ins", [])} <= {*stand_ins(store)}
    return there and stamp.get("ingredients") == digest


def stand_ins(store: Store) -> list[str]:
    """Return the trials on stand-in data that are recorded, each by 16 digits of its key.

    A page is stamped with those there are when it is done, more than its own: what it shows is
    recorded as long as all of them are.
    """
    return sorted(key[:16] for key, data, _ in store.contents() if data == "digits")


def _records(store: Store, *, all_of_them: bool) -> str:
    """Return a digest of the records; without `all_of_them`, those of stand-in data stay out."""
    digest = hashlib.sha256()
    for key, data, content in store.contents():
        if all_of_them or data != "digits":
            digest.update(f"{key} {content}\n".encode())
    return digest.hexdigest()


def _code(checkout: Path) -> str:
    """Return a digest of what this project's own files say."""
    digest = hashlib.sha256()
    for name in SOURCES:
        top = checkout / name
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file() and "__pycache__" not in path.parts:
                content = hashlib.sha256(path.read_bytes()).hexdigest()
                digest.update(f"{path.relative_to(checkout).as_posix()} {content}\n".encode())
    return digest.hexdigest()


@functools.cache
def _installed() -> str:
    found = {f"{d.name} {d.version}" for d in importlib.metadata.distributions()}
    return hashlib.sha256(
        "\n".join([platform.python_version(), *sorted(found)]).encode()
    ).hexdigest()
