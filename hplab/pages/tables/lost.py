"""What the page on faults shows: what was done on purpose, how often, and what was lost."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hplab.pages.tables import markdown

_NONE = "None of this has been counted in this copy: run `make faults`."
KINDS = {  # of files, as the benchmark calls them
    "batch": "batch of records",
    "store": "any file of a store",
    "record": "record with odd values, its checksum right",
    "plan": "list of trials to be trained",
    "declared": "list of a study's trials",
    "verdicts": "committed verdicts",
    "ledger": "ledger of claims",
    "reference": "a report's own numbers",
    "sweep": "sweep file",
    "runs.csv": "runs as CSV",
    "semicolons.csv": "runs as CSV with semicolons and decimal commas",
    "runs.tsv": "runs as TSV",
    "runs.json": "runs as JSON",
    "runs.jsonl": "runs as JSON lines",
    "photo folder": "folder of photos",
    "photos in one file": "photos as npz",
}


def tables(folder: Path) -> dict[str, Callable[[], str]]:
    """Return the tables of the page by name.

    Args:
        folder: Where the benchmarks' JSON files are.
    """
    makers = {"lost-counts": counts, "lost-files": files, "lost-machine": machine}
    path = folder / "reliability.json"
    return {name: markdown.of_file(path, make, _NONE) for name, make in makers.items()}


def counts(found: Mapping[str, Any]) -> str:
    """Return what was done to writers, files and a sweep, and what was lost."""
    kills, writers, damages = found["kills"], found["writers"], found["damages"]
    swept, many = found["sweep"], found["many"]
    rows = [
        (
            f"{kills['kills']} writers are killed (kill -9) at random moments",
            f"{kills['lost']} of {kills['acknowledged']:,} acknowledged records lost",
        ),
        (
            f"{writers['writers']} processes write {writers['records']:,} records at the same time",
            f"{writers['lost']} lost",
        ),
        (
            f"{damages['files']:,} files are damaged at random",
            f"{damages['wrong']} read wrongly, {damages['refused']:,} refused in one line",
        ),
        (
            f"a sweep of {swept['calls']} calls: {swept['drivers']} kills of its driver, "
            f"{swept['hosts']} of them with the whole machine, {swept['workers']} kills of a "
            f"worker, {swept['disks']} full disk",
            f"{swept['recorded']} recorded, {swept['lost']} lost; "
            f"{'the same' if swept['equal_to_undisturbed'] else 'not the same'} records as without",
        ),
        (
            f"{many['records']:,} records ({many['mb']} MB) are read, verified and made a table",
            f"{many['processor_s']:.1f} s of one core ({many['seconds']:.1f} s in all), "
            f"{many['peak_mib'] / 1024:.1f} GiB",
        ),
    ]
    return markdown.table(("what is done", "what comes of it"), rows)


def files(found: Mapping[str, Any]) -> str:
    """Return a row a kind of file: how many were damaged, refused, and read wrongly."""
    rows = [
        (
            KINDS.get(row["kind"], row["kind"]),
            f"{row['files']:,}",
            f"{row['refused']:,}",
            f"{row['files'] - row['refused'] - row['wrong']:,}",
            f"{row['wrong']:,}",
        )
        for row in found["damages"]["kinds"]
    ]
    return markdown.table(("kind of file", "damaged", "refused", "read rightly", "wrong"), rows)


def machine(found: Mapping[str, Any]) -> str:
    """Name the machine, and say how long all of it took there."""
    here = found["machine"]
    seconds = sum(part["took_s"] for part in found.values() if "took_s" in part)
    return (
        f"Counted on {html.escape(here['processor'])} with {here['cores']} cores, Python "
        f"{here['python']}, in {seconds / 60:.0f} minutes."
    )


def in_short(found: Mapping[str, Any]) -> str:
    """Return the counts in two sentences, for who reads no table."""
    kills, writers, damages, swept = (
        found[name] for name in ("kills", "writers", "damages", "sweep")
    )
    end = "exactly" if swept["equal_to_undisturbed"] else "not"
    return (
        f"{kills['kills']} kills of writers lost {kills['lost']} of {kills['acknowledged']:,} "
        f"acknowledged records, {writers['writers']} writers at once lost {writers['lost']} of "
        f"{writers['records']:,}, and of {damages['files']:,} damaged files {damages['wrong']} "
        f"were read wrongly. A sweep of {swept['calls']} runs whose driver was killed "
        f"{swept['drivers']} times and whose workers {swept['workers']} times ended with {end} "
        "the records of one that was left alone."
    )
