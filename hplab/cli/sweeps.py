"""Commands for sweeps of a reader's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hplab.cli import base


@base.cli.command("sweep")
@click.argument("path", type=click.Path(path_type=Path), metavar="FILE")
@click.option("--seed", type=click.IntRange(0), default=0, help="What the search draws from.")
@click.option("--seeds", type=click.IntRange(1), help="Run each point with seeds 0 to N-1.")
@click.option("--count", type=click.IntRange(1), help="Points at most, besides run_cap.")
@click.option("--jobs", type=click.IntRange(1), help="Runs side by side [default: cores].")
@click.option("--dry-run", is_flag=True, help="Show the points and run nothing.")
@click.option(
    "--stand-in/--no-stand-in",
    default=None,
    help="Answer for wandb in a script [default: where it is imported and not installed].",
)
@click.option("--code", "version", default="", help="Stands for the code: change it with results.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the table of runs (CSV).")
def sweep_file(path: Path, **said: Any) -> int:
    """Run a sweep file: W&B's YAML, here and offline.

    Methods: grid, random, bayes (with Optuna), sobol, halton. The program is a script, whose
    metrics are read from what it prints or logs, or module:function, or a file with train(**point).
    What is recorded is not run again, so the same command goes on where it stopped.
    """
    from hplab.pages.tables import swept

    return swept.sweep(path, **said)


@base.cli.command()
@click.argument("runs", metavar="RUNS")
@click.argument("place", type=click.Path(path_type=Path))
@click.option(
    "--to", required=True, help="wandb, trackio, mlflow, tensorboard, optuna, parquet, csv."
)
@click.option("--name", default="", help="The project, experiment or study.")
def export(runs: str, place: Path, to: str, name: str) -> None:
    """Write runs into the files of another tool; nothing is sent anywhere.

    RUNS is the name of a sweep that is recorded (its function or script), or a table of runs that
    `hplab judge` reads. PLACE is a folder for wandb, trackio and tensorboard, else a file.
    """
    from hplab.pages.tables import exported

    click.echo(exported.export(runs, place, to=to, name=name))
