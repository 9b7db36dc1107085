"""Average-direction sharpness along the way."""

from __future__ import annotations

from hplab.training.measures.protocol import Numbers, View
from hplab.training.measures.sharpness import RADIUS, norm, objective
from hplab.training.sharpness import PATH_EXAMPLES, average, hessian

N_PATH = 4  # and after an epoch; at the end the trial says how many
CHECKPOINTS = 12  # epochs at which the path is measured, at most; the first and last are among them


class SharpnessPath:
    """Measures average-direction sharpness, weight norm and gradient norm at a few checkpoints.

    A run that its stopping rule ends is measured there too.
    """

    def after_epoch(self, view: View) -> Numbers:
        if not view.is_last and view.lane.n_epochs not in checkpoints(view.trial.epochs):
            return {}
        loss = objective(view, PATH_EXAMPLES)
        found = average.average_direction(loss, RADIUS, n_directions=N_PATH, seed=view.seed)
        return {
            "sharpness_path": found.value,
            "weight_norm_path": norm(loss.vector()),
            "grad_norm_path": norm(hessian.gradient(loss)),
        }


def checkpoints(epochs: int) -> frozenset[int]:
    """Return at most `CHECKPOINTS` epochs, denser at the start, the first and last among them."""
    if epochs <= CHECKPOINTS:
        return frozenset(range(1, epochs + 1))
    powers = [i / (CHECKPOINTS - 1) for i in range(CHECKPOINTS)]
    return frozenset(round(epochs**power) for power in powers)
