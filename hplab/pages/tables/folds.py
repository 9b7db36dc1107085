"""One claim as a fold: a line that says what came out, and behind it how that was decided.

A fold is a `<details>` element, so it opens without a script, and a search inside the page opens
it too. Its id is the claim's name, which is where all links to the claim lead.
"""

from __future__ import annotations

import dataclasses
import html
import re
from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from hplab.analysis.claims import ledger, phrases, quantities
from hplab.analysis.claims.claim import Claim
from hplab.analysis.claims.kinds.kind import Kind
from hplab.analysis.claims.quantities import Curves, Missing, Quantity
from hplab.analysis.claims.verdict import Verdict, tested
from hplab.pages import labels
from hplab.pages.tables import columns
from hplab.pages.tables.columns import as_html

KEY = 8  # letters of a run's key that are shown
EMPTY = "\u2013"  # what a cell without content shows
UNSEARCHED = "hp-unsearched"  # the book's search passes over such elements


@dataclasses.dataclass(frozen=True)
class Behind:
    """What stands behind verdicts and is not in them; each gives "" or nothing where it has none.

    Attributes:
        files: The files that a verdict's records are in: name to address.
        curves: The learning curves of runs, for claims that read them.
        made_on: On what and with which code runs were made, of a table of runs.
        looks: The looks at a claim that are remembered, as HTML.
        to_run: What makes the runs that a claim lacks, as HTML.
    """

    files: Callable[[Verdict], Mapping[str, str]] = lambda _: {}
    curves: Curves | None = None
    made_on: Callable[[pd.DataFrame], str] = lambda _: ""
    looks: Callable[[Claim], str] = lambda _: ""
    to_run: Callable[[Verdict], str] = lambda _: ""


ALONE = Behind()  # a verdict by itself


def fold(verdict: Verdict, place: str | None, behind: Behind = ALONE) -> str:
    """Return a claim of the ledger.

    Args:
        verdict: The claim with our verdict on it.
        place: Where a study decides it; None for nowhere.
        behind: Its records, curves and history.
    """
    claim, say = verdict.claim, as_html
    facts = [
        ("In the report", _words(claim)),
        *((column.title, say(column.why(verdict))) for column in columns.COLUMNS),
        ("To run it", behind.to_run(verdict)),
        ("Decided by", decided_by(verdict)),
        ("Looks so far", behind.looks(claim)),
        ("Test", _test(claim)),
        ("Rule", f'<span class="{UNSEARCHED}">{say(claim.rule)}</span>'),
        ("Seeds", f"{verdict.n} so far, {claim.seeds} planned, at least {claim.min_seeds} needed"),
        ("Runs", runs(verdict, behind.curves)),
        ("Made on", made_on(verdict, behind.made_on)),
        ("Records", _records(verdict, behind.files(verdict))),
        ("In the book", f'<a href="{place}">where a study decides it</a>' if place else ""),
        ("Note", say(claim.note)),
    ]
    primary = ", primary" if claim.primary else ""
    name = f"{claim.id}<small>report {claim.report.id}{primary}</small>"
    cells = [(column.title, column.cell(verdict)) for column in columns.COLUMNS]
    data = {column.name: column.outcome(verdict) for column in columns.COLUMNS}
    data |= {"report": claim.report.id, "primary": "yes" if claim.primary else "no"}
    return entry(claim.id, name, say(claim.says), cells, facts, data)


def entry(
    anchor: str,
    name: str,
    says: str,
    cells: Sequence[tuple[str, str]],
    facts: Sequence[tuple[str, str]],
    data: Mapping[str, str] = {},
) -> str:
    """Return a fold: name, sentence and cells in the line, facts behind it; all of it is HTML.

    Args:
        anchor: Its id on the page.
        name: What stands first, a claim's name.
        says: The claim.
        cells: Title and content, in order.
        facts: Term and content, in order; those without content are left out.
        data: What a script filters by.
    """
    marks = "".join(f' data-{key}="{value}"' for key, value in data.items())
    line = "".join(
        f'<span class="hp-fold-cell"><span class="hp-fold-head">{title}</span> '
        f"{content or EMPTY}</span>"
        for title, content in cells
    )
    label = f"{re.sub('<small>.*', '', name)}: {says}".replace('"', "&quot;")
    body = "".join(f"<dt>{term}</dt><dd>{content}</dd>" for term, content in facts if content)
    return (
        f'<details class="hp-fold" id="{anchor}" aria-label="{label}"{marks}><summary>'
        f'<span class="hp-fold-name">{name}</span> <span class="hp-fold-says">{says}</span> '
        f"{line}</summary>"
        f'<dl class="hp-facts">{body}</dl></details>'
    )


def decided_by(verdict: Verdict) -> str:
    """Return p value, level and family of a verdict; of one that is open what it points to."""
    if verdict.p is None or verdict.look is None:
        return ""
    claim, words = verdict.claim, tested(verdict, verdict.p)
    if claim.primary:
        others = [one.id for one in ledger.load().family(claim)]
        words += f" The family: {', '.join(others)}."
    return as_html(words)


