"""The learning rate over the run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Canvas

from hplab.pages import labels
from hplab.pages.figures import svg
from hplab.pages.figures.figure import Figure
from hplab.training.schedules import lr_at
from hplab.trial import Trial

STEPS = 400  # at which a schedule is drawn


def schedules(trials: Sequence[Trial] | Trial) -> Figure:
    """Draw the learning rate of trials over their run: the function that training calls.

    Args:
        trials: One for each schedule, or a single one; a second with an equal schedule is left
            out.

    Returns:
        The figure, which shows itself in a notebook and has `save`.
    """
    trials = [trials] if isinstance(trials, Trial) else trials
    table = _rates(trials)
    names = list(dict.fromkeys(table["schedule"]))
    columns = 1 if len(names) == 1 else 3
    n_rows = -(-len(names) // columns)

    def draw(fig: Canvas) -> None:
        axs = fig.subplots(n_rows, columns, squeeze=False, sharex=True, sharey=True)
        for ax, name in zip(axs.flat, names, strict=False):
            part = table[table["schedule"] == name]
            ax.plot(100 * part["share"], part["lr"], color=svg.SERIES[0], lw=2)
            ax.set_title(name, fontsize=12, loc="left")
        for ax in axs.flat[len(names) :]:
            ax.set_axis_off()
        fig.supxlabel("share of the run (%)", fontsize=13)
        fig.supylabel(labels.label("lr"), fontsize=13)

    return Figure(
        draw,
        caption=f"learning rate over the run for {labels.count(len(names), 'schedule')}, as used "
        "in training",
        alt="Curves of the learning rate: " + ", ".join(names),
        data=table,
        shown=_shown(table),
        height=0.8 + 1.55 * n_rows,
    )


def _rates(trials: Sequence[Trial]) -> pd.DataFrame:
    """The learning rate of each distinct schedule at about `STEPS` shares of the run."""
    distinct = {(t.schedule, str(t.schedule_args), t.lr): t for t in trials}.values()
    rows = []
    for trial in distinct:
        n = trial.epochs * max(1, round(STEPS / trial.epochs))
        rates = [lr_at(trial, step, n_steps=n) for step in range(n)]
        name = trial.schedule.replace("_", " ")
        rows.append(pd.DataFrame({"schedule": name, "share": np.arange(n) / n, "lr": rates}))
    return pd.concat(rows, ignore_index=True)


def _shown(table: pd.DataFrame) -> pd.DataFrame:
    ends = table.groupby("schedule", sort=False)["lr"].agg(["first", "max", "last"])
    shown = ends.map(labels.setting).reset_index()
    return shown.rename(columns={"first": "first rate", "max": "highest"})
