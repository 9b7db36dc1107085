"""Figures of the sharpness study: what they show is what the tables hold."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from hplab.analysis.claims import published
from hplab.analysis.stats import intervals
from hplab.pages.figures import sharpness as plots
from hplab.pages.figures.figure import Figure
from hplab.pages.notebooks import headlines
from hplab.trial import HplabError


def along(losses, rises, **columns):
    """One run's curve: training loss and sharpness, epoch by epoch."""
    epochs = range(1, len(losses) + 1)
    table = pd.DataFrame({"epoch": epochs, "train_loss": losses, "sharpness_path": rises})
    return table.assign(seed=0, status="ok", data="digits", **columns)


@pytest.fixture
def two_sizes():
    small = along([2.0, 1.0, 0.5], [0.1, 0.4, 0.8], key="a", batch_size=32)
    large = along([2.1, 1.6], [0.1, 0.2], key="b", batch_size=512)
    return pd.concat([small, large], ignore_index=True)


def lines(figure):
    return [line for line in figure.figure.axes[0].lines if len(line.get_xdata()) > 1]


def test_a_path_goes_through_every_epoch_and_the_loss_falls_to_the_right(two_sizes):
    found = plots.descent(two_sizes, by="batch_size")

    small, large = lines(found)
    assert list(small.get_xdata()) == [2.0, 1.0, 0.5]
    assert list(large.get_ydata()) == [0.1, 0.2]
    left, right = found.figure.axes[0].get_xlim()
    assert left > right


def test_the_table_of_paths_holds_their_ends(two_sizes):
    shown = plots.descent(two_sizes, by="batch_size").shown

    assert shown.iloc[:, 1].tolist() == ["0.5", "1.6"]
    assert shown.iloc[:, 2].tolist() == ["0.8", "0.2"]
    assert shown["runs"].tolist() == ["1", "1"]


def test_epochs_at_which_nothing_was_measured_are_left_out(two_sizes):
    two_sizes.loc[1, "sharpness_path"] = np.nan

    assert list(lines(plots.descent(two_sizes, by="batch_size"))[0].get_xdata()) == [2.0, 0.5]


def test_no_runs_give_a_note_instead_of_a_figure(two_sizes):
    for made in (plots.descent(two_sizes[:0], by="batch_size"), plots.stability(two_sizes[:0])):
        assert not isinstance(made, Figure)


@pytest.mark.parametrize("x", ["lr", "batch_size"])
def test_the_published_models_are_drawn_one_by_one(x):
    rows = [row for row in plots._rows() if row["sweep"] == x]
    data = plots.published_sharpness(x=x).data

    assert sorted(data["sharpness"]) == sorted(value for row in rows for value in row["models"])
    assert set(data["who"]) == {"report"}


def test_the_interval_over_models_is_that_of_a_t_distribution():
    row = next(row for row in plots._rows() if row["sweep"] == "lr")
    shown = plots.published_sharpness().shown.iloc[0]

    half = stats.t.ppf(0.975, 5) * np.std(row["models"], ddof=1) / np.sqrt(6)
    assert shown["over models"] == f"\u00b1 {half:.2g}"
    assert shown["its interval"] == f"\u00b1 {row['halfwidth']:.2g}"


def test_our_runs_stand_beside_the_setting_they_repeat():
    row = next(row for row in plots._rows() if row["sweep"] == "lr" and row["optimizer"] == "sgd")
    ours = pd.DataFrame(
        {"lr": row["lr"], "optimizer": "sgd", "sharpness": [0.5, 0.7], "seed": [0, 1],
         "status": "ok", "data": "cifar10"}
    )  # fmt: skip
    ours.attrs["preset"] = "reduced"
    found = plots.published_sharpness(ours)

    assert found.shown["ours"].tolist().count("0.6") == 1
    assert found.shown["ours"].tolist().count("") == len(found.shown) - 1
    assert sorted(found.data[found.data["who"] == "ours"]["sharpness"]) == [0.5, 0.7]


def test_an_unknown_sweep_is_answered_with_the_two_there_are():
    with pytest.raises(HplabError, match="batch_size"):
        plots.published_sharpness(x="batchsize")


def test_intervals_over_models_are_as_much_wider_as_the_ledger_says():
    """Claim S2-19: in all 38 settings, by a factor 3.2 in the median and by 3 % at least."""
    reported = published.of_report("002")
    over_models = [intervals.mean_interval(models) for models in reported["models"]]
    halves = np.array([(found.high - found.low) / 2 for found in over_models])
    ratios = halves / reported["halfwidth"]

    assert len(ratios) == 38
    assert np.median(ratios) == pytest.approx(3.2, abs=0.05)
    assert min(ratios) == pytest.approx(1.03, abs=0.005)


def test_the_border_of_stability_is_drawn_at_two():
    runs = pd.DataFrame(
        {"lr": [0.01, 0.1], "hessian_top": [30.0, 15.0], "seed": 0, "status": "ok",
         "data": "digits", "key": ["a", "b"]}
    )  # fmt: skip
    found = plots.stability(runs)

    axes = found.figure.axes[0]
    assert any(set(line.get_ydata()) == {2.0} for line in axes.lines)
    assert found.data["mean"].tolist() == pytest.approx([0.3, 1.5])
    assert axes.get_ylim()[1] >= 4


def test_runs_of_which_no_eigenvalue_is_known_give_a_note():
    runs = pd.DataFrame({"lr": [0.1], "hessian_top": [math.nan], "seed": 0, "status": "ok"})

    assert "none has a value of largest eigenvalue" in plots.stability(runs).text


def test_a_sentence_names_loss_and_sharpness_of_the_rates_that_ran():
    runs = pd.DataFrame(
        {"lr": [0.1, 0.1, 0.01], "optimizer": "sgd", "train_loss": [1.0, 2.0, 0.3],
         "sharpness": [0.2, 0.4, 9.0]}
    )  # fmt: skip

    assert headlines.sharpness(runs, [0.1]).startswith("0.3 at a training loss of 1.50")
    assert headlines.sharpness(runs, [0.5]) == "not recorded yet"
    assert headlines.sharpness(runs, [0.1], optimizer="adagrad") == "not recorded yet"
