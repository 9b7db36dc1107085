"""The trials that the studies declare, found by running their cells without training."""

from __future__ import annotations

import contextlib
import importlib
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock, patch

from hplab.pages.notebooks import ipynb
from hplab.sweeps.declared import Declared
from hplab.trial import Trial

SILENT = ("plots", "show", "claims_table", "explore", "cost", "glue", "lr_find", "judge")


def collect(pages: Iterable[Path]) -> list[Declared]:
    """Return what studies train at preset "paper", each trial once, in the order of the pages.

    Args:
        pages: The studies' texts.
    """
    hp: Any = importlib.import_module("hplab")  # the surface that pages import
    found: dict[str, Declared] = {}
    look = hp.run

    def run(trials: Iterable[Trial], *, preset: str = "paper", **_: Any) -> Any:
        trials = list(trials)
        for trial in trials:
            found.setdefault(trial.identity(), (page.stem, trial))
        return look(trials, preset=preset)

    quiet = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
    stand_ins = {name: MagicMock() for name in SILENT} | {"run": run}
    with (
        quiet[0],
        quiet[1],
        patch.dict("os.environ", HPLAB_MODE="cached"),
        contextlib.ExitStack() as stack,
    ):
        for name, stand_in in stand_ins.items():
            stack.enter_context(patch.object(hp, name, stand_in, create=True))
        for page in pages:
            names: dict[str, Any] = {}
            for cell in ipynb.read(page).cells:
                if cell.cell_type == "code" and "!git" not in cell.source:
                    exec(cell.source, names)
                    if "parameters" in cell.metadata.get("tags", []):
                        names["preset"] = "paper"
    return list(found.values())
