"""Train one setting while a reader watches, beside the runs of it that are recorded.

What is trained here is a look and no evidence: it is not recorded, and no figure or verdict of the
page takes it in. It is trained on the embedded digits, as the laptop preset does, so that an epoch
takes less than a second on a processor.
"""

from __future__ import annotations

import contextlib
import html
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from hplab.pages import labels
from hplab.pages.figures import explorer, learning_curves
from hplab.pages.figures.figure import Figure, Html, nothing_recorded
from hplab.sweeps import presets, runner, series
from hplab.sweeps import store as stores
from hplab.trial import HplabError, Trial

if TYPE_CHECKING:
    from hplab.training.lane import Lane

PRESET = "laptop"
EVERY_S = 0.4  # between two drawings
WHOSE, NOW, BEFORE = "setting", "the run of now", "recorded"
Curves = Mapping[str, list[float | None]]


def watch(
    trials: Iterable[Trial], *, y: str = "val_acc", store: stores.Store | None = None
) -> Watch | Html:
    """Let the reader choose one of several settings, train it now, and watch its curve.

    In a live notebook the output has a menu, a button that trains the setting with a seed that
    nobody has used, and one that stops. Elsewhere it is the figure of the recorded runs alone.

    Args:
        trials: The settings to choose from, as a study declares them; the laptop preset scales
            them to the embedded digits.
        y: The metric that is drawn by epoch.
        store: Where recorded runs are; None takes the project's own.

    Returns:
        What a notebook shows: controls and their figure, or the figure alone.

    Raises:
        HplabError: If there is no trial, or no such metric.
    """
    found = Watch(trials, y, store)
    return found if found.is_live or found.runs else nothing_recorded()


class Watch:
    """A setting in training, beside the recorded runs of it.

    Attributes:
        settings: A trial for each setting, by its name in the menu.
        runs: Curves of the recorded runs, by the same names.
        figure: What is drawn at first: the curves of all that is recorded.
    """

    def __init__(
        self, trials: Iterable[Trial], y: str = "val_acc", store: stores.Store | None = None
    ) -> None:
        declared = list(trials)
        if not declared:
            raise HplabError("watch: there is no trial to train")
        self.y = y
        self.settings: dict[str, Trial] = {}
        self.runs: dict[str, pd.DataFrame] = {}
        self._used: set[int] = set()
        for name, alike in _by_name(declared).items():
            self.settings[name] = presets.PRESETS[PRESET].scale(alike[0])
            runs = runner.recorded(alike, preset=PRESET, store=store)
            self._used |= {trial.seed for trial in alike} | set(runs.get("seed", ()))
            if len(runs):
                self.runs[name] = series.curves(runs, store=store).assign(**{WHOSE: name})
        whole = pd.concat(self.runs.values(), ignore_index=True) if self.runs else pd.DataFrame()
        self.figure = learning_curves.learning_curves(whole, y, by=WHOSE)
        self._stop = threading.Event()
        self._box: Any = None

    @property
    def is_live(self) -> bool:
        """Whether somebody is looking who can push a button."""
        return explorer.is_live() and explorer.can_control()

    def next_trial(self, name: str) -> Trial:
        """Return the named setting with the smallest seed that no run here has had."""
        seed = next(seed for seed in range(len(self._used) + 1) if seed not in self._used)
        self._used.add(seed)
        return self.settings[name].replace(seed=seed)

    def train(self, trial: Trial, show: Callable[[Curves], None]) -> str:
        """Train a trial to its end or until `stop`, and show its curves again and again.

        Args:
            trial: What to train.
            show: Called with the curves so far, a value an epoch.

        Returns:
            How it ended, in words.
        """
        from hplab.training import loop  # with torch, which a page without controls does without

        watcher = _Watcher(self._stop, show)
        try:
            (outcome,) = loop.train_lanes([trial], keeper=watcher)
        except _StoppedError:
            return f"Stopped after {labels.count(watcher.n_epochs, 'epoch')}."
        show(outcome.curves)
        end = outcome.curves[self.y][-1]
        if outcome.status != "ok" or end is None:
            return "It diverged: a loss or a weight is no longer a finite number."
        return f"Done: {labels.quantity(self.y)} {labels.number(self.y, end)} after the last epoch."

    def stop(self) -> None:
        """Let the training end after the update it is at."""
        self._stop.set()

    def draw(self, name: str, seed: int, curves: Curves) -> Figure | Html:
        """Draw a run of a setting beside the recorded ones."""
        values = list(curves.get(self.y, ()))
        now = {"epoch": range(1, len(values) + 1), self.y: values, "seed": seed}
        parts = [pd.DataFrame({**now, "key": "now", "status": "ok", WHOSE: NOW})]
        if name in self.runs:
            before = self.runs[name][["epoch", self.y, "seed", "key", "status"]]
            parts.insert(0, before.assign(**{WHOSE: BEFORE}))
        table = pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)
        return learning_curves.learning_curves(table, self.y, by=WHOSE)

    def controls(self) -> Any:
        """The widgets, made when first asked for: a menu and two buttons above the figure."""
        if self._box is None:
            self._box = self._make()
        return self._box

    def _make(self) -> Any:
        import ipywidgets  # here, so that a static page creates no widget

        menu = ipywidgets.Dropdown(options=list(self.settings), description="setting")
        start = ipywidgets.Button(description="Train it now", button_style="primary")
        stop = ipywidgets.Button(description="Stop", disabled=True)
        said = ipywidgets.HTML(value="Trained here it is a look: nothing is recorded.")
        panel = ipywidgets.HTML(value=self.figure.html)

        def trained(name: str, trial: Trial) -> None:
            def show(curves: Curves) -> None:
                n = len(curves.get(self.y, ()))
                said.value = f"Seed {trial.seed}: epoch {n} of {trial.epochs}"
                panel.value = self.draw(name, trial.seed, curves).html

            try:
                said.value = self.train(trial, show)
            except Exception as error:  # in a thread nobody else would say it
                said.value = html.escape(f"It failed: {error}")
            finally:
                start.disabled, stop.disabled = False, True

        def begin(_: Any) -> None:
            start.disabled, stop.disabled = True, False
            self._stop.clear()
            trial = self.next_trial(menu.value)
            said.value = f"Seed {trial.seed}: begins"
            self.thread = threading.Thread(target=trained, args=(menu.value, trial), daemon=True)
            self.thread.start()

        start.on_click(begin)
        stop.on_click(lambda _: self.stop())
        return ipywidgets.VBox([ipywidgets.HBox([menu, start, stop]), said, panel])

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        still = self.figure._repr_mimebundle_()
        if not self.is_live:
            return still
        bundle = self.controls()._repr_mimebundle_()
        return {**(bundle[0] if isinstance(bundle, tuple) else bundle), **still}

    def _ipython_display_(self) -> None:
        """Show the controls where ipywidgets is of version 7, as on Colab, and has no bundle."""
        if not self.is_live or hasattr(self.controls(), "_repr_mimebundle_"):
            raise NotImplementedError  # so IPython asks for the bundle instead
        self.controls()._ipython_display_()

    def __repr__(self) -> str:
        return repr(self.figure)


