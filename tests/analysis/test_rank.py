"""Statistics of order: they see nothing but order, and count what may be counted by hand."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from hplab.analysis.stats import intervals, rank


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


# ------------------------------------------------------------------------------- two samples


def test_the_chance_of_winning_is_covered():
    rng = np.random.default_rng(20261122)
    truth = norm.cdf(1 / math.sqrt(2))
    pairs = zip(rng.normal(1, 1, (9000, 20)), rng.normal(0, 1, (9000, 20)), strict=True)
    assert 0.94 < np.mean([truth in rank.superiority(a, b) for a, b in pairs]) < 0.96


def test_the_chance_of_winning_counts_pairs_and_halves_ties():
    """Of nine pairs six are won and one is a tie."""
    a, b = [1, 2, 3], [2, 0, 1.5]
    found, turned = rank.superiority(a, b), rank.superiority(b, a)
    assert found.estimate == pytest.approx(6.5 / 9)
    assert (turned.low, turned.high) == pytest.approx((1 - found.high, 1 - found.low))
    assert rank.superiority(np.exp(a), np.exp(b)) == found
    assert rank.superiority([3, 4], [1, 2]).low == 1


def test_kendalls_correlation_counts_pairs_in_order():
    """The slow version, with ties: pairs in the same order less pairs in the other."""
    x, y = np.random.default_rng(0).integers(0, 6, size=(2, 5, 9))
    for a, b, found in zip(x, y, intervals.kendall(x, y), strict=True):
        pairs = list(itertools.combinations(range(9), 2))
        same = [np.sign(a[i] - a[j]) * np.sign(b[i] - b[j]) for i, j in pairs]
        untied = [sum(one[i] != one[j] for i, j in pairs) for one in (a, b)]
        assert found == pytest.approx(sum(same) / math.sqrt(math.prod(untied)))
