"""What a table of runs says by itself: for each setting, its values compared in one metric.

The value that is best is compared with each other one. Which is best is seen on the same runs, so
Holm's correction is made over all pairs of values, of all settings: the answer holds whichever
comes out first.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from hplab.analysis.claims import phrases
from hplab.analysis.claims.samples import describe
from hplab.analysis.importance import importance
from hplab.analysis.judge import question as asking
from hplab.analysis.judge.arms import (
    MIN_SEEDS,
    POINT,
    matching,
    points,
    settings_of,
    with_points,
)
from hplab.analysis.judge.comparison import (
    BEHIND,
    BEST,
    OPEN,
    Comparison,
    Overview,
    Scatter,
    Value,
)
from hplab.analysis.judge.resolve import ALPHA, MAX_DIVERGED, margin_of, metric_of
from hplab.analysis.stats import evidence, intervals
from hplab.analysis.stats.independent import Contrast, contrast
from hplab.analysis.stats.intervals import Interval
from hplab.errors import HplabError
from hplab.sweeps.foreign import RunTable
from hplab.sweeps.metrics import one_word
from hplab.sweeps.table import setting

MOST_VALUES = 30  # of a setting; what has more was searched along and is a question of a trend
NO_RESULT = "without a result"
LARGE = 0.1  # share of the variance from which an interaction is told whatever its interval


@dataclasses.dataclass(frozen=True)
class _Cells:
    """The runs of a setting's values that can be compared.

    Attributes:
        values: The values.
        rows: Their runs, with columns "x" (which value), "o" (which other settings), "seed", "y".
        n_other: Combinations of other settings that all values have.
        paired: Whether each has the same seeds.
        apart: Why not, if they have seeds at all.
    """

    values: list[Any]
    rows: pd.DataFrame
    n_other: int
    paired: bool
    apart: str = ""


def overview(
    table: RunTable,
    *,
    metric: str = "",
    better: int = 0,
    margin: Any = None,
    where: Mapping[str, Any] | None = None,
    pair: bool | None = None,
) -> Overview:
    """Return for each setting that varies how its values compare in one metric.

    Args:
        table: The runs.
        metric: The column; the first of the metrics if it is not said.
        better: 1 or -1, for a metric whose name does not say which side is better.
        margin: The smallest difference that counts, as for `judge`.
        where: What all runs must have.
        pair: False to take all runs as independent.

    Returns:
        The comparisons. Where settings vary together, as in a search, its points are compared as
        they are. Where no setting varies, how much the runs of the one setting scatter.

    Raises:
        HplabError: If the metric is unknown or its better side not known, or there are too few
            runs.
    """
    about = metric_of(table, metric, better)
    asked = asking.Question(asking.DIRECTION, "", size=asking.size(margin))
    if not about.better:
        raise HplabError(
            f"is more of {about.name!r} better, or less? Say it: better='higher' or 'lower' "
            "(in a shell --better higher)"
        )
    size = margin_of(asked, about)
    if size.unit == "ratio":
        raise HplabError("comparing all values takes a margin in the metric's unit, not a factor")
    chosen = settings_of(where or {}, table)
    runs, left = (matching(part, chosen) for part in (table.runs, table.left_out))
    scale = 100 if about.unit == "pp" else 1
    y = about.better * scale * runs[about.name].to_numpy(float)
    runs = runs.assign(y=y, fine=np.isfinite(y) & (runs["status"] == "ok").to_numpy())
    varied = [x for x in table.settings if runs[x].nunique(dropna=False) > 1]
    if not varied:
        lone = _scatter(scale * runs.loc[runs["fine"], about.name].to_numpy(float))
        return Overview(about, about.better, size.value, (), 0, scatter=lone)
    other = {x: [o for o in varied if o != x and not _belongs(runs, o, x)] for x in varied}
    cells = {x: _cells(runs[runs["fine"]], x, other[x], table, pair) for x in varied}
    note, words = "", {}
    if len(varied) > 1 and all(isinstance(one, str) for one in cells.values()):
        whole = with_points(runs, table)
        counts = whole.loc[whole["fine"], POINT].value_counts()
        kept = counts.index[counts >= MIN_SEEDS]
        if 2 <= len(kept) <= MOST_VALUES:
            note = (
                f"The settings {phrases.listed(list(varied))} vary together, so the points of the "
                "search are compared as they are; what each setting does by itself these runs "
                "cannot tell."
            )
            if len(kept) < len(set(whole[POINT])):
                note += f" {len(set(whole[POINT])) - len(kept)} points of fewer than {MIN_SEEDS} "
                note += "runs are left out."
            runs, left = whole[whole[POINT].isin(kept)], _left_points(left, points(table), kept)
            words = {f"#{i}": describe(one) for i, one in enumerate(points(table), start=1)}
            varied, other = [POINT], {POINT: []}
            cells = {POINT: _cells(runs[runs["fine"]], POINT, [], table, pair)}
    pairs = {x: _pairs(one, size.value) for x, one in cells.items() if isinstance(one, _Cells)}
    flat = [(x, key) for x, found in pairs.items() for key in found]
    adjusted: Any = intervals.holm([pairs[x][key][1] for x, key in flat])
    p = {name: float(value) for name, value in zip(flat, adjusted, strict=True)}
    comparisons = [
        dataclasses.replace(
            _comparison(x, cells[x], pairs.get(x, {}), p, runs, left),
            other=(one := _one_of(runs[runs["fine"]], cells[x], other[x])),
            note=_interaction(cells[x], x, other[x], one),
            words=words,
        )
        for x in varied
    ]
    turned = tuple(_turned(one, about.better) for one in comparisons)
    return Overview(about, about.better, size.value, turned, len(flat), note)


def _scatter(values: np.ndarray) -> Scatter:
    """Return how much the runs of one setting differ."""
    if len(values) < 2:
        raise HplabError(
            f"no setting differs between the runs, and {len(values)} with a result cannot tell how "
            "far luck moves it; name the settings that differ (settings=[...], in a shell "
            "--setting ...), or run more seeds"
        )
    mean, sd, df = intervals.mean_interval(values), values.std(ddof=1), len(values) - 1
    sd = 0.0 if np.ptp(values) <= intervals.ROUNDING * np.abs(values).max() else float(sd)
    low, high = (sd * math.sqrt(df / stats.chi2.ppf(q, df)) for q in (1 - ALPHA / 2, ALPHA / 2))
    return Scatter(mean, sd, float(low), float(high))


def _left_points(
    left: pd.DataFrame, every: Sequence[Mapping[str, Any]], kept: Sequence[str]
) -> pd.DataFrame:
    """Return runs that did not finish, with the point that each is of, of those that are kept."""
    parts = [matching(left, every[int(name[1:]) - 1]).assign(**{POINT: name}) for name in kept]
    return pd.concat(parts) if len(left) else left


def _interaction(cells: _Cells | str, x: str, others: Sequence[str], one: str) -> str:
    """Return that what a setting does differs by the others it is averaged over, "" if nothing
    shows that: their interaction surely has a part in the variance, or seems to have a large one.
    """
    if isinstance(cells, str) or cells.n_other < 2:
        return ""
    found = importance(cells.rows, "y", ["x", "o"])
    share = next((part.share for part in found.shares if len(part.names) == 2), None)
    if share is None or not (share.low > 0 or share.estimate >= LARGE):
        return ""
    by, many = phrases.listed(list(others)), len(others) > 1
    percent = f"{100 * share.estimate:.0f} % of the variance"
    if not math.isnan(share.low):
        percent += f" (95 % interval {100 * share.low:.0f} to {100 * share.high:.0f})"
    differs, hide = ("differs", "hide") if share.low > 0 else ("may differ", "would hide")
    return (
        f"What {x} does {differs} by {by}: their interaction has {percent}, and means over {by} "
        f"{hide} it. Compare at one value of {'each' if many else 'it'}, as in: where {one} "
        f'(in a shell --where "{one}").'
    )


def _one_of(runs: pd.DataFrame, cells: _Cells | str, others: Sequence[str]) -> str:
    """Return a combination of the other settings that was compared, as a question names it."""
    if isinstance(cells, str):
        return ""
    run = runs.iloc[int(cells.rows.index[0])]
    pairs = [(one_word(name), setting(run[name], name)) for name in others if pd.notna(run[name])]
    return ", ".join(f"{name}={value}" for name, value in pairs)


def _belongs(runs: pd.DataFrame, name: str, to: str) -> bool:
    """Return whether a setting is there for some values of another alone, with one value."""
    known = runs[runs[name].notna()]
    return len(known) < len(runs) and bool(
        known[name].nunique() == 1 and not set(known[to]) & set(runs[runs[name].isna()][to])
    )


def _cells(
    runs: pd.DataFrame, x: str, others: Sequence[str], table: RunTable, pair: bool | None
) -> _Cells | str:
    """Return the runs of a setting that can be compared, or why none can."""
    if runs[x].nunique(dropna=False) > MOST_VALUES:
        return (
            f"It has {runs[x].nunique(dropna=False)} values; name those to compare in a question."
        )
    code, values = pd.factorize(runs[x], use_na_sentinel=False)
    o = (
        runs.groupby(list(others), dropna=False, sort=False).ngroup().to_numpy()
        if others
        else np.zeros(len(runs), int)
    )
    rows = pd.DataFrame(
        {"x": code, "o": o, "seed": runs["seed"].to_numpy(), "y": runs["y"].to_numpy()}
    )
    count = rows.groupby(["x", "o"]).size()
    enough = count[count >= MIN_SEEDS].reset_index()
    if enough["x"].nunique() < 2:
        return (
            f"No two of its values were run {MIN_SEEDS} times or more with all other settings "
            "alike. A search finds a setting; to compare values, train the best few with several "
            "seeds each."
        )
    # The other settings that the most values share, and these values.
    groups = enough.groupby("o")["x"].agg(frozenset)
    most = groups.map(len).max()
    kept = groups[groups.map(len) == most].value_counts().index[0]
    if most < 2:
        return (
            f"No two of its values share all other settings ({phrases.listed(list(others))}) in "
            f"{MIN_SEEDS} runs or more; choose one of each (where ...)."
        )
    common = groups.index[groups.map(lambda one: kept <= one)]
    rows = rows[rows["x"].isin(kept) & rows["o"].isin(common)]
    paired, apart = pair is not False and table.seed is not None, ""
    if paired:
        if rows.duplicated(["x", "o", "seed", "y"]).any():
            return "Some rows are there twice, with settings, seed and result; drop the repeated."
        if not rows.duplicated(["x", "o", "seed"]).any():
            rows, apart = _shared(rows, len(kept) * len(common))
        else:  # it does not tell them apart
            apart = "a setting has several runs of one seed"
    elif pair:
        apart = "no column holds seeds to pair by; name it (seed=..., in a shell --seed ...)"
    paired = paired and not apart
    return _Cells([values[i] for i in sorted(kept)], rows, len(common), paired, apart)


def _shared(rows: pd.DataFrame, n_cells: int) -> tuple[pd.DataFrame, str]:
    """Return the rows of seeds that all cells have, if at least half of the seeds are such; else
    all rows, and why they cannot be paired.
    """
    seeds = rows["seed"].value_counts()
    shared = seeds.index[seeds == n_cells]
    if len(shared) >= MIN_SEEDS and 2 * len(shared) >= len(seeds):
        return rows[rows["seed"].isin(shared)], ""
    return rows, (
        f"{len(shared)} of {len(seeds)} seeds have a result everywhere, and pairing takes "
        f"{MIN_SEEDS} and at least half"
    )


def _pairs(cells: _Cells, margin: float) -> dict[tuple[int, int], tuple[Interval, float]]:
    """Return how far each value is ahead of each other, with the p value of "either is better"."""
    numbers = range(len(cells.values))
    each = _means(cells)
    found = {}
    for i, j in itertools.combinations(numbers, 2):
        if cells.paired:
            lead = each[i] - each[j]
            p = min(
                evidence.beyond(lead, margin=margin).p_for,
                evidence.beyond(-lead, margin=margin).p_for,
            )
            found[i, j] = (intervals.mean_interval(lead, level=1 - ALPHA), float(p))
        else:
            one = each[i].minus(each[j])
            p = min(one.beyond(margin).p_for, one.beyond(-margin).p_against)
            found[i, j] = (one.interval(1 - ALPHA), float(p))
    return found


def _means(cells: _Cells) -> list[Any]:
    """Return of each value its mean over the other settings: one number a seed, or a contrast."""
    codes = sorted(cells.rows["x"].unique())
    if cells.paired:
        wide = cells.rows.groupby(["x", "seed"])["y"].mean().unstack("seed")
        return [wide.loc[code].to_numpy() for code in codes]
    found = []
    for code in codes:
        rows = cells.rows[cells.rows["x"] == code]
        groups = [part.to_numpy() for _, part in rows.groupby("o")["y"]]
        found.append(contrast(groups, [1 / len(groups)] * len(groups)))
    return found


def _interval(mean: Any) -> Interval:
    if isinstance(mean, Contrast):
        return mean.interval(1 - ALPHA)
    return intervals.mean_interval(mean, level=1 - ALPHA)


def _comparison(
    x: str,
    cells: _Cells | str,
    pairs: Mapping[tuple[int, int], tuple[Interval, float]],
    p: Mapping[tuple[str, tuple[int, int]], float],
    runs: pd.DataFrame,
    left: pd.DataFrame,
) -> Comparison:
    """Return a setting's comparison, best first; numbers are such that more is better."""
    every = list(runs[x].drop_duplicates())
    lost = _lost(runs, left, x)
    if isinstance(cells, str):
        few = every if len(every) <= MOST_VALUES else []
        values = [Value(v, _count(runs, x, v), lost.get(_key(v), {})) for v in few]
        return Comparison(x, tuple(values), why=cells)
    means = [_interval(mean) for mean in _means(cells)]
    used = cells.rows.groupby("x").size().tolist()
    first = int(np.argmax([mean.estimate for mean in means]))
    top, found = cells.values[first], []
    for i in sorted(range(len(means)), key=lambda i: -means[i].estimate):
        value = cells.values[i]
        n, gone = _count(runs, x, value), lost.get(_key(value), {})
        if i == first:
            found.append(Value(value, n, gone, means[i], outcome=BEST, used=used[i]))
            continue
        pair = (min(i, first), max(i, first))
        behind = pairs[pair][0].scaled(1 if first < i else -1)
        small = p[x, pair]
        sure = small < ALPHA
        bad = next(filter(None, (_survivors(runs, x, v, lost) for v in (value, top))), "")
        outcome = BEHIND if sure and not bad else OPEN
        why = bad if sure else _flat(behind, means[i], cells)
        found.append(Value(value, n, gone, means[i], behind, small, outcome, why, used[i]))
    compared = {_key(value) for value in cells.values}
    for value in every:
        if _key(value) not in compared:
            why = f"fewer than {MIN_SEEDS} runs with the other settings of the rest"
            found.append(Value(value, _count(runs, x, value), lost.get(_key(value), {}), why=why))
    return Comparison(x, tuple(found), cells.paired, cells.n_other, apart=cells.apart)


