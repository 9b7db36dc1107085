"""A reader's own function as a task: what names its results, and its way to other processes."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import re
import sys
import types
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hplab.digest import Reading, is_installed
from hplab.errors import HplabError
from hplab.sweeps import calls
from hplab.sweeps.live import Post
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
        slug: The name, fit for a file; what the sweep's artifacts are called.
        code: The digest of its code and of what that uses, or the version that stands for it.
        place: Where its program lies in its project, for a version that somebody gave: programs of
            one name in two projects may have the same. It is a part of what names a result; "" for
            a digest, which needs none.
        board: Says which calls are stopped early; None lets all finish. Whoever sets it does so
            before anything is called.
        post: Where the sweep and its runs are posted, for `hplab watch`; set likewise.
        keeps: Whether calls give back what is to be kept beside their numbers; set likewise.
    """

    def __init__(self, function: Callable, name: str, version: str, place: str = "") -> None:
        self.function = function
        self.board: Board | None = None
        self.keeps = False
        self.post: Post | None = None
        self.name = name or name_of(function)
        self.code = f"version {version}" if version else _digest(function, self.name)
        self.place = place
        self._seeds_itself = getattr(function, "seeds_itself", False)
        self.slug = re.sub(r"[^a-z0-9_.-]+", "-", self.name.lower()).strip("-")
        self._data = f"sweep-{self.slug}"  # the folder of its records, where others have a data set

    def __reduce__(self) -> tuple:
        """Reach another process by cloudpickle, so that functions of a notebook do too."""
        return received, (self._sent,)

    @property
    def _sent(self) -> bytes:
        if "_bytes" not in vars(self):
            import cloudpickle  # needed only where calls leave this process

            self._bytes = cloudpickle.dumps(self._call)
        return self._bytes

    @property
    def _call(self) -> Callable[[Point], calls.Answer]:
        posts = self.post.folder if self.post else None
        more: dict[str, Any] = {"stop": self.board, "keeps": self.keeps, "posts": posts}
        return functools.partial(calls.call, self.function, **more)

    def to_send(self) -> tuple[bytes, str]:
        """Return the function for other processes, or why it cannot be sent."""
        try:
            return self._sent, ""
        except Exception as error:  # whatever an object raises that cannot be pickled
            return b"", " ".join(str(error).split()) or type(error).__name__

    def to_send_far(self) -> bytes:
        """Return the function for other machines: modules of the reader's go along as code.

        So a worker needs none of them, and cannot have another version of one.

        Raises:
            HplabError: If it cannot be sent.
        """
        import cloudpickle

        try:
            if "_bytes_far" not in vars(self):
                with _own_modules_by_value():
                    self._bytes_far = cloudpickle.dumps(self._call)
            return self._bytes_far
        except Exception as error:  # whatever an object raises that cannot be pickled
            why = " ".join(str(error).split()) or type(error).__name__
            raise HplabError(f"{self.name} cannot be sent to other machines: {why}") from error

    def __call__(self, point: Point) -> calls.Answer:
        return self._call(point)

    def config(self, point: Point, *, stopped: bool = False) -> dict[str, Any]:
        """Return what is called, and by which rule it was stopped.

        A run that was stopped is another than the one that finishes: asked for without the rule, it
        is run to its end.
        """
        setting = {name: value for name, value in point.items() if name != SEED}
        named = {"data": self._data, "function": self.name, "code": self.code}
        named |= {"place": self.place} if self.place else {}
        named |= {"seed": "its own"} if self._seeds_itself and SEED not in point else {}
        by = {"stopped_by": self.board.rule.text()} if stopped and self.board else {}
        return {**named, "point": setting, **by}

    @property
    def label(self) -> str:
        """The code as tables name it: see `code_of`."""
        return code_of({"code": self.code, "place": self.place})

    def key(self, point: Point, *, stopped: bool = False) -> str:
        """Return the 32 hex digits that name the result at a point, finished or stopped early."""
        return key_of(self.config(point, stopped=stopped), point.get(SEED, 0))

    def head(self, point: Point, store: Store) -> Record | None:
        """Return what is recorded of a point, without its curves: finished, else stopped early."""
        found = store.head(self.key(point))
        return found or (store.head(self.key(point, stopped=True)) if self.board else None)

    def lineage(self, record: Record) -> dict[str, Any]:
        """Return where what a run trained is from."""
        told = {name: record[name] for name in ("key", "seed", "prov")}
        return {
            **told,
            "code": self.label,
            "function": self.name,
            "point": record["config"]["point"],
        }

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


def code_of(config: Mapping[str, Any]) -> str:
    """Return the code of a record as tables name it: a digest, or a version and whose it is.

    Example:
        >>> code_of({"code": "version 1", "place": "thesis/train.py"}), code_of({"code": "1a2b"})
        ('version 1 of thesis/train.py', '1a2b')
    """
    place = config.get("place", "")
    return f"{config['code']} of {place}" if place else str(config["code"])


def key_of(config: Mapping[str, Any], seed: int, task_version: int = FUNCTION_VERSION) -> str:
    """Return the key of the result of a call, from what is recorded of it."""
    what = {"config": config, "seed": seed, "task": FUNCTION, "task_version": task_version}
    return hashlib.sha256(canonical(what).encode()).hexdigest()[:32]


@functools.lru_cache(4)
def received(sent: bytes) -> Callable[[Point], calls.Answer]:
    """Return what another process sent; a process unpacks it once."""
    import cloudpickle

    return cloudpickle.loads(sent)


@contextlib.contextmanager
def _own_modules_by_value() -> Iterator[None]:
    import cloudpickle

    tops = {name.partition(".")[0] for name in sys.modules} - {"__main__", "__mp_main__"}
    found = {top: sys.modules[top] for top in sorted(tops) if top in sys.modules}
    named = {top: m for top, m in found.items() if getattr(m, "__name__", None) == top}
    own = [m for top, m in named.items() if getattr(m, "__file__", None) and not is_installed(top)]
    for module in own:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in own:
            cloudpickle.unregister_pickle_by_value(module)


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
