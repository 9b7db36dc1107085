"""What `hp.sweep` costs a point, beside a bare loop over the same function.

Run: `python benchmarks/functions.py [--points 2000] [--recorded 10000] [--jobs 2] [--json FILE]`

The function does next to nothing, so all that is left is overhead: keys, records, the store, and
between processes what is sent. Start-up of the workers is part of the pool's time. Then the points
that are recorded are asked for again, by a process that has read nothing yet and by one that has.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from engine import machine

import hplab as hp
from hplab.sweeps.store import Store

ROUNDS = 3
N_LRS = 100
AGAIN = """
import sys, time
import hplab as hp
from hplab.sweeps.store import Store
sys.path.insert(0, {here!r})
from functions import point, axes
hp.sweep  # what is imported when it is first used, pandas above all, is no part of it
began = time.perf_counter()
runs = hp.sweep(point, store=Store({folder!r} + "/r", {folder!r} + "/p"), **axes({n}))
first = time.perf_counter() - began
assert (len(runs), runs.attrs["n_new"]) == ({n}, 0)
print(first)
"""


def point(lr: float, seed: int) -> dict[str, float]:
    """Return two numbers at once."""
    return {"loss": 1.0 / lr + seed, "rate": lr}


def axes(n: int) -> dict[str, list]:
    """Return a grid of so many points."""
    return {"lr": [i + 1.0 for i in range(N_LRS)], "seed": list(range(n // N_LRS))}


def bare(n: int) -> float:
    """Return the seconds a loop takes that keeps nothing."""
    grid, began = axes(n), time.perf_counter()
    kept = [point(lr, seed) for lr in grid["lr"] for seed in grid["seed"]]
    assert len(kept) == n
    return time.perf_counter() - began


def swept(n: int, folder: str, **how: object) -> float:
    """Return the seconds a sweep takes in an empty store."""
    store, began = Store(f"{folder}/r", f"{folder}/p"), time.perf_counter()
    assert hp.sweep(point, store=store, **axes(n), **how).attrs["n_new"] == n
    return time.perf_counter() - began


def measure(n: int, n_recorded: int, jobs: int) -> dict[str, float]:
    """Return milliseconds a point beyond a bare loop, and seconds until recorded points are back.

    Each is the median of several rounds.
    """
    rounds: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        loop = bare(n)
        with ThreadPoolExecutor(jobs) as threads:
            ways = {"in process": {"jobs": 1}, "pool": {"jobs": jobs}, "threads": None}
            for name, how in ways.items():
                with tempfile.TemporaryDirectory() as folder:
                    seconds = swept(n, folder, **(how or {"executor": threads}))
                rounds.setdefault(f"{name} (ms a point)", []).append(1e3 * (seconds - loop) / n)
    with tempfile.TemporaryDirectory() as folder:
        swept(n_recorded, folder, jobs=1)
        here = str(Path(__file__).resolve().parent)
        script = AGAIN.format(here=here, folder=folder, n=n_recorded)
        for _ in range(ROUNDS):
            done = subprocess.run(
                [sys.executable, "-c", script], capture_output=True, text=True, check=True
            )
            rounds.setdefault("recorded, first read (s)", []).append(float(done.stdout))
        store = Store(f"{folder}/r", f"{folder}/p")
        hp.sweep(point, store=store, **axes(n_recorded))
        for _ in range(ROUNDS):
            began = time.perf_counter()
            hp.sweep(point, store=store, **axes(n_recorded))
            rounds.setdefault("recorded, once read (s)", []).append(time.perf_counter() - began)
    return {name: statistics.median(found) for name, found in rounds.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=2000)
    parser.add_argument("--recorded", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    found = measure(asked.points, asked.recorded, asked.jobs)
    for name, value in found.items():
        print(f"{name:28} {value:.3g}")
    if asked.json:
        sizes = {"points": asked.points, "recorded": asked.recorded, "jobs": asked.jobs}
        asked.json.write_text(json.dumps({"machine": machine(), **sizes, "found": found}, indent=1))


if __name__ == "__main__":
    main()
