"""One page of its own about a table of runs: what `hplab judge --html` writes.

It needs nothing beside it and asks for nothing from anywhere: style, figures and data are in the
file, and its policy forbids requests. All text that comes from data is escaped.
"""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

import pandas as pd

from hplab import __version__
from hplab.analysis import style
from hplab.analysis.claims import needs
from hplab.analysis.judge import question as asking
from hplab.analysis.judge.judgement import Judgement, Judgements
from hplab.analysis.judge.overview import TIED, Comparison, Overview
from hplab.errors import HplabError
from hplab.pages import plots
from hplab.pages.figures.figure import Figure, Html
from hplab.pages.figures.figure import table as html_table
from hplab.pages.tables import judged, seeds
from hplab.sweeps.foreign import RunTable
from hplab.sweeps.table import SETTINGS

MOST_ROWS = 200  # that the page shows; the file to download has all
MOST_POINTS = 2000  # runs that a figure draws one by one
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
_STYLE = """
:root { color-scheme: light dark; --hp-fg: #1c2226; --hp-bg: #ffffff; --hp-muted: #58636b;
  --hp-rule: #ccd4d6; --hp-c1: #0072b2; --hp-c2: #d55e00 }
:root[theme="dark"] { --hp-fg: #dde3e6; --hp-bg: #14181b; --hp-muted: #9ba7ae; --hp-rule: #3a444a;
  --hp-c1: #55aeea; --hp-c2: #f5894a; --hp-c3: #35c299; --hp-c4: #e09cc4 }
body { margin: 2rem auto; max-width: 50rem; padding: 0 1rem; color: var(--hp-fg);
  background: var(--hp-bg); font: 1rem/1.55 system-ui, "Segoe UI", Roboto, Arial, sans-serif }
h1 { font-size: 1.6rem } h2 { font-size: 1.2rem; margin-top: 2.2rem }
a { color: var(--hp-c1) } .hp-figure svg { max-width: 100%; height: auto }
.hp-left-out { color: var(--hp-muted); font-style: italic }
.hp-runs { width: min(94vw, 76rem); margin-left: 50%; transform: translateX(-50%) }
.hp-runs :is(th, td) { white-space: nowrap } .hp-runs table { margin: 0 auto }
@media print { .hp-scroll { max-height: none !important; overflow: visible !important } }
.hp-filter { display: flex; flex-wrap: wrap; gap: .75rem 1.25rem; margin: 1.2rem 0 }
.hp-filter[hidden] { display: none } .hp-filter label { display: grid; color: var(--hp-muted) }
.hp-filter :is(select, input) { padding: .35rem .5rem; color: inherit; background: var(--hp-bg);
  border: 1px solid var(--hp-rule); border-radius: 4px } .hp-filter input { width: 7rem }
"""
# Dark where the reader's system is; the variables of cards and figures follow the attribute.
_THEME = """
const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => {
  document.documentElement.setAttribute("theme", dark.matches ? "dark" : "light");
};
dark.addEventListener("change", follow);
follow();
addEventListener("beforeprint", () => {
  for (const fold of document.querySelectorAll("details")) fold.open = true;
});
"""


def write(path: Path, name: str, table: RunTable, found: Judgements | Overview) -> Path:
    """Write the page about a table of runs; return its path.

    Args:
        path: The file to write.
        name: What the table is called, such as the name of its file.
        table: The runs.
        found: What they say.

    Raises:
        HplabError: If the file cannot be written.
    """
    try:
        path.write_text(page(name, table, found), encoding="utf-8")
    except OSError as error:
        raise HplabError(f"cannot write {str(path)!r}: {error.strerror}") from error
    return path


