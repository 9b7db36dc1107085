"""Figures, tables, explorers and verdicts of runs of a reader's own function.

Neither the settings ("depth", "kernel") nor the results ("rmse", "r2") are known to a trial.
"""

from types import SimpleNamespace

import numpy as np
import pytest
from tiny_functions import boosting

import hplab as hp
from hplab.analysis.claims import judging, samples
from hplab.analysis.claims.claim import Claim, Report
from hplab.analysis.claims.kinds import registry
from hplab.pages import labels
from hplab.pages.figures import explorer
from hplab.sweeps.store import Store
from hplab.trial import HplabError

AXES = {"depth": [2, 4, 8], "kernel": ["rbf", "poly"], "seed": range(4)}


@pytest.fixture(scope="module")
def runs_and_store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    store = Store(folder / "results", folder / "pending")
    return hp.sweep(boosting, jobs=1, store=store, **AXES), store


@pytest.fixture
def runs(runs_and_store):
    return runs_and_store[0]


@pytest.fixture
def rbf(runs):
    return runs[runs["kernel"] == "rbf"]


def test_axis_rings_the_best_and_names_what_else_varies(runs, rbf):
    figure = hp.plots.axis(rbf, x="depth", y="rmse")

    assert "the best mean (ringed) is 0.382" in figure.caption
    assert "at depth 8" in figure.caption
    assert "no means" not in figure.caption
    assert "no means because kernel varies too" in hp.plots.axis(runs, "depth", "rmse").caption
    assert hp.plots.axis(runs, "depth", "r2", by="kernel").html


def test_isolation_takes_the_better_side_from_the_name(runs):
    figure = hp.plots.isolation(runs, "depth", "rmse", over=["kernel"])

    chosen = figure.data[figure.data["chosen"]]
    assert chosen["kernel"].tolist() == ["rbf"] * 3
    assert hp.plots.isolation(runs, "depth", "r2", over="kernel").data["chosen"].sum() == 3


def test_heatmap_frames_the_best_pair(runs):
    assert "at depth 8 and kernel rbf" in hp.plots.heatmap(runs, "depth", "kernel", "rmse").caption


def test_learning_curves_are_those_that_it_yielded(runs, rbf, runs_and_store):
    _, store = runs_and_store

    figure = hp.plots.learning_curves(rbf, ["rmse", "r2"], by="depth", store=store)

    assert sorted(figure.data["epoch"].unique()) == [1, 2, 3, 4]
    assert "no means" not in figure.caption
    assert "the best mean rmse is 0.382" in figure.caption
    curves = hp.curves(runs, store=store)
    assert hp.plots.learning_curves(curves, "rmse", by="kernel").caption.count("depth varies") == 1
    assert hp.plots.descent(rbf, by="depth", x="rmse", y="r2", store=store).caption


def test_published_numbers_stand_beside_them(rbf):
    figure = hp.plots.compare({2: 0.74, 4: 0.9}, rbf, "rmse", by="depth")

    assert figure.data["inside"].tolist() == [True, False]


def test_shares_count_an_event(rbf):
    figure = hp.plots.shares(rbf.assign(low=(rbf["rmse"] < 0.45) * 1.0), "low", "depth")

    assert figure.data["mean"].tolist()[-1] > 0.5


def test_tables_have_a_row_a_setting(runs):
    shown = hp.show(runs, ["rmse", "r2"])

    assert shown.text.count("rbf") == shown.text.count("poly") == 3
    assert hp.cost(runs).text.startswith("runs: 24; settings: 6; different seeds: 4")


def test_the_explorer_offers_what_varies_and_what_it_gave(runs, monkeypatch):
    monkeypatch.setenv("HPLAB_STATIC", "1")

    made = hp.explore(runs)

    assert made.choices == {
        "x": ["depth", "kernel"],
        "y": ["r2", "rmse", "train_s"],
        "by": [explorer.NO_GROUPS, "depth", "kernel"],
    }
    assert made.draw("depth", "rmse", "kernel").caption
    assert hp.explore(runs, pick="kernel", x="depth", y="rmse").draw("rbf").caption


