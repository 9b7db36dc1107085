"""Train trials and measure them after every epoch: one alone, or many side by side."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hplab.training import (
    batches,
    datasets,
    evaluation,
    graphs,
    losses,
    optim,
    precision,
    schedules,
    stopping,
)
from hplab.training.measures import diagnostics
from hplab.training.measures import registry as measures
from hplab.training.networks import lanes as stack
from hplab.training.networks import layouts, models
from hplab.trial import HplabError, Trial

BY_STEP = ("step_", "probe_", "confusion")  # curves that are not one value an epoch
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
            A trial that its stopping rule ended has as many values as it trained epochs.
        extra: Single numbers that the trial's measures found at the end.
        eager: Why a graphics card's updates were not recorded as a graph although they should have
            been; None when nothing went wrong.
        seconds: Time spent training and time spent measuring, "train_s" and "eval_s".
        model: The trained network, on the device it was trained on.
    """

    status: str
    at: dict[str, int] | None
    curves: dict[str, list[float | None]]
    seconds: dict[str, float]
    model: nn.Module
    extra: dict[str, float | None] = dataclasses.field(default_factory=dict)
    eager: str | None = None

    @property
    def final(self) -> dict[str, float | None]:
        """The eval-mode metrics after the last epoch (None for each when the trial diverged), and
        what the trial's measures found.
        """
        return {name: self.curves[name][-1] for name in METRICS[:4]} | self.extra


# What may differ between the lanes of one stack; everything else must be equal.
LANE_FIELDS = ("seed", "seeds", "lr", "weight_decay", "optimizer_args", "schedule", "schedule_args")


def train(trial: Trial, dataset: datasets.Dataset | None = None, *, device: str = "cpu") -> Outcome:
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
    return train_lanes([trial], dataset, device=device)[0]


def train_lanes(
    trials: Sequence[Trial], dataset: datasets.Dataset | None = None, *, device: str = "cpu"
) -> list[Outcome]:
    """Train trials that differ in `LANE_FIELDS` only, side by side.

    Each trial takes the path it would take alone, up to the rounding of its arithmetic; one that
    diverges leaves the others as they are.

    Args:
        trials: What to train; several need a network whose layers can be stacked.
        dataset: The data, if already loaded; otherwise loaded by name.
        device: Any torch device.

    Returns:
        One outcome a trial, in the order given. Seconds are the stack's divided by its lanes.

    Raises:
        HplabError: If the trials cannot be stacked, or the data do not fit them.
    """
    first = trials[0]
    if len({stack_key(trial) for trial in trials}) > 1:
        raise HplabError(f"trials of one stack may differ in {', '.join(LANE_FIELDS)} only")
    dataset = dataset or datasets.load(first.data)
    order = sorted(range(len(trials)), key=lambda i: _setting(trials[i]))
    lanes = [trials[i] for i in order]
    shape, n_classes = tuple(dataset.images.shape[1:]), len(dataset.class_names)
    modules = [models.build(trial, shape, n_classes).to(device) for trial in lanes]
    if len(lanes) > 1 and not can_stack(first, modules[0]):
        raise HplabError(f"trials of model {first.model!r} like these cannot be stacked")
    with (
        graphs.current(device),
        precision.matmul("fp32"),
        precision.tuned(device),
        models.own_randomness(first, device),
    ):
        run = _Run(lanes, dataset, _network(modules, first, shape), device)
        outcomes = dict(zip(order, run.outcomes(), strict=True))
    return [outcomes[i] for i in range(len(trials))]


def stack_key(trial: Trial) -> str:
    """Return a text that is equal for trials which may share a stack."""
    return trial.replace(**{name: _LANE_DEFAULTS[name] for name in LANE_FIELDS}).identity()


def can_stack(trial: Trial, network: nn.Module) -> bool:
    """Return whether trials of this kind can train as lanes of one stack.

    Every layer needs a batched form, and every parameter the same weight decay: a stack keeps all
    parameters of a network in one row. A loss or an optimizer of the reader's own may mix what a
    stack holds side by side.
    """
    mixing = any(name.startswith(("loss:", "optimizer:")) for name in trial.code)
    return trial.decayed == "all" and not mixing and stack.stackable(network)


_LANE_DEFAULTS: dict[str, Any] = {
    "seed": 0,
    "seeds": {},
    "lr": 1.0,
    "weight_decay": 0.0,
    "optimizer_args": {},
    "schedule": "constant",
    "schedule_args": {},
}


