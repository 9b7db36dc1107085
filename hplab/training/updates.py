"""The optimizer updates of a stack: on which images, at which rates, recorded as a graph or not."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

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


@dataclasses.dataclass
class _Part:
    """An epoch that is only begun: its first `n` updates."""

    losses: Tensor
    n_correct: Tensor
    n: int = 0


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
        self.capture = graphs.can_capture(self.trial.optimizer, device)
        # Learning rates on the device, one a setting, where updates are recorded: in the only
        # format that torch's fused optimizers read.
        rates = torch.zeros(len(groups), dtype=torch.float32, device=device)
        self.rates = rates if self.capture else None
        rows = [network.rows(group) for group in groups]
        self.optimizer = optim.build([*zip(self.firsts, rows, strict=True)], rates=self.rates)
        self._part: _Part | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return what the next update depends on beside the networks, for a checkpoint."""
        part = None if self._part is None else vars(self._part)
        return {"step": self.step, "optimizer": self._by_number(), "part": part}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what `state_dict` gave for the same trials; before the first update."""
        part, self.step = state["part"], state["step"]
        self._part = None if part is None else _Part(**part)
        self.batches.skip(self.n_epochs)
        for p, saved in zip(self._trained, state["optimizer"], strict=True):
            self.optimizer.state[p] = saved

    @property
    def n_epochs(self) -> int:
        """Epochs whose updates were all made and which are not waiting to be measured."""
        n_begun = 0 if self._part is None else self._part.n
        return (self.step - n_begun) // self.batches.steps_per_epoch

    @property
    def _trained(self) -> list[Tensor]:
        return [p for group in self.optimizer.param_groups for p in group["params"]]

    def _by_number(self) -> list[dict[str, Any]]:
        """Return what the optimizer keeps of each parameter, in their order."""
        return [dict(self.optimizer.state.get(p, {})) for p in self._trained]

    def epoch(self, update: graphs.Step, on_step: Sequence[Callable[[bool], None]] = ()) -> Made:
        """Make one epoch of updates, or what is left of it, without waiting for the device.

        Args:
            update: `update`, or a recorder of it.
            on_step: What to call after every update; whether it ends the epoch is its argument.
        """
        n_lanes, device = self.network.n_lanes, self.labels.device
        self.network.train(True)
        rows, changes = self.batches.epoch()
        part = self._part = self._part or _Part(
            torch.empty(len(rows), n_lanes, device=device),
            torch.zeros(n_lanes, dtype=torch.int64, device=device),
        )
        first = part.n
        rates = self._rates(self.step - first, len(rows))
        on_device = None if self.rates is None else self.rates.new_tensor(rates)
        for i, batch in enumerate(rows[first:], first):
            if self.rates is None or on_device is None:
                optim.set_lr(self.optimizer, rates[i])
            elif i == first or rates[i] != rates[i - 1]:
                self.rates.copy_(on_device[i])
            masks = [batches.sent(mask, device) for mask in self.network.draw_masks(batch.shape[1])]
            part.losses[i], right = update(batch, *(some[i] for some in changes.values()), *masks)
            part.n_correct += right
            part.n += 1
            self.step += 1
            for call in on_step:
                call(i + 1 == len(rows))
        self._part = None
        by_lane = [
            [x for x, n in zip(r, self.n_alike, strict=True) for _ in range(n)] for r in rates
        ]
        sizes = torch.tensor([batch.shape[1] for batch in rows], dtype=torch.float64)
        return Made(part.losses, by_lane, part.n_correct, sizes)

    def _rates(self, first: int, n: int) -> list[list[float]]:
        """Return the learning rate of every setting in each of `n` steps from `first` on."""
        n_steps = self.batches.steps_per_epoch * self.trial.epochs
        return [
            [schedules.lr_at(trial, step, n_steps=n_steps) for trial in self.firsts]
            for step in range(first, first + n)
        ]

    def update(self, batch: Tensor, *drawn: Tensor) -> tuple[Tensor, Tensor]:
        """Make one update; return each lane's loss and number of correct predictions, `(M,)`.

        Args:
            batch: The rows of the training part that each lane sees, `(M, B)`.
            drawn: The random numbers of their augmentation, in the order of its names, `(M, B)`,
                and the masks of their dropout layers, bool `(M, B, ...)`.
        """
        names = self.batches.drawn
        changes, masks = dict(zip(names, drawn, strict=False)), drawn[len(names) :]
        labels = self.labels.index_select(0, batch.flatten())
        inputs = self.inputs(self.batches.augmented(self._rows(batch), changes))
        n_lanes = self.network.n_lanes
        with precision.autocast(self.trial.precision, inputs.device):
            logits = self.network(inputs, masks).flatten(0, 1)
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
