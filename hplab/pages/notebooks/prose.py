"""Paragraphs that hold numbers from the records, in a notebook by itself.

In the book such a paragraph is text with `{glue:text}` in it, and the book's builder puts the
numbers in. In the `.ipynb` it is a cell whose output is the paragraph: `hplab sync` writes
`prose("... {{name}} ...")`, and `glue` fills in a value as soon as a cell has computed it.
"""

from __future__ import annotations

import re
from typing import Any

from hplab.pages import labels

BLANK = re.compile(r"\{\{([\w-]+)\}\}")
_known: dict[str, str] = {}  # what this kernel's page has glued so far
_shown: list[tuple[str, Any]] = []  # paragraphs on the page, with the handle of their output


def prose(text: str) -> None:
    """Show a paragraph whose `{{name}}` are values that `glue` gives, now or in a later cell.

    Args:
        text: Markdown.
    """
    from IPython.display import display

    text = text.strip("\n")
    _shown.append((text, display(_bundle(text), raw=True, display_id=True)))


def glued(name: str, text: str) -> bool:
    """Take up a value; return whether a paragraph of the page shows it."""
    _known[name] = labels.unbroken(text)
    places = [(text, handle) for text, handle in _shown if name in BLANK.findall(text)]
    for paragraph, handle in places:
        if handle is not None:  # there is none outside a kernel
            handle.update(_bundle(paragraph), raw=True)
    return bool(places)


def filled(text: str, known: dict[str, str]) -> str:
    """Return a paragraph with the values that are known; the others are dots and are explained."""
    shown = BLANK.sub(lambda blank: known.get(blank[1], "…"), text)
    if set(BLANK.findall(text)) <= set(known):
        return shown
    return f"{shown}\n\n*Each … is filled in when the cells below have run.*"


def _bundle(text: str) -> dict[str, str]:
    shown = filled(text, _known)
    return {"text/markdown": shown, "text/plain": shown}
