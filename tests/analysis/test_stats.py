"""Intervals cover what they promise, tests keep their level."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats
from statsmodels.stats.multitest import multipletests

from hplab.analysis.stats import intervals, proportions, variance

SIMS = 20_000  # binomial error of a coverage of 0.95: 0.0015


def coverage(interval, truth):
    return np.mean((interval.low <= truth) & (truth <= interval.high))


@pytest.fixture
def rng():
    return np.random.default_rng(20250222)


# ------------------------------------------------------------------------------- intervals


@pytest.mark.parametrize("n", [3, 5, 20])
def test_mean_interval_covers_the_mean(rng, n):
    got = coverage(intervals.mean_interval(rng.normal(2, 3, (SIMS, n))), 2)
    assert 0.94 < got < 0.96


def test_welch_covers_the_difference_of_unequal_spreads(rng):
    a, b = rng.normal(3, 1, (SIMS, 8)), rng.normal(1, 4, (SIMS, 12))
    assert 0.94 < coverage(intervals.independent_difference(a, b), 2) < 0.96


def test_mean_interval_is_the_t_interval_of_scipy():
    x = [0.3, 0.1, 0.4, 0.15, 0.9]
    reference = scipy.stats.ttest_1samp(x, 0)
    got = intervals.mean_interval(x, level=0.9)
    assert (got.low, got.high) == pytest.approx(tuple(reference.confidence_interval(0.9)))
    assert got.p == pytest.approx(reference.pvalue)
    assert (got.n, got.level) == (5, 0.9)


def test_paired_difference_covers_the_difference_of_correlated_seeds(rng):
    seed_effect = rng.normal(0, 5, (SIMS, 6))
    first = seed_effect + rng.normal(1, 1, (SIMS, 6))
    second = seed_effect + rng.normal(0, 2, (SIMS, 6))
    assert 0.94 < coverage(intervals.paired_difference(first, second), 1) < 0.96


def test_pairing_takes_the_seeds_out_of_the_interval(rng):
    seed_effect = rng.normal(0, 5, 10)
    first, second = seed_effect + rng.normal(1, 0.1, 10), seed_effect + rng.normal(0, 0.1, 10)
    paired = intervals.paired_difference(first, second)
    shuffled = intervals.paired_difference(first, np.roll(second, 1))
    assert paired.high - paired.low < 0.1 * (shuffled.high - shuffled.low)


def test_prediction_interval_holds_one_new_run(rng):
    old, new = rng.normal(7, 2, (SIMS, 8)), rng.normal(7, 2, SIMS)
    assert 0.94 < coverage(intervals.prediction_interval(old), new) < 0.96


def test_slopes_on_log2_cover_the_slope(rng):
    levels = np.array([1e-4, 5e-4, 1e-3])
    line = 0.3 * np.log2(levels)
    values = line + rng.normal(0, 1, (SIMS, 7, 3)) + rng.normal(0, 4, (SIMS, 7, 1))
    got = intervals.mean_interval(intervals.log2_slopes(values, levels))
    assert 0.94 < coverage(got, 0.3) < 0.96


def test_a_slope_is_the_change_a_doubling_brings():
    levels = [1, 2, 4, 8]
    assert intervals.log2_slopes([[1, 3, 5, 7], [0, 0, 0, 0]], levels).tolist() == [2, 0]


@pytest.mark.parametrize(("sd", "correlation"), [((1, 1), 0.0), ((3, 1), 0.0), ((2, 1), 0.8)])
def test_the_ratio_of_paired_spreads_is_covered(rng, sd, correlation):
    shared = rng.normal(size=(SIMS, 20))
    own = rng.normal(size=(2, SIMS, 20))
    mix = math.sqrt(correlation) * shared + math.sqrt(1 - correlation) * own
    found = variance.log_spread_pseudo_values(sd[0] * mix[0], sd[1] * mix[1])
    assert 0.94 < coverage(intervals.mean_interval(found), math.log(sd[0] / sd[1])) < 0.96


def test_jackknife_agrees_with_leaving_out_each_seed_in_a_loop(rng):
    a, b = rng.normal(size=9), rng.normal(size=9) * 2

    def ratio(x, y):
        return math.log(np.abs(x - x.mean()).mean() / np.abs(y - y.mean()).mean())

    expected = [9 * ratio(a, b) - 8 * ratio(np.delete(a, i), np.delete(b, i)) for i in range(9)]
    assert variance.log_spread_pseudo_values(a, b) == pytest.approx(expected)


def test_a_sample_without_spread_has_no_log():
    assert not np.isfinite(variance.log_spread_pseudo_values([1.0] * 4, [1.0, 2.0, 3.0, 4.0])).all()


def proportion_coverage(n, method, p):
    counts = np.arange(n + 1)
    interval = proportions.proportion_interval(counts, n, method=method)
    chance = scipy.stats.binom.pmf(counts[:, None], n, p)
    inside = (interval.low[:, None] <= p) & (p <= interval.high[:, None])
    return (chance * inside).sum(axis=0)


def test_the_proportion_interval_covers_on_average():
    got = proportion_coverage(20, "jeffreys", np.linspace(0.02, 0.98, 400)).mean()
    assert 0.94 < got < 0.96


def test_the_exact_proportion_interval_never_covers_less():
    assert proportion_coverage(20, "exact", np.linspace(0.001, 0.999, 400)).min() >= 0.95


def test_halving_the_seeds_widens_the_interval(rng):
    values = rng.normal(size=(2000, 20))
    all_of_them = intervals.mean_interval(values)
    half = intervals.mean_interval(values[:, :10])
    ratio = np.mean(half.high - half.low) / np.mean(all_of_them.high - all_of_them.low)
    assert ratio == pytest.approx(math.sqrt(2) * 2.262 / 2.093, rel=0.03)


@pytest.mark.parametrize(("value", "p"), [(0.0, 1.0), (0.25, 0.0)])
def test_seeds_that_agree_exactly_give_an_interval_of_no_width(value, p):
    got = intervals.mean_interval([value] * 4)
    assert (got.low, got.estimate, got.high, got.p) == (value, value, value, p)


# ------------------------------------------------------------------------------- tests


def test_sign_flip_agrees_with_the_exact_permutation_test_of_scipy(rng):
    x = rng.normal(0.5, 1, 8)
    reference = scipy.stats.permutation_test(
        (x,), np.mean, permutation_type="samples", n_resamples=np.inf
    )
    assert intervals.sign_flip(x) == pytest.approx(reference.pvalue)


def test_sign_flip_counts_every_pattern(rng):
    for n in (2, 3, 9):
        x = rng.normal(0.3, 1, n).round(1)  # rounded, so that some sums are equal
        signs = np.array(list(itertools.product([-1, 1], repeat=n)))
        sums = np.abs(signs @ x).round(9)
        assert intervals.sign_flip(x) == (sums >= abs(x.sum()).round(9)).mean()
    assert intervals.sign_flip([1.0, -1.0]) == 1.0


@pytest.mark.parametrize("n", [3, 5, 12, 30])
def test_the_smallest_sign_flip_p_is_2_in_2_to_the_n(n):
    assert intervals.sign_flip(np.arange(1.0, n + 1)) == 2 / 2**n


def test_sign_flip_of_many_seeds_samples_the_patterns(rng):
    x = rng.normal(0.3, 1, 40)
    assert intervals.sign_flip(x) == pytest.approx(intervals.mean_interval(x).p, abs=0.02)
    assert intervals.sign_flip(x) == intervals.sign_flip(x)


def test_holm_adjusts_as_worked_out_by_hand():
    # sorted .01 .03 .04 times 3 2 1, then made monotone
    assert intervals.holm([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.06, 0.06])
    assert intervals.holm([]).tolist() == []


def test_holm_agrees_with_statsmodels(rng):
    p = rng.uniform(size=40) ** 3
    assert intervals.holm(p) == pytest.approx(multipletests(p, method="holm")[1])


# ------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: intervals.mean_interval([1.0]), "at least 2 values"),
        (lambda: intervals.mean_interval([1.0, math.nan]), "must be finite"),
        (lambda: intervals.mean_interval([1.0, 2.0], level=95), "level must be between 0 and 1"),
        (lambda: intervals.paired_difference([1, 2], [1, 2, 3]), r"got \(2,\) and \(3,\)"),
        (lambda: intervals.log2_slopes([[1, 2]], [0, 1]), "levels must be positive"),
        (lambda: intervals.log2_slopes([[1, 2]], [1, 2, 4]), "levels of shape"),
        (lambda: variance.log_spread_pseudo_values([1, 2], [1, 2]), "3 seeds or more"),
        (lambda: variance.log_spread_pseudo_values([1, 2, 3], [1, 2]), "equal shapes"),
        (lambda: proportions.proportion_interval(3, 2), "0 <= count <= n"),
        (lambda: proportions.proportion_interval(1, 2, method="wald"), "known: jeffreys, exact"),
    ],
)
def test_impossible_input_is_refused_with_what_was_got(call, words):
    with pytest.raises(ValueError, match=words):
        call()
