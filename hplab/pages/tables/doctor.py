"""What is here: results, executed pages, the machine. Text for `hplab status` and `doctor`."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from hplab import __version__, places
from hplab.catalogue import DATA
from hplab.sweeps import provenance
from hplab.sweeps.store import Store, default_store
from hplab.trial import TASK

PACKAGES = ("torch", "torchvision", "numpy", "pandas", "scipy", "statsmodels", "matplotlib")
TOOLS = ("jupyter-book", "jupytext", "papermill", "ipykernel", "nbclient", "pytest")


def results(store: Store | None = None, *, n_shown: int = 5) -> str:
    """Return the counts of a store, its records a data set and model, and what went wrong."""
    store = store or default_store()
    counts = store.status()
    size = counts["bytes"] / 1e6
    lines = [
        f"records: {counts['records']} ({counts['committed']} committed, {counts['pending']} "
        f"pending, {counts['diverged']} diverged), {size:.1f} MB in {counts['batches']} files"
    ]
    lines += [f"damaged: {what}" for what in counts["damaged"]]
    for name in ("outdated", "leftovers"):
        lines += [f"{name}: {counts[name]}"] if counts[name] else []
    if counts["damaged"]:
        return "\n".join(lines)  # the rest would be told from half of the records
    lines += aligned(("data", "model", "epochs", "images", "settings", "trials"), _groups(store))
    conflicts = store.conflicts()
    lines.append(f"conflicts: {len(conflicts)}")
    for found in conflicts[:n_shown]:
        lines.append(
            f"    {found['key'][:12]}: {found['kept']} and {found['other']} differ by "
            f"{found['max_delta']:.2g}"
        )
    failures = store.failures()
    lines.append(f"failures: {len(failures)}" + (" (tried again on the next run)" * any(failures)))
    for failure in failures[-n_shown:]:
        what = str(failure.get("message", "")).splitlines() or [""]
        lines.append(f"    {failure.get('key', '')[:12]}: {failure.get('error')}: {what[0]}")
    return "\n".join(lines)


def _groups(store: Store) -> list[tuple[str, ...]]:
    """Return the number of settings and trials for each data set, model and length of training."""
    found: dict[tuple, list[dict[str, Any]]] = {}
    for record in store.records():
        config = record["config"]
        images = config.get("n_train")
        key = (config["data"], "a function", "-", "-")  # of `hp.sweep`
        if record["task"] == TASK:
            key = (config["data"], config["model"], config["epochs"], images or "all")
        found.setdefault(key, []).append(config)
    rows = []
    for key, configs in sorted(found.items(), key=lambda item: str(item[0])):
        settings = {repr(sorted(config.items(), key=str)) for config in configs}
        rows.append((*map(str, key), str(len(settings)), str(len(configs))))
    return rows


def pages(root: Path) -> str:
    """Return what each study's page was last executed with, and whether it is out of date."""
    from hplab.pages.notebooks import ipynb, pairing

    rows = []
    for page in pairing.pages(root / "book" / "studies"):
        executed = root / "_build" / "executed" / "studies" / f"{page.stem}.ipynb"
        if not executed.exists():
            rows.append((page.stem, "-", "-", "-", "not executed yet"))
            continue
        stamp = ipynb.read(executed).metadata.get("hplab", {})
        changed = [
            what
            for what, now in (
                ("text", ipynb.source_digest(ipynb.read(page))),
                ("code", provenance.code_digest()),
            )
            if stamp.get({"text": "source"}.get(what, what)) != now
        ]
        since = f"{' and '.join(changed)} changed since" if changed else "up to date"
        seconds = f"{stamp.get('seconds', 0):.0f} s"
        rows.append((page.stem, stamp.get("preset"), stamp.get("started"), seconds, since))
    return "\n".join(aligned(("study", "preset", "executed", "took", "state"), rows))


def machine(root: Path) -> str:
    """Return versions, devices, data sets and folders, with the home folder left out."""
    import torch

    from hplab.training import datasets

    store = default_store()
    git = provenance.git_state() or {}
    commit = f", commit {git['commit'][:12]}{' (changed)' * git['dirty']}" if git else ""
    rows = [
        ("hplab", f"{__version__}{commit}, code {provenance.code_digest()}"),
        ("python", f"{platform.python_version()} at {sys.executable}"),
        ("system", f"{platform.platform()}, {os.cpu_count()} cores"),
        ("device", _devices(torch)),
        ("threads", str(torch.get_num_threads())),
        *((name, version(name)) for name in (*PACKAGES, *TOOLS)),
        *((name, datasets.available(name) or "not here") for name in DATA),
        ("clone", str(root) if (root / "book").is_dir() else f"none; installed in {root}"),
        ("results", str(store.root)),
        ("pending", str(store.pending)),
        *((name, value) for name, value in places.settings().items()),
    ]
    home = os.path.expanduser("~")
    return "\n".join(f"{name:16} {value}".replace(home, "~") for name, value in rows)


def _devices(torch: Any) -> str:
    found = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    found += ["mps"] if torch.backends.mps.is_available() else []
    return ", ".join(["cpu", *found])


def version(name: str) -> str:
    """Return the installed version of a package, or that there is none."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def aligned(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    """Return rows as lines with aligned columns, and nothing if there are none."""
    texts = [[str(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(head, *texts, strict=True)]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in [list(head), *texts]
    ]
    return lines if texts else []
