"""The figures of a study: axis, isolation, learning curves, shares, confusion, ours and theirs.

Each function takes a table of runs and returns a `Figure`, which shows itself in a notebook and in
the book; an empty table gives a note that nothing is recorded yet. Captions are made from the
table: how many seeds, which preset and data, what diverged.
"""

from __future__ import annotations

from hplab.pages.figures.axis import axis, isolation
from hplab.pages.figures.compare import compare
from hplab.pages.figures.confusion import confusion
from hplab.pages.figures.heatmap import heatmap
from hplab.pages.figures.layers import layers
from hplab.pages.figures.learning_curves import learning_curves
from hplab.pages.figures.lr_find import lr_find
from hplab.pages.figures.schedules import schedules
from hplab.pages.figures.shares import shares
from hplab.pages.figures.sharpness import descent, published_sharpness, stability

__all__ = [
    "axis",
    "compare",
    "confusion",
    "descent",
    "heatmap",
    "isolation",
    "layers",
    "learning_curves",
    "lr_find",
    "published_sharpness",
    "schedules",
    "shares",
    "stability",
]
