"""What the explorer's script draws (`explorer.js`), of a table of runs.

Any table will do: of `hplab.run`, of records, of runs made elsewhere. Numbers are cut to the digits
that a drawing can show, and curves to a few places, so that a page of all records stays small.

What the script gets is one object; what is marked * may be left out.

    { version: 1, n: 412 (runs), title*: "Adam on MNIST",
      columns: [
        { name: "lr", label: "learning rate", role: "setting" (tells runs apart by more than luck),
          values: [0.001, 0.01] (levels in order: numbers, text, true, false, null),
          texts*: ["1e-3", "0.01"] (as readers see them), codes: [0, 0, 1, ...] (level of each run),
          log*: true (its axis is logarithmic at first) },
        { name: "seed", label: "seed", role: "run" (names a run), numbers: [0, 1, ...] (or texts) },
        { name: "val_acc", label: "validation accuracy", role: "result",
          numbers: [0.98, null, ...] (of each run), rows*: [0, 3, ...] (of which, if not of all),
          unit*: "%", scale*: 100 (shown is number times scale),
          better*: 1 (more is), -1 (less) or 0,
          low*: 0, high*: 1 (what intervals keep to, in units of the table) },
        { name: "lr_used", label: "learning rate", role: "series" (of curves alone) } ],
      diverged*: [17, 230] (runs without a result),
      ended*: { "3": "stopped" } (runs that did not finish, and why),
      curves*: { x: { label: "epoch" },
        at: [[1, 2, 5], [1, 3]] (places at which curves were noted),
        which: [0, 0, 1, null, ...] (of each run, which of them),
        series: { val_acc: [[0.7, 0.9, 0.95], null, ...] } },
      confusion*: { names: ["zero", ...],
        counts: { "3": [matrix of run 3 in one list, true class down] } },
      start*: { view: "curves", x: "lr", y: "val_acc", by: "lr", seeds: "0",
        "not.data": "digits|mnist" } }
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from hplab.pages import labels
from hplab.pages.figures import cells
from hplab.sweeps import store as stores
from hplab.sweeps import table
from hplab.sweeps.records import Record
from hplab.trial import HplabError

VERSION = 1  # of the format
SCRIPT = Path(__file__).with_name("explorer.js")
STYLE = Path(__file__).with_name("explorer.css")
DIGITS = 5  # of a result
CURVE_DIGITS = 4
PLACES = 40  # of a curve, at most
SPARSE = 0.5  # a column with a smaller share of values names the runs that have one
OF_DIGITS = {"digits", "mnist"}  # data sets whose classes are the digits 0 to 9
FIRST = (
    "ladder_sharpness",
    "val_acc",
    "val_loss",
    "train_acc",
    "train_loss",
    "acc_gap",
    "loss_gap",
)
SERIES = ("val_acc", "val_loss", "train_acc", "train_loss")
# Results that say nothing of how good or flat or fast a run was.
DULL = ("lanes", "lr_used", "stopped")

Curves = Mapping[str, Sequence[float | None]]


def of_table(
    runs: pd.DataFrame,
    *,
    curves: Sequence[Curves | None] = (),
    confusion: Mapping[int, Sequence[int]] | None = None,
    class_names: Sequence[str] = (),
    x_name: str = "epoch",
    title: str = "",
    start: Mapping[str, Any] | None = None,
    places: int = PLACES,
) -> dict[str, Any]:
    """Return the explorer's data.

    Args:
        runs: One row a run. Hyperparameters, and text in columns of the page's own, are its
            setting; columns of results are what can be drawn up; "status" says which diverged, and
            what became of those that did not finish.
        curves: For each run its curves by name, one value a place; None for a run without any. A
            curve named `x_name` holds the places; without one they are 1, 2, 3. Those of a run that
            was stopped early are drawn by themselves, up to where it was, and are in no mean.
        confusion: For some runs, by their row, the confusion matrix in one list, true class down.
        class_names: Names of the classes of the matrices; numbers from 1 where there are none.
        x_name: What curves run along.
        title: What the explorer is about.
        start: What is shown first, in the words of a link: "view", "x", "y", "by", "seeds" ("0" or
            "1"), "not.COLUMN" for levels that are left out, with "|" between them, and "in.COLUMN"
            for the two ends of a range on an axis of parallel coordinates.
        places: Values that are kept of a curve, at most.

    Raises:
        HplabError: If the table has no hyperparameter or no result to choose from.
    """
    settings, results = setting_columns(runs), result_columns(runs)
    if not settings or not results:
        raise HplabError("explore: the table has no hyperparameter or no metric to choose from")
    columns = [_setting(runs[name]) for name in settings]
    columns += [_note(runs[name]) for name in ("seed", "device") if name in runs]
    columns += [_result(runs[name]) for name in results]
    data: dict[str, Any] = {"version": VERSION, "title": title, "n": len(runs), "columns": columns}
    status = runs["status"].tolist() if "status" in runs else []
    data["diverged"] = [i for i, word in enumerate(status) if word == "diverged"]
    ended = {str(i): str(word) for i, word in enumerate(status) if word not in ("ok", "diverged")}
    data |= {"ended": ended} if ended else {}
    if any(curves):
        data["curves"] = _curves(curves, x_name, places)
        others = [name for name in data["curves"]["series"] if name not in results]
        columns += [
            {"name": name, "label": labels.quantity(name), "role": "series"} for name in others
        ]
    if confusion:
        n = math.isqrt(len(next(iter(confusion.values()))))
        names = [*class_names] or [str(i + 1) for i in range(n)]
        counts = {str(row): [int(one) for one in flat] for row, flat in confusion.items()}
        data["confusion"] = {"names": names, "counts": counts}
    data["start"] = {"x": settings[0], "y": results[0], **(start or {})}
    return data


def of_records(
    runs: pd.DataFrame, records: Iterable[Record] | None = None, **options: Any
) -> dict[str, Any]:
    """Return the explorer's data of a table of runs, with the curves of those that are recorded.

    Args:
        runs: As `hplab.run` returns it.
        records: Their records; None looks them up in the project's own store.
        options: Of `of_table`.
    """
    keys = [key if isinstance(key, str) else "" for key in runs.get("key", [])]
    if records is None:
        store = stores.default_store()
        records = [record for key in {*keys} if (record := store.get(key))]
    by_key = {record["key"]: record for record in records}
    known = [by_key.get(key) for key in keys]
    series = [
        {name: record["curves"][name] for name in SERIES if name in record["curves"]}
        if record
        else None
        for record in known
    ]
    matrices = {
        i: record["curves"]["confusion"]
        for i, record in enumerate(known)
        if record and "confusion" in record["curves"]
    }
    sizes = {len(flat) for flat in matrices.values()}
    if len(sizes) > 1:  # of several data sets: those with the most classes
        matrices = {i: flat for i, flat in matrices.items() if len(flat) == max(sizes)}
    if set(runs.get("data", ())) <= OF_DIGITS:
        options.setdefault("class_names", [str(digit) for digit in range(10)])
    return of_table(runs, curves=series, confusion=matrices, **options)


def of_long(runs: pd.DataFrame, group: str, x: str, y: str) -> dict[str, Any]:
    """Return the explorer's data of a table with a row a run and place, as `hplab.probes` gives it.

    Args:
        runs: The table; rows of one "key" are one run.
        group: The column whose values are the groups to compare.
        x: The column that curves run along.
        y: The column that is drawn up.
    """
    rows, series = [], []
    for _, part in runs.groupby("key", sort=False):
        rows.append(part.iloc[0])
        series.append({x: part[x].tolist(), y: part[y].tolist()})
    ends = pd.DataFrame(rows).reset_index(drop=True)
    ends[y] = [curve[y][-1] for curve in series]
    kept = [name for name in (group, "seed", "status", y) if name in ends]
    start = {"view": "curves", "by": group, "seeds": "0"}
    return of_table(ends[kept], curves=series, x_name=x, start=start)


def embedded(data: Mapping[str, Any], name: str, fallback: str) -> str:
    """Return the markup of an explorer: its fallback, and its data for the script.

    Args:
        data: Of `of_table`.
        name: The id of the explorer on its page, and the beginning of its links.
        fallback: Markup for who has no scripts.
    """
    return (
        f'<div class="hp-explorer" id="{name}">{fallback}</div>'
        f'<script type="application/json" class="hp-explorer-data" data-for="{name}">'
        f"{dumps(data)}</script>"
    )


def dumps(data: Mapping[str, Any]) -> str:
    """Return data as JSON that can stand inside a page's script element."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def with_script(page: str) -> str:
    """Return an HTML page with the explorer's script in it, if it has an explorer.

    The script stands in the page because browsers load no module from a plain file.
    """
    if 'class="hp-explorer-data"' not in page:
        return page
    head, end, tail = page.rpartition("</body>")
    style, script = STYLE.read_text(encoding="utf-8"), SCRIPT.read_text(encoding="utf-8")
    mine = f'<style>{style}</style>\n<script type="module">\n{script}</script>\n'
    return f"{head}{mine}{end}{tail}"


