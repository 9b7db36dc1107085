"""What the explorer's script is handed: the table of runs, cut to what a drawing can show."""

import json

import numpy as np
import pandas as pd
import pytest
from synthetic_runs import make_runs

from hplab.pages.figures import explorer, explorer_data
from hplab.pages.tables import all_runs
from hplab.sweeps.store import Store
from hplab.trial import HplabError


@pytest.fixture
def runs():
    parts = [make_runs((1e-4, 1e-3, 1e-2), 2, batch_size=size) for size in (32, 64)]
    return pd.concat(parts, ignore_index=True)


def columns(data):
    return {column["name"]: column for column in data["columns"]}


def test_levels_and_codes_give_the_settings_back(runs):
    found = columns(explorer_data.of_table(runs))
    for name in ("lr", "batch_size"):
        column = found[name]
        assert [column["values"][code] for code in column["codes"]] == runs[name].tolist()
        assert column["values"] == sorted(column["values"])
    assert found["lr"]["texts"] == ["1e-4", "1e-3", "0.01"]
    assert found["lr"]["log"]


def test_results_keep_five_digits_and_say_how_they_are_shown(runs):
    data = explorer_data.of_table(runs)
    column = columns(data)["val_acc"]
    expected = [None if np.isnan(one) else float(f"{one:.5g}") for one in runs["val_acc"]]
    assert column["numbers"] == expected
    shown = {key: column[key] for key in ("unit", "scale", "better", "low", "high")}
    assert shown == {"unit": "%", "scale": 100.0, "better": 1, "low": 0, "high": 1}
    assert data["diverged"] == [i for i, one in enumerate(runs["status"]) if one == "diverged"]


def test_a_rare_result_names_its_runs(runs):
    runs["sharpness"] = [np.nan] * 11 + [0.25]
    column = columns(explorer_data.of_table(runs))["sharpness"]
    assert (column["rows"], column["numbers"]) == ([11], [0.25])


def test_an_argument_that_only_says_which_component_is_left_out(runs):
    runs["optimizer"] = ["sgd", "adam"] * 6
    runs["nesterov"] = [False, np.nan] * 6  # of sgd alone, and always the same
    runs["momentum"] = [0.9, np.nan, 0.5, np.nan] * 3
    names = explorer_data.setting_columns(runs)
    assert "nesterov" not in names
    assert {"optimizer", "momentum"} <= set(names)


def test_runs_of_somebodys_own_name_their_settings():
    runs = pd.DataFrame({"width": [1, 2], "seed": [0, 0], "loss": [0.5, 0.25]})
    runs["settings"] = json.dumps(["width"])
    found = columns(explorer_data.of_table(runs))
    assert (found["width"]["role"], found["loss"]["role"]) == ("setting", "result")
    assert found["seed"]["role"] == "run"


def test_curves_are_thinned_together_and_keep_both_ends(runs):
    whole = [i / 100 for i in range(100)]
    curves = [{"val_acc": whole, "val_loss": whole[::-1]}, {"val_acc": [0.5, None]}]
    data = explorer_data.of_table(runs, curves=[*curves, *[None] * 10], places=10)["curves"]
    assert data["which"] == [0, 1, *[None] * 10]
    at, kept = data["at"][0], data["series"]["val_acc"][0]
    assert (at[0], at[-1], len(at)) == (1, 100, 10)
    assert kept == [whole[place - 1] for place in at]
    assert data["series"]["val_acc"][1] == [0.5, None]
    assert data["series"]["val_loss"][1] is None


def test_a_long_table_becomes_curves(runs):
    rows = [
        {"key": key, "change": change, "seed": 0, "probe_step": step, "probe_live_units": step * n}
        for key, change, n in (("a", "none", 1), ("b", "low rate", 2))
        for step in (0, 8, 64)
    ]
    data = explorer_data.of_long(pd.DataFrame(rows), "change", "probe_step", "probe_live_units")
    assert data["curves"]["at"] == [(0, 8, 64)]
    assert data["curves"]["series"]["probe_live_units"] == [[0, 8, 64], [0, 16, 128]]
    assert data["curves"]["x"]["label"] == "step"
    assert columns(data)["probe_live_units"]["numbers"] == [64, 128]


def test_what_stands_in_a_page_cannot_end_its_script(runs):
    runs["variant"] = "</script><b>"
    markup = explorer_data.embedded(explorer_data.of_table(runs), "runs", "<p>figure</p>")
    assert markup.count("</script") == 1
    inner = markup.split('data-for="runs">')[1].removesuffix("</script>")
    assert columns(json.loads(inner))["variant"]["values"] == ["</script><b>"]


def test_the_script_comes_once_and_only_to_pages_that_need_it():
    page = "<html><body>{}</body></html>"
    markup = explorer_data.embedded({}, "a", "") + explorer_data.embedded({}, "b", "")
    assert explorer_data.with_script(page.format("text")) == page.format("text")
    assert explorer_data.with_script(page.format(markup)).count('<script type="module">') == 1


def test_a_table_without_a_choice_is_refused(runs):
    with pytest.raises(HplabError, match="no hyperparameter or no metric"):
        explorer_data.of_table(runs[["lr", "seed"]])


def test_in_the_book_the_figure_brings_its_data(monkeypatch, runs):
    monkeypatch.setenv("HPLAB_EXECUTION", "7")
    for name in ("HPLAB_STATIC", *explorer.LIVE_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    bundle = explorer.explore(runs)._repr_mimebundle_()
    assert '<figure class="hp-figure">' in bundle["text/html"]
    assert 'data-for="explorer"' in bundle["text/html"]


def test_the_page_of_all_runs_says_when_there_are_none(tmp_path):
    store = Store(tmp_path / "results", tmp_path / "pending")
    assert "no run is recorded" in all_runs.shown(store).html
