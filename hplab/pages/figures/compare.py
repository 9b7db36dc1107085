"""A published single number beside our many runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from hplab.analysis.claims import ledger
from hplab.analysis.stats import bounded, intervals
from hplab.pages import labels
from hplab.pages.figures import captions, cells, marks, scales, svg
from hplab.pages.figures.figure import Figure, Html, nothing_recorded
from hplab.trial import HplabError, unknown

ROW_IN = 0.82  # height of a row, inches
WIDE_PP = 30  # a band of accuracies wider than this holds most of what a run could give


def compare(
    published: str | Mapping[Any, Any] | pd.DataFrame,
    runs: pd.DataFrame,
    y: str | Sequence[str] = "val_acc",
    *,
    by: str = "lr",
    where: Mapping[str, Any] | None = None,
) -> Figure | Html:
    """Draw published numbers as diamonds beside our runs, a row for each value of `by`.

    A report gives one run. The question it can answer is whether that run could be one of ours, so
    each row has, behind our mean and its 95 % interval, the 95 % prediction interval for one new
    run. Where none of ours is recorded the diamonds stand alone, and the caption says so.

    Args:
        published: What was published, in units of the table (accuracies as shares): the number of a
            report in the ledger of claims; a mapping from a value of `by` to a number, or to a
            mapping of metrics; or a table with a column `by` and one a metric. What is nan was not
            published.
        runs: One row a trial.
        y: Column of the metric; several columns make a panel each.
        by: Column that tells the rows apart.
        where: Which of a report's published runs are meant: values of their other columns.

    Returns:
        The figure, which shows itself in a notebook and has `save`; a note where `runs` is empty.

    Raises:
        HplabError: If a column or report is missing, a published accuracy is no share, two runs
            were published for one value of `by`, no value of `by` is both published and run, or
            the runs of a row differ in more than their seed.
    """
    metrics = [y] if isinstance(y, str) else list(y)
    if len(runs):
        cells.require(runs, by, *metrics, what="plots.compare")
    differs = ""
    if isinstance(published, str):
        report = _report(published)
        differs = _differs(report.setting, runs)
        published = _those(pd.DataFrame(report.published), where or {})
    theirs = _published(published, metrics, by)
    table = _joined(theirs, runs, metrics, by) if len(runs) else _alone(theirs)
    if table.empty:
        return nothing_recorded()
    others = cells.mixed(runs[runs[by].isin(table[by])], [by]) if len(runs) else []
    if others:
        raise HplabError(f"plots.compare: {captions.also(others)}; keep one value of it")
    order = cells.levels(table[by])

    def draw(fig: Canvas) -> None:
        axs = np.atleast_1d(fig.subplots(1, len(metrics), sharey=True))
        for ax, metric in zip(axs, metrics, strict=True):
            _panel(ax, table[table["metric"] == metric], metric, by, order)
            ax.set_xlabel(labels.label(metric, labels.loss(runs)))
        axs[0].set_yticks(range(len(order)), [labels.setting(level) for level in order])
        axs[0].set_ylim(-0.6, len(order) - 0.4)
        axs[0].set_ylabel(labels.quantity(by))
        marks.legend(fig, "", _keys(bool(table["low"].notna().any()), ours_too=len(runs) > 0))

    return Figure(
        draw,
        caption=_caption(table, runs, metrics, by, differs),
        alt=_alt(table, by),
        data=table,
        shown=_shown(table, by, labels.loss(runs)),
        height=max(2.6, 1.5 + ROW_IN * len(order)),
    )


def _report(number: str) -> ledger.Report:
    reports = {claim.report.id: claim.report for claim in ledger.load()}
    if number not in reports:
        raise unknown("report", number, reports, "the ledger of claims")
    return reports[number]


def _those(published: pd.DataFrame, where: Mapping[str, Any]) -> pd.DataFrame:
    """The published runs with these values."""
    cells.require(published, *where, what="plots.compare (where)")
    for name, value in where.items():
        published = published[published[name] == value]
    return published


def _differs(setting: Mapping[str, Any], runs: pd.DataFrame) -> str:
    """What the runs do not share with the report's setting, in words; "" if nothing."""
    found = []
    for name, theirs in setting.items():
        ours = [] if name not in runs else [v for v in runs[name].unique() if not pd.isna(v)]
        if ours and ours != [theirs]:
            values = labels.listed([labels.setting(value, name) for value in ours])
            told = labels.setting(theirs, name)
            found.append(f"{labels.quantity(name)} {values} instead of {told}")
    return labels.listed(found) if found else ""