# ---------------------------------------------------------------------------------------- columns


def setting_columns(runs: pd.DataFrame) -> list[str]:
    """Return the columns that tell runs apart by more than luck, those that vary most useful first.

    Where a preset changed what a report declared, both would say the same; what was trained stays.
    """
    first = {"ladder_radius": 0, "lr": 1}
    telling = [name for name in cells.telling(runs) if not name.startswith(("seed_", "arm_"))]
    # An argument with one value, of a component that only some runs have, says what its name says.
    kept, settings = list(telling), runs[telling].astype(str).drop_duplicates()
    for name in telling:
        if runs[name].isna().any() and runs[name].nunique() < 2 and len(kept) > 1:
            rest = [other for other in kept if other != name]
            kept = kept if settings[rest].duplicated().any() else rest
    return sorted(kept, key=lambda name: (first.get(name, 2), runs[name].nunique() < 2))


def varied_columns(runs: pd.DataFrame) -> list[str]:
    """Return those of `setting_columns` that vary."""
    return [name for name in setting_columns(runs) if runs[name].nunique(dropna=False) > 1]


def result_columns(runs: pd.DataFrame) -> list[str]:
    """Return the columns of results that have a number, validation metrics first."""
    found = [name for name in table.results(runs) if name not in DULL and runs[name].notna().any()]
    first = {name: i for i, name in enumerate(FIRST)}
    return sorted(found, key=lambda name: first.get(name, len(first)))


