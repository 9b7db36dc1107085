"""Matched initial weights keep the signal alive."""

import pytest
import torch
from torch import nn

from hplab.catalogue import ACTIVATIONS
from hplab.training.measures import layers
from hplab.training.networks import init, models
from hplab.trial import Trial

DEEP = Trial(
    data="mnist",
    model="mlp",
    model_args={"hidden": [256] * 12, "init": "matched"},
)


def build(**fields):
    return models.build(DEEP.replace(**fields), (1, 8, 8), 10)


def images(n=200):
    return torch.randn(n, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def test_the_gain_of_relu_is_the_square_root_of_two():
    assert init.gain(torch.relu) == pytest.approx(2**0.5, rel=0.01)
    assert init.gain(lambda z: z) == pytest.approx(1.0)


@pytest.mark.parametrize("activation", [a for a in ACTIVATIONS if a != "sigmoid"])
def test_the_mean_square_of_the_signal_survives_twelve_layers(activation):
    net = build(activation=activation)
    squares = []
    for module in net:
        if isinstance(module, nn.Linear):
            module.register_forward_hook(lambda _, __, z: squares.append(float(z.square().mean())))

    with torch.no_grad():
        net(images())

    first, last = squares[0], squares[-2]  # hidden layers 1 and 12
    assert 1 / 6 < last / first < 6


def test_torchs_own_weights_lose_the_signal_of_a_sigmoid_network():
    """The reason for the whole file."""
    plain = layers.profile(
        build(activation="sigmoid", **{"model_args.init": "torch"}),
        images(),
        torch.arange(200) % 10,
        loss="cross_entropy",
    )
    matched = layers.profile(
        build(activation="sigmoid"), images(), torch.arange(200) % 10, loss="cross_entropy"
    )

    assert plain.gradient_ratio < 1e-6
    assert matched.gradient_ratio > 1e-3


def test_a_matched_sigmoid_network_is_the_tanh_network():
    sigmoid, tanh = build(activation="sigmoid"), build(activation="tanh")

    torch.testing.assert_close(
        sigmoid.double()(images().double()), tanh.double()(images().double()), rtol=1e-4, atol=1e-5
    )


def test_batch_norm_stands_before_every_activation():
    net = build(**{"model_args.batch_norm": True, "model_args.hidden": [8, 4]})
    kinds = [type(layer).__name__ for layer in net]

    assert kinds == ["Flatten", *["Linear", "BatchNorm1d", "ReLU"] * 2, "Linear"]
