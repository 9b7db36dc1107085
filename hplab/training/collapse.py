"""Whether a run ended dead: with no live unit and one class for every image."""

from __future__ import annotations

from collections.abc import Sequence

N_JUDGED = 3  # epochs in a row on which a collapse is judged
JUDGED = ("collapsed", "died", "revived")  # mean nothing of a run that is shorter


def died_after(live_units: Sequence[float | None], n: int = N_JUDGED) -> int | None:
    """Return after which epoch there had been no live unit for `n` epochs in a row, or None."""
    for epoch in range(n, len(live_units) + 1):
        if not any(live_units[epoch - n : epoch]):
            return epoch
    return None


def collapsed(live_units: Sequence[float | None], n_predicted: Sequence[float | None]) -> bool:
    """Return whether a run ended dead: no live unit and one class in its last three epochs.

    Args:
        live_units: Live units on the training images after each epoch.
        n_predicted: Different classes predicted on the validation images after each epoch.
    """
    return set(live_units[-N_JUDGED:]) == {0} and set(n_predicted[-N_JUDGED:]) == {1}
