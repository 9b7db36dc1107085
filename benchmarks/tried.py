"""What makes a step cheaper, and what was tried and does not.

Run: `python benchmarks/tried.py [--rounds 9] [--json FILE]`

Each line is a pair of ways to make the same optimizer updates. The two take turns, round by round;
a number is the median over rounds of the first one's time over the second one's, so more than 1
means that the change helps. Time is the processor's, on one thread; for whole sweeps beside another
program that keeps a core busy it is the clock's.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import engine
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state
from torch.nn import functional

from hplab.sweeps import executors, runner
from hplab.sweeps.store import Store
from hplab.training.networks import models
from hplab.training.networks.lanes import Stack
from hplab.trial import Trial

Run = Callable[[], None]
WIDTHS = (3072, 512, 256, 128, 10)  # report 002's network, 1.7 million weights
LR = 1e-3
LARGE = "MLP with 1.7 million weights, batch 32, SGD"
LARGE_1024 = "the same MLP, batch 1024"
BUSY = "the same MLP, batch 32, one of two cores kept busy"
CNN = "report 004's network, batch 64, Adam"
SMALL = "30 MLPs 64-64-32-10, batch 16"
N_BATCHES = 20
FREED = "freed memory is kept"  # decided once for a process, so each side is one of its own


def large(n_lanes: int = 1) -> list[nn.Sequential]:
    """Return networks of report 002's shape with fresh weights."""
    found = []
    for seed in range(n_lanes):
        torch.manual_seed(seed)
        layers: list[nn.Module] = [nn.Flatten()]
        for a, b in itertools.pairwise(WIDTHS):
            layers += [nn.Linear(a, b), nn.ReLU()]
        found.append(nn.Sequential(*layers[:-1]))
    return found


def batches(shape: tuple[int, ...], size: int) -> list[tuple[Tensor, Tensor]]:
    """Return batches of noise with labels."""
    stream = torch.Generator().manual_seed(0)
    images = torch.rand(N_BATCHES, size, *shape, generator=stream)
    return list(zip(images, torch.randint(10, (N_BATCHES, size), generator=stream), strict=True))


