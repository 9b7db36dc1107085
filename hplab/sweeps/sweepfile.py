"""Sweep files: W&B's own YAML, read and checked, every fault with its line.

    program: train.py
    method: random
    metric: {name: val_loss, goal: minimize}
    parameters:
      lr: {distribution: log_uniform_values, min: 0.0001, max: 0.1}
      batch_size: {values: [16, 64]}
    run_cap: 20

The keys are those of W&B ("Sweep configuration options" of its documentation, and the JSON schema
of its package `sweeps`). What needs W&B's own servers is refused, each with its reason. Beyond them
there are the methods sobol and halton, and early stopping by the median.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hplab.errors import HplabError, unknown
from hplab.sweeps import distributions
from hplab.sweeps.distributions import Distribution, Fault
from hplab.sweeps.points import SEED, TAKEN, plain
from hplab.sweeps.records import shown
from hplab.sweeps.stopping import Rule
from hplab.sweeps.yamllines import Item, Lines
from hplab.trial import canonical

METHODS = ("grid", "random", "bayes", "sobol", "halton")
GOALS = ("minimize", "maximize")
MOST_VALUES = 1_000_000  # of one parameter of a grid

_IMPUTE = ("worst", "best")  # of the finished runs
_LAUNCH = (
    "is of W&B Launch, which starts jobs elsewhere; here the program is a script: program: FILE"
)
_REFUSED = {  # keys of W&B that have no meaning here
    "job": _LAUNCH,
    "image_uri": _LAUNCH,
    "scheduler": "is a program of W&B's that chooses the points; here the method does: "
    + ", ".join(METHODS),
    "metrics": "are several goals at once, for W&B's method custom; name the one that counts: "
    "metric: {name: ..., goal: minimize}",
}
_CUSTOM = (
    f"custom leaves the points to a scheduler of W&B's; here it is one of {', '.join(METHODS)}"
)
# These say where W&B keeps a sweep and what it is called there; no result depends on them.
_UNUSED = ("name", "description", "project", "entity", "controller", "apiVersion", "kind")
_KEYS = (
    *("program", "command", "method", "metric", "parameters", "early_terminate", "run_cap"),
    *_UNUSED,
)
_PARAMETER = (
    *("value", "values", "probabilities", "distribution", "min", "max", "mu", "sigma", "q"),
    *("a", "b", "parameters"),
)
_METRIC = ("name", "goal", "target", "impute", "impute_while_running")
_STOPPING = {
    "hyperband": ("type", "min_iter", "max_iter", "s", "eta", "strict"),
    "median": ("type", "min_iter", "min_runs"),
}
_MACRO = re.compile(r"\$\{([^}]*)\}")
MACROS = (
    *("env", "interpreter", "program", "args", "args_no_hyphens", "args_no_boolean_flags"),
    *("args_json", "args_json_file"),
)
_ENVVAR = "envvar:"  # ${envvar:NAME} is the value of an environment variable
COMMAND = ("${env}", "${interpreter}", "${program}", "${args}")


@dataclasses.dataclass(frozen=True)
class SweepFile:
    """What a sweep file asks for.

    Attributes:
        path: The file.
        method: One of `METHODS`.
        parameters: Name to distribution, in the order of the file. Nested parameters have the names
            of all levels, with points between: "optimizer.lr".
        metric: The name of the metric; "" if none is named.
        goal: One of `GOALS`.
        target: The value of the metric at which no more runs are begun, if any.
        impute: What a Bayesian search takes for the metric of a run that failed: the "worst" or the
            "best" of the finished ones; "" leaves it out.
        rule: When a run is stopped early, if at all.
        run_cap: Points at most, if said.
        program: What is run; "" if `command` says all.
        command: The command, with `${...}` in it; empty if the file has none.
        lines: Key to line, for what is found out later.
        notes: What the reader should know, a sentence each.
    """

    path: Path
    method: str
    parameters: dict[str, Distribution]
    metric: str = ""
    goal: str = "minimize"
    target: float | None = None
    impute: str = ""
    rule: Rule | None = None
    run_cap: int | None = None
    program: str = ""
    command: tuple[str, ...] = ()
    lines: dict[str, int] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def error(self, key: str, message: str) -> HplabError:
        """Return the error that names the line of a key."""
        line = f":{self.lines[key]}" if key in self.lines else ""
        return HplabError(f"{shown(self.path)}{line}: {message}")


def read(path: Path) -> SweepFile:
    """Read and check a sweep file.

    Raises:
        HplabError: If something is wrong with it: one line saying what, where, and what is allowed.
    """
    lines = Lines(path)
    for key, item in lines.top.value.items():
        if key in _REFUSED:
            raise lines.error(item, f"{key} {_REFUSED[key]}")
    top = lines.mapping(lines.top, "a sweep file", _KEYS)
    for key in ("method", "parameters"):
        if key not in top:
            allowed = f"; it is one of {', '.join(METHODS)}" if key == "method" else ""
            raise HplabError(f"{shown(path)}: the key {key!r} is missing{allowed}")
    if top["method"].value == "custom":
        raise lines.error(top["method"], _CUSTOM)
    method = lines.text(top["method"], "method", METHODS)
    at = {key: item.line for key, item in top.items()}
    parameters: dict[str, Distribution] = {}
    notes: list[str] = []
    for name, item in _flat(lines, top["parameters"]):
        parameters[name] = _parameter(lines, name, item, method)
        at[f"parameters.{name}"] = item.line
        notes += _exponents(name, parameters[name])
    found: dict[str, Any] = _metric(lines, top["metric"], at) if "metric" in top else {}
    if "impute" in found and method != "bayes":
        notes.append(f"metric.impute is for bayes: {method} does not look at results")
    if "early_terminate" in top:
        found["rule"] = _rule(lines, top["early_terminate"], found)
    if "run_cap" in top:
        found["run_cap"] = lines.number(top["run_cap"], "run_cap", low=1, whole=True)
    if method == "bayes" and not found.get("metric"):
        raise lines.error(top["method"], "bayes needs a metric: {name: ..., goal: minimize}")
    if "program" in top:
        found["program"] = lines.text(top["program"], "program")
    if "command" in top:
        found["command"] = _command(lines, top["command"], "program" in top)
    if not {"program", "command"} & top.keys():
        raise HplabError(
            f"{shown(path)}: the key 'program' is missing: a script, or module:function"
        )
    return SweepFile(path, method, parameters, **found, lines=at, notes=tuple(notes))


# ------------------------------------------------------------------------------ parameters


def _flat(lines: Lines, item: Item, front: str = "") -> Iterator[tuple[str, Item]]:
    """Yield each parameter with its full name."""
    name = front.rstrip(".") or "parameters"
    given = lines.mapping(item, name)
    if not given:
        raise lines.error(item, f"{name} holds no parameter")
    for key, inner in given.items():
        full = f"{front}{key}"
        if not front and key in TAKEN:
            raise lines.error(
                inner,
                f"a parameter cannot be called {key!r}: the table of runs has a column so called",
            )
        if isinstance(inner.value, list):
            raise lines.error(inner, f"{full}: write {{values: [...]}} around a list")
        if not isinstance(inner.value, dict):
            raise lines.error(inner, f"{full}: write {{value: {inner.value}}}")
        lines.mapping(inner, full, _PARAMETER)
        if "parameters" not in inner.value:
            yield full, inner
            continue
        if len(inner.value) > 1:
            other = next(key for key in inner.value if key != "parameters")
            raise lines.error(
                inner.value[other], f"{full} has parameters of its own, so it takes no {other}"
            )
        yield from _flat(lines, inner.value["parameters"], f"{full}.")


def _parameter(lines: Lines, name: str, item: Item, method: str) -> Distribution:
    for key, inner in item.value.items():
        lines.refuse_text_for_a_number(inner, f"{name}.{key}" if key != "values" else name)
    given = {key: inner.plain() for key, inner in item.value.items()}
    for key in {"value", "values"} & given.keys():
        given[key] = _settings(lines, name, item.value[key], is_list=key == "values")
    found = distributions.of(given)
    if isinstance(found, Fault):
        raise lines.error(item.value.get(found.key, item), f"{name}: {found.message}")
    if name == SEED:
        _check_seeds(lines, item, found)
    if method == "grid":
        _check_grid(lines, name, item, found)
    return found


def _settings(lines: Lines, name: str, item: Item, *, is_list: bool) -> Any:
    """Return a setting, or a list of them, with lists in it as tuples."""
    if is_list and not isinstance(item.value, list):
        raise lines.error(item, f"{name}: values must be a list, got {item.plain()!r:.60}")
    found = []
    for one in item.value if is_list else [item]:
        try:
            found.append(plain(_tuples(one.plain()), name))
        except HplabError:
            raise lines.error(
                one,
                f"{name}: a value is a number, text, true, false, null or a list of these, got a "
                f"{type(one.plain()).__name__} ({one.plain()!s:.40})",
            ) from None
    return found if is_list else found[0]


def _tuples(value: Any) -> Any:
    return tuple(_tuples(one) for one in value) if isinstance(value, list) else value


def _check_seeds(lines: Lines, item: Item, found: Distribution) -> None:
    ends = [found.args[key] for key in ("min", "max") if key in found.args]
    for value in ends or found.values() or [0.5]:
        if type(value) is not int or value < 0:
            raise lines.error(
                item,
                f"seed: seeds are whole numbers from 0: value, values or min and max; {value!r}",
            )


def _check_grid(lines: Lines, name: str, item: Item, found: Distribution) -> None:
    """Refuse what a grid cannot go through, and what it would go through twice."""
    args = found.args
    if "max" in args and (args["max"] - args["min"]) / args.get("q", 1) >= MOST_VALUES:
        raise lines.error(item, f"{name}: a grid of more than {MOST_VALUES:,} values")
    values = found.values()
    if values is None:
        raise lines.error(
            item.value.get("distribution", item),
            f"{name}: a grid cannot go through {found.name}: it takes value, values, int_uniform "
            "and q_uniform; or choose the method random",
        )
    seen: set[str] = set()
    for i, value in enumerate(values):
        if (text := canonical(value)) in seen:
            where = item.value["values"].value[i] if "values" in item.value else item
            raise lines.error(where, f"{name}: {value!r} is twice in the grid")
        seen.add(text)


def _exponents(name: str, found: Distribution) -> list[str]:
    """Say so where bounds that look like values are taken as exponents, as W&B does."""
    if not found.name.endswith("log_uniform") or found.args["min"] < 0 or found.args["max"] > 1:
        return []
    low, high = (math.exp(found.args[key]) for key in ("min", "max"))
    if found.name.startswith("inv"):
        low, high = 1 / high, 1 / low
    return [
        f"{name}: {found.name} takes exponents of e, so its values go from {low:.4g} to "
        f"{high:.4g}; {found.name}_values takes the values themselves"
    ]


# ------------------------------------------------------------------------------- the rest


def _metric(lines: Lines, item: Item, at: dict[str, int]) -> dict[str, Any]:
    given = lines.mapping(item, "metric", _METRIC)
    if "name" not in given:
        raise lines.error(item, "metric needs a name")
    at["metric.name"] = given["name"].line
    found: dict[str, Any] = {"metric": lines.text(given["name"], "metric.name")}
    if "goal" in given:
        found["goal"] = lines.text(given["goal"], "goal", GOALS)
    if "target" in given:
        found["target"] = lines.number(given["target"], "metric.target")
    if "impute" in given:
        if given["impute"].value == "latest":
            why = "what a run had logged before it failed is not kept: say worst or best"
            raise lines.error(given["impute"], f"metric.impute latest: {why}")
        found["impute"] = lines.text(given["impute"], "metric.impute", _IMPUTE)
    if "impute_while_running" in given and given["impute_while_running"].value is not False:
        allowed = ("false", "latest", "best", "worst")  # no run goes on while a point is chosen
        lines.text(given["impute_while_running"], "metric.impute_while_running", allowed)
    return found


def _rule(lines: Lines, item: Item, found: dict[str, Any]) -> Rule:
    given = lines.mapping(item, "early_terminate")
    if "type" not in given:
        raise lines.error(item, f"early_terminate needs a type: {' or '.join(_STOPPING)}")
    kind = lines.text(given["type"], "type of early_terminate", _STOPPING)
    lines.mapping(item, f"early_terminate of type {kind}", _STOPPING[kind])
    if not found.get("metric"):
        raise lines.error(item, "early_terminate needs a metric: {name: ..., goal: minimize}")
    args: dict[str, Any] = {}
    for key in ("min_iter", "max_iter", "s", "min_runs"):
        if key in given:
            args[key] = lines.number(given[key], f"early_terminate.{key}", low=1, whole=True)
    if "eta" in given:
        args["eta"] = lines.number(given["eta"], "early_terminate.eta", low=1)
        if args["eta"] == 1:
            raise lines.error(given["eta"], "early_terminate.eta must be above 1, got 1")
    if "strict" in given:
        args["strict"] = given["strict"].value
        if type(args["strict"]) is not bool:
            got = given["strict"].plain()
            raise lines.error(
                given["strict"], f"early_terminate.strict is true or false, got {got!r}"
            )
    if kind == "hyperband" and not {"min_iter", "max_iter"} & args.keys():
        raise lines.error(item, "hyperband needs min_iter, or max_iter and s")
    if "max_iter" in args and "s" not in args:
        raise lines.error(given["max_iter"], "max_iter needs s, the number of brackets")
    if "s" in args and "max_iter" not in args:
        raise lines.error(given["s"], "s belongs to max_iter; with min_iter there is no end")
    rule = Rule(kind, found["metric"], found.get("goal") == "maximize", **args)
    if kind == "hyperband" and not rule.rungs(1):
        raise lines.error(item, "max_iter / eta is below 1: there is no iteration to stop at")
    return rule


def _command(lines: Lines, item: Item, has_program: bool) -> tuple[str, ...]:
    parts = item.value
    if isinstance(parts, str):
        parts = [Item(part, item.line) for part in parts.split()]
    if not isinstance(parts, list) or not parts:
        raise lines.error(item, "command must be a list of its parts")
    for part in parts:
        if isinstance(part.value, (dict, list)) or part.value is None:
            raise lines.error(part, f"a part of command must be text, got {part.plain()!r:.60}")
        for macro in _MACRO.findall(str(part.value)):
            if macro not in MACROS and not macro.startswith(_ENVVAR):
                known = (*MACROS, f"{_ENVVAR}NAME")
                raise lines.error(part, str(unknown("macro", macro, known, "command")))
            if macro == "program" and not has_program:
                raise lines.error(part, "${program} needs the key 'program'")
    return tuple(str(part.value) for part in parts)
