"""Metrics of runs and curves, each against a closed form."""

import math

import numpy as np
import pandas as pd
import pytest

from hplab.analysis import curve_metrics
from hplab.analysis.claims import phrases, quantities
from hplab.analysis.stats.intervals import Interval


def test_gaps_are_positive_when_validation_is_worse():
    assert curve_metrics.acc_gap(0.9914, 0.9873) == pytest.approx(0.0041)
    assert curve_metrics.loss_gap(0.02794, 0.04378) == pytest.approx(0.01584)


@pytest.mark.parametrize(
    ("curve", "threshold", "epochs"),
    [
        ([0.0, 0.5, 1.0], 0.5, 2.0),  # exactly at an epoch
        ([0.0, 0.5, 1.0], 0.75, 2.5),  # half way between two
        ([0.2, 0.1, 0.6], 0.35, 2.5),  # a dip does not count
        ([0.9, 1.0], 0.5, 1.0),  # at the latest after the first epoch
        ([0.9, math.nan], 0.95, math.inf),  # diverged before it got there
        ([math.nan, 0.8, 0.9], 0.5, 2.0),  # nothing to draw a line from
        ([0.1, 0.2], 0.5, math.inf),
    ],
)
def test_epochs_to_reads_the_first_crossing_off_straight_lines(curve, threshold, epochs):
    assert curve_metrics.epochs_to(curve, threshold) == pytest.approx(epochs)


def test_epochs_to_uses_the_value_before_training_when_it_is_known():
    assert curve_metrics.epochs_to([0.6, 0.9], 0.3, start=0.0) == pytest.approx(0.5)
    assert curve_metrics.epochs_to([0.6, 0.9], 0.3, start=0.4) == 0.0


def test_epochs_to_of_a_curve_without_values_is_nan():
    assert math.isnan(curve_metrics.epochs_to([math.nan, math.nan], 0.5))
    assert math.isnan(curve_metrics.epochs_to([], 0.5))


def test_at_epochs_is_straight_between_epochs_and_refuses_what_was_not_trained():
    assert curve_metrics.at_epochs([1.0, 3.0, 4.0], [1, 1.5, 3]).tolist() == [1.0, 2.0, 4.0]
    with pytest.raises(ValueError, match=r"between 1 and 3, got \[0.5\]"):
        curve_metrics.at_epochs([1.0, 3.0, 4.0], [0.5])


def test_the_last_fifth_of_five_epochs_is_the_last_epoch():
    five = [0.5, 0.3, 0.2, 0.15, 0.12]
    assert curve_metrics.change_over_last(five, 0.2) == pytest.approx(-0.03)
    # Four times as many epochs along the same course change as much over the same share.
    twenty = np.interp(np.arange(1, 21) / 4, np.arange(1, 6), five)
    assert curve_metrics.change_over_last(twenty, 0.2) == pytest.approx(-0.03)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.2])
def test_change_over_last_refuses_a_share_outside_0_and_1(share):
    with pytest.raises(ValueError, match="share must be between 0 and 1"):
        curve_metrics.change_over_last([1.0, 2.0], share)


def test_a_straight_curve_has_no_roughness():
    assert curve_metrics.roughness(np.linspace(3, 1, 30)) == pytest.approx(0, abs=1e-12)


def test_roughness_ignores_a_linear_trend_and_scales_with_the_curve():
    noise = np.random.default_rng(0).normal(size=200)
    trend = np.linspace(0, 50, 200)
    assert curve_metrics.roughness(noise + trend) == pytest.approx(curve_metrics.roughness(noise))
    assert curve_metrics.roughness(3 * noise) == pytest.approx(3 * curve_metrics.roughness(noise))


def test_roughness_of_white_noise_has_its_closed_form():
    """A local line's middle is the mean of the window, so every step is a fixed weighted sum."""
    weights = np.convolve([-0.2, -0.2, 0.8, -0.2, -0.2], [1, -1])
    expected = math.sqrt((weights**2).sum())
    noise = np.random.default_rng(1).normal(size=8_000)
    assert curve_metrics.roughness(noise) == pytest.approx(expected, rel=0.03)


def test_roughness_needs_a_full_window_and_finite_values():
    assert math.isnan(curve_metrics.roughness([1.0, 2.0, 3.0]))
    assert math.isnan(curve_metrics.roughness([1.0, 2.0, math.nan, 3.0, 4.0, 5.0]))
    with pytest.raises(ValueError, match="window must be odd"):
        curve_metrics.roughness(np.zeros(9), window=4)


@pytest.mark.parametrize(
    ("curve", "epoch"), [([3, 1, 2], 2), ([1, 1, 2], 1), ([math.nan, 2, 1, math.nan], 3)]
)
def test_epoch_of_minimum_counts_from_1_and_takes_the_first(curve, epoch):
    assert curve_metrics.epoch_of_minimum(curve) == epoch


def test_epoch_of_minimum_of_a_diverged_curve_is_nan():
    assert math.isnan(curve_metrics.epoch_of_minimum([math.nan, math.nan]))


def test_a_table_is_not_a_curve():
    with pytest.raises(ValueError, match=r"got shape \(2, 3\)"):
        curve_metrics.epoch_of_minimum(np.zeros((2, 3)))


@pytest.mark.parametrize(
    ("quantity", "difference", "ends"),
    [
        ("val_acc", False, (0.0, 100.0)),
        ("val_acc", True, (-100.0, 100.0)),
        ("acc_gap", False, (-100.0, 100.0)),
        ("val_loss", False, (0.0, math.inf)),
        ("val_loss", True, None),  # a loss has no greatest value
        ("loss_gap", False, None),
        ("sharpness", False, None),
        ({"metric": "val_acc", "log": True}, False, None),
        # Nine trained epochs that stand for 300: times from 33.3 to 300, apart by 266.7 at most.
        ({"metric": "val_acc", "epochs_to": 0.5}, False, (100 / 3, 300.0)),
        ({"metric": "val_loss", "epoch_of_minimum": True}, True, (-800 / 3, 800 / 3)),
    ],
)
def test_a_quantity_knows_where_its_scale_ends(quantity, difference, ends):
    rows = pd.DataFrame({"epochs": [9, 9]})
    found = quantities.ends(quantities.parse(quantity), rows, 9 / 300, difference=difference)
    assert found == (pytest.approx(ends) if ends else None)


def test_what_is_shown_of_an_interval_stops_at_the_ends():
    def shown(low, high, ends=(0.0, 100.0)):
        return phrases.span(Interval(50.0, low, high, 0.95, 3, ends=ends), "%")

    assert shown(10, 90) == "10.00 to 90.00"
    assert shown(10, 116.5) == "10.00 to 100.00, where the scale ends"
    assert shown(-5, 90) == "0.00, where the scale ends, to 90.00"
    assert shown(-5, 116.5) == "0.00 to 100.00, the whole scale"
    assert shown(-5, 116.5, ends=None) == "\N{MINUS SIGN}5.00 to 116.50"
    assert Interval(1.0, 0.0, 2.0, 0.95, 3, ends=(0.0, 3.0)).scaled(-100).ends == (-300.0, 0.0)
