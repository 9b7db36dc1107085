"""Components of the reader's own: a model, an optimizer, a schedule, a loss, an activation, data.

A trial that names one holds the digest of its source, in its key and in its record: results of two
versions never mix, and a record says which it was made with.
"""

from __future__ import annotations

import ast
import builtins
import dis
import functools
import hashlib
import importlib.metadata
import inspect
import json
import linecache
import math
import pickle
import re
import sys
import types
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from hplab import catalogue
from hplab.catalogue import Arg, Row
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
    - "data": `make(**arguments)` gives a `Dataset`, or arrays or tensors: training images and
      labels, then test images and labels if there are any. Images are uint8 `(N, C, H, W)` or
      `(N, H, W)`, labels integers `(N,)` from 0. Its content is part of a trial's key too.

    What any of them draws from torch's global generator while it trains is seeded for each trial.
    Trials with a loss or optimizer of your own train one by one, with a model of your own as long
    as a layer of it has no stacked form.

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
        if name not in given and _is_plain(parameter.default) and parameter.default is not None
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
        reading = _Reading(self.make, arrays=self.kind != "data", strict=not self.version)
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


class _Reading:
    """Writes a component as text: its functions by their source, what they use by its value.

    Nothing of the reader's is called. Code of an installed package is its name and version.

    Args:
        make: The component.
        arrays: Whether arrays count; the content of a data set is in a trial's key already.
        strict: Whether a function without a source is an error.

    Attributes:
        unknown: Where a value is that cannot be read, and its type.
    """

    def __init__(self, make: Any, *, arrays: bool = True, strict: bool = True) -> None:
        self.make, self.arrays, self.strict = make, arrays, strict
        self.unknown: list[str] = []
        self.seen: dict[int, tuple[int, Any]] = {}  # holds what it names, so that no id comes again
        self.within: set[int] = set()

    def text(self, value: Any, where: str, names: frozenset[str] = frozenset()) -> str:
        """Return a text that is equal for equal values.

        Args:
            value: Anything.
            where: What to call it if it cannot be read.
            names: The attributes that the code which uses it names, if it is a module.
        """
        if type(value) in _PLAIN:
            return repr(value)
        if id(value) in self.within:
            return "itself"
        if isinstance(value, types.CodeType):
            return self._all(
                [value.co_code, value.co_names, value.co_varnames, value.co_consts], where
            )
        if type(value) in (tuple, list, dict, set, frozenset, types.MappingProxyType):
            self.within.add(id(value))
            found = f"{type(value).__name__} {self._contents(value, where)}"
            self.within.remove(id(value))
            return found
        if (array := _array(value)) is not None:
            return array if self.arrays else "array"
        if isinstance(value, types.ModuleType):
            return self._module(value, where, names)
        if id(value) in self.seen:
            return f"again {self.seen[id(value)][0]}"
        self.seen[id(value)] = len(self.seen), value
        for kind, attributes in _PARTS.items():
            if isinstance(value, kind):
                parts = [getattr(value, name, None) for name in attributes]
                return f"{kind.__name__} {self._all(parts, where)}"
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if isinstance(value, type):
            return self._class(value)
        return self._instance(value, where)

    def _all(self, values: Iterable[Any], where: str) -> str:
        return f"[{', '.join(self.text(value, where) for value in values)}]"

    def _contents(self, value: Any, where: str) -> str:
        if isinstance(value, dict | types.MappingProxyType):
            found = [
                f"{self.text(k, where)}: {self.text(v, f'{where}[{k!r:.20}]')}"
                for k, v in dict.items(dict(value))
            ]
            return f"{{{', '.join(found)}}}"
        if not isinstance(value, set | frozenset):
            return self._all(value, where)
        seen, found = dict(self.seen), []
        for one in value:  # in an order that differs from process to process
            self.seen = dict(seen)
            found.append(self.text(one, where))
        self.seen = seen
        return str(sorted(found))

    def _function(self, function: types.FunctionType) -> str:
        module = function.__globals__.get("__name__") or "__main__"
        parts = [f"function {function.__qualname__}"]
        if _is_installed(module):  # but what it wraps may be the reader's
            parts = [f"function {module}.{function.__qualname__} {_version(module)}"]
        else:
            parts.append(self._source(function))
            for defaults in (function.__defaults__, function.__kwdefaults__):
                parts.append(self.text(defaults, f"a default of {function.__name__}"))
            names, loads = _names(function.__code__)
            for name in sorted(loads):
                parts.append(f"{name} = {self._global(function, name, names)}")
        free = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        for name, cell in free:
            try:
                held = cell.cell_contents
            except ValueError:  # not filled yet
                continue
            if name != "__class__":
                parts.append(f"{name} = {self.text(held, name)}")
        parts.append(self.text(vars(function), f"an attribute of {function.__name__}"))
        return "\n".join(parts)

    def _source(self, function: types.FunctionType) -> str:
        if function.__code__.co_filename == "<string>" and "." in function.__qualname__:
            return self.text(function.__code__, "code")  # a method that a data class was given
        try:
            return _text(function.__code__, _lines(function))
        except (OSError, SyntaxError):
            if self.strict:
                raise
            return "unread"

    def _global(self, function: types.FunctionType, name: str, names: frozenset[str]) -> str:
        space, make = function.__globals__, self.make
        top_level = name == getattr(make, "__name__", "") == getattr(make, "__qualname__", "")
        if top_level and space.get("__name__") == make.__module__:
            return "itself"  # a decorator comes before the name is there
        if name not in space:
            return "builtin" if hasattr(builtins, name) else "not there"
        return self.text(space[name], name, names)

    def _module(self, module: types.ModuleType, where: str, names: frozenset[str]) -> str:
        if _is_installed(module.__name__):
            return f"module {module.__name__} {_version(module.__name__)}"
        if id(module) in self.within:
            return "itself"
        self.within.add(id(module))
        used = sorted(names & vars(module).keys())
        found = [f"{n} = {self.text(vars(module)[n], f'{where}.{n}', names)}" for n in used]
        self.within.remove(id(module))
        return f"module {module.__name__} {found}"

    def _class(self, made: type) -> str:
        name = f"class {made.__qualname__}"
        if _is_installed(made.__module__):
            return f"{name} of {made.__module__} {_version(made.__module__)}"
        members = {k: v for k, v in vars(made).items() if k not in _LEFT_OUT}
        parts = [name, self._all(made.__bases__, name)]
        parts += [f"{k} = {self.text(members[k], f'{made.__name__}.{k}')}" for k in sorted(members)]
        return "\n".join(parts)

    def _instance(self, value: Any, where: str) -> str:
        """Return an instance by its class and state; one of a package's as that would pickle it."""
        made = type(value)
        if not _is_installed(made.__module__):
            slots = {
                k: member.__get__(value)
                for one in made.__mro__
                for k, member in vars(one).items()
                if isinstance(member, types.MemberDescriptorType) and hasattr(value, k)
            }
            state = {**slots, **getattr(value, "__dict__", {})}
            bases: tuple[Callable, ...] = (dict, list, tuple, set, frozenset, str, int, float)
            state |= {b.__name__: b(value) for b in bases if isinstance(value, cast(type, b))}
            of = [f"{k} = {self.text(v, f'{where}.{k}')}" for k, v in state.items()]
            return "\n".join([self.text(made, where), *of])
        try:
            reduced = value.__reduce_ex__(4)
        except Exception:  # whatever an object raises that cannot be pickled
            self.unknown.append(f"{where} ({made.__name__})")
            return f"unread {made.__name__}"
        if isinstance(reduced, str):
            return f"{made.__module__}.{reduced} {_version(made.__module__)}"
        parts = [*reduced[:3], *(list(more) for more in reduced[3:5] if more is not None)]
        return f"{made.__name__} {self._all(parts, where)}"


