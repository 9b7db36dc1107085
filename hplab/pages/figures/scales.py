"""Where the tested values of a hyperparameter stand on an axis, and how far a frame reaches."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import (
    FuncFormatter,
    LogFormatter,
    LogFormatterMathtext,
    LogLocator,
    MaxNLocator,
    NullLocator,
)

from hplab.pages import labels
from hplab.pages.figures import cells, svg

MOST_LEVELS = cells.MOST_CHOSEN  # of more, ticks stand at round numbers
LABEL_WIDTH = 0.12  # of the axis, for a tick label with the space around it
NAMES = {"fold", "seed"}  # numbers that name something: no line runs from one to the next
PAD = 0.06  # of the axis, beyond the first and last value


class Scale:
    """The horizontal axis of a hyperparameter.

    Learning rate and weight decay stand on a log10 axis, batch size and widths on a log2 axis,
    other numbers on a linear one, names side by side. A zero on a logarithmic axis stands one step
    left of the smallest other value, behind a dotted line.

    Attributes:
        tested: The values, in order.
        kind: "log10", "log2", "linear" or "names".
    """

    def __init__(self, name: str, tested: list[Any], log: bool | None = None) -> None:
        self.name, self.tested, self.kind = name, tested, _kind(name, tested, log)
        positive = [value for value in tested if self.kind.startswith("log") and value > 0]
        self.zero = min(positive) / (10 if self.kind == "log10" else 2) if positive else None
        self.has_zero = bool(positive) and len(positive) < len(tested)

    def at(self, level: Any) -> float:
        """Where a tested value stands, in data coordinates."""
        if self.kind == "names":
            return float(next(i for i, v in enumerate(self.tested) if v is level or v == level))
        return self.zero if level == 0 and self.zero is not None else float(level)

    def share(self, level: Any) -> float:
        """Where a tested value stands between the left (0) and right (1) end of the axis."""
        low, high = self._warp(np.array(self.limits()))
        return float((self._warp(self.at(level)) - low) / (high - low))

    def limits(self) -> tuple[float, float]:
        """The ends of the axis, a little beyond the first and last value."""
        if self.kind == "names":
            return -0.5, len(self.tested) - 0.5
        ends = self._warp(np.array([self.at(v) for v in (self.tested[0], self.tested[-1])]))
        reach = ends[1] - ends[0]
        if reach == 0:
            reach = 1.0 if self.kind != "linear" else abs(ends[0]) or 1.0
        low, high = ends[0] - PAD * reach, ends[1] + PAD * reach
        if self.kind == "linear":
            return float(low), float(high)
        return float(10**low), float(10**high)

    def apply(self, ax: Axes) -> None:
        """Give an axes this scale, its limits, ticks and label."""
        if self.kind.startswith("log"):
            ax.set_xscale("log", base=10 if self.kind == "log10" else 2)
        ax.set_xlim(*self.limits())
        ax.set_xlabel(labels.label(self.name))
        if len(self.tested) > MOST_LEVELS and self.kind != "names":
            self.round_ticks(ax)
            return
        shown = self._labelled()
        ax.set_xticks([self.at(v) for v in shown], [self.text(v) for v in shown])
        rest = [self.at(value) for value in self.tested if value not in shown]
        ax.set_xticks(rest, [""] * len(rest), minor=True)
        if self.kind == "names":
            ax.grid(False, axis="x")
        if self.has_zero and self.zero is not None:
            smallest = self.at(self.tested[1])
            gap = math.sqrt(self.zero * smallest)
            ax.axvline(gap, color=svg.MUTED, lw=1, ls=(0, (1, 2)))

    def text(self, level: Any) -> str:
        """A tick label: powers of ten on a log10 axis, else the value as typed in code."""
        powers = self.kind == "log10" and self.name != "probe_step"  # numbers of steps stay plain
        return labels.power(level) if powers else labels.setting(level, self.name)

    def round_ticks(self, ax: Axes) -> None:
        """Ticks at powers of the base, where values were not chosen by hand."""
        if self.kind.startswith("log"):
            ax.xaxis.set_major_locator(LogLocator(base=10 if self.kind == "log10" else 2))
            ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: self.text(value)))

    def _labelled(self) -> list[Any]:
        """The values that get a label: round ones first, as many as do not touch."""
        if self.kind == "names":
            return self.tested
        plain = [v for v in self.tested if not self.text(v).startswith(("10", "0"))]
        order = [v for v in self.tested if v not in plain] + plain
        if self.kind != "log10":
            order = [self.tested[-1], self.tested[0], *self.tested]
        chosen: list[Any] = []
        for value in order:
            need = LABEL_WIDTH * (1.2 if value in plain and self.kind == "log10" else 1.0)
            if all(abs(self.share(value) - self.share(other)) >= need for other in chosen):
                chosen.append(value)
        return sorted(chosen)

    def _warp(self, value: Any) -> Any:
        return np.log10(value) if self.kind.startswith("log") else value


def _kind(name: str, tested: list[Any], log: bool | None) -> str:
    if not cells.is_numeric(tested) or name in NAMES:
        return "names"
    possible = min(tested) >= 0 and max(tested) > 0
    if log is False or not possible or (log is None and not cells.is_logarithmic(name, tested)):
        return "linear"
    return "log2" if name in cells.LOG2 else "log10"


def frame(values: Iterable[float], ends: Iterable[float] = (), *, log: bool) -> tuple[float, float]:
    """The vertical limits that show all values, and their intervals as far as these are sensible.

    An interval from two runs can be a hundred times as wide as the data; a frame goes at most the
    range of the values beyond them, and such an interval runs out of it.
    """
    warp = np.log10 if log else (lambda value: value)
    known = [v for v in values if math.isfinite(v) and (v > 0 or not log)]
    if not known:
        return (0.1, 1.0) if log else (0.0, 1.0)
    low, high = float(warp(min(known))), float(warp(max(known)))
    reach = (high - low) or abs(high) * 0.1 or 1.0
    far = [float(warp(v)) for v in ends if math.isfinite(v) and (v > 0 or not log)]
    low, high = min([low, *far]), max([high, *far])
    mid_low, mid_high = float(warp(min(known))) - reach, float(warp(max(known))) + reach
    low, high = max(low, mid_low), min(high, mid_high)
    pad = 0.07 * ((high - low) or reach)
    return (10 ** (low - pad), 10 ** (high + pad)) if log else (low - pad, high + pad)


def sensible(limits: tuple[float, float], y: str) -> tuple[float, float]:
    """The limits without what a percentage or a count cannot be, a little room apart."""
    low, high = limits
    if y.endswith("live_units") or y == "n_predicted":
        return max(low, -0.03 * high), high
    if labels.unit(y) != labels.PERCENT:
        return low, high
    low = max(low, -2.0)
    return low, min(high, 100 + 0.04 * (100 - low))


def vertical(ax: Axes, limits: tuple[float, float], *, log: bool) -> None:
    """Give an axes its vertical limits and ticks, labelled with plain numbers."""
    if log:
        ax.set_yscale("log")
        decades = math.log10(limits[1] / limits[0])
        locator = LogLocator(subs=(1, 2, 5) if decades < 2.5 else (1,))
        ax.yaxis.set_major_locator(locator if decades > 0.7 else MaxNLocator(5))
        ax.yaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: labels.setting(value)))
    else:
        ax.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    ax.set_ylim(*limits)


class _PlainPowers(LogFormatterMathtext):
    """Matplotlib's choice of ticks on a logarithmic axis: 10⁻³ and 20 as text, no mathtext."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        if not super().__call__(x, pos):
            return ""
        return labels.setting(x) if 0.01 <= abs(x) < 1000 else labels.power(x)


def plain_powers(fig: Canvas) -> None:
    """Write the powers on every logarithmic axis that was given no labels of its own as text.

    A figure keeps its text as text and reads no mathtext, so matplotlib's own labels would show
    their source, `$\\mathdefault{10^{-3}}$`.
    """
    for ax in fig.axes:
        for axis in (ax.xaxis, ax.yaxis):
            if isinstance(axis.get_major_formatter(), LogFormatter):
                axis.set_major_formatter(_PlainPowers())
            if isinstance(axis.get_minor_formatter(), LogFormatter):
                axis.set_minor_formatter(_PlainPowers())
