"""Exact tests and intervals of shares: never wrong too often, and one follows from the other."""

import numpy as np
import pytest
from scipy import stats as scipy_stats

from hplab.analysis.stats import proportions


@pytest.mark.parametrize("n", [5, 40])
@pytest.mark.parametrize("margin", [0.0, 0.15])
def test_the_exact_test_of_two_shares_never_errs_too_often(n, margin):
    """All tables, at shares that differ by just the margin and lie between those it looks at."""
    tables = [(i, j) for i in range(n + 1) for j in range(n + 1)]
    found = [proportions.excess(*table, n, margin=margin) for table in tables]
    for second in np.linspace(0, 1 - margin, 37):
        chance = scipy_stats.binom.pmf(range(n + 1), n, second)
        first = scipy_stats.binom.pmf(range(n + 1), n, second + margin)
        weights = np.array([first[i] * chance[j] for i, j in tables])
        for name in ("p_for", "p_against"):
            decided = np.array([getattr(one, name) < 0.05 for one in found])
            assert weights[decided].sum() < 0.0251, (second, name)


def test_the_interval_of_two_shares_holds_the_margins_that_are_not_refuted():
    interval = proportions.proportion_difference(12, 4, 40)
    inside = proportions.excess(12, 4, 40, margin=interval.low + 2e-4)
    below = proportions.excess(12, 4, 40, margin=interval.low - 2e-4)
    assert below.p_for < 0.05 < inside.p_for
    above = proportions.excess(12, 4, 40, margin=interval.high + 2e-4)
    assert above.p_against < 0.05
    turned = proportions.proportion_difference(4, 12, 40)
    assert (turned.low, turned.high) == pytest.approx((-interval.high, -interval.low), abs=1e-3)


def test_without_a_margin_the_exact_test_is_near_barnards():
    table = [[9, 2], [11, 18]]
    expected = scipy_stats.barnard_exact(table, n=64).pvalue
    assert proportions.excess(9, 2, 20).p == pytest.approx(expected, rel=0.05)
    assert proportions.excess(3, 3, 20).p > 0.9


@pytest.mark.parametrize(("count", "n", "share"), [(30, 40, 0.5), (2, 20, 0.2), (0, 10, 0.1)])
def test_a_share_is_above_a_bound_where_its_exact_interval_is(count, n, share):
    found = proportions.above(count, n, share)
    for level, p in ((0.95, 0.05), (0.5, 0.5)):
        interval = proportions.proportion_interval(count, n, level=level, method="exact")
        assert (interval.low > share) == (found.p_for < p)
        assert (interval.high < share) == (found.p_against < p)
