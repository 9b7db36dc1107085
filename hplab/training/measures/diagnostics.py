"""What a network is doing, beside how well: live units, output entropy, gradient norms.

The numbers come from evaluation passes and gradients that training makes anyway, so they cost
next to nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from hplab.training import precision
from hplab.training.collapse import collapsed, died_after
from hplab.training.evaluation import Watch
from hplab.training.measures.protocol import Numbers, Run, Series, View

# Recorded once an epoch with the measure "diagnostics"; "batch_grad_norm_1", ... come on top.
CURVES = ("live_units", "n_predicted", "output_entropy", "batch_grad_norm")


class Diagnostics:
    """Notes live units, predicted classes, entropy and gradient norms of every epoch."""

    padded = CURVES

    def __init__(self) -> None:
        self.top: dict[int, int] = {}

    def on_eval(self, run: Run, on_train: Watch, on_val: Watch) -> None:
        self.labels, top = run.labels, on_val.top_class()
        found: dict[str, Sequence[float | None]] = {
            "live_units": on_train.live_units(),
            "n_predicted": on_val.n_predicted(),
            "output_entropy": on_val.mean_entropy(),
            **gradient_norms(run.network.gradients()),
        }
        for lane in run.going:
            self.top[lane.index] = top[lane.index]
            for name, values in found.items():
                lane.note(name, values[lane.index])

    def at_end(self, view: View) -> tuple[Numbers, Series]:
        return of_run(view.lane.curves, self.top[view.lane.index], self.labels), {}


def gradient_norms(gradients: Mapping[str, Tensor]) -> dict[str, list[float]]:
    """Return Euclidean norms of the last update's gradient, for the whole network and by layer.

    Args:
        gradients: By parameter name (`"0.weight"`), `(M, ...)` each.

    Returns:
        "batch_grad_norm" over all parameters and "batch_grad_norm_1", ... over weight and bias
        of each convolution and linear layer in turn; one value a lane.
    """
    squares = {
        name: g.flatten(1).to(precision.exact(g.device)).square().sum(dim=1)
        for name, g in gradients.items()
    }
    layers: dict[str, Tensor] = {}
    for name, gradient in gradients.items():
        if gradient.dim() > 2:  # lanes, outputs, inputs, ...: a weight, not a bias or scale
            prefix = name.rpartition(".")[0]
            mine = [s for n, s in squares.items() if n.rpartition(".")[0] == prefix]
            layers[prefix] = functools.reduce(torch.add, mine)
    norms = {"batch_grad_norm": functools.reduce(torch.add, squares.values()).sqrt().tolist()}
    for i, square in enumerate(layers.values(), 1):
        norms[f"batch_grad_norm_{i}"] = square.sqrt().tolist()
    return norms


def of_run(
    curves: Mapping[str, list[float | None]], top: int, labels: Tensor
) -> dict[str, float | None]:
    """Return what the diagnostics of a whole run say about it.

    Args:
        curves: The run's curves, `CURVES` among them.
        top: The class it predicts most often for the validation images at the end.
        labels: Labels of the training images.

    Returns:
        The last value of each of `CURVES`; as 1 or 0, "collapsed" (see `hplab.training.collapse`),
        "died" (no live unit after three epochs in a row), "revived" (it had died, and a unit was
        live after a later epoch) and "top_is_majority" (`top` is the largest class of the training
        images).
    """
    common = int(torch.bincount(labels.cpu()).argmax())
    dead = collapsed(curves["live_units"], curves["n_predicted"])
    died = died_after(curves["live_units"])
    later = curves["live_units"][died:] if died is not None else []
    found = {
        "collapsed": dead,
        "died": died is not None,
        "revived": any(later),
        "top_is_majority": top == common,
    }
    last = {name: curves[name][-1] for name in CURVES}
    return last | {name: float(value) for name, value in found.items()}
