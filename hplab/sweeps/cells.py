"""What the cells of a column hold: numbers that are written as text, and shares in percent."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hplab.errors import HplabError
from hplab.sweeps import metrics as named

_COMMA = r"[-+]?\d+,\d+(?:[eE][-+]?\d+)?"  # a decimal comma: 0,001
_THOUSANDS = r"[-+]?[1-9]\d{0,2}(?:,\d{3})+"  # 1,024 is more likely one thousand and some
_PERCENT = r"\s*%"
MIXED = 20  # how often the smaller a value is that makes a column look like shares and percent
_MOST = 6  # rows that a message lists


def numbers(column: pd.Series) -> tuple[pd.Series, str]:
    """Return a column with text that holds numbers made numbers, and what was done to it.

    "0,97" is 0.97 and "97 %" is 0.97. A column with any other text stays as it is, and so does one
    whose commas may all divide thousands ("1,024").

    Example:
        >>> column, note = numbers(pd.Series(["97,5%", "98%"], name="acc"))
        >>> column.tolist(), note
        ([0.975, 0.98], "acc is written with decimal commas and with '%': 97,5% is read as 0.975")
    """
    text = column.astype(str).str.strip()
    said = _said(column, text)
    plain = pd.to_numeric(column, errors="coerce")
    if not said.any() or plain[said].notna().all():
        return (plain if said.any() else column), ""
    percent = said & text.str.contains("%", regex=False)
    bare = text.str.replace(_PERCENT + "$", "", regex=True)
    comma = said & bare.str.fullmatch(_COMMA)
    if comma.any() and bare[comma].str.fullmatch(_THOUSANDS).all():
        return column, ""
    read = pd.to_numeric(bare.where(~comma, bare.str.replace(",", ".", regex=False)), "coerce")
    if read[said].isna().any():
        return column, ""
    found = read.where(~percent, read / 100).where(said)
    how = ["with decimal commas"] * bool(comma.any()) + ["with '%'"] * bool(percent.any())
    first = int(np.flatnonzero(comma | percent)[0])
    example = f"{text.iloc[first]} is read as {found.iloc[first]:g}"
    return found, f"{column.name} is written {' and '.join(how)}: {example}"


def check_numbers(column: pd.Series) -> None:
    """Refuse a column of results that holds text, and say where.

    Raises:
        HplabError: With the rows, from 1, and what the first of them holds.
    """
    if why := no_numbers(column):
        raise HplabError(f"{why}; write numbers there, or leave the cell empty")


def no_numbers(column: pd.Series) -> str:
    """Return why a column holds no numbers, "" if it does."""
    if pd.api.types.is_complex_dtype(column):
        return f"{column.name} holds complex numbers"
    if pd.api.types.is_numeric_dtype(column):
        return ""
    text = column.astype(str).str.strip()
    said = _said(column, text)
    bad = np.flatnonzero(said & pd.to_numeric(column, errors="coerce").isna())
    if not len(bad):
        return ""
    first = text.iloc[bad[0]][:40]
    why = f"{column.name} holds {first!r} in {rows(bad + 1)}, which is no number"
    return why + " (thousands, or a decimal comma?)" * ("," in first)


def rows(numbers: np.ndarray) -> str:
    """Return which rows are meant, of many the first few: "row 2"; "rows 1, 2 and 4 more"."""
    few = [str(number) for number in numbers[:_MOST]]
    more = f" and {len(numbers) - _MOST} more" * (len(numbers) > _MOST)
    return f"row{'s' * (len(numbers) > 1)} {', '.join(few)}{more}"


def is_percent(column: pd.Series, row: pd.Series) -> bool:
    """Return whether a metric that is a share is given in percent.

    Args:
        column: Its values, one a run.
        row: Which row of the given table each run is.

    Raises:
        HplabError: If some values are shares and others percent.
    """
    values = column.to_numpy(float)
    if not named.is_percent(str(column.name), values):
        return False
    largest = np.max(values, where=np.isfinite(values), initial=-np.inf)
    small = (values > 0) & (values <= 1)
    if small.any() and largest >= MIXED * values[small].max():
        shares, percent = row[small].to_numpy(), row[values > 1].to_numpy()
        raise HplabError(
            f"{column.name} seems to be a share in {rows(shares)} ({values[small][0]:.4g}) and in "
            f"percent in {rows(percent)} ({values[values > 1][0]:.4g}); write all of them alike"
        )
    return True


def _said(column: pd.Series, text: pd.Series) -> pd.Series:
    """Return which cells hold anything."""
    return column.notna() & ~text.str.lower().isin(["none", "nan", ""])
