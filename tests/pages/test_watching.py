"""Watching a setting train: the same numbers as without a watcher, a stop that stops."""

import pytest

import hplab as hp
from hplab.pages.figures import watching
from hplab.sweeps import presets
from hplab.training import loop
from hplab.trial import HplabError

BASE = hp.Trial(
    data="digits", model="mlp", model_args={"hidden": [8]}, optimizer="sgd", lr=0.1, epochs=3
)
TRIALS = hp.grid(BASE, lr=[0.1, 0.3], seed=range(2))


@pytest.fixture
def watch(store):
    return watching.Watch(TRIALS, store=store)


def test_the_menu_names_what_tells_the_settings_apart(watch):
    assert list(watch.settings) == ["learning rate 0.1", "learning rate 0.3"]


def test_a_run_has_a_seed_that_none_had(watch):
    seeds = [watch.next_trial("learning rate 0.1").seed for _ in range(3)]
    assert seeds == [2, 3, 4]


def test_who_watches_changes_nothing(watch, monkeypatch):
    monkeypatch.setattr(watching, "EVERY_S", 0.0)
    trial = watch.next_trial("learning rate 0.3")
    seen = []
    said = watch.train(trial, lambda curves: seen.append(curves["val_acc"]))
    alone = loop.train(presets.PRESETS[watching.PRESET].scale(trial)).curves["val_acc"]
    assert seen[-1] == alone
    assert all(curve == alone[: len(curve)] for curve in seen)
    assert {len(curve) for curve in seen} >= {1, 2, trial.epochs}
    assert said.startswith("Done: validation accuracy")


def test_stop_ends_it_where_it_is(watch, monkeypatch):
    monkeypatch.setattr(watching, "EVERY_S", 0.0)
    seen = []

    def show(curves):
        seen.append(len(curves["val_acc"]))
        watch.stop()

    assert watch.train(watch.settings["learning rate 0.1"], show) == "Stopped after 1 epoch."
    assert seen == [1]


def test_the_buttons_train_and_stop(watch, monkeypatch):
    pytest.importorskip("ipywidgets")
    monkeypatch.setenv("HPLAB_STATIC", "0")
    assert "application/vnd.jupyter.widget-view+json" in watch._repr_mimebundle_()
    row, said, panel = watch.controls().children
    menu, start, stop = row.children
    menu.value = "learning rate 0.3"
    start.click()
    watch.thread.join()
    assert said.value.startswith("Done")
    assert "the run of now" in panel.value
    assert (start.disabled, stop.disabled) == (False, True)
    start.click()
    stop.click()
    watch.thread.join()
    assert said.value.startswith(("Stopped", "Done"))


def test_a_page_shows_what_is_recorded_and_no_widget(store, monkeypatch):
    monkeypatch.setenv("HPLAB_STATIC", "1")
    assert "Nothing to show yet" in repr(watching.watch(TRIALS, store=store))
    hp.run(TRIALS, preset=watching.PRESET, store=store)
    shown = watching.watch(TRIALS, store=store)
    assert not any("widget" in kind for kind in shown._repr_mimebundle_())
    assert "learning rate 0.3" in shown._repr_mimebundle_()["text/html"]
    assert "n = 2 seeds" in repr(shown)


def test_nothing_to_train_is_said(store):
    with pytest.raises(HplabError, match="watch: there is no trial"):
        watching.watch([], store=store)


def test_old_controls_show_themselves_and_others_by_their_bundle(watch, store, monkeypatch):
    shown = []
    old = type("OldBox", (), {"_ipython_display_": lambda self: shown.append(self)})()
    monkeypatch.setattr(watch, "controls", lambda: old)
    monkeypatch.setenv("HPLAB_STATIC", "1")
    with pytest.raises(NotImplementedError):  # IPython then asks for the bundle
        watching.Watch(TRIALS, store=store)._ipython_display_()
    monkeypatch.setattr(watching.Watch, "is_live", True)
    watch._ipython_display_()
    assert shown == [old]
    monkeypatch.setattr(watch, "controls", lambda: type("Box", (), {"_repr_mimebundle_": 1})())
    with pytest.raises(NotImplementedError):
        watch._ipython_display_()
