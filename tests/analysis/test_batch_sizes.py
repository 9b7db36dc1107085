"""Steps to a target are read off the curves, and each batch size gets its own best rate."""

import math

import pandas as pd

from hplab.analysis import batch_sizes


def table():
    rows = [
        {"key": f"{b}-{lr}-{s}", "batch_size": b, "lr": lr, "seed": s, "steps_per_epoch": 64 // b}
        for b in (8, 16)
        for lr in (0.1, 0.2)
        for s in (0, 1)
    ]
    return pd.DataFrame(rows)


def curves(reached):
    """Curves that climb by a tenth an epoch and reach 0.5 after so many epochs (0: never)."""
    rows = []
    for key, epoch in reached.items():
        for e in range(1, 7):
            rows.append(
                {"key": key, "epoch": e, "val_acc": 0.5 + 0.1 * (e - epoch) if epoch else 0}
            )
    return pd.DataFrame(rows)


def test_steps_and_examples_follow_from_the_epoch():
    runs = table()
    found = batch_sizes.to_target(runs, curves(dict.fromkeys(runs["key"], 4)), 0.5)

    assert found["steps_to_target"].tolist() == [32] * 4 + [16] * 4
    assert found["examples_to_target"].tolist() == [256] * 8


def test_who_never_gets_there_needs_infinitely_many():
    runs = table()[:2]
    found = batch_sizes.to_target(runs, curves({runs["key"][0]: 4, runs["key"][1]: 0}), 0.5)

    assert found["steps_to_target"].tolist() == [32, math.inf]


def test_the_best_rate_is_chosen_for_each_batch_size_by_its_mean():
    runs = table().assign(y=[1, 9, 4, 4, 7, 8, 9, math.inf])
    best = batch_sizes.tuned(runs, "y", by="batch_size", over=["lr"])

    assert [(r.batch_size, r.lr) for r in best.itertuples()] == [(8, 0.2)] * 2 + [(16, 0.1)] * 2


def test_a_rate_at_which_most_seeds_diverge_is_not_the_best():
    """A diverged run has no "steps_per_epoch" and no curve; the one that is left is fast."""
    runs = pd.DataFrame(
        {"key": f"{lr}-{s}", "batch_size": 8, "lr": lr, "seed": s, "steps_per_epoch": 8.0}
        for lr in (0.01, 0.3)
        for s in range(4)
    )
    diverged = (runs["lr"] == 0.3) & (runs["seed"] > 0)
    runs.loc[diverged, "steps_per_epoch"] = math.nan
    speed = {key: 2 if key.startswith("0.3") else 4 for key in runs["key"][~diverged]}
    reached = batch_sizes.to_target(runs, curves(speed), 0.5)
    assert reached["steps_to_target"][diverged].tolist() == [math.inf] * 3

    for name in ("steps_to_target", "missing"):
        table = reached.assign(missing=reached["steps_to_target"].where(~diverged))
        best = batch_sizes.tuned(table, name, by="batch_size", over=["lr"])
        assert best["lr"].tolist() == [0.01] * 4


def test_a_batch_size_that_never_gets_there_is_left_out():
    runs = table().assign(y=[1, 2, 3, 4, math.inf, 1, 1, math.inf])
    best = batch_sizes.tuned(runs, "y", by="batch_size", over=["lr"])

    assert best["batch_size"].unique().tolist() == [8]
    assert batch_sizes.tuned(runs[:0], "y", by="batch_size", over=["lr"]).empty


def test_who_is_there_after_one_epoch_may_have_been_there_before():
    runs = table()[:3]
    reached = curves(dict(zip(runs["key"], (1, 2, 0), strict=True)))
    found = batch_sizes.to_target(runs, reached, 0.5)

    assert found["at_most"].tolist() == [True, False, False]
    assert found["examples_to_target"].tolist() == [64, 128, math.inf]  # 64 are the whole epoch


def test_all_rates_that_are_first_are_named():
    runs = table().assign(y=[2, 4, 4, 2, 7, 8, 9, math.inf])
    first = batch_sizes.first_there(runs, "y", by="batch_size", over="lr")

    assert first == {8: [0.1, 0.2], 16: [0.1]}
    never = runs.assign(y=math.inf)
    assert batch_sizes.first_there(never, "y", by="batch_size", over="lr") == {}
