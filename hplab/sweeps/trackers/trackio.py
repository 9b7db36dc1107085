"""Runs as a project of trackio; `files` reads such a project."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

from hplab.sweeps.trackers import batch


def write(made: batch.Batch, place: Path, _final: Path | None = None) -> None:
    """Write the runs into the folder that trackio was told to use, which is the place."""
    place.mkdir()
    tool: Any = import_module("trackio")
    for run in made.runs:
        config = {**run.config, batch.NOTE: json.loads(made.note(run))}
        quiet = {"embed": False, "auto_log_gpu": False, "auto_log_cpu": False}
        tool.init(project=made.title, name=run.name, group=None, config=config, **quiet)
        for step, row in run.rows().items() or {0: {}}.items():
            tool.log(row, step=step)
        tool.finish()
