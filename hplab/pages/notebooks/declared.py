"""The trials that the studies declare, found by running their cells without training.

That takes half a minute, so the list is kept in `book/trials.jsonl`, a line a setting, and written
anew by `hplab plan --anew` when a study asks for others. Whoever plans training reads it.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock, patch

from hplab.pages.notebooks import ipynb
from hplab.trial import HplabError, Trial, canonical

SILENT = ("plots", "show", "claims_table", "explore", "cost", "glue", "lr_find")
Declared = tuple[str, Trial]  # the study that trains it, and the trial


def collect(pages: Iterable[Path]) -> list[Declared]:
    """Return what studies train at preset "paper", each trial once, in the order of the pages.

    Args:
        pages: The studies' texts.
    """
    import hplab as hp

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


def dumps(declared: Iterable[Declared]) -> str:
    """Return declared trials as JSON lines: study, settings, and the seeds as ranges."""
    settings: dict[tuple[str, str], list[int]] = {}
    for study, trial in declared:
        settings.setdefault((study, canonical(trial.config())), []).append(trial.seed)
    lines = [
        canonical({"config": json.loads(config), "seeds": list(_ranges(seeds)), "study": study})
        for (study, config), seeds in settings.items()
    ]
    return "\n".join(lines) + "\n"


def read(path: Path) -> list[Declared]:
    """Return the trials of a file that `dumps` wrote.

    Raises:
        HplabError: If the file is missing, or a line of it is none of these.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise HplabError(f"{path}: {error.strerror}; `hplab plan --anew` writes it") from error
    found = []
    for number, line in enumerate(lines, 1):
        try:
            said = json.loads(line)
            trial = Trial.from_config(said["config"], 0)
            for first, last in said["seeds"]:
                seeds = range(first, last + 1)
                found += [(said["study"], trial.replace(seed=seed)) for seed in seeds]
        except (ValueError, KeyError, TypeError, HplabError) as error:
            raise HplabError(f"{path}, line {number}: no declared trials: {error}") from error
    return found


def _ranges(seeds: Iterable[int]) -> Iterator[list[int]]:
    """Yield first and last of each run of consecutive seeds."""
    for _, run in itertools.groupby(enumerate(sorted({*seeds})), lambda pair: pair[1] - pair[0]):
        numbers = [seed for _, seed in run]
        yield [numbers[0], numbers[-1]]
