"""Average-direction sharpness at the end, at several radii."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from hplab.training import losses, precision
from hplab.training.measures.protocol import Numbers, Series, View
from hplab.training.sharpness import average, hessian
from hplab.training.sharpness.average import AverageSharpness
from hplab.training.sharpness.objective import Objective

RADIUS = 5.0  # report 002's perturbation, in weight space
LADDER = (0.1, 0.3, 1.0, 3.0, 5.0)
RELATIVE = 0.2875  # report 002's radius divided by the norm of its initial weights
N_LADDER = 8  # pairs of opposite directions for each rung of the ladder,
LADDER_EXAMPLES = 5000  # the first of the training images


class Sharpness:
    """Measures average-direction sharpness on all training images, and some radii on fewer."""

    def at_end(self, view: View) -> tuple[Numbers, Series]:
        whole_loss, n = objective(view), view.trial.n_directions
        whole = average.average_direction(whole_loss, RADIUS, n_directions=n, seed=view.seed)
        weight_norm, some = norm(whole_loss.vector()), objective(view, LADDER_EXAMPLES)
        radii = [*LADDER, RELATIVE * weight_norm]
        ladder = average.average_ladder(some, radii, n_directions=N_LADDER, seed=view.seed)
        numbers = {
            "sharpness": whole.value,
            "sharpness_se": whole.se,
            "sharpness_direction_sd": whole.direction_sd,
            "sharpness_quadratic": _quadratic(ladder),
            "sharpness_relative": ladder[-1].value,
            "sharpness_relative_se": ladder[-1].se,
            "weight_norm": weight_norm,
            "grad_norm": norm(hessian.gradient(some)),
        }
        return numbers, {
            "ladder_radius": radii,
            "ladder_sharpness": [rung.value for rung in ladder],
            "ladder_se": [rung.se for rung in ladder],
        }


def norm(vector: Tensor) -> float:
    """Return the Euclidean length of a vector, summed in float64 where the device has it."""
    return float(vector.to(precision.exact(vector.device)).norm())


def objective(view: View, n: int | None = None) -> Objective:
    """Return the training loss of the first `n` images as a function of the weights."""
    loss = losses.named(view.trial.loss)
    return Objective(view.model, *view.inputs(n), loss=loss, batch_norm="batch")


def _quadratic(ladder: Sequence[AverageSharpness]) -> float | None:
    """Return the sharpness at report 002's radius over that of the parabola through radius 1."""
    far, near = (ladder[LADDER.index(radius)].value for radius in (RADIUS, 1.0))
    return far / (RADIUS**2 * near) if near else None
