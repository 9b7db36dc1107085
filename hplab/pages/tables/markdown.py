"""Tables in Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table; columns of numbers are set to the right, missing values say so."""
    cells = [["not noted" if value in (None, "") else str(value) for value in row] for row in rows]
    numeric = [
        all(re.fullmatch(r"[\d.,]+( s)?", row[i]) for row in cells) for i in range(len(head))
    ]
    rule = ["---:" if right else "---" for right in numeric]
    lines = [list(head), rule, *([value.replace("|", "\\|") for value in row] for row in cells)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
