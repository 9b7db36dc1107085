"""From a question and a table of runs to a claim that can be tested, or why it cannot.

The claim is one of the book's: a kind of test with its margin, made in memory. Everything that
would make a comparison mean something else is refused here, with what to do about it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from hplab.analysis.claims import phrases
from hplab.analysis.claims.claim import Claim, Report
from hplab.analysis.claims.grammar import Arm, Arms, Size
from hplab.analysis.claims.kinds.contrasts import Direction, Equivalence, Sign
from hplab.analysis.claims.kinds.grids import Ranking, Trend
from hplab.analysis.claims.kinds.kind import Kind
from hplab.analysis.claims.quantities import EVALUATED, METRICS, Quantity
from hplab.analysis.claims.samples import describe, equal
from hplab.analysis.judge import question as asking
from hplab.analysis.judge.question import Question
from hplab.errors import HplabError, unknown
from hplab.sweeps import metrics as named
from hplab.sweeps.foreign import RunTable
from hplab.sweeps.table import SETTINGS, setting, settings_text

ALPHA, MIN_SEEDS, MAX_DIVERGED = 0.05, 3, 0.1  # as the ledger's defaults
JUDGED = "judged"  # what the metric of a foreign table is called while it is tested
_NOBODY = Report("", "", {}, {}, "", False, (), "")
_MANY = 12  # values that a message lists


@dataclasses.dataclass(frozen=True)
class Metric:
    """What is asked about.

    Attributes:
        name: Its column.
        words: What it is called.
        unit: "pp" for a share, "nats", "s" or another unit of the book, "any" for one not known.
        better: 1 if more is better, -1 if less is, 0 if that is not known.
    """

    name: str
    words: str
    unit: str
    better: int

    @property
    def level_unit(self) -> str:
        """The unit of a value by itself: a share is in percent, what it changes by in points."""
        return "%" if self.unit == "pp" else self.unit


@dataclasses.dataclass(frozen=True)
class Asked:
    """A question that the runs can be asked.

    Attributes:
        question: What was said.
        metric: What it is about.
        way: 1 if the first is claimed to be higher, or the trend to rise; -1 for the opposite.
        arms: The settings that are compared, by name.
        runs: Their runs, as the tests take them.
        claim: The claim, with its test.
        quantity: What is taken off a run.
        paired: Whether runs are compared seed by seed.
        margin: The smallest difference that counts.
        target: The level of a threshold or a time, in the table's unit.
        left_out: Unfinished runs of each arm, by state.
        notes: What a reader has to know of how it was asked.
    """

    question: Question
    metric: Metric
    way: int
    arms: tuple[Mapping[str, Any], ...]
    runs: pd.DataFrame
    claim: Claim
    quantity: Quantity
    paired: bool
    margin: Size
    target: float | None
    left_out: tuple[Mapping[str, int], ...]
    notes: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """The arms in words, without what they share."""
        return in_words(self.arms)


def in_words(arms: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return settings in words, without what all of them share: "lr 1e-3"."""
    first = arms[0]
    shared = {name for name in first if all(arm.get(name) == first[name] for arm in arms)}
    shared = shared if len(arms) > 1 else set()
    return [describe({k: v for k, v in arm.items() if k not in shared}) for arm in arms]


def metric_of(table: RunTable, name: str = "", better: int = 0) -> Metric:
    """Return a metric of the runs; without a name the first.

    Raises:
        HplabError: If there is no such metric.
    """
    if not table.metrics:
        raise HplabError("the runs have no column of results; name one (metric=...)")
    name = name or table.metrics[0]
    runs_along = table.own and name in EVALUATED  # measured while training, so kept as a curve
    if name not in table.metrics and not runs_along:
        raise unknown("metric", name, table.metrics, "the runs")
    unit, words = "pp" if named.is_share(name) else "any", name
    if table.own and name in METRICS:
        unit, words = METRICS[name]
    return Metric(name, words, unit, better or named.better(name))


