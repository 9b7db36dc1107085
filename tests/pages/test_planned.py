"""Every trial a page of the book waits for is one that a page trains."""

import planned
import pytest

from hplab.analysis.claims import rerun
from hplab.sweeps import presets
from hplab.training import datasets

pytestmark = pytest.mark.xdist_group("planned")  # the studies' cells are run once a process


@pytest.mark.parametrize("preset", ["reduced", "paper"])
def test_what_a_page_looks_for_is_trained_by_the_study_it_names(preset):
    trained, wanted = planned.asked()
    scale = presets.PRESETS[preset].scale
    made = {(study, scale(trial).identity()) for _, study, trial in trained}
    orphans = [
        (study, trial)
        for size, study, trial in wanted
        if size == preset and (study, scale(trial).identity()) not in made
    ]

    assert any(size == preset for size, _, _ in wanted)
    assert not orphans, f"{len(orphans)} trials that {orphans[0][0]} does not train: {orphans[0]}"


def test_every_trial_of_the_laptop_preset_is_committed():
    """So the book built from what is committed shows every figure; `make records-laptop WRITE=1`
    adds what is missing."""
    store, digest = rerun.committed_store(), datasets.load("digits").digest
    trials = planned.scaled("laptop")
    missing = [trial for trial in trials if store.summary(trial, digest) is None]

    assert len(trials) > 1000
    assert not missing, f"{len(missing)} of {len(trials)} are not recorded, such as {missing[0]}"
