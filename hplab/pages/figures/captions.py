"""Captions, alternative texts and data tables of figures: made from the cells, never typed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from hplab.pages import labels
from hplab.pages.figures import cells, marks

PASSED_OVER = "settings that lost a run to divergence are passed over"
SINGLE = "one run a setting, so luck and effect cannot be told apart"
Names = tuple[str, str, str | None]  # x, y, by


def axis(
    table: pd.DataFrame,
    names: Names,
    top: Any,
    flags: Sequence[tuple[Any, str]],
    others: Sequence[str],
    *,
    seeds: bool,
    outside: int,
) -> list[str]:
    """The clauses of an axis plot's caption.

    Args:
        table: The cells drawn.
        names: Columns of x, y and by.
        top: Index of the best cell, or None.
        flags: Groups whose best is at an edge of the grid, and which.
        others: Hyperparameters that vary inside a cell; then no mean was drawn.
        seeds: Whether every run was drawn.
        outside: How many runs lie outside limits that were asked for.
    """
    x, y, by = names
    sizes = table.loc[table["n"] > 0, "n"]
    single = not others and sizes.max() == 1
    drawn = "every run a dot, its mean and 95 % interval beside it"
    if single:
        drawn = "every run a dot"
    elif others:
        drawn = f"every run a dot, no means because {also(others)}"
        drawn += f" (by={others[0]!r} tells them apart)" if by is None and len(others) == 1 else ""
    elif not seeds:
        drawn = "means with 95 % intervals"
    lead = f"{labels.quantity(y)} against {labels.quantity(x)}, {drawn}"
    clauses = [lead]
    if top is not None:
        place = at(table.loc[top], [name for name in (x, by) if name])
        clauses[0] += f": the best mean (ringed) is {labels.interval(y, table.loc[top])} at {place}"
        clauses += [PASSED_OVER] if cells.passed_over(table, y) else []
        clauses += shared(table)
    clauses += [_edge_clause(flags, x, by)] if flags else []
    if single:
        clauses.append(SINGLE)
    elif not others and len(sizes) and (top is None or sizes.nunique() > 1):
        clauses.append(f"n = {labels.span(sizes)} seeds a setting")
    total, every = int(table["n"].sum()), marks.every(table["values"])
    if every > 1 and (seeds or others):
        clauses.append(
            f"only every {labels.ordinal(every)} of the {total} runs is drawn, means are over all"
        )
    if outside:
        clauses.append(f"{labels.count(outside, 'run')} outside the frame")
    return clauses + ([] if others else bent(table, y))


def shared(*tables: pd.DataFrame) -> list[str]:
    """On which seeds the best was chosen, where it was not on all; of the fewest in some table."""
    n = min((n for table in tables if (n := cells.n_shared(table))), default=0)
    several = " of several runs" if any((table["n"] == 1).any() for table in tables) else ""
    return [f"chosen on the {n} seeds that all settings{several} have"] if n else []


def bent(table: pd.DataFrame, y: str) -> list[str]:
    """That some intervals were taken on another scale, and why."""
    n = int(table["bent"].sum())
    if not n:
        return []
    scale, bound = ("logit", "0 or 100 %") if labels.bounds(y)[1] == 1 else ("log", "0")
    which = "one interval is" if n == 1 else f"{n} intervals are"
    return [f"{which} lopsided, as values cannot pass {bound} (taken on the {scale} scale)"]


def clipped(table: pd.DataFrame, y: str, limits: tuple[float, float]) -> list[str]:
    """How many intervals run out of the frame, whose limits are in the unit that is shown."""
    ends = table[["low", "high"]] * labels.scale(y)
    n = sum(bool(marks.beyond(cell, limits)) for cell in ends.to_dict("records"))
    runs = "runs" if n == 1 else "run"
    return [f"{labels.count(n, 'interval')} {runs} out of the frame (\u25b2 \u25bc)"] if n else []


def off_log(what: str, values: Sequence[float]) -> list[str]:
    """How many values have no place on a logarithmic axis, as they are 0 or less."""
    lost = [value for value in values if math.isfinite(value) and value <= 0]
    if not lost:
        return []
    they = "is not above 0 and has" if len(lost) == 1 else "are not above 0 and have"
    return [f"{labels.count(len(lost), what)} {they} no place on the logarithmic axis"]


def fallen(table: pd.DataFrame, names: Names, *, means: bool) -> list[str]:
    """Which means and how many runs lie at or below 0, where a logarithmic axis has no place."""
    x, y, by = names
    clauses = off_log("run", [value for values in table["values"] for value in values])
    low = table[table["mean"] <= 0] if means else table[:0]
    told = [
        f"{labels.number(y, cell['mean'])} at {at(cell, [name for name in (x, by) if name])}"
        for _, cell in low.iterrows()
    ]
    if told:
        clauses.append(f"so has a mean (\u25bc at the lower edge): {labels.listed(told)}")
    return clauses


def isolation(
    table: pd.DataFrame, x: str, y: str, over: Sequence[str], top: Any, side: str | None
) -> list[str]:
    """The clauses of an isolation plot's caption; `table` marks the chosen cells."""
    tried = table.groupby(x, sort=False, dropna=False)["mean"].size()
    nuisance = labels.listed([labels.quantity(name) for name in over])
    lead = (
        f"{labels.quantity(y)} against {labels.quantity(x)}, {nuisance} tuned for each value: the "
        f"best of {labels.span(tried)} settings by mean over seeds with its runs, others within "
        "the frame as dashes"
    )
    clauses = [lead]
    if top is not None:
        place = at(table.loc[top], [x, *over])
        clauses.append(f"the best (ringed) is {labels.interval(y, table.loc[top])} at {place}")
    groups = [part for _, part in cells.parts(table, x)]
    clauses += [PASSED_OVER] if any(cells.passed_over(part, y) for part in groups) else []
    clauses += shared(table[table["chosen"]], *groups)
    clauses += [_edge_clause([(None, side)], x, None)] if side else []
    clauses += bent(table[table["chosen"]], y)
    if tried.max() > 1:
        clauses.append("picking the best of several on the runs that are shown is optimistic")
    for name in over:
        where = _at_nuisance_edge(table, x, name)
        if where:
            levels = labels.listed([labels.setting(level) for level in where])
            clauses.append(
                f"at {labels.quantity(x)} {levels} the chosen {labels.quantity(name)} is at the "
                "edge of those tested, so a better one may lie beyond"
            )
    return clauses


