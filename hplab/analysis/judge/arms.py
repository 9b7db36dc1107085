"""Which runs a question compares: by name, alike in all else, enough of them, paired or not."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from hplab.analysis.claims import phrases
from hplab.analysis.claims.samples import describe, equal
from hplab.analysis.judge import question as asking
from hplab.analysis.judge.question import Question
from hplab.errors import HplabError, unknown
from hplab.sweeps import cells
from hplab.sweeps import metrics as named
from hplab.sweeps.foreign import RunTable
from hplab.sweeps.table import setting

MIN_SEEDS = 3  # as the ledger's defaults
POINT = "point"  # what whole points of a search are called, "#1" and so on
_MANY = 12  # values that a message lists


def in_words(arms: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return settings in words, without what all of them share: "lr 1e-3"."""
    first = arms[0]
    shared = {name for name in first if all(arm.get(name) == first[name] for arm in arms)}
    shared = shared if len(arms) > 1 else set()
    return [describe({k: v for k, v in arm.items() if k not in shared}) for arm in arms]


def settings_of(arm: Any, table: RunTable) -> dict[str, Any]:
    """Return an arm by the names of the table's settings; a bare value is looked for in them."""
    if isinstance(arm, str) and re.fullmatch(r"#\d+", arm):
        return _point(int(arm[1:]), table)
    if isinstance(arm, Mapping):
        meant = {name: named.match(name, table.settings) for name in arm}
        for name, one in meant.items():
            if one is None:
                raise unknown("setting", name, table.settings, "the runs")
        named_so = {str(meant[name]): value for name, value in arm.items()}
        return {name: as_printed(table.runs[name], value) for name, value in named_so.items()}
    found = {name: as_printed(table.runs[name], arm) for name in table.settings}
    places = [name for name, value in found.items() if equal(table.runs[name], value).any()]
    if len(places) == 1:
        return {places[0]: found[places[0]]}
    if places:
        raise HplabError(f"{arm!r} is a value of {phrases.listed(places)}; write {places[0]}={arm}")
    values = [str(v) for name in table.settings for v in _some(table.runs[name])]
    raise unknown("value", arm, values, "the settings of the runs; write it as name=value")


def as_printed(column: pd.Series, typed: Any) -> Any:
    """Return the value of a column that a number was printed from, or the number as it is.

    A search draws values of sixteen digits, and shows four or six of them.

    Raises:
        HplabError: If several values are printed so.

    Example:
        >>> as_printed(pd.Series([0.008144886973, 0.02]), 0.00814489)
        0.008144886973
    """
    is_number = isinstance(typed, (int, float)) and not isinstance(typed, bool)
    if not is_number or not math.isfinite(typed) or equal(column, typed).any():
        return typed
    values = pd.to_numeric(column, errors="coerce").dropna().unique().tolist()
    near = [value for value in values if _is_printed(value, typed)]
    if len(near) > 1:
        raise HplabError(
            f"{column.name} {setting(typed)} could be {' or '.join(map(repr, near))}; write more "
            "digits"
        )
    return near[0] if near else typed


def _is_printed(value: float, typed: float) -> bool:
    """Return whether a value is this number when it is shown: as tables do, or in as many digits,
    of which it takes three.
    """
    digits = len(Decimal(repr(typed)).normalize().as_tuple().digits)
    ways = [setting(value), *([f"{value:.{digits - 1}e}"] if digits >= 3 else [])]
    return any(math.isclose(float(way), typed, rel_tol=1e-12) for way in ways)


def points(table: RunTable) -> list[dict[str, Any]]:
    """Return the points of a search, each a value of every setting that varies, in the order in
    which they first appear.
    """
    every = table.runs[list(table.varied)].drop_duplicates().to_dict("records")
    return [{k: None if pd.isna(v) else v for k, v in one.items()} for one in every]


def with_points(runs: pd.DataFrame, table: RunTable) -> pd.DataFrame:
    """Return runs with which point each is of, "#1" and so on."""
    varied = list(table.varied)
    code = table.runs.groupby(varied, dropna=False, sort=False).ngroup()
    names = dict(zip(table.runs["row"], code, strict=True))
    return runs.assign(**{POINT: [f"#{names[row] + 1}" for row in runs["row"]]})


