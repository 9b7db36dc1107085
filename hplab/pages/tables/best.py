"""The best settings of a table of runs: means over seeds with intervals, and which is surely worse.

Settings are ranked, not runs, and one of a single run never stands above one of several: the best
of many single runs is mostly lucky.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from hplab.analysis.stats import intervals
from hplab.pages import labels
from hplab.pages.figures import captions, cells, explorer_data

ALPHA = 0.05
MOST_ROWS = 20
WHOLE, LOST, SINGLE, NONE = range(4)  # the order in which kinds of settings stand
SURE, OPEN = "surely worse", "open"
NO_RESULT = "no result (NaN)"  # what became of a run that ended well, and whose metric is no number


class Best(NamedTuple):
    """The settings of a table, the best first.

    Attributes:
        sentence: What was found.
        table: One row a setting, as `cells.by_setting` gives it, with "kind" (`WHOLE`: two runs or
            more, all with a result; `LOST`: some diverged or have none; `SINGLE`: one run; `NONE`:
            no mean) and "p", that it is no worse than the first, corrected for all pairs.
        shown: The first of them as readers see them.
    """

    sentence: str
    table: pd.DataFrame
    shown: pd.DataFrame


def best(runs: pd.DataFrame, y: str, better: int) -> Best:
    """Rank the settings of a table of runs.

    The first is compared with each other one, seed by seed where all were run with the same seeds.
    Which is the first is seen on the same runs, so p values are corrected for all pairs
    (Bonferroni). Without any scatter nothing tells how far luck moves a result, so nothing is sure.

    Args:
        runs: One row a run.
        y: The metric.
        better: 1 if more of it is better, -1 if less is.
    """
    table = cells.by_setting(runs, y)
    names = explorer_data.varied_columns(runs)
    status = _status(runs)
    empty = [int((status[at] == NO_RESULT).sum()) for at in table["rows"]]
    lost = table["n_diverged"] + empty
    table["kind"] = [_kind(*row) for row in zip(table["n"], lost, table["mean"], strict=True)]
    table["order"] = -better * table["mean"]
    table = table.sort_values(["kind", "order"], kind="stable", ignore_index=True)
    table = table.drop(columns="order")
    table["p"] = _p_values(runs, table, y, better)
    return Best(
        _sentence(table, names, y, better, status),
        table,
        _shown(runs, table.head(MOST_ROWS), names, y),
    )


def _status(runs: pd.DataFrame) -> np.ndarray:
    return runs["status"].to_numpy() if "status" in runs else np.full(len(runs), "ok")


def _kind(n: int, n_lost: int, mean: float) -> int:
    if not math.isfinite(mean):
        return NONE
    if n < 2:
        return SINGLE
    return LOST if n_lost else WHOLE


def _p_values(runs: pd.DataFrame, table: pd.DataFrame, y: str, better: int) -> np.ndarray:
    """Return for each whole setting but the first the corrected p value; NaN for others."""
    found = np.full(len(table), math.nan)
    whole = int((table["kind"] == WHOLE).sum())
    if whole < 2:
        return found
    rows = table["rows"][:whole]
    numbers = better * runs[y].to_numpy(float)
    values = [numbers[at][np.isfinite(numbers[at])] for at in rows]
    wide = _side_by_side(runs, rows, numbers)
    if wide is not None:
        p = np.asarray(intervals.mean_interval(wide[0] - wide[1:]).p)
        p = np.where(_is_flat(wide[0] - wide[1:], wide), 1.0, p)
    else:
        mean, sd = (np.array([f(v) for v in values]) for f in (np.mean, lambda v: v.std(ddof=1)))
        n = np.array([len(v) for v in values])
        with np.errstate(divide="ignore", invalid="ignore"):
            arms = (mean[0], sd[0], n[0]), (mean[1:], sd[1:], n[1:])
            p = stats.ttest_ind_from_stats(*arms[0], *arms[1], equal_var=False).pvalue
        tiny = 1e-12 * np.abs(mean).max()
        p = np.where((sd[0] <= tiny) & (sd[1:] <= tiny), 1.0, p)
    found[1:whole] = np.minimum(1.0, p * whole * (whole - 1) / 2)
    return found


def _is_flat(differences: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return of each row whether the differences are the same at every seed, but for rounding."""
    return np.ptp(differences, axis=1) <= 1e-12 * np.abs(values).max()


def _side_by_side(runs: pd.DataFrame, rows: pd.Series, numbers: np.ndarray) -> np.ndarray | None:
    """Return values as settings by seeds, if all were run with the same ones, once each."""
    if "seed" not in runs:
        return None
    seeds = runs["seed"].to_numpy()
    found = [dict(zip(seeds[at], numbers[at], strict=True)) for at in rows]
    first = set(found[0])
    if any(set(one) != first or len(at) != len(one) for one, at in zip(found, rows, strict=True)):
        return None
    wide = np.array([[one[seed] for seed in first] for one in found])
    return wide if np.isfinite(wide).all() else None


