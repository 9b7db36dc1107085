"""Learning curves: every run a thin line, their mean a bold one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from hplab.pages import labels
from hplab.pages.figures import captions, cells, marks, scales, svg
from hplab.pages.figures.figure import Figure, Html, nothing_recorded

FEW_EPOCHS = 12  # up to here every epoch of a mean gets its marker
SHOWN_EPOCHS = 6  # of each series in the table behind the figure


def learning_curves(
    curves: pd.DataFrame,
    y: str | Sequence[str] = "val_loss",
    *,
    by: str | None = "lr",
    log_y: bool = False,
) -> Figure | Html:
    """Draw metrics by epoch: a thin line a run, a bold line the mean over seeds.

    A run that diverges ends in a cross at the worse edge of the frame. Means are over the runs that
    did not diverge, and are left out where the runs of a group differ in more than their seed.

    Args:
        curves: One row a trial and epoch, as `hplab.curves` returns them; `hplab.plots`
            takes a table of runs too.
        y: Column of the metric; several columns make a panel each.
        by: Column whose values get their own colour, marker and dash; None for one group.
        log_y: Logarithmic vertical axes.

    Returns:
        The figure, which shows itself in a notebook and has `save`; a note where `curves` is empty.

    Raises:
        HplabError: If a column is missing.
    """
    if curves.empty:
        return nothing_recorded()
    metrics = [y] if isinstance(y, str) else list(y)
    cells.require(curves, "epoch", *metrics, by, what="plots.learning_curves")
    numbers = {name: curves[name].astype(float) for name in metrics}  # None becomes NaN
    table = curves.assign(run=_run_ids(curves), **numbers)
    others = cells.mixed(curves, [by] if by else [])
    groups = cells.parts(table, by) if by else [(None, table)]
    rows = math.ceil(len(metrics) / 2) if len(metrics) > 2 else 1
    columns = math.ceil(len(metrics) / rows)
    step = max(1, math.ceil(len(table) / marks.MOST_POINTS))

    def draw(fig: Canvas) -> None:
        axs = fig.subplots(rows, columns, squeeze=False).flat
        for i, (ax, metric) in enumerate(zip(axs, metrics, strict=False)):
            alike = [name for name in metrics if labels.unit(name) == labels.unit(metric)]
            ends = _panel(ax, groups, metric, alike, log=log_y, means=not others, step=step)
            if by and i == columns - 1:
                marks.end_labels(ax, labels.quantity(by), ends)
        for ax in list(fig.axes)[len(metrics) :]:
            ax.set_axis_off()

    means = _means(groups, metrics, by)
    final = _final(table)
    return Figure(
        draw,
        caption=_caption(final, metrics, by, others, step, table, log=log_y),
        alt=_alt(final, metrics, by),
        data=means,
        shown=_shown(means, metrics, by, labels.loss(curves)),
        height=3.6 if rows == 1 else 3.0 * rows,
    )


def _run_ids(table: pd.DataFrame) -> pd.Series:
    """A number a run: by its key, else by everything that tells runs apart."""
    names = ["key"] if "key" in table else cells.telling(table)
    names = [*names, *(["seed"] if "seed" in table and "key" not in table else [])]
    return table.groupby([n for n in names if n != "epoch"], dropna=False, sort=False).ngroup()


def _panel(
    ax: Axes,
    groups: Sequence[tuple[Any, pd.DataFrame]],
    y: str,
    alike: Sequence[str],
    *,
    log: bool,
    means: bool,
    step: int,
) -> list[tuple[Any, float | None, marks.Look]]:
    """Draw one metric; return where each group's line ends.

    Panels of metrics `alike`, with the same unit, get the same limits.
    """
    factor, last = labels.scale(y), int(max(part["epoch"].max() for _, part in groups))
    whole = pd.concat([_converged(part) for _, part in groups])
    source = whole if len(whole) else pd.concat([part for _, part in groups])
    values = source[list(alike)].to_numpy(float).ravel() * factor
    scales.vertical(ax, scales.frame(values, log=log), log=log)
    left = min(0.5, 0.03 * (last - 1))
    ax.set_xlim(1 - left, last + left / 3) if last > 1 else ax.set_xlim(0.5, 1.5)
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    ax.set_xlabel("epoch")
    ax.set_ylabel(labels.label(y, labels.loss(source)))
    ends: list[tuple[Any, float | None, marks.Look]] = []
    taken: dict[int, int] = {}  # crosses already drawn at an epoch
    for i, (level, part) in enumerate(groups):
        style = marks.look(i)
        _thin(ax, part, y, style, step)
        mean = _converged(part).groupby("epoch")[y].mean() * factor
        mean = mean[np.isfinite(mean)]
        if means and len(mean):
            ends.append((level, float(mean.iloc[-1]), style))
            _bold(ax, mean, style)
        else:
            ends.append((level, None, style))
        for epoch, lost in _lost_at(part, y).items():
            place, right = min(epoch, last), -9 * taken.get(epoch, 0)
            taken[epoch] = taken.get(epoch, 0) + 1
            upwards = labels.better(y) <= 0
            marks.crosses(ax, place, lost, None, style.colour, top=upwards, right=right)
    return ends


def _converged(part: pd.DataFrame) -> pd.DataFrame:
    """The runs that came to their end; a mean over fewer and fewer of them would tell nothing."""
    return part[~part["status"].isin(["diverged", "stopped"])] if "status" in part else part


def _thin(ax: Axes, part: pd.DataFrame, y: str, style: marks.Look, step: int) -> None:
    """All runs of a group as one path with gaps: small in the file, the same to the eye."""
    xs: list[float] = []
    ys: list[float] = []
    for _, run in part.groupby("run", sort=False):
        keep = (np.arange(len(run)) % step == 0) | (np.arange(len(run)) == len(run) - 1)
        xs += [*run["epoch"][keep], math.nan]
        ys += [*(run[y][keep] * labels.scale(y)), math.nan]
    ax.plot(xs, ys, color=style.colour, lw=0.9, alpha=0.45, zorder=2)


def _bold(ax: Axes, mean: pd.Series, style: marks.Look) -> None:
    marker = style.marker if len(mean) <= FEW_EPOCHS else "None"
    ax.plot(
        mean.index,
        mean,
        color=style.colour,
        lw=2.4,
        ls=style.line,
        marker=marker,
        ms=6,
        mec=svg.PAPER,
        mew=0.8,
        zorder=3,
    )


def _lost_at(part: pd.DataFrame, y: str) -> dict[int, int]:
    """In which epoch how many runs diverged: the first without a finite value."""
    if "status" not in part:
        return {}
    counts: dict[int, int] = {}
    for _, run in part[part["status"] == "diverged"].groupby("run", sort=False):
        finite = run.loc[np.isfinite(run[y].astype(float)), "epoch"]
        epoch = int(finite.max()) + 1 if len(finite) else int(run["epoch"].min())
        counts[epoch] = counts.get(epoch, 0) + 1
    return counts


def _means(
    groups: Sequence[tuple[Any, pd.DataFrame]], metrics: Sequence[str], by: str | None
) -> pd.DataFrame:
    """Mean, interval and n of every group, epoch and metric, in units of the table."""
    rows = []
    for level, part in groups:
        head = {by: level} if by else {}
        for epoch, now in _converged(part).groupby("epoch"):
            for metric in metrics:
                mean = cells.mean_of(now[metric].astype(float), metric)
                ends = {"mean": mean.estimate, "low": mean.low, "high": mean.high, "n": mean.n}
                rows.append({**head, "epoch": int(epoch), "metric": metric, **ends})
    columns = [*([by] if by else []), "epoch", "metric", "mean", "low", "high", "n"]
    return pd.DataFrame(rows, columns=columns)


def _shown(means: pd.DataFrame, metrics: Sequence[str], by: str | None, loss: str) -> pd.DataFrame:
    """A few epochs of every group: mean and half-width of the interval of each metric."""
    rows = []
    for level, part in cells.parts(means, by) if by else [(None, means)]:
        epochs = sorted(part["epoch"].unique())
        picked = np.unique(np.linspace(0, len(epochs) - 1, SHOWN_EPOCHS).round().astype(int))
        for epoch in [epochs[i] for i in picked] if epochs else []:
            row = {labels.quantity(by): labels.setting(level)} if by else {}
            row["epoch"] = str(epoch)
            for metric in metrics:
                cell = part[(part["epoch"] == epoch) & (part["metric"] == metric)].iloc[0]
                row[labels.label(metric, loss)] = labels.give_or_take(metric, cell)
            row["runs"] = str(int(cell["n"]))
            rows.append(row)
    return pd.DataFrame(rows)


def _final(table: pd.DataFrame) -> pd.DataFrame:
    """The last epoch of each run."""
    return table.loc[table.groupby("run", sort=False)["epoch"].idxmax()]


def _caption(
    final: pd.DataFrame,
    metrics: Sequence[str],
    by: str | None,
    others: Sequence[str],
    step: int,
    table: pd.DataFrame,
    *,
    log: bool,
) -> str:
    y = next((metric for metric in metrics if metric.startswith("val_")), metrics[0])
    what = labels.listed([labels.quantity(metric) for metric in metrics])
    for_each = f" for each {labels.quantity(by)}" if by else ""
    bold = "the bold line their mean" if not others else f"no means because {captions.also(others)}"
    clauses = [f"{what} by epoch{for_each}, a thin line a run, {bold}"]
    ends = cells.cells(final, y, [by] if by else [])
    top = None if others else cells.best(ends, y)
    if top is not None:
        place = f" at {captions.at(ends.loc[top], [by])}" if by else ""
        value = labels.interval(y, ends.loc[top])
        clauses[0] += f": after the last epoch the best mean {labels.quantity(y)} is {value}{place}"
        clauses += captions.shared(ends)
    if step > 1:
        clauses.append(f"thin lines show every {labels.ordinal(step)} epoch")
    lost = int(cells.diverged(final, y).sum())
    if lost and not others:
        clauses.append("means are over the runs that did not diverge")
    if log:
        clauses += captions.off_log("point", table[list(metrics)].to_numpy(float).ravel())
    return captions.full(clauses, lost=lost, total=len(final), runs=table)


def _alt(final: pd.DataFrame, metrics: Sequence[str], by: str | None) -> str:
    what = labels.listed([labels.quantity(metric) for metric in metrics])
    ends = cells.cells(final, metrics[0], [by] if by else [])
    told = []
    for _, cell in ends.iterrows():
        who = f"{labels.quantity(by)} {labels.setting(cell[by])}: " if by else ""
        value = labels.number(metrics[0], cell["mean"]) if cell["n"] else "all runs diverged"
        told.append(f"{who}{value}")
    last = f"{labels.quantity(metrics[0])} at the end: {labels.listed(told, 9)}"
    return f"Lines of {what} by epoch; {last}"
