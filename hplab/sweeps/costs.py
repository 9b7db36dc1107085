"""How long training takes, roughly: told before anything is loaded or built, without torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from hplab.training.networks import shapes
from hplab.trial import Trial

if TYPE_CHECKING:
    from hplab.training.datasets.dataset import Dataset

# Below this much work for one core in all, starting worker processes costs more than it saves.
POOL_FROM_S = 1.5
# What one core of a laptop roughly does, to tell a short sweep from a long one: seconds of an
# update beside its arithmetic, and multiplications and additions a second.
_UPDATE_S, _FLOPS = 4e-4, 4e10


class Size(NamedTuple):
    """What has to be known of a data set to tell what training on it takes.

    Attributes:
        n_train: Training images.
        shape: Channels, height and width of an image.
        n_classes: Classes.
    """

    n_train: int
    shape: tuple[int, int, int]
    n_classes: int


# The data sets that a machine has, or can have, as they were published.
SIZES: Mapping[str, Size] = {
    "digits": Size(1_437, (1, 8, 8), 10),
    "mnist": Size(60_000, (1, 28, 28), 10),
    "fashion-mnist": Size(60_000, (1, 28, 28), 10),
    "cifar10": Size(50_000, (3, 32, 32), 10),
    "cifar100": Size(50_000, (3, 32, 32), 100),
}


def size(dataset: Dataset) -> Size:
    """Return the size of a data set that is loaded."""
    channels, height, width = dataset.images.shape[1:]
    return Size(len(dataset.labels), (channels, height, width), len(dataset.class_names))


def seconds(trials: Iterable[Trial], sizes: Mapping[str, Size]) -> float:
    """Return roughly how long one core would train trials one after another, in seconds."""
    known: dict[str, float] = {}
    total = 0.0
    for trial in trials:
        if trial.setting not in known:
            known[trial.setting] = of_trial(trial, sizes[trial.data])
        total += known[trial.setting]
    return total


def of_trial(trial: Trial, size: Size) -> float:
    """Return roughly how long one core trains a trial; folds and held-out images stay in."""
    n_images = trial.n_train or size.n_train
    n_updates = math.ceil(n_images / trial.batch_size)
    cost = shapes.cost(trial, size.shape, size.n_classes)
    flops = cost.flops if cost else _counted(trial, size)
    passes = 4 * n_images * flops  # forward, twice that back, and measuring
    return trial.epochs * (n_updates * _UPDATE_S + passes / _FLOPS)


def _counted(trial: Trial, size: Size) -> int:
    """Return the operations of one image, by sending one through the network."""
    import torch  # all of it is slow to import, and needed for a reader's own models only
    from torch.utils.flop_counter import FlopCounterMode

    from hplab.training.networks import models

    network = models.build(trial, size.shape, size.n_classes).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counted:
        network(torch.zeros(1, *size.shape))
    return counted.get_total_flops()
