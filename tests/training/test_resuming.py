"""A training that was cut off and went on gives the same bits as one that was left alone."""

import contextlib
import io
import random

import pytest
import torch
from test_canaries import CANARIES

from hplab.training import datasets, loop
from hplab.training.networks.models import build
from hplab.trial import Trial


class Cut(Exception):
    """What ends a training here."""


class Keeper:
    """Ends the training the `at`-th time it is asked, with its state written as torch writes it."""

    def __init__(self, at=None, content=None):
        self.at, self.content, self.asked = at, content, 0

    def load(self):
        return self.content and torch.load(io.BytesIO(self.content), weights_only=True)

    def is_due(self, ahead_s=0.0):
        self.asked += 1
        return self.asked == self.at

    def save(self, state):
        buffer = io.BytesIO()
        torch.save(state, buffer)
        self.content = buffer.getvalue()
        raise Cut

    def see(self, lanes):
        pass

    def training(self):
        return contextlib.nullcontext()


def small(trial):
    fields = {"n_train": 96, "epochs": 3, "batch_size": min(trial.batch_size, 40)}
    if trial.stop != "epochs":
        fields = {"n_train": 96, "batch_size": 96}
    return trial.replace(**fields)


def train(trials, keeper=None):
    return loop.train_lanes(trials, datasets.load("digits"), keeper=keeper)


def everything(outcome):
    """Return all that a record and a network hold, to be compared bit by bit."""
    weights = {n: value.numpy().tobytes() for n, value in outcome.model.state_dict().items()}
    return outcome.status, outcome.at, outcome.curves, outcome.extra, weights


STACKS = {
    name: [small(CANARIES[name]).replace(seed=seed, **more) for seed, more in lanes.items()]
    for name, lanes in {
        "momentum": {0: {}, 1: {}, 2: {"lr": 0.3}},
        "adam": {0: {}, 1: {"weight_decay": 0.1}},
        "dropout": {0: {}, 1: {}},
        "normed": {0: {}, 1: {}},
        "photos": {0: {}, 1: {"lr": 0.1}},
        "stopped": {0: {}, 1: {"lr": 0.05}},
        "sgd": {0: {}, 1: {"lr": 1e38}},  # which diverges while the other goes on
        "rmsprop": {0: {"schedule": "cosine"}, 1: {"schedule": "step"}},
    }.items()
}
SINGLE = {name: [small(trial)] for name, trial in CANARIES.items()}
BF16 = {"in bf16": [small(CANARIES["photos"]).replace(precision="bf16")]}
TRAININGS = SINGLE | {f"{name}, stacked": trials for name, trials in STACKS.items()} | BF16


@pytest.mark.parametrize("name", TRAININGS)
def test_it_goes_on_with_the_same_bits(name):
    trials = TRAININGS[name]
    counting = Keeper()
    whole = [everything(outcome) for outcome in train(trials, counting)]
    assert whole == [everything(outcome) for outcome in train(trials)]
    moments = random.Random(name).sample(range(1, counting.asked + 1), 2)

    first = Keeper(at=min(moments))
    with pytest.raises(Cut):
        train(trials, first)
    second = Keeper(max(moments) - min(moments), first.content)  # it is cut off once more
    with pytest.raises(Cut):
        train(trials, second)
    resumed = train(trials, Keeper(content=second.content))

    assert [everything(outcome) for outcome in resumed] == whole


RULES = {  # every optimizer keeps something else of its past
    "sgd": {"optimizer_args": {"momentum": 0.9}, "lr": 0.05},
    "adam": {"lr": 3e-3},
    "rmsprop": {"lr": 1e-3, "weight_decay": 0.01},
    "adagrad": {"lr": 0.02},
}


def of_rule(optimizer):
    """A trial in which everything matters that a state could forget."""
    return Trial(
        data="digits", n_train=96, batch_size=32, epochs=3, schedule="cosine",
        model="cnn", model_args={"channels": [4], "hidden": 8, "dropout": 0.5, "batch_norm": True},
        measure=["diagnostics"], augment={"crop": 1}, optimizer=optimizer, **RULES[optimizer],
    )  # fmt: skip


@pytest.mark.parametrize("optimizer", RULES)
def test_every_moment_of_a_training_can_be_kept(optimizer):
    trial = of_rule(optimizer)
    whole = everything(train([trial])[0])

    for at in range(1, 13):  # three updates and the end of an epoch, three times
        keeper = Keeper(at)
        with pytest.raises(Cut):
            train([trial], keeper)
        assert everything(train([trial], Keeper(content=keeper.content))[0]) == whole


def without_the_past(state):
    state["updates"]["optimizer"] = [{} for _ in state["updates"]["optimizer"]]


def without_the_weights(state):
    for value in state["network"]["module"].values():
        if value.is_floating_point():
            value.mul_(1.001)


def without_the_step(state):
    state["updates"]["step"] -= 1
    state["updates"]["part"]["n"] -= 1


def without_what_was_seen(state):
    state["updates"]["part"]["losses"].zero_()


def without_the_curves(state):
    state["lanes"][0]["curves"]["val_loss"][0] += 0.5


@pytest.mark.parametrize("optimizer", RULES)
@pytest.mark.parametrize(
    "forget",
    [
        without_the_past,
        without_the_weights,
        without_the_step,
        without_what_was_seen,
        without_the_curves,
    ],
)
def test_no_part_of_a_state_could_be_left_out(optimizer, forget):
    trial = of_rule(optimizer)
    keeper = Keeper(at=6)  # after the second update of the second epoch
    with pytest.raises(Cut):
        train([trial], keeper)
    state = keeper.load()
    forget(state)
    buffer = io.BytesIO()
    torch.save(state, buffer)

    spoiled = everything(train([trial], Keeper(content=buffer.getvalue()))[0])

    assert spoiled != everything(train([trial])[0])


def test_what_is_trained_is_not_trained_again():
    trial = Trial(data="digits", n_train=96, batch_size=32, epochs=4)
    first = Keeper(at=9)  # after the first update of the third epoch
    with pytest.raises(Cut):
        train([trial], first)
    rest = Keeper(content=first.content)
    train([trial], rest)

    assert rest.asked == 2 + 1 + 3 + 1  # two updates, an epoch's end, three updates, the end


def test_seconds_are_those_of_both_parts():
    trial = Trial(data="digits", batch_size=32, epochs=6)
    first = Keeper(at=4 * 46 + 10)
    with pytest.raises(Cut):
        train([trial], first)
    [part] = train([trial], Keeper(content=first.content))
    [whole] = train([trial])

    assert 0.4 < part.seconds["train_s"] / whole.seconds["train_s"] < 2.5


def test_a_stacked_network_takes_up_its_state_whole():
    """The statistics of batch norm and the streams of dropout are part of it."""
    trial = Trial(data="digits", model="cnn", model_args={"dropout": 0.5, "batch_norm": True})
    nets = [
        loop.lanes.Stack([build(trial.replace(seed=s), (1, 8, 8), 10) for s in (a, a + 1)])
        for a in (0, 5)
    ]
    images = torch.rand(2, 6, 1, 8, 8)
    for net in nets:
        net(images).sum().backward()
    assert not torch.equal(nets[0](images), nets[1](images))

    nets[1].load_state_dict(nets[0].state_dict())

    assert torch.equal(nets[0](images), nets[1](images))
    assert torch.equal(nets[0].flat.grad, nets[1].flat.grad)
    for a, b in zip(nets[0]._norms, nets[1]._norms, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a.statistics, b.statistics, strict=True))
