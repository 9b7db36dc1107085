"""How many seeds a margin needs: linear numbers as they are, ratios by their logarithms."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from hplab.analysis.claims.grammar import Size
from hplab.analysis.stats import intervals
from hplab.pages.tables import seeds as seeds_page


def judged(name, values, margin, unit, kind="direction"):
    """A verdict on one effect a seed, as the rules make it."""
    values = np.asarray(values, float)
    interval = intervals.mean_interval(np.log(values) if unit == "ratio" else values)
    if unit == "ratio":
        ends = (math.exp(getattr(interval, end)) for end in ("estimate", "low", "high"))
        interval = intervals.Interval(*ends, interval.level, interval.n)
    test = SimpleNamespace(type=kind, margin=Size(margin, unit))
    claim = SimpleNamespace(id=name, says=f"{name} > 0.", test=test)
    return SimpleNamespace(claim=claim, unit=unit, interval=interval, n=len(values))


def cells(verdict):
    """The row of the table that a verdict makes."""
    *_, row = seeds_page.observed([verdict]).splitlines()
    return row.strip("| ").split(" | ")


def test_the_scatter_of_a_ratio_is_that_of_its_logarithm():
    ratios = [1.1, 1.3, 1.7, 1.2]
    found = seeds_page.scatter(judged("S0-01", ratios, 1.2, "ratio"))
    assert found == pytest.approx(np.std(np.log(ratios), ddof=1))


def test_the_scatter_of_a_difference_is_its_standard_deviation():
    found = seeds_page.scatter(judged("S4-06", [0.1, 0.3, -0.2], 0.1, "pp"))
    assert found == pytest.approx(np.std([0.1, 0.3, -0.2], ddof=1))


@pytest.mark.parametrize(
    ("name", "low", "high", "margin", "needed"),
    [  # the intervals of the first three records of each
        ("S0-01", 0.992806, 1.82503, 1.2, 6),
        ("S0-02", 0.746865, 1.42407, 1.05, 58),
        ("S0-05", 0.746865, 1.42407, 1.02, 340),
    ],
)
def test_seeds_for_a_margin_that_is_a_ratio(name, low, high, margin, needed):
    verdict = judged(name, [1, 1.1, 1.2], margin, "ratio")
    verdict.interval = intervals.Interval(math.sqrt(low * high), low, high, 0.95, 3)
    link, says, _, shown, so_far, seeds = cells(verdict)
    assert (shown, so_far, seeds) == (f"{margin:g} times", "3", str(needed))
    assert link == f'<a href="ledger.html#{name}">{name}</a>'
    assert says == f"{name} &gt; 0."


def test_a_ratio_and_its_inverse_need_the_same_seeds():
    ratios = np.array([1.1, 1.3, 1.7, 1.2])
    plain, turned = (cells(judged("S0-01", r, 1.2, "ratio")) for r in (ratios, 1 / ratios))
    assert plain == turned


def test_a_difference_keeps_its_unit_and_its_reckoning():
    # differences that scatter by 1 against a margin of 0.5: the first column of the page's table
    assert cells(judged("S4-06", [-1, 0, 1], 0.5, "pp"))[2:] == ["1.00 pp", "0.50 pp", "3", "34"]


@pytest.mark.parametrize(
    "verdict",
    [
        judged("S0-01", [1.1, 1.2], 1.0, "ratio"),  # a margin of nothing
        judged("S0-01", [0.1, 0.1], 0.1, "pp"),  # no scatter
        judged("S0-01", [0.1, 0.2], 0.1, "pp", kind="trend"),
    ],
)
def test_what_has_no_scatter_or_no_margin_is_left_out(verdict):
    assert seeds_page.observed([verdict]) == "No claim of this kind has been run yet."
