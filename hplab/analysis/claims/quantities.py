"""What a claim measures on a run: a final number, or one read off its learning curve.

A quantity is written in the ledger as a column ("val_acc") or as a mapping: a metric, at most one
way to read its curve, and perhaps `log` for comparisons by ratio. `parse` checks it, `values` takes
it off the runs, `words` says it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from hplab.analysis import curve_metrics
from hplab.trial import HplabError, unknown

Curves: TypeAlias = pd.DataFrame | Callable[[pd.DataFrame], pd.DataFrame]

# Columns of the table of runs that a claim may ask for, with unit and words.
METRICS: dict[str, tuple[str, str]] = {
    "train_acc": ("pp", "training accuracy"),
    "val_acc": ("pp", "validation accuracy"),
    "acc_gap": ("pp", "the accuracy gap"),
    "train_loss": ("nats", "training loss"),
    "val_loss": ("nats", "validation loss"),
    "loss_gap": ("nats", "the loss gap"),
    "running_acc": ("pp", "running training accuracy"),
    "running_loss": ("nats", "running training loss"),
    "running_acc_gap": ("pp", "the running accuracy gap"),
    "running_loss_gap": ("nats", "the running loss gap"),
    "train_s": ("s", "training time"),
    "sharpness": ("", "sharpness"),
    "sharpness_path": ("", "sharpness on the way"),
    "sharpness_direction_sd": ("", "the spread of sharpness over directions"),
    "keskar": ("%", "the sharpness of Keskar and others"),
    "sharpness_quadratic": ("share", "sharpness over its quadratic forecast"),
}
# Ways to read a curve, with the unit they give; None stands for the unit of the metric.
READINGS: dict[str, str | None] = {
    "epochs_to": "epochs",  # a threshold, as a share
    "epochs_to_own": "epochs",  # a share of the run's own last value
    "epoch_of_minimum": "epochs",
    "change_over_last": None,  # a share of training
    "fitted_change": None,  # from and to, as shares of training: end minus start of a fitted line
    "mean_over_last": None,  # a share of training
    "mean_over_first": None,  # a share of training; 1 is the area under the curve
    "rise_from_minimum": None,
    "roughness": None,  # the window of the local line, in epochs
    "where": None,  # another metric and the share at which it is read
}
# What an event reads off a curve; other events are final columns, 1 where they happened.
EVENTS: dict[str, tuple[str, Callable[[np.ndarray], float]]] = {
    "died": ("live_units", lambda line: float(curve_metrics.zeros_from(line) < len(line))),
    "revived": (
        "live_units",
        lambda line: float((line[curve_metrics.zeros_from(line) :] > 0).any()),
    ),
}
GAPS = {
    "acc_gap": ("train_acc", "val_acc"),
    "loss_gap": ("val_loss", "train_loss"),
    "running_acc_gap": ("running_acc", "val_acc"),
    "running_loss_gap": ("val_loss", "running_loss"),
}
# Training can be measured in two ways. "Evaluated": after the epoch, in evaluation mode, on the
# training images as they are. "Running": the mean over the batches of the epoch, in training mode,
# on augmented images, while the weights move. The first name is the evaluated one.
RUNNING = {
    "train_acc": "running_acc",
    "train_loss": "running_loss",
    "acc_gap": "running_acc_gap",
    "loss_gap": "running_loss_gap",
}
EVALUATED = {running: evaluated for evaluated, running in RUNNING.items()}


class Missing(Exception):
    """Why a claim cannot be judged on these runs, as a sentence.

    Attributes:
        diverged: Whether the runs are there, but too many of them diverged.
    """

    def __init__(self, reason: str, *, diverged: bool = False) -> None:
        super().__init__(reason)
        self.diverged = diverged


@dataclasses.dataclass(frozen=True)
class Quantity:
    """A checked quantity.

    Attributes:
        metric: A column of the table of runs, or of the learning curves.
        reading: How the curve is read, one of `READINGS`; None takes the final value.
        argument: The reading's argument.
        per: Another final column to divide by.
        over_last: Read only this last share of the curve.
        log: Whether values are compared by ratio.
        told: Unit and words of a metric that is none of `METRICS`, as runs made elsewhere have.
    """

    metric: str
    reading: str | None = None
    argument: Any = None
    per: str | None = None
    over_last: float | None = None
    log: bool = False
    told: tuple[str, str] | None = None

    @property
    def unit(self) -> str:
        """Unit of the values: "pp", "nats", "epochs", "s", "share", "ratio" or ""."""
        if self.log:
            return "ratio"
        if self.per:
            return "share"
        known = self.told or METRICS[self.metric]
        return (READINGS[self.reading] if self.reading else None) or known[0]

    @property
    def level_unit(self) -> str:
        """Unit of the values of one setting: an accuracy is in percent, its changes in points."""
        whole = self.reading in (None, "mean_over_last", "mean_over_first", "where")
        return "%" if self.unit == "pp" and whole and self.metric not in GAPS else self.unit

    @property
    def columns(self) -> set[str]:
        """The final columns it needs; what ran along is the end of a curve."""
        if self.reading:
            return set()
        return {name for name in (self.metric, self.per) if name and name not in EVALUATED}

    @property
    def curves(self) -> set[str]:
        """The curves it needs."""
        names = {self.metric, *(self.argument if self.reading == "where" else ())}
        if not self.reading:
            names = {self.metric, self.per} & set(EVALUATED)
        return {part for name in names for part in GAPS.get(name, (name,))}


def parse(spec: str | Mapping[str, Any], where: str = "a test") -> Quantity:
    """Return a quantity as the ledger writes it, checked.

    Raises:
        HplabError: If a name is unknown, or a mapping has several readings.
    """
    if isinstance(spec, str):
        spec = {"metric": spec}
    if not isinstance(spec, Mapping) or "metric" not in spec:
        raise HplabError(f"{where}: a quantity is a column or names a metric, got {spec!r}")
    known = ("metric", "log", "per", "over_last", *READINGS)
    for name in spec:
        if name not in known:
            raise unknown("field", name, known, f"{where}, quantity")
    for name in (spec["metric"], spec.get("per", spec["metric"])):
        if name not in METRICS:
            raise unknown("quantity", name, METRICS, where)
    readings = [name for name in spec if name in READINGS]
    if len(readings) > 1:
        raise HplabError(f"{where}: a quantity is read in one way, got {' and '.join(readings)}")
    reading = readings[0] if readings else None
    if reading and "per" in spec:
        raise HplabError(f"{where}: 'per' divides final values, not a reading of a curve")
    return Quantity(
        spec["metric"],
        reading,
        spec[reading] if reading else None,
        spec.get("per"),
        spec.get("over_last"),
        bool(spec.get("log", False)),
    )


def ends(
    quantity: Quantity, rows: pd.DataFrame, stretch: float, *, difference: bool = False
) -> tuple[float, float] | None:
    """Return the least and the greatest value that a quantity can have in the reader's unit.

    Args:
        quantity: Accuracies end at 0 and 100 %, losses at 0, times at the first and last epoch.
        rows: Runs, for their number of epochs.
        stretch: Trained epochs per declared epoch.
        difference: Of the difference of two such values.

    Returns:
        None where no end is known.
    """
    if quantity.log or quantity.told or quantity.per:
        return None
    is_level = quantity.reading in (None, "mean_over_last", "mean_over_first", "where")
    bare = quantity.metric not in GAPS
    found = None
    if quantity.unit == "epochs" and "epochs" in rows:
        found = (1 / stretch, float(rows["epochs"].max()) / stretch)
    elif quantity.unit == "pp":
        found = (0.0, 100.0) if is_level and bare else (-100.0, 100.0)
    elif quantity.unit == "nats" and is_level and bare:
        found = (0.0, math.inf)
    if found is None or not difference:
        return found
    width = found[1] - found[0]
    return (-width, width) if math.isfinite(width) else None


def scale(unit: str) -> float:
    """Return the factor from the table's unit to the reader's: accuracies are shares there."""
    return 100.0 if unit == "pp" else 1.0


def values(
    rows: pd.DataFrame, quantity: Quantity, curves: Curves, stretch: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return a quantity, one value a seed in the reader's unit, and which values are cut off.

    Args:
        rows: One arm of a sample.
        quantity: What to take.
        curves: Learning curves in long form, or what makes them from runs.
        stretch: Trained epochs per declared epoch; times are given in the report's epochs.

    Returns:
        The values (their logarithms with `log`), and a mask of times cut off: past the threshold in
        the first epoch, or never (then the last epoch). Both of shape `(n,)`.

    Raises:
        Missing: If a column or curve is not recorded, or has no logarithm.
    """
    if not quantity.reading:
        found = last(rows, quantity.metric, curves)
        if quantity.per:
            found = found / last(rows, quantity.per, curves)
        cut = np.zeros(len(found), bool)
    elif READINGS[quantity.reading] == "epochs":
        found, cut = _times(rows, quantity, curves, stretch)
    else:
        found = np.array([_read(line, quantity) for line in _lines(rows, quantity, curves)])
        cut = np.zeros(len(found), bool)
    if not np.isfinite(found).all():
        raise Missing(f"In {int((~np.isfinite(found)).sum())} runs {words(quantity)} has no value.")
    if quantity.log:
        if not (found > 0).all():
            raise Missing(f"Where {words(quantity)} is not positive there is no ratio.")
        return np.log(found), cut
    return found * scale(quantity.unit), cut


