"""The runs that a command is given: a sweep file, the name of a recorded sweep, or a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from hplab.errors import HplabError
from hplab.pages.tables import swept
from hplab.sweeps import files, foreign, results
from hplab.sweeps.foreign import RunTable

SWEEP_FILES = (".yaml", ".yml")


class Given(NamedTuple):
    """A table of runs, and what a sweep file says about it.

    Attributes:
        table: The runs.
        asked: As `swept.asked` gives it; {} where there is no sweep file.
    """

    table: RunTable
    asked: dict[str, Any]


def runs(said: str | Path, *, version: str = "") -> pd.DataFrame:
    """Return the runs that a command is given.

    Args:
        said: A sweep file, of which all recorded runs are taken; the name of a sweep, that of its
            function or script; or a table of runs, as `hplab.sweeps.files` reads it.
        version: Stands for the code of the sweep, as it was said to `hplab sweep`.

    Raises:
        HplabError: If there is no such file or sweep; the line names the nearest.
    """
    path = Path(said)
    if path.suffix.lower() in SWEEP_FILES:
        return swept.of_file(path, version=version)
    is_table = path.is_dir() or path.name.lower().removesuffix(".gz").endswith(files.ENDINGS)
    if is_table and version:
        raise HplabError(f"--code is about a sweep, and {path.name} is a table of runs")
    if is_table or (path.is_file() and str(said) not in results.names() and path.suffix != ".py"):
        return files.read(path)
    return results.recorded(str(said), code=f"version {version}" if version else "")


def table(said: str | Path, *, version: str = "", **named: Any) -> Given:
    """Return the runs that a command is given, with what their columns are.

    Args:
        said: As for `runs`.
        version: As for `runs`.
        named: What `foreign.of` takes. The metric of a sweep file comes first if none is named.

    Raises:
        HplabError: As `runs` and `foreign.of`.
    """
    found = runs(said, version=version)
    asked = swept.asked(Path(said)) if Path(said).suffix.lower() in SWEEP_FILES else {}
    if "metric" in asked and not named.get("metrics"):
        named["metrics"] = [asked["metric"]]
    return Given(foreign.of(found, **named), asked)
