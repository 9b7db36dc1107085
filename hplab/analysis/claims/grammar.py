"""How an entry of the ledger is read: field by field, as the class it becomes says.

A kind of test (`kinds/`) is a dataclass. A field without a default must be in its `test` entry, and
the type of a field says what it may hold. So a misspelt field or a forgotten margin is an error of
the file and never a wrong verdict. What the file abbreviates is written out: fields that all arms
share (`common`) and products of levels (`{lr: [0.1, 0.2], batch_size: [16, 64]}`).
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import types
import typing
from collections.abc import Collection, Iterable, Mapping
from typing import Any, ClassVar, Literal, NewType, Protocol

from hplab.analysis.claims import quantities
from hplab.analysis.claims.quantities import Quantity
from hplab.trial import HplabError, unknown

Arm = NewType("Arm", Mapping[str, Any])  # hyperparameters of one setting
Arms = NewType("Arms", tuple[Arm, ...])
_PLAIN = {float: "a number", int: "a whole number", str: "a text", bool: "true or false"}


@dataclasses.dataclass(frozen=True)
class Size:
    """A margin, a tolerance or a stated value, in a unit.

    Example:
        >>> Size(2, "pp").tested, round(Size(2, "ratio").tested, 3)
        (2, 0.693)
    """

    value: float
    unit: str

    @property
    def tested(self) -> float:
        """The value on the scale that is tested: a ratio's logarithm."""
        return math.log(self.value) if self.unit == "ratio" else self.value

    @property
    def null(self) -> float:
        """What "no effect" is in its unit."""
        return 1.0 if self.unit == "ratio" else 0.0

    @classmethod
    def read(cls, value: Any, where: str) -> Size:
        """Return a number with its unit.

        Raises:
            HplabError: If it is none, or negative.
        """
        fields(mapping(value, where), ("value", "unit"), (), where)
        size = cls(value["value"], value["unit"])
        _plain(float, size.value, f"{where}: value")
        if size.value < 0:
            raise HplabError(f"{where}: value must not be negative, got {size.value!r}")
        return size

    def check(self, units: Collection[str], where: str) -> None:
        """Check its unit.

        Raises:
            HplabError: If it is none of `units`, or a ratio is below 1.
        """
        if self.unit not in units:
            raise unknown("unit", self.unit, units, where)
        if self.unit == "ratio" and self.value < 1:
            raise HplabError(f"{where}: a ratio must be at least 1, got {self.value!r}")


class Readable(Protocol):
    """What `read` needs of a dataclass (see `kinds.kind.Kind`)."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]
    type: ClassVar[str]
    either: ClassVar[tuple[tuple[str, ...], ...]]


def read(kind: type[Readable], entry: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return the fields of a kind of test, typed.

    Args:
        kind: A dataclass. With `either` it names groups of fields of which exactly one must be
            there, whole.
        entry: What the file has; "type" is passed over.
        where: Which claim, for messages.

    Raises:
        HplabError: If a field is missing, unknown or impossible.
    """
    entry = dict(entry)
    common = mapping(entry.pop("common", {}), f"{where}, common")
    known = {field.name.rstrip("_"): field for field in dataclasses.fields(kind)}
    groups = [group for group in kind.either if any(name in entry for name in group)]
    if kind.either and len(groups) != 1:
        choices = " or ".join("+".join(group) for group in kind.either)
        raise HplabError(f"{where}, test: a {kind.type} test needs either {choices}")
    apart = {name for group in kind.either for name in group}
    free = [name for name in known if name not in apart]
    needed = [name for name in free if known[name].default is dataclasses.MISSING]
    needed += [name for group in groups for name in group]
    optional = [name for name in free if name not in needed]
    fields(entry, ("type", *needed), optional, f"{where}, test")
    hints = typing.get_type_hints(kind)
    return {
        field.name: _value(hints[field.name], entry[name], name, where, common)
        for name, field in known.items()
        if name in entry
    }


def _value(hint: Any, value: Any, name: str, where: str, common: Mapping[str, Any]) -> Any:
    """Return one field as its type says."""
    place, arguments = f"{where}, {name}", typing.get_args(hint)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):  # Arm | None, Arm | float
        hint, *other = (one for one in arguments if one is not types.NoneType)
        hint = other[0] if other and not isinstance(value, Mapping) else hint
        return _value(hint, value, name, where, common)
    if typing.get_origin(hint) is Literal:
        if value not in arguments:
            raise unknown(name, value, arguments, where)
        return value
    if typing.get_origin(hint) is Mapping:
        of = {key: (f"{name} of {key}", one) for key, one in mapping(value, place).items()}
        return {key: _value(arguments[1], one, said, where, {}) for key, (said, one) in of.items()}
    if typing.get_origin(hint) is tuple:
        each = sequence(value, place)
        return tuple(_value(arguments[0], one, name, where, common) for one in each)
    if hint is Quantity:
        return quantities.parse(value, where)
    if hint is Arm:
        return {**common, **mapping(value, place)}
    if hint is Arms:
        if isinstance(value, Mapping):
            levels = (sequence(some, f"{place}, {axis}") for axis, some in value.items())
            value = [dict(zip(value, one, strict=True)) for one in itertools.product(*levels)]
        return tuple(_value(Arm, one, name, where, common) for one in sequence(value, place))
    if hint in _PLAIN:
        return _plain(hint, value, place)
    return hint.read(value, place)


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


def mapping(value: Any, where: str) -> Mapping[str, Any]:
    """Return a value that has fields.

    Raises:
        HplabError: If it has none.
    """
    if not isinstance(value, Mapping):
        raise HplabError(f"{where}: expected fields with values, got {value!r}")
    return value


def sequence(value: Any, where: str) -> list[Any]:
    """Return a value that is a list.

    Raises:
        HplabError: If it is none.
    """
    if not isinstance(value, list):
        raise HplabError(f"{where}: expected a list, got {value!r}")
    return value


def _plain(hint: type, value: Any, where: str) -> Any:
    """Return a value of a plain type; a whole number is a number too, true and false are none."""
    wanted = (int, float) if hint is float else hint
    if not isinstance(value, wanted) or (isinstance(value, bool) and hint is not bool):
        raise HplabError(f"{where} must be {_PLAIN[hint]}, got {value!r}")
    return value
