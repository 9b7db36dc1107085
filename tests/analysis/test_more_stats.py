"""Intervals cover what they promise, and the rarer statistics agree with slow obvious versions."""

import functools
import math

import numpy as np
import pytest
from scipy import stats as scipy_stats
from statsmodels.stats.power import TTestPower

from hplab.analysis.stats import intervals, power, proportions, resampling, variance


@pytest.fixture
def rng():
    return np.random.default_rng(20261122)


def share_of(hits):
    return np.mean(list(hits))


def test_welch_covers_the_difference_of_unequal_spreads(rng):
    a, b = rng.normal(3, 1, (20_000, 8)), rng.normal(1, 4, (20_000, 12))
    found = intervals.independent_difference(a, b)
    assert 0.94 < ((found.low <= 2) & (found.high >= 2)).mean() < 0.96


@pytest.mark.parametrize("settings_share_seeds", [True, False])
def test_the_share_between_settings_covers_the_true_share(rng, settings_share_seeds):
    """Settings drawn with variance 1, seeds with variance 1: half lies between."""
    luck = rng.normal(size=(4000, 10, 1 if settings_share_seeds else 8))
    draws = rng.normal(size=(4000, 1, 8)) + luck
    found = share_of(0.5 in variance.between_share(x) for x in draws)
    assert 0.94 < found < (0.96 if settings_share_seeds else 1)


def test_settings_that_differ_in_nothing_have_no_share(rng):
    draws = rng.normal(size=(2000, 10, 6))
    assert share_of(variance.between_share(x).low == 0 for x in draws) > 0.965


def test_a_band_holds_whole_curves(rng):
    """Random walks: neighbouring points move together, as epochs do."""
    hits = []
    for i in range(3000):
        curves = rng.normal(size=(8, 12)).cumsum(axis=1)
        band = resampling.simultaneous_band(curves, n_draws=800, seed=i)
        hits.append(((band.low <= 0) & (band.high >= 0)).all())
    assert 0.94 < np.mean(hits) < 0.96


def test_a_band_is_wider_than_an_interval_and_narrower_than_bonferroni(rng):
    curves = rng.normal(size=(10, 20)).cumsum(axis=1)
    band = resampling.simultaneous_band(curves)
    alone = intervals.mean_interval(curves.T)
    bonferroni = intervals.mean_interval(curves[:, -1], level=1 - 0.05 / 20)
    assert (band.high - band.low > alone.high - alone.low).all()
    assert band.high[-1] - band.low[-1] < bonferroni.high - bonferroni.low


def test_the_chance_of_winning_is_covered(rng):
    truth = scipy_stats.norm.cdf(1 / math.sqrt(2))
    found = [
        resampling.superiority(a, b)
        for a, b in zip(rng.normal(1, 1, (9000, 20)), rng.normal(0, 1, (9000, 20)), strict=True)
    ]
    assert 0.94 < share_of(truth in interval for interval in found) < 0.96


def test_the_chance_of_winning_counts_pairs_and_halves_ties():
    found = resampling.superiority([1, 2, 3], [2, 0, 5])
    pairs = [(a > b) + 0.5 * (a == b) for a in (1, 2, 3) for b in (2, 0, 5)]
    assert found.estimate == pytest.approx(np.mean(pairs))
    assert resampling.superiority([3, 4], [1, 2]).low == 1


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


def test_two_parts_keep_the_collapsed_apart(rng):
    values = np.append(rng.normal(90, 1, 15), np.full(5, 7.2304))
    found = proportions.two_part(values, values < 10)
    assert found.collapsed.estimate == 0.25
    assert found.survivors == intervals.mean_interval(values[:15])
    assert found.median == np.median(values)
    assert proportions.two_part([7.2, 7.2], [True, True]).survivors is None


def test_crossed_sources_of_luck_are_told_apart(rng):
    """Unbiased: the mean over many tables is the truth, and the intervals hold it as they say."""
    truth = {"weights": 4.0, "order": 1.0, "split": 2.25, "rest": 0.25}
    found = []
    for _ in range(1000):
        parts = [
            scale * rng.normal(size=shape)
            for scale, shape in ((2, (6, 1, 1)), (1, (1, 5, 1)), (1.5, (1, 1, 4)), (0.5, (6, 5, 4)))
        ]
        found.append(variance.variance_components(sum(parts), ("weights", "order", "split")))
    means = {name: np.mean([one[name].estimate for one in found]) for name in truth}
    assert means == pytest.approx(truth, rel=0.08)
    for name, value in truth.items():
        held = np.mean([one[name].low <= value <= one[name].high for one in found])
        assert 0.93 < held < 0.985


def test_a_source_that_does_nothing_has_an_interval_from_0(rng):
    x = rng.normal(size=(5, 1)) + 0.3 * rng.normal(size=(5, 5))
    found = variance.variance_components(x, ("weights", "order"))
    assert found["order"].low == 0 <= found["order"].estimate < 0.1 < found["weights"].estimate


def test_pooling_draws_is_what_the_ratio_compares_with(rng):
    """The slow version: every draw by itself, pooled into one t interval."""
    draws = rng.normal(size=(6, 49)) + rng.normal(size=(6, 1))
    pooled = intervals.mean_interval(draws.ravel())
    honest = intervals.mean_interval(draws.mean(axis=1))
    got = variance.pooled_width_ratio(draws.mean(axis=1), draws.std(axis=1, ddof=1), 49)
    assert got == pytest.approx((honest.high - honest.low) / (pooled.high - pooled.low))


def test_rank_correlations_are_those_of_scipy(rng):
    x, y = rng.normal(size=(2, 5, 7))
    expected = [scipy_stats.kendalltau(a, b).statistic for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(intervals.kendall(x, y), expected)


@pytest.mark.parametrize(
    ("d", "n80", "n90"), [(3, 4, 4), (2, 5, 5), (1.5, 6, 7), (1, 10, 13), (0.5, 34, 44)]
)
def test_seeds_needed_agree_with_statsmodels(d, n80, n90):
    assert power.seeds_for(power.paired_power, d) == n80
    assert power.seeds_for(power.paired_power, d, wanted=0.9) == n90
    # statsmodels counts both tails; the wrong one hardly matters.
    assert power.paired_power(d, n80) == pytest.approx(TTestPower().power(d, n80, 0.05), abs=1e-4)


def test_power_of_equivalence_is_what_simulation_finds(rng):
    draws = rng.normal(size=(4000, 11))
    half = scipy_stats.t.ppf(0.975, 10) * draws.std(axis=1, ddof=1) / math.sqrt(11)
    found = (np.abs(draws.mean(axis=1)) + half < 1).mean()
    assert power.equivalence_power(1.0, 11) == pytest.approx(found, abs=0.02)
    assert [power.seeds_for(power.equivalence_power, m) for m in (2, 1.5, 1, 0.5)] == [5, 7, 13, 44]


def test_the_calculator_s_numbers_invert_the_power():
    seeds = np.array([4, 10, 34])
    for wanted in (0.8, 0.9):
        least = power.smallest(
            functools.partial(power.paired_power, alpha=0.01), seeds, wanted=wanted
        )
        np.testing.assert_allclose(power.paired_power(least, seeds, alpha=0.01), wanted, atol=1e-6)


def test_runs_without_a_case():
    assert [power.runs_to_rule_out(p) for p in (0.1, 0.05)] == [29, 59]
    assert 0.9**29 < 0.05 < 0.9**28
