"""What a trial costs on a graphics card: by lanes, with and without recorded graphs.

Run: `python benchmarks/card.py [--seconds 60] [--json FILE]`

Each kind of network trains a few epochs on random images of the shape of its data set, once to set
up and twice to be timed; the faster counts. Rows are written as they come, and no kind is begun
when the time is up, so that it fits into what is left of somebody's card.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import time
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from hplab.sweeps import provenance
from hplab.training import datasets, graphs, loop
from hplab.trial import Trial

PHOTOS = Trial(
    data="dinosaurs",
    model_args={"channels": [16, 32, 64], "batch_norm": True},
    augment={"flip": 0.5, "rotate": 15.0},
    measure=("diagnostics",),
)
REPORT_002 = Trial(
    data="cifar10",
    model="mlp",
    model_args={"hidden": [512, 256, 128], "logit_norm": True},
    optimizer="adagrad",
    batch_size=128,
)
MLP = Trial(data="mnist", model="mlp", optimizer="sgd", lr=0.1)
CNN = Trial(data="mnist")
# Name, trial, lanes, training images, epochs, whether updates are recorded.
KINDS = (
    ("report 000's network, batch 64", PHOTOS, 1, 1600, 3, True),
    ("report 000's network, batch 64", PHOTOS, 1, 1600, 3, False),
    ("report 000's network, batch 16", PHOTOS.replace(batch_size=16), 1, 1600, 3, True),
    ("report 002's network, batch 128", REPORT_002, 1, 12_800, 2, True),
    ("report 002's network, batch 128", REPORT_002, 1, 12_800, 2, False),
    ("report 002's network, batch 128", REPORT_002, 16, 12_800, 2, True),
    ("report 002's network, batch 128", REPORT_002, 64, 12_800, 2, True),
    ("MLP 784-64-32-10, batch 64", MLP, 1, 12_800, 2, True),
    ("MLP 784-64-32-10, batch 64", MLP, 64, 12_800, 2, True),
    ("MLP 784-64-32-10, batch 64", MLP, 512, 12_800, 2, True),
    ("CNN 32-64, hidden 128, batch 64", CNN, 1, 6400, 2, True),
    ("CNN 32-64, hidden 128, batch 64", CNN, 8, 6400, 2, True),
    ("CNN 32-64, hidden 128, batch 64", CNN, 64, 6400, 2, True),
    ("report 000's network, batch 64", PHOTOS, 8, 1600, 1, True),
    ("report 002's network, batch 128", REPORT_002, 64, 12_800, 1, False),
    ("MLP 784-64-32-10, batch 64", MLP, 512, 12_800, 1, False),
)
SHAPES = {"dinosaurs": (3, 128, 128, 15), "cifar10": (3, 32, 32, 10), "mnist": (1, 28, 28, 10)}


def random_images(name: str, n: int) -> datasets.Dataset:
    """Return a data set of noise, shaped like the one of that name."""
    *shape, n_classes = SHAPES[name]
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(256, (n + 800, *shape), generator=draw, dtype=torch.uint8)
    labels = torch.arange(n + 800) % n_classes
    return datasets.Dataset(
        name=name,
        images=images[:n],
        labels=labels[:n],
        test_images=images[n:],
        test_labels=labels[n:],
        class_names=tuple(map(str, range(n_classes))),
        digest="0" * 64,
        mean=(0.5,) * shape[0],
        std=(0.29,) * shape[0],
    )


def timed(trial: Trial, lanes: int, n: int, epochs: int, recorded: bool) -> dict[str, Any]:
    """Return seconds a trial and epoch, by what they were spent on, and the card's memory."""
    dataset = random_images(trial.data, n)
    trials = [trial.replace(seed=seed, epochs=epochs) for seed in range(lanes)]
    eager = mock.patch.object(graphs, "can_capture", return_value=False)
    rows = []
    with contextlib.nullcontext() if recorded else eager:
        loop.train_lanes([t.replace(epochs=1) for t in trials], dataset, device="cuda")
        torch.cuda.reset_peak_memory_stats()
        for _ in range(2):
            torch.cuda.synchronize()
            began = time.perf_counter()
            [found, *_] = loop.train_lanes(trials, dataset, device="cuda")
            torch.cuda.synchronize()
            rows.append((time.perf_counter() - began, found))
    seconds, found = min(rows, key=lambda row: row[0])
    each = {name: value / epochs for name, value in found.seconds.items()}
    gib = torch.cuda.max_memory_allocated() / 2**30
    return {"wall_s": seconds / epochs / lanes, **each, "gib": round(gib, 2), "eager": found.eager}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    until = time.monotonic() + options.seconds
    rows = []
    for name, trial, lanes, n, epochs, recorded in KINDS:
        if time.monotonic() > until:
            break
        row = {"network": name, "lanes": lanes, "n_train": n, "recorded": recorded}
        try:
            row |= timed(trial, lanes, n, epochs, recorded)
        except Exception as error:  # a card that refuses one kind is timed on the others
            row["error"] = f"{type(error).__name__}: {error}"[:200]
        rows.append(row)
        print(json.dumps(row), flush=True)
        if options.json:
            found = {"machine": provenance.collect_provenance("cuda"), "rows": rows}
            options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
