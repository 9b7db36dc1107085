"""Every component that a trial may name: one row each, with its arguments, without torch.

A trial is checked against these rows, and the training code finds what to call by them, so that a
name known here is a name that works. An implementation is named by a string, `"module:name"`, and
imported when it is first asked for. Rows of schedules, which need no torch, stand beside their
functions in `hplab/training/schedules.py`. Readers add components of their own with `hp.register`
(see `hplab/own.py`).
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import math
import numbers
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hplab.errors import HplabError, unknown

OURS = "hplab"  # in place of the digest of a source


@dataclasses.dataclass(frozen=True)
class Arg:
    """An argument of a component: its default, whose type every value must have, and its bounds.

    Args:
        default: A number, True or False, text, or a list of one of them.
        low: Smallest value.
        above: What every value must be larger than.
        high: Largest value.
        below: What every value must be smaller than.
        choices: The words it may be, if it is text.
        is_time: Whether it is a time of a schedule: from 1 on epochs, below 1 a share of the run.
        is_count_from_1: Whether values from 1 on are whole numbers, and smaller ones shares.
    """

    default: Any
    low: float = 0.0
    above: float = -math.inf
    high: float = math.inf
    below: float = math.inf
    choices: tuple[str, ...] = ()
    is_time: bool = False
    is_count_from_1: bool = False

    def checked(self, name: str, value: object) -> Any:
        """Return a value in the type of the default.

        Raises:
            HplabError: If it has another type or is out of bounds.
        """
        if not isinstance(self.default, list):
            return self._one(name, value, self.default)
        if (items := items_of(value)) is None:
            raise HplabError(f"{name} must be a list, got {value!r}")
        return [self._one(name, item, self.default[0]) for item in items]

    def _one(self, name: str, value: Any, default: object) -> Any:
        if isinstance(default, str):
            if not isinstance(value, str):
                raise HplabError(f"{name} must be text, got {value!r}")
            if self.choices and value not in self.choices:
                raise unknown("value", value, self.choices, name)
            return value
        value = number(name, value, type(default))
        if isinstance(value, bool):
            return value
        for broken, limit in (
            (value <= self.above, "positive" if not self.above else f"above {self.above:g}"),
            (value < self.low, f"at least {self.low:g}"),
            (value > self.high, f"at most {self.high:g}"),
            (value >= self.below, f"below {self.below:g}"),
        ):
            if broken:
                raise HplabError(f"{name} must be {limit}, got {value!r}")
        return int(value) if self.is_count_from_1 and value >= 1 else value


def items_of(value: Any) -> list | None:
    """Return what a list, or anything like one, holds; None for text and single values."""
    if isinstance(value, str | bytes):
        return None
    try:
        return list(value)
    except TypeError:  # an array of no dimension has the methods of a list too
        return None


def number(name: str, value: Any, kind: type) -> Any:
    """Return `value` as a plain Python number of that kind, or say why it is none.

    A scalar of NumPy or torch is read as what it prints: `np.float32(1e-3)` is 0.001, as the
    number in a trial's text is.
    """
    if kind is bool:
        if isinstance(value, bool):
            return value
        raise HplabError(f"{name} must be True or False, got {value!r}")
    got = value
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = _shortest(value)
    wanted = numbers.Integral if kind is int else numbers.Real
    if isinstance(value, bool) or not isinstance(value, wanted):
        article = "an integer" if kind is int else "a number"
        raise HplabError(f"{name} must be {article}, got {got!r:.60}")
    try:
        plain = kind(value)
    except OverflowError:
        plain = math.inf
    if isinstance(plain, float) and not math.isfinite(plain):
        raise HplabError(f"{name} must be finite, got {value!r:.60}")
    if kind is int and abs(plain) >= 2**63:
        raise HplabError(f"{name} must be an integer of at most 64 bits, got one that is larger")
    return plain + kind(0)  # + 0 turns -0.0 into 0.0


def _shortest(scalar: Any) -> Any:
    """Return a scalar of NumPy or torch as a plain number, a float by the fewest digits it has."""
    plain = scalar.item()
    if isinstance(plain, float):
        again = getattr(scalar, "new_tensor", None) or scalar.dtype.type
        for digits in range(1, 18):
            if again(short := float(f"{plain:.{digits}g}")) == scalar:
                return short
    return plain


@dataclasses.dataclass(frozen=True)
class Row:
    """A component.

    Args:
        make: What computes it, or where that is to be found, as `"module:name"`; "" where the code
            of its kind knows the few names there are.
        args: Its arguments.
        digest: Of the source, if it is a reader's own; `OURS` for hplab's.
    """

    make: Any = ""
    args: Mapping[str, Arg] = dataclasses.field(default_factory=dict)
    digest: str = OURS

    @functools.cached_property
    def defaults(self) -> dict[str, Any]:
        """The value of each argument that a trial does not give."""
        return {name: arg.default for name, arg in self.args.items()}

    @property
    def implementation(self) -> Any:
        """What `make` is or names; imported if need be."""
        return imported(self.make) if isinstance(self.make, str) else self.make


@dataclasses.dataclass(frozen=True)
class Optimizer(Row):
    """An optimizer of torch, and what has to be known of it to call it.

    A row that names the class alone works: what torch may do faster is left out.

    Args:
        fused: Kinds of device for which torch computes all its updates in one kernel.
        capturable: Whether it counts its steps on the host, where no CUDA graph can record them,
            unless it is told not to. None where that is not known: its updates are not recorded.
        in_graphs: What takes its place where updates are recorded, if it cannot be told.
    """

    fused: tuple[str, ...] = ()
    capturable: bool | None = None
    in_graphs: str = ""


_MODELS = "hplab.training.networks.models"
_LOSSES = "hplab.training.losses"

MODELS = {
    "mlp": Row(
        f"{_MODELS}:mlp",
        {
            "hidden": Arg([64, 32], above=0),
            "dropout": Arg(0.0, below=1),
            "logit_norm": Arg(False),
            "batch_norm": Arg(False),  # before every activation
            # "matched" weights are scaled to the activation (training/networks/init.py)
            "init": Arg("torch", choices=("torch", "matched")),
        },
    ),
    "cnn": Row(
        f"{_MODELS}:cnn",
        {
            "channels": Arg([32, 64], above=0),
            "hidden": Arg(128, above=0),
            "dropout": Arg(0.0, below=1),
            "batch_norm": Arg(False),  # after every convolution
            "hidden_batch_norm": Arg(False),  # between the hidden layer and its activation
            "global_pool": Arg(False),  # average over a feature map instead of flattening it
        },
    ),
    "mobilenet": Row(
        f"{_MODELS}:mobile",
        {
            "width": Arg(1.0, above=0),
            "blocks": Arg(list(range(13))),  # those with the trial's activation
        },
    ),
}
_ADAM = {
    "beta1": Arg(0.9, below=1),
    "beta2": Arg(0.999, below=1),
    "eps": Arg(1e-8, above=0),
    "amsgrad": Arg(False),
}
_FUSED = ("cpu", "cuda", "mps")
OPTIMIZERS = {
    "sgd": Optimizer(
        "torch.optim:SGD",
        {"momentum": Arg(0.0), "nesterov": Arg(False), "dampening": Arg(0.0)},
        fused=_FUSED,
        capturable=False,
    ),
    "adam": Optimizer("torch.optim:Adam", _ADAM, fused=_FUSED, capturable=True),
    "adamw": Optimizer("torch.optim:AdamW", _ADAM, fused=_FUSED, capturable=True),
    "rmsprop": Optimizer(
        "torch.optim:RMSprop",
        {
            "alpha": Arg(0.99, high=1),
            "eps": Arg(1e-8, above=0),
            "momentum": Arg(0.0),
            "centered": Arg(False),
        },
        capturable=True,
    ),
    "adagrad": Optimizer(
        "torch.optim:Adagrad",
        {
            "lr_decay": Arg(0.0),
            "initial_accumulator_value": Arg(0.0),
            "eps": Arg(1e-10, above=0),
        },
        fused=("cpu",),
        in_graphs="hplab.training.optim:TensorAdagrad",
    ),
}
# Random changes of the training images, and the strength each has if none is given.
AUGMENTATIONS = {
    "crop": Arg(4, above=0),  # pixels of black border, from which a window is cut
    "flip": Arg(0.5, above=0, high=1),  # probability of a left-right flip
    "rotate": Arg(15.0, above=0),  # largest angle, in degrees to either side
}
SPLITS = {
    "official": Row(),
    "holdout": Row(args={"val": Arg(0.2, above=0, is_count_from_1=True), "seed": Arg(42)}),
    "kfold": Row(
        args={
            "n_folds": Arg(3, above=0),
            "seed": Arg(12),
            "grouped": Arg(False),  # near copies stay together
        }
    ),
}
STOPS = {
    "epochs": Row(),  # train all epochs
    "loss_change": Row(
        args={"tau": Arg(1e-4, above=0), "times": Arg(5, above=0), "consecutive": Arg(False)}
    ),
}
LOSSES = {
    name: Row(f"{_LOSSES}:{name}")
    for name in (
        "cross_entropy",
        "kl_div",
        "kl_div_mean",
        "kl_div_of_softmax",
        "kl_div_of_logits",
        "cross_entropy_of_softmax",
    )
}
ACTIVATIONS = {
    "relu": Row("torch.nn:ReLU"),
    "leaky_relu": Row("torch.nn:LeakyReLU"),
    "gelu": Row("torch.nn:GELU"),
    "silu": Row("torch.nn:SiLU"),
    "sigmoid": Row("torch.nn:Sigmoid"),
    "tanh": Row("torch.nn:Tanh"),
}
# Data sets are known by name here so that a typo is caught before any training starts.
DATA = {
    name: Row() for name in ("digits", "mnist", "fashion-mnist", "cifar10", "cifar100", "dinosaurs")
}
NORMALIZATIONS = ("standard", "unit", "symmetric", "imagenet")
PRECISIONS = ("fp32", "tf32", "bf16")  # see hplab.training.precision
DECAYED = ("all", "weights")  # "weights" spares biases and batch normalization
SEEDINGS = ("common", "report_002")
# What a trial may ask to have measured beside its losses: a file each, named as the measure, whose
# class has the name in capitals ("gradient_noise": GradientNoise). See its `protocol.py`.
_MEASURED = Path(__file__).parent / "training" / "measures"
MEASURES = {
    name: Row(f"hplab.training.measures.{name}:{name.title().replace('_', '')}")
    for name in sorted(path.stem for path in _MEASURED.glob("[a-z]*.py"))
    if name != "protocol"
}

# What a trial's fields may name: a table, or where it is.
_TABLES: dict[str, Any] = {
    "data": DATA,
    "model": MODELS,
    "optimizer": OPTIMIZERS,
    "schedule": "hplab.training.schedules:SCHEDULES",
    "split": SPLITS,
    "stop": STOPS,
    "loss": LOSSES,
    "activation": ACTIVATIONS,
    "normalize": NORMALIZATIONS,
    "precision": PRECISIONS,
    "seeding": SEEDINGS,
    "decayed": DECAYED,
}
FIELDS = tuple(_TABLES)
OPEN = ("data", "model", "optimizer", "schedule", "loss", "activation")  # see hplab/own.py
WITH_ARGS = ("model", "optimizer", "schedule", "split", "stop")  # a trial holds their arguments
_CALLED = {"data": "data set"}


def table(field: str) -> Any:
    """Return what a trial's field may name: a mapping from name to row, or plain names."""
    found = _TABLES[field]
    return imported(found) if isinstance(found, str) else found


def check(field: str, name: object, where: str = "") -> None:
    """Raise HplabError, with the nearest match, unless a field may have that name."""
    if not isinstance(name, str) or name not in table(field):
        raise unknown(_CALLED.get(field, field), name, table(field), where)


def args(field: str, name: str) -> Mapping[str, Arg]:
    """Return the arguments of a component; none if it is not known in this process."""
    return table(field)[name].args if name in table(field) else {}


def digest(field: str, name: object) -> str:
    """Return the digest of a component's source: `OURS` for hplab's own, "" if it is not known."""
    known = isinstance(name, str) and name in table(field)
    return table(field)[name].digest if known else ""


def row(field: str, name: str) -> Row:
    """Return the row of a component.

    Raises:
        HplabError: If there is none of that name, with the nearest match.
    """
    check(field, name)
    return table(field)[name]


def implementation(field: str, name: str) -> Any:
    """Return what computes the component of that name; HplabError if there is none."""
    return row(field, name).implementation


def defaults(field: str) -> dict[str, dict[str, Any]]:
    """Return the default of every argument of every component that a field may name."""
    return {name: row.defaults for name, row in table(field).items()}


@functools.cache
def imported(place: str) -> Any:
    """Return what is at `"module:name"`."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)
