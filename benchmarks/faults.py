"""Do to the store and to sweeps what goes wrong elsewhere, and count what was lost.

    make faults

Kills, writers and damaged files are those of `tests/faults`, only more of them. A sweep of 300
calls goes through kills of its driver and its workers, a disk that refuses to write and the end of
its whole machine; in the end its records have to be those of a sweep that nobody disturbed. And a
hundred thousand records are read, verified and made a table.

It needs Linux: elsewhere a process cannot be told from outside that its disk is full.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import overhead
import psutil
from engine import machine

from hplab.sweeps import runner
from hplab.sweeps.store import Store
from hplab.training import datasets
from hplab.trial import Trial, grid

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "faults")]

import test_fuzz as fuzz  # noqa: E402
import test_store_faults as faults  # noqa: E402

Found = dict[str, Any]


def kills(folder: Path, n: int) -> Found:
    """Kill writers, and count the records that were acknowledged and are not there."""
    n_done, n_lost = faults.kill_writers(folder, n_kills=n, seed=2)
    return {"kills": n, "acknowledged": n_done, "lost": n_lost}


def writers(folder: Path, n: int, n_each: int) -> Found:
    """Let writers put records at the same time, and count those that are not there."""
    n_lost = faults.write_at_once(folder, n_writers=n, n_each=n_each)
    return {"writers": n, "records": n * n_each, "lost": n_lost}


def damages(folder: Path, n: int) -> Found:
    """Damage files of every kind, and count the readings that were neither right nor refused.

    Args:
        folder: Where they lie.
        n: How many of each kind. Tables of runs in five formats, which take longest, share one `n`.
    """
    texts = dict.fromkeys(fuzz.READ, n) | {make: n // len(fuzz.RUNS) for make in fuzz.RUNS}
    kinds: dict[str, tuple[Callable, int]] = {
        make.__name__.removesuffix("_file"): (lambda f, n, m=make: fuzz.fuzz_text(f, n, m), many)
        for make, many in texts.items()
    }
    kinds |= {
        "batch": (faults.spoil_batches, n),
        "store": (fuzz.fuzz_stores, n),
        "record": (fuzz.fuzz_records, n),
        "photo folder": (fuzz.fuzz_photo_folders, n),
        "photos in one file": (fuzz.fuzz_photo_npz, n),
    }
    rows = []
    for name, (tried, many) in kinds.items():
        (here := folder / name.replace(" ", "-")).mkdir()
        n_refused, wrong = tried(here, many)
        for line in wrong:
            print(f"{name}: {line}", file=sys.stderr)
        rows.append({"kind": name, "files": many, "refused": n_refused, "wrong": len(wrong)})
    return {"kinds": rows, **{k: sum(r[k] for r in rows) for k in ("files", "refused", "wrong")}}


# ------------------------------------------------------------------------------ a sweep

SWEEP = """
import os, sys, time
from pathlib import Path
import numpy as np
import hplab as hp
from hplab.sweeps.store import Store

here = Path(sys.argv[1])

def train(lr, seed):
    (here / "called" / f"{os.getpid()}").touch()
    rng, loss = np.random.default_rng(seed), 1.0
    for _ in range(5):
        time.sleep(0.1)
        loss *= 1 - lr + rng.normal(0, 0.01)
        yield {"val_loss": loss}

if __name__ == "__main__":
    store = Store(here / "results", here / ".hplab" / "pending")
    hp.sweep(train, lr=np.linspace(0.01, 0.3, int(sys.argv[2])).tolist(), seed=range(10), jobs=2,
             store=store, version="1")
