"""What each type of test must say: the grammar of the `test` entries of the ledger.

`check` looks at every field, so that a misspelt one or a forgotten margin is an error of the file
and never a wrong verdict; it also writes out what the file abbreviates: fields that all arms share
(`common`) and products of levels (`{lr: [0.1, 0.2], batch_size: [16, 64]}`).
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Mapping
from typing import Any

from hplab.analysis.claims import quantities
from hplab.trial import HplabError, unknown


@dataclasses.dataclass(frozen=True)
class Form:
    """Fields of one type of test.

    Attributes:
        needed: Fields that must be there.
        either: Groups of fields of which exactly one must be there, whole.
        optional: Fields that may be there.
    """

    needed: tuple[str, ...]
    either: tuple[tuple[str, ...], ...] = ()
    optional: tuple[str, ...] = ()


_ONE_OR_TWO = (("arm",), ("first", "second"))
FORMS: dict[str, Form] = {
    "direction": Form(("quantity", "first", "second", "margin")),
    "interaction": Form(("quantity", "first", "second", "margin")),
    "profile": Form(("quantity", "form", "x", "levels", "arm", "first", "second", "margin")),
    "sign": Form(("quantity", "arms", "way", "margin")),
    "equivalence": Form(("quantity", "margin"), _ONE_OR_TWO, ("centre",)),
    "difference": Form(("quantity", "margin"), _ONE_OR_TWO),
    "number": Form(("arm", "metrics", "tolerance")),
    "value": Form(("quantity", "value", "tolerance"), _ONE_OR_TWO),
    "trend": Form(
        ("x", "levels", "arm", "metrics", "margin"),
        (),
        ("scale", "groups", "log", "steps", "matched"),
    ),
    "ranking": Form(("quantity", "best"), (("x", "levels", "arm"), ("cells", "way"))),
    "winners": Form(("quantity", "groups", "rivals")),
    "variance": Form(("quantity", "first", "second", "margin")),
    "components": Form(("quantity", "cells", "share")),
    "most_cells": Form(("quantity", "cells", "above")),
    "shape": Form(("form", "quantity", "points", "margin"), (("first", "rivals"), ("arm",))),
    "proportion": Form(("event", "arm", "bound"), (), ("given",)),
    "proportions": Form(("event", "first", "second", "margin")),
    "correlation": Form(("quantity", "with", "cells", "margin")),
    "coverage": Form(("quantity", "spread", "error", "draws", "cells", "margin")),
    "all": Form(("parts",)),
    "none": Form(("why",)),
}
# What an event may name: final columns, and what is read off a curve.
EVENTS = ("collapsed", "top_is_majority", *quantities.EVENTS)
WORDS: dict[str, tuple[str, ...]] = {
    "form of shape": ("lowest", "rising"),
    "form of profile": ("range", "largest_drop"),
    "way of sign": ("up", "down"),
    "way of ranking": ("highest", "lowest"),
    "scale of trend": ("log2", "rank"),
    "steps of trend": ("kept", "free"),
}
BOUNDS = ("above", "below", "exists")
_ARMS = ("arm", "first", "second", "best")
_LISTS = ("arms", "rivals", "cells", "groups")


def check(test: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return a test with everything written out.

    Args:
        test: The entry as the file has it.
        where: Which claim, for messages.

    Raises:
        HplabError: If a field is missing, unknown or impossible.
    """
    test = dict(_mapping(test, where))
    kind = test.get("type")
    if kind not in FORMS:
        raise unknown("test type", kind, FORMS, where)
    common = test.pop("common", {})
    _check_fields(test, kind, f"{where}, test")
    if kind == "all":
        test["parts"] = [check(part, f"{where}, part") for part in test["parts"]]
        if len(test["parts"]) < 2 or any(p["type"] in ("all", "none") for p in test["parts"]):
            raise HplabError(f"{where}: 'all' needs two parts or more, each a test of its own")
        return test
    for name in ("form", "way", "scale", "steps"):
        if name in test:
            allowed = WORDS[f"{name} of {kind}"]
            if test[name] not in allowed:
                raise unknown(name, test[name], allowed, where)
    test = _written_out(test, common)
    _check_sizes(test, kind, where)
    _check_events(test, where)
    return test


def has_p(test: Mapping[str, Any]) -> bool:
    """Return whether a test gives a p value, without which a claim cannot be primary."""
    return test["type"] != "none"


def quantities_of(test: Mapping[str, Any]) -> list[quantities.Quantity]:
    """Return every quantity a checked test measures."""
    if test["type"] == "all":
        return [quantity for part in test["parts"] for quantity in quantities_of(part)]
    names = [test[name] for name in ("quantity", "with") if name in test]
    names += list(test.get("metrics", ()))
    return [quantities.parse(name) for name in names]


