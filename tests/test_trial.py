"""A trial is checked at the door, and its key means what it says."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hplab import trial as trial_module
from hplab.catalogue import MODELS, OPTIMIZERS
from hplab.trial import HplabError, Trial, grid, stream_seed, unknown

GOLDEN_KEYS = {  # never change these: they name records that are already in the store
    "ad09324fa28da7b3aa52c6a1c05ef9d4": Trial(data="mnist"),
    "f345125695d946b0523686f22dcf78e7": Trial(
        data="cifar100",
        model="mlp",
        model_args={"hidden": [512, 256]},
        optimizer="sgd",
        optimizer_args={"momentum": 0.9},
        lr=0.05,
        batch_size=128,
        epochs=300,
        split="holdout",
        split_args={"val": 10_000},
        drop_last=True,
        seed=7,
    ),
    "8c7d22761a49f452395a8d622de0b65b": Trial(data="digits", lr=1),
    "0f48e6944c0a431369452d56a7508351": Trial(
        data="digits", optimizer="adamw", weight_decay=0.1, seed=3
    ),
    "5902d70351bd461a99e870019991fe2c": Trial(
        data="fashion-mnist", model="mlp", activation="gelu", epochs=30
    ),
    "dad4e8f71b21b9ec5fcc7eb9b6b1b146": Trial(
        data="mnist", schedule="cosine", optimizer="rmsprop", lr=1e-4
    ),
    "210b548aca722741ed3f5bbe00ae9e0c": Trial(
        data="mnist", loss="kl_div", measure=("steps", "sharpness")
    ),
    "29a5575a4996aec371c4ea1cffa7b8c6": Trial(
        data="cifar10", augment={"flip": 0.5, "rotate": 15.0}, split="kfold", fold=2
    ),
    "87abfa760b8616d87667583700bcfef6": Trial(
        data="cifar10", model="mobilenet", precision="bf16", drop_last=True
    ),
    "add6c1c08cf47ec00a59ddc5dc78fb58": Trial(
        data="dinosaurs", normalize="imagenet", model_args={"batch_norm": True}
    ),
    "06abc7ec96347547f21ab3525ca5eff7": Trial(
        data="mnist", n_train=1000, seeds={"init": 4, "order": 5}, shuffle=False
    ),
}


def test_one_stream_may_have_a_seed_of_its_own():
    plain = Trial(data="mnist", seed=1)
    other = plain.replace(seeds={"init": 3})

    assert other.stream("init") == plain.replace(seed=3).stream("init")
    assert other.stream("order") == plain.stream("order")
    assert other.flat()["seed_init"] == 3
    assert "seed_init" not in plain.flat()
    assert Trial.from_config(other.config(), 1) == other


@pytest.mark.parametrize(
    ("seeds", "said"),
    [
        ({"inti": 1}, "did you mean 'init'"),
        ({"init": -1}, "at least 0"),
        ({"init": 1.5}, "an integer"),
        (3, "mapping"),
    ],
)
def test_seeds_of_streams_are_checked(seeds, said):
    with pytest.raises(HplabError, match=said):
        Trial(data="mnist", seeds=seeds)


@pytest.mark.parametrize(("key", "trial"), GOLDEN_KEYS.items())
def test_recorded_keys_never_change(key, trial):
    assert trial.key("x") == key


def test_spelling_out_a_default_keeps_the_key():
    plain = Trial(data="mnist", optimizer="sgd")
    spelled = Trial(
        data="mnist", optimizer="sgd", optimizer_args={"momentum": 0}, activation="relu", fold=1
    )

    assert spelled == plain
    assert spelled.key("x") == plain.key("x")


def test_a_field_that_is_added_later_changes_no_key(monkeypatch):
    monkeypatch.setitem(trial_module._OPTIONAL, "new", 0)
    monkeypatch.setattr(Trial, "new", 0, raising=False)
    assert [trial.replace().key("x") for trial in GOLDEN_KEYS.values()] == [*GOLDEN_KEYS]

    monkeypatch.setattr(Trial, "new", 1)
    assert not {trial.replace().key("x") for trial in GOLDEN_KEYS.values()} & {*GOLDEN_KEYS}


def test_numbers_of_equal_meaning_give_equal_keys():
    keys = {Trial(data="mnist", lr=lr).key("x") for lr in (1, 1.0, np.float64(1), np.int64(1))}

    assert len(keys) == 1
    assert Trial(data="mnist", weight_decay=-0.0).config() == Trial(data="mnist").config()


@pytest.mark.parametrize(
    "change",
    [
        {"lr": 2e-3},
        {"seed": 1},
        {"activation": "gelu"},
        {"model_args": {"hidden": 64}},
        {"optimizer_args": {"beta1": 0.5}},
        {"measure": ("steps",)},
        {"n_train": 100},
    ],
)
def test_anything_that_decides_a_result_changes_the_key(change):
    assert Trial(data="mnist", **change).key("x") != Trial(data="mnist").key("x")


def test_other_data_under_the_same_name_change_the_key():
    assert Trial(data="mnist").key("x") != Trial(data="mnist").key("y")


trials = st.builds(
    Trial,
    data=st.sampled_from(["digits", "mnist"]),
    model=st.sampled_from(sorted(MODELS)),
    optimizer=st.sampled_from(sorted(OPTIMIZERS)),
    lr=st.floats(1e-9, 1e3),
    weight_decay=st.floats(0, 1),
    batch_size=st.integers(1, 4096),
    epochs=st.integers(1, 500),
    seed=st.integers(0, 10_000),
)


@settings(max_examples=1000, deadline=None)
@given(trials)
def test_a_trial_survives_the_store(trial):
    back = Trial.from_config(json.loads(json.dumps(trial.config())), trial.seed)

    assert back == trial
    assert back.key("x") == trial.key("x")


@settings(max_examples=1000, deadline=None)
@given(trials, st.randoms(use_true_random=False))
def test_neither_the_order_of_names_nor_spelled_out_defaults_change_a_key(trial, rng):
    fields = {name: getattr(trial, name) for name in Trial.__dataclass_fields__}
    fields["lr"] = np.float64(trial.lr)
    for component in ("model", "optimizer"):
        arguments = list(trial.arguments(component).items())
        rng.shuffle(arguments)
        fields[f"{component}_args"] = dict(arguments)
    names = list(fields)
    rng.shuffle(names)

    assert Trial(**{name: fields[name] for name in names}).key("x") == trial.key("x")


@settings(max_examples=1000, deadline=None)
@given(trials, trials)
def test_two_trials_share_a_key_only_if_they_are_equal(a, b):
    assert (a.key("x") == b.key("x")) == (a == b)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"data": "mnst"}, "did you mean 'mnist'"),
        ({"data": "mnist", "optimizer": "adamm"}, "did you mean 'adam'"),
        ({"data": "mnist", "model_args": {"hiden": 3}}, "did you mean 'hidden'"),
        ({"data": "mnist", "lr": 0}, "lr must be positive"),
        ({"data": "mnist", "lr": float("nan")}, "lr must be finite"),
        ({"data": "mnist", "lr": "0.1"}, "lr must be a number, got '0.1'"),
        ({"data": "mnist", "batch_size": 1.5}, "batch_size must be an integer"),
        ({"data": "mnist", "batch_size": 0}, "batch_size must be at least 1"),
        ({"data": "mnist", "seed": -1}, "seed must be at least 0"),
        ({"data": "mnist", "seed": True}, "seed must be an integer"),
        ({"data": "mnist", "drop_last": 1}, "drop_last must be True or False"),
        ({"data": "mnist", "fold": 2}, "fold must be between 1 and 1"),
        ({"data": "mnist", "split": "kfold", "fold": 4}, "fold must be between 1 and 3"),
        ({"data": "mnist", "measure": ("step",)}, "did you mean 'steps'"),
        ({"data": "mnist", "measure": "steps"}, "measure must be a list of names"),
        ({"data": "mnist", "model": ["cnn"]}, "unknown model ['cnn']"),
        ({"data": "mnist", "optimizer_args": {"beta1": 1.5}}, "beta1 must be below 1"),
        ({"data": "mnist", "optimizer_args": {"beta2": 1.0}}, "beta2 must be below 1"),
        (
            {"data": "mnist", "optimizer": "rmsprop", "optimizer_args": {"alpha": 2}},
            "alpha must be at most 1",
        ),
        (
            {"data": "mnist", "optimizer": "sgd", "optimizer_args": {"nesterov": True}},
            "nesterov needs a momentum above 0",
        ),
        ({"data": "mnist", "model_args": [3]}, "model_args must be a mapping"),
        ({"data": "mnist", "model": "mlp", "model_args": {"hidden": 3}}, "must be a list"),
        ({"data": "mnist", "model": "mlp", "model_args": {"hidden": [0]}}, "must be positive"),
        ({"data": "mnist", "split": "holdout", "split_args": {"val": 0}}, "must be positive"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_is_allowed(fields, said):
    with pytest.raises(HplabError) as caught:
        Trial(**fields)

    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_grid_is_every_combination_with_the_last_axis_fastest():
    base = Trial(data="mnist")

    points = [(t.lr, t.seed) for t in grid(base, lr=[0.1, 0.2], seed=range(2))]

    assert points == [(0.1, 0), (0.1, 1), (0.2, 0), (0.2, 1)]


def test_grid_reaches_into_arguments():
    base = Trial(data="mnist", optimizer="sgd")

    momenta = [
        t.argument("optimizer", "momentum")
        for t in grid(base, {"optimizer_args.momentum": [0, 0.9]})
    ]

    assert momenta == [0.0, 0.9]


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        ({"lr": []}, "grid axis 'lr' is empty"),
        ({"lr": 0.1}, "needs a list"),
        ({"optimizer": "adam"}, "needs a list"),
        ({"learning_rate": [0.1]}, "unknown field 'learning_rate'"),
        ({"lr": [0.1, 0.1]}, "repeats a trial"),
        ({"lr": [np.float32(0.1), 0.1]}, "repeats a trial"),
        ({"optimiser_args.momentum": [0]}, "did you mean 'optimizer_args'"),
    ],
)
def test_grid_refuses_what_cannot_be_meant(axes, said):
    with pytest.raises(HplabError, match=said):
        grid(Trial(data="mnist"), axes)


def test_streams_depend_on_seed_and_purpose_only():
    seeds = {stream_seed(s, p) for s in range(40_000) for p in ("init", "order", "subset")}

    assert len(seeds) == 120_000
    assert all(0 <= s < 2**63 for s in seeds)
    assert stream_seed(3, "init") == stream_seed(3, "init")


def test_unknown_lists_what_is_known():
    text = str(unknown("fruit", "aple", ["pear", "apple"], "the basket"))

    assert text == "unknown fruit 'aple' in the basket; known: apple, pear; did you mean 'apple'?"
    assert str(unknown("fruit", "aple", [])) == "unknown fruit 'aple'; known: none"


def test_a_line_that_quotes_a_file_tells_no_terminal_what_to_do():
    line = str(HplabError("column '\x1b[2Jval\x1eacc\u2028'\x85 is\tü"))

    assert line == r"column '\x1b[2Jval\x1eacc\u2028'\x85 is" + "\tü"
    assert len(line.splitlines()) == 1


def test_another_seed_makes_the_trial_that_is_made_anew():
    fields = {"data": "mnist", "model_args": {"channels": [4]}, "seeds": {"init": 3}, "lr": 0.01}
    trial = Trial(**fields, seed=1)
    _ = trial.setting  # a text that is kept

    other = trial.replace(seed=np.int64(7))

    assert other == Trial(**fields, seed=7)
    assert (other.identity(), type(other.seed)) == (Trial(**fields, seed=7).identity(), int)
    assert trial.seed == 1
    with pytest.raises(HplabError, match="seed must be at least 0"):
        trial.replace(seed=-1)
