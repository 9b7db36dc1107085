"""hplab against the ways its readers would train the same trials: `make bench`.

Run: `python benchmarks/engine.py [--only W3] [--rounds 3] [--json FILE]`

Each workload is a sweep. hplab runs it whole, as a page does: from a list of trials through worker
processes to records on the disk. Each peer trains a few of the same trials one after another with
torch's default number of threads. Everybody measures the same losses after every epoch, and their
final training losses have to agree. Contestants take turns, so that whatever else the machine does
hits all of them; a ratio is the median over rounds of ratios within a round. A first round warms
everybody up and is not counted. What only the first sweep of a process waits for is in a row of its
own, "fresh process".
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import peers
import torch
from torch.utils.flop_counter import FlopCounterMode

from hplab.sweeps import runner
from hplab.sweeps.store import Store
from hplab.training import datasets
from hplab.training.networks import models
from hplab.trial import Trial

MLP = Trial(data="cifar10", model="mlp", model_args={"hidden": [512, 256, 128]}, optimizer="sgd")
DIGITS = Trial(data="digits", model="mlp", batch_size=16, epochs=30)
SMALL_CNN = {"model": "cnn", "model_args": {"channels": [16, 32], "hidden": 64}}
LAPTOP_CNN = {"model": "cnn", "model_args": {"channels": [8, 16], "hidden": 32}}


@dataclasses.dataclass(frozen=True)
class Workload:
    """A sweep to be timed.

    Attributes:
        name: What it is called on the page.
        trial: One trial of it; the others differ in the seed.
        n_trials: How many hplab runs in a round.
        against: Names of `peers.PEERS` to compare with.
        tolerance: By how much final training losses may differ, as a share.
        busy: Whether another process keeps a core busy meanwhile.
        fresh: Whether every round is a fresh process, timed from its start to its end.
    """

    name: str
    trial: Trial
    n_trials: int
    against: tuple[str, ...] = tuple(peers.PEERS)
    tolerance: float = 0.02
    busy: bool = False
    fresh: bool = False


PLAIN = ("plain loop",)
# As hplab's network has it, pooling comes before the activation. A user would write it after: the
# same numbers from four times as many activations. What that costs is the network's, whoever trains
# it, so the plain loop shows it for all.
CNN = (*peers.PEERS, PLAIN[0] + peers.POOL_LAST)
WORKLOADS = (
    Workload("W3 MLP, batch 16", DIGITS, 60),
    Workload("W3 MLP, batch 16, fresh process", DIGITS, 60, PLAIN, fresh=True),
    Workload("W3 MLP, batch 64", DIGITS.replace(batch_size=64, epochs=60), 60),
    Workload("W3 CNN, batch 16", DIGITS.replace(**SMALL_CNN, epochs=8), 60, CNN),
    Workload("laptop preset", DIGITS.replace(**LAPTOP_CNN, batch_size=64, epochs=20), 60, CNN),
    Workload("W1 batch 32, SGD", MLP.replace(batch_size=32, epochs=1), 6),
    Workload(
        "W1 batch 32, AdaGrad",
        MLP.replace(batch_size=32, epochs=1, optimizer="adagrad"),
        6,
        tolerance=0.1,
    ),
    Workload("W1 batch 1024", MLP.replace(batch_size=1024, epochs=2), 6, PLAIN),
    Workload(
        "W1 batch 1024, bf16",
        MLP.replace(batch_size=1024, epochs=2, precision="bf16"),
        6,
        PLAIN,
        tolerance=0.05,
    ),
    Workload("W2", Trial(data="mnist", epochs=1), 6, CNN),
    Workload("W2, bf16", Trial(data="mnist", epochs=1, precision="bf16"), 6, CNN, tolerance=0.1),
    Workload("W1 beside a busy process", MLP.replace(epochs=1), 4, PLAIN, busy=True),
)


def made_up(folder: Path) -> None:
    """Write noisy images of ten classes in the shapes of MNIST and CIFAR-10."""
    numbers = np.random.default_rng(0)
    for name, shape, n in (("mnist", (28, 28), 9600), ("cifar10", (32, 32, 3), 24_000)):
        labels = numbers.integers(0, 10, n + 320)
        classes = numbers.integers(0, 256, (10, *shape))
        images = (classes[labels] + 4 * numbers.integers(0, 256, (n + 320, *shape))) // 5
        images, labels = images.astype(np.uint8), labels.astype(np.int64)
        np.savez(
            folder / f"{name}.npz",
            train_images=images[:n],
            train_labels=labels[:n],
            test_images=images[n:],
            test_labels=labels[n:],
        )


def ours(workload: Workload) -> tuple[float, list[float]]:
    """Return the seconds a trial takes in hplab's whole sweep, and the final training losses."""
    if workload.fresh:
        seconds, loss = in_fresh_process(workload, "hplab")
        return seconds, [loss]
    trials = [workload.trial.replace(seed=seed) for seed in range(workload.n_trials)]
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "results", Path(folder) / "pending")
        began = time.perf_counter()
        runs = runner.run(trials, preset="paper", device="cpu", n_seeds=len(trials), store=store)
        seconds = time.perf_counter() - began
    return seconds / len(trials), runs.sort_values("seed")["train_loss"].tolist()


def theirs(workload: Workload, peer: str) -> tuple[float, float]:
    """Return the seconds a peer takes for the trial of seed 0, and its final training loss."""
    if workload.fresh:
        return in_fresh_process(workload, peer)
    name, pool_last = peer.removesuffix(peers.POOL_LAST), peer.endswith(peers.POOL_LAST)
    dataset = datasets.load(workload.trial.data)
    task = peers.Task(workload.trial, dataset, pool_last=pool_last)
    began = time.perf_counter()
    loss = peers.PEERS[name](task)
    return time.perf_counter() - began, loss


