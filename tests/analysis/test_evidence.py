"""What p values of a claim mean, how claims of several parts are put together, what they decide."""

import numpy as np
import pytest
import scipy.stats
from statsmodels.stats.weightstats import ttost_paired

from hplab.analysis.stats import evidence, intervals, orders
from hplab.analysis.stats.evidence import Evidence, three_way


@pytest.fixture
def rng():
    return np.random.default_rng(20261128)


@pytest.mark.parametrize(
    ("x", "margin", "outcome"),
    [
        ([1.0, 1.1, 0.9, 1.0], 0.5, "supported"),
        ([1.0, 1.1, 0.9, 1.0], 2.0, "contradicted"),  # real, but surely too small to matter
        ([1.0, 1.1, 0.9, 1.0], 0.95, "inconclusive"),  # past the margin, not surely
        ([1.0, 1.1, 0.9, 1.0], 1.05, "inconclusive"),  # short of it, not surely
        ([-1.0, -1.1, -0.9, -1.0], 0.5, "contradicted"),
        ([2.0, -2.0, 1.0, -1.5], 0.5, "inconclusive"),
        ([0.01, -0.01, 0.02, -0.02], 0.5, "contradicted"),
        ([0.01, -0.01, 0.02, -0.02], 0.0, "inconclusive"),
        ([0.2] * 6, 0.1, "supported"),
        ([0.0] * 6, 0.1, "contradicted"),
        ([0.1] * 6, 0.1, "inconclusive"),
    ],
)
def test_beyond_a_margin(x, margin, outcome):
    found = evidence.beyond(x, margin=margin)
    assert three_way(found) == outcome
    interval = intervals.mean_interval(x)
    by_interval = (interval.low > margin) * "supported" + (interval.high < margin) * "contradicted"
    assert (by_interval or "inconclusive") == outcome


def test_the_p_values_are_those_of_the_t_test_against_the_margin(rng):
    x = rng.normal(0.4, 1, 9)
    found = evidence.beyond(x, margin=0.1)
    for name, side in (("p_for", "greater"), ("p_against", "less")):
        one_sided = scipy.stats.ttest_1samp(x, 0.1, alternative=side).pvalue
        assert getattr(found, name) == pytest.approx(min(1, 2 * one_sided))


@pytest.mark.parametrize(
    ("x", "outcome"),
    [
        ([0.1, 0.2, 0.1, 0.15], "supported"),
        ([2.0, 2.1, 1.9, 2.0], "contradicted"),
        ([-2.0, -2.1, -1.9, -2.0], "contradicted"),
        ([3.0, -2.0, 1.0, -1.5], "inconclusive"),
        ([0.9, 1.1, 0.95, 1.0], "inconclusive"),  # differs from 0, lies about at the margin
        ([1.1, 1.4, 1.2, 1.3], "inconclusive"),  # its 95 % interval lies outside, not the 97.5 %
    ],
)
def test_within_a_margin(x, outcome):
    assert three_way(evidence.within(x, margin=1.0)) == outcome
    opposite = {"supported": "contradicted", "contradicted": "supported"}
    assert three_way(evidence.outside(x, margin=1.0)) == opposite.get(outcome, outcome)


def test_nothing_lies_within_no_margin_and_a_negative_one_is_refused():
    assert three_way(evidence.within([0.0, 0.1, -0.1], margin=0.0)) == "inconclusive"
    assert evidence.within([0.0, 0.0], margin=0.0).p_for == 1
    with pytest.raises(ValueError, match="must not be negative"):
        evidence.within([1.0, 2.0], margin=-1)


def test_within_is_two_one_sided_tests():
    first, second = np.array([0.3, 0.1, 0.4, 0.2]), np.array([0.25, 0.2, 0.3, 0.1])
    expected = 2 * ttost_paired(first, second, -0.1, 0.1)[0]
    assert evidence.within(first - second, margin=0.1).p_for == pytest.approx(expected)


def test_many_data_sets_at_once_are_each_by_itself(rng):
    x = rng.normal(0.3, 1, (6, 5))
    together = evidence.within(x, margin=1.0)
    for i, row in enumerate(x):
        alone = evidence.within(row, margin=1.0)
        assert (together.p_for[i], together.p_against[i]) == (alone.p_for, alone.p_against)
    words = three_way(evidence.beyond(x))
    assert words.tolist() == [three_way(evidence.beyond(row)) for row in x]


def test_turning_the_effect_turns_the_evidence(rng):
    x = rng.normal(0.5, 1, (50, 6))
    there, back = evidence.beyond(x), evidence.beyond(-x)
    np.testing.assert_allclose(there.p_for, back.p_against)


