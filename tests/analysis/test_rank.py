"""Granulated correlation sees what one hyperparameter does when the others stand still."""

import math

import pandas as pd
import pytest

from hplab.analysis.stats import rank


def table(y):
    """Two rates and three sizes; x rises with both."""
    rows = [(lr, size, 10 * lr + size, y(lr, size)) for lr in (1, 2) for size in (1, 2, 3)]
    return pd.DataFrame(rows, columns=["lr", "size", "x", "y"]).assign(seed=0)


def test_a_quantity_agrees_with_itself_and_opposes_its_negative():
    same = rank.granulated(table(lambda lr, size: 10 * lr + size), "x", "y", ["lr", "size"])
    opposed = rank.granulated(table(lambda lr, size: -lr - size), "x", "y", ["lr", "size"])

    assert list(same.values()) == pytest.approx([1.0] * 4)
    assert [opposed[name] for name in ("lr", "size", "all axes")] == pytest.approx([-1.0] * 3)


def test_a_correlation_that_one_hyperparameter_makes_is_not_one_of_the_others():
    found = rank.granulated(table(lambda lr, size: 10 * lr - size), "x", "y", ["lr", "size"])

    assert found["lr"] == pytest.approx(1.0)
    assert found["size"] == pytest.approx(-1.0)
    assert found["all axes"] == pytest.approx(0.0)
    assert found["together"] == pytest.approx((9 - 6) / 15)


def test_an_axis_that_does_not_vary_says_nothing():
    flat = table(lambda lr, size: size).query("lr == 1")

    found = rank.granulated(flat, "x", "y", ["lr", "size"])

    assert math.isnan(found["lr"])
    assert found["size"] == found["all axes"] == pytest.approx(1.0)
