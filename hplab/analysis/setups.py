"""Which set-up could a report have used that does not say? A grid of plausible ones, and a rule.

A set-up is a trial in which what the report leaves open (network, scaling, dropout) is filled in. It
fits when every number that the report prints is one that a new run of it could give.
"""

from __future__ import annotations

from hplab.analysis.ledger import Ledger, Report, load
from hplab.trial import Trial, grid, unknown

N_SEEDS = 5  # of each set-up: seeds 0 to 4, however many there are


def trials(report: str, base: Trial, *, ledger: Ledger | None = None) -> dict[str, list[Trial]]:
    """Return the trials of every plausible set-up of a report, by the set-up's name.

    Args:
        report: A report whose set-up was reconstructed, such as "004".
        base: The study's own trial; a set-up changes fields of it.
        ledger: Where set-ups and published rates stand; None reads the project's own.

    Raises:
        HplabError: If there is no such report, or it has no set-ups.
    """
    found = _report(report, ledger)
    rates = [run["lr"] for run in found.published]
    seeds = range(N_SEEDS)
    return {
        name: grid(base.replace(**changes), lr=rates, seed=seeds)
        for name, changes in found.setups.items()
    }


def _report(name: str, ledger: Ledger | None) -> Report:
    reports = {claim.report.id: claim.report for claim in ledger or load()}
    with_setups = [one for one, report in reports.items() if report.setups]
    if name not in with_setups:
        raise unknown("report", name, with_setups, "set-ups of reconstructed reports")
    return reports[name]
