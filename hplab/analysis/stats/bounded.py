"""Intervals for means that cannot be anything: shares within 0 and 1, losses and counts above 0.

A t interval knows nothing of such bounds. Where it passes one, the interval is taken on a scale
without bounds (the logit of a share, the logarithm of what is only positive) and carried back, as
is done in surveys (Korn and Graubard 1998, Survey Methodology 24(2), 193-201). To first order it is
the same interval; it is no longer symmetric, and stays possible.
"""

from __future__ import annotations

import dataclasses
import math

from scipy.special import expit, logit

from hplab.analysis.stats.intervals import Interval


def within(found: Interval, low: float = -math.inf, high: float = math.inf) -> Interval:
    """Return an interval whose ends are possible; one that is so already stays as it is.

    Args:
        found: A symmetric interval of one mean, whose estimate is between the bounds.
        low: The least value possible; minus infinity if there is none.
        high: The greatest; infinity if there is none. Without `low` it is not looked at.

    Returns:
        The interval on the logit scale between two bounds, on the log scale above one.

    Raises:
        ValueError: If the estimate itself lies outside the bounds.
    """
    if not math.isfinite(found.low) or not math.isfinite(low):
        return found
    if not low <= found.estimate <= high:
        raise ValueError(f"the mean {found.estimate} is not within {low} and {high}")
    if low <= found.low and found.high <= high:
        return found
    half, above = (found.high - found.low) / 2, found.estimate - low
    if math.isinf(high):
        factor = math.exp(min(half / above, 700.0))  # e^710 is too large for a float
        return dataclasses.replace(found, low=low + above / factor, high=low + above * factor)
    width = high - low
    share = above / width
    step = half / width / (share * (1 - share))
    ends = [low + width * float(expit(logit(share) + move)) for move in (-step, step)]
    return dataclasses.replace(found, low=ends[0], high=ends[1])
