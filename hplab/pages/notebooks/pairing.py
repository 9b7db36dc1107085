"""Pairs of study files: the reviewed `NN-topic.md` and the notebook `NN-topic.ipynb` beside it.

The text is the truth. `sync` writes the notebook from it, in the Markdown that notebooks know
(`plain.py`), `check` compares the two by what their cells say (never by file times, which a clone
does not keep) and holds the rules that every study page keeps.
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import jupytext
from nbformat import NotebookNode

from hplab.pages.notebooks import plain
from hplab.pages.notebooks.ipynb import code_cells, dumps, fresh, read, said, source_digest
from hplab.pages.notebooks.rules import Problem, residue, rules
from hplab.trial import HplabError

# Code that the book does not show at first is folded in a notebook: for JupyterLab, for Colab.
FOLDED = {"jupyter": {"source_hidden": True}, "cellView": "form"}
HEADER = """\
---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---
"""


# ---------------------------------------------------------------------------------------------
# Reading and writing


def text_of(page: NotebookNode) -> str:
    """Return a page as its `.md` has it, with the one header that all pages have."""
    return with_header(jupytext.writes(page, fmt="md:myst"))


def with_header(text: str) -> str:
    """Return a page's text with the header that all pages have in place of an editor's."""
    return re.sub(r"\A---\n.*?\n---\n", lambda _: HEADER, text, count=1, flags=re.DOTALL)


def notebook_of(page: Path) -> NotebookNode:
    """Return the notebook of a page: in plain Markdown, without outputs.

    Raises:
        HplabError: If the page cannot be read, or uses MyST that has no plain form.
    """
    try:
        notebook = fresh(plain.plain(read(page), plain.around(page)))
    except HplabError as error:
        raise HplabError(f"{page.name}, {error}") from None
    for _, cell in code_cells(notebook):
        if {"remove-cell", "hide-input", "hide-cell"} & set(cell.metadata.get("tags", [])):
            cell.metadata |= FOLDED
    return notebook


def take_back(page: Path, notebook: NotebookNode) -> bool:
    """Write a page anew from its edited notebook; return whether the text is another now.

    Raises:
        HplabError: If an edit cannot be kept (see `hplab.pages.notebooks.plain.back`).
    """
    try:
        found = plain.back(read(page), fresh(notebook), plain.around(page), said)
    except HplabError as error:
        raise HplabError(f"{page.stem}.ipynb: {error}") from None
    old, new = page.read_text(encoding="utf-8"), text_of(found)
    if new != old:
        page.write_text(new, encoding="utf-8", newline="\n")
    return new != old


def sync(studies: Path, *, force: bool = False, back: bool = False) -> list[Path]:
    """Write the notebook of every study page and return the files that changed.

    Args:
        studies: The folder.
        force: Drop what was edited in notebooks.
        back: Bring what was edited in notebooks into the pages first.

    Raises:
        HplabError: If a page cannot be read, a notebook has no page (nothing is deleted), or a
            notebook was edited since it was written and would lose that (unless `force` or `back`).
    """
    lost = [path for path in _notebooks(studies) if not path.with_suffix(".md").exists()]
    if lost:
        raise HplabError(
            f"{lost[0].name} has no {lost[0].stem}.md beside it; make it with "
            f"`jupytext --to md:myst {lost[0].name}` or delete the notebook"
        )
    written = []
    for page in pages(studies):
        written += sync_one(page, force=force, back=back)
    return written


def sync_one(page: Path, *, force: bool = False, back: bool = False) -> list[Path]:
    """Write the notebook of one page, as `sync` does; return the files that changed."""
    written = []
    notebook, target = page.with_suffix(".ipynb"), notebook_of(page)
    if not force and _edited(notebook, target):
        if not back:
            raise HplabError(
                f"{notebook.name} was edited and differs from {page.name}: keep the edits with "
                "`hplab sync --back`, or drop them with `hplab sync --force`"
            )
        edited = read(notebook)
        if source_digest(target) != edited.metadata["hplab"]["source"]:
            raise HplabError(
                f"both {page.name} and {notebook.name} were edited: bring the one's edits into the "
                "other by hand, then `hplab sync --force`"
            )
        written += [page] if take_back(page, edited) else []
        target = notebook_of(page)
    text = dumps(target)
    if not notebook.exists() or notebook.read_text(encoding="utf-8") != text:
        notebook.write_text(text, encoding="utf-8", newline="\n")
        written.append(notebook)
    return written


def _edited(path: Path, target: NotebookNode) -> bool:
    """Return whether a notebook says something that neither its page nor its last sync said."""
    try:
        notebook = read(path)
    except HplabError:  # missing, or torn by a merge: nothing that can be kept
        return False
    last = notebook.metadata.get("hplab", {}).get("source")
    return source_digest(notebook) not in (last, source_digest(target)) and last is not None


def pages(studies: Path) -> list[Path]:
    """Return the study pages, in reading order."""
    return sorted(studies.glob("[0-9][0-9]-*.md"))


# ---------------------------------------------------------------------------------------------
# Checks


def check(studies: Path) -> list[Problem]:
    """Return every way in which the pairs of a folder differ or break a rule."""
    problems = []
    for page in pages(studies):
        try:
            source = read(page)
        except HplabError as error:
            problems.append(Problem(page.name, None, str(error)))
            continue
        problems += rules(source, page.name)
        if not page.read_text(encoding="utf-8").startswith(HEADER):
            problems.append(Problem(page.name, None, "has not the header that all pages have"))
        problems += _compare(page)
    for path in _notebooks(studies):
        if not path.with_suffix(".md").exists():
            problems.append(Problem(path.name, None, f"has no {path.stem}.md beside it"))
    return problems


def _compare(page: Path) -> list[Problem]:
    """Return how the notebook of a page differs from it, and what it should not hold."""
    path = page.with_suffix(".ipynb")
    if not path.exists():
        return [Problem(path.name, None, "is missing; run `hplab sync`")]
    try:
        target, notebook = notebook_of(page), read(path)
    except HplabError as error:
        return [Problem(path.name, None, str(error))]
    problems = []
    pairs = itertools.zip_longest(target.cells, notebook.cells)
    for number, (ours, theirs) in enumerate(pairs, start=1):
        if ours is None or theirs is None or said(ours) != said(theirs):
            what = f"differs from {path.stem}.md; run `hplab sync`"
            problems.append(Problem(path.name, number, what))
            break
    return problems + residue(notebook, path.name)


def _notebooks(studies: Path) -> list[Path]:
    return sorted(studies.glob("[0-9][0-9]-*.ipynb"))
