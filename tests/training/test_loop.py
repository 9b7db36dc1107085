"""Training does what its slow, obvious version does, and reports what happened."""

import gc
import math
import time
import weakref

import pytest
import torch
from torch.nn import functional

from hplab.training import batches, datasets, evaluation, loop
from hplab.training.networks import models
from hplab.trial import HplabError, Trial, stream_seed

SMALL = {"channels": [4], "hidden": 8}


def trial(**fields):
    fields = {"data": "digits", "epochs": 2, "batch_size": 24, "model_args": SMALL} | fields
    return Trial(**fields)


def plain_sgd(t, dataset):
    """The textbook loop, one batch after another, for SGD without extras."""
    net = models.build(t, (1, 8, 8), len(dataset.class_names))
    order = torch.Generator().manual_seed(stream_seed(t.seed, "order"))
    images = (dataset.images.float() / 255 - dataset.mean[0]) / dataset.std[0]
    for _ in range(t.epochs):
        permutation = torch.randperm(len(images), generator=order)
        for start in range(0, len(images), t.batch_size):
            rows = permutation[start : start + t.batch_size]
            loss = functional.cross_entropy(net(images[rows]), dataset.labels[rows])
            grads = torch.autograd.grad(loss, list(net.parameters()))
            with torch.no_grad():
                for weight, grad in zip(net.parameters(), grads, strict=True):
                    weight -= t.lr * grad
    return net


