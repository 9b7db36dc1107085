"""A verdict: what runs say about a claim, as numbers, as text and as a box of HTML."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from hplab.analysis.claims import estimands, needs, phrases
from hplab.analysis.claims.claim import Claim
from hplab.analysis.claims.decisions import Finding
from hplab.analysis.stats import sequential
from hplab.analysis.stats.intervals import CONTRADICTED, INCONCLUSIVE, SUPPORTED, Interval
from hplab.analysis.stats.sequential import Look
from hplab.analysis.style import styled

MISSING, UNTESTABLE = "missing", "not-testable"
RERUN, SCALED, STAND_IN = "re-run", "scaled-down re-run", "stand-in"
IN_MINIATURE = (SCALED, STAND_IN)


NARROWEST = 1e-13  # a look at a lower level has an interval without end in floating point
READABLE = 1e-3  # a look at a lower level has an interval too wide to say anything


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What runs say about a claim; shows itself as a box in a notebook and as text elsewhere.

    Attributes:
        claim: The claim, with what the report's own data say.
        outcome: "supported", "contradicted", "inconclusive", "missing" or "not-testable".
        reason: Why, in sentences for readers.
        kind: "re-run" (the report's own setting), "scaled-down re-run" (its data, less of it),
            "stand-in" (other data) or "" when nothing could be evaluated.
        preset: The preset of the runs, "" if not known.
        data: The data set or sets of the runs.
        finding: The numbers before Holm's correction; None when missing.
        p_holm: The p value after Holm's correction, for primary claims; what looking before the end
            of the plan costs is in it.
        n_family: Primary claims in that correction.
        look: Which look at the planned seeds this is, and at what level it decides; None for runs
            that are no part of the plan.
        more_seeds: How many more seeds would probably settle it, at the scatter seen so far; None
            if it is settled, or the plan probably cannot settle it, or that is not known.
        small: What smaller runs show, or why none could or do; None where nobody looked. It has no
            part in the outcome.
        under: Of a report whose set-up had to be guessed: what each set-up that fits its numbers
            gives for the claim, by its name (see `hplab.analysis.claims.setups`).
    """

    claim: Claim
    outcome: str
    reason: str
    kind: str = ""
    preset: str = ""
    data: str = ""
    finding: Finding | None = None
    p_holm: float | None = None
    n_family: int = 0
    look: Look | None = None
    more_seeds: int | None = None
    small: Verdict | None = None
    under: Mapping[str, Finding] = dataclasses.field(default_factory=dict)

    @property
    def interim(self) -> bool:
        """Whether seeds of the plan are still to come."""
        return bool(self.look and self.look.interim)

    @property
    def planned(self) -> int:
        """Seeds of the plan."""
        return self.claim.seeds

    @property
    def fraction(self) -> float | None:
        """The share of the plan that is there (information fraction)."""
        return self.look.fraction if self.look else None

    @property
    def adjusted_alpha(self) -> float | None:
        """The two-sided level at which this look decides."""
        return self.look.level if self.look else None

    @property
    def adjusted(self) -> Interval | None:
        """The interval that goes with that level: it holds whenever somebody looks.

        None where so little is spent that the interval would say nothing.
        """
        if self.look is None or self.finding is None or self.look.level < READABLE:
            return None
        return self.finding.at_level(1 - self.look.level)

    @property
    def leaning(self) -> str:
        """Where an interim verdict that stays open points: its outcome by itself; "" for nowhere.

        Display only: what decides is the outcome.
        """
        alone = self.finding.outcome if self.finding else ""
        return alone if self.outcome == INCONCLUSIVE and self.interim and alone in _STANDS else ""

    @property
    def deciding(self) -> Interval | None:
        """The interval that this look decides by, however wide; None where there is none."""
        if self.look is None or self.finding is None or self.look.level < NARROWEST:
            return None
        return self.finding.at_level(1 - self.look.level)

    @property
    def miniature(self) -> str:
        """What runs say that are not the report's size: the test's outcome, never a verdict.

        It is that of the claim's test by itself at its level, without the corrections that a
        verdict has to survive (for looks, and for the number of primary claims).
        """
        if self.finding is None or self.kind not in IN_MINIATURE:
            return self.small.miniature if self.small else ""
        return self.finding.face or self.finding.outcome

    @property
    def smaller(self) -> Verdict | None:
        """Return the miniature: these runs, if they are none of the report's size, or `small`."""
        return self if self.finding is not None and self.kind in IN_MINIATURE else self.small

    @property
    def shown_small(self) -> bool:
        """Whether these runs are a miniature, which decides nothing and is shown as one."""
        return self.outcome == MISSING and self.kind in IN_MINIATURE

    @property
    def runs_in_words(self) -> str:
        """Data, length and seeds of the runs: "digits, 20 epochs, n = 5"; "" for none."""
        if self.finding is None:
            return ""
        tables = self.finding.sample.rows
        lengths = sorted({int(n) for rows in tables if "epochs" in rows for n in rows["epochs"]})
        plural = "" if lengths == [1] else "s"
        length = f"{' and '.join(map(str, lengths))} epoch{plural}" if lengths else ""
        return ", ".join(filter(None, (self.data, length, f"n = {self.n}")))

    @property
    def sentence(self) -> str:
        """What came out, in one sentence without terms of statistics; they are in `reason`."""
        if self.finding is None:
            return self.reason
        what = f": {phrases.plain(self.finding.in_short)}" if self.finding.in_short else ""
        return f"{_came_out(self, self.finding)}{what}."

    @property
    def interval(self) -> Interval | None:
        """The deciding interval, in `unit`; None for claims of several parts."""
        return self.finding.interval if self.finding else None

    @property
    def estimate(self) -> float | None:
        """The effect, in `unit`."""
        return self.interval.estimate if self.interval else None

    @property
    def unit(self) -> str:
        """Unit of estimate and interval."""
        return self.finding.unit if self.finding else ""

    @property
    def n(self) -> int:
        """Seeds the verdict rests on."""
        return self.finding.sample.n if self.finding else 0

    @property
    def p(self) -> float | None:
        """p value of the deciding test, before Holm's correction."""
        return self.finding.p if self.finding else None

    @property
    def label(self) -> str:
        """What the runs are, beside the report's: "" only when there are none."""
        where = f"on the {self.preset} preset" if self.preset else f"on {self.data}"
        if self.kind == STAND_IN:
            return f"{where}: a small stand-in, not a re-run of the report"
        if self.kind == SCALED:
            return f"{where}: a scaled-down re-run"
        return f"{where}: a re-run at the report's setting" if self.kind else ""

    def row(self) -> dict[str, Any]:
        """Return the verdict as one row of a table."""
        interval, adjusted = self.interval, self.adjusted
        return {
            "claim": self.claim.id,
            "says": self.claim.says,
            "own_data": self.claim.own_verdict,
            "outcome": self.outcome,
            "kind": self.kind,
            "estimate": self.estimate,
            "low": interval.low if interval else None,
            "high": interval.high if interval else None,
            "unit": self.unit,
            "n": self.n,
            "p": self.p,
            "p_holm": self.p_holm,
            "planned": self.planned,
            "interim": self.interim,
            "alpha": self.adjusted_alpha,
            "adjusted_low": adjusted.low if adjusted else None,
            "adjusted_high": adjusted.high if adjusted else None,
            "more_seeds": self.more_seeds,
            "miniature": self.miniature,
            **self._small_row(),
            "primary": self.claim.primary,
            "reason": self.reason,
        }

    def _small_row(self) -> dict[str, Any]:
        small = self.smaller
        shown = small if small and small.miniature else None
        return {
            "miniature_preset": shown.preset if shown else "",
            "miniature_runs": shown.runs_in_words if shown else "",
            "miniature_estimate": shown.estimate if shown else None,
        }

    def __repr__(self) -> str:
        label = f" ({self.label})" if self.label else ""
        return (
            f"{self.claim.id} {word(self)}{label}\n"
            f"  Report {self.claim.report.id}: {self.claim.says}\n"
            f"  {self.reason}\n"
            f"  The report's own data: {own(self.claim)}"
        )

    def _repr_html_(self) -> str:
        return box(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": styled(box(self)), "text/plain": repr(self)}


class Verdicts(list[Verdict]):
    """Several verdicts, shown one beneath the other.

    Args:
        iterable: The verdicts.
    """

    def table(self) -> pd.DataFrame:
        """Return one row a verdict."""
        return pd.DataFrame([verdict.row() for verdict in self])

    def __repr__(self) -> str:
        return "\n\n".join(map(repr, self))

    def _repr_html_(self) -> str:
        decided = "".join(box(one) for one in self if has_runs(one))
        return decided + not_run(self, "claim")

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": styled(self._repr_html_()), "text/plain": repr(self)}


WORDS = {  # the outcomes as readers see them, everywhere
    "supported": "Supported",
    "contradicted": "Contradicted",
    "inconclusive": "Inconclusive",
    "missing": "Not run yet",
    "not-testable": "Not testable",
}


NO_RUNS = ("missing", "not-testable")


SMALL = {  # what a miniature says; it is never a verdict
    "supported": "As claimed",
    "contradicted": "Not so",
    "inconclusive": "Open",
}


_STANDS = {SUPPORTED: "agree with", CONTRADICTED: "disagree with"}


def _came_out(verdict: Verdict, finding: Finding) -> str:
    """Return how a verdict's sentence begins: what our runs say of the report's."""
    if verdict.shown_small:
        small = {SUPPORTED: "it is so", CONTRADICTED: "it is not so", INCONCLUSIVE: "it stays open"}
        return f"In these small runs, which decide nothing, {small[verdict.miniature]}"
    if verdict.outcome in _STANDS:
        return f"Our runs {_STANDS[verdict.outcome]} the report"
    alone, look = finding.outcome, verdict.look
    if look and look.interim:
        so_far = f"{look.n} of {look.planned} planned seeds"
        if alone in _STANDS:
            return f"So far our runs {_STANDS[alone]} the report, but {so_far} are too few"
        return f"Open after {so_far}"
    if alone not in _STANDS:
        return f"Open, even with {verdict.n} seeds"
    if verdict.p_holm is not None and verdict.p_holm >= verdict.claim.alpha:
        return (
            f"Open, as our runs {_STANDS[alone]} the report, but not clearly enough for one of its "
            f"{verdict.n_family} main claims"
        )
    stands = _STANDS[alone].replace("agree", "agrees")
    return f"Open, as the report may have used another network than ours, which {stands} it"


def word(verdict: Verdict) -> str:
    """Return what stands first of a verdict; a miniature has words of its own."""
    if verdict.shown_small:
        return f"In miniature: {SMALL[verdict.miniature].lower()}"
    if verdict.leaning:
        return f"{WORDS[verdict.outcome]} so far: points to {verdict.leaning}"
    return WORDS[verdict.outcome]


def has_runs(verdict: Verdict) -> bool:
    """Return whether a verdict has runs to show, at the report's size or in miniature."""
    return verdict.outcome not in NO_RUNS or verdict.shown_small


def own(claim: Claim) -> str:
    """Return what a report's own data say, in words."""
    return f"{claim.own_verdict.replace('-', ' ')}. {claim.own_why}"


def not_run(verdicts: Iterable[Verdict], kind: str) -> str:
    """Return the claims that no run speaks about as one line an outcome, "" for none.

    Args:
        verdicts: Some of them may have runs; those are passed over.
        kind: What the line stands in for, "claim" for boxes or "row" for a table.
    """
    lines, absent = [], [one for one in verdicts if not has_runs(one)]
    for outcome in NO_RUNS:
        names = [named(one.claim.id, kind) for one in absent if one.outcome == outcome]
        if names:
            lines.append(f'<p class="hp-not-run">{WORDS[outcome]}: {", ".join(names)}.</p>')
    return "".join(lines)


def named(claim_id: str, kind: str = "") -> str:
    """Return a claim's name as the book links it to the ledger; with a kind, a place of its own."""
    place = f' id="{kind}-{claim_id}"' if kind else ""
    return f'<span class="hp-claim"{place}>{html.escape(claim_id)}</span>'


def box(verdict: Verdict) -> str:
    """Return the verdict as HTML; every text is escaped, the word stands beside the shape."""
    claim, say = verdict.claim, html.escape
    label = f' <span class="hp-verdict-label">{say(verdict.label)}</span>' if verdict.label else ""
    about = "Claim" if verdict.shown_small else "Verdict on claim"
    quote = f" In its words: <q>{say(claim.quote)}</q>." if claim.quote else ""
    return (
        f'<section class="hp-verdict hp-{verdict.outcome}" id="claim-{say(claim.id)}" '
        f'aria-label="{about} {say(claim.id)}: {word(verdict).lower()}">'
        f'<p><span class="hp-verdict-word">{word(verdict)}</span>{label}</p>'
        f'<p class="hp-verdict-finding">{say(verdict.sentence)}</p>'
        f"<blockquote>{say(claim.says)}</blockquote>"
        f'<p class="hp-verdict-own">Claim {named(claim.id)}, report {say(claim.report.id)}, '
        f"{say(claim.section)}.{quote} The report's own data: {say(own(claim))}</p>"
        f"{_details(verdict)}{_seeds(verdict)}</section>"
    )


def _details(verdict: Verdict) -> str:
    claim, finding, lines = verdict.claim, verdict.finding, [verdict.claim.rule]
    reason = f'<p class="hp-verdict-reason">{html.escape(verdict.reason)}</p>'
    if finding and finding.p is not None:
        lines.append(_p_words(verdict, finding, finding.p))
    if finding and finding.wins:
        lines.append(wins(finding.wins, finding.sample.arms))
    if finding and finding.sample.differs:
        lines.append(f"Not as in the report: {phrases.differences(finding.sample.differs)}.")
    lines += [note for note in (estimands.words(claim), claim.note, claim.report.caveat) if note]
    text = "".join(f"<p>{html.escape(line)}</p>" for line in lines)
    return (
        f"<details><summary>{html.escape(_how_sure(verdict))}</summary>"
        f"{reason}{text}{_parts_table(verdict)}</details>"
    )


def _seeds(verdict: Verdict) -> str:
    need = needs.of(verdict.claim, verdict.interval, verdict.n, verdict.unit)
    return needs.fold(need, n_family=verdict.n_family if verdict.claim.primary else 0)


def _how_sure(verdict: Verdict) -> str:
    """Return what stands on the fold of the statistics: the interval and the seeds, if any."""
    if verdict.finding is None:
        return "How this is decided"
    start, found = "How this was decided", f"n = {verdict.n}"
    if (interval := verdict.interval) and not verdict.finding.parts:
        of = "a new run of ours: " if verdict.claim.test.new_run else ""
        unit = {"ratio": "times", "any": "", "share": "", "tau": ""}.get(verdict.unit, verdict.unit)
        limits = of + phrases.limits(interval, verdict.unit)
        unit = "" if interval.low == interval.high else unit
        start, found = "How sure", f"{f'{limits} {unit}'.rstrip()}, {found}"
    return f"{start}: {found}"


def wins(found: Interval, arms: Sequence[str]) -> str:
    """Return how often a run of one setting has the larger value than one of another, in words.

    A difference of means can be sure and still be small beside the luck of one run: this says how
    much of it a reader who trains once would see.
    """
    first, second = arms
    words = f"One run each: that at {first} has the larger value"
    if found.low == found.high:  # a sample in which one always wins says nothing of its chance
        return f"{words} than that at {second} in {100 * found.estimate:.0f} % of our pairs."
    return (
        f"{words} than that at {second} with a probability of {100 * found.estimate:.0f} % "
        f"({100 * found.low:.0f} to {100 * found.high:.0f} %), whatever their seeds."
    )


def _p_words(verdict: Verdict, finding: Finding, p: float) -> str:
    words = f"Deciding test: {tested(verdict, p)}"
    flip = finding.p_sign_flip
    return f"{words} Exact sign-flip check: {phrases.p_value(flip)}." if flip else words


def tested(verdict: Verdict, p: float) -> str:
    """Return the p value with the level it is held against, and what Holm's correction leaves."""
    words = f"p = {phrases.small_p(p)}"
    if verdict.finding and verdict.finding.identical:
        return (
            "Both settings give the very same numbers, seed by seed, so luck has no part (p = 0)."
        )
    if look := verdict.look:
        words += f". After {look.n} of {look.planned} planned seeds only p below "
        words += f"{phrases.small_p(look.level)} decides"
        if look.interim:
            last = sequential.look(look.planned, look.planned, first=look.first, alpha=look.alpha)
            words += f" (with all of them, {phrases.small_p(last.level)})"
        words += ", as any seed could have been looked at"
        if verdict.adjusted:
            words += f" ({phrases.limits(verdict.adjusted, verdict.unit)})"
    if verdict.p_holm is None:
        return f"{words}. Not corrected for other claims, because this is not a primary claim."
    return (
        f"{words}. With the looks counted in and after Holm's correction over the "
        f"{verdict.n_family} primary claims of this report and study: p = "
        f"{phrases.small_p(verdict.p_holm)}, to be held against {verdict.claim.alpha:g}."
    )


# What is said of a part; of a rival in a ranking nothing was claimed.
_PART = {SUPPORTED: "as claimed", CONTRADICTED: "not so", INCONCLUSIVE: "open", "": ""}


def _parts_table(verdict: Verdict) -> str:
    parts = verdict.finding.parts if verdict.finding else ()
    if not parts:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{html.escape(part["part"])}</th>'
        f'<td class="hp-num">{html.escape(_part_value(part))}</td>'
        f"<td>{_PART[part['outcome']]}</td></tr>"
        for part in parts
    )
    return f'<div class="hp-scroll" tabindex="0"><table class="hp-table">{rows}</table></div>'


def _part_value(part: Mapping[str, Any]) -> str:
    if "words" in part:
        return part["words"]
    interval, unit = part["interval"], part["unit"]
    theirs = f"; theirs {phrases.number(part['report'], unit)}" if "report" in part else ""
    return f"{phrases.number(interval.estimate, unit)} ({phrases.span(interval, unit)}){theirs}"
