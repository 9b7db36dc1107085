"""Commands for what is recorded, for data and for the machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from hplab import places
from hplab.catalogue import DATA
from hplab.cli import base, studies
from hplab.trial import HplabError, unknown


@base.cli.command()
def status() -> None:
    """Say what is recorded, pending, failed and in conflict, and which pages are out of date."""
    from hplab.pages.tables import doctor as state

    click.echo(state.results())
    if (base.ROOT / "book").is_dir():
        click.echo()
        click.echo(state.pages(base.ROOT))


@base.cli.command()
@click.option("--functions", is_flag=True, help="Runs of your own functions (hp.sweep) too.")
def pack(functions: bool) -> None:
    """Move pending records into book/results, as files to commit.

    Runs of your own functions (hp.sweep) stay pending in a checkout of the book, which has none.
    """
    from hplab.sweeps import store

    mine = store.default_store()
    if not pack_all(mine, functions=functions) and not mine.status()["pending"]:
        click.echo("nothing is pending")


def pack_all(records_of: Any, *, functions: bool = False) -> list[Path]:
    """Commit a store's pending records, and the verdicts if it is this project's own.

    There runs of a reader's own functions are left, unless they are asked for.
    """
    from hplab.pages import labels
    from hplab.sweeps.records import shown

    top = places.checkout()
    is_the_book = top is not None and records_of.root == top / "book" / "results"
    written = records_of.pack(trials_only=is_the_book and not functions)
    for path in written:
        click.echo(f"wrote {shown(path)}")
    if is_the_book and (left := records_of.status()["pending"]):
        click.echo(
            f"{labels.count(left, 'run')} of functions of your own (hp.sweep) stay in "
            f"{shown(records_of.pending)}, apart from the book's; --functions packs them too"
        )
    path = base.ROOT / "book" / "verdicts.json"
    if written and path.is_file() and records_of.root == path.parent / "results":
        from hplab.analysis.claims import committed, rerun

        committed.write(rerun.all_verdicts(), path)
        click.echo(f"wrote {shown(path)}")
    return written


@base.cli.command()
@click.option("--preset", default="laptop", show_default=True, help="One on embedded data.")
@click.option("--jobs", type=click.IntRange(1), help="Training processes [default: cores].")
@click.option("--write", is_flag=True, help="Add trials that are not recorded yet to book/results.")
def records(preset: str, jobs: int | None, write: bool) -> int:
    """Train a preset's trials anew, apart from all records, and say which moved.

    Nothing recorded is replaced. If results are meant to move, raise TASK_VERSION in
    hplab/trial.py: the new records then have keys of their own, and --write adds them.
    """
    import shutil

    from hplab.sweeps import again, presets, store

    if not presets.preset(preset).stand_in:
        raise HplabError(f"preset {preset!r} trains for hours; `make execute` adds its records")
    scratch = base.ROOT / "_build" / f"records-{preset}"
    pages, env = scratch / "pages", {"HPLAB_RESULTS": str(scratch / "results")}
    mine = store.default_store()  # the pages look for records on the reports' own data too
    with base.building("records"):
        shutil.rmtree(scratch, ignore_errors=True)
        if mine.root.is_dir():
            shutil.copytree(mine.root, scratch / "results", ignore=shutil.ignore_patterns("digits"))
        fault = studies.execute_pages((), preset=preset, jobs=jobs, env=env, afresh=True, out=pages)
    if fault:
        return fault
    new = store.Store(scratch / "results", scratch / ".hplab" / "pending")
    changes = again.compare(mine, new, "digits")
    click.echo(again.summary(changes))
    added = again.unrecorded(changes)
    if write and added:
        for name in {record["prov"] for record in added}:
            mine.put_provenance(new.provenance(name))
        mine.put(added)
        pack_all(mine)
    fine = (again.EQUAL, again.NEW) if write else (again.EQUAL,)
    return int(any(change.kind not in fine for change in changes))


@base.cli.command()
def stale() -> None:
    """Say which records were made with other code than this, by study."""
    from hplab.pages.tables import upkeep
    from hplab.sweeps import store

    click.echo(upkeep.stale(store.default_store(), base.ROOT / "book"))


@base.cli.group("store")
def store_group() -> None:
    """Look after the records: find every fault, use fewer files, take in others, clear up."""


@store_group.command("check")
def check_store() -> int:
    """List every fault of the records, each with its file and line; change nothing."""
    from hplab.sweeps import store, upkeep

    return base.list_problems(upkeep.faults(store.default_store()), "store")


@store_group.command("compact")
def compact_store() -> None:
    """Put the committed records of each data set into as few files as possible."""
    from hplab.pages.tables import upkeep as told
    from hplab.sweeps import store, upkeep

    click.echo(told.done(upkeep.compact(store.default_store()), "deleted"))


@store_group.command("merge")
@click.argument("source", type=click.Path(path_type=Path), metavar="FOLDER")
def merge_store(source: Path) -> None:
    """Take the records of another folder, such as one from another machine, as pending ones."""
    from hplab.pages.tables import upkeep as told
    from hplab.sweeps import store, upkeep

    click.echo(told.done(upkeep.merge(store.default_store(), source), "deleted"))


@store_group.command("gc")
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
def clear_store(dry_run: bool) -> None:
    """Delete what no record needs: old temporary files, failures made good, doubles."""
    from hplab.pages.tables import upkeep as told
    from hplab.sweeps import store, upkeep

    done = upkeep.gc(store.default_store(), dry_run=dry_run)
    click.echo(told.done(done, "would delete" if dry_run else "deleted"))


@base.cli.group(invoke_without_command=True)
@click.pass_context
def data(context: click.Context) -> None:
    """List the data sets and where they are, or fetch some."""
    if context.invoked_subcommand is None:
        context.invoke(list_data)


@data.command("list")
def list_data() -> None:
    """List the data sets and where each would be read from."""
    from hplab.training import datasets as sets

    for name in DATA:
        place = sets.available(name)
        put = f"put {name}.npz into the folder HPLAB_DATA names"
        how = f"hplab data fetch {name}" if sets.can_fetch(name) else put
        click.echo(f"{name:14} {place or f'not here; {how}'}")


@data.command("fetch")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def fetch_data(names: Sequence[str]) -> None:
    """Download data sets into the cache, check them, and say what they hold.

    A download that was cut goes on where it stopped. What is already here is only checked.
    """
    from hplab.training import datasets as sets

    for name in names:
        if name not in DATA:
            raise unknown("data set", name, DATA)
    for name in names:
        found = sets.load(name)
        counts = f"{len(found.labels)} training and {len(found.test_labels)} test images"
        told = "; ".join(filter(None, (sets.available(name), sets.notes(found))))
        click.echo(f"{name}: {counts}, digest {found.digest[:12]} ({told})")


@base.cli.command()
def doctor() -> None:
    """Print versions, devices, data and folders, to be pasted into a question or an issue."""
    from hplab.pages.tables import doctor as state

    click.echo(state.machine(base.ROOT))


@base.cli.command()
@click.argument("what", required=False, default="")
def cost(what: str) -> None:
    """Say what runs have cost: hours of cores and graphics cards, and energy where it is known.

    WHAT is a study, a sweep, or a claim, of which the runs count that its verdict rests on; without
    it each study and sweep has a line.
    """
    from hplab.pages.tables import spent
    from hplab.sweeps import store

    click.echo(spent.table(store.default_store(), base.ROOT / "book", what))
