"""A reader's own function as a task: what names its results, and its way to other processes."""

from __future__ import annotations

import functools
import hashlib
import re
import types
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from hplab.digest import Reading
from hplab.sweeps import calls
from hplab.sweeps.points import SEED, Point, name_of
from hplab.sweeps.records import Record
from hplab.sweeps.stopping import Board
from hplab.sweeps.store import FUNCTION, FUNCTION_VERSION, Store
from hplab.trial import canonical


class Task:
    """A function and what names it.

    Attributes:
        function: What is called.
        name: What the sweep is called.
        code: The digest of its code and of what that uses, or the version that stands for it.
        board: Says which calls are stopped early; None lets all finish. Whoever sets it does so
            before anything is called.
    """

    def __init__(self, function: Callable, name: str, version: str) -> None:
        self.function = function
        self.board: Board | None = None
        self.name = name or name_of(function)
        self.code = f"version {version}" if version else _digest(function, self.name)
        slug = re.sub(r"[^a-z0-9_.-]+", "-", self.name.lower()).strip("-")
        self._data = f"sweep-{slug}"  # the folder of its records, where others have a data set

    def __reduce__(self) -> tuple:
        """Reach another process by cloudpickle, so that functions of a notebook do too."""
        return _received, (self._sent,)

    @property
    def _sent(self) -> bytes:
        if "_bytes" not in vars(self):
            import cloudpickle  # needed only where calls leave this process

            self._bytes = cloudpickle.dumps(self._call)
        return self._bytes

    @property
    def _call(self) -> Callable[[Point], calls.Answer]:
        return functools.partial(calls.call, self.function, stop=self.board)

    def to_send(self) -> tuple[bytes, str]:
        """Return the function for other processes, or why it cannot be sent."""
        try:
            return self._sent, ""
        except Exception as error:  # whatever an object raises that cannot be pickled
            return b"", " ".join(str(error).split()) or type(error).__name__

    def __call__(self, point: Point) -> calls.Answer:
        return self._call(point)

    def config(self, point: Point, *, stopped: bool = False) -> dict[str, Any]:
        """Return what is called, and by which rule it was stopped.

        A run that was stopped is another than the one that finishes: asked for without the rule, it
        is run to its end.
        """
        setting = {name: value for name, value in point.items() if name != SEED}
        named = {"data": self._data, "function": self.name, "code": self.code}
        by = {"stopped_by": self.board.rule.text()} if stopped and self.board else {}
        return {**named, "point": setting, **by}

    def key(self, point: Point, *, stopped: bool = False) -> str:
        """Return the 32 hex digits that name the result at a point, finished or stopped early."""
        what = {"config": self.config(point, stopped=stopped), "seed": point.get(SEED, 0)}
        text = canonical({**what, "task": FUNCTION, "task_version": FUNCTION_VERSION})
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def head(self, point: Point, store: Store) -> Record | None:
        """Return what is recorded of a point, without its curves: finished, else stopped early."""
        found = store.head(self.key(point))
        return found or (store.head(self.key(point, stopped=True)) if self.board else None)

    def record(self, point: Point, answer: calls.Answer, prov: str) -> Record:
        stopped = answer["status"] == "stopped"
        return {
            "v": 1,
            "key": self.key(point, stopped=stopped),
            "task": FUNCTION,
            "task_version": FUNCTION_VERSION,
            "data": self.code,
            "config": self.config(point, stopped=stopped),
            "seed": point.get(SEED, 0),
            "prov": prov,
            **{k: answer[k] for k in ("status", "at", "final", "curves", "cost")},
        }


class Kept(Task):
    """A task whose function is not at hand: what is recorded of it, by point.

    Args:
        name: What the sweep is called.
        code: The digest of its code.
        heads: Its records without curves, by the canonical text of their point with its seed.
    """

    def __init__(self, name: str, code: str, heads: Mapping[str, Record]) -> None:
        self.name, self.code, self.heads = name, code, heads

    def head(self, point: Point, store: Store) -> Record | None:
        """Return what is recorded of a point."""
        return self.heads.get(canonical(point))


@functools.lru_cache(4)
def _received(sent: bytes) -> Callable[[Point], calls.Answer]:
    import cloudpickle

    return cloudpickle.loads(sent)


# ------------------------------------------------------------------------------- its code


class _Reading(Reading):
    """Reads bytecode where there is no source."""

    def __init__(self, make: Any) -> None:
        super().__init__(make)
        self.without_source: list[str] = []

    def _source(self, function: types.FunctionType) -> str:
        try:
            return super()._source(function)
        except (OSError, SyntaxError):
            self.without_source.append(function.__name__)
            return self.text(function.__code__, "code")


def _digest(function: Callable, name: str) -> str:
    """Return 16 hex digits that change with the code, the values it uses, and their packages."""
    reading = _Reading(function)
    text = reading.text(function, name)
    if reading.without_source:
        warnings.warn(
            f"the source of {', '.join(sorted(set(reading.without_source)))} cannot be read, so "
            "its bytecode stands for it: another version of Python runs everything again; to "
            'avoid that, state version="1" and change it whenever results change',
            stacklevel=4,
        )
    if reading.unknown:
        warnings.warn(
            f"{name!r} uses {', '.join(sorted(set(reading.unknown)))}: the value cannot be read, "
            "so results with one value are taken for those with another; state "
            'version="1" and change it whenever results change',
            stacklevel=4,
        )
    return hashlib.sha256(text.encode()).hexdigest()[:16]
