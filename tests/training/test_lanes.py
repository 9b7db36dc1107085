"""Lanes trained side by side follow the paths they would follow alone."""

import copy
import dataclasses
import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional

from hplab.catalogue import ACTIVATIONS, LOSSES, OPTIMIZERS
from hplab.training import datasets, loop
from hplab.training.networks import models
from hplab.training.networks.dropout import LaneDropout
from hplab.training.networks.lanes import Stack, stackable
from hplab.training.schedules import SCHEDULES
from hplab.trial import HplabError, Trial

pytestmark = pytest.mark.usefixtures("images_in_default_dtype")
SETTINGS = {
    "mlp": {"model": "mlp", "model_args": {"hidden": [12, 8]}},
    "cnn": {"model": "cnn", "model_args": {"channels": [3, 4], "hidden": 8}},
    "mlp with dropout": {"model": "mlp", "model_args": {"hidden": [12, 8], "dropout": 0.3}},
    "cnn with dropout": {
        "model": "cnn",
        "model_args": {"channels": [3, 4], "hidden": 8, "dropout": 0.3},
    },
    "mlp with batch norm": {
        "model": "mlp",
        "model_args": {"hidden": [12, 8], "batch_norm": True, "logit_norm": True},
    },
    "cnn with batch norm": {
        "model": "cnn",
        "model_args": {
            "channels": [3, 4],
            "hidden": 8,
            "batch_norm": True,
            "global_pool": True,
        },
    },
}


def trial(**fields):
    return Trial(**({"data": "digits", "epochs": 2, "batch_size": 24} | fields))


def exact(trials, dataset, *, together):
    """Train in float64 and return the weights of every trial."""
    torch.set_default_dtype(torch.float64)
    try:
        if together:
            outcomes = loop.train_lanes(trials, dataset)
        else:
            outcomes = [loop.train(t, dataset) for t in trials]
    finally:
        torch.set_default_dtype(torch.float32)
    return outcomes


def weights(outcome):
    return torch.cat([p.detach().flatten() for p in outcome.model.parameters()])


def assert_same(together, alone, *, normalised):
    """Assert equality to 1e-12 of the weights and all curves.

    A bias before a batch normalisation has a gradient that is all rounding, which adaptive
    optimizers turn into full steps. Training does not see it, but running statistics lag behind
    it; so there only the losses in training are compared, to 1e-10.
    """
    for one, other in zip(together, alone, strict=True):
        if not normalised:
            torch.testing.assert_close(weights(one), weights(other), rtol=1e-12, atol=1e-12)
        for name in ("running_loss", "running_acc", "lr") if normalised else one.curves:
            close = 1e-10 if normalised else 1e-12
            wanted = pytest.approx(other.curves[name], rel=close, abs=close)
            assert one.curves[name] == wanted, name


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("model", SETTINGS)
def test_stacked_equals_single_in_float64(stripes, model, optimizer):
    """Different seeds, learning rates and weight decays in one stack: equal to 1e-12."""
    base = trial(**SETTINGS[model], optimizer=optimizer)
    lanes = [
        base.replace(seed=seed, lr=lr, weight_decay=decay)
        for seed, (lr, decay) in itertools.product((0, 1), ((1e-2, 0.0), (3e-3, 1e-2)))
    ]

    together = exact(lanes, stripes, together=True)
    alone = exact(lanes, stripes, together=False)

    assert_same(together, alone, normalised="batch norm" in model)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("model", ["mlp with batch norm", "cnn"])
def test_every_schedule_and_loss_with_every_optimizer(stripes, model, loss, optimizer):
    """One stack with a lane for each schedule: equal to 1e-12 in float64."""
    base = trial(**SETTINGS[model], optimizer=optimizer, loss=loss, n_train=72, lr=3e-3)
    lanes = [base.replace(schedule=schedule, seed=i) for i, schedule in enumerate(SCHEDULES)]

    together = exact(lanes, stripes, together=True)
    alone = exact(lanes, stripes, together=False)

    assert_same(together, alone, normalised="batch norm" in model)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_stacks(stripes, activation):
    lanes = [trial(**SETTINGS["cnn"], activation=activation, seed=seed) for seed in range(3)]

    together = exact(lanes, stripes, together=True)
    alone = exact(lanes, stripes, together=False)

    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(weights(one), weights(other), rtol=1e-12, atol=1e-12)


