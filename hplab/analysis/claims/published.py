"""What a report's own numbers give for a claim: the effect that its test asks about, without noise.

Only the figures in `book/reference/` are used. One run a setting (or six, in report 002) says
nothing about luck; the verdict on a report's own data is in the ledger, with its reason.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from hplab.analysis.claims import quantities
from hplab.analysis.claims.claim import Claim
from hplab.analysis.claims.ledger import load
from hplab.analysis.claims.quantities import Quantity
from hplab.trial import unknown


def effect(claim: Claim) -> tuple[float, str] | None:
    """Return the effect in the report's own numbers with its unit; None if they do not give it.

    Ratios are given as ratios, accuracies in percentage points. The claimed side of a direction is
    positive (for ratios, above 1), as in the re-run.
    """
    if not claim.test.from_report:
        return None
    quantity = claim.test.quantity
    arms = claim.test.settings
    found = [x for x in (value(claim, arm, quantity) for arm in arms) if x is not None]
    if len(found) < len(arms):
        return None
    if quantity.log:
        found = [math.log(number) for number in found]
    signs = {1: (1,), 2: (1, -1), 4: (1, -1, -1, 1)}[len(found)]
    total = sum(sign * number for sign, number in zip(signs, found, strict=True))
    if quantity.log:
        return math.exp(total), "ratio"
    unit = quantity.level_unit if len(found) == 1 else quantity.unit
    return total * quantities.scale(quantity.unit), unit


def value(claim: Claim, arm: Mapping[str, Any], quantity: Quantity) -> float | None:
    """Return a quantity of one published setting in the table's unit; None if it is not printed."""
    run = run_of(claim, arm)
    if run is None:
        return None
    # A report has one training accuracy, however it measured it.
    metric, per, plain = quantity.metric, quantity.per, quantities.EVALUATED
    metric, per = plain.get(metric, metric), per and plain.get(per, per)
    quantity = dataclasses.replace(quantity, metric=metric, per=per)
    if quantity.metric in ("acc_gap", "loss_gap") and not quantity.reading:
        first, second = quantities.GAPS[quantity.metric]
        if first not in run or second not in run:
            return None
        whole = run[first] - run[second]
    else:
        whole = run.get(name_of(quantity))
        if quantity.reading == "rise_from_minimum" and f"{quantity.metric}_min" in run:
            whole = run[quantity.metric] - run[f"{quantity.metric}_min"]
    if whole is None or not quantity.per:
        return whole
    return whole / run[quantity.per] if quantity.per in run else None


def run_of(claim: Claim, arm: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the published run with a setting's hyperparameters, of those that its entry names."""
    for run in claim.report.published:
        if all(run[name] == wanted for name, wanted in arm.items() if name in run):
            return run
    return None


def name_of(quantity: Quantity) -> str:
    """Return the name of a quantity in `book/reference/`."""
    metric, argument = quantity.metric, quantity.argument
    return {
        "epochs_to": lambda: f"epochs_to_{100 * argument:g}_{metric}",
        "epochs_to_own": lambda: f"epochs_to_own_{100 * argument:g}_{metric}",
        "epoch_of_minimum": lambda: f"epoch_of_minimum_{metric}",
        "mean_over_last": lambda: f"{metric}_last20",
    }.get(quantity.reading or "", lambda: metric if not quantity.reading else "")()


def of_report(report_id: str) -> pd.DataFrame:
    """Return the runs that a report printed, one row a run, by its own names for settings.

    Args:
        report_id: "000", "001", "002" or "004".

    Returns:
        One row a run, accuracies as shares and losses in nats.

    Raises:
        HplabError: If there is no such report.
    """
    reports = {claim.report.id: claim.report for claim in load()}
    if report_id not in reports:
        raise unknown("report", report_id, reports)
    return pd.DataFrame(reports[report_id].published)