def resolve(question: Question, table: RunTable, planned: int | None = None) -> Asked:
    """Return a question as a claim about these runs.

    Raises:
        HplabError: If a name is unknown, too few seeds were run, more differs than what is
            compared, seeds do not match, or the margin has no unit; with what to do.
    """
    metric = metric_of(table, question.metric, question.better)
    way = _way(question, metric)
    where = settings_of(question.where, table)
    runs, left = (matching(part, where) for part in (table.runs, table.left_out))
    if where and not len(runs):
        raise HplabError(f"no run has {describe(where)}; {_there(table.runs, where)}")
    log = bool(question.size and question.size[1] == "ratio")
    margin = margin_of(question, metric)
    target = _target(question, metric)
    arms, notes = _arms(question, table, runs)
    runs = _judged(runs, metric, table)
    parts = [matching(runs, arm) for arm in arms]
    for arm, part in zip(arms, parts, strict=True):
        if not len(part):
            raise HplabError(f"no run has {describe(arm)}; {_there(runs, arm)}")
    arms, parts, said = _enough(question, arms, parts)
    _check_alike(parts, in_words(arms), {*where, *(n for arm in arms for n in arm)}, table)
    paired = len(arms) > 1 and question.kind != asking.CHANCE
    if paired:
        paired = _pairing(question, parts, in_words(arms), table)
        if not paired and question.pair is None and table.seed:
            notes.append("The seeds of the settings do not match, so the runs are not paired.")
    kept = pd.concat(parts).drop_duplicates("row").sort_values("row")
    names = {*where, *(name for arm in arms for name in arm)}
    kept[SETTINGS] = settings_text(names)
    quantity = Quantity(metric.name if table.own else JUDGED, log=log)
    if not (table.own and metric.name in METRICS):
        quantity = dataclasses.replace(quantity, told=(metric.unit, metric.words))
    test = _kind(question, quantity, arms, way, margin, target)
    claim = Claim(
        "", _NOBODY, "", "", question.text, False, test, "", planned or sys.maxsize, MIN_SEEDS,
        MAX_DIVERGED, ALPHA, "", "",
    )  # fmt: skip
    return Asked(
        question,
        metric,
        way,
        tuple(arms),
        kept,
        claim,
        getattr(test, "quantity", quantity),
        paired,
        margin,
        target,
        tuple(_states(matching(left, arm)) for arm in arms),
        (*notes, *said),
    )


