"""From a table of runs to the seeds a claim can be judged on.

A claim names its arms by hyperparameters as the report declares them. A preset may have scaled what
was trained; the runner keeps the declared value in a column "arm_NAME", and arms are found by that.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from hplab import catalogue
from hplab.analysis.claims.claim import Claim, Report
from hplab.analysis.claims.phrases import listed
from hplab.analysis.claims.quantities import Missing
from hplab.sweeps.table import SETTINGS, hyperparameters, owner, setting
from hplab.trial import HplabError

MOST_NAMED = 3  # settings without runs that are named one by one
PRECISION = "fp32"  # the number format of the runs that verdicts count
# An arm is described without these, unless they are what the arms differ in.
_USUAL = {
    "schedule": "constant",
    "loss": "cross_entropy",
    "fold": 1,
    "weight_decay": 0,
    "activation": "relu",
}


@dataclasses.dataclass(frozen=True)
class Sample:
    """The runs of a claim's arms, seed by seed.

    Attributes:
        arms: What each arm is, in words, without what all arms share.
        length: How long all were trained, in words: "5 epochs"; "" if that is what varies.
        rows: One table an arm, indexed by seed: the seeds that every arm has finished, in order.
        n_diverged: Seeds left out because a run of theirs diverged.
        n_collapsed: Seeds left out because a run of theirs collapsed, where only those that learn
            are compared.
        collapsed: How many runs of each arm collapsed, and of how many; empty where none did.
        n_spare: Seeds left out because the plan ends before them.
        gaps: Seeds that one arm has and another lacks, in words.
        differs: What is not as in the report: name to (trained, report).
        stretch: Trained epochs per declared epoch.
    """

    arms: tuple[str, ...]
    length: str
    rows: tuple[pd.DataFrame, ...]
    n_diverged: int
    gaps: tuple[str, ...]
    differs: Mapping[str, tuple[str, str]]
    stretch: float
    n_collapsed: int = 0
    collapsed: tuple[tuple[int, int], ...] = ()
    n_spare: int = 0

    @property
    def n(self) -> int:
        """Complete seeds."""
        return len(self.rows[0])

    @property
    def n_run(self) -> int:
        """Seeds that were run in every arm, whatever became of them."""
        return self.n + self.n_diverged + self.n_collapsed

    @property
    def seeds(self) -> list[int]:
        """Their numbers, in the order of every table in `rows`."""
        return [int(seed) for seed in self.rows[0].index]


def sample(
    runs: pd.DataFrame,
    arms: Sequence[Mapping[str, Any]],
    claim: Claim,
    *,
    learners: bool = True,
) -> Sample:
    """Return the seeds on which all arms of a claim can be compared.

    Where runs collapse (one class, no live unit), a mean over all of them describes neither those
    that collapse nor those that learn. So unless the claim is about that, only seeds are kept in
    which every run learns, and how many collapse is counted beside it.

    Args:
        runs: The table of runs.
        arms: Hyperparameters of each arm, as the report declares them.
        claim: Whose report says what is fixed and what its own setting was.
        learners: Whether seeds with a collapsed run are left out.

    Raises:
        Missing: If an arm has no runs, the arms are not comparable, or too few seeds are complete.
        HplabError: If an arm has several runs for one seed.
    """
    if runs.empty:
        raise Missing("There are no runs.")
    shared = {name for name in arms[0] if all(arm.get(name) == arms[0][name] for arm in arms)}
    hidden = shared
    if len(arms) == 1:
        hidden = {name for name in shared if _USUAL.get(name) == arms[0][name]} | {"epochs"}
    words = tuple(
        describe({name: value for name, value in arm.items() if name not in hidden}) for arm in arms
    )
    runs = runs.reset_index(drop=True)
    fixed = matches(runs, claim.report.fixed)
    of_arms = [fixed & matches(runs, arm) for arm in arms]
    kept = _prefer(runs, np.logical_or.reduce(of_arms), claim.report)
    tables = [
        _one_run_a_seed(runs[kept & of_arm], name, arm)
        for of_arm, name, arm in zip(of_arms, words, arms, strict=True)
    ]
    absent = [describe(arm) for arm, table in zip(arms, tables, strict=True) if table.empty]
    if absent:
        shared_words = describe(claim.report.fixed)
        needed = f" (with {shared_words})" if shared_words else ""
        if len(absent) > MOST_NAMED:
            every = "any" if len(absent) == len(arms) else f"{len(absent)}"
            first = f"{absent[0]} and {absent[-1]} among them"
            raise Missing(
                f"No runs that can be compared at {every} of its {len(arms)} settings ({first})"
                f"{needed}."
            )
        raise Missing(f"No runs at {listed(absent)} that can be compared{needed}.")
    _check_comparable(tables, words, varied=set().union(*arms))
    length = _length(tables, arms[0]["epochs"]) if "epochs" in hidden & set(arms[0]) else ""
    found = _complete(tables, words, length, claim)
    return _learners(found, claim) if learners else found


def describe(arm: Mapping[str, Any]) -> str:
    """Return hyperparameters in words: "lr 1e-3, 5 epochs"."""
    return ", ".join(
        f"{value:g} epochs"
        if name == "epochs"
        else f"{name.replace('_', ' ')} {setting(value, name)}"
        for name, value in arm.items()
    )


def declared(table: pd.DataFrame, name: str) -> pd.Series:
    """Return a hyperparameter as the report's trials declare it, before a preset scaled it."""
    if f"arm_{name}" not in table:
        return table[name]
    return table[f"arm_{name}"].where(table[f"arm_{name}"].notna(), table[name])


