"""Figures: what is drawn, what the caption says, and what the SVG is made of."""

import base64
import dataclasses
import functools
import importlib.machinery
import io
import itertools
import math
import re
import subprocess
import sys
import types
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from synthetic_runs import make_curves, make_range_test, make_runs

from hplab.analysis.stats import bounded, intervals
from hplab.pages import labels as words
from hplab.pages import plots
from hplab.pages.figures import axis, marks, scales
from hplab.pages.figures import cells as summary
from hplab.pages.figures import figure as figure_module
from hplab.pages.figures.figure import Figure
from hplab.trial import HplabError

ROOT = Path(__file__).resolve().parents[2]
# Three runs a setting around a mean; 4.302653 is the 97.5 % point of the t distribution with 2 df.
SPREAD, HALF = (-0.02, 0.0, 0.02), 4.302653 * 0.02 / math.sqrt(3)


def three_runs(means, **columns):
    """A table with three runs of known mean and spread at each learning rate."""
    rows = [
        {"lr": lr, "seed": seed, "status": "ok", "val_acc": mean + shift, **columns}
        for lr, mean in means.items()
        for seed, shift in enumerate(SPREAD)
    ]
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def runs():
    return make_runs()


@pytest.fixture(scope="module")
def figure(runs):
    return plots.axis(runs)


@pytest.fixture(scope="module")
def grouped(runs):
    parts = [runs, make_runs(best_lr=1e-2, optimizer="sgd")]
    table = pd.concat(parts, ignore_index=True)
    table.attrs = runs.attrs
    return plots.axis(table, by="optimizer")


@pytest.fixture(scope="module")
def batches():
    """A sweep over batch size and lr; the best lr is 1e-3 * batch_size / 64."""
    parts = [
        make_runs((1e-4, 1e-3, 1e-2), 3, best_lr=1e-3 * size / 64, n_diverged=1, batch_size=size)
        for size in (16, 64, 256)
    ]
    return pd.concat(parts, ignore_index=True)


def lines(figure, axes=0, **wanted):
    """Lines of an axes whose properties are as wanted."""
    found = figure.figure.axes[axes].get_lines()
    return [ln for ln in found if all(getattr(ln, f"get_{k}")() == v for k, v in wanted.items())]


def texts(figure, axes=0):
    return [text.get_text() for text in figure.figure.axes[axes].texts]


def labels(figure, which="x", axes=0):
    ax = figure.figure.axes[axes]
    return [t.get_text() for t in getattr(ax, f"get_{which}ticklabels")() if t.get_text()]


# ------------------------------------------------------------------------------- what it says


def test_the_caption_gives_the_mean_with_the_t_interval_and_n():
    caption = plots.axis(three_runs({1e-4: 0.90, 1e-3: 0.95, 1e-2: 0.92})).caption

    low, high = 95 - 100 * HALF, 95 + 100 * HALF
    assert f"95.00 % (95 % interval {low:.2f} to {high:.2f} %, n = 3 seeds)" in caption
    assert "learning rate 1e-3" in caption


def test_the_caption_names_preset_data_model_and_device(figure):
    assert figure.caption.endswith("laptop preset, digits, cnn, 5 epochs, cpu.")


def test_a_table_without_attributes_is_drawn_and_no_preset_is_invented():
    table = make_runs((1e-3,), 2, n_diverged=0)
    table.attrs.clear()

    assert "preset" not in plots.axis(table).caption


def test_one_seed_has_no_interval():
    assert "n = 1 seed, too few for an interval" in plots.axis(make_runs((1e-4, 1e-3), 1)).caption


def test_the_alternative_text_tells_the_trend(figure):
    assert "from 1e-5 to 0.1" in figure.alt
    assert re.search(r"98\.\d\d % at 1e-3 \(best\)", figure.alt)
    assert figure.alt in figure.html.replace("&amp;", "&")


# --------------------------------------------------------------------------- what is drawn


def test_every_run_that_converged_is_a_dot_at_its_own_value(runs, figure):
    drawn = sorted(y for ln in lines(figure, alpha=0.5) for y in ln.get_ydata())

    assert drawn == pytest.approx(sorted(100 * runs["val_acc"].dropna()))


def test_dots_stand_at_the_tested_value_without_jitter(runs, figure):
    assert {x for ln in lines(figure, alpha=0.5) for x in ln.get_xdata()} == set(runs["lr"])


def test_diverged_runs_are_crossed_and_counted(figure):
    (cross,) = lines(figure, marker="x")

    assert list(cross.get_xdata()) == [0.1]
    assert "3 of 5" in texts(figure)
    assert "3 of 45 runs diverged (×)" in figure.caption


def test_a_table_where_nothing_diverged_says_nothing_of_it():
    figure = plots.axis(make_runs((1e-4, 1e-3), 2, n_diverged=0))

    assert "diverged" not in figure.caption
    assert not lines(figure, marker="x")


def test_all_runs_diverged_is_a_figure_too():
    figure = plots.axis(make_runs((1.0,), 3, n_diverged=3))

    assert "3 of 3 runs diverged" in figure.caption
    assert "no run converged" in figure.alt


@pytest.mark.parametrize(("y", "edge"), [("val_acc", 0.0), ("val_loss", 1.0)])
def test_crosses_stand_at_the_worse_edge(y, edge):
    figure = plots.axis(make_runs((1e-3, 1e-1), 2, n_diverged=1), y=y)

    assert list(lines(figure, marker="x")[0].get_ydata()) == [edge]


def test_accuracy_is_in_percent_and_loss_in_nats():
    assert words.label("val_acc") == "validation accuracy (%)"
    assert words.label("val_loss") == "validation loss (nats)"
    assert words.label("val_loss", "mse") == "validation loss"
    assert words.label("acc_gap").endswith("(pp)")


def test_seeds_can_be_left_out(runs):
    figure = plots.axis(runs, seeds=False)

    assert not lines(figure, alpha=0.5)
    assert "means with 95 % intervals" in figure.caption


