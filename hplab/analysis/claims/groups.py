"""Which runs are about a claim: those of its settings, alike in everything else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from hplab import catalogue
from hplab.analysis.claims import samples
from hplab.analysis.claims.claim import Claim
from hplab.analysis.claims.quantities import Missing
from hplab.sweeps import presets

_NOT_A_SETTING = {"seed", "measure", "n_directions", "precision"}


def of_claim(claim: Claim, runs: pd.DataFrame) -> list[pd.DataFrame]:
    """Return the runs of a claim's arms in groups alike in all else, the most fitting first."""
    if runs.empty or not claim.test.settings:
        return []
    setting = claim.report.setting
    if on_stand_in(runs):
        runs = runs[runs["model"] == setting["model"]]
    elif "data" in setting:
        runs = runs[runs["data"] == setting["data"]]
    if runs.empty:
        return []
    arms = claim.test.settings
    which = np.array([_of_arm(runs, {**claim.report.fixed, **arm}) for arm in arms])
    runs, which = runs[which.any(axis=0)], which[:, which.any(axis=0)]
    if runs.empty:
        return []
    once = _once(runs, claim)
    runs, which = runs[once], which[:, once]
    named = {name for arm in arms for name in arm} | _NOT_A_SETTING
    varied = {name for name in named if len({str(arm.get(name)) for arm in arms}) > 1}
    usual = _usual(runs, varied, claim)
    runs, which = runs[usual], which[:, usual]
    alike = [
        name
        for name in samples.settings(runs)
        if not {name, name.rpartition(".")[2]} & named and samples.owner(name) not in varied
    ]
    keys = np.array(["|".join(map(str, row)) for row in runs[alike].to_numpy()])
    ranked = []
    for key in dict.fromkeys(keys):
        rows = keys == key
        group = runs[rows]
        fit = sum(_fits(group, name, value) for name, value in claim.report.setting.items())
        ranked.append((fit, int(which[:, rows].any(axis=1).sum()), len(group), key, group))
    ranked.sort(key=lambda one: one[:4], reverse=True)
    return [one[-1] for one in ranked]


def on_stand_in(runs: pd.DataFrame) -> bool:
    """Return whether runs are on the embedded data that stand in for a report\'s."""
    return bool((runs["data"] == presets.STAND_IN).all())


def _once(runs: pd.DataFrame, claim: Claim) -> np.ndarray:
    """Return the runs to use where several differ in nothing but what was measured on them.

    It is the one that holds most of what the claim needs, then most of all numbers.
    """
    needed = [name for name in sorted(claim.test.columns) if name in runs]
    told = runs[needed].notna().sum(axis=1) * len(runs.columns) + runs.notna().sum(axis=1)
    rows = runs[[*samples.settings(runs), "seed"]].to_numpy()
    alike = ["|".join(map(str, row)) for row in rows]
    return runs.index.isin(told.groupby(alike).idxmax())


def _of_arm(runs: pd.DataFrame, arm: Mapping[str, Any]) -> np.ndarray:
    try:
        return samples.matches(runs, arm)
    except Missing:
        return np.zeros(len(runs), bool)


def _usual(runs: pd.DataFrame, varied: set[str], claim: Claim) -> np.ndarray:
    """Return the runs in which a component that the arms vary has the arguments it should have.

    Two optimizers have different arguments, so their runs cannot be alike in them: each has those
    of the report's setting, else its defaults, as far as there are such runs.
    """
    rows = np.ones(len(runs), bool)
    for owner in varied & set(catalogue.WITH_ARGS):
        for kind, defaults in catalogue.defaults(owner).items():
            mine = (runs[owner] == kind).to_numpy()
            for name, default in defaults.items():
                if name not in runs or name in varied:
                    continue
                wanted = claim.report.setting.get(name, default)
                wanted = "-".join(map(str, wanted)) if isinstance(wanted, list) else wanted
                right = samples.equal(runs[name], wanted)
                if (mine & right).any():
                    rows &= ~mine | right
    return rows


def _fits(group: pd.DataFrame, name: str, value: Any) -> bool:
    """Return whether a group has a value of the report's setting, as trained or as declared."""
    columns = (group[name], samples.declared(group, name)) if name in group else ()
    return any(bool(samples.equal(column, value).all()) for column in columns)
