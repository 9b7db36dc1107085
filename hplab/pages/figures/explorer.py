"""The explorer: let a reader choose what is drawn of a table of runs.

In the book it is a figure with the table's data beside it. The script `explorer.js`, which stands
in the page, draws what the reader chooses; without scripts the figure stays. In a live notebook the
same script runs by anywidget where that is installed, else controls of ipywidgets redraw the
figure. A notebook that was executed by itself shows the first figure alone.
"""

from __future__ import annotations

import abc
import importlib.util
import os
from typing import Any

import pandas as pd

from hplab import places
from hplab.pages import labels
from hplab.pages.figures import axis, cells, explorer_data
from hplab.pages.figures.figure import Figure, Html, nothing_recorded
from hplab.sweeps.table import SETTINGS, hyperparameters, results
from hplab.trial import HplabError

METRICS = (*explorer_data.FIRST, "train_s", "sharpness", "sharpness_relative", "hessian_top")
# Set by Jupyter's server in the kernel of a notebook, by Colab, by VS Code.
LIVE_VARIABLES = ("JPY_SESSION_NAME", "COLAB_RELEASE_TAG", "VSCODE_PID")
NO_GROUPS = "nothing"
NAME = "explorer"  # the id of a page's explorer, and the beginning of its links
WITHOUT = "Axes and groups can be chosen here with ipywidgets: pip install ipywidgets."


def explore(
    runs: pd.DataFrame, *, pick: str | None = None, x: str = "lr", y: str = "val_acc"
) -> Explorer | Picker | Html:
    """Let the reader choose axes, colours, log scale and seeds of an axis plot; or pick one group.

    In a live notebook (JupyterLab, Notebook, Colab, VS Code) the output has controls. In the book
    it has them too, by a script in the page; no widget is created, so no widget state is saved and
    the page loads nothing from elsewhere. In any other executed notebook it is the figure alone. It
    counts as live if a front end said so in the environment; `HPLAB_STATIC=1` forces the figure,
    `HPLAB_STATIC=0` the controls, and a run by `hplab execute` is never live. Without ipywidgets,
    which comes with the extra `book`, it is the figure alone, with a line that says so.

    Args:
        runs: One row a trial, as `hplab.run` returns it, or one a trial and step.
        pick: Column of groups, of which the reader picks one to be drawn by itself; the figure
            starts with all of them.
        x: With `pick`, the column that is drawn across.
        y: With `pick`, the column that is drawn up.

    Returns:
        What a notebook shows: controls and their figure, or the figure alone.

    Raises:
        HplabError: If the table has no hyperparameter or no metric to choose from.
    """
    if runs.empty:
        return nothing_recorded()
    return Explorer(runs) if pick is None else Picker(runs, pick, x, y)


def is_live() -> bool:
    """Whether someone is looking who can move a control."""
    asked = places.live()
    if asked is not None:
        return asked
    if places.is_for_the_book():
        return False
    return _in_kernel() and any(name in os.environ for name in LIVE_VARIABLES)


def can_control() -> bool:
    """Whether ipywidgets is installed; Colab has it, and the extra `book` brings it."""
    return importlib.util.find_spec("ipywidgets") is not None


def _in_kernel() -> bool:
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    return getattr(get_ipython(), "kernel", None) is not None


class _Live(abc.ABC):
    """What both explorers share: controls where somebody is looking, the figure alone elsewhere."""

    figure: Figure | Html
    _box: Any = None

    @abc.abstractmethod
    def data(self) -> dict[str, Any]:
        """What the script draws, see `explorer_data`."""

    @abc.abstractmethod
    def _make(self) -> Any:
        """The widgets of ipywidgets."""

    def controls(self) -> Any:
        """The widget, made when first asked for: the script's where anywidget is installed."""
        if self._box is None:
            has_anywidget = importlib.util.find_spec("anywidget") is not None
            self._box = _script_widget(self.data()) if has_anywidget else self._make()
        return self._box

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        still = self.figure._repr_mimebundle_()
        if is_live() and can_control():
            bundle = self.controls()._repr_mimebundle_()
            return {**(bundle[0] if isinstance(bundle, tuple) else bundle), **still}
        if places.is_for_the_book():
            still["text/html"] = explorer_data.embedded(self.data(), NAME, still["text/html"])
        if is_live():
            still["text/html"] += f'<p class="hp-note">{WITHOUT}</p>'
            still["text/plain"] += f"\n{WITHOUT}"
        return still

    def _ipython_display_(self) -> None:
        """Show the controls where ipywidgets is of version 7, as on Colab, and has no bundle."""
        if not (is_live() and can_control()) or hasattr(self.controls(), "_repr_mimebundle_"):
            raise NotImplementedError  # so IPython asks for the bundle instead
        self.controls()._ipython_display_()

    def __repr__(self) -> str:
        return repr(self.figure)


def _script_widget(data: dict[str, Any]) -> Any:
    """Return the script as a widget of anywidget, which has its own place in any front end."""
    anywidget = importlib.import_module("anywidget")  # not required, so not declared
    traitlets = importlib.import_module("traitlets")

    class Widget(anywidget.AnyWidget):  # type: ignore[name-defined]
        _esm = explorer_data.SCRIPT
        _css = explorer_data.STYLE
        data = traitlets.Dict().tag(sync=True)

    return Widget(data=data)