def test_a_stated_number_needs_both_its_mean_and_its_runs_near():
    """The mean is 98.2 in every case; single runs scatter by 0.1 or by 1."""
    close, wide = 98.2 + np.linspace(-0.1, 0.1, 9), 98.2 + np.linspace(-1, 1, 9)
    assert three_way(evidence.stated(close, 98.3, tolerance=0.4)) == "supported"
    assert three_way(evidence.stated(wide, 98.3, tolerance=0.9)) == "inconclusive"
    # Further from the mean than the tolerance, yet within what single runs give.
    assert three_way(evidence.stated(close, 98.34, tolerance=0.05)) == "inconclusive"
    assert three_way(evidence.stated(close, 98.9, tolerance=0.4)) == "contradicted"


def test_parts_are_put_together_as_worked_out_by_hand():
    a, b, c = Evidence(0.01, 1.0), Evidence(0.04, 0.9), Evidence(1.0, 0.02)
    assert evidence.all_of([a, b]) == Evidence(0.04, 1.0)
    assert evidence.all_of([a, b, c]) == Evidence(1.0, 0.06)
    assert evidence.any_of([a, c]) == Evidence(0.02, 1.0)
    # Two of three have to hold, all but the surest could be lucky: twice the second p value.
    assert evidence.most_of([a, b, c]) == Evidence(0.08, 1.0)
    # Two of four fail, so not more than half hold; three parts could each be one of the two.
    four = evidence.most_of([c, c, Evidence(1.0, 0.5), a])
    assert four == Evidence(1.0, pytest.approx(3 * 0.02))


def test_one_setting_has_to_beat_every_other(rng):
    x = rng.normal(size=(3, 8)) * 0.1 + np.array([[2.0], [1.0], [1.95]])
    assert three_way(orders.best(x[:2], 0)) == "supported"
    assert three_way(orders.best(x, 1)) == "contradicted"
    assert three_way(orders.best(np.stack([x[0], x[0]]), 0)) == "inconclusive"


def test_a_trend_is_judged_in_the_unit_of_its_levels():
    rising = np.array([[[1.0, 1.1, 0.9], [2.0, 2.1, 2.0], [3.0, 2.9, 3.1]]])
    assert orders.slopes(rising, [1, 2, 4]).mean() == pytest.approx(1.0, abs=0.05)
    assert three_way(orders.trend(rising, [1, 2, 4], margin=0.5)) == "supported"
    assert three_way(orders.trend(rising, [1, 2, 4], margin=2.0)) == "contradicted"
    assert three_way(orders.trend(rising, [1, 4, 16], margin=0.75)) == "contradicted"


def test_the_share_between_settings_is_decided_as_its_interval_says(rng):
    from hplab.analysis.stats import variance

    for scale in (0.0, 0.7, 1.0, 3.0):
        x = scale * np.arange(4)[:, None] + rng.normal(size=(4, 6))
        interval, found = variance.between_share(x.T), orders.share_between(x, 0.5)
        assert (interval.low > 0.5) == (found.p_for < 0.05)
        assert (interval.high < 0.5) == (found.p_against < 0.05)


@pytest.mark.parametrize("n", [3, 5])
def test_a_few_seeds_without_spread_decide_nothing(n):
    """Whole numbers, such as epochs, may agree by chance: here 1 in 90 % of runs, else 0."""
    luck = np.random.default_rng(n).random((2000, n)) < 0.9

    assert np.mean(luck.all(axis=-1)) > 0.5
    assert np.mean(three_way(evidence.beyond(luck.astype(float), margin=0.9)) == "supported") == 0


def test_seeds_without_spread_count_as_in_a_sign_test():
    for n, outcome in ((3, "inconclusive"), (5, "inconclusive"), (6, "supported")):
        alike = np.ones(n)
        assert evidence.beyond(alike, margin=0.5) == Evidence(2 * 0.5**n, 1.0)
        assert three_way(evidence.within(alike, margin=1.5)) == outcome
    sign = scipy.stats.binomtest(6, 6, alternative="greater").pvalue
    assert evidence.beyond(np.ones(6), margin=0.5).p_for == pytest.approx(2 * sign)


def test_a_spread_of_rounding_is_none():
    rounded = 100 * (np.array([0.29, 0.35, 0.98]) - np.array([0.28, 0.34, 0.97]))
    assert 0 < np.ptp(rounded) < 1e-11
    assert evidence.beyond(rounded, margin=0.5) == evidence.beyond(np.ones(3), margin=0.5)
    assert evidence.beyond(rounded, margin=1) == Evidence(1.0, 1.0)


def test_what_two_settings_compute_alike_is_decided_by_any_number_of_seeds():
    assert three_way(evidence.within([0.0] * 3, margin=1, exact=True)) == "supported"
    assert evidence.beyond([0.0] * 3, margin=1, exact=True) == Evidence(1.0, 0.0)
    assert evidence.beyond([0.0] * 3, exact=True) == Evidence(1.0, 1.0)  # at the margin itself
