"""What the page on speed shows: the benchmarks' files as tables and a figure."""

from __future__ import annotations

import functools
import html
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure as Canvas

from hplab.pages import labels
from hplab.pages.figures import marks
from hplab.pages.figures.figure import Figure, table
from hplab.pages.tables.markdown import of_file, raw

PEERS = ("plain loop", "Lightning, lean", "Lightning, default", "skorch", "fastai")
# One more, shown once it is measured: the network pools after the activation, as a user writes it.
POOL_LAST = "plain loop, pool last"
# What was set out to be reached, by workload: hplab over each of PEERS; None where nothing was.
TARGETS: Mapping[str, tuple[float | None, ...]] = {
    "W3 MLP, batch 16": (14, 27, 45, 18, 28),
    "W3 MLP, batch 64": (10, 17, 28, 13, 18),
    "W3 CNN, batch 16": (5.5, 7, 10, 6, 7),
    "W1 batch 32, SGD": (1.4, 1.65, 2.1, 1.5, 2.1),
    "W1 batch 32, AdaGrad": (1.9, 2.2, None, 2, 2.9),
    "W1 batch 1024": (1.15, None, None, None, None),
    "W1 batch 1024, bf16": (2.2, None, None, None, None),
    "W2": (1.4, 1.4, 1.4, 1.4, 1.45),
    "W2, bf16": (2.7, 2.7, 2.7, 2.8, 2.8),
    "W1 beside a busy process": (10, None, None, None, None),
}
# What the reports' own workloads were to reach, over the loop that a script has.
SCRIPT_GOALS = {
    "photos, augmented": 5,
    "MobileNet, single precision": 1.4,
    "MobileNet, bfloat16 in 1x1 convolutions": 1.6,
    "sharpness, in pairs": 1.3,
    "sharpness, in pairs, bfloat16": 3,
}
FRESH = ", fresh process"  # the end of a workload's name
_NONE = "None of this has been measured in this copy: run `make bench`."


def tables(folder: Path) -> dict[str, Callable[[], str]]:
    """Return the tables of the page on speed by name.

    Args:
        folder: Where the benchmarks' JSON files are.
    """
    makers = {
        "bench-machine": ("engine", machine),
        "bench-ratios": ("engine", ratios),
        "bench-fresh": ("engine", fresh),
        "bench-share": ("engine", share),
        "bench-lanes": ("scaling", lanes),
        "bench-overhead": ("overhead", overhead),
        "bench-tried": ("tried", tried),
        "bench-photos": ("photos", photos),
        "bench-mobilenet": ("mobilenet", mobilenet),
        "bench-sharpness": ("sharpness", sharpness),
        "bench-card": ("card", card),
    }
    return {
        name: of_file(folder / f"{file}.json", make, _NONE) for name, (file, make) in makers.items()
    }


def machine(found: Mapping[str, Any]) -> str:
    """Name the machine and what it can do at most."""
    here = found["machine"]
    return (
        f"Measured on {html.escape(here['processor'])} with {here['cores']} cores, torch "
        f"{here['torch'].split('+')[0]}, Python {here['python']}; {found['rounds']} rounds. In the "
        f"same runs this machine multiplied matrices at {_peaks(found['rows'])} GFLOP/s in "
        f"single precision, {here['matmul_bf16_gflops']:.0f} GFLOP/s in bfloat16, and copied "
        f"{here['copy_gb_s']:.0f} GB/s, all cores together."
    )