def last(rows: pd.DataFrame, metric: str, curves: Curves) -> np.ndarray:
    """Return what a metric ends at, one number a run in the table's unit: a final column, or the
    end of the curve for what was measured running along.

    Raises:
        Missing: If the column or curve is not recorded, or a run has no value in it.
    """
    if metric not in EVALUATED:
        return final(rows, metric)
    found = np.array([line[-1] for line in curves_of(rows, metric, curves)], float)
    if np.isnan(found).any():
        raise Missing(f"{int(np.isnan(found).sum())} of {len(found)} runs do not record {metric}.")
    return found


def final(rows: pd.DataFrame, column: str) -> np.ndarray:
    """Return a final column as numbers.

    Raises:
        Missing: If the column is absent, or a run has no value in it.
    """
    if column not in rows:
        raise Missing(f"The runs do not record {column}.")
    found = pd.to_numeric(rows[column], errors="coerce").to_numpy(float)
    if np.isnan(found).any():
        raise Missing(f"{int(np.isnan(found).sum())} of {len(found)} runs do not record {column}.")
    return found


def at_checkpoints(
    rows: pd.DataFrame, quantity: Quantity, points: int, curves: Curves
) -> np.ndarray:
    """Return each seed's curve at the report's epochs, in proportion to what was trained.

    With fewer trained epochs than `points` these are the trained epochs themselves.

    Returns:
        One row a seed, in the reader's unit. Shape `(n, at most points)`.

    Raises:
        Missing: If a curve is not recorded.
    """
    lines = curves_of(rows, quantity.metric, curves)
    n_epochs = min(len(line) for line in lines)
    points = min(points, n_epochs)
    at = np.arange(1, points + 1) * n_epochs / points
    return np.array([curve_metrics.at_epochs(line, at) for line in lines]) * scale(quantity.unit)


