"""Which hyperparameter a metric hangs on: shares of its variance, and how much of it is luck."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure as Canvas

from hplab.analysis import importance as shares
from hplab.analysis.importance import ANOVA, Importance
from hplab.analysis.stats.intervals import Interval
from hplab.pages import labels
from hplab.pages.figures import captions, cells, svg
from hplab.pages.figures.figure import Figure, Html, note, nothing_recorded

MOST_ROWS = 12  # shares that are drawn; the table behind the figure has all
ROW_IN = 0.34
LOOKS = {  # colour, marker, and whether it is filled
    "alone": (svg.SERIES[0], "o", True),
    "together": (svg.SERIES[2], "D", True),
    "luck": (svg.MUTED, "s", False),
}
LUCK, LUCK_AND_ALL = "luck of the seed", "luck, and all of them together"


def importance(runs: pd.DataFrame, y: str = "val_acc") -> Figure | Html:
    """Draw which share of a metric's variance comes from which hyperparameter, with intervals.

    Where every combination of values was run, the shares are exact (analysis of variance): what
    each hyperparameter does by itself, what pairs do beyond that, and the luck of the seed. Where
    not, as in a random search, a random forest stands in for what was not run, and a share counts a
    hyperparameter's interactions too. Of too few runs it says that they are.

    Args:
        runs: One row a run.
        y: Column of the metric.

    Returns:
        The figure, which shows itself in a notebook and has `save`; a note where it cannot be said.

    Raises:
        HplabError: If there is no such column.
    """
    if runs.empty:
        return nothing_recorded()
    cells.require(runs, y, what="plots.importance")
    return of(shares.importance(runs, y, cells.mixed(runs, [])), runs)


def of(found: Importance, runs: pd.DataFrame) -> Figure | Html:
    """Draw the importance that was found on a table of runs."""
    y = found.metric
    if found.why:
        return note(f"Too few runs to say what {labels.quantity(y)} hangs on: {found.why}.")
    table = _table(found)
    drawn = table.head(MOST_ROWS)
    drawn = pd.concat([drawn, table[MOST_ROWS:].query("kind == 'luck'")], ignore_index=True)

    def draw(fig: Canvas) -> None:
        ax = fig.add_subplot()
        for at, row in enumerate(drawn.itertuples()):
            colour, marker, is_filled = LOOKS[str(row.kind)]
            ax.plot([row.low, row.high], [at, at], color=colour, lw=2)
            face = colour if is_filled else svg.PAPER
            ax.plot(row.share, at, marker, color=colour, mfc=face, mew=1.6, ms=8)
        ax.set_yticks(range(len(drawn)), [labels.shortened(name, 36) for name in drawn["what"]])
        ax.set_ylim(len(drawn) - 0.5, -0.5)
        ax.tick_params(axis="y", length=0)
        ax.set_xlim(-2, 102)
        ax.set_xlabel("share of the variance (%)")

    return Figure(
        draw,
        caption=captions.full(_clauses(found, y), lost=0, total=len(runs), runs=runs),
        alt=_alt(table, y),
        data=table,
        shown=_shown(table),
        height=1.0 + ROW_IN * len(drawn),
    )


def _table(found: Importance) -> pd.DataFrame:
    """One row a share, the largest first, in percent; luck is the last."""
    rows: list[dict[str, Any]] = []
    for one in found.shares:
        what = f" {labels.TIMES} ".join(map(labels.quantity, one.names))
        kind = "alone" if len(one.names) == 1 else "together"
        rows.append({"what": what or "three or more together", "kind": kind, **_ends(one.share)})
    if found.luck is not None:
        what = LUCK_AND_ALL if found.pooled else LUCK
        rows.append({"what": what, "kind": "luck", **_ends(found.luck)})
    return pd.DataFrame(rows)


def _ends(share: Interval) -> dict[str, float]:
    return {
        "share": 100 * share.estimate,
        "low": 100 * share.low,
        "high": 100 * share.high,
    }


def _shown(table: pd.DataFrame) -> pd.DataFrame:
    columns = {"share (%)": "share", "95 % from": "low", "to": "high"}
    rounded = {title: [f"{value:.1f}" for value in table[name]] for title, name in columns.items()}
    return pd.DataFrame({"what": table["what"], **rounded})


def _clauses(found: Importance, y: str) -> list[str]:
    runs = f"{labels.count(found.n_runs, 'run')} of {labels.count(found.n_settings, 'setting')}"
    lead = f"share of the variance of {labels.quantity(y)} by hyperparameter, with 95 % intervals"
    first = _table(found).iloc[0]
    lead += f": that of {first['what']} is {first['share']:.0f} % "
    lead += f"({first['low']:.0f} to {first['high']:.0f} %)"
    if found.method == ANOVA:
        clauses = [lead, f"exact, from a full grid: {runs}"]
        if any(len(one.names) != 1 for one in found.shares):
            clauses.append("diamonds are what two do together beyond what each does")
        if found.pooled:
            clauses.append(
                "each setting was run once, so luck and interaction cannot be told apart"
            )
    else:
        clauses = [
            lead,
            "estimated: what a random forest loses on settings it has not seen when the values "
            f"are shuffled; it predicts {100 * (found.explained or 0):.0f} % of their variance, "
            "and what it does not see is in no share",
            "each share counts what a hyperparameter does together with others",
            f"n = {runs}",
        ]
    if found.luck is None:
        clauses.append("each setting was run once, so how much is luck is not known")
    for name, others in found.alike.items():
        also = labels.listed([labels.quantity(other) for other in others])
        goes = "goes" if len(others) == 1 else "go"
        clauses.append(f"{also} {goes} with {labels.quantity(name)}, whose share is theirs too")
    if found.n_censored:
        left = labels.count(found.n_censored, "setting")
        clauses.append(f"{left} of which a run was stopped are left out")
    return clauses


def _alt(table: pd.DataFrame, y: str) -> str:
    told = [f"{row.what} {row.share:.0f} %" for row in table.head(6).itertuples()]
    return f"Shares of the variance of {labels.quantity(y)}: {labels.listed(told)}"
