"""Figures of the sharpness study: along the way down, and beside the published measurements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from hplab.analysis.claims import ledger
from hplab.pages import labels
from hplab.pages.figures import axis, captions, marks, scales, svg
from hplab.pages.figures import cells as summary
from hplab.pages.figures.figure import Figure, Html, nothing_recorded, one_value
from hplab.trial import unknown

OPTIMIZERS = {"sgd": "SGD", "adagrad": "AdaGrad"}


def descent(
    curves: pd.DataFrame, *, by: str, x: str = "train_loss", y: str = "sharpness_path"
) -> Figure | Html:
    """Draw one curve of every run against another: sharpness as the training loss falls.

    Two settings can be compared where their lines cross the same training loss; their last points,
    which is what a table of results holds, lie at different losses.

    Args:
        curves: One row a trial and epoch, as `hplab.curves` returns them; `hplab.plots`
            takes a table of runs too.
        by: Column whose values get their own colour, marker and dash.
        x: Curve across; it falls from left to right, as a loss does in training.
        y: Curve upwards, on a logarithmic axis.

    Returns:
        The figure, which shows itself in a notebook and has `save`; a note where `curves` is
        empty, or where trials are missing and one value of `by` is recorded.

    Raises:
        HplabError: If a column is missing.
    """
    if curves.empty:
        return nothing_recorded()
    summary.require(curves, x, y, by, "key", "epoch", "seed", what="plots.descent")
    known = curves[curves[y].notna() & curves[x].notna()]
    seen = known[known[y] > 0]
    if seen.empty:
        return nothing_recorded(f"no run has a {labels.quantity(y)} above 0")
    if (waits := one_value(seen, by)) is not None:
        return waits
    groups = summary.parts(seen, by)

    def draw(fig: Canvas) -> None:
        ax = fig.add_subplot()
        scales.vertical(ax, scales.frame(seen[y], log=True), log=True)
        low, high = scales.frame(seen[x], log=False)
        ax.set_xlim(high, low)
        ax.set_xlabel(labels.label(x, labels.loss(curves)))
        ax.set_ylabel(labels.label(y, labels.loss(curves)))
        for i, (_, part) in enumerate(groups):
            _paths(ax, part, x, y, marks.look(i))
        keyed = [(labels.setting(v), marks.key(marks.look(i))) for i, (v, _) in enumerate(groups)]
        marks.legend(fig, labels.quantity(by), keyed)

    ends = seen.loc[seen.groupby("key", sort=False)["epoch"].idxmax()]
    shown = _ends(ends, by, x, y)
    n = ends["key"].nunique()
    lead = (
        f"{labels.quantity(y)} against {labels.quantity(x)} along training for each "
        f"{labels.quantity(by)}, a line a run from left to right, its last epoch marked"
    )
    return Figure(
        draw,
        caption=captions.full(
            [lead, *captions.off_log("epoch", known[y])], lost=0, total=n, runs=curves
        ),
        alt=f"Lines of {labels.quantity(y)} against {labels.quantity(x)}; "
        f"at the end {labels.listed(_told(shown), 9)}",
        data=seen[[by, "seed", "epoch", x, y]],
        shown=shown,
    )


def _paths(ax: Axes, part: pd.DataFrame, x: str, y: str, style: marks.Look) -> None:
    """Every run of a group as a thin line, with a marker at its last point."""
    for _, run in part.groupby("key", sort=False):
        run = run.sort_values("epoch")
        ax.plot(run[x], run[y], color=style.colour, ls=style.line, lw=1.1, alpha=0.7, zorder=2)
        last = run.iloc[-1]
        ax.plot([last[x]], [last[y]], style.marker, color=style.colour, ms=7, mec="none", zorder=3)


def _ends(ends: pd.DataFrame, by: str, x: str, y: str) -> pd.DataFrame:
    """Mean training loss and sharpness at the last epoch of each group."""
    rows = []
    for level, part in summary.parts(ends, by):
        row = {labels.quantity(by): labels.setting(level)}
        for name in (x, y):
            row[f"{labels.label(name)} at the end"] = f"{part[name].mean():.3g}"
        rows.append({**row, "runs": str(len(part))})
    return pd.DataFrame(rows)


def _told(shown: pd.DataFrame) -> list[str]:
    first, across, up, _ = shown.columns
    return [f"{row[first]}: {row[up]} at loss {row[across]}" for row in shown.to_dict("records")]


def published_sharpness(runs: pd.DataFrame | None = None, *, x: str = "lr") -> Figure:
    """Draw report 002's six models a setting with the interval over models, and ours beside them.

    The report's own intervals count every direction as a model and are not drawn; the table behind
    the figure has both.

    Args:
        runs: Our runs on its data; None or an empty table draws the report's alone.
        x: "lr" or "batch_size", the two sweeps of the report.

    Returns:
        The figure, which shows itself in a notebook and has `save`.

    Raises:
        HplabError: If there is no such sweep.
    """
    rows = [row for row in _rows() if row["sweep"] == x]
    if not rows:
        raise unknown("sweep", x, {row["sweep"] for row in _rows()}, "report 002")
    theirs = _long(rows, x)
    ours = pd.DataFrame(columns=[x, "optimizer", "sharpness"])
    if runs is not None and not runs.empty:
        summary.require(ours := runs, x, "optimizer", "sharpness", what="plots.published_sharpness")
    scale = scales.Scale(x, summary.levels(theirs[x]), None)
    tables = [(who, name, part[part["optimizer"] == name]) for who, part in
              (("report", theirs), ("ours", ours)) for name in OPTIMIZERS]  # fmt: skip
    tables = [entry for entry in tables if len(entry[2])]

    def draw(fig: Canvas) -> None:
        ax = fig.add_subplot()
        scale.apply(ax)
        every = np.concatenate([part["sharpness"].to_numpy(float) for _, _, part in tables])
        scales.vertical(ax, scales.frame(every, log=True), log=True)
        ax.set_ylabel(labels.label("sharpness"))
        keyed = []
        for i, (who, name, part) in enumerate(tables):
            _cells(ax, summary.cells(part, "sharpness", [x]), x, scale, i, len(tables))
            keyed.append((f"{OPTIMIZERS[name]}, {who}", marks.key(marks.look(i))))
        marks.legend(fig, "", keyed)

    has_ours = any(who == "ours" for who, _, _ in tables)
    clauses = [
        f"sharpness against {labels.quantity(x)}, the report's 6 models a setting (dots), their "
        "mean and the 95 % interval over models"
    ]
    if has_ours:
        clauses[0] += ", and ours beside them"
    caption = ("; ".join(clauses) if not has_ours else
               captions.full(clauses, lost=0, total=len(ours), runs=ours))  # fmt: skip
    return Figure(
        draw,
        caption=caption,
        alt=f"Sharpness by {labels.quantity(x)} as published"
        + (", and measured here" if has_ours else ""),
        data=pd.concat([part.assign(who=who) for who, _, part in tables], ignore_index=True),
        shown=_both_intervals(rows, x, tables),
    )


def _rows() -> Sequence[dict[str, Any]]:
    return next(c.report.published for c in ledger.load() if c.report.id == "002")


def _long(rows: Sequence[dict[str, Any]], x: str) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {x: row[x], "optimizer": row["optimizer"], "seed": seed, "sharpness": value}
            for row in rows
            for seed, value in enumerate(row["models"])
        ]
    )


def _cells(
    ax: Axes, cells: pd.DataFrame, x: str, scale: scales.Scale, i: int, n_groups: int
) -> None:
    style, right = marks.look(i), 4.0 * (i - (n_groups - 1) / 2)
    places = [scale.at(level) for level in cells[x]]
    marks.joined(ax, places, list(cells["mean"]), style, right)
    for place, cell in zip(places, cells.to_dict("records"), strict=True):
        marks.dots(ax, place, cell["values"], style, right)
        marks.mean(ax, place, {k: cell[k] for k in ("mean", "low", "high")}, style, right)


def _both_intervals(
    rows: Sequence[dict[str, Any]], x: str, tables: Sequence[tuple[str, str, pd.DataFrame]]
) -> pd.DataFrame:
    shown = []
    for row in rows:
        models = summary.mean_of(row["models"])
        half = (models.high - models.low) / 2
        entry = {
            labels.quantity(x): labels.setting(row[x]),
            "optimizer": OPTIMIZERS[row["optimizer"]],
            "report": f"{row['sharpness']:.4g}",
            "its interval": f"\u00b1 {row['halfwidth']:.2g}",
            "over models": f"\u00b1 {half:.2g}",
        }
        ours = [part[part[x] == row[x]]["sharpness"] for who, name, part in tables
                if who == "ours" and name == row["optimizer"]]  # fmt: skip
        entry["ours"] = f"{ours[0].mean():.4g}" if ours and len(ours[0]) else ""
        shown.append(entry)
    return pd.DataFrame(shown)


def stability(runs: pd.DataFrame) -> Figure | Html:
    """Draw the largest eigenvalue of the Hessian times the learning rate, with the border at 2.

    Args:
        runs: Trials with the measure "curvature", one row a trial.

    Returns:
        The figure, which shows itself in a notebook and has `save`; a note where `runs` is empty.

    Raises:
        HplabError: If the eigenvalue was not measured.
    """
    if runs.empty:
        return nothing_recorded()
    summary.require(runs, "lr", "hessian_top", what="plots.stability")
    product = runs.assign(hessian_top_lr=runs["hessian_top"] * runs["lr"])
    product.attrs.update(runs.attrs)
    found = axis.axis(product, x="lr", y="hessian_top_lr", log_y=True)
    if isinstance(found, Html):
        return found
    ax = found.figure.axes[0]
    ax.axhline(2.0, color=svg.MUTED, lw=1.2, ls=(0, (4, 3)))
    ax.set_ylim(top=max(4.0, ax.get_ylim()[1]))
    return found
