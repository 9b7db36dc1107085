"""Looking inside a network: known networks give known numbers, and stay as they are."""

import copy

import pytest
import torch
from torch import nn

from hplab.training import loop
from hplab.training.measures import layers, norms
from hplab.training.networks import models
from hplab.trial import Trial


def images(n=64):
    return torch.randn(n, 3, generator=torch.Generator().manual_seed(0)), torch.arange(n) % 2


def linear(weight, bias=None):
    layer = nn.Linear(len(weight[0]), len(weight))
    layer.weight.data = torch.tensor(weight, dtype=torch.float32)
    layer.bias.data = torch.tensor(bias or [0.0] * len(weight))
    return layer


def test_a_unit_below_zero_for_every_image_is_dead():
    x, y = images()
    net = nn.Sequential(
        linear([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]], [0.0, 0.0, -100.0, 100.0]),
        nn.ReLU(),
        linear([[1.0, 2, 3, 4], [4, 3, 2, 1]]),
    )

    found = layers.profile(net, x, y, loss="cross_entropy")

    assert found.dead == [0.25]
    assert found.dead_share == 0.25


def test_signal_is_the_standard_deviation_over_the_images():
    x, y = images()
    net = nn.Sequential(linear([[2.0, 0, 0], [0, 0, 0]]), nn.LeakyReLU(1.0), linear([[1.0, 1]] * 2))

    found = layers.profile(net, x, y, loss="cross_entropy")

    assert found.signal == pytest.approx([float(2 * x[:, 0].std(correction=0)) / 2**0.5])


def test_gradients_are_autograds():
    x, y = images()
    net = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))
    loss = nn.functional.cross_entropy(net(x), y)
    grads = torch.autograd.grad(loss, [net[0].weight, net[2].weight])

    found = layers.profile(net, x, y, loss="cross_entropy")

    assert found.gradient == pytest.approx([float(g.square().mean().sqrt()) for g in grads])
    assert found.gradient_ratio == pytest.approx(found.gradient[0] / found.gradient[1])


def test_looking_changes_nothing():
    trial = Trial(data="digits", model="mobilenet", model_args={"width": 0.0625})
    net = models.build(trial, (1, 8, 8), 10).eval()
    before = copy.deepcopy(net.state_dict())

    layers.profile(net, torch.rand(16, 1, 8, 8), torch.arange(16) % 10, loss="cross_entropy")

    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert not net.training
    assert all(p.grad is None for p in net.parameters())
    assert not any(module._forward_hooks for module in net.modules())


def test_norms_of_known_weights():
    net = nn.Sequential(linear([[3.0, 0, 0]]), nn.BatchNorm1d(1), nn.ReLU(), linear([[4.0]] * 2))
    net[1].weight.data.zero_()

    assert norms.norms(net) == pytest.approx(
        {"weight_norm": (9 + 32) ** 0.5, "scale_free_norm": 3.0}
    )
    assert "scale_free_norm" not in norms.norms(nn.Sequential(nn.Linear(2, 2)))


def test_scale_free_weights_are_free_of_scale():
    trial = Trial(data="digits", model="mobilenet", model_args={"width": 0.0625})
    net = models.build(trial, (1, 8, 8), 10).double()
    x = torch.rand(16, 1, 8, 8, dtype=torch.float64)
    for module in net:
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 1e-30
    before, norm = net(x), norms.norms(net)["scale_free_norm"]
    for module in net:
        if isinstance(module, nn.Conv2d):
            module.weight.data.mul_(3.0)

    torch.testing.assert_close(net(x), before, rtol=1e-6, atol=1e-9)
    assert norms.norms(net)["scale_free_norm"] == pytest.approx(3 * norm)


def test_a_trial_records_them():
    trial = Trial(
        data="digits",
        model="mlp",
        model_args={"hidden": [12, 8], "batch_norm": True},
        n_train=96,
        epochs=2,
        measure=["norms", "layers"],
    )

    outcome = loop.train(trial)

    assert len(outcome.curves["scale_free_norm"]) == 2
    assert len(outcome.curves["layer_signal_start"]) == 2
    assert len(outcome.curves["layer_gradient_end"]) == 3
    assert outcome.final["weight_norm"] == outcome.curves["weight_norm"][-1]
    assert outcome.final["dead_share"] == pytest.approx(sum(outcome.curves["layer_dead_end"]) / 2)
    assert loop.train(trial.replace(measure=())).curves["val_loss"] == outcome.curves["val_loss"]


def test_measuring_lanes_gives_each_its_own():
    trial = Trial(
        data="digits", model="mlp", model_args={"hidden": [12]}, n_train=96, epochs=1
    ).replace(measure=["norms", "layers"])
    lanes = [trial.replace(seed=seed) for seed in (1, 2)]

    together = loop.train_lanes(lanes)

    for lane, outcome in zip(lanes, together, strict=True):
        alone = loop.train(lane)
        for name in ("weight_norm", "layer_gradient_start", "layer_gradient_end"):
            assert outcome.curves[name] == pytest.approx(alone.curves[name], rel=1e-4)
