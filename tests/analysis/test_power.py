"""The seeds that a question needs: power by formula is power by simulation and by statsmodels."""

import functools
import math

import numpy as np
import pytest
from scipy import stats as scipy_stats
from statsmodels.stats.power import TTestPower

from hplab.analysis.stats import power


@pytest.mark.parametrize(
    ("d", "n80", "n90"), [(3, 4, 4), (2, 5, 5), (1.5, 6, 7), (1, 10, 13), (0.5, 34, 44)]
)
def test_seeds_needed_agree_with_statsmodels(d, n80, n90):
    assert power.seeds_for(power.paired_power, d) == n80
    assert power.seeds_for(power.paired_power, d, wanted=0.9) == n90
    # statsmodels counts both tails; the wrong one hardly matters.
    assert power.paired_power(d, n80) == pytest.approx(TTestPower().power(d, n80, 0.05), abs=1e-4)


def test_power_of_equivalence_is_what_simulation_finds():
    rng = np.random.default_rng(20261122)
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
