"""What `hplab export` writes, and what it says: how the other tool shows it."""

from __future__ import annotations

from pathlib import Path

from hplab.pages.tables import given
from hplab.sweeps.records import shown
from hplab.sweeps.trackers import export as exports

_NEXT = {  # what shows it, with the place put in
    "wandb": "cd {place} && wandb sync",
    "trackio": "TRACKIO_DIR={place} trackio show",
    "mlflow": "mlflow ui --backend-store-uri sqlite:///{place}",
    "tensorboard": "tensorboard --logdir {place}",
    "optuna": "optuna-dashboard sqlite:///{place}",
}


def export(runs: str, place: Path, *, to: str, name: str = "", version: str = "") -> str:
    """Write runs into the files of another tool; return what was done, and what shows it.

    Args:
        runs: A sweep file, the name of a recorded sweep, or a table of runs.
        place: What is written.
        to: The tool.
        name: What the runs are together.
        version: Stands for the code of the sweep.
    """
    found = given.runs(runs, version=version)
    exports.export(found, place, to=to, name=name)
    line = f"wrote {len(found)} runs to {shown(place)}"
    shows = _NEXT.get(to, "").format(place=shown(place))
    return f"{line}; this shows them: {shows}" if shows else line