def curves_of(rows: pd.DataFrame, metric: str, curves: Curves) -> list[np.ndarray]:
    """Return one curve a row, in the order of the rows.

    Raises:
        Missing: If a run has no such curve.
    """
    if metric in GAPS:
        first, second = (curves_of(rows, name, curves) for name in GAPS[metric])
        return [a - b for a, b in zip(first, second, strict=True)]
    table = curves(rows.reset_index()) if callable(curves) else curves
    if len(table) and metric not in table:
        raise Missing(f"The runs record no curve of {metric}.")
    by_key = dict(iter(table[table["key"].isin(rows["key"])].groupby("key"))) if len(table) else {}
    absent = [key for key in rows["key"] if key not in by_key]
    if absent:
        raise Missing(f"{len(absent)} of {len(rows)} runs have no recorded learning curve.")
    return [by_key[key].sort_values("epoch")[metric].to_numpy(float) for key in rows["key"]]


def event(rows: pd.DataFrame, wanted: Mapping[str, float], curves: Curves) -> np.ndarray:
    """Return in which runs all of `wanted` hold: final columns, or what `EVENTS` reads off curves.

    Raises:
        Missing: If a column or curve is not recorded.
    """
    holds = np.ones(len(rows), bool)
    for name, value in wanted.items():
        if name in EVENTS:
            metric, read = EVENTS[name]
            found = np.array([read(line) for line in curves_of(rows, metric, curves)], float)
        else:
            found = final(rows, name)
        holds &= found == value
    return holds


def matched(
    tables: Sequence[pd.DataFrame], metric: str, by: str, curves: Curves
) -> list[np.ndarray]:
    """Return a curve's values where another first falls to a level that all settings reach.

    Args:
        tables: One arm each, the same seeds in the same order.
        metric: The curve to read; straight between the epochs at which it was measured.
        by: The falling curve that is matched, such as "train_loss".
        curves: Learning curves in long form, or what makes them from runs.

    Returns:
        One array an arm, one value a seed. The level of a seed is the highest of its lowest values.

    Raises:
        Missing: If a curve is not recorded.
    """
    falling = [[-line for line in curves_of(rows, by, curves)] for rows in tables]
    read = [
        [curve_metrics.filled(line) for line in curves_of(rows, metric, curves)] for rows in tables
    ]
    levels = [min(np.nanmax(line) for line in seed) for seed in zip(*falling, strict=True)]
    return [
        np.array([curve_metrics.where(*at) for at in zip(arm, fall, levels, strict=True)])
        for arm, fall in zip(read, falling, strict=True)
    ]


