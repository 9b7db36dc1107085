"""Report 002 in a trial: its network, its stopping rule, its seeds, and what is measured of it."""

import hashlib
import math

import pytest
import torch
from torch import nn

from hplab import catalogue
from hplab.catalogue import MEASURES
from hplab.sweeps import runner, series
from hplab.training import datasets, evaluation, loop, stopping
from hplab.training import sharpness as sh
from hplab.training.measures import protocol, sharpness_path
from hplab.training.networks import models
from hplab.trial import HplabError, Trial, grid, stream_seed

NET = {"hidden": [8], "logit_norm": True}


def trial(**fields):
    fields = {
        "data": "digits",
        "model": "mlp",
        "model_args": NET,
        "optimizer": "sgd",
        "lr": 0.05,
        "batch_size": 32,
        "epochs": 3,
        "n_train": 96,
        "normalize": "unit",
    } | fields
    return Trial(**fields)


# A loss that moves by more, less, less, more, less, less than 1e-4 from the second epoch on.
LOSSES = [9, 1.0, 0.9, 0.89995, 0.89994, 0.8, 0.79999, 0.79998]


@pytest.mark.parametrize(
    ("times", "consecutive", "stops_at"),
    [(2, False, 5), (2, True, 5), (3, False, 7), (3, True, None), (4, False, 8), (9, False, None)],
)
def test_the_rule_counts_as_the_code_or_as_the_text(times, consecutive, stops_at):
    t = trial(stop="loss_change", stop_args={"times": times, "consecutive": consecutive})

    stops = [n for n in range(1, 9) if stopping.should_stop(t, LOSSES[:n])]

    assert (stops[0] if stops else None) == stops_at


def test_the_first_change_does_not_count_and_without_a_rule_nothing_does():
    t = trial(stop="loss_change", stop_args={"times": 1})

    assert not stopping.should_stop(t, [1.0, 1.0])
    assert stopping.should_stop(t, [1.0, 1.0, 1.0])
    assert not stopping.should_stop(trial(), [1.0] * 50)


@pytest.fixture
def lanes():
    """Two rates of one stack; at the smaller one the loss hardly moves, so its lane stops."""
    rule = {"stop": "loss_change", "stop_args": {"tau": 0.002, "times": 2}}
    base = trial(epochs=6, shuffle=False, measure=("sharpness",), **rule)
    wanted = grid(base, lr=[1e-9, 0.1])
    return wanted, loop.train_lanes(wanted, datasets.load("digits"))


def test_a_lane_that_stops_keeps_its_weights_while_others_go_on(lanes):
    wanted, (still, moving) = lanes
    four = wanted[0].replace(stop="epochs", stop_args={}, epochs=4)
    alone = loop.train(four, datasets.load("digits"))

    assert (still.final["epochs_run"], still.final["stopped"]) == (4.0, 1.0)
    assert (moving.final["epochs_run"], moving.final["stopped"]) == (6.0, 0.0)
    assert [len(o.curves["val_loss"]) for o in (still, moving)] == [4, 6]
    assert still.final["train_loss"] == pytest.approx(alone.final["train_loss"], rel=1e-6)
    for a, b in zip(still.model.parameters(), alone.model.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-7)


def test_the_recorded_sharpness_is_that_of_the_trained_network(lanes):
    _, (_, moving) = lanes
    dataset = datasets.load("digits")
    order = torch.Generator().manual_seed(stream_seed(0, "subset"))
    rows = torch.randperm(len(dataset.labels), generator=order)[:96]
    images, labels = dataset.images[rows].float() / 255, dataset.labels[rows]
    objective = sh.Objective(moving.model, images, labels, batch_norm="batch")

    found = sh.average_direction(objective, 5.0, seed=stream_seed(0, "directions"))

    assert moving.final["sharpness"] == pytest.approx(found.value, rel=1e-5)
    assert moving.final["sharpness_se"] == pytest.approx(found.se, rel=1e-4)
    assert moving.final["train_loss"] == pytest.approx(objective.mean_loss(), rel=1e-5)
    norm = math.sqrt(sum(float((p.detach() ** 2).sum()) for p in moving.model.parameters()))
    assert moving.final["weight_norm"] == pytest.approx(norm)
    radii, rises = moving.curves["ladder_radius"], moving.curves["ladder_sharpness"]
    assert radii == pytest.approx([0.1, 0.3, 1, 3, 5, 0.2875 * norm])
    assert moving.final["sharpness_quadratic"] == pytest.approx(rises[4] / (25 * rises[2]))


