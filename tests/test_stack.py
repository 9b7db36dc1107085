"""Lanes trained side by side follow the paths they would follow alone."""

import itertools

import pytest
import torch
from torch import nn

from hplab.training import loop, models, stack
from hplab.trial import ACTIVATIONS, OPTIMIZERS, HplabError, Trial

SETTINGS = {
    "mlp": {"model": "mlp", "model_args": {"hidden": [12, 8]}},
    "cnn": {"model": "cnn", "model_args": {"channels": [3, 4], "hidden": 8}},
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


@pytest.fixture(autouse=True)
def _images_in_default_dtype(monkeypatch):
    """Let images follow the default dtype, so that whole runs can be compared in float64."""
    from hplab.training import data

    plain = data.normalize
    monkeypatch.setattr(data, "normalize", lambda *args: plain(*args).to(torch.get_default_dtype()))


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

    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(weights(one), weights(other), rtol=1e-12, atol=1e-12)
        for name, values in one.curves.items():
            assert values == pytest.approx(other.curves[name], rel=1e-12), name


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_stacks(stripes, activation):
    lanes = [trial(**SETTINGS["cnn"], activation=activation, seed=seed) for seed in range(3)]

    together = exact(lanes, stripes, together=True)
    alone = exact(lanes, stripes, together=False)

    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(weights(one), weights(other), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("model", SETTINGS)
def test_stacked_equals_single_in_float32_for_sixty_steps(stripes, model, optimizer):
    lanes = [
        trial(**SETTINGS[model], optimizer=optimizer, epochs=10, lr=lr, seed=seed)
        for lr, seed in ((1e-2, 0), (1e-3, 0), (1e-3, 5))
    ]

    together = loop.train_lanes(lanes, stripes)
    alone = [loop.train(t, stripes) for t in lanes]

    for one, other in zip(together, alone, strict=True):
        assert one.curves["running_loss"] == pytest.approx(other.curves["running_loss"], rel=1e-4)


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
    healthy = [trial(**SETTINGS[model], seed=seed, lr=0.01) for seed in range(3)]
    wild = trial(**SETTINGS[model], seed=7, lr=1e30)
    tame = wild.replace(lr=1e-3)

    beside_wild = loop.train_lanes([*healthy, wild], stripes)
    beside_tame = loop.train_lanes([*healthy, tame], stripes)

    assert beside_wild[3].status == "diverged"
    assert beside_wild[3].at == loop.train(wild, stripes).at
    for one, other in zip(beside_wild[:3], beside_tame[:3], strict=True):
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

    together = stack.Stack(nets)(x)

    for i, net in enumerate(nets):
        torch.testing.assert_close(together[i], net(x[i]), rtol=1e-5, atol=1e-6)


def test_a_lane_comes_out_as_the_network_it_went_in():
    nets = [models.build(trial(**SETTINGS["cnn"], seed=s), (1, 8, 8), 10) for s in range(3)]
    before = [[p.detach().clone() for p in net.parameters()] for net in nets]

    lane = stack.Stack(nets).lane(1)

    assert all(torch.equal(p, q) for p, q in zip(lane.parameters(), before[1], strict=True))


def test_what_cannot_share_a_stack_is_refused(stripes):
    with pytest.raises(HplabError, match="may differ in seed, lr"):
        loop.train_lanes([trial(), trial(batch_size=16)], stripes)


def test_layers_without_a_batched_form_are_known():
    assert stack.stackable(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)))
    assert not stack.stackable(nn.Sequential(nn.LayerNorm(4)))
    assert not stack.stackable(nn.Linear(4, 2))
    with pytest.raises(TypeError, match="no batched form for LayerNorm"):
        stack.Stack([nn.Sequential(nn.LayerNorm(4))] * 2)
