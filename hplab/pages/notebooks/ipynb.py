"""Notebooks as files: read from text or JSON, written without a trace of their run."""

from __future__ import annotations

import ast
import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbformat import NotebookNode

from hplab.trial import HplabError

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
KEPT = ("tags", "mystnb")  # cell metadata that reaches the page; the rest is editor state


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
    text = json.dumps([said(cell) for cell in notebook.cells], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def parameters(notebook: NotebookNode) -> dict[str, Any]:
    """Return the names and values that the one cell tagged `parameters` assigns.

    Raises:
        HplabError: If there is not exactly one such cell, or it holds anything but assignments of
            literals to plain names.
    """
    cells = [
        cell for _, cell in code_cells(notebook) if "parameters" in cell.metadata.get("tags", [])
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


def code_cells(notebook: NotebookNode) -> Iterator[tuple[int, NotebookNode]]:
    """Yield the code cells that are not empty, with their place in the notebook from 1."""
    for number, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type == "code" and cell.source.strip():
            yield number, cell


def said(cell: NotebookNode) -> list[Any]:
    """Return what a cell says to a reader: its kind, text, tags and figure settings."""
    metadata = {name: cell.metadata[name] for name in KEPT if cell.metadata.get(name)}
    if "tags" in metadata:
        metadata["tags"] = sorted(metadata["tags"])
    return [cell.cell_type, cell.source.rstrip(), metadata]
