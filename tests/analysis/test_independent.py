"""Contrasts of unpaired runs: Welch's test by scipy, and closed forms."""

import numpy as np
import pytest
from scipy import stats

from hplab.analysis.stats import evidence, independent, intervals
from hplab.analysis.stats.independent import contrast
from hplab.analysis.stats.rank import superiority

RNG = np.random.default_rng(3)
A, B, C = RNG.normal(1.0, 1.0, 7), RNG.normal(0.2, 3.0, 12), RNG.normal(0.0, 0.5, 5)


def test_a_difference_is_welchs_test():
    found, theirs = contrast([A, B], [1, -1]), stats.ttest_ind(A, B, equal_var=False)
    assert found.df == pytest.approx(theirs.df)
    assert 2 * min(found.beyond().p_for, found.beyond().p_against) / 2 == pytest.approx(
        theirs.pvalue
    )
    interval, expected = found.interval(), theirs.confidence_interval()
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))


def test_a_margin_moves_the_values():
    shifted = contrast([A - 0.7, B], [1, -1]).beyond()
    found = contrast([A, B], [1, -1]).beyond(0.7)
    assert (found.p_for, found.p_against) == pytest.approx((shifted.p_for, shifted.p_against))


def test_supported_is_an_interval_beyond_the_margin():
    found = contrast([A, C], [1, -1])
    low = found.interval().low
    assert evidence.three_way(found.beyond(low - 1e-6)) == "supported"
    assert evidence.three_way(found.beyond(low + 1e-6)) == "inconclusive"


def test_the_same_is_an_interval_inside_the_margin():
    found = contrast([A, C], [1, -1])
    ends = found.interval()
    reach = max(abs(ends.low), abs(ends.high))
    assert evidence.three_way(found.within(reach + 1e-6)) == "supported"
    assert evidence.three_way(found.within(reach - 1e-6)) == "inconclusive"
    assert found.within(0.0).p_for == 1.0
    with pytest.raises(ValueError, match="negative"):
        found.within(-1.0)


def test_one_group_is_the_t_test_of_its_mean():
    found, theirs = contrast([A], [1]).interval(), intervals.mean_interval(A)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high))


def test_a_difference_of_differences_needs_no_detour():
    """Taking both away in one go is the same as one after the other."""
    at_once = contrast([A, B, C], [1, -0.5, -0.5])
    in_turn = contrast([A], [1]).minus(contrast([B, C], [0.5, 0.5]))
    assert (in_turn.estimate, in_turn.error, in_turn.df) == pytest.approx(
        (at_once.estimate, at_once.error, at_once.df)
    )


def test_a_slope_is_that_of_least_squares():
    levels = np.array([1.0, 2.0, 8.0])
    found = contrast([A, B, C], independent.slope_weights(levels).tolist()).estimate
    means = [x.mean() for x in (A, B, C)]
    assert found == pytest.approx(np.polyfit(np.log2(levels), means, 1)[0])


def test_runs_without_scatter_count_as_in_a_sign_test():
    found = contrast([[1.0] * 4, [0.0] * 4], [1, -1])
    assert found.beyond().p_for == 2 * 0.5**4
    assert found.beyond(1.0).p_for == found.beyond(1.0).p_against == 1.0


def test_weights_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="2 groups for 1 weights"):
        contrast([A, B], [1])


def test_at_the_margin_a_verdict_is_wrong_in_one_of_forty_worlds():
    rng, wrong, n = np.random.default_rng(0), 0, 2000
    for _ in range(n):
        found = contrast([rng.normal(0.5, 1, 5), rng.normal(0, 3, 8)], [1, -1])
        wrong += evidence.three_way(found.beyond(0.5)) == "supported"
    assert wrong / n < 0.025 + 3 * np.sqrt(0.025 * 0.975 / n)


def test_the_chance_of_winning_is_counted_pair_by_pair():
    """The slow, obvious way, with ties; sorting gives the same."""
    a, b = RNG.integers(0, 9, 40).astype(float), RNG.integers(0, 9, 25).astype(float)
    wins = (a[:, None] > b) + 0.5 * (a[:, None] == b)
    variance = wins.mean(1).var(ddof=1) / 40 + wins.mean(0).var(ddof=1) / 25
    chance = wins.mean()
    half = stats.norm.ppf(0.975) * np.sqrt(variance) / (chance * (1 - chance))
    centre = np.log(chance / (1 - chance))
    found = superiority(a, b)
    assert found.estimate == pytest.approx(chance)
    assert found.low == pytest.approx(1 / (1 + np.exp(half - centre)))


def test_many_values_take_no_more_signs():
    """Fifty thousand would take 40 GB if 100,000 patterns were drawn of them."""
    assert intervals.sign_flip(np.random.default_rng(1).normal(1, 1, 50_000)) < 0.01
