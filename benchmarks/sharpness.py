"""Average-direction sharpness of report 002's network, beside the naive loop.

The naive loop is what a script does: for every direction copy the network, add the direction to its
weights, go through a DataLoader and add up `.item()`. The two ways are interleaved, round by round,
and compared by processor time, which other processes on the machine disturb little.

Run: `python benchmarks/sharpness.py [--images 2500] [--directions 8] [--rounds 5] [--json FILE]`
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from engine import machine
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from hplab.training import sharpness
from hplab.training.networks.models import StandardizedLogits
from hplab.training.sharpness import factored

WIDTHS = (3072, 512, 256, 128, 10)
RADIUS = 5.0


def network() -> nn.Sequential:
    """Return report 002's network with fresh weights."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise(WIDTHS):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers[:-1], StandardizedLogits())


def naive(model: nn.Module, x: Tensor, y: Tensor, n: int) -> list[float]:
    """Measure as a plain script does, batch by batch."""
    loader = DataLoader(TensorDataset(x, y), batch_size=1024)

    def loss(net: nn.Module) -> float:
        with torch.no_grad():
            return sum(
                nn.functional.cross_entropy(net(a), b).item() * len(b) for a, b in loader
            ) / len(y)

    base, found = loss(model), []
    for _ in range(n):
        moved = copy.deepcopy(model)
        vector = nn.utils.parameters_to_vector(moved.parameters()).detach()
        z = torch.randn(len(vector))
        nn.utils.vector_to_parameters(vector + RADIUS * z / z.norm(), moved.parameters())
        found.append(loss(moved) - base)
    return found


def in_place(objective: sharpness.Objective, n: int) -> None:
    """Measure any network: perturb the weights in place, one direction after another."""
    theta, base = objective.vector(), objective.losses()
    for u in sharpness.directions(n, objective.dim, 0):
        objective.rise(theta + RADIUS * u.float(), base)


def ways(model: nn.Module, x: Tensor, y: Tensor, n: int) -> dict[str, tuple[int, Callable]]:
    """Return for each way how many losses it evaluates, and how."""
    objective = sharpness.Objective(model, x, y, batch_norm="batch")

    def cached(steps: list[float], **options: bool) -> Callable:
        def measure() -> None:
            drawn = (u.float() for u in sharpness.directions(n, objective.dim, 0))
            factored.rises(objective, drawn, steps, **options)

        return measure

    pair = [RADIUS, -RADIUS]
    return {
        "naive loop": (n, lambda: naive(model, x, y, n)),
        "any network, fp32": (n, lambda: in_place(objective, n)),
        "first layer cached, fp32": (n, cached([RADIUS])),
        "first layer cached, bf16": (n, cached([RADIUS], bf16=True)),
        "pairs, fp32": (2 * n, cached(pair)),
        "pairs, bf16": (2 * n, cached(pair, bf16=True)),
        "six radii in pairs, fp32": (12 * n, cached([s * r for r in (0.1, 0.3, 1, 3, 5, 4.9)
                                                     for s in (1, -1)])),
    }  # fmt: skip


def cpu_seconds(call: Callable) -> float:
    """Return the processor time of one call."""
    began = time.process_time()
    call()
    return time.process_time() - began


def main() -> None:
    """Print a table: losses evaluated a second, and times the naive loop."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2500)
    parser.add_argument("--directions", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    x, y = torch.rand(options.images, 3072), torch.arange(options.images) % 10
    table = ways(network(), x, y, options.directions)
    square = torch.randn(1536, 1536)
    rounds = []
    for _ in range(options.rounds + 1):
        spent = {name: cpu_seconds(call) / n for name, (n, call) in table.items()}
        spent["peak"] = cpu_seconds(lambda: square @ square)
        rounds.append(spent)
    rounds = rounds[1:]
    work = 2 * options.images * sum(a * b for a, b in itertools.pairwise(WIDTHS))
    rows = []
    for name in table:
        ratio = statistics.median(r["naive loop"] / r[name] for r in rounds)
        share = statistics.median(
            work / r[name] / (2 * len(square) ** 3 / r["peak"]) for r in rounds
        )
        seconds = statistics.median(r[name] for r in rounds)
        print(
            f"{name:28} {options.images / seconds:10.0f} images x losses / s"
            f" {ratio:6.2f} x naive {100 * share:5.0f} % of the matmul peak"
        )
        rows.append({"way": name, "ratio": ratio, "share": share, "losses_s": 1 / seconds})
    if options.json:
        about = {"rounds": options.rounds, "images": options.images}
        found = {"machine": machine(), **about, "rows": rows}
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
