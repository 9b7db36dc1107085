"""The sentences of a verdict: what was measured, by how much, and what follows from it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from hplab.analysis.stats.intervals import CONTRADICTED, INCONCLUSIVE, Interval

_DIGITS = {"pp": 2, "nats": 4, "epochs": 2, "%": 2, "s": 2, "share": 3, "tau": 2, "": 2}
MINUS = "\N{MINUS SIGN}"
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float, unit: str) -> str:
    """Return a value with its unit: "0.21 pp"."""
    text = _text(value, unit)
    return text if unit in ("", "any", "ratio", "share", "tau") else f"{text} {unit}"


def bare(value: float, unit: str) -> str:
    """Return a value without its unit: "0.21"."""
    return _text(value, unit)


def span(interval: Interval, unit: str) -> str:
    """Return an interval's limits: "0.08 to 0.34".

    What lies past the end of the scale is not shown, and said to be cut off.

    Example:
        >>> span(Interval(94.3, 88.2, 100.4, 0.95, 3, ends=(0.0, 100.0)), "%")
        '88.20 to 100.00, where the scale ends'
    """
    least, greatest = interval.ends or (interval.low, interval.high)
    low, high = max(interval.low, least), min(interval.high, greatest)
    text = f"{_text(low, unit)} to {_text(high, unit)}"
    cut = (low > interval.low, high < interval.high)
    if cut == (True, True):
        return f"{text}, the whole scale"
    if cut == (False, True):
        return f"{text}, where the scale ends"
    if cut == (True, False):
        return f"{_text(low, unit)}, where the scale ends, to {_text(high, unit)}"
    return text


def limits(interval: Interval, unit: str, of: str = "") -> str:
    """Return an interval in words: "95 % interval 0.08 to 0.34"; `of` says what it is of.

    Values that are all the same have none: "the same in all 5 seeds".
    """
    if interval.low == interval.high == interval.estimate:
        return f"the same in all {interval.n} seeds"
    return f"{100 * interval.level:.4g} % interval {of}{span(interval, unit)}"


def p_value(p: float) -> str:
    """Return a p value as readers see it: "p = 0.013", "p < 0.001"."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def small_p(p: float) -> str:
    """Return a p value or a level to two digits, also a tiny one: "0.034", "1.4 × 10⁻⁸", "0".

    Example:
        >>> small_p(0.034), small_p(1.43e-8), small_p(0.0)
        ('0.034', '1.4 × 10⁻⁸', '0')
    """
    if p == 0 or p >= 1e-4:
        return f"{p:.2g}"
    digits, _, power = f"{p:.1e}".partition("e")
    return f"{digits} × 10{str(int(power)).translate(_RAISED)}"


def more(subject: str, sign: float) -> str:
    """Return the word for more of a quantity, or for less of it if `sign` is negative."""
    words = ("higher", "lower")
    if subject.startswith("the time"):
        words = ("longer", "shorter")
    elif subject.startswith("the epoch"):
        words = ("later", "earlier")
    elif subject.startswith("the change"):
        words = ("more", "less")
    return words[sign < 0]


def margin(outcome: str, above: bool, size: float, unit: str, *, small: bool) -> str:
    """Return what the margin says about a difference.

    Args:
        outcome: What was decided.
        above: Whether the interval of the effect lies on the claimed side.
        size: The margin.
        unit: The unit of both.
        small: Whether the whole interval is short of the margin.
    """
    factor = "a factor of " if unit == "ratio" else ""
    fixed = f"the margin fixed beforehand was {factor}{number(size, unit)}"
    if not size or (unit == "ratio" and size == 1):
        fixed = "by the rule any difference counts, however small"
    if small:
        return f"{fixed}, and the whole interval is short of that."
    if outcome == CONTRADICTED:
        return f"{fixed}, and the claim says the opposite."
    if outcome == INCONCLUSIVE and above:
        return f"{fixed}, and the interval leaves open whether the difference is as large."
    if outcome == INCONCLUSIVE:
        return f"{fixed}, and the interval leaves open which is ahead."
    return f"{fixed}."


def course(what: str, form: str, intervals: Sequence[Interval]) -> str:
    """Return how many steps or comparisons of learning curves go the claimed way.

    Args:
        what: The quantity and the setting the claim is about.
        form: "lowest" or "rising".
        intervals: Simultaneous intervals, positive on the claimed side.
    """
    up = sum(interval.low > 0 for interval in intervals)
    down = sum(interval.high < 0 for interval in intervals)
    other = "falls"
    if form == "lowest":
        other = "is above them"
        what += f" is below its rivals in {up} of {len(intervals)} comparisons"
    else:
        what += f" rises in {up} of {len(intervals)} steps"
    return f"{what} and {other} in {down}" if down else what


def shape(on: str, said: str, intervals: Sequence[Interval], unit: str) -> str:
    """Return what the learning curves show, as a reason.

    Args:
        on: How the sentence begins: on which seeds, and when.
        said: What `course` returned.
        intervals: Simultaneous intervals, positive on the claimed side.
        unit: Their unit.
    """
    least = min(interval.estimate for interval in intervals)
    return (
        f"{on} {said} (95 % intervals exclude 0); the smallest mean difference is "
        f"{number(least, unit)}."
    )


_PLAIN = (  # terms of the ledger, and how a reader says them
    (r"\brunning (?=training|accuracy gap)", ""),
    (r"(?<=\d) pp\b", " percentage points"),
    (r"\boptimizer adam\b", "Adam"),
    (r"\boptimizer rmsprop\b", "RMSprop"),
    (r"\boptimizer sgd\b", "SGD"),
    (r"\bloss kl_div\b", "the KL divergence"),
    (r"\bloss cross_entropy\b", "cross-entropy"),
    (r"\bat (?=Adam|RMSprop|SGD|the KL|cross-entropy)", "with "),
)


def plain(text: str) -> str:
    """Return what was measured in everyday words.

    Example:
        >>> plain("the running accuracy gap is 2.00 pp higher at lr 1e-3 than at optimizer sgd")
        'the accuracy gap is 2.00 percentage points higher at learning rate 0.001 than with SGD'
    """
    for term, words in _PLAIN:
        text = re.sub(term, words, text)
    return re.sub(r"\blr (\d[\d.]*(?:e-?\d+)?)", _rate, text)


def _rate(found: re.Match[str]) -> str:
    return f"learning rate {float(found[1]):.10f}".rstrip("0").rstrip(".")


def listed(words: Sequence[str]) -> str:
    """Return words as a list in a sentence: "a, b and c"."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def differences(differs: Mapping[str, tuple[str, str]]) -> str:
    """Return what was trained otherwise than in the report, in words."""
    return ", ".join(
        f"{name} is {ours} instead of {theirs}" for name, (ours, theirs) in differs.items()
    )


def _text(value: float, unit: str) -> str:
    """Return a value; "any" is the unit of a metric that nothing is known of."""
    significant = {"ratio": ".3g", "any": ".4g"}
    text = format(value, significant.get(unit) or f".{_DIGITS[unit]}f")
    return text.replace("-", MINUS) if float(text) else text.lstrip("-")
