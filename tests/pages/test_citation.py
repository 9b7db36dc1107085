"""The page on citing says what CITATION.cff says."""

import shutil

import pytest
import yaml
from pybtex.database import parse_string

from hplab import places
from hplab.pages.tables import citation


@pytest.fixture
def checkout(tmp_path):
    for name in ("CITATION.cff", "_config.yml"):
        shutil.copy(places.CODE / name, tmp_path)
    return tmp_path


def test_the_entry_is_bibtex_and_says_what_the_citation_file_says(checkout):
    cited = yaml.safe_load((checkout / "CITATION.cff").read_text(encoding="utf-8"))
    entry = parse_string(citation.bibtex(checkout), "bibtex").entries["hplab"]

    assert entry.fields["title"].strip("{}") == cited["title"]
    assert entry.fields["version"] == str(cited["version"])
    assert entry.fields["url"] == cited["repository-code"]
    assert entry.fields["year"].isdigit()
    names = [str(person).strip("{}") for person in entry.persons["author"]]
    assert names == [author["name"] for author in cited["authors"]]


def test_the_commit_is_named_where_there_is_one(checkout):
    assert "note" not in citation.bibtex(checkout)
    if (places.CODE / ".git").exists():
        assert "Commit" in citation.bibtex(places.CODE)
