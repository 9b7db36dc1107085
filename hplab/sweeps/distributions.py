"""The distributions that a sweep file may name, each by its inverse CDF.

A point of a search is a point of the unit cube, and each parameter turns its coordinate into a
value by the inverse of its cumulative distribution function. So random points, Sobol's and Halton's
share one code, and so do the proposals of a Bayesian search.

Names, arguments and meaning are those of W&B (its documentation: "Sweep configuration options"). A
name that begins with "q_" rounds to multiples of `q`: round(X / q) * q, which may lie beyond `min`
or `max` by at most half of `q`. "log_uniform" and "inv_log_uniform" take exponents of e; the names
that end in "_values" take the values themselves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from scipy import special

from hplab.errors import unknown

Arguments = Mapping[str, Any]

EDGE = 2.0**-53  # coordinates are kept this far from 0 and 1, where a normal value is infinite


class Kind(NamedTuple):
    """How values are made of a coordinate, and what that takes.

    Attributes:
        ppf: The inverse CDF: from a coordinate and the arguments to a value.
        needs: Arguments that must be given.
        defaults: Arguments that may be given.
    """

    ppf: Callable[[float, Arguments], Any]
    needs: tuple[str, ...] = ()
    defaults: Arguments = MappingProxyType({})


class Distribution(NamedTuple):
    """A distribution with its arguments, as `of` checked them."""

    name: str
    args: Arguments

    def value(self, u: float) -> Any:
        """Return the value at a coordinate.

        Args:
            u: From 0 to 1: the share of the distribution that lies below.
        """
        return KINDS[self.name].ppf(min(max(float(u), EDGE), 1 - EDGE), self.args)

    def values(self) -> list[Any] | None:
        """Return all values there are, in order; None where they cannot be gone through."""
        a = self.args
        if self.name == "constant":
            return [a["value"]]
        if self.name in _LISTED:
            return list(a["values"])
        if self.name == "int_uniform":
            return list(range(a["min"], a["max"] + 1))
        if self.name == "q_uniform":
            q = a["q"]
            return [_times(k, q) for k in range(round(a["min"] / q), round(a["max"] / q) + 1)]
        return None

    @property
    def is_constant(self) -> bool:
        """Whether there is one value only, so that no coordinate is needed."""
        return self.name == "constant"

    @property
    def is_logarithmic(self) -> bool:
        """Whether the logarithm of its values is drawn, so that they belong on such an axis."""
        return "log_" in self.name

    @property
    def is_unordered(self) -> bool:
        """Whether values stand in a list, so that neighbours need not be alike."""
        return self.name in _LISTED


class Fault(NamedTuple):
    """What is wrong with a parameter, and at which of its keys ("" for all of it)."""

    key: str
    message: str


def of(given: Arguments) -> Distribution | Fault:
    """Return the distribution that a parameter's keys describe, or what is wrong with them.

    Without `distribution`, `value` makes a constant, `values` a list, whole `min` and `max` a range
    of whole numbers, and others a uniform distribution.
    """
    name = given.get("distribution") or _implied(given)
    if name is None:
        return Fault("", "says neither value, values, min and max, nor distribution")
    if not isinstance(name, str) or name not in KINDS:
        return Fault("distribution", str(unknown("distribution", name, KINDS)))
    if name == "categorical" and "probabilities" in given:
        name = "categorical_w_probabilities"
    kind = KINDS[name]
    takes = (*kind.needs, *kind.defaults)
    for key in given:
        if key not in (*takes, "distribution"):
            return Fault(key, f"{name} takes {_listed(takes)}, not {key}")
    for key in kind.needs:
        if key not in given:
            return Fault("", f"{name} needs {_listed(kind.needs)}, and {key} is missing")
    args = {**kind.defaults, **{key: given[key] for key in takes if key in given}}
    return _wrong(name, args) or Distribution(name, args)


def _implied(given: Arguments) -> str | None:
    if "value" in given:
        return "constant"
    if "values" in given:
        return "categorical"
    if "min" in given or "max" in given:
        is_whole = all(_is_whole(given.get(key, 0)) for key in ("min", "max"))
        return "int_uniform" if is_whole else "uniform"
    return None


def _wrong(name: str, args: Arguments) -> Fault | None:
    """Return the first argument that is impossible."""
    for key in ("min", "max", "mu", "sigma", "q", "a", "b"):
        if key in args and not _is_number(args[key]):
            return Fault(key, f"{key} must be a number, got {args[key]!r}")
    for key in ("sigma", "q", "a", "b"):
        if key in args and args[key] <= 0:
            return Fault(key, f"{key} must be above 0, got {args[key]}")
    if name == "int_uniform":
        for key in ("min", "max"):
            if not _is_whole(args[key]):
                return Fault(
                    key,
                    f"int_uniform needs whole numbers, got {args[key]}; uniform takes fractions",
                )
    if "min" in args and args["min"] > args["max"]:
        return Fault("min", f"min {args['min']} is above max {args['max']}")
    if name.endswith("_values") and args["min"] <= 0:
        return Fault("min", f"{name} needs a min above 0, got {args['min']}")
    if name.endswith("log_uniform") and max(abs(args["min"]), abs(args["max"])) > 700:
        return Fault("max", f"{name} takes exponents of e, from -700 to 700")
    return _wrong_list(args)


def _wrong_list(args: Arguments) -> Fault | None:
    values, chances = args.get("values"), args.get("probabilities")
    if values is None:
        return None
    if not isinstance(values, Sequence) or isinstance(values, str) or not values:
        return Fault("values", f"values must be a list with something in it, got {values!r}")
    if chances is None:
        return None
    if not isinstance(chances, Sequence) or isinstance(chances, str):
        return Fault("probabilities", f"probabilities must be a list of numbers, got {chances!r}")
    if len(chances) != len(values):
        return Fault("probabilities", f"{len(values)} values have {len(chances)} probabilities")
    if not all(_is_number(p) and p >= 0 for p in chances):
        return Fault("probabilities", "probabilities must be numbers from 0")
    if not math.isclose(sum(chances), 1, abs_tol=1e-6):
        return Fault("probabilities", f"probabilities must sum to 1, not {sum(chances):g}")
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + " and " * (len(names) > 1) + names[-1]


# --------------------------------------------------------------------------- inverse CDFs


def _uniform(u: float, a: Arguments) -> float:
    return a["min"] + u * (a["max"] - a["min"])


def _int_uniform(u: float, a: Arguments) -> int:
    return a["min"] + min(int(u * (a["max"] - a["min"] + 1)), a["max"] - a["min"])


def _log_uniform(u: float, a: Arguments) -> float:
    return math.exp(_uniform(u, a))


def _log_uniform_values(u: float, a: Arguments) -> float:
    found = math.exp(_uniform(u, {key: math.log(a[key]) for key in ("min", "max")}))
    return min(max(found, a["min"]), a["max"])  # the last digit may be off


def _inv_log_uniform(u: float, a: Arguments) -> float:
    """X, where log(1/X) is uniform from min to max: from exp(-max) up to exp(-min)."""
    return math.exp(-_uniform(1 - u, a))


def _normal(u: float, a: Arguments) -> float:
    return a["mu"] + a["sigma"] * float(special.ndtri(u))


def _log_normal(u: float, a: Arguments) -> float:
    return math.exp(_normal(u, a))


def _beta(u: float, a: Arguments) -> float:
    return float(special.betaincinv(a["a"], a["b"], u))


def _categorical(u: float, a: Arguments) -> Any:
    return a["values"][min(int(u * len(a["values"])), len(a["values"]) - 1)]


def _weighted(u: float, a: Arguments) -> Any:
    chances = np.asarray(a["probabilities"], float)
    i = int(np.searchsorted(np.cumsum(chances), u * chances.sum(), side="right"))
    return a["values"][min(i, int(np.flatnonzero(chances)[-1]))]


def _rounded(ppf: Callable[[float, Arguments], float]) -> Callable[[float, Arguments], float]:
    return lambda u, a: _times(round(ppf(u, a) / a["q"]), a["q"])


def _times(k: int, q: float) -> float:
    """Return k * q without the digits that binary fractions add: 3 * 0.1 is 0.3."""
    return k * q if _is_whole(q) else float(f"{k * q:.12g}")


_BOUNDS = ("min", "max")
_BELL = {"mu": 0.0, "sigma": 1.0}
_STEP = {"q": 1}
_SHAPE = {"a": 1.0, "b": 1.0}
_LISTED = ("categorical", "categorical_w_probabilities")

KINDS = {
    "constant": Kind(lambda u, a: a["value"], ("value",)),
    "categorical": Kind(_categorical, ("values",)),
    "categorical_w_probabilities": Kind(_weighted, ("values", "probabilities")),
    "int_uniform": Kind(_int_uniform, _BOUNDS),
    "uniform": Kind(_uniform, _BOUNDS),
    "q_uniform": Kind(_rounded(_uniform), _BOUNDS, _STEP),
    "log_uniform": Kind(_log_uniform, _BOUNDS),
    "log_uniform_values": Kind(_log_uniform_values, _BOUNDS),
    "q_log_uniform": Kind(_rounded(_log_uniform), _BOUNDS, _STEP),
    "q_log_uniform_values": Kind(_rounded(_log_uniform_values), _BOUNDS, _STEP),
    "inv_log_uniform": Kind(_inv_log_uniform, _BOUNDS),
    "inv_log_uniform_values": Kind(_log_uniform_values, _BOUNDS),  # of 1/X as of X: the same
    "normal": Kind(_normal, (), _BELL),
    "q_normal": Kind(_rounded(_normal), (), {**_BELL, **_STEP}),
    "log_normal": Kind(_log_normal, (), _BELL),
    "q_log_normal": Kind(_rounded(_log_normal), (), {**_BELL, **_STEP}),
    "beta": Kind(_beta, (), _SHAPE),
    "q_beta": Kind(_rounded(_beta), (), {**_SHAPE, **_STEP}),
}
