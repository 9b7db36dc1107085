"""Every figure and table of runs, on runs of which there is little or nothing to see.

What each must do is the same: draw something with a caption, say that nothing is there, or
refuse in one line that names what is missing.
"""

import contextlib
import re

import numpy as np
import pandas as pd
import pytest
from synthetic_runs import make_runs

from hplab.pages import cards, plots
from hplab.pages.figures.confusion import confusion
from hplab.pages.figures.explorer import explore
from hplab.pages.tables import luck
from hplab.trial import HplabError

NUMBERS = [
    *("val_acc", "val_loss", "train_acc", "train_loss", "acc_gap", "loss_gap", "collapsed"),
    *("hessian_top", "sharpness", "weight_norm", "train_s"),
]


def some_runs():
    runs = make_runs(lrs=(1e-4, 1e-3, 1e-2), n_seeds=3)
    runs["batch_size"] = [64, 128, 64, 128, 64, 128, 64, 128, 64]
    runs["collapsed"] = np.arange(len(runs)) % 2
    rng = np.random.default_rng(0)
    for name in ("hessian_top", "sharpness", "weight_norm"):
        runs[name] = rng.uniform(1, 9, len(runs))
    return runs


def keeping(change):
    def changed():
        runs = some_runs()
        found = change(runs)
        found.attrs = runs.attrs
        return found

    return changed


def of_numbers(value):
    return keeping(lambda runs: runs.assign(**dict.fromkeys(NUMBERS, value)))


RUNS = {
    "none, no columns": pd.DataFrame,
    "none": keeping(lambda runs: runs.iloc[:0]),
    "one": keeping(lambda runs: runs.iloc[:1]),
    "two": keeping(lambda runs: runs.iloc[:2]),
    "two settings": keeping(lambda runs: runs.iloc[[0, 3]]),
    "all diverged": keeping(
        lambda runs: runs.assign(status="diverged", **dict.fromkeys(NUMBERS, np.nan))
    ),
    "one diverged": keeping(
        lambda runs: runs.iloc[:1].assign(status="diverged", **dict.fromkeys(NUMBERS, np.nan))
    ),
    "no numbers": of_numbers(np.nan),
    "None": of_numbers(None),
    "infinite": of_numbers(np.inf),
    "zeros": of_numbers(0.0),
    "ones": of_numbers(1.0),
    "one setting": keeping(lambda runs: runs.assign(lr=1e-3, batch_size=64)),
    "one seed": keeping(lambda runs: runs.assign(seed=0)),
}
PLOTS = {
    "axis": lambda runs: plots.axis(runs),
    "axis of a name": lambda runs: plots.axis(runs, "optimizer"),
    "axis by": lambda runs: plots.axis(runs, by="batch_size", log_y=True, y="val_loss"),
    "axis of two": lambda runs: plots.axis(runs, "batch_size", "train_loss", seeds=False),
    "isolation": lambda runs: plots.isolation(runs, "lr", over=["batch_size"]),
    "isolation log": lambda runs: plots.isolation(
        runs, "batch_size", "val_loss", over=["lr"], log_y=True
    ),
    "heatmap": lambda runs: plots.heatmap(runs, "lr", "batch_size"),
    "heatmap of a loss": lambda runs: plots.heatmap(runs, "batch_size", "lr", "val_loss"),
    "compare": lambda runs: plots.compare({1e-3: 0.97}, runs),
    "compare by name": lambda runs: plots.compare({"adam": 0.97}, runs, by="optimizer"),
    "compare report": lambda runs: plots.compare("004", runs),
    "learning_curves": lambda runs: plots.learning_curves(curves_of(runs)),
    "learning_curves of two": lambda runs: plots.learning_curves(
        curves_of(runs), ("val_acc", "val_loss"), by=None, log_y=True
    ),
    "descent": lambda runs: plots.descent(curves_of(runs), by="lr"),
    "shares": lambda runs: plots.shares(runs, "collapsed", "lr"),
    "shares beside": lambda runs: plots.shares(runs, "collapsed", "lr", published={1e-3: (1, 3)}),
    "published_sharpness": lambda runs: plots.published_sharpness(runs),
    "stability": lambda runs: plots.stability(runs),
    "lr_find": lambda runs: plots.lr_find(
        {"lr": [0.1, 0.2], "loss": [2.0, 1.0], "suggestions": {}}, tuned=runs
    ),
    "confusion": lambda runs: confusion(runs.iloc[:1], [matrix(runs)]),
    "layers": lambda runs: plots.layers(profiles_of(runs), by="lr"),
    "layers, dead": lambda runs: plots.layers(profiles_of(runs), "dead", by="optimizer"),
    "explore": lambda runs: explore(runs),
    "explore, pick": lambda runs: explore(runs, pick="batch_size"),
    "show": lambda runs: cards.show(runs),
    "cost": lambda runs: cards.cost(runs),
    "provenance": lambda runs: cards.provenance(runs, store=NoOrigins()),
    "preset_changes": lambda runs: cards.preset_changes(runs),
    "luck": lambda runs: luck.shown(runs),
}


