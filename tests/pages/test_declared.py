"""The list of trials that the studies declare says what they declare."""

from pathlib import Path

import planned
import pytest

from hplab.pages.notebooks.declared import collect
from hplab.sweeps import declared
from hplab.trial import HplabError, Trial, grid

LIST = Path(__file__).parents[2] / "book" / "trials.jsonl"


@pytest.mark.xdist_group("planned")  # the studies' cells are run once a process
def test_the_committed_list_is_what_the_studies_train():
    """Written by `hplab plan --anew`."""
    trained, _ = planned.asked()
    asked = {trial.identity() for _, _, trial in trained}
    listed = [trial.identity() for _, trial in declared.read(LIST)]
    assert len(listed) == len(set(listed)) > 5000
    assert set(listed) == asked


def test_what_is_written_is_read(tmp_path):
    trials = grid(Trial(data="digits"), lr=[0.1, 0.01], seed=[0, 1, 2, 5])
    path = tmp_path / "trials.jsonl"
    path.write_text(declared.dumps(("01-a", trial) for trial in trials))
    assert len(path.read_text().splitlines()) == 2
    assert '"seeds":[[0,2],[5,5]]' in path.read_text()
    found = declared.read(path)
    assert {study for study, _ in found} == {"01-a"}
    assert [t.identity() for _, t in found] == [t.identity() for t in trials]


def test_a_line_that_is_no_trial_is_named(tmp_path):
    path = tmp_path / "trials.jsonl"
    with pytest.raises(HplabError, match=r"trials\.jsonl: No such file.*`hplab plan --anew`"):
        declared.read(path)
    path.write_text(
        declared.dumps([("01-a", Trial(data="digits"))]) + '{"config": {}, "study": "01-a"}\n'
    )
    with pytest.raises(HplabError, match="line 2: no declared trials"):
        declared.read(path)


def test_cells_are_run_without_training(tmp_path):
    page = tmp_path / "09-made.md"
    cells = [
        "import hplab as hp\n",
        "runs = hp.run(hp.grid(hp.Trial(data='digits'), seed=range(2)), preset=preset)\n",
        "hp.plots.axis(runs)\n",
    ]
    tags = ":tags: [parameters]\n\npreset = 'laptop'\n"
    page.write_text("".join(f"```{{code-cell}}\n{text}```\n\n" for text in [tags, *cells]))
    found = collect([page])
    assert [(study, trial.seed) for study, trial in found] == [("09-made", 0), ("09-made", 1)]
