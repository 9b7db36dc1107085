"""What happens inside a network, layer by layer: signals, gradients, dead units, norms.

Everything is read off copies or by hooks; the network is left as it was.
"""

from __future__ import annotations

import copy
import dataclasses

from torch import Tensor, nn

from hplab.training import losses
from hplab.training.measures.protocol import Numbers, Series, View
from hplab.training.networks import models
from hplab.training.networks.lanes import ELEMENTWISE

N_PROBE = 256  # training images that are looked at
_WITH_WEIGHTS = (nn.Linear, nn.Conv2d)


class Layers:
    """Looks at every layer before the first step and after the last."""

    def at_end(self, view: View) -> tuple[Numbers, Series]:
        images, labels = view.inputs(N_PROBE)
        linear = [m for m in view.model.modules() if isinstance(m, nn.Linear)]
        n_classes = linear[-1].out_features
        first = models.build(view.trial, tuple(images.shape[1:]), n_classes).to(images.device)
        series: dict[str, list[float]] = {}
        for when, network in (("start", first), ("end", view.model)):
            found = profile(network, images, labels, loss=view.trial.loss)
            for name in ("signal", "gradient", "dead"):
                series[f"layer_{name}_{when}"] = getattr(found, name)
        return {"gradient_ratio": found.gradient_ratio, "dead_share": found.dead_share}, series


@dataclasses.dataclass(frozen=True)
class Profile:
    """One value a layer, from the images to the logits.

    Attributes:
        signal: Standard deviation over the images of a unit's output after the activation, root
            mean square over the units; one value a hidden layer.
        gradient: Root mean square of the gradient of the loss with respect to the weights; one
            value a layer with weights, the logits' own included.
        dead: Share of hidden units that give every image the same output (to 1e-6 of the largest
            spread in their layer, or all of them where there is none); one value a hidden layer.
    """

    signal: list[float]
    gradient: list[float]
    dead: list[float]

    @property
    def gradient_ratio(self) -> float:
        """Gradient of the first layer divided by that of the last."""
        return self.gradient[0] / self.gradient[-1] if self.gradient[-1] else 0.0

    @property
    def dead_share(self) -> float:
        """Mean share of dead units over the hidden layers."""
        return sum(self.dead) / max(1, len(self.dead))


def profile(network: nn.Module, images: Tensor, labels: Tensor, *, loss: str) -> Profile:
    """Send images through a copy of a network in training mode and back, and look at each layer.

    Args:
        network: The network; it stays as it is.
        images: Images as the network takes them, `(N, C, H, W)`.
        labels: Their labels, `(N,)`.
        loss: A name of the catalogue's losses.
    """
    network = copy.deepcopy(network).train()
    signal: list[float] = []
    dead: list[float] = []

    def look(_module: nn.Module, _inputs: tuple, output: Tensor) -> None:
        units = output.detach().transpose(0, 1).flatten(1)  # a unit of a convolution is a channel
        spread = units.amax(dim=1) - units.amin(dim=1)
        signal.append(float(units.var(dim=1, correction=0).mean().sqrt()))
        dead.append(float((spread <= 1e-6 * spread.max()).float().mean()))

    for module in network.modules():
        if isinstance(module, ELEMENTWISE):
            module.register_forward_hook(look)
    losses.named(loss)(network(images), labels).mean().backward()
    weights = [m.weight for m in network.modules() if isinstance(m, _WITH_WEIGHTS)]
    gradient = [float(w.grad.square().mean().sqrt()) for w in weights if w.grad is not None]
    return Profile(signal, gradient, dead)
