"""A new study: its page and notebook, a test, and its line in the table of contents.

What is written works as it stands and asks a small question of its own, so that there is something
to change step by step. The texts are in `template/`.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable
from pathlib import Path

from hplab.pages.notebooks import pairing
from hplab.trial import HplabError

TEMPLATE = Path(__file__).with_name("template")
LONGEST = 40  # characters of a topic: it is part of addresses and of file names
_LAST = re.compile(
    r"(?m)^([ \t]*- file: studies/)[\w-]+[ \t]*\n(?!.*^[ \t]*- file: studies/)", re.DOTALL
)


def create(root: Path, topic: str, question: str = "") -> list[Path]:
    """Write a new study into a clone.

    Args:
        root: The clone.
        topic: What it is about, such as "momentum": small letters, digits and single dashes.
        question: Its title; "" asks whether the topic matters.

    Returns:
        The files that were written or changed.

    Raises:
        HplabError: If the topic is no such name or has a study, or the table of contents lists no
            studies. Then nothing is written.
    """
    studies, contents = root / "book" / "studies", root / "book" / "_toc.yml"
    stem = f"{_number(studies):02d}-{_checked(topic, pairing.pages(studies))}"
    toc = _with_chapter(contents.read_text(encoding="utf-8"), stem)
    words = {
        "stem": stem,
        "topic": topic,
        "question": question or f"Does {topic.replace('-', ' ')} matter?",
    }
    page = studies / f"{stem}.md"
    test = root / "tests" / "notebooks" / f"test_{stem.replace('-', '_')}.py"
    for path, template in ((page, "study.md"), (test, "test.txt")):
        text = (TEMPLATE / template).read_text(encoding="utf-8")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(string.Template(text).substitute(words), encoding="utf-8", newline="\n")
    contents.write_text(toc, encoding="utf-8", newline="\n")
    return [page, *pairing.sync_one(page), test, contents]


def _checked(topic: str, pages: Iterable[Path]) -> str:
    """Return the topic if it may name a new study."""
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", topic) or len(topic) > LONGEST:
        raise HplabError(
            f"a study is named by its topic, such as momentum or label-noise: small letters, digits"
            f" and single dashes, at most {LONGEST}; got {topic!r}"
        )
    for page in pages:
        if page.stem.partition("-")[2] == topic:
            raise HplabError(f"there is a study of that name: book/studies/{page.name}")
    return topic


def _number(studies: Path) -> int:
    """Return the number after the last one."""
    numbers = [int(page.name[:2]) for page in pairing.pages(studies)]
    if (number := max(numbers, default=0) + 1) > 99:
        raise HplabError("studies have two digits, and there is one with 99")
    return number


def _with_chapter(toc: str, stem: str) -> str:
    """Return the table of contents with the new study after the last one; comments stay."""
    new, n_found = _LAST.subn(lambda found: f"{found[0]}{found[1]}{stem}\n", toc, count=1)
    if not n_found:
        raise HplabError("book/_toc.yml lists no study, so it is not clear where a new one belongs")
    return new
