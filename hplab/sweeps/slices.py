"""Trials that travel: listed where the book is, trained on a bare machine, records brought back.

    python -m hplab.sweeps.slices plan.jsonl --out DIR --device cuda --minutes 9.5

A plan is a file of JSON lines, a trial each, the most wanted first. Whoever trains it needs the
package, the data and torch; no Jupyter, no git, no network. It stops itself in time, and what is
finished is on the disk within seconds, so that a machine taken away loses only what was being
trained. `tools/slice.sh` does the packing, the carrying and the merging.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from hplab.errors import Terminated
from hplab.sweeps import driver, executors
from hplab.sweeps import store as stores
from hplab.training import datasets as data
from hplab.trial import HplabError, Trial, canonical

SPARE_S = 20.0  # between the last result and the limit: to write, pack and copy


def write(path: Path, trials: Iterable[Trial]) -> int:
    """Write a plan, a trial a line in the order given; return how many."""
    lines = [canonical({"config": t.config(), "seed": t.seed}) + "\n" for t in trials]
    path.write_text("".join(lines), encoding="utf-8")
    return len(lines)


def read(path: Path) -> list[Trial]:
    """Return the trials of a plan, in its order.

    Raises:
        HplabError: If a line is no trial, naming file and line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise HplabError(f"{path} cannot be read: {error}") from error
    trials = []
    for number, line in enumerate(lines, 1):
        try:
            found = json.loads(line)
            trials.append(Trial.from_config(found["config"], found["seed"]))
        except (ValueError, KeyError, TypeError, RecursionError, HplabError) as error:
            raise HplabError(f"{path}, line {number}: no trial: {error}") from error
    return trials


def train(
    trials: list[Trial], store: stores.Store, *, device: str, seconds: float, sharers: int = 1
) -> int:
    """Train trials in their order until all are done or time is up; return how many are recorded.

    Args:
        trials: Different trials; those the store holds are left out.
        store: Where the records go.
        device: A resolved torch device.
        seconds: How long this may take. No stack is begun that would take longer.
        sharers: Processes that share a graphics card.
    """
    until = time.monotonic() + seconds
    datasets = {name: data.load(name) for name in dict.fromkeys(t.data for t in trials)}
    todo = [t for t in trials if store.summary(t, datasets[t.data].digest) is None]
    with _Progress(store, len(todo), device):
        driver.train(
            todo, datasets, device, None, store, sharers=sharers, in_order=True, until=until
        )
    return sum(store.summary(t, datasets[t.data].digest) is not None for t in todo)


class _Progress:
    """Says every half minute how many records there are, and what the card is doing."""

    EVERY_S = 30.0

    def __init__(self, store: stores.Store, n: int, device: str) -> None:
        self.store, self.n, self.device = store, n, device
        self.began, self.over = time.monotonic(), threading.Event()
        self.thread = threading.Thread(target=self._say, daemon=True)

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()

    def _say(self) -> None:
        while not self.over.wait(self.EVERY_S):
            self.line()
        self.line()

    def line(self) -> None:
        seconds = time.monotonic() - self.began
        files = self.store.pending.glob("*.jsonl")
        done = sum(len(file.read_bytes().splitlines()) for file in files)
        rate = 60 * done / seconds
        print(
            f"{seconds:6.0f} s  {done} of {self.n} trials, {rate:.1f} a minute{self._card()}",
            flush=True,
        )

    def _card(self) -> str:
        if torch.device(self.device).type != "cuda":
            return ""
        asked = ["nvidia-smi", "--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader"]
        try:
            said = subprocess.run(asked, capture_output=True, text=True, timeout=10).stdout
        except (OSError, subprocess.TimeoutExpired):
            return ""
        busy, _, memory = said.partition("\n")[0].partition(", ")
        return f"; card busy {busy}, memory {memory}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Train the trials of a plan, the first ones first, and stop in time.

    Returns:
        The exit code: 0, 1 on a mistake, 143 when it was told to end (checkpoints are written).
    """
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("plan", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder for records")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--minutes", type=float, default=10.0, help="be done by then")
    parser.add_argument("--sharers", type=int, default=1, help="processes that share a card")
    asked = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _terminate)
    try:
        trials = read(asked.plan)
        store = stores.Store(asked.out / "results", asked.out / "pending")
        device = executors.resolve_device(asked.device)
        seconds = 60 * asked.minutes - SPARE_S
        n = train(trials, store, device=device, seconds=seconds, sharers=asked.sharers)
    except HplabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except Terminated:
        return 143
    print(f"{n} of {len(trials)} trials recorded in {asked.out}")
    return 0


def _terminate(*_: object) -> None:
    raise Terminated


if __name__ == "__main__":
    sys.exit(main())