def _at_nuisance_edge(table: pd.DataFrame, x: str, name: str) -> list[Any]:
    where = []
    for level in cells.levels(table[x]):
        part = table[cells.select(table, x, level)]
        chosen = part[part["chosen"]]
        if len(chosen) and cells.edge(cells.levels(part[name]), chosen[name].iloc[0]):
            where.append(level)
    return where


def also(others: Sequence[str]) -> str:
    """What else varies: "momentum varies too"."""
    verb = "varies" if len(others) == 1 else "vary"
    return f"{labels.listed([labels.quantity(name) for name in others])} {verb} too"


def _edge_clause(flags: Sequence[tuple[Any, str]], x: str, by: str | None) -> str:
    which = labels.listed([f"the {side}" for side in dict.fromkeys(side for _, side in flags)])
    who = "this is"
    if by is not None:
        who = f"for {labels.listed([labels.setting(level) for level, _ in flags])} the best is at"
    return (
        f"{who} {which} value of {labels.quantity(x)} tested, the edge of the grid, so the optimum "
        "may lie beyond"
    )


def at(cell: pd.Series, names: Sequence[str]) -> str:
    """Where a cell is: "learning rate 1e-3 and optimizer adam"."""
    return labels.listed(
        [f"{labels.quantity(name)} {labels.setting(cell[name], name)}" for name in names]
    )


def full(clauses: Sequence[str], *, lost: int, total: int, runs: pd.DataFrame) -> str:
    """Clauses, how many runs diverged or were stopped, and what the table holds: one sentence."""
    parts = list(clauses)
    if lost:
        parts.append(f"{lost} of {labels.count(total, 'run')} diverged (\u00d7)")
    if len(early := runs[cells.stopped(runs)]):
        n = early["run"].nunique() if "run" in early else len(early)
        parts.append(f"{labels.count(n, 'run')} stopped early for doing badly and left out")
    if where := labels.context(runs):
        parts.append(where)
    return labels.sentence("; ".join(parts))