def words(quantity: Quantity) -> str:
    """Return a quantity as a reader says it: "the time to 98 % validation accuracy"."""
    metric, argument = (quantity.told or METRICS[quantity.metric])[1], quantity.argument
    bare = metric.removeprefix("the ")
    if quantity.per:
        return f"{metric} over {METRICS[quantity.per][1]}"
    if quantity.reading is None:
        return metric
    part = f" over the {_last(quantity.over_last)}" if quantity.over_last else ""
    return {
        "epochs_to": lambda: f"the time to {100 * argument:g} % {bare}",
        "epochs_to_own": lambda: f"the time to {100 * argument:g} % of its own last {bare}",
        "epoch_of_minimum": lambda: f"the epoch of lowest {bare}",
        "change_over_last": lambda: f"the change of {metric} over the {_last(argument)}",
        "fitted_change": lambda: f"the change of {metric} over the {_span(argument)}",
        "mean_over_last": lambda: f"mean {bare} over the {_last(argument)}",
        "mean_over_first": lambda: f"mean {bare} over {_first(argument)}",
        "rise_from_minimum": lambda: f"the rise of {metric} from its lowest value",
        "roughness": lambda: f"the roughness of {metric}",
        "where": lambda: f"{metric} at {_crossing(argument)}",
    }[quantity.reading]() + part


def _last(share: float) -> str:
    return f"last {100 * share:.2g} % of training"


def _first(share: float) -> str:
    return "all of training" if share == 1 else f"the first {100 * share:.2g} % of training"


def _span(shares: tuple[float, float]) -> str:
    start, end = shares
    return _last(1 - start) if end == 1 else f"part from {start:g} to {end:g} of training"


def _crossing(where: Mapping[str, float]) -> str:
    [(other, level)] = where.items()
    return f"{100 * level:g} % {METRICS[other][1]}"


def _lines(rows: pd.DataFrame, quantity: Quantity, curves: Curves) -> list[Any]:
    """Return what `_read` needs of each run: its curve, for "where" with the other one."""
    lines = curves_of(rows, quantity.metric, curves)
    if quantity.reading != "where":
        return lines
    [other] = quantity.argument
    return list(zip(lines, curves_of(rows, other, curves), strict=True))


def _read(line: Any, quantity: Quantity) -> float:
    reading, argument = quantity.reading or "", quantity.argument
    if reading == "where":
        curve, other = line
        [level] = argument.values()
        return curve_metrics.where(curve, other, level)
    if quantity.over_last:
        line = line[-max(1, round(len(line) * quantity.over_last)) :]
    if reading == "change_over_last" and len(line) * (1 - argument) < 1:
        raise Missing(f"The runs are too short to see the {_last(argument)}.")
    return {
        "change_over_last": lambda: curve_metrics.change_over_last(line, argument),
        "fitted_change": lambda: curve_metrics.fitted_change(line, *argument),
        "mean_over_last": lambda: curve_metrics.mean_over(line, last=argument),
        "mean_over_first": lambda: curve_metrics.mean_over(line, first=argument),
        "rise_from_minimum": lambda: curve_metrics.rise_from_minimum(line),
        "roughness": lambda: curve_metrics.roughness(line, window=argument),
    }[reading]()


def _times(
    rows: pd.DataFrame, quantity: Quantity, curves: Curves, stretch: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return times in the report's epochs, and which are cut off at the first or last epoch."""
    lines = curves_of(rows, quantity.metric, curves)
    if quantity.reading == "epoch_of_minimum":
        at = np.array([curve_metrics.epoch_of_minimum(line) for line in lines])
        return at / stretch, np.zeros(len(at), bool)
    own = quantity.reading == "epochs_to_own"
    levels = [quantity.argument * (line[-1] if own else 1) for line in lines]
    times = np.array([curve_metrics.epochs_to(*pair) for pair in zip(lines, levels, strict=True)])
    reached = np.isfinite(times)
    ends = np.array([len(line) for line in lines], float)
    return np.where(reached, times, ends) / stretch, (times <= 1) | ~reached