def test_runs_outside_chosen_limits_are_counted(runs):
    figure = plots.axis(runs, ylim=(97, 99.5))

    outside = (runs["val_acc"] < 0.97).sum()
    assert f"{outside} runs outside the frame" in figure.caption


def test_more_runs_than_a_page_can_hold_are_thinned_and_the_caption_says_so(monkeypatch):
    monkeypatch.setattr(marks, "MOST_POINTS", 30)
    table = make_runs((1e-4, 1e-3), 40, n_diverged=0)

    figure = plots.axis(table)

    drawn = [y for ln in lines(figure, alpha=0.5) for y in ln.get_ydata()]
    assert "only every 3rd of the 80 runs is drawn" in figure.caption
    assert len(drawn) <= 30
    assert max(drawn) == pytest.approx(100 * table["val_acc"].max())
    assert "n = 40 seeds" in figure.caption


# ------------------------------------------------------------------------------- the scales


def test_learning_rate_stands_on_a_log10_axis_with_powers_as_labels(figure):
    assert figure.figure.axes[0].get_xscale() == "log"
    assert labels(figure) == ["10⁻⁵", "10⁻⁴", "10⁻³", "10⁻²", "10⁻¹"]


def test_batch_size_stands_on_a_log2_axis_with_its_values_as_labels():
    scale = scales.Scale("batch_size", [16, 32, 64, 128])

    assert scale.kind == "log2"
    assert [scale.text(value) for value in scale.tested] == ["16", "32", "64", "128"]
    shares = np.array([scale.share(value) for value in scale.tested])
    assert np.diff(shares) == pytest.approx(np.full(3, shares[1] - shares[0]))


def test_a_zero_on_a_log_axis_stands_one_step_left_of_the_rest():
    scale = scales.Scale("weight_decay", [0, 1e-4, 1e-3])

    assert scale.at(0) == pytest.approx(1e-5)
    assert scale.text(0) == "0"
    assert scale.has_zero


@pytest.mark.parametrize(
    ("name", "tested", "log", "kind"),
    [
        ("lr", [1e-4, 1e-3], None, "log10"),
        ("lr", [1e-4, 1e-3], False, "linear"),
        ("momentum", [0.0, 0.9], None, "linear"),
        ("epochs", [5, 50], True, "log10"),
        ("optimizer", ["adam", "sgd"], True, "names"),
        ("nesterov", [True, False], None, "names"),
        ("n_train", [None, 256], None, "names"),
        ("x", [-1.0, 1.0], True, "linear"),
    ],
)
def test_the_scale_follows_name_values_and_wish(name, tested, log, kind):
    assert scales.Scale(name, tested, log).kind == kind


@given(
    st.lists(st.sampled_from([10.0**k * m for k in range(-6, 2) for m in (1, 2, 5)]), min_size=1)
)
def test_tick_labels_never_touch(tested):
    scale = scales.Scale("lr", sorted(set(tested)))

    places = [scale.share(value) for value in scale._labelled()]

    assert all(b - a >= scales.LABEL_WIDTH - 1e-9 for a, b in itertools.pairwise(places))


def test_an_interval_much_wider_than_the_data_does_not_set_the_frame():
    low, high = scales.frame([1.0, 2.0], [-100.0, 100.0], log=False)

    assert low > -1
    assert high < 4


# ---------------------------------------------------------------------- the best and the edge


@pytest.mark.parametrize(
    ("means", "side"),
    [
        ({1e-4: 0.9, 1e-3: 0.95, 1e-2: 0.9}, None),
        ({1e-4: 0.97, 1e-3: 0.95, 1e-2: 0.9}, "lowest"),
        ({1e-4: 0.9, 1e-3: 0.95, 1e-2: 0.97}, "highest"),
    ],
)
def test_the_best_is_flagged_at_an_edge_of_the_grid_and_only_there(means, side):
    figure = plots.axis(three_runs(means))

    flagged = [text for text in texts(figure) if "edge of the grid" in text]
    assert len(flagged) == (side is not None)
    assert ("the edge of the grid" in figure.caption) == (side is not None)
    if side:
        assert f"this is the {side} value of learning rate tested" in figure.caption


def test_a_setting_that_diverged_still_counts_as_tested():
    table = make_runs((1e-4, 1e-3, 1e-1), 2, n_diverged=2)
    assert "edge of the grid" not in plots.axis(table).caption
    inner = table[table["lr"] > 1e-4]
    outer = pd.concat([three_runs({1: 0.9}), inner[["lr", "seed", "status", "val_acc"]]])
    assert "this is the lowest value of learning rate tested" in plots.axis(outer).caption


def test_the_better_of_two_values_is_no_edge_of_a_grid():
    figure = plots.axis(three_runs({1e-4: 0.9, 1e-3: 0.95}))

    assert not [text for text in texts(figure) if "edge" in text]
    assert "edge" not in figure.caption


def test_an_interval_that_runs_out_of_the_frame_has_a_head_there():
    """Two runs a setting: the interval is 12.7 times their half range to each side."""
    wide = pd.concat([five("val_loss", [v, v + 0.1], lr=lr) for lr, v in ((1e-3, 1), (1e-2, 1.2))])
    figure = plots.axis(wide, y="val_loss")
    low, high = figure.figure.axes[0].get_ylim()

    assert figure.data["low"].max() < low < high < figure.data["high"].min()
    assert "2 intervals run out of the frame" in figure.caption
    for marker, height in (("^", 1.0), ("v", 0.0)):
        heads = lines(figure, marker=marker)
        assert [line.get_ydata()[0] for line in heads] == [height, height]
    narrow = plots.axis(three_runs({1e-3: 0.9, 1e-2: 0.95}))
    assert "out of the frame" not in narrow.caption
    assert not [ln for marker in "^v" for ln in lines(narrow, marker=marker)]


