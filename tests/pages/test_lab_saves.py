"""What JupyterLab saves: the hooks by themselves; tests/doors has them in a real JupyterLab."""

from types import SimpleNamespace

import nbformat
import pytest
from test_pairing import PAGE
from tornado.web import HTTPError

from hplab.pages.notebooks import lab, pairing


@pytest.fixture
def studies(tmp_path):
    (tmp_path / "01-topic.md").write_text(PAGE, encoding="utf-8")
    pairing.sync(tmp_path)
    return tmp_path


@pytest.fixture
def keeper(studies):
    return lab.Keeper(studies)


def opened(studies):
    return nbformat.read(studies / "01-topic.ipynb", as_version=4)


def save(keeper, notebook, path="01-topic.ipynb"):
    """Save as Jupyter's server does: the hook, then the file."""
    model = {"type": "notebook", "content": notebook}
    keeper.before(model=model, path=path)
    nbformat.write(nbformat.from_dict(model["content"]), keeper.root / path)


def files(studies):
    return {path.name: path.read_bytes() for path in studies.iterdir()}


def test_a_run_leaves_no_trace_in_what_is_saved(studies, keeper):
    before, notebook = files(studies), opened(studies)
    notebook.cells[2].outputs = [nbformat.v4.new_output("stream", text="x")]
    notebook.cells[2].execution_count = 7
    notebook.metadata.kernelspec = {"name": "my-env", "display_name": "Mine"}
    notebook.metadata.widgets = {}

    save(keeper, notebook)

    assert files(studies) == before


def test_an_open_notebook_may_be_saved_again_and_again(studies, keeper):
    notebook = opened(studies)
    for text in ("A figure, first.", "A figure, second."):
        notebook.cells[3].source = text
        save(keeper, notebook)

    assert "A figure, second." in (studies / "01-topic.md").read_text(encoding="utf-8")
    assert pairing.check(studies) == []


def test_a_text_that_has_changed_meanwhile_is_not_overwritten(studies, keeper):
    notebook, page = opened(studies), studies / "01-topic.md"
    page.write_text(PAGE.replace("Two cells", "Two short cells"), encoding="utf-8")
    before = files(studies)
    notebook.cells[3].source = "A figure, edited."

    with pytest.raises(HTTPError, match=r"01-topic.md has changed since this notebook was opened"):
        save(keeper, notebook)
    assert files(studies) == before


def test_the_notebook_follows_a_text_that_is_saved(studies, keeper):
    said, page = [], studies / "01-topic.md"
    manager = SimpleNamespace(log=SimpleNamespace(warning=lambda *words: said.append(words)))
    edited = PAGE.replace("A figure.", "Some figure.")
    with_version = edited.replace("myst\n", "myst\n    format_version: 0.13\n", 1)
    model = {"type": "file", "content": with_version}
    keeper.before(model=model, path="01-topic.md")
    page.write_text(model["content"], encoding="utf-8")
    keeper.after(os_path=str(page), contents_manager=manager)

    assert page.read_text(encoding="utf-8") == edited
    assert opened(studies).cells[3].source == "Some figure."
    before = files(studies)["01-topic.ipynb"]
    page.write_text(edited + "\n{nonsense}`x`\n", encoding="utf-8")
    keeper.after(os_path=str(page), contents_manager=manager)
    assert len(said) == 1
    assert files(studies)["01-topic.ipynb"] == before


def test_other_files_are_saved_as_they_are(studies, keeper):
    for path, kind, content in (("notes.md", "file", "# Mine\n"), ("own.ipynb", "notebook", {})):
        model = {"type": kind, "content": content}
        keeper.before(model=model, path=path)
        assert model == {"type": kind, "content": content}
