"""Tables as a prose page takes them: in Markdown, or as raw HTML."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table; columns of numbers are set to the right, missing values say so.

    A cell is text, whatever it holds: a `<` in it begins no element of the page, unless the cell is
    `Markup`.

    >>> print(table(["preset", "trials"], [["smoke", 12], ["paper", None], ["a|b", 3]]))
    | preset | trials |
    | --- | --- |
    | smoke | 12 |
    | paper | not noted |
    | a\\|b | 3 |
    """
    cells = [
        ["not noted" if value in (None, "") else _text(value) for value in row] for row in rows
    ]
    numeric = [
        all(re.fullmatch(r"[\d.,]+( s)?", row[i]) for row in cells) for i in range(len(head))
    ]
    rule = ["---:" if right else "---" for right in numeric]
    lines = [
        [_text(name) for name in head],
        rule,
        *([value.replace("|", "\\|") for value in row] for row in cells),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


class Markup(str):
    """A cell of a table that is Markdown or HTML on purpose."""


def _text(value: Any) -> str:
    return value if isinstance(value, Markup) else str(value).replace("<", "&lt;")


def raw(markup: str) -> str:
    """Return HTML as a Markdown page takes it.

    >>> raw("<b>x</b>").split("\\n")
    ['```{raw} html', '<b>x</b>', '```']
    """
    return f"```{{raw}} html\n{markup}\n```"


def of_file(path: Path, make: Callable[[dict[str, Any]], str], none: str) -> Callable[[], str]:
    """Return what makes a table of a JSON file when asked, and says `none` where it is not."""

    def page() -> str:
        return make(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else none

    return page
