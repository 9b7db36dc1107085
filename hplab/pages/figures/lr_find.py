"""The learning-rate range test: the curve, what its rules suggest, what tuning found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from hplab.pages import labels
from hplab.pages.figures import captions, cells, marks, scales, svg
from hplab.pages.figures.figure import Figure
from hplab.trial import HplabError


def lr_find(
    result: Any,
    *,
    tuned: float | pd.DataFrame | None = None,
    y: str = "val_acc",
) -> Figure:
    """Draw a learning-rate range test with what its rules suggest and what tuning found.

    Args:
        result: What `hplab.lr_find` returns: `lr` and `loss` (or `smoothed_loss` beside a raw
            `loss`), `suggestions` by name, `diverged_at`; attributes or a mapping.
        tuned: What tuning found: a learning rate, or the table of a sweep, of which the best
            mean counts.
        y: The metric that chooses the optimum of a sweep.

    Returns:
        The figure, which shows itself in a notebook and has `save`.

    Raises:
        HplabError: If the result has no `lr` or `loss`.
    """
    lr, loss, raw = _range_test(result)
    picks = {str(name): float(value) for name, value in (_of(result, "suggestions") or {}).items()}
    sweep = tuned if isinstance(tuned, pd.DataFrame) else None
    optimum = tuned if sweep is None else _optimum(sweep, y)
    at_edge = [name for name, value in picks.items() if not lr[0] < value < lr[-1]]
    limits = _useful(loss)

    def draw(fig: Canvas) -> None:
        ax = fig.add_subplot()
        ends = [lr[0], lr[-1], *([optimum] if optimum else [])]
        scale = scales.Scale("lr", [min(ends), max(ends)], log=True)
        ax.set_xscale("log")
        ax.set_xlim(*scale.limits())
        scale.round_ticks(ax)
        scales.vertical(ax, limits, log=False)
        ax.set_xlabel(labels.label("lr"))
        ax.set_ylabel("training loss, smoothed (nats)")
        blue = marks.look(0)
        if raw is not None:
            ax.plot(lr, raw, color=blue.colour, lw=0.9, alpha=0.4)
        ax.plot(lr, loss, color=blue.colour, lw=2.4)
        entries = _suggested(ax, lr, loss, picks, optimum)
        texts, handles = [text for text, _ in entries], [handle for _, handle in entries]
        ax.legend(handles, texts, loc="lower left", handlelength=1.8)

    return Figure(
        draw,
        caption=_range_caption(result, picks, optimum, at_edge, sweep),
        alt=_range_alt(lr, loss, picks),
        data=pd.DataFrame({"lr": lr, "loss": loss}),
        shown=_range_table(lr, loss, picks, optimum, at_edge),
    )


def _optimum(sweep: pd.DataFrame, y: str) -> float | None:
    if sweep.empty:
        return None
    cells.require(sweep, "lr", y, what="plots.lr_find")
    table = cells.cells(sweep, y, ["lr"])
    top = cells.best(table, y)
    return None if top is None else float(table.loc[top, "lr"])


def _of(result: Any, name: str) -> Any:
    return result.get(name) if isinstance(result, Mapping) else getattr(result, name, None)


def _range_test(result: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    lr, raw, smooth = (_of(result, name) for name in ("lr", "loss", "smoothed_loss"))
    if lr is None or (raw is None and smooth is None) or len(lr) < 2:
        raise HplabError("plots.lr_find: the result needs `lr` and `loss`, two steps or more")
    lr = np.asarray(lr, dtype=float)
    curve = raw if smooth is None else smooth
    faint = None if smooth is None or raw is None else np.asarray(raw, dtype=float)
    return lr, np.asarray(curve, dtype=float), faint


def _useful(loss: np.ndarray) -> tuple[float, float]:
    """Limits that show the fall and the turn of the loss, not how far it blew up."""
    finite = loss[np.isfinite(loss)]
    start, low = finite[: finite.argmin() + 1].max(), finite.min()
    high = min(finite.max(), low + 1.35 * (start - low)) if start > low else finite.max()
    pad = 0.07 * ((high - low) or abs(low) or 1.0)
    return float(low - pad), float(high + pad)


def _suggested(
    ax: Axes, lr: np.ndarray, loss: np.ndarray, picks: Mapping[str, float], tuned: float | None
) -> list[tuple[str, Line2D]]:
    """Mark suggestions on the curve and the tuned optimum as a line; return legend entries."""
    entries = []
    for i, (name, value) in enumerate(picks.items(), start=1):
        style = marks.look(i)
        height = float(np.interp(np.log(value), np.log(lr), loss))
        look = {"color": style.colour, "marker": style.marker, "ms": 9, "mec": svg.PAPER, "mew": 1}
        ax.plot([value], [height], ls="none", zorder=4, **look)
        ax.axvline(value, color=style.colour, lw=1, ls=(0, (1, 2)), zorder=1.5)
        entries.append((f"{name}: {labels.rough(value)}", Line2D([], [], ls="none", **look)))
    if tuned is not None:
        line = {"color": svg.INK, "lw": 1.6, "ls": (0, (6, 2))}
        ax.axvline(tuned, zorder=2, **line)
        entries.append((f"tuned: {labels.setting(tuned)}", Line2D([], [], **line)))
    return entries


def _range_caption(
    result: Any,
    picks: Mapping[str, float],
    tuned: float | None,
    at_edge: Sequence[str],
    sweep: pd.DataFrame | None,
) -> str:
    told = labels.listed([f"{name} at {labels.rough(value)}" for name, value in picks.items()])
    clauses = ["learning-rate range test: smoothed training loss while the learning rate rises"]
    if picks:
        clauses.append(f"suggested: {told}")
    if tuned is not None:
        how = "the best mean of the sweep" if sweep is not None else "the tuned optimum"
        clauses.append(f"{how} is at {labels.setting(tuned)} (dashed line)")
    if at_edge:
        clauses.append(
            f"{labels.listed(at_edge)}: on the boundary of the tested range, so no suggestion "
            "at all"
        )
    if (end := _of(result, "diverged_at")) is not None:
        clauses.append(f"the loss blew up at {labels.rough(float(end))}")
    for seed, value in (_of(result, "left_out") or {}).items():
        clauses.append(f"seed {seed} diverged early, at {labels.rough(value)}, and is not in it")
    table = sweep if sweep is not None else pd.DataFrame()
    return captions.full(clauses, lost=0, total=0, runs=table)


def _range_alt(lr: np.ndarray, loss: np.ndarray, picks: Mapping[str, float]) -> str:
    lowest = int(np.nanargmin(loss))
    told = "".join(f"; {name} suggests {labels.rough(value)}" for name, value in picks.items())
    return (
        f"Curve of training loss against learning rate from {labels.rough(lr[0])} to "
        f"{labels.rough(lr[-1])}: it starts at {loss[0]:.2f}, is lowest, {loss[lowest]:.2f}, at "
        f"{labels.rough(lr[lowest])} and ends at {loss[-1]:.2f}{told}"
    )


def _range_table(
    lr: np.ndarray,
    loss: np.ndarray,
    picks: Mapping[str, float],
    tuned: float | None,
    at_edge: Sequence[str],
) -> pd.DataFrame:
    rows = [
        (name, labels.rough(value), "yes" if name in at_edge else "no")
        for name, value in picks.items()
    ]
    if tuned is not None:
        inside = lr[0] < tuned < lr[-1]
        rows.append(("tuned", labels.setting(tuned), "no" if inside else "yes"))
    columns = ["rule", "learning rate", "at or beyond the tested range"]
    return pd.DataFrame(rows, columns=columns)