def _setting(column: pd.Series) -> dict[str, Any]:
    name = str(column.name)
    values = [_plain(value) for value in column]
    levels = list(dict.fromkeys(values))
    numbers = [one for one in levels if isinstance(one, (int, float)) and not isinstance(one, bool)]
    others = [one for one in levels if one not in numbers or isinstance(one, bool)]
    levels = [*sorted(numbers), *others]
    code = {value: i for i, value in enumerate(levels)}
    found: dict[str, Any] = {
        "name": name,
        "label": labels.quantity(name),
        "role": "setting",
        "values": levels,
        "texts": [labels.setting(value, name) for value in levels],
        "codes": [code[value] for value in values],
    }
    if cells.is_logarithmic(name, numbers):
        found["log"] = True
    return found


def _note(column: pd.Series) -> dict[str, Any]:
    name, values = str(column.name), [_plain(value) for value in column]
    kind = "numbers" if all(isinstance(value, (int, float)) for value in values) else "texts"
    return {"name": name, "label": labels.quantity(name), "role": "run", kind: values}


def _result(column: pd.Series) -> dict[str, Any]:
    name = str(column.name)
    values = [cut(value, DIGITS) for value in column]
    low, high = labels.bounds(name, [value for value in values if value is not None])
    found: dict[str, Any] = {"name": name, "label": labels.quantity(name), "role": "result"}
    more = {"unit": labels.unit(name), "better": labels.better(name)}
    more |= {"scale": labels.scale(name)} if labels.scale(name) != 1 else {}
    more |= {end: value for end, value in (("low", low), ("high", high)) if math.isfinite(value)}
    found |= {key: value for key, value in more.items() if value not in ("", None)}
    rows = [i for i, value in enumerate(values) if value is not None]
    if len(rows) < SPARSE * len(values):
        return {**found, "rows": rows, "numbers": [values[i] for i in rows]}
    return {**found, "numbers": values}


def cut(value: Any, digits: int) -> float | int | None:
    """Return a number with so many significant digits; None for none and for what is not finite.

    >>> cut(0.98765432, 4), cut(12.0, 4), cut(float("nan"), 4)
    (0.9877, 12, None)
    """
    if value is None or not math.isfinite(value):
        return None
    short = float(f"{float(value):.{digits}g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short


def _plain(value: Any) -> Any:
    """Return a value of a setting as JSON has it, None for a missing one."""
    if value is None or (isinstance(value, float) and math.isnan(value)) or value is pd.NA:
        return None
    value = value.item() if hasattr(value, "item") else value
    return value if isinstance(value, (bool, int, float, str)) else str(value)


# ----------------------------------------------------------------------------------------- curves


def _curves(curves: Sequence[Curves | None], x_name: str, most: int) -> dict[str, Any]:
    names = dict.fromkeys(name for one in curves if one for name in one if name != x_name)
    at: dict[tuple, int] = {}
    which: list[int | None] = []
    series: dict[str, list[Any]] = {name: [] for name in names}
    for one in curves:
        length = max((len(values) for values in one.values()), default=0) if one else 0
        if not one or not length:
            which.append(None)
            for name in names:
                series[name].append(None)
            continue
        places = [*(one.get(x_name) or range(1, length + 1))]
        kept = thinned(length, most)
        which.append(at.setdefault(tuple(places[i] for i in kept), len(at)))
        for name in names:
            values = one.get(name, ())
            whole = [cut(values[i], CURVE_DIGITS) for i in kept] if len(values) == length else None
            series[name].append(whole)
    return {"x": {"label": labels.quantity(x_name)}, "at": [*at], "which": which, "series": series}


def thinned(length: int, most: int) -> list[int]:
    """Return which values of a curve are kept: the first and last, and early ones more densely.

    >>> thinned(4, 10), thinned(100, 6)
    ([0, 1, 2, 3], [0, 4, 16, 36, 63, 99])
    """
    if length <= most:
        return list(range(length))
    places: Iterable[float] = ((i / (most - 1)) ** 2 for i in range(most))
    return sorted({round((length - 1) * place) for place in places})
