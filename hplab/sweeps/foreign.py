"""What the columns of a table of runs are that was made elsewhere: settings, seed, metrics.

A tracker's export says it by its names ("config.lr", "params.lr", "params_lr", "metrics.val_acc").
Where names say nothing, known names decide; whoever knows better says so. What comes out is a table
as `hplab.run` returns it, with a column "settings" (see `table.settings_text`).
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from hplab.errors import HplabError, unknown
from hplab.sweeps import cells, steps
from hplab.sweeps import metrics as named
from hplab.sweeps.steps import KEY, ROW
from hplab.sweeps.table import (
    SETTINGS,
    hyperparameters,
    is_hyperparameter,
    results,
    settings_text,
)

SETTING, METRIC, SEED, STATUS, RUN_ID, PLACE, OTHER = (
    "setting",
    "metric",
    "seed",
    "status",
    "run",
    "place",
    "",
)
_PREFIXES = {
    **dict.fromkeys(("config.", "config/", "params.", "param.", "hyperparameters."), SETTING),
    **dict.fromkeys(("summary.", "summary/", "metrics.", "metric.", "final."), METRIC),
    **dict.fromkeys(("tags.", "system_attrs_", "_wandb", "datetime_", "system/"), OTHER),
    **dict.fromkeys(("user_attrs_", "user_attrs."), "guess"),
}
_OPTUNA = {"params_": SETTING, "values_": METRIC}
_SEEDS = (
    "seed random_seed randomseed random_state rng_seed rng manual_seed seed_id replicate rep"
).split()
_STATUS = ("state", "status", "run_status", "trial_state")
_IDS = ("run_id", "id", "run", "run_name", "name", "trial_id", "number", "uuid", "experiment_name")
_PLACES = ("epoch", "step", "global_step", "iteration", "training_iteration")
_BOOKKEEPING = set(
    "created updated started ended start_time end_time start_date end_date date time runtime"
    " duration timestamp user username notes tags sweep group host hostname url path dir git commit"
    " gpu device memory key prov lanes artifact_uri experiment experiment_id project entity job"
    " job_type agent heartbeat source_type source_name source description lifecycle_stage"
    " best_epoch best_step epochs_run stopped_epoch logdir created_at heartbeat_at".split()
)
_KNOWN_SETTINGS = set(
    "lr rate batch bs optimizer opt momentum decay wd dropout hidden layers layer depth width units"
    " warmup scheduler schedule activation model arch architecture augment augmentation beta beta1"
    " beta2 eps epsilon gamma temperature heads kernel channels smoothing clip init criterion"
    " dataset data normalization norm fold nesterov betas alpha rho rank".split()
)
_RESERVED = ("row", "key", "status", SETTINGS)  # columns that the table gets
FINISHED = {"finished", "complete", "completed", "ok", "success", "succeeded", "done", "terminated"}
DIVERGED = {"diverged", "nan"}
_LEFT_OUT = set(
    "failed fail failure crashed crash killed pruned running preempted preempting waiting scheduled"
    " error canceled cancelled pending stopped unknown".split()
)


@dataclasses.dataclass(frozen=True)
class RunTable:
    """A table of runs whose columns are known.

    Attributes:
        runs: One row a run: the settings, the metrics, "seed", "status" ("ok" or "diverged"),
            "key", and "row", which row of the given table it is, from 1.
        settings: Columns that say how a run was made.
        metrics: Columns of numbers that came of it, the first the one that is asked about if a
            question names none.
        seed: The column that held the seeds; None where there is none.
        ignored: Columns that are neither.
        left_out: Runs that did not finish, with their "state".
        curves: Learning curves in long form ("key", "epoch", metrics); None where there are none.
        place: What the curves are along: "epoch", or the column that counted steps.
        notes: What was done to the table, in sentences.
        names: What runs are called, by row; empty where no column says it.
        percent: Metrics that were given in percent, and are shares here.
        own: Whether the runs are of this package, which knows their units and keeps their curves.
    """

    runs: pd.DataFrame
    settings: tuple[str, ...]
    metrics: tuple[str, ...]
    seed: str | None
    ignored: tuple[str, ...] = ()
    left_out: pd.DataFrame = dataclasses.field(default_factory=pd.DataFrame)
    curves: pd.DataFrame | None = None
    place: str = "epoch"
    notes: tuple[str, ...] = ()
    own: bool = False
    names: Mapping[int, str] = dataclasses.field(default_factory=dict)
    percent: tuple[str, ...] = ()

    @property
    def varied(self) -> tuple[str, ...]:
        """The settings that differ between runs."""
        return tuple(x for x in self.settings if self.runs[x].nunique(dropna=False) > 1)

    @property
    def likely_seeds(self) -> tuple[str, ...]:
        """Of a table without seeds, settings that look like them: whole numbers that count the runs
        of each combination of the others.
        """
        if self.seed is not None:
            return ()
        return tuple(name for name in self.varied if self._counts(name))

    def _counts(self, name: str) -> bool:
        values = pd.to_numeric(self.runs[name], errors="coerce")
        if values.isna().any() or (values != values.round()).any():
            return False
        others = [one for one in self.varied if one != name]
        group = self.runs.groupby(others, dropna=False).ngroup() if others else [0] * len(values)
        table = pd.DataFrame({"group": group, "value": values})
        if table.duplicated().any():  # in a group each is there once
            return False
        spans = table.groupby("group")["value"].agg(["min", "max", "size"])
        in_a_row = (spans["max"] - spans["min"] + 1 == spans["size"]).mean() > 0.5
        most = spans["size"].max()
        return bool(most > 2 and in_a_row and (len(others) > 0 or self.runs[name].is_unique))

    @property
    def states(self) -> dict[str, int]:
        """How many runs were left out, by what became of them."""
        return dict(Counter(self.left_out["state"])) if len(self.left_out) else {}


def of(
    table: pd.DataFrame,
    *,
    settings: Sequence[str] = (),
    seed: str | None = None,
    metrics: Sequence[str] = (),
    ignore: Sequence[str] = (),
) -> RunTable:
    """Return what the columns of a table of runs are.

    Args:
        table: One row a run, or a row a step of a run (then the last value of each metric counts).
        settings: Columns that are settings, beside those that are recognised; with or without the
            front that a tracker gives them ("config.").
        seed: The column of seeds.
        metrics: Columns that are metrics, the most important first.
        ignore: Columns that are to be left aside.

    Raises:
        HplabError: If a named column does not exist, there is no metric, or no run has finished.
    """
    if table.empty:
        raise HplabError("the table holds no runs")
    if any(str(name).endswith("__MIN") for name in table):
        raise HplabError(
            "this is the export of a chart, which says no settings; export the table of runs (W&B: "
            "the table of the workspace, then Export, CSV)"
        )
    asked = {
        "setting": settings,
        "metric": metrics,
        "ignore": ignore,
        "seed": [seed] if seed else [],
    }
    if {"key", "prov", "status"} <= set(table) or SETTINGS in table:
        return _own(table, asked)
    frame, notes = _plain_types(table)
    roles, clean = _roles(frame)
    notes += _told_twice(frame, roles, clean)
    for role, columns in asked.items():
        for column in columns:
            roles[_named(column, frame.columns, clean)] = "ignored" if role == "ignore" else role
    if seed:  # another column that looked like one is none
        roles.update({c: OTHER for c, r in roles.items() if r == SEED and clean[c] != seed != c})
    return _made(frame, roles, clean, metrics, notes)


def _own(table: pd.DataFrame, asked: Mapping[str, Sequence[str]]) -> RunTable:
    """Return the columns of a table that `hplab.run` returned."""
    for columns in asked.values():
        for column in columns:
            if column not in table:
                raise unknown("column", column, map(str, table.columns), "the table of runs")
    runs = table.drop(columns=[c for c in table if str(c).startswith("arm_")])
    runs = runs.drop(columns=list(asked["ignore"])).reset_index(drop=True)
    runs["row"] = np.arange(1, len(runs) + 1)
    chosen = tuple(dict.fromkeys([*hyperparameters(runs), *asked["setting"]]))
    if asked["setting"]:
        runs[SETTINGS] = settings_text(chosen)
    found = [c for c in results(runs) if c not in (*chosen, "row", "lanes") and c != "seed"]
    found = [*asked["metric"], *sorted(found, key=named.order)]
    if asked["seed"]:
        runs["seed"] = runs[asked["seed"][0]]
    has_seed = "seed" in runs and runs["seed"].notna().all()
    if not has_seed:
        runs["seed"] = runs["row"]
    if "status" not in runs:
        runs["status"] = "ok"
    known = runs["status"].isin(["ok", "diverged"])
    # A run that a sweep stopped early did badly, which is what other tools call pruned.
    left = runs[~known].assign(state=runs.loc[~known, "status"].replace("stopped", "pruned"))
    runs = runs[known].reset_index(drop=True)
    if not len(runs):
        raise HplabError("no run of the table has finished")
    trials = SETTINGS not in table
    seed = (asked["seed"] or ["seed"])[0] if has_seed else None
    return RunTable(runs, chosen, tuple(dict.fromkeys(found)), seed, left_out=left, own=trials)


def _plain_types(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return the table with text that holds numbers made numbers, as MLflow's parameters are, and
    what else was done to it.
    """
    frame = table.reset_index(drop=True)
    frame.columns = [str(name) for name in frame.columns]
    frame = frame.loc[:, ~frame.columns.duplicated()].copy()
    notes = []
    for name in frame.columns:
        column = frame[name]
        if pd.api.types.is_numeric_dtype(column) or not len(column):
            continue
        if column.map(lambda value: isinstance(value, (list, dict, set))).any():
            column = column.astype(str)  # one value of a setting, as it is written
        frame[name], note = cells.numbers(column)
        notes += [note] if note else []
    return frame, notes


