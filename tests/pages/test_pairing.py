"""A pair says one thing: the notebook comes from the text, and the text keeps the rules."""

import nbformat
import pytest

from hplab.pages.notebooks import ipynb, pairing
from hplab.trial import HplabError

PAGE = """\
---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

(study-topic)=
# What does it do?

```{code-cell} ipython3
:tags: [remove-cell]

try:
    import hplab
except ImportError:
    %pip install -q hplab
```

```{code-cell} ipython3
:tags: [parameters]

preset = "laptop"
n_seeds = None
```

A figure.

```{code-cell} ipython3
---
mystnb:
  figure:
    caption: One sentence.
tags: [hide-input]
---
preset
```

Two cells of prose.

+++

They follow each other.

```{code-cell} ipython3
preset
```
"""
PARAMETERS = 'preset = "laptop"\nn_seeds = None'


@pytest.fixture
def studies(tmp_path):
    (tmp_path / "01-topic.md").write_text(PAGE, encoding="utf-8")
    pairing.sync(tmp_path)
    return tmp_path


def edit(studies, old, new):
    path = studies / "01-topic.md"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def resave(studies, change):
    """Change the notebook file as an editor would."""
    path = studies / "01-topic.ipynb"
    notebook = nbformat.read(path, as_version=4)
    change(notebook)
    nbformat.write(notebook, path)


def problems(studies):
    return [str(problem) for problem in pairing.check(studies)]


def test_a_synced_pair_has_no_problem(studies):
    assert problems(studies) == []


def test_syncing_twice_changes_nothing(studies):
    before = (studies / "01-topic.ipynb").read_bytes()

    assert pairing.sync(studies) == []
    assert (studies / "01-topic.ipynb").read_bytes() == before


def test_the_notebook_says_what_the_text_says(studies):
    text, notebook = (ipynb.read(studies / f"01-topic.{kind}") for kind in ("md", "ipynb"))

    assert notebook.metadata["hplab"]["source"] == ipynb.source_digest(notebook)
    assert text.cells[0].source == f"(study-topic)=\n{notebook.cells[0].source}"
    assert [c.source for c in text.cells[1:]] == [c.source for c in notebook.cells[1:]]
    assert notebook.cells[4].metadata["mystnb"]["figure"]["caption"] == "One sentence."
    assert nbformat.validate(notebook) is None


def test_a_change_in_one_cell_changes_no_line_of_the_others(studies):
    path = studies / "01-topic.ipynb"
    before = [cell.id for cell in ipynb.read(path).cells]

    edit(studies, "A figure.", "A better figure.")
    pairing.sync(studies)

    after = [cell.id for cell in ipynb.read(path).cells]
    assert [old == new for old, new in zip(before, after, strict=True)].count(False) == 1
    assert len(set(after)) == len(after)  # two cells of the page are alike


def test_file_times_mean_nothing(studies):
    (studies / "01-topic.md").touch()
    (studies / "01-topic.ipynb").touch()

    assert problems(studies) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("A figure.", "Another figure."),
        ("n_seeds = None", "n_seeds = 3"),
        ("tags: [hide-input]", "tags: [hide-output]"),
        ("One sentence.", "Another sentence."),
        ("\n+++\n", "\n"),
    ],
)
def test_an_edit_of_the_text_alone_is_found_and_mended(studies, old, new):
    edit(studies, old, new)

    assert any("differs from 01-topic.md" in problem for problem in problems(studies))
    assert [path.name for path in pairing.sync(studies)] == ["01-topic.ipynb"]
    assert problems(studies) == []


def test_what_an_editor_adds_without_a_change_of_the_cells_is_no_difference(studies):
    def save(notebook):
        notebook.metadata["language_info"]["version"] = "3.13.1"
        notebook.cells[0].metadata["editable"] = True
        notebook.cells[0].id = "another-id"

    resave(studies, save)

    assert problems(studies) == []


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (
            lambda nb: nb.cells[2].outputs.append(nbformat.v4.new_output("stream", text="x")),
            "cell 3: holds outputs",
        ),
        (lambda nb: nb.cells[2].update(execution_count=4), "cell 3: holds an execution count"),
        (lambda nb: nb.metadata.update(widgets={}), "holds 'widgets' metadata"),
        (lambda nb: nb.metadata.kernelspec.update(name="my-env"), "kernelspec is not 'python3'"),
    ],
)
def test_what_a_run_leaves_in_a_notebook_is_found_and_removed(studies, change, what):
    resave(studies, change)

    assert [what in problem for problem in problems(studies)] == [True]
    pairing.sync(studies)
    assert problems(studies) == []


def test_a_notebook_edited_by_hand_is_not_overwritten_unasked(studies):
    resave(studies, lambda notebook: notebook.cells[0].update(source="# Written on Colab"))

    with pytest.raises(HplabError, match=r"01-topic.ipynb was edited.*--back.*--force"):
        pairing.sync(studies)
    assert pairing.sync(studies, force=True)
    assert problems(studies) == []


