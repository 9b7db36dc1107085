"""The optimizer updates of a stack: on which images, at which rates, recorded as a graph or not."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from hplab.training import batches, graphs, losses, optim, precision, schedules
from hplab.training.networks import lanes
from hplab.trial import Trial


class Made(NamedTuple):
    """What the updates of an epoch gave: `n` of them, `M` lanes.

    Attributes:
        losses: Loss of each update, `(n, M)`, on the device.
        rates: Learning rate of each update, a list of `M` for each.
        n_correct: Correct predictions in the epoch, `(M,)`, on the device.
        sizes: Examples of each update, float64 `(n,)`, on the CPU.
    """

    losses: Tensor
    rates: list[list[float]]
    n_correct: Tensor
    sizes: Tensor


class Updates:
    """Trains the lanes of a stack.

    Args:
        trials: One a lane; those of one setting are neighbours (see `setting`).
        network: Their networks.
        images: The training part, uint8 `(N, C, H, W)`.
        labels: Its labels, `(N,)`.
        inputs: Makes uint8 images `(M, B, C, H, W)` what the networks take.

    Attributes:
        batches: The orders of the images.
        step: Updates made so far.
    """

    def __init__(
        self,
        trials: Sequence[Trial],
        network: lanes.Single | lanes.Stack,
        images: Tensor,
        labels: Tensor,
        inputs: Callable[[Tensor], Tensor],
    ) -> None:
        self.trial, self.network, self.inputs, self.step = trials[0], network, inputs, 0
        self.images, self.labels, device = images, labels, labels.device
        self.batches = batches.Batches(trials, len(labels), device)
        self.loss = losses.named(self.trial.loss)
        grouped = itertools.groupby(range(len(trials)), key=lambda i: setting(trials[i]))
        groups = [list(group) for _, group in grouped]
        self.firsts, self.n_alike = [trials[g[0]] for g in groups], [len(g) for g in groups]
        self.capture = graphs.can_capture(self.trial.optimizer, network.modules, device)
        # Learning rates on the device, one a setting, where updates are recorded: in the only
        # format that torch's fused optimizers read.
        rates = torch.zeros(len(groups), dtype=torch.float32, device=device)
        self.rates = rates if self.capture else None
        rows = [network.rows(group) for group in groups]
        self.optimizer = optim.build([*zip(self.firsts, rows, strict=True)], rates=self.rates)

    def epoch(self, update: graphs.Step, on_step: Sequence[Callable[[bool], None]] = ()) -> Made:
        """Make one epoch of updates, without waiting for the device in between.

        Args:
            update: `update`, or a recorder of it.
            on_step: What to call after every update; whether it ends the epoch is its argument.
        """
        n_lanes, device = self.network.n_lanes, self.labels.device
        self.network.train(True)
        rows, changes = self.batches.rows(), self.batches.changes()
        step_losses = torch.empty(len(rows), n_lanes, device=device)
        n_correct = torch.zeros(n_lanes, dtype=torch.int64, device=device)
        rates = self._rates(len(rows))
        on_device = None if self.rates is None else self.rates.new_tensor(rates)
        for i, batch in enumerate(rows):
            if self.rates is None or on_device is None:
                optim.set_lr(self.optimizer, rates[i])
            elif i == 0 or rates[i] != rates[i - 1]:
                self.rates.copy_(on_device[i])
            step_losses[i], right = update(batch, *(values[i] for values in changes.values()))
            n_correct += right
            self.step += 1
            for call in on_step:
                call(i + 1 == len(rows))
        by_lane = [
            [x for x, n in zip(r, self.n_alike, strict=True) for _ in range(n)] for r in rates
        ]
        sizes = torch.tensor([batch.shape[1] for batch in rows], dtype=torch.float64)
        return Made(step_losses, by_lane, n_correct, sizes)

    def _rates(self, n: int) -> list[list[float]]:
        """Return the learning rate of every setting in each of the next `n` steps."""
        n_steps = self.batches.steps_per_epoch * self.trial.epochs
        return [
            [schedules.lr_at(trial, step, n_steps=n_steps) for trial in self.firsts]
            for step in range(self.step, self.step + n)
        ]

    def update(self, batch: Tensor, *drawn: Tensor) -> tuple[Tensor, Tensor]:
        """Make one update; return each lane's loss and number of correct predictions, `(M,)`.

        Args:
            batch: The rows of the training part that each lane sees, `(M, B)`.
            drawn: The random numbers of their augmentation, in the order of its names, `(M, B)`.
        """
        labels = self.labels[batch].flatten()
        changes = dict(zip(self.batches.drawn, drawn, strict=True))
        inputs = self.inputs(self.batches.augmented(self._rows(batch), changes))
        n_lanes = self.network.n_lanes
        with precision.autocast(self.trial.precision, inputs.device):
            logits = self.network(inputs).flatten(0, 1)
        logits = logits.float() if logits.dtype is torch.bfloat16 else logits
        loss = self.loss(logits, labels).view(n_lanes, -1).mean(dim=1)
        self.optimizer.zero_grad(set_to_none=True)
        self.network.zero_grad()
        loss.sum().backward()
        self.network.share_gradients()
        self.optimizer.step()
        correct = losses.is_correct(logits.detach(), labels).view(n_lanes, -1).sum(dim=1)
        return loss.detach(), correct

    def _rows(self, batch: Tensor) -> Tensor:
        """Return images by their rows `(M, B)`: uint8 `(M, B, C, H, W)`, whole rows at a time."""
        return self.images.index_select(0, batch.flatten()).view(
            *batch.shape, *self.images.shape[1:]
        )


def setting(trial: Trial) -> str:
    """Return a text that is equal for trials which one group of an optimizer can train."""
    return trial.replace(seed=0, seeds={}).identity()