"""
NO_ROOM = 100  # bytes: less than any record


class Sweep:
    """A process that sweeps, and its workers."""

    def __init__(self, folder: Path, n: int) -> None:
        self.called, self.pending = folder / "called", folder / ".hplab" / "pending"
        self.called.mkdir(parents=True, exist_ok=True)
        for path in self.called.iterdir():
            path.unlink()
        (folder / "sweep.py").write_text(SWEEP)
        command = [sys.executable, folder / "sweep.py", folder, str(n // 10)]
        pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.driver = psutil.Popen(command, start_new_session=True, **pipes)

    def workers(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.Error):
            return self.driver.children()
        return []

    def wait(self, seconds: float, *, is_done: Callable[[], object] = lambda: False) -> bool:
        """Look on until it ends, it is time, or something is done; return whether it has ended."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.driver.poll() is None and not is_done():
            time.sleep(0.02)
        return self.driver.poll() is not None

    def wait_for_calls(self) -> bool:
        """Wait until the function is called; return whether the sweep has ended before."""
        return self.wait(120, is_done=lambda: next(self.called.iterdir(), None))

    def kill(self) -> None:
        """Kill the driver; its workers have to notice."""
        workers = self.workers()
        self.driver.kill()
        self.driver.wait()
        _, alive = psutil.wait_procs(workers, timeout=10)
        if alive:
            raise SystemExit(f"{len(alive)} workers outlive their driver")

    def kill_a_worker(self, rng: random.Random) -> None:
        self.wait(60, is_done=self.workers)
        rng.choice(self.workers()).kill()

    def kill_everything(self) -> None:
        """Kill the driver and its workers in one go, as when their machine is lost."""
        os.killpg(self.driver.pid, signal.SIGKILL)
        self.driver.wait()

    def is_refused_for(self, seconds: float) -> bool:
        """Let every file that the driver writes be too large for a while.

        Returns:
            Whether nothing was written meanwhile, and the sweep goes on.
        """
        unlimited, limit = resource.RLIM_INFINITY, resource.RLIMIT_FSIZE
        resource.prlimit(self.driver.pid, limit, (NO_ROOM, unlimited))
        self.wait(0.2)  # what was being written is whole by then
        before = set(self.pending.glob("*"))
        if self.wait(seconds) or set(self.pending.glob("*")) != before:
            return False
        resource.prlimit(self.driver.pid, limit, (unlimited, unlimited))
        return True


def results(folder: Path) -> dict[str, Found]:
    """Return what each record says came of its call: all but time and place."""
    kept = ("key", "config", "seed", "status", "at", "final", "curves")
    store = Store(folder / "results", folder / ".hplab" / "pending")
    return {one["key"]: {name: one[name] for name in kept} for one in store.records()}


