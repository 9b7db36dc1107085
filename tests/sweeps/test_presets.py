"""A preset makes a study smaller and leaves its question alone."""

import pytest

from hplab.sweeps import presets
from hplab.trial import HplabError, Trial, grid

BASE = Trial(data="mnist", epochs=5)
QUESTION = (
    "lr",
    "batch_size",
    "optimizer",
    "schedule",
    "weight_decay",
    "activation",
    "loss",
    "seed",
)


@pytest.mark.parametrize("size", presets.SIZES)
def test_no_preset_touches_what_a_study_is_about(size):
    trial = BASE.replace(
        lr=0.03, optimizer="sgd", weight_decay=0.1, activation="tanh", batch_size=16, seed=3
    )
    scaled = presets.PRESETS[size].scale(trial)

    assert [getattr(scaled, f) for f in QUESTION] == [getattr(trial, f) for f in QUESTION]


def test_paper_is_the_report_itself():
    assert presets.PRESETS["paper"].scale(BASE) == BASE


@pytest.mark.parametrize("size", presets.SIZES)
def test_ten_times_as_long_stays_ten_times_as_long(size):
    scale = presets.PRESETS[size].scale

    ratio = scale(BASE.replace(epochs=50)).epochs / scale(BASE).epochs
    assert ratio == pytest.approx(10)


def test_reduced_keeps_the_reports_data_and_model():
    scaled = presets.PRESETS["reduced"].scale(BASE)

    assert scaled == BASE.replace(epochs=1)


def test_stand_ins_use_the_embedded_digits():
    for size in ("smoke", "laptop"):
        assert presets.PRESETS[size].scale(BASE).data == "digits"


@pytest.mark.parametrize(("data", "epochs"), [("mnist", 5), ("cifar100", 150)])
def test_each_preset_trains_on_more_images_than_the_one_before(data, epochs):
    n_images = {"digits": 1437, "mnist": 60_000, "cifar100": 50_000}
    shown = []
    for preset in presets.PRESETS.values():
        trial = preset.scale(Trial(data=data, epochs=epochs))
        shown.append(preset.n_seeds * trial.epochs * (trial.n_train or n_images[trial.data]))

    assert shown == sorted(set(shown))


def test_choose_keeps_the_first_seeds_of_every_setting():
    trials = grid(BASE, lr=[0.1, 0.2], seed=[7, 3, 9])

    kept = presets.PRESETS["smoke"].choose(trials)

    assert [(t.lr, t.seed) for t in kept] == [(0.1, 7), (0.1, 3), (0.2, 7), (0.2, 3)]


def test_a_trial_declared_twice_counts_once():
    trials = grid(BASE, lr=[0.1, 0.2], seed=range(2))

    assert presets.PRESETS["laptop"].choose([*trials, *trials[:2]]) == trials


@pytest.mark.parametrize("n_seeds", [0, -1, 2.0, "3", True])
def test_an_impossible_number_of_seeds_is_refused(n_seeds):
    with pytest.raises(HplabError, match="n_seeds must be a positive integer or None"):
        presets.PRESETS["laptop"].choose([BASE], n_seeds)


def test_no_trials_are_refused():
    with pytest.raises(HplabError, match="there are no trials"):
        presets.PRESETS["laptop"].choose([])


def test_unknown_preset_names_the_nearest():
    with pytest.raises(HplabError, match="did you mean 'laptop'"):
        presets.preset("labtop")


def test_changes_lists_what_differs_and_nothing_else():
    rows = {row["field"]: row for row in presets.changes(grid(BASE, seed=range(20)), "laptop")}

    assert set(rows) == {"data", "channels", "hidden", "epochs", "seeds"}
    assert (rows["data"]["report"], rows["data"]["preset"]) == ("mnist", "digits")
    assert (rows["epochs"]["report"], rows["epochs"]["preset"]) == ("5", "20")
    assert rows["seeds"]["preset"] == "5"


def test_a_schedule_drops_at_the_same_share_of_a_shorter_run():
    base = Trial(
        data="mnist",
        epochs=100,
        schedule="multi_step",
        schedule_args={"milestones": [33, 0.5, 75, 100, 150]},
    )
    scale = presets.PRESETS["reduced"].scale

    assert scale(base).schedule_args == {"milestones": [0.33, 0.5, 0.75, 20, 30]}
    assert presets.PRESETS["paper"].scale(base) == base
    assert scale(base.replace(schedule="constant", schedule_args={})).schedule_args == {}


def test_digits_are_turned_but_never_mirrored_or_shifted():
    photo = BASE.replace(augment={"crop": 4, "flip": 0.5, "rotate": 15})

    assert presets.PRESETS["laptop"].scale(photo).augment == {"rotate": 15}
    assert presets.PRESETS["reduced"].scale(photo).augment == photo.augment


@pytest.mark.parametrize("size", presets.PRESETS)
def test_many_trials_are_scaled_as_each_is(size):
    trials = grid(BASE, lr=[1e-2, 1e-3], model=["cnn", "mlp"], seed=[0, 3])

    assert presets.PRESETS[size].scaled(trials) == [presets.PRESETS[size].scale(t) for t in trials]
