"""Range-test rules on curves whose answer is known."""

import numpy as np
import pandas as pd
import pytest

from hplab.analysis.lr_find import longest_fall, lr_find, smoothed, suggest
from hplab.trial import HplabError

LR = np.logspace(-7, 1, 81)


def steps(loss, *, seeds=1):
    return pd.concat(
        pd.DataFrame(
            {
                "seed": s,
                "step": range(1, len(loss) + 1),
                "step_lr": LR[: len(loss)],
                "step_loss": loss,
            }
        )
        for s in range(seeds)
    )


def test_smoothing_leaves_a_constant_alone():
    np.testing.assert_allclose(smoothed(np.full(30, 2.3)), 2.3)


def test_smoothing_is_the_weighted_mean_of_the_past():
    losses = np.array([4.0, 1.0, 7.0])
    weights = 0.9 ** np.arange(3)[::-1]

    assert smoothed(losses)[-1] == pytest.approx((weights * losses).sum() / weights.sum())


def test_rules_on_a_bowl_in_log_lr():
    """A parabola in log10(lr) with its bottom at 1e-2."""
    loss = (np.log10(LR) + 2) ** 2
    picks = suggest(LR, loss)

    assert picks["minimum / 10"] == pytest.approx(1e-3)
    assert picks["steepest"] == pytest.approx(LR[0])
    assert picks["valley"] == pytest.approx(10 ** (-7 + 5 * 2 / 3), rel=0.15)


def test_steepest_is_the_middle_of_a_sigmoid():
    loss = 1 / (1 + np.exp(3 * (np.log(LR) - np.log(1e-3))))

    assert suggest(LR, loss)["steepest"] == pytest.approx(1e-3)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [([5, 4, 3, 2], (0, 3)), ([1, 2, 3], (0, 0)), ([9, 1, 8, 7, 6, 7], (0, 4)), ([3], (0, 0))],
)
def test_longest_fall(loss, expected):
    assert longest_fall(np.array(loss, dtype=float)) == expected


def test_longest_fall_equals_trying_every_subsequence():
    rng = np.random.default_rng(0)
    for _ in range(30):
        loss = rng.permutation(8).astype(float)
        best = 0
        for mask in range(1, 2**8):
            chosen = loss[[i for i in range(8) if mask >> i & 1]]
            best = max(best, len(chosen) if (np.diff(chosen) < 0).all() else 0)
        start, stop = longest_fall(loss)
        inside = loss[start : stop + 1]
        reach = max(
            len(c)
            for m in range(1, 2 ** len(inside))
            for c in [inside[[i for i in range(len(inside)) if m >> i & 1]]]
            if (np.diff(c) < 0).all()
        )
        assert reach == best


def test_the_test_is_cut_where_the_loss_blows_up():
    loss = np.r_[np.linspace(2.3, 0.5, 50), np.full(31, 100.0)]
    found = lr_find(steps(loss))

    assert found.diverged_at == pytest.approx(found.lr[-1])
    assert LR[50] <= found.diverged_at <= LR[53]
    assert found.suggestions["minimum / 10"] == pytest.approx(LR[49] / 10)


def test_a_diverged_test_ends_at_its_last_finite_step():
    loss = np.r_[np.linspace(2.3, 0.5, 50), np.full(31, np.nan)]
    found = lr_find(steps(loss))

    assert len(found.lr) == 50
    assert found.diverged_at == pytest.approx(LR[49])


def test_a_pick_at_the_end_of_the_range_is_flagged():
    found = lr_find(steps(np.linspace(2.3, 1.0, 81)))

    assert found.diverged_at is None
    assert found.suggestions["valley"] == pytest.approx(LR[53])  # two thirds of 80 steps
    assert "valley" not in found.at_edge
    falling = lr_find(steps(2.3 - 1e-3 * np.exp(np.linspace(0, 6, 81))))
    assert "steepest" in falling.at_edge


def test_equal_seeds_change_nothing():
    loss = (np.log10(LR) + 2) ** 2 + 0.1

    one, three = lr_find(steps(loss)), lr_find(steps(loss, seeds=3))
    assert one.suggestions == three.suggestions
    np.testing.assert_allclose(one.loss, three.loss)


def test_too_few_steps_are_refused():
    with pytest.raises(HplabError, match="at least 10 finite steps, got 9"):
        lr_find(steps(np.ones(9)))


def bowl(n_finite=81):
    loss = (np.log10(LR) + 2) ** 2
    loss[n_finite:] = np.nan
    return loss


def of_seeds(*losses):
    tables = [steps(loss).assign(seed=seed) for seed, loss in enumerate(losses)]
    return lr_find(pd.concat(tables))


@pytest.mark.parametrize("early", [0, 5, 12, 30])
def test_a_seed_that_diverges_early_is_told_and_cuts_no_other(early):
    whole = of_seeds(bowl(), bowl())
    found = of_seeds(bowl(), bowl(early), bowl())

    assert found.left_out == {1: pytest.approx(LR[early])}
    assert found.suggestions == whole.suggestions
    assert len(found.lr) == len(whole.lr)
    assert whole.left_out == {}


def test_seeds_that_diverge_at_about_the_same_rate_are_one_test():
    found = of_seeds(bowl(70), bowl(72), bowl(81))

    assert found.left_out == {}
    assert found.diverged_at == pytest.approx(LR[69])


def test_when_all_diverge_early_there_is_no_test():
    with pytest.raises(HplabError, match="at least 10 finite steps, got 4"):
        of_seeds(bowl(5), bowl(4))


def test_a_pick_below_the_tested_range_is_at_its_edge():
    """The loss rises from the first step on, so a tenth of its minimum was never tried."""
    assert "minimum / 10" in of_seeds(np.linspace(1, 3, 81)).at_edge
