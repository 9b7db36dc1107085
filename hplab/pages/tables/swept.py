"""What `hplab sweep` and `hplab report` print: the points to run, and what came of them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from hplab.errors import HplabError
from hplab.sweeps import foreign, results, searches, sweepfile, sweepruns
from hplab.sweeps.foreign import RunTable
from hplab.sweeps.points import SEED, Point
from hplab.sweeps.records import shown
from hplab.sweeps.scripts import Script
from hplab.sweeps.sweepfile import SweepFile
from hplab.sweeps.sweepruns import Job, Swept
from hplab.sweeps.table import hyperparameters

MOST_ROWS = 10  # of the table of settings
MOST_POINTS = 200  # that a dry run shows


def sweep(
    path: Path,
    *,
    seed: int = 0,
    seeds: int | None = None,
    count: int | None = None,
    jobs: int | None = None,
    dry_run: bool = False,
    stand_in: bool | None = None,
    version: str = "",
    dask: str = "",
    out: Path | None = None,
    keep: str | None = None,
    then: Callable[[RunTable], object] | None = None,
) -> int:
    """Run a sweep file, or show its points, and print what came of it.

    Args:
        path: The sweep file.
        seed: What the search draws from.
        seeds: Replicates of each point.
        count: Points at most, besides what the file says.
        jobs: Runs side by side.
        dry_run: Whether to show the points only.
        stand_in: Whether the stand-in answers for `wandb`.
        version: Stands for the code.
        dask: The address of a Dask scheduler whose workers run it instead.
        out: Where to write the table of runs, as CSV.
        keep: What of what the runs train is kept: "best", "all" or None.
        then: Called with that table at the end.

    Returns:
        The exit code: 1 if a run failed.
    """
    file = sweepfile.read(path)
    for note in file.notes:
        _tell(note)
    with sweepruns.prepared(
        file,
        n_seeds=seeds,
        jobs=jobs,
        stand_in=stand_in,
        version=version,
        dask="" if dry_run else dask,
    ) as job:
        for note in job.notes:
            _tell(note)
        if dry_run:
            print(planned(file, job, seed=seed, seeds=seeds, count=count))
            return 0
        options: dict[str, Any] = {"n_seeds": seeds, "count": count, "jobs": jobs, "keep": keep}
        found = sweepruns.run(file, job, seed=seed, **options)
        task = job.task
    print(outcome(file, found))
    if out:
        try:
            found.runs.to_csv(out, index=False)
        except OSError as error:
            raise HplabError(f"cannot write {shown(out)}: {error.strerror}") from error
        _tell(f"wrote {shown(out)}")
    if then:
        then(foreign.of(results.with_failed(found.runs, task.name, task.label)))
    return int(found.n_failed > 0)


def of_file(path: Path, *, stand_in: bool | None = None, version: str = "") -> pd.DataFrame:
    """Return the recorded runs of a sweep file; nothing is run.

    Args:
        path: The sweep file.
        stand_in: Whether the stand-in answers for `wandb`, which names the runs.
        version: Stands for the code.

    Raises:
        HplabError: If there are none.
    """
    file = sweepfile.read(path)
    with sweepruns.prepared(file, jobs=1, stand_in=stand_in, version=version) as job:
        task = job.task
    others = results.of_other_code(task)
    wanted: dict[str, Any] = {"code": task.label, "settings": tuple(file.parameters)}
    wanted["only"] = isinstance(task.function, Script)  # a function's points name its defaults too
    try:
        runs = results.recorded(task.name, **wanted)
    except HplabError:  # none of any code
        runs = pd.DataFrame()
    if runs.empty:
        raise HplabError(
            f"no run of {task.name!r} at the parameters of {shown(path)} is recorded here with "
            f"the code as it is: `hplab sweep {path}` runs them{'; ' * bool(others)}{others}"
        )
    if others:
        _tell(others)
    return results.with_failed(runs, task.name, task.label)


def asked(path: Path) -> dict[str, Any]:
    """Return what a sweep file says that its report should know, by name: the metric and which side
    of it is better, if it has one, and the parameters that were drawn on a logarithmic scale.
    """
    file = sweepfile.read(path)
    found: dict[str, Any] = {"log": [n for n, one in file.parameters.items() if one.is_logarithmic]}
    if file.metric:
        found |= {"metric": file.metric, "better": 1 if file.goal == "maximize" else -1}
    return found


def _tell(note: str) -> None:
    print(note, file=sys.stderr)


def planned(
    file: SweepFile, job: Job, *, seed: int = 0, seeds: int | None = None, count: int | None = None
) -> str:
    """Return the points of a sweep, as text; nothing is run.

    A Bayesian search has its first point only, since every other one follows from results.
    """
    each = f", each with {seeds} seeds" if seeds else ""
    lines = [job.what]
    if file.method == "bayes":
        most = searches.cap(file, count)
        if most is None:
            raise searches.endless(file)
        found = [searches.Bayes(file, seed).ask()[1]]
        lines.append(f"bayes: {most} points{each}; each follows from the results before it. First:")
    else:
        found = searches.points(file, seed=seed, n=count)
        lines.append(f"{file.method}: {_counted(len(found), 'point')}{each}")
    lines.append(_points(found[:MOST_POINTS]))
    if len(found) > MOST_POINTS:
        lines.append(f"and {len(found) - MOST_POINTS} more")
    return "\n".join(lines)


def _points(found: Sequence[Point]) -> str:
    table = pd.DataFrame([{name: _short(x) for name, x in point.items()} for point in found])
    return table.to_string(index=False)


def _short(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _counted(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def outcome(file: SweepFile, found: Swept) -> str:
    """Return how the runs ended, and the best settings, as text.

    The mean of a setting is that of its finished runs. It is left out where a run of it was stopped
    early: those that finished are then the better ones, and their mean says too much.
    """
    runs = found.runs
    ended = runs["status"].value_counts()
    parts = [f"{ended.get('ok', 0)} finished"]
    if n := ended.get("diverged", 0):
        parts.append(f"{n} diverged")
    if n := ended.get("stopped", 0):
        parts.append(f"{n} stopped early (no results: what they would have come to is unknown)")
    if found.n_failed:
        parts.append(f"{found.n_failed} failed")
    if n := runs.attrs["n_missing"] - found.n_failed:
        parts.append(f"{n} not recorded")
    fresh = runs.attrs["n_new"]
    lines = [f"{_counted(len(runs), 'run')} at {_counted(found.n_points, 'point')}, {fresh} new: "]
    lines[0] += ", ".join(parts)
    if found.reached:
        lines.append(f"{file.metric} came to its target, {file.target:g}: no more runs were begun")
    if len(runs) and file.metric in runs:
        lines += ["", _settings(file, runs)]
        if ended.get("stopped", 0):
            lines += _best_run(file, runs)
    return "\n".join(lines)


def _best_run(file: SweepFile, runs: pd.DataFrame) -> list[str]:
    """Return the best finished run and what it is worth, where means would mislead."""
    ends = runs.loc[runs["status"] == "ok", file.metric].dropna()
    if ends.empty:
        return []
    best = runs.loc[ends.idxmin() if file.goal == "minimize" else ends.idxmax()]
    varied = _varied(runs) + [SEED] * (runs[SEED].nunique() > 1)
    where = ", ".join(f"{name}={_short(best[name])}" for name in varied)
    return [
        "",
        f"the best finished run: {file.metric} {_short(best[file.metric])} at {where}",
        "to compare settings, run the best few to their end: no early_terminate, and --seeds 5",
    ]


def _varied(runs: pd.DataFrame) -> list[str]:
    names = hyperparameters(runs)
    return [n for n in names if n != "code" and runs[n].nunique(dropna=False) > 1]


def _settings(file: SweepFile, runs: pd.DataFrame) -> str:
    """Return the best settings, a line each."""
    names = _varied(runs)
    groups = runs.groupby(names, dropna=False, sort=False) if names else [((), runs)]
    rows = []
    for setting, part in groups:
        ends = part["status"].value_counts()
        fine = part.loc[part["status"] == "ok", file.metric]
        n_stopped = int(ends.get("stopped", 0))
        row = {name: _short(x) for name, x in zip(names, setting, strict=True)}
        rows.append(
            {
                **row,
                file.metric: float("nan") if n_stopped else fine.mean(),
                "finished": len(fine),
                "stopped": n_stopped,
                "diverged": int(ends.get("diverged", 0)),
            }
        )
    table = pd.DataFrame(rows)
    up = file.goal == "minimize"
    table = table.sort_values("finished", ascending=False, kind="stable")
    table = table.sort_values(file.metric, ascending=up, na_position="last", kind="stable")
    table[file.metric] = [f"{x:.6g}" if x == x else "-" for x in table[file.metric]]
    for ending in ("stopped", "diverged"):
        if not table[ending].any():
            table = table.drop(columns=ending)
    more = len(table) - MOST_ROWS
    text = table.head(MOST_ROWS).to_string(index=False)
    has_seeds = runs[SEED].nunique() > 1
    title = f"{'mean ' * has_seeds}{file.metric} by setting, the best first"
    return f"{title}\n{text}" + (f"\nand {more} more settings" if more > 0 else "")
