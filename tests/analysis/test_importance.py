"""Importance: closed forms on grids, known shares of a forest, and what too few runs say."""

import itertools
import time

import numpy as np
import pandas as pd
import pytest

from hplab.analysis import importance as im
from hplab.analysis.importance import importance

A, B = np.array([-1.0, 0.0, 1.0]), np.array([-3.0, 1.0, 1.0, 1.0])
AB = np.outer([1.0, 0.0, -1.0], [0.0, 1.0, -1.0, 0.0])


def grid(mean, n_seeds=1, noise=0.0, common=0.0, seed=0):
    """One row a cell and seed of a grid of means; a seed may move all cells alike."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(0, common, n_seeds)
    rows = []
    for cell in itertools.product(*map(range, mean.shape)):
        for s in range(n_seeds):
            y = mean[cell] + shared[s] + rng.normal(0, noise)
            rows.append({**dict(zip("abc", cell, strict=False)), "seed": s, "y": y})
    return pd.DataFrame(rows)


def shares(found):
    return {one.names: one.share for one in found.shares}


def test_known_effects_have_exactly_their_shares_of_the_variance():
    mean = 2 * A[:, None] + B + 3 * AB
    runs = grid(mean, n_seeds=2).assign(y=lambda t: t["y"] + 0.5 * np.where(t["seed"], 1, -1))
    found = importance(runs.assign(seed=range(len(runs))), "y", ["a", "b"])
    square = 2 * 0.25  # the variance of two runs that are half a unit from their mean
    noise = square / 2 / mean.size  # which each degree of freedom has by chance
    signal = {
        ("a",): 4 * A.var() - 2 * noise,
        ("b",): B.var() - 3 * noise,
        ("a", "b"): 9 * (AB**2).mean() - 6 * noise,
    }
    total = sum(signal.values()) + square
    assert found.method == im.ANOVA
    assert {who: one.estimate for who, one in shares(found).items()} == pytest.approx(
        {who: one / total for who, one in signal.items()}
    )
    assert found.luck.estimate == pytest.approx(square / total)
    assert sum(one.estimate for one in shares(found).values()) + found.luck.estimate == (
        pytest.approx(1)
    )


def test_without_scatter_shares_are_those_of_the_means_and_have_no_width():
    found = importance(grid(2 * A[:, None] + B + 3 * AB, n_seeds=2), "y", ["a", "b"])
    parts = {("a",): 4 * A.var(), ("b",): B.var(), ("a", "b"): 9 * (AB**2).mean()}
    for who, one in shares(found).items():
        expected = parts[who] / sum(parts.values())
        assert (one.low, one.estimate, one.high) == pytest.approx((expected,) * 3)
    assert found.luck.estimate == 0


@pytest.mark.parametrize("noise", [1e-16, 1e-9, 1e-5])
def test_hardly_any_scatter_is_no_fault(noise):
    found = shares(importance(grid(A[:, None] + B, n_seeds=3, noise=noise), "y", ["a", "b"]))
    assert found["a",].estimate == pytest.approx(A.var() / (A.var() + B.var()), rel=1e-3)
    assert found["a",].low <= found["a",].estimate <= found["a",].high


def test_interactions_of_three_are_one_share():
    mean = A[:, None, None] + np.multiply.outer(AB, [1.0, -1.0])
    found = shares(importance(grid(mean, n_seeds=2), "y", ["a", "b", "c"]))
    total = A.var() + (AB**2).mean()
    assert found["a",].estimate == pytest.approx(A.var() / total)
    assert found[()].estimate == pytest.approx((AB**2).mean() / total)
    others = {who: one.estimate for who, one in found.items() if who not in (("a",), ())}
    assert len(others) == 5
    assert max(others.values()) == pytest.approx(0, abs=1e-12)


def test_the_unit_of_the_metric_and_the_order_of_rows_do_not_matter():
    runs = grid(A[:, None] + B, n_seeds=3, noise=1.0)
    first = shares(importance(runs, "y", ["a", "b"]))
    moved = runs.assign(y=7 - 100 * runs["y"]).sample(frac=1, random_state=1)
    for who, one in shares(importance(moved, "y", ["a", "b"])).items():
        found = (one.low, one.estimate, one.high)
        assert found == pytest.approx(
            (first[who].low, first[who].estimate, first[who].high), abs=1e-6
        )


@pytest.mark.parametrize("common", [0.0, 2.0])
@pytest.mark.parametrize("n_seeds", [1, 4])
def test_intervals_hold_what_they_say(common, n_seeds):
    """Of 60 experiments at most 9 may miss (5 % are 3; more than 9 has a chance of 0.1 %)."""
    mean = 0.6 * A[:, None] + 0.3 * B
    luck = 1 + common**2 * (n_seeds > 1)  # with one seed it moves the whole grid
    total = mean.var() + luck
    true = {("a",): 0.36 * A.var() / total, ("b",): 0.09 * B.var() / total, ("a", "b"): 0.0}
    missed = dict.fromkeys([*true, "luck"], 0)
    for seed in range(60):
        found = importance(grid(mean, n_seeds, 1.0, common, seed), "y", ["a", "b"])
        for who, one in shares(found).items():
            missed[who] += not one.low <= true[who] <= one.high
        missed["luck"] += not found.luck.low <= luck / total <= found.luck.high
    assert max(missed.values()) <= 9
    assert found.pooled == (n_seeds == 1)


def test_a_useless_hyperparameter_has_an_interval_that_covers_zero():
    found = shares(importance(grid(A[:, None] + 0 * B, n_seeds=5, noise=0.3), "y", ["a", "b"]))
    assert found["b",].low == 0 < found["b",].high
    assert found["a",].low > 0.5


def test_seeds_that_move_everything_alike_hide_no_effect():
    """Their luck counts as luck, and the comparison is made seed by seed."""
    found = importance(
        grid(0.5 * A[:, None] + 0 * B, n_seeds=5, noise=0.1, common=3.0), "y", ["a", "b"]
    )
    assert shares(found)["a",].low > 0
    assert found.luck.estimate > 0.9


def test_settings_weigh_the_same_however_many_seeds_they_have():
    even = grid(A[:, None] + B, n_seeds=2)
    uneven = pd.concat([even, even[even["a"] == 2].assign(seed=5)])
    assert shares(importance(uneven, "y", ["a", "b"]))["a",].estimate == pytest.approx(
        A.var() / (A.var() + B.var())
    )


def test_diverged_runs_are_left_out_and_censored_settings_whole():
    runs = grid(A[:, None] + B, n_seeds=3, noise=0.1).assign(status="ok")
    lost = runs.copy()
    lost.loc[0, ["y", "status"]] = [np.nan, "diverged"]
    found = importance(lost, "y", ["a", "b"])
    assert (found.method, found.n_runs, found.n_censored) == (im.ANOVA, 35, 0)
    lost.loc[0, "status"] = "stopped"  # its two other runs are the better ones
    found = importance(lost, "y", ["a", "b"])
    assert (found.n_settings, found.n_runs, found.n_censored) == (11, 33, 1)
    assert "(by a random forest) needs 20 settings" in found.why


def test_columns_that_go_together_are_one():
    runs = grid(A[:, None] + B, n_seeds=2)
    runs["name"] = runs["a"].map({0: "sgd", 1: "adam", 2: None})
    found = importance(runs, "y", ["a", "name", "b"])
    assert found.alike == {"a": ("name",)}
    assert ("name",) not in shares(found)


def test_an_argument_that_one_optimizer_has_follows_from_it():
    runs = grid(A[:, None] + B, n_seeds=2)
    runs["name"] = runs["a"].map({0: "sgd", 1: "adam", 2: "rmsprop"})
    runs["beta1"] = np.where(runs["name"] == "adam", 0.9, np.nan)
    found = importance(runs, "y", ["beta1", "name", "b"])
    assert found.alike == {"name": ("beta1",)}
    assert shares(found)["name",] == shares(importance(runs, "y", ["a", "b"]))["a",]


@pytest.mark.parametrize(
    ("runs", "why"),
    [
        (grid(A, n_seeds=1), "each value was run once"),
        (grid(0 * A, n_seeds=1).assign(a=1), "no hyperparameter varies"),
        (grid(0 * A, n_seeds=2), "the same in every setting"),
        (
            grid(A[:, None] + B, n_seeds=2).iloc[2:],
            "11 settings are not all combinations of 2 hyper",
        ),
        (grid(A, n_seeds=2).assign(y=np.nan), "no run has a value of y"),
    ],
)
def test_too_few_runs_say_so(runs, why):
    found = importance(runs, "y", [name for name in "abc" if name in runs])
    assert why in found.why
    assert (found.method, found.shares, found.luck) == ("", (), None)


def search(n, k, noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.uniform(size=(n, k))
    y = 3 * x[:, 0] + 1.5 * (x[:, 1] > 0.5) + rng.normal(0, noise, n)
    return pd.DataFrame(x, columns=[f"p{i}" for i in range(k)]).assign(y=y, seed=0)


def test_a_forest_finds_the_shares_of_a_search_in_five_seconds():
    """9/12 and 2.25/4 of the variance, and what is left is scatter."""
    runs = search(1000, 10, noise=0.3)
    runs["p2"] = np.where(runs["p2"] > 0.5, "on", None)
    start = time.process_time()
    found = importance(runs, "y", [f"p{i}" for i in range(10)])
    assert time.process_time() - start < 5
    total = 9 / 12 + 2.25 / 4 + 0.09
    got = shares(found)
    assert found.method == im.FOREST
    assert [one.names[0] for one in found.shares[:2]] == ["p0", "p1"]
    assert got["p0",].estimate == pytest.approx(9 / 12 / total, abs=0.05)
    assert got["p1",].estimate == pytest.approx(2.25 / 4 / total, abs=0.05)
    assert found.explained == pytest.approx(1 - 0.09 / total, abs=0.05)
    useless = [got[f"p{i}",] for i in range(2, 10)]
    assert sum(one.low > 0 for one in useless) <= 1
    assert max(one.high for one in useless) < 0.02


def test_a_forest_is_seeded():
    runs = search(40, 2)
    assert importance(runs, "y", ["p0", "p1"]) == importance(runs, "y", ["p0", "p1"])
    assert importance(runs, "y", ["p0", "p1"], seed=1) != importance(runs, "y", ["p0", "p1"])


def test_seeds_of_a_setting_are_never_learned_from_and_asked_about():
    """A forest that saw one seed of a setting would know the others."""
    rng = np.random.default_rng(0)
    luck = pd.DataFrame({"p0": rng.uniform(size=60), "p1": rng.uniform(size=60)})
    luck["y"] = rng.normal(size=60)
    runs = pd.concat([luck.assign(seed=s) for s in range(5)])
    found = importance(runs, "y", ["p0", "p1"])
    assert "no better than their mean" in found.why
    assert found.n_settings == 60


def test_the_luck_of_a_search_is_told_by_its_seeds():
    settings = search(60, 2)
    rng = np.random.default_rng(1)
    runs = pd.concat(
        [settings.assign(seed=s, y=settings["y"] + rng.normal(0, 1, 60)) for s in range(4)]
    )
    found = importance(runs, "y", ["p0", "p1"])
    signal = settings["y"].var()
    assert found.luck.estimate == pytest.approx(1 / (1 + signal), abs=0.1)
    assert found.luck.low < 1 / (1 + signal) < found.luck.high
