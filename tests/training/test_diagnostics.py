"""Diagnostics say what a slow look at the network says."""

import math

import pytest
import torch
from torch.nn import functional

from hplab.training import collapse, datasets, evaluation, loop
from hplab.training.measures import diagnostics
from hplab.training.networks import models
from hplab.trial import HplabError, Trial, grid

SMALL = {"channels": [4], "hidden": 8}


def trial(**fields):
    fields = {"data": "digits", "epochs": 3, "batch_size": 24, "model_args": SMALL} | fields
    return Trial(**{"measure": ("diagnostics", "probes", "confusion")} | fields)


def looked_at(outcome, images, dataset):
    """Hidden activations and logits, the plain way."""
    x = datasets.normalize(images, "standard", dataset.mean, dataset.std)
    net = outcome.model.eval()
    with torch.no_grad():
        hidden = net[:-1](x)
        return hidden, net[-1](hidden)


def test_the_numbers_are_those_of_a_slow_look(stripes):
    outcome = loop.train(trial(lr=3e-3), stripes)
    hidden, _ = looked_at(outcome, stripes.images, stripes)
    _, logits = looked_at(outcome, stripes.test_images, stripes)
    p = logits.double().softmax(1)
    predicted = logits.argmax(1)
    matrix = [
        sum(int(t == i and q == j) for t, q in zip(stripes.test_labels, predicted, strict=True))
        for i in range(2)
        for j in range(2)
    ]

    assert outcome.final["live_units"] == int((hidden > 0).any(0).sum())
    assert outcome.final["n_predicted"] == len(set(predicted.tolist()))
    assert outcome.final["output_entropy"] == pytest.approx(float(-(p * p.log()).sum(1).mean()))
    assert outcome.curves["confusion"] == matrix


def test_the_gradient_norm_is_that_of_the_last_batch():
    """One batch an epoch, no shuffling and hardly a step: the gradient at the first weights."""
    digits = datasets.load("digits")
    t = Trial(
        data="digits", model_args=SMALL, optimizer="sgd", lr=1e-12, batch_size=1437, epochs=1,
        shuffle=False, measure=("diagnostics",),
    )  # fmt: skip
    net = models.build(t, (1, 8, 8), 10)
    x = datasets.normalize(digits.images, "standard", digits.mean, digits.std)
    functional.cross_entropy(net(x), digits.labels).backward()
    layers = [m for m in net if list(m.parameters())]
    norms = [math.hypot(*(float(p.grad.norm()) for p in m.parameters())) for m in layers]

    found = loop.train(t, digits)
    assert [found.curves[f"batch_grad_norm_{i}"][0] for i in (1, 2, 3)] == pytest.approx(
        norms, rel=1e-4
    )
    assert found.final["batch_grad_norm"] == pytest.approx(math.hypot(*norms), rel=1e-4)


def test_a_stack_is_diagnosed_as_its_lanes_are_alone(stripes):
    trials = grid(trial(), seed=[0, 1, 2])
    together = loop.train_lanes(trials, stripes)

    for one, t in zip(together, trials, strict=True):
        alone = loop.train(t, stripes)
        assert one.curves.keys() == alone.curves.keys()
        for name, values in alone.curves.items():
            assert one.curves[name] == pytest.approx(values, rel=1e-4, abs=1e-6), name


def test_measuring_changes_nothing_that_is_trained(stripes):
    with_batch_norm = SMALL | {"batch_norm": True}
    watched, plain = (
        loop.train(trial(measure=measure, model_args=with_batch_norm), stripes)
        for measure in (("diagnostics", "probes", "confusion"), ())
    )

    assert {name: watched.curves[name] for name in plain.curves} == plain.curves


def test_a_diverged_trial_is_not_probed_on_for_the_sake_of_its_stack(stripes):
    wild, tame = (trial(optimizer="sgd", lr=lr, measure=("probes",)) for lr in (1e30, 1e-3))
    [alone], beside = loop.train_lanes([wild], stripes), loop.train_lanes([wild, tame], stripes)

    assert [outcome.status for outcome in beside] == ["diverged", "ok"]
    assert beside[0].curves["probe_step"] == alone.curves["probe_step"]
    assert len(beside[1].curves["probe_step"]) > len(alone.curves["probe_step"])


def test_probes_come_after_the_chosen_steps_and_at_the_end_of_every_epoch(stripes):
    curves = loop.train(trial(epochs=2), stripes).curves  # 6 steps an epoch

    assert curves["probe_step"] == [1, 2, 5, 6, 10, 12]
    assert len(curves["probe_live_units"]) == 6
    assert all(0 <= n <= 8 for n in curves["probe_live_units"])


def test_a_dead_layer_is_seen_dead(stripes, monkeypatch):
    def born_dead(*args):
        net = build(*args)
        with torch.no_grad():
            net[-3].bias -= 1e3
        return net

    build = models.build
    monkeypatch.setattr(models, "build", born_dead)
    outcome = loop.train(trial(), stripes)

    assert outcome.final["live_units"] == 0
    assert outcome.final["n_predicted"] == 1
    assert outcome.final["collapsed"] == 1.0
    assert outcome.curves["batch_grad_norm_1"][-1] == 0
    assert outcome.curves["batch_grad_norm_2"][-1] == 0
    assert outcome.curves["batch_grad_norm_3"][-1] > 0


@pytest.mark.parametrize(
    ("live", "predicted", "expected"),
    [
        ([4, 0, 0, 0], [2, 1, 1, 1], True),
        ([0, 0], [1, 1], True),
        ([0, 0, 0, 1], [1, 1, 1, 1], False),
        ([0, 0, 0], [1, 2, 1], False),
    ],
)
def test_collapse_is_judged_on_the_last_epochs(live, predicted, expected):
    assert collapse.collapsed(live, predicted) is expected


@pytest.mark.parametrize(
    ("live", "died", "revived"),
    [
        ([5, 0, 0, 0, 0], 1, 0),
        ([5, 0, 0, 0, 2, 0], 1, 1),
        ([5, 0, 0, 1, 0, 0], 0, 0),
        ([0, 0], 0, 0),
    ],
)
def test_a_run_dies_once_and_may_come_back(live, died, revived):
    curves = dict.fromkeys(diagnostics.CURVES, [1.0] * len(live)) | {"live_units": live}
    found = diagnostics.of_run(curves, top=2, labels=torch.tensor([2, 2, 1]))

    assert (found["died"], found["revived"]) == (died, revived)
    assert found["top_is_majority"] == 1
    assert found["live_units"] == live[-1]


def test_the_entropy_of_equal_and_of_certain_outputs():
    logits = torch.stack([torch.zeros(15), torch.eye(15)[3] * 1e4])

    assert evaluation.output_entropy(logits).tolist() == pytest.approx([math.log(15), 0.0])


def test_a_network_without_a_last_linear_layer_is_refused():
    with pytest.raises(HplabError, match="diagnostics need a network that is a sequence"):
        models.last_linear(torch.nn.Sequential(torch.nn.ReLU()))
