"""Verdicts: what our runs say about a report's claim, and why.

`verdict("S4-06", runs)` is what a page calls. The claim's test, margin and rule come from the
ledger (`ledger.py`), the decision from its kind (`kinds/`); here Holm's correction is made, with
what looking before the end of the plan costs (`stats/sequential.py`), and the result is put on the
page.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

import pandas as pd

from hplab.analysis.claims import estimands, phrases, samples
from hplab.analysis.claims.claim import Claim
from hplab.analysis.claims.decisions import Finding
from hplab.analysis.claims.kinds import registry as kinds
from hplab.analysis.claims.ledger import Ledger, load
from hplab.analysis.claims.quantities import Curves, Missing
from hplab.analysis.claims.verdict import (
    MISSING,
    READABLE,
    RERUN,
    SCALED,
    STAND_IN,
    UNTESTABLE,
    Verdict,
    Verdicts,
)
from hplab.analysis.stats import intervals, sequential
from hplab.analysis.stats.evidence import three_way
from hplab.analysis.stats.intervals import INCONCLUSIVE
from hplab.analysis.stats.sequential import Look

__all__ = [
    "Verdict",
    "Verdicts",
    "verdict",
    "verdicts",
]

PROBABLY = 0.8  # the chance of a verdict that counts as probable


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
    verdict does not depend on which other verdicts a page asks for. Only runs in single precision
    count; the page on speed shows what others would say.

    Args:
        claim_id: Name of the claim, such as "S4-06".
        runs: The table that `hplab.run` returns.
        curves: Learning curves in long form, or a function from runs to them; None takes the
            recorded ones, and only for claims that need them.
        ledger: The claims; None reads the project's own.

    Returns:
        The verdict: `outcome`, `reason`, `interval` in `unit`, `n` seeds. It shows itself in a
        notebook.

    Raises:
        HplabError: If the claim is unknown, the table holds several runs for one setting and seed,
            or none of its runs is in single precision.
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

    Returns:
        The verdicts in the order asked for, a list that shows itself in a notebook.

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
    counted = samples.in_single_precision(runs)
    found = {name: evaluate(claim, counted, curves) for name, claim in needed.items()}
    return Verdicts(judge(claim, found, ledger, counted) for claim in claims)


def evaluate(claim: Claim, runs: pd.DataFrame, curves: Curves) -> Finding | Missing:
    """Return what the runs say about a claim by itself, or why they say nothing."""
    try:
        found = kinds.evaluate(claim, runs, curves)
    except Missing as reason:
        return reason
    beside = estimands.other(claim)
    if beside is None:
        return found
    try:
        return dataclasses.replace(found, beside=kinds.evaluate(beside, runs, curves))
    except Missing:
        return found


def _recorded_curves(runs: pd.DataFrame) -> pd.DataFrame:
    from hplab.sweeps.series import curves  # reads the store; most verdicts need no curves

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
        outcome = UNTESTABLE if isinstance(finding, kinds.Untestable) else outcome
        return Verdict(claim, outcome, str(finding), preset=preset)
    if not decides(finding):
        return of_runs(claim, finding, preset)
    look, sentences, p_holm, n_family = _look(claim, finding), [finding.reason], None, 0
    outcome = finding.outcome
    if look and finding.evidence and outcome != INCONCLUSIVE:
        now = three_way(look.adjusted(finding.evidence))
        if now != outcome:
            sentences.append(_too_early(finding, look))
            outcome = INCONCLUSIVE
    if claim.primary:
        family = ledger.family(claim)
        p_holm, n_family = _adjusted(claim, family, found), len(family)
        if outcome != INCONCLUSIVE and p_holm >= claim.alpha:
            sentences.append(
                f"Alone it would count as {outcome}; over the {n_family} primary claims of this "
                f"report Holm's correction leaves {phrases.p_value(p_holm)}, which is not enough."
            )
            outcome = INCONCLUSIVE
    more = more_seeds(finding, look, max(1, n_family)) if outcome == INCONCLUSIVE else None
    return Verdict(
        claim,
        outcome,
        " ".join([*sentences, *_remarks(claim, finding, look, outcome, more)]),
        kind(finding),
        preset,
        _data(finding),
        finding,
        p_holm,
        n_family,
        look,
        more,
    )


def _look(claim: Claim, finding: Finding) -> Look | None:
    """Return the look at the plan that these runs are; None if they are no part of it."""
    if kind(finding) == STAND_IN or finding.face or finding.evidence is None:
        return None
    first, n = min(claim.min_seeds, claim.seeds), finding.sample.n_run
    return sequential.look(max(n, first), claim.seeds, first=first, alpha=claim.alpha)


def _too_early(finding: Finding, look: Look) -> str:
    """Return why this look does not decide what a single one at the end of a plan would."""
    interval = finding.at_level(1 - look.level)
    words = f"By itself it would count as {finding.outcome}; "
    if look.level < READABLE or interval is None:
        when = f"after {look.n} of {look.planned} planned seeds"
        return f"{words}{when} only p below {phrases.small_p(look.level)} decides."
    return (
        f"{words}as every seed could have been looked at, the interval to go by is wider "
        f"({phrases.limits(interval, finding.unit)})."
    )


def more_seeds(finding: Finding, look: Look | None, n_family: int) -> int | None:
    """Return with how many more seeds there is an 80 % chance of a verdict, None if none are."""
    if look is None:
        return None
    levels = sequential.levels(look.first, look.planned, look.alpha)
    for n in range(look.n + 1, look.planned + 1):
        chance = finding.chance_of(n, levels[n - look.first] / n_family)
        if chance is not None and chance >= PROBABLY:
            return n - look.n
    return None


def _adjusted(claim: Claim, family: list[Claim], found: Mapping[str, Finding | Missing]) -> float:
    """Return the Holm-adjusted p of one claim; members that could not be tested count as 1."""
    p = [_p_of(member, found[member.id]) for member in family]
    return float(intervals.holm(p)[[member.id for member in family].index(claim.id)])


def _p_of(claim: Claim, finding: Finding | Missing) -> float:
    """Return a p value that holds whenever somebody looked."""
    if isinstance(finding, Missing) or finding.evidence is None:
        return 1.0
    look = _look(claim, finding)
    return look.adjusted(finding.evidence).p if look else finding.evidence.p


def of_runs(claim: Claim, finding: Finding, preset: str) -> Verdict:
    """Return what runs show that may not decide a claim."""
    reason = " ".join([finding.reason, *_remarks(claim, finding, None, MISSING, None)])
    return Verdict(claim, MISSING, reason, kind(finding), preset, _data(finding), finding)


def decides(finding: Finding) -> bool:
    """Return whether runs may decide a claim: those at the report's setting.

    Two settings that compute the very same do so at any length; that is seen on less of the
    report's data too.
    """
    what = kind(finding)
    return what == RERUN or (what == SCALED and finding.identical)


def _data(finding: Finding) -> str:
    rows = (str(name) for table in finding.sample.rows for name in table.get("data", ()))
    return ", ".join(dict.fromkeys(rows))


def kind(finding: Finding) -> str:
    """Return what runs are beside the report's: a re-run, less of it, or other data."""
    differs = finding.sample.differs
    if not differs:
        return RERUN
    return STAND_IN if "data" in differs else SCALED