_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(...), type(NotImplemented))
_PARTS: dict[type, tuple[str, ...]] = {
    functools.partial: ("func", "args", "keywords"),
    functools.partialmethod: ("func", "args", "keywords"),
    type(functools.cache(repr)): ("__wrapped__",),
    types.MethodType: ("__func__", "__self__"),
    types.BuiltinFunctionType: ("__name__", "__self__"),
    types.MemberDescriptorType: ("__name__",),
    types.GetSetDescriptorType: ("__name__",),
    staticmethod: ("__func__",),
    classmethod: ("__func__",),
    property: ("fget", "fset", "fdel"),
    functools.cached_property: ("func",),
}
_LEFT_OUT = (  # what Python notes in a class by itself
    *("__dict__", "__weakref__", "__module__", "__doc__", "__qualname__", "__annotations__"),
    *("__firstlineno__", "__static_attributes__", "__orig_bases__", "__parameters__"),
    *("__abstractmethods__", "_abc_impl", "__dataclass_fields__", "__dataclass_params__"),
)


def _array(value: Any) -> str | None:
    """Return an array, a tensor or a NumPy number as text; None if it is none of them."""
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    kind, more = type(value).__name__, ""
    if torch and isinstance(value, torch.Tensor):
        if value.layout is not torch.strided or value.is_quantized:
            return None
        kind, more = str(value.dtype), f"{value.requires_grad}"
        flat = value.detach().cpu().contiguous().reshape(-1)
        content, shape = flat.view(torch.uint8).numpy().tobytes(), tuple(value.shape)
    elif numpy and isinstance(value, numpy.ndarray | numpy.generic) and not value.dtype.hasobject:
        content, shape, more = value.tobytes(), value.shape, str(value.dtype)
    else:
        return None
    return f"array {kind} {more} {shape} {hashlib.sha256(content).hexdigest()}"


