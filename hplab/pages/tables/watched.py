"""What `hplab watch` shows: sweeps that are going on, with the curves of their runs."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path

from hplab.errors import HplabError, unknown
from hplab.pages.tables.doctor import aligned
from hplab.sweeps import live
from hplab.sweeps import metrics as named
from hplab.sweeps.table import setting

NOTHING = "no sweep is going on here"
HOW_TO_STOP = "Ctrl-C leaves them running; hplab watch --stop ends them and keeps what is finished"
MOST_RUNS = 20  # of a sweep that are shown
_BARS = "▁▂▃▄▅▆▇█"
_WIDTH = 30  # of a curve


def shown(pending: Path, metric: str = "", now: float | None = None) -> str:
    """Return what is going on, as text; "" if nothing is.

    Args:
        pending: The folder of pending records, beside which sweeps post what they do.
        metric: The curve that is drawn; "" for the first metric of a run.
        now: The time, in seconds since 1970.
    """
    now = time.time() if now is None else now
    return "\n\n".join(_sweep(sweep, metric, now) for sweep in live.sweeps(pending))


def _sweep(sweep: live.Sweep, metric: str, now: float) -> str:
    spent = now - sweep.began
    line = f"{sweep.name}: {sweep.done} of {sweep.total} runs done, {_time(spent)}"
    if sweep.done and sweep.total > sweep.done:
        line += f", about {_time(spent / sweep.done * (sweep.total - sweep.done))} left"
    runs = sweep.running[:MOST_RUNS]
    known = {name for run in runs for epoch in run.epochs for name in epoch}
    if metric and known and metric not in known:
        raise unknown("metric", metric, known, sweep.name)
    chosen = metric or min(known, key=lambda name: (named.order(name), name), default="")
    rows = []
    for run in runs:
        values = [epoch[chosen] for epoch in run.epochs if chosen in epoch]
        last = f"{values[-1]:.4g}" if values else "-"
        at = " ".join(f"{name}={setting(value)}" for name, value in run.point.items())
        rows.append((at, len(run.epochs), last, curve(values), _time(now - run.began)))
    lines = aligned(("running", "epochs", chosen or "-", "", "for"), rows)
    more = len(sweep.running) - len(runs)
    return "\n".join([line, *lines, *([f"and {more} more"] if more else [])])


def curve(values: Sequence[float], width: int = _WIDTH) -> str:
    """Return a curve as a line of bars, from its least value to its greatest.

    Of a long curve each bar is the last value of its part. What is not finite is a gap.

    Example:
        >>> curve([0.0, 0.5, 1.0]), curve([1, 1]), curve([0, float("nan"), 7])
        ('▁▄█', '▁▁', '▁ █')
    """
    n = len(values)
    if n > width:
        values = [values[(i + 1) * n // width - 1] for i in range(width)]
    finite = [x for x in values if math.isfinite(x)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    span = (high - low) or 1.0
    top = len(_BARS) - 1
    return "".join(_BARS[int((x - low) / span * top)] if math.isfinite(x) else " " for x in values)


def stop(pending: Path, name: str = "") -> str:
    """Stop what is going on, or the sweeps of one name; return what was done.

    Raises:
        HplabError: If there is no such sweep.
    """
    found = live.sweeps(pending)
    if not found:
        raise HplabError(NOTHING)
    chosen = [sweep for sweep in found if name in ("", sweep.name)]
    if not chosen:
        raise unknown("sweep", name, {sweep.name for sweep in found}, "what is going on")
    for sweep in chosen:
        live.stop(sweep)
    return "\n".join(
        f"told {sweep.name} (process {sweep.process}) to stop; {sweep.done} of {sweep.total} runs "
        "were done, and what is finished is kept"
        for sweep in chosen
    )


def _time(seconds: float) -> str:
    """Return a time as people read it: "40 s", "12 min", "3.5 h"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