def _roles(frame: pd.DataFrame) -> tuple[dict[str, str], dict[str, str]]:
    """Return what each column is, and its name without a tracker's front."""
    prefixes = dict(_PREFIXES)
    if "number" in frame and any(str(name).startswith("params_") for name in frame):
        prefixes |= _OPTUNA
    fronts = {name: next((p for p in prefixes if name.startswith(p)), "") for name in frame}
    told = any(prefixes.get(front) in (SETTING, METRIC) for front in fronts.values())
    is_optuna = prefixes.keys() >= _OPTUNA.keys()
    roles, clean, taken = {}, {}, set()
    for name in sorted(frame, key=lambda name: fronts[name] == ""):  # what is told comes first
        front = fronts[name]
        bare = name.removeprefix(front)
        clean[name] = bare if bare not in taken else name
        clean[name] += "_" if clean[name] in _RESERVED else ""
        role = prefixes.get(front, "guess")
        if role == "guess" and is_optuna and bare == "value":
            role = METRIC
        elif role == "guess":
            role = OTHER if bare in taken else _guess(bare, frame[name], told)
        elif role == SETTING and _lower(bare) in _SEEDS:
            role = SEED
        elif role == SETTING and bare.startswith("_"):
            role = OTHER
        elif role == METRIC and _is_bookkeeping(bare) and bare != "value":
            role = PLACE if _lower(bare).lstrip("_") in _PLACES else OTHER
        elif role == METRIC and not pd.api.types.is_numeric_dtype(frame[name]):
            role = OTHER
        roles[name] = role
        taken.add(bare)
    for role in (SEED, STATUS, PLACE):  # one of each; a second seed is a setting like any other
        first = [name for name in frame if roles[name] == role]
        roles.update(dict.fromkeys(first[1:], OTHER))
    return roles, clean