@pytest.mark.parametrize(
    ("low", "high", "sides"),
    [
        (1, 2, []),
        (-1, 2, ["bottom"]),
        (1, 11, ["top"]),
        (-1, 11, ["bottom", "top"]),
        (11, 12, []),  # nothing of it is seen: the runs outside the frame are counted
        (0, 10, []),
        (math.nan, math.nan, []),
    ],
)
def test_which_edges_of_a_frame_an_interval_crosses(low, high, sides):
    assert marks.beyond({"low": low, "high": high}, (0, 10)) == sides


@pytest.mark.parametrize(
    ("tested", "chosen", "expected"),
    [
        ([1, 2, 3], 2, None),
        ([1, 2, 3], 1, "lowest"),
        ([1, 2], 1, None),
        ([0, 1, 2], 0, None),
        ([1], 1, None),
    ],
)
def test_zero_and_a_single_value_are_no_edge(tested, chosen, expected):
    assert summary.edge(tested, chosen) == expected


def test_names_have_no_edge():
    assert summary.edge(["adam", "sgd"], "adam") is None


def test_a_setting_that_lost_runs_is_not_the_best_while_another_lost_none():
    table = three_runs({1e-3: 0.95, 1e-2: 0.99})
    table.loc[5, ["status", "val_acc"]] = ["diverged", np.nan]

    cells = summary.cells(table, "val_acc", ["lr"])

    assert cells.loc[summary.best(cells, "val_acc"), "lr"] == 1e-3


def test_the_best_loss_is_the_smallest_and_a_gap_has_no_best():
    cells = summary.cells(three_runs({1e-3: 0.95, 1e-2: 0.5}), "val_acc", ["lr"])

    assert cells.loc[summary.best(cells, "val_loss"), "lr"] == 1e-2
    assert summary.best(cells, "acc_gap") is None


def test_no_mean_is_drawn_over_runs_that_differ_in_more_than_their_seed(runs):
    table = pd.concat([runs, make_runs(optimizer="sgd")])

    figure = plots.axis(table)

    assert "no means because optimizer varies too" in figure.caption
    assert "interval" not in figure.caption
    assert not lines(figure, markersize=7)


def test_groups_differ_in_colour_marker_and_dash(grouped):
    looks = [marks.look(i) for i in range(8)]

    for part in zip(*looks, strict=True):
        assert len(set(part)) == 8
    legend = grouped.figure.legends[0]
    assert [t.get_text() for t in legend.get_texts()] == ["optimizer:", "adam", "sgd"]


def test_with_groups_the_best_of_all_is_ringed_and_named(grouped):
    assert "at learning rate 0.01 and optimizer sgd" in grouped.caption
    (ring,) = lines(grouped, markersize=15)
    assert list(ring.get_xdata()) == [0.01]


def test_an_unknown_column_is_refused_with_the_nearest_match(runs):
    with pytest.raises(HplabError, match=r"unknown column 'val_ac'.*did you mean 'val_acc'"):
        plots.axis(runs, y="val_ac")


@pytest.mark.parametrize("draw", [axis.axis, plots.learning_curves])
def test_an_empty_table_gives_a_note(runs, draw):
    note = draw(runs.iloc[:0])

    assert 'class="hp-note"' in note.html
    assert "none of these trials is recorded" in repr(note)


# ---------------------------------------------------------------------------------- isolation


@pytest.fixture(scope="module")
def isolated(batches):
    return plots.isolation(batches, "batch_size", over="lr")


def test_isolation_keeps_the_best_nuisance_by_mean_over_seeds(batches):
    whole = batches[batches["lr"] < 1e-2]

    data = plots.isolation(whole, "batch_size", over="lr").data

    chosen = data[data["chosen"]].set_index("batch_size")["lr"]
    means = whole.groupby(["batch_size", "lr"])["val_acc"].mean().unstack()
    assert chosen.to_dict() == means.idxmax(axis=1).to_dict()


def test_isolation_passes_over_settings_that_lost_runs_and_says_so(isolated):
    chosen = isolated.data[isolated.data["chosen"]].set_index("batch_size")["lr"]

    assert chosen[256] == 1e-3
    assert "settings that lost a run to divergence are passed over" in isolated.caption


def test_isolation_says_that_the_best_of_several_is_optimistic(isolated):
    assert "the best of 3 settings by mean over seeds" in isolated.caption
    assert "is optimistic" in isolated.caption
    assert "3 of 27 runs diverged" in isolated.caption


def test_isolation_names_where_the_nuisance_is_at_its_edge():
    parts = [
        make_runs((1e-5, 1e-4, 1e-3), 3, best_lr=1e-2, n_diverged=0, batch_size=size)
        for size in (16, 64, 256)
    ]
    table = pd.concat(parts, ignore_index=True)

    caption = plots.isolation(table, "batch_size", over=["lr"]).caption

    assert "the chosen learning rate is at the edge of those tested" in caption
    assert "batch size 16, 64 and 256" in caption


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"over": []}, "`over` is empty"),
        ({"over": ["lr"], "y": "train_s"}, "no side of 'train_s' is better"),
        ({"over": ["epochs"]}, "lr also varies"),
        ({"over": ["momentum"]}, "unknown column 'momentum'"),
    ],
)
def test_isolation_refuses_what_has_no_answer(batches, arguments, message):
    with pytest.raises(HplabError, match=message):
        plots.isolation(batches, "batch_size", **arguments)


# ----------------------------------------------------------------------------- learning curves


@pytest.fixture(scope="module")
def curves(runs):
    return make_curves(runs[runs["lr"].isin([1e-3, 1e-2, 1e-1])])


@pytest.fixture(scope="module")
def curve_figure(curves):
    return plots.learning_curves(curves, ["train_loss", "val_loss", "val_acc"])


def test_every_run_has_its_line_and_the_bold_one_is_their_mean(curves, curve_figure):
    thin = [ln for ln in lines(curve_figure, axes=1) if ln.get_alpha() == 0.45]
    bold = [ln for ln in lines(curve_figure, axes=1) if ln.get_linewidth() == 2.4]

    assert sum(np.isnan(ln.get_xdata()).sum() for ln in thin) == curves["key"].nunique()
    expected = curves[curves["lr"] == 1e-3].groupby("epoch")["val_loss"].mean()
    assert bold[0].get_ydata() == pytest.approx(expected.to_numpy())


