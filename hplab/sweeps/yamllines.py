"""YAML with line numbers: what a file says, and where it says it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from hplab.errors import HplabError, nearest, unknown
from hplab.sweeps.records import shown

# YAML 1.1, which PyYAML reads and W&B too, wants a point and a sign: 1.0e-3. These are text to it.
_ENDINGS = ("*.yaml", "*.yml")
_NUMBER = re.compile(r"([-+]?[0-9_]+)(\.[0-9_]*)?[eE]([-+]?)([0-9]+)")


class Item(NamedTuple):
    """A value of the file: a mapping from name to items, a list of items, or a scalar.

    Attributes:
        value: What it holds.
        line: Where it begins, from 1.
        meant: The number that a text without quotes was meant to be, in writing that YAML reads as
            one; "" for all else.
    """

    value: Any
    line: int
    meant: str = ""

    def plain(self) -> Any:
        """Return the value without line numbers."""
        if isinstance(self.value, dict):
            return {name: item.plain() for name, item in self.value.items()}
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        return self.value


class Lines:
    """A YAML file that holds a mapping.

    Attributes:
        top: Its content.

    Args:
        path: The file.

    Raises:
        HplabError: If it cannot be read, is no YAML, names a key twice or holds no mapping.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            text = path.read_text(encoding="utf-8-sig")
        except OSError as error:
            near = nearest(path.name, [p.name for e in _ENDINGS for p in path.parent.glob(e)])
            raise HplabError(f"cannot read {shown(path)}: {error.strerror}{near}") from None
        except UnicodeDecodeError:
            raise HplabError(f"cannot read {shown(path)}: it is no text in UTF-8") from None
        try:
            self._loader = yaml.SafeLoader(text)
            node = self._loader.get_single_node()
            self.top = Item({}, 1) if node is None else self._item(node, set())
        except yaml.YAMLError as error:
            raise self._not_yaml(error) from None
        except RecursionError:
            raise HplabError(f"{shown(path)}: it is nested too deeply") from None
        except ValueError as error:  # a number of thousands of digits, the 31st of February
            raise HplabError(f"{shown(path)}: a value cannot be read: {error}") from None
        if not isinstance(self.top.value, dict) or not self.top.value:
            raise HplabError(f"{shown(path)}: a sweep file holds keys such as method, parameters")

    def error(self, at: Item | int, message: str) -> HplabError:
        """Return the error that names file and line."""
        line = at if isinstance(at, int) else at.line
        return HplabError(f"{shown(self.path)}:{line}: {message}")

    def mapping(self, item: Item, name: str, known: Iterable[str] | None = None) -> dict[str, Item]:
        """Return the items of a mapping.

        Args:
            item: What should be one.
            name: What it is called.
            known: The keys it may have; None for any.

        Raises:
            HplabError: If it is none, or has another key.
        """
        if not isinstance(item.value, dict):
            raise self.error(item, f"{name} must hold keys, got {item.plain()!r:.60}")
        for key, value in item.value.items():
            if known is not None and key not in known:
                raise self.error(value, str(unknown("key", key, known, name)))
        return item.value

    def text(self, item: Item, name: str, allowed: Iterable[str] | None = None) -> str:
        """Return a text that is not empty, one of `allowed` if that is given."""
        if not isinstance(item.value, str) or not item.value.strip():
            raise self.error(item, f"{name} must be text, got {item.plain()!r:.60}")
        if allowed is not None and item.value not in allowed:
            raise self.error(item, str(unknown(name, item.value, allowed)))
        return item.value

    def number(
        self, item: Item, name: str, *, low: float | None = None, whole: bool = False
    ) -> Any:
        """Return a finite number, from `low` on."""
        self.refuse_text_for_a_number(item, name)
        value = item.value
        kinds = (int,) if whole else (int, float)
        fits = type(value) in kinds and abs(value) < float("inf")
        if not fits or (low is not None and value < low):
            what = "a whole number" if whole else "a number"
            least = "" if low is None else f" from {low:g}"
            raise self.error(item, f"{name} must be {what}{least}, got {item.plain()!r:.60}")
        return value

    def refuse_text_for_a_number(self, item: Item, name: str) -> None:
        """Refuse 1e-3 and the like, anywhere in an item."""
        if item.meant:
            raise self.error(
                item,
                f"{name}: {item.value} is text in YAML 1.1; write {item.meant} for the number "
                "(quotes if text is meant)",
            )
        for inner in item.value if isinstance(item.value, list) else ():
            self.refuse_text_for_a_number(inner, name)

    def _item(self, node: yaml.Node, within: set[int]) -> Item:
        line = node.start_mark.line + 1
        if id(node) in within:
            raise self.error(line, "it holds itself")
        within = within | {id(node)}
        if isinstance(node, yaml.MappingNode):
            self._refuse_twice(node)
            self._loader.flatten_mapping(node)
            found = {self._key(key): self._item(value, within) for key, value in node.value}
            # A value on the next line is told at the line of its key.
            lines = {self._key(key): key.start_mark.line + 1 for key, _ in node.value}
            return Item({k: v._replace(line=lines[k]) for k, v in found.items()}, line)
        if isinstance(node, yaml.SequenceNode):
            return Item([self._item(inner, within) for inner in node.value], line)
        value = self._loader.construct_object(node, deep=True)
        match = _NUMBER.fullmatch(node.value) if isinstance(value, str) and not node.style else None
        if not match:
            return Item(value, line)
        whole, part, sign, power = match.groups()
        return Item(value, line, f"{whole}{part or '.0'}e{sign or '+'}{power}")

    def _key(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise self.error(node.start_mark.line + 1, "a key must be text")
        return node.value

    def _refuse_twice(self, node: yaml.MappingNode) -> None:
        """PyYAML takes the last of two equal keys, which hides the first."""
        seen: dict[str, int] = {}
        for key, _ in node.value:
            name, line = self._key(key), key.start_mark.line + 1
            if name != "<<" and name in seen:
                raise self.error(
                    line, f"the key {name!r} is there twice, first in line {seen[name]}"
                )
            seen[name] = line

    def _not_yaml(self, error: yaml.YAMLError) -> HplabError:
        mark = getattr(error, "problem_mark", None)
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        if "found character '\\t'" in problem:
            problem += "; indent with spaces"
        where = f"{shown(self.path)}:{mark.line + 1}" if mark else str(shown(self.path))
        return HplabError(f"{where}: not YAML: {problem}")