def settings(table: pd.DataFrame) -> list[str]:
    """Return the columns of a table of runs that are hyperparameters, without the seed."""
    return hyperparameters(table)


def in_single_precision(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs trained in single precision.

    A seed in bfloat16 is another trial, and no replicate of the one in single precision.

    Raises:
        HplabError: If there are runs, and none in single precision.
    """
    if runs.empty or "precision" not in runs or SETTINGS in runs:  # there it is something else
        return runs
    found = runs[runs["precision"] == PRECISION]
    if found.empty:
        others = listed(sorted(set(runs["precision"].astype(str))))
        raise HplabError(f"verdicts count runs in {PRECISION} only; all of these are in {others}")
    return found


def matches(table: pd.DataFrame, settings: Mapping[str, Any]) -> np.ndarray:
    """Return which rows were declared with these hyperparameters.

    Raises:
        Missing: If the table has no such column.
    """
    rows = np.ones(len(table), bool)
    for name, value in settings.items():
        if name not in table:
            raise Missing(f"The table of runs has no column {name!r}.")
        rows &= equal(declared(table, name), value)
    return rows


def equal(column: pd.Series, value: Any) -> np.ndarray:
    """Return which entries of a column equal a value; None stands for no value."""
    if value is None:
        return column.isna().to_numpy()
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        numbers = pd.to_numeric(column, errors="coerce").to_numpy(float)
        return np.isclose(numbers, value, rtol=1e-9, atol=0)
    return (column == value).to_numpy(bool)


def _prefer(table: pd.DataFrame, rows: np.ndarray, report: Report) -> np.ndarray:
    """Return the rows nearest to the report's setting: as trained, else as declared.

    A row without the argument (SGD has no eps) cannot be far from it.
    """
    for name, value in report.setting.items():
        if name not in table:
            continue
        for column in (table[name], declared(table, name)):
            without = column.isna().to_numpy() & (value is not None)
            if (same := rows & equal(column, value)).any():
                same |= rows & without
                rows = same
                break
    return rows


def _one_run_a_seed(table: pd.DataFrame, words: str, arm: Mapping[str, Any]) -> pd.DataFrame:
    twice = table[table["seed"].duplicated(keep=False)]
    if len(twice):
        one = twice[twice["seed"] == twice["seed"].iloc[0]]
        names = [
            name
            for name in settings(one)
            if name not in arm and one[name].nunique(dropna=False) > 1
        ]
        why = f"they differ in {listed(names)}; choose one" if names else "the rows are repeated"
        raise HplabError(f"several runs at {words} for seed {one['seed'].iloc[0]}: {why}")
    return table.set_index("seed").sort_index()


def _check_comparable(
    tables: Sequence[pd.DataFrame], words: Sequence[str], varied: set[str]
) -> None:
    """Refuse arms that differ in more than the claim varies, or that a preset cut unequally."""
    together = pd.concat(tables, ignore_index=True)
    for name in settings(together):
        if name in varied or name == "epochs":
            continue
        # Two optimizers have different arguments; within one arm there is still only one value.
        apart = tables if owner(name) in varied else [together]
        if any(table[name].nunique(dropna=False) > 1 for table in apart):
            raise Missing(
                f"The runs at {listed(words)} also differ in {name} ({_values(together[name])}), "
                "so they cannot be compared."
            )
    if "epochs" not in together:
        return
    stretch = _stretch(together)
    if ((together["epochs"] - stretch * declared(together, "epochs")).abs() > 0.5 + 1e-9).any():
        raise Missing(f"The epochs at {listed(words)} were scaled by different factors.")


def _stretch(table: pd.DataFrame) -> float:
    """Return trained over declared epochs, read at the longest arm, where rounding is least."""
    before = declared(table, "epochs").astype(float)
    longest = before.idxmax()
    return float(table.loc[longest, "epochs"] / before.loc[longest])


def _length(tables: Sequence[pd.DataFrame], epochs: int) -> str:
    trained = int(tables[0]["epochs"].iloc[0])
    there = "" if trained == epochs else f" ({epochs} in the report)"
    return f"{trained} epoch{'' if trained == 1 else 's'}{there}"


def _complete(
    tables: list[pd.DataFrame], words: tuple[str, ...], length: str, claim: Claim
) -> Sample:
    """Keep the seeds that every arm has finished, the first of the plan, and count the rest."""
    every = set().union(*(table.index for table in tables))
    complete = sorted(set.intersection(*(set(table.index) for table in tables)))
    common = set(complete[: max(claim.seeds, claim.min_seeds)])
    diverged = {
        seed for table in tables for seed in table.index[table["status"] != "ok"] if seed in common
    }
    gaps = tuple(
        f"{name} lacks {_seeds(every - set(table.index))}"
        for name, table in zip(words, tables, strict=True)
        if every - set(table.index)
    )
    whole = sorted(common - diverged)
    if len(whole) < claim.min_seeds:
        raise Missing(
            _too_few(len(whole), len(diverged), gaps, claim.min_seeds),
            diverged=len(common) >= claim.min_seeds,
        )
    rows = tuple(table.loc[whole] for table in tables)
    together = pd.concat(rows, ignore_index=True)
    stretch = _stretch(together) if "epochs" in together else 1.0
    return Sample(
        words,
        length,
        rows,
        len(diverged),
        gaps,
        _differs(together, claim.report),
        stretch,
        n_spare=len(complete) - len(common),
    )


def _learners(found: Sample, claim: Claim) -> Sample:
    """Leave out the seeds of which a run collapsed, and count such runs."""
    if not all("collapsed" in rows for rows in found.rows):
        return found
    marks = [pd.to_numeric(rows["collapsed"], errors="coerce") == 1 for rows in found.rows]
    gone = np.logical_or.reduce([mark.to_numpy() for mark in marks])
    if not gone.any():
        return found
    if (~gone).sum() < claim.min_seeds:
        raise Missing(
            f"In {int(gone.sum())} of {found.n} seeds a run collapses, and {int((~gone).sum())} in "
            f"which all learn are too few to compare; at least {claim.min_seeds} are needed.",
            diverged=True,
        )
    return dataclasses.replace(
        found,
        rows=tuple(rows[~gone] for rows in found.rows),
        n_collapsed=int(gone.sum()),
        collapsed=tuple((int(mark.sum()), found.n) for mark in marks),
    )


def _too_few(n: int, n_diverged: int, gaps: Sequence[str], needed: int) -> str:
    parts = [f"Only {n} complete seed{'' if n == 1 else 's'}; at least {needed} are needed"]
    if n_diverged:
        parts.append(f"{n_diverged} more diverged")
    return "; ".join([*parts, *gaps]) + "."


def _differs(table: pd.DataFrame, report: Report) -> dict[str, tuple[str, str]]:
    """Return what was trained otherwise than in the report: name to (trained, report)."""
    found = {}
    for name, value in report.setting.items():
        if name not in table:
            continue
        column = table.loc[_has(table, name), name]
        if not equal(column, value).all():
            found[name] = (_values(column), setting(value, name))
    for arm in (name for name in table if name.startswith("arm_")):
        name = arm.removeprefix("arm_")
        other = table.loc[table[arm].notna(), [arm, name]]
        other = other[other[arm].map(setting) != other[name].map(setting)]
        if len(other) and name not in found:
            found[name] = (_values(other[name]), _values(other[arm]))
    return found


def _has(table: pd.DataFrame, name: str) -> np.ndarray:
    """Return which runs have a hyperparameter at all: SGD has no "eps"."""
    component = owner(name)
    if not component or component not in table:
        return np.ones(len(table), bool)
    kinds = [kind for kind, row in catalogue.table(component).items() if name in row.args]
    return table[component].isin(kinds).to_numpy()


def _values(column: pd.Series) -> str:
    return listed([setting(value, str(column.name)) for value in column.drop_duplicates()])


def _seeds(seeds: set[int]) -> str:
    numbers = sorted(int(seed) for seed in seeds)
    return f"seed{'' if len(numbers) == 1 else 's'} {listed([str(n) for n in numbers])}"