def _remarks(
    claim: Claim, finding: Finding, look: Look | None, outcome: str, more: int | None
) -> list[str]:
    """Return what a reader has to know about the sample, in sentences."""
    sample, remarks = finding.sample, []
    if look and look.interim:
        settle = ""
        if outcome == INCONCLUSIVE and finding.chance_of(look.planned, look.alpha) is not None:
            settle = f"; at the scatter seen so far, {_settle(more, look)}"
        remarks.append(f"Interim: {look.n} of {claim.seeds} planned seeds{settle}.")
    if sample.n_collapsed:
        remarks.append(
            f"In {sample.n_collapsed} of {sample.n_run} seeds a run collapsed; compared are those "
            "in which all learn."
        )
    total = sample.n_run
    if sample.n_diverged and sample.n_diverged <= claim.max_diverged_share * total:
        remarks.append(
            f"{sample.n_diverged} of {total} seeds diverged and cannot be part of a difference."
        )
    if sample.n_spare:
        remarks.append(
            f"Planned were {claim.seeds} seeds; {sample.n_spare} more were run and are left out."
        )
    if sample.gaps:
        remarks.append(f"Left out: {'; '.join(sample.gaps)}.")
    if finding.beside:
        remarks.append(_beside(claim, finding.beside))
    return remarks


def _beside(claim: Claim, other: Finding) -> str:
    """Return what the training metric gives that the report did not measure, in a sentence."""
    how = {"running": "after the epoch, in evaluation mode", "evaluated": "by running means"}
    words = f"With training measured {how[estimands.of(claim)]}"
    if other.interval:
        number = phrases.number(other.interval.estimate, other.unit)
        limits = phrases.limits(other.interval, other.unit)
        if claim.test.new_run:
            limits = f"a new run: {phrases.span(other.interval, other.unit)}"
        words += f": {number} ({limits})"
    if other.outcome == INCONCLUSIVE:
        return f"{words}; judged by that alone it would be open."
    return f"{words}; judged by that alone it would count as {other.outcome}."


def _settle(more: int | None, look: Look) -> str:
    if more is None:
        return f"all {look.planned} will probably not settle it"
    return f"{more} more would probably settle it"
