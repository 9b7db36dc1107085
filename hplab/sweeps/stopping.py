"""Early stopping: when a run of a sweep does so badly that it is not worth going on.

Runs post the value of their metric on a board, a folder that all processes can write to, and each
compares itself with those that came before. Which runs are stopped therefore depends on the order
in which they run; the points do not.

A run that was stopped has no result. What it would have come to is unknown, and it is not like the
runs that went on: it was stopped because of its numbers. So it is kept apart ("stopped") and no
mean, figure or verdict counts it.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

MIN_RUNS = 5  # the median of fewer runs says little; Optuna's MedianPruner waits for as many


@dataclasses.dataclass(frozen=True)
class Rule:
    """When a run is stopped.

    Attributes:
        kind: "hyperband": at a few iterations, the rungs, a run goes on only among the best 1/eta
            (successive halving without waiting, Li et al. 2020, MLSys). "median": from an iteration
            on, a run is stopped whose best value is worse than the median of what others had at the
            same iteration (Golovin et al. 2017, KDD).
        metric: The metric that decides.
        maximize: Whether larger is better.
        min_iter: hyperband: the first rung; the others are at min_iter * eta, min_iter * eta ** 2
            and so on. median: the first iteration at which a run may be stopped.
        max_iter: hyperband: the longest run; the rungs are max_iter / eta, max_iter / eta ** 2 ...
        s: hyperband: how many rungs there are below max_iter.
        eta: hyperband: one in eta goes on.
        strict: hyperband: how many go on of n runs: n / eta rounded up; else, as in W&B, rounded
            down and one more.
        min_runs: median: how many others must have come as far.
    """

    kind: str
    metric: str
    maximize: bool = False
    min_iter: int = 1
    max_iter: int | None = None
    s: int = 1
    eta: float = 3.0
    strict: bool = False
    min_runs: int = MIN_RUNS

    def rungs(self, n: int) -> list[int]:
        """Return the first `n` iterations at which hyperband looks, or all with `max_iter`."""
        if self.max_iter is not None:
            return sorted(
                {k for i in range(self.s) if (k := int(self.max_iter / self.eta ** (i + 1)))}
            )
        return [int(self.min_iter * self.eta**i) for i in range(n)]

    def looks(self, iteration: int) -> bool:
        """Return whether runs are compared after that many iterations."""
        if self.kind == "median":
            return iteration >= self.min_iter
        n = 1 + int(math.log(max(iteration, 1)) / math.log(self.eta)) + 1
        return iteration in self.rungs(n)

    def losses(self, epochs: Sequence[Mapping[str, Any]]) -> list[float]:
        """Return the metric wherever it was given, as something to make small."""
        found = [epoch[self.metric] for epoch in epochs if epoch.get(self.metric) is not None]
        return [-x if self.maximize else x for x in found if math.isfinite(x)]

    def is_bad(self, own: Sequence[float], others: Sequence[float]) -> bool:
        """Return whether a run is to be stopped.

        Args:
            own: Its losses so far.
            others: What runs before it had at the same iteration.
        """
        if self.kind == "median":
            return len(others) >= self.min_runs and min(own) > statistics.median(others)
        n = len(others) + 1
        last = math.ceil(n / self.eta) - 1 if self.strict else int(n / self.eta)
        return own[-1] > sorted([*others, own[-1]])[min(last, n - 1)]

    def text(self) -> str:
        """Return what it is, for the point of a run that it stopped."""
        args = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return " ".join(f"{name}={value}" for name, value in args.items())


class Board:
    """The values that runs of a sweep had, by iteration.

    Args:
        rule: What they are for.
        folder: An empty folder that every process of the sweep can write to.
    """

    def __init__(self, rule: Rule, folder: Path) -> None:
        self.rule, self.folder = rule, folder

    def __call__(self, epochs: Sequence[Mapping[str, Any]]) -> bool:
        """Post the newest value of a run; return whether it is to be stopped."""
        if epochs[-1].get(self.rule.metric) is None:
            return False
        own = self.rule.losses(epochs)
        if not own or not self.rule.looks(len(own)):
            return False
        others = self._posted(len(own))
        self._post(len(own), own[-1])
        return self.rule.is_bad(own, others)

    def post(self, curves: Mapping[str, Sequence[float | None]]) -> None:
        """Post all values of a run that was recorded earlier."""
        epochs = [{self.rule.metric: x} for x in curves.get(self.rule.metric, ())]
        for i, loss in enumerate(self.rule.losses(epochs), 1):
            if self.rule.looks(i):
                self._post(i, loss)

    def _posted(self, iteration: int) -> list[float]:
        path = self.folder / str(iteration)
        return [float(line) for line in path.read_text().split()] if path.exists() else []

    def _post(self, iteration: int, loss: float) -> None:
        with (self.folder / str(iteration)).open("a") as file:
            file.write(f"{loss!r}\n")  # one short line: it is written whole
