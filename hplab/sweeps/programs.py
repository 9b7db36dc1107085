"""What a sweep file runs: a function in this process, or a script (see `scripts`)."""

from __future__ import annotations

import ast
import contextlib
import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hplab.errors import HplabError, unknown
from hplab.sweeps.points import expand
from hplab.sweeps.sweepfile import SweepFile

_FUNCTION = re.compile(r"(.+):([A-Za-z_]\w*)")
_PROJECT = (".git", "pyproject.toml")
_DEFINITIONS = (
    *(ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef),
    *(ast.Assign, ast.AnnAssign),
)


def nested(point: Mapping[str, Any]) -> dict[str, Any]:
    """Return a point with "optimizer.lr" as {"optimizer": {"lr": ...}}."""
    found: dict[str, Any] = {}
    for name, value in point.items():
        *outer, last = name.split(".")
        inner = found
        for key in outer:
            inner = inner.setdefault(key, {})
        inner[last] = value
    return found


# ------------------------------------------------------------------------- in this process


class Nested:
    """A function that is called with nested parameters, for a sweep whose points are flat."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, **point: Any) -> Any:
        return self.function(**nested(point))


def is_function(file: SweepFile) -> bool:
    """Return whether the program is a function, or a file that is there for its `train`.

    Such a file does nothing by itself: it has no `if __name__ == "__main__":`, and either its
    `train` takes every parameter, or it holds definitions only. All else is a script, and so is
    whatever the file has a command for.
    """
    if file.command or not file.program:
        return False
    path = located(file)
    if path is None:
        return bool(_FUNCTION.fullmatch(file.program))
    tree = parse(path)
    if tree is None or any(_is_main_guard(node) for node in tree.body):
        return False
    only_defines = all(isinstance(node, _DEFINITIONS) for node in tree.body[_n_docstrings(tree) :])
    return any(
        isinstance(node, ast.FunctionDef)
        and node.name == "train"
        and (only_defines or _takes(node.args, {*nested(file.parameters)}))
        for node in tree.body
    )


def _n_docstrings(tree: ast.Module) -> int:
    return int(ast.get_docstring(tree) is not None)


def _takes(args: ast.arguments, names: set[str]) -> bool:
    known = {arg.arg for arg in (*args.args, *args.kwonlyargs)}
    return args.kwarg is not None or names <= known


def _is_main_guard(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and "__name__" in ast.dump(node.test)


def parse(path: Path) -> ast.Module | None:
    """Return the syntax tree of a Python file, None of any other."""
    if path.suffix != ".py":
        return None
    try:
        return ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return None


@contextlib.contextmanager
def function_of(file: SweepFile) -> Iterator[Callable[..., Any]]:
    """Import the function that a sweep file names; its folder is on the path meanwhile.

    Raises:
        HplabError: If it cannot be imported, or takes other arguments.
    """
    match = _FUNCTION.fullmatch(file.program)
    where, name = match.groups() if match and located(file) is None else (file.program, "train")
    path = located(file, where)
    folder, module = (path.parent, path.stem) if path else (Path.cwd(), where)
    before, path_before = set(sys.modules), list(sys.path)
    sys.path.insert(0, str(folder.absolute()))
    try:
        function = _imported(file, module, name, path)
        example = dict.fromkeys(nested(file.parameters), 0)
        try:
            expand(function, [example], {})
        except HplabError as error:
            raise file.error("parameters", str(error)) from None
        yield function
    finally:
        sys.path[:] = path_before
        for new in set(sys.modules) - before:
            if _is_in(sys.modules[new], folder):
                del sys.modules[new]


def _imported(file: SweepFile, module: str, name: str, path: Path | None) -> Callable[..., Any]:
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.split(".")[0] and error.name != module:
            raise file.error("program", f"{module} needs {error.name}, not installed") from error
        raise file.error(
            "program",
            f"no module {module!r} in this folder or among the installed packages",
        ) from None
    except Exception as error:
        raise file.error(
            "program", f"{module} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    if path and not _is_in(found, path.parent):
        raise file.error(
            "program", f"another module is called {module!r} too: give the file another name"
        )
    function = getattr(found, name, None)
    if not callable(function):
        functions = [n for n, value in vars(found).items() if inspect.isfunction(value)]
        raise file.error("program", str(unknown("function", name, functions, module)))
    return function


def _is_in(module: Any, folder: Path) -> bool:
    place = getattr(module, "__file__", None)
    return place is not None and Path(place).absolute().is_relative_to(folder.absolute())


def in_project(path: Path) -> str:
    """Return where a program lies in its project, from the name of the project's folder on.

    The project is the nearest folder above it with `.git` or `pyproject.toml`, or else its own
    folder. So a project that is moved, or cloned elsewhere under its name, keeps its records.
    """
    path = path.absolute()
    marked = (p for p in path.parents if any((p / mark).exists() for mark in _PROJECT))
    return path.relative_to(next(marked, path.parent).parent).as_posix()


def place_of(file: SweepFile) -> str:
    """Return where the program of a sweep file lies in its project; "" if it is no file here."""
    match = _FUNCTION.fullmatch(file.program)
    path = located(file) if file.program else None
    if path is None and match:
        path = located(file, match[1]) or located(file, f"{match[1].replace('.', '/')}.py")
    return in_project(path) if path else ""


def located(file: SweepFile, program: str = "") -> Path | None:
    """Return the program's file, looked for in the current folder and beside the sweep file."""
    for folder in (Path.cwd(), file.path.parent):
        if (path := folder / (program or file.program)).is_file():
            return path
    return None
