"""The tables of claims that prose pages show: the whole ledger, the counts, original and ours.

All of it is plain HTML that reads without JavaScript; `_static/ledger.js` adds the filter.
"""

from __future__ import annotations

import functools
import html
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from hplab.analysis.claims.ledger import load
from hplab.analysis.claims.verdict import MISSING, Verdict
from hplab.pages import labels
from hplab.pages.tables import columns, history, torun
from hplab.pages.tables import folds as claim_fold
from hplab.pages.tables.columns import OWN_DATA, RERUN, TONES
from hplab.pages.tables.folds import ALONE, Behind
from hplab.pages.tables.markdown import raw
from hplab.places import ledger
from hplab.sweeps.records import StoreError
from hplab.sweeps.store import Store

TITLES = {"kl-plateau": "The KL plateau"}  # of studies whose name alone makes no heading
_PLACE = re.compile(r'id=\\"(claim|row)-([\w-]+)\\"')  # an attribute, as JSON writes it
_SCRIPT = '<script defer src="_static/ledger.js"></script>'


def tables(
    judged: Callable[[], list[Verdict]],
    notebooks: Sequence[Path],
    store: Any = None,
    *,
    repository: str = "",
) -> dict[str, Callable[[], str]]:
    """Return the tables of claims by the name that a page asks for; `judged` gives the verdicts."""
    return {
        "claim-counts": lambda: counts(judged()),
        "ledger-filter": lambda: chooser(judged()),
        "ledger": lambda: whole(judged(), places(notebooks), _behind(store, repository)),
        "rules": rules,
        "changes": lambda: changes(repository),
        "rules-changed": lambda: history.changed_words(ledger().parent.parent, repository),
        "waiting": lambda: _waiting(judged(), store),
        **{
            f"original-{report}": functools.partial(_original, judged, report, notebooks)
            for report in ("000", "001", "002", "004")
        },
    }


def places(notebooks: Iterable[Path]) -> dict[str, str]:
    """Return the address of each claim in the studies: its box, or else its row of a table."""
    boxes: dict[str, str] = {}
    rows: dict[str, str] = {}
    for path in sorted(notebooks):
        for kind, name in _PLACE.findall(path.read_text(encoding="utf-8")):
            address = f"studies/{path.stem}.html#{kind}-{name}"
            (boxes if kind == "claim" else rows).setdefault(name, address)
    return rows | boxes


def counts(verdicts: Sequence[Verdict]) -> str:
    """How many claims there are, and what both kinds of data say: one row a report."""
    rows = []
    for report in dict.fromkeys(verdict.claim.report.id for verdict in verdicts):
        mine = [verdict for verdict in verdicts if verdict.claim.report.id == report]
        rows.append([f"report\u00a0{report}", *_counted(mine)])
    rows.append(["all\u00a0four", *_counted(verdicts)])
    head = ("", "claims", "data for", "data against", "runs for", "runs against", "runs leave open",
            "to come")  # fmt: skip
    cells = "".join(
        "<tr>"
        + f'<th scope="row">{row[0]}</th>'
        + "".join(f'<td class="hp-num">{value or claim_fold.EMPTY}</td>' for value in row[1:])
        + "</tr>"
        for row in rows
    )
    titles = "".join(
        f'<th scope="col"{" class=hp-num" if i else ""}>{name}</th>' for i, name in enumerate(head)
    )
    return raw(
        '<div class="hp-scroll"><table class="hp-table"><thead><tr>'
        f"{titles}</tr></thead><tbody>{cells}</tbody></table></div>"
    )


def _counted(verdicts: Sequence[Verdict]) -> list[int]:
    own = Counter(verdict.claim.own_verdict for verdict in verdicts)
    ours = Counter(verdict.outcome for verdict in verdicts)
    told = [*(ours[word] for word in TONES), ours[MISSING]]
    return [len(verdicts), own["supported"], own["contradicted"], *told]


def whole(
    verdicts: Sequence[Verdict],
    where: Mapping[str, str],
    behind: Behind = ALONE,
) -> str:
    """The ledger: a heading a study and a fold a claim.

    Args:
        verdicts: One a claim.
        where: The address in a study of each claim that has one.
        behind: What stands behind the verdicts.
    """
    parts = []
    for study, mine in _by_study(verdicts).items():
        folds = "".join(
            claim_fold.fold(verdict, where.get(verdict.claim.id), behind) for verdict in mine
        )
        tally = f'<p class="hp-tally">{_tally(mine)}</p>'
        parts.append(f"## {TITLES.get(study) or study.replace('-', ' ').capitalize()}")
        parts.append(raw(tally + _folds(folds, [column.title for column in columns.COLUMNS])))
    return "\n\n".join(parts)