def page(name: str, table: RunTable, found: Judgements | Overview) -> str:
    """Return the page: the answers, figures, the calculator of seeds, and the data."""
    say = html.escape
    lines = "".join(f"<p>{say(line)}</p>" for line in judged.columns(table).splitlines())
    is_overview = isinstance(found, Overview)
    answers = _overview(table, found) if isinstance(found, Overview) else _answers(table, found)
    title, runs = f"What {name} says", _data(table, found)
    note = ""
    if isinstance(found, Overview) and found.n_pairs:
        note = f"<p>{say(judged.corrected(found))}</p>"
    return (
        '<!doctype html><html lang="en" theme="light"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{say(title)}</title><style>{style.sheet()}{_STYLE}</style>"
        f"<script>{_THEME}</script></head><body><main><h1>{say(title)}</h1>{lines}"
        f"<h2>{'Every setting, value by value' if is_overview else 'Answers'}</h2>{answers}{note}"
        f"<h2>Planning a new comparison</h2>{_calculator(found)}<h2>The runs</h2>{runs}"
        f"<p>Made with hplab {__version__}, by the rules of its book: every interval is over runs "
        "of one setting, and what neither supports nor contradicts stays open.</p>"
        "</main></body></html>"
    )


def _answers(table: RunTable, found: Iterable[Judgement]) -> str:
    return "".join(_asked(table, one) + one.card() + _figure_of(table, one) for one in found)


def _asked(table: RunTable, one: Judgement) -> str:
    """Return the question as it was put, and how many of the runs it is about."""
    about, n = len(one.asked.runs), len(table.runs)
    whole = f"all {n} runs" if about == n else f"{about} of the {n} runs"
    return f"<p>Asked: <q>{html.escape(one.asked.question.text)}</q> This is about {whole}.</p>"


def _figure_of(table: RunTable, one: Judgement) -> str:
    """Return the runs that an answer rests on, drawn: along a setting, or as curves.

    Runs that diverged are drawn too; those of a seed that another setting lacks are not.
    """
    asked = one.asked
    names = list(dict.fromkeys(name for arm in asked.arms for name in arm))
    x = asked.question.x or names[0]
    if asked.question.kind == asking.SOONER and table.curves is not None:
        told = ["key", SETTINGS, "seed", "status", *table.settings]
        curves = table.curves.merge(asked.runs[told], on="key")
        return _html(plots.learning_curves(curves, asked.metric.name, by=x))
    runs = asked.runs
    used = runs["row"].isin(one.runs["row"]) | (runs["status"] != "ok")
    return _along(runs[used], x, asked.metric.name, best=len(asked.arms) > 2)


def _along(runs: pd.DataFrame, x: str, y: str, *, best: bool = True) -> str:
    if y not in runs:  # measured along the run, and kept as a curve
        return ""
    return _html(plots.axis(runs, x, y, seeds=len(runs) <= MOST_POINTS, best=best))


def _html(figure: Figure | Html) -> str:
    return figure.html


def _overview(table: RunTable, found: Overview) -> str:
    return "".join(_comparison(table, found, one) for one in found.comparisons)


def _comparison(table: RunTable, found: Overview, one: Comparison) -> str:
    """Return a setting: what was found, its values as a table, and its runs drawn."""
    sentence = f"<p><strong>{html.escape(one.sentence)}</strong></p>"
    if not one.values:
        return sentence
    head = (one.name, "runs", found.metric.words, "behind the best", "p", "found")
    rows = pd.DataFrame([judged.cells(value, one, found) for value in one.values])
    rows.columns = pd.Index(head)
    drawn = "" if one.why else _along(table.runs, one.name, found.metric.name)
    return sentence + html_table(rows) + drawn


