"""The list of trials that the studies declare: `book/trials.jsonl`, a line a setting.

Finding them takes half a minute (`hplab.pages.notebooks.declared`), so the list is kept, and
written anew by `hplab plan --anew` when a study asks for others. Whoever plans training reads it.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from hplab.trial import HplabError, Trial, canonical

Declared = tuple[str, Trial]  # the study that trains it, and the trial


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
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        raise HplabError(f"{path}: {why}; `hplab plan --anew` writes it") from error
    found = []
    for number, line in enumerate(lines, 1):
        try:
            said = json.loads(line)
            trial = Trial.from_config(said["config"], 0)
            for first, last in said["seeds"]:
                seeds = range(first, last + 1)
                found += [(said["study"], trial.replace(seed=seed)) for seed in seeds]
        except (ValueError, KeyError, TypeError, RecursionError, HplabError) as error:
            raise HplabError(f"{path}, line {number}: no declared trials: {error}") from error
    return found


def _ranges(seeds: Iterable[int]) -> Iterator[list[int]]:
    """Yield first and last of each run of consecutive seeds."""
    for _, run in itertools.groupby(enumerate(sorted({*seeds})), lambda pair: pair[1] - pair[0]):
        numbers = [seed for _, seed in run]
        yield [numbers[0], numbers[-1]]
