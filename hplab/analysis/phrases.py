"""The sentences of a verdict: what was measured, by how much, and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hplab.analysis.stats import CONTRADICTED, INCONCLUSIVE, Interval

WORDS = {
    "val_acc": "validation accuracy",
    "val_loss": "validation loss",
    "train_acc": "training accuracy",
    "train_loss": "training loss",
    "acc_gap": "the accuracy gap",
    "loss_gap": "the loss gap",
}
_DIGITS = {"pp": 2, "nats": 4, "epochs": 2, "%": 2, "": 2}
_MINUS = "\N{MINUS SIGN}"


def number(value: float, unit: str) -> str:
    """Return a value with its unit: "0.21 pp"."""
    text = _text(value, unit)
    return f"{text} {unit}" if unit else text


def span(interval: Interval, unit: str) -> str:
    """Return an interval's limits: "0.08 to 0.34"."""
    return f"{_text(interval.low, unit)} to {_text(interval.high, unit)}"


def limits(interval: Interval, unit: str, of: str = "") -> str:
    """Return an interval in words: "95 % interval 0.08 to 0.34"; `of` says what it is of."""
    return f"{100 * interval.level:.4g} % interval {of}{span(interval, unit)}"


def p_value(p: float) -> str:
    """Return a p value as readers see it: "p = 0.013", "p < 0.001"."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def subject(quantity: Any, sign: float = 0.0) -> tuple[str, str]:
    """Return a quantity in words, and the word for more of it, or less if `sign` is negative."""
    if isinstance(quantity, str):
        return WORDS[quantity], "lower" if sign < 0 else "higher"
    metric = WORDS[quantity["metric"]]
    if "epochs_to" in quantity:
        words = f"the time to {100 * quantity['epochs_to']:g} % {metric}"
        return words, "shorter" if sign < 0 else "longer"
    share = f"{100 * quantity['change_over_last']:g} %"
    return f"the change of {metric} over the last {share} of training", ""


def margin(outcome: str, difference: Interval, size: float, unit: str, *, small: bool) -> str:
    """Return what the margin says about a difference.

    Args:
        outcome: What was decided.
        difference: The effect with its interval.
        size: The margin.
        unit: The unit of both.
        small: Whether TOST found the effect inside the margin.
    """
    fixed = f"the margin fixed beforehand was {number(size, unit)}"
    if small:
        return f"{fixed}, and the difference is surely smaller than that."
    if outcome == CONTRADICTED:
        return f"{fixed}, and the claim says the opposite."
    if outcome == INCONCLUSIVE and difference.low > 0:
        return f"{fixed}, which the estimate does not reach, nor is it surely below."
    if outcome == INCONCLUSIVE:
        return f"{fixed}, and the interval leaves open which is ahead."
    return f"{fixed}."


def shape(
    on: str, arm: str, test: Mapping[str, Any], intervals: Sequence[Interval], unit: str
) -> str:
    """Return how many steps or comparisons of learning curves go the claimed way.

    Args:
        on: How the sentence begins: on which seeds, and when.
        arm: The setting the claim is about.
        test: The claim's test.
        intervals: Simultaneous intervals, positive on the claimed side.
        unit: Their unit.
    """
    up = sum(interval.low > 0 for interval in intervals)
    down = sum(interval.high < 0 for interval in intervals)
    least = min(interval.estimate for interval in intervals)
    what = f"{subject(test['quantity'])[0]} at {arm}"
    other = "falls"
    if test["form"] == "lowest":
        other = "is above them"
        what += f" is below its rivals in {up} of {len(intervals)} comparisons"
    else:
        what += f" rises in {up} of {len(intervals)} steps"
    against = f" and {other} in {down}" if down else ""
    return (
        f"{on} {what}{against} (simultaneous intervals exclude 0); the smallest mean "
        f"difference is {number(least, unit)}."
    )


def differences(differs: Mapping[str, tuple[str, str]]) -> str:
    """Return what was trained otherwise than in the report, in words."""
    return ", ".join(
        f"{name} is {ours} instead of {theirs}" for name, (ours, theirs) in differs.items()
    )


def _text(value: float, unit: str) -> str:
    text = f"{value:.{_DIGITS[unit]}f}"
    return text.replace("-", _MINUS) if float(text) else text.lstrip("-")
