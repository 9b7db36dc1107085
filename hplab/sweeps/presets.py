"""Presets: how big an occasion a study is run for.

A study declares the trials of a report as the report describes them. A preset turns each into one
that fits the occasion. It may change the data set, the model's width, the number of epochs, of
training images and of seeds; it never touches what a study is about (learning rate, batch size,
schedule, weight decay, activation, optimizer), and it scales all epochs of a report by one factor,
so that "ten times as long" stays ten times as long.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from hplab import catalogue
from hplab.trial import HplabError, Trial, unknown

STAND_IN = "digits"  # the embedded data set
# The embedded digits stand in for larger sets. Each factor makes the number of optimizer updates
# of a short run (a few hundred) comparable across reports.
_DIGITS_EPOCHS = {
    "digits": 1.0,
    "mnist": 4.0,
    "fashion-mnist": 4.0,
    "cifar10": 0.0025,  # report 002 allows 20,000 epochs
    "cifar100": 0.03,
    "dinosaurs": 0.02,
}
# Photos are studied for a layer with many inputs, so their stand-in keeps it wide: one convolution
# with many channels, 2048 inputs.
_WIDE = {"channels": [128], "hidden": 32}
_SMALL_MODELS: dict[str, dict[str, Any]] = {
    "cnn": {"channels": [8, 16], "hidden": 32},
    "mlp": {"hidden": [32, 16]},
    "mobilenet": {"width": 0.09375},
}


@dataclasses.dataclass(frozen=True)
class Preset:
    """One size of occasion.

    Attributes:
        name: How it is chosen.
        n_seeds: Seeds kept of each setting, at most.
        summary: What it is for, in a few words.
        stand_in: Whether the embedded digits and small models replace the report's own.
        epochs: Factor on the epochs, by name of the report's data set; 1 where none is given.
        n_train: Training images kept, or None for all.
        n_directions: Directions of the measure "sharpness", at most; None leaves them as they are.
    """

    name: str
    n_seeds: int
    summary: str
    stand_in: bool = False
    epochs: Mapping[str, float] = dataclasses.field(default_factory=dict)
    n_train: int | None = None
    n_directions: int | None = None

    def scale(self, trial: Trial) -> Trial:
        """Return the trial as this preset runs it: on a reader's own data, as it is."""
        if catalogue.digest("data", trial.data) != catalogue.OURS:
            return trial
        if self.n_directions and "sharpness" in trial.measure:
            trial = trial.replace(n_directions=min(trial.n_directions, self.n_directions))
        epochs = max(1, round(trial.epochs * self.epochs.get(trial.data, 1.0)))
        if not self.stand_in and epochs == trial.epochs:
            return trial
        schedule_args = _same_shares(trial, epochs)
        if not self.stand_in:
            return trial.replace(epochs=epochs, schedule_args=schedule_args)
        return trial.replace(
            data=STAND_IN,
            model_args={**trial.model_args, **_small(trial)},
            split_args={k: v for k, v in trial.split_args.items() if k != "grouped"},
            normalize="standard" if trial.normalize == "imagenet" else trial.normalize,
            epochs=epochs,
            schedule_args=schedule_args,
            n_train=self.n_train,
            augment=_on_digits(trial.augment),
        )

    def scaled(self, trials: Iterable[Trial]) -> list[Trial]:
        """Return the trials as this preset runs them; each setting is scaled once.

        A trial that the preset leaves as it is comes back itself.
        """
        known: dict[str, Trial] = {}
        found = []
        for trial in trials:
            if trial.setting not in known:
                known[trial.setting] = self.scale(trial)
            one = known[trial.setting]
            is_same = one.setting == trial.setting
            found.append(trial if is_same else one.replace(seed=trial.seed))
        return found

    def declared(self, trial: Trial, data: str = "") -> Trial | None:
        """Return the trial of a report that this preset scaled to `trial`.

        Args:
            trial: A trial as it was run.
            data: The report's data set; needed of a preset on stand-in data.

        Returns:
            None if this preset makes that trial of none on `data`.
        """
        factor = self.epochs.get(data or trial.data, 1.0)
        epochs = max(1, round(trial.epochs / factor))
        if not self.stand_in:
            return trial.replace(epochs=epochs)
        small = _WIDE if (data, trial.model) == ("dinosaurs", "cnn") else _SMALL_MODELS[trial.model]
        before = trial.replace(
            data=data,
            model_args={k: v for k, v in trial.model_args.items() if k not in small},
            epochs=epochs,
            schedule_args=_same_shares(trial, epochs),
        )
        return before if self.scale(before).identity() == trial.identity() else None

    def choose(self, trials: Iterable[Trial], n_seeds: int | None = None) -> list[Trial]:
        """Return the declared trials this preset keeps: the first seeds of each setting, once each.

        Args:
            trials: Trials as the study declares them.
            n_seeds: Keep this many instead of the preset's own number.

        Raises:
            HplabError: If there are no trials, or `n_seeds` is not a positive integer.
        """
        limit = self.n_seeds if n_seeds is None else n_seeds
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
            raise HplabError(f"n_seeds must be a positive integer or None, got {n_seeds!r}")
        kept: list[Trial] = []
        seen: dict[str, int] = {}
        for trial in {trial.identity(): trial for trial in as_list(trials)}.values():
            if seen.get(trial.setting, 0) < limit:
                kept.append(trial)
            seen[trial.setting] = seen.get(trial.setting, 0) + 1
        if not kept:
            raise HplabError("there are no trials to run")
        return kept


