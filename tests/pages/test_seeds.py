"""How many seeds a margin needs: linear numbers as they are, ratios by their logarithms."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from hplab.analysis.claims import needs
from hplab.analysis.claims.grammar import Size
from hplab.analysis.stats import intervals, power
from hplab.pages.site import build as site
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


def scatter(verdict):
    return needs.scatter(verdict.interval, verdict.n, verdict.unit)


def cells(verdict):
    """The row of the table that a verdict makes."""
    *_, row = seeds_page.observed([verdict]).splitlines()
    return row.strip("| ").split(" | ")


def test_the_scatter_of_a_ratio_is_that_of_its_logarithm():
    ratios = [1.1, 1.3, 1.7, 1.2]
    found = scatter(judged("S0-01", ratios, 1.2, "ratio"))
    assert found == pytest.approx(np.std(np.log(ratios), ddof=1))


def test_the_scatter_of_a_difference_is_its_standard_deviation():
    found = scatter(judged("S4-06", [0.1, 0.3, -0.2], 0.1, "pp"))
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


# ---------------------------------------------------------------------------------------------
# The fold under a verdict


def fold_of(verdict, **more):
    return needs.fold(needs.of(verdict.claim, verdict.interval, verdict.n, verdict.unit), **more)


def test_the_fold_of_a_verdict_says_what_the_table_says():
    verdict = judged("S4-06", [0.1, 0.3, -0.2, 0.25, 0.05], 0.1, "pp")
    *_, sd, margin, n, seeds = cells(verdict)
    found = fold_of(verdict)
    assert f"scatters by {sd} (standard deviation, n = {n})" in found
    assert f"said to matter is {margin}." in found
    assert f"needs: {seeds} for a chance of 80 %" in found
    assert "main claims" not in found


def test_the_seeds_of_a_fold_have_the_power_that_it_names():
    need = needs.Need(sd=0.2, margin=0.15, unit="pp", n=20)
    for wanted, n_claims in ((0.8, 1), (0.9, 1), (0.8, 6)):
        n = need.seeds(wanted=wanted, n_claims=n_claims)
        found = power.paired_power(0.75, [n - 1, n], alpha=0.05 / n_claims)
        assert found[0] < wanted <= found[1]
        beyond = power.paired_power((2 * 0.15 - 0.15) / 0.2, n, alpha=0.05 / n_claims)
        assert beyond == pytest.approx(found[1])  # twice the margin, tested against the margin
    assert f"As one of 6 main claims it takes up to {n}, for 80 %" in needs.fold(need, n_family=6)


def test_a_fold_carries_its_numbers_to_the_calculator():
    found = fold_of(judged("S0-01", [1.1, 1.3, 1.7, 1.2], 1.2, "ratio"))
    assert f'data-margin="{math.log(1.2):.3g}"' in found
    page = site.link_seeds(found, "../")
    assert f'href="../how-many-seeds.html?margin={math.log(1.2):.3g}&amp;sd=' in page
    assert ">The calculator of seeds</a>" in page


def test_a_claim_of_another_kind_has_no_fold():
    assert fold_of(judged("S4-06", [0.1, 0.3], 0.1, "pp", kind="ranking")) == ""
    assert fold_of(judged("S4-06", [0.1, 0.1], 0.1, "pp")) == ""


def test_the_calculator_never_calls_too_few_seeds_enough():
    exact = power.smallest(power.paired_power, seeds_page.SEEDS)
    least = np.array(seeds_page._least(exact))
    assert (least >= exact).all()
    assert (least <= exact * (1 + 1e-4)).all()
