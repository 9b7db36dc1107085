"""What goes wrong in a way that the reader can mend: one line each."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class HplabError(Exception):
    """A mistake the reader can mend: one line saying what, where and what is allowed."""


class Stopped(KeyboardInterrupt):
    """Training that was interrupted on purpose: one line saying what is kept.

    A notebook shows the line alone. It is still a `KeyboardInterrupt`, which ends a script.
    """

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


class Terminated(KeyboardInterrupt):
    """The process was told to end by SIGTERM, as a scheduler or a shutdown does."""


def unknown(kind: str, name: object, known: Iterable[str], where: str = "") -> HplabError:
    """Return the error for a name that is not one of `known`, with the nearest match."""
    known = sorted(known)
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    place = f" in {where}" if where else ""
    return HplabError(f"unknown {kind} {name!r}{place}; known: {', '.join(known)}{hint}")