def trend(table: pd.DataFrame, names: Names, *, means: bool) -> str:
    """Alternative text of a plot of cells: what is drawn and how the means go."""
    x, y, by = names
    what = "Means with every run as a dot" if means else "Every run as a dot"
    tested = cells.levels(table[x])
    if not tested:
        return "No run converged."
    ends = f"from {labels.setting(tested[0])} to {labels.setting(tested[-1])}"
    lead = f"{what}: {labels.quantity(y)} for {len(tested)} values of {labels.quantity(x)}"
    lead += f" {ends}" if cells.is_numeric(tested) and len(tested) > 1 else ""
    groups = [(None, table)] if by is None else cells.parts(table, by)
    told = []
    for level, group in groups[:4]:
        who = "" if by is None else f"{labels.quantity(by)} {labels.setting(level)}: "
        told.append(who + (_course(group, x, y) if means else _extent(group, y)))
    lost = table[table["n_diverged"] > 0]
    if len(lost):
        levels = [labels.setting(level) for level in cells.levels(lost[x])]
        told.append(f"runs diverged at {labels.listed(levels)}")
    return labels.sentence("; ".join([lead, *told]))


def _extent(group: pd.DataFrame, y: str) -> str:
    """From where to where the runs go."""
    values = [value for cell in group["values"] for value in cell]
    if not values:
        return "no run converged"
    return f"from {labels.number(y, min(values))} to {labels.number(y, max(values))}"


def _course(group: pd.DataFrame, x: str, y: str) -> str:
    """How means go along x: where they start, their best value, where they end."""
    known = group[np.isfinite(group["mean"].astype(float))]
    if len(known) == 0:
        return "no run converged"
    told = [known.index[0], cells.best(known, y), known.index[-1]]
    if not cells.is_numeric(known[x]):
        told = list(known.index[:6])
    told = [i for i in dict.fromkeys(told) if i is not None]
    best = cells.best(known, y)
    return "mean " + ", ".join(
        f"{labels.number(y, known.loc[i, 'mean'])} at {labels.setting(known.loc[i, x])}"
        + (" (best)" if i == best and len(told) > 1 else "")
        for i in told
    )


def shown(table: pd.DataFrame, keys: Sequence[str], y: str, *, means: bool = True) -> pd.DataFrame:
    """The cells as readers see them: rounded, in the shown unit, with words as column names.

    Without means (the runs of a cell differ in more than their seed) they say only how far the runs
    reach.
    """
    unit = f" ({labels.unit(y)})" if labels.scale(y) != 1 else ""  # no name stands before it
    columns: dict[str, list[str]] = {
        labels.quantity(name): [labels.setting(value, name) for value in table[name]]
        for name in keys
    }
    half = (table["high"] - table["low"]) / 2  # says how many digits
    if means:
        for name, column in (("mean", "mean"), ("95 % from", "low"), ("to", "high")):
            columns[f"{name}{unit}"] = [
                plain(y, value, h) for value, h in zip(table[column], half, strict=True)
            ]
    else:
        for name, end in (("lowest", min), ("highest", max)):
            ends = [end(values, default=math.nan) for values in table["values"]]
            columns[f"{name}{unit}"] = [plain(y, value) for value in ends]
    columns["runs"] = [str(n) for n in table["n"]]
    columns["diverged"] = [str(n) for n in table["n_diverged"]]
    if "n_stopped" in table and table["n_stopped"].any():
        columns["stopped early"] = [str(n) for n in table["n_stopped"]]
    if "chosen" in table:
        columns["chosen"] = ["yes" if flag else "" for flag in table["chosen"]]
    if sum(map(len, table["values"])) <= 300:
        columns[f"every run{unit}"] = [
            ", ".join(plain(y, v) for v in values) for values in table["values"]
        ]
    return pd.DataFrame(columns)


def plain(y: str, value: float, half: float = math.nan) -> str:
    """A number of a table, without unit; nothing where there is none."""
    return "" if not math.isfinite(value) else labels.number(y, value, half, with_unit=False)
