"""What the page on several machines shows: what more workers bring, and what driving them costs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure as Canvas

from hplab.pages.figures import marks
from hplab.pages.figures.figure import Figure, table
from hplab.pages.tables.markdown import of_file, raw

NONE = "None of this has been measured in this copy: run `python benchmarks/machines.py`."
NAMES = {"waits": "a call that waits", "computes": "a call that computes"}
WAYS = {
    "one process": "called in the driver's own process",
    "processes": "two worker processes here",
    "dask": "Dask, over TCP",
}


def tables(folder: Path) -> dict[str, Callable[[], str]]:
    """Return the tables of the page by name.

    Args:
        folder: Where the benchmarks' JSON files are.
    """
    makers = {"machines-workers": workers, "machines-driver": driver}
    path = folder / "machines.json"
    return {name: of_file(path, make, NONE) for name, make in makers.items()}


def workers(found: Mapping[str, Any]) -> str:
    """A figure: calls a second against workers, beside as many as could be at most."""
    here, seconds = found["machine"], found["call_s"]
    data = pd.DataFrame(found["rows"])
    wide = data.pivot(index="workers", columns="function", values="calls_s")[list(NAMES)]
    shares = wide["waits"] * seconds / wide.index
    load = here["load"]
    busy = f", on which {load:.1f} other processes were at work" if load is not None else ""
    caption = (
        f"Calls a second of a sweep over a function that takes {seconds:g} s, by the number of "
        f"Dask workers. All of them are on one machine of {here['cores']} cores "
        f"({here['processor']}){busy}; measured once"
    )
    alt = (
        f"with {wide.index[-1]} workers {wide['waits'].iloc[-1]:.1f} calls a second that wait, "
        f"{100 * shares.iloc[-1]:.0f} % of what could be at most, and "
        f"{wide['computes'].iloc[-1]:.1f} that compute"
    )
    shown = wide.round(1).reset_index().rename(columns=NAMES)
    draw = functools.partial(_draw, data=wide, seconds=seconds)
    return raw(Figure(draw, caption=caption, alt=alt, data=data, shown=shown).html)


def _draw(fig: Canvas, data: pd.DataFrame, seconds: float) -> None:
    ax = fig.add_subplot()
    ax.plot(data.index, data.index / seconds, color="0.6", ls=":", label="as many as could be")
    for i, (name, words) in enumerate(NAMES.items()):
        look = marks.look(i)
        ax.plot(
            data.index, data[name], color=look.colour, marker=look.marker, ls=look.line, label=words
        )
    ax.set_xticks(list(data.index))
    ax.set_ylim(bottom=0)
    ax.set_xlabel("workers")
    ax.set_ylabel("calls a second")
    fig.legend(loc="outside lower center", ncols=3, handlelength=2.6)


def driver(found: Mapping[str, Any]) -> str:
    """What a call costs the driver, and how many workers one driver could keep busy."""
    rows = []
    for row in found["shares"]:
        mine, theirs = (1e3 * row[who] / row["calls"] for who in ("driver_s", "scheduler_s"))
        most = 1e3 / max(mine, theirs)  # the busier of the two processes is the limit
        rows.append(
            {
                "how": WAYS[row["way"]],
                "calls": f"{row['calls']:,}",
                "a call, by the clock": f"{1e3 * row['seconds'] / row['calls']:.2g} ms",
                "of the driver": f"{mine:.2g} ms",
                "of the scheduler": f"{theirs:.2g} ms" if theirs else "none",
                "workers at most, if trials take 1 s": f"{float(f'{most:.2g}'):,.0f}",
            }
        )
    return raw(table(pd.DataFrame(rows)))