def _published(published: Any, metrics: Sequence[str], by: str) -> pd.DataFrame:
    """The published numbers in long form: `by`, "metric", "published"."""
    if isinstance(published, pd.DataFrame):
        cells.require(published, by, *metrics, what="plots.compare (published)")
        if (twice := published[by].duplicated()).any():
            level = labels.setting(published.loc[twice, by].iloc[0])
            raise HplabError(
                f"plots.compare: more than one published run has {by} {level}; say with `where` "
                "which is meant"
            )
        found = {row[by]: row for row in published.to_dict("records")}
    else:
        found = {k: v if isinstance(v, Mapping) else {metrics[0]: v} for k, v in published.items()}
    rows = [
        {by: level, "metric": metric, "published": float(values[metric])}
        for level, values in found.items()
        for metric in metrics
        if metric in values and not pd.isna(values[metric])
    ]
    for row in rows:
        if labels.unit(row["metric"]) == labels.PERCENT and not 0 <= row["published"] <= 1:
            value = row["published"]
            raise HplabError(
                f"plots.compare: published {row['metric']} {value:g} is no share; give "
                f"{value / 100:g} for {value:g} %"
            )
    return pd.DataFrame(rows, columns=[by, "metric", "published"])


def _joined(
    published: pd.DataFrame, runs: pd.DataFrame, metrics: Sequence[str], by: str
) -> pd.DataFrame:
    rows = []
    for metric in metrics:
        ours = cells.cells(runs, metric, [by])
        theirs = published[published["metric"] == metric].to_dict("records")
        said = [row[by] for row in theirs]
        silent = [one for one in published[by].unique() if one not in said]  # of other metrics
        theirs += [{by: one, "metric": metric, "published": math.nan} for one in silent]
        for row in theirs:
            match = ours[cells.select(ours, by, row[by])]
            if len(match):
                cell = match.iloc[0].to_dict()
                ends = _one_new_run(cell["values"], metric)
                rows.append({**cell, **row, "new_low": ends[0], "new_high": ends[1]})
    if not rows:
        tested = labels.listed([labels.setting(level) for level in cells.levels(runs[by])], 12)
        raise HplabError(f"plots.compare: no published {by} was run; the table has {tested}")
    table = pd.DataFrame(rows)
    inside = (table["published"] >= table["new_low"]) & (table["published"] <= table["new_high"])
    return table.assign(inside=inside)


def _one_new_run(values: Sequence[float], y: str) -> tuple[float, float]:
    """The prediction interval for one new run, as far as `y` can be; NaN from fewer than two."""
    if len(values) < 2:
        return math.nan, math.nan
    new = bounded.within(intervals.prediction_interval(values), *labels.bounds(y, values))
    return new.low, new.high


def _alone(published: pd.DataFrame) -> pd.DataFrame:
    """The table of `_joined` for rows of which none of our runs is recorded."""
    unknown = dict.fromkeys(("mean", "low", "high", "new_low", "new_high"), math.nan)
    alone = published.assign(**unknown, n=0, n_diverged=0, inside=False)
    return alone.assign(values=[[] for _ in range(len(alone))])


def _panel(ax: Axes, table: pd.DataFrame, y: str, by: str, order: Sequence[Any]) -> None:
    factor, ours, theirs = labels.scale(y), marks.look(0), marks.look(1)
    for _, cell in table.iterrows():
        row = order.index(cell[by])
        low, high = cell["new_low"] * factor, cell["new_high"] * factor
        if math.isfinite(low):
            band = {"color": ours.colour, "alpha": 0.16, "lw": 0}
            ax.fill_between([low, high], row - 0.34, row + 0.34, **band)
        values = [value * factor for value in cell["values"]]
        dot = {"color": ours.colour, "ms": 5, "mec": "none", "alpha": 0.5}
        ax.plot(values, [row - 0.2] * len(values), "o", **dot)
        if math.isfinite(cell["low"]):
            ax.plot([cell["low"] * factor, cell["high"] * factor], [row] * 2, color=ours.colour)
        mean = {"color": ours.colour, "ms": 7, "mec": svg.PAPER, "mew": 1, "zorder": 4}
        ax.plot([cell["mean"] * factor], [row], "o", **mean)
        mark = {"color": theirs.colour, "ms": 9, "mec": svg.PAPER, "mew": 1, "zorder": 5}
        ax.plot([cell["published"] * factor], [row + 0.2], "D", **mark)
        if cell["n_diverged"]:
            text = f"\u00d7 {cell['n_diverged']} diverged"
            place = {"transform": ax.get_yaxis_transform(), "ha": "right", "fontsize": 11.5}
            ax.text(1, row + 0.3, text, **place)
    everything = [value for values in table["values"] for value in values]
    ends = [*table["published"], *table["new_low"], *table["new_high"]]
    ends = [value * factor for value in ends if math.isfinite(value)]
    limits = scales.frame([*(v * factor for v in everything), *ends], log=False)
    ax.set_xlim(*scales.sensible(limits, y))
    ax.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    ax.grid(False, axis="y")
    ax.tick_params(axis="y", length=0)