def runs(verdict: Verdict, curves: Curves | None = None) -> str:
    """Return the runs of a verdict as a table: a row a setting and quantity, seed by seed.

    Args:
        verdict: With its runs.
        curves: Learning curves, or what makes them; without them what is read off a curve is left
            out, and claims read off whole curves have the values at the end of training.
    """
    finding, test = verdict.finding, verdict.claim.test
    if finding is None:
        return ""
    rows: dict[str, None] = {}
    tests = getattr(test, "parts", ()) if finding.each else (test,)
    seeds = []
    for one, sample in zip(tests, finding.samples, strict=True):
        for arm, table in zip(sample.arms, sample.rows, strict=True):
            if row := _event_row(arm, one, table, curves):
                rows[row] = None
                seeds.append(tuple(sample.seeds))
            for quantity in one.measured:
                if row := _run_row(arm, quantity, table, curves, sample.stretch):
                    rows[row] = None
                    seeds.append(tuple(sample.seeds))
    if not rows:
        return ""
    shared = f"seeds {span(seeds[0])}" if len(set(seeds)) == 1 else "seed by seed"
    head = ("setting", "quantity", "mean", shared)
    titles = "".join(f'<th scope="col">{title}</th>' for title in head)
    return (
        f'<div class="hp-scroll"><table class="hp-table"><thead><tr>{titles}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _run_row(
    arm: str, quantity: Quantity, table: pd.DataFrame, curves: Curves | None, stretch: float
) -> str:
    """Return one row, "" where the quantity is not at hand."""
    metric = quantity.metric
    if metric in table and pd.api.types.is_numeric_dtype(table[metric]) and not quantity.reading:
        values = table[metric]
        half = 2 * values.std() if len(values) > 1 else float("nan")
        each = [labels.number(metric, value, half, with_unit=False) for value in values]
        mean = labels.number(metric, values.mean(), half, with_unit=False)
        return _cells(arm, f"{labels.label(metric)}, at the end", mean, each)
    if curves is None:
        return ""
    plain = dataclasses.replace(quantity, log=False)
    try:
        found, _ = quantities.values(table, plain, curves, stretch)
    except Missing:
        return ""
    unit = plain.level_unit
    words = quantities.words(plain) + (f" ({unit})" if unit not in _NO_UNIT else "")
    each = [phrases.bare(value, unit) for value in found]
    return _cells(arm, words, phrases.bare(found.mean(), unit), each)


def _event_row(arm: str, test: Kind, table: pd.DataFrame, curves: Curves | None) -> str:
    """Return in which runs happens what a claim is about, "" for claims of something else."""
    event = getattr(test, "event", None)
    if not event or (event.curves and curves is None):
        return ""
    try:
        happened = quantities.event(table, event, pd.DataFrame() if curves is None else curves)
    except Missing:
        return ""
    each = ["yes" if one else "no" for one in happened]
    return _cells(arm, str(event), f"{sum(happened)} of {len(each)}", each)


_NO_UNIT = ("", "any", "ratio", "share", "tau")


def _cells(arm: str, words: str, mean: str, each: Sequence[str]) -> str:
    return (
        f'<tr><th scope="row">{html.escape(arm or "all")}</th><td>{html.escape(words)}</td>'
        f'<td class="hp-num">{mean}</td><td class="hp-runs">{" ".join(each)}</td></tr>'
    )


def made_on(verdict: Verdict, told: Callable[[pd.DataFrame], str]) -> str:
    """Return on what the runs were made; of each setting, where settings differ in it."""
    samples = verdict.finding.samples if verdict.finding else []
    sides = [
        (arm, told(rows)) for one in samples for arm, rows in zip(one.arms, one.rows, strict=True)
    ]
    kinds = dict.fromkeys(words for _, words in sides)
    if len(kinds) <= 1:
        return as_html(next(iter(kinds), ""))
    lines = []
    for words in kinds:
        arms = dict.fromkeys(arm for arm, its in sides if its == words)
        lines.append(f"<li>{as_html('; '.join(arms))}: {as_html(words)}</li>")
    return (
        "The settings were not all trained alike, so a difference holds what machines and versions "
        f"of the code add to it:<ul>{''.join(lines)}</ul>"
    )


def span(seeds: Sequence[int]) -> str:
    """Return seeds in words: "0 to 4", "1, 3"."""
    if len(seeds) == 1:
        return str(seeds[0])
    whole = list(seeds) == list(range(seeds[0], seeds[-1] + 1))
    return f"{seeds[0]} to {seeds[-1]}" if whole else ", ".join(map(str, seeds))


def _words(claim: Claim) -> str:
    quote = f"<q>{html.escape(claim.quote)}</q> " if claim.quote else ""
    return f"{quote}Report {claim.report.id}, {section(claim)}."


def section(claim: Claim) -> str:
    """Return where a report says it."""
    return f"section {claim.section}" if claim.section[:1].isdigit() else html.escape(claim.section)


def _test(claim: Claim) -> str:
    """Return the type of test, linked to its rule, and its margin."""
    kind = claim.test.type
    said = [f'<a href="#rule-{kind}">{kind.replace("_", " ")}</a>']
    size = getattr(claim.test, "margin", None)
    if size and size.value:
        factor = "a factor of " if size.unit == "ratio" else ""
        unit = "" if size.unit in ("ratio", "none", "share", "tau") else f" {size.unit}"
        said.append(f"margin {factor}{size.value:g}{unit}")
    return ", ".join(said)


def _records(verdict: Verdict, files: Mapping[str, str]) -> str:
    """Return the files of a verdict's records, and behind them the key of each run."""
    if not files:
        return ""
    links = ", ".join(
        f'<a href="{html.escape(address)}" rel="noopener">{html.escape(file)}</a>'
        for file, address in files.items()
    )
    shown = f"{links}; in a terminal, <code>hplab claims {verdict.claim.id}</code>"
    keys = {
        f"{arm or 'all'}: {' '.join(str(key)[:KEY] for key in rows['key'])}": None
        for sample in (verdict.finding.samples if verdict.finding else ())
        for arm, rows in zip(sample.arms, sample.rows, strict=True)
    }
    items = "".join(f"<li>{html.escape(line)}</li>" for line in keys)
    return (
        f'{shown}<details class="{UNSEARCHED}"><summary>Which lines of them</summary>The first '
        f"{KEY} letters of each run\u2019s &quot;key&quot;, seed by seed:<ul>{items}</ul></details>"
    )
