"""The gradient noise scale inverts its identity, and gradients are measured as they are."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from hplab.training import loop
from hplab.training.measures import gradient_noise
from hplab.trial import HplabError, Trial


def expected(b, signal=3.0, trace=480.0):
    """The expected squared length of the mean gradient of b examples."""
    return signal + trace / b


@pytest.mark.parametrize(("b_small", "b_big"), [(1, 2), (16, 1024), (100, 101)])
def test_the_identity_is_inverted_for_any_two_batch_sizes(b_small, b_big):
    found = gradient_noise.noise_scale(
        expected(b_small), expected(b_big), b_small=b_small, b_big=b_big
    )

    assert found == pytest.approx(480 / 3)


def test_another_scale_of_the_loss_is_another_unit_and_not_another_noise_scale():
    one, two = (gradient_noise.noise_scale(k * 10.0, k * 4.0, b_small=8, b_big=64) for k in (1, 25))

    assert one == pytest.approx(two)


def test_pure_noise_has_no_scale():
    assert gradient_noise.noise_scale(8.0, 1.0, b_small=8, b_big=64) == math.inf


def test_batch_sizes_have_to_differ():
    with pytest.raises(ValueError, match="got 8 and 8"):
        gradient_noise.noise_scale(1.0, 1.0, b_small=8, b_big=8)


def test_the_estimate_is_right_on_a_linear_model_whose_noise_is_known():
    """At weight 0 of a least-squares-like problem the covariance can be counted out."""
    draw = torch.Generator().manual_seed(0)
    images, labels = torch.randn(4096, 1, 1, 3, generator=draw), torch.zeros(4096).long()
    images[..., 0] += 0.5
    net = nn.Sequential(nn.Flatten(), nn.Linear(3, 2, bias=False))
    nn.init.zeros_(net[1].weight)
    # With equal outputs the gradient of an example is (p - y) x, here (-1/2, 1/2) times x.
    per_example = 0.5 * images.flatten(1).double().repeat(1, 2)
    trace = float(per_example.var(dim=0).sum())
    signal = float(per_example.mean(dim=0).square().sum())

    small, big = gradient_noise.squared_norms(net, images, labels, loss="cross_entropy")

    whole = functional.cross_entropy(net(images), labels)
    gradient = torch.autograd.grad(whole, net[1].weight)[0]
    assert big == pytest.approx(float(gradient.square().sum()), rel=1e-4)
    found = gradient_noise.noise_scale(small, big, b_small=gradient_noise.SMALL, b_big=4096)
    assert found == pytest.approx(trace / signal, rel=0.1)


def test_a_trial_may_ask_for_it(stripes):
    trial = Trial(data="digits", model="mlp", epochs=1, batch_size=24, measure=("gradient_noise",))
    final = loop.train(trial, stripes).final

    assert final["steps_per_epoch"] == 6
    assert final["noise_scale"] > 0
    plain = loop.train(trial.replace(measure=()), stripes).final
    assert {name: final[name] for name in plain} == plain


@pytest.mark.parametrize("n_train", [10, 20])
def test_too_few_images_are_refused_before_training(stripes, monkeypatch, n_train):
    monkeypatch.setattr(loop._Run, "outcomes", lambda run: pytest.fail("it trained"))
    trial = Trial(data="digits", n_train=n_train, epochs=1, measure=("gradient_noise",))
    with pytest.raises(HplabError, match=f"needs at least 32 training images, got {n_train}"):
        loop.train(trial, stripes)
