"""Pairs of study files: the reviewed `NN-topic.md` and the notebook `NN-topic.ipynb` beside it.

The text is the truth. `sync` writes the notebook from it, in the Markdown that notebooks know
(`plain.py`), `check` compares the two by what their cells say (never by file times, which a clone
does not keep) and holds the rules that every study page keeps.
"""

from __future__ import annotations

import ast
import hashlib
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbformat import NotebookNode

from hplab.pages.notebooks import plain
from hplab.trial import HplabError

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
MAX_CELL_LINES = 20
MAX_DEF_LINES = 12
KEPT = ("tags", "mystnb")  # cell metadata that reaches the page; the rest is editor state
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

_ABSOLUTE = re.compile(
    r"(?:/[A-Za-z0-9_.-]+){2,}|/(?:home|root|tmp|Users|content)\b|~/|[A-Za-z]:[\\/]\w"
)


@dataclass(frozen=True)
class Problem:
    """One broken rule: the file, the cell (counted from 1) if there is one, and what is wrong."""

    file: str
    cell: int | None
    what: str

    def __str__(self) -> str:
        return f"{self.file}{f', cell {self.cell}' if self.cell else ''}: {self.what}"


# ---------------------------------------------------------------------------------------------
# Reading and writing


def read(path: Path) -> NotebookNode:
    """Return the notebook in a `.md` (MyST) or `.ipynb` file.

    Raises:
        HplabError: If the file is missing or is neither.
    """
    try:
        if path.suffix == ".ipynb":
            return nbformat.read(path, as_version=4)
        return jupytext.reads(path.read_text(encoding="utf-8"), fmt="md:myst")
    except FileNotFoundError:
        raise HplabError(f"no such notebook: {path}") from None
    except Exception as error:  # readers of both formats raise many kinds for malformed input
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise HplabError(f"{path} is not a notebook that can be read: {reason}") from error


def fresh(notebook: NotebookNode) -> NotebookNode:
    """Return the notebook without outputs, counts or editor state, with ids made from the content.

    An id depends on the cell's own text and on how often the same cell came before, so a change in
    one cell leaves the lines of all others as they were.
    """
    seen: Counter[str] = Counter()
    cells = []
    for cell in notebook.cells:
        digest = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:12]
        seen[digest] += 1
        make = {"code": nbformat.v4.new_code_cell, "raw": nbformat.v4.new_raw_cell}
        metadata = {name: cell.metadata[name] for name in KEPT if name in cell.metadata}
        cells.append(
            make.get(cell.cell_type, nbformat.v4.new_markdown_cell)(
                cell.source, id=f"{digest}-{seen[digest]}", metadata=metadata
            )
        )
    metadata = {
        "kernelspec": dict(KERNEL),
        "language_info": {"name": "python"},
        "hplab": {**notebook.metadata.get("hplab", {}), "source": source_digest(notebook)},
    }
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


def dumps(notebook: NotebookNode) -> str:
    """Return the bytes-for-bytes stable text of a notebook file."""
    return nbformat.writes(notebook, version=nbformat.NO_CONVERT).rstrip("\n") + "\n"


