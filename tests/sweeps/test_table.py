"""The schema of the table of runs: what each column is, whatever pandas did to the table."""

import pandas as pd
import pytest

from hplab.catalogue import MEASURES
from hplab.pages import cards, plots
from hplab.pages.figures import cells
from hplab.sweeps import runner, series
from hplab.sweeps import table as schema
from hplab.sweeps.store import Store
from hplab.trial import HplabError, Trial, grid

BASE = Trial(
    data="mnist",
    model="mlp",
    model_args={"batch_norm": True},
    measure=MEASURES,
    split="holdout",
    stop="loss_change",
    seeds={"init": 3},
)


@pytest.fixture(scope="module")
def runs_and_store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("schema")
    store = Store(folder / "results", folder / "pending")
    trials = grid(BASE, lr=[1e-3, 1e-2], seed=range(2))
    trials += grid(BASE.replace(optimizer="sgd", seeds={}), lr=[1e-3, 1e-2], seed=range(2))
    return runner.run(trials, preset="smoke", device="cpu", store=store, jobs=1), store


def classes(name):
    """Return the classes of the schema that a column is in."""
    said = {
        "hyperparameter": schema.is_hyperparameter(name),
        "declared": name.startswith("arm_"),
        "result": schema.is_result(name),
        "run": name in schema.RUN,
        "place": name in schema.PLACES,
    }
    return [kind for kind, is_one in said.items() if is_one]


@pytest.mark.parametrize("long", [None, "curves", "ladder", "layers", "probes", "steps"])
def test_every_column_is_in_one_class(runs_and_store, long):
    runs, store = runs_and_store

    shown = runs if long is None else getattr(series, long)(runs, store=store)

    assert len(shown)
    assert {name: classes(name) for name in shown if len(classes(name)) != 1} == {}


def test_hyperparameters_are_those_of_the_trial(runs_and_store):
    runs, _ = runs_and_store
    trial = BASE.replace(optimizer="sgd")

    mine = {name for name in runs if schema.is_hyperparameter(name)}

    assert mine >= set(trial.flat()) - {"seed"}
    assert mine - set(trial.flat()) == {
        "beta1",
        "beta2",
        "eps",
        "amsgrad",
    }  # of the other optimizer


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("lr", True),
        ("model.dropout", True),
        ("split.seed", True),
        ("seed_order", True),
        ("ladder_radius", True),
        ("seed", False),
        ("model.momentum", False),
        ("arm_lr", False),
        ("a_new_measure", False),
    ],
)
def test_what_is_not_known_to_be_a_hyperparameter_is_none(name, is_one):
    assert schema.is_hyperparameter(name) is is_one


def merged(runs):
    return runs.merge(pd.DataFrame({"key": runs["key"], "a_new_measure": range(len(runs))}))


@pytest.mark.parametrize(
    "change",
    [
        lambda runs: runs.copy(),
        lambda runs: pd.concat([runs[::2], runs[1::2].assign(keskar=5.0)]),
        merged,
    ],
    ids=["copy", "concat", "merge"],
)
def test_figures_keep_their_means_whatever_pandas_did_to_the_table(runs_and_store, change):
    runs, store = runs_and_store

    changed = change(runs[runs["optimizer"] == "adam"])
    changed.attrs = {}

    assert "no means" not in plots.axis(changed).caption
    curves = series.curves(changed, store=store)
    assert "no means" not in plots.learning_curves(curves).caption
    assert not {"val_acc_x", "sharpness", "curve_weight_norm"} & set(curves)


def test_names_that_a_page_gives_its_runs_tell_settings_apart_and_numbers_do_not(runs_and_store):
    runs, _ = runs_and_store
    named = runs[["seed", "status", "val_acc", "device"]].assign(
        network=runs["optimizer"] + "!", a_new_measure=range(len(runs))
    )

    assert cells.telling(named) == ["network"]
    assert cards.cost(named).text.startswith("runs: 8; settings: 2")
    assert "no means because network varies too" in plots.axis(named, x="seed").caption


def test_a_long_table_leaves_final_numbers_out_without_being_told(runs_and_store):
    runs, store = runs_and_store
    bare = runs.copy()
    bare.attrs = {}

    told, untold = (series.ladder(table, store=store) for table in (runs, bare))

    pd.testing.assert_frame_equal(told, untold)
    assert not {"val_acc", "keskar", "hessian_top"} & set(untold)
    assert untold["ladder_sharpness"].notna().all()


def test_a_run_that_the_store_does_not_hold_is_named(runs_and_store, tmp_path):
    runs, _ = runs_and_store

    with pytest.raises(HplabError, match=f"no record '{runs['key'].iloc[0]}' in .*elsewhere"):
        series.curves(runs, store=Store(tmp_path / "elsewhere", tmp_path / "pending"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("val_acc", ("validation accuracy", "%", 0, 1)),
        ("a_new_acc", ("", "%", 0, 1)),
        ("a_new_measure", ("", "", -float("inf"), float("inf"))),
        ("probe_step", ("step", "", -float("inf"), float("inf"))),
        ("hidden", ("hidden units", "", -float("inf"), float("inf"))),
    ],
)
def test_words_and_unit_of_a_column(name, expected):
    assert schema.column(name) == expected