def _by_study(verdicts: Sequence[Verdict]) -> dict[str, list[Verdict]]:
    """Return the verdicts of each study, in the order of the studies' pages."""
    pages = sorted((ledger().parent / "studies").glob("[0-9][0-9]-*.md"))
    found: dict[str, list[Verdict]] = {page.stem.partition("-")[2]: [] for page in pages}
    for verdict in verdicts:
        found.setdefault(verdict.claim.study, []).append(verdict)
    return {study: mine for study, mine in found.items() if mine}


def _folds(folds: str, titles: Sequence[str]) -> str:
    """Return a list of folds under a line that names what their cells are."""
    head = "".join(f"<span>{title}</span>" for title in ("Claim", "What the report says", *titles))
    return (
        f'<div class="hp-folds" style="--hp-cells: {len(titles)}">'
        f'<div class="hp-folds-head hp-unsearched" aria-hidden="true">{head}</div>{folds}</div>'
    )


def _behind(store: Any, repository: str) -> Behind:
    """Return what stands behind the verdicts of the book: records, curves, git's memory."""
    from hplab.analysis.claims import rerun

    committed = store or rerun.committed_store()
    root = ledger().parent.parent
    seen = history.looks(root)
    lacks, seconds = torun.of_book(ledger().parent, committed)
    return Behind(
        files=_files(committed, repository, history.last_commit(root, "book/results")),
        curves=rerun.curves_of(committed),
        made_on=functools.partial(_made_on, committed),
        looks=lambda claim: history.told(seen.get(claim.id, ()), repository),
        to_run=lambda verdict: torun.fold(verdict, lacks[verdict.claim.id], seconds),
    )


def _files(
    committed: Store, repository: str, commit: str = ""
) -> Callable[[Verdict], Mapping[str, str]]:
    """Return what gives the files of a verdict's records, with their addresses at a commit."""
    tree = f"{repository}/blob/{commit or 'main'}/book/results"

    def files(verdict: Verdict) -> dict[str, str]:
        samples = verdict.finding.samples if verdict.finding else ()
        keys = {key for sample in samples for table in sample.rows for key in table["key"]}
        paths = {path for key in keys if (path := committed.file_of(key))}
        names = [str(p.relative_to(committed.root)) for p in paths if committed.root in p.parents]
        return {name: f"{tree}/{name}" for name in sorted(names)}

    return files


def _made_on(committed: Store, rows: pd.DataFrame) -> str:
    """Return on which hardware and with which code runs were made, with their seeds."""
    if "prov" not in rows:
        return ""
    groups: dict[str, list[int]] = {}
    codes: dict[str, dict[str, None]] = {}
    for seed, name in rows["prov"].items():
        made = _provenance(committed, str(name))
        machine = _machine(made)
        groups.setdefault(machine, []).append(int(seed))
        codes.setdefault(machine, {})[str(made.get("code", "unknown"))[:8]] = None
    told = {
        machine: f"{machine}, training code {labels.listed(codes[machine])}" for machine in groups
    }
    if len(groups) == 1:
        return next(iter(told.values()))
    return "; ".join(
        f"{'seed' if len(seeds) == 1 else 'seeds'} {claim_fold.span(seeds)} on {told[machine]}"
        for machine, seeds in groups.items()
    )


def _provenance(committed: Store, name: str) -> Mapping[str, Any]:
    """Return what a record was made with, empty if that was lost."""
    try:
        return committed.provenance(name)
    except StoreError:
        return {}


def _machine(made: Mapping[str, Any]) -> str:
    device = made.get("device", {})
    name, kind = device.get("name", "an unknown device"), device.get("type", "unknown")
    return f"{name} ({kind}, torch {made.get('torch', 'unknown')})"


def rules() -> str:
    """How each type of test decides, as the ledger states it."""
    shown = {claim.test.type: claim.rule for claim in load()}
    items = "".join(
        f'<dt id="rule-{kind}">{kind.replace("_", " ")}</dt><dd>{html.escape(rule)}</dd>'
        for kind, rule in sorted(shown.items())
    )
    return raw(f'<dl class="hp-rules">{items}</dl>')