def test_the_measure_of_keskar_and_others_is_that_of_the_trained_network():
    outcome = loop.train(trial(measure=("keskar",)))
    dataset = datasets.load("digits")
    order = torch.Generator().manual_seed(stream_seed(0, "subset"))
    rows = torch.randperm(len(dataset.labels), generator=order)[:96]
    images, labels = dataset.images[rows].float() / 255, dataset.labels[rows]
    objective = sh.Objective(outcome.model, images, labels, batch_norm="batch")
    found = sh.keskar(objective, seed=stream_seed(0, "directions"))

    assert outcome.final["keskar"] == pytest.approx(found.value, rel=1e-3)
    assert outcome.final["keskar"] > 0
    again = loop.train(trial())  # measuring leaves the training as it was
    assert again.curves["train_loss"] == outcome.curves["train_loss"]


def test_evaluation_standardises_over_all_examples_at_once():
    t = trial(epochs=1, n_train=None)
    dataset = datasets.load("digits")
    found = loop.train(t, dataset)

    logits = found.model(dataset.test_images.float() / 255).detach()
    exact = float(nn.functional.cross_entropy(logits, dataset.test_labels))

    assert len(dataset.test_labels) > evaluation.EVAL_BATCH
    assert found.final["val_loss"] == pytest.approx(exact, rel=1e-6)
    assert found.final["val_acc"] == pytest.approx(
        float((logits.argmax(1) == dataset.test_labels).float().mean())
    )


def test_initial_weights_of_report_002_come_from_the_name_of_its_file():
    t = trial(data="cifar10", optimizer="adagrad", lr=5e-4, batch_size=64, seed=3)
    name = b"models/MLP_1_0.0005_64_AdaGrad_3.pt"
    torch.manual_seed(int(hashlib.sha1(name).hexdigest(), 16) % 2**32 + 42)
    theirs = nn.Linear(192, 8).weight

    ours = models.build(t.replace(seeding="report_002"), (3, 8, 8), 10)[1].weight
    common = models.build(t, (3, 8, 8), 10)[1].weight

    assert torch.equal(ours, theirs)
    assert not torch.equal(common, theirs)
    assert torch.equal(common, models.build(t.replace(lr=1.0), (3, 8, 8), 10)[1].weight)


@pytest.mark.parametrize(("epochs", "first", "n"), [(3, [1, 2, 3], 3), (60, [1, 2], 11)])
def test_the_path_is_measured_at_few_epochs_dense_at_the_start(epochs, first, n):
    found = sorted(sharpness_path.checkpoints(epochs))

    assert found[: len(first)] == first
    assert found[-1] == epochs
    assert len(found) == n


def test_the_path_is_measured_where_the_stopping_rule_ends_it():
    """Not at the checkpoint before: what the network was like at its last epoch."""
    stop = {"stop": "loss_change", "stop_args": {"tau": 10.0, "times": 4}}
    t = trial(epochs=400, n_train=None, measure=("sharpness_path",), **stop)

    path = loop.train(t, datasets.load("digits")).curves

    n_epochs = len(path["val_loss"])
    assert n_epochs not in sharpness_path.checkpoints(400)
    assert len(path["sharpness_path"]) == n_epochs
    assert path["sharpness_path"][-1] is not None


MOMENTS = {"check", "on_step", "after_updates", "on_eval", "after_epoch", "at_end"}


@pytest.mark.parametrize("name", MEASURES)
def test_every_measure_is_asked_at_moments_that_there_are(name):
    """A method with another name would never be called."""
    public = vars(type(catalogue.MEASURES[name].implementation())).items()
    methods = {n for n, value in public if callable(value) and not n.startswith("_")}

    assert methods
    assert methods <= MOMENTS
    assert all(f"`{moment}(" in protocol.__doc__ for moment in MOMENTS)


