"""Reading tables of runs that were made elsewhere: what trackers export, and plain tables.

`read` returns the rows as they are in the file, with what is nested spread over columns
("config.lr"). What the columns are is said by `foreign`.
"""

from __future__ import annotations

import ast
import codecs
import io
import json
import math
import re
import sqlite3
import zlib
from collections.abc import Iterable, Mapping
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd

from hplab.errors import HplabError, nearest
from hplab.sweeps.trackers import batch, mlflow, optuna, wandb

ENDINGS = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".parquet", ".db")
_LISTS = ("runs", "data", "trials", "rows")  # where a JSON file may keep its rows


def is_table(text: str) -> bool:
    """Return whether a text is the name of a file that `read` reads, and no question.

    Example:
        >>> is_table("lr=0.1 beats lr=0.2"), is_table("no_such_file.csv")
        (False, False)
    """
    name = text.lower().removesuffix(".gz")
    return name.endswith(ENDINGS) and Path(text).is_file()


def read(path: str | Path) -> pd.DataFrame:
    """Return a table of runs from a file, or from a folder of W&B, trackio or TensorBoard.

    CSV and TSV (also with semicolons), JSON (a list, columns, or rows under "runs"), JSON lines,
    Parquet if pyarrow is there, and the data bases of trackio, MLflow and Optuna (SQLite).

    Raises:
        HplabError: If there is no such file, or it is of no known kind or holds no table.
    """
    path = Path(path)
    if path.is_dir():
        if wandb.find(path):
            return spread(wandb.read(path))
        projects = sorted(path.glob("*.db"))
        if len(projects) != 1:
            return _events(path)
        path = projects[0]  # of trackio
    if not path.is_file():
        beside = path.parent.glob("*") if path.parent.is_dir() else ()
        near = nearest(path.name, [one.name for one in beside if one.name.endswith(ENDINGS)])
        raise HplabError(f"there is no file {str(path)!r}{near}")
    ending = path.name.lower().removesuffix(".gz").rpartition(".")[2]
    reader = {
        "csv": _csv,
        "tsv": _csv,
        "txt": _csv,
        "json": _json,
        "jsonl": _lines,
        "ndjson": _lines,
        "parquet": _parquet,
        "db": _base,
    }.get(ending)
    if ending in ("xlsx", "xls", "xlsm", "ods"):
        raise HplabError(f"{path.name} is a workbook; save the sheet of runs as CSV")
    if reader is None:
        raise HplabError(f"{path.name} has none of the endings {', '.join(ENDINGS)}")
    try:
        if not path.stat().st_size:
            raise pd.errors.EmptyDataError
        found = reader(path)
    except pd.errors.EmptyDataError as error:
        raise HplabError(f"{path.name} is empty") from error
    except pd.errors.ParserError as error:
        wrong = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", str(error))
        said = " ".join(str(error).split())
        if wrong:
            said = f"line {wrong[2]} has {wrong[3]} cells, those above it have {wrong[1]}"
        raise HplabError(f"cannot read {path.name} as a table: {said}") from error
    except (ValueError, OSError, EOFError, zlib.error, RecursionError, sqlite3.Error) as error:
        said = " ".join(str(error).split())
        raise HplabError(f"cannot read {path.name} as a table: {said}") from error
    if found.empty:
        raise HplabError(f"{path.name} holds no runs")
    return spread(found)


