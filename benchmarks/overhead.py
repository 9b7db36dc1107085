"""What the store and the runner cost a trial, without any training.

Run: `python benchmarks/overhead.py [--trials 10 100 1000 10000] [--json FILE]`

For each number of trials a store in a temporary folder is filled with made-up records of thirty
epochs, then read again as a page does it: put (in batches of 64), a fresh load with every checksum
verified, and the table of a sweep in which nothing is left to train. Times are medians of several
rounds; this machine's name stands beside them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from engine import machine

from hplab.sweeps import runner
from hplab.sweeps.store import Store
from hplab.training import datasets, loop
from hplab.trial import TASK, TASK_VERSION, Trial, grid

N_EPOCHS = 30
BATCH = 64
ROUNDS = 3


def records(trials: list[Trial], digest: str) -> list[dict]:
    """Return a plausible record for each trial; the values differ so that nothing is shared."""
    found = []
    for i, trial in enumerate(trials):
        curves = {
            name: [round(1.0 / (epoch + 1) + i * 1e-6, 7) for epoch in range(N_EPOCHS)]
            for name in loop.METRICS
        }
        found.append(
            {
                "v": 1,
                "key": trial.key(digest),
                "task": TASK,
                "task_version": TASK_VERSION,
                "data": digest,
                "config": trial.config(),
                "seed": trial.seed,
                "status": "ok",
                "at": None,
                "final": {name: curves[name][-1] for name in loop.METRICS[:4]},
                "curves": curves,
                "cost": {"train_s": 1.0, "eval_s": 0.1, "lanes": 1, "device": "cpu", "threads": 1},
                "prov": "0" * 12,
            }
        )
    return found


def timed(call: Callable[[], object]) -> float:
    """Return the wall time of one call, in seconds."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def measure(n_trials: int) -> dict[str, float]:
    """Return seconds for putting, loading and tabulating that many trials, in a fresh store."""
    base = Trial(data="digits", epochs=N_EPOCHS)
    n_seeds = min(n_trials, 20)
    lrs = [1e-5 * (1 + i) for i in range(n_trials // n_seeds)]
    trials = grid(base, lr=lrs, seed=range(n_seeds))
    made = records(trials, datasets.load("digits").digest)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "results", Path(folder) / "pending"
        store = Store(*place)
        put = timed(lambda: [store.put(made[i : i + BATCH]) for i in range(0, len(made), BATCH)])
        load = timed(Store(*place).refresh)
        sweep = timed(lambda: runner.run(trials, preset="paper", store=Store(*place)))
    return {"put_s": put, "load_s": load, "cached_sweep_s": sweep}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, nargs="+", default=[10, 100, 1000, 10_000])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    for n_trials in options.trials:
        rounds = [measure(n_trials) for _ in range(ROUNDS)]
        row = {name: statistics.median(r[name] for r in rounds) for name in rounds[0]}
        rows.append({"trials": n_trials, **row})
        print("  ".join(f"{name} {value:.3g}" for name, value in rows[-1].items()), flush=True)
    if options.json:
        found = {"machine": machine(), "rows": rows}
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
