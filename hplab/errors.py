"""What goes wrong in a way that the reader can mend: one line each."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Callable, Iterable
from typing import Any

# What ends a line or tells a terminal to do something, but for the plain line end and the tab.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")


class HplabError(Exception):
    """A mistake the reader can mend: one line saying what, where and what is allowed.

    It may quote a file, so control characters are shown as they are written in code.

    Example:
        >>> print(HplabError("unknown column 'val\\x1b[2J'"))
        unknown column 'val\\x1b[2J'
    """

    def __str__(self) -> str:
        return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], super().__str__())


class Stopped(KeyboardInterrupt):
    """Training that was interrupted on purpose: one line saying what is kept.

    A notebook shows the line alone. It is still a `KeyboardInterrupt`, which ends a script.
    """

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


def stopped(line: str) -> Stopped:
    """Return what ends a sweep that was interrupted.

    A script that it ends says the line alone, and ends with 130 as a command does after Ctrl-C. An
    error of the script's own is shown as ever.
    """
    if not isinstance(sys.excepthook, _OneLine):
        sys.excepthook = _OneLine(sys.excepthook)
    return Stopped(line)


class _OneLine:
    """Shows what was stopped as a line, and leaves everything else to the hook before."""

    def __init__(self, before: Callable[..., Any]) -> None:
        self.before = before

    def __call__(self, kind: type[BaseException], error: BaseException, trace: Any) -> None:
        if not isinstance(error, Stopped):
            return self.before(kind, error, trace)
        print(error, file=sys.stderr)
        raise SystemExit(130)


class Terminated(KeyboardInterrupt):
    """The process was told to end by SIGTERM, as a scheduler or a shutdown does."""


def unknown(kind: str, name: object, known: Iterable[str], where: str = "") -> HplabError:
    """Return the error for a name that is not one of `known`, with the nearest match."""
    known = sorted(known)
    place = f" in {where}" if where else ""
    said = f"unknown {kind} {name!r}{place}; known: {', '.join(known) or 'none'}"
    return HplabError(said + nearest(name, known))


def nearest(name: object, known: Iterable[str]) -> str:
    """Return "; did you mean ...?" with the nearest of `known`, "" if none is near.

    Example:
        >>> nearest("swep.yaml", ["sweep.yaml", "other.yaml"]), nearest("x", ["sweep.yaml"])
        ("; did you mean 'sweep.yaml'?", '')
    """
    near = difflib.get_close_matches(str(name), sorted(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""
