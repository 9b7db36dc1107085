"""The panels of a sweep: importance, parallel coordinates, scatter; settings, never single runs."""

import re

import numpy as np
import pandas as pd
import pytest
from synthetic_runs import make_runs

import hplab as hp
from hplab.errors import HplabError
from hplab.pages.figures import cells
from hplab.sweeps.table import settings_text

EVIL = "<script>alert(1)</script>$\\bad{$ $"


@pytest.fixture
def grid():
    """Three rates by two batch sizes, four seeds each; the largest rate lost two of its seeds."""
    parts = [
        make_runs((1e-4, 1e-3, 1e-2), 4, batch_size=size, n_diverged=2 * (size == 32))
        for size in (32, 64)
    ]
    return pd.concat(parts, ignore_index=True)


@pytest.fixture
def search():
    """60 settings of one run each; the first ten were stopped."""
    rng = np.random.default_rng(0)
    runs = pd.DataFrame({"lr": 10 ** rng.uniform(-4, -1, 60), "act": ["relu", EVIL] * 30})
    runs["val_acc"] = 0.9 - 0.02 * (np.log10(runs["lr"]) + 2.5) ** 2
    runs["settings"], runs["seed"], runs["status"] = settings_text(["lr", "act"]), 0, "ok"
    runs.loc[:9, ["status", "val_acc"]] = ["stopped", np.nan]
    return runs


def test_a_setting_is_the_mean_of_its_seeds(grid):
    found = cells.by_setting(grid, "val_acc", "train_s")
    slow = cells.cells(grid, "val_acc", ["lr", "batch_size"])
    both = found.merge(slow, on=["lr", "batch_size"], suffixes=("", "_slow"))
    assert len(both) == len(found) == 6
    for name in ("mean", "low", "high", "n", "n_diverged", "n_stopped"):
        np.testing.assert_allclose(both[name], both[f"{name}_slow"])
    first = grid.iloc[found["rows"][0]]
    assert found["train_s"][0] == pytest.approx(first["train_s"].mean())


def test_a_setting_of_which_a_run_was_stopped_has_no_mean(grid):
    grid.loc[0, ["status", "val_acc"]] = ["stopped", np.nan]
    found = cells.by_setting(grid, "val_acc")
    assert np.isnan(found["mean"][0])
    assert (found["n"][0], found["n_stopped"][0]) == (0, 1)
    assert found["mean"][1:].notna().all()


def test_importance_of_a_grid_is_exact_and_says_so(grid):
    found = hp.plots.importance(grid)
    assert "exact, from a full grid: 22 runs of 6 settings" in found.caption
    largest = found.data.query("kind != 'luck'")["share"].idxmax()
    assert f": that of {found.data['what'][largest]} is " in found.caption
    assert list(found.data["kind"]).count("luck") == 1
    assert found.data["share"].sum() == pytest.approx(100, abs=5)
    assert found.data["what"][0] == "learning rate"
    assert list(found.shown) == ["what", "share (%)", "95 % from", "to"]


def test_importance_of_a_search_is_an_estimate_and_says_so(search):
    found = hp.plots.importance(search)
    assert "what a random forest loses on settings it has not seen" in found.caption
    assert "10 settings of which a run was stopped are left out" in found.caption
    assert "how much is luck is not known" in found.caption
    assert found.data["what"].tolist() == ["learning rate", "act"]


def test_importance_of_too_few_runs_says_that(search):
    found = hp.plots.importance(search.tail(8))
    assert "Too few runs to say what validation accuracy hangs on" in found.text
    assert "8 settings are not all combinations of 2 hyperparameters" in found.text


def test_parallel_names_the_best_of_several_seeds_and_no_lucky_run(grid):
    lucky = grid.iloc[[0]].assign(batch_size=128, val_acc=0.9999)
    found = hp.plots.parallel(pd.concat([grid, lucky], ignore_index=True))
    best = grid[(grid["lr"] == 1e-3)].groupby("batch_size")["val_acc"].mean().max()
    assert f"the best mean of several seeds (orange) is {100 * best:.2f} %" in found.caption
    assert "flattered by luck" in found.caption
    assert "2 of" not in found.alt


def test_parallel_of_a_search_calls_no_run_the_best(search):
    found = hp.plots.parallel(search)
    assert "one run a setting, so none is called the best" in found.caption
    assert "10 without a mean (dotted)" in found.caption
    assert len(found.data) == 60


def test_parallel_keeps_the_best_where_lines_are_thinned():
    rng = np.random.default_rng(0)
    runs = pd.DataFrame({"lr": rng.uniform(size=1500), "val_acc": rng.uniform(size=1500)})
    found = hp.plots.parallel(runs)
    assert "only every 4th of them is drawn" in found.caption
    assert len(found.svg) < 250_000


def test_scatter_draws_settings_with_their_seeds_behind(grid):
    found = hp.plots.scatter(grid, x="train_loss", by="batch_size")
    assert "each mark is a setting, at its mean with its 95 % interval" in found.caption
    assert "n = 2 to 4 seeds a setting, 6 settings" in found.caption
    assert "2 of 24 runs diverged" in found.caption
    assert len(found.data) == 6


def test_scatter_says_that_marks_are_single_runs(search):
    found = hp.plots.scatter(search, by="act")
    assert "each mark is one run, as each setting was run once" in found.caption
    assert "10 runs stopped early" in found.caption
    assert len(found.data) == 50


@pytest.mark.parametrize("draw", [hp.plots.importance, hp.plots.parallel, hp.plots.scatter])
def test_no_runs_no_values_and_wrong_names_are_told(draw, grid):
    assert "Nothing to show yet" in draw(grid.iloc[:0]).text
    assert repr(draw(grid.assign(val_acc=np.nan)))
    with pytest.raises(HplabError, match="val_acc"):
        draw(grid, y="val_ac")


@pytest.mark.parametrize("draw", [hp.plots.importance, hp.plots.parallel, hp.plots.scatter])
def test_names_and_values_are_never_markup(draw, search):
    evil = search.rename(columns={"act": EVIL}).assign(settings=settings_text(["lr", EVIL]))
    named = {"by": EVIL} if draw is hp.plots.scatter else {}
    markup = draw(evil, **named)._repr_mimebundle_()["text/html"]
    markup += draw(search.tail(8))._repr_mimebundle_()["text/html"]
    assert "<script" not in markup
    assert re.search(r"&lt;script&gt;", markup)
    assert (
        "&lt;img" in hp.plots.axis(search.assign(**{"<img>_acc": np.nan}), "lr", "<img>_acc").html
    )
