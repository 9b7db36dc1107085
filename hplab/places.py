"""Where things are, and what the environment asks for; each environment variable is read here only.

| variable | what it says |
|---|---|
| `HPLAB_DATA` | a folder with the user's data sets (`NAME.npz`, or a folder of photos) |
| `HPLAB_CACHE` | where downloaded files are kept, instead of `~/.cache/hplab` |
| `HPLAB_OFFLINE` | anything but 0: nothing is downloaded |
| `HPLAB_RESULTS` | the folder of records, instead of `book/results` |
| `HPLAB_ARTIFACTS_GB` | what all artifacts may have together, instead of 10 GB |
| `HPLAB_JOBS` | worker processes on the CPU, instead of one a core |
| `HPLAB_DASK` | the address of a Dask scheduler whose workers train instead |
| `HPLAB_MODE` | "cached": show what is recorded, train nothing |
| `HPLAB_STATIC` | 1: no live controls; 0: live ones wherever the page is run |
| `HPLAB_STUDY`, `HPLAB_EXECUTION` | set for a page that is run for the book: its name, its run |

Nothing is kept: a variable counts from the moment it is set.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from hplab.trial import HplabError

CODE = Path(__file__).resolve().parents[1]  # the checkout that hplab is imported from, if it is one
EXECUTION = "HPLAB_EXECUTION"  # each process of one run for the book carries it, with its own value
STUDY = "HPLAB_STUDY"
DASK = "HPLAB_DASK"
# These do not change what a page says.
WITHOUT_EFFECT = ("HPLAB_JOBS", "HPLAB_ARTIFACTS_GB", DASK, STUDY, EXECUTION)


def settings(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the variables that are set and begin with `HPLAB_`, with `more` laid over them."""
    found = {**os.environ, **(more or {})}
    return {name: found[name] for name in sorted(found) if name.startswith("HPLAB_")}


# -------------------------------------------------------------------------------- on disk


def checkout() -> Path | None:
    """Return the checkout that holds the current folder, else the one hplab is imported from."""
    for folder in _upwards(Path.cwd(), CODE):
        if (folder / "hplab" / "trial.py").is_file() and (folder / "book").is_dir():
            return folder
    return None


def ledger() -> Path:
    """Return `book/claims.yaml`, looked for upwards from the current folder, then from hplab.

    A wheel has a copy in the package itself (`setup.py` puts it there), with the reports' numbers
    and the committed verdicts beside it.

    Raises:
        HplabError: If there is none.
    """
    for folder in _upwards(Path.cwd(), CODE / "hplab"):
        if (path := folder / "book" / "claims.yaml").is_file():
            return path
    raise HplabError(f"no book/claims.yaml upwards from {Path.cwd()}; run inside the project")


def records() -> tuple[Path, Path]:
    """Return the folders of committed and of pending records.

    In order: the folder that `HPLAB_RESULTS` names, with `.hplab/pending` beside it; `book/results`
    and `.hplab/pending` of the checkout; `hplab-results` and `.hplab/pending` in the current folder
    (hplab installed without a checkout, as on Colab: there they lie in plain sight).
    """
    if named := os.environ.get("HPLAB_RESULTS"):
        root = Path(os.path.expanduser(named)).absolute()
        return root, root.parent / ".hplab" / "pending"
    if top := checkout():
        return top / "book" / "results", top / ".hplab" / "pending"
    here = Path.cwd()
    return here / "hplab-results", here / ".hplab" / "pending"


def artifacts_budget() -> float:
    """Return how many bytes all artifacts may have together.

    Raises:
        HplabError: If the environment says something else than a number.
    """
    said = os.environ.get("HPLAB_ARTIFACTS_GB") or "10"
    try:
        most = float(said)
    except ValueError:
        most = math.nan
    if not most >= 0:
        raise HplabError(f"HPLAB_ARTIFACTS_GB must be a number from 0, got {said!r}")
    return most * 1e9


def data() -> Path | None:
    """Return the folder of the user's data sets, None where none is named."""
    named = os.environ.get("HPLAB_DATA")
    return Path(named) if named else None


def cache() -> Path:
    """Return the folder of downloaded data sets: without a home folder, one beside the records."""
    home = os.path.expanduser("~")  # stays "~" where there is no HOME and the user has no entry
    usual = Path(home, ".cache", "hplab") if home != "~" else records()[1].with_name("cache")
    return Path(os.environ.get("HPLAB_CACHE") or usual)


def _upwards(*starts: Path) -> Iterator[Path]:
    for start in starts:
        yield from (start, *start.parents)


# -------------------------------------------------------------------------------- asked for


def is_offline() -> bool:
    """Return whether downloads are forbidden."""
    return os.environ.get("HPLAB_OFFLINE", "") not in ("", "0")


def from_records(more: Mapping[str, str] | None = None) -> bool:
    """Return whether pages show what is recorded and train nothing."""
    return settings(more).get("HPLAB_MODE") == "cached"


def is_for_the_book() -> bool:
    """Return whether a page is run for the book, which has a style of its own and no controls."""
    return EXECUTION in os.environ or from_records()


def live() -> bool | None:
    """Return whether controls are to be live, None where the environment does not say."""
    said = os.environ.get("HPLAB_STATIC")
    return None if said is None else said in ("", "0")


def study() -> str:
    """Return the name of the study whose page is run, "" outside a run for the book."""
    return os.environ.get(STUDY, "")


def dask() -> str:
    """Return the address of the Dask scheduler whose workers are to train, "" for none."""
    return os.environ.get(DASK, "")


def n_workers(jobs: int | None = None) -> int:
    """Return how many worker processes to use: `jobs`, else `HPLAB_JOBS`, else one a core.

    Raises:
        HplabError: If the number is not a positive integer.
    """
    asked = (os.environ.get("HPLAB_JOBS") or "auto") if jobs is None else jobs
    if asked == "auto":
        affinity = getattr(os, "sched_getaffinity", None)  # not to be had everywhere
        return len(affinity(0)) if affinity else os.cpu_count() or 1
    try:
        count = int(asked) if isinstance(asked, str | int) else 0
    except ValueError:
        count = 0
    if count < 1:
        raise HplabError(f"jobs must be a positive integer or auto, got {asked!r}")
    return count
