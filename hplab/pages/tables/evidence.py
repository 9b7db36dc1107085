"""One verdict of the book taken apart, line by line, for who reads such a box the first time."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Sequence

from hplab.analysis.claims import needs, phrases
from hplab.analysis.claims.verdict import Verdict, box, own, tested, word
from hplab.analysis.stats.intervals import Interval
from hplab.pages.tables import markdown

CLAIM = "S0-18"  # one difference, at a setting that is known


def tables(judged: Callable[[], Sequence[Verdict]]) -> dict[str, Callable[[], str]]:
    """Return what the page on evidence asks for; `judged` gives the verdicts."""
    return {"verdict-apart": lambda: apart(judged())}


def apart(verdicts: Sequence[Verdict], name: str = CLAIM) -> str:
    """Return the box of a verdict and under it each of its lines with what the line means."""
    found = next((one for one in verdicts if one.claim.id == name), None)
    if found is None or found.finding is None or found.interval is None:
        return "The runs of this claim are not recorded here, so there is no verdict to read."
    rows = "".join(
        f"<dt>{html.escape(line)}</dt><dd>{html.escape(means)}</dd>"
        for line, means in lines(found, found.interval)
    )
    return markdown.raw(f'{box(found)}<dl class="hp-apart">{rows}</dl>')


def lines(verdict: Verdict, interval: Interval) -> Iterator[tuple[str, str]]:
    """Yield the lines of a verdict on one difference, each with what it means."""
    claim = verdict.claim
    yield (
        word(verdict),
        "What a written rule makes of the runs: supported, contradicted or inconclusive. When each "
        "rule was written, and what of it was changed later and why, is listed with the ledger.",
    )
    yield (
        verdict.sentence,
        "What came out, before any statistics: on which side our runs are, and by how much.",
    )
    yield (
        claim.says,
        "What the report says, put so that runs can speak for it or against it. The words of the "
        "report stand beneath, so that you can tell whether we put it fairly.",
    )
    yield (
        f"The report's own data: {own(claim)}",
        "What the report's own numbers show, judged by themselves. No run of ours is in this.",
    )
    yield (
        f"{phrases.limits(interval, verdict.unit)} {verdict.unit}, n = {verdict.n}",
        f"The difference is taken seed by seed, so n counts {verdict.n} pairs of runs. "
        f"{_reach(interval)}",
    )
    if verdict.interim:
        yield (
            f"Interim: {verdict.n} of {verdict.planned} planned seeds",
            "Seeds of the plan are still to come. Until then only what is overwhelming decides, "
            "and what is decided so early may still turn.",
        )
    need = needs.of(claim, interval, verdict.n, verdict.unit)
    if need is not None:
        yield (
            f"the margin fixed beforehand was {needs.shown(need.margin, need.unit)}",
            f"The smallest difference that was said to matter. {_beside(interval, need.margin)}",
        )
    if verdict.p is not None and verdict.look is not None:
        corrected = ""
        if claim.primary:
            corrected = (
                " Several main claims were tested together, and with enough of them one looks real "
                "by luck; the second p-value allows for that."
            )
        yield (
            f"Deciding test: {tested(verdict, verdict.p)}",
            "The first number is the p-value: if the truth lay exactly at the limit that is "
            "tested, runs would come out at least this far from it with that probability. Below "
            "the level it counts; the level is stricter than 0.05 because somebody could have "
            f"looked after every seed.{corrected}",
        )
    if claim.report.caveat:
        guess = " Where a guess decides the outcome, the verdict stays open, however many seeds."
        yield (
            claim.report.caveat,
            "What the report does not say, and where we have it from."
            f"{guess if claim.report.reconstructed else ''}",
        )
    if need is not None:
        yield (
            f"How many seeds it needs: {need.seeds() or 'more than 10 000'} for a chance of 80 %",
            f"Planned anew, with the scatter of {needs.shown(need.sd, need.unit)} that was seen "
            "from seed to seed: so many tell a difference as large as the margin from none, or "
            "show that one twice as large is more than the margin. A difference of just the margin "
            "cannot be shown to be more than it, so it mostly stays inconclusive.",
        )


def _reach(interval: Interval) -> str:
    known = f"Of 100 such intervals about {100 * interval.level:.0f} hold the true difference. "
    if interval.low <= 0 <= interval.high:
        return f"{known}This one holds 0, so the runs do not show which of the two is ahead."
    return f"{known}This one does not hold 0, so one of the two is ahead."


def _beside(interval: Interval, margin: float) -> str:
    if interval.high < margin:
        return (
            "The whole interval lies short of it: a claimed difference of this size is ruled out."
        )
    if interval.low > margin:
        return "The whole interval lies beyond it: the difference is as large as was claimed."
    return "The interval reaches over it, so the runs cannot say on which side the truth lies."
