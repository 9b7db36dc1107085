"""Which training metric a claim is about: the one its report measured, with the other beside it.

Most training scripts print *running* metrics: means over the batches of an epoch, in training mode,
on augmented images, while the weights move. Measured after the epoch, in evaluation mode on the
images as they are, the same network looks better. The records have both. A verdict rests on the one
that the report measured; what the other gives is shown beside it and decides nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from hplab.analysis.claims.claim import Claim
from hplab.analysis.claims.kinds.kind import Kind
from hplab.analysis.claims.quantities import EVALUATED, RUNNING, Quantity

_OTHER = {**RUNNING, **EVALUATED}


def of(claim: Claim) -> str:
    """Return how the training metrics of a claim are measured: "running", "evaluated" or ""."""
    found = claim.test.measured
    names = set().union(*({one.metric, one.per, *_where(one.argument)} for one in found))
    if names & set(EVALUATED):
        return "running"
    return "evaluated" if names & set(RUNNING) else ""


def other(claim: Claim) -> Claim | None:
    """Return the claim with its training metrics measured the other way; None if it has none."""
    return dataclasses.replace(claim, test=_swapped(claim.test)) if of(claim) else None


def words(claim: Claim) -> str:
    """Return in a sentence how the report measured training, where that matters for a claim."""
    if not of(claim):
        return ""
    how = {
        "running": "Training is measured as the report measured it, by running means.",
        "evaluated": "Training is measured after the epoch, in evaluation mode.",
    }[of(claim)]
    return f"{how} {claim.report.training_why}"


def _where(argument: Any) -> tuple[str, ...]:
    return tuple(argument) if isinstance(argument, Mapping) else ()


def _swapped(value: Any) -> Any:
    """Return a test, or a part of one, with every training metric exchanged for the other."""
    if isinstance(value, Quantity):
        argument = value.argument
        if isinstance(argument, Mapping):  # another metric, and where it is read
            argument = {_OTHER.get(name, name): level for name, level in argument.items()}
        metric, per = _OTHER.get(value.metric, value.metric), value.per
        per = per and _OTHER.get(per, per)
        return dataclasses.replace(value, metric=metric, per=per, argument=argument)
    if isinstance(value, Kind):
        return dataclasses.replace(value, **{k: _swapped(one) for k, one in vars(value).items()})
    if isinstance(value, tuple):
        return tuple(_swapped(one) for one in value)
    if isinstance(value, dict):  # of a trend: which way each metric goes
        return type(value)({_OTHER.get(name, name): _swapped(one) for name, one in value.items()})
    return value
