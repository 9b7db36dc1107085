"""Miniatures: what smaller runs than a report's show about a claim. They decide nothing.

A miniature is judged by the claim's own rule, on fewer epochs of the report's data (preset
"reduced") or on handwritten digits (preset "laptop"). The first is taken where there are enough
seeds of it. Which claims can have one, and what makes it where nobody has, is said here too.
"""

from __future__ import annotations

import pandas as pd

from hplab.analysis.claims import samples
from hplab.analysis.claims.claim import Claim
from hplab.analysis.claims.decisions import Finding
from hplab.analysis.claims.quantities import Missing
from hplab.sweeps import presets

SHORT, STAND_IN = "reduced", "laptop"  # presets, the one nearer to a report first
DIGITS = 1437  # training images of the stand-in data
_NOT_MADE = {
    "S1-34": "Its study runs twice the report's epochs at the report's own size only.",
}


def not_on_digits(claim: Claim) -> str:
    """Return why the digits cannot show a claim that shorter runs could, "" if they can."""
    if claim.id in _NOT_MADE:
        return _NOT_MADE[claim.id]
    largest = max((arm.get("batch_size", 0) for arm in claim.test.settings), default=0)
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
        found = samples.sample(runs, claim.test.settings, claim, learners=False)
    except Missing as reason:
        return reason.diverged
    return why.diverged or found.n >= seeds_needed(claim)


def seeds_needed(claim: Claim) -> int:
    """Return the fewest complete seeds that give any outcome."""
    return max(claim.min_seeds, claim.test.fewest)


def command(claim: Claim, study: str, preset: str = STAND_IN) -> str:
    """Return what makes the runs of a claim, for a terminal.

    Args:
        claim: The claim.
        study: The study that declares its trials, which need not be the one it is discussed in
            (see `hplab.analysis.claims.wanted.lacks`).
        preset: At which size.

    Example:
        >>> from hplab.analysis.claims.ledger import load
        >>> command(load()["S4-08"], "01-learning-rate")
        'make execute STUDY=01-learning-rate PRESET=laptop'
    """
    needed = seeds_needed(claim)
    seeds = f" SEEDS={needed}" if needed > presets.preset(preset).n_seeds else ""
    return f"make execute STUDY={study} PRESET={preset}{seeds}"
