"""Which steps of which runs the rows of a table are, and where runs ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from hplab.sweeps import cells

ROW, KEY = "\0row", "\0key"  # columns of a table while it is made: its row, from 1, and its run


def keys(
    frame: pd.DataFrame, ids: Sequence[str], made: Sequence[str], places: Sequence[str]
) -> pd.Series:
    """Return which run each row is of: a row each, unless steps of runs are listed."""
    alone = frame[ROW].astype(str)
    if not places or frame[places[0]].nunique() < 2:
        return alone
    place = frame[places[0]]
    tried = [frame[name].astype(str) for name in ids]
    if not ids and made:
        tried = [frame.groupby(list(made), dropna=False, sort=False).ngroup().astype(str)]
    for run in tried:
        steps = place.groupby(run)
        first = steps.min()
        alike = (steps.size() > 1).all() and first.nunique() == 1  # all begin at one step
        from_the_start = first.iloc[0] <= 1 or len(first) > 1
        if (
            alike
            and from_the_start
            and not pd.concat([run, place], axis=1, keys=["run", "place"]).duplicated().any()
        ):
            return run
    return alone


def last_of_each(
    frame: pd.DataFrame, place: str, found: Sequence[str], clean: Mapping[str, str]
) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """Return the last value of each metric of each run, and the curves they are the ends of."""
    frame = frame.sort_values(ROW).sort_values(place, kind="stable")
    curves = frame[[KEY, place, *found]].rename(columns={**clean, KEY: "key", place: "epoch"})
    runs = frame.groupby(KEY, sort=False)
    last = runs.last()
    last[ROW] = runs[ROW].min()
    last = last.reset_index().sort_values(ROW).reset_index(drop=True)
    words = f"{len(frame)} rows are steps of {len(last)} runs: the last value of each counts"
    return last, curves, words


def ended_early(frame: pd.DataFrame, place: str, settings: Sequence[str]) -> str:
    """Return which runs ended before half of what is usual for their settings, "" if none did.

    Args:
        frame: One row a run, with `ROW`.
        place: The column that says where each run ended, such as "epoch".
        settings: The columns that say how a run was made.
    """
    ends = pd.to_numeric(frame[place], errors="coerce")
    made = frame.groupby(list(settings), dropna=False, sort=False).ngroup() if settings else 0
    usual = ends.groupby(made if settings else [0] * len(ends)).transform("median")
    early = 2 * ends < usual
    if not early.any():
        return ""
    n, what = int(early.sum()), place.lstrip("_").rpartition("._")[2]
    where, others = _span(ends[early]), _span(usual[early])
    them, their = ("it", "its setting") if n == 1 else ("them", "their settings")
    return (
        f"{cells.rows(frame.loc[early, ROW].to_numpy())} ended at {what} {where}, where others of "
        f"{their} end at {others}: leave {them} out?"
    )


def _span(values: pd.Series) -> str:
    low, high = values.min(), values.max()
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"
