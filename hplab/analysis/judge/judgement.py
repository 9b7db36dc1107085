"""What runs say to a question: as numbers, as text and as a card."""

from __future__ import annotations

import dataclasses
import html
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from hplab.analysis.claims import phrases
from hplab.analysis.claims.decisions import Finding
from hplab.analysis.claims.verdict import WORDS
from hplab.analysis.judge import question as asking
from hplab.analysis.judge import words
from hplab.analysis.judge.resolve import Asked
from hplab.analysis.stats.intervals import CONTRADICTED, INCONCLUSIVE, SUPPORTED, Interval
from hplab.analysis.style import styled

_SHOWS = {
    SUPPORTED: "The runs show that {}.",
    CONTRADICTED: "The runs contradict that {}.",
    INCONCLUSIVE: "The runs leave open whether {}.",
}
MOST = 300  # seeds of each setting beyond which nothing is planned


@dataclasses.dataclass(frozen=True)
class Judgement:
    """What runs say to a question; shows itself as a card in a notebook and as text elsewhere.

    Attributes:
        asked: The question, with the runs and the claim it became.
        outcome: "supported", "contradicted" or "inconclusive".
        finding: The numbers before Holm's correction; None where too many runs diverged.
        why_open: Why the runs may not decide, whatever their numbers are, and what would let them;
            "" if they may.
        remarks: What a reader has to know of the runs, in sentences.
        p_holm: The p value after Holm's correction over the questions of one call, if several.
        n_questions: How many those were.
        more_seeds: How many more seeds of each setting would probably settle it (80 %), at the
            scatter seen; None if it is settled, or that would not do, or is not known.
    """

    asked: Asked
    outcome: str
    finding: Finding | None
    remarks: tuple[str, ...] = ()
    p_holm: float | None = None
    n_questions: int = 1
    more_seeds: int | None = None
    why_open: str = ""

    @property
    def interval(self) -> Interval | None:
        """The interval of what decides, in `unit`; None where several differences do."""
        if self.finding is None:
            return None
        if self.asked.question.kind == asking.TREND:
            slope = self.finding.parts[0]["interval"]
            return slope if isinstance(slope, Interval) else None
        return self.finding.interval

    @property
    def estimate(self) -> float | None:
        """The effect, in `unit`."""
        return self.interval.estimate if self.interval else None

    @property
    def unit(self) -> str:
        """Unit of the effect: "pp", "%", "epochs", "ratio", "any" (the metric's own) and so on."""
        kind, metric = self.asked.question.kind, self.asked.metric
        if kind == asking.THRESHOLD:
            return metric.level_unit
        return "%" if kind == asking.CHANCE else self.asked.margin.unit

    @property
    def n(self) -> tuple[int, ...]:
        """Runs of each setting that it rests on."""
        return tuple(map(len, self.finding.sample.rows)) if self.finding else ()

    @property
    def p(self) -> float | None:
        """p value of the deciding test, before Holm's correction."""
        return self.finding.p if self.finding else None

    @property
    def runs(self) -> pd.DataFrame:
        """The runs it rests on; "row" says which row of the given table each was."""
        kept = set(self._rows())
        runs = self.asked.runs
        return runs[runs["row"].isin(kept)] if self.finding else runs

    def _rows(self) -> list[int]:
        tables = self.finding.sample.rows if self.finding else ()
        return sorted(int(row) for rows in tables for row in rows["row"])

    @property
    def sentence(self) -> str:
        """The finding in a plain sentence."""
        return _SHOWS[self.outcome].format(words.claim_in_words(self.asked))

    @property
    def numbers(self) -> str:
        """The estimate with its interval, in a sentence; "" where nothing could be measured."""
        if self.finding is None:
            return ""
        return words.numbers(self.asked, self.finding, self.interval, self.unit)

    @property
    def basis(self) -> str:
        """How many runs, how they were compared, and the p value, in a sentence."""
        return _basis(self)

    @property
    def rests_on(self) -> str:
        """Which rows of the table it rests on, in a sentence."""
        if self.finding is None:
            return ""
        each = [
            f"{name or 'the setting'}: {words.ranges([int(row) for row in rows['row']])}"
            for name, rows in zip(self.finding.sample.arms, self.finding.sample.rows, strict=True)
        ]
        few = each if len(each) <= 6 else [*each[:5], f"and {len(each) - 5} settings more"]
        where = "these rows of the table (counted from 1, without a header)"
        return f"It rests on {where}: {'; '.join(few)}."

    @property
    def settles(self) -> str:
        """What would settle it, in a sentence; "" where it is settled or not known."""
        if self.outcome != INCONCLUSIVE or self.finding is None:
            return ""
        planned = self.asked.claim.seeds
        has_plan = planned < sys.maxsize
        if has_plan and min(self.n) >= planned:
            return f"All {planned} seeds that were planned are there, so it stays open."
        if self.more_seeds is not None:
            runs = "seeds" if self.asked.paired or len(self.asked.arms) == 1 else "runs"
            total = min(self.n) + self.more_seeds
            more = (
                f"At the scatter seen so far, {self.more_seeds} more {runs} of each setting would "
                "settle it with a chance of 80 %"
            )
            if has_plan:
                return f"{more}; {planned} are planned."
            return (
                f"{more}. Say then that {total} were planned (planned={total}, in a shell "
                f"--planned {total}): this was a look, and looking twice costs."
            )
        if self.finding.distances and not (self.finding.face or self.finding.lacks_scatter):
            if has_plan:
                return (
                    f"At the scatter seen so far, the {planned} seeds that are planned would "
                    "probably not settle it."
                )
            return (
                f"Even {MOST} seeds of each setting would probably not settle it: what was seen is "
                "too near to the margin."
            )
        return ""

    def row(self) -> dict[str, Any]:
        """Return the judgement as one row of a table."""
        interval, asked = self.interval, self.asked
        return {
            "question": asked.question.text,
            "kind": asked.question.kind,
            "metric": asked.metric.name,
            "outcome": self.outcome,
            "finding": self.sentence,
            "estimate": interval.estimate if interval else None,
            "low": interval.low if interval else None,
            "high": interval.high if interval else None,
            "unit": "" if self.unit == "any" else self.unit,
            "margin": asked.margin.value,
            "n": list(self.n),
            "paired": asked.paired,
            "p": self.p,
            "p_holm": self.p_holm,
            "more_seeds": self.more_seeds,
            "rows": self._rows(),
            "why_open": self.why_open,
            "remarks": list(self.remarks),
        }

    def lines(self) -> list[str]:
        """Return what is said beneath the finding, a sentence or two a line."""
        found = [self.numbers, self.basis, self.why_open, *self.remarks, self.settles]
        found.append(self.rests_on)
        return [line for line in found if line]

    def __repr__(self) -> str:
        lines = "\n".join(f"  {line}" for line in self.lines())
        return f"{WORDS[self.outcome]}: {self.sentence}\n{lines}"

    def card(self) -> str:
        """Return the judgement as HTML; every text is escaped."""
        say = html.escape
        details = [one for one in (*self.remarks, self.rests_on, words.how(self.asked)) if one]
        shown = [one for one in (self.numbers, self.basis, self.why_open, self.settles) if one]
        decided = "".join(f"<p>{say(line)}</p>" for line in details)
        return (
            f'<section class="hp-verdict hp-{self.outcome}" '
            f'aria-label="Verdict: {WORDS[self.outcome].lower()}. {say(self.sentence)}">'
            f'<p><span class="hp-verdict-word">{WORDS[self.outcome]}</span></p>'
            f"<p><strong>{say(self.sentence)}</strong></p>"
            f'<p class="hp-verdict-reason">{say(" ".join(shown))}</p>'
            "<details><summary>How this was decided</summary>"
            f"{decided}{_parts(self)}</details></section>"
        )

    def _repr_html_(self) -> str:
        return self.card()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": styled(self.card()), "text/plain": repr(self)}


