"""Intervals, tests and splits of variance for a few seeds a setting; the unit is always the seed.

What a page uses by `hp.stats`; the modules hold more, each function with an example.
"""

from hplab.analysis.stats.intervals import (
    Interval,
    holm,
    independent_difference,
    mean_interval,
    paired_difference,
    prediction_interval,
)
from hplab.analysis.stats.power import equivalence_power, paired_power, seeds_for, seeds_needed
from hplab.analysis.stats.proportions import proportion_interval
from hplab.analysis.stats.rank import granulated
from hplab.analysis.stats.variance import variance_components

__all__ = [
    "Interval",
    "equivalence_power",
    "granulated",
    "holm",
    "independent_difference",
    "mean_interval",
    "paired_difference",
    "paired_power",
    "prediction_interval",
    "proportion_interval",
    "seeds_for",
    "seeds_needed",
    "variance_components",
]
