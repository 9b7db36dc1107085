"""Points of a sweep over a reader's own function: what it is called with, plain and checked."""

from __future__ import annotations

import inspect
import itertools
import json
import math
from collections.abc import Callable, Iterable, Mapping
from numbers import Integral
from typing import Any

from hplab.errors import HplabError, unknown
from hplab.trial import canonical

Point = dict[str, Any]

SEED = "seed"
# A table of runs has columns of these names that mean something else.
TAKEN = ("status", "key", "prov", "settings", "code", "epoch")


def expand(
    function: Callable, given: Iterable[Mapping[str, Any]] | None, axes: Mapping[str, Any]
) -> list[Point]:
    """Return every point that the function is to be called at, the last axis varying fastest.

    Arguments with a plain default that no point names are filled in, so that a point is the same
    whether its defaults are spelled out or not.

    Args:
        function: What will be called.
        given: Mappings or a data frame, each laid under every combination of the axes; None for
            nothing but the axes.
        axes: Argument to its values: anything to be gone through, or one value by itself.

    Raises:
        HplabError: If an argument is unknown, missing or named twice, a value is impossible, or a
            point is repeated.
    """
    columns = {name: _axis(name, values) for name, values in axes.items()}
    rows = [{}] if given is None else _rows(given)
    if twice := sorted({name for row in rows for name in row} & columns.keys()):
        raise HplabError(f"{twice[0]!r} is among the points and an argument beside them: keep one")
    names = list(columns)
    combined = itertools.product(rows, itertools.product(*columns.values()))
    found = [{**row, **dict(zip(names, values, strict=True))} for row, values in combined]
    filled = _Call(function)
    found = [filled.point(point) for point in found]
    seen = set()
    for point in found:
        if (text := canonical(point)) in seen:
            raise HplabError(f"a point is repeated: {words(point)}")
        seen.add(text)
    return found


def words(point: Mapping[str, Any]) -> str:
    """Return a point as it is typed: "depth=2, kernel='rbf', seed=0"."""
    return ", ".join(f"{name}={value!r}" for name, value in point.items())


def plain(value: Any, where: str) -> Any:
    """Return a value as plain Python has it: a number, text, True, False, None or a tuple of them.

    Numbers of NumPy and other libraries are converted, since the function is to get exactly what is
    recorded.

    Raises:
        HplabError: If it is anything else, or a number that is not finite.
    """
    if isinstance(value, tuple):
        return tuple(plain(one, where) for one in value)
    if type(value).__module__ != "builtins" and _is_one_number(value):
        value = value.item()
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float:
        if math.isfinite(value):
            return value
        raise HplabError(f"{where} is {value}: give a finite number, None, or a text for it")
    hint = "; a tuple may hold several" if isinstance(value, list | set) else ""
    raise HplabError(
        f"{where} is a {type(value).__name__} ({value!r:.60}): a setting is a number, text, True, "
        f"False, None or a tuple of them{hint}; for anything else give its name and look it up in "
        "the function"
    )


def _is_one_number(value: Any) -> bool:
    """Return whether a value is a number of a library: of NumPy, or a tensor without dimensions."""
    return callable(getattr(value, "item", None)) and getattr(value, "ndim", None) == 0


def _axis(name: str, values: Any) -> list[Any]:
    if isinstance(values, Mapping | set | frozenset):
        raise HplabError(f"{name} is a {type(values).__name__}: give a list of values")
    is_one = isinstance(values, str | bytes) or not isinstance(values, Iterable)
    if is_one or _is_one_number(values):
        return [plain(values, name)]
    found = [plain(value, f"a value of {name}") for value in values]
    if not found:
        raise HplabError(f"{name} has no values")
    return found


def _rows(given: Any) -> list[Point]:
    if hasattr(given, "to_dict"):
        given = given.to_dict("records")
    is_one = isinstance(given, Mapping | str) or not isinstance(given, Iterable)
    if is_one or _is_one_number(given):
        raise HplabError("points must be a list of mappings or a data frame, one row a point")
    rows = []
    for i, row in enumerate(given):
        if not isinstance(row, Mapping):
            raise HplabError(f"points[{i}] must be a mapping from argument to value, got {row!r}")
        rows.append({str(k): plain(v, f"{k} of points[{i}]") for k, v in row.items()})
    if not rows:
        raise HplabError("points is empty")
    return rows


class _Call:
    """What a function can be called with."""

    def __init__(self, function: Callable) -> None:
        self.name = name_of(function)
        try:
            self.signature: inspect.Signature | None = inspect.signature(function)
        except (TypeError, ValueError):  # some functions written in C
            self.signature = None
        parameters = self.signature.parameters if self.signature else {}
        self.parameters = parameters
        self.defaults = {
            name: parameter.default
            for name, parameter in parameters.items()
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
            and parameter.default is not parameter.empty
            and _is_plain(parameter.default)
        }
        self.fits: set[tuple[str, ...]] = set()

    def point(self, given: Point) -> Point:
        """Return the point with defaults filled in; refuse what the function cannot be given."""
        if (names := tuple(given)) not in self.fits:
            self._check(names)
            self.fits.add(names)
        seed = given.get(SEED, 0)
        if isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0:
            raise HplabError(f"seed must be a whole number from 0, got {seed!r}")
        filled = {**given, **{k: v for k, v in self.defaults.items() if k not in given}}
        if filled.get(SEED, 0) is None:  # a function that draws a seed of its own by default
            del filled[SEED]
        return filled

    def _check(self, names: tuple[str, ...]) -> None:
        for name in names:
            if name in TAKEN:
                raise HplabError(
                    f"an argument cannot be called {name!r} in a sweep: the table of runs has a "
                    "column of that name"
                )
        if self.signature is None:
            return
        takes_any = any(p.kind is p.VAR_KEYWORD for p in self.parameters.values())
        for name in names:
            if name in self.parameters or takes_any:
                continue
            if name == SEED:
                raise HplabError(
                    f"{self.name}() takes no seed: give it an argument `seed` and draw all that is "
                    "random from it, as with np.random.default_rng(seed); or leave the seeds out, "
                    "and each setting runs once"
                )
            raise unknown("argument", name, self.parameters, f"{self.name}()")
        try:
            self.signature.bind(**dict.fromkeys(names))
        except TypeError as error:
            raise HplabError(f"{self.name}() cannot be called with {names}: {error}") from error


def _is_plain(value: Any) -> bool:
    try:
        plain(value, "")
        json.dumps(value)
    except (HplabError, TypeError):
        return False
    return True


def name_of(function: Any) -> str:
    """Return what a function is called, however it is wrapped."""
    while not hasattr(function, "__name__") and hasattr(function, "func"):
        function = function.func  # functools.partial
    return str(getattr(function, "__name__", type(function).__name__)).strip("<>")
