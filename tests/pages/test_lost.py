"""The page on faults shows what was counted, and says so where nothing was."""

import json
from pathlib import Path

import pytest

from hplab.pages.tables import lost

ROOT = Path(__file__).parents[2]
COUNTED = ROOT / "book" / "results" / "bench" / "reliability.json"
FOUND = {
    "kills": {"kills": 200, "acknowledged": 1829, "lost": 3, "took_s": 60.0},
    "writers": {"writers": 8, "records": 8000, "lost": 0, "took_s": 30.0},
    "damages": {
        "files": 8000,
        "refused": 6000,
        "wrong": 1,
        "took_s": 120.0,
        "kinds": [
            {"kind": "batch", "files": 4000, "refused": 3500, "wrong": 0},
            {"kind": "plan", "files": 4000, "refused": 2500, "wrong": 1},
        ],
    },
    "sweep": {
        "drivers": 50,
        "workers": 20,
        "disks": 1,
        "hosts": 1,
        "calls": 300,
        "recorded": 300,
        "lost": 0,
        "equal_to_undisturbed": False,
        "took_s": 150.0,
    },
    "many": {
        "records": 100_000,
        "mb": 250,
        "seconds": 8.5,
        "processor_s": 7.25,
        "peak_mib": 1792,
        "took_s": 60.0,
    },
    "machine": {"processor": "A <small> chip", "cores": 2, "python": "3.12.1"},
}


@pytest.fixture
def tables(tmp_path):
    (tmp_path / "reliability.json").write_text(json.dumps(FOUND))
    return lost.tables(tmp_path)


def test_what_was_lost_is_not_passed_over(tables):
    rows = tables["lost-counts"]().splitlines()

    assert "3 of 1,829 acknowledged records lost" in rows[2]
    assert "8 processes write 8,000 records" in rows[3]
    assert "1 read wrongly, 6,000 refused" in rows[4]
    assert "300 recorded, 0 lost; not the same records" in rows[5]
    assert "7.2 s of one core (8.5 s in all), 1.8 GiB" in rows[6]


def test_every_kind_of_file_has_its_row(tables):
    rows = tables["lost-files"]().splitlines()[2:]

    assert rows == [
        "| batch of records | 4,000 | 3,500 | 500 | 0 |",
        "| list of trials to be trained | 4,000 | 2,500 | 1,499 | 1 |",
    ]


def test_the_machine_is_named(tables):
    said = tables["lost-machine"]()

    assert "A &lt;small&gt; chip with 2 cores" in said
    assert "in 7 minutes" in said


def test_without_a_count_the_command_is_named(tmp_path):
    for make in lost.tables(tmp_path).values():
        assert "make faults" in make()


def test_the_committed_counts_reach_what_was_set_out():
    found = json.loads(COUNTED.read_text(encoding="utf-8"))
    kills, writers, damages, swept, many = (
        found[name] for name in ("kills", "writers", "damages", "sweep", "many")
    )
    assert (kills["kills"], kills["lost"]) == (200, 0)
    assert kills["acknowledged"] >= 1500
    assert (writers["writers"], writers["records"], writers["lost"]) == (8, 8000, 0)
    assert damages["files"] >= 4000
    assert damages["wrong"] == 0
    assert {row["kind"] for row in damages["kinds"]} == set(lost.KINDS)
    assert (swept["calls"], swept["drivers"], swept["workers"]) == (300, 50, 20)
    assert (swept["disks"], swept["hosts"]) == (1, 1)
    assert (swept["recorded"], swept["lost"], swept["equal_to_undisturbed"]) == (300, 0, True)
    assert many["records"] == 100_000
    assert many["processor_s"] <= 10
    assert many["peak_mib"] <= 2048


def test_the_readme_quotes_them():
    found = json.loads(COUNTED.read_text(encoding="utf-8"))
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())

    assert lost.in_short(found) in readme
    assert "`make faults`" in readme
