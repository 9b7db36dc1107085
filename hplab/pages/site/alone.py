"""A page that stands alone: one file, to be opened from disk or sent to somebody.

It needs nothing beside it and asks for nothing from anywhere: style, figures and data are in the
file, and its policy forbids requests. All text that comes from data is escaped.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd

from hplab import __version__
from hplab.analysis import style
from hplab.errors import HplabError
from hplab.pages import labels
from hplab.pages.figures.figure import Html
from hplab.pages.figures.figure import table as html_table
from hplab.pages.tables.best import NO_RESULT
from hplab.sweeps import metrics
from hplab.sweeps.foreign import RunTable
from hplab.sweeps.records import shown

MOST_ROWS = 200  # that the page shows; the file to download has all
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
_STYLE = """
:root { color-scheme: light dark; --hp-fg: #1c2226; --hp-bg: #ffffff; --hp-muted: #58636b;
  --hp-rule: #ccd4d6; --hp-c1: #0072b2; --hp-c2: #d55e00 }
:root[theme="dark"] { --hp-fg: #dde3e6; --hp-bg: #14181b; --hp-muted: #9ba7ae; --hp-rule: #3a444a;
  --hp-c1: #55aeea; --hp-c2: #f5894a; --hp-c3: #35c299; --hp-c4: #e09cc4 }
body { margin: 2rem auto; max-width: 50rem; padding: 0 1rem; color: var(--hp-fg);
  background: var(--hp-bg); font: 1rem/1.55 system-ui, "Segoe UI", Roboto, Arial, sans-serif }
h1 { font-size: 1.6rem } h2 { font-size: 1.2rem; margin-top: 2.2rem }
:is(h1, p, figcaption) { overflow-wrap: anywhere }
a { color: var(--hp-c1) } .hp-figure svg { max-width: 100%; height: auto }
.hp-left-out { color: var(--hp-muted); font-style: italic }
.hp-runs { width: min(94vw, 76rem); margin-left: 50%; transform: translateX(-50%) }
.hp-runs :is(th, td) { white-space: nowrap } .hp-runs table { margin: 0 auto }
.hp-runs .hp-scroll { max-width: none }
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


def write(path: Path, text: str) -> Path:
    """Write a page; return its path.

    Raises:
        HplabError: If the file cannot be written.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise HplabError(f"cannot write {shown(path)}: {error.strerror}") from error
    return path


def page(title: str, body: str) -> str:
    """Return a page.

    Args:
        title: Its title, as text.
        body: What stands beneath it, as markup.
    """
    say = html.escape(title)
    return (
        '<!doctype html><html lang="en" theme="light"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{say}</title><style>{style.sheet()}{_STYLE}</style>"
        f"<script>{_THEME}</script></head><body><main><h1>{say}</h1>{body}"
        f"<p>Made with hplab {__version__}, by the rules of its book: every interval is over runs "
        "of one setting, and what neither supports nor contradicts stays open.</p>"
        "</main></body></html>"
    )


def paragraphs(text: str) -> str:
    """Return lines of text as paragraphs."""
    return "".join(f"<p>{html.escape(line)}</p>" for line in text.splitlines())


def runs_of(table: RunTable) -> pd.DataFrame:
    """Return all runs of a table in their order, with those that did not finish: their status says
    what became of them.
    """
    if not len(table.left_out):
        return table.runs
    left = table.left_out.assign(status=table.left_out["state"]).drop(columns="state")
    left["seed"] = left.get("seed", pd.Series(index=left.index, dtype=object))
    every = pd.concat([table.runs, left])
    return every.sort_values("row", kind="stable", ignore_index=True)


def with_lacking(runs: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return runs whose status says which ended well without a number for a metric."""
    if metric not in runs:
        return runs
    lacks = (runs["status"] == "ok") & ~np.isfinite(runs[metric].astype(float))
    return runs.assign(status=runs["status"].mask(lacks, NO_RESULT))


def _short(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6g}"


def data(
    table: RunTable,
    mark: Callable[[pd.DataFrame], pd.DataFrame] | None = None,
    *,
    about: str = "",
) -> str:
    """Return the runs as a table, and all of them as a file to download; what is left out is grey,
    and its status says why.

    The table has shares in percent, as the rest of the page; the file has them as they were given.

    Args:
        table: The runs.
        mark: Says more of each in the table that the page shows.
        about: The metric that a run has to have.
    """
    seed = ["seed"] if table.seed else []
    wanted = ["row", *table.settings, *seed, *table.metrics, "status"]
    every, n_left = with_lacking(runs_of(table), about), len(table.left_out)
    shown = every[[name for name in wanted if name in every]]
    if table.names:
        called = [table.names.get(row, "") for row in every["row"]]
        shown.insert(1, "run", called, allow_duplicates=True)
    given = shown.assign(**{name: 100 * shown[name] for name in table.percent})
    link = quote(given.to_csv(index=False, float_format="%.10g"), safe=",")
    shown = mark(shown) if mark else shown
    shares = [name for name in table.metrics if labels.scale(name) != 1 and name in shown]
    shown = shown.assign(**{name: labels.scale(name) * shown[name] for name in shares})
    shown = shown.rename(columns={name: _with_unit(name) for name in shares})
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
    link = f'<a download="runs.csv" href="data:text/csv;charset=utf-8,{link}">'
    return f"<p>{link}Download all as CSV</a></p>{in_rows(rows, note)}"


def _with_unit(name: str) -> str:
    return name if metrics.says_percent(name) else f"{name} ({labels.unit(name)})"


def in_rows(rows: pd.DataFrame, caption: str) -> str:
    """Return a table whose rows are one line each, wider than the text if need be."""
    return f'<div class="hp-runs">{html_table(rows, caption)}</div>'


def _grey(value: object) -> Html:
    text = str(value)
    return Html(f'<span class="hp-left-out">{html.escape(text)}</span>', text)
