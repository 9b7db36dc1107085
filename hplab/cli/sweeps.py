"""Commands for sweeps of a reader's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hplab.cli import base

if TYPE_CHECKING:
    from hplab.sweeps.foreign import RunTable


@base.cli.command("sweep")
@click.argument("path", type=click.Path(path_type=Path), metavar="FILE")
@click.option("--seed", type=click.IntRange(0), default=0, help="What the search draws from.")
@click.option("--seeds", type=click.IntRange(1), help="Run each point with seeds 0 to N-1.")
@click.option("--count", type=click.IntRange(1), help="Points at most, besides run_cap.")
@click.option("--jobs", type=click.IntRange(1), help="Runs side by side [default: cores].")
@base.dask_option
@click.option("--dry-run", is_flag=True, help="Show the points and run nothing.")
@click.option(
    "--stand-in/--no-stand-in",
    default=None,
    help="Answer for wandb in a script [default: where it is imported and not installed].",
)
@click.option(
    "--code",
    "version",
    default="",
    help="Stands for the code of this program in its project: change it with results.",
)
@click.option("--keep", type=click.Choice(["best", "all"]), help="Keep what the runs train.")
@click.option("--out", type=base.Written(".csv"), help="Write the table of runs (CSV).")
@click.option("--html", "page", type=base.PAGE, help="Write a report of its own.")
def sweep_file(path: Path, page: Path | None, **said: Any) -> int:
    """Run a sweep file: W&B's YAML, here and offline.

    Methods: grid, random, bayes (with Optuna), sobol, halton. The program is a script, whose
    metrics are read from what it prints or logs, or module:function, or a file with train(**point).
    What is recorded is not run again, so the same command goes on where it stopped.
    """
    from hplab.pages.tables import swept

    said["dask"] = base.dask_address(said["dask"], said["jobs"])
    if page is None:
        return swept.sweep(path, **said)
    asked = swept.asked(path)
    return swept.sweep(path, then=lambda table: _report(page, path.name, table, asked), **said)


@base.cli.command("report")
@click.argument("path", type=click.Path(path_type=Path), metavar="RUNS")
@click.option("--html", "page", type=base.PAGE, help="Where [default: RUNS.html].")
@click.option("--setting", "settings", multiple=True, help="A column that is a setting.")
@click.option("--seed", help="The column of seeds.")
@click.option("--metric", "metrics", multiple=True, help="A column of results; the first counts.")
@click.option("--ignore", multiple=True, help="A column to leave aside.")
@click.option(
    "--better", type=click.Choice(["higher", "lower"]), help="Where the metric's name is silent."
)
@base.code_option
def report_runs(
    path: Path, page: Path | None, better: str | None, version: str, **named: Any
) -> None:
    """Write one page about a sweep: the best settings, what matters, panels to look through.

    RUNS is a sweep file or the name of a sweep, of which all recorded runs are taken, or a table of
    runs from anywhere, as `hplab judge` reads it. The page is one file with its data inside, which
    opens from disk; it counts seeds as replicates of a setting. Nothing is run.

    It is the page to send to somebody who looks through a sweep for its best settings; to say
    whether A beats B, and by how much, send that of `hplab judge --html`.
    """
    from hplab.pages.tables import given

    table, asked = given.table(path, version=version, **named)
    if named["metrics"] and named["metrics"][0] != asked.get("metric"):
        asked |= {"metric": named["metrics"][0], "better": 0}  # the file's goal is another's
    if better:
        asked["better"] = {"higher": 1, "lower": -1}[better]
    click.echo(_report(page or Path(f"{path.stem}.html"), path.name, table, asked))


def _report(page: Path, name: str, table: RunTable, asked: Mapping[str, Any]) -> str:
    """Write the page about a table of runs, and say so; return its sentences."""
    from hplab.pages.site import sweep_report
    from hplab.sweeps.records import shown

    found = sweep_report.write(page, name, table, **asked)
    click.echo(f"wrote {shown(page)}", err=True)
    return found.text


@base.cli.command()
@click.argument("runs", metavar="RUNS")
@click.argument("place", type=click.Path(path_type=Path))
@click.option(
    "--to", required=True, help="wandb, trackio, mlflow, tensorboard, optuna, parquet, csv."
)
@click.option("--name", default="", help="The project, experiment or study.")
@base.code_option
def export(runs: str, place: Path, to: str, name: str, version: str) -> None:
    """Write runs into the files of another tool; nothing is sent anywhere.

    RUNS is a sweep file or the name of a sweep (its function or script), of which all recorded runs
    are taken, or a table of runs that `hplab judge` reads. PLACE is a folder for wandb, trackio and
    tensorboard, else a file.
    """
    from hplab.pages.tables import exported

    click.echo(exported.export(runs, place, to=to, name=name, version=version))


@base.cli.group()
def artifact() -> None:
    """Models, data sets and tables that are kept: list, get, name, verify, clear up."""


@artifact.command("list")
@click.argument("name", required=False)
def list_artifacts(name: str | None) -> None:
    """List the versions of an artifact, or of all."""
    from hplab.pages.tables import kept

    click.echo(kept.listed(name))


@artifact.command("get")
@click.argument("ref", metavar="NAME[:VERSION]")
@click.argument("place", required=False, type=click.Path(path_type=Path), metavar="[FOLDER]")
def get_artifact(ref: str, place: Path | None) -> None:
    """Say where a version is from, and write its files into a folder.

    VERSION is v0, v1 and so on, latest (the default), best, or an alias of yours.
    """
    from hplab.pages.tables import kept

    click.echo(kept.told(ref, place))


@artifact.command("alias")
@click.argument("ref", metavar="NAME[:VERSION]")
@click.argument("alias")
def alias_artifact(ref: str, alias: str) -> None:
    """Give a version a name of your own, which keeps it from being cleared up."""
    from hplab.sweeps import artifacts

    version = artifacts.alias(ref, alias)
    click.echo(f"{version.name}:{alias} is {version.ref}")


@artifact.command("verify")
def verify_artifacts() -> int:
    """Hold every file against its digest, and list what is damaged, missing or points nowhere."""
    from hplab.sweeps.keeping import shelf_of

    return base.list_problems(list(shelf_of(None).faults()), "artifacts")


@artifact.command("gc")
@click.option("--budget", type=click.FloatRange(0), help="Gigabytes to get to, oldest first.")
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
def clear_artifacts(budget: float | None, dry_run: bool) -> None:
    """Delete versions that no alias points to."""
    from hplab.pages.tables import kept

    click.echo(kept.cleared(budget, dry_run=dry_run))


@base.cli.command()
@click.argument("name", required=False, default="")
@click.option("--metric", default="", help="The curve that is drawn [default: the first].")
@click.option("--once", is_flag=True, help="Print what is going on now, and end.")
@click.option("--stop", is_flag=True, help="Stop it; what is finished is kept.")
def watch(name: str, metric: str, once: bool, stop: bool) -> None:
    """Show the sweeps that are going on here, with the curves of their runs as they train.

    Leaving it does not stop them. With --stop those called NAME, or all, end as Ctrl-C ends them.
    """
    import sys
    import time

    from hplab import places
    from hplab.pages.tables import watched

    pending = places.records()[1]
    if stop:
        click.echo(watched.stop(pending, name))
        return
    while True:
        text = watched.shown(pending, metric)
        if once or not sys.stdout.isatty():
            click.echo(text or watched.NOTHING)
            return
        click.clear()
        click.echo(f"{text}\n\n{watched.HOW_TO_STOP}" if text else watched.NOTHING)
        if not text:
            return
        time.sleep(1)
