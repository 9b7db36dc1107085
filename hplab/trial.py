"""The ground floor: what a trial is, what names it, and where its random numbers come from.

A `Trial` holds everything that decides a result and nothing else: device, thread count and library
versions belong to provenance. Nothing here imports torch, so describing and checking ten thousand
trials costs nothing.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import hashlib
import itertools
import json
import math
import numbers
from collections.abc import Iterable, Mapping
from typing import Any

TASK = "classify"
TASK_VERSION = 1  # raise it when a change of code changes results (the canary tests say when)


class HplabError(Exception):
    """A mistake the reader can mend: one line saying what, where and what is allowed."""


class Stopped(KeyboardInterrupt):
    """Training that was interrupted on purpose: one line saying what is kept.

    A notebook shows the line alone. It is still a `KeyboardInterrupt`, which ends a script.
    """

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


def unknown(kind: str, name: object, known: Iterable[str], where: str = "") -> HplabError:
    """Return the error for a name that is not one of `known`, with the nearest match."""
    known = sorted(known)
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    place = f" in {where}" if where else ""
    return HplabError(f"unknown {kind} {name!r}{place}; known: {', '.join(known)}{hint}")


def stream_seed(seed: int, purpose: str) -> int:
    """Return the 63-bit seed of one random stream of a trial.

    The stream depends on the trial's seed and on what it is used for ("init", "order", ...) and on
    nothing else, so two settings with the same seed see the same numbers and can be compared in
    pairs.
    """
    digest = hashlib.sha256(f"hplab|{purpose}|{seed}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


# ---------------------------------------------------------------------------------------------
# Names that a trial may use. Every argument has its default beside it; the training code reads
# the same tables, so a name known here is a name that works.

MODELS: dict[str, dict[str, Any]] = {
    "mlp": {
        "hidden": [64, 32],
        "dropout": 0.0,
        "logit_norm": False,
        "batch_norm": False,  # before every activation
        "init": "torch",  # or "matched": scaled to the activation (see training/networks/init.py)
    },
    "cnn": {
        "channels": [32, 64],
        "hidden": 128,
        "dropout": 0.0,
        "batch_norm": False,  # after every convolution
        "hidden_batch_norm": False,  # between the hidden layer and its activation
        "global_pool": False,  # average over the places of a feature map instead of flattening it
    },
    "mobilenet": {"width": 1.0, "blocks": list(range(13))},  # blocks with the trial's activation
}
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": {"momentum": 0.0, "nesterov": False, "dampening": 0.0},
    "adam": {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "amsgrad": False},
    "adamw": {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "amsgrad": False},
    "rmsprop": {"alpha": 0.99, "eps": 1e-8, "momentum": 0.0, "centered": False},
    "adagrad": {"lr_decay": 0.0, "initial_accumulator_value": 0.0, "eps": 1e-10},
}
# Times in schedules are epochs, or below 1 a share of the run. Smooth schedules move with every
# step; with `every="epoch"` they stay where they are within an epoch, as torch's do when their
# `step()` is called once an epoch.
SCHEDULES: dict[str, dict[str, Any]] = {
    "constant": {},
    "step": {"step_size": 1 / 3, "gamma": 0.1},
    "multi_step": {"milestones": [0.5, 0.75], "gamma": 0.1},
    "cosine": {"eta_min": 0.0, "warmup": 0.0, "every": "step"},
    "warm_restarts": {"T_0": 1 / 7, "T_mult": 2, "eta_min": 0.0, "every": "step"},
    "one_cycle": {"pct_start": 0.3, "div_factor": 25.0, "final_div_factor": 1e4},
    "linear": {"end_factor": 0.0, "warmup": 0.0, "every": "step"},
    "warmup_stable_decay": {"warmup": 0.05, "decay": 0.2},
    "inverse_sqrt": {"warmup": 0.05},
    "range_test": {"start": 1e-7},  # from `start` up to the trial's lr, exponentially
}
# Random changes of the training images, and the strength each has if none is given.
AUGMENTATIONS: dict[str, Any] = {
    "crop": 4,  # pixels of black border, from which a window of the image's size is cut
    "flip": 0.5,  # probability of a left-right flip
    "rotate": 15.0,  # largest angle, in degrees to either side
}
SPLITS: dict[str, dict[str, Any]] = {
    "official": {},
    "holdout": {"val": 0.2, "seed": 42},
    "kfold": {"n_folds": 3, "seed": 12, "grouped": False},  # grouped: near copies stay together
}
STOPS: dict[str, dict[str, Any]] = {
    "epochs": {},  # train all epochs
    "loss_change": {"tau": 1e-4, "times": 5, "consecutive": False},
}
LOSSES = (
    "cross_entropy",
    "kl_div",
    "kl_div_mean",
    "kl_div_of_softmax",
    "kl_div_of_logits",
    "cross_entropy_of_softmax",
)
ACTIVATIONS = ("relu", "leaky_relu", "gelu", "silu", "sigmoid", "tanh")
NORMALIZATIONS = ("standard", "unit", "symmetric", "imagenet")
PRECISIONS = ("fp32", "tf32", "bf16")  # see hplab.training.precision
DECAYED = ("all", "weights")  # "weights" spares biases and batch normalization
SEEDINGS = ("common", "report_002")
# What a trial draws random numbers for, each from a stream of its own.
STREAMS = ("init", "order", "augment", "subset", "dropout", "directions")
# "steps" keeps the loss and learning rate of every step, "diagnostics" counts live units and
# predicted classes every epoch, "probes" live units after early steps, "confusion" keeps the
# confusion matrix; the others are in training/measures.py.
MEASURES = (
    "steps",
    "diagnostics",
    "probes",
    "confusion",
    "gradient_noise",
    "sharpness",
    "sharpness_path",
    "curvature",
    "keskar",
    "norms",
    "layers",
)

_COMPONENTS = {
    "model": MODELS,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "split": SPLITS,
    "stop": STOPS,
}
_CHOICES = {
    "loss": LOSSES,
    "activation": ACTIVATIONS,
    "normalize": NORMALIZATIONS,
    "precision": PRECISIONS,
    "seeding": SEEDINGS,
    "decayed": DECAYED,
}
_POSITIVE = (  # arguments that zero or less would turn into nonsense
    "model_args.hidden",
    "model_args.channels",
    "model_args.width",
    "optimizer_args.eps",
    "schedule_args.start",
    "schedule_args.step_size",
    "schedule_args.milestones",
    "schedule_args.gamma",
    "schedule_args.T_0",
    "schedule_args.T_mult",
    "schedule_args.div_factor",
    "schedule_args.final_div_factor",
    "split_args.val",
    "split_args.n_folds",
    "augment.crop",
    "augment.flip",
    "augment.rotate",
    "stop_args.tau",
    "stop_args.times",
)
_SHARES = ("schedule_args.pct_start", "augment.flip", "optimizer_args.alpha")  # at most 1
_BELOW_1 = ("model_args.dropout", "optimizer_args.beta1", "optimizer_args.beta2")
# Times of a schedule: from 1 on epochs, below 1 a share of the run.
TIMES = ("step_size", "milestones", "warmup", "decay", "T_0")
_WORDS = {  # arguments that are one of a few words
    "schedule_args.every": ("step", "epoch"),
    "model_args.init": ("torch", "matched"),
}
# Data sets are known by name here so that a typo is caught before any training starts.
DATA = ("digits", "mnist", "fashion-mnist", "cifar10", "cifar100", "dinosaurs")


@dataclasses.dataclass(frozen=True)
class Trial:
    """One training run: a point of hyperparameters plus a seed.

    Args:
        data: Data set name, one of `DATA`.
        model: Model name, one of `MODELS`.
        optimizer: Optimizer name, one of `OPTIMIZERS` (torch's algorithms).
        lr: Learning rate, positive.
        batch_size: Examples a step.
        epochs: Passes over the training images; with a stopping rule, at most.
        split: "official" (the published train and test parts), "holdout" (a stratified share of the
            train part kept for validation) or "kfold".
        split_args: Arguments of the split.
        fold: Which fold, counted from 1; only "kfold" has more than one.
        n_train: Keep this many training images, drawn once a seed; None keeps all.
        augment: Random changes of the training images: names out of `AUGMENTATIONS`, or a mapping
            from name to strength.
        normalize: "standard" (mean and standard deviation of the training part), "unit" (0 to 1),
            "symmetric" (-1 to 1) or "imagenet".
        model_args: Arguments of the model.
        activation: Activation function of the hidden layers, one of `ACTIVATIONS`.
        loss: Training loss, one of `LOSSES`.
        optimizer_args: Arguments of the optimizer.
        schedule: Learning-rate schedule, one of `SCHEDULES`.
        schedule_args: Arguments of the schedule.
        weight_decay: As the torch optimizer of that name takes it.
        decayed: Which parameters decay: "all", or "weights" without biases and normalization.
        drop_last: Leave out the last, smaller batch of an epoch.
        shuffle: Draw a new order of the training images every epoch.
        precision: Number format of training, one of `PRECISIONS`.
        stop: When training ends, one of `STOPS`: after all epochs, or ("loss_change") when the mean
            loss of an epoch has moved by less than `tau` nats `times` times.
        stop_args: Arguments of the stopping rule.
        seeding: Where initial weights come from: "common" (the same for the same seed in every
            setting) or "report_002" (other weights in every setting, as that report drew them).
        n_directions: Pairs of opposite directions that the measure "sharpness" draws.
        measure: What to record beyond the epoch curves, out of `MEASURES`.
        seed: Replicate number, a non-negative integer.
        seeds: Other seeds for some of the trial's random streams, out of `STREAMS`: with
            `{"init": 3}` the initial weights are those of seed 3, and all else is that of `seed`.
            By it one source of luck can be varied while the others are held.

    Raises:
        HplabError: If a name is unknown or a value impossible, with what would be allowed.
    """

    data: str
    model: str = "cnn"
    optimizer: str = "adam"
    lr: float = 1e-3
    batch_size: int = 64
    epochs: int = 5
    split: str = "official"
    split_args: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    fold: int = 1
    n_train: int | None = None
    augment: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    normalize: str = "standard"
    model_args: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    activation: str = "relu"
    loss: str = "cross_entropy"
    optimizer_args: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    schedule: str = "constant"
    schedule_args: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    weight_decay: float = 0.0
    decayed: str = "all"
    drop_last: bool = False
    shuffle: bool = True
    precision: str = "fp32"
    stop: str = "epochs"
    stop_args: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    seeding: str = "common"
    n_directions: int = 16
    measure: tuple[str, ...] = ()
    seed: int = 0
    seeds: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.data not in DATA:
            raise unknown("data set", self.data, DATA, "Trial")
        for field, choices in _CHOICES.items():
            if getattr(self, field) not in choices:
                raise unknown(field, getattr(self, field), choices, "Trial")
        for field, table in _COMPONENTS.items():
            name = getattr(self, field)
            if not isinstance(name, str) or name not in table:
                raise unknown(field, name, table, "Trial")
            self._set(f"{field}_args", _arguments(field, name, getattr(self, f"{field}_args")))
        for field in ("lr", "weight_decay"):
            self._set(field, _number(field, getattr(self, field), float))
        for field in ("batch_size", "epochs", "fold", "seed", "n_directions"):
            self._set(field, _number(field, getattr(self, field), int))
        if self.n_train is not None:
            self._set("n_train", _number("n_train", self.n_train, int))
        for field in ("drop_last", "shuffle"):
            self._set(field, _number(field, getattr(self, field), bool))
        self._set("augment", _augmentations(self.augment))
        if isinstance(self.measure, str) or not isinstance(self.measure, Iterable):
            raise HplabError(f"measure must be a list of names, got {self.measure!r}")
        for name in self.measure:
            if name not in MEASURES:
                raise unknown("measure", name, MEASURES, "Trial")
        self._set("measure", tuple(sorted(set(self.measure))))
        self._set("seeds", _seeds(self.seeds))
        self._check_ranges()

    def _set(self, field: str, value: object) -> None:
        object.__setattr__(self, field, value)

    def _check_ranges(self) -> None:
        at_least = {"batch_size": 1, "epochs": 1, "fold": 1, "seed": 0, "weight_decay": 0.0}
        at_least["n_directions"] = 1
        if self.n_train is not None:
            at_least["n_train"] = 1
        for field, low in at_least.items():
            if getattr(self, field) < low:
                raise HplabError(f"{field} must be at least {low}, got {getattr(self, field)!r}")
        if not self.lr > 0:
            raise HplabError(f"lr must be positive, got {self.lr!r}")
        optimizer = self.arguments("optimizer")
        if optimizer.get("nesterov") and not (optimizer["momentum"] and not optimizer["dampening"]):
            raise HplabError("nesterov needs a momentum above 0 and a dampening of 0")
        n_folds = self.argument("split", "n_folds") if self.split == "kfold" else 1
        if self.fold > n_folds:
            raise HplabError(f"fold must be between 1 and {n_folds}, got {self.fold}")

    def stream(self, purpose: str) -> int:
        """Return the seed of one of the trial's random streams, such as "order" or "dropout 2"."""
        return stream_seed(self.seeds.get(purpose.split()[0], self.seed), purpose)

    def __hash__(self) -> int:
        return hash((self.setting, self.seed))

    def argument(self, component: str, name: str) -> Any:
        """Return an argument of one of the trial's components, or its default."""
        defaults = _COMPONENTS[component][getattr(self, component)]
        if name not in defaults:
            raise unknown(f"{component} argument", name, defaults, getattr(self, component))
        return getattr(self, f"{component}_args").get(name, defaults[name])

    def arguments(self, component: str) -> dict[str, Any]:
        """Return all arguments of one component, defaults filled in."""
        defaults = _COMPONENTS[component][getattr(self, component)]
        return {**defaults, **getattr(self, f"{component}_args")}

    def replace(self, **changes: Any) -> Trial:
        """Return a copy with some fields changed; `"model_args.hidden"` reaches into arguments."""
        plain = {k: v for k, v in changes.items() if "." not in k}
        for name, value in changes.items():
            if "." in name:
                field, argument = name.split(".", 1)
                if field not in _ARGUMENT_FIELDS:
                    raise unknown("argument field", field, _ARGUMENT_FIELDS, f"{name!r}")
                current = plain.get(field, getattr(self, field))
                plain[field] = {**current, argument: value}
        wrong = [name for name in plain if name not in _FIELDS]
        if wrong:
            raise unknown("field", wrong[0], _FIELDS, "Trial")
        return dataclasses.replace(self, **plain)

    def config(self) -> dict[str, Any]:
        """Return the setting in canonical form: without the seed and without defaulted fields.

        Leaving defaults out means that a field added to `Trial` later changes no existing key.
        """
        config = {name: getattr(self, name) for name in _ALWAYS}
        for name, default in _OPTIONAL.items():
            value = getattr(self, name)
            if value != default:
                config[name] = _plain(value)
        return config

    @functools.cached_property
    def setting(self) -> str:
        """The canonical text of `config`: equal for trials that differ in nothing but the seed.

        Made once: a trial's arguments must not be changed in place.
        """
        return canonical(self.config())

    def identity(self) -> str:
        """The canonical text of config and seed: what the trial is, whatever its data files."""
        return f'{{"config":{self.setting},"seed":{self.seed}}}'

    def key(self, data_digest: str) -> str:
        """Return the 32 hex digits that name this trial's result on data with that digest."""
        rest = {"data": data_digest, "seed": self.seed, "task": TASK, "task_version": TASK_VERSION}
        text = f'{{"config":{self.setting},{canonical(rest)[1:]}'  # names in order: config is first
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def flat(self) -> dict[str, Any]:
        """Return every hyperparameter as a plain scalar, for one row of a table.

        Arguments appear under their own name, or as `model.name` where two components share it.
        """
        left_out = (*_ARGUMENT_FIELDS, "measure", "seeds")
        row = {name: getattr(self, name) for name in _FIELDS if name not in left_out}
        row |= {f"seed_{name}": seed for name, seed in self.seeds.items()}
        row["augment"] = ", ".join(f"{n} {x:g}" for n, x in self.augment.items()) or "none"
        nested = [
            (component, name, value)
            for component in _COMPONENTS
            for name, value in self.arguments(component).items()
        ]
        counts = [name for _, name, _ in nested]
        for component, name, value in nested:
            clash = name in row or counts.count(name) > 1
            scalar = "-".join(map(str, value)) if isinstance(value, list) else value
            row[f"{component}.{name}" if clash else name] = scalar
        return row

    @classmethod
    def from_config(cls, config: Mapping[str, Any], seed: int) -> Trial:
        """Rebuild a trial from `config()` and its seed."""
        wrong = [name for name in config if name not in _FIELDS]
        if wrong:
            raise unknown("field", wrong[0], _FIELDS, "a recorded trial")
        return cls(**config, seed=seed)


_ALWAYS = ("data", "model", "optimizer", "lr", "batch_size", "epochs")
_FIELDS = tuple(field.name for field in dataclasses.fields(Trial))
_ARGUMENT_FIELDS = tuple(name for name in _FIELDS if name.endswith("_args"))
_OPTIONAL: dict[str, Any] = {
    field.name: {} if field.default is dataclasses.MISSING else field.default
    for field in dataclasses.fields(Trial)
    if field.name not in (*_ALWAYS, "seed")
}


def grid(base: Trial, axes: Mapping[str, Iterable] | None = None, **more: Iterable) -> list[Trial]:
    """Return every combination of the axes, the last axis varying fastest.

    Args:
        base: The trial that supplies all other fields.
        axes: Field name to values; dotted names (`"optimizer_args.momentum"`) reach arguments.
        **more: The same, as keywords: `grid(base, lr=[1e-3, 1e-4], seed=range(5))`.

    Raises:
        HplabError: If an axis is empty, is a single value, or repeats a trial.
    """
    merged = {**(axes or {}), **more}
    for name, values in merged.items():
        if isinstance(values, str) or not isinstance(values, Iterable):
            raise HplabError(f"grid axis {name!r} needs a list of values, got {values!r}")
        merged[name] = list(values)
        if not merged[name]:
            raise HplabError(f"grid axis {name!r} is empty")
    combinations = itertools.product(*merged.values())
    trials = [base.replace(**dict(zip(merged, point, strict=True))) for point in combinations]
    seen: set[str] = set()
    for trial in trials:
        if trial.identity() in seen:
            raise HplabError(f"grid repeats a trial: {trial.identity()}")
        seen.add(trial.identity())
    return trials


def canonical(value: object) -> str:
    """Return JSON with sorted keys, no spaces and no NaN: equal meaning gives equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _plain(value: object) -> Any:
    """Return a field's value as JSON knows it: mappings as dicts, tuples as lists."""
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value


def _number(name: str, value: object, kind: type) -> Any:
    """Return `value` as a plain Python number of that kind, or say why it is none."""
    if kind is bool:
        if isinstance(value, bool):
            return value
        raise HplabError(f"{name} must be True or False, got {value!r}")
    if hasattr(value, "item"):  # a NumPy scalar
        value = value.item()
    wanted = numbers.Integral if kind is int else numbers.Real
    if isinstance(value, bool) or not isinstance(value, wanted):
        article = "an integer" if kind is int else "a number"
        raise HplabError(f"{name} must be {article}, got {value!r}")
    if kind is float and not math.isfinite(value):
        raise HplabError(f"{name} must be finite, got {value!r}")
    return kind(value) + kind(0)  # + 0 turns -0.0 into 0.0


def _arguments(field: str, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Check arguments against the component's defaults; leave out those that equal them."""
    defaults = _COMPONENTS[field][name]
    if not isinstance(given, Mapping):
        raise HplabError(f"{field}_args must be a mapping, got {given!r}")
    out = {}
    for argument, value in given.items():
        if argument not in defaults:
            raise unknown(f"{field} argument", argument, defaults, f"{field} {name!r}")
        value = _like(f"{field}_args.{argument}", value, defaults[argument])
        if value != defaults[argument]:
            out[argument] = value
    return dict(sorted(out.items()))


def _augmentations(given: object) -> dict[str, Any]:
    """Check a mapping from augmentation to strength, or a list of names."""
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise HplabError(f"augment must be a list of names or a mapping, got {given!r}")
    pairs = given.items() if isinstance(given, Mapping) else [(name, None) for name in given]
    out = {}
    for name, value in sorted(pairs, key=str):
        if not isinstance(name, str) or name not in AUGMENTATIONS:
            raise unknown("augmentation", name, AUGMENTATIONS, "Trial")
        default = AUGMENTATIONS[name]
        out[name] = default if value is None else _like(f"augment.{name}", value, default)
    return out


def _seeds(given: object) -> dict[str, int]:
    """Check a mapping from random stream to seed."""
    if not isinstance(given, Mapping):
        raise HplabError(f"seeds must be a mapping from stream to seed, got {given!r}")
    out = {}
    for name, value in sorted(given.items(), key=str):
        if name not in STREAMS:
            raise unknown("random stream", name, STREAMS, "seeds")
        out[name] = _number(f"seeds.{name}", value, int)
        if out[name] < 0:
            raise HplabError(f"seeds.{name} must be at least 0, got {value!r}")
    return out


def _like(name: str, value: object, default: object) -> Any:
    """Return `value` in the type of `default`."""
    if isinstance(default, list):
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise HplabError(f"{name} must be a list, got {value!r}")
        return [_like(name, item, default[0]) for item in value]
    if isinstance(default, str):
        if not isinstance(value, str):
            raise HplabError(f"{name} must be text, got {value!r}")
        if name in _WORDS and value not in _WORDS[name]:
            raise unknown("value", value, _WORDS[name], name)
        return value
    if name == "split_args.val":  # a share below 1, or a count
        value = _number(name, value, float)
        value = int(value) if value >= 1 else value
    else:
        value = _number(name, value, type(default))
    if value < 0 or (name in _POSITIVE and not value > 0):
        low = "positive" if name in _POSITIVE else "zero or more"
        raise HplabError(f"{name} must be {low}, got {value!r}")
    if name in _SHARES and value > 1:
        raise HplabError(f"{name} must be at most 1, got {value!r}")
    if name in _BELOW_1 and value >= 1:
        raise HplabError(f"{name} must be below 1, got {value!r}")
    return value
