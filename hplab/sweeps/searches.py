"""Which points a sweep file asks for: grid, random, Sobol, Halton, and Bayesian by Optuna.

The same file and the same seed give the same points, and a larger cap only adds to them. No point
comes twice: a second run of it would be a replicate, for which there are seeds.
"""

from __future__ import annotations

import functools
import importlib
import itertools
import math
import statistics
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import qmc

from hplab.errors import HplabError
from hplab.sweeps.distributions import Distribution
from hplab.sweeps.points import Point
from hplab.sweeps.sweepfile import SweepFile
from hplab.trial import canonical

MOST_POINTS = 1_000_000  # of a grid without an end
_BLOCKS = 64  # of coordinates that are drawn to find points that were not there yet

# A searcher gives blocks of coordinates: from how many points to an array of points x parameters.
Draw = Callable[[int], np.ndarray]


def points(file: SweepFile, *, seed: int = 0, n: int | None = None) -> list[Point]:
    """Return the points of a grid, or of a search whose points do not depend on results.

    Args:
        file: The sweep file, of any method but bayes.
        seed: What the search draws from; a grid has nothing to draw.
        n: Points at most, besides what the file says.

    Raises:
        HplabError: If a search has no end.
    """
    most = cap(file, n)
    if file.method == "grid":
        return _grid(file, most)
    if most is None:
        raise endless(file)
    return list(itertools.islice(_drawn(file, seed, most), most))


def cap(file: SweepFile, n: int | None) -> int | None:
    """Return how many points there may be."""
    return min((most for most in (file.run_cap, n) if most is not None), default=None)


def endless(file: SweepFile) -> HplabError:
    """Return the error for a search without a cap."""
    return file.error(
        "method", f"{file.method} has no end: say run_cap: 20 in the file, or --count 20"
    )


def _grid(file: SweepFile, most: int | None) -> list[Point]:
    columns = {name: one.values() or [] for name, one in file.parameters.items()}
    size = math.prod(len(values) for values in columns.values())
    if most is None and size > MOST_POINTS:
        raise file.error("method", f"the grid has {size:,} points: say run_cap, or --count")
    combined = itertools.product(*columns.values())
    return [dict(zip(columns, values, strict=True)) for values in itertools.islice(combined, most)]


def _drawn(file: SweepFile, seed: int, most: int) -> Iterator[Point]:
    """Yield points that differ, until there seem to be no more."""
    free = [one for one in file.parameters.values() if not one.is_constant]
    draw = _DRAWS[file.method](max(len(free), 1), seed)
    size = 1 << (most - 1).bit_length()  # Sobol's points are even in blocks of a power of 2
    seen: set[str] = set()
    n_possible = _count(free)
    for _ in range(_BLOCKS):
        for row in draw(size):
            point = at(file.parameters, row)
            if (text := canonical(point)) not in seen:
                seen.add(text)
                yield point
        if n_possible is not None and len(seen) >= n_possible:
            return


def at(parameters: Mapping[str, Distribution], row: Sequence[float]) -> Point:
    """Return the point at coordinates, one for each parameter that is not constant."""
    coordinates = iter(row)
    return {
        name: one.value(0.5 if one.is_constant else next(coordinates))
        for name, one in parameters.items()
    }


def _count(free: Sequence[Distribution]) -> int | None:
    """Return how many points there are, None where there is no end."""
    sizes = [_size(one) for one in free]
    return None if None in sizes else math.prod(size for size in sizes if size is not None)


def _size(one: Distribution) -> int | None:
    if one.name in ("int_uniform", "q_uniform"):
        q = one.args.get("q", 1)
        return round(one.args["max"] / q) - round(one.args["min"] / q) + 1
    if (values := one.values()) is None:
        return None
    chances = one.args.get("probabilities", [1] * len(values))
    kept = zip(values, chances, strict=True)
    return len({canonical(value) for value, chance in kept if chance > 0})


def _random(d: int, seed: int) -> Draw:
    rng = np.random.default_rng(seed)
    return lambda n: rng.random((n, d))


def _quasi(engine: type[qmc.QMCEngine], d: int, seed: int) -> Draw:
    made = engine(d, rng=np.random.default_rng(seed))

    def draw(n: int) -> np.ndarray:
        with warnings.catch_warnings():  # Sobol's says that its first block should be of 2**m
            warnings.simplefilter("ignore", UserWarning)
            return made.random(n)

    return draw


_DRAWS: dict[str, Callable[[int, int], Draw]] = {
    "random": _random,
    "sobol": functools.partial(_quasi, qmc.Sobol),
    "halton": functools.partial(_quasi, qmc.Halton),
}


# -------------------------------------------------------------------------------- Bayesian


def imputed(file: SweepFile, ends: Sequence[float]) -> float | None:
    """Return what stands in for the metric of a point whose runs failed, None for nothing.

    Args:
        file: The sweep file, whose `metric.impute` says it.
        ends: The metric of the points that finished.
    """
    if not file.impute or not ends:
        return None
    wants_low = (file.goal == "minimize") == (file.impute == "best")
    return min(ends) if wants_low else max(ends)


class Bayes:
    """A Bayesian search, by Optuna's tree-structured Parzen estimator (Bergstra et al. 2011).

    It proposes coordinates, and the parameters turn them into values as for every other method. The
    first ten points are random. Each next one follows from the results so far, so a search that is
    begun again goes the same way, and what is recorded costs nothing.

    Args:
        file: The sweep file.
        seed: What it draws from.

    Raises:
        HplabError: If Optuna is not installed.
    """

    def __init__(self, file: SweepFile, seed: int) -> None:
        try:
            self._optuna: Any = importlib.import_module("optuna")
        except ModuleNotFoundError:
            raise file.error(
                "method",
                "bayes needs Optuna, which is not installed: pip install 'hplab[bayes]'; random, "
                "sobol and halton need nothing more",
            ) from None
        kinds = self._optuna.distributions
        self._file = file
        self._asked = {
            name: kinds.CategoricalDistribution(range(len(one.args["values"])))
            if one.is_unordered
            else kinds.FloatDistribution(0.0, 1.0)
            for name, one in file.parameters.items()
            if not one.is_constant
        }
        said = self._optuna.logging.get_verbosity()
        self._optuna.logging.set_verbosity(self._optuna.logging.WARNING)
        try:
            self._study = self._optuna.create_study(
                direction=file.goal, sampler=self._optuna.samplers.TPESampler(seed=seed)
            )
        finally:
            self._optuna.logging.set_verbosity(said)
        self._ends: list[float] = []

    def ask(self) -> tuple[Any, Point]:
        """Return the next trial of Optuna's and its point."""
        trial = self._study.ask(self._asked)
        point = {}
        for name, one in self._file.parameters.items():
            given = trial.params.get(name, 0.5)
            point[name] = one.args["values"][given] if one.is_unordered else one.value(given)
        return trial, point

    def tell(self, trial: Any, values: Sequence[float], *, stopped: bool = False) -> None:
        """Say what came of a point.

        Args:
            trial: As `ask` gave it.
            values: The metric of its finished runs; their mean counts. Where there are none, the
                file may say what stands in for it (`metric.impute`).
            stopped: Whether a run of it was stopped early: then there is no value.
        """
        state = self._optuna.trial.TrialState
        if stopped:
            self._study.tell(trial, state=state.PRUNED)
        elif values:
            self._ends.append(statistics.fmean(values))
            self._study.tell(trial, self._ends[-1])
        elif (value := imputed(self._file, self._ends)) is not None:
            self._study.tell(trial, value)
        else:
            self._study.tell(trial, state=state.FAIL)
