"""Commands for the studies and the book: run, execute, book, sync, new-study, check."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hplab import places
from hplab.cli import base, claims
from hplab.trial import HplabError

if TYPE_CHECKING:
    from hplab.pages.notebooks.execute import Outcome


def _sizes(command: Callable) -> Callable:
    """Add the options that say how big a run is and what it runs on."""
    options = (
        click.option("--preset", help="smoke, laptop (the default), reduced or paper."),
        click.option("--device", help="auto (the default), cpu, cuda or mps."),
        click.option(
            "--seeds", type=click.IntRange(1), help="Seeds a setting [default: preset's]."
        ),
        click.option("--jobs", type=click.IntRange(1), help="Training processes [default: cores]."),
        base.dask_option,
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


@base.cli.command()
@click.argument("studies", nargs=-1, required=True, metavar="STUDY...")
@_sizes
def run(studies: Sequence[str], **sizes: Any) -> int:
    """Train what is missing of one or more studies and execute them, without building pages.

    STUDY is a name as in book/studies: 01-learning-rate, learning-rate or 01.
    """
    return execute_pages(studies, **sizes)


@base.cli.command()
@click.option("--study", "studies", multiple=True, help="Only this study; may be given again.")
@_sizes
@click.option("--no-book", is_flag=True, help="Leave the HTML pages as they are.")
def execute(studies: Sequence[str], no_book: bool, **sizes: Any) -> int:
    """Train what is missing, execute the studies, build their pages.

    What is trained is kept in .hplab/pending, so a second run trains nothing, and a page that would
    come out as it is is not run again. A study that fails does not stop the others; the faults are
    listed at the end.
    """
    if code := execute_pages(studies, **sizes):
        return code
    return 0 if no_book else build_pages(studies, sizes["afresh"], sizes["jobs"])


@base.cli.command()
@click.option("--study", "studies", multiple=True, help="Only this study; may be given again.")
@click.option("--preset", default="paper", show_default=True, help="The largest preset to show.")
@click.option("--jobs", type=click.IntRange(1), help="Pages at once [default: cores, at most 4].")
@click.option("--afresh", is_flag=True, help="Also run pages that would come out the same.")
def book(studies: Sequence[str], preset: str, jobs: int | None, afresh: bool) -> int:
    """Build the pages from recorded results; train nothing.

    Where a study has no records at the preset, those of the next smaller one are shown, down to
    the committed ones of the laptop preset, and the page says so. The gallery's examples are no
    results of the book: they run once, for some seconds each, and again when something changed.
    """
    at_once = jobs or min(4, os.cpu_count() or 1)
    mode = {"HPLAB_MODE": "cached"}
    options: dict[str, Any] = {"env": mode, "at_once": at_once, "afresh": afresh}
    return execute_pages(studies, preset=preset, **options) or build_pages(studies, afresh, jobs)


@base.cli.command()
@click.option("--check", "only_check", is_flag=True, help="Change nothing; list what is wrong.")
@click.option("--force", is_flag=True, help="Overwrite notebooks that were edited by hand.")
@click.option("--back", is_flag=True, help="Bring edits of notebooks into the texts first.")
def sync(only_check: bool, force: bool, back: bool) -> int:
    """Write each notebook (.ipynb) of studies and gallery from its text (.md), or check the pairs.

    The text is what is reviewed. Edits made in a notebook are brought back with --back; in
    JupyterLab (`make lab`) every save does that.
    """
    folders = [base.of_the_book(name) for name in ("studies", "gallery")]
    from hplab.pages.notebooks import pairing
    from hplab.sweeps.records import shown

    if only_check:
        base.find_studies(())
        problems = [str(problem) for folder in folders for problem in pairing.check(folder)]
        return base.list_problems(problems, "pairs")
    for folder in folders:
        for path in pairing.sync(folder, force=force, back=back):
            click.echo(f"wrote {shown(path)}")
    return 0


@base.cli.command("new-study")
@click.argument("name")
@click.option("--question", default="", help="The title [default: Does NAME matter?].")
def new_study(name: str, question: str) -> None:
    """Write a new study: page and notebook, a test, its line in the table of contents.

    NAME is its topic, such as momentum or label-noise. What is written runs as it stands.
    """
    base.of_the_book("studies")
    from hplab.pages.notebooks import new_study
    from hplab.sweeps.records import shown

    written = new_study.create(base.ROOT, name, question)
    for path in written:
        click.echo(f"wrote {shown(path)}")
    click.echo(f"next: edit {shown(written[0])}, then make execute STUDY={written[0].stem}")
    click.echo("to publish it: make sync (its notebook); hplab pack; hplab plan --anew; make test")


@base.cli.command()
def check() -> int:
    """Check what was built: notebooks, figures, verdicts, links, no requests to third parties."""
    ledger = base.of_the_book("verdicts.json")
    from hplab.analysis.claims import committed
    from hplab.pages.notebooks import ipynb, verify
    from hplab.pages.site import build as site
    from hplab.pages.site import study_pages

    html, executed = base.ROOT / "_build" / "html", base.ROOT / "_build" / "executed"
    if not html.is_dir():
        raise HplabError("there are no pages yet: run `make execute` or `make book` first")
    problems = site.check(html) + study_pages.missing_figures(html, executed)
    if ledger.is_file():
        problems += study_pages.contradictions(html, executed, committed.read(ledger))
    for path in sorted(executed.glob("*/*.ipynb")):
        faults = verify.verify(ipynb.read(path))
        problems += [f"{path.name}, cell {fault.cell}: {fault.what}" for fault in faults]
    return base.list_problems(problems, "pages") or (
        claims.check_verdicts() if ledger.is_file() else 0
    )


@base.cli.command()
@click.option(
    "--out",
    type=base.Written(".pdf"),
    help="File [default: _build/hplab.pdf].",
)
def pdf(out: Path | None) -> None:
    """Print the built book as one PDF, with Chromium: what works only on a screen is left out."""
    base.of_the_book("_toc.yml")
    from hplab.pages.site import build as site
    from hplab.pages.site import printed
    from hplab.sweeps.records import shown

    made = out or base.ROOT / "_build" / "hplab.pdf"
    address = site.address(base.ROOT)
    click.echo(f"wrote {shown(printed.write(base.ROOT / '_build' / 'html', made, base=address))}")


def execute_pages(
    studies: Sequence[str],
    *,
    preset: str | None = None,
    device: str | None = None,
    seeds: int | None = None,
    jobs: int | None = None,
    dask: str = "",
    timeout: int | None = None,
    afresh: bool = False,
    env: dict[str, str] | None = None,
    at_once: int = 1,
    out: Path | None = None,
) -> int:
    """Execute studies, into _build/executed if not told; return 1 and list any faults."""
    pages = base.find_studies(studies)
    dask = base.dask_address(dask, jobs)
    _check_sizes(preset, "auto" if dask else device)
    asked = {places.DASK: dask} if dask else {}
    if jobs:
        asked = {"HPLAB_JOBS": str(jobs)} | ({places.DASK: ""} if places.dask() else {})
    from hplab.pages.notebooks import execute as executing
    from hplab.sweeps.store import default_store

    limit = _limit(preset) if timeout is None else timeout
    given = {"preset": preset, "device": device, "n_seeds": seeds}
    with base.building("execute"):
        outcomes = executing.run_all(
            pages,
            out or base.ROOT / "_build" / "executed" / "studies",
            {name: value for name, value in given.items() if value is not None},
            at_once=at_once,
            env=(env or {}) | asked,
            timeout_s=limit or None,
            faults=base.ROOT / "_build" / "faults",
            store=None if afresh else default_store(),
        )
    return _faults(outcomes, "studies")


def _gallery(afresh: bool, jobs: int | None) -> int:
    """Execute the gallery's pages in a folder of their own; return 1 and list any faults.

    What a page trains is not kept: it takes seconds, and a page that has not changed is not run.
    """
    from hplab.pages.notebooks import execute as executing
    from hplab.pages.notebooks import pairing
    from hplab.sweeps.store import Store

    top = base.ROOT / "_build"
    pages, work = pairing.pages(base.ROOT / "book" / "gallery"), top / "gallery"
    if not pages:
        return 0
    records = work / "results"
    env = {"HPLAB_MODE": "", "HPLAB_RESULTS": str(records)}
    with base.building("execute"):
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        outcomes = executing.run_all(
            pages,
            top / "executed" / "gallery",
            env=env | ({"HPLAB_JOBS": str(jobs)} if jobs else {}),
            timeout_s=600,
            cwd=work,
            faults=top / "faults",
            store=None if afresh else Store(records, work / ".hplab" / "pending"),
        )
    return _faults(outcomes, "gallery pages")


def _faults(outcomes: Sequence[Outcome], what: str) -> int:
    """Return 0 if all pages are there, else 1, with the faults listed."""
    from hplab.pages.notebooks.execute import index

    faulty = [outcome for outcome in outcomes if outcome.fault]
    if not faulty:
        return 0
    click.echo(f"\n{index(outcomes)}", err=True)
    total = f"{len(faulty)} of {len(outcomes)} {what} failed"
    return base.complain(f"{total}; no page was built, what was trained is kept", 1)


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


def build_pages(studies: Sequence[str], afresh: bool, jobs: int | None) -> int:
    """Build the site from what has been executed, and say where it is.

    Whoever asks for some studies alone does not wait for the gallery.
    """
    if not studies and (code := _gallery(afresh, jobs)):
        return code
    from hplab.pages.site import build as site
    from hplab.sweeps.records import shown

    executed = base.ROOT / "_build" / "executed"
    with base.building("book"):
        for notebook in executed.glob("*/*.ipynb"):
            if not (base.ROOT / "book" / notebook.parent.name / f"{notebook.stem}.md").exists():
                notebook.unlink()
        click.echo("building the pages", err=True)
        start = site.build(executed, base.ROOT / "_build" / "html")
    pages = [start.parent / "studies" / f"{one.stem}.html" for one in base.find_studies(studies)]
    for page in pages if studies else [start]:
        click.echo(f"open {shown(page)}")
    return 0
