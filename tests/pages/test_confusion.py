"""Shares and confusion matrices are drawn from the numbers of the runs."""

import numpy as np
import pandas as pd
import pytest

from hplab.analysis.stats import proportions as intervals
from hplab.pages import plots
from hplab.trial import HplabError


def runs(collapsed=(1, 0, 0, 0), batch_size=(16, 16, 64, 64)):
    n = len(collapsed)
    return pd.DataFrame(
        {
            "batch_size": batch_size,
            "seed": range(n),
            "status": ["ok"] * n,
            "collapsed": np.array(collapsed, float),
            "key": [f"k{i}" for i in range(n)],
        }
    )


class Store:
    """Holds one matrix of two classes for every key."""

    def get(self, key):
        return {"curves": {"confusion": [3, 1, 0, 4] if key == "k0" else [0, 4, 0, 4]}}


def test_a_share_has_jeffreys_interval_and_its_count():
    figure = plots.shares(runs(), "collapsed", "batch_size")
    first = figure.data.iloc[0]
    expected = intervals.proportion_interval(1, 2)

    assert (first["k"], first["n"]) == (1, 2)
    assert (first["low"], first["high"]) == (expected.low, expected.high)
    assert "1 of 2 at 16, 0 of 2 at 64" in figure.caption


def test_runs_without_the_measure_are_no_runs_without_the_event():
    table = runs(collapsed=(1, np.nan, 0, 0))

    assert plots.shares(table, "collapsed", "batch_size").data["n"].tolist() == [1, 2]
    assert "Nothing to show" in plots.shares(table[1:2], "collapsed", "batch_size").text


def test_runs_too_short_to_be_judged_have_no_share():
    short = runs().drop(columns="collapsed")

    said = plots.shares(short, "collapsed", "seed").text
    assert "of 4 recorded runs, none was long enough, or measured, to say if it collapsed" in said


def test_what_a_report_saw_stands_beside_ours_and_alone_where_ours_cannot_be_judged():
    seen = {16: (1, 6), 64: (0, 6)}
    both = plots.shares(runs(), "collapsed", "batch_size", published=seen)
    assert both.data["by"].tolist() == ["ours", "ours", "published", "published"]
    assert "published (diamonds): 1 of 6 at 16, 0 of 6 at 64; ours: 1 of 2 at 16" in both.caption

    for ours in (runs().drop(columns="collapsed"), runs()[:0]):
        alone = plots.shares(ours, "collapsed", "batch_size", published=seen)
        expected = intervals.proportion_interval(1, 6)
        first = alone.data.iloc[0]
        assert (len(alone.data), first["low"], first["high"]) == (2, expected.low, expected.high)
        assert "ours" not in alone.caption
    assert "none of these trials is recorded" in alone.caption


def test_shares_of_mixed_settings_are_refused():
    table = runs().assign(lr=[0.1, 0.2, 0.1, 0.2])

    with pytest.raises(HplabError, match="learning rate varies too"):
        plots.shares(table, "collapsed", "batch_size")


def test_a_confusion_matrix_is_described_and_listed():
    figure = plots.confusion(runs()[:2], ["good", "dead"], store=Store())

    assert "good: 87.5 % right, 2 of 2 classes predicted" in figure.caption
    assert "dead: 50.0 % right, 1 of 2 classes predicted" in figure.caption
    assert figure.shown.values.tolist() == [
        ["good", "1", "1", "3"],
        ["good", "1", "2", "1"],
        ["good", "2", "2", "4"],
        ["dead", "1", "2", "4"],
        ["dead", "2", "2", "4"],
    ]
    assert "<svg" in figure.svg


def test_too_many_matrices_are_refused():
    with pytest.raises(HplabError, match="at most 3 runs, got 4"):
        plots.confusion(runs(), store=Store())


def test_the_picker_starts_with_all_groups_and_draws_one(monkeypatch):
    from hplab.pages.figures import explorer

    monkeypatch.setenv("HPLAB_STATIC", "0")
    table = pd.DataFrame(
        {
            "change": ["none"] * 4 + ["BN"] * 4,
            "probe_step": [1, 1, 10, 10] * 2,
            "probe_live_units": [9, 8, 3, 2, 9, 9, 9, 9],
            "seed": [0, 1] * 4,
        }
    )
    picker = explorer.explore(table, pick="change", x="probe_step", y="probe_live_units")
    whole = picker.figure
    menu, panel = picker.controls().children
    menu.value = "BN"

    assert set(whole.data["change"]) == {"none", "BN"}
    assert "change" not in picker.figure.data
    assert picker.figure.data["mean"].tolist() == [9, 9]
    assert panel.value.startswith("<figure")
