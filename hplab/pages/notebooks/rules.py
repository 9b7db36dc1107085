"""The rules that every study page keeps."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from nbformat import NotebookNode

from hplab.pages.notebooks.ipynb import KERNEL, code_cells, parameters
from hplab.trial import HplabError

MAX_CELL_LINES = 20
MAX_DEF_LINES = 12
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
    setup = next((i for i, cell in code_cells(notebook)), 0)
    for number, cell in code_cells(notebook):
        found = _cell_problems(cell.source, may_install=number == setup)
        problems += [Problem(name, number, what) for what in found]
    return problems


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


def residue(notebook: NotebookNode, name: str) -> list[Problem]:
    """Return what a run has left in a notebook that is to be committed."""
    problems = []
    for number, cell in code_cells(notebook):
        if cell.get("outputs"):
            problems.append(Problem(name, number, "holds outputs; run `hplab sync`"))
        elif cell.get("execution_count") is not None:
            problems.append(Problem(name, number, "holds an execution count; run `hplab sync`"))
    if notebook.metadata.get("kernelspec", {}).get("name") != KERNEL["name"]:
        problems.append(Problem(name, None, "kernelspec is not 'python3'; run `hplab sync`"))
    for key in sorted({"widgets", "papermill"} & set(notebook.metadata)):
        problems.append(Problem(name, None, f"holds {key!r} metadata; run `hplab sync`"))
    return problems
