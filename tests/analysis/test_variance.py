"""Sources of luck: how much of the variance each makes, and how sure that is."""

import numpy as np
import pytest

from hplab.analysis.stats import intervals, variance


@pytest.fixture
def rng():
    return np.random.default_rng(20261122)


def share_of(hits):
    return np.mean(list(hits))


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
