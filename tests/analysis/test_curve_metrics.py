"""Runs that ought to be the same are held against each other, seed by seed."""

import math

import pandas as pd
import pytest

from hplab.analysis.curve_metrics import largest_difference


def curves(second=(1.0, 0.5)):
    rows = [
        {"seed": seed, "epoch": epoch, "loss": loss, "train_loss": value, "val_loss": 2.0}
        for seed in (0, 1)
        for loss, values in (("a", (1.0, 0.5)), ("b", second))
        for epoch, value in enumerate(values, 1)
    ]
    return pd.DataFrame(rows)


def test_equal_curves_are_not_apart():
    assert largest_difference(curves(), "loss") == 0


def test_one_number_that_differs_is_found():
    assert largest_difference(curves((1.0, 0.25)), "loss") == 0.25


def test_order_of_the_rows_does_not_matter():
    shuffled = curves((1.0, 0.25)).sample(frac=1, random_state=0)

    assert largest_difference(shuffled, "loss") == 0.25


@pytest.mark.parametrize("table", [pd.DataFrame(), curves().query("loss == 'a'")])
def test_without_two_settings_there_is_nothing_to_say(table):
    assert math.isnan(largest_difference(table, "loss"))


def test_without_a_common_seed_there_is_nothing_to_say():
    table = curves().query("(loss == 'a') == (seed == 0)")

    assert math.isnan(largest_difference(table, "loss"))
