"""The tables of claims that prose pages show: the whole ledger, the counts, original and ours.

All of it is plain HTML that reads without JavaScript; `_static/ledger.js` adds the filter.
"""

from __future__ import annotations

import functools
import html
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hplab.analysis import published
from hplab.analysis.claims import MISSING, SCALED, UNTESTABLE, Verdict
from hplab.analysis.ledger import Claim, load
from hplab.pages import claims_text, seeds_page

STUDIES = {
    "learning-rate": "Learning rate",
    "batch-size": "Batch size",
    "schedules": "Schedules",
    "weight-decay": "Weight decay",
    "activations": "Activations",
    "kl-plateau": "The KL plateau",
    "sharpness": "Sharpness",
}
OWN = {
    "supported": "Supported",
    "contradicted": "Contradicted",
    "mixed": "Mixed",
    "unclear": "Unclear",
    "invalid-evidence": "Evidence invalid",
    "not-tested": "Never tested",
    "not-available": "No data published",
    "not-applicable": "Not applicable",
}
RERUN = {
    "supported": "Supported",
    "contradicted": "Contradicted",
    "inconclusive": "Inconclusive",
    MISSING: "Not run yet",
    UNTESTABLE: "Not testable",
}
# Which colour and mark a word has; the rest stand in the neutral one.
_TONES = ("supported", "contradicted", "inconclusive")
_SCRIPT = '<script defer src="_static/ledger.js"></script>'


def tables(notebooks: Sequence[Path], store: Any = None) -> dict[str, Callable[[], str]]:
    """Return the tables of claims by the name that a page asks for; judged once, when asked."""

    @functools.lru_cache(maxsize=1)
    def judged() -> list[Verdict]:
        from hplab.analysis import rerun

        return list(rerun.verdicts(store=store))

    return {
        **seeds_page.tables(judged),
        "claim-counts": lambda: counts(judged()),
        "ledger": lambda: whole(judged(), places(notebooks)),
        "rules": rules,
        "changes": changes,
        **{
            f"original-{report}": functools.partial(_original, judged, report, notebooks)
            for report in ("000", "001", "002", "004")
        },
    }


def places(notebooks: Iterable[Path]) -> dict[str, str]:
    """Return the address of each claim in the studies: its box, or else its row of a table."""
    found: dict[str, str] = {}
    ids = [claim.id for claim in load()]
    pages = [(path.stem, path.read_text(encoding="utf-8")) for path in sorted(notebooks)]
    for kind in ("claim", "row"):
        for stem, text in pages:
            for name in ids:
                if f'id=\\"{kind}-{name}\\"' in text:
                    found.setdefault(name, f"studies/{stem}.html#{kind}-{name}")
    return found


def counts(verdicts: Sequence[Verdict]) -> str:
    """How many claims there are, and what both kinds of data say: one row a report."""
    rows = []
    for report in dict.fromkeys(verdict.claim.report.id for verdict in verdicts):
        mine = [verdict for verdict in verdicts if verdict.claim.report.id == report]
        rows.append([f"report\u00a0{report}", *_counted(mine)])
    rows.append(["all\u00a0four", *_counted(verdicts)])
    head = ("", "claims", "data for", "data against", "runs for", "runs against", "runs leave open")
    cells = "".join(
        "<tr>"
        + f'<th scope="row">{row[0]}</th>'
        + "".join(f'<td class="hp-num">{value}</td>' for value in row[1:])
        + "</tr>"
        for row in rows
    )
    titles = "".join(
        f'<th scope="col"{" class=hp-num" if i else ""}>{name}</th>' for i, name in enumerate(head)
    )
    return _raw(
        '<div class="hp-scroll"><table class="hp-table"><thead><tr>'
        f"{titles}</tr></thead><tbody>{cells}</tbody></table></div>"
    )


def _counted(verdicts: Sequence[Verdict]) -> list[int]:
    own = Counter(verdict.claim.own_verdict for verdict in verdicts)
    ours = Counter(verdict.outcome for verdict in verdicts)
    return [len(verdicts), own["supported"], own["contradicted"], *(ours[w] for w in _TONES)]