def plainly(
    network: nn.Module, data: list, optimizer: torch.optim.Optimizer, *, mixed: bool = False
) -> Run:
    """Update by forward, backward, step; `mixed` computes products in bfloat16."""

    def run() -> None:
        for x, y in data:
            with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
                logits = network(x)
            loss = functional.cross_entropy(logits.float(), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return run


def step_in_backward(network: nn.Module, data: list) -> Run:
    """Update each weight as soon as its gradient is there, while both are in the cache."""
    optimizers = {p: torch.optim.SGD([p], lr=LR, fused=True) for p in network.parameters()}

    def update(parameter: nn.Parameter) -> None:
        optimizers[parameter].step()
        parameter.grad = None

    for parameter in network.parameters():
        parameter.register_post_accumulate_grad_hook(update)

    def run() -> None:
        for x, y in data:
            functional.cross_entropy(network(x), y).backward()

    return run


def by_hand(network: nn.Sequential, data: list) -> Run:
    """Write the backward pass out, so that a gradient is added to its weight as it is computed."""
    linear = [layer for layer in network if isinstance(layer, nn.Linear)]

    @torch.no_grad()
    def run() -> None:
        for x, y in data:
            seen = [x.flatten(1)]
            for layer in linear:
                out = torch.addmm(layer.bias, seen[-1], layer.weight.t())
                seen.append(out.relu_() if layer is not linear[-1] else out)
            slope = (seen[-1].softmax(1) - functional.one_hot(y, WIDTHS[-1])) / len(y)
            for i in reversed(range(len(linear))):
                below = (slope @ linear[i].weight) * (seen[i] > 0) if i else None
                linear[i].weight.addmm_(slope.t(), seen[i], alpha=-LR)
                linear[i].bias.sub_(slope.sum(0), alpha=LR)
                slope = below

    return run


def stacked(modules: list[nn.Sequential], data: list) -> Run:
    """Update several networks as one `Stack`; every lane sees the same batches here."""
    stack = Stack(modules)
    optimizer = torch.optim.SGD(stack.rows(range(len(modules))), lr=LR, fused=True)

    def run() -> None:
        for x, y in data:
            images = x.expand(len(modules), -1, -1, -1, -1)
            logits = stack(images).flatten(0, 1)
            stack.zero_grad()
            loss = functional.cross_entropy(logits, y.repeat(len(modules)), reduction="sum")
            (loss / len(y)).backward()
            stack.share_gradients()
            optimizer.step()

    return run


def vmapped(modules: list[nn.Sequential], data: list) -> Run:
    """Update several networks through `torch.func.vmap`."""
    weights, buffers = stack_module_state(modules)
    optimizer = torch.optim.SGD(weights.values(), lr=LR, fused=True)

    def loss(own: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return functional.cross_entropy(functional_call(modules[0], (own, buffers), (x,)), y)

    def run() -> None:
        for x, y in data:
            optimizer.zero_grad()
            torch.vmap(loss, (0, None, None))(weights, x, y).sum().backward()
            optimizer.step()

    return run


def measured(network: nn.Module, data: list, *, mixed: bool) -> Run:
    """Measure the loss of a network on all batches."""

    @torch.no_grad()
    def run() -> None:
        for x, y in data:
            with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
                logits = network(x)
            functional.cross_entropy(logits.float(), y)

    return run


def report_004(*, channels_last: bool = True) -> Run:
    """Update report 004's network on batches of MNIST's shape."""
    network = models.build(Trial(data="mnist"), (1, 28, 28), 10)
    data = batches((1, 28, 28), 64)
    if channels_last:
        network = network.to(memory_format=torch.channels_last)
        data = [(x.contiguous(memory_format=torch.channels_last), y) for x, y in data]
    return plainly(network, data, torch.optim.Adam(network.parameters(), fused=True))


def pairs() -> Iterator[tuple[str, str, Run, Run, int]]:
    """Yield what is tried, on what, the usual way, the other way, and the other way's networks."""
    data = batches((3, 32, 32), 32)
    (one,) = large()
    usual = plainly(one, data, torch.optim.SGD(one.parameters(), lr=LR, fused=True))
    yield "channels last", CNN, report_004(channels_last=False), report_004(), 1
    yield "the step inside the backward pass", LARGE, usual, step_in_backward(*large(), data), 1
    yield "two networks as a stack", LARGE, usual, stacked(large(2), data), 2
    yield "backward pass written by hand, step in it", LARGE, usual, by_hand(*large(), data), 1
    del data
    yield from at_1024()
    small = Trial(data="digits", model="mlp")
    modules = [models.build(small.replace(seed=i), (1, 8, 8), 10) for i in range(30)]
    few = batches((1, 8, 8), 16)
    alone = plainly(modules[0], few, torch.optim.SGD(modules[0].parameters(), lr=LR, fused=True))
    yield "a stack with layers batched by hand", SMALL, alone, stacked(modules, few), 30
    yield "a stack by torch.func.vmap", SMALL, alone, vmapped(modules, few), 30


def at_1024() -> Iterator[tuple[str, str, Run, Run, int]]:
    """Yield what is tried on the large network at batch 1024, in single precision and bfloat16."""
    data = batches((3, 32, 32), 1024)

    def usual(*, mixed: bool = False, half: bool = False) -> Run:
        (network,) = large()
        seen = [(x.bfloat16(), y) for x, y in data] if half else data
        network = network.bfloat16() if half else network
        optimizer = torch.optim.SGD(network.parameters(), lr=LR, fused=True)
        return plainly(network, seen, optimizer, mixed=mixed)

    yield (
        "the step inside the backward pass",
        LARGE_1024,
        usual(),
        step_in_backward(*large(), data),
        1,
    )
    yield (
        "backward pass written by hand, step in it",
        LARGE_1024,
        usual(),
        by_hand(*large(), data),
        1,
    )
    mixed = f"{LARGE_1024}, bfloat16"
    yield "images and weights held in bfloat16", mixed, usual(mixed=True), usual(half=True), 1
    (one,) = large()
    slow, quick = (measured(one, data, mixed=mixed) for mixed in (False, True))
    yield "measuring in bfloat16 too (of measuring)", mixed, slow, quick, 1


def beside_a_busy_process(rounds: int) -> Iterator[dict[str, Any]]:
    """Yield what other numbers of workers do for a sweep beside a program that takes a core."""
    with engine.neighbour(busy=True):
        for jobs in (1, 3, 4):
            sweep(jobs)  # the first imports
            found = [(sweep(2), sweep(jobs)) for _ in range(rounds)]
            yield {
                "tried": f"{jobs} worker{'s' * (jobs > 1)} instead of 2",
                "network": BUSY,
                "ratio": statistics.median(a / b for a, b in found),
                "usual_ms": 1e3 * statistics.median(a for a, _ in found),
            }


def sweep(jobs: int) -> float:
    """Return the seconds of an update, by the clock, of a sweep on so many workers."""
    trial = engine.MLP.replace(epochs=1, n_train=6400)
    trials = [trial.replace(seed=seed) for seed in range(6)]
    n_updates = len(trials) * -(-trial.n_train // trial.batch_size)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "results", Path(folder) / "pending")
        began = time.perf_counter()
        runner.run(trials, preset="paper", device="cpu", n_seeds=6, jobs=jobs, store=store)
        return (time.perf_counter() - began) / n_updates


def cpu_seconds(run: Run) -> float:
    """Return the processor time of one call."""
    began = time.process_time()
    run()
    return time.process_time() - began


def compare(
    first: Callable[[], float], second: Callable[[], float], networks: int, rounds: int
) -> dict[str, float]:
    """Return how many times as long the first takes for a network, and its time for an update.

    Args:
        first: Gives the seconds of the usual way, for one network.
        second: Gives the seconds of the other way.
        networks: How many networks the second trains.
        rounds: How often both take their turn, after one to warm up.
    """
    found = [(first(), second()) for _ in range(rounds + 1)][1:]
    return {
        "ratio": statistics.median(networks * a / b for a, b in found),
        "usual_ms": 1e3 * statistics.median(a for a, _ in found) / N_BATCHES,
    }


def in_process(keep: str) -> float:
    """Return the seconds of report 004's updates in a process that keeps freed memory, or not."""
    call = [sys.executable, "-W", "ignore", __file__, "--memory", keep]
    return float(subprocess.run(call, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--memory", choices=("keep", "free"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.memory:
        if options.memory == "keep":
            executors.keep_freed_memory()
        run = report_004()
        print([cpu_seconds(run) for _ in range(4)][-1])
        return
    executors.keep_freed_memory()
    apart = partial(in_process, "free"), partial(in_process, "keep"), 1
    rows = [{"tried": FREED, "network": CNN, **compare(*apart, options.rounds)}]
    for name, network, usual, other, n_networks in pairs():
        sides = partial(cpu_seconds, usual), partial(cpu_seconds, other), n_networks
        rows.append({"tried": name, "network": network, **compare(*sides, options.rounds)})
    with tempfile.TemporaryDirectory() as folder:
        engine.made_up(Path(folder))
        os.environ["HPLAB_DATA"] = folder
        rows += beside_a_busy_process(min(options.rounds, 3))
    for row in rows:
        print(f"{row['ratio']:6.2f} x  {row['tried']}: {row['network']} ({row['usual_ms']:.2f} ms)")
    if options.json:
        found = {"machine": engine.machine(), "rounds": options.rounds, "rows": rows}
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
