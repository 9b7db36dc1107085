"""The digest of what a reader wrote: its source, and the values that it uses."""

from __future__ import annotations

import ast
import builtins
import dis
import functools
import hashlib
import importlib.metadata
import linecache
import sys
import types
from collections.abc import Callable, Iterable
from typing import Any, cast


class Reading:
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
        if is_installed(module):  # but what it wraps may be the reader's
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
        if is_installed(module.__name__):
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
        if is_installed(made.__module__):
            return f"{name} of {made.__module__} {_version(made.__module__)}"
        members = {k: v for k, v in vars(made).items() if k not in _LEFT_OUT}
        members = {k: _unhooked(v) for k, v in members.items() if not _is_hook_alone(made, k)}
        parts = [name, self._all(made.__bases__, name)]
        parts += [f"{k} = {self.text(members[k], f'{made.__name__}.{k}')}" for k in sorted(members)]
        return "\n".join(parts)

    def _instance(self, value: Any, where: str) -> str:
        """Return an instance by its class and state; one of a package's as that would pickle it."""
        made = type(value)
        if not is_installed(made.__module__):
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


_LEFT_OUT = (  # what Python notes in a class by itself
    *("__dict__", "__weakref__", "__module__", "__doc__", "__qualname__", "__annotations__"),
    *("__firstlineno__", "__static_attributes__", "__orig_bases__", "__parameters__"),
    *("__abstractmethods__", "_abc_impl", "__dataclass_fields__", "__dataclass_params__"),
)


def _unhooked(member: Any) -> Any:
    """Return a method as it was written: torch wraps `step` of an optimizer's class when the first
    of it is made.
    """
    return member.__wrapped__ if getattr(member, "hooked", False) else member


def _is_hook_alone(made: type, name: str) -> bool:
    """Return whether a member is but a wrap that torch put round a method of a base class."""
    member = vars(made)[name]
    plain = _unhooked(member)
    above = (vars(base).get(name) for base in made.__mro__[1:])
    return plain is not member and any(plain is _unhooked(one) for one in above)


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
def is_installed(module: str | None) -> bool:
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


def is_plain(value: Any) -> bool:
    """Return whether a value is a number, text, None, or a list of such, as arguments are."""
    if isinstance(value, tuple | list):
        return all(map(is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)


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