class NoOrigins:
    def provenance(self, name):
        raise HplabError(f"no provenance {name}")


def curves_of(runs):
    """Three epochs of each run; the metrics are all the run's own."""
    if runs.empty:
        return pd.DataFrame()
    table = pd.concat([runs.assign(epoch=epoch) for epoch in (1, 2, 3)])
    table.attrs = runs.attrs
    return table.assign(sharpness_path=runs.get("sharpness"))


def profiles_of(runs):
    """Three layers of each run, as `hp.layers` gives them."""
    if runs.empty:
        return pd.DataFrame()
    layers = [runs.assign(layer=layer) for layer in range(3)]
    values = runs.get("weight_norm")
    return pd.concat(layers).assign(gradient_start=values, dead_start=values)


def matrix(runs):
    """A confusion matrix for one run, of nothing but zeros where the run measured nothing."""
    counts = runs["collapsed"].iloc[0] if len(runs) and "collapsed" in runs else 0
    return pd.DataFrame(np.full((2, 2), counts if counts == 1 else 0))


def seen(draw, runs):
    """The text of a figure or table, or the one line of its refusal."""
    try:
        made = draw(runs)
    except HplabError as error:
        return str(error).replace("\n", "Traceback")  # more than one line is as bad
    return made.html if hasattr(made, "html") else made.figure.html


QUICK = ("none", "one", "all diverged")


@pytest.mark.parametrize(
    "kind", [kind if kind in QUICK else pytest.param(kind, marks=pytest.mark.slow) for kind in RUNS]
)
@pytest.mark.parametrize("plot", PLOTS)
def test_there_is_something_to_see_or_one_line_that_says_why_not(plot, kind):
    text = seen(PLOTS[plot], RUNS[kind]())

    assert text.strip()
    assert "Traceback" not in text


COLUMNS = [
    *("lr", "batch_size", "seed", "status", "val_acc", "val_loss", "optimizer", "key", "prov"),
    *("train_s", "device", "data", "model", "epochs", "train_loss", "collapsed", "hessian_top"),
]


@pytest.mark.slow
@pytest.mark.parametrize("plot", PLOTS)
def test_a_missing_column_is_one_line_or_makes_no_difference(plot):
    for column in COLUMNS:
        text = seen(PLOTS[plot], keeping(lambda runs, c=column: runs.drop(columns=c))())
        assert text.strip()
        assert "Traceback" not in text


@pytest.mark.parametrize("plot", PLOTS)
def test_no_figure_shows_the_source_of_a_formula(plot):
    with contextlib.suppress(HplabError):
        made = PLOTS[plot](some_runs())
        texts = re.findall(r"<text.*?</text>", getattr(made, "html", ""), re.DOTALL)
        assert not [text for text in texts if "$" in text or "mathdefault" in text]