def in_fresh_process(workload: Workload, who: str) -> tuple[float, float]:
    """Return the seconds a trial takes from the start of a process on (`fresh.py`), and a loss."""
    config = json.dumps(workload.trial.config())
    script = Path(__file__).with_name("fresh.py")
    command = [sys.executable, "-W", "ignore", str(script), who, config, str(workload.n_trials)]
    # Compiled modules are kept, as they are for a reader: only the first process of all has none.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    began = time.perf_counter()
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    seconds = time.perf_counter() - began
    found = json.loads(done.stdout.splitlines()[-1])
    return (seconds + found["rest_s"]) / workload.n_trials, found["loss"]


@contextlib.contextmanager
def neighbour(busy: bool) -> Iterator[None]:
    """Keep the last core busy from another process, if asked to."""
    if not busy:
        yield
        return
    process = multiprocessing.get_context("spawn").Process(target=_spin, daemon=True)
    process.start()
    time.sleep(1.0)
    try:
        yield
    finally:
        process.kill()
        process.join()


def _spin() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    while True:
        pass


def compare(workload: Workload, rounds: int) -> dict[str, Any]:
    """Return medians, ratios and losses of one workload."""
    seconds: dict[str, list[float]] = {name: [] for name in ("hplab", *workload.against)}
    with neighbour(workload.busy):
        for number in range(rounds + 1):
            own, losses = ours(workload)
            found = {"hplab": own}
            for peer in workload.against:
                found[peer], loss = theirs(workload, peer)
                off = abs(loss - losses[0]) / losses[0]
                if off > workload.tolerance:
                    sys.exit(
                        f"{workload.name}: {peer} ends at {loss:.5f}, hplab at {losses[0]:.5f}"
                    )
            if number:  # the first round warms everybody up
                for name, value in found.items():
                    seconds[name].append(value)
    pairs = {
        peer: [b / a for a, b in zip(seconds["hplab"], seconds[peer], strict=True)]
        for peer in workload.against
    }
    flops = flops_per_trial(workload.trial)
    own = statistics.median(seconds["hplab"])
    return {
        "name": workload.name,
        "config": workload.trial.config(),
        "trials": workload.n_trials,
        "seconds_a_trial": {name: statistics.median(values) for name, values in seconds.items()},
        "ratio": {peer: statistics.median(values) for peer, values in pairs.items()},
        "ratios": pairs,
        "gflops": flops / own / 1e9,
    }


def flops_per_trial(trial: Trial) -> float:
    """Return the multiply-adds, times two, of a trial: its updates and its measuring."""
    dataset = datasets.load(trial.data)
    network = models.build(trial, tuple(dataset.images.shape[1:]), len(dataset.class_names))
    images = torch.zeros(8, *dataset.images.shape[1:])
    with FlopCounterMode(display=False) as whole:
        network(images).sum().backward()
    with FlopCounterMode(display=False) as forward, torch.no_grad():
        network(images)
    update, look = whole.get_total_flops() / 8, forward.get_total_flops() / 8
    n, n_val = len(dataset.labels), len(dataset.test_labels)
    return trial.epochs * (n * update + (n + n_val) * look)


def machine() -> dict[str, Any]:
    """Return what this machine is and what it can do at most, all cores together."""
    threads = torch.get_num_threads()
    a = torch.randn(2048, 2048)
    low, big = a.bfloat16(), torch.empty(2**26)

    def best(call: Any) -> float:
        times = []
        for _ in range(7):
            began = time.perf_counter()
            call()
            times.append(time.perf_counter() - began)
        return min(times)

    flops = 2 * 2048**3 / 1e9
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "matmul_gflops": flops / best(lambda: a @ a),
        "matmul_bf16_gflops": flops / best(lambda: low @ low),
        "copy_gb_s": 2 * 4 * big.numel() / 1e9 / best(lambda: big.clone()),
    }


def save(found: dict[str, Any], path: Path) -> None:
    """Write what was measured; workloads that were not keep the rows the file has for them.

    Rows that another machine or another torch made are dropped.
    """
    rows = {row["name"]: row for row in found["rows"]}
    if path.exists():
        old = json.loads(path.read_text(encoding="utf-8"))
        if _circumstances(old) == _circumstances(found):
            rows = {row["name"]: row for row in old["rows"]} | rows
    order = [workload.name for workload in WORKLOADS]
    found = found | {"rows": [rows[name] for name in order if name in rows]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _circumstances(found: dict[str, Any]) -> list[Any]:
    """What has to be equal for rows of two runs to stand in one table."""
    names = ("processor", "cores", "threads", "torch", "python")
    return [found["rounds"], *(found["machine"][name] for name in names)]


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help="workloads whose name starts with this")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="file that takes the rows measured")
    options = parser.parse_args()
    chosen = [w for w in WORKLOADS if w.name.startswith(options.only or "")]
    if not chosen:
        parser.error(f"no workload starts with {options.only!r}")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HPLAB_DATA"] = folder
        made_up(Path(folder))
        found = {"machine": machine(), "rounds": options.rounds, "rows": rows}
        print(json.dumps(found["machine"]))
        for workload in chosen:
            rows.append(compare(workload, options.rounds))
            row = rows[-1]
            times = "  ".join(f"{peer} {ratio:.2f}x" for peer, ratio in row["ratio"].items())
            row["peak_gflops"] = found["machine"]["matmul_gflops"]
            share = row["gflops"] / row["peak_gflops"]
            own = row["seconds_a_trial"]["hplab"]
            print(
                f"{row['name']:26} {own:.3f} s a trial, {share:.0%} of matmul; {times}", flush=True
            )
    if options.json:
        save(found, options.json)


if __name__ == "__main__":
    main()
