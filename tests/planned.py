"""The trials that the studies ask for, found by running their cells without training."""

import functools
from pathlib import Path
from unittest.mock import Mock

import pytest

import hplab as hp
from hplab.pages.notebooks import ipynb
from hplab.sweeps import presets

STUDIES = sorted(Path(__file__).parents[1].glob("book/studies/*.md"))


@functools.cache
def asked(size="paper"):
    """Return the trials that all studies train at a preset, and those they only look for.

    Returns:
        Two lists of (preset asked for, study that trains it or is said to, trial).
    """
    trained, wanted = [], []
    train, look = hp.run, hp.recorded

    def run(trials, *, preset, **_):
        trials = list(trials)
        trained.extend((preset, path.stem, trial) for trial in trials)
        return train(trials, preset=preset)

    def recorded(trials, *, preset=None, study=None):
        trials = list(trials)
        wanted.extend((preset or "paper", study or path.stem, trial) for trial in trials)
        return look(trials, preset=preset, study=study)

    silent = Mock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HPLAB_MODE", "cached")
        patch.setattr(hp, "run", run)
        patch.setattr(hp, "recorded", recorded)
        for name in (
            "plots",
            "show",
            "claims_table",
            "explore",
            "watch",
            "cost",
            "glue",
            "lr_find",
        ):
            patch.setattr(hp, name, silent)
        for path in STUDIES:
            names = {}
            for cell in ipynb.read(path).cells:
                if cell.cell_type == "code" and "!git" not in cell.source:
                    exec(cell.source, names)
                    if "parameters" in cell.metadata.get("tags", []):
                        names["preset"] = size
    return trained, wanted


def scaled(size):
    """Return the trials that a preset trains for all studies, as it trains them, once each."""
    trained, _ = asked(size)
    by_study = {}
    for preset, study, trial in trained:
        by_study.setdefault((preset, study), []).append(trial)
    found = {}
    for (preset, _), trials in by_study.items():
        chosen = presets.PRESETS[preset]
        for trial in map(chosen.scale, chosen.choose(trials)):
            found[trial.identity()] = trial
    return list(found.values())
