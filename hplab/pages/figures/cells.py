"""From a table of runs to what a figure draws: levels, cells (a mean over seeds each), the best."""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from hplab.analysis.stats import bounded, intervals
from hplab.pages import labels
from hplab.sweeps.table import hyperparameters, is_known
from hplab.trial import HplabError, unknown

LOG10 = {"lr", "learning_rate", "weight_decay", "eps", "ladder_radius"}
LOG2 = {"batch_size", "hidden", "width", "n_train"}
MOST_CHOSEN = 20  # values that somebody typed; more were drawn
SPAN = 100  # from the smallest to the largest value: two powers of ten ask for a logarithmic axis


def mean_of(values: Iterable[float], y: str = "") -> intervals.Interval:
    """The mean of the finite values with its 95 % interval; NaN ends for fewer than two.

    It is a t interval; one that would pass what `y` can be is taken on the logit or log scale.
    """
    kept = [float(value) for value in values if math.isfinite(value)]
    if len(kept) >= 2:
        return bounded.within(intervals.mean_interval(kept), *labels.bounds(y, kept))
    return intervals.Interval(kept[0] if kept else math.nan, math.nan, math.nan, 0.95, len(kept))


def bent(interval: intervals.Interval) -> bool:
    """Whether an interval was taken on another scale: its mean is not in its middle."""
    middle, half = (interval.low + interval.high) / 2, (interval.high - interval.low) / 2
    return bool(abs(middle - interval.estimate) > 1e-6 * half)


def require(runs: pd.DataFrame, *columns: str | None, what: str) -> None:
    """Refuse what is no table, and columns that a table does not have.

    Raises:
        HplabError: Saying which, with the nearest match.
    """
    if not isinstance(runs, pd.DataFrame):
        raise HplabError(f"{what} needs a table of runs (a DataFrame), got {type(runs).__name__}")
    for column in columns:
        if column is not None and column not in runs:
            raise unknown("column", column, runs.columns, what)


def telling(runs: pd.DataFrame) -> list[str]:
    """The columns that tell settings apart: hyperparameters, and names that a page gave its runs.

    Such a name is text in a column of the page's own. Numbers there may be anything, a new measure
    for one, and tell nothing apart.
    """
    declared = hyperparameters(runs)
    return [name for name in runs if name in declared or _is_given(runs[name])]


def _is_given(column: pd.Series) -> bool:
    return not is_known(str(column.name)) and any(isinstance(v, str) for v in column.unique())


def mixed(runs: pd.DataFrame, by: list[str]) -> list[str]:
    """What of `telling` takes more than one value inside a cell of `by` (nothing: the table)."""
    others = [name for name in telling(runs) if name not in by]
    if not by:
        return [name for name in others if runs[name].nunique(dropna=False) > 1]
    counts = runs.groupby(by, dropna=False, sort=False)[others].nunique(dropna=False)
    return [name for name in others if (counts[name] > 1).any()]


def is_numeric(values: Iterable[Any]) -> bool:
    """Whether all values are numbers; true and false, and missing ones, are not."""
    return all(
        isinstance(value, Real) and not isinstance(value, (bool, np.bool_)) and value == value
        for value in values
    )


