"""What all commands share: the command itself, its exit codes, and how it complains."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import click

from hplab import __version__, places
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
        code = complain(str(error), 2)
    except ModuleNotFoundError as error:
        needs = f"this command needs {error.name}, which is not installed"
        code = complain(f"{needs}; this brings it: pip install 'hplab[book]'", 2)
    except OSError as error:
        code = complain(_refused(error), 2)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt) as error:
        told = isinstance(error.__cause__ or error, Terminated)  # click wraps what it caught
        kept = "every finished trial is kept; the same command goes on from there"
        if isinstance(error.__cause__, EOFError):  # click takes it for an interrupt
            code = complain(f"what was read ended too early: {error.__cause__}", 2)
        else:
            code = complain(f"interrupted; {kept}", 143 if told else 130)
    sys.exit(code)


def _terminate(*_: Any) -> None:
    raise Terminated


def _refused(error: OSError) -> str:
    """Say in one line what the system refused: what, and where."""
    try:
        Path.cwd()
    except OSError:
        return "the folder that this was started in is gone; change to one that is there"
    where = " ".join(str(name) for name in (error.filename, error.filename2) if name)
    return f"{where}: {error.strerror}" if where and error.strerror else str(error)


def code_option(command: Any) -> Any:
    """Add the option that names the version of a sweep's code."""
    told = "As it was said to `hplab sweep`."
    return click.option("--code", "version", default="", help=told)(command)


class Written(click.Path):
    """A file that a command writes, which must not take the place of a file of another kind.

    So nobody's table, program or sweep file is lost by a slip such as `--html runs.csv`.

    Args:
        endings: What such a file may end in, if there is one of its name already.
    """

    def __init__(self, *endings: str) -> None:
        super().__init__(dir_okay=False, path_type=Path)
        self.endings = endings

    def convert(self, value: Any, param: Any, ctx: Any) -> Path:
        """Return the path, or end the command in one line before it has begun."""
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if not path.name:
            self.fail("it names no file", param, ctx)
        if not path.parent.is_dir():
            self.fail(f"there is no folder {str(path.parent)!r}", param, ctx)
        if path.is_file() and path.suffix.lower() not in self.endings:
            wanted = " or ".join(self.endings)
            why = f"{str(path)!r} is there already and would be overwritten"
            self.fail(f"{why}; name a file that ends in {wanted}", param, ctx)
        return path


PAGE = Written(".html", ".htm")


def dask_option(command: Any) -> Any:
    """Add the option that has the workers of a Dask scheduler do the work."""
    told = "Address of a Dask scheduler, whose workers do it, on this machine or others."
    return click.option("--dask", metavar="ADDRESS", default="", help=told)(command)


def dask_address(said: str, jobs: int | None) -> str:
    """Return the address of the scheduler that is to be used, "" for none.

    Raises:
        HplabError: If it is refused, or worker processes here are asked for too.
    """
    from hplab.sweeps import cluster

    if said and jobs is not None:
        raise HplabError("--jobs is about this machine, --dask about others: give one of them")
    address = said or (places.dask() if jobs is None else "")
    if address:
        cluster.check_address(address)
    return address


def complain(line: str, code: int) -> int:
    """Say on standard error what went wrong; return the exit code."""
    click.echo(f"hplab: {line}", err=True)
    return code


def building(what: str) -> AbstractContextManager[None]:
    """Keep every other command out of `_build` meanwhile; refuse if one is in it."""
    from hplab.sweeps import locks

    return locks.held(ROOT / "_build" / ".lock", f"hplab {what}", waits=False)


def of_the_book(name: str) -> Path:
    """Return where a file of the book is, which only a clone has.

    Raises:
        HplabError: Outside a clone.
    """
    if not (ROOT / "book").is_dir():
        raise HplabError(f"no book in {ROOT}: this command works in a clone of the repository")
    return ROOT / "book" / name


def list_problems(problems: Sequence[str], what: str) -> int:
    """List what a check found; return the exit code, 1 if it is anything."""
    for problem in problems:
        click.echo(problem)
    if problems:
        return complain(f"{len(problems)} problem{'s' * (len(problems) > 1)} in the {what}", 1)
    click.echo(f"{what}: no problem")
    return 0


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


def _match(name: str, pages: Sequence[Path]) -> Path:
    wanted = name.rsplit("/", 1)[-1].removesuffix(".md").removesuffix(".ipynb")
    for page in pages:
        number, _, topic = page.stem.partition("-")
        if wanted in (page.stem, topic, number, str(int(number))):
            return page
    raise unknown("study", name, [page.stem for page in pages])
