"""What `engine.py` times from the start of a fresh process to its end: imports are part of it.

Run: `python benchmarks/fresh.py hplab|"plain loop" CONFIG N`, with a trial's setting as JSON. hplab
trains N trials in one sweep. The plain loop trains two and says how long the second took: the other
N - 2 would take as long.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import hplab as hp


def sweep(config: dict[str, Any], n: int) -> dict[str, Any]:
    """Train a sweep as a page does."""
    from hplab.sweeps.store import Store

    trials = [hp.Trial.from_config(config, seed) for seed in range(n)]
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "results", Path(folder) / "pending")
        runs = hp.run(trials, preset="paper", device="cpu", n_seeds=n, store=store)
    return {"loss": float(runs.sort_values("seed")["train_loss"].iloc[0]), "rest_s": 0.0}


def loop(config: dict[str, Any], n: int) -> dict[str, Any]:
    """Train two trials in a plain loop."""
    import peers

    from hplab.training import datasets

    losses, seconds = [], []
    for seed in range(2):
        began = time.perf_counter()
        trial = hp.Trial.from_config(config, seed)
        losses.append(peers.plain(peers.Task(trial, datasets.load(trial.data))))
        seconds.append(time.perf_counter() - began)
    return {"loss": losses[0], "rest_s": (n - 2) * seconds[1]}


if __name__ == "__main__":
    who, text, count = sys.argv[1:]
    print(json.dumps({"hplab": sweep, "plain loop": loop}[who](json.loads(text), int(count))))
