"""Report 000's photos: what augmenting them costs, and what watching units die costs.

Run: `python benchmarks/photos.py [--images 768] [--rounds 5] [--json FILE]`

Augmentation: the peer is a `DataLoader` with torchvision's transforms, image by image. Once its
photos are decoded and resized already, and once they are JPEG files of 400 by 300 pixels that are
decoded and resized every time, as the report did. Ours changes whole batches of bytes and
normalizes them. Diagnostics: the same two epochs of training with and without them. All on one
thread, by processor time; rounds alternate, a number is the median over rounds.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from engine import machine
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from hplab.sweeps import executors
from hplab.training import batches, datasets, loop
from hplab.trial import Trial

TRIAL = Trial(
    data="dinosaurs",
    model="cnn",
    model_args={"channels": [16, 32, 64], "batch_norm": True},
    normalize="imagenet",
    augment={"flip": 0.5, "rotate": 15},
    split="kfold",
    drop_last=True,
    batch_size=16,
    epochs=2,
)


def photos(n: int) -> datasets.Dataset:
    """Return `n` random images of the photos' size in fifteen classes."""
    draw = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (n, 3, 128, 128), generator=draw, dtype=torch.uint8)
    labels, none = torch.arange(n) % 15, torch.empty(0, 3, 128, 128, dtype=torch.uint8)
    names = tuple(map(str, range(15)))
    parts = pixels, labels, none, torch.empty(0, dtype=torch.int64)
    return datasets.Dataset("dinosaurs", *parts, names, "0" * 64, (0.5,) * 3, (0.29,) * 3)


class Pictures(Dataset):
    """Photos as torchvision's folders give them: one image at a time, transformed by itself."""

    def __init__(self, dataset: datasets.Dataset, *, jpeg: bool) -> None:
        pixels = dataset.images.permute(0, 2, 3, 1).contiguous().numpy()
        self.images = [Image.fromarray(one) for one in pixels]
        self.files = [jpeg_of(one) for one in self.images] if jpeg else []
        self.labels = dataset.labels.tolist()
        self.change = transforms.Compose(
            [
                *([transforms.Resize((128, 128))] if jpeg else []),
                transforms.RandomHorizontalFlip(),
                transforms.RandomRotation(15),
                transforms.ToTensor(),
                transforms.Normalize(datasets.IMAGENET_MEAN, datasets.IMAGENET_STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        image = Image.open(io.BytesIO(self.files[i])) if self.files else self.images[i]
        return self.change(image), self.labels[i]


def jpeg_of(image: Image.Image) -> bytes:
    """Return a smooth picture with an image's colours, as a photo's file."""
    file = io.BytesIO()
    smooth = image.resize((16, 12)).resize((400, 300), Image.Resampling.BICUBIC)
    smooth.save(file, "JPEG", quality=90)
    return file.getvalue()


def image_by_image(pictures: Pictures) -> None:
    """Go through an epoch of the peer's batches."""
    for _ in DataLoader(pictures, batch_size=TRIAL.batch_size, shuffle=True):
        pass


def batch_by_batch(dataset: datasets.Dataset) -> None:
    """Go through an epoch of hplab's batches, as they enter the network."""
    stream = batches.Batches([TRIAL], len(dataset.labels), torch.device("cpu"))
    rows, changes = stream.epoch()
    for i, batch in enumerate(rows):
        drawn = {name: values[i] for name, values in changes.items()}
        images = dataset.images.index_select(0, batch.flatten())[None]
        images = stream.augmented(images, drawn)
        datasets.normalize(images.flatten(0, 1), TRIAL.normalize, dataset.mean, dataset.std)


def cpu_seconds(call: Callable[[], object]) -> float:
    """Return the processor time of one call."""
    began = time.process_time()
    call()
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=768)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    executors.keep_freed_memory()
    dataset = photos(options.images)
    decoded, files = Pictures(dataset, jpeg=False), Pictures(dataset, jpeg=True)
    watched = TRIAL.replace(measure=["diagnostics"])
    rounds = []
    for _ in range(options.rounds + 1):
        ours = cpu_seconds(lambda: batch_by_batch(dataset))
        alone = cpu_seconds(lambda: loop.train(TRIAL, dataset))
        rounds.append(
            {
                "images_s": options.images / ours,
                "over_decoded": cpu_seconds(lambda: image_by_image(decoded)) / ours,
                "over_files": cpu_seconds(lambda: image_by_image(files)) / ours,
                "diagnostics": cpu_seconds(lambda: loop.train(watched, dataset)) / alone - 1,
            }
        )
    found = {name: statistics.median(r[name] for r in rounds[1:]) for name in rounds[0]}
    print(
        f"augmentation {found['images_s']:.0f} images/s: {found['over_decoded']:.2f} x decoded "
        f"photos, {found['over_files']:.2f} x JPEG files; "
        f"diagnostics cost {100 * found['diagnostics']:.1f} %"
    )
    if options.json:
        whole = {"machine": machine(), "rounds": options.rounds, **found}
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
