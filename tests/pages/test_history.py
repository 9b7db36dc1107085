"""What git remembers of verdicts and of the ledger is counted, not typed."""

import json
import subprocess

import pytest

from hplab.pages.tables import history


def git(root, *arguments):
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", "-C", str(root), *who, *arguments], check=True, capture_output=True)


def commit(root, message="x"):
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", message)
    return history._git(root, "rev-parse", "HEAD")


@pytest.fixture
def root(tmp_path):
    git(tmp_path, "init", "-q")
    (tmp_path / "book").mkdir()
    return tmp_path


def verdict(n, outcome, kind="re-run"):
    return {"n": n, "outcome": outcome, "kind": kind}


def test_looks_are_the_commits_that_changed_seeds_or_outcome(root):
    path, commits = root / history.VERDICTS, []
    for rows in (
        {"A": verdict(3, "inconclusive"), "B": verdict(2, "inconclusive", "scaled-down re-run")},
        {"A": verdict(3, "inconclusive"), "C": verdict(6, "contradicted", "scaled-down re-run")},
        {"A": verdict(5, "supported")},
    ):
        path.write_text(json.dumps(rows))
        commits.append(commit(root))
    found = history.looks(root)

    assert set(found) == {"A", "C"}
    assert [(one.n, one.outcome, one.commit) for one in found["A"]] == [
        (3, "inconclusive", commits[0]),
        (5, "supported", commits[2]),
    ]
    told = history.told(found["A"], "https://example.org/r")
    assert f'n = 5: supported (<a href="https://example.org/r/commit/{commits[2]}"' in told
    assert history.told((), "https://example.org/r") == ""


OLD = """\
rules:
  direction: The whole interval.
  all: Several tests.
claims:
- {id: A, says: One., test: {type: direction, quantity: train_acc, margin: {value: 1}}}
- {id: B, says: Two., test: {type: direction, quantity: val_acc, margin: {value: 1}}}
- {id: C, says: Three., test: {type: direction, quantity: val_acc, margin: {value: 1}}}
"""
NEW = """\
rules:
  direction: The  whole interval.
  all: All of several tests.
  new: One more.
changes:
  - date: 2026-01-01
    what: A margin.
  - date: 2026-01-02
    what: A word.
claims:
- {id: A, says: One., test: {type: direction, quantity: running_acc, margin: {value: 1}}}
- {id: B, says: Two!, test: {type: direction, quantity: val_acc, margin: {value: 2}}}
- {id: C, says: Three., test: {type: direction, quantity: val_acc, margin: {value: 1}}}
"""


def test_what_was_changed_is_counted_claim_by_claim(root, monkeypatch):
    path = root / history.LEDGER
    path.write_text(OLD)
    monkeypatch.setattr(history, "FREEZE", commit(root))
    path.write_text(NEW)
    found = history.changed(root)

    assert (found.claims, found.tests, found.tests_beyond) == (3, 2, 1)
    assert (found.sizes, found.words) == (1, 1)
    assert (found.rules, found.rules_changed) == (3, 2)


def test_each_change_has_the_commit_that_wrote_it(root):
    path = root / history.LEDGER
    path.write_text(NEW.replace("  - date: 2026-01-02\n    what: A word.\n", ""))
    first = commit(root)
    path.write_text(NEW)
    second = commit(root)

    assert history.of_changes(root) == [first, second]
    path.write_text(NEW.replace("2026-01-01", "2026-01-03"))  # not committed
    assert history.of_changes(root) == []


def test_a_copy_without_history_remembers_nothing_and_says_so(tmp_path):
    assert history.looks(tmp_path) == {}
    assert history.changed(tmp_path) is None
    assert history.of_changes(tmp_path) == []
    assert history.last_commit(tmp_path, "book") == ""