def test_means_leave_diverged_runs_out_and_the_caption_says_so(curve_figure):
    cell = curve_figure.data.query("lr == 0.1 and epoch == 5 and metric == 'val_acc'").iloc[0]

    assert cell["n"] == 2
    assert "means are over the runs that did not diverge" in curve_figure.caption
    assert "3 of 15 runs diverged" in curve_figure.caption


def test_a_run_that_diverged_is_crossed_in_the_epoch_after_its_last_value(curve_figure):
    (cross,) = lines(curve_figure, axes=2, marker="x")

    assert list(cross.get_xdata()) == [3]


def test_epochs_are_whole_numbers(curve_figure):
    ax = curve_figure.figure.axes[0]

    assert all(tick == int(tick) for tick in ax.get_xticks())
    assert ax.get_xlabel() == "epoch"


def test_panels_with_one_unit_have_one_scale(curve_figure):
    limits = [ax.get_ylim() for ax in curve_figure.figure.axes]

    assert limits[0] == limits[1] != limits[2]


def test_a_single_epoch_can_be_drawn(curves):
    figure = plots.learning_curves(curves[curves["epoch"] == 1], "val_acc", log_y=True)

    assert list(figure.figure.axes[0].get_xlim()) == [0.5, 1.5]


def test_a_table_of_runs_is_turned_into_curves(monkeypatch, runs, curves):
    from hplab.sweeps import series

    asked = []
    monkeypatch.setattr(series, "curves", lambda *table, **where: asked.append(where) or curves)

    caption = plots.learning_curves(runs, store="there").caption

    assert "by epoch for each learning rate" in caption
    assert asked == [{"store": "there"}]
    assert plots.learning_curves(curves).caption == caption
    assert len(asked) == 1  # a table of curves is drawn as it is


def test_no_mean_line_over_runs_that_differ_in_more_than_their_seed(curves):
    figure = plots.learning_curves(curves, "val_loss", by="optimizer")

    assert "no means because learning rate varies too" in figure.caption
    assert not [ln for ln in lines(figure) if ln.get_linewidth() == 2.4]


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=9),
    st.floats(0.01, 0.1),
)
def test_labels_are_moved_apart_in_order_and_kept_inside(places, gap):
    moved = marks.spread(places, gap)

    order = np.argsort(places, kind="stable")
    steps = np.diff(np.array(moved)[order])
    assert (steps >= gap - 1e-9).all()
    assert min(moved) >= -1e-9
    assert max(moved) <= 1 + 1e-9


def test_labels_that_do_not_touch_stay():
    assert marks.spread([0.9, 0.1, 0.5], 0.1) == pytest.approx([0.9, 0.1, 0.5])


# ---------------------------------------------------------------------------------- range test


def test_suggestions_are_marked_where_they_are_and_listed_with_the_tuned_rate(runs):
    result = make_range_test()

    figure = plots.lr_find(result, tuned=runs)

    ax = figure.figure.axes[0]
    upright = {ln.get_xdata()[0] for ln in lines(figure) if list(ln.get_ydata()) == [0, 1]}
    assert upright == {*result["suggestions"].values(), 1e-3}
    told = [text.get_text() for text in ax.get_legend().get_texts()]
    assert told[-1] == "tuned: 1e-3"
    assert "the best mean of the sweep is at 1e-3" in figure.caption
    assert "boundary" not in figure.caption


def test_a_suggestion_on_the_boundary_is_called_none():
    result = make_range_test()
    result["suggestions"] = {"steepest": float(result["lr"][-1]), "valley": 1e-3}

    figure = plots.lr_find(result, tuned=3e-3)

    assert "steepest: on the boundary of the tested range, so no suggestion" in figure.caption
    assert list(figure.shown["at or beyond the tested range"]) == ["yes", "no", "no"]


def test_the_range_test_of_the_package_is_understood():
    from hplab.analysis.lr_find import LrFind

    result = LrFind(np.logspace(-5, 0, 20), np.linspace(2, 1, 20), {"valley": 1e-3}, None, ())

    assert "valley at 1e-3" in plots.lr_find(result).caption


def test_a_range_test_without_a_curve_is_refused():
    with pytest.raises(HplabError, match="needs `lr` and `loss`"):
        plots.lr_find({"lr": [1e-3], "loss": [1.0]})


# ------------------------------------------------------------------------ published beside ours


def test_the_band_is_the_prediction_interval_for_one_new_run():
    figure = plots.compare({1e-3: 0.95}, three_runs({1e-3: 0.9}))

    half = 4.302653 * 0.02 * math.sqrt(1 + 1 / 3)
    cell = figure.data.iloc[0]
    assert (cell["new_low"], cell["new_high"]) == pytest.approx((0.9 - half, 0.9 + half), rel=1e-6)
    assert "1 of 1 published number within" in figure.caption


def test_what_was_not_published_has_no_diamond():
    figure = plots.compare({1e-3: 0.95, 1e-4: math.nan}, three_runs({1e-4: 0.9, 1e-3: 0.9}))

    assert figure.data["lr"].tolist() == [1e-3]


def test_a_published_number_outside_the_band_is_counted_as_outside():
    figure = plots.compare({1e-3: 0.5, 1e-4: 0.9}, three_runs({1e-4: 0.9, 1e-3: 0.9}))

    assert "1 of 2 published numbers within" in figure.caption
    assert "outside the prediction interval" in figure.alt


def test_a_report_of_the_ledger_is_known_by_its_number_and_another_setting_is_named():
    table = make_runs((1e-4, 5e-4, 1e-3), 3, n_diverged=0)

    figure = plots.compare("004", table, ["val_acc", "val_loss"])

    published = figure.data.set_index(["metric", "lr"])["published"]
    assert published["val_acc", 1e-3] == pytest.approx(0.9873)
    assert published["val_loss", 1e-3] == pytest.approx(0.04378)
    assert "not the report's setting: data digits instead of mnist" in figure.caption