def as_list(trials: Iterable[Trial]) -> list[Trial]:
    """Return trials as a list.

    Raises:
        HplabError: If it is anything else, such as one trial alone.
    """
    try:
        each = iter(trials)
    except TypeError:  # one trial alone, or an array of no dimensions
        raise HplabError(f"trials must be a list of hp.Trial, got {trials!r:.60}") from None
    found = list(each)
    for one in found:
        if not isinstance(one, Trial):
            raise HplabError(f"trials must be a list of hp.Trial, but it holds {one!r:.60}")
    return found


def _small(trial: Trial) -> dict[str, Any]:
    """Return the arguments that make the trial's model small; a deep mlp stays as deep."""
    if trial.model == "mlp" and len(trial.argument("model", "hidden")) > 3:
        return {"hidden": [min(32, width) for width in trial.argument("model", "hidden")]}
    wide = trial.data == "dinosaurs" and trial.model == "cnn"
    return _WIDE if wide else _SMALL_MODELS.get(trial.model, {})


def _same_shares(trial: Trial, epochs: int) -> Mapping[str, Any]:
    """Return the schedule's arguments for a run of another length: each time at the same share."""
    if epochs == trial.epochs:
        return trial.schedule_args

    def share(time: Any) -> Any:
        if isinstance(time, list):
            return [share(one) for one in time]
        if time >= trial.epochs:  # at or after the end of the run, where it stays
            return time * epochs / trial.epochs
        return time if time < 1 else time / trial.epochs

    args = catalogue.args("schedule", trial.schedule)
    return {k: share(v) if args[k].is_time else v for k, v in trial.schedule_args.items()}


def _on_digits(augment: Mapping[str, Any]) -> dict[str, Any]:
    """Return the augmentation for digits of 8 by 8 pixels: they may turn, no more.

    A mirrored digit is none. One shifted by a pixel has lost an eighth of itself, and a small
    network then learns too slowly for a run of seconds.
    """
    return {"rotate": augment["rotate"]} if "rotate" in augment else {}


PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            "smoke",
            n_seeds=2,
            summary="does everything run? Two seeds of a few dozen updates",
            stand_in=True,
            epochs={name: 0.4 * factor for name, factor in _DIGITS_EPOCHS.items()},
            n_train=256,
        ),
        Preset(
            "laptop",
            n_seeds=5,
            summary="the whole study on embedded data, in about a minute on two cores",
            stand_in=True,
            epochs=_DIGITS_EPOCHS,
        ),
        Preset(
            "reduced",
            n_seeds=5,
            summary="the report's data and model for a fraction of its epochs",
            epochs={
                **{"mnist": 0.2, "fashion-mnist": 0.2, "cifar10": 1e-4, "cifar100": 0.1},
                "dinosaurs": 0.02,  # 2 of 100 epochs: enough to see units die
            },
            n_directions=4,
        ),
        Preset("paper", n_seeds=20, summary="the report's own setting, with many seeds"),
    )
}
SIZES = tuple(PRESETS)  # from small to large


def preset(name: str) -> Preset:
    """Return the preset of that name.

    Raises:
        HplabError: If there is none, with the nearest match.
    """
    if not isinstance(name, str) or name not in PRESETS:
        raise unknown("preset", name, PRESETS)
    return PRESETS[name]


def changes(trials: Iterable[Trial], name: str, n_report: int | None = 1) -> list[dict[str, str]]:
    """Return what a preset changes, one row a field: field, in the report, in this preset.

    Ratios are kept for epochs, so a field with several values lists them in order. `n_report` is
    how many networks the report trained for a setting; None takes what is declared.
    """
    size = preset(name)
    declared = list(trials)
    kept = size.choose(declared)
    rows = []
    for field in (
        "data",
        "channels",
        "hidden",
        "width",
        "epochs",
        "n_train",
        "augment",
        "normalize",
        "n_directions",
    ):
        before = _values(declared, field)
        after = _values(size.scaled(kept), field)
        if before != after:
            rows.append({"field": field, "report": before, "preset": after})
    seeds = {trial.seed for trial in kept}
    n_report = len({trial.seed for trial in declared}) if n_report is None else n_report
    rows.append({"field": "seeds", "report": str(n_report), "preset": str(len(seeds))})
    return rows


def _values(trials: list[Trial], field: str) -> str:
    flat = [trial.flat() for trial in trials]
    values = dict.fromkeys(row[field] for row in flat if field in row)
    return ", ".join("all" if value is None else str(value) for value in values)
