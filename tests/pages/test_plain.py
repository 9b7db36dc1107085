"""The notebook says what the page says, in Markdown alone, and no edit of it loses MyST."""

import jupytext
import nbformat
import pytest

from hplab.pages.notebooks import ipynb, plain, prose
from hplab.trial import HplabError

PAGE = """\
(study-topic)=
# What does it do?

**In short.** It does {glue:text}`answer` \\o/.

You will learn
: what it does, and
  why.

You need
: the {doc}`glossary <../glossary>` and {doc}`02-other`.

```{code-cell} ipython3
import hplab as hp
```

A report {cite}`kant2025,three` says so. `{doc}` and ``{cite}`x` `` are code.

:::{note}
It is short.

It is true.
:::

```{code-cell} ipython3
hp.glue("answer", "nothing")
```

It did {glue:text}`answer`.

And no more.
"""
BIB = """\
@misc{kant2025, author = {Kant, Puneet}, year = {2025}, url = {https://example.org/k}}
@misc{three, author = {A, B and C, D and {S{\\u a}v Long}}, year = {1999}, doi = {10.1/x}}
"""


@pytest.fixture
def refers(tmp_path):
    studies = tmp_path / "book" / "studies"
    studies.mkdir(parents=True)
    (studies.parent / "references.bib").write_text(BIB, encoding="utf-8")
    (studies.parent / "glossary.md").write_text("# Words\n", encoding="utf-8")
    (studies / "02-other.md").write_text("(study-other)=\n# What else?\n", encoding="utf-8")
    return plain.around(studies / "01-topic.md")


def page_of(text=PAGE):
    return jupytext.reads(text, fmt="md:myst")


def sources(notebook):
    return [cell.source for cell in notebook.cells]


def edited(refers, old, new, text=PAGE):
    """The page after an edit of its notebook."""
    notebook = plain.plain(page_of(text), refers)
    (cell,) = [cell for cell in notebook.cells if old in cell.source]
    cell.source = cell.source.replace(old, new)
    return plain.back(page_of(text), notebook, refers, ipynb.said)


def test_a_page_becomes_plain_markdown_with_the_answer_as_the_first_output(refers):
    notebook = plain.plain(page_of(), refers)

    assert sources(notebook) == [
        "# What does it do?",
        "- **You will learn:** what it does, and\n  why.\n\n"
        "- **You need:** the [glossary](../glossary.md) and [What else?](02-other.ipynb).",
        "import hplab as hp",
        'hp.prose(r"""\n**In short.** It does {{answer}} \\o/.\n""")',
        "A report ([Kant, 2025](https://example.org/k); [A *et al.*, 1999](https://doi.org/10.1/x))"
        " says so. `{doc}` and ``{cite}`x` `` are code.\n\n"
        "> **Note.**\n> It is short.\n>\n> It is true.",
        'hp.glue("answer", "nothing")',
        'hp.prose("""\nIt did {{answer}}.\n""")',
        "And no more.",
    ]


def test_links_lead_to_the_repository_where_it_is_known(refers):
    config = refers.studies.parents[1] / "_config.yml"
    config.write_text("repository: {url: https://x.org/y, branch: main, path_to_book: book}\n")

    text = "\n".join(sources(plain.plain(page_of(), plain.around(refers.studies / "01-topic.md"))))

    assert "(https://x.org/y/blob/main/book/glossary.md)" in text
    assert "(https://x.org/y/blob/main/book/studies/02-other.ipynb)" in text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("{ref}`study-other`", "[What else?](02-other.ipynb)"),
        ("{ref}`there <study-other>`", "[there](02-other.ipynb)"),
        ("{ref}`study-own`", "[What is it?](#What-is-it?)"),
    ],
)
def test_a_reference_is_a_link_to_the_page_or_the_place(refers, text, shown):
    (refers.studies / "01-topic.md").write_text("(study-own)=\n## What is it?\n", encoding="utf-8")

    assert sources(plain.plain(page_of(text), refers)) == [shown]


