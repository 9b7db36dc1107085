"""Runs as event files of TensorBoard, a folder each; `files` reads such folders."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any

from hplab.sweeps.trackers import batch


def write(made: batch.Batch, place: Path) -> None:
    """Write scalars by epoch, and settings and results as HParams.

    Event files hold scalars as float32. The note, in the text tab, has the results as they are.
    """
    writers: Any = import_module("torch.utils.tensorboard")
    summary: Any = import_module("torch.utils.tensorboard.summary")
    place.mkdir()
    for number, run in enumerate(made.runs, 1):
        folder = place / f"{number:04d}-{re.sub(r'[^0-9A-Za-z_.=+-]+', '_', run.name)}"
        with writers.SummaryWriter(str(folder)) as writer:
            results = {name: run.final[name] for name in made.metrics if name in run.final}
            for part in summary.hparams(run.config, results):
                writer.file_writer.add_summary(part)
            for step, row in run.rows().items():
                for name, value in row.items():
                    writer.add_scalar(name, value, step)
            writer.add_text(batch.NOTE, made.note(run), 0)