W3 = {
    "mlp": {"model": "mlp"},
    "cnn": {"model": "cnn", "model_args": {"channels": [16, 32], "hidden": 64}},
}


def furthest(lanes, dataset):
    """Return by how many nats the losses of sixty steps differ, stacked against alone, at most."""
    together = loop.train_lanes(lanes, dataset)
    alone = [loop.train(t, dataset) for t in lanes]
    pairs = list(zip(together, alone, strict=True))
    assert all(len(one.curves["step_loss"]) == 60 for one, _ in pairs)
    return max(
        abs(x - y)
        for one, other in pairs
        for x, y in zip(one.curves["step_loss"], other.curves["step_loss"], strict=True)
    )


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("model", W3)
def test_stacked_equals_single_in_float32_for_sixty_steps(model, optimizer):
    base = Trial(data="digits", **W3[model], optimizer=optimizer, batch_size=16, epochs=1)
    base = base.replace(n_train=960, measure=("steps",))
    lanes = [base.replace(lr=lr, seed=seed) for lr, seed in ((1e-2, 0), (1e-3, 0), (1e-3, 5))]

    assert furthest(lanes, datasets.load("digits")) < 1e-5


@pytest.mark.parametrize(("optimizer", "arguments"), [("sgd", {}), ("adam", {"eps": 1e-4})])
def test_the_network_of_report_004_in_float32_for_sixty_steps(optimizer, arguments):
    """With its own eps of 1e-8, Adam blows gradients that are nothing but rounding up to full
    steps, and any two orders of summation drift apart: by 6e-6 on MNIST, by 1e-3 here."""
    digits = datasets.load("digits")
    large = [
        nn.functional.interpolate(images.float(), size=28, mode="bilinear").to(torch.uint8)
        for images in (digits.images[:640], digits.test_images[:20])
    ]
    dataset = dataclasses.replace(
        digits,
        images=large[0],
        labels=digits.labels[:640],
        test_images=large[1],
        test_labels=digits.test_labels[:20],
    )
    base = Trial(data="mnist", optimizer=optimizer, optimizer_args=arguments, epochs=6)
    base = base.replace(batch_size=64, measure=("steps",))
    lanes = [base.replace(lr=lr, seed=seed) for lr, seed in ((1e-3, 0), (3e-4, 1))]

    assert furthest(lanes, dataset) < 1e-5


def test_schedules_and_steps_are_kept_apart(stripes):
    base = trial(**SETTINGS["mlp"], measure=("steps",))
    lanes = [base, base.replace(schedule="range_test", lr=0.1), base.replace(lr=0.01, seed=2)]

    together = exact(lanes, stripes, together=True)
    alone = exact(lanes, stripes, together=False)

    for one, other in zip(together, alone, strict=True):
        assert one.curves["step_lr"] == other.curves["step_lr"]
        assert one.curves["step_loss"] == pytest.approx(other.curves["step_loss"], rel=1e-12)


def test_subsets_are_each_lanes_own(stripes):
    lanes = [trial(**SETTINGS["mlp"], n_train=50, seed=seed) for seed in range(3)]

    together = exact(lanes, stripes, together=True)
    alone = exact(lanes, stripes, together=False)

    for one, other in zip(together, alone, strict=True):
        assert one.curves["train_loss"] == pytest.approx(other.curves["train_loss"], rel=1e-12)


@pytest.mark.parametrize("model", SETTINGS)
def test_a_diverged_lane_leaves_its_neighbours_bit_for_bit_alone(stripes, model):
    n = 15 if model == "mlp" else 3
    healthy = [trial(**SETTINGS[model], seed=seed, lr=0.01) for seed in range(n)]
    wild = trial(**SETTINGS[model], seed=7, lr=1e30)
    # Batch normalisation rounds by a lane's place in the stack, and lanes are sorted by setting:
    # 0.02 sorts after 0.01 as the wild rate does.
    tame = wild.replace(lr=0.02 if "batch norm" in model else 1e-3)

    beside_wild = loop.train_lanes([*healthy, wild], stripes)
    beside_tame = loop.train_lanes([*healthy, tame], stripes)

    assert beside_wild[n].status == "diverged"
    assert beside_wild[n].at == loop.train(wild, stripes).at
    for one, other in zip(beside_wild[:n], beside_tame[:n], strict=True):
        assert one.status == "ok"
        assert one.curves == other.curves
        assert torch.equal(weights(one), weights(other))