def is_logarithmic(name: str, values: Iterable[Any]) -> bool:
    """Whether numbers belong on a logarithmic axis: by their name, or as they lie.

    They lie so if all are above 0, the largest is at least 100 times the smallest, and the middle
    one stands, on a logarithmic axis, nearer to the middle of that axis than to the mean of the two
    ends. Of values that were drawn evenly from a wide range it stands at the mean.

    Example:
        >>> is_logarithmic("wd", [1e-4, 1e-3, 1e-2]), is_logarithmic("wd", [0.004, 0.3, 0.5])
        (True, False)
        >>> is_logarithmic("optimizer.lr", [0.1, 0.2])
        True
    """
    found = sorted(value for value in {*values} if is_numeric([value]))
    if name.rpartition(".")[2] in LOG10 | LOG2:
        return True
    if not found or found[0] <= 0 or found[-1] < SPAN * found[0]:
        return False
    low, high = math.log(found[0]), math.log(found[-1])
    even = math.log((found[0] + found[-1]) / 2)
    return math.log(found[(len(found) - 1) // 2]) < ((low + high) / 2 + even) / 2


def levels(column: pd.Series) -> list[Any]:
    """The tested values: numbers in ascending order, anything else as it first appears."""
    found = list(column.drop_duplicates())
    return sorted(found) if is_numeric(found) else found


def select(runs: pd.DataFrame, column: str, level: Any) -> pd.Series:
    """Which rows have this value, a missing one included."""
    return runs[column].isna() if pd.isna(level) else runs[column] == level


def parts(table: pd.DataFrame, by: str) -> list[tuple[Any, pd.DataFrame]]:
    """The table split by the levels of a column, in their order."""
    return [(level, table[select(table, by, level)]) for level in levels(table[by])]


def cells(runs: pd.DataFrame, y: str, by: list[str]) -> pd.DataFrame:
    """One row a combination of `by`, in order of their levels.

    Returns:
        The columns of `by`, "mean", "low" and "high" of `y` over the runs that came to their end
        (in units of the table), whether that interval is "bent", "n" of those, "n_diverged",
        "n_stopped", "values", their list, and "seeds", those of the values (none without seeds).

    Raises:
        HplabError: If `y` is a share by its name, and some value is none.
    """
    _check_possible(runs, y)
    rows: list[dict[str, Any]] = []

    def descend(part: pd.DataFrame, names: list[str], chosen: dict[str, Any]) -> None:
        if names:
            for level in levels(runs[names[0]]):
                inner = part[select(part, names[0], level)]
                if len(inner):
                    descend(inner, names[1:], {**chosen, names[0]: level})
            return
        lost, early = diverged(part, y), stopped(part)
        ended = part.loc[~lost & ~early].dropna(subset=[y])
        values = [float(value) for value in ended[y]]
        mean = mean_of(values, y)
        row = {"mean": mean.estimate, "low": mean.low, "high": mean.high, "n": mean.n}
        row["bent"] = bent(mean)
        row["n_diverged"], row["n_stopped"] = int(lost.sum()), int(early.sum())
        seeds = list(ended["seed"]) if "seed" in ended else []
        rows.append({**chosen, **row, "values": values, "seeds": seeds})

    descend(runs, by, {})
    return pd.DataFrame(rows)


def by_setting(runs: pd.DataFrame, y: str, *others: str) -> pd.DataFrame:
    """One row a setting, in the order in which they first appear, however many there are.

    A setting of which a run was stopped early has no mean: the runs of it that finished are the
    better ones.

    Args:
        runs: One row a run.
        y: The metric.
        others: More columns of numbers, whose means are wanted.

    Returns:
        What varies, the columns that `cells` gives of `y`, the means of the others, and "rows",
        where the runs of the setting stand in the table.
    """
    _check_possible(runs, y)
    varied = mixed(runs, [])
    numbers = pd.DataFrame({name: pd.factorize(runs[name])[0] for name in varied})
    group = numbers.groupby(varied, sort=False).ngroup() if varied else [0] * len(runs)
    lost, early = diverged(runs, y).to_numpy(), stopped(runs).to_numpy()
    measured = {name: runs[name].to_numpy(float) for name in (y, *others)}
    settings = {name: runs[name].tolist() for name in varied}
    seeds = runs["seed"].tolist() if "seed" in runs else []
    rows: list[dict[str, Any]] = []
    for _, places in pd.Series(range(len(runs))).groupby(list(group), sort=False):
        at = places.to_numpy()
        whole = at[~lost[at]] if not early[at].any() else at[:0]
        ended = [i for i in whole.tolist() if measured[y][i] == measured[y][i]]
        values = measured[y][ended].tolist()
        mean = mean_of(values, y)
        row = {name: column[at[0]] for name, column in settings.items()}
        row |= {name: _mean(measured[name][whole]) for name in others}
        row |= {"mean": mean.estimate, "low": mean.low, "high": mean.high, "n": mean.n}
        row |= {"bent": bent(mean), "n_diverged": int(lost[at].sum())}
        row |= {"n_stopped": int(early[at].sum()), "values": values, "rows": at}
        rows.append({**row, "seeds": [seeds[i] for i in ended] if seeds else []})
    return pd.DataFrame(rows)


def _mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else math.nan


def _check_possible(runs: pd.DataFrame, y: str) -> None:
    values = runs.loc[~diverged(runs, y), y].astype(float)
    low, high = labels.bounds(y)
    if math.isfinite(high) and ((values < low - 1e-6) | (values > high + 1e-6)).any():
        raise HplabError(
            f"{y} goes from {values.min():.4g} to {values.max():.4g}, and by its name it is from "
            f"{low:g} to {high:g}: divide percent by 100, or call it otherwise"
        )


def diverged(runs: pd.DataFrame, y: str) -> pd.Series:
    """Which runs lost their value of `y`: those recorded as diverged, and any that is not finite.

    A run that is recorded as "ok" and has none, as it was too short to have a roughness, lost
    nothing.
    """
    values = runs[y].astype(float)
    if "status" not in runs:
        return ~np.isfinite(values)
    return (runs["status"] == "diverged") | np.isinf(values)


def stopped(runs: pd.DataFrame) -> pd.Series:
    """Which runs were stopped early for doing badly: what they would have come to is unknown."""
    if "status" not in runs:
        return pd.Series(False, index=runs.index)
    return runs["status"] == "stopped"


def best(table: pd.DataFrame, y: str) -> Any | None:
    """The index of the best mean, or None where `y` has no better side or nothing converged.

    Cells that lost a run to divergence or to early stopping are passed over while there are cells
    that lost none, and a single run while there are cells of several. Where cells differ in their
    seeds, means are compared over those that all have (see `n_shared`).
    """
    sign, pool = labels.better(y), _candidates(table)
    if sign == 0 or len(pool) == 0:
        return None
    shared = _shared(pool)
    means = pool["mean"] if shared is None else pool.apply(_mean_over, axis=1, seeds=shared)
    return means.idxmax() if sign > 0 else means.idxmin()


def n_shared(table: pd.DataFrame) -> int:
    """On how many seeds `best` compares the cells of a table, 0 where it is on all of each."""
    return len(_shared(_candidates(table)) or ())


def _candidates(table: pd.DataFrame) -> pd.DataFrame:
    """The cells that can be the best."""
    finite = table[np.isfinite(table["mean"].astype(float))]
    lost = finite["n_diverged"] + finite.get("n_stopped", 0)
    whole = finite[lost == 0]
    pool = whole if len(whole) else finite
    several = pool[pool["n"] >= 2] if "n" in pool else pool
    return several if len(several) else pool


def _shared(pool: pd.DataFrame) -> set[Any] | None:
    """The seeds that all cells have, two or more; None where all have the same, or are no pairs."""
    if "seeds" not in pool or len(pool) < 2:
        return None
    seeds = list(pool["seeds"])
    found = set.intersection(*map(set, seeds))
    once = all(len(set(one)) == len(one) == n for one, n in zip(seeds, pool["n"], strict=True))
    same = all(set(one) == found for one in seeds)
    return found if once and not same and len(found) >= 2 else None


def _mean_over(cell: pd.Series, seeds: set[Any]) -> float:
    known = zip(cell["seeds"], cell["values"], strict=True)
    return float(np.mean([value for seed, value in known if seed in seeds]))


def passed_over(table: pd.DataFrame, y: str) -> bool:
    """Whether a setting that lost a run to divergence has a better mean than the best."""
    top = best(table, y)
    lost = table.loc[table["n_diverged"] > 0, "mean"]
    if top is None or table.loc[top, "n_diverged"]:
        return False
    return bool((labels.better(y) * (lost - table.loc[top, "mean"]) > 0).any())


def edge(tested: list[Any], chosen: Any) -> str | None:
    """ "lowest" or "highest" if a number was chosen at that end of the tested ones, else None.

    Zero is no edge: there is nothing beyond it to be tested. Of two values the best is always at
    one, which says nothing: two make a comparison, not a grid.
    """
    if len(tested) < 3 or not is_numeric(tested):
        return None
    if chosen == min(tested):
        return None if chosen == 0 else "lowest"
    return "highest" if chosen == max(tested) else None
