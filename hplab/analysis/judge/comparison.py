"""What a comparison of all values of a table of runs found, and how it reads."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Mapping
from typing import Any

import pandas as pd

from hplab.analysis.claims import phrases
from hplab.analysis.judge.resolve import Metric
from hplab.analysis.stats import power
from hplab.analysis.stats.intervals import Interval
from hplab.analysis.style import styled
from hplab.sweeps import metrics
from hplab.sweeps.table import setting

BEST, BEHIND, OPEN, TIED = "best", "behind", "open", "not compared"
PLANS = (5, 10, 20)  # seeds for which it is said what they see
_OUTCOMES = {
    BEST: "best",
    BEHIND: "surely worse",
    OPEN: "open",
    TIED: "not compared",
}


@dataclasses.dataclass(frozen=True)
class Value:
    """One value of a setting.

    Attributes:
        value: The value.
        n: Runs that finished.
        used: How many of them its mean rests on; fewer where a seed or another setting is not there
            for every value.
        lost: Runs that did not, by what became of them.
        mean: Its mean over seeds with the 95 % interval, in the reader's unit; None with one run.
        behind: How much worse it is than the best, positive; None for the best itself.
        p: Holm-adjusted p value of that.
        outcome: `BEST`, `BEHIND` (surely worse, by more than the margin), `OPEN` or `TIED` (too few
            runs, or none with the other settings of the rest).
        why: Why it is open although p is small, or not compared; "" else.
    """

    value: Any
    n: int
    lost: Mapping[str, int]
    mean: Interval | None = None
    behind: Interval | None = None
    p: float | None = None
    outcome: str = TIED
    why: str = ""
    used: int = 0


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The values of one setting, best first.

    Attributes:
        name: The setting.
        values: Its values.
        paired: Whether they were compared seed by seed.
        fixed: Over how many combinations of the other settings means were taken.
        why: Why nothing was compared; "" if it was.
        other: One combination of the other settings that vary, as "batch_size=64"; "" if none do.
        apart: Why runs that have seeds are not paired; "" if they are, or were not to be.
        note: That what the setting does differs by another one; "" if nothing shows that.
        words: Of whole points of a search, what each stands for.
    """

    name: str
    values: tuple[Value, ...] = ()
    paired: bool = False
    fixed: int = 1
    why: str = ""
    other: str = ""
    apart: str = ""
    note: str = ""
    words: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def shown(self, value: Any) -> str:
        """Return a value as it is typed, with what it stands for."""
        text = setting(value, self.name)
        return f"{text} ({self.words[text]})" if text in self.words else text

    @property
    def sentence(self) -> str:
        """What was found, in a sentence."""
        if self.why:
            return f"{self.name}: not compared. {self.why}"
        first, *rest = (one for one in self.values if one.outcome != TIED)
        sure = sum(one.outcome == BEHIND for one in rest)
        said = f"{self.name}: {self.shown(first.value)} has the best mean"
        if sure == len(rest):
            return f"{said} and surely beats {'all others' if len(rest) > 1 else 'the other'}."
        if not sure:
            return f"{said}, but that may be luck: it surely beats none of the others."
        return f"{said}; it surely beats {sure} of the {len(rest)} others."