class Judgements(list[Judgement]):
    """Several judgements of one call, shown one beneath the other."""

    def table(self) -> pd.DataFrame:
        """Return one row a question."""
        return pd.DataFrame([one.row() for one in self])

    def __repr__(self) -> str:
        return "\n\n".join(map(repr, self))

    def _repr_html_(self) -> str:
        return "".join(one.card() for one in self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": styled(self._repr_html_()), "text/plain": repr(self)}


def _basis(one: Judgement) -> str:
    asked, finding = one.asked, one.finding
    if finding is None:
        return ""
    counts = one.n
    low, high = min(counts), max(counts)
    of_each = " of each setting" if len(counts) > 1 else ""
    noun = "seeds" if asked.paired else "runs"
    said = f"n = {low if low == high else f'{low} to {high}'} {noun}{of_each}"
    if len(counts) > 1:
        said += ", compared seed by seed" if asked.paired else ", not paired"
    if one.p is not None:
        said += f"; {phrases.p_value(one.p)}"
        if asked.margin.value > asked.margin.null:
            said += " (tested against the margin, not against no difference)"
        if one.p_holm is not None and one.n_questions > 1:
            said += f", {phrases.p_value(one.p_holm)} after Holm's correction over "
            said += f"{one.n_questions} questions"
    if not asked.margin.value and asked.question.kind in (asking.DIRECTION, asking.SOONER):
        said += "; no margin was asked for, so any difference counts"
    return f"{said}."


_PART = {SUPPORTED: "as claimed", CONTRADICTED: "not so", INCONCLUSIVE: "open", "": ""}


def _parts(one: Judgement) -> str:
    parts: Sequence[Mapping[str, Any]] = one.finding.parts if one.finding else ()
    parts = [
        part for part in parts if one.asked.question.kind != asking.TREND and "interval" in part
    ]
    rows = []
    for part in parts:
        unit = part["unit"]
        number = phrases.number(part["interval"].estimate, unit)
        value = f"{number} ({phrases.span(part['interval'], unit)})"
        rows.append(
            f'<tr><th scope="row">{html.escape(str(part["part"]))}</th>'
            f'<td class="hp-num">{html.escape(value)}</td><td>{_PART[part["outcome"]]}</td></tr>'
        )
    if not rows:
        return ""
    return (
        f'<div class="hp-scroll" tabindex="0"><table class="hp-table">{"".join(rows)}</table></div>'
    )
