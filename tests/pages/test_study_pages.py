"""A page has every figure its notebook draws, each once, and says how many are in miniature."""

import json

import pandas as pd
import pytest
from tiny_book import FIGURE, code_cell, shown

from hplab.pages.figures.figure import Html, nothing_recorded, one_value, with_still
from hplab.pages.site import study_pages

DRAWS = 'hp.plots.axis(runs, x="lr", y="val_acc")'
PNG = "iVBORw0KGgo="


def figure(caption="Figure: accuracy; laptop preset, digits, cnn, cpu."):
    """The output of a figure as a notebook keeps it."""
    drawing = FIGURE[FIGURE.index("<svg") : FIGURE.index("</svg>") + 6]
    markup = FIGURE.replace(drawing, with_still(drawing, PNG, "Accuracy falls."))
    output = shown("text/html", markup)
    output["data"] |= {"image/png": PNG, "text/plain": caption}
    return output


def note(html: Html):
    output = shown("text/html", html.html)
    output["data"]["text/plain"] = html.text
    return output


@pytest.fixture
def built(tmp_path):
    """Returns a function that writes an executed notebook and its page; it returns the problems."""

    def build(*cells, preset="paper", page=None):
        executed = tmp_path / "executed" / "studies" / "01-a.ipynb"
        html = tmp_path / "html" / "studies" / "01-a.html"
        for path in (executed, html):
            path.parent.mkdir(parents=True, exist_ok=True)
        notebook = {
            "nbformat": 4,
            "nbformat_minor": 5,
            "metadata": {"hplab": {"preset": preset}},
            "cells": list(cells),
        }
        executed.write_text(json.dumps(notebook))
        kept = json.loads(study_pages.source(executed.read_bytes()))
        outputs = [output for cell in kept["cells"] for output in cell.get("outputs", [])]
        markup = "".join(output["data"].get("text/html", "") for output in outputs)
        html.write_text(markup if page is None else page)
        return study_pages.missing_figures(tmp_path / "html", tmp_path / "executed")

    return build


def test_a_page_with_all_its_figures_has_no_problem(built):
    assert built(code_cell(DRAWS, figure()), code_cell("hp.explore(runs)", figure())) == []


def test_a_page_that_lost_a_figure_has_one(built):
    cells = [code_cell(DRAWS, figure()), code_cell("hp.explore(runs)", figure())]

    assert built(*cells, page=FIGURE) == ["01-a.html: 1 figures, but 2 cells draw one"]


def test_a_cell_that_drew_nothing_is_named(built):
    problems = built(code_cell(DRAWS, note(nothing_recorded())), code_cell("x", figure()))

    (problem,) = problems  # the page has as many figures as cells that draw, but not this one's
    assert problem.startswith(f"01-a.html: no figure or table after {DRAWS!r} (Nothing to show")


def test_a_comparison_that_waits_for_a_second_value_is_no_lost_figure(built):
    runs = pd.DataFrame({"lr": [0.1], "settings": '["lr"]'})
    runs.attrs = {"n_missing": 1}

    assert built(code_cell(DRAWS, note(one_value(runs, "lr")))) == []


@pytest.mark.parametrize("page", [None, FIGURE + nothing_recorded().html])
def test_a_table_with_nothing_to_show_is_a_problem(built, page):
    empty = code_cell("hp.show(runs)", note(nothing_recorded()))
    problems = built(code_cell(DRAWS, figure()), empty, page=page)

    assert len(problems) == 1
    assert "no figure or table after 'hp.show(runs)'" in problems[0]


def test_words_that_no_cell_said_are_found_on_the_page(built):
    page = FIGURE + "<p>Nothing to show yet</p>"

    assert built(code_cell(DRAWS, figure()), page=page) == ["01-a.html: says 'Nothing to show yet'"]


def test_hidden_cells_and_the_smallest_preset_are_left_out(built):
    hidden = code_cell(DRAWS, tags=("remove-cell",))
    assert built(hidden) == []
    assert built(code_cell(DRAWS), preset="smoke") == []
    assert built(code_cell(DRAWS), preset="laptop") != []


def test_a_page_keeps_the_drawing_and_drops_the_picture(built, tmp_path):
    built(code_cell(DRAWS, figure()))
    executed = (tmp_path / "executed/studies/01-a.ipynb").read_text()
    page = (tmp_path / "html/studies/01-a.html").read_text()

    assert executed.count(PNG) == 2
    assert PNG not in page
    assert page == FIGURE


def test_a_picture_that_is_no_figure_of_ours_stays():
    picture = {"output_type": "display_data", "metadata": {}, "data": {"image/png": PNG}}
    notebook = {"cells": [code_cell("photo", picture)]}

    assert json.loads(study_pages.source(json.dumps(notebook).encode())) == notebook


@pytest.mark.parametrize(
    ("presets", "counted"),
    [
        (["laptop", "paper", "laptop"], "Of the 3 figures on this page, 2 are of the preset"),
        (["laptop", "", "paper"], "Of the 3 figures on this page, 1 is of the preset `laptop`"),
        (["laptop", "laptop"], "All 2 figures on this page are of the preset `laptop`"),
        (["smoke", "laptop"], "All 2 figures on this page are of the preset `laptop` and `smoke`"),
    ],
)
def test_a_page_says_how_many_figures_are_in_miniature(presets, counted):
    captions = [f"Figure: a; {name} preset, digits." if name else "Figure: b." for name in presets]

    assert counted in study_pages.miniature(captions)


