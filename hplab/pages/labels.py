"""Words and numbers as readers see them: axis labels, values, intervals, where runs come from."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

import pandas as pd

from hplab.analysis.claims import phrases
from hplab.sweeps import metrics
from hplab.sweeps.table import SETTINGS, column, hyperparameters, setting

__all__ = [
    "count",
    "interval",
    "label",
    "listed",
    "number",
]

PERCENT, POINTS = "%", "pp"
MINUS, TIMES = "\u2212", "\u00d7"
SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def quantity(name: str) -> str:
    """The name of a column in words, without its unit: `val_acc` is "validation accuracy".

    A column "arm_NAME" holds what the report declared where a preset trained something else.
    """
    if name.startswith("arm_"):
        return f"declared {quantity(name[4:])}"
    return column(name).words or name.replace("_", " ").replace(".", " ")


def unit(name: str, loss: str = "cross_entropy") -> str:
    """The unit a column is shown in, or "" if it has none.

    Accuracies are stored as shares and shown in percent, their gaps in percentage points; a loss
    has a unit (nats) only if it is a cross-entropy.
    """
    found = column(name).unit
    a_loss = name.endswith("_loss") or name == "loss_gap"
    return "" if a_loss and loss not in ("cross_entropy", "kl_div") else found


def label(name: str, loss: str = "cross_entropy") -> str:
    """An axis label: the quantity in lower case, its unit in parentheses.

    Args:
        name: Name of a column.
        loss: The loss that a column of losses is of; it decides the unit.

    Returns:
        The words.
    """
    shown, words = unit(name, loss), quantity(name)
    if shown == PERCENT and metrics.says_percent(words):
        return words
    return f"{words} ({shown})" if shown else words


def heading(name: str) -> str:
    """The head of a column of means: the quantity, with its unit where values are scaled by it."""
    return label(name) if scale(name) != 1 else quantity(name)


def loss(runs: pd.DataFrame) -> str:
    """The one loss that the runs were trained with, by which `unit` knows that of a "NAME_loss".

    Of a function of somebody's own it is not known, unless an argument of it is called so.
    """
    if "loss" in hyperparameters(runs):
        found = list(runs["loss"].unique())
        return str(found[0]) if len(found) == 1 else "mixed"
    return "unknown" if SETTINGS in runs else "cross_entropy"


def scale(name: str) -> float:
    """What a stored value of this column is multiplied by before it is shown."""
    return 100.0 if unit(name) in (PERCENT, POINTS) else 1.0


def better(name: str) -> int:
    """1 if more of this metric is better, -1 if less is, 0 if neither can be said.

    It is told by the name: see `hplab.sweeps.metrics`.
    """
    return metrics.better(name)


def bounds(name: str, values: Iterable[float] = ()) -> tuple[float, float]:
    """The least and the greatest that a metric can be, in units of the table.

    A loss that went below 0 in some run is of a kind that can.
    """
    _, _, low, high = column(name)
    return (low if min(values, default=low) >= low else -math.inf), high


def power(value: float) -> str:
    """A number on a log10 axis: 10⁻³, 5×10⁻⁴, 0."""
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.2e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".")
    tail = "10" + str(int(exponent)).translate(SUPERSCRIPT)
    return tail if mantissa == "1" else f"{mantissa}{TIMES}{tail}"


def decimals(name: str, value: float, half: float = math.nan) -> int:
    """How many decimals a metric gets: two for percent, else two digits of its half-width.

    Without a half-width a metric that is not a percentage gets three significant digits.
    """
    if unit(name) in (PERCENT, POINTS):
        return 2
    size, digits = (half, 2) if math.isfinite(half) and half > 0 else (value, 3)
    if not math.isfinite(size) or size == 0:
        return 3
    return min(max(digits - 1 - math.floor(math.log10(abs(size))), 0), 6)


def number(name: str, value: float, half: float = math.nan, *, with_unit: bool = True) -> str:
    """A metric as text, in the unit it is shown in: 0.9873 of `val_acc` is "98.73 %".

    Args:
        name: Name of a column.
        value: In the unit of the table.
        half: Half-width of its interval, which decides how many digits are shown.
        with_unit: Whether the unit stands behind it.

    Returns:
        The text.
    """
    if value is None or math.isnan(value):
        return "none"
    shown = value * scale(name)
    text = f"{shown:.{decimals(name, shown, half * scale(name))}f}".replace("-", MINUS)
    tail = unit(name) if with_unit and unit(name) in (PERCENT, POINTS, "s") else ""
    return f"{text} {tail}" if tail else text


def interval(name: str, cell: Any) -> str:
    """A mean with its interval: "98.73 % (95 % interval 98.60 to 98.86 %, n = 5 seeds)".

    Args:
        name: The metric.
        cell: Anything with `low`, `high`, `n` and `mean` or `estimate`, in units of the table.

    Returns:
        The words.
    """
    mean = cell.estimate if hasattr(cell, "estimate") else cell["mean"]
    low, high, n = cell.low, cell.high, f"n = {count(int(cell.n), 'seed')}"
    if not (math.isfinite(low) and math.isfinite(high)):
        return f"{number(name, mean)} ({n}, too few for an interval)"
    half = (high - low) / 2
    if math.isclose(low, high, rel_tol=1e-12):
        return f"{number(name, mean)} ({alike(int(cell.n))})"
    ends = f"{number(name, low, half, with_unit=False)} to {number(name, high, half)}"
    return f"{number(name, mean, half)} (95 % interval {ends}, {n})"


def give_or_take(name: str, cell: Any) -> str:
    """A mean with the half-width of its interval, without unit: "98.73 ± 0.13".

    An interval that is not symmetric (see `cells.bent`) is given by its ends. Values that are all
    the same have none.
    """
    half = (cell["high"] - cell["low"]) / 2
    if not math.isfinite(cell["mean"]):
        return ""
    mean = number(name, cell["mean"], half, with_unit=False)
    if not math.isfinite(half):
        return mean
    if math.isclose(cell["low"], cell["high"], rel_tol=1e-12):
        return f"{mean} ({alike(int(cell['n']))})"
    places = decimals(name, cell["mean"] * scale(name), half * scale(name))
    if cell.get("bent"):
        ends = [f"{cell[end] * scale(name):.{places}f}" for end in ("low", "high")]
        return f"{mean} ({ends[0]} to {ends[1]})"
    return f"{mean} \u00b1 {half * scale(name):.{places}f}"


def alike(n: int) -> str:
    """What is said in place of an interval where all values are the same.

    >>> alike(2), alike(5)
    ('n = 2, both the same', 'n = 5, all the same')
    """
    return f"n = {n}, {'both' if n == 2 else 'all'} the same"


def rough(value: float) -> str:
    """A learning rate that nobody typed, to two digits: 1.3e-3."""
    return setting(float(f"{value:.1e}"))


def shortened(text: str, most: int) -> str:
    """The text, cut to so many characters with an ellipsis.

    >>> shortened("learning rate", 9), shortened("width", 9)
    ('learning…', 'width')
    """
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


def ordinal(n: int) -> str:
    """2nd, 3rd, 4th, 11th, 21st."""
    teens = n % 100 in (11, 12, 13)
    return f"{n}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(n % 10, 'th')}"


def count(n: int, noun: str) -> str:
    """A number with its noun: "1 run", "5 runs".

    Args:
        n: How many.
        noun: The noun in the singular; an s makes the plural.

    Returns:
        The words.
    """
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def span(values: Iterable[int]) -> str:
    """One number if all are equal, else their range: "5", "3 to 5"."""
    low, high = min(values := list(values)), max(values)
    return str(low) if low == high else f"{low} to {high}"


def listed(words: Iterable[str], most: int = 6) -> str:
    """Words in a row: "a", "a and b", "a, b and c"; beyond `most`, how many more there are.

    Args:
        words: The words.
        most: The most that are written out.

    Returns:
        The row.
    """
    words = list(words)
    if len(words) > most:
        words = [*words[: most - 1], f"{len(words) - most + 1} more"]
    return phrases.listed(words)


def context(runs: pd.DataFrame) -> str:
    """Which preset, data, model, epochs and device a table holds, as far as the table tells."""
    parts, declared = [], hyperparameters(runs)
    if preset := runs.attrs.get("preset"):
        parts.append(f"{preset} preset")
    for name in ("data", "model", "epochs", "device"):
        if name == "epochs":
            parts += _epochs(runs) if name in declared else []
            continue
        told = name == "device" or name in declared
        if told and name in runs and len(found := runs[name].dropna().unique()):
            parts.append(listed(map(str, found)))
        elif name in runs.attrs:
            parts.append(str(runs.attrs[name]))
    return ", ".join(parts)


def _epochs(runs: pd.DataFrame) -> list[str]:
    """How many epochs the runs are trained for: "5 epochs", "5 to 50 epochs".

    In a table of somebody's own, a column of that name may hold anything.
    """
    found = pd.to_numeric(runs["epochs"], errors="coerce").dropna()
    if found.empty or (found % 1 != 0).any():
        return []
    return [f"{span(found.astype(int))} epoch{'s' * bool(found.max() != 1)}"]


def effect(value: float, unit: str) -> str:
    """An effect that stands by itself, in the unit of its claim; a ratio says that it is one."""
    return f"{phrases.number(value, unit)}{' times' if unit == 'ratio' else ''}"


def unbroken(text: str) -> str:
    """The text with true minus signs, unbroken before a unit, around an equals sign, in 1e-3."""
    text = re.sub(r"(?<![\w.-])-(?=\d)", MINUS, text)
    kept = re.sub(r"(?<=\d) (?=%|(?:pp|s|seeds?)\b)", "\u00a0", text)
    kept = re.sub(r"(?<=\de-)(?=\d)", "\u2060", kept)
    return kept.replace(" = ", "\u00a0=\u00a0")


def sentence(text: str) -> str:
    """The text with a capital first letter and one full stop at the end."""
    return text[:1].upper() + text[1:].rstrip(".") + "."
