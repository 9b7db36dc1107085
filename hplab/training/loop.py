"""Train one trial and measure it after every epoch."""

from __future__ import annotations

import dataclasses
import math
import time

import torch
from torch import Tensor, nn

from hplab.training import data, losses, models, optim, schedules
from hplab.trial import HplabError, Trial, stream_seed

EVAL_BATCH = 100  # larger ones spill out of the cache: 8k images a second here, 3k at 500
METRICS = ("train_loss", "train_acc", "val_loss", "val_acc", "running_loss", "running_acc", "lr")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What training one trial gave.

    Attributes:
        status: "ok", or "diverged" when a loss or weight stopped being finite.
        at: Where it diverged: epoch and step, both counted from 1; None when it did not.
        curves: One value an epoch for each of `METRICS` (None from the diverged epoch on); with
            the measure "steps" also "step_loss" and "step_lr", one value a step. Losses are means
            over examples in nats, accuracies shares between 0 and 1. "running" metrics are taken
            on the training batches as they pass, the others in eval mode at the end of the epoch.
        seconds: Time spent training and time spent measuring, "train_s" and "eval_s".
        model: The trained network, on the device it was trained on.
    """

    status: str
    at: dict[str, int] | None
    curves: dict[str, list[float | None]]
    seconds: dict[str, float]
    model: nn.Module

    @property
    def final(self) -> dict[str, float | None]:
        """The eval-mode metrics after the last epoch; None for each when the trial diverged."""
        return {name: self.curves[name][-1] for name in METRICS[:4]}


@dataclasses.dataclass(frozen=True)
class Part:
    """Images and labels on the training device."""

    images: Tensor
    labels: Tensor


def train(trial: Trial, dataset: data.Dataset | None = None, *, device: str = "cpu") -> Outcome:
    """Train one trial.

    The result depends on the trial and the data alone; on the CPU, also on the number of threads
    in the last digits.

    Args:
        trial: What to train.
        dataset: The data, if already loaded; otherwise loaded by name.
        device: Any torch device.

    Raises:
        HplabError: If the data cannot be had or do not fit the trial.
    """
    dataset = dataset or data.load(trial.data)
    split = data.split(dataset, split=trial.split, split_args=trial.split_args, fold=trial.fold)
    training = _part(split.train_images, split.train_labels, _subset(trial, split), device)
    validation = _part(split.val_images, split.val_labels, None, device)
    model = models.build(trial, tuple(dataset.images.shape[1:]), len(dataset.class_names))
    model = model.to(device, memory_format=torch.channels_last)
    run = _Run(trial, dataset, model, training, validation)
    return run.outcome()


class _Run:
    """The mutable middle of `train`: one model, one optimizer, one stream of orders."""

    def __init__(
        self, trial: Trial, dataset: data.Dataset, model: nn.Module, training: Part, val: Part
    ) -> None:
        self.trial, self.dataset, self.model = trial, dataset, model
        self.training, self.val = training, val
        self.loss = losses.LOSSES[trial.loss]
        self.optimizer = optim.build(trial, model.parameters())
        self.order = torch.Generator().manual_seed(stream_seed(trial.seed, "order"))
        self.steps_per_epoch = steps_per_epoch(trial, len(training.labels))
        self.step = 0
        self.curves: dict[str, list[float | None]] = {name: [] for name in METRICS}
        if "steps" in trial.measure:
            self.curves |= {"step_loss": [], "step_lr": []}
        self.seconds = {"train_s": 0.0, "eval_s": 0.0}

    def outcome(self) -> Outcome:
        at = None
        for epoch in range(1, self.trial.epochs + 1):
            at = self._epoch(epoch)
            if at is not None:
                break
        for name in METRICS:
            missing = self.trial.epochs - len(self.curves[name])
            self.curves[name] += [None] * missing
        status = "ok" if at is None else "diverged"
        return Outcome(status, at, self.curves, self.seconds, self.model)

    def _epoch(self, epoch: int) -> dict[str, int] | None:
        """Train one epoch and measure it; return where it diverged, if it did."""
        began = time.perf_counter()
        step_losses, lrs, correct = self._updates()
        finite = torch.isfinite(step_losses).cpu()
        self.seconds["train_s"] += time.perf_counter() - began
        self._note_steps(step_losses, lrs)
        if not finite.all() or not losses.all_finite(list(self.model.parameters())):
            bad = int((~finite).nonzero()[0]) if not finite.all() else len(finite) - 1
            return {"epoch": epoch, "step": self.step - len(finite) + bad + 1}
        began = time.perf_counter()
        measured = {
            "running_loss": float((step_losses.double().cpu() * self.batch_sizes).sum()),
            "running_acc": float(correct),
            "lr": lrs[-1],
        }
        n_seen = float(self.batch_sizes.sum())
        measured["running_loss"] /= n_seen
        measured["running_acc"] /= n_seen
        for name, part in (("train", self.training), ("val", self.val)):
            measured[f"{name}_loss"], measured[f"{name}_acc"] = self._evaluate(part)
        self.seconds["eval_s"] += time.perf_counter() - began
        if not all(math.isfinite(value) for value in measured.values()):
            return {"epoch": epoch, "step": self.step}
        for name, value in measured.items():
            self.curves[name].append(value)
        return None

    def _updates(self) -> tuple[Tensor, list[float], Tensor]:
        """Make one epoch of optimizer updates, without waiting for the device in between."""
        trial, images, labels = self.trial, self.training.images, self.training.labels
        self.model.train()
        batches = list(self._batches())
        self.batch_sizes = torch.tensor([len(batch) for batch in batches], dtype=torch.float64)
        step_losses = torch.empty(len(batches), device=labels.device)
        correct = torch.zeros((), dtype=torch.int64, device=labels.device)
        n_steps = self.steps_per_epoch * trial.epochs
        lrs = []
        for i, batch in enumerate(batches):
            lrs.append(schedules.lr_at(trial, self.step, n_steps=n_steps))
            for group in self.optimizer.param_groups:
                group["lr"] = lrs[-1]
            logits = self.model(self._inputs(images[batch]))
            loss = self.loss(logits, labels[batch]).mean()
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            step_losses[i] = loss.detach()
            correct += losses.n_correct(logits.detach(), labels[batch])
            self.step += 1
        return step_losses, lrs, correct

    def _batches(self) -> tuple[Tensor, ...]:
        n = len(self.training.labels)
        order = torch.randperm(n, generator=self.order) if self.trial.shuffle else torch.arange(n)
        batches = order.to(self.training.labels.device).split(self.trial.batch_size)
        return batches[: self.steps_per_epoch]

    def _note_steps(self, step_losses: Tensor, lrs: list[float]) -> None:
        if "steps" in self.trial.measure:
            kept = [x if math.isfinite(x) else None for x in step_losses.tolist()]
            self.curves["step_loss"] += kept
            self.curves["step_lr"] += lrs

    def _inputs(self, images: Tensor) -> Tensor:
        x = data.normalize(images, self.trial.normalize, self.dataset.mean, self.dataset.std)
        return x.contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def _evaluate(self, part: Part) -> tuple[float, float]:
        """Return mean loss and accuracy over a part, example by example, in eval mode."""
        self.model.eval()
        device = part.labels.device
        total = torch.zeros(
            (), dtype=torch.float64, device="cpu" if device.type == "mps" else device
        )
        correct = torch.zeros((), dtype=torch.int64, device=device)
        for start in range(0, len(part.labels), EVAL_BATCH):
            labels = part.labels[start : start + EVAL_BATCH]
            logits = self.model(self._inputs(part.images[start : start + EVAL_BATCH]))
            total += self.loss(logits, labels).to(total.device).double().sum()
            correct += losses.n_correct(logits, labels)
        return float(total) / len(part.labels), float(correct) / len(part.labels)


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


def _subset(trial: Trial, split: data.Split) -> Tensor | None:
    """Return which training images the trial keeps, or None for all of them."""
    n = len(split.train_labels)
    if trial.n_train is None:
        return None
    if trial.n_train > n:
        raise HplabError(f"n_train is {trial.n_train}, but {trial.data!r} has {n} training images")
    generator = torch.Generator().manual_seed(stream_seed(trial.seed, "subset"))
    return torch.randperm(n, generator=generator)[: trial.n_train]


def _part(images: Tensor, labels: Tensor, keep: Tensor | None, device: str) -> Part:
    if keep is not None:
        images, labels = images[keep], labels[keep]
    return Part(images.to(device), labels.to(device))
