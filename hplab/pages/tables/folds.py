"""One claim as a fold: a line that says what came out, and behind it how that was decided.

A fold is a `<details>` element, so it opens without a script, and a search inside the page opens
it too. Its id is the claim's name, which is where all links to the claim lead.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from hplab.analysis.claims import miniature
from hplab.analysis.claims.claim import Claim
from hplab.analysis.claims.verdict import MISSING, Verdict
from hplab.pages import labels
from hplab.pages.tables import columns
from hplab.pages.tables.columns import as_html

EMPTY = "\u2013"  # what a cell without content shows
UNSEARCHED = "hp-unsearched"  # the book's search passes over such elements


def fold(verdict: Verdict, place: str | None, files: Callable[[Verdict], Mapping[str, str]]) -> str:
    """Return a claim of the ledger.

    Args:
        verdict: The claim with our verdict on it.
        place: Where a study decides it; None for nowhere.
        files: Gives the files that the verdict's records are in: name to address.
    """
    claim, say = verdict.claim, as_html
    facts = [
        ("In the report", _words(claim)),
        *((column.title, say(column.why(verdict))) for column in columns.COLUMNS),
        ("To run it", commands(verdict)),
        ("Test", _test(claim)),
        ("Rule", f'<span class="{UNSEARCHED}">{say(claim.rule)}</span>'),
        ("Seeds", f"{verdict.n} so far, {claim.seeds} planned, at least {claim.min_seeds} needed"),
        ("Runs", runs(verdict)),
        ("Records", _records(files(verdict), claim.id)),
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


def runs(verdict: Verdict) -> str:
    """Return the runs of a verdict as a table: a row a setting and metric, its value seed by seed.

    Claims that are read off whole curves have the values at the end of training here.
    """
    if verdict.finding is None:
        return ""
    sample = verdict.finding.sample
    wanted = dict.fromkeys(q.metric for q in verdict.claim.test.measured)
    rows = "".join(
        _run_row(arm, metric, table[metric])
        for arm, table in zip(sample.arms, sample.rows, strict=True)
        for metric in wanted
        if metric in table and pd.api.types.is_numeric_dtype(table[metric])
    )
    if not rows:
        return ""
    head = ("setting", "at the end of training", "mean", f"seeds {_span(sample.seeds)}")
    titles = "".join(f'<th scope="col">{title}</th>' for title in head)
    return (
        f'<div class="hp-scroll"><table class="hp-table"><thead><tr>{titles}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _run_row(arm: str, metric: str, values: pd.Series) -> str:
    half = 2 * values.std() if len(values) > 1 else float("nan")
    each = " ".join(labels.number(metric, value, half, with_unit=False) for value in values)
    mean = labels.number(metric, values.mean(), half, with_unit=False)
    return (
        f'<tr><th scope="row">{html.escape(arm or "all")}</th>'
        f"<td>{html.escape(labels.label(metric))}</td>"
        f'<td class="hp-num">{mean}</td><td class="hp-runs">{each}</td></tr>'
    )


def _span(seeds: Sequence[int]) -> str:
    whole = list(seeds) == list(range(seeds[0], seeds[-1] + 1))
    return f"{seeds[0]} to {seeds[-1]}" if whole else ", ".join(map(str, seeds))


def commands(verdict: Verdict) -> str:
    """Return what makes the evidence that is not there, "" where nothing is lacking."""
    lacking = [
        (column.title, preset)
        for column, preset in ((columns.MINIATURE, miniature.STAND_IN), (columns.RERUN, "paper"))
        if column.outcome(verdict) == MISSING
    ]
    claim = verdict.claim
    return "; ".join(
        f"{title.lower()}, <code>{html.escape(miniature.command(claim, preset))}</code>"
        for title, preset in lacking
    )


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


def _records(files: Mapping[str, str], name: str) -> str:
    if not files:
        return ""
    links = ", ".join(
        f'<a href="{html.escape(address)}" rel="noopener">{html.escape(file)}</a>'
        for file, address in files.items()
    )
    return f"{links}; in a terminal, <code>hplab claims {name}</code>"
