"""A page of its own about a sweep, or any table of runs: what `hplab report` writes.

The best settings, what matters, panels to look through all runs (the explorer), and the runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from hplab.analysis import importance as shares
from hplab.analysis.importance import Importance
from hplab.analysis.judge.resolve import Metric, metric_of
from hplab.errors import HplabError
from hplab.pages import labels, plots
from hplab.pages.figures import cells, explorer_data, ranking
from hplab.pages.figures import importance as drawn
from hplab.pages.site import alone
from hplab.pages.tables import best as ranked
from hplab.pages.tables import judged
from hplab.sweeps import series
from hplab.sweeps.foreign import RunTable

NAME = "panels"  # the id of the explorer, and the beginning of its links
MOST_NUMBERS = 100_000  # of all curves, so that 5,000 runs stay under 3 MB
FEWEST_PLACES = 10  # of a curve
MOST_AXES = 6  # of parallel coordinates, at first
FOR = (
    "This page is for looking through runs and finding good settings. For whether one setting "
    "beats another, and by how much, there is the page of hplab judge --html."
)
_STYLE = "<style>.hp-x { max-width: none }</style>"


class Report(NamedTuple):
    """A page and what it says in short.

    Attributes:
        html: The page.
        text: The sentences at its head.
    """

    html: str
    text: str


def report(
    name: str, table: RunTable, *, metric: str = "", better: int = 0, log: Sequence[str] = ()
) -> Report:
    """Return the page about a table of runs.

    Args:
        name: What the table is called, such as the name of its file.
        table: The runs.
        metric: The metric that counts; the first if it is not said.
        better: 1 or -1, for a metric whose name does not say which side is better.
        log: Settings that belong on a logarithmic axis, beside those that look so.

    Raises:
        HplabError: If there is no such metric.
    """
    about = metric_of(table, metric, better)
    runs = panel_runs(table, about.name)
    if about.name not in runs:
        raise HplabError(f"{about.name!r} is no result of the runs, but measured along them")
    found = shares.importance(runs, about.name, cells.mixed(runs, []))
    text, markup = _best(runs, about)
    matters = drawn.of(found, runs)
    body = (
        f"{alone.paragraphs(judged.columns(table))}{alone.paragraphs(FOR)}"
        f"<h2>The best settings</h2>{markup}"
        f"<h2>What matters</h2>{matters.html}"
        f"<h2>Panels</h2>{_panels(name, table, runs, about, found, log)}"
        f"<h2>The runs</h2>{alone.data(table, about=about.name)}"
    )
    page = explorer_data.with_script(alone.page(f"Runs of {name}", _STYLE + body))
    return Report(page, f"{text}\n{_said(found, about)}")


def write(path: Path, name: str, table: RunTable, **asked: Any) -> Report:
    """Write the page about a table of runs; return what it says.

    Args:
        path: The file to write.
        name: What the table is called.
        table: The runs.
        asked: What else `report` takes.

    Raises:
        HplabError: As `report`, or if the file cannot be written.
    """
    found = report(name, table, **asked)
    alone.write(path, found.html)
    return found


def panel_runs(table: RunTable, metric: str = "") -> pd.DataFrame:
    """Return all runs, those that did not finish without results: no panel averages them; the
    status of those that finished without a number for the metric says so.
    """
    runs = alone.with_lacking(alone.runs_of(table), metric).drop(columns="row")
    runs["status"] = runs["status"].replace("pruned", "stopped")
    fine = runs["status"].isin(["ok", "diverged"])
    runs[list(table.metrics)] = runs[list(table.metrics)].where(fine)
    if table.seed is None:  # its place is none
        runs = runs.drop(columns="seed")
    return runs


def _best(runs: pd.DataFrame, about: Metric) -> tuple[str, str]:
    """Return the sentence and the markup about the best settings."""
    if not about.better:
        text = (
            f"The name of {about.name} does not say whether more of it is better, so settings are "
            "not ranked; say it: --better higher, or lower."
        )
        return text, alone.paragraphs(text)
    found = ranked.best(runs, about.name, about.better)
    side = "more" if about.better > 0 else "less"
    text = f"Of {about.name}, {side} is better. {found.sentence}"
    n, most = len(found.table), ranked.MOST_ROWS
    note = f"The first {most} of {n} settings" if n > most else f"All {n} settings"
    names = explorer_data.varied_columns(runs)
    figure = ranking.of(found.table, names, about.name, alpha=ranked.ALPHA).html
    return text, alone.paragraphs(text) + figure + alone.in_rows(found.shown, note)


def _said(found: Importance, about: Metric) -> str:
    if found.why:
        return f"Too few runs to say what {labels.quantity(about.name)} hangs on: {found.why}."
    parts = [
        f"{' x '.join(one.names) or 'three or more together'} {_percent(one.share)}"
        for one in found.shares[:3]
    ]
    luck = "" if found.luck is None else f"; luck of the seed {_percent(found.luck)}"
    return f"Share of the variance of {about.name}: {', '.join(parts)}{luck}."


def _percent(share: Any) -> str:
    ends = " to ".join(f"{100 * end:.0f}" for end in (share.low, share.high))
    return f"{100 * share.estimate:.0f} % ({ends})"


# ------------------------------------------------------------------------------------- panels


def _panels(
    name: str,
    table: RunTable,
    runs: pd.DataFrame,
    about: Metric,
    found: Importance,
    log: Sequence[str],
) -> str:
    """Return the explorer, with a figure for who has no scripts."""
    varied = explorer_data.varied_columns(runs)
    if not varied:
        return alone.paragraphs("No setting differs between the runs, so there is nothing to draw.")
    mains = [one.names[0] for one in found.shares if len(one.names) == 1]
    first, *rest = dict.fromkeys([*mains, *varied])  # what matters most
    start = {"view": "parallel" if rest else "points", "x": first, "y": about.name, "seeds": "0"}
    start["axes"] = "|".join([first, *rest[: MOST_AXES - 1], about.name])
    curves, x_name, n_series = _curves(table, runs, about.name)
    places = min(explorer_data.PLACES, MOST_NUMBERS // (len(runs) * n_series))
    data = explorer_data.of_table(
        runs,
        curves=curves,
        x_name=x_name,
        title=f"Panels of {name}",
        start=start,
        places=max(FEWEST_PLACES, places),
    )
    for column in data["columns"]:
        if column["name"] == about.name and about.better:
            column["better"] = about.better
        if column["name"] in log:
            column["log"] = True
    if rest:
        axes = [first, *rest[: MOST_AXES - 1]]
        still = plots.parallel(runs, about.name, x=axes, log=log).html
    else:
        still = plots.scatter(runs, first, about.name, log=True if first in log else None).html
    return explorer_data.embedded(data, NAME, still)


def _curves(
    table: RunTable, runs: pd.DataFrame, metric: str
) -> tuple[Sequence[Mapping[str, list[float]] | None], str, int]:
    """Return for each run its curves, from the table or from the records here, what they are along
    and how many there are; of many runs only the first few, that of the metric before others.
    """
    long, place = table.curves, table.place
    if long is None:
        try:
            has_record = runs["status"].isin(["ok", "diverged", "stopped"])
            long, place = series.curves(runs[has_record]), "epoch"
        except HplabError:  # recorded elsewhere, or without curves
            return [], "epoch", 1
    wanted = [name for name in explorer_data.SERIES if name in long] if table.own else []
    wanted = wanted or [n for n in long if n in table.metrics and long[n].notna().any()]
    wanted = sorted(wanted, key=lambda name: name != metric)
    wanted = wanted[: max(1, MOST_NUMBERS // (FEWEST_PLACES * len(runs)))]
    parts = {
        key: {place: part["epoch"].tolist()} | {n: part[n].astype(float).tolist() for n in wanted}
        for key, part in long.groupby("key", sort=False)
    }
    return [parts.get(key) for key in runs["key"]], place, max(1, len(wanted))
