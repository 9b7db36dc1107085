"""How sharp the minimum is: the measures of `hplab.training.sharpness` that a trial may ask for."""

from __future__ import annotations

from torch import Tensor

from hplab.training import losses, precision, sharpness
from hplab.training.measures.protocol import Numbers, Probe, Series

RADIUS = 5.0  # report 002's perturbation, in weight space
LADDER = (0.1, 0.3, 1.0, 3.0, 5.0)
RELATIVE = 0.2875  # report 002's radius divided by the norm of its initial weights
N_LADDER = 8  # pairs of opposite directions for each rung of the ladder,
N_PATH = 4  # and after an epoch; at the end the trial says how many
LADDER_EXAMPLES = 5000  # the first of the training images
CHECKPOINTS = 12  # epochs at which the path is measured, at most; the first and last are among them
N_PROBES, N_LANCZOS = 8, 12


class SharpnessPath:
    """Measures average-direction sharpness, weight norm and gradient norm at a few checkpoints.

    A run that its stopping rule ends is measured there too.
    """

    def after_epoch(self, probe: Probe) -> Numbers:
        if not probe.is_last and probe.lane.n_epochs not in checkpoints(probe.trial.epochs):
            return {}
        objective = _objective(probe, sharpness.PATH_EXAMPLES)
        found = sharpness.average_direction(objective, RADIUS, n_directions=N_PATH, seed=probe.seed)
        return {
            "sharpness_path": found.value,
            "weight_norm_path": norm(objective.vector()),
            "grad_norm_path": norm(sharpness.gradient(objective)),
        }


class Sharpness:
    """Measures average-direction sharpness on all training images, and some radii on fewer."""

    def at_end(self, probe: Probe) -> tuple[Numbers, Series]:
        objective, n = _objective(probe), probe.trial.n_directions
        whole = sharpness.average_direction(objective, RADIUS, n_directions=n, seed=probe.seed)
        weight_norm, some = norm(objective.vector()), _objective(probe, LADDER_EXAMPLES)
        radii = [*LADDER, RELATIVE * weight_norm]
        ladder = sharpness.average_ladder(some, radii, n_directions=N_LADDER, seed=probe.seed)
        numbers = {
            "sharpness": whole.value,
            "sharpness_se": whole.se,
            "sharpness_direction_sd": whole.direction_sd,
            "sharpness_quadratic": _quadratic(ladder),
            "sharpness_relative": ladder[-1].value,
            "sharpness_relative_se": ladder[-1].se,
            "weight_norm": weight_norm,
            "grad_norm": norm(sharpness.gradient(some)),
        }
        return numbers, {
            "ladder_radius": radii,
            "ladder_sharpness": [rung.value for rung in ladder],
            "ladder_se": [rung.se for rung in ladder],
        }


class Curvature:
    """Measures the trace and the largest eigenvalue of the Hessian on some training images."""

    def at_end(self, probe: Probe) -> tuple[Numbers, Series]:
        objective = _objective(probe, sharpness.PATH_EXAMPLES)
        trace = sharpness.hessian_trace(objective, n_probes=N_PROBES, seed=probe.seed)
        top = sharpness.top_eigenvalues(objective, n_steps=N_LANCZOS, seed=probe.seed)
        return {
            "hessian_trace": trace.value,
            "hessian_trace_se": trace.se,
            "hessian_top": float(top.values[0]),
            "hessian_top_bound": float(top.bounds[0]),
        }, {}


class Keskar:
    """Measures the largest relative rise of the loss in a small box, in percent, on some images.

    The box and the ten steps of L-BFGS-B are those of Keskar et al. (2017), who search the whole
    space as well.
    """

    def at_end(self, probe: Probe) -> tuple[Numbers, Series]:
        found = sharpness.keskar(_objective(probe, sharpness.PATH_EXAMPLES), seed=probe.seed)
        return {"keskar": found.value}, {}


def checkpoints(epochs: int) -> frozenset[int]:
    """Return at most `CHECKPOINTS` epochs, denser at the start, the first and last among them."""
    if epochs <= CHECKPOINTS:
        return frozenset(range(1, epochs + 1))
    powers = [i / (CHECKPOINTS - 1) for i in range(CHECKPOINTS)]
    return frozenset(round(epochs**power) for power in powers)


def norm(vector: Tensor) -> float:
    """Return the Euclidean length of a vector, summed in float64 where the device has it."""
    return float(vector.to(precision.exact(vector.device)).norm())


def _objective(probe: Probe, n: int | None = None) -> sharpness.Objective:
    """Return the training loss of the first `n` images as a function of the weights."""
    loss = losses.named(probe.trial.loss)
    return sharpness.Objective(probe.model, *probe.inputs(n), loss=loss, batch_norm="batch")


def _quadratic(ladder: list[sharpness.AverageSharpness]) -> float | None:
    """Return the sharpness at report 002's radius over that of the parabola through radius 1."""
    far, near = (ladder[LADDER.index(radius)].value for radius in (RADIUS, 1.0))
    return far / (RADIUS**2 * near) if near else None