def _way(question: Question, metric: Metric) -> int:
    """Return 1 for up, -1 for down."""
    if question.kind == asking.SOONER:
        question = dataclasses.replace(question, way=2 if metric.better else 1)
    if question.kind == asking.EQUIVALENCE or abs(question.way) == 1:
        return question.way if abs(question.way) == 1 else 1
    if not metric.better:
        raise HplabError(
            f"is more of {metric.name!r} better, or less? Say it: better='higher' or 'lower' "
            "(or write '(higher is better)' behind the question; --better higher)"
        )
    return metric.better * (question.way // 2)


def margin_of(question: Question, metric: Metric) -> Size:
    """Return the margin in the unit that is tested."""
    kind, name = question.kind, metric.name
    if question.size is None:
        if kind == asking.EQUIVALENCE:
            example = "0.5 pp" if metric.unit == "pp" else "0.01"
            raise HplabError(f"'the same' needs a margin: say within how much, as in {example!r}")
        return Size(0.0, "epochs" if kind == asking.SOONER else metric.unit)
    value, unit = question.size
    if kind in (asking.BEST, asking.CHANCE, asking.THRESHOLD):
        raise HplabError(f"a question of the kind {kind!r} takes no margin")
    if kind == asking.SOONER:
        if unit not in ("", "epochs", "ratio"):
            raise HplabError(f"a time has no margin in {unit}; write '2 epochs' or 'a factor of 2'")
        return Size(value, "ratio" if unit == "ratio" else "epochs")
    if unit == "%":
        instead = f"{value:g} pp (points)" if metric.unit == "pp" else "a plain number"
        raise HplabError(f"a margin of {value:g} % can be read in two ways; write {instead} or 'a "
                         f"factor of {1 + value / 100:g}'")  # fmt: skip
    if unit == "" and metric.unit == "pp" and value:
        raise HplabError(
            f"a margin of {value:g} in {name} could be {value:g} pp or {100 * value:g} pp "
            f"(percentage points); write it with its unit, as in '{value:g} pp'"
        )
    if unit in ("pp", "epochs") and metric.unit != unit:
        raise HplabError(f"{name} is not measured in {unit}; write the margin as a plain number")
    return Size(value, "ratio" if unit == "ratio" else metric.unit)


def _target(question: Question, metric: Metric) -> float | None:
    """Return a level in the unit of the table, where a share is between 0 and 1."""
    if question.target is None:
        return None
    if metric.unit == "pp":
        return asking.share(question.target)
    if question.target[1] == "%":
        raise HplabError(f"{metric.name} is no share; write the level as a plain number")
    return question.target[0]


def settings_of(arm: Any, table: RunTable) -> dict[str, Any]:
    """Return an arm by the names of the table's settings; a bare value is looked for in them."""
    if isinstance(arm, Mapping):
        for name in arm:
            if name not in table.settings:
                raise unknown("setting", name, table.settings, "the runs")
        return dict(arm)
    places = [name for name in table.settings if equal(table.runs[name], arm).any()]
    if len(places) == 1:
        return {places[0]: arm}
    if places:
        raise HplabError(f"{arm!r} is a value of {phrases.listed(places)}; write {places[0]}={arm}")
    values = [str(v) for name in table.settings for v in _some(table.runs[name])]
    raise unknown("value", arm, values, "the settings of the runs; write it as name=value")


def _some(column: pd.Series) -> list[str]:
    """Return a few values of a setting, as they are typed."""
    found = column.drop_duplicates()
    with contextlib.suppress(TypeError):  # words and numbers have no order
        found = found.sort_values()
    values = [setting(value, str(column.name)) for value in found]
    return values if len(values) <= _MANY else [*values[: _MANY - 1], f"{len(values)} in all"]


def _there(runs: pd.DataFrame, arm: Mapping[str, Any]) -> str:
    return "; ".join(f"{name} is {phrases.listed(_some(runs[name]))}" for name in arm)


def matching(runs: pd.DataFrame, arm: Mapping[str, Any]) -> pd.DataFrame:
    """Return the rows of a setting."""
    rows = np.ones(len(runs), bool)
    for name, value in arm.items():
        rows &= equal(runs[name], value)
    return runs[rows]


def _arms(
    question: Question, table: RunTable, runs: pd.DataFrame
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the settings that are compared: those that were named, or all along an axis."""
    if question.kind == asking.TREND:
        if question.x not in table.settings:
            raise unknown("setting", question.x, table.settings, "the runs")
        column = runs[question.x].dropna()
        if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
            raise HplabError(f"{question.x} has no numbers, so nothing can rise or fall with it")
        levels = sorted(float(x) if x % 1 else int(x) for x in column.unique())
        if len(levels) < 2:
            raise HplabError(f"{question.x} has one value in these runs; a trend needs two or more")
        return [{question.x: level} for level in levels], []
    arms = [settings_of(arm, table) for arm in question.arms]
    if question.kind == asking.BEST:
        names = list(arms[0])
        rivals = runs[names].drop_duplicates().to_dict("records")
        others = [one for one in rivals if not all(_is(one[k], v) for k, v in arms[0].items())]
        if not others:
            raise HplabError(f"{describe(arms[0])} has no rival in these runs")
        return [arms[0], *sorted(others, key=lambda one: [str(v) for v in one.values()])], []
    if len(arms) == 2 and arms[0] == arms[1]:
        raise HplabError(f"both sides are {describe(arms[0])}; name two different settings")
    return arms, []


def _is(one: Any, other: Any) -> bool:
    return bool(equal(pd.Series([one]), other)[0])


def _judged(runs: pd.DataFrame, metric: Metric, table: RunTable) -> pd.DataFrame:
    """Return runs with their metric where the tests look for it; without a value one diverged."""
    if table.own:
        return runs
    values = runs[metric.name].to_numpy(float)
    status = np.where(np.isfinite(values), runs["status"], "diverged")
    return runs.assign(**{JUDGED: values, "status": status})


def _enough(
    question: Question, arms: list[dict[str, Any]], parts: list[pd.DataFrame]
) -> tuple[list[dict[str, Any]], list[pd.DataFrame], list[str]]:
    """Refuse settings with too few runs; along an axis those are left out, and named."""
    names, needed = in_words(arms), {asking.TREND: 2, asking.BEST: 1}.get(question.kind, len(arms))
    few = [i for i, part in enumerate(parts) if len(part) < MIN_SEEDS]
    free = question.kind in (asking.TREND, asking.BEST)
    if few and not (free and few[0] >= (question.kind == asking.BEST)):
        i = few[0]
        n = f"{len(parts[i])} run{'s' * (len(parts[i]) != 1)}"
        raise HplabError(
            f"{names[i]} has {n}, and a verdict rests on how much runs differ by luck: train at "
            f"least {MIN_SEEDS} seeds of each setting"
        )
    kept = [i for i in range(len(arms)) if i not in few]
    if len(kept) < max(needed, 2 if free else 1):
        raise HplabError(
            f"only {len(kept)} of {len(arms)} settings have {MIN_SEEDS} runs or more; train at "
            f"least {MIN_SEEDS} seeds of each"
        )
    said = [
        f"Left out, with fewer than {MIN_SEEDS} runs: {phrases.listed([names[i] for i in few])}."
    ]
    return [arms[i] for i in kept], [parts[i] for i in kept], said if few else []


def _check_alike(
    parts: Sequence[pd.DataFrame], names: Sequence[str], asked: set[str], table: RunTable
) -> None:
    """Refuse runs that differ in more than what is compared, and say how to fix it."""
    together = pd.concat(parts)
    also, fixes = [], []
    for name in table.settings:
        if name in asked or together[name].nunique(dropna=False) < 2:
            continue
        each = [part[name].drop_duplicates() for part in parts]
        absent = [values.isna().all() for values in each]
        if any(absent) and all(len(values) == 1 for values in each):
            continue  # what only one of the settings has, as SGD has momentum
        also.append(f"{name} ({phrases.listed(_some(together[name]))})")
        shared = set.intersection(*(set(values.dropna()) for values in each))
        if shared:
            most = together[name].value_counts()
            value = next(one for one in most.index if one in shared)
            fixes.append(f"{name}={setting(value, name)}")
    if not also:
        return
    what = phrases.listed(names[:_MANY]) if len(names) > 1 else names[0]
    fix = f'ask of one value of it: "... where {", ".join(fixes)}"'
    if len(fixes) < len(also):
        fix = "no value of it is shared by all, so name it in each setting that is compared"
    raise HplabError(
        f"the runs at {what} also differ in {phrases.listed(also)}; {fix} (or leave the column "
        "aside if it is no setting: ignore=...)"
    )


def _pairing(
    question: Question, parts: Sequence[pd.DataFrame], names: Sequence[str], table: RunTable
) -> bool:
    """Return whether to compare seed by seed.

    It is done where at least half of all seeds are there in every setting.
    """
    if table.seed is None:
        if question.pair:
            raise HplabError("the runs have no column of seeds to pair by; name it (seed=...)")
        return False
    if question.pair is False:
        return False
    seeds = [set(part["seed"]) for part in parts]
    shared, every = set.intersection(*seeds), set.union(*seeds)
    match = len(shared) >= MIN_SEEDS and 2 * len(shared) >= len(every)
    if question.pair and len(shared) < MIN_SEEDS:
        said = "; ".join(f"{n} has {_span(s)}" for n, s in zip(names[:4], seeds, strict=False))
        raise HplabError(
            f"seeds do not match ({said}); train the same seeds of each, or do not ask to pair"
        )
    if not (match or question.pair):
        return False
    for name, part in zip(names, parts, strict=True):
        twice = part[part["seed"].duplicated(keep=False)]
        if len(twice):
            one = twice[twice["seed"] == twice["seed"].iloc[0]]
            rows = phrases.listed([str(row) for row in one["row"][:_MANY]])
            raise HplabError(
                f"{len(one)} runs at {name} have seed {one['seed'].iloc[0]} (rows {rows}): drop "
                "repeated rows, or say that runs are not to be paired (pair=False, 'unpaired')"
            )
    return True


def _span(seeds: set[Any]) -> str:
    numbers = sorted(seeds)
    if numbers == list(range(numbers[0], numbers[-1] + 1)) and len(numbers) > 2:
        return f"{numbers[0]} to {numbers[-1]}"
    return phrases.listed([str(n) for n in numbers[:6]]) + (" ..." if len(numbers) > 6 else "")


def _states(left: pd.DataFrame) -> dict[str, int]:
    return left["state"].value_counts().to_dict() if len(left) else {}


def _kind(
    question: Question,
    quantity: Quantity,
    arms: Sequence[Mapping[str, Any]],
    way: int,
    margin: Size,
    target: float | None,
) -> Kind:
    """Return the book's test of a question; a chance of winning has its own."""
    sides = [Arm(dict(arm)) for arm in arms]
    first, second = (sides[0], sides[-1]) if way > 0 else (sides[-1], sides[0])

    def sooner() -> Kind:
        level = (target or 0.0) * way  # a curve that falls is turned, and its level
        read = dataclasses.replace(
            quantity, reading="epochs_to", argument=level, told=quantity.told
        )
        late, early = (sides[1], sides[0]) if question.way > 0 else (sides[0], sides[1])
        return Direction(quantity=read, first=late, second=early, margin=margin)

    def threshold() -> Kind:
        scaled = (target or 0.0) * (100 if quantity.unit == "pp" else 1)
        return Sign(
            quantity=quantity,
            arms=Arms(tuple(sides)),
            way="up" if way > 0 else "down",
            margin=Size(way * scaled, quantity.unit),
        )

    def trend() -> Kind:
        levels = tuple(arm[question.x] for arm in arms)
        return Trend(
            x=question.x,
            levels=levels,
            arm=Arm({}),
            metrics={quantity.metric: "up" if way > 0 else "down"},
            margin=margin,
            scale="log2" if min(levels) > 0 else "rank",
            log=quantity.log,
        )

    made: dict[str, Callable[[], Kind]] = {
        asking.DIRECTION: lambda: Direction(
            quantity=quantity, first=first, second=second, margin=margin
        ),
        asking.CHANCE: lambda: Direction(
            quantity=quantity, first=first, second=second, margin=margin
        ),
        asking.EQUIVALENCE: lambda: Equivalence(
            quantity=quantity, first=sides[0], second=sides[-1], margin=margin
        ),
        asking.BEST: lambda: Ranking(
            quantity=quantity,
            best=sides[0],
            cells=Arms(tuple(sides)),
            way="highest" if way > 0 else "lowest",
        ),
        asking.TREND: trend,
        asking.THRESHOLD: threshold,
        asking.SOONER: sooner,
    }
    return made[question.kind]()