def _told_twice(
    frame: pd.DataFrame, roles: Mapping[str, str], clean: Mapping[str, str]
) -> list[str]:
    """Return which columns say the same as one with a tracker's front, but with other values."""
    said = []
    for name in frame:
        front = next((p for p in _PREFIXES if name.startswith(p)), "")
        bare = name.removeprefix(front)
        if front and clean[name] == bare and bare in frame and not roles[bare]:
            one, other = frame[name], frame[bare]
            if not ((one == other) | (one.isna() & other.isna())).all():
                said.append(f"{bare} is taken from {name}; the column {bare} has other values")
    return said


def _lower(name: str) -> str:
    return "_".join(named.tokens(name))


def _is_bookkeeping(name: str) -> bool:
    words = named.tokens(name)
    is_known = _lower(name) in _BOOKKEEPING or name.startswith("_")
    counted = {"runtime", "timestamp", "duration", "hostname", "uuid", "datetime", "flops"}
    return (
        is_known
        or bool(set(words) & counted)
        or words[-1:] in (["params"], ["parameters"])
        or (_lower(name) in _PLACES)
    )


def _guess(name: str, column: pd.Series, told: bool) -> str:
    """Return what a column seems to be, by its name and then by its values."""
    lower, words = _lower(name), set(named.tokens(name))
    is_number = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    if lower in _SEEDS:
        return SEED
    if lower in _STATUS and _is_status(column):
        return STATUS
    if lower in _IDS:
        return RUN_ID
    if lower.lstrip("_") in _PLACES:
        return PLACE
    if _is_bookkeeping(name):
        return OTHER
    if is_number and named.is_named_so(name):
        return METRIC
    if is_hyperparameter(lower) or words & _KNOWN_SETTINGS:
        return SETTING
    if told or column.isna().all():
        return OTHER
    distinct = column.nunique()
    repeats = distinct <= max(1, len(column) // 2)
    return SETTING if repeats else OTHER


def _is_status(column: pd.Series) -> bool:
    known = FINISHED | DIVERGED | _LEFT_OUT
    words = _states(column)
    return bool(len(words)) and bool(words.isin(known).mean() >= 0.5)


def _states(column: pd.Series) -> pd.Series:
    """Return states in lower case, without what stands before: "TrialState.COMPLETE"."""
    text = column.astype(object).fillna("unknown").astype(str).str.lower()
    return text.str.rpartition(".")[2].str.removeprefix("status_")


def _named(name: str, columns: Iterable[str], clean: Mapping[str, str]) -> str:
    """Return the column of a name that somebody gave, with or without its front."""
    columns = list(columns)
    if name in columns:
        return name
    for column in columns:
        if clean[column] == name:
            return column
    meant = named.match(name, columns) or named.match(name, clean.values())
    for column in columns:
        if meant is not None and meant in (column, clean[column]):
            return column
    raise unknown("column", name, {*columns, *clean.values()}, "the table")


def _made(
    frame: pd.DataFrame,
    roles: dict[str, str],
    clean: Mapping[str, str],
    first: Sequence[str],
    notes: list[str],
) -> RunTable:
    """Return the table with columns of known names, its unfinished runs apart."""

    def columns(role: str) -> list[str]:
        return [name for name in names if roles[name] == role]

    names = list(frame.columns)
    seeds = columns(SEED)
    found = columns(METRIC)
    text = [
        why for n in names if named.is_named_so(clean[n]) if (why := cells.no_numbers(frame[n]))
    ]
    if not found and text:
        raise HplabError(f"no column of results holds numbers: {'; '.join(text)}")
    if not found:
        said = ", ".join(map(str, frame.columns))
        raise HplabError(
            f"no column is known to be a metric; name it (metric=..., in a shell "
            f"--metric ...): {said}"
        )
    for name in found:
        cells.check_numbers(frame[name])
    notes += [f"{why}: taken for no metric" for why in text]
    order = {_named(name, frame.columns, clean): i for i, name in enumerate(first)}
    found.sort(key=lambda name: (order.get(name, len(order)), *named.order(clean[name])))
    frame[ROW] = np.arange(1, len(frame) + 1)
    frame[KEY] = steps.keys(frame, [*columns(RUN_ID)], [*columns(SETTING), *seeds], columns(PLACE))
    curves = None
    if frame[KEY].duplicated().any():
        frame, curves, said = steps.last_of_each(frame, columns(PLACE)[0], found, clean)
        notes.append(said)
    data = {clean[name]: frame[name] for name in columns(SETTING)}
    data |= {clean[name]: frame[name].astype(float) for name in found}
    runs = pd.DataFrame(data).assign(row=frame[ROW], key=frame[KEY])
    runs["seed"] = _numbers(frame[seeds[0]]) if seeds else runs["row"]
    states = _states(frame[columns(STATUS)[0]]) if columns(STATUS) else None
    runs["status"] = "ok"
    left = runs.iloc[:0].assign(state="")
    if states is None and columns(PLACE):
        said = steps.ended_early(frame, columns(PLACE)[0], columns(SETTING))
        notes += [said] if said else []
    if states is not None:
        runs.loc[states.isin(DIVERGED).to_numpy(), "status"] = "diverged"
        keep = states.isin(FINISHED | DIVERGED).to_numpy()
        left = runs[~keep].assign(state=states[~keep].to_numpy())
        runs = runs[keep].reset_index(drop=True)
    if not len(runs):
        raise HplabError(f"none of {len(left)} runs has finished: {_said(left['state'])}")
    percent = [clean[n] for n in found if cells.is_percent(runs[clean[n]], runs["row"])]
    for name in [clean[one] for one in found]:
        if name in percent:
            runs[name] /= 100
            left[name] /= 100
            if curves is not None:
                curves[name] /= 100
            notes.append(f"{name} has values above 1: taken as percent")
    settings = tuple(clean[name] for name in columns(SETTING))
    runs[SETTINGS] = settings_text(settings)
    used = {SETTING, METRIC, SEED, STATUS, RUN_ID}
    told = {*settings, *(clean[name] for name in found)}
    ignored = tuple(n for n in names if roles[n] not in used and not (n == clean[n] and n in told))
    return RunTable(
        runs,
        settings,
        tuple(clean[name] for name in found),
        clean[seeds[0]] if seeds else None,
        ignored,
        left,
        curves,
        clean[columns(PLACE)[0]] if curves is not None else "epoch",
        tuple(notes),
        names=_called(frame, columns(RUN_ID)),
        percent=tuple(percent),
    )


def _called(frame: pd.DataFrame, ids: Sequence[str]) -> dict[int, str]:
    """Return what each run is called, by row: its name if there is one, else another mark."""
    if not ids:
        return {}
    name = min(ids, key=lambda column: named.tokens(column)[-1:] != ["name"])
    called = frame.loc[frame[name].notna(), [ROW, name]]
    return dict(zip(called[ROW], called[name].astype(str), strict=True))


def _said(states: pd.Series) -> str:
    return ", ".join(f"{n} {state}" for state, n in Counter(states).most_common())


def _numbers(column: pd.Series) -> pd.Series:
    """Return seeds as whole numbers; what is no number is numbered as it first appears."""
    numbers = pd.to_numeric(column, errors="coerce")
    if numbers.notna().all() and (numbers == numbers.round()).all():
        return numbers.astype("int64")
    codes, _ = pd.factorize(column)
    lacking = codes < 0  # a run without a seed has none in common with any other
    codes[lacking] = codes.max(initial=-1) + 1 + np.arange(lacking.sum())
    return pd.Series(codes, index=column.index)
