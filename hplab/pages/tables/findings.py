"""What the first page says before all else: what has been found out, in sentences and a figure."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence

from hplab.analysis.claims import phrases, published
from hplab.analysis.claims.verdict import Verdict
from hplab.analysis.stats.intervals import CONTRADICTED, INCONCLUSIVE, SUPPORTED
from hplab.pages import labels
from hplab.pages.figures import claims
from hplab.pages.tables import markdown

# How the sentence on a claim begins, for the outcomes that it is true of. A claim that comes out
# otherwise one day is told in the words that every verdict has.
BEGINNINGS: Mapping[str, Mapping[str, str]] = {
    "S0-36": {
        CONTRADICTED: "A loss was blamed for a network that learned nothing, and is not to blame",
    },
    "S0-18": {
        SUPPORTED: "A tenth of the learning rate does slow SGD down, as a report says",
    },
    "S4-08": {
        INCONCLUSIVE: "Is what a report calls the best learning rate better than half of it",
    },
}
# What is proved needs no runs; they show it all the same.
PROVED: Mapping[str, str] = {
    "S0-36": "on one-hot labels the KL divergence is cross-entropy, "
    "which is proved and not measured",
}


def tables(judged: Callable[[], Sequence[Verdict]]) -> dict[str, Callable[[], str]]:
    """Return what the first page asks for; `judged` gives the verdicts."""
    return {
        "findings": lambda: findings(judged()),
        "cover": lambda: markdown.raw(cover(judged())),
    }


def cover(verdicts: Sequence[Verdict]) -> str:
    """Return the figure of many claims; it holds links, so it is a group and no image."""
    return claims.claims(verdicts).html.replace('role="img"', 'role="group"', 1)


def findings(verdicts: Sequence[Verdict]) -> str:
    """Return a sentence for each of a few claims that have runs, with interval and seeds."""
    known = {verdict.claim.id: verdict for verdict in verdicts}
    told = [sentence(known[name]) for name in BEGINNINGS if name in known]
    items = "".join(f"<li>{one}</li>" for one in told if one)
    if not items:
        return "No claim has been decided yet."
    return markdown.raw(f'<ul class="hp-found">{items}</ul>')


def sentence(verdict: Verdict) -> str:
    """Return what was found on a claim as HTML, "" where no run speaks about it."""
    finding, interval, claim = verdict.finding, verdict.interval, verdict.claim
    if finding is None or interval is None or verdict.shown_small or not finding.in_short:
        return ""
    start = BEGINNINGS.get(claim.id, {}).get(verdict.outcome)
    at = f'claim <a href="ledger.html#{claim.id}">{claim.id}</a>'
    if start and finding.identical and claim.id in PROVED:
        seeds = labels.count(verdict.n, "seed")
        runs = f"with either loss our runs give the same numbers in each of {seeds}"
        return f"{start}: {PROVED[claim.id]}; {runs} ({at})."
    if start and verdict.outcome == INCONCLUSIVE and verdict.under:
        return f"{start}? {with_set_ups(verdict)} ({at})."
    said = verdict.sentence.removesuffix(".")
    if start and verdict.outcome != INCONCLUSIVE:
        said = f"{start}: {phrases.plain(finding.in_short)}"
    seeds = f"n = {labels.count(verdict.n, 'seed')}"
    if finding.sample.length:
        seeds += f" after {finding.sample.length}"
    text = labels.unbroken(
        html.escape(f"{said} ({phrases.limits(interval, verdict.unit)}, {seeds}")
    )
    return f"{text}; {at})."


def with_set_ups(verdict: Verdict) -> str:
    """Return what the set-ups that fit a report's numbers give for a claim, as HTML."""
    fits = [(one.interval, one.sample.n) for one in verdict.under.values() if one.interval]
    unit, theirs = verdict.unit, published.effect(verdict.claim)
    means = sorted(interval.estimate for interval, _ in fits)
    clear = sum(interval.low > 0 or interval.high < 0 for interval, _ in fits)
    words = "These runs cannot tell. The report names no network; with the "
    words += f"{labels.count(len(fits), 'network')} that fit its numbers the difference is "
    words += f"between {_signed(means[0], unit)} and {_signed(means[-1], unit)} "
    words += _UNITS.get(unit, unit)
    words += f" (in the report {_signed(theirs[0], unit)})" if theirs else ""
    words += f". Of the 95 % intervals, n = {labels.span(n for _, n in fits)} seeds each, "
    words += f"{clear or 'none'} {'leave' if clear > 1 else 'leaves'} out 0"
    if limit := getattr(getattr(verdict.claim.test, "margin", None), "tested", 0):
        past = sum(interval.low > limit for interval, _ in fits)
        words += f" and {past or 'none'} {'lie' if past > 1 else 'lies'} wholly beyond "
        words += f"{phrases.bare(limit, unit)}, the smallest difference that counts"
    return labels.unbroken(html.escape(words))


_UNITS = {"pp": "percentage points"}


def _signed(value: float, unit: str) -> str:
    text = phrases.bare(value, unit)
    return f"+{text}" if value > 0 else text
