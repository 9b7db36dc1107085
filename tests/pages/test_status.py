"""Tables that prose pages take from presets, records and notebooks."""

import pytest
import tiny_book

from hplab.pages.tables import fill, markdown
from hplab.pages.tables import status as facts
from hplab.sweeps.presets import PRESETS
from hplab.trial import TASK, HplabError


class FakeStore:
    """Three records of two environments, one of them unknown."""

    def records(self):
        """Yield records as the store does."""
        config = {"data": "mnist", "model": "cnn", "epochs": 5}
        for seed, (seconds, status, prov) in enumerate(
            [(20.0, "ok", "a"), (22.0, "ok", "a"), (30.0, "diverged", "lost")]
        ):
            cost = {"train_s": seconds, "device": "cpu"}
            made = {"task": TASK, "config": config, "seed": seed, "status": status}
            yield {**made, "cost": cost, "prov": prov}

    def provenance(self, name):
        """Return the one environment that is known."""
        if name != "a":
            raise HplabError(f"no provenance {name!r}")
        device = {"type": "cpu", "name": "A Fast CPU"}
        return {"device": device, "torch": "2.15.0", "python": "3.11.7", "date": "2026-11-22"}


def rows(table):
    """The cells of a Markdown table, without its rule."""
    lines = [line.strip("| ").split(" | ") for line in table.splitlines()]
    return [lines[0], *lines[2:]]


def test_a_mark_is_replaced_by_its_table_and_nothing_else_is():
    text = "Before\n\n% hplab: one\n\n% hplab is a comment\n"

    assert fill.fill(text, {"one": lambda: "| a |"}, "page") == (
        "Before\n\n| a |\n\n% hplab is a comment\n"
    )


def test_an_unknown_table_is_refused_with_the_nearest():
    with pytest.raises(HplabError, match=r"unknown table 'preset' in page.*did you mean 'presets'"):
        fill.fill("% hplab: preset", {"presets": str}, "page")


def test_the_clone_commands_take_the_address_they_are_given():
    text = fill.tables([], repository="https://example.org/group/book")["clone"]()

    assert "$ git clone https://example.org/group/book && cd book\n$ make execute" in text


def test_the_preset_table_has_every_preset():
    assert [row[0] for row in rows(facts.presets())[1:]] == [f"`{name}`" for name in PRESETS]


def test_the_page_table_takes_what_the_runner_stamped(tmp_path):
    path = tiny_book.write(tmp_path)

    assert rows(facts.pages([path]))[1] == [
        "{doc}`studies/01-learning-rate`", "laptop", "auto", "2026-11-22", "31 s", "3.11.7",
    ]  # fmt: skip


def test_a_notebook_without_a_stamp_is_listed_all_the_same(tmp_path):
    (tmp_path / "02-bare.ipynb").write_text('{"cells": [], "metadata": {}}')

    table = rows(facts.pages([tmp_path / "02-bare.ipynb"]))

    assert table[1] == ["{doc}`studies/02-bare`", *["not noted"] * 5]


def test_records_are_counted_by_data_and_environment():
    store = FakeStore()

    table = rows(facts.records(store.records(), facts._lookup(store)))

    assert table[1:] == [
        ["mnist", "2", "0", "A Fast CPU", "2.15.0", "3.11.7", "2026-11-22"],
        ["mnist", "1", "1", "cpu", "?", "?", "not noted"],
    ]


def test_cost_is_the_median_of_a_group():
    store = FakeStore()

    table = rows(facts.cost(store.records(), facts._lookup(store)))

    assert table[1] == ["mnist", "cnn", "5", "fp32", "A Fast CPU", "2", "21 s"]


def test_without_records_the_tables_say_so(store):
    made = fill.tables([], store)

    assert made["records"]() == made["cost"]() == "There are no records yet."
    assert made["pages"]() == "No study has been executed yet."


def test_cells_cannot_break_the_table():
    assert markdown.table(("a",), [("x|y",)]).splitlines()[-1] == "| x\\|y |"


def test_long_times_are_whole_seconds():
    assert [facts._seconds(value) for value in (0.234, 9.87, 123.4)] == ["0.23 s", "9.9 s", "123 s"]