@pytest.mark.parametrize(
    ("epochs", "said"),
    [
        ([5, 5, 5], "mnist, 5 epochs."),
        ([1, 1, 1], "mnist, 1 epoch."),
        ([5, 50, 5], "mnist, 5 to 50 epochs."),
        (["few", "many", None], "mnist."),
        ([0.5, 2, 2], "mnist."),
    ],
)
def test_the_caption_names_the_epochs_where_they_are_some(epochs, said):
    table = three_runs({1e-3: 0.8}, data="mnist").assign(epochs=epochs)

    assert plots.axis(table, "epochs").caption.endswith(said)


def test_our_runs_are_drawn_beside_a_number_that_the_report_leaves_out():
    theirs = pd.DataFrame({"lr": [1e-3, 1e-4], "val_acc": [0.9, 0.8], "train_acc": [0.9, math.nan]})
    figure = plots.compare(
        theirs, three_runs({1e-4: 0.9, 1e-3: 0.9}, train_acc=0.9), list(theirs)[1:]
    )

    silent = figure.data[figure.data["published"].isna()]
    assert silent[["metric", "lr", "n"]].values.tolist() == [["train_acc", 1e-4, 3]]
    assert "of 3 published numbers within" in figure.caption
    assert "training accuracy at learning rate 1e-4: not published, our mean 90.00 %" in figure.alt


def test_bands_that_hold_nearly_anything_are_counted():
    narrow, wide = three_runs({1e-3: 0.9}), three_runs({1e-4: 0.5})
    wide["val_acc"] = [0.2, 0.5, 0.8]
    figure = plots.compare({1e-3: 0.9, 1e-4: 0.5}, pd.concat([narrow, wide]))

    assert "2 of 2 published numbers within" in figure.caption
    assert "; 1 band is wider than 30 pp (the widest from " in figure.caption
    assert "wider than" not in plots.compare({1e-3: 0.9}, narrow).caption


def test_published_numbers_stand_alone_until_there_are_runs_to_compare():
    figure = plots.compare({1e-3: 0.95, 1e-4: 0.9}, pd.DataFrame())

    assert figure.caption.startswith("Published validation accuracy: 95.00 % at learning rate 1e-3")
    assert "none of ours at its setting is recorded yet" in figure.caption
    assert list(figure.data["published"]) == [0.95, 0.9]
    assert "our" not in figure.alt


def test_of_several_published_runs_of_one_value_the_page_says_which_is_meant():
    both = {"schedule": "constant", "weight_decay": 0}
    with pytest.raises(HplabError, match=r"more than one published run has lr 0\.05"):
        plots.compare("001", pd.DataFrame(), where=both)

    figure = plots.compare("001", pd.DataFrame(), where={**both, "activation": "relu"})
    assert list(figure.data["published"]) == [0.5238, 0.5546, 0.5797]


@pytest.mark.parametrize(
    ("published", "message"),
    [
        ({1e-3: 98.73}, "98.73 is no share; give 0.9873"),
        ({0.5: 0.9}, "no published lr was run"),
        ("040", "unknown report '040'"),
    ],
)
def test_numbers_that_cannot_be_compared_are_refused(published, message):
    with pytest.raises(HplabError, match=re.escape(message)):
        plots.compare(published, three_runs({1e-3: 0.9}))


# -------------------------------------------------------------------------------------- the SVG


