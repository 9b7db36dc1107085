"""How fast an epoch of report 001's MobileNet trains, beside the kind of loop the report used.

Run: `python benchmarks/mobilenet.py [--images 1280] [--rounds 3] [--json FILE]`

The peer is what a tutorial does: torchvision's transforms image by image, a `DataLoader`, images in
the order channel, height, width, an optimizer as it comes, `loss.item()` at every step. Ours is
hplab's own loop in fp32 and in labelled mixed bf16 (1x1 convolutions in bf16, all else in fp32).
All use one thread; rounds alternate, and a ratio is the median of the rounds' ratios. The time is
that of the processor, so that a neighbour who takes turns on the machine does not count; one who
shares its caches and memory does, for all three alike. Images are random, which changes no time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from engine import machine
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from hplab.sweeps import executors
from hplab.training import datasets, loop, precision
from hplab.training.networks import lanes, models
from hplab.trial import Trial

TRIAL = Trial(
    data="cifar100",
    model="mobilenet",
    optimizer="sgd",
    optimizer_args={"momentum": 0.9},
    lr=0.05,
    batch_size=128,
    drop_last=True,
    epochs=1,
    augment=["crop", "flip"],
)


def images(n: int) -> datasets.Dataset:
    """Return random images in place of CIFAR-100's, `n` to train on and 100 to validate on."""
    draw = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (n + 100, 3, 32, 32), generator=draw, dtype=torch.uint8)
    labels = torch.arange(n + 100) % 100
    parts = pixels[:n], labels[:n], pixels[n:], labels[n:]
    names = tuple(map(str, range(100)))
    return datasets.Dataset("cifar100", *parts, names, "0" * 64, (0.5,) * 3, (0.29,) * 3)


class Pictures(Dataset):
    """Images as torchvision's data sets hold them: arrays that are transformed one by one."""

    def __init__(self, dataset: datasets.Dataset) -> None:
        self.pixels = dataset.images.permute(0, 2, 3, 1).numpy()
        self.labels = dataset.labels.tolist()
        self.change = transforms.Compose(
            [
                transforms.ToPILImage(),
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(dataset.mean, dataset.std),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        return self.change(self.pixels[i]), self.labels[i]


def peer(dataset: datasets.Dataset) -> Callable[[], None]:
    """Return one epoch of the report's kind of loop."""
    network = models.build(TRIAL, (3, 32, 32), 100)
    optimizer = torch.optim.SGD(network.parameters(), lr=TRIAL.lr, momentum=0.9)
    batches = DataLoader(Pictures(dataset), TRIAL.batch_size, shuffle=True, drop_last=True)

    def epoch() -> None:
        network.train()
        running, correct = 0.0, 0
        for inputs, labels in batches:
            optimizer.zero_grad()
            logits = network(inputs)
            loss = functional.cross_entropy(logits, labels)
            loss.backward()
            optimizer.step()
            running += loss.item()
            correct += logits.argmax(dim=1).eq(labels).sum().item()

    return epoch


def ours(dataset: datasets.Dataset, how: str) -> Callable[[], None]:
    """Return one epoch of updates of hplab's loop in a number format."""
    trial = TRIAL.replace(precision=how)
    network = models.build(trial, (3, 32, 32), 100)
    run = loop._Run([trial], dataset, lanes.Single(network), "cpu").updates

    def epoch() -> None:
        with precision.matmul(how):
            run.epoch(run.update)

    return epoch


def cpu_seconds(call: Callable[[], None]) -> float:
    """Return the processor time of one call."""
    began = time.process_time()
    call()
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1280)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    dataset = images(options.images)
    # Each in the memory settings it would have by itself: the peer comes first, with glibc's own.
    plain = peer(dataset)
    cpu_seconds(plain)
    rates = {"peer": [options.images / cpu_seconds(plain) for _ in range(options.rounds)]}
    executors.keep_freed_memory()
    epochs = {"peer, memory kept": plain, "fp32": ours(dataset, "fp32")}
    epochs["mixed bf16"] = ours(dataset, "bf16")
    for epoch in epochs.values():
        epoch()
    for name in epochs:
        rates[name] = []
    for _ in range(options.rounds):
        for name, epoch in epochs.items():
            rates[name].append(options.images / cpu_seconds(epoch))
    rows = {}
    for name, values in rates.items():
        ratio = statistics.median(a / b for a, b in zip(values, rates["peer"], strict=True))
        rows[name] = {"images_per_s": statistics.median(values), "times_peer": ratio}
        print(f"{name:18} {rows[name]['images_per_s']:6.1f} images/s  {ratio:.2f} x", flush=True)
    if options.json:
        found = {"machine": machine(), "rounds": options.rounds, "rows": rows}
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