def _calculator(found: Judgements | Overview) -> str:
    """Return the calculator, with the margin and the scatter of the first answer filled in.

    It plans with new seeds, at a difference that is chosen beforehand. How many seeds an answer
    lacks is another number: it depends on the difference that was seen, and stands in its card.
    """
    shown = _measured(found)
    said = (
        "How many seeds a comparison of two settings takes, if it is made anew. This does not say "
        "how many more seeds an answer above needs: an open answer says that itself. "
    )
    numbers = {}
    if shown is not None:
        sd = needs.scatter(shown.interval, shown.n, shown.unit)
        is_ratio = shown.unit == "ratio"
        margin = shown.margin if shown.margin > is_ratio else None
        effect = abs(shown.interval.estimate) if margin is None else margin
        effect = math.log(effect) if is_ratio else effect
        if sd and effect:
            numbers = {"effect": abs(effect), "sd": sd}
            what = "the difference seen, as no margin was asked for" if margin is None else "the"
            what += " margin as the difference that matters" * (margin is not None)
            of = " (both as logarithms of ratios)" * is_ratio
            said += f"Filled in are {what}, and the scatter seen between seeds{of}."
    said += "" if numbers else "The numbers filled in are examples."
    return f"<p>{said}</p>{seeds.form(**numbers)}"


def _measured(found: Judgements | Overview) -> SimpleNamespace | None:
    """Return interval, runs, unit and margin of the first difference that was measured."""
    if isinstance(found, Overview):
        values = [v for one in found.comparisons for v in one.values if v.outcome != TIED]
        first = next((value.behind for value in values if value.behind), None)
        if first is None:
            return None
        return SimpleNamespace(
            interval=first, n=first.n, unit=found.metric.unit, margin=found.margin
        )
    for one in found:
        if one.interval and one.asked.question.kind != asking.CHANCE:
            margin = one.asked.margin
            return SimpleNamespace(
                interval=one.interval, n=min(one.n), unit=margin.unit, margin=margin.value
            )
    return None


def _short(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6g}"


def _data(table: RunTable, found: Judgements | Overview) -> str:
    """Return the runs as a table, and all of them as a file to download; what is left out is grey,
    and its status says why. Where questions were asked, a column says which runs answer them.
    """
    seed = ["seed"] if table.seed else []
    wanted = ["row", *table.settings, *seed, *table.metrics, "status"]
    every = table.runs
    if n_left := len(table.left_out):
        left = table.left_out.assign(status=table.left_out["state"])
        left["seed"] = left.get("seed", pd.Series(index=left.index, dtype=object))
        every = pd.concat([every, left]).sort_values("row", kind="stable")
    shown = every[[name for name in wanted if name in every]]
    if table.names:
        called = [table.names.get(row, "") for row in every["row"]]
        shown.insert(1, "run", called, allow_duplicates=True)
    text = shown.to_csv(index=False, float_format="%.10g").encode()
    link = base64.b64encode(text).decode()
    if isinstance(found, Judgements):
        shown = _used(shown, found)
    rows, n = shown.head(MOST_ROWS), len(shown)
    rows = rows.apply(lambda column: column.map(_short) if column.dtype.kind == "f" else column)
    is_left = rows["row"].isin(table.left_out["row"] if n_left else []).to_numpy()
    rows = rows.astype(object)
    for i in is_left.nonzero()[0]:
        rows.iloc[i] = [_grey(value) for value in rows.iloc[i]]
    note = f"The first {MOST_ROWS} of {n} runs" if n > MOST_ROWS else f"{n} runs"
    note += (
        f", of which {n_left} {'are' if n_left > 1 else 'is'} left out (in grey)" if n_left else ""
    )
    return (
        f'<p><a download="runs.csv" href="data:text/csv;base64,{link}">Download all as CSV</a></p>'
        f'<div class="hp-runs">{html_table(rows, note)}</div>'
    )


def _used(shown: pd.DataFrame, found: Judgements) -> pd.DataFrame:
    """Return the runs with whether they answer a question, and what they lack for it."""
    used = {int(row) for one in found for row in one.runs["row"]}
    fine, status = shown["status"] == "ok", shown["status"]
    for name in dict.fromkeys(one.asked.metric.name for one in found):
        if name in shown:
            status = status.mask(fine & shown[name].isna(), f"no {name}")
    says = ["yes" if row in used else "" for row in shown["row"]]
    return shown.assign(status=status, used=says)


def _grey(value: object) -> Html:
    text = str(value)
    return Html(f'<span class="hp-left-out">{html.escape(text)}</span>', text)
