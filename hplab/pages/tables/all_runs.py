"""What the page of all runs shows: an explorer; without scripts, a table and a figure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pandas as pd

from hplab.pages import labels
from hplab.pages.figures import axis, explorer, explorer_data
from hplab.pages.figures.figure import Html, nothing_recorded
from hplab.pages.figures.figure import table as html_table
from hplab.pages.tables import markdown
from hplab.sweeps import store as stores
from hplab.sweeps import table
from hplab.sweeps.records import Record
from hplab.trial import TASK, TASK_VERSION, Trial

PLACES = 12  # of a curve; with these a page of 2,000 runs stays below a megabyte
FIRST = "mnist"  # the data set that the explorer shows at first, if it is recorded


def every_run(store: stores.Store) -> tuple[pd.DataFrame, list[Record]]:
    """Return table and records of all runs of hplab's own components, on this version of the task.

    The same photos may decode differently on another machine; of each data set the version with
    the most records is kept, because runs on two versions are no repeats of each other.
    """
    records = [
        record
        for record in store.records()
        if (record["task"], record["task_version"]) == (TASK, TASK_VERSION)
        and "code" not in record["config"]
    ]
    seen = Counter((record["config"]["data"], record["data"]) for record in records)
    main = {name: digest for (name, digest), _ in reversed(seen.most_common())}
    records = [record for record in records if main[record["config"]["data"]] == record["data"]]
    trials = [Trial.from_config(record["config"], record["seed"]) for record in records]
    runs = table.of_trials(trials, trials, [*records], "", n_new=0) if trials else pd.DataFrame()
    return runs, records


def counts(runs: pd.DataFrame) -> pd.DataFrame:
    """Return a row a data set: runs, settings, most seeds of one, best mean accuracy."""
    settings = explorer_data.setting_columns(runs)
    rows = []
    for name, part in runs.groupby("data"):
        cells = part.groupby(settings, dropna=False)["val_acc"]
        best = cells.mean().max()
        row = {"data set": str(name), "runs": len(part), "settings": cells.ngroups}
        row["seeds of a setting"] = labels.span(cells.size())
        rows.append({**row, "best mean accuracy": labels.number("val_acc", best)})
    return pd.DataFrame(rows)


def shown(store: stores.Store | None = None) -> Html:
    """Return the explorer of all records."""
    runs, records = every_run(store or stores.default_store())
    if runs.empty:
        return nothing_recorded("no run is recorded")
    still = html_table(counts(runs), "What is recorded")
    first = runs[runs["data"] == FIRST] if FIRST in set(runs["data"]) else runs
    figure = axis.axis(first, "lr", "val_acc", log=True, seeds=True)
    others = sorted({*runs["data"]} - {*first["data"]})
    start = {"x": "lr", "y": "val_acc", "seeds": "0"}
    start |= {"not.data": "|".join(others)} if others else {}
    data = explorer_data.of_records(runs, records, places=PLACES, start=start, title="All runs")
    return Html(explorer_data.embedded(data, explorer.NAME, still + figure.html), repr(figure))


def tables(store: Any = None) -> dict[str, Callable[[], str]]:
    """Return this page's tables by the names it asks for."""
    return {"all-runs": lambda: markdown.raw(shown(store).html)}
