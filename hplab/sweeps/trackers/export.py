"""Runs into the files of other tools: W&B, trackio, MLflow, TensorBoard, Optuna, Parquet, CSV."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import pickle
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from hplab.errors import HplabError, unknown
from hplab.sweeps import store as stores
from hplab.sweeps.records import make_folder, shown
from hplab.sweeps.trackers import batch, plain


class Tool(NamedTuple):
    """What a tool needs.

    Attributes:
        package: What has to be installed; "" for nothing.
        extra: The extra of hplab that brings it.
        apart: Whether a process of its own writes, since the tool keeps to settings of its process.
    """

    package: str = ""
    extra: str = ""
    apart: bool = False


TOOLS = {
    "wandb": Tool("wandb", "wandb", True),
    "trackio": Tool("trackio", "trackio", True),
    "mlflow": Tool("mlflow", "mlflow", True),
    "tensorboard": Tool("tensorboard", "trackers"),
    "optuna": Tool("optuna", "bayes"),
    "parquet": Tool("pyarrow", "trackers"),
    "csv": Tool(),
}
_QUIET = {  # nothing is sent anywhere
    "WANDB_MODE": "offline",
    "WANDB_SILENT": "true",
    "WANDB_ERROR_REPORTING": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "TRACKIO_SQLITE_SYNCHRONOUS": "off",  # see `batch.no_waiting`
}


def export(
    runs: pd.DataFrame,
    place: str | Path,
    *,
    to: str,
    name: str = "",
    store: stores.Store | None = None,
) -> Path:
    """Write runs into the files of another tool: settings, seeds, results, curves, units.

        runs = hp.sweep(train, lr=[1e-3, 1e-4], seed=range(10))
        hp.export(runs, "sweep", to="wandb")       # then, with an account: cd sweep; wandb sync
        hp.export(runs, "sweep.db", to="mlflow")   # mlflow ui --backend-store-uri sqlite:///sweep.db

    Nothing is sent anywhere, and no account is needed. A run that diverged or was stopped early is
    marked as such. `hplab judge` reads each of these files and finds the same runs in it.

    Args:
        runs: One row a run, as `hp.run` or `hp.sweep` gives it, or any table of runs.
        place: What is written: a folder for "wandb", "trackio" and "tensorboard", else a file.
            Curves in "csv" and "parquet" are in a second file, NAME-curves.
        to: "wandb" (offline runs, which `wandb sync` finds), "trackio", "mlflow" (SQLite),
            "tensorboard" (scalars and HParams), "optuna" (SQLite), "parquet" or "csv".
        name: What the runs are together, as the project, experiment or study; by default the name
            of the function, or of the place.
        store: Where the curves are. None takes the project's own.

    Returns:
        The place.

    Raises:
        HplabError: If the tool is unknown or not installed, the place is taken, or the table holds
            no runs.
    """
    if to not in TOOLS:
        raise unknown("tool", to, TOOLS)
    if not isinstance(runs, pd.DataFrame):
        raise HplabError(f"export needs a table of runs (a DataFrame), got {type(runs).__name__}")
    if not isinstance(place, str | Path):
        raise HplabError(f"export needs the name of a file or folder to write, got {place!r:.80}")
    tool, place = TOOLS[to], Path(place)
    if not place.name:
        raise HplabError(f"{str(place)!r} names no file and no folder to write")
    for path in plain.files(place) if to in plain.KINDS else (place,):
        if path.exists() or path.is_symlink():
            raise HplabError(f"{shown(path)} is there already: name a place that is not")
    if tool.package and importlib.util.find_spec(tool.package) is None:
        raise HplabError(
            f"exporting to {to} needs {tool.package}; this brings it: "
            f"pip install 'hplab[{tool.extra}]'"
        )
    made = batch.of(runs, name or _title(runs, place), store)
    if to in plain.KINDS:
        plain.write(made, place, to, runs if batch.is_own(runs) else None)
        return place
    with _whole(place) as temporary:
        if tool.apart:
            _apart(to, made, temporary, place)
        else:
            importlib.import_module(f"hplab.sweeps.trackers.{to}").write(made, temporary)
    return place


def _title(runs: pd.DataFrame, place: Path) -> str:
    """Return the name of the function that made the runs, if it was one."""
    codes = {str(code).split(" ")[0] for code in runs.get("code", ())}
    return codes.pop() if len(codes) == 1 else place.stem or "runs"


@contextlib.contextmanager
def _whole(place: Path) -> Iterator[Path]:
    """Yield a path beside the place; what is written there gets the place's name if all is well."""
    temporary = place.with_name(f".tmp-{secrets.token_hex(4)}-{place.name}")
    try:
        make_folder(place.parent)
        yield temporary
        os.replace(temporary, place)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        temporary.unlink(missing_ok=True)


def _apart(to: str, made: batch.Batch, temporary: Path, place: Path) -> None:
    """Let a process of its own write, in which the tool is told to be quiet and stay here."""
    command = [sys.executable, "-m", "hplab.sweeps.trackers.export", to]
    command += [str(temporary.absolute()), str(place.absolute())]
    ours = [path for path in sys.path if path]
    env = {k: v for k, v in os.environ.items() if not k.startswith(("WANDB_", "MLFLOW_"))}
    env |= {**_QUIET, "PYTHONPATH": os.pathsep.join(ours), "TRACKIO_DIR": command[-2]}
    done = subprocess.run(command, input=pickle.dumps(made), capture_output=True, env=env)
    if done.returncode:
        text = done.stderr.decode(errors="replace").strip()
        error = HplabError(f"{to} refused: {text.splitlines()[-1] if text else 'it said nothing'}")
        error.add_note(text)
        raise error


if __name__ == "__main__":
    kind, where, final = sys.argv[1:]
    writer = importlib.import_module(f"hplab.sweeps.trackers.{kind}")
    writer.write(pickle.loads(sys.stdin.buffer.read()), Path(where), Path(final))