@pytest.mark.parametrize(
    ("name", "side"),
    [
        *[("val_acc", 1), ("val_loss", -1), ("rmse", -1), ("test/rmse", -1), ("r2", 1)],
        *[("r2_score", 1), ("f1", 1), ("neg_mean_squared_error", 1), ("loss", -1), ("auc", 1)],
        *[("brier_score", -1), ("score", 0), ("acc_gap", 0), ("loss_gap", 0), ("sharpness", 0)],
        *[("", 0), ("2", 0), ("train_s", 0)],
    ],
)
def test_which_side_is_better_is_told_by_the_name(name, side):
    assert labels.better(name) == side


@pytest.mark.parametrize(("loss", "unit"), [(None, ""), ("mse", ""), ("cross_entropy", "nats")])
def test_a_loss_of_a_function_is_in_nats_only_where_that_is_said(store, loss, unit):
    def train(loss, seed):
        return {"val_loss": 1.0 + seed}

    def bare(seed):
        return {"val_loss": 1.0 + seed}

    given = {} if loss is None else {"loss": [loss]}
    made = hp.sweep(bare if loss is None else train, seed=range(2), store=store, jobs=1, **given)

    assert labels.unit("val_loss", labels.loss(made)) == unit


def test_a_result_with_the_name_of_a_hyperparameter_is_a_result(store):
    """Of a trial "loss" and "model" are settings; here they are what came out."""

    def train(lr, seed):
        return {"loss": lr * (1 + 0.01 * seed), "model": 3.0 + seed}

    made = hp.sweep(train, lr=[1.0, 2.0], seed=range(3), store=store, jobs=1)

    figure = hp.plots.axis(made, y="loss")
    assert "no means" not in figure.caption
    assert "at learning rate 1" in figure.caption
    assert labels.context(made) == ""


def boosted(depth, seed):
    """A share that rises with depth, an epoch at a time."""
    rng = np.random.default_rng(seed)
    for epoch in range(1, 6):
        yield {"val_acc": 0.5 + 0.05 * depth + 0.02 * epoch + 0.001 * rng.normal()}


@pytest.mark.parametrize(
    ("quantity", "first", "outcome"),
    [
        ("val_acc", 4, "supported"),
        ("val_acc", 2, "contradicted"),
        ({"metric": "val_acc", "epochs_to": 0.71}, 2, "supported"),  # later, so more epochs
    ],
)
def test_a_verdict_on_a_function_is_one_on_its_seeds(store, quantity, first, outcome):
    made = hp.sweep(boosted, depth=[2, 4], seed=range(6), store=store, jobs=1)
    margin = {"value": 1, "unit": "epochs" if isinstance(quantity, dict) else "pp"}
    asked = {"first": {"depth": first}, "second": {"depth": 6 - first}, "margin": margin}
    test = registry.read({"type": "direction", "quantity": quantity, **asked}, "a test")
    report = Report("000", "none", {}, {}, "", False, (), "")
    words = {
        "study": "own",
        "section": "",
        "says": "",
        "rule": "",
        "own_verdict": "",
        "own_why": "",
    }
    sizes = {"seeds": 6, "min_seeds": 3, "max_diverged_share": 0.5, "alpha": 0.05}
    claim = Claim(id="S0-99", report=report, test=test, primary=False, **words, **sizes)

    def curves(runs):
        return hp.curves(runs, store=store)

    found = judging.evaluate(claim, made, curves)
    verdict = judging.judge(claim, {claim.id: found}, None, made)

    assert verdict.outcome == outcome
    assert f"depth {first}" in verdict.reason
    assert verdict.finding.sample.n == 6


def test_a_claim_that_leaves_a_setting_open_is_told_which(store):
    def train(depth, kernel, seed):
        return {"val_acc": 0.1 * depth}

    made = hp.sweep(train, depth=[2, 4], kernel=["a", "b"], seed=range(3), store=store, jobs=1)
    arms = [{"depth": 2}, {"depth": 4}]
    claim = SimpleNamespace(report=SimpleNamespace(fixed={}, setting={}), seeds=3, min_seeds=3)

    with pytest.raises(HplabError, match="they differ in kernel; choose one"):
        samples.sample(made, arms, claim)


def test_a_number_called_precision_is_no_number_format(store):
    made = hp.sweep(
        lambda x: {"precision": 0.5 + x}, version="1", x=[0.1, 0.2], store=store, jobs=1
    )

    assert len(samples.in_single_precision(made)) == 2
