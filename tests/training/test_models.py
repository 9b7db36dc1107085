"""Networks have the shape they claim and depend on nothing but the trial."""

import pytest
import torch
from torch import nn

from hplab.catalogue import ACTIVATIONS, MODELS
from hplab.training.networks import models
from hplab.trial import HplabError, Trial


def build(in_shape=(1, 28, 28), n_classes=10, **fields):
    return models.build(Trial(data="mnist", **fields), in_shape, n_classes)


def test_every_named_model_exists():
    for name in MODELS:
        assert build(model=name)(torch.zeros(3, 1, 28, 28)).shape == (3, 10)


def test_cnn_has_the_parameters_of_its_definition():
    """Two convolutions, then 64 maps of 7x7 into 128 hidden units and 10 logits."""
    expected = (9 * 1 + 1) * 32 + (9 * 32 + 1) * 64 + (64 * 7 * 7 + 1) * 128 + 129 * 10

    assert sum(p.numel() for p in build(model="cnn").parameters()) == expected


def test_mlp_has_the_parameters_of_its_definition():
    net = build(model="mlp", model_args={"hidden": [20, 30]})

    assert sum(p.numel() for p in net.parameters()) == 785 * 20 + 21 * 30 + 31 * 10


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_cnn_equals_the_textbook_order_of_layers(activation):
    """Activation before pooling, as every textbook draws it, gives the same logits."""
    net = build(activation=activation)
    convs = [m for m in net if isinstance(m, nn.Conv2d)]
    hidden, out = (m for m in net if isinstance(m, nn.Linear))
    act, pool = ACTIVATIONS[activation].implementation(), nn.MaxPool2d(2)
    x = torch.randn(5, 1, 28, 28, generator=torch.Generator().manual_seed(1))

    h = x
    for conv in convs:
        h = pool(act(conv(h)))
    expected = out(act(hidden(h.flatten(1))))

    torch.testing.assert_close(net(x), expected, rtol=0, atol=0)


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "tanh"])
def test_pooling_first_leaves_the_gradients_alone(activation):
    net = build(activation=activation)
    act, pool = ACTIVATIONS[activation].implementation(), nn.MaxPool2d(2)
    first, last = net[0], net[-1]
    x = torch.randn(5, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    net(x).sum().backward()
    got = first.weight.grad.clone()
    net.zero_grad()
    convs = [m for m in net if isinstance(m, nn.Conv2d)]
    hidden = next(m for m in net if isinstance(m, nn.Linear))
    h = x
    for conv in convs:
        h = pool(act(conv(h)))
    last(act(hidden(h.flatten(1)))).sum().backward()

    torch.testing.assert_close(got, first.weight.grad, rtol=1e-5, atol=1e-6)


def test_same_seed_same_weights_whatever_else_is_asked():
    """Settings are compared in pairs, so the seed alone decides the initial weights."""
    torch.manual_seed(99)
    a = build(seed=3, lr=1e-3)
    torch.manual_seed(7)
    b = build(seed=3, lr=1e-1, optimizer="sgd", batch_size=8)
    c = build(seed=4)

    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
    assert not torch.equal(a[0].weight, c[0].weight)


def test_building_leaves_the_global_random_state_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    build()

    assert torch.equal(torch.rand(3), expected)


def test_too_many_poolings_are_refused_by_name():
    with pytest.raises(HplabError, match="images of 8x8 are too small for a cnn with 4 pooling"):
        build(in_shape=(1, 8, 8), model_args={"channels": [1, 1, 1, 1]})
