"""Puts the glossary's words beside its terms, on whatever page they stand."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping

from bs4 import BeautifulSoup

__all__ = ["add", "definitions"]

LONGEST = 240  # characters of a definition that are shown; the glossary has all of it
_LINK = re.compile(r'<a class="reference internal" href="(?:[\w./-]*)glossary\.html#(term-[\w-]+)"')
_SENTENCE = re.compile(r"(?<=[a-z)%][.?]) (?=[A-Z])")


def definitions(glossary: str) -> dict[str, str]:
    """Return the first sentences of each term of the glossary, by the term's place on its page.

    Args:
        glossary: The glossary as HTML.

    >>> definitions('<dl class="glossary"><dt id="term-lr">lr</dt><dd><p>A size.</p></dd></dl>')
    {'term-lr': 'A size.'}
    """
    soup = BeautifulSoup(glossary, "html.parser")
    found: dict[str, str] = {}
    for term in soup.select("dl.glossary > dt[id]"):
        said = term.find_next_sibling("dd")
        if said is not None and (first := said.find("p")) is not None:
            found[str(term["id"])] = _short(" ".join(first.get_text().split()))
    return found


def _short(text: str) -> str:
    shown, *rest = _SENTENCE.split(text)
    for sentence in rest:
        if len(shown) + len(sentence) >= LONGEST:
            break
        shown = f"{shown} {sentence}"
    return shown


def add(page: str, known: Mapping[str, str]) -> str:
    """Return a page whose links to terms carry what the term means, to be shown by the style."""

    def one(found: re.Match[str]) -> str:
        said = known.get(found[1], "")
        return f'{found[0]} data-gloss="{html.escape(said)}"' if said else found[0]

    return _LINK.sub(one, page)
