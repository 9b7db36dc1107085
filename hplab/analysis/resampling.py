"""What resampling the seeds says: who is first, and where whole curves lie."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from hplab.analysis.stats import check_values


def argmax_probability(values: ArrayLike, *, n_boot: int = 10_000, seed: int = 0) -> np.ndarray:
    """Return how often each column has the highest mean when the seeds are resampled.

    Args:
        values: One row a seed, one column a setting; rows are drawn whole, so pairing is kept.
        n_boot: Resamples.
        seed: Seed of the resampling.

    Returns:
        One share a column, adding up to 1; ties are split evenly. Shape `(k,)`.

    Raises:
        ValueError: If `values` is not a table, or as `mean_interval`.
    """
    x = np.asarray(values, float)
    if x.ndim != 2:
        raise ValueError(f"need one row a seed and one column a setting, got shape {x.shape}")
    check_values(x.T, 0.95)
    n = len(x)
    counts = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=n_boot)
    means = counts @ x / n
    first = np.isclose(means, means.max(axis=1, keepdims=True), rtol=1e-12, atol=0)
    return (first / first.sum(axis=1, keepdims=True)).mean(axis=0)


def same_winner_probability(values: ArrayLike, *, n_boot: int = 10_000, seed: int = 0) -> float:
    """Return how often one rival has the highest mean in every group when seeds are resampled.

    Args:
        values: Shape `(n, groups, rivals)`; seeds are drawn whole.
        n_boot: Resamples.
        seed: Seed of the resampling.

    Raises:
        ValueError: If `values` has another shape, or as `mean_interval`.
    """
    x = np.asarray(values, float)
    if x.ndim != 3:
        raise ValueError(f"need values of shape (n, groups, rivals), got {x.shape}")
    check_values(np.moveaxis(x, 0, -1), 0.95)
    n = len(x)
    counts = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=n_boot)
    first = np.einsum("bs,sgr->bgr", counts, x).argmax(axis=2)
    return float((first == first[:, :1]).all(axis=1).mean())
