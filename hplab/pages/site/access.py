"""Mends markup of Sphinx and pandas that a screen reader stumbles over."""

from __future__ import annotations

import re

__all__ = ["mend"]

_EMPTY_HEAD = re.compile(r"<th(?:\s[^>]*)?>\s*</th>")
_PARAMETERS = re.compile(r'(<span class="sig-paren">\(</span>\s*)<dl>(.*?)</dl>', re.DOTALL)


def mend(page: str) -> str:
    """Return a page without these faults, which nobody sees and a screen reader says aloud.

    - A corner of a table that heads nothing is an empty cell, not an empty heading.
    - The parameters of a signature that takes several lines are no list of definitions: they have
      no terms.
    - Entries of the bibliography are the items of their list. The role they come with is retired.

    >>> mend("<tr><th></th><th>lr</th></tr>")
    '<tr><td></td><th>lr</th></tr>'
    """
    page = _EMPTY_HEAD.sub("<td></td>", page)
    page = _PARAMETERS.sub(_lines, page)
    return page.replace('role="doc-biblioentry"', 'role="listitem"')


def _lines(found: re.Match[str]) -> str:
    lines = found[2].replace("<dd>", '<span class="hp-parameter">').replace("</dd>", "</span>")
    return f"{found[1]}{lines}"