def sweep(folder: Path, n: int, n_drivers: int, n_workers: int, seed: int = 0) -> Found:
    """Disturb a sweep in every way, and hold its records against those of one left alone.

    Args:
        folder: Where they lie.
        n: Calls, a multiple of ten.
        n_drivers: How often its driver is killed.
        n_workers: How often a worker is.
        seed: Of the moments.
    """
    rng, began = random.Random(seed), time.perf_counter()
    alone, here = folder / "alone", folder / "here"
    Sweep(alone, n).driver.wait()
    undisturbed_s = time.perf_counter() - began
    fates = [*["driver"] * (n_drivers - 1), "host", *["worker"] * n_workers]
    rng.shuffle(fates)
    fates.insert(rng.randrange(len(fates) // 2), "disk")
    acknowledged: dict[str, Found] = {}
    n_lost, starts, running = 0, 1, Sweep(here, n)
    for i, fate in enumerate(fates):
        if running.wait_for_calls() or running.wait(rng.uniform(0, 1.2)):
            raise SystemExit(
                f"after {i} of {len(fates)} faults, the last a {fates[i - 1]}, the sweep had ended "
                f"with {len(results(here))} of {n} calls; if these are all, make them longer"
            )
        if fate == "worker":
            running.kill_a_worker(rng)
        elif fate == "disk":
            if not running.is_refused_for(3):
                raise SystemExit("the sweep was done before there was room again")
        else:
            running.kill() if fate == "driver" else running.kill_everything()
            now = results(here)
            n_lost += sum(now.get(key) != one for key, one in acknowledged.items())
            acknowledged = now
            if fate == "host":  # it goes on elsewhere
                here = here.rename(folder / "another host")
            running, starts = Sweep(here, n), starts + 1
    running.driver.wait()
    while len(now := results(here)) < n and starts < len(fates):  # calls that lost two workers
        Sweep(here, n).driver.wait()
        starts += 1
    n_lost += sum(now.get(key) != one for key, one in acknowledged.items())
    store = Store(here / "results", here / ".hplab" / "pending")
    n_lines = sum(len(path.read_bytes().splitlines()) for path in store.pending.glob("*.jsonl"))
    return {
        **{f"{name}s": fates.count(name) for name in ("driver", "worker", "disk", "host")},
        "drivers": n_drivers,  # that of the host that was lost is one of them
        "calls": n,
        "starts": starts,
        "recorded": len(now),
        "lost": n_lost,
        "recorded_twice": n_lines - len(now),
        "equal_to_undisturbed": now == results(alone),
        "undisturbed_s": round(undisturbed_s, 1),
    }


# ------------------------------------------------------------------------------ many records


def many(folder: Path, n: int) -> Found:
    """Read many records, verify them and make them a table, in a process of its own."""
    trials = grid(Trial(data="digits", epochs=overhead.N_EPOCHS), lr=lrs(n), seed=range(20))
    store = Store(folder / "results", folder / ".hplab" / "pending")
    digest = datasets.load("digits").digest
    for first in range(0, n, 500):
        store.put(overhead.records(trials[first : first + 500], digest))
    store.pack()
    command = [sys.executable, __file__, "--read", str(folder), "--trials", str(n)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    size = sum(path.stat().st_size for path in store.root.glob("*/*.jsonl"))
    return {"records": n, "mb": round(size / 1e6), **json.loads(done.stdout)}


def lrs(n: int) -> list[float]:
    """Return as many learning rates as `n` trials with twenty seeds each have."""
    return [1e-5 * (1 + i) for i in range(n // 20)]


def read(folder: Path, n: int) -> Found:
    """Time that in this process."""
    trials = grid(Trial(data="digits", epochs=overhead.N_EPOCHS), lr=lrs(n), seed=range(20))
    began, computed = time.perf_counter(), time.process_time()
    store = Store(folder / "results", folder / ".hplab" / "pending")
    table = runner.run(trials, preset="paper", store=store)
    if len(table) != n or table.attrs["n_new"]:
        raise SystemExit(f"{len(table)} of {n} records became rows")
    return {
        "seconds": round(time.perf_counter() - began, 2),
        "processor_s": round(time.process_time() - computed, 2),
        "peak_mib": peak_mib(),
    }


def peak_mib() -> int:
    """Return the most memory that this process has had; `getrusage` counts its parent's too."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) // 1024


# ------------------------------------------------------------------------------ all of it


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", metavar="PART", help="not the others")
    parser.add_argument("--part", type=float, default=1.0, help="of the counts, to try it out")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--trials", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.read:
        print(json.dumps(read(asked.read, asked.trials)))
        return

    def some(n: int) -> int:
        return max(2, round(asked.part * n))

    parts: dict[str, Callable[[Path], Found]] = {
        "kills": lambda folder: kills(folder, some(200)),
        "writers": lambda folder: writers(folder, 8, some(1000)),
        "damages": lambda folder: damages(folder, some(4000)),
        "sweep": lambda folder: sweep(folder, 10 * some(30), some(50), some(20)),
        "many": lambda folder: many(folder, 20 * some(5000)),
    }
    found: Found = {}
    here = machine()
    if asked.only and asked.json and asked.json.is_file():
        found = json.loads(asked.json.read_text(encoding="utf-8"))
    for name in asked.only or parts:
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            found[name] = parts[name](Path(folder))
        found[name]["took_s"] = round(time.perf_counter() - began, 1)
        print(f"{name}: {json.dumps(found[name])}", flush=True)
        if asked.json:
            found["machine"] = here
            asked.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if bad := [name for name in asked.only or parts if is_lossy(found[name])]:
        sys.exit(f"faults: something was lost or read wrongly in {', '.join(bad)}")


def is_lossy(part: Found) -> bool:
    """Return whether a part lost a record, read one wrongly, or ended with others."""
    n_bad = sum(part.get(name, 0) for name in ("lost", "wrong", "recorded_twice"))
    return n_bad > 0 or not part.get("equal_to_undisturbed", True)


if __name__ == "__main__":
    main()