class Page(HTMLParser):
    """Collects what a page is made of."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.references, self.styles = [], [], set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            self.references.update(re.findall(r"url\(#([^)]+)\)", value or ""))
            if name == "href":
                self.references.add(value.removeprefix("#"))
            if name == "style":
                self.styles.append(value)

    handle_startendtag = handle_starttag


def all_figures(request):
    return [request.getfixturevalue(n) for n in ("figure", "grouped", "isolated", "curve_figure")]


def test_every_colour_is_a_variable_of_the_page(request):
    for drawn in all_figures(request):
        bare = re.sub(r"var\((?:[^()]|\([^()]*(?:\([^()]*\))?[^()]*\))*\)", "", drawn.svg)
        assert not re.findall(r"#[0-9a-fA-F]{3,8}\b", re.sub(r"#hp\w+", "", bare))
        assert "rgb" not in bare


def test_the_variables_are_those_that_the_book_defines(request):
    css = (ROOT / "book/_static/hplab.css").read_text(encoding="utf-8")

    used = {name for drawn in all_figures(request) for name in re.findall(r"--hp-[\w]+", drawn.svg)}
    assert used <= set(re.findall(r"(--hp-[\w]+):", css))
    assert {"--hp-c1", "--hp-fg", "--hp-grid"} <= used


def test_nothing_leaks_from_the_svg_into_the_page(figure):
    page = Page(figure.svg)

    assert not {"style", "metadata", "script", "image"} & set(page.tags)
    assert "xmlns" not in figure.svg
    assert not any("font-family" in style for style in page.styles)


def test_ids_are_unique_on_a_page_and_lead_somewhere(figure, grouped):
    page = Page(figure.html + grouped.html)

    assert len(page.ids) == len(set(page.ids)) > 0
    assert page.references == set(page.ids)


def test_the_svg_is_named_and_described_for_those_who_do_not_see_it(figure):
    root = ElementTree.fromstring(figure.svg)

    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"] == figure.alt
    assert [child.tag for child in root[:2]] == ["title", "desc"]


def test_text_is_text_and_exponents_are_raised_digits(figure):
    root = ElementTree.fromstring(figure.svg)

    found = ["".join(element.itertext()) for element in root.iter("text")]
    assert "learning rate" in found
    assert "10\u22123" in found


def test_no_text_is_smaller_than_ten_points(request):
    for drawn in all_figures(request):
        sizes = [float(size) for size in re.findall(r"font-size: ([\d.]+)px", drawn.svg)]
        assert min(sizes) >= 10


def test_the_same_table_gives_the_same_bytes(runs, figure):
    with mpl.rc_context({"font.size": 30, "svg.hashsalt": None, "lines.linewidth": 9}):
        again = plots.axis(runs)

    assert again.svg == figure.svg
    assert again.html == figure.html == figure.html
    assert again._repr_mimebundle_() == figure._repr_mimebundle_()


@pytest.mark.slow
def test_another_process_gives_the_same_bytes(figure):
    code = "import sys; sys.path.insert(0, 'tests'); from synthetic_runs import make_runs;"
    code += "from hplab.pages import plots; sys.stdout.write(plots.axis(make_runs()).svg);"
    code += "assert 'matplotlib.pyplot' not in sys.modules"  # it would keep every figure

    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)

    assert done.stdout.decode() == figure.svg


def test_drawing_leaves_the_settings_of_matplotlib_alone(runs):
    before = dict(mpl.rcParams)

    plots.axis(runs, seeds=False)

    assert dict(mpl.rcParams) == before


# ------------------------------------------------------- what cannot be, and what has no place


def five(y, values, **columns):
    rows = [{"lr": 1e-3, "seed": i, "status": "ok", y: v} for i, v in enumerate(values)]
    return pd.DataFrame(rows).assign(**columns)


def test_an_interval_never_passes_100_percent_and_the_caption_says_how():
    high = five("val_acc", [1.0, 0.98, 0.96, 1.0, 1.0])
    figure = plots.axis(high)
    cell = figure.data.iloc[0]

    assert intervals.mean_interval(high["val_acc"]).high > 1
    # Half-width 2.776 * 0.0179 / sqrt(5) = 0.0222; over 0.988 * 0.012 it is 1.874 in logits.
    assert tuple(cell[["low", "mean", "high"]]) == pytest.approx((0.9267, 0.988, 0.9981), abs=1e-4)
    assert (
        "one interval is lopsided, as values cannot pass 0 or 100 % (taken on the logit scale)"
        in figure.caption
    )
    assert words.give_or_take("val_acc", cell) == "98.80 (92.67 to 99.81)"


def test_values_that_are_all_the_same_have_no_interval():
    one = {"mean": 0.1127, "low": 0.1127, "high": 0.1127, "n": 2}
    assert words.give_or_take("val_acc", one) == "11.27 (n = 2, both the same)"
    assert words.interval("val_acc", pd.Series({**one, "n": 5})) == "11.27 % (n = 5, all the same)"


def test_an_interval_of_a_loss_stays_above_0_and_one_that_can_be_stays_as_it_is():
    low = plots.axis(five("val_loss", [0.02, 0.01, 0.3, 0.1, 0.05]), y="val_loss")
    assert 0 < low.data["low"].item() < low.data["mean"].item()
    assert "lopsided, as values cannot pass 0 (taken on the log scale)" in low.caption

    gap = plots.axis(five("acc_gap", [0.02, -0.01, 0.3, 0.1, 0.05]), y="acc_gap")
    assert gap.data["low"].item() == intervals.mean_interval([0.02, -0.01, 0.3, 0.1, 0.05]).low < 0
    assert "scale" not in gap.caption


def test_a_loss_that_can_be_negative_keeps_its_interval():
    figure = plots.axis(five("val_loss", [-0.2, 0.1, 0.2]), y="val_loss")

    assert figure.data["low"].item() < -0.2


@given(st.lists(st.floats(0, 1), min_size=2, max_size=9))
def test_what_is_within_its_bounds_stays_and_what_is_not_comes_within(values):
    found = intervals.mean_interval(values)
    shares, losses = bounded.within(found, 0, 1), bounded.within(found, 0)

    assert 0 <= shares.low <= shares.estimate <= shares.high <= 1
    assert 0 <= losses.low <= losses.estimate <= losses.high
    if found.low >= 0:
        assert losses == found
        if found.high <= 1:
            assert shares == found


def test_a_bent_interval_is_the_t_interval_to_first_order():
    found = intervals.Interval(0.9, 0.899, 0.901, 0.95, 5)
    bent = bounded.within(dataclasses.replace(found, high=1.0 + 1e-9, low=0.8 - 1e-9), 0, 1)
    step = 0.1 / 0.09  # half-width over p (1 - p), the delta method's

    assert math.log(bent.high / (1 - bent.high)) - math.log(9) == pytest.approx(step, rel=1e-6)
    assert math.log(9) - math.log(bent.low / (1 - bent.low)) == pytest.approx(step, rel=1e-6)


def test_a_mean_below_0_is_named_and_marked_on_a_logarithmic_axis():
    rows = [five("sharpness", [-0.03, -0.02, -0.01], batch_size=4096)]
    rows.append(five("sharpness", [1.0, 2.0, 3.0], batch_size=16))
    runs = pd.concat(rows, ignore_index=True)
    figure = plots.axis(runs, "batch_size", "sharpness", log_y=True)

    assert "3 runs are not above 0 and have no place on the logarithmic axis" in figure.caption
    assert "so has a mean (▼ at the lower edge): \u22120.0200 at batch size 4096" in figure.caption
    (mark,) = (line for line in lines(figure, marker="v") if line.get_markersize() == 9)
    assert list(mark.get_xdata()) == [4096]
    assert "no place" not in plots.axis(runs, "batch_size", "sharpness").caption


# ------------------------------------------------------------------------------- on the page


def test_a_figure_shows_as_html_with_a_picture_and_plain_text_beside(figure):
    bundle = figure._repr_mimebundle_()

    assert set(bundle) == {"text/html", "image/png", "text/plain"}
    assert bundle["text/html"].startswith("<style>")
    assert bundle["text/plain"] == f"Figure: {figure.caption}"
    picture = base64.b64decode(bundle["image/png"])
    with Image.open(io.BytesIO(picture)) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "P", (640, 360))
        assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
        colours = {colour for _, colour in image.convert("RGB").getcolors()}
    assert mpl.colors.to_hex([part / 255 for part in max(colours, key=saturation)]) == "#0072b2"
    assert 3_000 < len(picture) < 25_000


def saturation(colour):
    return max(colour) - min(colour)


def test_a_notebooks_html_shows_the_picture_where_drawings_and_styles_are_stripped(figure):
    markup = figure._repr_mimebundle_()["text/html"]
    stripped = re.sub(r"<style>.*?</style>", "", re.sub("</?svg[^>]*>", "", markup))

    assert '<img class="hp-still" alt="' in stripped
    assert '<div class="hp-drawn" hidden="hidden">' in stripped  # so its labels stay out of sight
    assert '<figure class="hp-figure"><svg' in figure_module.without_still(markup)
    assert "png" not in figure_module.without_still(markup)
    assert "png" not in figure.html


def test_what_is_changed_before_a_figure_is_shown_is_in_its_picture():
    figure = plots.axis(three_runs({1e-3: 0.9, 1e-2: 0.8}))
    before = figure.png
    figure.figure.axes[0].set_ylim(0, 100)

    assert figure.png != before


def test_the_table_behind_a_figure_holds_what_is_drawn(figure):
    assert '<details><summary>Show data</summary><div class="hp-scroll"' in figure.html
    best = figure.data.loc[summary.best(figure.data, "val_acc")]
    assert f">{100 * best['mean']:.2f}</td>" in figure.html


def test_names_from_data_are_escaped_everywhere():
    evil = '<script>alert("1")</script>&'
    table = make_runs((1e-4, 1e-3), 2, n_diverged=0, optimizer=evil, data=evil, model=evil)
    other = make_runs((1e-4, 1e-3), 2, n_diverged=0)

    figure = plots.axis(pd.concat([table, other]), by="optimizer")

    assert "script" not in Page(figure.html).tags
    assert evil in figure.caption
    ElementTree.fromstring(figure.svg)


def test_a_saved_svg_stands_alone_and_has_a_dark_palette(figure, tmp_path):
    text = figure.save(tmp_path / "a.svg").read_text(encoding="utf-8")

    assert ElementTree.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"
    assert "prefers-color-scheme:dark" in text
    assert "svg:root{" in text


def test_a_saved_picture_says_what_it_shows_and_leaves_the_drawing_as_it_was(figure, tmp_path):
    told, bare = figure.save(tmp_path / "a.png"), figure.save(tmp_path / "b.png", caption=False)
    with Image.open(told) as tall, Image.open(bare) as low:
        assert tall.text["Description"] == low.text["Description"] == figure.caption
        assert tall.height > low.height + 50
    assert not figure.figure.texts
    pdf = figure.save(tmp_path / "a.pdf").read_bytes()
    assert pdf.startswith(b"%PDF")
    assert b"CreationDate" not in pdf


def test_a_figure_is_saved_as_picture_and_its_data_as_csv(figure, tmp_path):
    assert figure.save(tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert len(pd.read_csv(figure.save(tmp_path / "a.csv"))) == 9
    with pytest.raises(HplabError, match=r"known endings are \.svg"):
        figure.save(tmp_path / "a.gif")
    with pytest.raises(HplabError, match=r"cannot save a\.png: there is no folder '.*nowhere'"):
        figure.save(tmp_path / "nowhere" / "a.png")
    with pytest.raises(HplabError, match="save needs the name of a file, got 5"):
        figure.save(5)


@pytest.mark.parametrize("draw", [plots.axis, functools.partial(plots.isolation, over=["lr"])])
def test_what_is_no_table_is_refused(draw):
    with pytest.raises(HplabError, match=r"needs a table of runs \(a DataFrame\), got str"):
        draw("runs.csv", x="batch_size")


def test_who_looks_for_savefig_is_told_of_save(figure):
    with pytest.raises(AttributeError, match=r"figure\.save\('name\.png'\)"):
        figure.savefig("a.png")
    with pytest.raises(AttributeError, match="no attribute 'sav'"):
        _ = figure.sav


def test_a_long_table_is_cut_and_says_so():
    data = pd.DataFrame({"step": range(100)})
    figure = Figure(lambda fig: fig.add_subplot(), caption="a", alt="b", data=data)

    assert "The first 40 of 100 rows" in figure.html


# ---------------------------------------------------------------------------- words and numbers


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1e-3, "1e-3"),
        (5e-4, "5e-4"),
        (1e-5, "1e-5"),
        (0.01, "0.01"),
        (0.5, "0.5"),
        (64, "64"),
        (64.0, "64"),
        (0, "0"),
        (None, "none"),
        (math.nan, "none"),
        (True, "True"),
        ("adam", "adam"),
        (2.5e7, "2.5e7"),
    ],
)
def test_a_setting_is_written_as_in_code(value, text):
    assert words.setting(value) == text


def test_no_limit_on_training_examples_is_all():
    assert words.setting(None, "n_train") == "all"


@pytest.mark.parametrize(
    ("name", "value", "half", "text"),
    [
        ("val_acc", 0.98731, math.nan, "98.73 %"),
        ("acc_gap", -0.004, math.nan, "−0.40 pp"),
        ("val_loss", 0.04378, math.nan, "0.0438"),
        ("val_loss", 0.04378, 0.0012, "0.0438"),
        ("val_loss", 2.31234, 0.2, "2.31"),
        ("val_loss", math.nan, math.nan, "none"),
        ("train_s", 75.23, math.nan, "75.2 s"),
    ],
)
def test_a_metric_is_rounded_to_what_is_known(name, value, half, text):
    assert words.number(name, value, half) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(1e-3, "10⁻³"), (5e-4, "5×10⁻⁴"), (10.0, "10¹"), (0, "0"), (2.5e-1, "2.5×10⁻¹")],
)
def test_powers_of_ten(value, text):
    assert words.power(value) == text


def test_no_group_reaches_the_next_value():
    radii = scales.Scale("ladder_radius", [0.5, 1, 2, 3, 5, 7], log=True)
    nearest = axis.WIDTH_PT * (radii.share(7) - radii.share(5))

    assert axis._shift(6, 7, radii) - axis._shift(0, 7, radii) < nearest


def test_runs_that_differ_in_more_than_their_seed_have_no_mean_in_the_table_either():
    runs = three_runs({1e-3: 0.9, 1e-4: 0.8}).assign(batch_size=[16, 32, 64] * 2)
    shown = plots.axis(runs, x="lr", y="val_acc").shown

    assert not {"mean (%)", "95 % from (%)"} & set(shown)
    assert {"lowest (%)", "highest (%)"} <= set(shown)


def test_a_run_too_short_to_have_a_value_did_not_diverge():
    runs = three_runs({1e-3: 0.9, 1e-4: 0.8}).assign(status="ok", roughness=np.nan)
    said = plots.axis(runs, x="lr", y="roughness").text
    assert "of 6 recorded runs, none has a value of roughness" in said

    runs["roughness"] = [1.0, 2.0, np.nan, 1.0, 2.0, np.nan]
    assert plots.axis(runs, x="lr", y="roughness").data["n_diverged"].sum() == 0
    runs["status"] = ["ok", "ok", "diverged"] * 2
    assert plots.axis(runs, x="lr", y="roughness").data["n_diverged"].tolist() == [1, 1]


def test_small_words():
    assert words.ordinal(2) == "2nd"
    assert words.ordinal(13) == "13th"
    assert words.listed(["a"]) == "a"
    assert words.listed(["a", "b", "c"]) == "a, b and c"
    assert words.listed("abcdefgh", most=3) == "a, b and 6 more"
    assert words.unbroken("98.73 % (n = 5 seeds)") == "98.73\u00a0% (n\u00a0=\u00a05\u00a0seeds)"
    assert words.unbroken("at 1e-3") == "at 1e-\u20603"
    assert words.unbroken("-0.1 to -2, 2-3, 06-kl") == "\u22120.1 to \u22122, 2-3, 06-kl"
    assert words.quantity("arm_epochs") == "declared epochs"


def test_a_figure_with_a_file_of_its_name_is_found(monkeypatch):
    module = types.ModuleType("hplab.pages.figures.box")
    module.__spec__ = importlib.machinery.ModuleSpec(module.__name__, None)
    module.box = lambda runs: f"a box of {len(runs)}"
    monkeypatch.setitem(sys.modules, module.__name__, module)

    assert plots.box([1, 2]) == "a box of 2"
    with pytest.raises(AttributeError, match=r"unknown figure 'axes' in hp\.plots.*mean 'axis'"):
        _ = plots.axes
    with pytest.raises(AttributeError, match="unknown figure 'marks'"):  # a helper draws nothing
        _ = plots.marks


# ------------------------------------------------------------------- which of the means is the best


def test_the_best_is_chosen_on_the_seeds_that_all_settings_have():
    """Two more seeds of the other rate, both lucky, lift its mean above; the ring stays."""
    table = three_runs({1e-3: 0.8, 1e-2: 0.79})
    more = pd.DataFrame({"lr": 1e-2, "seed": [3, 4], "status": "ok", "val_acc": [0.99, 0.99]})
    uneven = pd.concat([table, more], ignore_index=True)
    found = summary.cells(uneven, "val_acc", ["lr"])

    assert found.loc[found["mean"].idxmax(), "lr"] == 1e-2
    assert found.loc[summary.best(found, "val_acc"), "lr"] == 1e-3
    assert summary.n_shared(found) == 3
    assert (
        "at learning rate 1e-3; chosen on the 3 seeds that all settings have"
        in plots.axis(uneven).caption
    )
    assert "chosen on" not in plots.axis(table).caption


def test_a_single_run_is_not_the_best_beside_settings_of_several():
    lucky = pd.DataFrame({"lr": [1e-2], "seed": [0], "status": "ok", "val_acc": [0.99]})
    table = pd.concat([three_runs({1e-3: 0.8}), lucky], ignore_index=True)
    found = summary.cells(table, "val_acc", ["lr"])

    assert found.loc[summary.best(found, "val_acc"), "lr"] == 1e-3


def test_a_figure_of_single_runs_says_that_it_is_one():
    caption = plots.axis(three_runs({1e-3: 0.8, 1e-2: 0.7}).query("seed == 0")).caption

    assert "one run a setting, so luck and effect cannot be told apart" in caption
    assert "interval beside it" not in caption


@pytest.mark.parametrize(
    "draw", [plots.axis, functools.partial(plots.heatmap, x="lr", y="momentum")]
)
def test_a_comparison_that_waits_for_its_second_value_is_not_drawn(draw):
    one = three_runs({1e-3: 0.9}, momentum=0.9, settings='["lr", "momentum"]')
    assert isinstance(draw(one), Figure)  # nobody asked for more

    one.attrs = {"n_missing": 6}
    assert repr(draw(one)) == (
        "Not run yet: only learning rate 1e-3 is recorded here, and a comparison needs two values."
    )
    two = three_runs({1e-3: 0.9, 1e-2: 0.8}, momentum=0.9, settings='["lr", "momentum"]')
    two.attrs = {"n_missing": 6}
    assert isinstance(plots.axis(two), Figure)


def test_one_value_of_a_measure_is_what_came_out():
    runs = three_runs({1e-3: 0.9, 1e-2: 0.8}, val_loss=0.5, settings='["lr"]')
    runs.attrs = {"n_missing": 6}
    assert isinstance(plots.axis(runs, "val_loss", "val_acc"), Figure)


def test_no_line_joins_folds_for_a_fold_is_a_name():
    folds = pd.DataFrame({"fold": [1, 1, 2, 2, 3, 3], "seed": [0, 1] * 3, "val_acc": SPREAD * 2})
    figure = plots.axis(folds.assign(val_acc=0.5 + folds["val_acc"]), x="fold")
    assert not [line for line in lines(figure) if len(line.get_xdata()) == 3]
