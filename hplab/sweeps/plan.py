"""What trains together: trials into stacks, by rules measured with `make bench`."""

from __future__ import annotations

import functools
import itertools
import math

from torch import nn

from hplab.training import data, loop, models
from hplab.trial import Trial

# Lanes of one stack, by the parameters of one network. On a processor, stacking pays while a step
# is mostly overhead; larger networks fill it alone, and their stacks spill out of the cache. A
# graphics card is mostly idle even then.
CPU_WIDTH = ((50_000, 30), (math.inf, 1))
GPU_WIDTH = ((50_000, 512), (500_000, 64), (math.inf, 1))


def stacks(trials: list[Trial], device: str, workers: int) -> list[list[Trial]]:
    """Group trials into stacks that train together, those with most work first.

    Args:
        trials: Different trials.
        device: A resolved torch device.
        workers: Processes that will share the work; a group of trials is spread over them.

    Returns:
        The same trials, each in one stack. The trials of a stack differ only in what the lanes of
        a stack may differ in.
    """
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(loop.stack_key(trial), []).append(trial)
    found = []
    for group in groups.values():
        n_stacks = max(math.ceil(len(group) / width(group[0], device)), min(workers, len(group)))
        bounds = [round(i * len(group) / n_stacks) for i in range(n_stacks + 1)]
        found += [group[a:b] for a, b in itertools.pairwise(bounds)]
    return sorted(found, key=lambda stack: len(stack) * n_steps(stack[0]), reverse=True)


def width(trial: Trial, device: str) -> int:
    """Return how many networks of this trial's kind train together, at most."""
    if not loop.can_stack(trial, _network(trial)):
        return 1
    table = CPU_WIDTH if device == "cpu" else GPU_WIDTH
    return next(lanes for limit, lanes in table if n_parameters(trial) < limit)


def n_parameters(trial: Trial) -> int:
    """Return the number of weights of the trial's network."""
    return sum(p.numel() for p in _network(trial).parameters())


def _network(trial: Trial) -> nn.Module:
    dataset = _dataset(trial.data)
    shape = tuple(dataset.images.shape[1:])
    return models.build(trial, shape, len(dataset.class_names))


def n_steps(trial: Trial) -> int:
    """Return how many updates a trial makes; folds and held-out images are not taken off."""
    n_train = trial.n_train or len(_dataset(trial.data).labels)
    return trial.epochs * math.ceil(n_train / trial.batch_size)


@functools.lru_cache(maxsize=4)
def _dataset(name: str) -> data.Dataset:
    return data.load(name)