class _StoppedError(Exception):
    """The reader pushed the button."""


class _Watcher:
    """A keeper that keeps nothing: it shows the curves now and then, and ends what is stopped."""

    def __init__(self, stopped: threading.Event, show: Callable[[Curves], None]) -> None:
        self._stopped, self._show = stopped, show
        self._next, self.n_epochs = 0.0, 0

    def load(self) -> None:
        """There is never anything to go on from."""

    def is_due(self, ahead_s: float = 0.0) -> bool:
        """Raise where the reader wants it to end; there is never anything to save."""
        if self._stopped.is_set():
            raise _StoppedError
        return False

    def save(self, state: Mapping[str, Any]) -> None:
        """Save nothing."""

    def see(self, lanes: Sequence[Lane]) -> None:
        """Show the curves, if it is not too soon after the last time."""
        curves = {name: list(values) for name, values in lanes[0].curves.items()}
        self.n_epochs = max(map(len, curves.values()), default=0)
        if time.monotonic() >= self._next:
            self._show(curves)
            self._next = time.monotonic() + EVERY_S

    def training(self) -> contextlib.AbstractContextManager:
        """Return nothing to enter."""
        return contextlib.nullcontext()


def _by_name(trials: Iterable[Trial]) -> dict[str, list[Trial]]:
    """Return trials of one setting by what tells the setting from the others."""
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(trial.setting, []).append(trial)
    flat = [alike[0].flat() for alike in groups.values()]
    table = pd.DataFrame(flat).drop(columns="seed").astype(object)
    told = [name for name in table if table[name].map(repr).nunique() > 1]

    def name(row: Mapping[str, Any]) -> str:
        parts = (f"{labels.quantity(x)} {labels.setting(row[x], x)}" for x in told if x in row)
        return ", ".join(parts) or "the setting"

    return {name(row): alike for row, alike in zip(flat, groups.values(), strict=True)}
