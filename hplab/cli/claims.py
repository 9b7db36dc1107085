"""Commands for claims: judge them, judge other runs, plan and train what decides them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from hplab import __version__, places
from hplab.cli import base
from hplab.trial import HplabError, unknown


@base.cli.command()
@click.argument("ids", nargs=-1, metavar="[CLAIM]...")
@click.option("--study", help="Only this study's, such as batch-size.")
@click.option("--report", help="Only this report's: 000, 001, 002 or 004.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--check", is_flag=True, help="Compare with what is committed; 1 if it differs.")
@click.option("--write", is_flag=True, help="Write the committed verdicts, to be committed.")
def claims(
    ids: Sequence[str], study: str, report: str, as_json: bool, check: bool, write: bool
) -> int | None:
    """Judge the claims of the reports on the committed records; trains nothing."""
    from hplab.analysis.claims import committed, ledger, rerun
    from hplab.pages.tables import terminal
    from hplab.sweeps.records import shown
    from hplab.sweeps.store import default_store

    if check:
        return check_verdicts()
    if write:
        path = base.of_the_book("verdicts.json")
        committed.write(rerun.all_verdicts(), path)
        click.echo(f"wrote {shown(path)}")
        return 0
    chosen = terminal.choose(ledger.load(), ids, study=study, report=report)
    found: Sequence[Any] = rerun.all_verdicts(only={claim.id for claim in chosen})
    if not default_store().root.is_dir():  # installed without the book's records
        note = f"no records here: these are the verdicts that came with hplab {__version__}"
        click.echo(note, err=True)
        found = committed.kept(found, committed.read(places.ledger().with_name("verdicts.json")))
    click.echo(terminal.as_json(found) if as_json else terminal.table(found))
    return 0


@base.cli.command("judge")
@click.argument("path", type=click.Path(path_type=Path), metavar="RUNS")
@click.argument("questions", nargs=-1, metavar="[QUESTION]...")
@click.option("--setting", "settings", multiple=True, help="A column that is a setting.")
@click.option("--seed", help="The column of seeds.")
@click.option("--metric", "metrics", multiple=True, help="A column of results; the first counts.")
@click.option("--ignore", multiple=True, help="A column to leave aside.")
@click.option("--margin", help="The smallest difference that counts, such as 0.2pp.")
@click.option("--better", help="higher or lower, where the metric's name does not say it.")
@click.option("--where", help="Only these runs, such as batch_size=64.")
@click.option(
    "--pair/--no-pair", default=None, help="Compare seed by seed [default: if they match]."
)
@click.option("--planned", type=click.IntRange(3, 300), help="Seeds there may be in the end.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--html", "page", type=base.PAGE, help="Write a page of its own.")
@base.code_option
def judge_runs(
    path: Path,
    questions: Sequence[str],
    as_json: bool,
    page: Path | None,
    version: str,
    **said: Any,
) -> None:
    """Judge runs that were made anywhere, by the rules of the book's claims.

    RUNS is what W&B, MLflow, trackio, Optuna or TensorBoard exports, or any table (CSV, TSV, JSON,
    JSON lines, Parquet); or a sweep file or the name of a sweep, of which all recorded runs are
    taken. Without a QUESTION the values of each setting are compared; a table of one setting says
    how far its runs scatter and how many seeds that asks for. Tables that are named where a
    QUESTION could stand are read too, each a value of the setting "file".

    --html writes the page to send to somebody who asks whether A beats B; to look through a sweep
    for its best settings, send that of `hplab report`.
    """
    from hplab.pages.tables import given, judged
    from hplab.sweeps import files

    named = {name: said.pop(name) for name in ("settings", "seed", "metrics", "ignore")}
    more = [Path(one) for one in questions if files.is_table(one)]
    questions = [one for one in questions if not files.is_table(one)]
    if more:
        found_in = given.Given(judged.read_all([path, *more], **named), {})
    else:
        found_in = given.table(path, version=version, **named)
    table, asked = found_in
    if "metric" in asked and not (named["metrics"] or said["better"]):
        said["better"] = "higher" if asked["better"] > 0 else "lower"
    found = judged.answer(table, questions, **said)
    click.echo(judged.as_json(table, found) if as_json else judged.printed(table, found))
    if page:
        from hplab.pages.site import report

        click.echo(f"wrote {report.write(page, path.name, table, found)}", err=True)


@base.cli.command()
@click.option("--budget", help="Only what fits into this time, such as 170m or 3h.")
@click.option("--device", default="cpu", help="cpu, cuda or mps.")
@click.option("--jobs", type=int, help="Cores that train side by side; all of them by default.")
@click.option("--study", help="Only claims of this study, such as batch-size.")
@click.option("--report", help="Only claims of this report: 000, 001, 002 or 004.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--trials", "out", type=base.Written(".jsonl"), help="Write the trials here.")
@click.option("--anew", is_flag=True, help="Look anew for what the studies declare; half a minute.")
def plan(
    budget: str | None,
    device: str,
    jobs: int | None,
    study: str,
    report: str,
    as_json: bool,
    out: Path | None,
    anew: bool,
) -> int:
    """Say which missing trials would most cheaply decide a claim; trains nothing.

    The file that --trials writes is what `python -m hplab.sweeps.slices` trains, here or on a bare
    machine.
    """
    from hplab.pages.tables import plan as planned
    from hplab.sweeps import declared

    path = base.of_the_book("trials.jsonl")
    if anew:
        from hplab.pages.notebooks.declared import collect

        path.write_text(declared.dumps(collect(base.find_studies(()))), encoding="utf-8")
    kind, limit = device.partition(":")[0], planned.seconds_of(budget) if budget else None
    if kind not in planned.WATTS:
        raise unknown("device", device, planned.WATTS)
    workers = places.n_workers(jobs) if kind == "cpu" else 1
    wants = planned.of_book(base.ROOT / "book", kind, study=study, report=report)
    kept, _ = planned.within(wants, None if limit is None else limit * workers)
    if out:
        from hplab.sweeps import slices

        n = slices.write(out, [trial for want in kept for trial in want.trials])
        click.echo(f"wrote {n} trials to {out}", err=True)
    click.echo(planned.as_json(wants) if as_json else planned.text(wants, limit, kind, workers))
    return 0


@base.cli.command()
@click.option("--budget", help="Be done within this time, such as 170m or 8h.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda or mps.")
@click.option("--jobs", type=click.IntRange(1), help="Training processes [default: cores].")
@base.dask_option
@click.option("--study", help="Only for claims of this study, such as batch-size.")
@click.option("--report", help="Only for claims of this report: 000, 001, 002 or 004.")
@click.option("--plan", "path", type=click.Path(path_type=Path), help="Trials to train instead.")
def fill(
    budget: str | None,
    device: str,
    jobs: int | None,
    dask: str,
    study: str,
    report: str,
    path: Path | None,
) -> int:
    """Train in the background what `hplab plan` finds, and stay out of everybody's way.

    At the lowest priority; it waits while others use more than half of the processor. What is
    finished is stored at once, what is only begun goes on the next time.
    """
    dask = base.dask_address(dask, jobs)
    from hplab.pages.tables import plan as planned
    from hplab.sweeps import background, slices, store

    seconds = planned.seconds_of(budget) if budget else None
    if path:
        trials = slices.read(path)
    else:
        kind = device.partition(":")[0]
        wants = planned.of_book(base.ROOT / "book", kind, study=study, report=report)
        trials = [t for want in planned.within(wants, None)[0] for t in want.trials]
    if not trials:
        click.echo("nothing is missing that would decide a claim")
        return 0
    mine = store.default_store()
    n = background.fill(trials, mine, device=device, jobs=jobs, dask=dask, seconds=seconds)
    if n:
        click.echo("`hplab pack` makes files to commit of what is recorded")
    return 0


def check_verdicts() -> int:
    """Report committed verdicts that do not follow from the committed records."""
    from hplab.analysis.claims import committed, rerun
    from hplab.sweeps import upkeep

    path = base.of_the_book("verdicts.json")
    if not path.is_file():
        raise HplabError(f"nothing to check: there is no {path}")
    if faults := upkeep.faults(rerun.committed_store()):
        return base.list_problems(faults, "records")
    problems = committed.problems(rerun.all_verdicts(), committed.read(path))
    if problems:
        click.echo("the records have changed; `hplab claims --write` writes what they say now")
    return base.list_problems(problems, "verdicts")
