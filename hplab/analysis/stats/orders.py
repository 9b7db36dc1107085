"""Evidence of claims about several settings at once: who is first, what rises, what most do.

Arrays list what is compared along their first axes and hold one value a seed along the last; axes
between are many data sets at once.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats as distributions

from hplab.analysis.stats import intervals, variance
from hplab.analysis.stats.evidence import Evidence, all_of, any_of, beyond
from hplab.analysis.stats.intervals import Interval, plain


def trend(values: ArrayLike, at: ArrayLike, *, margin: float = 0.0, steps: bool = True) -> Evidence:
    """Test that every quantity rises over the levels of one hyperparameter.

    The claim needs every slope beyond the margin and, unless only a tendency is claimed, every step
    between neighbouring levels above 0. One slope or step that is surely not so speaks against it.

    Args:
        values: Shape `(quantities, levels, ..., n)`; what is claimed to fall is to be turned first.
        at: The levels, positive, in rising order.
        margin: Smallest change a doubling of the level has to bring.
        steps: Whether the order has to hold from each level to the next.

    Raises:
        ValueError: As `log2_slopes` and `beyond`.

    Example:
        Of three levels the second is the best; the slope alone would not show it.

        >>> values = [[[0.0, 0.1, 0.1, 0.0], [3.0, 3.1, 2.9, 3.0], [2.7, 2.8, 2.7, 2.6]]]
        >>> from hplab.analysis.stats.evidence import three_way
        >>> three_way(trend(values, [1, 2, 4])), three_way(trend(values, [1, 2, 4], steps=False))
        ('contradicted', 'supported')
    """
    parts = [beyond(slope, margin=margin) for slope in slopes(values, at)]
    if steps:
        rises = np.moveaxis(np.diff(np.asarray(values, float), axis=1), 1, 0)
        parts += [beyond(step) for level in rises for step in level]
    return all_of(parts)


def slopes(values: ArrayLike, at: ArrayLike) -> np.ndarray:
    """Return least-squares slopes on log2 of the level, of arrays as `trend` takes them.

    Example:
        >>> slopes([[[1.0, 1.0], [2.0, 3.0], [3.0, 5.0]]], [1, 2, 4]).tolist()
        [[1.0, 2.0]]
    """
    return intervals.log2_slopes(np.moveaxis(np.asarray(values, float), 1, -1), at)


def best(values: ArrayLike, which: int) -> Evidence:
    """Test that one setting has the highest mean: it has to be ahead of every other.

    Args:
        values: Shape `(settings, ..., n)`, the same seeds in every setting.
        which: The setting that is claimed to be first.

    Example:
        >>> from hplab.analysis.stats.evidence import three_way
        >>> accuracy = [[98.1, 98.2, 98.0], [98.4, 98.5, 98.4], [97.0, 97.5, 97.2]]
        >>> three_way(best(accuracy, 1)), three_way(best(accuracy, 0))
        ('supported', 'contradicted')
    """
    x = np.asarray(values, float)
    return all_of([beyond(x[which] - x[i]) for i in range(len(x)) if i != which])


def wider(
    first: ArrayLike, second: ArrayLike, *, margin: float = 0.0, neighbours: bool = False
) -> Evidence:
    """Test that the means of one curve over some levels reach further than those of another.

    How far a curve reaches is a largest difference, and one taken seed by seed grows with scatter:
    with noise enough a flat curve has a wide range. So what is compared are differences of means.
    For the claim speaks one pair of levels of the first curve that is further apart, by more than
    the margin, than every pair of the second; which pair is not said beforehand, so its p value is
    multiplied by the number of pairs. Against it the same, the other way round.

    Args:
        first: Shape `(levels, ..., n)`, the same seeds in both curves.
        second: As `first`.
        margin: By how much the first has to reach further.
        neighbours: Whether only falls from each level to the next count (the largest drop), else
            the difference of any two levels (the range).

    Example:
        The second curve is flat; that its runs scatter does not make it wide.

        >>> from hplab.analysis.stats.evidence import three_way
        >>> steep = [[0.0, 0.1, 0.0, 0.1, 0.0], [3.0, 3.1, 3.0, 2.9, 3.1]]
        >>> flat = [[0.5, -0.4, 0.1, -0.3, 0.2], [-0.2, 0.4, -0.5, 0.3, 0.1]]
        >>> three_way(wider(steep, flat)), three_way(wider(flat, steep))
        ('supported', 'contradicted')
    """
    between = _between_pairs(first, second, neighbours)
    found, n_pairs = beyond(between, margin=margin), len(between)
    p_for = n_pairs * np.asarray(found.p_for).max(axis=1).min(axis=0)
    p_against = n_pairs * np.asarray(found.p_against).max(axis=0).min(axis=0)
    return Evidence(plain(np.minimum(1.0, p_for)), plain(np.minimum(1.0, p_against)))


def wider_by(
    first: ArrayLike, second: ArrayLike, *, neighbours: bool = False, level: float = 0.95
) -> Interval:
    """Return by how much one curve of means reaches further than another, with its interval.

    Its limits are those margins that `wider` just does not decide.

    Example:
        >>> steep = [[0.0, 0.1, 0.0, 0.1, 0.0], [3.0, 3.1, 3.0, 2.9, 3.1]]
        >>> found = wider_by(steep, [[0.0, 0.0, 0.1, 0.1, 0.0]] * 2)
        >>> round(found.estimate, 2), found.low > 2.5
        (2.98, True)
    """
    between = _between_pairs(first, second, neighbours)
    means = between.mean(axis=-1)
    quantile = intervals.t_half_width(between, 1 - (1 - level) / len(between))
    half = quantile / math.sqrt(between.shape[-1])
    return Interval(
        plain(means.min(axis=1).max(axis=0)),
        plain((means - half).min(axis=1).max(axis=0)),
        plain((means + half).max(axis=0).min(axis=0)),
        level,
        between.shape[-1],
    )


def _between_pairs(first: ArrayLike, second: ArrayLike, neighbours: bool) -> np.ndarray:
    """Return every pair of levels of one curve against every one of another: `(p, p, ..., n)`."""
    x, y = np.asarray(first, float), np.asarray(second, float)
    if neighbours:
        return -np.diff(x, axis=0)[:, None] + np.diff(y, axis=0)[None]
    pairs = list(itertools.permutations(range(len(x)), 2))
    apart = [np.stack([curve[i] - curve[j] for i, j in pairs]) for curve in (x, y)]
    return apart[0][:, None] - apart[1][None]


def no_single_best(values: ArrayLike) -> Evidence:
    """Test that no rival has the highest mean in every group.

    A rival is not first everywhere if another is ahead of it somewhere. For the claim speaks that
    this is shown of every rival; against it, that one rival is ahead of all others in all groups.

    Args:
        values: Shape `(groups, rivals, ..., n)`, the same seeds everywhere.

    Example:
        >>> from hplab.analysis.stats.evidence import three_way
        >>> one, other = [1.0, 1.1, 0.9, 1.0], [2.0, 2.0, 2.1, 1.9]
        >>> three_way(no_single_best([[one, other], [other, one]]))
        'supported'
        >>> three_way(no_single_best([[one, other], [one, other]]))
        'contradicted'
    """
    x = np.asarray(values, float)
    rivals = range(x.shape[1])
    ahead = {
        (g, i, j): Evidence(beyond(x[g, i] - x[g, j]).p_for, 1.0)
        for g in range(len(x))
        for i in rivals
        for j in rivals
        if i != j
    }
    beaten = [any_of([found for (_, _, j), found in ahead.items() if j == i]) for i in rivals]
    first = [all_of([found for (_, j, _), found in ahead.items() if j == i]) for i in rivals]
    return Evidence(all_of(beaten).p_for, any_of(first).p_for)


def agreement(taus: ArrayLike, *, margin: float) -> Evidence:
    """Test that a rank correlation, one a seed, is more than the margin on average.

    Correlations are bounded and so lean to one side, which makes a t test say too much at a margin
    other than 0: at 5 % as much as one at 6 % should. Both p values are taken half as large again.

    Args:
        taus: Kendall's correlation of each seed. Shape `(..., n)`.
        margin: What the mean has to exceed, between -1 and 1.

    Example:
        >>> from hplab.analysis.stats.evidence import three_way
        >>> three_way(agreement([0.7, 0.6, 0.8, 0.7, 0.75], margin=0.2))
        'supported'
    """
    found = beyond(taus, margin=margin)
    careful = (plain(np.minimum(1.0, 1.5 * np.asarray(p))) for p in (found.p_for, found.p_against))
    return Evidence(*careful)


def share_between(values: ArrayLike, share: float) -> Evidence:
    """Test that more than a share of the variance over runs lies between settings.

    The F test of the intraclass correlation. Settings that share their seeds also share their luck,
    so the variance within them rests on no more than n - 1 independent values; the test, exact for
    normal values then, is on the safe side where settings have their own.

    Args:
        values: Shape `(settings, ..., n)`.
        share: Between 0 and 1.

    References:
        Shrout and Fleiss (1979), Intraclass correlations, Psychological Bulletin 86.

    Example:
        >>> from hplab.analysis.stats.evidence import three_way
        >>> three_way(share_between([[1.0, 1.1, 0.9], [5.0, 5.1, 4.8], [9.0, 9.2, 9.1]], 0.5))
        'supported'
    """
    x = np.asarray(values, float)
    k, n = len(x), x.shape[-1]
    between, within = variance.mean_squares(x)
    with np.errstate(divide="ignore", invalid="ignore"):
        f = np.nan_to_num(between / within / (1 + n * share / (1 - share)), nan=1.0)
    df = (k - 1, n - 1)
    above, below = distributions.f.sf(f, *df), distributions.f.cdf(f, *df)
    return Evidence(plain(np.minimum(1, 2 * above)), plain(np.minimum(1, 2 * below)))