def spread(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose columns of mappings, or of text that holds them, are spread.

    Example:
        >>> list(spread(pd.DataFrame({"config": ["{'lr': 0.1}"], "state": ["finished"]})))
        ['config.lr', 'state']
    """
    parts = []
    for name in table.columns:
        column = table[name]
        rows = _mappings(column) if not pd.api.types.is_numeric_dtype(column) else None
        if rows is None:
            parts.append(column)
            continue
        flat = pd.DataFrame([flattened(row) for row in rows], index=table.index)
        parts.append(flat.add_prefix(f"{name}."))
    found = pd.concat(parts, axis=1) if parts else table
    return found.loc[:, ~found.columns.duplicated()]


def flattened(row: Mapping[str, Any], front: str = "") -> dict[str, Any]:
    """Return a nested mapping as one level, names joined by dots.

    W&B wraps each value of a config as `{"value": ..., "desc": ...}`; that is taken off.

    Example:
        >>> flattened({"lr": {"value": 0.1, "desc": None}, "model": {"width": 8}})
        {'lr': 0.1, 'model.width': 8}
    """
    found: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping) and "value" in value and set(value) <= {"value", "desc"}:
            value = value["value"]
        if isinstance(value, Mapping):
            found.update(flattened(value, f"{front}{name}."))
        else:
            found[f"{front}{name}"] = str(value) if isinstance(value, (list, tuple)) else value
    return found


def _mappings(column: pd.Series) -> list[Mapping[str, Any]] | None:
    """Return the mappings that a column holds, None if it holds none."""
    known = column.dropna()
    if known.empty:
        return None
    first = known.iloc[0]
    is_text = isinstance(first, str) and first.lstrip().startswith("{")
    if not is_text and not isinstance(first, Mapping):
        return None
    try:
        return [_mapping(value) for value in column]
    except (ValueError, SyntaxError):
        return None


class _Numbers(ast.NodeTransformer):
    """Puts what Python writes of numbers that are none, `nan` and `inf`, into what it can read."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        known = {"nan": None, "inf": math.inf}
        return ast.Constant(known[node.id]) if node.id in known else node


def _mapping(value: Any) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    if not isinstance(value, str):
        return {}
    try:
        found = json.loads(value)
    except ValueError:
        found = ast.literal_eval(_Numbers().visit(ast.parse(value.strip(), mode="eval")))
    if not isinstance(found, Mapping):
        raise ValueError(value)
    return found


def _csv(path: Path) -> pd.DataFrame:
    opened = pd.io.common.get_handle(path, "rb", compression="infer", is_text=False)
    with opened as handles:
        text = _text(handles.handle.read())
    if marks := re.search(r"^(<{7}|>{7}) ", text, re.MULTILINE):
        number = text.count("\n", 0, marks.start()) + 1
        raise ValueError(f"line {number} is a mark of a merge conflict")
    separator = max("\t,;", key=text.partition("\n")[0].count)
    found = pd.read_csv(io.StringIO(text), sep=separator, low_memory=False)
    found.columns = [str(name).strip() for name in found.columns]
    return found.drop(columns=[name for name in found if name == "Unnamed: 0"])  # pandas' index


def _text(data: bytes) -> str:
    """Return the text of a file: UTF-8, or what Windows' programs write, UTF-16 or cp1252."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252")


def _json(path: Path) -> pd.DataFrame:
    content = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(content, Mapping):
        rows = next((content[name] for name in _LISTS if isinstance(content.get(name), list)), None)
        if rows is None and "columns" in content and "data" in content:
            return pd.DataFrame(content["data"], columns=content["columns"])
        if rows is None and all(isinstance(one, (list, Mapping)) for one in content.values()):
            return pd.DataFrame(content)
        content = [content] if rows is None else rows
    return _of_rows(content)


def _lines(path: Path) -> pd.DataFrame:
    lines = path.read_text(encoding="utf-8").splitlines()
    return _of_rows([json.loads(line) for line in lines if line.strip()])


def _of_rows(rows: Any) -> pd.DataFrame:
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise ValueError("expected a list of objects, one a run")
    return pd.DataFrame([flattened(row) for row in rows])


def _parquet(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except ImportError as error:
        how = "pip install 'hplab[trackers]', or export the table as CSV"
        raise HplabError(f"reading {path.name} needs pyarrow: {how}") from error


def _base(path: Path) -> pd.DataFrame:
    """Return the runs of a data base, of whichever tool it is."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as base:
        tables = {name for (name,) in base.execute("SELECT name FROM sqlite_master")}
        if {"runs", "latest_metrics"} <= tables:
            return mlflow.read(base)
        if {"trials", "trial_params"} <= tables:
            return optuna.read(base)
        if "metrics" in tables:
            return _trackio(base, has_configs="configs" in tables)
    raise ValueError("it is no data base of trackio, MLflow or Optuna")


def _trackio(base: sqlite3.Connection, *, has_configs: bool) -> pd.DataFrame:
    """Return the logged rows of a trackio project, a row a step, with the configs of their runs."""
    logged = base.execute("SELECT run_name, step, metrics FROM metrics ORDER BY id").fetchall()
    found = base.execute("SELECT run_name, config FROM configs") if has_configs else ()
    configs = {name: json.loads(text) for name, text in found}
    noted = [
        ({k: v for k, v in one.items() if not k.startswith("_") and k != batch.NOTE}, one)
        for one in configs.values()
    ]
    if noted and all(batch.NOTE in one for _, one in noted):
        return batch.table((made, one[batch.NOTE]) for made, one in noted)
    config = {name: flattened({"config": one}) for name, one in configs.items()}
    return pd.DataFrame(
        [
            {
                "run_name": run,
                "step": step,
                **config.get(run, {}),
                **flattened({"metrics": json.loads(text)}),
            }
            for run, step, text in logged
        ]
    )


def _events(folder: Path) -> pd.DataFrame:
    """Return the scalars of every run below a folder of event files, with its hyperparameters."""
    if not any(folder.rglob("*tfevents*")):
        raise HplabError(f"{str(folder)!r} is a folder without event files; name a file in it")
    try:
        reader = import_module("tensorboard.backend.event_processing.event_accumulator")
        data = import_module("tensorboard.plugins.hparams.plugin_data_pb2")
    except ImportError as error:
        how = "pip install 'hplab[trackers]', or download the HParams table as CSV"
        raise HplabError(
            f"reading event files in {folder.name} needs tensorboard: {how}"
        ) from error
    rows = []
    for place in sorted({file.parent for file in folder.rglob("*tfevents*")}):
        events = reader.EventAccumulator(str(place), size_guidance={"scalars": 0})
        events.Reload()
        rows.append((place, events, data.HParamsPluginData))
    notes = [_note(events) for _, events, _ in rows]
    if all(notes):
        made = [_chosen(events, plugin) for _, events, plugin in rows]
        return batch.table(zip(made, notes, strict=True))
    return _logged(folder, rows)


def _note(events: Any) -> dict[str, Any]:
    """Return what hplab noted of a run that it exported, {} where it did not."""
    tag = f"{batch.NOTE}/text_summary"
    if tag not in events.Tags()["tensors"]:
        return {}
    return json.loads(events.Tensors(tag)[0].tensor_proto.string_val[0])


def _chosen(events: Any, plugin: Any) -> dict[str, Any]:
    """Return the hyperparameters of a run."""
    known = events.summary_metadata.get("_hparams_/session_start_info")
    if known is None:
        return {}
    start = plugin.FromString(known.plugin_data.content).session_start_info
    return {name: _value(one) for name, one in start.hparams.items()}


def _logged(folder: Path, opened: Iterable[tuple[Path, Any, Any]]) -> pd.DataFrame:
    """Return a row a run and step; `add_hparams` writes a folder below that of the run."""
    chosen: dict[Path, dict[str, Any]] = {}
    scalars: dict[Path, dict[int, dict[str, float]]] = {}
    for place, events, plugin in opened:
        tagged = events.Tags()
        for tag in tagged["scalars"]:
            for event in events.Scalars(tag):
                row = scalars.setdefault(place, {}).setdefault(event.step, {})
                row[f"metrics.{tag}"] = event.value
        if values := _chosen(events, plugin):
            chosen[place] = {f"config.{name}": value for name, value in values.items()}
    found = []
    for place, steps in scalars.items():
        below = [one for one in chosen if one == place or place in one.parents]
        if place in chosen and place.parent in scalars:
            continue  # what `add_hparams` repeats of its run
        settings = chosen[below[0]] if len(below) == 1 else chosen.get(place, {})
        ends = [one for one in below if one != place]
        for step, row in steps.items():
            found.append(
                {"run_name": str(place.relative_to(folder)), "step": step, **settings, **row}
            )
        for end in ends if len(below) == 1 else ():
            last = {k: v for row in scalars.get(end, {}).values() for k, v in row.items()}
            found[-1].update({k: v for k, v in last.items() if k not in found[-1]})
    return pd.DataFrame(found)


def _value(one: Any) -> Any:
    """Return what a protobuf value holds."""
    kind = one.WhichOneof("kind")
    return getattr(one, kind) if kind else None
