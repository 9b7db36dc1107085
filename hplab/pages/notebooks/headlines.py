"""What stands under "In short": a measured number only with its interval and three seeds or more.

A study's first paragraph is what readers take away, so a number with less behind it has no place
there. The functions here return words that can go into it, and "" where there is too little to say
one; the study then says that the question is open. A report's own numbers stand there as what they
are, "one run each". `faults` finds what slipped through.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from hplab.analysis.claims.judging import MISSING
from hplab.analysis.claims.verdict import Verdict
from hplab.analysis.stats import intervals
from hplab.pages import labels
from hplab.pages.figures import cells

__all__ = [
    "MIN_SEEDS",
    "apart",
    "best",
    "difference",
    "failed",
    "mean",
    "of",
    "share",
    "sharpness",
    "side_by_side",
    "tells",
    "top",
]

MIN_SEEDS = 3
ONE_RUN = "one run each"  # what a report printed of single runs has no interval, and says so
_PARAGRAPH = re.compile(r"<p><strong>In short\.</strong>(.*?)</p>", re.DOTALL)
_GLUED = re.compile(r'<span class="pasted-text">(.*?)</span>', re.DOTALL)
_N = re.compile(r"\bn = (\d+)|\b(\d+) (?:complete )?seeds")


def of(verdict: Verdict) -> str:
    """Return why a verdict is what it is, or that its claim is open here.

    Args:
        verdict: A verdict of `hplab.claims`.

    Returns:
        A sentence.
    """
    if verdict.outcome == MISSING:
        return "No run of its length is recorded in this book yet, so that claim is open here."
    if verdict.interval is None or verdict.n < MIN_SEEDS:
        return "The runs recorded in this book so far do not decide that, so the claim is open."
    return verdict.reason


def mean(values: Iterable[float], metric: str) -> str:
    """Return a mean over seeds with its interval, "" for fewer than three.

    Args:
        values: One number a seed, in units of the table of runs.
        metric: The column they are of, which decides unit and digits.

    Returns:
        Words such as "98.73 % (95 % interval 98.60 to 98.86 %, n = 5 seeds)".
    """
    return _interval(metric, cells.mean_of(values))


def difference(runs: pd.DataFrame, column: str, first: object, second: object, y: str) -> str:
    """Return how far one setting is above another, seed by seed, "" for fewer than three seeds.

    Args:
        runs: One row a trial; each setting has at most one run a seed.
        column: What the two settings differ in.
        first: Its value in the one,
        second: and in the other.
        y: The metric; a difference of accuracies is in percentage points.

    Returns:
        Words with the difference, its interval and n.
    """
    gap = _gap(runs, column, first, second, y)
    if gap is None:
        return ""
    text = _interval("acc_gap" if y.endswith("_acc") else y, gap)
    return f"+{text}" if text and gap.estimate > 0 else text


def _gap(
    runs: pd.DataFrame, column: str, first: object, second: object, y: str
) -> intervals.Interval | None:
    """Return how far one setting is above another, seed by seed, in units of the table."""
    if runs.empty or column not in runs:
        return None
    arms = [
        runs.loc[cells.select(runs, column, level), ["seed", y]].set_index("seed")[y]
        for level in (first, second)
    ]
    return cells.mean_of((arms[0] - arms[1]).dropna())


def tells(runs: pd.DataFrame, column: str, first: object, second: object, y: str) -> bool:
    """Return whether the runs can tell: whether the 95 % interval of `difference` leaves 0 out.

    Args:
        runs: One row a trial; each setting has at most one run a seed.
        column: What the two settings differ in.
        first: Its value in the one,
        second: and in the other.
        y: The metric.

    Returns:
        False for fewer than three seeds as well.
    """
    gap = _gap(runs, column, first, second, y)
    return gap is not None and gap.n >= MIN_SEEDS and bool(gap.low > 0 or gap.high < 0)


def share(happened: Iterable[bool], noun: str = "seed") -> str:
    """Return how many of the seeds it happened to, with an exact interval (Clopper-Pearson).

    Args:
        happened: Whether it happened, one value a seed.
        noun: What they are, in the singular, where they are more than one run a seed.

    Returns:
        Words with the share, its interval and n.
    """
    cases = [bool(one) for one in happened]
    if len(cases) < MIN_SEEDS:
        return ""
    ends = binomtest(sum(cases), len(cases)).proportion_ci(method="exact")
    n = f"{sum(cases)} of {len(cases)} {noun}s"
    return f"{n} (95 % interval {100 * ends.low:.0f} to {100 * ends.high:.0f} %)"


def best(runs: pd.DataFrame, x: str, y: str) -> str:
    """Return which values of a hyperparameter cannot be told from the best, and which fail.

    Values are compared on the seeds that all of them have, seed by seed with the one whose mean is
    the best there (`gaps` says how far apart they are). Each interval is by itself; the best was
    picked on the same runs, so what is said to be worse is said a little too often.

    Args:
        runs: One row a trial.
        x: Column of the hyperparameter.
        y: Column of the metric.

    Returns:
        Words that begin with the values, "" for fewer than three such seeds.
    """
    wide = side_by_side(runs, x, y)
    if len(wide) < MIN_SEEDS or labels.better(y) == 0:
        return ""
    first, tops = top(wide, y)
    tried = list(wide)
    span = f"{labels.setting(tried[0], x)} to {labels.setting(tried[-1], x)}"
    side = "highest" if labels.better(y) > 0 else "lowest"
    said = f"{labels.setting(first, x)} has the {side} mean {labels.quantity(y)} of "
    said += f"{len(tried)} from {span}, {_interval(y, cells.mean_of(wide[first], y))}"
    if len(tops) > 1:
        who = f"the {labels.quantity(x)}s {labels.listed([labels.setting(v, x) for v in tops])}"
        return f"{who} cannot be told apart{_lost(wide, x, y)}. By the mean {said}."
    return f"{said}{_lost(wide, x, y)}."


def gaps(runs: pd.DataFrame, x: str, y: str) -> str:
    """Return how far each value that cannot be told from the best is from it, seed by seed.

    Args:
        runs: One row a trial.
        x: Column of the hyperparameter.
        y: Column of the metric.

    Returns:
        A sentence; "" where there is no such value, or fewer than three seeds that all have.
    """
    wide = side_by_side(runs, x, y)
    if len(wide) < MIN_SEEDS or labels.better(y) == 0:
        return ""
    first, tops = top(wide, y)
    others = [value for value in tops if value != first]
    told = [f"{apart(wide, value, first, y)} at {labels.setting(value, x)}" for value in others]
    start = f"Seed by seed the difference from {labels.setting(first, x)} is"
    return f"{start} {labels.listed(told)}." if told else ""


def _lost(wide: pd.DataFrame, x: str, y: str) -> str:
    """At which values how many seeds fail, as a clause; "" if none does."""
    told = [
        f"at {labels.setting(v, x)} {n} of {len(wide)} seeds" for v, n in failed(wide, y).items()
    ]
    return f", and {labels.listed(told, 9)} fail" if told else ""


def side_by_side(runs: pd.DataFrame, x: str, y: str) -> pd.DataFrame:
    """Return values of a metric as seeds by values of `x`, of the seeds that all of them have.

    Args:
        runs: One row a trial; a setting has at most one run a seed.
        x: Column of the hyperparameter, of numbers.
        y: Column of the metric.

    Returns:
        The table, empty where there is nothing.
    """
    if runs.empty or x not in runs or y not in runs:
        return pd.DataFrame()
    return runs.pivot_table(index="seed", columns=x, values=y, aggfunc="mean").dropna()


def top(wide: pd.DataFrame, y: str) -> tuple[Any, list[Any]]:
    """Return the value with the best mean, and those that cannot be told from it, itself included.

    Args:
        wide: What `side_by_side` returns, not empty.
        y: Its metric, which has a better side.

    Returns:
        The value, and the list of such values in their order.
    """
    means = wide.mean()
    first = means.idxmax() if labels.better(y) > 0 else means.idxmin()
    lost = failed(wide, y)
    near = [
        value
        for value in wide
        if value == first or (value not in lost and _open(wide[value] - wide[first]))
    ]
    return first, near


def failed(wide: pd.DataFrame, y: str) -> dict[Any, int]:
    """Return at which values seeds failed, and how many: they end below half of the best mean.

    Args:
        wide: As for `top`.
        y: Its metric; of what is no accuracy nothing is said to have failed.

    Returns:
        The number of failed seeds by value, without those at which none failed.
    """
    if labels.unit(y) != labels.PERCENT or wide.empty:
        return {}
    counts = (wide < wide.mean().max() / 2).sum()
    return {value: int(n) for value, n in counts.items() if n}


def apart(wide: pd.DataFrame, first: object, second: object, y: str) -> str:
    """Return how far one value is above another, seed by seed, "" for fewer than three seeds.

    Args:
        wide: As for `top`.
        first: A column of it,
        second: and another.
        y: Its metric.

    Returns:
        Words with the mean difference, its interval and n.
    """
    text = _interval(
        "acc_gap" if y.endswith("_acc") else y, cells.mean_of(wide[first] - wide[second])
    )
    return text if not text or text[0] == labels.MINUS else f"+{text}"


def _open(differences: pd.Series) -> bool:
    gap = cells.mean_of(differences)
    return bool(gap.low <= 0 <= gap.high)


def sharpness(runs: pd.DataFrame, lrs: Sequence[float], optimizer: str = "sgd") -> str:
    """Return training loss and sharpness at some learning rates as words, for a sentence.

    Args:
        runs: Trials with the measure "sharpness", one row a trial.
        lrs: Learning rates to name.
        optimizer: Whose runs are meant.

    Returns:
        The words, "not recorded yet" where there are no such runs.
    """
    parts = []
    for lr in lrs:
        rows = runs[(runs["optimizer"] == optimizer) & (runs["lr"] == lr)]
        if len(rows) and "sharpness" in rows:
            loss, rise = rows["train_loss"].mean(), rows["sharpness"].mean()
            parts.append(f"{rise:.2g} at a training loss of {loss:.2f} (rate {labels.power(lr)})")
    return labels.listed(parts) if parts else "not recorded yet"


def _interval(metric: str, cell: intervals.Interval | pd.Series) -> str:
    return labels.interval(metric, cell) if cell.n >= MIN_SEEDS and np.isfinite(cell.low) else ""


# ------------------------------------------------------------------------- what slipped through


def faults(text: str) -> list[str]:
    """Return what is wrong with a value glued into a headline: digits without interval or seeds."""
    plain = " ".join(html.unescape(re.sub(r"<[^>]+>", "", text)).split())
    if not re.search(r"\d", plain) or (ONE_RUN in plain and "interval" not in plain):
        return []
    short = plain if len(plain) <= 60 else f"{plain[:60]}…"
    found = [] if "interval" in plain else [f"a number without interval under In short: {short}"]
    seeds = [int(n or m) for n, m in _N.findall(plain)]
    if not seeds or min(seeds) < MIN_SEEDS:
        found.append(f"a number without three seeds under In short: {short}")
    return found


def in_page(page: str) -> list[str]:
    """Return the faults of a built page's headline."""
    glued = [text for part in _PARAGRAPH.findall(page) for text in _GLUED.findall(part)]
    return [fault for text in glued for fault in faults(text)]