def test_a_notebook_edited_by_hand_is_taken_into_the_text(studies):
    resave(studies, lambda notebook: notebook.cells[3].update(source="A figure, on Colab."))

    written = pairing.sync(studies, back=True)

    assert [path.name for path in written] == ["01-topic.md", "01-topic.ipynb"]
    text = (studies / "01-topic.md").read_text(encoding="utf-8")
    assert text == PAGE.replace("A figure.", "A figure, on Colab.")
    assert problems(studies) == []


def test_two_edits_of_one_pair_are_not_mixed(studies):
    resave(studies, lambda notebook: notebook.cells[3].update(source="A figure, on Colab."))
    edit(studies, "Two cells", "Two short cells")

    with pytest.raises(HplabError, match=r"both 01-topic.md and 01-topic.ipynb were edited"):
        pairing.sync(studies, back=True)
    assert "Two short cells" in (studies / "01-topic.md").read_text(encoding="utf-8")


def test_a_header_that_an_editor_changed_is_found(studies):
    edit(studies, "    format_name: myst\n", "    format_name: myst\n    format_version: 0.13\n")

    assert "01-topic.md: has not the header that all pages have" in problems(studies)


def test_missing_halves_are_named(studies):
    (studies / "01-topic.ipynb").rename(studies / "02-other.ipynb")

    assert problems(studies) == [
        "01-topic.ipynb: is missing; run `hplab sync`",
        "02-other.ipynb: has no 02-other.md beside it",
    ]
    with pytest.raises(HplabError, match=r"02-other.ipynb has no 02-other.md"):
        pairing.sync(studies)


def test_a_torn_notebook_is_a_problem_and_is_written_again(studies):
    (studies / "01-topic.ipynb").write_text("<<<<<<< ours\n{")

    assert ["cannot" in problem or "can be read" in problem for problem in problems(studies)] == [
        True
    ]
    pairing.sync(studies)
    assert problems(studies) == []


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        (":tags: [parameters]", ":tags: [other]", "0 cells are tagged 'parameters'"),
        (":tags: [remove-cell]", ":tags: [parameters]", "2 cells are tagged 'parameters'"),
        ("n_seeds = None", "n_seeds = 2 * 3", "parameter 'n_seeds' is '2 * 3'"),
        ("n_seeds = None", "n_seeds: int = max(1, 2)", "parameter 'n_seeds' is 'max(1, 2)'"),
        ("n_seeds = None", "import os", "holds 'import os'"),
        ("n_seeds = None", "n_seeds =", "not Python"),
        ("name: python3", "name: conda-env-x", "kernelspec is 'conda-env-x'"),
        (PARAMETERS, PARAMETERS + "\n# a note" * 19, "21 lines of code; at most 20"),
        ("---\npreset\n", "---\nfrom torch import *\n", "`from torch import *`"),
        ("---\npreset\n", "---\n!pip install torch\n", "only the first code cell"),
        ("---\npreset\n", "---\n%pip install torch\n", "only the first code cell"),
        ("---\npreset\n", "---\nopen('/home/me/x')\n", "absolute path '/home/me/x'"),
        ("---\npreset\n", "---\nopen('C:/data')\n", "absolute path 'C:/data'"),
        ("---\npreset\n", "---\npreset = = 1\n", "not Python (line 1"),
        (
            "---\npreset\n",
            "---\nimport warnings\nwarnings.filterwarnings('ignore')\n",
            "warnings are switched off",
        ),
        (
            "---\npreset\n",
            "---\ndef f():\n" + "    x = 1\n" * 12,
            "function 'f' has 13 lines; at most 12",
        ),
    ],
)
def test_a_broken_rule_is_named_with_its_cell(studies, old, new, what):
    edit(studies, old, new)
    pairing.sync(studies)

    found = problems(studies)

    assert any(what in problem for problem in found), found
    assert all(problem.startswith("01-topic.md") for problem in found)


@pytest.mark.parametrize(
    "line",
    ["'a/b', 'loss/acc', '/'", "%matplotlib inline", "x = 7 % 3", "%%time\npreset", "1 != 2"],
)
def test_ordinary_code_breaks_no_rule(studies, line):
    edit(studies, "---\npreset\n", f"---\n{line}\n")
    pairing.sync(studies)

    assert problems(studies) == []


def test_parameters_are_read_as_values():
    cell = nbformat.v4.new_code_cell(
        'preset = "laptop"  # how big\nlrs: list = [1e-3, -1]\nn_seeds = None',
        metadata={"tags": ["parameters"]},
    )

    values = ipynb.parameters(nbformat.v4.new_notebook(cells=[cell]))

    assert values == {"preset": "laptop", "lrs": [1e-3, -1], "n_seeds": None}


def test_an_unreadable_page_is_one_line(tmp_path):
    with pytest.raises(HplabError, match="no such notebook"):
        ipynb.read(tmp_path / "01-topic.md")
    (tmp_path / "01-topic.ipynb").write_text("{}")
    with pytest.raises(HplabError, match="not a notebook that can be read"):
        ipynb.read(tmp_path / "01-topic.ipynb")
