"""What comes from data stands on a page as text: no name of a class, run or device is markup."""

import contextlib
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from test_degenerate import PLOTS, some_runs

from hplab.pages import cards, plots
from hplab.pages.figures.confusion import confusion
from hplab.pages.figures.explorer import explore
from hplab.pages.tables import status
from hplab.pages.tables.markdown import table
from hplab.trial import TASK, HplabError

HOSTILE = "$\\frac</svg>\"'><script>alert(1)</script>"
IMAGE = "<img src=x onerror=alert(1)>"


class Tags(HTMLParser):
    """The elements of a page and their attributes, as a browser reads them."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, [name for name, _ in attributes]))


def check(made):
    """Whatever a figure or table puts on a page, a browser sees none of the hostile elements."""
    text = getattr(made, "figure", made).html if not hasattr(made, "html") else made.html
    for tag, names in Tags(text).found:
        assert tag not in ("script", "img")
        assert "onerror" not in names


@pytest.fixture(scope="module")
def runs():
    hostile = some_runs()
    names = [(HOSTILE, IMAGE)[i % 2] for i in range(len(hostile))]
    changed = hostile.assign(
        optimizer=names, loss=IMAGE, model=HOSTILE, data=HOSTILE, device=HOSTILE, variant=names
    )
    changed.attrs = {**hostile.attrs, "preset": HOSTILE, "data": HOSTILE, "device": HOSTILE}
    return changed


@pytest.mark.parametrize("plot", PLOTS)
def test_no_figure_or_table_takes_markup_from_its_runs(runs, plot):
    with contextlib.suppress(HplabError):  # a refusal is no markup
        check(PLOTS[plot](runs))


def test_no_figure_takes_markup_from_levels_and_columns(runs):
    check(plots.axis(runs, "optimizer", by="variant"))
    check(plots.heatmap(runs, "optimizer", "batch_size"))
    check(plots.learning_curves(runs.assign(epoch=1), by="optimizer"))
    check(explore(runs.rename(columns={"collapsed": HOSTILE}), x="optimizer"))


def test_no_class_or_run_name_is_markup():
    one = some_runs().iloc[:1]
    matrix = pd.DataFrame(np.eye(2, dtype=int))
    check(confusion(one, [matrix], [HOSTILE], class_names=[HOSTILE, IMAGE]))


def test_no_provenance_is_markup():
    class Origins:
        def provenance(self, name):
            return {"python": HOSTILE, "torch": HOSTILE, "device": {"name": HOSTILE}}

    check(cards.provenance(some_runs(), store=Origins()))
    record = {
        "task": TASK,
        "config": {"data": HOSTILE, "model": HOSTILE, "epochs": 1, "precision": HOSTILE},
        "status": "ok",
        "prov": "x",
        "cost": {"train_s": 1.0},
    }
    for made in (status.records([record], Origins().provenance),
                 status.cost([record], Origins().provenance)):  # fmt: skip
        assert "<script>" not in made
        assert "<img" not in made
    assert table(["a<b>"], [["<b>"]]).count("<") == 0