def _setting(trial: Trial) -> str:
    return trial.replace(seed=0, seeds={}).identity()


def _network(
    modules: list[nn.Module], trial: Trial, shape: tuple[int, int, int]
) -> stack.Single | stack.Stack:
    if len(modules) > 1:
        return stack.Stack(modules)
    layout = layouts.fastest(modules[0], (trial.batch_size, *shape), trial.precision)
    return stack.Single(modules[0], layout)


class _Run:
    """The mutable middle of training: a network of lanes, an optimizer, streams of orders."""

    def __init__(
        self,
        lanes: list[Trial],
        dataset: datasets.Dataset,
        network: stack.Single | stack.Stack,
        device: str,
    ) -> None:
        self.lanes, self.dataset, self.network = lanes, dataset, network
        first = self.trial = lanes[0]
        split = datasets.split(
            dataset, split=first.split, split_args=first.split_args, fold=first.fold
        )
        self.images = split.train_images.to(device)
        self.labels = split.train_labels.to(device)
        self.val_images, self.val_labels = split.val_images.to(device), split.val_labels.to(device)
        measures.check(first, first.n_train or len(self.labels))
        self.batches = batches.Batches(lanes, len(self.labels), self.labels.device)
        self.loss = losses.named(first.loss)
        self.groups = [list(g) for _, g in itertools.groupby(range(len(lanes)), self._group)]
        self.capture = graphs.can_capture(first.optimizer, network.modules, self.labels.device)
        groups = [(lanes[g[0]], network.rows(g)) for g in self.groups]
        # Learning rates on the device, one a group, where updates are recorded: in the only
        # format that torch's fused optimizers read.
        rates = torch.zeros(len(groups), dtype=torch.float32, device=device)
        self.rates = rates if self.capture else None
        self.optimizer = optim.build(groups, rates=self.rates)
        self.prepare = datasets.normalizer(
            first.normalize, dataset.mean, dataset.std, self.images.shape[1], self.labels.device
        )
        self.step = 0
        names = (*METRICS, *(("step_loss", "step_lr") if "steps" in first.measure else ()))
        self.curves = [{name: [] for name in names} for _ in lanes]
        self.at: list[dict[str, int] | None] = [None] * len(lanes)
        self.epoch_losses: list[list[float]] = [[] for _ in lanes]
        self.stopped: list[nn.Module | None] = [None] * len(lanes)
        self.seen: list[tuple[int, list[int]]] = [(0, [])] * len(lanes)
        self.seconds = {"train_s": 0.0, "eval_s": 0.0}

    def _group(self, lane: int) -> str:
        return _setting(self.lanes[lane])

    def outcomes(self) -> list[Outcome]:
        """Train all epochs and return what each lane gave."""
        # Not an attribute: a run that holds its own method would stay until the cycle is found.
        update = graphs.Captured(self._update) if self.capture else self._update
        for epoch in range(1, self.trial.epochs + 1):
            self._epoch(epoch, update)
            if all(map(self._is_over, range(len(self.lanes)))):
                break
        eager = update.refusal if isinstance(update, graphs.Captured) else None
        extras = [self._extra(i) for i in range(len(self.lanes))]
        seconds = {name: value / len(self.lanes) for name, value in self.seconds.items()}
        found = []
        for i, (at, curves) in enumerate(zip(self.at, self.curves, strict=True)):
            if at:
                for name in (n for n in curves if n in (*METRICS, *diagnostics.CURVES)):
                    curves[name] += [None] * (self.trial.epochs - len(curves[name]))
            status = "ok" if at is None else "diverged"
            model = self.stopped[i] or self.network.lane(i)
            found.append(Outcome(status, at, curves, seconds, model, extras[i], eager))
        return found

    def _is_over(self, lane: int) -> bool:
        return self.at[lane] is not None or self.stopped[lane] is not None

    def _probe(self, lane: int) -> measures.Probe:
        """Return a lane's network and training images for the trial's measures."""

        def inputs(n: int | None) -> tuple[Tensor, Tensor]:
            kept = self.batches.subset
            rows = slice(n) if kept is None else kept[lane, :n].to(self.labels.device)
            return self._inputs(self.images[rows][None])[0], self.labels[rows]

        model = self.stopped[lane] or self.network.lane(lane)
        return measures.Probe(self.lanes[lane], model, inputs, len(self.curves[lane]["lr"]))

    def _extra(self, lane: int) -> dict[str, float | None]:
        """Measure a trained lane; note how far it went if a rule could have stopped it."""
        if self.at[lane]:
            return {}
        began = time.perf_counter()
        numbers, series = measures.at_end(self._probe(lane))
        top, matrix = self.seen[lane]
        if "diagnostics" in self.trial.measure:
            numbers |= diagnostics.at_end(self.curves[lane], top, self.labels)
        if "confusion" in self.trial.measure:
            series |= {"confusion": matrix}
        self.curves[lane] |= {name: [*map(_finite, values)] for name, values in series.items()}
        if self.trial.stop != "epochs":
            numbers["epochs_run"] = float(len(self.curves[lane]["lr"]))
            numbers["stopped"] = float(self.stopped[lane] is not None)
        self.seconds["eval_s"] += time.perf_counter() - began
        return {name: _finite(value) for name, value in numbers.items()}

    def _after_epoch(self, lane: int, epoch: int) -> None:
        """Take the trial's measures of an epoch, and stop the lane if its rule says so."""
        began = time.perf_counter()
        stops = stopping.should_stop(self.trial, self.epoch_losses[lane])
        if any(name in measures.EPOCH for name in self.trial.measure):
            for name, value in measures.after_epoch(self._probe(lane), is_last=stops).items():
                curve = self.curves[lane].setdefault(name, [])
                curve += [None] * (epoch - 1 - len(curve)) + [_finite(value)]
        if stops:
            self.stopped[lane] = copy.deepcopy(self.network.lane(lane))
        self.seconds["eval_s"] += time.perf_counter() - began

    def _epoch(self, epoch: int, update: graphs.Step) -> None:
        """Train one epoch, measure it, and note it for every lane that is still finite."""
        began = time.perf_counter()
        with precision.matmul(self.trial.precision):
            step_losses, lrs, correct, sizes = self._updates(update)
        whole = self.network.finite().tolist()
        step_losses, correct = step_losses.cpu(), correct.tolist()
        self.seconds["train_s"] += time.perf_counter() - began
        self._note_steps(step_losses, lrs)
        finite = torch.isfinite(step_losses)
        n_images = float(sizes.sum())
        running = ((step_losses.double() * sizes[:, None]).sum(0) / sizes.sum()).tolist()
        began = time.perf_counter()
        self.network.train(False)
        on_train, on_val = self._watches()
        kept = self.batches.subset
        train_loss, train_acc = self._evaluate(self.images, self.labels, kept, on_train)
        val_loss, val_acc = self._evaluate(self.val_images, self.val_labels, None, on_val)
        diagnosed = self._diagnosed(on_train, on_val)
        self.seconds["eval_s"] += time.perf_counter() - began
        done, all_finite = self.step - len(finite), finite.all(dim=0).tolist()
        for i in range(len(self.lanes)):
            if self._is_over(i):
                continue
            if not all_finite[i]:
                bad = int((~finite[:, i]).nonzero()[0]) + 1
                self.at[i] = {"epoch": epoch, "step": done + bad}
                continue
            values = (train_loss[i], train_acc[i], val_loss[i], val_acc[i], running[i])
            if not (whole[i] and all(map(math.isfinite, values))):
                self.at[i] = {"epoch": epoch, "step": self.step}
                continue
            row = (*values, correct[i] / n_images, lrs[-1][i])
            for name, value in zip(METRICS, row, strict=True):
                self.curves[i][name].append(value)
            for name, found in diagnosed.items():
                self.curves[i].setdefault(name, []).append(_finite(found[i]))
            if on_val is not None:
                self.seen[i] = on_val.top_class()[i], on_val.matrix()[i]
            if self.trial.stop != "epochs":
                self.epoch_losses[i].append(float(step_losses[:, i].double().mean()))
            self._after_epoch(i, epoch)

    def _updates(self, update: graphs.Step) -> tuple[Tensor, list[list[float]], Tensor, Tensor]:
        """Make one epoch of optimizer updates, without waiting for the device in between."""
        n_lanes, device = len(self.lanes), self.labels.device
        self.network.train(True)
        rows, changes = self.batches.rows(), self.batches.changes()
        sizes = torch.tensor([batch.shape[1] for batch in rows], dtype=torch.float64)
        step_losses = torch.empty(len(rows), n_lanes, device=device)
        correct = torch.zeros(n_lanes, dtype=torch.int64, device=device)
        rates = self._epoch_rates(len(rows))
        on_device = None if self.rates is None else self.rates.new_tensor(rates)
        for i, batch in enumerate(rows):
            if on_device is None:
                optim.set_lr(self.optimizer, rates[i])
            elif i == 0 or rates[i] != rates[i - 1]:
                self.rates.copy_(on_device[i])
            step_losses[i], right = update(batch, *(values[i] for values in changes.values()))
            correct += right
            self.step += 1
            if "probes" in self.trial.measure:
                self._count_live(last=i + 1 == len(rows))
        sizes_of = [len(lanes) for lanes in self.groups]
        lrs = [[x for x, n in zip(row, sizes_of, strict=True) for _ in range(n)] for row in rates]
        return step_losses, lrs, correct, sizes

    def _rows(self, batch: Tensor) -> Tensor:
        """Return images by their rows `(M, B)`: uint8 `(M, B, C, H, W)`, whole rows at a time."""
        return self.images.index_select(0, batch.flatten()).view(
            *batch.shape, *self.images.shape[1:]
        )

    def _update(self, batch: Tensor, *drawn: Tensor) -> tuple[Tensor, Tensor]:
        """Make one update; return each lane's loss and number of correct predictions, `(M,)`.

        Args:
            batch: The rows of the training part that each lane sees, `(M, B)`.
            drawn: The random numbers of their augmentation, in the order of its names, `(M, B)`.
        """
        labels = self.labels[batch].flatten()
        changes = dict(zip(self.batches.drawn, drawn, strict=True))
        inputs = self._inputs(self.batches.augmented(self._rows(batch), changes))
        n_lanes = len(self.lanes)
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

    def _epoch_rates(self, n: int) -> list[list[float]]:
        """Return the learning rate of every group in each of the next `n` steps."""
        n_steps = self.batches.steps_per_epoch * self.trial.epochs
        firsts = [self.lanes[lanes[0]] for lanes in self.groups]
        return [
            [schedules.lr_at(trial, step, n_steps=n_steps) for trial in firsts]
            for step in range(self.step, self.step + n)
        ]

    def _note_steps(self, step_losses: Tensor, lrs: list[list[float]]) -> None:
        if "steps" not in self.trial.measure:
            return
        for i, curves in enumerate(self.curves):
            if not self._is_over(i):
                kept = [x if math.isfinite(x) else None for x in step_losses[:, i].tolist()]
                curves["step_loss"] += kept
                curves["step_lr"] += [rates[i] for rates in lrs]

    def _watches(self) -> tuple[diagnostics.Watch | None, diagnostics.Watch | None]:
        """Return who watches the two evaluation passes of an epoch: training and validation."""
        if not {"diagnostics", "confusion"} & set(self.trial.measure):
            return None, None
        return diagnostics.Watch(len(self.lanes)), diagnostics.Watch(len(self.lanes))

    def _diagnosed(
        self, on_train: diagnostics.Watch | None, on_val: diagnostics.Watch | None
    ) -> dict[str, list[float]]:
        """Return what the watches saw in an epoch, one value a lane."""
        if on_train is None or on_val is None or "diagnostics" not in self.trial.measure:
            return {}
        return diagnostics.after_epoch(on_train, on_val, self.network.gradients())

    @torch.inference_mode()
    def _count_live(self, *, last: bool) -> None:
        """Count live units on some training images after an early step or an epoch's last."""
        if not last and self.step not in diagnostics.PROBE_STEPS:
            return
        n = len(self.labels)
        rows = torch.linspace(0, n - 1, min(n, diagnostics.N_PROBE)).long()
        watch = diagnostics.Watch(len(self.lanes))
        self.network.train(False)
        self._evaluate(self.images[rows], self.labels[rows], None, watch)
        self.network.train(True)
        for i, live in enumerate(watch.live_units()):
            if not self._is_over(i):
                self.curves[i].setdefault("probe_step", []).append(self.step)
                self.curves[i].setdefault("probe_live_units", []).append(live)

    def _inputs(self, images: Tensor) -> Tensor:
        """Return uint8 images `(M, B, C, H, W)` as the network takes them."""
        return self.prepare(images.flatten(0, 1)).view(images.shape)

    def _evaluate(
        self,
        images: Tensor,
        labels: Tensor,
        rows: Tensor | None,
        watch: diagnostics.Watch | None = None,
    ) -> tuple[list[float], list[float]]:
        with precision.matmul("fp32"):
            return evaluation.evaluate(
                self.network, self.loss, self._inputs, images, labels, rows=rows, watch=watch
            )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
