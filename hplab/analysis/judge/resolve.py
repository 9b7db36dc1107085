"""From a question and a table of runs to a claim that can be tested, or why it cannot.

The claim is one of the book's: a kind of test with its margin, made in memory. Everything that
would make a comparison mean something else is refused here, with what to do about it.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from hplab.analysis.claims.claim import Claim, Report
from hplab.analysis.claims.grammar import Arm, Arms, Size
from hplab.analysis.claims.kinds.contrasts import Direction, Equivalence, Sign
from hplab.analysis.claims.kinds.grids import Ranking, Trend
from hplab.analysis.claims.kinds.kind import Kind
from hplab.analysis.claims.quantities import EVALUATED, METRICS, Quantity
from hplab.analysis.claims.samples import describe
from hplab.analysis.judge import arms as of_arms
from hplab.analysis.judge import question as asking
from hplab.analysis.judge.arms import MIN_SEEDS, in_words, matching
from hplab.analysis.judge.question import Question
from hplab.errors import HplabError, unknown
from hplab.sweeps import cells
from hplab.sweeps import metrics as named
from hplab.sweeps.foreign import RunTable
from hplab.sweeps.table import SETTINGS, settings_text

ALPHA, MAX_DIVERGED = 0.05, 0.1  # as the ledger's defaults
JUDGED = "judged"  # what the metric of a foreign table is called while it is tested
_NOBODY = Report("", "", {}, {}, "", False, (), "")


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
        where: What all of them were asked to have.
        runs: Their runs, as the tests take them.
        claim: The claim, with its test.
        quantity: What is taken off a run.
        paired: Whether runs are compared seed by seed.
        margin: The smallest difference that counts.
        target: The level of a threshold or a time, in the table's unit.
        left_out: Unfinished runs of each arm, by state.
        n_lacking: Runs that ended well without a value of the metric; they count as diverged.
        notes: What a reader has to know of how it was asked.
    """

    question: Question
    metric: Metric
    way: int
    arms: tuple[Mapping[str, Any], ...]
    where: Mapping[str, Any]
    runs: pd.DataFrame
    claim: Claim
    quantity: Quantity
    paired: bool
    margin: Size
    target: float | None
    left_out: tuple[Mapping[str, int], ...]
    n_lacking: int
    notes: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """The arms in words, without what they share."""
        return in_words(self.arms)

    @property
    def shared(self) -> str:
        """What all runs that were asked about have, in words; "" if that is nothing."""
        first = self.arms[0] if len(self.arms) > 1 else {}
        alike = {k: v for k, v in first.items() if all(arm.get(k) == v for arm in self.arms)}
        return describe({**self.where, **alike}) if self.where or alike else ""


def metric_of(table: RunTable, name: str = "", better: int = 0) -> Metric:
    """Return a metric of the runs; without a name the first.

    Raises:
        HplabError: If there is no such metric.
    """
    if not table.metrics:
        raise HplabError(
            "the runs have no column of results; name one (metric=..., in a shell --metric ...)"
        )
    name = name or table.metrics[0]
    runs_along = table.own and name in EVALUATED  # measured while training, so kept as a curve
    if not runs_along:
        meant = named.match(name, table.metrics)
        if meant is None:
            raise unknown("metric", name, table.metrics, "the runs")
        name = meant
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
    axis = named.match(question.x, table.settings) or question.x
    question = dataclasses.replace(question, x=axis)
    way = _way(question, metric)
    where = of_arms.settings_of(question.where, table)
    runs, left = (matching(part, where) for part in (table.runs, table.left_out))
    if where and not len(runs):
        raise HplabError(f"no run has {describe(where)}; {of_arms.there(table.runs, where)}")
    log = bool(question.size and question.size[1] == "ratio")
    margin = margin_of(question, metric)
    target = _target(question, metric)
    arms, notes = of_arms.named_or_all(question, table, runs)
    runs = _judged(runs, metric, table)
    parts = [matching(runs, arm) for arm in arms]
    for arm, part in zip(arms, parts, strict=True):
        if not len(part):
            raise HplabError(f"no run has {describe(arm)}; {of_arms.there(runs, arm)}")
    arms, parts, said = of_arms.enough(question, arms, parts)
    of_arms.check_alike(parts, in_words(arms), {*where, *(n for arm in arms for n in arm)}, table)
    if question.kind == asking.SOONER and table.place != "epoch":
        notes.append(f"An epoch is a logged point here: times are counted in rows ({table.place}).")
    y = metric.name if table.own and metric.name in runs else JUDGED
    y = y if y in runs else "seed"  # of a curve nothing is known yet
    paired = len(arms) > 1 and question.kind != asking.CHANCE
    if paired:
        paired = of_arms.pairs_up(question, parts, in_words(arms), table, y)
        if not paired and question.pair is None and table.seed:
            notes.append("Seeds do not match or stand for several runs, so runs are not paired.")
    kept = pd.concat(parts).drop_duplicates("row").sort_values("row")
    notes += of_arms.repeated(kept, table) if not paired else []
    lacking = _lacking(kept, table)
    if len(lacking):
        has = "run has" if len(lacking) == 1 else "runs have"
        where_to = cells.rows(lacking)
        notes.insert(
            0,
            f"{len(lacking)} {has} no {metric.words} ({where_to}) and so "
            f"count{'s' if len(lacking) == 1 else ''} as diverged.",
        )
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
        where,
        kept,
        claim,
        getattr(test, "quantity", quantity),
        paired,
        margin,
        target,
        tuple(_states(matching(left, arm)) for arm in arms),
        len(lacking),
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
            "(or write '(higher is better)' behind the question; in a shell --better higher)"
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


def _judged(runs: pd.DataFrame, metric: Metric, table: RunTable) -> pd.DataFrame:
    """Return runs with their metric where the tests look for it; without a value one diverged."""
    if table.own:
        return runs
    values = runs[metric.name].to_numpy(float)
    status = np.where(np.isfinite(values), runs["status"], "diverged")
    return runs.assign(**{JUDGED: values, "status": status})


def _lacking(kept: pd.DataFrame, table: RunTable) -> np.ndarray:
    """Return the rows of runs that did not diverge by their status, but have no value."""
    if table.own:
        return np.array([], int)
    fine = table.runs.loc[table.runs["status"] == "ok", "row"]
    return kept.loc[kept[JUDGED].isna() & kept["row"].isin(fine), "row"].to_numpy(int)


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