def test_the_order_of_lanes_does_not_matter(stripes):
    lanes = [trial(**SETTINGS["mlp"], seed=s, lr=lr) for s, lr in ((0, 0.1), (1, 0.01), (2, 0.1))]

    forwards = exact(lanes, stripes, together=True)
    backwards = exact(lanes[::-1], stripes, together=True)[::-1]

    for one, other in zip(forwards, backwards, strict=True):
        torch.testing.assert_close(weights(one), weights(other), rtol=1e-12, atol=1e-12)


def test_a_stack_computes_the_logits_of_its_networks():
    nets = [models.build(trial(**SETTINGS["cnn"], seed=s), (1, 8, 8), 10) for s in range(4)]
    x = torch.randn(4, 6, 1, 8, 8, generator=torch.Generator().manual_seed(0))

    together = Stack(nets)(x)

    for i, net in enumerate(nets):
        torch.testing.assert_close(together[i], net(x[i]), rtol=1e-5, atol=1e-6)


def normalised(seed, *, affine=True, tracks=True, momentum=0.1):
    """A network with every layer that has statistics, a mode or a shape of its own."""
    norm = {"affine": affine, "track_running_stats": tracks, "momentum": momentum}
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(4, **norm),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(16, 6, bias=False),
        nn.BatchNorm1d(6, **norm),
        LaneDropout(0.25, (6,), seed=seed),
        nn.Linear(6, 3),
        nn.LogSoftmax(dim=1),
    ).double()


