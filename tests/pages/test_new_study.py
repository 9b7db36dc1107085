"""`hplab new-study`: what it writes keeps every rule, runs, and is found again."""

import re
import runpy
import shutil
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
import yaml

import hplab as hp
from hplab.pages.notebooks import ipynb, new_study, pairing
from hplab.pages.notebooks.declared import collect
from hplab.trial import HplabError

ROOT = Path(__file__).resolve().parents[2]
TOC = """\
format: jb-book
root: intro  # the start
parts:
  - caption: Studies
    chapters:
      - file: studies/01-learning-rate
      - file: studies/02-batch-size
  - caption: More
    chapters:
      - file: glossary
"""


@pytest.fixture
def clone(tmp_path):
    """A clone with a small book: the first two studies of the real one, and a glossary."""
    studies = tmp_path / "book" / "studies"
    studies.mkdir(parents=True)
    for page in pairing.pages(ROOT / "book" / "studies")[:2]:
        text = page.read_text(encoding="utf-8")
        short = text[: text.index("## ")] if "## " in text else text
        (studies / page.name).write_text(f"{short}\n", encoding="utf-8")
    for name in ("glossary.md", "references.bib"):
        shutil.copy(ROOT / "book" / name, tmp_path / "book")
    (tmp_path / "book" / "_toc.yml").write_text(TOC, encoding="utf-8")
    return tmp_path


@pytest.fixture
def written(clone):
    """The files of a new study, by the ends of their names."""
    return {path.suffix: path for path in new_study.create(clone, "momentum")}


def test_it_is_the_next_study_with_notebook_test_and_line_in_the_contents(clone, written):
    assert {path.relative_to(clone).as_posix() for path in written.values()} == {
        *("book/studies/03-momentum.md", "book/studies/03-momentum.ipynb"),
        *("tests/notebooks/test_03_momentum.py", "book/_toc.yml"),
    }
    toc = written[".yml"].read_text()
    line = "      - file: studies/03-momentum\n"
    assert toc.replace(line, "") == TOC  # comments and all
    chapters = yaml.safe_load(toc)["parts"][0]["chapters"]
    assert [chapter["file"] for chapter in chapters][-2:] == [
        *("studies/02-batch-size", "studies/03-momentum"),
    ]


def test_the_pair_agrees_and_keeps_the_rules(clone, written):
    studies = clone / "book" / "studies"
    pairing.sync(studies)

    assert [str(problem) for problem in pairing.check(studies)] == []
    values = ipynb.parameters(ipynb.read(written[".md"]))
    assert values == {"preset": "laptop", "device": "auto", "n_seeds": None}
    assert "$" not in written[".md"].read_text() + written[".py"].read_text()


def test_it_has_question_prediction_claim_grid_figure_and_verdict(written):
    text = written[".md"].read_text()

    assert "\n(study-momentum)=\n# Does momentum matter?\n" in text
    for part in ("**In short.**", "predict.**", 'claim = "', "hp.judge(runs, claim)"):
        assert text.count(part) == 1
    assert len(re.findall(r"hp\.grid\(", text)) == len(re.findall(r"hp\.plots\.", text)) == 1


def test_it_sets_up_python_as_the_other_studies_do(written):
    def setup(page):
        return next(cell.source for cell in ipynb.read(page).cells if cell.cell_type == "code")

    assert setup(written[".md"]) == setup(ROOT / "book" / "studies" / "01-learning-rate.md")


def test_its_own_test_passes_and_sees_a_claim_that_the_grid_cannot_answer(written):
    tests = runpy.run_path(str(written[".py"]))
    (test,) = (value for name, value in tests.items() if name.startswith("test_"))
    test()
    page = written[".md"].read_text()
    written[".md"].write_text(page.replace("1e-2], seed=range(5)", "2e-2], seed=range(5)"))

    with pytest.raises(AssertionError, match=r"0 runs have \{'lr': 0\.01\}"):
        test()
    written[".md"].write_text(page.replace("lr=0.01 beats lr=0.001", "lr=0.01 beats lr=0.0001"))
    test()  # another claim is read from the page
    written[".md"].write_text(page.replace("seed=range(5)", "seed=range(2)"))
    with pytest.raises(AssertionError, match=r"2 runs have"):
        test()


def test_it_trains_and_asks_its_claim_of_the_runs(clone, written, monkeypatch, capsys):
    monkeypatch.setenv("HPLAB_RESULTS", str(clone / "results"))
    monkeypatch.setenv("CI", "1")
    monkeypatch.setattr(hp, "judge", asked := Mock())
    monkeypatch.setattr(hp, "glue", glued := Mock())
    names = {}
    for cell in ipynb.read(written[".md"]).cells:
        if cell.cell_type == "code":
            exec(cell.source, names)
            if "parameters" in cell.metadata.get("tags", []):
                names |= {"preset": "smoke", "device": "cpu", "n_seeds": 3}

    runs, claim = asked.call_args.args
    assert sorted(runs["lr"].unique()) == [1e-4, 1e-3, 1e-2]
    assert runs.groupby("lr")["seed"].apply(list).map(tuple).nunique() == 1
    assert claim == "val_acc at lr=0.01 beats lr=0.001 by 0.2 pp"
    assert glued.call_args.args[0] == "answer"


def test_its_claim_is_one_that_can_be_judged(written):
    claim = re.search(r'claim = "(.+)"', written[".md"].read_text())[1]
    noise = np.random.default_rng(0)
    rows = [
        {**trial.flat(), "status": "ok", "val_acc": 0.9 + 5 * trial.lr + 1e-3 * noise.normal()}
        for _, trial in collect([written[".md"]])
    ]

    assert hp.judge(pd.DataFrame(rows), claim).outcome == "supported"


@pytest.mark.parametrize(
    ("topic", "words"),
    [
        ("batch-size", "there is a study of that name: book/studies/02-batch-size.md"),
        *(
            (bad, "a study is named by its topic")
            for bad in ("", "08-momentum", "Momentum", "a/b", "..", "a b", "a--b", "a-", "a" * 41)
        ),
    ],
)  # fmt: skip
def test_a_name_that_exists_or_is_none_is_refused_and_nothing_is_written(clone, topic, words):
    before = {path: path.read_bytes() for path in clone.rglob("*") if path.is_file()}

    with pytest.raises(HplabError, match=re.escape(words)):
        new_study.create(clone, topic)

    assert {path: path.read_bytes() for path in clone.rglob("*") if path.is_file()} == before


def test_contents_without_studies_are_refused(clone):
    (clone / "book" / "_toc.yml").write_text("format: jb-book\nroot: intro\n")
    with pytest.raises(HplabError, match="lists no study"):
        new_study.create(clone, "momentum")
    assert not (clone / "book" / "studies" / "03-momentum.md").exists()


def test_the_question_may_be_said(clone):
    page, *_ = new_study.create(clone, "label-noise", "How much noise can labels have?")
    assert "(study-label-noise)=\n# How much noise can labels have?\n" in page.read_text()
