"""What a trial may ask to have measured beside its losses: after every epoch, and at the end.

A measure is a function from a network and its training images to named numbers. It must leave the
network as it found it. To add one: a name in `hplab.catalogue.MEASURES` and an entry here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor, nn

from hplab.training import losses, precision, sharpness
from hplab.training.measures import layers, noise
from hplab.training.networks import models
from hplab.trial import HplabError, Trial

Numbers = dict[str, float | None]
Series = dict[str, list[float]]

RADIUS = 5.0  # report 002's perturbation, in weight space
LADDER = (0.1, 0.3, 1.0, 3.0, 5.0)
RELATIVE = 0.2875  # report 002's radius divided by the norm of its initial weights
N_LADDER = 8  # pairs of opposite directions for each rung of the ladder,
N_PATH = 4  # and after an epoch; at the end the trial says how many
LADDER_EXAMPLES, PATH_EXAMPLES = 5000, 2000  # the first of the training images
CHECKPOINTS = 12  # epochs at which the path is measured, at most; the first and last are among them
N_PROBES, N_LANCZOS = 8, 12


@dataclasses.dataclass(frozen=True)
class Probe:
    """A network and the images it was trained on, as a measure sees them.

    Attributes:
        trial: The trial.
        model: Its network, on the device.
        inputs: Returns the first `n` training images as the network takes them, and their labels;
            all of them for None.
        epoch: Epochs done, counted from 1.
        is_last: Whether the trial's stopping rule ends it after this epoch.
    """

    trial: Trial
    model: nn.Module
    inputs: Callable[[int | None], tuple[Tensor, Tensor]]
    epoch: int
    is_last: bool = False

    def objective(self, n: int | None = None) -> sharpness.Objective:
        """Return the training loss of the first `n` images as a function of the weights."""
        images, labels = self.inputs(n)
        loss = losses.named(self.trial.loss)
        return sharpness.Objective(self.model, images, labels, loss=loss, batch_norm="batch")

    @property
    def seed(self) -> int:
        """Seed of the random directions: the same for a seed in every setting."""
        return self.trial.stream("directions")


def sharpness_path(probe: Probe) -> Numbers:
    """Measure average-direction sharpness, weight norm and gradient norm at a few checkpoints.

    A run that its stopping rule ends is measured there too.
    """
    if not probe.is_last and probe.epoch not in checkpoints(probe.trial.epochs):
        return {}
    objective = probe.objective(PATH_EXAMPLES)
    found = sharpness.average_direction(objective, RADIUS, n_directions=N_PATH, seed=probe.seed)
    return {
        "sharpness_path": found.value,
        "weight_norm_path": _norm(objective.vector()),
        "grad_norm_path": _norm(sharpness.gradient(objective)),
    }


def sharpness_at_end(probe: Probe) -> tuple[Numbers, Series]:
    """Measure average-direction sharpness on all training images, and a ladder of radii on some."""
    objective = probe.objective()
    whole = sharpness.average_direction(
        objective, RADIUS, n_directions=probe.trial.n_directions, seed=probe.seed
    )
    norm = _norm(objective.vector())
    radii = [*LADDER, RELATIVE * norm]
    ladder = sharpness.average_ladder(
        probe.objective(LADDER_EXAMPLES), radii, n_directions=N_LADDER, seed=probe.seed
    )
    numbers = {
        "sharpness": whole.value,
        "sharpness_se": whole.se,
        "sharpness_direction_sd": whole.direction_sd,
        "sharpness_quadratic": _quadratic(ladder),
        "sharpness_relative": ladder[-1].value,
        "sharpness_relative_se": ladder[-1].se,
        "weight_norm": norm,
        "grad_norm": _norm(sharpness.gradient(probe.objective(LADDER_EXAMPLES))),
    }
    return numbers, {
        "ladder_radius": radii,
        "ladder_sharpness": [rung.value for rung in ladder],
        "ladder_se": [rung.se for rung in ladder],
    }


def _norm(vector: Tensor) -> float:
    return float(vector.to(precision.exact(vector.device)).norm())


def _quadratic(ladder: list[sharpness.AverageSharpness]) -> float | None:
    """Return the sharpness at report 002's radius over that of the parabola through radius 1."""
    far, near = (ladder[LADDER.index(radius)].value for radius in (RADIUS, 1.0))
    return far / (RADIUS**2 * near) if near else None