def _point(number: int, table: RunTable) -> dict[str, Any]:
    every = points(table)
    if not 1 <= number <= len(every):
        raise HplabError(f"there is no point #{number}; they are #1 to #{len(every)}")
    return every[number - 1]


def _some(column: pd.Series) -> list[str]:
    """Return a few values of a setting, as they are typed."""
    found = column.drop_duplicates()
    with contextlib.suppress(TypeError):  # words and numbers have no order
        found = found.sort_values()
    values = [setting(value, str(column.name)) for value in found]
    return values if len(values) <= _MANY else [*values[: _MANY - 1], f"{len(values)} in all"]


def there(runs: pd.DataFrame, arm: Mapping[str, Any]) -> str:
    """Return which values the settings have that were asked for."""
    return "; ".join(f"{name} is {phrases.listed(_some(runs[name]))}" for name in arm)


def matching(runs: pd.DataFrame, arm: Mapping[str, Any]) -> pd.DataFrame:
    """Return the rows of a setting."""
    rows = np.ones(len(runs), bool)
    for name, value in arm.items():
        rows &= equal(runs[name], value)
    return runs[rows]


def named_or_all(
    question: Question, table: RunTable, runs: pd.DataFrame
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the settings that are compared: those that were named, or all along an axis."""
    if question.kind == asking.TREND:
        if question.x not in table.settings:
            raise unknown("setting", question.x, table.settings, "the runs")
        column = runs[question.x].dropna()
        if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
            raise HplabError(f"{question.x} has no numbers, so nothing can rise or fall with it")
        levels = sorted(float(x) if x % 1 else int(x) for x in column.unique())
        if len(levels) < 2:
            raise HplabError(f"{question.x} has one value in these runs; a trend needs two or more")
        return [{question.x: level} for level in levels], []
    arms = [settings_of(arm, table) for arm in question.arms]
    if question.kind == asking.BEST:
        names = list(arms[0])
        rivals = runs[names].drop_duplicates().to_dict("records")
        others = [one for one in rivals if not all(_is(one[k], v) for k, v in arms[0].items())]
        if not others:
            raise HplabError(f"{describe(arms[0])} has no rival in these runs")
        return [arms[0], *sorted(others, key=lambda one: [str(v) for v in one.values()])], []
    if len(arms) == 2 and arms[0] == arms[1]:
        raise HplabError(f"both sides are {describe(arms[0])}; name two different settings")
    return arms, []


def _is(one: Any, other: Any) -> bool:
    return bool(equal(pd.Series([one]), other)[0])


def enough(
    question: Question, arms: list[dict[str, Any]], parts: list[pd.DataFrame]
) -> tuple[list[dict[str, Any]], list[pd.DataFrame], list[str]]:
    """Refuse settings with too few runs; along an axis those are left out, and named."""
    names, needed = in_words(arms), {asking.TREND: 2, asking.BEST: 1}.get(question.kind, len(arms))
    few = [i for i, part in enumerate(parts) if len(part) < MIN_SEEDS]
    free = question.kind in (asking.TREND, asking.BEST)
    if few and not (free and few[0] >= (question.kind == asking.BEST)):
        i = few[0]
        n = f"{len(parts[i])} run{'s' * (len(parts[i]) != 1)}"
        raise HplabError(
            f"{names[i]} has {n}, and a verdict rests on how much runs differ by luck: train at "
            f"least {MIN_SEEDS} seeds of each setting"
        )
    kept = [i for i in range(len(arms)) if i not in few]
    if len(kept) < max(needed, 2 if free else 1):
        raise HplabError(
            f"only {len(kept)} of {len(arms)} settings have {MIN_SEEDS} runs or more; train at "
            f"least {MIN_SEEDS} seeds of each"
        )
    said = [
        f"Left out, with fewer than {MIN_SEEDS} runs: {phrases.listed([names[i] for i in few])}."
    ]
    return [arms[i] for i in kept], [parts[i] for i in kept], said if few else []


def check_alike(
    parts: Sequence[pd.DataFrame], names: Sequence[str], asked: set[str], table: RunTable
) -> None:
    """Refuse runs that differ in more than what is compared, and say how to fix it."""
    together = pd.concat(parts)
    also, fixes = [], []
    for name in table.settings:
        if name in asked or together[name].nunique(dropna=False) < 2:
            continue
        each = [part[name].drop_duplicates() for part in parts]
        absent = [values.isna().all() for values in each]
        if any(absent) and all(len(values) == 1 for values in each):
            continue  # what only one of the settings has, as SGD has momentum
        also.append(f"{name} ({phrases.listed(_some(together[name]))})")
        shared = set.intersection(*(set(values.dropna()) for values in each))
        if shared:
            most = together[name].value_counts()
            value = next(one for one in most.index if one in shared)
            fixes.append(f"{name}={setting(value, name)}")
    if not also:
        return
    what = phrases.listed(names[:_MANY]) if len(names) > 1 else names[0]
    fix = f'ask of one value of it: "... where {", ".join(fixes)}"'
    if len(fixes) < len(also):
        fix = "no value of it is shared by all, so name it in each setting that is compared"
        each = [with_points(part, table)[POINT].unique() for part in parts]
        if all(len(names) == 1 for names in each):  # whole points of a search
            called = [f'"{name}"' for [name] in each]
            fix += f" (or name the points of the search, {phrases.listed(called)})"
    raise HplabError(
        f"the runs at {what} also differ in {phrases.listed(also)}; {fix}, or ask nothing and have "
        "all values compared, averaged over the other settings (hplab judge runs.csv --margin "
        "...). If the column is no setting, leave it aside: ignore=[...], in a shell --ignore ..."
    )


def pairs_up(
    question: Question, parts: Sequence[pd.DataFrame], names: Sequence[str], table: RunTable, y: str
) -> bool:
    """Return whether to compare seed by seed.

    It is done where at least half of all seeds are there in every setting, each once. The same seed
    with the very same result, in column `y`, is a repeated row.
    """
    if table.seed is None:
        if question.pair:
            raise HplabError(
                "the runs have no column of seeds to pair by; name it (seed=..., in a "
                "shell --seed ...)"
            )
        return False
    if question.pair is False:
        return False
    seeds = [set(part["seed"]) for part in parts]
    shared, every = set.intersection(*seeds), set.union(*seeds)
    match = len(shared) >= MIN_SEEDS and 2 * len(shared) >= len(every)
    if question.pair and len(shared) < MIN_SEEDS:
        said = "; ".join(f"{n} has {_span(s)}" for n, s in zip(names[:4], seeds, strict=False))
        raise HplabError(
            f"seeds do not match ({said}); train the same seeds of each, or do not ask to pair"
        )
    if not (match or question.pair):
        return False
    for name, part in zip(names, parts, strict=True):
        again = part.duplicated(["seed", y], keep=False)
        twice = part[again if again.any() else part["seed"].duplicated(keep=False)]
        if len(twice) and not (again.any() or question.pair):
            return False  # other runs of the same seed: it does not tell them apart
        if len(twice):
            one = twice[twice["seed"] == twice["seed"].iloc[0]]
            rows = phrases.listed([str(row) for row in one["row"][:_MANY]])
            said = f"{len(one)} runs at {name} have seed {one['seed'].iloc[0]} (rows {rows})"
            if again.any():
                raise HplabError(f"{said} and the same result: drop the rows that are there twice")
            raise HplabError(
                f"{said}: say that runs are not to be paired (pair=False, in a shell --no-pair)"
            )
    return True


def repeated(runs: pd.DataFrame, table: RunTable) -> list[str]:
    """Return that rows are alike in all that is known of them: one run, pasted twice, counts twice.

    Runs that have no seed, or a single number for a result, may be alike by chance.
    """
    names = [name for name in table.metrics if name in runs and runs[name].nunique() > 1]
    if table.seed is None or runs["seed"].nunique() < 2 or not names:
        return []
    alike = runs[runs.duplicated([*table.settings, "seed", *names])]
    if alike.empty:
        return []
    which = cells.rows(alike["row"].to_numpy())
    return [
        f"Settings, seed and results of {which} are those of another row: if that is the same run, "
        "drop one, since each counts as a run of its own."
    ]


def _span(seeds: set[Any]) -> str:
    numbers = sorted(seeds)
    if numbers == list(range(numbers[0], numbers[-1] + 1)) and len(numbers) > 2:
        return f"{numbers[0]} to {numbers[-1]}"
    return phrases.listed([str(n) for n in numbers[:6]]) + (" ..." if len(numbers) > 6 else "")
