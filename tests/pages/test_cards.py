"""What a page says beside its figures: glued numbers, tables, cost, provenance."""

import ast
import dataclasses
import importlib.util
import math
import re
from html.parser import HTMLParser

import IPython.core.formatters
import IPython.display
import myst_nb.ext.glue
import numpy as np
import pandas as pd
import pytest
from synthetic_runs import make_runs

from hplab.analysis.claims import judging
from hplab.analysis.stats import intervals
from hplab.pages import cards
from hplab.pages.figures.figure import table
from hplab.sweeps.provenance import collect_provenance
from hplab.sweeps.store import Store
from hplab.trial import HplabError, Trial, grid

EVIL = '<img src=x onerror="alert(1)">&'


class Cells(HTMLParser):
    """The text of every cell, row by row, and the tags seen."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.tags, self.open = [], set(), False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        assert "style" not in dict(attrs)
        if tag == "tr":
            self.rows.append([])
        self.open = tag in ("td", "th")
        if self.open:
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        self.open = False

    def handle_data(self, data):
        if self.open:
            self.rows[-1][-1] += data


@pytest.fixture(scope="module")
def runs():
    return make_runs()


@pytest.fixture
def displayed(monkeypatch):
    """What glue hands to the notebook: (bundle, metadata) of each display."""
    seen = []
    monkeypatch.setattr(
        IPython.display, "display", lambda data, raw, metadata: seen.append((data, metadata))
    )
    return seen


# --------------------------------------------------------------------------- numbers in prose


@pytest.mark.parametrize(
    ("value", "fmt", "text"),
    [
        (0.9873, "%", "98.73 %"),
        (0.98704, "%", "98.70 %"),
        (0.04378, None, "0.0438"),
        (0.0440, ".4f", "0.0440"),
        (-0.5, ".1f", "−0.5"),
        (0.003, "pp", "0.30 pp"),
        (75.23, "s", "75.2 s"),
        (45, None, "45"),
        (np.float64(0.5), None, "0.500"),
        ("already text", None, "already text"),
        (0.001, lambda value: f"{value:.0e}", "1e-03"),
    ],
)
def test_a_number_is_formatted_for_prose(value, fmt, text):
    assert cards.formatted(value, fmt) == text


def test_an_interval_is_written_with_its_ends_and_n():
    interval = intervals.mean_interval([0.98, 0.985, 0.99])

    half = 100 * 4.302653 * 0.005 / math.sqrt(3)
    expected = f"98.50 % (95 % interval {98.5 - half:.2f} to {98.5 + half:.2f} %, n = 3 seeds)"
    assert cards.formatted(interval, "%") == expected


@pytest.mark.parametrize(("value", "fmt"), [([1], "%"), (0.5, "d"), (None, None)])
def test_a_format_that_does_not_fit_is_refused(value, fmt):
    with pytest.raises(HplabError, match="glue: cannot format"):
        cards.formatted(value, fmt)


def test_glue_keeps_the_text_for_the_page_and_shows_nothing(displayed):
    cards.glue("best", 0.044, ".4f")

    ((bundle, metadata),) = displayed
    assert metadata["scrapbook"]["name"] == "best"
    assert set(bundle) == {
        f"application/papermill.record/{kind}" for kind in ("text/plain", "text/html")
    }
    # The text role reads the plain text as a Python literal; zeros at the end have to survive that.
    assert ast.literal_eval(bundle["application/papermill.record/text/plain"]) == "0.0440"


def test_glue_writes_what_myst_nb_writes(displayed, monkeypatch):
    class Text:
        def _repr_mimebundle_(self, include=None, exclude=None):
            return {"text/plain": repr("98.73\u00a0%"), "text/html": "98.73\u00a0%"}

    formatter = IPython.core.formatters.DisplayFormatter()
    monkeypatch.setattr(IPython.core.formatters, "format_display_data", formatter.format)
    monkeypatch.setattr(myst_nb.ext.glue, "ipy_display", IPython.display.display)
    myst_nb.glue("best", Text(), display=False)
    cards.glue("best", 0.9873, "%")

    theirs, ours = displayed
    assert ours == theirs


def test_glued_text_is_escaped_and_its_units_do_not_wrap(displayed):
    cards.glue("a", f"{EVIL} 98.73 %")

    bundle = displayed[0][0]
    assert "<img" not in bundle["application/papermill.record/text/html"]
    assert "98.73\u00a0%" in bundle["application/papermill.record/text/html"]


def test_without_myst_nb_name_and_value_are_printed(monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    cards.glue("best", 0.9873, "%")

    assert capsys.readouterr().out == "best: 98.73 %\n"


# ------------------------------------------------------------------------------------- tables


def test_results_have_a_row_a_setting_and_a_column_for_what_varied(runs):
    rows = Cells(cards.show(runs, "val_acc").html).rows

    assert rows[0] == ["learning rate", "validation accuracy (%)", "seeds", "diverged"]
    assert len(rows) == 1 + 9
    one = runs[runs["lr"] == 1e-3]["val_acc"]
    half = 2.776445 * one.std() / math.sqrt(5)
    assert rows[5] == ["1e-3", f"{100 * one.mean():.2f} ± {100 * half:.2f}", "5", "0"]
    assert rows[9][2:] == ["2", "3"]


def test_results_of_a_single_setting_need_no_hyperparameter_column():
    rows = Cells(cards.show(make_runs((1e-3,), 3, n_diverged=0)).html).rows

    assert rows[0][0] == "validation accuracy (%)"
    assert len(rows) == 2


def test_an_unknown_metric_is_refused(runs):
    with pytest.raises(HplabError, match="unknown column 'val_accuracy'"):
        cards.show(runs, "val_accuracy")


@pytest.mark.parametrize("make", [cards.show, cards.cost, cards.provenance])
def test_an_empty_table_gives_a_note(runs, make):
    assert "none of these trials is recorded" in make(runs.iloc[:0]).text


def test_cells_of_a_table_are_escaped_and_numbers_are_marked():
    markup = table(pd.DataFrame({EVIL: [EVIL], "n": ["1,437"], "mean": ["98.7 ± 0.1"]}), EVIL)

    page = Cells(markup)
    assert "img" not in page.tags
    assert page.rows[1] == [EVIL, "1,437", "98.7 ± 0.1"]
    assert markup.count('class="hp-num"') == 4


# ----------------------------------------------------------------------------- preset changes


@pytest.fixture(scope="module")
def declared():
    base = Trial(data="mnist", model="cnn", optimizer="adam", lr=1e-3, batch_size=64, epochs=5)
    return grid(base, lr=[1e-3, 1e-4], seed=range(20))


def test_what_a_preset_changes_stands_beside_the_report(declared):
    shown = cards.preset_changes("laptop", declared)

    rows = Cells(shown.html).rows
    assert rows[0] == ["hyperparameter", "in the report", "here"]
    assert ["data", "mnist", "digits"] in rows
    assert "What the preset “laptop” changes" in shown.text


def test_a_table_of_runs_knows_its_preset_and_how_many_seeds_it_has(runs, declared):
    rows = Cells(cards.preset_changes(runs[runs["seed"] < 4], declared).html).rows

    assert ["seeds", "1", "4"] in rows


@pytest.mark.parametrize(
    ("entries", "is_numeric"),
    [
        (["97.81 \u00b1 0.94", "98.75 (94.97 to 99.70)"], True),
        (["0.5 (\u22120.1 to 1.1) s", "none"], True),
        (["98.75 (best)", "97.81"], False),
        (["4 to 6"], False),
    ],
)
def test_a_number_with_its_interval_stands_in_a_column_of_numbers(entries, is_numeric):
    markup = table(pd.DataFrame({"setting": "a", "loss": entries}))

    assert ('class="hp-num"' in markup) is is_numeric


def test_settings_with_more_seeds_than_others_are_told_as_a_range(runs, declared):
    slowest = runs["lr"] == runs["lr"].min()
    rows = Cells(cards.preset_changes(runs[slowest | (runs["seed"] < 2)], declared).html).rows

    assert ["seeds", "1", f"2 to {runs['seed'].nunique()}"] in rows


def test_rows_can_be_given_and_are_escaped():
    rows = [{"field": "data", "report": EVIL, "preset": "digits"}]

    assert "img" not in Cells(cards.preset_changes(rows).html).tags


def test_a_preset_without_trials_is_refused(runs):
    with pytest.raises(HplabError, match="and the trials"):
        cards.preset_changes("laptop")
    with pytest.raises(HplabError, match="unknown preset 'lptop'"):
        cards.preset_changes("lptop", [])


# --------------------------------------------------------------------------------------- cost


def test_the_cost_card_counts_runs_settings_seeds_and_seconds(runs):
    card = cards.cost(runs)

    # Seed k trained 1.5 + 0.1 k seconds: 9 * (1.5 + ... + 1.9) = 76.5 in all, 1.7 in the middle.
    assert "runs: 45; settings: 9; different seeds: 5" in card.text
    assert "training time, all runs: 1 min 16 s; median of a run: 1.7 s" in card.text
    assert "trained now: 7; from the store: 38; diverged: 3" in card.text
    assert card.html.startswith('<section class="hp-card"')
    assert "<dt>device</dt><dd>cpu</dd>" in card.html


def test_the_cost_card_does_without_attributes_and_optional_columns():
    table = make_runs((1e-3,), 2, n_diverged=0)[["lr", "val_acc"]]
    table.attrs.clear()

    assert cards.cost(table).text == "runs: 2; settings: 1"


def test_lanes_are_named_where_the_table_has_them(runs):
    assert "lanes: 8" in cards.cost(runs.assign(lanes=8)).text


def test_the_cost_card_is_escaped(runs):
    assert "<img" not in cards.cost(runs.assign(device=EVIL)).html


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.842, "0.84 s"),
        (42.3, "42 s"),
        (59.7, "1 min"),
        (200, "3 min 20 s"),
        (7500, "2 h 5 min"),
        (3600, "1 h"),
        (3599.8, "1 h"),
    ],
)
def test_durations_are_written_as_people_say_them(seconds, text):
    assert cards.duration(seconds) == text


# --------------------------------------------------------------------------------- provenance


def described(**changes):
    """A description as runs get it, with what differs from day to day held fixed."""
    fixed = {
        "git": {"commit": "abcdef0123456789", "dirty": False},
        "torch": "2.11.0",
        "cuda": "13.0",
        "device": {"type": "cpu", "name": EVIL},
        "date": "2026-01-02",
    }
    return {**collect_provenance(), **fixed, **changes}


@pytest.fixture
def kept(tmp_path):
    return Store(tmp_path / "results", tmp_path / "pending")


def test_provenance_comes_from_the_store_and_is_escaped(runs, kept):
    name = kept.put_provenance(described())

    shown = cards.provenance(runs.assign(prov=name), store=kept)

    page = Cells(shown.html)
    rows = {row[0]: row[1] for row in page.rows[1:]}
    assert rows["commit"] == "abcdef012345"
    assert rows["PyTorch"] == "2.11.0"
    assert rows["device"] == EVIL
    assert rows["deterministic algorithms"] == "no"
    assert rows["descriptions"] == name
    assert "img" not in page.tags
    assert "no description" not in rows


def test_what_differs_between_runs_is_shown_with_how_many_runs(runs, kept):
    names = [
        kept.put_provenance(described()),
        kept.put_provenance(described(date="2026-02-03", git={"commit": "f" * 40, "dirty": True})),
    ]
    prov = [names[0]] * 40 + [names[1]] * 5

    text = cards.provenance(runs.assign(prov=prov), store=kept).text

    assert "2026-01-02 (40 runs); 2026-02-03 (5 runs)" in text
    assert "ffffffffffff with changes (5 runs)" in text


def test_cuda_is_told_of_gpu_runs_only(runs, kept):
    on_cpu = kept.put_provenance(described())
    on_gpu = kept.put_provenance(described(device={"type": "cuda", "name": "H100"}))

    assert "CUDA" not in cards.provenance(runs.assign(prov=on_cpu), store=kept).text
    gpu = Cells(cards.provenance(runs.assign(prov=on_gpu), store=kept).html).rows
    assert ["CUDA", "13.0"] in gpu


def test_runs_without_a_description_are_counted(runs, kept):
    shown = cards.provenance(runs.assign(prov="0" * 12), store=kept)
    assert Cells(shown.html).rows[-1] == ["no description", "45 runs"]

    nothing = cards.provenance(runs.drop(columns="prov"), store=kept)
    assert "none recorded" in nothing.text


def test_everything_shows_as_html_with_plain_text_beside(runs):
    for shown in (cards.show(runs), cards.cost(runs)):
        bundle = shown._repr_mimebundle_()
        assert set(bundle) == {"text/html", "text/plain"}
        assert "<" not in bundle["text/plain"]
        assert repr(shown) == bundle["text/plain"]


def test_claims_table_has_a_row_a_claim_and_counts_outcomes():
    made = judging.verdicts(["S4-06", "S4-12", "S4-13", "S4-08"], make_runs().iloc[:0])
    made[0], made[3] = (dataclasses.replace(made[i], outcome="inconclusive") for i in (0, 3))
    shown = cards.claims_table(made)
    head, *rows = Cells(re.sub("</?span[^>]*>", "", shown.html)).rows

    assert head == ["claim", "what the report says", "its own data", "our re-run", "seeds"]
    assert [row[0] for row in rows] == ["S4-06\u00a0*", "S4-08"]
    assert '<th scope="row"><span class="hp-claim" id="row-S4-06">S4-06</span>\u00a0*</th>' in (
        shown.html
    )
    assert "S4-06\u00a0*" in shown.text
    assert [row[3] for row in rows] == ["inconclusive"] * 2
    assert "4 claims: 2 inconclusive, 2 not run yet" in shown.html


def test_claims_without_runs_are_one_line_that_the_ledger_can_lead_to():
    made = judging.verdicts(["S4-06", "S4-12"], make_runs().iloc[:0])
    shown = cards.claims_table(made)

    assert "<table" not in shown.html
    assert shown.html.count("<p ") == 2
    assert 'id="row-S4-06">S4-06</span>, <span class="hp-claim" id="row-S4-12"' in shown.html
    assert shown.text == "2 claims: 2 not run yet (* primary)\nNot run yet: S4-06, S4-12."
    assert made._repr_html_().startswith('<p class="hp-not-run">Not run yet: ')


def test_an_argument_that_its_component_tells_has_no_column():
    arms = {"adam": {"eps": 1e-8, "momentum": None}, "sgd": {"eps": None, "momentum": 0.0}}
    runs = pd.concat(make_runs((1e-3,), 3, n_diverged=0, optimizer=o, **a) for o, a in arms.items())
    runs.attrs = {}
    head = cards.show(runs, "val_acc").text.splitlines()[1]
    assert "optimizer" in head
    assert "eps" not in head
    assert "momentum" not in head

    tuned = make_runs((1e-3,), 3, n_diverged=0, optimizer="sgd", momentum=0.9)
    head = cards.show(pd.concat([runs, tuned]), "val_acc").text.splitlines()[1]
    assert "momentum" in head
