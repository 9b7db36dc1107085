"""What more workers bring, and what the process that drives a sweep costs.

Run: `python benchmarks/machines.py [--calls 10000] [--json FILE]` (with the extra `dask`)

First a sweep over 1 to 8 workers of a Dask scheduler, all on this machine: over a function that
waits, as a driver waits for a trial that another machine trains, and over one that computes for as
long, of which no more can run at once than there are cores. Then 10,000 calls of a function that
does nothing, by the seconds of a processor that they take the driver and the scheduler.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

import hplab as hp
from hplab.sweeps import cluster, functions, provenance
from hplab.sweeps.store import Store
from hplab.sweeps.tasks import Task

WORKERS = range(1, 9)
CALL_S = 0.2
CALLS = {"waits": 15, "computes": 6}  # a worker: the second ones share the cores
UP_S = 60.0


def waits(x: int) -> dict[str, float]:
    """Take as long as a trial, and leave the processor to others."""
    time.sleep(CALL_S)
    return {"y": x}


def computes(x: int) -> dict[str, float]:
    """Take as much of a processor as a trial."""
    began = time.thread_time()
    while time.thread_time() - began < CALL_S:
        pass
    return {"y": x}


def nothing(x: int) -> dict[str, float]:
    return {"y": x}


class Machines:
    """A scheduler and as many workers as are asked for, on this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.started = folder, list[subprocess.Popen]()

    def __enter__(self) -> Machines:
        file = self.folder / "scheduler.json"
        self.scheduler = self._start("scheduler", "--port", "0", "--scheduler-file", str(file))
        while not (file.is_file() and file.read_text().strip()):
            time.sleep(0.1)
        self.address = json.loads(file.read_text())["address"]
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self.started):
            process.terminate()
            process.wait()

    def add_worker(self) -> None:
        self._start("worker", self.address, "--nthreads", "1", "--local-directory", self.folder)

    def _start(self, what: str, *arguments: Any) -> subprocess.Popen:
        local = ["--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0"]
        command = [sys.executable, "-m", "dask", what, *map(str, arguments), *local]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.started.append(subprocess.Popen(command, **quiet))
        return self.started[-1]


def rate(function: Any, n: int, there: cluster.Cluster, folder: Path) -> float:
    """Return the calls a second of a sweep over a function, n calls in all."""
    task, store = Task(function, "", f"{n}"), Store(folder / "r", folder / "p")
    began = time.perf_counter()
    assert functions.fill(task, [{"x": x} for x in range(n)], 1, there, store) == n
    return n / (time.perf_counter() - began)


def driven(n: int, folder: Path, how: str, there: cluster.Cluster, scheduler: int) -> dict:
    """Return what n calls of nothing take: seconds by the clock, and of a processor."""
    options: dict[str, Any] = {"executor": there}
    options = {"one process": {"jobs": 1}, "processes": {"jobs": 2}}.get(how, options)
    keeper, store = psutil.Process(scheduler), Store(folder / how / "r", folder / how / "p")
    began, spent, before = time.perf_counter(), time.process_time(), sum(keeper.cpu_times()[:2])
    runs = hp.sweep(nothing, version="1", x=range(n), store=store, **options)
    assert len(runs) == n
    return {
        "way": how,
        "calls": n,
        "seconds": time.perf_counter() - began,
        "driver_s": time.process_time() - spent,
        "scheduler_s": sum(keeper.cpu_times()[:2]) - before if how == "dask" else 0.0,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name, Machines(Path(name)) as machines:
        folder = Path(name)
        machines.add_worker()
        with cluster.connected(machines.address) as there:
            for n in WORKERS:
                if n > 1:
                    machines.add_worker()
                    there.client.wait_for_workers(n, timeout=UP_S)
                for function in (waits, computes):
                    where = folder / f"{function.__name__}-{n}"
                    there.ask(cluster.made_with)
                    there.ask(cluster.unpack, Task(function, "", "warm").to_send_far())
                    each = CALLS[function.__name__]
                    calls_s = rate(function, each * n, there, where)
                    rows.append({"workers": n, "function": function.__name__, "calls_s": calls_s})
                    print(f"{n} workers, {function.__name__}: {calls_s:.2f} calls/s", flush=True)
            ways = ("one process", "processes", "dask")
            pid = machines.scheduler.pid
            shares = [driven(asked.calls, folder, way, there, pid) for way in ways]
    for row in shares:
        print(json.dumps(row))
    if asked.json:
        found = {
            "machine": {
                "processor": provenance.of_process()["device"]["name"],
                "cores": os.cpu_count(),
                "python": platform.python_version(),
                "load": load,
            },
            "call_s": CALL_S,
            "rows": rows,
            "shares": shares,
        }
        asked.json.parent.mkdir(parents=True, exist_ok=True)
        asked.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