def test_training_equals_the_textbook_loop(stripes):
    t = trial(optimizer="sgd", lr=0.05)

    got = loop.train(t, stripes).model
    expected = plain_sgd(t, stripes)

    for a, b in zip(got.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_a_separable_problem_is_learned(stripes):
    outcome = loop.train(trial(epochs=15, lr=0.01), stripes)

    assert outcome.status == "ok"
    assert outcome.final["train_acc"] == 1.0
    assert outcome.final["val_acc"] == 1.0
    assert outcome.final["val_loss"] < 0.05


def test_the_same_trial_gives_the_same_numbers(stripes):
    first, second = (loop.train(trial(), stripes) for _ in range(2))

    assert first.curves == second.curves


def test_another_seed_gives_other_numbers(stripes):
    assert loop.train(trial(), stripes).curves != loop.train(trial(seed=1), stripes).curves


def test_metrics_are_means_over_examples(stripes):
    """Not means over batches: the last evaluation batch is smaller than the others."""
    outcome = loop.train(trial(), stripes)
    net = outcome.model.eval()
    x = datasets.normalize(stripes.images, "standard", stripes.mean, stripes.std)
    with torch.no_grad():
        logits = net(x)

    expected = functional.cross_entropy(logits, stripes.labels)
    correct = (logits.argmax(1) == stripes.labels).double().mean()
    assert len(stripes.labels) % evaluation.EVAL_BATCH
    assert outcome.final["train_loss"] == pytest.approx(float(expected), rel=1e-5)
    assert outcome.final["train_acc"] == float(correct)


def test_running_loss_of_a_frozen_network_is_its_training_loss(stripes):
    """With a learning rate too small to move, both ways of measuring must agree."""
    curves = loop.train(trial(optimizer="sgd", lr=1e-12), stripes).curves

    assert curves["running_loss"] == pytest.approx(curves["train_loss"], rel=1e-5)
    assert curves["running_acc"] == pytest.approx(curves["train_acc"])


def test_curves_have_one_value_an_epoch_and_the_rate_used(stripes):
    curves = loop.train(trial(epochs=3, lr=0.02), stripes).curves

    assert {name: len(values) for name, values in curves.items()} == dict.fromkeys(loop.METRICS, 3)
    assert curves["lr"] == [0.02] * 3


def test_steps_keep_the_loss_and_rate_of_every_update(stripes):
    t = trial(schedule="range_test", lr=1.0, measure=("steps",))
    curves = loop.train(t, stripes).curves
    n_steps = 2 * math.ceil(128 / 24)

    assert len(curves["step_loss"]) == len(curves["step_lr"]) == n_steps
    assert curves["step_lr"][0] == 1e-7
    assert curves["step_lr"][-1] == pytest.approx(1.0)
    assert curves["lr"][-1] == curves["step_lr"][-1]


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_divergence_is_a_result_that_says_where(stripes, optimizer):
    outcome = loop.train(trial(optimizer=optimizer, lr=1e30, epochs=4), stripes)

    assert outcome.status == "diverged"
    assert outcome.at["epoch"] == 1
    assert 1 <= outcome.at["step"] <= math.ceil(128 / 24)
    assert outcome.curves["val_loss"] == [None] * 4
    assert set(outcome.final.values()) == {None}


def test_the_step_of_divergence_is_the_first_loss_that_is_not_finite(stripes):
    outcome = loop.train(trial(lr=1e30, optimizer="sgd", measure=("steps",)), stripes)
    step_loss = outcome.curves["step_loss"]

    assert step_loss[outcome.at["step"] - 1] is None
    assert None not in step_loss[: outcome.at["step"] - 1]


def test_the_seconds_of_all_lanes_together_are_those_of_the_stack(stripes):
    began = time.thread_time()
    outcomes = loop.train_lanes([trial(seed=seed, epochs=4) for seed in range(4)], stripes)
    spent = time.thread_time() - began

    told = sum(sum(outcome.seconds.values()) for outcome in outcomes)
    assert spent / 3 < told <= spent
    assert len({outcome.seconds["train_s"] for outcome in outcomes}) == 1


@pytest.mark.parametrize("n_lanes", [1, 2])
def test_weights_that_are_not_finite_are_divergence_though_every_loss_is(
    stripes, monkeypatch, n_lanes
):
    """A unit behind a bias of minus infinity is dead, and nothing of it reaches the loss."""
    build = models.build

    def with_a_dead_unit(t, *shape):
        net = build(t, *shape)
        if t.seed == 0:
            [*net.parameters()][-3].data[0] = -math.inf  # the bias of the hidden layer
        return net

    monkeypatch.setattr(models, "build", with_a_dead_unit)
    first, *others = loop.train_lanes([trial(seed=s) for s in range(n_lanes)], stripes)

    assert (first.status, first.at) == ("diverged", {"epoch": 1, "step": 6})  # 128 images by 24
    assert [one.status for one in others] == ["ok"] * (n_lanes - 1)


def test_without_shuffling_images_come_in_their_own_order(stripes):
    run = loop.train(trial(shuffle=False, epochs=1, batch_size=128, measure=("steps",)), stripes)
    shuffled = loop.train(trial(epochs=1, batch_size=128, measure=("steps",)), stripes)

    assert run.curves["step_loss"] == pytest.approx(shuffled.curves["step_loss"], rel=1e-5)
    assert loop.train(trial(shuffle=False), stripes).curves != loop.train(trial(), stripes).curves


@pytest.mark.parametrize(
    ("drop_last", "n_train", "expected"), [(False, 100, 5), (True, 100, 4), (True, 96, 4)]
)
def test_steps_per_epoch(drop_last, n_train, expected):
    assert batches.steps_per_epoch(trial(drop_last=drop_last), n_train) == expected


def test_dropping_the_only_batch_is_refused(stripes):
    with pytest.raises(HplabError, match="drop_last leaves no batch: 128 training images"):
        loop.train(trial(drop_last=True, batch_size=129), stripes)


def test_a_subset_is_drawn_once_a_seed_and_shared_by_settings(stripes):
    """A learning rate too small to move shows which images were kept, through their loss."""
    still = {"optimizer": "sgd", "lr": 1e-12, "n_train": 40, "epochs": 1}
    a, b = (loop.train(trial(**still, batch_size=b), stripes).final for b in (8, 40))
    c = loop.train(trial(**still, seed=1), stripes).final

    assert a["train_loss"] == pytest.approx(b["train_loss"], rel=1e-6)
    assert a["train_loss"] != pytest.approx(c["train_loss"], rel=1e-6)


def test_too_large_a_subset_is_refused(stripes):
    with pytest.raises(HplabError, match="n_train is 129, but 'digits' has 128 training images"):
        loop.train(trial(n_train=129), stripes)


def test_training_leaves_the_global_random_state_alone(stripes):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    loop.train(trial(), stripes)

    assert torch.equal(torch.rand(3), expected)


def test_a_run_that_fails_does_not_stay_in_memory(stripes, monkeypatch):
    """A cycle would keep its tensors, on a graphics card too, until Python looks for cycles."""
    kept = []

    def fails(run, *_, **__):
        kept.extend((weakref.ref(run), weakref.ref(run.updates)))
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(loop._Run, "evaluate", fails)
    gc.disable()
    try:
        with pytest.raises(torch.OutOfMemoryError):
            loop.train(trial(), stripes)
        assert [some() for some in kept] == [None, None]
    finally:
        gc.enable()


@pytest.mark.parametrize("stream", ["init", "order"])
def test_one_source_of_luck_varies_while_the_others_are_held(stripes, stream):
    """Both seeds of a trial are those of two others, one for each stream."""
    zero, one = (Trial(data="digits", model="mlp", epochs=1, batch_size=32, seed=s) for s in (0, 1))
    mixed = zero.replace(seeds={stream: 1})

    first, second, third = loop.train_lanes([zero, one, mixed], stripes)
    alone = loop.train(mixed, stripes)

    assert third.curves["val_loss"] == pytest.approx(alone.curves["val_loss"], rel=1e-5)
    both = one.replace(seeds=dict.fromkeys(("init", "order"), 1))
    assert loop.train(both, stripes).curves == loop.train(one, stripes).curves
    assert third.curves["val_loss"] not in (first.curves["val_loss"], second.curves["val_loss"])
