"""How much each hyperparameter matters: the share of a metric's variation that comes from it.

Where every combination of the values was run, the variance is taken apart exactly: into what each
hyperparameter does by itself, what pairs do beyond that, and the scatter of the seeds (analysis of
variance). Elsewhere a random forest stands in for the runs that were not made, and the share of a
hyperparameter is what the forest loses, on settings it has not seen, when its values are shuffled.
That share counts the hyperparameter's part in every interaction, so these need not add up to 1.

The unit is the setting: seeds are replicates of it, and no run counts by itself.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import optimize, special, stats

from hplab.analysis.stats.intervals import ROUNDING, Interval

ANOVA, FOREST = "anova", "forest"
FEWEST = 20  # settings that a forest is grown on, at least
FEWEST_EACH = 4  # and for each hyperparameter
FOLDS, TREES, SHUFFLES = 10, 40, 4
LEVEL = 0.95
Ends = tuple[float, float, float]  # an estimate, and the ends of its interval


@dataclasses.dataclass(frozen=True)
class Share:
    """What one hyperparameter, or several together, have of the variance.

    Attributes:
        names: The hyperparameters. One: what it does by itself (of a forest: in all). Two: what
            the pair does beyond that. None: three or more together.
        share: From 0 to 1, with its interval; NaN ends where there is no residual to take it from.
    """

    names: tuple[str, ...]
    share: Interval


@dataclasses.dataclass(frozen=True)
class Importance:
    """What came of it.

    Attributes:
        metric: The column.
        method: `ANOVA` or `FOREST`; "" if it cannot be said.
        shares: The largest first.
        luck: The share of the seeds' own scatter; None where no setting has two runs.
        pooled: Whether the interaction of all hyperparameters served as the scatter, since each
            setting was run once.
        explained: Of a forest: the share of the variance of settings it has not seen that it
            predicts.
        n_settings: Settings that it rests on.
        n_runs: Their runs.
        n_censored: Settings left out because a run of them was stopped early.
        alike: Hyperparameters that go with another one in every run, by that other one.
        why: Why it cannot be said; "" if it could.
    """

    metric: str
    method: str = ""
    shares: tuple[Share, ...] = ()
    luck: Interval | None = None
    pooled: bool = False
    explained: float | None = None
    n_settings: int = 0
    n_runs: int = 0
    n_censored: int = 0
    alike: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    why: str = ""


def importance(
    runs: pd.DataFrame, metric: str, names: Sequence[str], *, seed: int = 0
) -> Importance:
    """Return which share of the variance of a metric comes from which hyperparameter.

    Runs that diverged have no value and are left out. So is a whole setting of which a run was
    stopped early: the runs of it that finished are the better ones.

    Args:
        runs: One row a run, with "seed" and "status" where there are any.
        metric: The column of numbers.
        names: The hyperparameters; those with one value have no share.
        seed: What a forest draws from.

    Returns:
        The shares, or why there are too few runs to say.

    Example:
        >>> runs = pd.DataFrame({"lr": [1, 1, 2, 2] * 2, "width": [1, 2] * 4,
        ...                      "seed": [0] * 4 + [1] * 4, "acc": [0, 1, 3, 4] * 2})
        >>> [(one.names, one.share.estimate) for one in importance(runs, "acc", ["lr", "width"])
        ...  .shares]
        [(('lr',), 0.9), (('width',), 0.1), (('lr', 'width'), 0.0)]
    """
    kept, codes, n_censored = _settings(runs, metric, names)
    codes, alike = _told_apart(codes)
    about: dict[str, Any] = {"n_runs": len(kept), "n_censored": n_censored, "alike": alike}
    if kept.empty:
        return Importance(metric, why=f"no run has a value of {metric}", **about)
    group = kept.groupby("setting", sort=False)["y"]
    means, counts = group.mean().to_numpy(), group.size().to_numpy()
    about["n_settings"] = len(means)
    if not codes.shape[1]:
        return Importance(metric, why=f"no hyperparameter varies in {len(kept)} runs", **about)
    if not means.var() > 0:
        return Importance(metric, why=f"{metric} is the same in every setting", **about)
    if math.prod(codes.nunique().tolist()) == len(means):
        found = _anova(codes, means, counts, kept)
        if found is not None:
            return Importance(metric, ANOVA, **found, **about)
        why = "one hyperparameter varies and each value was run once; run each with several seeds"
        return Importance(metric, why=why, **about)
    least = max(FEWEST, FEWEST_EACH * codes.shape[1])
    if len(means) < least:
        why = (
            f"{len(means)} settings are not all combinations of {codes.shape[1]} hyperparameters, "
            f"and an estimate (by a random forest) needs {least} settings"
        )
        return Importance(metric, why=why, **about)
    rng = np.random.default_rng(seed)
    between, luck = _two_levels(kept, means, counts)
    shares, explained = _forest(codes, means, between[0] + luck[0], rng)
    about["explained"] = explained
    if explained <= 0:
        why = (
            "a random forest, which would estimate it, predicts settings that it has not seen no "
            "better than their mean does"
        )
        return Importance(metric, why=why, **about)
    scatter = _share(luck, between, len(kept)) if luck[0] else None
    return Importance(metric, FOREST, shares, scatter, **about)


def _settings(
    runs: pd.DataFrame, metric: str, names: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame, int]:
    """Return the runs that count ("setting", "seed", "y"), each setting's values as codes that keep
    their order, and how many settings are left out as censored.
    """
    values = runs[list(names)].reset_index(drop=True)
    made = pd.DataFrame({name: _codes(values[name]) for name in names}, index=values.index)
    numbers = made.groupby(list(names), sort=False).ngroup() if names else pd.Series(0, made.index)
    status = runs["status"].to_numpy() if "status" in runs else np.full(len(runs), "ok")
    y = runs[metric].to_numpy(float)
    seeds = runs["seed"].to_numpy() if "seed" in runs else np.arange(len(runs))
    censored = set(numbers[status == "stopped"])
    counts = np.isfinite(y) & (status == "ok") & ~numbers.isin(censored).to_numpy()
    kept = pd.DataFrame({"setting": numbers, "seed": seeds, "y": y})[counts]
    codes = made.loc[kept["setting"].drop_duplicates().index]
    return kept, codes, len(censored)


def _codes(column: pd.Series) -> np.ndarray:
    """Return whole numbers for values: numbers by their size, others as they appear, none first."""
    known = column[column.notna()]
    numeric = pd.api.types.is_numeric_dtype(known.infer_objects())
    codes, _ = pd.factorize(column, sort=numeric)
    return codes


def _told_apart(codes: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, tuple[str, ...]]]:
    """Return the columns that vary and do not follow from another one, and which do from which.

    An argument that only one optimizer has follows from the optimizer. In a search along ranges
    each setting has values of its own, from which all else would follow; there columns are told
    apart by neighbours, if there are enough.
    """
    n = len(codes)
    levels = {name: codes[name].nunique() for name in codes}
    varied = [name for name in codes if levels[name] > 1]
    order = sorted(varied, key=lambda name: -levels[name])  # of equals, the first as it stands
    kept: list[str] = []
    alike: dict[str, tuple[str, ...]] = {}
    for name in order:
        is_argument = codes.loc[codes[name] >= 0, name].nunique() == 1
        of = [
            one
            for one in kept
            if 2 * levels[one] <= n or (n < FEWEST and (is_argument or levels[one] == levels[name]))
        ]
        pairs = (len(codes[[one, name]].drop_duplicates()) for one in of)
        first = next((one for one, k in zip(of, pairs, strict=True) if k == levels[one]), None)
        if first is None:
            kept.append(name)
        else:
            alike[first] = (*alike.get(first, ()), str(name))
    return codes[[name for name in varied if name in kept]], alike


def _within(kept: pd.DataFrame) -> tuple[float, int]:
    """Return the variance of the runs of a setting, over all settings, and its degrees of freedom;
    0 with 0 where no setting has two runs.
    """
    centred = kept["y"] - kept.groupby("setting")["y"].transform("mean")
    df = len(kept) - kept["setting"].nunique()
    return (float((centred**2).sum() / df) if df else 0.0), df


# ---------------------------------------------------------------------------------- full grids


def _anova(
    codes: pd.DataFrame, means: np.ndarray, counts: np.ndarray, kept: pd.DataFrame
) -> dict[str, Any] | None:
    """Return the shares of a full grid; None for one hyperparameter that has no replicates.

    Each setting weighs the same however many seeds it has (Yates' unweighted means). The noise that
    an effect has is taken off its variance (omega squared). Where all settings share their seeds,
    what a seed does to all of them alike is luck of a run, but no noise of an effect.
    """
    names = list(codes)
    grid = np.empty(codes.nunique().to_numpy())
    grid[tuple(pd.factorize(codes[name], sort=True)[0] for name in names)] = means
    effects = _effects(grid, names)
    noise, df = _within(kept)
    pooled, n, size = not df, len(kept), grid.size
    luck = (noise, noise, noise)
    if pooled:
        if len(names) == 1:
            return None
        square, df = effects.pop(tuple(names) if len(names) == 2 else ())
        noise = square * size / df
        luck = (noise, noise, noise)
    elif (wide := _paired(kept)) is not None:
        rest = wide - wide.mean(0) - wide.mean(1, keepdims=True) + wide.mean()
        luck = _chi_square(noise, _df_of_sum(wide, rest))
        df = (wide.shape[0] - 1) * (wide.shape[1] - 1)
        noise = float((rest**2).sum() / df)
    per_mean = noise * float((1 / counts).mean()) / size  # by chance, for a degree of freedom
    parts = {who: _signal(square, free, per_mean, df) for who, (square, free) in effects.items()}
    squares, frees = zip(*effects.values(), strict=True)
    whole = _signal(sum(squares), sum(frees), per_mean, df)
    shares = []
    for who, part in parts.items():
        others = max(0.0, whole[0] - part[0])
        rest_of = others + luck[0], others + luck[1], others + luck[2]
        shares.append(Share(who, _share(part, rest_of, n)))
    shares.sort(key=lambda one: -one.share.estimate)
    return {"shares": tuple(shares), "luck": _share(luck, whole, n), "pooled": pooled}


def _effects(grid: np.ndarray, names: Sequence[str]) -> dict[tuple[str, ...], tuple[float, int]]:
    """Return the mean square of each hyperparameter's and each pair's effect over the cells of a
    grid, and of all larger interactions together (named by nothing), with degrees of freedom.
    """
    axes = range(grid.ndim)
    centred = grid - grid.mean()
    mains = {i: centred.mean(axis=tuple(j for j in axes if j != i), keepdims=True) for i in axes}
    found: dict[tuple[str, ...], tuple[float, int]]
    found = {(names[i],): (float((one**2).mean()), grid.shape[i] - 1) for i, one in mains.items()}
    for i, j in itertools.combinations(axes, 2):
        both = centred.mean(axis=tuple(k for k in axes if k not in (i, j)), keepdims=True)
        free = (grid.shape[i] - 1) * (grid.shape[j] - 1)
        found[names[i], names[j]] = float(((both - mains[i] - mains[j]) ** 2).mean()), free
    if grid.ndim > 2:
        square = (centred**2).mean() - sum(square for square, _ in found.values())
        free = grid.size - 1 - sum(free for _, free in found.values())
        found[()] = max(0.0, float(square)), free
    return found


def _paired(kept: pd.DataFrame) -> np.ndarray | None:
    """Return the runs as settings by seeds, if all settings were run with the same ones."""
    if kept.duplicated(["setting", "seed"]).any():
        return None
    wide = kept.pivot(index="setting", columns="seed", values="y")
    is_whole = wide.shape[1] > 1 and wide.shape[0] > 1 and bool(wide.notna().all(axis=None))
    return wide.to_numpy() if is_whole else None


def _df_of_sum(wide: np.ndarray, rest: np.ndarray) -> float:
    """Return the degrees of freedom of the scatter within settings that share their seeds, and so
    some of their luck (Satterthwaite).
    """
    k, n = wide.shape
    free = (n - 1), (k - 1) * (n - 1)
    parts = wide.mean(0).var(ddof=1), (k - 1) / k * (rest**2).sum() / free[1]
    if not sum(parts):
        return free[1]
    return float(sum(parts) ** 2 / (parts[0] ** 2 / free[0] + parts[1] ** 2 / free[1]))


def _signal(square: float, df: int, noise: float, df_noise: int) -> Ends:
    """Return the variance that effects have beyond chance, with its ends.

    They follow from the noncentral F distribution.

    Args:
        square: Mean square of the effects over the cells.
        df: Its degrees of freedom.
        noise: What each of these adds to that mean square by chance.
        df_noise: The degrees of freedom of the noise.

    References:
        Steiger (2004), Beyond the F test, Psychological Methods 9.
    """
    if noise <= ROUNDING * square / df:
        return square, square, square
    ratio = square / (df * noise)
    low, high = (
        noise * _noncentrality(ratio, df, df_noise, (1 + side * LEVEL) / 2) for side in (1, -1)
    )
    middle = max(0.0, square - df * noise)
    return middle, min(low, middle), max(high, middle)


def _chi_square(variance: float, df: float) -> Ends:
    """Return a variance with the ends that the chi-square distribution gives."""
    low, high = (variance * df / stats.chi2.ppf((1 + s * LEVEL) / 2, df) for s in (1, -1))
    return variance, float(low), float(high)


def _share(part: Ends, rest: Ends, n: int) -> Interval:
    """Return the share of a part in the whole, with the interval of its odds.

    References:
        Zou and Donner (2008) on intervals of sums, here of the two logarithms.
    """
    (middle, low, high), (others, less, more) = part, rest
    if middle + others <= 0:
        return Interval(0.0, 0.0, 0.0, LEVEL, n)
    ends = []
    for edge, far, side in ((low, more, -1), (high, less, 1)):
        if edge <= 0:
            ends.append(0.0)
        elif far <= 0:
            ends.append(1.0)
        elif middle <= 0 or others <= 0:  # no middle to start from
            ends.append(edge / (edge + far))
        else:
            way = math.hypot(math.log(edge / middle), math.log(far / others))
            ends.append(float(special.expit(math.log(middle / others) + side * way)))
    return Interval(middle / (middle + others), ends[0], ends[1], LEVEL, n)


def _noncentrality(ratio: float, df: int, df_noise: int, below: float) -> float:
    """Return the noncentrality at which so much of the F distribution lies below a value, 0 if no
    noncentrality lets that much.
    """

    def excess(at: float) -> float:
        return float(special.ncfdtr(df, df_noise, at, ratio)) - below

    if excess(0.0) <= 0:
        return 0.0
    top = max(1.0, df * ratio)
    while excess(top) > 0:
        top *= 2
    return float(optimize.brentq(excess, 0.0, top, rtol=1e-6))


# --------------------------------------------------------------------------------- other tables


def _two_levels(kept: pd.DataFrame, means: np.ndarray, counts: np.ndarray) -> tuple[Ends, Ends]:
    """Return the variance between settings and that of the runs of a setting, with their ends.

    Those of the first are relative to the second, from the F distribution, as for `between_share`.
    """
    within, df = _within(kept)
    spread = float(means.var(ddof=1))
    if not within:
        return (spread, spread, spread), (within, within, within)
    noise = within * float((1 / counts).mean())
    low, high = (
        max(0.0, spread / float(stats.f.ppf((1 + s * LEVEL) / 2, len(means) - 1, df)) - noise)
        for s in (1, -1)
    )
    return (max(0.0, spread - noise), low, high), (within, within, within)


def _forest(
    codes: pd.DataFrame, means: np.ndarray, total: float, rng: np.random.Generator
) -> tuple[tuple[Share, ...], float]:
    """Return total shares by shuffling, and how much of the unseen variance the forest predicts.

    Shuffling a hyperparameter of a perfect forest adds twice its part of the variance, all its
    interactions counted, to the mean squared error. Each of `FOLDS` parts of the settings is
    predicted by a forest of the others; the interval is Student's over the parts, widened since
    their forests share settings.

    References:
        Breiman (2001), Random forests; Saltelli et al. (2010) on total effects; Nadeau and Bengio
        (2003), Inference for the generalization error, on the interval.
    """
    from sklearn.ensemble import RandomForestRegressor  # takes a second to load

    x, n, k = codes.to_numpy(float), len(means), codes.shape[1]
    parts = np.array_split(rng.permutation(n), FOLDS)
    gains, missed = np.empty((FOLDS, k)), np.empty(n)
    for fold, part in enumerate(parts):
        rest = np.setdiff1d(np.arange(n), part)
        state = int(rng.integers(2**31))
        forest = RandomForestRegressor(TREES, min_samples_leaf=2, random_state=state)
        forest.fit(x[rest], means[rest])
        asked = np.tile(x[part], (1 + k * SHUFFLES, 1)).reshape(-1, len(part), k)
        for i, j in itertools.product(range(SHUFFLES), range(k)):
            asked[1 + j * SHUFFLES + i, :, j] = rng.choice(x[:, j], len(part))
        told = forest.predict(asked.reshape(-1, k)).reshape(-1, len(part))
        errors = (told - means[part]) ** 2
        missed[part] = errors[0]
        shuffled = errors[1:].reshape(k, SHUFFLES, len(part)).mean(axis=(1, 2))
        gains[fold] = (shuffled - errors[0].mean()) / 2 / total
    middle, spread = gains.mean(0), gains.std(0, ddof=1)
    half = stats.t.ppf((1 + LEVEL) / 2, FOLDS - 1) * spread * np.sqrt(1 / FOLDS + 1 / (FOLDS - 1))
    shares = [
        Share((str(name),), Interval(max(0.0, m), max(0.0, m - h), min(1.0, m + h), LEVEL, n))
        for name, m, h in zip(codes, middle.tolist(), half.tolist(), strict=True)
    ]
    shares.sort(key=lambda one: -one.share.estimate)
    return tuple(shares), float(1 - missed.mean() / means.var())