@functools.cache
def _is_installed(module: str | None) -> bool:
    """Return whether a module is Python's, hplab's or an installed package's, not the reader's."""
    top = (module or "builtins").partition(".")[0]
    if top in ("__main__", "__mp_main__"):
        return False
    if top == "hplab" or top in sys.stdlib_module_names or top.startswith("_cython_"):
        return True
    file = getattr(sys.modules.get(top), "__file__", None) or ""
    return "site-packages" in file or "dist-packages" in file


@functools.cache
def _version(module: str | None) -> str:
    """Return the version of what holds an installed module, without its build ("+cpu").

    hplab's is left out: it counts the changes of its results itself.
    """
    top = (module or "builtins").partition(".")[0]
    if top == "hplab":
        return ""
    if top in sys.stdlib_module_names:
        return "{}.{}".format(*sys.version_info)
    stated = getattr(sys.modules.get(top), "__version__", None)
    if not isinstance(stated, str):
        known = importlib.metadata.packages_distributions().get(top)
        stated = importlib.metadata.version(known[0]) if known else ""
    return str(stated).partition("+")[0]


def _lines(function: types.FunctionType) -> str:
    return "".join(linecache.getlines(function.__code__.co_filename, function.__globals__))


@functools.lru_cache(64)
def _parsed(source: str) -> ast.AST:
    return ast.parse(source)


@functools.lru_cache(1024)
def _text(code: types.CodeType, source: str) -> str:
    """Return the text of a definition, without the decorator that registers it."""
    nodes = [n for n in ast.walk(_parsed(source)) if _is_definition(n, code)]
    if len(nodes) != 1:
        raise OSError("it is not in a file or a cell of a notebook, or another is on its line")
    decorators = getattr(nodes[0], "decorator_list", [])
    texts = [ast.get_source_segment(source, node) for node in [*decorators, nodes[0]]]
    return "\n".join(text for text in texts if text and ".register(" not in text.split("\n")[0])


def _is_definition(node: ast.AST, code: types.CodeType) -> bool:
    if isinstance(node, ast.Lambda):
        return code.co_name == "<lambda>" and node.lineno == code.co_firstlineno
    if not isinstance(node, ast.FunctionDef) or node.name != code.co_name:
        return False
    return min([node.lineno, *(d.lineno for d in node.decorator_list)]) == code.co_firstlineno


@functools.lru_cache(1024)
def _names(code: types.CodeType) -> tuple[frozenset[str], frozenset[str]]:
    """Return all names in a function and in those within it, and those read from outside."""
    codes = [code]
    for one in codes:  # which grows
        codes += [value for value in one.co_consts if isinstance(value, types.CodeType)]
    opened = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
    loads = {i.argval for c in codes for i in dis.get_instructions(c) if i.opname in opened}
    return frozenset(name for c in codes for name in c.co_names), frozenset(loads) - _IN_CLASSES


_IN_CLASSES = frozenset({"__name__", "__qualname__", "__module__"})


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)
