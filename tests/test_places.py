"""Where things are is read from the environment and the current folder, in one room."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from hplab import places
from hplab.trial import HplabError

ROOT = Path(__file__).resolve().parents[1]


def test_no_other_module_reads_a_variable_of_ours():
    """Others may set one for a process they start, or name one in a message."""
    read = re.compile(
        r'environ(\.get\(|\[)"HPLAB_|getenv\("HPLAB_|"HPLAB_[A-Z]+" (not )?in os\.environ'
    )
    sources = {p.name: p.read_text(encoding="utf-8") for p in (ROOT / "hplab").rglob("*.py")}
    assert {name for name, text in sources.items() if read.search(text)} == {"places.py"}


def test_every_variable_is_in_the_table_and_every_one_in_the_table_is_read():
    text = Path(places.__file__).read_text(encoding="utf-8")
    table, _, code = text.partition('"""\n\nfrom __future__')
    assert set(re.findall(r"HPLAB_[A-Z]+", table)) == set(re.findall(r"HPLAB_[A-Z]+", code))


def test_the_ground_floor_needs_no_torch():
    code = "import sys, hplab.places; sys.exit(bool({'torch', 'pandas', 'numpy'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_folder_without_a_book_above_has_no_ledger(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert places.ledger() == ROOT / "book" / "claims.yaml"
    monkeypatch.setattr(places, "CODE", tmp_path)
    assert places.checkout() is None
    with pytest.raises(HplabError, match=r"no book/claims\.yaml upwards from .*inside the project"):
        places.ledger()


@pytest.mark.parametrize(
    ("said", "expected"), [(None, False), ("", False), ("0", False), ("1", True)]
)
def test_offline_is_what_is_said(monkeypatch, said, expected):
    monkeypatch.delenv("HPLAB_OFFLINE", raising=False)
    if said is not None:
        monkeypatch.setenv("HPLAB_OFFLINE", said)
    assert places.is_offline() is expected


def test_settings_are_ours_alone_and_the_later_ones_count(monkeypatch):
    monkeypatch.setenv("HPLAB_JOBS", "2")
    found = places.settings({"HPLAB_JOBS": "3", "PATH": "/nowhere"})
    assert found["HPLAB_JOBS"] == "3"
    assert all(name.startswith("HPLAB_") for name in found)


def test_without_a_home_downloads_lie_beside_the_records(tmp_path, monkeypatch):
    for name in ("HOME", "HPLAB_CACHE", "HPLAB_RESULTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # as where no user has an entry
    assert places.cache() == places.records()[1].parent / "cache"
    monkeypatch.setenv("HPLAB_RESULTS", str(tmp_path / "results"))
    assert places.cache() == tmp_path / ".hplab" / "cache"
    monkeypatch.setenv("HPLAB_CACHE", str(tmp_path / "mine"))
    assert places.cache() == tmp_path / "mine"


@pytest.mark.parametrize("said", ["nan", "-1", "lots"])
def test_a_budget_that_is_no_size_is_refused(monkeypatch, said):
    """Else it would be taken for 0, and everything that was kept would go."""
    monkeypatch.setenv("HPLAB_ARTIFACTS_GB", said)
    with pytest.raises(
        HplabError, match=f"HPLAB_ARTIFACTS_GB must be a number from 0, got '{said}'"
    ):
        places.artifacts_budget()