@pytest.mark.parametrize(
    "norm", [{}, {"affine": False}, {"tracks": False}, {"momentum": None}, {"momentum": 0.9}]
)
def test_normalisation_and_dropout_are_each_lanes_own(norm):
    """Logits, gradients, running statistics and evaluation mode: as each network alone."""
    nets = [normalised(seed, **norm) for seed in range(3)]
    alone = [normalised(seed, **norm) for seed in range(3)]
    together = Stack(nets)
    stream = torch.Generator().manual_seed(0)
    for mode in (True, True, False):
        x = torch.randn(3, 7, 1, 9, 9, generator=stream, dtype=torch.float64)
        together.train(mode)
        together.zero_grad()
        logits = together(x)
        logits.square().sum().backward()
        for i, net in enumerate(alone):
            net.train(mode).zero_grad()
            wanted = net(x[i])
            wanted.square().sum().backward()
            torch.testing.assert_close(logits[i], wanted, rtol=1e-12, atol=1e-12)
            gradient = torch.cat([p.grad.flatten() for p in net.parameters()])
            torch.testing.assert_close(together.flat.grad[i], gradient, rtol=1e-11, atol=1e-11)
    for i, net in enumerate(alone):
        state = together.lane(i).state_dict()
        for name, value in net.state_dict().items():
            torch.testing.assert_close(state[name], value, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"stride": 2, "padding": 1},
        {"padding": (2, 1), "dilation": (1, 2)},
        {"groups": 2, "bias": False},
        {"padding": "same"},
    ],
)
def test_convolutions_as_matrix_products_are_convolutions(how):
    """Every form of them; in evaluation they are computed as they are everywhere."""

    def network(seed):
        torch.manual_seed(seed)
        layers = [nn.Conv2d(2, 4, 3, **how), nn.BatchNorm2d(4), nn.Conv2d(4, 6, (1, 2), bias=True)]
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten()).double()

    nets = [network(seed) for seed in range(3)]
    stacks = [Stack(nets), Stack(nets, torch.contiguous_format, unfolds=True)]
    x = torch.randn(3, 5, 2, 9, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for mode in (True, False):
        logits = []
        for stack in stacks:
            stack.train(mode)
            stack.zero_grad()
            logits.append(stack(x))
            logits[-1].square().sum().backward()
        torch.testing.assert_close(*logits, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(*(s.flat.grad for s in stacks), rtol=1e-11, atol=1e-11)


def test_only_in_training_are_convolutions_unfolded(monkeypatch):
    """Measuring takes hundreds of images at once, each of which would be nine times as large."""
    calls, real = [], functional.unfold
    monkeypatch.setattr(functional, "unfold", lambda *a: calls.append(a) or real(*a))
    nets = [nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten()) for _ in range(2)]
    stack = Stack(nets, torch.contiguous_format, unfolds=True)
    for mode, n_calls in ((True, 1), (False, 1)):
        stack.train(mode)
        stack(torch.zeros(2, 4, 1, 5, 5))
        assert len(calls) == n_calls


def test_a_lane_comes_out_as_the_network_it_went_in():
    nets = [models.build(trial(**SETTINGS["cnn"], seed=s), (1, 8, 8), 10) for s in range(3)]
    before = [[p.detach().clone() for p in net.parameters()] for net in nets]

    lane = Stack(nets).lane(1)

    assert all(torch.equal(p, q) for p, q in zip(lane.parameters(), before[1], strict=True))


def test_a_stack_of_mobilenets_has_the_logits_and_gradients_of_each():
    """Depthwise layers stack too. Only one step: their training amplifies rounding too much."""
    torch.set_default_dtype(torch.float64)
    try:
        kind = Trial(data="digits", model="mobilenet", model_args={"width": 0.0625})
        nets = [models.build(kind.replace(seed=seed), (1, 8, 8), 10) for seed in range(3)]
        stacked = Stack([copy.deepcopy(net) for net in nets])
        images = torch.rand(3, 24, 1, 8, 8, generator=torch.Generator().manual_seed(1))
        logits = stacked(images)
        logits.square().sum().backward()
        for i, net in enumerate(nets):
            alone = net(images[i])
            alone.square().sum().backward()
            gradient = torch.cat([p.grad.flatten() for p in net.parameters()])
            torch.testing.assert_close(logits[i], alone, rtol=1e-9, atol=1e-11)
            error = (stacked.flat.grad[i] - gradient).norm() / gradient.norm()
            assert error < 1e-10
    finally:
        torch.set_default_dtype(torch.float32)


def test_what_cannot_share_a_stack_is_refused(stripes):
    with pytest.raises(HplabError, match="may differ in seed, seeds, lr"):
        loop.train_lanes([trial(), trial(batch_size=16)], stripes)


def test_layers_without_a_batched_form_are_known():
    assert stackable(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)))
    assert not stackable(nn.Sequential(nn.LayerNorm(4)))
    assert not stackable(nn.Sequential(nn.Conv2d(4, 4, 3, padding_mode="reflect")))
    assert not stackable(nn.Sequential(nn.LogSoftmax(dim=0)))
    assert not stackable(nn.Sequential(nn.Flatten(0), nn.Linear(4, 2)))
    pooled = (nn.Conv2d(1, 3, 3), nn.AdaptiveAvgPool2d(1))
    assert not stackable(nn.Sequential(*pooled, nn.LogSoftmax(dim=1), nn.Flatten()))
    assert stackable(nn.Sequential(*pooled, nn.Flatten(), nn.LogSoftmax(dim=1)))
    assert not stackable(nn.Linear(4, 2))
    with pytest.raises(TypeError, match="no batched form for LayerNorm"):
        Stack([nn.Sequential(nn.LayerNorm(4))] * 2)


@pytest.mark.parametrize(
    "change",
    [
        lambda layer: layer.weight.register_hook(lambda gradient: 0 * gradient),
        lambda layer: layer.weight.register_post_accumulate_grad_hook(lambda p: None),
        lambda layer: layer.register_forward_hook(lambda module, given, out: 2 * out),
        lambda layer: layer.register_full_backward_hook(lambda module, given, out: None),
        lambda layer: setattr(layer, "forward", lambda x: x @ layer.weight.T),
        lambda layer: layer.requires_grad_(False),
    ],
)
def test_a_layer_that_is_changed_by_hand_trains_alone(change):
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    assert stackable(network)
    change(network[1])
    assert not stackable(network)
