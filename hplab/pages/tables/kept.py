"""What `hplab artifact` prints: versions, where one is from, and what was deleted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hplab.pages.tables.doctor import aligned
from hplab.sweeps import artifacts
from hplab.sweeps.keeping import shelf_of
from hplab.sweeps.points import words
from hplab.sweeps.records import shown
from hplab.sweeps.shelf import size_text


def listed(name: str | None = None) -> str:
    """Return a line a version, the newest last, and what all of them take."""
    shelf = shelf_of(None)
    versions = shelf.versions(name)
    if not versions:
        return "nothing is kept yet; hp.sweep(..., keep='best') keeps what the best run trained"
    rows = [
        (one.ref, ", ".join(one.aliases), one.kind, size_text(one.size), one.made, _score(one))
        for one in versions
    ]
    total = f"{size_text(shelf.size())} in all, of {size_text(shelf.budget)}"
    heads = ("artifact", "aliases", "kind", "size", "made (UTC)", "score")
    return "\n".join([*aligned(heads, rows), total])


def told(ref: str, place: Path | None) -> str:
    """Return where a version is from; with a place its files are written there."""
    version = artifacts.find(ref)
    lineage = version.lineage
    settings: dict[str, Any] = lineage.get("point") or lineage.get("config") or {}
    lines = [f"{version.ref}  {version.kind}, {size_text(version.size)}, made {version.made}"]
    said = {
        "aliases": ", ".join(version.aliases),
        "score": _score(version),
        "settings": words({**settings, "seed": lineage.get("seed")}) if settings else "",
        "run": lineage.get("key"),
        "data": lineage.get("data"),
        "code": lineage.get("code"),
    }
    lines += [f"{what}  {text}" for what, text in said.items() if text]
    lines += [f"{file}  sha256 {one['digest']}" for file, one in version.files.items()]
    if place:
        lines += [f"wrote {shown(path)}" for path in artifacts.get(ref, place)]
    return "\n".join(lines)


def cleared(budget: float | None, *, dry_run: bool) -> str:
    """Delete versions without an alias; return a line each, and what is free now."""
    gone, size = shelf_of(None).gc(None if budget is None else budget * 1e9, dry_run=dry_run)
    verb = "would delete" if dry_run else "deleted"
    return "\n".join([*(f"{verb} {one.ref}" for one in gone), f"{verb} {size_text(size)} in all"])


def _score(version: artifacts.Version) -> str:
    score = version.lineage.get("score")
    return f"{score['metric']} {score['value']:.6g}" if score else ""
