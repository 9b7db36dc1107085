"""The explorer: controls where there is a kernel, a figure where there is none."""

import json
import subprocess
import sys
from pathlib import Path

import ipywidgets
import pandas as pd
import pytest
from synthetic_runs import make_runs

from hplab.pages.figures import explorer as widgets
from hplab.trial import HplabError

ROOT = Path(__file__).resolve().parents[2]
VIEW = "application/vnd.jupyter.widget-view+json"


@pytest.fixture(autouse=True)
def _no_session(monkeypatch):
    """Nothing in the environment says that someone is looking."""
    names = ("HPLAB_STATIC", "HPLAB_EXECUTION", "HPLAB_MODE", *widgets.LIVE_VARIABLES)
    for name in names:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def runs():
    parts = [make_runs((1e-4, 1e-3, 1e-2), 2, batch_size=size) for size in (32, 64)]
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def explorer(runs):
    return widgets.explore(runs)


@pytest.fixture
def controls(runs):
    """The controls by their description, and the panel with the figure."""
    box = widgets.explore(runs).controls()
    row, panel = box.children
    return {control.description: control for control in row.children}, panel


def test_a_static_page_gets_the_figure_and_no_widget(explorer):
    bundle = explorer._repr_mimebundle_()

    assert set(bundle) == {"text/html", "image/png", "text/plain"}
    assert '<figure class="hp-figure">' in bundle["text/html"]
    assert "<script" not in bundle["text/html"]
    assert explorer._box is None


def test_a_live_session_gets_the_controls_with_the_figure_as_fallback(monkeypatch, runs):
    monkeypatch.setenv("HPLAB_STATIC", "0")

    bundle = widgets.explore(runs)._repr_mimebundle_()

    assert bundle[VIEW]["model_id"]
    assert '<figure class="hp-figure">' in bundle["text/html"]


def test_without_ipywidgets_a_live_session_gets_the_figure_and_a_line_that_says_so(
    monkeypatch, runs
):
    monkeypatch.setenv("HPLAB_STATIC", "0")
    monkeypatch.setattr(widgets, "can_control", lambda: False)
    explorer = widgets.explore(runs)

    bundle = explorer._repr_mimebundle_()

    assert set(bundle) == {"text/html", "image/png", "text/plain"}
    assert bundle["text/html"].count("pip install ipywidgets") == 1
    assert bundle["text/plain"].endswith("pip install ipywidgets.")
    assert explorer._box is None
    with pytest.raises(NotImplementedError):  # IPython then asks for the bundle
        explorer._ipython_display_()
    monkeypatch.setenv("HPLAB_STATIC", "1")
    assert "ipywidgets" not in explorer._repr_mimebundle_()["text/html"]


def test_controls_that_show_themselves_do_so(monkeypatch, runs):
    """Widgets of ipywidgets 7, which Colab has, cannot be asked for their bundle."""
    shown = []
    old = type("OldBox", (), {"_ipython_display_": lambda self: shown.append(self)})()
    explorer = widgets.explore(runs)
    monkeypatch.setattr(explorer, "controls", lambda: old)
    with pytest.raises(NotImplementedError):  # IPython then asks for the bundle
        explorer._ipython_display_()
    monkeypatch.setenv("HPLAB_STATIC", "0")

    explorer._ipython_display_()

    assert shown == [old]


def test_a_widget_that_gives_its_bundle_with_metadata_is_shown(monkeypatch, runs):
    """Anywidget gives the pair (data, metadata), ipywidgets the data alone."""
    monkeypatch.setenv("HPLAB_STATIC", "0")
    pair = type("Widget", (), {"_repr_mimebundle_": lambda self: ({VIEW: {"model_id": "7"}}, {})})
    explorer = widgets.explore(runs)
    monkeypatch.setattr(explorer, "controls", pair)

    bundle = explorer._repr_mimebundle_()

    assert bundle[VIEW] == {"model_id": "7"}
    assert '<figure class="hp-figure">' in bundle["text/html"]


