"""Heat maps, schedules and layers as figures: what they say is what the tables hold."""

import itertools

import numpy as np
import pandas as pd
import pytest

import hplab as hp
from hplab.pages.figures.heatmap import heatmap, interaction
from hplab.training.schedules import lr_at
from hplab.trial import HplabError, Trial, grid


def cells(means):
    pairs = itertools.product(("a", "b"), ("c", "d"))
    return pd.DataFrame(
        [(y, x, m) for (y, x), m in zip(pairs, means, strict=True)], columns=["y", "x", "mean"]
    )


@pytest.mark.parametrize(
    ("means", "share"),
    [([0, 1, 10, 11], 0.0), ([1, 0, 0, 1], 1.0), ([0, 0, 0, 4], 1 / 3), ([3, 3, 3, 3], np.nan)],
)
def test_interaction_is_what_rows_and_columns_do_not_add_up_to(means, share):
    assert interaction(cells(means), "x", "y") == pytest.approx(share, nan_ok=True)


def test_a_missing_cell_leaves_the_interaction_open():
    assert np.isnan(interaction(cells([0, 1, 2, 3]).iloc[:3], "x", "y"))


def runs():
    rows = [
        {
            "lr": lr,
            "weight_decay": wd,
            "seed": seed,
            "status": "ok",
            "loss": "cross_entropy",
            "val_acc": 0.5 + lr + 10 * wd + 0.001 * seed,
            "data": "digits",
        }
        for lr in (0.01, 0.1)
        for wd in (0.0, 0.01)
        for seed in range(3)
    ]
    return pd.DataFrame(rows)


def test_the_best_cell_is_named_and_its_mean_written():
    figure = heatmap(runs(), x="lr", y="weight_decay")

    assert "the best (framed) is" in figure.caption
    assert "at learning rate 0.1 and weight decay 0.01" in figure.caption
    assert "0 % of the variation between the cells is interaction" in figure.caption
    texts = {t.get_text() for t in figure.figure.axes[0].texts}
    assert texts == {"51.10", "60.10", "61.10", "70.10"}
    assert "<svg" in figure.html


def test_a_heat_map_of_nothing_is_a_note():
    assert "none of these trials is recorded" in repr(heatmap(pd.DataFrame(), x="lr", y="epochs"))


def test_the_schedule_that_is_drawn_is_the_one_that_trains():
    base = Trial(data="mnist", lr=0.2, epochs=10)
    trials = grid(base, schedule=["constant", "cosine", "one_cycle"], seed=range(2))

    figure = hp.plots.schedules(trials)

    drawn = figure.data[figure.data["schedule"] == "cosine"]["lr"].tolist()
    assert drawn == [lr_at(trials[2], step, n_steps=400) for step in range(400)]
    assert len(figure.data) == 3 * 400
    assert hp.plots.schedules(trials[0]).data["schedule"].nunique() == 1


def profiles():
    rows = [
        {
            "activation": act,
            "seed": seed,
            "layer": layer,
            "data": "digits",
            "gradient_start": 10.0 ** (-layer * (act == "sigmoid")),
            "dead_end": 0.25,
        }
        for act in ("relu", "sigmoid")
        for seed in range(2)
        for layer in (1, 2, 3)
    ]
    return pd.DataFrame(rows)


def test_layers_are_drawn_by_their_median():
    figure = hp.plots.layers(profiles())
    assert ">10<tspan" in figure.svg  # powers as text
    assert "$" not in figure.svg  # and no mathtext

    sigmoid = figure.data[figure.data["activation"] == "sigmoid"]
    assert sigmoid["gradient_start"].tolist() == pytest.approx([0.1, 0.01, 0.001])
    assert "sigmoid from 0.1 to 0.001" in figure.alt


def test_a_wrong_quantity_is_named():
    with pytest.raises(HplabError, match="y is signal, gradient or dead"):
        hp.plots.layers(profiles(), y="grad")
