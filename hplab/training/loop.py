"""Train trials and measure them after every epoch: one alone, or many side by side."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from hplab import catalogue
from hplab.training import datasets, evaluation, graphs, losses, precision, stopping, updates
from hplab.training.lane import METRICS, Lane, finite
from hplab.training.measures import protocol
from hplab.training.networks import lanes, layouts, models
from hplab.trial import HplabError, Trial

# What may differ between the lanes of one stack, and how `stack_key` levels it.
_FREE: dict[str, Any] = {
    "seed": 0,
    "seeds": {},
    "lr": 1.0,
    "weight_decay": 0.0,
    "optimizer_args": {},
    "schedule": "constant",
    "schedule_args": {},
}
LANE_FIELDS = tuple(_FREE)


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


class Keeper(Protocol):
    """Keeps what a stack in training is, so that a run that was cut off goes on from there."""

    def load(self) -> Mapping[str, Any] | None:
        """Return what was kept of this stack, None if nothing can be used."""

    def is_due(self, ahead_s: float = 0.0) -> bool:
        """Return whether to save now; asked after every update and every epoch.

        Args:
            ahead_s: Seconds until it is asked again, where that is long.
        """

    def save(self, state: Mapping[str, Any]) -> None:
        """Keep a state: tensors, numbers, texts and containers of these."""

    def training(self) -> contextlib.AbstractContextManager:
        """Return the context in which `is_due` is asked again and again."""

    def see(self, lanes: Sequence[Lane]) -> None:
        """Look at the curves so far; called after every epoch."""


def train(trial: Trial, dataset: datasets.Dataset | None = None, *, device: str = "cpu") -> Outcome:
    """Train one trial.

    The result depends on the trial and the data alone; on the CPU, also on the number of threads
    in the last digits.

    Args:
        trial: What to train.
        dataset: The data, if already loaded; otherwise loaded by name.
        device: Any torch device.

    Returns:
        How it went: `status`, `curves` by epoch, `final` metrics, `seconds`, and the trained
        `model`.

    Raises:
        HplabError: If the data cannot be had or do not fit the trial.
    """
    return train_lanes([trial], dataset, device=device)[0]


def train_lanes(
    trials: Sequence[Trial],
    dataset: datasets.Dataset | None = None,
    *,
    device: str = "cpu",
    keeper: Keeper | None = None,
) -> list[Outcome]:
    """Train trials that differ in `LANE_FIELDS` only, side by side.

    Each trial takes the path it would take alone, up to the rounding of its arithmetic; one that
    diverges leaves the others as they are.

    Args:
        trials: What to train; several need a network whose layers can be stacked.
        dataset: The data, if already loaded; otherwise loaded by name.
        device: Any torch device.
        keeper: Where the state of the training is kept now and then; None keeps nothing.

    Returns:
        One outcome a trial, in the order given. Seconds are the stack's divided by its lanes.

    Raises:
        HplabError: If the trials cannot be stacked, or the data do not fit them.
    """
    first = trials[0]
    if len({stack_key(trial) for trial in trials}) > 1:
        raise HplabError(f"trials of one stack may differ in {', '.join(LANE_FIELDS)} only")
    dataset = dataset or datasets.load(first.data)
    order = sorted(range(len(trials)), key=lambda i: updates.setting(trials[i]))
    stack = [trials[i] for i in order]
    shape, n_classes = tuple(dataset.images.shape[1:]), len(dataset.class_names)
    modules = [models.build(trial, shape, n_classes).to(device) for trial in stack]
    if len(stack) > 1 and not can_stack(first, modules[0], dataset):
        raise HplabError(f"trials of model {first.model!r} like these cannot be stacked")
    with (
        graphs.current(device),
        precision.matmul("fp32"),
        precision.tuned(device),
        models.own_randomness(first, device),
    ):
        run = _Run(stack, dataset, _network(modules, first, shape), device)
        outcomes = dict(zip(order, run.outcomes(keeper), strict=True))
    return [outcomes[i] for i in range(len(trials))]


def stack_key(trial: Trial) -> str:
    """Return a text that is equal for trials which may share a stack."""
    return trial.replace(**_FREE).identity()


def can_stack(trial: Trial, network: nn.Module, dataset: datasets.Dataset | None = None) -> bool:
    """Return whether trials of this kind can train as lanes of one stack.

    Every layer needs a batched form, and every parameter the same weight decay: a stack keeps all
    parameters of a network in one row. A loss or an optimizer of the reader's own may mix what a
    stack holds side by side. A model of the reader's own is tried: two networks on a few images.

    Args:
        trial: Any of them.
        network: Its network.
        dataset: The data, if already loaded; otherwise loaded by name where they are needed.

    Raises:
        HplabError: If a model of the reader's own gives two trials the same layer.
    """
    return not why_alone(trial, network, dataset)


def why_alone(trial: Trial, network: nn.Module, dataset: datasets.Dataset | None = None) -> str:
    """Return why trials of this kind train one by one, in words; "" if `can_stack`."""
    for name in trial.code:
        kind, _, own = name.partition(":")
        if kind in ("loss", "optimizer"):
            return f"{kind} {own!r} might mix what stands side by side"
    if trial.decayed != "all":
        return "some of their parameters decay and others do not"
    if not lanes.stackable(network):
        return lanes.obstacle(network)
    if f"model:{trial.model}" not in trial.code:
        return ""
    dataset = dataset or datasets.load(trial.data)
    shape, n_classes = tuple(dataset.images.shape[1:]), len(dataset.class_names)
    other = models.build(trial.replace(seed=trial.seed + 1), shape, n_classes)
    if {id(p) for p in network.parameters()} & {id(p) for p in other.parameters()}:
        raise HplabError(
            f"model {trial.model!r} gave two trials the same layer; it must make each anew"
        )
    if not lanes.agree(network, other, dataset.images[:4]):
        return "side by side its layers would compute something else"
    return ""


def _network(
    modules: list[nn.Module], trial: Trial, shape: tuple[int, ...]
) -> lanes.Single | lanes.Stack:
    batch = trial.batch_size, *shape
    if len(modules) > 1:
        stack = cast(list[nn.Sequential], modules)
        way = layouts.fastest_way(stack, batch, trial.precision)
        return lanes.Stack(stack, way.layout, unfolds=way.unfolds)
    layout = layouts.fastest(modules[0], batch, trial.precision)
    return lanes.Single(modules[0], layout)


class _Run:
    """A stack in training; measures see it as `measures.protocol.Run`."""

    def __init__(
        self,
        trials: list[Trial],
        dataset: datasets.Dataset,
        network: lanes.Single | lanes.Stack,
        device: str,
    ) -> None:
        first = self.trial = trials[0]
        self.lanes, self.network = [Lane(i, trial) for i, trial in enumerate(trials)], network
        split = datasets.split(
            dataset, split=first.split, split_args=first.split_args, fold=first.fold
        )
        self.images, self.labels = split.train_images.to(device), split.train_labels.to(device)
        self.val_images, self.val_labels = split.val_images.to(device), split.val_labels.to(device)
        self.measures = [catalogue.MEASURES[name].implementation() for name in first.measure]
        for check in self._asked("check"):
            check(first, first.n_train or len(self.labels))
        prepare = datasets.normalizer(
            first.normalize, dataset.mean, dataset.std, self.images.shape[1], self.labels.device
        )
        # Of uint8 images (M, B, C, H, W), what the networks take.
        self.inputs = lambda images: prepare(images.flatten(0, 1)).view(images.shape)
        self.updates = updates.Updates(trials, network, self.images, self.labels, self.inputs)
        self.seconds = {"train_s": 0.0, "eval_s": 0.0}
        self._began = self._evaluation_s = 0.0
        alone = device == "cpu" and torch.get_num_threads() == 1
        # One thread's own time: whatever else the machine does meanwhile is not in it.
        self._clock = time.thread_time if alone else time.perf_counter

    @property
    def step(self) -> int:
        """Updates made so far."""
        return self.updates.step

    @property
    def going(self) -> list[Lane]:
        """The lanes that have neither diverged nor stopped."""
        return [lane for lane in self.lanes if not lane.is_over]

    def state_dict(self) -> dict[str, Any]:
        """Return what the rest of the training depends on, for a checkpoint."""
        return {
            "updates": self.updates.state_dict(),
            "network": self.network.state_dict(),
            "lanes": [lane.state_dict() for lane in self.lanes],
            "measures": [vars(measure) for measure in self.measures],
            "seconds": self.seconds,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what `state_dict` gave for the same trials; before the first update."""
        self.updates.load_state_dict(state["updates"])
        self.network.load_state_dict(state["network"])
        for lane, saved in zip(self.lanes, state["lanes"], strict=True):
            lane.load_state_dict(saved, self.network.lane(lane.index))
        for measure, saved in zip(self.measures, state["measures"], strict=True):
            vars(measure).update(saved)
        self.seconds = state["seconds"]

    def outcomes(self, keeper: Keeper | None = None) -> list[Outcome]:
        """Train all epochs that are not trained yet, and return what each lane gave."""
        # Not an attribute: what holds its own method would stay until the cycle is found.
        update: graphs.Step = self.updates.update
        update = graphs.Captured(update) if self.updates.capture else update
        if keeper and (state := keeper.load()):
            self.load_state_dict(state)
        with keeper.training() if keeper else contextlib.nullcontext():
            for epoch in range(self.updates.n_epochs + 1, self.trial.epochs + 1):
                self._epoch(epoch, update, keeper)
                if keeper:
                    keeper.see(self.lanes)
                if not self.going:
                    break
                if keeper and keeper.is_due():
                    keeper.save(self.state_dict())
        with self._timed("eval_s"):
            extras = [self._at_end(lane) for lane in self.lanes]
        seconds = {name: value / len(self.lanes) for name, value in self.seconds.items()}
        eager = update.refusal if isinstance(update, graphs.Captured) else None
        return [
            Outcome(lane.status, lane.at, lane.curves, seconds, self._model(lane), extra, eager)
            for lane, extra in zip(self.lanes, extras, strict=True)
        ]

    def _epoch(self, epoch: int, update: graphs.Step, keeper: Keeper | None) -> None:
        """Train one epoch, evaluate and measure it, and note it for every lane still finite."""
        evaluated_s = self.seconds["eval_s"]
        with self._timed("train_s"):
            on_step = [functools.partial(take, self) for take in self._asked("on_step")]
            if keeper:
                on_step.append(functools.partial(self._keep, keeper))
            with precision.matmul(self.trial.precision):
                made = self.updates.epoch(update, on_step)
            whole = self.network.finite().tolist()
            step_losses, n_correct = made.losses.cpu(), made.n_correct.tolist()
        for take in self._asked("after_updates"):
            take(self, step_losses, made.rates)
        with self._timed("eval_s"):
            self.network.train(False)
            seen = [evaluation.Watch(len(self.lanes)) for _ in range(2)]
            on_train, on_val = seen if self._asked("on_eval") else (None, None)
            kept = self.updates.batches.subset
            trained = self.evaluate(self.images, self.labels, rows=kept, watch=on_train)
            held_out = self.evaluate(self.val_images, self.val_labels, watch=on_val)
        n_examples = float(made.sizes.sum())
        running = ((step_losses.double() * made.sizes[:, None]).sum(0) / n_examples).tolist()
        running_acc = [n / n_examples for n in n_correct]
        rates = made.rates[-1]
        metrics = zip(*trained, *held_out, running, running_acc, rates, strict=True)
        self._note(epoch, step_losses, whole, metrics)
        with self._timed("eval_s"):
            for take in self._asked("on_eval"):
                take(self, on_train, on_val)
            for lane in self.going:
                if self.trial.stop != "epochs":
                    lane.epoch_losses.append(float(step_losses[:, lane.index].double().mean()))
                self._after_epoch(lane)
        self._evaluation_s = self.seconds["eval_s"] - evaluated_s

    def evaluate(
        self,
        images: Tensor,
        labels: Tensor,
        *,
        rows: Tensor | None = None,
        watch: evaluation.Watch | None = None,
    ) -> tuple[list[float], list[float]]:
        """Return mean loss and accuracy of each lane (see `evaluation.evaluate`)."""
        loss = losses.named(self.trial.loss)
        with precision.matmul("fp32"):
            return evaluation.evaluate(
                self.network, loss, self.inputs, images, labels, rows=rows, watch=watch
            )

    def _note(
        self,
        epoch: int,
        step_losses: Tensor,
        whole: list[bool],
        metrics: Iterable[tuple[float, ...]],
    ) -> None:
        """Note an epoch in the curves of each lane, or where in it the lane diverged.

        Args:
            epoch: Counted from 1.
            step_losses: Of its updates, `(n, M)`, on the CPU.
            whole: Whether all weights of a lane are finite.
            metrics: For each lane the values of `METRICS`.
        """
        bad = ~torch.isfinite(step_losses)
        any_bad, first_bad = bad.any(dim=0).tolist(), bad.int().argmax(dim=0).tolist()
        for lane, values in zip(self.lanes, metrics, strict=True):
            i = lane.index
            if lane.is_over:
                continue
            if any_bad[i]:
                lane.at = {"epoch": epoch, "step": self.step - len(bad) + first_bad[i] + 1}
            elif not (whole[i] and all(map(math.isfinite, values))):
                lane.at = {"epoch": epoch, "step": self.step}
            else:
                for name, value in zip(METRICS, values, strict=True):
                    lane.curves[name].append(value)

    def _asked(self, moment: str) -> list[Callable]:
        """Return what the trial's measures do at a moment of `measures.protocol`."""
        return [getattr(measure, moment) for measure in self.measures if hasattr(measure, moment)]

    def _after_epoch(self, lane: Lane) -> None:
        """Take a lane's measures of an epoch, and stop the lane if its rule says so."""
        stops = stopping.should_stop(lane.trial, lane.epoch_losses)
        if asked := self._asked("after_epoch"):
            view = self._view(lane, is_last=stops)
            for name, value in itertools.chain(*(take(view).items() for take in asked)):
                lane.note(name, value)
        if stops:
            lane.stopped = copy.deepcopy(self.network.lane(lane.index))

    def _at_end(self, lane: Lane) -> dict[str, float | None]:
        """Measure a trained lane, or fill the curves of one that diverged.

        A lane that a rule could have stopped says how far it went.
        """
        if lane.at is not None:
            more = [name for measure in self.measures for name in getattr(measure, "padded", ())]
            lane.pad([*METRICS, *more])
            return {}
        numbers: dict[str, float | None] = {}
        if asked := self._asked("at_end"):
            view = self._view(lane)
            for found, series in (take(view) for take in asked):
                numbers |= found
                lane.curves |= {name: [*map(finite, values)] for name, values in series.items()}
        if lane.trial.stop != "epochs":
            numbers["epochs_run"] = float(lane.n_epochs)
            numbers["stopped"] = float(lane.stopped is not None)
        return {name: finite(value) for name, value in numbers.items()}

    def _view(self, lane: Lane, *, is_last: bool = False) -> protocol.View:
        """Return a lane's network and training images for the trial's measures."""

        def inputs(n: int | None) -> tuple[Tensor, Tensor]:
            kept = self.updates.batches.subset
            rows = slice(n) if kept is None else kept[lane.index, :n].to(self.labels.device)
            return self.inputs(self.images[rows][None])[0], self.labels[rows]

        return protocol.View(lane, self._model(lane), inputs, is_last)

    def _model(self, lane: Lane) -> nn.Module:
        return lane.stopped or self.network.lane(lane.index)

    def _keep(self, keeper: Keeper, is_last: bool) -> None:
        """Save a state after an update, if it is time to."""
        if keeper.is_due(self._evaluation_s if is_last else 0.0):
            self._lap("train_s")
            keeper.save(self.state_dict())
            self._began = self._clock()  # writing is no training

    @contextlib.contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        self._began = self._clock()
        yield
        self._lap(what)

    def _lap(self, what: str) -> None:
        now = self._clock()
        self.seconds[what] += now - self._began
        self._began = now