def _keys(with_intervals: bool, *, ours_too: bool) -> list[tuple[str, Any]]:
    ours, theirs = marks.look(0), marks.look(1)
    dot = Line2D([], [], color=ours.colour, marker="o", ls="none", ms=5, mec="none", alpha=0.5)
    mean = Line2D([], [], color=ours.colour, marker="o", lw=2, ms=7, mec=svg.PAPER)
    diamond = {"color": theirs.colour, "marker": "D", "ms": 9, "mec": svg.PAPER}
    keys = [("published", Line2D([], [], ls="none", **diamond))]
    if ours_too:
        keys += [("our runs", dot), ("our mean", mean)]
    if with_intervals:
        keys.append(("one new run", Patch(color=ours.colour, alpha=0.16, lw=0)))
    return keys


def _caption(
    table: pd.DataFrame, runs: pd.DataFrame, metrics: Sequence[str], by: str, differs: str
) -> str:
    what = labels.listed([labels.quantity(metric) for metric in metrics])
    first = table.iloc[0]
    if runs.empty:
        lead = f"published {what}: {labels.number(first['metric'], first['published'])} at "
        lead += captions.at(first, [by])
        alone = "one run of the report each; none of ours at its setting is recorded yet"
        return labels.sentence(f"{lead}; {alone}")
    told = table[table["published"].notna()]
    inside, known = int(told["inside"].sum()), int(told["new_low"].notna().sum())
    first = told.iloc[0]
    lead = (
        f"published {what} (diamonds) beside our runs: "
        f"{labels.number(first['metric'], first['published'])} published against "
        f"{labels.interval(first['metric'], first)} at {captions.at(first, [by])}"
    )
    clauses = [lead]
    if known:
        clauses.append(
            f"{inside} of {labels.count(known, 'published number')} within the 95 % prediction "
            "interval for one new run (band)"
        )
        clauses += _wide(told)
    if differs:
        clauses.append(f"not the report's setting: {differs}, so no replication")
    sizes = table.loc[table["n"] > 0, "n"]
    if sizes.nunique() > 1:
        clauses.append(f"n = {labels.span(sizes)} seeds a row")
    shown = runs[runs[by].isin(table[by])]
    lost = int(cells.diverged(shown, metrics[0]).sum())
    return captions.full(clauses, lost=lost, total=len(shown), runs=runs)


def _wide(table: pd.DataFrame) -> list[str]:
    """How many bands are so wide that a number within says little, and how far the widest goes."""
    is_share = [labels.unit(metric) == labels.PERCENT for metric in table["metric"]]
    shares = table[is_share]
    width = 100 * (shares["new_high"] - shares["new_low"])
    if not (n := int((width > WIDE_PP).sum())):
        return []
    widest = shares.loc[width.idxmax()]
    y = widest["metric"]
    ends = f"{labels.number(y, widest['new_low'], with_unit=False)} to "
    ends += labels.number(y, widest["new_high"])
    return [
        f"{labels.count(n, 'band')} {'is' if n == 1 else 'are'} wider than {WIDE_PP} pp (the "
        f"widest from {ends}), where being within says little"
    ]


def _alt(table: pd.DataFrame, by: str) -> str:
    told = []
    for _, cell in table.iterrows():
        y = cell["metric"]
        if not cell["n"]:
            number = labels.number(y, cell["published"])
            told.append(f"{labels.quantity(y)} at {captions.at(cell, [by])}: published {number}")
            continue
        side = "within" if cell["inside"] else "outside"
        ours = f"our mean {labels.number(y, cell['mean'])}"
        place = f"{labels.quantity(y)} at {captions.at(cell, [by])}"
        if math.isnan(cell["published"]):
            told.append(f"{place}: not published, {ours}")
            continue
        told.append(
            f"{place}: published {labels.number(y, cell['published'])}, {ours}, "
            f"{side} the prediction interval"
        )
    lead = "Published numbers beside our runs" if table["n"].any() else "Published numbers"
    return f"{lead}; {'; '.join(told)}"


def _shown(table: pd.DataFrame, by: str, loss: str) -> pd.DataFrame:
    rows = []
    for _, cell in table.iterrows():
        y = cell["metric"]
        half = (cell["new_high"] - cell["new_low"]) / 2
        new = [captions.plain(y, cell[name], half) for name in ("new_low", "new_high")]
        alone = math.isnan(cell["published"])  # we have runs, and nothing was published
        rows.append(
            {
                labels.quantity(by): labels.setting(cell[by]),
                "metric": labels.label(y, loss),
                "published": "" if alone else f"{cell['published'] * labels.scale(y):.4g}",
                "our mean": labels.give_or_take(y, cell),
                "runs": str(cell["n"]),
                "one new run": f"{new[0]} to {new[1]}" if new[0] else "",
                "inside": "" if alone or not new[0] else "yes" if cell["inside"] else "no",
            }
        )
    return pd.DataFrame(rows)
