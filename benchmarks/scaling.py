"""What a trial costs by how many train side by side, on one thread.

Run: `python benchmarks/scaling.py [--rounds 3] [--json FILE]`

Each kind of network trains one epoch in stacks of 1 to 512 lanes. The time is processor time, so a
busy machine disturbs it little; the widths take turns within a round, and medians are kept.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

from engine import DIGITS, LAPTOP_CNN, SMALL_CNN, machine

from hplab.sweeps import executors
from hplab.training import datasets, loop
from hplab.trial import Trial

WIDTHS = (1, 2, 4, 8, 16, 30, 60, 128, 256, 512)
LARGE_CNN = {"model": "cnn", "model_args": {"channels": [32, 64], "hidden": 512}}
KINDS = {
    "MLP 64-64-32-10, batch 16": DIGITS,
    "MLP 64-64-32-10, batch 64": DIGITS.replace(batch_size=64),
    "CNN 16-32, batch 16": DIGITS.replace(**SMALL_CNN),
    "CNN 8-16, batch 64": DIGITS.replace(**LAPTOP_CNN, batch_size=64),
    "CNN 32-64, hidden 512, batch 64": DIGITS.replace(**LARGE_CNN, batch_size=64),
}
MOST_LANES = {"CNN 16-32, batch 16": 128, "CNN 32-64, hidden 512, batch 64": 30}


def cost(trial: Trial, lanes: int, dataset: datasets.Dataset) -> float:
    """Return the processor seconds a trial takes for an epoch in a stack of that many lanes."""
    trials = [trial.replace(seed=seed, epochs=1) for seed in range(lanes)]
    began = time.process_time()
    loop.train_lanes(trials, dataset)
    return (time.process_time() - began) / lanes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    here = machine()
    dataset = datasets.load("digits")
    rows: list[dict[str, Any]] = []
    with executors.open_executor("cpu", 1):
        cost(DIGITS, 2, dataset)  # imports what the first optimizer of a process imports
        for name, trial in KINDS.items():
            widths = [w for w in WIDTHS if w <= MOST_LANES.get(name, 512)]
            times: dict[int, list[float]] = {width: [] for width in widths}
            for _ in range(options.rounds):
                for width in widths:
                    times[width].append(cost(trial, width, dataset))
            for width in widths:
                middle = statistics.median(times[width])
                rows.append({"network": name, "lanes": width, "seconds": middle})
            shown = [f"{w}: {1e3 * statistics.median(times[w]):.1f}" for w in widths]
            print(f"{name}: ms a trial and epoch by lanes: {', '.join(shown)}", flush=True)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        found = {"machine": here, "torch_threads": 1, "rounds": options.rounds, "rows": rows}
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
