"""The sentences of a judgement: what is claimed, what was measured, and how it is decided."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from hplab.analysis.claims import phrases
from hplab.analysis.claims.decisions import Finding, comparison
from hplab.analysis.judge import question as asking
from hplab.analysis.judge.resolve import Asked
from hplab.analysis.stats.intervals import SUPPORTED, Interval
from hplab.sweeps.table import setting


def ranges(rows: Sequence[int]) -> str:
    """Return whole numbers as ranges: "1 to 3, 7"; of many ranges the first few.

    Example:
        >>> ranges([1, 2, 3, 7])
        '1 to 3, 7'
    """
    numbers = np.sort(np.asarray(rows, int))
    if not len(numbers):
        return "none"
    breaks = np.flatnonzero(np.diff(numbers) != 1)
    starts, ends = [0, *(breaks + 1)], [*breaks, len(numbers) - 1]
    spans = [
        str(numbers[a]) if a == b else f"{numbers[a]} to {numbers[b]}"
        for a, b in zip(starts[:9], ends[:9], strict=True)
    ]
    if len(starts) > 8:
        spans = [*spans[:8], f"... ({len(numbers)} rows)"]
    return ", ".join(spans)


def claim_in_words(asked: Asked) -> str:
    """Return what is claimed, as half a sentence, with what all the runs have."""
    return f"{_claimed(asked)}, with {asked.shared}" if asked.shared else _claimed(asked)


def _claimed(asked: Asked) -> str:
    question, metric, margin = asked.question, asked.metric, asked.margin
    names = [name or "every run" for name in asked.names]
    tail = "" if margin.unit in ("any", "ratio", "") else f" {margin.unit}"
    size = f"{margin.value:g}{tail}"
    by = f" by more than {'a factor of ' if margin.unit == 'ratio' else ''}{size}"
    by = by if margin.value > margin.null else ""
    higher = {1: "higher", -1: "lower"}[asked.way]
    if question.kind == asking.DIRECTION:
        return f"{metric.words} is {higher} at {names[0]} than at {names[1]}{by}"
    if question.kind == asking.EQUIVALENCE:
        within = f"a factor of {size}" if margin.unit == "ratio" else size
        return f"{metric.words} is the same at {names[0]} and {names[1]} within {within}"
    if question.kind == asking.TREND:
        moves = {1: "rises", -1: "falls"}[asked.way]
        ends = f"from {_level(asked, 0)} to {_level(asked, -1)}"
        return f"{metric.words} {moves} with {question.x} {ends}, at every step{_each(asked, by)}"
    if question.kind == asking.BEST:
        most = {1: "highest", -1: "lowest"}[asked.way]
        return f"{names[0]} has the {most} mean {metric.words} of {len(names)} settings"
    if question.kind == asking.THRESHOLD:
        side = {1: "above", -1: "below"}[asked.way]
        return f"mean {metric.words} at {names[0]} is {side} {_target(asked)}"
    if question.kind == asking.SOONER:
        pace = {1: "sooner", -1: "later"}[1 if question.way > 0 else -1]
        return f"{names[0]} reaches {_target(asked)} {metric.words} {pace} than {names[1]}{by}"
    chance = f"{100 * question.chance:g} %"
    return (
        f"one new run of {names[0]} beats one of {names[1]} in {metric.words} with a probability "
        f"above {chance}"
    )


def _each(asked: Asked, by: str) -> str:
    step = "a doubling" if asked.claim.test.scale == "log2" else "a level"
    return f"{by} {step}" if by else ""


def _level(asked: Asked, i: int) -> str:
    return setting(asked.claim.test.levels[i], asked.question.x)


def _target(asked: Asked) -> str:
    unit = asked.metric.level_unit
    value = (asked.target or 0.0) * (100 if unit == "%" else 1)
    return f"{value:g} %" if unit == "%" else f"{value:g}"


def numbers(asked: Asked, finding: Finding, interval: Interval | None, unit: str) -> str:
    """Return what was measured, with its interval, in a sentence."""
    names, words, kind = finding.sample.arms, asked.metric.words, asked.question.kind
    if kind == asking.BEST:
        return _leads(asked, finding)
    if interval is None:
        return finding.reason
    if kind == asking.THRESHOLD:
        mean = phrases.number(interval.estimate, unit)
        return f"Mean {words} is {mean} ({phrases.limits(interval, unit)})."
    if kind == asking.TREND:
        step = "a doubling" if asked.claim.test.scale == "log2" else "one level up"
        of = phrases.number(interval.estimate, unit)
        times = "is multiplied by" if unit == "ratio" else "changes by"
        limits = phrases.limits(interval, unit)
        return f"With {step} of {asked.question.x}, {words} {times} {of} ({limits})."
    if kind == asking.CHANCE:
        first, second = asked.names
        span = f"{100 * interval.level:g} % interval {interval.low:.0f} to {interval.high:.0f} %"
        if interval.low == interval.high:
            span = "with no exception there is no interval"
        return (
            f"In {interval.estimate:.0f} % of the pairs of runs, that of {first} beats that of "
            f"{second} ({span})."
        )
    if kind == asking.SOONER:
        words = f"the time to {_target(asked)} {words}"
    if kind in (asking.DIRECTION, asking.SOONER):
        names = tuple(_in_order(asked))
    said = comparison(words, _Shown(interval), unit, names)  # type: ignore[arg-type]
    return f"{said}." if said.startswith(asked.metric.name) else f"{said[:1].upper()}{said[1:]}."


@dataclasses.dataclass(frozen=True)
class _Shown:
    """What `decisions.comparison` needs of a decision."""

    interval: Interval


def _in_order(asked: Asked) -> list[str]:
    """Return the two settings in the order in which they are subtracted."""
    names = list(asked.names)
    which = [asked.arms.index(dict(arm)) for arm in asked.claim.test.settings]
    return [names[i] for i in which]


def _leads(asked: Asked, finding: Finding) -> str:
    """Return how far the setting is ahead of its nearest rival."""
    rivals = [part for part in finding.parts if str(part["part"]).startswith("against ")]
    if not rivals:
        return ""
    unit = asked.margin.unit
    nearest = min(rivals, key=lambda part: asked.way * part["interval"].estimate)
    lead = nearest["interval"]
    ahead = sum(part["outcome"] == SUPPORTED for part in rivals)
    rival = str(nearest["part"]).removeprefix("against ")
    more = "higher" if lead.estimate >= 0 else "lower"
    return (
        f"{asked.names[0]} is surely ahead of {ahead} of {len(rivals)} rivals. Its "
        f"{asked.metric.words} is {phrases.number(abs(lead.estimate), unit)} {more} than that of "
        f"the nearest, {rival} ({phrases.limits(lead, unit, 'of the difference ')})."
    )


def how(asked: Asked) -> str:
    """Return how a question of its kind is decided."""
    spread = "the differences, seed by seed" if asked.paired else "independent runs (Welch)"
    level = f"{100 * (1 - asked.claim.alpha):g} %"
    words = {
        asking.DIRECTION: f"Supported: the whole {level} t interval, from {spread}, lies beyond "
        "the margin on the claimed side. Contradicted: the whole interval lies short of it.",
        asking.SOONER: f"Supported: the whole {level} t interval of the time gained, from "
        f"{spread}, lies beyond the margin. Contradicted: it lies short of it.",
        asking.EQUIVALENCE: f"Supported: the whole {level} t interval, from {spread}, lies inside "
        "plus or minus the margin. Contradicted: the 97.5 % interval lies outside, on one side.",
        asking.TREND: f"Supported: the slope, from {spread}, is surely beyond the margin, and "
        "every step between neighbouring values surely goes the same way. Contradicted: one "
        "surely does not, corrected for their number.",
        asking.BEST: f"Supported: surely ahead of every other setting, from {spread}. "
        "Contradicted: surely behind one, corrected for their number.",
        asking.THRESHOLD: f"Supported: the whole {level} t interval of the mean lies beyond the "
        "level. Contradicted: it lies on the other side.",
        asking.CHANCE: f"Supported: the whole {level} interval of the share of pairs (Brunner and "
        "Munzel, on the logit scale) lies above the asked one. Contradicted: below it. With fewer "
        "than ten runs a setting that interval is a little too narrow.",
    }[asked.question.kind]
    return (
        f"{words} Otherwise open. The unit is the run, and an answer holds for one look at them: "
        "whoever adds seeds until it comes out will be wrong more often than stated."
    )
