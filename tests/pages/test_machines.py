"""The page on several machines shows what its benchmark wrote."""

import json
from pathlib import Path

import pytest

from hplab.pages.tables import machines

COMMITTED = Path(__file__).parents[2] / "book" / "results" / "bench"


@pytest.fixture
def folder(tmp_path):
    calls = {"waits": lambda n: 5.0 * n, "computes": lambda n: min(n, 2) * 5.0}
    found = {
        "machine": {"processor": "A <small> chip", "cores": 2, "python": "3.12", "load": 1.5},
        "call_s": 0.2,
        "rows": [
            {"workers": n, "function": name, "calls_s": at(n)}
            for n in range(1, 9)
            for name, at in calls.items()
        ],
        "shares": [
            {"way": "dask", "calls": 1000, "seconds": 5.0, "driver_s": 1.0, "scheduler_s": 2.0}
        ],
    }
    (tmp_path / "machines.json").write_text(json.dumps(found))
    return tmp_path


def test_the_committed_file_has_both(folder):
    for make in machines.tables(COMMITTED).values():
        assert make() != machines.NONE


def test_where_nothing_was_measured_it_says_so(tmp_path):
    assert {make() for make in machines.tables(tmp_path).values()} == {machines.NONE}


def test_the_busier_process_is_the_limit(folder):
    said = machines.tables(folder)["machines-driver"]()

    assert "<td>1 ms</td><td>2 ms</td>" in said
    assert ">500<" in said  # workers with trials of a second, at 2 ms each


def test_the_figure_says_how_near_it_came_to_what_could_be(folder):
    said = machines.tables(folder)["machines-workers"]()

    assert "With 8 workers 40.0 calls a second that wait, 100 % of what could be at most" in said
    assert "10.0 that compute" in said
    assert "one machine of 2 cores (A &lt;small&gt; chip), on which 1.5 other" in said