@dataclasses.dataclass(frozen=True)
class Scatter:
    """How much the runs of one setting differ, where a table has no other.

    Attributes:
        mean: Their mean with its interval, in the reader's unit.
        sd: Their standard deviation.
        low, high: Its 95 % interval.
    """

    mean: Interval
    sd: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Overview:
    """The comparisons of a table of runs; shows itself as text, and as tables in a notebook.

    Attributes:
        metric: What is compared.
        way: 1 if more is better.
        margin: The smallest difference that counts, in the reader's unit.
        comparisons: One a setting that varies.
        n_pairs: How many pairs of values Holm's correction was made over.
        note: That whole points of a search are compared; "" else.
        scatter: Of a table with one setting alone, how much its runs differ.
    """

    metric: Metric
    way: int
    margin: float
    comparisons: tuple[Comparison, ...]
    n_pairs: int
    note: str = ""
    scatter: Scatter | None = None

    def __repr__(self) -> str:
        return text(self)

    def _repr_html_(self) -> str:
        say = html.escape
        if self.scatter:
            return "".join(f"<p>{say(line)}</p>" for line in told(self))
        parts = [f"<p>{say(self.note)}</p>" if self.note else ""]
        for one in self.comparisons:
            head, *rows = table(one, self)
            cells = ["".join(f"<td>{say(cell)}</td>" for cell in row) for row in rows]
            parts += [
                f"<p><strong>{say(one.sentence)}</strong> {say(one.note)}</p>",
                '<div class="hp-scroll" tabindex="0"><table class="hp-table"><thead><tr>',
                "".join(f'<th scope="col">{say(cell)}</th>' for cell in head),
                "</tr></thead><tbody>",
                "".join(f"<tr>{row}</tr>" for row in cells),
                "</tbody></table></div>",
            ]
        return "".join([*parts, f"<p>{say(corrected(self))}</p>" if self.n_pairs else ""])

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": styled(self._repr_html_()), "text/plain": repr(self)}

    def rows(self) -> list[dict[str, Any]]:
        """Return one row a value of a setting, for JSON."""
        return [
            {
                "setting": one.name,
                "value": None if pd.isna(value.value) else value.value,
                "n": value.n,
                "n_compared": value.used,
                "lost": dict(value.lost),
                "mean": value.mean.estimate if value.mean else None,
                "low": value.mean.low if value.mean else None,
                "high": value.mean.high if value.mean else None,
                "behind": value.behind.estimate if value.behind else None,
                "behind_low": value.behind.low if value.behind else None,
                "behind_high": value.behind.high if value.behind else None,
                "p_holm": value.p,
                "outcome": value.outcome,
                "why": value.why,
            }
            for one in self.comparisons
            for value in one.values
        ]


def text(found: Overview) -> str:
    """Return a comparison of all values for a terminal."""
    if found.scatter:
        return "\n".join(told(found))
    parts = [found.note] if found.note else []
    parts += [_block(one, found) for one in found.comparisons]
    return "\n\n".join([*parts, corrected(found)] if found.n_pairs else parts)


def told(found: Overview) -> list[str]:
    """Return what the runs of the one setting of a table say, for planning a comparison."""
    one, unit = found.scatter, found.metric.unit
    if one is None:
        return []
    level, n = found.metric.level_unit, one.mean.n
    lines = [
        f"All runs have one setting, so there is nothing to compare. Mean {found.metric.words}: "
        f"{phrases.number(one.mean.estimate, level)} ({phrases.limits(one.mean, level)}), n = {n} "
        "runs."
    ]
    if not one.sd:
        return [*lines, "All have the same result, so nothing tells how far luck moves it. Is the "
                "seed used?"]  # fmt: skip
    ends = Interval(one.sd, one.low, one.high, one.mean.level, n)
    lines.append(
        f"They scatter by {phrases.number(one.sd, unit)} (standard deviation; "
        f"{phrases.limits(ends, unit)})."
    )
    beyond = f" more than the margin of {phrases.number(found.margin, unit)}" * bool(found.margin)
    sees = []
    for seeds in PLANS:
        least = float(power.smallest(power.paired_power, [seeds])[0])
        size = phrases.number(least * power.SCATTERS["setting"] * one.sd, unit)
        sees.append(f"{seeds} seeds of each see a difference of {size}")
    lines.append(
        "To plan a comparison with a setting that scatters as much, whose runs share no luck with "
        f"these: with a chance of 80 %, {phrases.listed(sees)}{beyond}. For another difference: "
        f"hp.stats.seeds_needed(difference, {one.sd:.3g}, margin={found.margin:g}, "
        'scatter="setting").'
    )
    lines.append(
        "If another column is a setting, name it: --setting NAME (settings=[...]). To compare two "
        "tables, name both files: hplab judge one.csv other.csv."
    )
    return lines


