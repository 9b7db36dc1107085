"""Trials that travel: listed where the book is, trained on a bare machine, records brought back.

    python -m hplab.sweeps.slices plan.jsonl --out DIR --device cuda --minutes 9.5

A plan is a file of JSON lines, a trial each, the most wanted first. Whoever trains it needs the
package, the data and torch; no Jupyter, no git, no network. It stops itself in time, and what is
finished is on the disk within seconds, so that a machine taken away loses only what was being
trained. `tools/slice.sh` does the packing, the carrying and the merging.
"""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import click
import torch

from hplab.sweeps import driver, executors
from hplab.sweeps import store as stores
from hplab.training import data
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
    trials = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            found = json.loads(line)
            trials.append(Trial.from_config(found["config"], found["seed"]))
        except (ValueError, KeyError, TypeError, HplabError) as error:
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


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("plan", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for records.")
@click.option("--device", default="auto", help="auto, cpu, cuda or mps.")
@click.option("--minutes", type=float, default=10.0, help="Be done by then.")
@click.option("--sharers", type=int, default=1, help="Processes that share a graphics card.")
def main(plan: Path, out: Path, device: str, minutes: float, sharers: int) -> None:
    """Train the trials of PLAN, the first ones first, and stop in time."""
    try:
        trials = read(plan)
        store = stores.Store(out / "results", out / "pending")
        seconds = 60 * minutes - SPARE_S
        resolved = executors.resolve_device(device)
        n = train(trials, store, device=resolved, seconds=seconds, sharers=sharers)
    except HplabError as error:
        raise click.ClickException(str(error)) from error
    print(f"{n} of {len(trials)} trials recorded in {out}")


if __name__ == "__main__":
    main()
