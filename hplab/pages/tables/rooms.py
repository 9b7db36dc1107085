"""How the package is laid out, read off its sources: its rooms, their size, who imports whom."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from hplab import places
from hplab.pages.tables.markdown import table

FLOORS = ("cli", "pages", "analysis", "sweeps", "training")  # from the top; below is the ground


def tables(package: Path = places.CODE / "hplab") -> dict[str, Callable[[], str]]:
    """Return the tables of the page on the layout by the names that it asks for."""
    return {"rooms": lambda: rooms(package), "ground": lambda: ground(package)}


def rooms(package: Path) -> str:
    """A row a room, from the floor that readers see down: purpose, size, and what it stands on."""
    sources = modules(package)
    rows = []
    for room, files in _rooms(sources):
        mine = [name for name in files if sources[name].name != "__init__.py"]
        below = {_room(other, sources) for name in files for other in imports(name, sources)}
        named = sorted(below - {room, package.name}, key=_rank)
        rows.append(
            (
                f"`{_short(room)}`",
                _purpose(sources[room]),
                len(mine),
                sum(_n_lines(sources[name]) for name in files),
                ", ".join(f"`{_short(other)}`" for other in named) or "only the ground",
            )
        )
    return table(("room", "what it is for", "files", "lines", "imports from"), rows)


def ground(package: Path) -> str:
    """A row a module of the ground, on which the floors stand."""
    sources = modules(package)
    rows = [
        (f"`{_short(name)}.py`", _purpose(path), _n_lines(path))
        for name, path in sources.items()
        if _room(name, sources) == package.name and name != package.name
    ]
    return table(("file", "what it is for", "lines"), rows)


def modules(package: Path) -> dict[str, Path]:
    """Return the sources of a package by dotted name, in the order of their names."""
    found = {}
    for path in package.rglob("*.py"):
        parts = path.relative_to(package.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return dict(sorted(found.items()))


def imports(module: str, sources: Mapping[str, Path]) -> Iterator[str]:
    """Yield the modules that a module imports, wherever in it that stands; others are left out."""
    for node in ast.walk(ast.parse(sources[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in sources)
        elif isinstance(node, ast.ImportFrom) and node.module in sources:
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (name if name in sources else str(node.module) for name in names)


def _rooms(sources: Mapping[str, Path]) -> Iterator[tuple[str, list[str]]]:
    """Yield each room but the ground with its modules, from the top floor down."""
    found: dict[str, list[str]] = {}
    for name in sources:
        found.setdefault(_room(name, sources), []).append(name)
    for room in sorted(found, key=_rank):
        if "." in room:
            yield room, found[room]


def _room(module: str, sources: Mapping[str, Path]) -> str:
    return module if sources[module].name == "__init__.py" else module.rpartition(".")[0]


def _rank(room: str) -> tuple[int, str]:
    floor = room.split(".")[1] if "." in room else ""
    return FLOORS.index(floor) if floor in FLOORS else len(FLOORS), room


def _short(module: str) -> str:
    return module.partition(".")[2].replace(".", "/")


def _purpose(path: Path) -> str:
    said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return said.partition("\n")[0]


def _n_lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())
