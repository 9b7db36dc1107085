"""Which set-up could a report have used that does not say? A grid of plausible ones, and a rule.

A set-up is a trial in which what the report leaves open (network, scaling, dropout) is filled in.
It fits when every number that the report prints is one that a new run of it could give. A verdict
that is not the same under every set-up that fits hangs on the reconstruction, and is none.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from hplab.analysis.claims import judging, phrases, quantities
from hplab.analysis.claims.claim import Claim, Report
from hplab.analysis.claims.decisions import Finding
from hplab.analysis.claims.ledger import Ledger, load
from hplab.analysis.claims.quantities import EVALUATED, Curves, Missing
from hplab.analysis.claims.verdict import MISSING, UNTESTABLE, Verdict, Verdicts
from hplab.analysis.stats import intervals
from hplab.analysis.stats.intervals import CONTRADICTED, INCONCLUSIVE, SUPPORTED
from hplab.trial import Trial, grid, unknown

__all__ = [
    "compare",
    "fitting",
    "of",
    "robust",
    "summary",
    "trials",
]

N_SEEDS = 5  # of each set-up: seeds 0 to 4, however many there are
NUMBERS = ("running_acc", "running_loss", "val_acc", "val_loss")
Made = Mapping[str, pd.DataFrame]  # the runs of each set-up, by its name


def trials(report: str, base: Trial, *, ledger: Ledger | None = None) -> dict[str, list[Trial]]:
    """Return the trials of every plausible set-up of a report, by the set-up's name.

    Args:
        report: A report whose set-up was reconstructed, such as "004".
        base: The study's own trial; a set-up changes fields of it.
        ledger: Where set-ups and published rates stand; None reads the project's own.

    Returns:
        For each set-up's name its trials: every published rate with five seeds.

    Raises:
        HplabError: If there is no such report, or it has no set-ups.
    """
    return trials_of(of(report, ledger), base)


def trials_of(report: Report, base: Trial) -> dict[str, list[Trial]]:
    """Return the same of a report that is at hand."""
    rates, seeds = [run["lr"] for run in report.published], range(N_SEEDS)
    return {
        name: grid(base.replace(**changes), lr=rates, seed=seeds)
        for name, changes in report.setups.items()
    }


def base_of(report: Report) -> Trial:
    """Return the trial that the set-ups of a report change: its own setting as we filled it in."""
    setting = {name: v for name, v in report.setting.items() if name in Trial.__dataclass_fields__}
    return Trial(**{**report.fixed, **setting}, epochs=report.published[0]["epochs"])


def of(report: str, ledger: Ledger | None = None) -> Report:
    """Return a report that has set-ups.

    Args:
        report: Name of the report, such as "004".
        ledger: Where it stands; None reads the project's own.

    Returns:
        The report.

    Raises:
        HplabError: If there is no such report, or it has none.
    """
    reports = {claim.report.id: claim.report for claim in ledger or load()}
    with_setups = [name for name, found in reports.items() if found.setups]
    if report not in with_setups:
        raise unknown("report", report, with_setups, "set-ups of reconstructed reports")
    return reports[report]


def compare(made: Made, report: Report, curves: Curves, *, alpha: float = 0.05) -> pd.DataFrame:
    """Compare every printed number with the prediction interval for one new run of each set-up.

    The intervals of one set-up hold together (Bonferroni): one that is the report's own is missed
    somewhere in at most `alpha` of all worlds, if runs scatter normally. With Student's t of 4
    degrees it is missed in 12 % where the numbers are independent, in 3 % where they go together.

    Args:
        made: Runs of each set-up; one that is not whole (all rates, five seeds) is left out.
        report: Whose numbers are meant.
        curves: Learning curves in long form, or what makes them from runs.
        alpha: How often the right set-up may be dismissed.

    Returns:
        One row a set-up, rate and number: "setup", "lr", "metric", "theirs", "estimate", "low",
        "high", "unit" and "inside"; and "inside_evaluated", where training is measured after the
        epoch instead.
    """
    n_numbers = len(report.published) * len(NUMBERS)
    rows = [
        {"setup": name, "lr": run["lr"], **_number(cell, run, metric, curves, alpha / n_numbers)}
        for name, runs in made.items()
        if whole(runs, report)
        for run in report.published
        for cell in [_cell(runs, run["lr"])]
        for metric in NUMBERS
    ]
    columns = ("setup", "lr", "metric", "theirs", "estimate", "low", "high", "unit")
    return pd.DataFrame(rows, columns=[*columns, "inside", "inside_evaluated"])


def whole(runs: pd.DataFrame, report: Report) -> bool:
    """Return whether all rates of a set-up have their five seeds, none of them diverged."""
    return not runs.empty and all(
        len(cell := _cell(runs, run["lr"])) == N_SEEDS and (cell["status"] == "ok").all()
        for run in report.published
    )


def _cell(runs: pd.DataFrame, lr: float) -> pd.DataFrame:
    return runs[np.isclose(runs["lr"], lr) & (runs["seed"] < N_SEEDS)].sort_values("seed")


def _number(
    cell: pd.DataFrame, run: Mapping[str, float], metric: str, curves: Curves, alpha: float
) -> dict[str, object]:
    plain = EVALUATED.get(metric, metric)
    unit, scale = ("%", 100.0) if plain.endswith("acc") else ("nats", 1.0)
    both = [quantities.last(cell, name, curves) * scale for name in (metric, plain)]
    new_run, evaluated = (intervals.prediction_interval(x, level=1 - alpha) for x in both)
    theirs = run[plain] * scale
    return {
        "metric": metric,
        "theirs": theirs,
        "estimate": new_run.estimate,
        "low": new_run.low,
        "high": new_run.high,
        "unit": unit,
        "inside": theirs in new_run,
        "inside_evaluated": theirs in evaluated,
    }


def fitting(compared: pd.DataFrame) -> list[str]:
    """Return the set-ups that give all of the printed numbers, by the table of `compare`.

    Args:
        compared: What `compare` returns.

    Returns:
        Their names.
    """
    return [name for name, rows in compared.groupby("setup", sort=False) if rows["inside"].all()]


def summary(compared: pd.DataFrame) -> pd.DataFrame:
    """Return one row a set-up, those that fit first: how many numbers it gives, and which not.

    Args:
        compared: What `compare` returns.

    Returns:
        The table.
    """
    rows = []
    for name, part in compared.groupby("setup", sort=False):
        missed = part[~part["inside"].astype(bool)]
        rows.append(
            {
                "set-up": name,
                "fits": "no" if len(missed) else "yes",
                "numbers met": f"{int(part['inside'].sum())} of {len(part)}",
                "training evaluated": f"{int(part['inside_evaluated'].sum())} of {len(part)}",
                "missed": ", ".join(
                    f"{n} in {part_of}"
                    for start, part_of in (("running", "training"), ("val", "validation"))
                    if (n := int(missed["metric"].str.startswith(start).sum()))
                )
                or "none",
            }
        )
    rows.sort(key=lambda row: row["fits"] == "no")
    return pd.DataFrame(rows)


# ---------------------------------------------------------------------------------------------
# Verdicts


def robust(
    verdicts: Iterable[Verdict], made: Made, curves: Curves, *, alpha: float = 0.05
) -> Verdicts:
    """Return verdicts as they stand once the report's set-up is treated as unknown.

    Kept: a verdict that is the same under every set-up that fits, by its own test at `alpha`.
    Turned into "inconclusive": one with which a fitting set-up does not agree. If none fits, or not
    all have been tried, verdicts stay and say that they are about our network.

    Args:
        verdicts: Verdicts on our own set-up; those of other reports pass through.
        made: Runs of each set-up, by name.
        curves: As in `compare`.
        alpha: As in `compare`.

    Returns:
        The verdicts, in the order given.
    """
    verdicts = list(verdicts)
    reports = {v.claim.report.id: v.claim.report for v in verdicts if v.claim.report.setups}
    fits = {}
    for name, report in reports.items():
        compared = compare(made, report, curves, alpha=alpha)
        fits[name] = compared["setup"].nunique(), fitting(compared)
    return Verdicts(
        _stands(verdict, made, curves, *fits[verdict.claim.report.id])
        if verdict.claim.report.id in fits and verdict.outcome not in (MISSING, UNTESTABLE)
        else verdict
        for verdict in verdicts
    )


def _stands(verdict: Verdict, made: Made, curves: Curves, n_tried: int, fits: list[str]) -> Verdict:
    n_all = len(verdict.claim.report.setups)
    if not n_tried:
        return verdict
    tried = f"{n_all} set-ups tried"
    if n_tried < n_all:
        tried = f"{n_tried} set-ups tried so far, of {n_all},"
    if not fits:
        said = f"None of the {tried} gives all of the report's numbers: this is about our network."
        return dataclasses.replace(verdict, reason=f"{verdict.reason} {said}")
    under = {name: _under(verdict.claim, name, made[name], curves) for name in fits}
    others = {
        name: MISSING if isinstance(found, Missing) else found.outcome
        for name, found in under.items()
    }
    apart = {name: found for name, found in others.items() if found != verdict.outcome}
    said = f"Of the {tried} {len(fits)} fit{'s' * (len(fits) == 1)} the report's numbers"
    if not apart:
        said += f"; the verdict is the same under {'each' if len(fits) > 1 else 'it'}."
    elif set(apart.values()) == {MISSING}:
        said += "; what would decide this has not been run with them."
    else:
        said += f". By itself this claim {_each(others)}."
    parts = verdict.finding.parts if verdict.finding else ()
    if SUPPORTED not in others.values() and any(
        "report" in part and part["outcome"] == CONTRADICTED for part in parts
    ):
        said += _WHY_BOTH
    outcome = verdict.outcome
    if apart and outcome != INCONCLUSIVE:
        said += (
            f" With the network that we took for the report's it would be {outcome}; as that may "
            "be the wrong one, the verdict stays open."
        )
        outcome = INCONCLUSIVE
    kept = {name: found for name, found in under.items() if not isinstance(found, Missing)}
    reason = f"{verdict.reason} {said}"
    return dataclasses.replace(verdict, outcome=outcome, reason=reason, under=kept)


_WHY_BOTH = (
    " What is missed above is missed by the network that we took for the report's. A set-up fits "
    "if each number of the report could come from a new run of it. To support this claim its runs "
    "would have to lie within the tolerance too, and scatter no further than that."
)
_WITH = {
    SUPPORTED: "is supported with",
    CONTRADICTED: "is contradicted with",
    INCONCLUSIVE: "stays open with",
    MISSING: "has not been run with",
}


def _each(outcomes: Mapping[str, str]) -> str:
    """Return what follows under each set-up, in words: "is supported with A, stays open with B"."""
    parts = []
    for outcome, words in _WITH.items():
        names = [f"\u201c{name}\u201d" for name, found in outcomes.items() if found == outcome]
        if names:
            parts.append(f"{words} {phrases.listed(names)}")
    return phrases.listed(parts)


def _under(claim: Claim, name: str, runs: pd.DataFrame, curves: Curves) -> Finding | Missing:
    """Return what a claim's own test says of the runs of one set-up."""
    report, changes = claim.report, claim.report.setups[name]
    changed = {*changes, *changes.get("model_args", ())}
    setting = {field: value for field, value in report.setting.items() if field not in changed}
    own = dataclasses.replace(claim, report=dataclasses.replace(report, setting=setting))
    return judging.evaluate(own, runs, curves)