def test_there_and_back_is_the_same_page(refers):
    page = page_of()

    found = plain.back(page, plain.plain(page, refers), refers, ipynb.said)

    assert jupytext.writes(found, fmt="md:myst") == jupytext.writes(page, fmt="md:myst")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("And no more.", "And much more."),
        ("what it does, and", "what it will do, and"),
        (" says so.", " has said so."),
        ("import hplab as hp", "import hplab as hp  # the package"),
        ("> It is short.", "> It is short."),
    ],
)
def test_an_edit_beside_what_is_swapped_comes_back(refers, old, new):
    found = "\n".join(sources(edited(refers, old, new)))

    expected = "\n".join(sources(page_of())).replace(old.lstrip("> "), new.lstrip("> "))
    assert found == expected


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("[Kant, 2025]", "[Kant, 2026]", "kant2025"),
        ("[glossary]", "[words]", "glossary <../glossary>"),
        ("It did {{answer}}", "It did it", "'It did .*' holds glued numbers"),
        ("**You need:**", "You need", "You need"),
        ("# What does it do?", "# What will it do?", "study-topic"),
        ("> It is short.", "> It is long.", "note"),
    ],
)
def test_an_edit_that_would_lose_myst_is_refused(refers, old, new, what):
    with pytest.raises(HplabError, match=what):
        edited(refers, old, new)


def test_cells_come_and_go(refers):
    page = page_of()
    notebook = plain.plain(page, refers)
    notebook.cells.append(nbformat.v4.new_markdown_cell("The end."))
    notebook.cells.insert(4, nbformat.v4.new_code_cell("hp.Trial()"))
    del notebook.cells[6]  # the cell that glues

    found = plain.back(page, notebook, refers, ipynb.said)

    before = sources(page)
    assert sources(found) == [*before[:2], "hp.Trial()", before[2], before[4], "The end."]


@pytest.mark.parametrize("place", [0, 1, 3, 4, 6])
def test_a_cell_with_myst_cannot_vanish_without_a_word(refers, place):
    notebook = plain.plain(page_of(), refers)
    del notebook.cells[place]

    with pytest.raises(HplabError, match="is gone"):
        plain.back(page_of(), notebook, refers, ipynb.said)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{cite}`kan2025`", "unknown cited work 'kan2025'.*did you mean 'kant2025'"),
        ("{doc}`02-othe`", "unknown page '02-othe'.*did you mean '02-other'"),
        ("{ref}`study-othe`", "unknown label 'study-othe'.*did you mean 'study-other'"),
        ("{numref}`fig`", "unknown role 'numref'"),
        (":::{figure} x\n:::", "unknown directive 'figure'"),
        ("{glue:text}`a:.2f`", "the name may hold"),
    ],
)
def test_myst_without_a_plain_form_is_named_with_its_cell(refers, text, what):
    with pytest.raises(HplabError, match=f"cell 1: .*{what}"):
        plain.plain(page_of(f"# Title\n\n{text}\n"), refers)


# --- the paragraphs with numbers -----------------------------------------------------------------


def test_a_paragraph_is_filled_as_its_numbers_come():
    text = "It is {{a}}, not {{b}}."

    assert prose.filled(text, {"a": "1", "b": "2"}) == "It is 1, not 2."
    assert prose.filled(text, {"a": "1"}).startswith("It is 1, not ….\n\n*Each …")


def test_a_value_goes_to_every_paragraph_that_wants_it(monkeypatch):
    class Handle:
        def update(self, bundle, raw):
            shown.append(bundle["text/markdown"])

    shown = []
    paragraphs = [("{{a}} and {{b}}", Handle()), ("{{c}}", Handle()), ("{{a}}", None)]
    monkeypatch.setattr(prose, "_shown", paragraphs)
    monkeypatch.setattr(prose, "_known", {})

    assert prose.glued("b", "-2 %")
    assert prose.glued("a", "1")
    assert not prose.glued("d", "4")
    assert shown[-1] == "1 and \u22122\u00a0%"
