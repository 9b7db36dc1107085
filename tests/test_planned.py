"""Every trial a page of the book waits for is one that a page trains."""

from pathlib import Path
from unittest.mock import Mock

import pytest

import hplab as hp
from hplab.pages import pairing
from hplab.sweeps import presets

STUDIES = sorted(Path(__file__).parents[1].glob("book/studies/*.md"))


@pytest.fixture(scope="module")
def asked():
    """The trials that all studies train at preset "paper", and those they only look for.

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
        for name in ("plots", "show", "claims_table", "explore", "cost", "glue"):
            patch.setattr(hp, name, silent)
        for path in STUDIES:
            names = {}
            for cell in pairing.read(path).cells:
                if cell.cell_type == "code" and "!git" not in cell.source:
                    exec(cell.source, names)
                    if "parameters" in cell.metadata.get("tags", []):
                        names["preset"] = "paper"
    return trained, wanted


@pytest.mark.parametrize("preset", ["reduced", "paper"])
def test_what_a_page_looks_for_is_trained_by_the_study_it_names(asked, preset):
    trained, wanted = asked
    scale = presets.PRESETS[preset].scale
    made = {(study, scale(trial).identity()) for _, study, trial in trained}
    orphans = [
        (study, trial)
        for size, study, trial in wanted
        if size == preset and (study, scale(trial).identity()) not in made
    ]

    assert any(size == preset for size, _, _ in wanted)
    assert not orphans, f"{len(orphans)} trials that {orphans[0][0]} does not train: {orphans[0]}"
