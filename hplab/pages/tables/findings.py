"""What the first page says before all else: what has been found out, in sentences and a figure."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence

from hplab.analysis.claims import phrases
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
        CONTRADICTED: "What a report calls the best learning rate is no better than half of it",
        INCONCLUSIVE: "What a report calls the best learning rate may have been lucky: with the "
        "network that we took for its own",
    },
}


def tables(judged: Callable[[], Sequence[Verdict]]) -> dict[str, Callable[[], str]]:
    """Return what the first page asks for; `judged` gives the verdicts."""
    return {
        "findings": lambda: findings(judged()),
        "cover": lambda: markdown.raw(claims.claims(judged()).html),
    }


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
    what = phrases.plain(finding.in_short)
    said = verdict.sentence.removesuffix(".")
    if start:
        said = f"{start}{',' if ':' in start else ':'} {what}"
    seeds = f"n = {labels.count(verdict.n, 'seed')}"
    if finding.sample.length:
        seeds += f" after {finding.sample.length}"
    text = labels.unbroken(
        html.escape(f"{said} ({phrases.limits(interval, verdict.unit)}, {seeds}")
    )
    return f'{text}; claim <a href="ledger.html#{claim.id}">{claim.id}</a>).'
