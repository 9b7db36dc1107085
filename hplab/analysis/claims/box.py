"""A verdict as a box of HTML, for notebooks and the pages made of them."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from hplab.analysis.claims import estimands, phrases
from hplab.analysis.stats.intervals import CONTRADICTED, INCONCLUSIVE, SUPPORTED

if TYPE_CHECKING:
    from hplab.analysis.claims.decisions import Finding
    from hplab.analysis.claims.judging import Verdict
    from hplab.analysis.claims.ledger import Claim

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


def word(verdict: Verdict) -> str:
    """Return what stands first of a verdict; a miniature has words of its own."""
    if verdict.shown_small:
        return f"In miniature: {SMALL[verdict.miniature].lower()}"
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
        f"<blockquote>{say(claim.says)}</blockquote>"
        f'<p class="hp-verdict-reason">{say(verdict.reason)}</p>'
        f'<p class="hp-verdict-own">Claim {named(claim.id)}, report {say(claim.report.id)}, '
        f"{say(claim.section)}.{quote} The report's own data: {say(own(claim))}</p>"
        f"{_details(verdict)}</section>"
    )


def _details(verdict: Verdict) -> str:
    claim, lines = verdict.claim, [verdict.claim.rule]
    if verdict.finding and verdict.p is not None:
        lines.append(_p_words(verdict))
    if verdict.finding and verdict.finding.wins:
        lines.append(wins(verdict.finding))
    if verdict.finding and verdict.finding.sample.differs:
        lines.append(
            f"Not as in the report: {phrases.differences(verdict.finding.sample.differs)}."
        )
    lines += [note for note in (estimands.words(claim), claim.note, claim.report.caveat) if note]
    text = "".join(f"<p>{html.escape(line)}</p>" for line in lines)
    return (
        f"<details><summary>How this was decided</summary>{text}{_parts_table(verdict)}</details>"
    )


def wins(finding: Finding) -> str:
    """Return how often a run of one setting has the larger value than one of another, in words.

    A difference of means can be sure and still be small beside the luck of one run: this says how
    much of it a reader who trains once would see.
    """
    found, (first, second) = finding.wins, finding.sample.arms
    words = f"One run each: that at {first} has the larger value"
    if found.low == found.high:  # a sample in which one always wins says nothing of its chance
        return f"{words} than that at {second} in {100 * found.estimate:.0f} % of our pairs."
    return (
        f"{words} than that at {second} with a probability of {100 * found.estimate:.0f} % "
        f"({100 * found.low:.0f} to {100 * found.high:.0f} %), whatever their seeds."
    )


def _p_words(verdict: Verdict) -> str:
    words = f"Deciding test: {phrases.p_value(verdict.p)}"
    if verdict.p_holm is not None:
        words += f"; {phrases.p_value(verdict.p_holm)} after Holm's correction over the "
        words += f"{verdict.n_family} primary claims"
    else:
        words += ", not corrected, because this is not a primary claim"
    if look := verdict.look:
        words += f". This look, after {look.n} of {look.planned} planned seeds"
        words += f" ({100 * look.fraction:.0f} %), decides at {look.level:.2g}"
        if verdict.adjusted:
            interval = phrases.limits(verdict.adjusted, verdict.unit)
            words += f", as any seed could have been looked at ({interval})"
    flip = verdict.finding.p_sign_flip
    return f"{words}. Exact sign-flip check: {phrases.p_value(flip)}." if flip else f"{words}."


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
    if "share" in part:
        return f"first in {100 * part['share']:.1f} %"
    interval, unit = part["interval"], part["unit"]
    theirs = f"; theirs {phrases.number(part['report'], unit)}" if "report" in part else ""
    return f"{phrases.number(interval.estimate, unit)} ({phrases.span(interval, unit)}){theirs}"
