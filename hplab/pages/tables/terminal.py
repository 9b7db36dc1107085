"""Verdicts for a terminal: chosen, as a table, as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence

from hplab.analysis.claims import phrases
from hplab.analysis.claims.claim import Claim
from hplab.analysis.claims.verdict import SMALL, WORDS, Verdict
from hplab.pages import labels
from hplab.trial import unknown


def choose(
    claims: Iterable[Claim],
    ids: Sequence[str] = (),
    *,
    study: str | None = None,
    report: str | None = None,
) -> list[Claim]:
    """Return some claims, by their own name, study and report.

    Raises:
        HplabError: If a name is unknown, with the nearest match.
    """
    found = list(claims)
    known = {
        "claim": {claim.id for claim in found},
        "study": {claim.study for claim in found},
        "report": {claim.report.id for claim in found},
    }
    asked = [("claim", name) for name in ids] + [("study", study), ("report", report)]
    for kind, name in asked:
        if name is not None and name not in known[kind]:
            raise unknown(kind, name, known[kind], "the ledger")
    return [
        claim
        for claim in found
        if (not ids or claim.id in ids)
        and study in (None, claim.study)
        and report in (None, claim.report.id)
    ]


def table(verdicts: Sequence[Verdict]) -> str:
    """Return one line a claim, and the counts."""
    head = f"{'claim':6} {'own data':17} {'in miniature':13} {'re-run':13} {'seeds':>5}  effect"
    lines = [head]
    for verdict in verdicts:
        own = verdict.claim.own_verdict.replace("-", " ")
        outcome = WORDS[verdict.outcome].lower()
        lines.append(
            f"{verdict.claim.id:6} {own:17} {_small(verdict):13} {outcome:13} "
            f"{verdict.n or '':>5}  "
            f"{estimate(verdict)}".rstrip()
        )
    counts = Counter(WORDS[verdict.outcome].lower() for verdict in verdicts)
    said = ", ".join(f"{n} {outcome}" for outcome, n in counts.most_common())
    return "\n".join([*lines, f"{len(verdicts)} claims: {said}"])


def _small(verdict: Verdict) -> str:
    small = verdict.miniature
    return SMALL[small].lower() if small else ""


def estimate(verdict: Verdict) -> str:
    """Return the deciding estimate with its interval: "0.58 pp (0.47 to 0.69)"; "" for none."""
    if verdict.interval is None:
        return ""
    mean = labels.effect(verdict.interval.estimate, verdict.unit)
    return f"{mean} ({phrases.span(verdict.interval, verdict.unit)})"


def as_json(verdicts: Iterable[Verdict]) -> str:
    """Return verdicts as a JSON list, one object a claim."""
    rows = [{**verdict.row(), "preset": verdict.preset or None} for verdict in verdicts]
    return json.dumps(rows, indent=1, ensure_ascii=False)
