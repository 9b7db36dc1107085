"""The ground floor: what a trial is, what names it, and where its random numbers come from.

A `Trial` holds everything that decides a result and nothing else: device, thread count and library
versions belong to provenance. Nothing here imports torch, so describing and checking ten thousand
trials costs nothing.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import hashlib
import itertools
import json
from collections.abc import Iterable, Mapping
from typing import Any

from hplab import catalogue
from hplab.catalogue import Arg
from hplab.errors import HplabError, unknown

TASK = "classify"
TASK_VERSION = 1  # raise it when a change of code changes results (the canary tests say when)


def stream_seed(seed: int, purpose: str) -> int:
    """Return the 63-bit seed of one random stream of a trial.

    The stream depends on the trial's seed and on what it is used for ("init", "order", ...) and on
    nothing else, so two settings with the same seed see the same numbers and can be compared in
    pairs.
    """
    digest = hashlib.sha256(f"hplab|{purpose}|{seed}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


# What a trial draws random numbers for, each from a stream of its own.
STREAMS = ("init", "order", "augment", "subset", "dropout", "directions")
_PLAIN = {  # the bounds of fields that are numbers or switches
    "lr": Arg(1e-3, above=0),
    "weight_decay": Arg(0.0),
    "batch_size": Arg(64, low=1),
    "epochs": Arg(5, low=1),
    "fold": Arg(1, low=1),
    "seed": Arg(0),
    "n_directions": Arg(16, low=1),
    "n_train": Arg(1, low=1),
    "drop_last": Arg(False),
    "shuffle": Arg(True),
}


@dataclasses.dataclass(frozen=True)
class Trial:
    """One training run: a point of hyperparameters plus a seed.

    Args:
        data: Data set name (the names are in `hplab.catalogue`, as all others).
        model: Model name.
        optimizer: Optimizer name (torch's algorithms).
        lr: Learning rate, positive.
        batch_size: Examples a step.
        epochs: Passes over the training images; with a stopping rule, at most.
        split: "official" (the published train and test parts), "holdout" (a stratified share of the
            train part kept for validation) or "kfold".
        split_args: Arguments of the split.
        fold: Which fold, counted from 1; only "kfold" has more than one.
        n_train: Keep this many training images, drawn once a seed; None keeps all.
        augment: Random changes of the training images: names, or a mapping
            from name to strength.
        normalize: "standard" (mean and standard deviation of the training part), "unit" (0 to 1),
            "symmetric" (-1 to 1) or "imagenet".
        model_args: Arguments of the model.
        activation: Activation function of the hidden layers.
        loss: Training loss.
        optimizer_args: Arguments of the optimizer.
        schedule: Learning-rate schedule.
        schedule_args: Arguments of the schedule.
        weight_decay: As the torch optimizer of that name takes it.
        decayed: Which parameters decay: "all", or "weights" without biases and normalization.
        drop_last: Leave out the last, smaller batch of an epoch.
        shuffle: Draw a new order of the training images every epoch.
        precision: Number format of training.
        stop: When training ends: after all epochs, or ("loss_change") when the mean loss of an
            epoch has moved by less than `tau` nats `times` times.
        stop_args: Arguments of the stopping rule.
        seeding: Where initial weights come from: "common" (the same for the same seed in every
            setting) or "report_002" (other weights in every setting, as that report drew them).
        n_directions: Pairs of opposite directions that the measure "sharpness" draws.
        measure: What to record beyond the epoch curves.
        seed: Replicate number, a non-negative integer.
        seeds: Other seeds for some of the trial's random streams, out of `STREAMS`: with
            `{"init": 3}` the initial weights are those of seed 3, and all else is that of `seed`.
            By it one source of luck can be varied while the others are held.
        code: For each component that is none of hplab's (see `hp.register`), "field:name", the
            digest of its source. Filled in; a record brings the one it was made with.

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
    code: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        self._set("code", self._code(self.code))
        for field in catalogue.FIELDS:
            name = getattr(self, field)
            if f"{field}:{name}" not in self.code:
                catalogue.check(field, name, "Trial")
            if field in catalogue.WITH_ARGS:
                given = getattr(self, f"{field}_args")
                digest = self.code.get(f"{field}:{name}", catalogue.OURS)
                self._set(f"{field}_args", _arguments(field, name, given, digest))
        for field, arg in _PLAIN.items():
            if field != "n_train" or self.n_train is not None:
                self._set(field, arg.checked(field, getattr(self, field)))
        self._set("augment", _augmentations(self.augment))
        if (measure := catalogue.items_of(self.measure)) is None:
            raise HplabError(f"measure must be a list of names, got {self.measure!r}")
        for name in measure:
            if not isinstance(name, str) or name not in catalogue.MEASURES:
                raise unknown("measure", name, catalogue.MEASURES, "Trial")
        self._set("measure", tuple(sorted(set(measure))))
        self._set("seeds", _seeds(self.seeds))
        self._check_together()

    def _set(self, field: str, value: object) -> None:
        object.__setattr__(self, field, value)

    def _code(self, given: object) -> dict[str, str]:
        """Return the digest of each component that is none of hplab's: as given, or as it is here.

        What was recorded with a component keeps its digest, whatever that component is here.
        """
        if not isinstance(given, Mapping):
            raise HplabError(f"code must be a mapping from component to digest, got {given!r}")
        found = {}
        for field in catalogue.OPEN:
            name = f"{field}:{getattr(self, field)}"
            here = catalogue.digest(field, getattr(self, field))
            if here != catalogue.OURS and (digest := given.get(name, here)):
                found[name] = digest
        return found

    def _check_together(self) -> None:
        optimizer = self.arguments("optimizer") if self.optimizer == "sgd" else {}
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
        found = self.arguments(component)
        if name not in found:
            raise unknown(f"{component} argument", name, found, getattr(self, component))
        return found[name]

    def arguments(self, component: str) -> dict[str, Any]:
        """Return all arguments of one component, defaults filled in."""
        name, given = getattr(self, component), getattr(self, f"{component}_args")
        if f"{component}:{name}" in self.code:
            return dict(given)
        return {**catalogue.row(component, name).defaults, **given}

    def replace(self, **changes: Any) -> Trial:
        """Return a copy with some fields changed; `"model_args.hidden"` reaches into arguments."""
        plain = {k: v for k, v in changes.items() if "." not in k}
        for name, value in changes.items():
            if "." in name:
                field, argument = name.split(".", 1)
                if field not in _ARGUMENT_FIELDS:
                    raise unknown("argument field", field, _ARGUMENT_FIELDS, f"{name!r}")
                current = plain.get(field, getattr(self, field))
                if not isinstance(current, Mapping):
                    raise HplabError(f"{field} must be a mapping, got {current!r}")
                plain[field] = {**current, argument: value}
        wrong = [name for name in plain if name not in _FIELDS]
        if wrong:
            raise unknown("field", wrong[0], _FIELDS, "Trial")
        if list(plain) == ["seed"]:  # the setting, which is checked and has its text, stays
            trial = copy.copy(self)
            trial._set("seed", _PLAIN["seed"].checked("seed", plain["seed"]))
            return trial
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
        return key_of(self.setting, self.seed, data_digest)

    def flat(self) -> dict[str, Any]:
        """Return every hyperparameter as a plain scalar, for one row of a table.

        Arguments appear under their own name, or as `model.name` where two components share it.
        """
        left_out = (*_ARGUMENT_FIELDS, "measure", "seeds", "code")
        row = {name: getattr(self, name) for name in _FIELDS if name not in left_out}
        row |= {f"seed_{name}": seed for name, seed in self.seeds.items()}
        if self.code:
            row["code"] = ", ".join(f"{name} {digest}" for name, digest in self.code.items())
        row["augment"] = ", ".join(f"{n} {x:g}" for n, x in self.augment.items()) or "none"
        nested = [
            (component, name, value)
            for component in catalogue.WITH_ARGS
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


def key_of(
    setting: str, seed: int, data_digest: str, task: str = TASK, task_version: int = TASK_VERSION
) -> str:
    """Return the key of a trial's result, from the canonical text of its config and its seed."""
    rest = {"data": data_digest, "seed": seed, "task": task, "task_version": task_version}
    text = f'{{"config":{setting},{canonical(rest)[1:]}'  # names in order: config is first
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def grid(base: Trial, axes: Mapping[str, Iterable] | None = None, **more: Iterable) -> list[Trial]:
    """Return every combination of the axes, the last axis varying fastest.

    Args:
        base: The trial that supplies all other fields.
        axes: Field name to values; dotted names (`"optimizer_args.momentum"`) reach arguments.
        **more: The same, as keywords: `grid(base, lr=[1e-3, 1e-4], seed=range(5))`.

    Returns:
        The trials, in that order.

    Raises:
        HplabError: If an axis is empty, is a single value, or repeats a trial.
    """
    if not isinstance(base, Trial):
        raise HplabError(f"grid needs the trial that it varies (hp.Trial(...)), got {base!r:.60}")
    merged = {**(axes or {}), **more}
    for name, values in merged.items():
        if (items := catalogue.items_of(values)) is None:
            raise HplabError(f"grid axis {name!r} needs a list of values, got {values!r}")
        merged[name] = items
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


def _arguments(field: str, name: str, given: object, digest: str) -> dict[str, Any]:
    """Check arguments against the component's; leave out those that equal their defaults.

    Of a component that is none of hplab's all are kept, since a default of it may change. What was
    recorded with another source than it has here stays as it is.
    """
    if not isinstance(given, Mapping):
        raise HplabError(f"{field}_args must be a mapping, got {given!r}")
    if catalogue.digest(field, name) != digest:
        return dict(sorted(given.items()))
    known = catalogue.args(field, name)
    out = {} if digest == catalogue.OURS else {k: arg.default for k, arg in known.items()}
    for argument, value in given.items():
        if argument not in known:
            raise unknown(f"{field} argument", argument, known, f"{field} {name!r}")
        value = known[argument].checked(f"{field}_args.{argument}", value)
        if value != known[argument].default or argument in out:
            out[argument] = value
    return dict(sorted(out.items()))


def _augmentations(given: object) -> dict[str, Any]:
    """Check a mapping from augmentation to strength, or a list of names."""
    if (names := catalogue.items_of(given)) is None:
        raise HplabError(f"augment must be a list of names or a mapping, got {given!r}")
    pairs = given.items() if isinstance(given, Mapping) else [(name, None) for name in names]
    out = {}
    for name, value in sorted(pairs, key=str):
        if not isinstance(name, str) or name not in catalogue.AUGMENTATIONS:
            raise unknown("augmentation", name, catalogue.AUGMENTATIONS, "Trial")
        strength = catalogue.AUGMENTATIONS[name]
        out[name] = (
            strength.default if value is None else strength.checked(f"augment.{name}", value)
        )
    return out


def _seeds(given: object) -> dict[str, int]:
    """Check a mapping from random stream to seed."""
    if not isinstance(given, Mapping):
        raise HplabError(f"seeds must be a mapping from stream to seed, got {given!r}")
    out = {}
    for name, value in sorted(given.items(), key=str):
        if name not in STREAMS:
            raise unknown("random stream", name, STREAMS, "seeds")
        out[name] = _PLAIN["seed"].checked(f"seeds.{name}", value)
    return out
