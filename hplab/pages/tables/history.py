"""What git remembers: which looks at a claim there were, and what of the ledger was changed.

A copy without the history (a shallow clone, an installed package) remembers nothing, and says so.
"""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from hplab.analysis.claims.quantities import RUNNING
from hplab.analysis.claims.wanted import SETTLED
from hplab.pages import labels

FREEZE = "70a511d184d65cb49c99662e3f5c7b89fbe97d1b"  # all claims, margins and rules were fixed here
FREEZE_004 = "a93794d"  # those of report 004, the first
LEDGER, VERDICTS = "book/claims.yaml", "book/verdicts.json"
SIZES = ("margin", "tolerance")  # what decides how large a difference counts
_WHEN = ("log", "-1", "--format=%cd", "--date=format:%Y-%m-%d %H:%M")
UNKNOWN = "This copy of the book was made without the history of its repository"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclasses.dataclass(frozen=True)
class Seen:
    """A look at a claim, as the committed verdicts had it.

    Attributes:
        date: Day of the commit.
        commit: Which one it is.
        n: Seeds.
        outcome: What they said by the rules of that day.
    """

    date: str
    commit: str
    n: int
    outcome: str


@dataclasses.dataclass(frozen=True)
class Changed:
    """How much of the ledger is no longer as it was fixed.

    Attributes:
        claims: Claims in all.
        tests: Those whose test differs in anything.
        tests_beyond: Those that differ in more than how training is measured.
        sizes: Those of which a margin or a tolerance differs.
        words: Those whose wording differs.
        rules, rules_changed: Texts of rules in all, and those that differ.
        date: When all was fixed.
    """

    claims: int
    tests: int
    tests_beyond: int
    sizes: int
    words: int
    rules: int
    rules_changed: int
    date: str


def _git(root: Path, *arguments: str) -> str:
    """Return what git says, "" where it cannot."""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return done.stdout.rstrip("\n") if done.returncode == 0 else ""


def last_commit(root: Path, path: str) -> str:
    """Return the last commit that touched a path, "" if that is not known."""
    if _git(root, "rev-parse", "--is-shallow-repository").strip() != "false":
        return ""
    return _git(root, "log", "-1", "--format=%H", "--", path).strip()


def looks(root: Path) -> dict[str, list[Seen]]:
    """Return the looks at each claim that committed verdicts remember, in order.

    Only re-runs at the report's setting count, and what else settled a claim by the rules of its
    day. A commit that changed neither seeds nor outcome is no look of its own.
    """
    found: dict[str, list[Seen]] = {}
    if not last_commit(root, VERDICTS):
        return found
    for line in _git(root, "log", "--reverse", "--format=%H %cs", "--", VERDICTS).splitlines():
        commit, _, date = line.partition(" ")
        try:
            rows = json.loads(_git(root, "show", f"{commit}:{VERDICTS}") or "{}")
        except ValueError:  # a commit with a conflict in it
            continue
        for name, row in rows.items():
            counts = row.get("kind") == "re-run" or row.get("outcome") in SETTLED
            if not counts or not row.get("n"):
                continue
            seen = Seen(date, commit, int(row["n"]), str(row["outcome"]))
            before = found.setdefault(name, [])
            if not before or (before[-1].n, before[-1].outcome) != (seen.n, seen.outcome):
                before.append(seen)
    return found


def told(seen: Sequence[Seen], repository: str) -> str:
    """Return looks as HTML, "" for none."""
    if not seen:
        return ""
    items = "".join(
        f"<li>{one.date}, n = {one.n}: {one.outcome} ({_anchor(one.commit, repository)})</li>"
        for one in seen
    )
    return f"<ul>{items}</ul>By the committed verdicts; who looked in between is not known."


def changed(root: Path) -> Changed | None:
    """Return how much of the ledger is no longer as it was fixed, None if that is not known."""
    before, now = _ledger(_git(root, "show", f"{FREEZE}:{LEDGER}")), _ledger_of(root)
    if not before or not now:
        return None
    old = {claim["id"]: claim for claim in before["claims"]}
    new = {claim["id"]: claim for claim in now["claims"]}
    both = sorted(set(old) & set(new))
    rules = {**before["rules"], **now["rules"]}
    return Changed(
        claims=len(new),
        tests=sum(old[name]["test"] != new[name]["test"] for name in both),
        tests_beyond=sum(
            _measured_as_run(old[name]["test"]) != _measured_as_run(new[name]["test"])
            for name in both
        ),
        sizes=sum(_sizes(old[name]["test"]) != _sizes(new[name]["test"]) for name in both),
        words=sum(_plain(old[name]["says"]) != _plain(new[name]["says"]) for name in both),
        rules=len(rules),
        rules_changed=sum(
            _plain(before["rules"].get(name, "")) != _plain(now["rules"].get(name, ""))
            for name in rules
        ),
        date=_git(root, "log", "-1", "--format=%cs", FREEZE).strip(),
    )


