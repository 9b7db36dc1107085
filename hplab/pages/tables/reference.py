"""The reference: pages on all that `hp` offers, from the docstrings.

A name that is a module, such as `hp.plots`, has a page of its own, with what its `__all__` lists.
The other names share pages, by the floor that they stand on. So a name that is added to the surface
in `hplab/__init__.py` is in the reference without being written down again.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any

from hplab.pages.tables.markdown import Markup, table

FOLDER = "api"
SHARED = {  # pages of names from several modules: title, and what they are for
    "runs": ("Trials and runs", "Declare training runs, train what is missing, get a table."),
    "numbers": ("Numbers of runs", "What can be read off runs, and off the reports' own numbers."),
    "page": ("On a page", "Tables, cards and controls that a notebook shows."),
}
_NAMES = re.compile(r"^\s+\w+(, \w+)+(?=: )")  # "low, high: the limits" of a section
_SECTION = re.compile(r"(Args|Attributes|Returns|Yields|Raises|Example|References):")
_SIGN = re.compile(r"\||(?<=\w)_(?!\w)")
_FLOORS = {"analysis": "numbers", "pages": "page"}  # what stands lower is about runs


def tables() -> dict[str, Callable[[], str]]:
    """Return the overview of the surface, by the name that its page asks for."""
    return {"reference": overview}


def overview() -> str:
    """Return a section a page: each name with what it is, and the way to its entry."""
    parts = []
    for page, names in contents().items():
        title, about = _heading(page)
        rows = [(Markup(_link(name)), summary(name, found)) for name, found in names.items()]
        parts.append(f"## {title}\n\n{about}\n\n{table(('name', 'what it does'), rows)}")
    return "\n\n".join(parts)


def pages() -> dict[str, str]:
    """Return the pages of the reference as MyST, by name below the book's folder, in order."""
    return {f"{FOLDER}/{page}": _page(page, names) for page, names in contents().items()}


def contents() -> dict[str, dict[str, Any]]:
    """Return what each page documents: {page: {name: object}}, names as in `hp.run`."""
    found: dict[str, dict[str, Any]] = {page: {} for page in SHARED}
    for name, where, value in surface():
        if isinstance(value, ModuleType):
            found[name] = {f"{name}.{member}": getattr(value, member) for member in value.__all__}
        else:
            found[_FLOORS.get(where.split(".")[1], "runs")][name] = value
    return {page: names for page, names in found.items() if names}


def surface() -> Iterator[tuple[str, str, Any]]:
    """Yield each name of the surface, the place it comes from, and the object."""
    hp: Any = importlib.import_module("hplab")
    for name, where in hp._SURFACE.items():
        yield name, where, getattr(hp, name)


def signature(
    _app: Any, _what: str, _name: str, value: Any, _options: Any, said: str | None, returned: Any
) -> tuple[str, Any] | None:
    """Return a signature with the defaults that a data class makes anew; Sphinx asks for it."""
    if said is None or not dataclasses.is_dataclass(value):
        return None
    for field in dataclasses.fields(value):
        if field.default_factory is not dataclasses.MISSING:
            said = said.replace("<factory>", repr(field.default_factory()), 1)
    return said, returned


def docstring(
    _app: Any, what: str, _name: str, _value: Any, _options: Any, lines: list[str]
) -> None:
    """Turn the lines of a docstring into what Sphinx reads, in place; Sphinx asks for it.

    A block that is indented below a paragraph is code, and signs that mean something to Sphinx
    (`|`, and a `_` that ends a word) are signs. What stands before a colon is the type of a
    property to Sphinx, and before the last of several names the type of that one: neither is meant.
    """
    if what in ("property", "attribute") and ":" in next(iter(lines), ""):
        lines[0] = f": {lines[0]}"  # what stands before the first colon, nothing, is the type
    in_code = in_sections = False
    made: list[str] = []
    for number, line in enumerate(lines):
        in_sections = in_sections or bool(_SECTION.fullmatch(line))
        deep = line.startswith("    ") and not in_sections
        if deep and not in_code and number and not lines[number - 1].strip():
            made += [".. code-block:: python", ""]
            in_code = True
        elif line.strip() and not deep:
            in_code = False
        if in_sections:
            line = _NAMES.sub(lambda found: found[0].replace(", ", ",\u200b"), line)
        made.append(line if in_code or ">>>" in line else _plain(line))
    lines[:] = made


def _plain(line: str) -> str:
    """Return a line in which nothing outside backticks means something to Sphinx."""
    parts = line.split("`")
    parts[::2] = [_SIGN.sub(r"\\\g<0>", part) for part in parts[::2]]
    return "`".join(parts)


def summary(name: str, value: Any) -> str:
    """Return what the first paragraph of a docstring says; of a constant, the comment beside it."""
    return _first(value) if callable(value) else _remark(name)


def _first(value: Any) -> str:
    return " ".join((inspect.getdoc(value) or "").partition("\n\n")[0].split())


def _heading(page: str) -> tuple[str, str]:
    if page in SHARED:
        return SHARED[page]
    return f"hp.{page}", _first(_module(page))


def _page(page: str, names: Mapping[str, Any]) -> str:
    title, about = _heading(page)
    if page not in SHARED:
        about = inspect.getdoc(_module(page)) or ""
    entries = "\n\n".join(_entry(name, value) for name, value in names.items())
    return f"# {title}\n\n{about}\n\n```{{eval-rst}}\n{entries}\n```\n"


def _entry(name: str, value: Any) -> str:
    """Return what makes Sphinx write the entry of one name."""
    full = f"hplab.{name}"
    if inspect.isclass(value):
        return f".. autoclass:: {full}\n   :members:"
    if callable(value):
        return f".. autofunction:: {full}"
    return f".. py:data:: {full}\n   :value: {value!r}\n\n   {_remark(name)}"


def _remark(name: str) -> str:
    """Return the comment that stands above a constant or behind it."""
    module, _, constant = name.rpartition(".")
    source = inspect.getsource(_module(module))
    found = re.search(rf"(?m)((?:^# .*\n)*)^{constant} = .*?(?:  # (.*))?$", source)
    above, behind = found.groups() if found else ("", "")
    return " ".join(line.removeprefix("# ") for line in above.splitlines()) or behind or ""


def _module(page: str) -> ModuleType:
    return getattr(importlib.import_module("hplab"), page)


def _link(name: str) -> str:
    return f"{{py:obj}}`hp.{name} <hplab.{name}>`"
