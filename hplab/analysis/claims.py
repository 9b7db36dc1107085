"""Verdicts: what our runs say about a report's claim, and why.

`verdict("S4-06", runs)` is what a page calls. The claim's test, margin and rule come from the
ledger (`hplab.analysis.ledger`), the decision from `hplab.analysis.rules`; here Holm's correction
is made and the result is put on the page.
"""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from hplab.analysis import look, phrases, rules, stats
from hplab.analysis.findings import Finding
from hplab.analysis.ledger import Claim, Ledger, load
from hplab.analysis.quantities import Curves, Missing
from hplab.analysis.stats import CONTRADICTED, INCONCLUSIVE, SUPPORTED, Interval

MISSING, UNTESTABLE = "missing", "not-testable"
RERUN, SCALED, STAND_IN = "re-run", "scaled-down re-run", "stand-in"
_WORDS = {
    "supported": "Supported",
    "contradicted": "Contradicted",
    "inconclusive": "Inconclusive",
    "missing": "Missing",
    "not-testable": "Not testable",
}


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
        p_holm: The p value after Holm's correction, for primary claims.
        n_family: Primary claims in that correction.
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
        interval = self.interval
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
            "primary": self.claim.primary,
            "reason": self.reason,
        }

    def __repr__(self) -> str:
        label = f" ({self.label})" if self.label else ""
        return (
            f"{self.claim.id} {_WORDS[self.outcome]}{label}\n"
            f"  Report {self.claim.report.id}: {self.claim.says}\n"
            f"  {self.reason}\n"
            f"  The report's own data: {_own(self.claim)}"
        )

    def _repr_html_(self) -> str:
        return _box(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": look.styled(_box(self)), "text/plain": repr(self)}


class Verdicts(list[Verdict]):
    """Several verdicts, shown one beneath the other."""

    def table(self) -> pd.DataFrame:
        """Return one row a verdict."""
        return pd.DataFrame([verdict.row() for verdict in self])

    def __repr__(self) -> str:
        return "\n\n".join(map(repr, self))

    def _repr_html_(self) -> str:
        return "".join(map(_box, self))

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": look.styled(self._repr_html_()), "text/plain": repr(self)}


def verdict(
    claim_id: str,
    runs: pd.DataFrame,
    *,
    curves: Curves | None = None,
    ledger: Ledger | None = None,
) -> Verdict:
    """Judge one claim on a table of runs.

    For a primary claim all primary claims of the same report and study are tested on the same runs
    and Holm's correction is made over them; those that the runs do not cover count with p = 1. So a
    verdict does not depend on which other verdicts a page asks for.

    Args:
        claim_id: Name of the claim, such as "S4-06".
        runs: The table that `hplab.run` returns.
        curves: Learning curves in long form, or a function from runs to them; None takes the
            recorded ones, and only for claims that need them.
        ledger: The claims; None reads the project's own.

    Raises:
        HplabError: If the claim is unknown, or the table holds several runs for one setting and
            seed.
    """
    return verdicts([claim_id], runs, curves=curves, ledger=ledger)[0]


def verdicts(
    claim_ids: Iterable[str],
    runs: pd.DataFrame,
    *,
    curves: Curves | None = None,
    ledger: Ledger | None = None,
) -> Verdicts:
    """Judge several claims on one table of runs; each as `verdict` does.

    Args:
        claim_ids: Names of claims.
        runs: The table that `hplab.run` returns.
        curves: As in `verdict`.
        ledger: As in `verdict`.

    Raises:
        HplabError: As `verdict`.
    """
    ledger = ledger or load()
    claims = [ledger[claim_id] for claim_id in claim_ids]
    needed = {claim.id: claim for claim in claims}
    for claim in claims:
        if claim.primary:
            needed.update((member.id, member) for member in ledger.family(claim))
    curves = _recorded_curves if curves is None else curves
    found = {name: evaluate(claim, runs, curves) for name, claim in needed.items()}
    return Verdicts(judge(claim, found, ledger, runs) for claim in claims)


def evaluate(claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding | Missing:
    """Return what the runs say about a claim by itself, or why they say nothing."""
    try:
        return rules.evaluate(claim, runs, curves)
    except Missing as reason:
        return reason


def _recorded_curves(runs: pd.DataFrame) -> pd.DataFrame:
    from hplab.sweeps.runner import curves  # reads the store; most verdicts need no curves

    return curves(runs)


def judge(
    claim: Claim,
    found: Mapping[str, Finding | Missing],
    ledger: Ledger,
    runs: pd.DataFrame,
) -> Verdict:
    """Return the verdict on a claim, after Holm's correction over its family.

    Args:
        claim: The claim.
        found: What `evaluate` gave for it and, if it is primary, for its whole family.
        ledger: The claims.
        runs: The runs, for the name of their preset.
    """
    preset, finding = str(runs.attrs.get("preset", "")), found[claim.id]
    if isinstance(finding, Missing):
        outcome = INCONCLUSIVE if finding.diverged else MISSING
        outcome = UNTESTABLE if isinstance(finding, rules.Untestable) else outcome
        return Verdict(claim, outcome, str(finding), preset=preset)
    outcome, sentences, p_holm, n_family = finding.outcome, [finding.reason], None, 0
    if claim.primary:
        family = [member.id for member in ledger.family(claim)]
        p_holm, n_family = _adjusted(claim.id, family, found), len(family)
        if outcome != INCONCLUSIVE and p_holm >= claim.alpha:
            sentences.append(
                f"Alone it would count as {outcome}; over the {n_family} primary claims of this "
                f"report Holm's correction leaves {phrases.p_value(p_holm)}, which is not enough."
            )
            outcome = INCONCLUSIVE
    data = ", ".join(
        dict.fromkeys(str(row) for rows in finding.sample.rows for row in rows["data"])
    )
    return Verdict(
        claim,
        outcome,
        " ".join([*sentences, *_remarks(claim, finding)]),
        _kind(finding),
        preset,
        data,
        finding,
        p_holm,
        n_family,
    )


def _adjusted(name: str, family: list[str], found: Mapping[str, Finding | Missing]) -> float:
    """Return the Holm-adjusted p of one claim; members that could not be tested count as 1."""
    p = [_p_of(found[member]) for member in family]
    return float(stats.holm(p)[family.index(name)])


def _p_of(finding: Finding | Missing) -> float:
    return 1.0 if isinstance(finding, Missing) or finding.p is None else finding.p


def _kind(finding: Finding) -> str:
    differs = finding.sample.differs
    if not differs:
        return RERUN
    return STAND_IN if "data" in differs else SCALED


def _remarks(claim: Claim, finding: Finding) -> list[str]:
    """Return what a reader has to know about the sample, in sentences."""
    sample, remarks = finding.sample, []
    if sample.n < claim.seeds and _kind(finding) != STAND_IN:
        remarks.append(f"Interim: {sample.n} of {claim.seeds} planned seeds.")
    total = sample.n + sample.n_diverged
    if sample.n_diverged and sample.n_diverged <= claim.max_diverged_share * total:
        remarks.append(
            f"{sample.n_diverged} of {total} seeds diverged and cannot be part of a difference."
        )
    if sample.gaps:
        remarks.append(f"Left out: {'; '.join(sample.gaps)}.")
    return remarks


def _own(claim: Claim) -> str:
    return f"{claim.own_verdict.replace('-', ' ')}. {claim.own_why}"


def _box(verdict: Verdict) -> str:
    """Return the verdict as HTML; every text is escaped, the word stands beside the shape."""
    claim, say = verdict.claim, html.escape
    label = f' <span class="hp-verdict-label">{say(verdict.label)}</span>' if verdict.label else ""
    quote = f" In its words: <q>{say(claim.quote)}</q>." if claim.quote else ""
    return (
        f'<section class="hp-verdict hp-{verdict.outcome}" id="claim-{say(claim.id)}" '
        f'aria-label="Verdict on claim {say(claim.id)}: {verdict.outcome}">'
        f'<p><span class="hp-verdict-word">{_WORDS[verdict.outcome]}</span>{label}</p>'
        f"<blockquote>{say(claim.says)}</blockquote>"
        f'<p class="hp-verdict-reason">{say(verdict.reason)}</p>'
        f'<p class="hp-verdict-own">Claim {say(claim.id)}, report {say(claim.report.id)}, '
        f"{say(claim.section)}.{quote} The report's own data: {say(_own(claim))}</p>"
        f"{_details(verdict)}</section>"
    )


def _details(verdict: Verdict) -> str:
    claim, lines = verdict.claim, [verdict.claim.rule]
    if verdict.finding and verdict.p is not None:
        lines.append(_p_words(verdict))
    if verdict.finding and verdict.finding.sample.differs:
        lines.append(
            f"Not as in the report: {phrases.differences(verdict.finding.sample.differs)}."
        )
    lines += [note for note in (claim.note, claim.report.caveat) if note]
    text = "".join(f"<p>{html.escape(line)}</p>" for line in lines)
    return (
        f"<details><summary>How this was decided</summary>{text}{_parts_table(verdict)}</details>"
    )


def _p_words(verdict: Verdict) -> str:
    words = f"Deciding test: {phrases.p_value(verdict.p)}"
    if verdict.p_holm is not None:
        words += f"; {phrases.p_value(verdict.p_holm)} after Holm's correction over the "
        words += f"{verdict.n_family} primary claims"
    else:
        words += ", not corrected, because this is not a primary claim"
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
