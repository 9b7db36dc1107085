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

from hplab.analysis.claims import grammar
from hplab.analysis.claims.ledger import Claim
from hplab.analysis.claims.quantities import EVALUATED, RUNNING

_OTHER = {**RUNNING, **EVALUATED}
_HOLDERS = ("quantity", "with", "metrics")  # fields of a test that name what is measured


def of(claim: Claim) -> str:
    """Return how the training metrics of a claim are measured: "running", "evaluated" or ""."""
    found = grammar.quantities_of(claim.test)
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


def _swapped(test: Mapping[str, Any]) -> dict[str, Any]:
    if test["type"] == "all":
        return {**test, "parts": [_swapped(part) for part in test["parts"]]}
    return {name: _renamed(value) if name in _HOLDERS else value for name, value in test.items()}


def _renamed(value: Any) -> Any:
    """Return a quantity, or a list or mapping of them, with every training metric exchanged."""
    if isinstance(value, str):
        return _OTHER.get(value, value)
    if isinstance(value, Mapping):
        return {_OTHER.get(name, name): _renamed(inner) for name, inner in value.items()}
    return [_renamed(inner) for inner in value] if isinstance(value, list) else value
