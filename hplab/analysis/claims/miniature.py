"""Miniatures: what smaller runs than a report's show about a claim. They decide nothing.

A miniature is judged by the claim's own rule, on fewer epochs of the report's data (preset
"reduced") or on handwritten digits (preset "laptop"). The first is taken where there are enough
seeds of it. Which claims can have one, and what makes it where nobody has, is said here too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from hplab.analysis.claims import grammar, samples
from hplab.analysis.claims.decisions import Finding
from hplab.analysis.claims.kinds import contrasts, stated
from hplab.analysis.claims.ledger import Claim
from hplab.analysis.claims.quantities import Missing
from hplab.sweeps import presets

SHORT, STAND_IN = "reduced", "laptop"  # presets, the one nearer to a report first
DIGITS = 1437  # training images of the stand-in data
_NOT_MADE = {
    "S1-34": "Its study runs twice the report's epochs at the report's own size only.",
}
_NUMBERS = "The report's own numbers come from its own data and length; smaller runs have others."
_EVENTS = (
    "How often runs collapse is judged at the report's length; a run of two epochs is too short to "
    "tell one that has collapsed from one that has yet to begin."
)
_WHY_NOT = {"number": _NUMBERS, "value": _NUMBERS, "proportion": _EVENTS, "proportions": _EVENTS}


def impossible(test: Mapping[str, Any]) -> str:
    """Return why a test cannot be made in miniature, "" if it can.

    Example:
        >>> impossible({"type": "none", "why": "Times are not tested."})
        'Times are not tested.'
    """
    if test["type"] == "none":
        return test["why"]
    kinds = [part["type"] for part in test.get("parts", [test])]
    return next((_WHY_NOT[kind] for kind in kinds if kind in _WHY_NOT), "")


def not_on_digits(claim: Claim) -> str:
    """Return why the digits cannot show a claim that shorter runs could, "" if they can."""
    if claim.id in _NOT_MADE:
        return _NOT_MADE[claim.id]
    largest = max((arm.get("batch_size", 0) for arm in grammar.arms_of(claim.test)), default=0)
    if largest <= DIGITS:
        return ""
    return (
        f"The digits have {DIGITS:,} training images, so that all larger batches are the same; the "
        f"claim needs one of {largest:,}."
    )


def smaller(found: Finding) -> bool:
    """Return whether runs had other data, fewer epochs or fewer images than the report's.

    Another network or scaling of the images is another set-up, and no miniature.
    """
    return bool({"data", "epochs", "n_train"} & set(found.sample.differs))


def whole(claim: Claim, why: Missing, runs: pd.DataFrame) -> bool:
    """Return whether a claim's runs are there, so that more of their kind would not help."""
    try:
        found = samples.sample(runs, grammar.arms_of(claim.test), claim, learners=False)
    except Missing as reason:
        return reason.diverged
    return why.diverged or found.n >= seeds_needed(claim)


def seeds_needed(claim: Claim) -> int:
    """Return the fewest complete seeds that give any outcome."""
    least = {"variance": contrasts.SEEDS_FOR_SPREAD, "coverage": stated.MODELS_FOR_WIDTH}
    return max(claim.min_seeds, least.get(claim.test["type"], 0))


def command(claim: Claim, preset: str = STAND_IN) -> str:
    """Return what makes the runs of a claim's study, for a terminal.

    Example:
        >>> from hplab.analysis.claims.ledger import load
        >>> command(load()["S4-08"]), command(load()["S4-08"], "paper")[-12:]
        ('make execute STUDY=learning-rate PRESET=laptop', 'PRESET=paper')
    """
    needed = seeds_needed(claim)
    seeds = f" SEEDS={needed}" if needed > presets.preset(preset).n_seeds else ""
    return f"make execute STUDY={claim.study} PRESET={preset}{seeds}"
