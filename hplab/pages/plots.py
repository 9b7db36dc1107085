"""The figures of a study: axis, isolation, curves, panels of a sweep, ours and theirs.

Each function takes a table of runs and returns a `Figure`, which shows itself in a notebook and in
the book; an empty table gives a note that nothing is recorded yet. Captions are made from the
table: how many seeds, which preset and data, what diverged.

Figures draw what they are handed. Three need more than a table of runs holds, curves or a matrix;
what is missing is looked up here, and nowhere else. A figure that needs neither is found by the
name of its file.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from hplab.pages.figures import confusion as _confusion
from hplab.pages.figures import learning_curves as _learning_curves
from hplab.pages.figures import sharpness as _sharpness
from hplab.pages.figures.axis import axis, isolation
from hplab.pages.figures.compare import compare
from hplab.pages.figures.figure import Figure, Html
from hplab.pages.figures.heatmap import heatmap
from hplab.pages.figures.importance import importance
from hplab.pages.figures.layers import layers
from hplab.pages.figures.lr_find import lr_find
from hplab.pages.figures.parallel import parallel
from hplab.pages.figures.scatter import scatter
from hplab.pages.figures.schedules import schedules
from hplab.pages.figures.shares import shares
from hplab.pages.figures.sharpness import published_sharpness, stability
from hplab.sweeps import series
from hplab.sweeps.store import Store
from hplab.trial import unknown

__all__ = [
    "axis",
    "compare",
    "confusion",
    "descent",
    "heatmap",
    "importance",
    "isolation",
    "layers",
    "learning_curves",
    "lr_find",
    "parallel",
    "published_sharpness",
    "scatter",
    "schedules",
    "shares",
    "stability",
]


def _of_runs(draw: Callable[..., Figure | Html]) -> Callable[..., Figure | Html]:
    """Return a figure of curves that takes a table of runs as well, and looks their curves up."""

    @functools.wraps(draw)
    def drawn(
        runs: pd.DataFrame, *args: Any, store: Store | None = None, **options: Any
    ) -> Figure | Html:
        has_curves = runs.empty or "epoch" in runs
        return draw(runs if has_curves else series.curves(runs, store=store), *args, **options)

    return drawn


learning_curves = _of_runs(_learning_curves.learning_curves)
descent = _of_runs(_sharpness.descent)


def confusion(
    runs: pd.DataFrame,
    names: Sequence[str] = (),
    *,
    class_names: Sequence[str] = (),
    store: Store | None = None,
) -> Figure | Html:
    """Draw the confusion matrices of up to three runs; see `hplab.pages.figures.confusion`.

    Args:
        runs: The runs, trained with the measure "confusion".
        names: What to call each; its seed where there is none.
        class_names: Names of the classes; numbers from 1 where there are none.
        store: Where records are; None takes the project's own.

    Returns:
        The figure, which shows itself in a notebook and has `save`; a note where `runs` is empty.
    """
    matrices = [series.confusion(row, store=store) for _, row in runs.iterrows()]
    return _confusion.confusion(runs, matrices, names, class_names=class_names)


def __getattr__(name: str) -> Any:
    """Return the figure that has a file of its name: `plots.box` is `box` of `figures/box.py`."""
    place = f"hplab.pages.figures.{name}"
    if not name.startswith("_") and importlib.util.find_spec(place):
        found = getattr(importlib.import_module(place), name, None)
        if callable(found):
            return found
    raise AttributeError(str(unknown("figure", name, __all__, "hp.plots")))
