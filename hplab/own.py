"""Components of the reader's own: a model, an optimizer, a schedule, a loss, an activation, data.

A trial that names one holds the digest of its source, in its key and in its record: results of two
versions never mix, and a record says which it was made with.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import pickle
import re
import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from hplab import catalogue
from hplab.catalogue import Arg, Row
from hplab.digest import Reading, is_plain
from hplab.errors import HplabError, unknown

# How each kind is called before its arguments; a trial gives the names in `_GIVEN` by keyword.
_CALL = {
    "model": ("in_shape", "n_classes"),
    "optimizer": ("params",),
    "schedule": ("share",),
    "loss": ("logits", "labels"),
    "activation": (),
    "data": (),
}
_GIVEN = {"model": ("activation",), "optimizer": ("lr", "weight_decay")}


def register(
    kind: str,
    name: str | Callable | None = None,
    make: Callable | None = None,
    /,
    *,
    version: str = "",
    replace: bool = False,
    **arguments: Any,
) -> Any:
    """Make a component of your own known, so that trials may name it as they name hplab's.

        hp.register("model", "my_net", build, hidden=64)

        @hp.register("schedule")                    # the same, as a decorator
        def fading(share, power=2.0):
            return (1 - share) ** power

        hp.Trial(data="digits", model="my_net", model_args={"hidden": 32}, schedule="fading")

    What is called, by `kind`:

    - "model": `make(in_shape, n_classes, **arguments)` gives an `nn.Module` from float32 images
      `(N, C, H, W)` to logits `(N, n_classes)`; `in_shape` is `(C, H, W)`. It draws its weights
      from torch's global generator, which hplab seeds for each trial. If it has an argument
      `activation`, it is given what makes the trial's, to be called without arguments.
    - "optimizer": `make(params, lr=..., weight_decay=..., **arguments)` gives a
      `torch.optim.Optimizer`, as torch's own classes do; `params` are parameter groups. Without an
      argument `weight_decay`, trials cannot have one.
    - "schedule": `make(share, **arguments)` gives the factor on the trial's learning rate when that
      share of the run, from 0 to below 1, is done. The same share gives the same factor.
    - "loss": `make(logits, labels, **arguments)` gives one value an example: float32 `(N, C)` and
      int64 `(N,)` to `(N,)`.
    - "activation": `make(**arguments)` gives an `nn.Module`.
    - "data": `make(**arguments)` gives arrays or tensors: training images and labels, then test
      images and labels if there are any. Images are `(N, C, H, W)` or `(N, H, W)`, uint8, or such
      bytes over 255 as floats; labels are integers `(N,)` from 0. Or it gives a data set of torch
      or torchvision with an image and a label an example, or two (training, test): an
      `ImageFolder(folder, transform=Resize((64, 64)))` for one. Random transforms and Normalize
      stay out, since a trial does both itself. The content is part of a trial's key too. It is
      read, and refused if it is something else, when a trial is first trained. Only images can be
      given: for a table of features call a function of your own by `hp.sweep`.

    A data set of your own, for example:

        @hp.register("data")
        def stars():
            with np.load("stars.npz") as kept:  # uint8 (N, H, W), and integers (N,)
                return kept["images"], kept["labels"]

        hp.Trial(data="stars", split="holdout")     # a fifth is kept for validation

    What a component draws from torch's global generator while it trains is seeded for each trial.
    Trials with a loss or optimizer of your own train one by one. With a model of your own they
    train side by side if it is a plain `nn.Sequential` of layers that have a stacked form. Before
    training a line says which do, and why the others do not.

    The digest covers the source of `make` and what it uses, as it is when a trial is made: the
    functions and classes of the reader's own, defaults, and values (numbers, text, lists, arrays,
    objects); of installed packages the names and versions. A value that cannot be read gives a
    warning. A trial whose component has changed since is not trained.

    Args:
        kind: "model", "optimizer", "schedule", "loss", "activation" or "data".
        name: What trials call it; by default the name of the function.
        make: A function or class; left out where this is used as a decorator.
        version: Stands for what cannot be read: needed for a source, wanted for a value.
        replace: Whether another source may take the place of one registered under the same name.
            Trials made before cannot be trained any more; what is recorded stays.
        **arguments: Defaults: numbers, True or False, text, or lists of one of them, or an
            `hplab.catalogue.Arg`, which has bounds. A trial's value must have the type of the
            default: 0.0, not 0, for what may be 0.5. Of a model, an optimizer and a schedule,
            arguments with a default in the signature of `make` need not be repeated. The other
            kinds have no arguments in a trial: theirs are part of the digest.

    Returns:
        `make`; the decorator if there is none yet.

    Raises:
        HplabError: If the kind is unknown, the name taken, a default impossible, `make` cannot be
            called like that, or its source cannot be read and no version is given.
    """
    if kind not in catalogue.OPEN:
        raise unknown("kind of component", kind, catalogue.OPEN, "register")
    if callable(name):
        name, make = None, name
    if make is None:
        return lambda made: register(
            kind, name, made, version=version, replace=replace, **arguments
        )
    if not callable(make):
        raise HplabError(f"{kind} {name!r} must be a function or a class, got {make!r:.80}")
    name = str(name or getattr(make, "__name__", ""))
    what = f"{kind} {name!r}"
    if not re.fullmatch(r"[A-Za-z][\w-]*", name):
        raise HplabError(f"{what} needs a name of letters, digits, - and _, that starts with one")
    in_signature = _in_signature(kind, make) if kind in catalogue.WITH_ARGS else {}
    args = {k: _arg(f"{k} of {what}", v) for k, v in {**in_signature, **arguments}.items()}
    _check_call(kind, what, make, args)
    row = _Component(kind, name, make, args, version)
    _check_free(kind, name, what, row, replace)
    catalogue.table(kind)[name] = row
    return make


def check_code(code: Mapping[str, str]) -> None:
    """Raise HplabError unless this process has the components a trial was made with.

    Args:
        code: A trial's `code`.
    """
    for component, digest in code.items():
        kind, _, name = component.partition(":")
        here = catalogue.digest(kind, name)
        if not here:
            raise HplabError(
                f"{kind} {name!r} (source {digest}) is not known in this process; "
                "hp.register makes it known"
            )
        if here != digest:
            raise HplabError(
                f"the trial was made with {kind} {name!r} of source {digest}, and here it has "
                f"source {here}: its code, or a value that it uses, has changed; make the "
                "trial anew"
            )


def takes(make: Callable, name: str, *, loosely: bool = False) -> bool:
    """Return whether a function has an argument of that name, or (loosely) takes any."""
    found = _parameters(make)
    return name in found or (loosely and any(p.kind is p.VAR_KEYWORD for p in found.values()))


def to_send() -> tuple[bytes, dict[str, str]]:
    """Return the reader's components for another process (see `receive`).

    Functions of a notebook or a script go along as code, those of a module by its name.

    Returns:
        The components, and the reason for each, "kind:name", that cannot be sent.
    """
    sent, left = [], {}
    for kind in catalogue.OPEN:
        for name, row in catalogue.table(kind).items():
            if row.digest == catalogue.OURS:
                continue
            import cloudpickle  # needed only where there are such components

            try:
                sent.append((kind, name, cloudpickle.dumps(row)))
            except Exception as error:  # whatever an object raises that cannot be pickled
                left[f"{kind}:{name}"] = " ".join(str(error).split()) or type(error).__name__
    return pickle.dumps(sent), left


def receive(sent: bytes) -> None:
    """Make known what another process sent; say what cannot be had here."""
    for kind, name, row in pickle.loads(sent):
        try:
            catalogue.table(kind)[name] = pickle.loads(row)
        except Exception as error:  # a module that is not here, or whatever it raises
            print(f"{kind} {name!r} cannot be had in a worker: {error}", file=sys.stderr)


# ------------------------------------------------------------------------------- arguments


def _parameters(make: Callable) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(make).parameters
    except (TypeError, ValueError):  # some functions written in C
        return {}


def _in_signature(kind: str, make: Callable) -> dict[str, Any]:
    """Return the arguments that a trial may give, with their defaults."""
    given = (*_CALL[kind], *_GIVEN.get(kind, ()))
    return {
        name: parameter.default
        for name, parameter in _parameters(make).items()
        if name not in given and is_plain(parameter.default) and parameter.default is not None
    }


def _arg(what: str, default: Any) -> Arg:
    if isinstance(default, Arg):
        return default
    plain = list(default) if isinstance(default, tuple) else default
    one = plain[0] if isinstance(plain, list) and plain else plain
    if not isinstance(one, bool | int | float | str):
        raise HplabError(
            f"{what} needs a default that is a number, True, False, text or a list of one of "
            f"them, got {default!r:.80}"
        )
    arg = Arg(plain, low=-math.inf)
    return Arg(arg.checked(what, plain), low=-math.inf)


def _check_call(kind: str, what: str, make: Callable, args: Mapping[str, Arg]) -> None:
    if not (parameters := _parameters(make)):
        return
    given = [n for n in _GIVEN.get(kind, ()) if n in parameters or n == "lr"]
    keywords = dict.fromkeys((*given, *args))
    try:
        inspect.signature(make).bind(*_CALL[kind], **keywords)
    except TypeError as error:
        call = ", ".join([*_CALL[kind], *(f"{name}=..." for name in keywords)])
        raise HplabError(f"{what} cannot be called with ({call}): {error}") from error


def _check_free(kind: str, name: str, what: str, row: Row, replace: bool) -> None:
    here, now = catalogue.digest(kind, name), row.digest
    if here == catalogue.OURS:
        raise HplabError(f"{what} is hplab's own; choose another name")
    same = not here or (here, catalogue.args(kind, name)) == (now, row.args)
    if not same and not replace:
        raise HplabError(
            f"{what} is registered with another source or other defaults ({here}, now "
            f"{now}); choose another name, or replace it with replace=True"
        )


# ---------------------------------------------------------------------------------- source


class _Component(Row):
    """A row of the reader's own, whose digest is that of its code and values at this moment."""

    kind: str
    name: str
    version: str
    told: set[str]

    def __init__(self, kind: str, name: str, make: Any, args: Mapping[str, Arg], version: str):
        told: set[str] = set()
        for field, value in {
            "make": make, "args": args, "kind": kind, "name": name, "version": version, "told": told
        }.items():  # fmt: skip
            object.__setattr__(self, field, value)

    def __reduce__(self) -> tuple:
        """Another process has no source to read, so the digest of this moment goes along."""
        return Row, (self.make, self.args, self.digest)

    @property
    def digest(self) -> str:
        """16 hex digits that change with the code, the values it uses, and the version."""
        what = f"{self.kind} {self.name!r}"
        reading = Reading(self.make, arrays=self.kind != "data", strict=not self.version)
        try:
            parts = [reading.text(self.make, self.name)]
        except (OSError, SyntaxError) as error:
            raise HplabError(
                f"the source of {what} cannot be read ({error}); state what stands for it, and "
                'change it whenever the code changes: version="1"'
            ) from error
        new = sorted(set(reading.unknown) - self.told)
        if new and not self.version:
            self.told.update(new)
            warnings.warn(
                f"{what} uses {', '.join(new)}: the value cannot be read, so it is not in the key "
                'of a trial; state what stands for it with version="1"',
                stacklevel=2,
            )
        if self.kind not in catalogue.WITH_ARGS:
            parts.append(json.dumps({k: arg.default for k, arg in self.args.items()}))
        parts.append(f"version {self.version}")
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