def changed_words(root: Path, repository: str) -> str:
    """Return how much was changed as Markdown, with links to the file and its history."""
    from hplab.analysis.claims.ledger import load

    file = f"[the file of claims]({repository}/blob/main/{LEDGER})"
    past = f"[its history]({repository}/commits/main/{LEDGER})"
    entries = labels.count(len(load(root / LEDGER).changes), "entry").replace("entrys", "entries")
    found = changed(root)
    if found is None:
        return f"{UNKNOWN}, so what was changed is not counted here; see {file} and {past}."
    only = found.tests - found.tests_beyond
    return (
        f"Report 004's claims were fixed in {_when(root, FREEZE_004, repository)}, and all "
        f"{found.claims} with their margins and rules in {_when(root, FREEZE, repository)}. The "
        f"first records of each report's data were committed later than its own claims: "
        f"{_first_records(root, repository)}. Since then the tests of {found.tests} claims were "
        f"changed ({only} of them only in that training is measured as the report measured it), a "
        f"margin or tolerance of {found.sizes}, the wording of {found.words}, and the text of "
        f"{found.rules_changed} of {found.rules} rules. "
        f"{entries[:1].upper()}{entries[1:]} in {{ref}}`the ledger <what-was-changed>` say what, "
        f"when and why; see also {file} and {past}. A repository shows the order in which things "
        "were committed, and not who looked at what before."
    )


def _when(root: Path, commit: str, repository: str) -> str:
    """Return a commit with its day and time, as Markdown."""
    return f"{link(commit, repository)} ({_git(root, *_WHEN, commit)})"


def _first_records(root: Path, repository: str) -> str:
    """Return of each data set of a report when its first records were committed."""
    from hplab.analysis.claims.ledger import load

    parts = []
    for data in dict.fromkeys(str(claim.report.setting["data"]) for claim in load(root / LEDGER)):
        folder = f"book/results/{data}"
        first = _git(root, "log", "--reverse", "--format=%H", "--", folder).split()
        if first:
            parts.append(f"{data} in {_when(root, first[0], repository)}")
    return labels.listed(parts)


def of_changes(root: Path) -> list[str]:
    """Return the commit that wrote each entry of the ledger's changes, in their order."""
    if not last_commit(root, LEDGER):
        return []
    found: list[str] = []
    commit, inside = "", False
    for line in _git(root, "blame", "--line-porcelain", "--", LEDGER).splitlines():
        if not line.startswith("\t"):
            if match := re.match(r"([0-9a-f]{40}) \d", line):
                commit = match[1]
            continue
        text = line[1:]
        if text and not text.startswith((" ", "#")):
            inside = text.startswith("changes:")
        elif inside and text.startswith("  - "):
            found.append(commit)
    return found if all(set(one) != {"0"} for one in found) else []


def link(commit: str, repository: str) -> str:
    """Return a commit as a link in Markdown."""
    return f"[commit {commit[:7]}]({repository}/commit/{commit})"


def _anchor(commit: str, repository: str) -> str:
    return f'<a href="{repository}/commit/{commit}" rel="noopener">{commit[:7]}</a>'


def _ledger_of(root: Path) -> Any:
    try:
        return _ledger((root / LEDGER).read_text(encoding="utf-8"))
    except OSError:
        return None


def _ledger(text: str) -> Any:
    return yaml.load(text, Loader=_LOADER) if text else None


def _plain(text: str) -> str:
    return " ".join(text.split())


def _sizes(test: Any) -> list[Any]:
    """Return every margin and tolerance in a test, in its order."""
    if isinstance(test, Mapping):
        own = [test[name] for name in SIZES if name in test]
        return own + [size for value in test.values() for size in _sizes(value)]
    if isinstance(test, list):
        return [size for value in test for size in _sizes(value)]
    return []


def _measured_as_run(test: Any) -> Any:
    """Return a test with training measured as runs go along, so that this makes no difference."""
    if isinstance(test, Mapping):
        return {RUNNING.get(k, k): _measured_as_run(value) for k, value in test.items()}
    if isinstance(test, list):
        return [_measured_as_run(value) for value in test]
    return RUNNING.get(test, test) if isinstance(test, str) else test