def whole(verdicts: Sequence[Verdict], where: Mapping[str, str]) -> str:
    """The ledger: a heading and a table a study, and above them the filter for who has scripts."""
    parts = [_raw(f"{_filter(verdicts)}{_SCRIPT}")]
    for study, title in STUDIES.items():
        mine = [verdict for verdict in verdicts if verdict.claim.study == study]
        if not mine:
            continue
        rows = "".join(_row(verdict, where.get(verdict.claim.id)) for verdict in mine)
        head = "".join(
            f'<th scope="col">{name}</th>'
            for name in ("Claim", "What the report says", "Its own data", "Our re-run")
        )
        parts.append(f"## {title}\n\n{_tally(mine)}")
        parts.append(
            _raw(
                f'<table class="hp-ledger"><thead><tr>{head}</tr></thead>'
                f"<tbody>{rows}</tbody></table>"
            )
        )
    return "\n\n".join(parts)


def rules() -> str:
    """How each type of test decides, as the ledger states it."""
    shown = {claim.test["type"]: claim.rule for claim in load()}
    items = "".join(
        f'<dt id="rule-{kind}">{kind.replace("_", " ")}</dt><dd>{html.escape(rule)}</dd>'
        for kind, rule in sorted(shown.items())
    )
    return _raw(f'<dl class="hp-rules">{items}</dl>')


def changes() -> str:
    """What was changed in the ledger after it was fixed, with date and reason."""
    made = load().changes
    lines = [f"- {one['date']}: {one['what'].strip()} {one['why'].strip()}" for one in made]
    return "\n".join(lines) or "Nothing."