def needs(test: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return the final columns and the curves that a test takes from the table of runs."""
    if test["type"] == "all":
        parts = [needs(part) for part in test["parts"]]
        return tuple(sorted(set().union(*names)) for names in zip(*parts, strict=True))
    found = quantities_of(test)
    columns = set().union(*(quantity.columns for quantity in found))
    curves = set().union(*(quantity.curves for quantity in found))
    if test["type"] == "shape" or "matched" in test:
        columns, curves = set(), columns | curves | {test.get("matched")} - {None}
    events = {*test.get("event", ()), *test.get("given", ())}
    columns |= events - set(quantities.EVENTS)
    curves |= {quantities.EVENTS[name][0] for name in events & set(quantities.EVENTS)}
    columns |= {test[name] for name in ("spread", "error") if name in test}
    return sorted(columns), sorted(curves)


def arms_of(test: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the settings that a checked test compares, each once."""
    kind = test["type"]
    if kind == "all":
        found = [arm for part in test["parts"] for arm in arms_of(part)]
    elif kind == "winners":
        found = [{**group, **rival} for group in test["groups"] for rival in test["rivals"]]
    elif kind == "interaction":
        found = [*test["first"], *test["second"]]
    elif "levels" in test:
        sides = test.get("groups") or [test[n] for n in ("first", "second") if n in test] or [{}]
        found = [
            {**test["arm"], **side, test["x"]: level} for side in sides for level in test["levels"]
        ]
    else:
        found = [test[name] for name in ("arm", "first", "second") if name in test]
        found += [arm for name in ("arms", "rivals", "cells") for arm in test.get(name, ())]
    return [arm for i, arm in enumerate(found) if arm not in found[:i]]


def size(size: Any, units: Iterable[str], where: str) -> None:
    """Check a number with its unit: not negative, a ratio at least 1.

    Raises:
        HplabError: If it is not so, or the unit is none of `units`.
    """
    size = _mapping(size, where)
    fields(size, ("value", "unit"), (), where)
    if isinstance(size["value"], bool) or not isinstance(size["value"], (int, float)):
        raise HplabError(f"{where}: value must be a number, got {size['value']!r}")
    if size["value"] < 0:
        raise HplabError(f"{where}: value must not be negative, got {size['value']!r}")
    if size["unit"] not in set(units):
        raise unknown("unit", size["unit"], units, where)
    if size["unit"] == "ratio" and size["value"] < 1:
        raise HplabError(f"{where}: a ratio must be at least 1, got {size['value']!r}")


def fields(
    value: Mapping[str, Any], needed: Iterable[str], optional: Iterable[str], where: str
) -> None:
    """Check that a mapping has the fields it needs and no others.

    Raises:
        HplabError: If one is missing or unknown.
    """
    needed = tuple(needed)
    for name in value:
        if name not in (*needed, *optional):
            raise unknown("field", name, (*needed, *optional), where)
    for name in needed:
        if name not in value:
            raise HplabError(f"{where}: the field {name!r} is missing")


def _check_fields(test: Mapping[str, Any], kind: str, where: str) -> None:
    form = FORMS[kind]
    present = [group for group in form.either if any(name in test for name in group)]
    if form.either and len(present) != 1:
        choices = " or ".join("+".join(group) for group in form.either)
        raise HplabError(f"{where}: a {kind} test needs either {choices}")
    needed = ("type", *form.needed, *(present[0] if present else ()))
    fields(test, needed, form.optional, where)


def _written_out(test: dict[str, Any], common: Mapping[str, Any]) -> dict[str, Any]:
    """Return the test with products of levels as lists and the common fields in every arm."""
    for name in _LISTS:
        if isinstance(test.get(name), Mapping):
            axes = test[name]
            points = itertools.product(*axes.values())
            test[name] = [dict(zip(axes, point, strict=True)) for point in points]
    for name in (*_ARMS, *_LISTS):
        if isinstance(test.get(name), Mapping):
            test[name] = {**common, **test[name]}
        elif isinstance(test.get(name), list):
            test[name] = [{**common, **arm} for arm in test[name]]
    return test


def _check_sizes(test: Mapping[str, Any], kind: str, where: str) -> None:
    units = {quantity.unit for quantity in quantities_of(test)}
    if kind == "trend":
        units = {"ratio"} if test.get("log") else units | {"none"}
    own = {"variance": "ratio", "coverage": "ratio", "correlation": "tau", "proportions": "pp"}
    for name in ("margin", "value", "above"):
        if name in test:
            size(test[name], {own[kind]} if kind in own else units, f"{where}, {name}")
    if kind == "value":
        size(test["tolerance"], units, f"{where}, tolerance")
    if kind == "number":
        for name, allowed in test["tolerance"].items():
            size(allowed, {"pp", "percent"}, f"{where}, tolerance of {name}")


def _check_events(test: Mapping[str, Any], where: str) -> None:
    for name in ("event", "given"):
        for column in _mapping(test.get(name, {}), f"{where}, {name}"):
            if column not in EVENTS:
                raise unknown("column", column, EVENTS, f"{where}, {name}")
    if "bound" in test:
        bound = _mapping(test["bound"], f"{where}, bound")
        fields(bound, (), BOUNDS, f"{where}, bound")
        if len(bound) != 1:
            raise HplabError(f"{where}: a bound is one of {', '.join(BOUNDS)}")
        [(name, limit)] = bound.items()
        if isinstance(limit, bool) or not isinstance(limit, (int, float)) or not 0 < limit < 1:
            raise HplabError(
                f"{where}: the bound {name!r} must be a share between 0 and 1, got {limit!r}"
            )


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise HplabError(f"{where}: expected fields with values, got {value!r}")
    return value