def changes(repository: str = "") -> str:
    """What was changed in the ledger after it was fixed, with date, commit and reason."""
    made = load().changes
    commits = history.of_changes(ledger().parent.parent)
    lines = []
    for i, one in enumerate(made):
        at = history.link(commits[i], repository) if len(commits) == len(made) else ""
        when = f"{one['date']} ({at})" if at else one["date"]
        lines.append(f"- {when}: {one['what'].strip()} {one['why'].strip()}")
    return "\n".join(lines) or "Nothing."


def _waiting(verdicts: Sequence[Verdict], store: Any) -> str:
    from hplab.analysis.claims import rerun

    lacks, seconds = torun.of_book(ledger().parent, store or rerun.committed_store())
    return torun.waiting(verdicts, lacks, seconds)


def original(verdicts: Sequence[Verdict], report: str, where: Mapping[str, str]) -> str:
    """One report's claims with its number, ours, both verdicts; why they differ is in the fold."""
    mine = [verdict for verdict in verdicts if verdict.claim.report.id == report]
    folds = "".join(_pair(verdict, where.get(verdict.claim.id)) for verdict in mine)
    about = mine[0].claim.report
    titles = [title for title, _ in _NUMBERS] + [OWN_DATA.title, RERUN.title]
    return f"{about.caveat}\n\nIts numbers: {about.source}\n\n{raw(_folds(folds, titles))}"


def _original(judged: Callable[[], list[Verdict]], report: str, notebooks: Sequence[Path]) -> str:
    return original(judged(), report, places(notebooks))


def chooser(verdicts: Sequence[Verdict]) -> str:
    """The filter of the ledger: a few choices, hidden until the script finds them."""
    claims = [verdict.claim for verdict in verdicts]
    reports = {claim.report.id: f"report {claim.report.id}" for claim in claims}
    choices = (
        ("report", "Report", reports),
        *((column.name, column.title, column.words) for column in columns.COLUMNS),
        ("primary", "Kind", {"yes": "primary claims"}),
    )
    boxes = "".join(
        f'<label>{title} <select name="{name}"><option value="">all</option>'
        + "".join(f'<option value="{value}">{word}</option>' for value, word in words.items())
        + "</select></label>"
        for name, title, words in choices
    )
    return raw(
        f'<form class="hp-filter" id="hp-ledger-filter" hidden>{boxes}'
        f'<output aria-live="polite">{len(claims)} claims</output></form>{_SCRIPT}'
    )


def _tally(verdicts: Sequence[Verdict]) -> str:
    words = RERUN.words
    ours = Counter(verdict.outcome for verdict in verdicts)
    said = ", ".join(f"{ours[word]} {words[word].lower()}" for word in words if ours[word])
    return f"{len(verdicts)} claims; our re-runs: {said}."


# What the page of originals shows of a claim before the verdicts: title and number.
_NUMBERS = (("Its number", columns.their_number), ("Ours", columns.our_number))


def _pair(verdict: Verdict, place: str | None) -> str:
    claim, say = verdict.claim, columns.as_html
    cells = [(title, say(number(verdict))) for title, number in _NUMBERS]
    cells += [(column.title, column.word(verdict)) for column in (OWN_DATA, RERUN)]
    facts = [
        ("Why they differ", say(_why_apart(verdict))),
        *((column.title, say(column.why(verdict))) for column in (OWN_DATA, RERUN)),
        ("How it is decided", f'<a href="ledger.html#{claim.id}">{claim.id} in the ledger</a>'),
        ("In the book", f'<a href="{place}">where a study decides it</a>' if place else ""),
    ]
    return claim_fold.entry(f"pair-{claim.id}", claim.id, say(claim.says), cells, facts)


def _why_apart(verdict: Verdict) -> str:
    """Return why the two verdicts differ, if they do."""
    claim = verdict.claim
    if verdict.outcome not in TONES or verdict.outcome == claim.own_verdict:
        return ""
    if claim.own_cause:
        return claim.own_cause
    if verdict.outcome == "inconclusive":
        parts = verdict.finding.parts if verdict.finding else ()
        if any("report" in part and part["outcome"] == "contradicted" for part in parts):
            return "The report's setting had to be reconstructed, so the miss may be ours."
        return "More seeds are needed to tell."
    return "Its verdict rests on one run a setting, ours on several."
