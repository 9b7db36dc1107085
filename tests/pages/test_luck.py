"""The luck of a run is divided among what it was drawn for."""

import itertools

import numpy as np
import pandas as pd
import pytest

from hplab.pages.tables import luck
from hplab.sweeps import runner
from hplab.trial import HplabError


def made(effects, n=4):
    """Runs whose accuracy is a sum of what each source's level gives."""
    rows = []
    for levels in itertools.product(range(n), repeat=3):
        value = 0.9 + sum(effect * level for effect, level in zip(effects, levels, strict=True))
        rows.append(dict(zip(luck.SOURCES, levels, strict=True)) | {"val_acc": value})
    return pd.DataFrame(rows).sample(frac=1, random_state=0)


def test_each_source_gets_the_variance_it_makes():
    found = luck.components(made((0.01, 0.0, 0.03)), "val_acc")

    one_step = np.var(range(4), ddof=1)
    assert found["initial weights"].estimate == pytest.approx(1e-4 * one_step)
    assert found["order of images"].estimate == pytest.approx(0, abs=1e-12)
    assert found["split"].estimate == pytest.approx(9e-4 * one_step)
    assert found[luck.REST].estimate == pytest.approx(0, abs=1e-12)


def test_a_combination_that_is_missing_is_named():
    with pytest.raises(HplabError, match="63 runs are not every combination"):
        luck.components(made((1, 1, 1)).iloc[1:], "val_acc")


def test_every_combination_is_a_trial_of_its_own_and_reaches_the_table(store):
    trials = luck.trials()
    assert len({trial.identity() for trial in trials}) == luck.LEVELS**3

    runs = runner.run(trials, preset="smoke", device="cpu", store=store)

    page = luck.shown(runs).html
    assert all(name in page for name in (*luck.SOURCES.values(), luck.REST))
    assert "Nothing to show" in luck.shown(runs.iloc[:0]).html
