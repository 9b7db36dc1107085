"""Kinds of evidence on a claim, a column each: what the ledger, its filter and its folds show.

To show another kind, add one `Column` to `COLUMNS`.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hplab.analysis.claims import published
from hplab.analysis.claims.verdict import MISSING, SMALL, UNTESTABLE, WORDS, Verdict
from hplab.pages import labels
from hplab.pages.tables import terminal

OWN = {
    "supported": "Supported",
    "contradicted": "Contradicted",
    "mixed": "Mixed",
    "unclear": "Unclear",
    "invalid-evidence": "Evidence invalid",
    "not-tested": "Never tested",
    "not-available": "No data published",
    "not-applicable": "Not applicable",
}
IN_MINIATURE = {**SMALL, MISSING: WORDS[MISSING], UNTESTABLE: "No miniature"}
TONES = ("supported", "contradicted", "inconclusive")  # these have a colour; the rest is neutral


@dataclass(frozen=True)
class Column:
    """What one kind of evidence says about a claim.

    Attributes:
        name: Of the filter and of the rows' data attribute.
        title: What readers call it.
        words: Its outcomes as readers see them, in the order of the filter.
        outcome: What it says, a key of `words`.
        number: The effect that decided, with its interval and n; "" for none.
        why: The reason, in sentences.
        decides: Whether it is a verdict. What is none has no colour.
        leans: Whether it is our verdict, which may be open and point to an outcome so far.
    """

    name: str
    title: str
    words: Mapping[str, str]
    outcome: Callable[[Verdict], str]
    number: Callable[[Verdict], str]
    why: Callable[[Verdict], str]
    decides: bool = True
    leans: bool = False

    def word(self, verdict: Verdict) -> str:
        """Return the outcome as a coloured word."""
        outcome = self.outcome(verdict)
        tone = f" hp-{outcome}" if self.decides and outcome in TONES else ""
        points = f" so far: points to {verdict.leaning}" if self.leans and verdict.leaning else ""
        return f'<strong class="hp-word{tone}">{self.words[outcome]}{points}</strong>'

    def cell(self, verdict: Verdict) -> str:
        """Return the outcome with its number beneath it."""
        number = as_html(self.number(verdict))
        return self.word(verdict) + (f"<small>{number}</small>" if number else "")


def as_html(text: str) -> str:
    """Return text as HTML, unbroken inside numbers and before their units."""
    return labels.unbroken(html.escape(text))


def their_number(verdict: Verdict) -> str:
    """Return the effect in the report's own numbers: one run a setting, so without interval."""
    found = published.effect(verdict.claim)
    return labels.effect(*found) if found else ""


def our_number(verdict: Verdict) -> str:
    """Return our effect with its interval and the seeds it rests on."""
    seeds = f"n = {verdict.n}" if verdict.n else ""
    finding = getattr(verdict, "finding", None)  # a committed verdict has none
    if finding and finding.identical:
        return f"the very same, seed by seed, {seeds}"
    return ", ".join(filter(None, (terminal.estimate(verdict), seeds)))


def our_reason(verdict: Verdict) -> str:
    """Return the reason of a re-run's verdict, and what the runs were."""
    label = verdict.label
    if verdict.outcome == MISSING and not label:
        return verdict.reason
    return f"{verdict.reason} {f'({label[:1].upper()}{label[1:]}.)' if label else ''}".strip()


def small_outcome(verdict: Verdict) -> str:
    """Return what smaller runs show, a key of `IN_MINIATURE`."""
    small = verdict.smaller
    return small.miniature or small.outcome if small else verdict.outcome


def small_runs(verdict: Verdict) -> str:
    """Return data, epochs and seeds of a miniature: "digits, 20 epochs, n = 5"; "" for none."""
    return verdict.smaller.runs_in_words if verdict.smaller else ""


def small_reason(verdict: Verdict) -> str:
    """Return what smaller runs gave, or why there are none."""
    small = verdict.smaller
    if small is None or not small.miniature:
        return small.reason if small else verdict.reason
    return f"{small.reason} (Preset {small.preset}: {small.runs_in_words}. It decides nothing.)"


OWN_DATA = Column(
    "own",
    "Its own data",
    OWN,
    lambda verdict: verdict.claim.own_verdict,
    their_number,
    lambda verdict: verdict.claim.own_why,
)
RERUN = Column(
    "rerun",
    "Our re-run",
    WORDS,
    lambda verdict: verdict.outcome,
    our_number,
    our_reason,
    leans=True,
)
MINIATURE = Column(
    "miniature",
    "In miniature",
    IN_MINIATURE,
    small_outcome,
    small_runs,
    small_reason,
    decides=False,
)
COLUMNS = (OWN_DATA, MINIATURE, RERUN)