def original(verdicts: Sequence[Verdict], report: str, where: Mapping[str, str]) -> str:
    """One report's claims with its number, ours, both verdicts, and why they differ."""
    mine = [verdict for verdict in verdicts if verdict.claim.report.id == report]
    head = ("Claim", "What the report says", "Its number", "Ours", "Its own data", "Our re-run")
    titles = "".join(f'<th scope="col">{name}</th>' for name in head)
    rows = "".join(_pair(verdict, where.get(verdict.claim.id)) for verdict in mine)
    about = mine[0].claim.report
    return f"{about.caveat}\n\nIts numbers: {about.source}\n\n" + _raw(
        f'<table class="hp-ledger hp-pairs"><thead><tr>{titles}</tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def _original(judged: Callable[[], list[Verdict]], report: str, notebooks: Sequence[Path]) -> str:
    return original(judged(), report, places(notebooks))


def _filter(verdicts: Sequence[Verdict]) -> str:
    """Three choices, hidden until the script finds them."""
    claims = [verdict.claim for verdict in verdicts]
    reports = {claim.report.id: f"report {claim.report.id}" for claim in claims}
    choices = (
        ("report", "Report", reports),
        ("own", "Its own data", {name: OWN[name] for name in OWN}),
        ("rerun", "Our re-run", RERUN),
        ("primary", "Kind", {"yes": "primary claims"}),
    )
    boxes = "".join(
        f'<label>{title} <select name="{name}"><option value="">all</option>'
        + "".join(f'<option value="{value}">{word}</option>' for value, word in words.items())
        + "</select></label>"
        for name, title, words in choices
    )
    return (
        f'<form class="hp-filter" hidden>{boxes}'
        f'<output aria-live="polite">{len(claims)} claims</output></form>'
    )


def _tally(verdicts: Sequence[Verdict]) -> str:
    ours = Counter(verdict.outcome for verdict in verdicts)
    said = ", ".join(f"{ours[word]} {RERUN[word].lower()}" for word in RERUN if ours[word])
    return f"{len(verdicts)} claims; our re-runs: {said}."


def _row(verdict: Verdict, place: str | None) -> str:
    claim, say = verdict.claim, html.escape
    return (
        f'<tr id="{claim.id}" data-report="{claim.report.id}" data-own="{claim.own_verdict}" '
        f'data-rerun="{verdict.outcome}" data-primary="{"yes" if claim.primary else "no"}">'
        f'<th scope="row">{_name(claim, place)}<small>report {claim.report.id}, '
        f"{_section(claim)}{', primary' if claim.primary else ''}</small></th>"
        f'<td data-head="What the report says">{say(claim.says)}<small>{_test(claim)}</small></td>'
        f'<td data-head="Its own data">{_word(OWN[claim.own_verdict], claim.own_verdict)} '
        f"{say(claim.own_why)}</td>"
        f'<td data-head="Our re-run">{_word(RERUN[verdict.outcome], verdict.outcome)} '
        f"{say(_ours(verdict))}</td></tr>"
    )


def _pair(verdict: Verdict, place: str | None) -> str:
    claim, say = verdict.claim, html.escape
    theirs = published.effect(claim)
    number = claims_text.number(*theirs) if theirs else say(claim.own_why)
    ours = claims_text.effect(verdict) or (say(_ours(verdict)) if verdict.n else "")
    seeds = f"<small>{verdict.n} seeds, {say(verdict.kind)}</small>" if verdict.n else ""
    return (
        f'<tr><th scope="row">{_name(claim, place)}</th>'
        f'<td data-head="What the report says">{say(claim.says)}</td>'
        f'<td data-head="Its number">{number}</td>'
        f'<td data-head="Ours">{ours}{seeds}</td>'
        f'<td data-head="Its own data">{_word(OWN[claim.own_verdict], claim.own_verdict)}</td>'
        f'<td data-head="Our re-run">{_word(RERUN[verdict.outcome], verdict.outcome)}'
        f"<small>{say(_why_apart(verdict))}</small></td></tr>"
    )


def _why_apart(verdict: Verdict) -> str:
    """Return why the two verdicts differ, if they do."""
    claim = verdict.claim
    if verdict.outcome not in _TONES or verdict.outcome == claim.own_verdict:
        return ""
    if claim.own_cause:
        return claim.own_cause
    if verdict.outcome == "inconclusive":
        published = [part for part in verdict.finding.parts if "report" in part]
        if any(part["outcome"] == "contradicted" for part in published):
            return "The report's setting had to be reconstructed, so the miss may be ours."
        if verdict.kind == SCALED:
            return "Scaled-down runs, and few of them, may not settle it."
        return "More seeds are needed to tell."
    return "Its verdict rests on one run a setting, ours on several."


def _ours(verdict: Verdict) -> str:
    if verdict.outcome == MISSING and not verdict.label:
        return ""
    label = f"({verdict.label[:1].upper()}{verdict.label[1:]}.)" if verdict.label else ""
    return f"{verdict.reason} {label}".strip()


def _name(claim: Claim, place: str | None) -> str:
    return f'<a href="{place}">{claim.id}</a>' if place else claim.id


def _section(claim: Claim) -> str:
    return f"section {claim.section}" if claim.section[:1].isdigit() else html.escape(claim.section)


def _test(claim: Claim) -> str:
    """Return the type of test, linked to its rule, and its margin."""
    kind = claim.test["type"]
    words = [f'<a href="#rule-{kind}">{kind.replace("_", " ")}</a>']
    if size := claim.test.get("margin"):
        factor = "factor " if size["unit"] == "ratio" else ""
        if size["value"]:
            words.append(f"margin {factor}{size['value']:g}{_unit(size['unit'])}")
    if kind != "none":
        words.append(f"{claim.seeds} seeds planned")
    return f"Test: {', '.join(words)}."


def _unit(unit: str) -> str:
    return "" if unit in ("ratio", "none", "share", "tau") else f" {unit}"


def _word(word: str, kind: str) -> str:
    tone = f" hp-{kind}" if kind in _TONES else ""
    return f'<strong class="hp-word{tone}">{word}.</strong>'


def _raw(markup: str) -> str:
    return f"```{{raw}} html\n{markup}\n```"
