"""What is drawn inside an axes: dots for seeds, means with intervals, crosses, labels at line ends.

Every function takes an axes and data coordinates already in the shown unit, and returns nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.transforms import (
    Affine2D,
    ScaledTranslation,
    Transform,
    blended_transform_factory,
)

from hplab.pages import labels
from hplab.pages.figures import svg

ROW_PT = 445  # of a row of keys
MOST_POINTS = 2000  # seeds drawn as dots in one figure; beyond this they are thinned
SHAPES = "osD^vPh*"
DASHES = (
    (),
    (5, 1.8),
    (1.2, 1.2),
    (6, 1.5, 1.2, 1.5),
    (9, 2),
    (3, 1),
    (1.2, 2.5),
    (8, 1.5, 3, 1.5),
)


class Look(NamedTuple):
    """Colour, marker and dash of one series, so that colour is never the only difference."""

    colour: str
    marker: str
    dash: tuple[float, ...]

    @property
    def line(self) -> object:
        """The dash as matplotlib takes it."""
        return (0, self.dash) if self.dash else "-"


def look(i: int) -> Look:
    """The look of the i-th series; beyond eight, colours come again with other shapes."""
    turn, n = divmod(i, len(svg.SERIES))
    return Look(svg.SERIES[n], SHAPES[(n + 3 * turn) % 8], DASHES[(n + 3 * turn) % 8])


def moved(ax: Axes, right: float, up: float = 0.0, base: Transform | None = None) -> Transform:
    """Data coordinates (or `base`), moved by so many points."""
    figure = ax.get_figure()
    return (base or ax.transData) + ScaledTranslation(right / 72, up / 72, figure.dpi_scale_trans)


def dots(ax: Axes, x: float, values: Sequence[float], style: Look, right: float = 0.0) -> None:
    """Every run as a faint dot above its setting."""
    ax.plot(
        [x] * len(values),
        values,
        style.marker,
        color=style.colour,
        ms=5,
        mec="none",
        alpha=0.5,
        transform=moved(ax, right),
        zorder=2,
    )


def mean(ax: Axes, x: float, cell: dict[str, float], style: Look, right: float = 0.0) -> None:
    """A mean with its interval, with a head where it runs out of the frame.

    Args:
        ax: The axes, with its final limits.
        x: Where it stands.
        cell: The mean, and the low and high end of the interval.
        style: Colour and marker.
        right: How far right of its place it stands, in points.
    """
    place = moved(ax, right)
    if math.isfinite(cell["low"]):
        ends = [cell["low"], cell["high"]]
        ax.plot([x, x], ends, "-", color=style.colour, lw=2, transform=place, zorder=3)
        for side in beyond(cell, ax.get_ylim()):
            _head(ax, x, style, right, top=side == "top")
    dot = {"color": style.colour, "marker": style.marker, "ms": 7, "mec": "none"}
    ax.plot([x], [cell["mean"]], transform=place, zorder=4, **dot)


def beyond(cell: Mapping[str, float], limits: tuple[float, float]) -> list[str]:
    """The edges of a frame, "bottom" and "top", that an interval (low, high) crosses."""
    low, high = limits
    crossed = {"bottom": cell["low"] < low < cell["high"], "top": cell["low"] < high < cell["high"]}
    return [side for side, crosses in crossed.items() if crosses]


def _head(ax: Axes, x: float, style: Look, right: float, *, top: bool) -> None:
    place = moved(ax, right, -3 if top else 3, ax.get_xaxis_transform())
    dot = {"color": style.colour, "ms": 7, "mec": "none", "clip_on": False, "zorder": 6}
    ax.plot([x], [1.0 if top else 0.0], "^" if top else "v", transform=place, **dot)


def below(ax: Axes, x: float, style: Look, right: float = 0.0) -> None:
    """A triangle at the lower edge for a mean that has no place on a logarithmic axis."""
    place = moved(ax, right, 5, ax.get_xaxis_transform())
    dot = {"color": style.colour, "ms": 9, "mec": "none", "clip_on": False, "zorder": 6}
    ax.plot([x], [0.0], "v", transform=place, **dot)


def joined(ax: Axes, x: Sequence[float], means: Sequence[float], style: Look, right: float) -> None:
    """A thin line through the means; it breaks where a mean is missing."""
    place = moved(ax, right)
    ax.plot(x, means, color=style.colour, lw=1.2, ls=style.line, transform=place, zorder=1.5)


def ring(ax: Axes, x: float, value: float, right: float = 0.0) -> None:
    """A ring round the best mean."""
    place = moved(ax, right)
    ax.plot([x], [value], "o", ms=15, mfc="none", mec=svg.INK, mew=1.4, transform=place, zorder=5)


def crosses(
    ax: Axes, x: float, lost: int, of: int | None, colour: str, *, top: bool, right: float = 0.0
) -> None:
    """A cross at the edge of the frame for runs that diverged, with how many of how many."""
    place = moved(ax, right, -7 if top else 7, ax.get_xaxis_transform())
    style = {"color": colour, "ms": 8, "mew": 2.2, "clip_on": False, "zorder": 6}
    ax.plot([x], [1.0 if top else 0.0], "x", transform=place, **style)
    if of is not None:
        near = ax.transAxes.inverted().transform(ax.transData.transform((x, 0)))[0] > 0.9
        ax.annotate(
            f"{lost} of {of}",
            (x, 1.0 if top else 0.0),
            xycoords=ax.get_xaxis_transform(),
            xytext=(right + (-8 if near else 8), -7 if top else 7),
            textcoords="offset points",
            ha="right" if near else "left",
            va="center",
            fontsize=11.5,
        )


def edge_flag(ax: Axes, side: str, text: str) -> None:
    """Words above the frame, with an arrow out of it, where the best is the last value tested."""
    left = side == "lowest"
    ax.annotate(
        f"\u2190 {text}" if left else f"{text} \u2192",
        (0 if left else 1, 1),
        xycoords="axes fraction",
        xytext=(0, 6),
        textcoords="offset points",
        ha="left" if left else "right",
        va="bottom",
        fontsize=12.5,
        color=svg.INK,
    )


def legend(fig: Canvas, title: str, entries: Sequence[tuple[str, Artist]]) -> None:
    """Keys above the axes: in one row led by what they are keys to, or in rows under it."""
    texts, handles = [text for text, _ in entries], [handle for _, handle in entries]
    style = {"loc": "outside upper left", "handletextpad": 0.6, "handlelength": 1.8}
    widths = [7.0 * len(text) + 46 for text in texts]  # points, about
    lead = 7.0 * len(title) + 12 if title else 0
    if sum(widths) + lead <= ROW_PT:
        if title:
            handles, texts = [Line2D([], [], ls="none"), *handles], [f"{title}:", *texts]
        fig.legend(handles, texts, ncols=len(texts), **style)
    else:
        n = max(1, int(ROW_PT // max(widths)))
        fig.legend(handles, texts, ncols=n, title=title, alignment="left", **style)


def key(style: Look, *, line: bool = True) -> Line2D:
    """What stands for a series in a legend."""
    ls = style.line if line else "none"
    return Line2D([], [], color=style.colour, marker=style.marker, ls=ls, lw=2, ms=7, mec="none")


def thinned(values: Sequence[float], every: int) -> list[float]:
    """Every so-many-th value in ascending order, the smallest and largest always among them."""
    ordered = sorted(values)
    return ordered if every == 1 else [*ordered[:-1:every], *ordered[-1:]]


def every(runs_of_cells: Iterable[Sequence[float]]) -> int:
    """Draw every so-many-th run, so that a figure stays small enough for a phone."""
    return max(1, math.ceil(sum(map(len, runs_of_cells)) / MOST_POINTS))


def spread(places: Sequence[float], gap: float, low: float = 0.0, high: float = 1.0) -> list[float]:
    """Move labels apart until none is closer than `gap` to the next, staying within low and high.

    Args:
        places: Where each label would stand if there were no others.
        gap: The least distance.
        low: Where the range begins; left only if there are more labels than fit.
        high: Where it ends.

    Returns:
        The new places, in the order given; their sorted order does not change.
    """
    order = np.argsort(places, kind="stable")
    placed = np.asarray(places, dtype=float)[order]
    blocks: list[list[float]] = []  # centre, number of labels
    for place in placed:
        blocks.append([place, 1])
        while len(blocks) > 1:
            (a, n), (b, m) = blocks[-2:]
            if b - a >= gap * (n + m) / 2:
                break
            blocks[-2:] = [[(a * n + b * m) / (n + m), n + m]]
    flat = [centre + gap * (i - (n - 1) / 2) for centre, n in blocks for i in range(int(n))]
    flat = _kept_inside(flat, gap, low, high)
    result = [0.0] * len(flat)
    for place, i in zip(flat, order, strict=True):
        result[int(i)] = place
    return result


def _kept_inside(flat: list[float], gap: float, low: float, high: float) -> list[float]:
    for i in range(len(flat)):
        flat[i] = max(flat[i], low + gap * i)
    for i in range(len(flat)):
        flat[-1 - i] = min(flat[-1 - i], high - gap * i)
    return flat


def end_labels(
    ax: Axes, title: str, ends: Sequence[tuple[str, float | None, Look]], gap: float = 0.09
) -> None:
    """Label lines at their right ends, moved apart where they would touch.

    Args:
        ax: The axes, with its final limits.
        title: What the labels are values of; stands above them.
        ends: A line each: its label, where it ends in data coordinates (None: nowhere), its look.
        gap: The least distance of two labels, as a share of the axes' height.
    """
    fraction = ax.transData + ax.transAxes.inverted()
    natural = []
    for _, end, _ in ends:
        y = 1.0 if end is None else float(fraction.transform((ax.get_xlim()[1], end))[1])
        natural.append(min(max(y, 0.0), 1.0))
    place = _margin(ax)
    apart = spread(natural, gap, 0, 0.94)
    for (level, end, style), y, at in zip(ends, natural, apart, strict=True):
        line = {"clip_on": False, "color": style.colour, "transform": place}
        if end is not None:
            ax.plot([2, 10], [y, at], lw=0.8, alpha=0.8, **line)
        ax.plot([10, 32], [at, at], lw=2, ls=style.line, **line)
        _beside(ax, labels.setting(level), (37, at), va="center")
    _beside(ax, title, (10, 1.02), va="bottom")


def _margin(ax: Axes) -> Transform:
    """Right of the axes: points beyond its edge, and a share of its height."""
    figure = ax.get_figure()
    edge = ScaledTranslation(1, 0, ax.transAxes)
    points = Affine2D().scale(1 / 72) + figure.dpi_scale_trans + edge
    return blended_transform_factory(points, ax.transAxes)


def _beside(ax: Axes, text: str, place: tuple[float, float], va: str) -> None:
    right, height = place
    style = {"va": va, "fontsize": 12.5, "color": svg.INK}
    ax.text(right, height, text, transform=_margin(ax), **style)
