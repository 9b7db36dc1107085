"""The schema of the table of runs: what each column is, whatever pandas did to the table."""

import io
from types import SimpleNamespace

import pandas as pd
import pytest

from hplab.analysis.claims import samples
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


# --------------------------------------------------- runs that are no trials


def forests(seeds=range(3)):
    """Runs of somebody's own function: neither settings nor results are known to a trial."""
    rows = [
        {"depth": depth, "kernel": kernel, "seed": seed, "status": "ok", "key": f"{i}{j}{seed}"}
        | {"rmse": 1 / depth + 0.01 * seed + 0.1 * j, "r2": 1 - 0.1 * j, "loss": 0.3 + seed}
        for i, depth in enumerate((2, 4))
        for j, kernel in enumerate(("rbf", "poly"))
        for seed in seeds
    ]
    return pd.DataFrame(rows).assign(settings=schema.settings_text(["depth", "kernel"]))


@pytest.mark.parametrize(
    "change",
    [
        lambda runs: runs,
        lambda runs: runs.copy(),
        lambda runs: pd.concat([runs[::2], runs[1::2].assign(more=5.0)]),
        merged,
        lambda runs: runs[runs["depth"] == 4].reset_index(drop=True).drop(columns="r2"),
        lambda runs: pd.read_csv(io.StringIO(runs.to_csv(index=False))),
    ],
    ids=["itself", "copy", "concat", "merge", "selection", "csv"],
)
def test_a_table_says_its_hyperparameters_whatever_pandas_did_to_it(change):
    runs = change(forests())
    runs.attrs = {}

    assert schema.hyperparameters(runs) == ["depth", "kernel"]
    others = [name for name in ("r2", "loss", "more", "a_new_measure") if name in runs]
    assert schema.results(runs) == ["rmse", *others]


@pytest.mark.parametrize("name", ["learning rate", "a,b", "config.lr", 'the "best"', "größe"])
def test_any_name_of_a_column_can_be_a_hyperparameter(name):
    runs = pd.DataFrame({name: [1, 2], "x": [3, 4]}).assign(settings=schema.settings_text([name]))

    assert schema.hyperparameters(runs) == [name]


def test_in_a_table_of_trials_the_hyperparameters_are_those_of_a_trial(runs_and_store):
    runs, _ = runs_and_store

    assert schema.hyperparameters(runs) == [n for n in runs if schema.is_hyperparameter(n)]
    assert {"val_acc", "keskar", "train_s"} <= set(schema.results(runs))
    assert not {"lr", "seed", "momentum"} & set(schema.results(runs))


def test_trials_and_other_runs_in_one_table_have_the_hyperparameters_of_both(runs_and_store):
    runs, _ = runs_and_store

    both = pd.concat([runs, forests()], ignore_index=True)

    assert {"depth", "kernel", "lr", "loss"} <= set(schema.hyperparameters(both))


def test_figures_tell_settings_apart_by_what_the_table_says():
    runs = forests()

    assert cells.telling(runs) == ["depth", "kernel"]  # and not "loss", a result here
    assert cells.telling(runs.assign(model="mine")) == ["depth", "kernel", "model"]
    mixed = plots.axis(runs, x="depth", y="rmse")
    assert "no means because kernel varies too" in mixed.caption
    one = plots.axis(runs[runs["kernel"] == "rbf"], x="depth", y="rmse")
    assert "no means" not in one.caption


def test_a_claim_takes_its_runs_by_what_the_table_says():
    report = SimpleNamespace(fixed={}, setting={})
    claim = SimpleNamespace(report=report, seeds=10, min_seeds=3)
    arms = [{"depth": 2}, {"depth": 4}]

    found = samples.sample(forests()[lambda runs: runs["kernel"] == "rbf"], arms, claim)

    assert found.n == 3
    assert [round(rows["rmse"].mean(), 6) for rows in found.rows] == [0.51, 0.26]
    with pytest.raises(HplabError, match="they differ in kernel; choose one"):
        samples.sample(forests(), arms, claim)
