"""Which images each step of an epoch uses, and how they are changed: each lane has its order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import torch
from torch import Tensor

from hplab.training import augment
from hplab.trial import HplabError, Trial


class Draws(NamedTuple):
    """What was drawn for an epoch, on the CPU.

    Attributes:
        before: State of each generator before it, in the order of `Batches.generators`.
        rows: Which row of the training part each lane sees when, int32 `(M, n)`.
        changes: The random numbers of the augmentation by name, `(M, n)` each.
    """

    before: list[Tensor]
    rows: Tensor
    changes: augment.Draws


class Batches:
    """The orders of the images and the augmentation of lanes that train side by side.

    While a graphics card computes an epoch, a thread draws the next one: a permutation of all
    images for each of hundreds of lanes takes as long as the epoch itself. It does nothing that
    involves the card, which may be recording a graph. The numbers are the same with and without.

    Args:
        lanes: The trials; they share batch size, augmentation and number of training images.
        n_images: Images of the training part.
        device: Where the images are.

    Attributes:
        subset: Which training images each lane keeps, `(M, n_train)`, or None for all of them.
        steps_per_epoch: Updates in an epoch.
        drawn: Names of the random numbers that augmentation draws for an image, in order.
        generators: Of the orders, then of the augmentation, one a lane each. Where they stand is
            told by `states`.
    """

    def __init__(self, lanes: Sequence[Trial], n_images: int, device: torch.device) -> None:
        self.trial, self.n_lanes, self.device = lanes[0], len(lanes), device
        self.subset = _subsets(lanes, n_images)
        self.n_train = self.trial.n_train or n_images
        self.steps_per_epoch = steps_per_epoch(self.trial, self.n_train)
        orders = [torch.Generator().manual_seed(t.stream("order")) for t in lanes]
        self.generators = [*orders, *augment.streams(lanes)]
        self.drawn = augment.names(self.trial.augment)
        self._n_left, self._ahead = self.trial.epochs, _thread(device)
        self._next: Future[Draws] | None = None

    def epoch(self) -> tuple[list[Tensor], dict[str, Sequence[Tensor]]]:
        """Return what each step of the next epoch uses, on the device.

        Returns:
            The rows of the training part that each lane sees, int32 `(M, B)` a step; and of each
            random number of the augmentation, by name, `(M, B)` a step.
        """
        drawn = self._draw(self._place()) if self._next is None else self._next.result()
        self._n_left, self._next = self._n_left - 1, None
        if self._ahead is not None and self._n_left > 0:
            self._next = self._ahead.submit(self._draw, self._place())
        size = self.trial.batch_size
        rows = drawn.rows.to(self.device, non_blocking=True).split(size, dim=1)
        changes = {name: drawn.changes[name].to(self.device) for name in self.drawn}
        return (
            list(rows[: self.steps_per_epoch]),
            {name: values.split(size, dim=1) for name, values in changes.items()},
        )

    def states(self) -> list[Tensor]:
        """Return the state of each generator before the epoch that `epoch` gives next.

        A run that goes on from there sets them (`set_state`) before its first call of `epoch`.
        """
        if self._next is not None:
            return self._next.result().before
        return [generator.get_state() for generator in self.generators]

    def _place(self) -> Tensor:
        """Return room for the rows of an epoch, from which a card can copy by itself."""
        shape, pinned = (self.n_lanes, self.n_train), self.device.type == "cuda"
        return torch.empty(shape, dtype=torch.int32, pin_memory=pinned)

    def _draw(self, rows: Tensor) -> Draws:
        """Draw an epoch; its rows are written to the place given."""
        before = [] if self._ahead is None else [g.get_state() for g in self.generators]
        orders, changes = self.generators[: self.n_lanes], self.generators[self.n_lanes :]
        order, n = torch.arange(self.n_train), self.n_train
        for lane, generator in enumerate(orders):
            order = torch.randperm(n, generator=generator) if self.trial.shuffle else order
            rows[lane] = order if self.subset is None else self.subset[lane][order]
        return Draws(before, rows, augment.draw(self.trial.augment, n, changes))

    def skip(self, n_epochs: int) -> None:
        """Draw the orders and the augmentation of epochs that are trained already."""
        for _ in range(n_epochs):
            self.epoch()

    def augmented(self, images: Tensor, changes: augment.Draws) -> Tensor:
        """Return uint8 images `(M, B, C, H, W)`, changed as drawn for their step."""
        flat = {name: values.flatten() for name, values in changes.items()}
        return augment.apply(images.flatten(0, 1), self.trial.augment, flat).view(images.shape)


def n_kept(trial: Trial, n_images: int) -> int:
    """Return how many of the images that its split leaves a trial trains on.

    Raises:
        HplabError: If it is to keep more than there are.
    """
    n_train = trial.n_train or n_images
    if n_train > n_images:
        raise HplabError(f"n_train is {n_train}, but {trial.data!r} has {n_images} training images")
    return n_train


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
    n_train = n_kept(lanes[0], n)
    if lanes[0].n_train is None:
        return None
    streams = [torch.Generator().manual_seed(t.stream("subset")) for t in lanes]
    return torch.stack([torch.randperm(n, generator=g)[:n_train] for g in streams])


def sent(values: Tensor, device: torch.device) -> Tensor:
    """Return values on the device; a graphics card copies them when it comes to it."""
    if device.type != "cuda":
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)


def _thread(device: torch.device) -> ThreadPoolExecutor | None:
    """Return what draws the next epoch while this one is computed, where that pays."""
    return ThreadPoolExecutor(1, "draws") if device.type == "cuda" else None
