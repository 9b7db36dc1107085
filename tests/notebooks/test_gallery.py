"""The pages of the gallery run, and each goes from a question to a verdict."""

import re
from pathlib import Path

import pytest

from hplab.pages.figures.figure import NOTHING
from hplab.pages.notebooks import execute, ipynb, pairing
from hplab.pages.site.study_pages import FIGURE

GALLERY = Path(__file__).resolve().parents[2] / "book" / "gallery"
PAGES = pairing.pages(GALLERY)
OVERVIEW = GALLERY.with_suffix(".md").read_text(encoding="utf-8")
PARTS = ["The question", "The answer", "What it rests on"]
VERDICT = re.compile(r"(Supported|Contradicted|Inconclusive): The runs (show|leave open)")


def test_all_pairs_agree_and_keep_the_rules():
    assert [str(problem) for problem in pairing.check(GALLERY)] == []


def test_the_overview_leads_to_every_page():
    named = re.findall(r"\{doc\}`[^`]+ <gallery/([\w-]+)>`", OVERVIEW)

    assert named == [page.stem for page in PAGES]
    assert len(named) == 5


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_has_a_question_an_answer_and_what_that_rests_on(page):
    headings = re.findall(r"(?m)^## (.+)$", page.read_text(encoding="utf-8"))

    assert [heading for heading in headings if heading in PARTS] == PARTS


@pytest.mark.xdist_group("kernels")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_runs_and_shows_figure_and_verdict(page, tmp_path):
    env = {"HPLAB_RESULTS": str(tmp_path / "results"), "HPLAB_OFFLINE": "1", "HPLAB_JOBS": "1"}

    done = execute.run(page, tmp_path / "out.ipynb", env=env, cwd=tmp_path)

    assert done.fault is None, execute.index([done])
    cells = [cell for cell in ipynb.read(done.out).cells if cell.cell_type == "code"]
    shown = [output.get("data", {}) for cell in cells for output in cell.outputs]
    html = "".join(data.get("text/html", "") for data in shown)
    assert FIGURE in html
    assert NOTHING not in html
    assert any(VERDICT.match(data.get("text/plain", "")) for data in shown)
