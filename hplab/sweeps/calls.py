"""One call of a reader's own function, in whatever process: its numbers, or how it failed.

What comes back is plain, so that it can be sent from any process and written as it is.
"""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

from hplab.errors import HplabError
from hplab.sweeps import contents, live, provenance
from hplab.sweeps.contents import Item
from hplab.sweeps.live import Slot
from hplab.sweeps.points import Point, plain

Answer = dict[str, Any]
Stop = Callable[[Sequence[Mapping[str, float]]], bool]

# These would break a file of records, or the text around them.
NOT_IN_NAMES = set('{}"\\\n\r\t')
# A table of runs has columns of these names that mean something else.
_NO_RESULT = ("seed", "status", "key", "prov", "device", "settings", "code", "epoch")


def call(
    function: Callable,
    point: Point,
    stop: Stop | None = None,
    *,
    keeps: bool = False,
    posts: Path | None = None,
) -> Answer:
    """Call a function at a point.

    Args:
        function: What is called. A generator yields a mapping of numbers after every epoch, and may
            return one, which is the result then; else the last one is.
        point: Its arguments.
        stop: Asked after every epoch, with all of them so far, whether to stop here.
        posts: The folder in which it is posted while it runs, for `hplab watch`.
        keeps: Whether what is no number in the result, a network or its weights, is given back.

    Returns:
        "status", "at", "final", "curves", "cost" as a record has them, "made_with", and "kept", the
        items to be kept; or what
        `failure` returns if it raised, or gave something else than numbers. A run that was stopped
        has the status "stopped", its last epoch in "at", and what it had then.
    """
    if posts is None:
        return _call(function, point, stop, keeps, None)
    with live.poster(posts).run(point) as slot:
        return _call(function, point, stop, keeps, slot)


def _call(
    function: Callable, point: Point, stop: Stop | None, keeps: bool, slot: Slot | None
) -> Answer:
    began = time.perf_counter()
    is_stopped = False
    try:
        found = function(**point)
        yields = isinstance(found, Iterator)
        if yields:
            epochs, final, is_stopped, held = _epochs(found, point, stop, slot)
        else:
            bare, held = _apart(found)
            epochs = [final := numbers(bare, point)]
        if not epochs:
            raise HplabError("it yielded nothing; yield a mapping of numbers after every epoch")
        seconds = time.perf_counter() - began
        kept = [contents.item(thing) for thing in held] if keeps else []
    except (Exception, SystemExit, GeneratorExit) as error:
        return failure(error)
    curves = {}
    if yields:
        names = dict.fromkeys(name for epoch in epochs for name in epoch)
        curves = {name: [_finite(epoch.get(name)) for epoch in epochs] for name in names}
    bad = [not all(map(math.isfinite, epoch.values())) for epoch in epochs]
    is_lost = not all(map(math.isfinite, final.values()))
    at = [*bad, True].index(True) + 1 if is_lost else len(epochs)  # a result may be bad by itself
    return {
        "status": "diverged" if is_lost else "stopped" if is_stopped else "ok",
        "at": {"epoch": min(at, len(epochs))} if (is_lost or is_stopped) and yields else None,
        "final": {name: _finite(value) for name, value in final.items()},
        "curves": curves,
        "cost": {"train_s": round(seconds, 6), "eval_s": 0.0},
        "made_with": provenance.of_process(),
        "kept": kept,
    }


def _epochs(
    found: Iterator[Any], point: Point, stop: Stop | None, slot: Slot | None
) -> tuple[list[dict[str, float]], dict[str, float], bool, list[Any]]:
    """Return what was yielded, the result, whether it was stopped before its end, and what of the
    last epoch or the result is to be kept.
    """
    epochs: list[dict[str, float]] = []
    held: list[Any] = []
    if slot:
        slot.epochs = epochs
    while True:
        try:
            one = next(found)
        except StopIteration as end:
            if isinstance(end.value, Mapping) and epochs:
                bare, last = _apart(end.value)
                final = numbers(bare, point) if bare else epochs[-1]
                return epochs, final, False, last or held
            return epochs, epochs[-1] if epochs else {}, False, held
        bare, held = _apart(one)
        epochs.append(numbers(bare, point, yields=True))
        if stop is not None and stop(epochs):
            if callable(close := getattr(found, "close", None)):
                close()
            return epochs, epochs[-1], True, held


def _apart(found: Any) -> tuple[Any, list[Any]]:
    """Return what a function gave without networks, weights and files, and these."""
    if not isinstance(found, Mapping):
        return found, []
    held = {k: v for k, v in found.items() if isinstance(v, Item) or contents.is_weights(v)}
    return {k: v for k, v in found.items() if k not in held}, list(held.values())


def failure(error: BaseException) -> Answer:
    """Return what is told of a call that raised: "error", "message", "traceback" and "place"."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].filename}:{frames[-1].lineno}" if len(frames) > 1 else ""
    place = "" if isinstance(error, HplabError) else place  # it says by itself what is wrong
    try:
        message = str(error)
    except Exception as broken:  # an error of the reader's may fail to say what it is
        message = f"it cannot say why ({type(broken).__name__}: {broken})"
    return {
        "error": type(error).__name__,
        "message": message,
        "traceback": "".join(traceback.format_exception(error)),
        "place": place,
    }


def numbers(found: Any, point: Mapping[str, Any], *, yields: bool = False) -> dict[str, float]:
    """Return the metrics among what a function gave, as plain numbers.

    What repeats an argument is left out, and so is "epoch" of a generator, whose epochs are
    counted. A metric with the name of an argument, or of another column of a table of runs, is
    called "NAME_used".

    Raises:
        HplabError: If it is no mapping from names to numbers.
    """
    if not isinstance(found, Mapping):
        hint = "; return {'score': ...}" if isinstance(found, Real) else ""
        raise HplabError(
            f"it gave a {type(found).__name__} ({found!r:.60}) instead of a mapping from names to "
            f"numbers{hint}"
        )
    metrics = {}
    for name, value in found.items():
        if not isinstance(name, str) or not name or NOT_IN_NAMES & set(name):
            raise HplabError(f'{name!r} is no name for a metric: it must be text, without {{}}"\\')
        if name in point and _repeats(value, point[name]):
            continue
        if name == "epoch" and yields:
            continue
        is_taken = name in point or name in _NO_RESULT
        metrics[f"{name}_used" if is_taken else name] = _number(name, value)
    if not metrics:
        raise HplabError("it gave no numbers")
    return metrics


def _repeats(value: Any, setting: Any) -> bool:
    try:
        return plain(value, "") == setting
    except HplabError:
        return False


def _number(name: str, value: Any) -> float:
    if callable(getattr(value, "item", None)) and getattr(value, "ndim", 0) == 0:
        value = value.item()  # of NumPy, torch and others
    try:
        if isinstance(value, Real):
            as_float = float(value)
            return value if isinstance(value, bool | int | float) else as_float
    except OverflowError:
        raise HplabError(f"{name} is an integer too large for a number of 64 bits") from None
    hint = "; to give one number an epoch, yield a mapping after each" * isinstance(value, list)
    raise HplabError(f"{name} is a {type(value).__name__} ({value!r:.60}), no number{hint}")


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