class Picker(_Live):
    """A figure of all groups of runs, and where there is a kernel a menu to see one by itself.

    Attributes:
        figure: What is drawn now.
        levels: The groups to pick from.
    """

    def __init__(self, runs: pd.DataFrame, pick: str, x: str, y: str) -> None:
        cells.require(runs, pick, x, y, what="explore")
        self.runs, self.pick, self.x, self.y = runs, pick, x, y
        self.levels = cells.levels(runs[pick])
        self.figure: Figure | Html = self.draw()

    def data(self) -> dict[str, Any]:
        """What the script draws: a curve for each group."""
        return explorer_data.of_long(self.runs, self.pick, self.x, self.y)

    def draw(self, level: Any = None) -> Figure | Html:
        """Draw one group by itself, or all of them without single runs."""
        if level is None:
            return axis.axis(self.runs, self.x, self.y, by=self.pick, log=True, seeds=False)
        return axis.axis(self.runs[self.runs[self.pick] == level], self.x, self.y, log=True)

    def _make(self) -> Any:
        """The widgets: a menu above the figure, made once and redrawn on a change."""
        import ipywidgets  # here, so that a static page creates no widget

        options = [("all", None), *((labels.setting(level), level) for level in self.levels)]
        menu = ipywidgets.Dropdown(options=options, description=labels.quantity(self.pick))
        panel = ipywidgets.HTML(value=self.figure.html)

        def redraw(change: Any) -> None:
            self.figure = self.draw(menu.value)
            panel.value = self.figure.html

        menu.observe(redraw, "value")
        return ipywidgets.VBox([menu, panel])


class Explorer(_Live):
    """A figure with controls where there is a kernel, the figure alone where there is none.

    Attributes:
        figure: What is drawn now.
        choices: The columns to choose from, by control: "x", "y", "by".
    """

    def __init__(self, runs: pd.DataFrame) -> None:
        self.runs = runs
        self.choices = _choices(runs)
        self.figure: Figure | Html = self.draw(self.choices["x"][0], self.choices["y"][0])

    def data(self) -> dict[str, Any]:
        """What the script draws: the runs, with the curves of those that are recorded."""
        start = {"x": self.choices["x"][0], "y": self.choices["y"][0]}
        return explorer_data.of_records(self.runs, start=start)

    def draw(
        self, x: str, y: str, by: str | None = None, *, log: bool | None = None, seeds: bool = True
    ) -> Figure | Html:
        """Draw the axis plot of these columns."""
        by = None if by in (NO_GROUPS, x) else by
        log_y = y == "ladder_sharpness" and bool((self.runs[y] > 0).all())
        return axis.axis(self.runs, x=x, y=y, by=by, log=log, log_y=log_y, seeds=seeds)

    def _make(self) -> Any:
        """The widgets: a box of controls above the figure."""
        import ipywidgets  # here, so that a static page creates no widget

        def dropdown(name: str, title: str) -> Any:
            options = [(labels.quantity(column), column) for column in self.choices[name]]
            return ipywidgets.Dropdown(options=options, description=title)

        x, y, by = dropdown("x", "across"), dropdown("y", "up"), dropdown("by", "colour by")
        log = ipywidgets.Checkbox(value=self._is_log(x.value), description="log scale")
        seeds = ipywidgets.Checkbox(value=True, description="every seed")
        panel = ipywidgets.HTML(value=self.figure.html)

        def redraw(change: Any = None) -> None:
            if change is not None and change["owner"] is x:
                log.value = self._is_log(x.value)
            chosen = {"log": log.value, "seeds": seeds.value}
            self.figure = self.draw(x.value, y.value, by.value, **chosen)
            panel.value = self.figure.html

        for control in (x, y, by, log, seeds):
            control.observe(redraw, "value")
        row = ipywidgets.HBox([x, y, by, log, seeds])
        row.layout.flex_flow = "row wrap"
        return ipywidgets.VBox([row, panel])

    def _is_log(self, x: str) -> bool:
        return x in cells.LOG10 | cells.LOG2


def _choices(runs: pd.DataFrame) -> dict[str, list[str]]:
    """What can be chosen: hyperparameters that vary first, then metrics the table has."""
    known = list(METRICS)
    if SETTINGS in runs:  # of somebody's own function: whatever it gave
        known = sorted(results(runs), key=lambda name: name == "train_s")
    metrics = [name for name in known if name in runs and runs[name].notna().any()]
    varied, declared = cells.mixed(runs, []), hyperparameters(runs)
    usual = [name for name in ("lr", "batch_size", "optimizer") if name in declared]
    first = {"ladder_radius": 0, "lr": 1}
    across = list(dict.fromkeys([*sorted(varied, key=lambda n: first.get(n, 2)), *usual[:1]]))
    if not across or not metrics:
        raise HplabError("explore: the table has no hyperparameter or no metric to choose from")
    return {"x": across, "y": metrics, "by": [NO_GROUPS, *varied]}
