"""The look that boxes, figures and tables bring along where the book's style sheet is not.

Each output carries it: a notebook shows a cell's output by itself (Colab in a frame of its own, and
JupyterLab takes cells off the page that are scrolled away), so no cell can rely on another's style.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

from hplab import places


def styled(markup: str) -> str:
    """Return markup with its style, or as it is in a run for the book, which has a style sheet."""
    if places.is_for_the_book():
        return markup
    return f"<style>{sheet()}</style>{markup}"


@functools.cache
def sheet() -> str:
    """Return the style sheet without its comment and line breaks."""
    text = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
    return re.sub(r"\s+", " ", re.sub(r"/\*.*?\*/", "", text, flags=re.S)).strip()