def corrected(found: Overview) -> str:
    """Return how often an overview is wrong, in a sentence."""
    size = ""
    if found.margin:
        size = f" by more than {found.margin:g} {found.metric.unit}".removesuffix(" any")
    return (
        f"Surely worse: worse{size}, with Holm's correction over all pairs of values "
        f"({found.n_pairs}): so corrected, fewer than 5 tables in 100 call a value surely worse "
        "that is not. A single question that you had before you saw the runs needs no such "
        f"correction; ask it by itself: {_example(found)!r}"
    )


def _example(found: Overview) -> str:
    """Return a question about two values of the table, in the form that can be asked."""
    compared = [one for one in found.comparisons if not one.why]
    one = next((one for one in compared if one.fixed == 1), compared[0])
    first, second = (setting(value.value, one.name) for value in one.values[:2])
    by = f" by {found.margin:g} {found.metric.unit}".removesuffix(" any") if found.margin else ""
    name = "" if one.words else f"{metrics.one_word(one.name)}="
    asked = f"{metrics.one_word(found.metric.name)} at {name}{first} beats {name}{second}{by}"
    return f"{asked} where {one.other}" if one.other else asked


def table(one: Comparison, found: Overview) -> list[tuple[str, ...]]:
    """Return a setting's values as a table, its head first and then the best."""
    head = (one.name, "runs", heading(found), "behind the best", "p", "found")
    rows = [head, *(cells(value, one, found) for value in one.values)]
    shown = [i for i in range(len(head)) if any(row[i] for row in rows[1:])]
    return [tuple(row[i] for i in shown) for row in rows]


def heading(found: Overview) -> str:
    """Return what a metric is called above its means, with its unit, which is said once."""
    name, unit = found.metric.words, _unit(found)
    return name if not unit or metrics.says_percent(name) else f"{name} ({unit})"


def _block(one: Comparison, found: Overview) -> str:
    """Return a setting's values as lines of text."""
    lines = [one.sentence]
    if one.why and not one.values:
        return lines[0]
    rows = table(one, found)
    if rows[0][-1] == "found":
        rows[0] = (*rows[0][:-1], "")
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines += [
        "  "
        + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    lines += [f"  ({how(one)})"] * (not one.why) + [f"  {one.note}"] * bool(one.note)
    return "\n".join(lines)


def how(one: Comparison) -> str:
    """Return how the values of a setting were compared."""
    said = "compared seed by seed" if one.paired else "runs not paired"
    said += f": {one.apart}" * bool(one.apart)
    if any(0 < value.used < value.n for value in one.values):
        said += ", with the seeds and other settings that all values have"
    return said + f"; means over {one.fixed} combinations of the other settings" * (one.fixed > 1)


def _unit(found: Overview) -> str:
    unit = found.metric.level_unit
    return "" if unit == "any" else unit


def cells(value: Value, one: Comparison, found: Overview) -> tuple[str, ...]:
    """Return a value's row: value, runs, mean, how far behind, p, and the word for it."""
    unit = found.metric.unit
    lost = ", ".join(f"{n} {state}" for state, n in value.lost.items())
    mean, behind = "", ""
    if value.mean:
        level = found.metric.level_unit
        number = phrases.number(value.mean.estimate, level).removesuffix(f" {level}")
        mean = f"{number} ({phrases.span(value.mean, level)})"
    if value.behind:
        behind = (
            f"{phrases.number(value.behind.estimate, unit)} ({phrases.span(value.behind, unit)})"
        )
    p = "" if value.p is None else phrases.p_value(value.p).removeprefix("p = ").removeprefix("p ")
    word = "" if one.why else _OUTCOMES[value.outcome]
    word += f" ({value.why})" if value.why else ""
    part = f"{value.used} of " * (0 < value.used < value.n)
    runs = f"{part}{value.n}{f' (and {lost})' if lost else ''}"
    return one.shown(value.value), runs, mean, behind, p, word
