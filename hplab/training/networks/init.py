"""Initial weights that suit the activation.

PyTorch draws the weights of every linear layer from the same range whatever follows it. In a deep
network without normalization that is too little: the signal, and on the way back the gradient,
shrinks by a factor with every layer. "Matched" weights keep the mean square of the signal, in the
spirit of Glorot and Bengio (2010) and He et al. (2015).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn


def gain(activation: Callable[[torch.Tensor], torch.Tensor]) -> float:
    """Return the factor g for which `g * f(z)` has mean square 1 when z is standard normal.

    For ReLU it is the square root of 2 (He et al., 2015).
    """
    points, weights = np.polynomial.hermite_e.hermegauss(200)
    values = activation(torch.from_numpy(points)).numpy()
    return float(1 / math.sqrt(weights @ values**2 / math.sqrt(2 * math.pi)))


def matched(layers: Sequence[nn.Linear], activation: nn.Module) -> None:
    """Set the weights of a chain of linear layers with an activation between each two.

    Weights are normal with standard deviation `gain / sqrt(fan_in)`, biases zero; the first layer
    takes the images, whose gain is 1. Sigmoid is a shifted, shrunk tanh, `(1 + tanh(z / 2)) / 2`,
    and its mean of one half would grow from layer to layer. So its network gets the weights of the
    tanh network, rescaled such that both compute the same function.

    Args:
        layers: From the images to the logits, changed in place with the global generator.
        activation: The activation between them.
    """
    sigmoid = isinstance(activation, nn.Sigmoid)
    hidden_gain = gain(torch.tanh if sigmoid else activation)
    for i, layer in enumerate(layers):
        scale = (hidden_gain if i else 1.0) / math.sqrt(layer.in_features)
        nn.init.normal_(layer.weight, std=scale)
        nn.init.zeros_(layer.bias)
        if sigmoid:
            _from_tanh(layer, first=i == 0, last=i == len(layers) - 1)


@torch.no_grad()
def _from_tanh(layer: nn.Linear, *, first: bool, last: bool) -> None:
    """Turn a layer of a tanh network into the layer of the equal sigmoid network.

    With s = (1 + t) / 2 for every hidden value t of the tanh network, a layer that takes hidden
    values needs `W t = 2 W s - W 1`, and one that gives them twice the pre-activation.
    """
    if not first:
        layer.bias.sub_(layer.weight.sum(dim=1))
        layer.weight.mul_(2)
    if not last:
        layer.bias.mul_(2)
        layer.weight.mul_(2)
