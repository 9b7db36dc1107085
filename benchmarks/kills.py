"""Kill a `fill` of long trials again and again, and count what was lost.

    .venv/bin/python benchmarks/kills.py --json kills.json

Trials of about a minute are trained in the background by two workers. At random moments one of
three things happens: a worker is killed, the process that hands out the work is, or everything is,
as when the power fails. Each time the same command is given again. In the end every trial must have
one record, equal bit by bit to that of a run nobody disturbed. What was lost is the processor time
of all workers beyond what the records say their training took.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil
import torch

from hplab.sweeps import driver, provenance
from hplab.sweeps.store import Store
from hplab.training import datasets
from hplab.trial import Trial, grid

FILL = """
import sys
from hplab.sweeps import background, slices, store
from pathlib import Path
if __name__ == "__main__":
    background.TOO_MUCH = 2.0  # it is to be disturbed by kills alone
    background.NICENESS = 0
    here = store.Store(sys.argv[1] + "/results", sys.argv[1] + "/pending")
    background.fill(slices.read(Path(sys.argv[2])), here, jobs=2)
"""
WHOM = ("a worker", "the driver", "everything")


class Fill:
    """One `fill`, with all its processes and the time its workers have computed."""

    def __init__(self, folder: Path, plan: Path) -> None:
        script = folder / "fill.py"
        script.write_text(FILL)
        command = [sys.executable, str(script), str(folder), str(plan)]
        self.asking = psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.computed: dict[tuple[int, float], float] = {}

    def workers(self) -> list[psutil.Process]:
        """Return those that train: started by the server that the driver forks them from."""
        found: list[psutil.Process] = []
        with contextlib.suppress(psutil.Error):
            for trainer in self.asking.children():
                for server in trainer.children():
                    found += server.children()
        return found

    def look(self) -> None:
        for worker in self.workers():
            with contextlib.suppress(psutil.Error):
                spent = worker.cpu_times()
                self.computed[worker.pid, worker.create_time()] = spent.user + spent.system

    def wait(self, seconds: float) -> bool:
        """Look on for a while; return whether it has ended by itself."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.asking.is_running():
            if self.asking.status() == psutil.STATUS_ZOMBIE:
                break
            self.look()
            time.sleep(0.1)
        return self.asking.poll() is not None

    def kill(self, whom: str, rng: random.Random) -> None:
        """Kill, and wait until nothing is left but what goes on by itself."""
        self.look()
        workers, family = self.workers(), self.asking.children(recursive=True)
        if whom == "a worker":
            if workers:
                with contextlib.suppress(psutil.Error):
                    rng.choice(workers).kill()
            return
        victims = family[:1] if whom == "the driver" else [self.asking, *family]
        for victim in victims:
            with contextlib.suppress(psutil.Error):
                victim.kill()
        until = time.monotonic() + 60
        while any(map(_runs, family)) and time.monotonic() < until:
            for worker in workers:
                with contextlib.suppress(psutil.Error):
                    spent = worker.cpu_times()
                    self.computed[worker.pid, worker.create_time()] = spent.user + spent.system
            time.sleep(0.05)
        self.asking.wait(60)


def _runs(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def measure(n_kills: int, n_trials: int, epochs: int, seed: int) -> dict[str, object]:
    """Return what many kills cost.

    Args:
        n_kills: How often something is killed.
        n_trials: How many trials are trained meanwhile; more are added until all kills are done.
        epochs: How long each trial is.
        seed: Of the moments and the victims.
    """
    rng = random.Random(seed)
    base = Trial(data="digits", model="cnn", epochs=epochs)
    trials = grid(base, batch_size=range(40, 40 + n_trials))  # no two of them stack
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plan = folder / "plan.jsonl"
        plan.write_text(
            "".join(json.dumps({"config": t.config(), "seed": 0}) + "\n" for t in trials)
        )
        computed, killed = 0.0, Counter()
        fill = Fill(folder, plan)
        while killed.total() < n_kills:
            if fill.wait(rng.uniform(5, 35)):
                raise SystemExit("the trials were done before the kills: ask for more of them")
            whom = rng.choice(WHOM)
            fill.kill(whom, rng)
            killed[whom] += 1
            print(f"{killed.total()} of {n_kills}: {whom}", file=sys.stderr, flush=True)
            if whom != "a worker":
                computed += sum(fill.computed.values())
                fill = Fill(folder, plan)
        while not fill.wait(600):
            pass
        computed += sum(fill.computed.values())
        store = Store(folder / "results", folder / "pending")
        records = list(store.records())
        lines = sum(len(p.read_bytes().splitlines()) for p in store.pending.glob("*.jsonl"))
        left = len(list((folder / "checkpoints").glob("*.ckpt")))
    costs = [record["cost"]["train_s"] + record["cost"]["eval_s"] for record in records]
    sample = rng.choice(records)
    call = [(sample["config"], sample["seed"])]
    torch.set_num_threads(1)  # as workers do: the last digits depend on it
    [alone] = driver.compute(call, "cpu", datasets.load("digits"))
    return {
        "kills": dict(killed),
        "trials": n_trials,
        "recorded": len(records),
        "trained_twice": lines - len(records),
        "checkpoints_left": left,
        "seconds_a_trial": round(statistics.median(costs), 1),
        "lost_s_a_kill": round((computed - sum(costs)) / n_kills, 1),
        "equal_to_undisturbed": alone["curves"] == sample["curves"],
        "made_with": provenance.collect_provenance("cpu"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--trials", type=int, default=26)
    parser.add_argument("--epochs", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    found = measure(asked.kills, asked.trials, asked.epochs, asked.seed)
    print(json.dumps(found, indent=1))
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