def _flat(behind: Interval, mean: Interval, cells: _Cells) -> str:
    """Return why a difference says nothing though it is the same at every seed, "" if it does."""
    if behind.low != behind.high or behind.estimate == 0:
        return ""
    if mean.low == mean.high:
        return "the same at every seed: is the seed used?"
    n = behind.n
    return f"the same difference at all {n} seeds: without scatter {n} that agree are too few"


def _survivors(
    runs: pd.DataFrame, x: str, value: Any, lost: Mapping[Any, Mapping[str, int]]
) -> str:
    """Return why the runs of a value that are left do not speak for it, "" if they do."""
    n, gone = _count(runs, x, value), lost.get(_key(value), {})
    bad = sum(gone.get(state, 0) for state in ("diverged", "pruned", NO_RESULT))
    if bad <= MAX_DIVERGED * (n + bad):
        return ""
    said = ", ".join(f"{count} {state}" for state, count in gone.items())
    return (
        f"{n + sum(gone.values())} runs at {setting(value, x)}: {said}; with over "
        f"{100 * MAX_DIVERGED:g} % lost the others cannot speak for all"
    )


def _key(value: Any) -> Any:
    return None if pd.isna(value) else value


def _count(runs: pd.DataFrame, x: str, value: Any) -> int:
    rows = runs[x].isna() if pd.isna(value) else runs[x] == value
    return int((rows & runs["fine"]).sum())


def _lost(runs: pd.DataFrame, left: pd.DataFrame, x: str) -> dict[Any, dict[str, int]]:
    """Return by value of a setting what became of the runs that have no result."""
    gone = runs[~runs["fine"]]
    lacks = gone["y"].isna() & (gone["status"] == "ok")
    gone = gone.assign(state=np.where(lacks, NO_RESULT, "diverged"))
    together = pd.concat([gone[[x, "state"]], left[[x, "state"]]]) if len(left) else gone
    found: dict[Any, dict[str, int]] = {}
    for (value, state), n in together.groupby([x, "state"], dropna=False).size().items():
        found.setdefault(_key(value), {})[str(state)] = int(n)
    return found


def _turned(one: Comparison, way: int) -> Comparison:
    """Return a comparison with means as the metric has them."""
    values = tuple(
        dataclasses.replace(v, mean=v.mean.scaled(way) if v.mean else None) for v in one.values
    )
    return dataclasses.replace(one, values=values)