def test_a_page_of_the_reports_own_data_says_nothing():
    assert study_pages.miniature(["Figure: a; paper preset, mnist.", "Figure: b."]) == ""


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        ('<section class="hp-verdict hp-supported" id="claim-S0-01">', "for the report's own"),
        ('<section class="hp-verdict hp-supported" aria-label="Verdict: supported">', "declares"),
    ],
)
def test_a_study_of_ones_own_speaks_of_no_report(verdict, said):
    figure = {"text/html": study_pages.FIGURE, "text/plain": "Figure: a; laptop preset, digits."}
    outputs = [
        {"output_type": "display_data", "data": data, "metadata": {}}
        for data in (figure, {"text/html": verdict})
    ]
    cells = [
        {"cell_type": "markdown", "source": "# A study", "metadata": {}},
        {"cell_type": "code", "source": "x", "outputs": outputs, "metadata": {}},
    ]
    page = study_pages.source(json.dumps({"cells": cells, "metadata": {}}).encode()).decode()
    assert said in page
    assert ("the report" in page) == ("claim-" in verdict)


@pytest.mark.parametrize(
    ("text", "before"),
    [
        ("(study-a)=\n# Title\n\n**In short.** It is.\n\nMore.", "**In short.** It is."),
        ("# Title\n\nMore.", "# Title"),
    ],
)
def test_the_note_stands_after_the_answer_or_the_title(text, before):
    cell = {"cell_type": "markdown", "id": "a", "metadata": {}, "source": text}
    notebook = {"cells": [cell, code_cell(DRAWS, figure())]}
    page = json.loads(study_pages.source(json.dumps(notebook).encode()))
    blocks = page["cells"][0]["source"].split("\n\n")

    assert blocks[blocks.index(before) + 1].startswith("```{admonition} In miniature")
    assert blocks[-1] == "More."


@pytest.mark.parametrize(
    ("preset", "known", "wrong"),
    [
        ("paper", {"S4-05": {"outcome": "inconclusive"}}, 1),
        ("paper", {"S4-05": {"outcome": "supported"}}, 0),
        ("paper", {}, 1),
        ("laptop", {}, 0),
    ],
)
def test_a_page_says_of_a_claim_what_the_ledger_says(built, tmp_path, preset, known, wrong):
    box = '<section class="hp-verdict hp-supported" id="claim-S4-05" aria-label="x"></section>'
    built(code_cell("hp.claims.verdict()", shown("text/html", box)), preset=preset)

    found = study_pages.contradictions(tmp_path / "html", tmp_path / "executed", known)

    told = known.get("S4-05", {}).get("outcome", "missing")
    assert found == [f"01-a.html: claim S4-05 is supported, in the ledger {told}"] * wrong


def test_a_figure_that_stands_twice_on_a_page_has_ids_of_its_own_each_time():
    drawing = '<svg><path id="hp0123abcdm1" d="M 0 0"/><use href="#hp0123abcdm1"/></svg>'
    output = shown("text/html", f"{study_pages.FIGURE}>{drawing}</figure>")
    cells = [code_cell(DRAWS, output), code_cell("hp.explore(runs)", output)]
    page = json.loads(study_pages.source(json.dumps({"cells": cells, "metadata": {}}).encode()))

    first, second = (cell["outputs"][0]["data"]["text/html"] for cell in page["cells"])
    assert drawing in first
    assert 'id="hp0123abcdn2m1"' in second
    assert 'href="#hp0123abcdn2m1"' in second
    assert "hp0123abcdm1" not in second


def test_a_hidden_cell_is_called_a_solution():
    plain, hidden = code_cell("1"), code_cell("2", tags=("hide-cell",))
    staged = json.loads(study_pages.source(json.dumps({"cells": [plain, hidden]}).encode()))
    first, second = (cell["metadata"].get("mystnb", {}) for cell in staged["cells"])
    assert first == {}
    assert second["code_prompt_show"] == "Show a solution"


# --------------------------------------------------------- what is shown, what is not recorded


def page(*cells, preset="paper"):
    """The markdown of the page's cells, in order, and what its code cells print."""
    notebook = {"cells": list(cells), "metadata": {"hplab": {"preset": preset}}}
    made = json.loads(study_pages.source(json.dumps(notebook).encode()))["cells"]
    printed = [out.get("text", "") for cell in made for out in cell.get("outputs", [])]
    return ["".join(c["source"]) for c in made if c["cell_type"] == "markdown"], printed


def cell(source, *printed, tags=()):
    outputs = [{"output_type": "stream", "name": "stdout", "text": text} for text in printed]
    return {"cell_type": "code", "source": source, "outputs": outputs, "metadata": {"tags": tags}}


def test_a_page_says_where_a_run_of_it_would_show_another_preset():
    given = cell('preset = "laptop"  # smoke', tags=["parameters"])
    (said,), _ = page(given)

    assert "records of the preset `paper`" in said
    assert "Run it and you get `laptop`: the whole study on embedded data" in said
    assert "at most 5 seeds" in said
    assert page(given, preset="laptop")[0] == []


def test_what_is_not_recorded_is_said_once_in_the_section_on_cost():
    gap = "3 of 9 trials of preset 'paper' are not recorded yet; to run: make execute STUDY=a\n"
    titles = [
        {"cell_type": "markdown", "metadata": {}, "source": f"## {t}"} for t in ("One", "Two")
    ]
    cost = {"cell_type": "markdown", "metadata": {}, "source": "## What it cost, and more"}
    first, second = cell("run", f"{gap}done\n"), cell("run", gap)
    said, printed = page(titles[0], first, titles[1], second, cost, cell("hp.cost(runs)"))

    assert printed == ["done\n"]
    assert sum("not recorded" in text.lower() for text in said) == 1
    assert "- 3 of 9 trials of preset `paper`: *One*, *Two*" in said[-1]
    assert said[-1].endswith("To train: `make execute STUDY=a`.")
    assert page(titles[0], first)[1] == [f"{gap}done\n"]  # a page without that section keeps it