def source_digest(notebook: NotebookNode) -> str:
    """Return the SHA-256 of what the cells say: the same for both files of a pair."""
    text = json.dumps([_said(cell) for cell in notebook.cells], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


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
    for _, cell in _code_cells(notebook):
        if {"remove-cell", "hide-input"} & set(cell.metadata.get("tags", [])):
            cell.metadata |= FOLDED
    return notebook


def take_back(page: Path, notebook: NotebookNode) -> bool:
    """Write a page anew from its edited notebook; return whether the text is another now.

    Raises:
        HplabError: If an edit cannot be kept (see `hplab.pages.notebooks.plain.back`).
    """
    try:
        found = plain.back(read(page), fresh(notebook), plain.around(page), _said)
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


def rules(notebook: NotebookNode, name: str) -> list[Problem]:
    """Return every rule of STUDY pages that a notebook breaks; `name` is used in the problems."""
    problems = []
    kernel = notebook.metadata.get("kernelspec", {}).get("name")
    if kernel != KERNEL["name"]:
        problems.append(Problem(name, None, f"kernelspec is {kernel!r}; it must be 'python3'"))
    try:
        parameters(notebook)
    except HplabError as error:
        problems.append(Problem(name, None, str(error)))
    setup = next((i for i, cell in _code_cells(notebook)), 0)
    for number, cell in _code_cells(notebook):
        found = _cell_problems(cell.source, may_install=number == setup)
        problems += [Problem(name, number, what) for what in found]
    return problems


def parameters(notebook: NotebookNode) -> dict[str, Any]:
    """Return the names and values that the one cell tagged `parameters` assigns.

    Raises:
        HplabError: If there is not exactly one such cell, or it holds anything but assignments of
            literals to plain names.
    """
    cells = [
        cell for _, cell in _code_cells(notebook) if "parameters" in cell.metadata.get("tags", [])
    ]
    if len(cells) != 1:
        raise HplabError(f"{len(cells)} cells are tagged 'parameters'; a study has exactly one")
    try:
        statements = ast.parse(cells[0].source).body
    except SyntaxError as error:
        raise HplabError(f"the parameters cell is not Python: {error.msg}") from None
    return dict(_assignment(statement) for statement in statements)


def _assignment(statement: ast.stmt) -> tuple[str, Any]:
    """Return the name and the literal of `name = literal`."""
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            pass
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
            pass
        case _:
            raise HplabError(
                f"the parameters cell holds {ast.unparse(statement)!r}; only `name = literal` lines"
                " may stand there"
            )
    try:
        return name, ast.literal_eval(value)
    except ValueError:
        raise HplabError(
            f"parameter {name!r} is {ast.unparse(value)!r}, which is not a literal; derive it in "
            "the next cell"
        ) from None


def _code_cells(notebook: NotebookNode) -> Iterator[tuple[int, NotebookNode]]:
    """Yield the code cells that are not empty, with their place in the notebook from 1."""
    for number, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type == "code" and cell.source.strip():
            yield number, cell


def _cell_problems(source: str, *, may_install: bool) -> Iterator[str]:
    """Yield what is wrong with one code cell; only the first of a page may install packages."""
    lines = source.splitlines()
    if len(lines) > MAX_CELL_LINES:
        yield f"{len(lines)} lines of code; at most {MAX_CELL_LINES}"
    escapes = [line.strip() for line in lines if re.match(r"\s*([!%])", line)]
    if not may_install:
        for line in escapes:
            if re.match(r"!|%+\s*(pip|conda|system|sx|bash|sh)\b", line):
                yield f"{line!r}: only the first code cell of a page may run a shell command"
    if lines and lines[0].startswith("%%"):
        return
    try:
        tree = ast.parse(re.sub(r"(?m)^(\s*)[!%].*$", r"\1pass", source))
    except SyntaxError as error:
        yield f"not Python (line {error.lineno}: {error.msg})"
        return
    for node in ast.walk(tree):
        yield from _node_problems(node)


def _node_problems(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.ImportFrom(module=module, names=[ast.alias(name="*")]):
            yield f"`from {module} import *`: name what is imported"
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            n_lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if n_lines > MAX_DEF_LINES:
                yield f"function {node.name!r} has {n_lines} lines; at most {MAX_DEF_LINES}"
        case ast.Constant(value=str() as text) if _ABSOLUTE.match(text):
            yield f"absolute path {text!r}: it exists on one machine only"
        case ast.Call(func=ast.Attribute(attr="filterwarnings"), args=[ast.Constant("ignore"), *_]):
            yield "warnings are switched off; mend their cause"


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
        if ours is None or theirs is None or _said(ours) != _said(theirs):
            what = f"differs from {path.stem}.md; run `hplab sync`"
            problems.append(Problem(path.name, number, what))
            break
    return problems + _residue(notebook, path.name)


def _residue(notebook: NotebookNode, name: str) -> list[Problem]:
    """Return what a run has left in a notebook that is to be committed."""
    problems = []
    for number, cell in _code_cells(notebook):
        if cell.get("outputs"):
            problems.append(Problem(name, number, "holds outputs; run `hplab sync`"))
        elif cell.get("execution_count") is not None:
            problems.append(Problem(name, number, "holds an execution count; run `hplab sync`"))
    if notebook.metadata.get("kernelspec", {}).get("name") != KERNEL["name"]:
        problems.append(Problem(name, None, "kernelspec is not 'python3'; run `hplab sync`"))
    for key in sorted({"widgets", "papermill"} & set(notebook.metadata)):
        problems.append(Problem(name, None, f"holds {key!r} metadata; run `hplab sync`"))
    return problems


def _said(cell: NotebookNode) -> list[Any]:
    """Return what a cell says to a reader: its kind, text, tags and figure settings."""
    metadata = {name: cell.metadata[name] for name in KEPT if cell.metadata.get(name)}
    if "tags" in metadata:
        metadata["tags"] = sorted(metadata["tags"])
    return [cell.cell_type, cell.source.rstrip(), metadata]


def _notebooks(studies: Path) -> list[Path]:
    return sorted(studies.glob("[0-9][0-9]-*.ipynb"))