def test_where_anywidget_is_installed_the_script_is_the_widget(monkeypatch, runs):
    import sys
    import types

    import ipywidgets

    stand_in = types.SimpleNamespace(AnyWidget=type("AnyWidget", (ipywidgets.DOMWidget,), {}))
    monkeypatch.setitem(sys.modules, "anywidget", stand_in)
    monkeypatch.setattr(widgets.importlib.util, "find_spec", lambda name: stand_in)

    widget = widgets.explore(runs).controls()

    assert widget.data["n"] == len(runs)
    assert "data" in widget.keys  # what the front end is sent
    assert "export default" in widget._esm.read_text()


@pytest.mark.parametrize(
    ("environment", "kernel", "live"),
    [
        ({}, True, False),
        ({"JPY_SESSION_NAME": "a.ipynb"}, True, True),
        ({"COLAB_RELEASE_TAG": "r"}, True, True),
        ({"JPY_SESSION_NAME": "a.ipynb"}, False, False),
        ({"JPY_SESSION_NAME": "a.ipynb", "HPLAB_EXECUTION": "7"}, True, False),
        ({"JPY_SESSION_NAME": "a.ipynb", "HPLAB_MODE": "cached"}, True, False),
        ({"JPY_SESSION_NAME": "a.ipynb", "HPLAB_STATIC": "1"}, True, False),
        ({"HPLAB_STATIC": "0", "HPLAB_EXECUTION": "7"}, False, True),
    ],
)
def test_live_means_a_kernel_with_a_front_end_and_no_batch_run(
    monkeypatch, environment, kernel, live
):
    monkeypatch.setattr(widgets, "_in_kernel", lambda: kernel)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert widgets.is_live() == live


def test_outside_a_kernel_nobody_is_looking():
    assert not widgets._in_kernel()


def test_what_can_be_chosen_is_what_varies_and_what_was_measured(explorer):
    assert explorer.choices["x"] == ["lr", "batch_size"]
    assert explorer.choices["by"] == ["nothing", "lr", "batch_size"]
    assert "val_acc" in explorer.choices["y"]
    assert "test_acc" not in explorer.choices["y"]


def test_choosing_another_axis_redraws_the_figure(controls):
    by_name, panel = controls

    by_name["across"].value = "batch_size"
    by_name["up"].value = "val_loss"

    assert "Validation loss against batch size" in panel.value


def test_colours_scale_and_seeds_can_be_switched(controls):
    by_name, panel = controls

    by_name["colour by"].value = "batch_size"
    assert "batch size 64" in panel.value
    by_name["every seed"].value = False
    assert "means with 95 % intervals" in panel.value.replace("\u00a0", " ")
    before = panel.value
    by_name["log scale"].value = False
    assert panel.value != before


def test_the_log_switch_follows_the_axis(runs):
    box = widgets.explore(pd.concat([runs, runs.assign(epochs=9)])).controls()
    row, _ = box.children
    across, log = row.children[0], row.children[3]
    assert log.value

    across.value = "epochs"

    assert not log.value


def test_the_controls_wrap_on_a_small_screen(controls, runs):
    row = widgets.explore(runs).controls().children[0]

    assert isinstance(row, ipywidgets.HBox)
    assert row.layout.flex_flow == "row wrap"


def test_a_table_with_one_setting_can_still_be_explored():
    explorer = widgets.explore(make_runs((1e-3,), 2, n_diverged=0))

    assert explorer.choices["x"] == ["lr"]
    assert repr(explorer).startswith("Figure: Validation accuracy")


def test_an_empty_table_gives_a_note_and_one_without_metrics_is_refused(runs):
    assert "none of these trials is recorded" in repr(widgets.explore(runs.iloc[:0]))
    with pytest.raises(HplabError, match="no hyperparameter or no metric"):
        widgets.explore(runs[["lr", "seed"]])


@pytest.mark.slow
def test_a_notebook_run_by_papermill_saves_no_widget_state(tmp_path):
    import nbformat

    code = "import sys; sys.path.insert(0, 'tests')\nfrom synthetic_runs import make_runs\n"
    code += "from hplab.pages.figures.explorer import explore\nexplore(make_runs((1e-3, 1e-2), 2))"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, tmp_path / "a.ipynb")
    command = [sys.executable, "-m", "papermill", "a.ipynb", "b.ipynb", "--cwd", str(ROOT)]

    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)

    done = json.loads((tmp_path / "b.ipynb").read_text())
    assert "widgets" not in done["metadata"]
    assert set(done["cells"][0]["outputs"][0]["data"]) == {"text/html", "text/plain"}
