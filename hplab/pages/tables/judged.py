"""What `hplab judge` prints: what the columns of a table of runs are, and what the runs say."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from hplab.analysis.judge import comparison
from hplab.analysis.judge.comparison import Overview
from hplab.analysis.judge.judge import judge
from hplab.analysis.judge.judgement import Judgement, Judgements
from hplab.sweeps import files, foreign
from hplab.sweeps.foreign import RunTable

MOST_NAMES = 12  # of columns that are listed


def read(
    path: Path,
    *,
    settings: Sequence[str] = (),
    seed: str | None = None,
    metrics: Sequence[str] = (),
    ignore: Sequence[str] = (),
) -> RunTable:
    """Return the runs of a file, with what its columns are; see `hplab.sweeps.foreign.of`."""
    return foreign.of(
        files.read(path), settings=settings, seed=seed, metrics=metrics, ignore=ignore
    )


def read_all(paths: Sequence[Path], *, settings: Sequence[str] = (), **named: Any) -> RunTable:
    """Return the runs of several files, one beneath the other; which is which says the setting
    "file", by their names without the ending.
    """
    called = [path.name.partition(".")[0] for path in paths]
    if len(set(called)) < len(called):
        called = [str(path) for path in paths]
    parts = [files.read(path).assign(file=name) for path, name in zip(paths, called, strict=True)]
    return foreign.of(pd.concat(parts, ignore_index=True), settings=[*settings, "file"], **named)


def answer(
    table: RunTable,
    questions: Sequence[str] = (),
    *,
    metric: str = "",
    margin: str | None = None,
    better: str = "",
    where: str | None = None,
    pair: bool | None = None,
    planned: int | None = None,
) -> Judgements | Overview:
    """Return what the runs say to questions, or by themselves where there are none.

    Raises:
        HplabError: If a question cannot be judged on these runs.
    """
    said: dict[str, Any] = {"margin": margin, "better": better, "where": where, "pair": pair}
    asked = list(questions) if questions else None
    found = judge(table, asked, metric=metric, planned=planned, **said)
    return Judgements([found]) if isinstance(found, Judgement) else found


def columns(table: RunTable) -> str:
    """Return what the columns were taken for, in a few lines."""
    constant = [x for x in table.settings if x not in table.varied]
    parts = [f"settings: {_listed(table.varied)}"]
    if constant:
        parts.append(f"the same in all runs: {_listed(constant)}")
    parts += [f"seed: {table.seed or 'none'}", f"metrics: {_listed(table.metrics)}"]
    parts += [f"if {one} is the seed: --seed {one}" for one in table.likely_seeds[:1]]
    if table.ignored:
        parts.append(f"ignored: {_listed(table.ignored)}")
    lines = ["; ".join(parts)]
    n, left = len(table.runs), table.states
    runs = f"{n} runs"
    if left:
        told = {"pruned": "stopped early"}
        gone = ", ".join(f"{count} {told.get(state, state)}" for state, count in left.items())
        runs += f"; left out, as they did not finish: {gone}"
    return "\n".join([*lines, runs, *table.notes])


def _listed(names: Sequence[str]) -> str:
    shown = [*names[: MOST_NAMES - 1], f"{len(names) - MOST_NAMES + 1} more"]
    return ", ".join(names if len(names) <= MOST_NAMES else shown) or "none"


def printed(table: RunTable, found: Judgements | Overview) -> str:
    """Return what the columns are and what the runs say, for a terminal."""
    return f"{columns(table)}\n\n{text(found)}"


def text(found: Judgements | Overview) -> str:
    """Return answers for a terminal."""
    if isinstance(found, Judgements):
        return repr(found)
    return comparison.text(found)


def as_json(table: RunTable, found: Judgements | Overview) -> str:
    """Return columns and answers as JSON."""
    told: dict[str, Any] = {
        "columns": {
            "settings": list(table.settings),
            "varied": list(table.varied),
            "seed": table.seed,
            "metrics": list(table.metrics),
            "ignored": list(table.ignored),
        },
        "runs": len(table.runs),
        "left_out": table.states,
        "notes": list(table.notes),
    }
    if isinstance(found, Judgements):
        told["judgements"] = [one.row() for one in found]
    else:
        told["metric"], told["margin"] = found.metric.name, found.margin
        told["pairs"], told["note"] = found.n_pairs, found.note
        told["scatter"] = dataclasses.asdict(found.scatter) if found.scatter else None
        told["comparisons"] = [
            {
                "setting": one.name,
                "finding": one.sentence,
                "paired": one.paired,
                "note": one.note,
                **({"points": dict(one.words)} if one.words else {}),
            }
            for one in found.comparisons
        ]
        told["values"] = found.rows()
    return json.dumps(told, indent=1, ensure_ascii=False, default=_plain)


def _plain(value: Any) -> Any:
    """Return a number of numpy as one of Python, anything else as text."""
    return value.item() if hasattr(value, "item") else str(value)
