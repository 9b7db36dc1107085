"""The `hplab` command. `make` calls it; everything heavy is imported only when a command needs it.

Exit codes: 0 all went well, 1 a study failed or a check found something, 2 a mistake in what was
asked, 130 interrupted by Ctrl-C, 143 told to end (SIGTERM).
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import click

from hplab import __version__, places
from hplab.catalogue import DATA
from hplab.errors import Terminated
from hplab.pages.notebooks import spare_address_grammar
from hplab.trial import HplabError, unknown

ROOT = places.CODE
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(context_settings=CONTEXT)
@click.version_option(__version__, prog_name="hplab")
def cli() -> None:
    """What does this hyperparameter really do? Train, execute the studies, build the book."""


def main(args: Sequence[str] | None = None) -> None:
    """Run the command and end the process with its exit code."""
    signal.signal(signal.SIGTERM, _terminate)
    spare_address_grammar()
    try:
        code = cli.main(args, prog_name="hplab", standalone_mode=False)
    except HplabError as error:
        code = _complain(str(error), 2)
    except ModuleNotFoundError as error:
        needs = f"this command needs {error.name}, which is not installed"
        code = _complain(f"{needs}; this brings it: pip install 'hplab[book]'", 2)
    except OSError as error:
        code = _complain(_refused(error), 2)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt) as error:
        told = isinstance(error.__cause__ or error, Terminated)  # click wraps what it caught
        kept = "every finished trial is kept; the same command goes on from there"
        code = _complain(f"interrupted; {kept}", 143 if told else 130)
    sys.exit(code)


def _terminate(*_: Any) -> None:
    raise Terminated


def _refused(error: OSError) -> str:
    """Say in one line what the system refused: what, and where."""
    where = " ".join(str(name) for name in (error.filename, error.filename2) if name)
    return f"{where}: {error.strerror}" if where and error.strerror else str(error)


def _complain(line: str, code: int) -> int:
    click.echo(f"hplab: {line}", err=True)
    return code


# ---------------------------------------------------------------------------------------------
# Studies and the book


def _sizes(command: Callable) -> Callable:
    """Add the options that say how big a run is and what it runs on."""
    options = (
        click.option("--preset", help="smoke, laptop (the default), reduced or paper."),
        click.option("--device", help="auto (the default), cpu, cuda or mps."),
        click.option(
            "--seeds", type=click.IntRange(1), help="Seeds a setting [default: preset's]."
        ),
        click.option("--jobs", type=click.IntRange(1), help="Training processes [default: cores]."),
        click.option(
            "--timeout",
            type=click.IntRange(0),
            help="Seconds a study may take; 0 for no limit "
            "[default: 3600 on stand-in data, else no limit].",
        ),
        click.option("--afresh", is_flag=True, help="Also run pages that would come out the same."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@cli.command()
@click.argument("studies", nargs=-1, required=True, metavar="STUDY...")
@_sizes
def run(studies: Sequence[str], **sizes: Any) -> int:
    """Train what is missing of one or more studies and execute them, without building pages.

    STUDY is a name as in book/studies: 01-learning-rate, learning-rate or 01.
    """
    return _execute(studies, **sizes)


@cli.command()
@click.option("--study", "studies", multiple=True, help="Only this study; may be given again.")
@_sizes
@click.option("--no-book", is_flag=True, help="Leave the HTML pages as they are.")
def execute(studies: Sequence[str], no_book: bool, **sizes: Any) -> int:
    """Train what is missing, execute the studies, build their pages.

    What is trained is kept in .hplab/pending, so a second run trains nothing, and a page that would
    come out as it is is not run again. A study that fails does not stop the others; the faults are
    listed at the end.
    """
    return _execute(studies, **sizes) or (0 if no_book else _build())


@cli.command()
@click.option("--study", "studies", multiple=True, help="Only this study; may be given again.")
@click.option("--preset", default="paper", show_default=True, help="The largest preset to show.")
@click.option("--jobs", type=click.IntRange(1), help="Pages at once [default: cores, at most 4].")
@click.option("--afresh", is_flag=True, help="Also run pages that would come out the same.")
def book(studies: Sequence[str], preset: str, jobs: int | None, afresh: bool) -> int:
    """Build the pages from recorded results; train nothing.

    Where a study has no records at the preset, those of the next smaller one are shown, down to
    the committed ones of the laptop preset, and the page says so.
    """
    at_once = jobs or min(4, os.cpu_count() or 1)
    mode = {"HPLAB_MODE": "cached"}
    options: dict[str, Any] = {"env": mode, "at_once": at_once, "afresh": afresh}
    return _execute(studies, preset=preset, **options) or _build()


def _execute(
    studies: Sequence[str],
    *,
    preset: str | None = None,
    device: str | None = None,
    seeds: int | None = None,
    jobs: int | None = None,
    timeout: int | None = None,
    afresh: bool = False,
    env: dict[str, str] | None = None,
    at_once: int = 1,
    out: Path | None = None,
) -> int:
    """Execute studies, into _build/executed if not told; return 1 and list any faults."""
    pages = find_studies(studies)
    _check_sizes(preset, device)
    from hplab.pages.notebooks import execute as executing
    from hplab.sweeps.store import default_store

    limit = _limit(preset) if timeout is None else timeout
    given = {"preset": preset, "device": device, "n_seeds": seeds}
    with _building("execute"):
        outcomes = executing.run_all(
            pages,
            out or ROOT / "_build" / "executed" / "studies",
            {name: value for name, value in given.items() if value is not None},
            at_once=at_once,
            env=(env or {}) | ({"HPLAB_JOBS": str(jobs)} if jobs else {}),
            timeout_s=limit or None,
            faults=ROOT / "_build" / "faults",
            store=None if afresh else default_store(),
        )
    faulty = [outcome for outcome in outcomes if outcome.fault]
    if not faulty:
        return 0
    click.echo(f"\n{executing.index(outcomes)}", err=True)
    total = f"{len(faulty)} of {len(outcomes)} studies failed"
    return _complain(f"{total}; no page was built, what was trained is kept", 1)


def _building(what: str) -> AbstractContextManager[None]:
    """Keep every other command out of `_build` meanwhile; refuse if one is in it."""
    from hplab.sweeps import locks

    return locks.held(ROOT / "_build" / ".lock", f"hplab {what}", waits=False)


def _check_sizes(preset: str | None, device: str | None) -> None:
    """Refuse a wrong name before anything starts."""
    if preset is not None:
        from hplab.sweeps import presets

        presets.preset(preset)
    if device not in (None, "auto", "cpu"):
        from hplab.sweeps import executors

        executors.resolve_device(device)


def _limit(preset: str | None) -> int:
    """Return the seconds a study may take at a preset, 0 for no limit.

    A study on small stand-in data that takes an hour hangs; one at a report's own size trains.
    """
    from hplab.sweeps import presets

    return 3600 if presets.preset(preset or "laptop").stand_in else 0


def find_studies(names: Sequence[str]) -> list[Path]:
    """Return the pages of the named studies, or of all, in reading order.

    A name may be the file's (01-learning-rate, with or without folder and ending), the topic
    (learning-rate) or the number (01 or 1).

    Raises:
        HplabError: If there is no such study, with the nearest match.
    """
    pages = sorted((ROOT / "book" / "studies").glob("[0-9][0-9]-*.md"))
    if not pages:
        raise HplabError(f"no studies in {ROOT}: this command works in a clone of the repository")
    chosen = {_match(name, pages) for name in names}
    return [page for page in pages if not chosen or page in chosen]


def _of_the_book(name: str) -> Path:
    """Return where a file of the book is, which only a clone has.

    Raises:
        HplabError: Outside a clone.
    """
    if not (ROOT / "book").is_dir():
        raise HplabError(f"no book in {ROOT}: this command works in a clone of the repository")
    return ROOT / "book" / name


def _match(name: str, pages: Sequence[Path]) -> Path:
    wanted = name.rsplit("/", 1)[-1].removesuffix(".md").removesuffix(".ipynb")
    for page in pages:
        number, _, topic = page.stem.partition("-")
        if wanted in (page.stem, topic, number, str(int(number))):
            return page
    raise unknown("study", name, [page.stem for page in pages])


def _build() -> int:
    """Build the site from what has been executed, and say where it is."""
    from hplab.pages.site import build as site
    from hplab.sweeps.records import shown

    executed = ROOT / "_build" / "executed"
    with _building("book"):
        for notebook in executed.glob("studies/*.ipynb"):
            if not (ROOT / "book" / "studies" / f"{notebook.stem}.md").exists():
                notebook.unlink()
        click.echo("building the pages", err=True)
        start = site.build(executed, ROOT / "_build" / "html")
    click.echo(f"open {shown(start)}")
    return 0


@cli.command()
@click.option("--check", "only_check", is_flag=True, help="Change nothing; list what is wrong.")
@click.option("--force", is_flag=True, help="Overwrite notebooks that were edited by hand.")
@click.option("--back", is_flag=True, help="Bring edits of notebooks into the texts first.")
def sync(only_check: bool, force: bool, back: bool) -> int:
    """Write each study's notebook (.ipynb) from its text (.md), or check the pairs.

    The text is what is reviewed. Edits made in a notebook are brought back with --back; in
    JupyterLab (`make lab`) every save does that.
    """
    studies = _of_the_book("studies")
    from hplab.pages.notebooks import pairing
    from hplab.sweeps.records import shown

    if only_check:
        find_studies(())
        return _list_problems([str(problem) for problem in pairing.check(studies)], "pairs")
    for path in pairing.sync(studies, force=force, back=back):
        click.echo(f"wrote {shown(path)}")
    return 0


@cli.command("new-study")
@click.argument("name")
@click.option("--question", default="", help="The title [default: Does NAME matter?].")
def new_study(name: str, question: str) -> None:
    """Write a new study: page and notebook, a test, its line in the table of contents.

    NAME is its topic, such as momentum or label-noise. What is written runs as it stands.
    """
    _of_the_book("studies")
    from hplab.pages.notebooks import new_study
    from hplab.sweeps.records import shown

    written = new_study.create(ROOT, name, question)
    for path in written:
        click.echo(f"wrote {shown(path)}")
    click.echo(f"next: edit {shown(written[0])}, then make execute STUDY={written[0].stem}")
    click.echo("to publish it: hplab pack; hplab plan --anew; make test")


@cli.command()
def check() -> int:
    """Check what was built: notebooks, figures, verdicts, links, no requests to third parties."""
    ledger = _of_the_book("verdicts.json")
    from hplab.analysis.claims import committed
    from hplab.pages.notebooks import ipynb, verify
    from hplab.pages.site import build as site
    from hplab.pages.site import study_pages

    html, executed = ROOT / "_build" / "html", ROOT / "_build" / "executed"
    if not html.is_dir():
        raise HplabError("there are no pages yet: run `make execute` or `make book` first")
    problems = site.check(html) + study_pages.missing_figures(html, executed)
    if ledger.is_file():
        problems += study_pages.contradictions(html, executed, committed.read(ledger))
    for path in sorted(executed.glob("studies/*.ipynb")):
        faults = verify.verify(ipynb.read(path))
        problems += [f"{path.name}, cell {fault.cell}: {fault.what}" for fault in faults]
    return _list_problems(problems, "pages") or (_check_verdicts() if ledger.is_file() else 0)


@cli.command()
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
    from hplab.analysis.claims import committed, rerun
    from hplab.pages.tables import terminal
    from hplab.sweeps.records import shown
    from hplab.sweeps.store import default_store

    if check:
        return _check_verdicts()
    found: Sequence[Any] = rerun.all_verdicts()
    if write:
        path = _of_the_book("verdicts.json")
        committed.write(found, path)
        click.echo(f"wrote {shown(path)}")
        return 0
    if not default_store().root.is_dir():  # installed without the book's records
        note = f"no records here: these are the verdicts that came with hplab {__version__}"
        click.echo(note, err=True)
        found = committed.kept(found, committed.read(places.ledger().with_name("verdicts.json")))
    chosen = terminal.choose(found, ids, study=study, report=report)
    click.echo(terminal.as_json(chosen) if as_json else terminal.table(chosen))
    return 0


@cli.command("judge")
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
@click.option("--html", "page", type=click.Path(path_type=Path), help="Write a page of its own.")
def judge_runs(
    path: Path, questions: Sequence[str], as_json: bool, page: Path | None, **said: Any
) -> None:
    """Judge runs that were made anywhere, by the rules of the book's claims.

    RUNS is what W&B, MLflow, trackio, Optuna or TensorBoard exports, or any table (CSV, TSV, JSON,
    JSON lines, Parquet). Without a QUESTION the values of each setting are compared.
    """
    from hplab.pages.tables import judged

    named = {name: said.pop(name) for name in ("settings", "seed", "metrics", "ignore")}
    table = judged.read(path, **named)
    found = judged.answer(table, questions, **said)
    click.echo(judged.as_json(table, found) if as_json else judged.printed(table, found))
    if page:
        from hplab.pages.site import report

        click.echo(f"wrote {report.write(page, path.name, table, found)}", err=True)


@cli.command()
@click.option("--budget", help="Only what fits into this time, such as 170m or 3h.")
@click.option("--device", default="cpu", help="cpu, cuda or mps.")
@click.option("--jobs", type=int, help="Cores that train side by side; all of them by default.")
@click.option("--study", help="Only claims of this study, such as batch-size.")
@click.option("--report", help="Only claims of this report: 000, 001, 002 or 004.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--trials", "out", type=click.Path(path_type=Path), help="Write the trials here.")
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

    path = _of_the_book("trials.jsonl")
    if anew:
        from hplab.pages.notebooks.declared import collect

        path.write_text(declared.dumps(collect(find_studies(()))), encoding="utf-8")
    kind, limit = device.partition(":")[0], planned.seconds_of(budget) if budget else None
    if kind not in planned.WATTS:
        raise unknown("device", device, planned.WATTS)
    workers = places.n_workers(jobs) if kind == "cpu" else 1
    wants = planned.of_book(ROOT / "book", kind, study=study, report=report)
    kept, _ = planned.within(wants, None if limit is None else limit * workers)
    if out:
        from hplab.sweeps import slices

        n = slices.write(out, [trial for want in kept for trial in want.trials])
        click.echo(f"wrote {n} trials to {out}", err=True)
    click.echo(planned.as_json(wants) if as_json else planned.text(wants, limit, kind, workers))
    return 0


@cli.command()
@click.option("--budget", help="Be done within this time, such as 170m or 8h.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda or mps.")
@click.option("--jobs", type=click.IntRange(1), help="Training processes [default: cores].")
@click.option("--study", help="Only for claims of this study, such as batch-size.")
@click.option("--report", help="Only for claims of this report: 000, 001, 002 or 004.")
@click.option("--plan", "path", type=click.Path(path_type=Path), help="Trials to train instead.")
def fill(
    budget: str | None,
    device: str,
    jobs: int | None,
    study: str,
    report: str,
    path: Path | None,
) -> int:
    """Train in the background what `hplab plan` finds, and stay out of everybody's way.

    At the lowest priority; it waits while others use more than half of the processor. What is
    finished is stored at once, what is only begun goes on the next time.
    """
    from hplab.pages.tables import plan as planned
    from hplab.sweeps import background, slices, store

    seconds = planned.seconds_of(budget) if budget else None
    if path:
        trials = slices.read(path)
    else:
        kind = device.partition(":")[0]
        wants = planned.of_book(ROOT / "book", kind, study=study, report=report)
        trials = [t for want in planned.within(wants, None)[0] for t in want.trials]
    if not trials:
        click.echo("nothing is missing that would decide a claim")
        return 0
    n = background.fill(trials, store.default_store(), device=device, jobs=jobs, seconds=seconds)
    if n:
        click.echo("`hplab pack` makes files to commit of what is recorded")
    return 0


def _check_verdicts() -> int:
    """Report committed verdicts that do not follow from the committed records."""
    from hplab.analysis.claims import committed, rerun
    from hplab.sweeps import upkeep

    path = _of_the_book("verdicts.json")
    if not path.is_file():
        raise HplabError(f"nothing to check: there is no {path}")
    if faults := upkeep.faults(rerun.committed_store()):
        return _list_problems(faults, "records")
    problems = committed.problems(rerun.all_verdicts(), committed.read(path))
    if problems:
        click.echo("the records have changed; `hplab claims --write` writes what they say now")
    return _list_problems(problems, "verdicts")


def _list_problems(problems: Sequence[str], what: str) -> int:
    for problem in problems:
        click.echo(problem)
    if problems:
        return _complain(f"{len(problems)} problem{'s' * (len(problems) > 1)} in the {what}", 1)
    click.echo(f"{what}: no problem")
    return 0


# ---------------------------------------------------------------------------------------------
# Results, data, machine


@cli.command()
def status() -> None:
    """Say what is recorded, pending, failed and in conflict, and which pages are out of date."""
    from hplab.pages.tables import doctor as state

    click.echo(state.results())
    if (ROOT / "book").is_dir():
        click.echo()
        click.echo(state.pages(ROOT))


@cli.command()
def pack() -> None:
    """Move pending records into book/results, as files to commit."""
    from hplab.sweeps import store

    if not _pack(store.default_store()):
        click.echo("nothing is pending")


def _pack(records_of: Any) -> list[Path]:
    """Commit a store's pending records, and the verdicts if it is this project's own."""
    from hplab.sweeps.records import shown

    written = records_of.pack()
    for path in written:
        click.echo(f"wrote {shown(path)}")
    path = ROOT / "book" / "verdicts.json"
    if written and path.is_file() and records_of.root == path.parent / "results":
        from hplab.analysis.claims import committed, rerun

        committed.write(rerun.all_verdicts(), path)
        click.echo(f"wrote {shown(path)}")
    return written


@cli.command()
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
    scratch = ROOT / "_build" / f"records-{preset}"
    pages, env = scratch / "pages", {"HPLAB_RESULTS": str(scratch / "results")}
    mine = store.default_store()  # the pages look for records on the reports' own data too
    with _building("records"):
        shutil.rmtree(scratch, ignore_errors=True)
        if mine.root.is_dir():
            shutil.copytree(mine.root, scratch / "results", ignore=shutil.ignore_patterns("digits"))
        fault = _execute((), preset=preset, jobs=jobs, env=env, afresh=True, out=pages)
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
        _pack(mine)
    fine = (again.EQUAL, again.NEW) if write else (again.EQUAL,)
    return int(any(change.kind not in fine for change in changes))


@cli.command()
def stale() -> None:
    """Say which records were made with other code than this, by study."""
    from hplab.pages.tables import upkeep
    from hplab.sweeps import store

    click.echo(upkeep.stale(store.default_store(), ROOT / "book"))


@cli.group("store")
def store_group() -> None:
    """Look after the records: find every fault, use fewer files, take in others, clear up."""


@store_group.command("check")
def check_store() -> int:
    """List every fault of the records, each with its file and line; change nothing."""
    from hplab.sweeps import store, upkeep

    return _list_problems(upkeep.faults(store.default_store()), "store")


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


@cli.group(invoke_without_command=True)
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


@cli.command()
def doctor() -> None:
    """Print versions, devices, data and folders, to be pasted into a question or an issue."""
    from hplab.pages.tables import doctor as state

    click.echo(state.machine(ROOT))


if __name__ == "__main__":
    main()