class Diary:
    """A measure that writes down when it is asked, and what of."""

    padded = ("seen",)

    def __init__(self):
        self.asked = []

    def check(self, trial, n_images):
        self.asked.append(("check", n_images))

    def on_step(self, run, is_last):
        self.asked.append(("on_step", run.step, is_last))

    def after_updates(self, run, losses, rates):
        steps = len(losses), len(rates)
        self.asked.append(("after_updates", steps, [lane.index for lane in run.going]))

    def on_eval(self, run, on_train, on_val):
        seen = on_train.n_images, on_val.n_images
        self.asked.append(("on_eval", seen, [lane.index for lane in run.going]))
        for lane in run.going:
            lane.note("seen", float(lane.index))

    def after_epoch(self, view):
        self.asked.append(("after_epoch", view.lane.index, view.lane.n_epochs, view.is_last))
        return {"late": 7.0} if view.lane.n_epochs == 2 else {}

    def at_end(self, view):
        images, labels = view.inputs(5)
        self.asked.append(("at_end", view.lane.index, len(images), len(labels)))
        return {"number": 1.0, "endless": math.nan}, {"series": [1.0, 2.0, 3.0]}


def test_a_measure_is_asked_at_its_moments_of_the_lanes_that_still_train(stripes, monkeypatch):
    """Two lanes, of which the first diverges in the second of three epochs of six updates."""
    diary = Diary()
    monkeypatch.setitem(catalogue.MEASURES, "norms", catalogue.Row(lambda: diary))
    base = trial(n_train=None, batch_size=24, measure=("norms",), model_args={})
    bursts = {"schedule": "step", "schedule_args": {"gamma": 1e30}}
    tame, wild = loop.train_lanes([base, base.replace(**bursts)], stripes)

    def epoch(n, before, after):
        updates = [("on_step", 6 * n - 6 + i, i == 6) for i in range(1, 7)]
        at_once = [("after_updates", (6, 6), before), ("on_eval", (128, 64), after)]
        return [*updates, *at_once, *(("after_epoch", lane, n, False) for lane in after)]

    epochs = [*epoch(1, [0, 1], [0, 1]), *epoch(2, [0, 1], [1]), *epoch(3, [1], [1])]
    assert diary.asked == [("check", 128), *epochs, ("at_end", 1, 5, 5)]
    assert tame.extra == {"number": 1.0, "endless": None}
    assert tame.curves["series"] == [1.0, 2.0, 3.0]
    assert tame.curves["late"] == [None, 7.0]
    assert (wild.at["epoch"], wild.extra) == (2, {})
    assert wild.curves.keys() == {*loop.METRICS, "seen"}
    assert [tame.curves["seen"], wild.curves["seen"]] == [[1.0, 1.0, 1.0], [0.0, None, None]]


def test_measures_reach_the_table_of_runs(store):
    t = trial(data="cifar10", epochs=1000, n_train=None, measure=("sharpness", "sharpness_path"))
    runs = runner.run([t], preset="smoke", device="cpu", store=store)

    assert runs["sharpness"].notna().all()
    path = series.curves(runs, store=store)
    assert path["sharpness_path"].notna().sum() == len(path)
    assert {"weight_norm_path", "grad_norm_path"} <= set(path)
    rungs = series.ladder(runs, store=store)
    assert list(rungs["rung"]) == [1, 2, 3, 4, 5, 6]
    assert (rungs["ladder_se"] > 0).all()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"stop": "loss_chang"}, "did you mean 'loss_change'"),
        ({"stop": "loss_change", "stop_args": {"tau": 0}}, "stop_args.tau must be positive"),
        ({"stop_args": {"tau": 1e-3}}, "unknown stop argument 'tau'"),
        ({"seeding": "sha"}, "unknown seeding 'sha'"),
        ({"n_directions": 0}, "n_directions must be at least 1"),
        ({"measure": ["sharpnes"]}, "did you mean 'sharpness'"),
    ],
)
def test_a_mistake_is_one_line(fields, said):
    with pytest.raises(HplabError) as caught:
        trial(**fields)

    assert said in str(caught.value)