def _peaks(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the speed of matrix products in the runs that made the rows."""
    return labels.span(round(row["peak_gflops"]) for row in rows)


def ratios(found: Mapping[str, Any]) -> str:
    """How many times as fast hplab is, with what was set out to be reached below it."""
    with_pool_last = any(POOL_LAST in row["ratio"] for row in found["rows"])
    peers = (*PEERS, POOL_LAST) if with_pool_last else PEERS
    rows = []
    for row in found["rows"]:
        goals = dict(zip(PEERS, TARGETS.get(row["name"], (None,) * len(PEERS)), strict=True))
        cells = {"workload": row["name"]}
        for peer in peers:
            cells[peer] = _against(row["ratio"].get(peer), goals.get(peer))
        rows.append(cells)
    return raw(table(pd.DataFrame(rows)))


def fresh(found: Mapping[str, Any]) -> str:
    """What the first sweep of a process takes, in a sentence."""
    said = "Rounds count from the second on, when everybody is warm. "
    rows = {row["name"]: row for row in found["rows"]}
    name = next((name for name in rows if name.endswith(FRESH)), None)
    if name is None:
        return said + "How long the first sweep of a fresh process takes is not measured yet."
    first, usual = rows[name], name.removesuffix(FRESH)
    seconds = [row["trials"] * row["seconds_a_trial"]["hplab"] for row in (first, rows[usual])]
    return (
        f"{said}The first sweep of a fresh process ({usual}) takes {seconds[0]:.2g} s from the "
        f"start of Python to its end, a later one {seconds[1]:.2g} s. A plain loop that starts "
        f"like that would take {first['ratio']['plain loop']:.3g} times as long for as many trials."
    )


def _against(ratio: float | None, goal: float | None) -> str:
    if ratio is None:
        return "none"
    return f"{ratio:.3g}" if goal is None else f"{ratio:.3g} (goal {goal:g})"


def share(found: Mapping[str, Any]) -> str:
    """Seconds a trial, and the share of the machine's matrix products that they are."""
    rows = [
        {
            "workload": row["name"],
            "trials": row["trials"],
            "hplab, a trial": f"{row['seconds_a_trial']['hplab']:.3g} s",
            "plain loop, a trial": f"{row['seconds_a_trial']['plain loop']:.3g} s",
            "of the matmul peak": f"{100 * row['gflops'] / row['peak_gflops']:.0f} %",
        }
        for row in found["rows"]
    ]
    return raw(table(pd.DataFrame(rows)))


def lanes(found: Mapping[str, Any]) -> str:
    """A figure: what a trial costs against how many train side by side."""
    data = pd.DataFrame(found["rows"])
    by_network = data.groupby("network", sort=False)
    cheapest = by_network["seconds"].first() / by_network["seconds"].min()
    alt = "; ".join(
        f"{name}: at best {value:g} times as fast" for name, value in cheapest.round(1).items()
    )
    wide = data.assign(seconds=(1e3 * data["seconds"]).round(2))
    wide = wide.pivot(index="lanes", columns="network", values="seconds")
    wide = wide[list(by_network.groups)].reset_index()
    caption = (
        "Cost of a trial by the width of its stack: processor time of one thread for one epoch "
        f"over 1,437 digits and its measuring, {_rounds(found['rounds'])}"
    )
    figure = Figure(
        functools.partial(_draw_lanes, data=data),
        caption=caption,
        alt=alt,
        data=data,
        shown=wide.astype(object).where(wide.notna(), "none"),
        height=4.6,
    )
    return raw(figure.html)


def _draw_lanes(fig: Canvas, data: pd.DataFrame) -> None:
    ax = fig.add_subplot()
    for i, (network, one) in enumerate(data.groupby("network", sort=False)):
        look = marks.look(i)
        style: dict[str, Any] = {
            "color": look.colour,
            "marker": look.marker,
            "ls": look.line,
            "ms": 5,
        }
        ax.plot(one["lanes"], 1e3 * one["seconds"], label=network, **style)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ticks = sorted(set(data["lanes"]))[::2]
    ax.set_xticks(ticks, [str(tick) for tick in ticks])
    ax.set_xlabel("networks trained side by side (lanes)")
    ax.set_ylabel("milliseconds a trial and epoch")
    fig.legend(loc="outside lower center", ncols=1, handlelength=2.6)


def _rounds(n: int) -> str:
    return "measured once" if n == 1 else f"median of {n} rounds"


def overhead(found: Mapping[str, Any]) -> str:
    """What the store and the runner cost a trial, without any training."""
    rows = [
        {
            "trials": f"{row['trials']:,}",
            "put, a trial": f"{1e3 * row['put_s'] / row['trials']:.2g} ms",
            "read back, a trial": f"{1e3 * row['load_s'] / row['trials']:.2g} ms",
            "a sweep with nothing left to train": f"{row['cached_sweep_s']:.2g} s",
        }
        for row in found["rows"]
    ]
    return raw(table(pd.DataFrame(rows)))


def tried(found: Mapping[str, Any]) -> str:
    """What single changes do to the cost of a step."""
    rows = [
        {
            "change": row["tried"],
            "on": row["network"],
            "an update without it": f"{row['usual_ms']:.2g} ms",
            "times as fast": f"{row['ratio']:.2f}",
        }
        for row in found["rows"]
    ]
    return raw(table(pd.DataFrame(rows)))


def photos(found: Mapping[str, Any]) -> str:
    """What augmenting photos and watching units die cost, in a sentence each."""
    return (
        f"One core flips, turns and normalizes {found['images_s']:,.0f} photos of 128 by 128 "
        "pixels a second. A `DataLoader` that decodes, resizes and changes JPEG files one by one, "
        f"as the report's did, takes {found['over_files']:.1f} times as long (goal "
        f"{SCRIPT_GOALS['photos, augmented']:g}); one that finds them decoded and resized, "
        f"{found['over_decoded']:.1f} times. Looking at live units, predictions and gradients in "
        f"every epoch takes {100 * found['diagnostics']:.0f} % of training (goal at most 5 %)."
    )


def mobilenet(found: Mapping[str, Any]) -> str:
    """How fast report 001's network trains, beside the loop of a script, in a sentence."""
    rows = found["rows"]
    ours = (
        ("fp32", "MobileNet, single precision", "in single precision"),
        ("mixed bf16", "MobileNet, bfloat16 in 1x1 convolutions", "with bfloat16 in them"),
    )
    said = " and ".join(
        f"{rows[name]['times_peer']:.2f} times as fast {how} (goal {SCRIPT_GOALS[goal]:g})"
        for name, goal, how in ours
    )
    return (
        "Report 001's MobileNet spends most of its arithmetic in convolutions of 1 by 1 pixel. "
        f"Beside a script's loop, which does {rows['peer']['images_per_s']:.0f} images a second on "
        f"one core, it trains {said}."
    )


def sharpness(found: Mapping[str, Any]) -> str:
    """What one evaluation of a perturbed loss costs, beside the loop of a script."""
    goals = {
        "pairs, fp32": SCRIPT_GOALS["sharpness, in pairs"],
        "pairs, bf16": SCRIPT_GOALS["sharpness, in pairs, bfloat16"],
    }
    rows = [
        {
            "way": row["way"],
            "losses times images, a second": f"{found['images'] * row['losses_s']:,.0f}",
            "times the script's loop": _against(row["ratio"], goals.get(row["way"])),
            "of the matmul peak": f"{100 * row['share']:.0f} %",
        }
        for row in found["rows"]
    ]
    return raw(table(pd.DataFrame(rows)))


def card(found: Mapping[str, Any]) -> str:
    """What a trial costs on a graphics card, by lanes, with and without recorded updates."""
    here = found["machine"]
    rows = [
        {
            "network": row["network"],
            "lanes": row["lanes"],
            "updates": "recorded" if row["recorded"] else "asked for one by one",
            "a trial, for 10,000 images": f"{1e7 * row['wall_s'] / row['n_train']:.3g} ms",
            "memory": f"{row['gib']:.2g} GiB",
        }
        for row in found["rows"]
        if "error" not in row
    ]
    said = (
        f"Measured on an {html.escape(here['device']['name'])}, torch "
        f"{here['torch'].split('+')[0]}, on {here['date']}; the time by the clock of training and "
        "measuring, the faster of two."
    )
    return f"{said}\n\n{raw(table(pd.DataFrame(rows)))}"