def _sentence(
    table: pd.DataFrame, names: list[str], y: str, better: int, status: np.ndarray
) -> str:
    n, top = len(table), table.iloc[0]
    if top["kind"] == NONE:
        return "No setting has a mean: of each, runs diverged, were stopped or gave no result."
    place = captions.at(top, names) if names else "the one setting"
    if top["kind"] == SINGLE:
        return (
            f"Each of the {n} settings was run once, so none is called the best: the highest or "
            "lowest of many single runs is there by luck as well. Run the first few with several "
            "seeds each, then compare."
        )
    said = f"The best mean is {labels.interval(y, top)}, at {place}{_gone(top, status)}."
    ahead = table[(table["kind"] == LOST) & (better * (table["mean"] - top["mean"]) > 0)]
    if top["kind"] == WHOLE and len(ahead):
        one = ahead.iloc[0]
        said += f" The mean at {captions.at(one, names)} is better, {labels.interval(y, one)}, but"
        said += f" it is not called the best{_gone(one, status)}."
    compared = int((table["kind"] == WHOLE).sum()) - 1
    if compared > 0:
        said += _worse(compared, int((table["p"] < ALPHA).sum()))
        if (flat := _n_flat(table)) > 1:
            said += f" {flat} settings have the same result at every seed, so nothing tells how "
            said += "far luck moves it. Is the seed used?"
    others = n - 1 - max(compared, 0)
    if others:
        said += (
            f" {labels.count(others, 'setting')} cannot be compared: run once, or with runs that"
        )
        said += " diverged, failed, gave no result or were stopped early."
    if table["n_stopped"].any():
        said += " To compare settings of which runs were stopped, run the best few to their end: no"
        said += " early_terminate, several seeds."
    return said


def _worse(n: int, sure: int) -> str:
    """Return how many of `n` other settings are surely worse than the best, and what is open."""
    others, how = labels.count(n, "other setting"), f"(p < {ALPHA:g}, corrected for all pairs)"
    if not sure:
        one = "the one other setting is not" if n == 1 else f"none of the {others} is"
        return f" But {one} surely worse {how}: these runs do not tell which is best."
    said = f" Of {others} {sure} {'is' if sure == 1 else 'are'} surely worse {how}"
    if rest := n - sure:
        who = "the other one is" if rest == 1 else f"the other {rest} are"
        said += f"; whether {who} worse, these runs do not tell"
    return f"{said}."


def _gone(row: pd.Series, status: np.ndarray) -> str:
    """Return what became of the runs of a setting that have no result; "" if all have one."""
    lost = Counter(word for word in status[row["rows"]].tolist() if word != "ok")
    words = {NO_RESULT: f"gave {NO_RESULT}", "stopped": "stopped early"}
    said = ", ".join(f"{k} {words.get(word, word)}" for word, k in lost.items())
    return f"; of its {len(row['rows'])} runs {said}" if lost else ""


def _n_flat(table: pd.DataFrame) -> int:
    """Return how many settings of several runs have one and the same result."""
    return int(((table["kind"] == WHOLE) & (table["low"] == table["high"])).sum())


def _shown(runs: pd.DataFrame, table: pd.DataFrame, names: list[str], y: str) -> pd.DataFrame:
    half = (table["high"] - table["low"]) / 2
    columns = {labels.quantity(x): [labels.setting(v, x) for v in table[x]] for x in names}
    columns[labels.heading(y)] = [
        captions.plain(y, mean, h) for mean, h in zip(table["mean"], half, strict=True)
    ]
    ends = [
        [captions.plain(y, value, h) for value, h in zip(table[end], half, strict=True)]
        for end in ("low", "high")
    ]
    columns["95 % interval"] = [
        f"{low}\u00a0to\u00a0{high}" if low else "" for low, high in zip(*ends, strict=True)
    ]
    status = _status(runs)
    counted = zip(table["rows"], table["n"], strict=True)
    columns["runs"] = [_counted(status[at].tolist(), n) for at, n in counted]
    columns["beside the first"] = [_word(i, p) for i, p in enumerate(table["p"])]
    if not any(columns["beside the first"]):
        del columns["beside the first"]
    return pd.DataFrame(columns)


def _counted(status: Sequence[str], n: int) -> str:
    """Return how many runs of a setting finished, and what became of the others."""
    lost = Counter(word for word in status if word != "ok")
    if "stopped" in lost:  # its mean is left out, and with it the count
        n = len(status) - lost.total()
    words = {"stopped": "stopped early"}
    said = ", ".join(f"{k} {words.get(word, word)}" for word, k in lost.items())
    return f"{n} (and {said})" if said else str(n)


def _word(i: int, p: float) -> str:
    if math.isnan(p):
        return ""
    return SURE if p < ALPHA else OPEN
