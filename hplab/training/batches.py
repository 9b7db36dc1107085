"""Which images each step of an epoch uses, and how they are changed: each lane has its order."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from hplab.training import augment
from hplab.trial import HplabError, Trial


class Batches:
    """The orders of the images and the augmentation of lanes that train side by side.

    Args:
        lanes: The trials; they share batch size, augmentation and number of training images.
        n_images: Images of the training part.
        device: Where the images are.

    Attributes:
        subset: Which training images each lane keeps, `(M, n_train)`, or None for all of them.
        steps_per_epoch: Updates in an epoch.
        drawn: Names of the random numbers that augmentation draws for an image, in order.
    """

    def __init__(self, lanes: Sequence[Trial], n_images: int, device: torch.device) -> None:
        self.trial, self.n_lanes, self.device = lanes[0], len(lanes), device
        self.subset = _subsets(lanes, n_images)
        self.n_train = self.trial.n_train or n_images
        self.steps_per_epoch = steps_per_epoch(self.trial, self.n_train)
        self._orders = [torch.Generator().manual_seed(t.stream("order")) for t in lanes]
        self._changes = augment.streams(lanes)
        self.drawn = augment.names(self.trial.augment)

    def rows(self) -> list[Tensor]:
        """Return the rows of the training part that each step of an epoch uses, `(M, B)` each."""
        n = self.n_train
        if self.trial.shuffle:
            orders = torch.stack([torch.randperm(n, generator=g) for g in self._orders])
        else:
            orders = torch.arange(n).expand(self.n_lanes, n)
        if self.subset is not None:
            orders = self.subset.gather(1, orders)
        rows = orders.to(self.device).split(self.trial.batch_size, dim=1)
        return list(rows[: self.steps_per_epoch])

    def changes(self) -> dict[str, Sequence[Tensor]]:
        """Draw the augmentation of an epoch; one tensor `(M, B)` a step for each random number."""
        if not self.trial.augment:
            return {}
        drawn = augment.draw(self.trial.augment, self.n_train, self._changes)
        size = self.trial.batch_size
        return {name: drawn[name].to(self.device).split(size, dim=1) for name in self.drawn}

    def skip(self, n_epochs: int) -> None:
        """Draw the orders and the augmentation of epochs that are trained already."""
        for _ in range(n_epochs):
            self.rows()
            self.changes()

    def augmented(self, images: Tensor, changes: augment.Draws) -> Tensor:
        """Return uint8 images `(M, B, C, H, W)`, changed as drawn for their step."""
        flat = {name: values.flatten() for name, values in changes.items()}
        return augment.apply(images.flatten(0, 1), self.trial.augment, flat).view(images.shape)


def steps_per_epoch(trial: Trial, n_train: int) -> int:
    """Return how many updates one epoch over `n_train` images makes.

    Raises:
        HplabError: If dropping the last batch leaves none.
    """
    if not trial.drop_last:
        return math.ceil(n_train / trial.batch_size)
    if n_train < trial.batch_size:
        raise HplabError(
            f"drop_last leaves no batch: {n_train} training images, batch_size {trial.batch_size}"
        )
    return n_train // trial.batch_size


def _subsets(lanes: Sequence[Trial], n: int) -> Tensor | None:
    """Return which training images each lane keeps, `(M, n_train)`, or None for all of them."""
    n_train = lanes[0].n_train
    if n_train is None:
        return None
    if n_train > n:
        raise HplabError(f"n_train is {n_train}, but {lanes[0].data!r} has {n} training images")
    streams = [torch.Generator().manual_seed(t.stream("subset")) for t in lanes]
    return torch.stack([torch.randperm(n, generator=g)[:n_train] for g in streams])