def curvature(probe: Probe) -> tuple[Numbers, Series]:
    """Measure the trace and the largest eigenvalue of the Hessian on some training images."""
    objective = probe.objective(PATH_EXAMPLES)
    trace = sharpness.hessian_trace(objective, n_probes=N_PROBES, seed=probe.seed)
    top = sharpness.top_eigenvalues(objective, n_steps=N_LANCZOS, seed=probe.seed)
    return {
        "hessian_trace": trace.value,
        "hessian_trace_se": trace.se,
        "hessian_top": float(top.values[0]),
        "hessian_top_bound": float(top.bounds[0]),
    }, {}


def keskar(probe: Probe) -> tuple[Numbers, Series]:
    """Measure the largest relative rise of the loss in a small box, in percent, on some images.

    The box and the ten steps of L-BFGS-B are those of Keskar et al. (2017), who search the whole
    space as well.
    """
    found = sharpness.keskar(probe.objective(PATH_EXAMPLES), seed=probe.seed)
    return {"keskar": found.value}, {}


def norms(probe: Probe) -> Numbers:
    """Measure the norm of all weights, and of those that batch normalization makes scale-free."""
    return layers.norms(probe.model)


def layers_at_end(probe: Probe) -> tuple[Numbers, Series]:
    """Look at every layer before the first step and after the last."""
    images, labels = probe.inputs(layers.N_PROBE)
    n_classes = [m for m in probe.model.modules() if isinstance(m, nn.Linear)][-1].out_features
    first = models.build(probe.trial, tuple(images.shape[1:]), n_classes).to(images.device)
    series: Series = {}
    for when, network in (("start", first), ("end", probe.model)):
        found = layers.profile(network, images, labels, loss=probe.trial.loss)
        for name in ("signal", "gradient", "dead"):
            series[f"layer_{name}_{when}"] = getattr(found, name)
    return {"gradient_ratio": found.gradient_ratio, "dead_share": found.dead_share}, series


def gradient_noise(probe: Probe) -> tuple[Numbers, Series]:
    """Measure the gradient noise scale on some training images; note the steps of an epoch."""
    images, labels = probe.inputs(None)
    n = len(labels)
    draw = torch.Generator().manual_seed(probe.seed)
    rows = torch.randperm(n, generator=draw)[: noise.BIG].to(labels.device)
    trial = probe.trial
    small, big = noise.squared_norms(probe.model, images[rows], labels[rows], loss=trial.loss)
    n_big = len(rows) // noise.SMALL * noise.SMALL
    steps = n // trial.batch_size if trial.drop_last else -(-n // trial.batch_size)
    return {
        "noise_scale": noise.noise_scale(small, big, b_small=noise.SMALL, b_big=n_big),
        "steps_per_epoch": float(steps),
    }, {}


EPOCH: dict[str, Callable[[Probe], Numbers]] = {
    "sharpness_path": sharpness_path,
    "norms": norms,
}
END: dict[str, Callable[[Probe], tuple[Numbers, Series]]] = {
    "sharpness": sharpness_at_end,
    "curvature": curvature,
    "keskar": keskar,
    "gradient_noise": gradient_noise,
    "norms": lambda probe: (norms(probe), {}),
    "layers": layers_at_end,
}


def check(trial: Trial, n_images: int) -> None:
    """Refuse measures that so few training images cannot give, before any training.

    Raises:
        HplabError: If "gradient_noise" is asked of less than two of its small batches.
    """
    least = 2 * noise.SMALL
    if "gradient_noise" in trial.measure and n_images < least:
        raise HplabError(
            f"measure 'gradient_noise' needs at least {least} training images, got {n_images}"
        )


def after_epoch(probe: Probe, *, is_last: bool = False) -> Numbers:
    """Return what the trial's measures find after an epoch, by name.

    Args:
        probe: The network after the epoch.
        is_last: Whether the trial's stopping rule ends it here.
    """
    probe = dataclasses.replace(probe, is_last=is_last)
    found: Numbers = {}
    for name in probe.trial.measure:
        if name in EPOCH:
            found |= EPOCH[name](probe)
    return found


def at_end(probe: Probe) -> tuple[Numbers, Series]:
    """Return what the trial's measures find at the end: single numbers, and short series."""
    numbers: Numbers = {}
    series: Series = {}
    for name in probe.trial.measure:
        if name in END:
            more_numbers, more_series = END[name](probe)
            numbers |= more_numbers
            series |= more_series
    return numbers, series


def checkpoints(epochs: int) -> frozenset[int]:
    """Return at most `CHECKPOINTS` epochs, denser at the start, the first and last among them."""
    if epochs <= CHECKPOINTS:
        return frozenset(range(1, epochs + 1))
    powers = [i / (CHECKPOINTS - 1) for i in range(CHECKPOINTS)]
    return frozenset(round(epochs**power) for power in powers)
