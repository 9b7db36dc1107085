"""What trains together: trials into stacks, by rules measured with `make bench`."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import torch
from torch import nn

from hplab.sweeps import costs
from hplab.training import datasets as data
from hplab.training import fits, loop
from hplab.training.networks import models, shapes
from hplab.trial import HplabError, Trial

# Lanes of one stack, by the parameters of one network. On a processor, stacking pays while a step
# is mostly overhead; larger networks fill it alone, and their stacks spill out of the cache. A
# graphics card is mostly idle even then: networks without convolutions stack as long as memory
# lasts. Grouped convolutions gain less, twice at most, and next to nothing for report 000's photos
# (`benchmarks/card.py`).
CPU_WIDTH = ((50_000, 30), (math.inf, 1))
GPU_WIDTH = ((50_000, 512), (5_000_000, 64), (math.inf, 1))
GPU_CONV_WIDTH = ((50_000, 512), (1_000_000, 64), (math.inf, 1))
# Of a card's free memory, what the lanes of one stack may take: weights, gradients, two numbers of
# optimizer state, the graph's copy and a temporary of each, and activations.
_SHARE, _COPIES = 0.4, 6


def stacks(
    trials: list[Trial],
    device: str,
    workers: int,
    datasets: Mapping[str, data.Dataset],
    *,
    in_order: bool = False,
) -> list[list[Trial]]:
    """Group trials into stacks that train together, those with most work first.

    Args:
        trials: Different trials.
        device: A resolved torch device.
        workers: Processes that will share the work. A group of trials that is much of the work is
            spread over them; a small one stays together, since wide stacks cost less a trial.
        datasets: The data of every trial, by name.
        in_order: Put the stacks in the order of their first trials instead.

    Returns:
        The same trials, each in one stack. The trials of a stack differ only in what the lanes of
        a stack may differ in.
    """
    sizes = {name: costs.size(dataset) for name, dataset in datasets.items()}
    groups = [(group, costs.of_trial(group[0], sizes[group[0].data])) for group in _groups(trials)]
    in_all = sum(len(group) * each for group, each in groups)
    found: list[tuple[float, list[Trial]]] = []
    for group, each in groups:
        lanes = _lanes(group[0], datasets[group[0].data], device)
        shares = math.ceil(2 * workers * len(group) * each / in_all)  # of half a worker's work
        n_stacks = max(math.ceil(len(group) / lanes), min(workers, len(group), shares))
        bounds = [round(i * len(group) / n_stacks) for i in range(n_stacks + 1)]
        found += [(each * (b - a), group[a:b]) for a, b in itertools.pairwise(bounds)]
    if in_order:
        place = {trial.identity(): i for i, trial in enumerate(trials)}
        found.sort(key=lambda some: min(place[trial.identity()] for trial in some[1]))
    else:
        found.sort(key=lambda some: some[0], reverse=True)
    return [stack for _, stack in found]


def check(trials: list[Trial], datasets: Mapping[str, data.Dataset]) -> None:
    """Refuse trials that cannot train on their data, before any of them is trained.

    Raises:
        HplabError: If a split, a number of images or a batch is impossible; it names the trial.
    """
    sizes: dict[str, int] = {}
    for trial in (group[0] for group in _groups(trials)):
        dataset, part = datasets[trial.data], (trial.split, trial.split_args, trial.fold)
        try:
            if (name := f"{trial.data} {part}") not in sizes:
                split, split_args, fold = part
                found = data.split(dataset, split=split, split_args=split_args, fold=fold)
                sizes[name] = len(found.train_index)
            fits.check(trial, dataset, sizes[name])
        except HplabError as error:
            raise HplabError(f"{error}; in the trial {trial.identity()}") from error


def _groups(trials: list[Trial]) -> list[list[Trial]]:
    """Return the trials, those together that may share a stack."""
    keys: dict[str, str] = {}
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        if trial.setting not in keys:
            keys[trial.setting] = loop.stack_key(trial)
        groups.setdefault(keys[trial.setting], []).append(trial)
    return list(groups.values())


def told(stacks: list[list[Trial]], datasets: Mapping[str, data.Dataset]) -> list[str]:
    """Return a line for each component of the reader's own: how its trials train, and why so."""
    lines = []
    for name in dict.fromkeys(name for stack in stacks for name in stack[0].code):
        kind, _, own = name.partition(":")
        mine = [stack for stack in stacks if name in stack[0].code]
        alone = [stack[0] for stack in mine if len(stack) == 1]
        n, together = sum(map(len, mine)), sum(len(stack) for stack in mine if len(stack) > 1)
        if kind == "data" or n == 1:
            continue  # what data are used decides nothing
        how = f"{together} of {n} trials train side by side"
        if alone:
            how += "; the others" if together else "; they train"
            how += f" one by one: {_why_alone(alone[0], datasets[alone[0].data])}"
        lines.append(f"{kind} {own!r}: {how}")
    return lines


def _why_alone(trial: Trial, dataset: data.Dataset) -> str:
    network = _network(trial, dataset)
    n_parameters = sum(p.numel() for p in network.parameters())
    return loop.why_alone(trial, network, dataset) or (
        f"no other trial is like them, or {n_parameters:,} weights are too many to gain by it"
    )


def _lanes(trial: Trial, dataset: data.Dataset, device: str) -> int:
    """Return how many trials like this one train together at most; builds a network if need be."""
    size = costs.size(dataset)
    cost = shapes.cost(trial, size.shape, size.n_classes)
    if cost and _allowed(cost.n_parameters, cost.convolves, device) == 1:
        return 1
    return width(trial, _network(trial, dataset), device, dataset)


def width(
    trial: Trial, network: nn.Module, device: str, dataset: data.Dataset | None = None
) -> int:
    """Return how many trials like this one, with networks like this one, train together at most."""
    if not loop.can_stack(trial, network, dataset):
        return 1
    n_parameters = sum(p.numel() for p in network.parameters())
    convolves = any(isinstance(layer, nn.Conv2d) for layer in network.modules())
    return _allowed(n_parameters, convolves, device)


def _allowed(n_parameters: int, convolves: bool, device: str) -> int:
    """Return how many networks of a size train together at most, if they can be stacked."""
    on_card = GPU_CONV_WIDTH if convolves else GPU_WIDTH
    table = CPU_WIDTH if device == "cpu" else on_card
    lanes = next(lanes for limit, lanes in table if n_parameters < limit)
    return max(1, min(lanes, _fitting(n_parameters, device)))


def _fitting(n_parameters: int, device: str) -> int:
    """Return how many lanes of a network's size fit into what is free of a card's memory."""
    if torch.device(device).type != "cuda":
        return 2**30
    free, _ = torch.cuda.mem_get_info(device)
    return int(_SHARE * free / (4 * _COPIES * n_parameters))


def _network(trial: Trial, dataset: data.Dataset) -> nn.Module:
    channels, height, width = dataset.images.shape[1:]
    return models.build(trial, (channels, height, width), len(dataset.class_names))
