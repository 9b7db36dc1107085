"""What trains together: trials into stacks, by rules measured with `make bench`."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

from torch import nn

from hplab.training import data, loop, models
from hplab.trial import Trial

# Lanes of one stack, by the parameters of one network. On a processor, stacking pays while a step
# is mostly overhead; larger networks fill it alone, and their stacks spill out of the cache. A
# graphics card is mostly idle even then.
CPU_WIDTH = ((50_000, 30), (math.inf, 1))
GPU_WIDTH = ((50_000, 512), (500_000, 64), (math.inf, 1))


def stacks(
    trials: list[Trial], device: str, workers: int, datasets: Mapping[str, data.Dataset]
) -> list[list[Trial]]:
    """Group trials into stacks that train together, those with most work first.

    Args:
        trials: Different trials.
        device: A resolved torch device.
        workers: Processes that will share the work; a group of trials is spread over them.
        datasets: The data of every trial, by name.

    Returns:
        The same trials, each in one stack. The trials of a stack differ only in what the lanes of
        a stack may differ in.
    """
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(loop.stack_key(trial), []).append(trial)
    found = []
    for group in groups.values():
        dataset = datasets[group[0].data]
        lanes = width(group[0], _network(group[0], dataset), device)
        n_stacks = max(math.ceil(len(group) / lanes), min(workers, len(group)))
        bounds = [round(i * len(group) / n_stacks) for i in range(n_stacks + 1)]
        found += [group[a:b] for a, b in itertools.pairwise(bounds)]
    return sorted(found, key=lambda some: _work(some, datasets), reverse=True)


def width(trial: Trial, network: nn.Module, device: str) -> int:
    """Return how many trials like this one, with networks like this one, train together at most."""
    if not loop.can_stack(trial, network):
        return 1
    table = CPU_WIDTH if device == "cpu" else GPU_WIDTH
    n_parameters = sum(p.numel() for p in network.parameters())
    return next(lanes for limit, lanes in table if n_parameters < limit)


def n_steps(trial: Trial, dataset: data.Dataset) -> int:
    """Return how many updates a trial makes; folds and held-out images are not taken off."""
    return trial.epochs * math.ceil((trial.n_train or len(dataset.labels)) / trial.batch_size)


def _work(trials: list[Trial], datasets: Mapping[str, data.Dataset]) -> int:
    return len(trials) * n_steps(trials[0], datasets[trials[0].data])


def _network(trial: Trial, dataset: data.Dataset) -> nn.Module:
    return models.build(trial, tuple(dataset.images.shape[1:]), len(dataset.class_names))
