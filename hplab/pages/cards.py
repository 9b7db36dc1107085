"""What a page says beside its figures: numbers in prose, cost, provenance, tables of results.

Everything here shows as HTML in a notebook and in the book, and as plain text in a terminal. All
text that comes from data is escaped.
"""

from __future__ import annotations

import html
import importlib.util
import math
import re
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from hplab.analysis.claims.verdict import SMALL, WORDS, Verdict, has_runs, named, not_run
from hplab.analysis.stats.intervals import Interval
from hplab.pages import labels
from hplab.pages.figures import cells as summary
from hplab.pages.figures.figure import Html, nothing_recorded, table
from hplab.pages.notebooks import prose
from hplab.sweeps import presets
from hplab.sweeps import store as stores
from hplab.sweeps.records import DamagedError
from hplab.sweeps.table import owner
from hplab.trial import HplabError, Trial

_GLUED = "application/papermill.record/"  # a kind of output that pages take up and do not show
UNITS = {"%": "val_acc", "pp": "acc_gap", "s": "train_s", None: "val_loss"}  # a metric shown so


# ------------------------------------------------------------------------- numbers in prose


def glue(name: str, value: Any, fmt: str | Callable[[Any], str] | None = None) -> None:
    """Give a number a name by which the page's text can show it.

    In the book, `{glue:text}` with the name becomes the formatted value; in a notebook by itself
    the paragraph that `hplab.prose` shows has it. Where neither can show it, it is printed.

    Args:
        name: What the text calls it.
        value: A number, an interval, or text, which stays as it is.
        fmt: "%" for a share shown in percent, "pp" for a difference of shares, "s" for seconds, a
            format such as ".4f", or a function from value to text; None gives three digits.

    Raises:
        HplabError: If the format does not fit the value.
    """
    text = formatted(value, fmt)
    is_shown = prose.glued(name, text)
    if importlib.util.find_spec("myst_nb") is None:
        if not is_shown:
            print(f"{name}: {text}")
        return
    from IPython.display import display

    # What `myst_nb.glue` writes; importing that takes a kernel several seconds.
    glued = labels.unbroken(text)
    shown = {"text/plain": repr(glued), "text/html": html.escape(glued)}  # a literal is read back
    bundle = {f"{_GLUED}{kind}": value for kind, value in shown.items()}
    scrap = {"name": name, "mime_prefix": _GLUED}
    display(bundle, raw=True, metadata={"scrapbook": scrap})


def formatted(value: Any, fmt: str | Callable[[Any], str] | None = None) -> str:
    """A value as text: 0.9873 with "%" is "98.73 %", 0.04378 is "0.0438".

    Raises:
        HplabError: If the format does not fit the value.
    """
    if callable(fmt):
        return str(fmt(value))
    if isinstance(value, str):
        return value
    try:
        if isinstance(value, Interval) and fmt in UNITS:
            return labels.interval(UNITS[fmt], value)
        if fmt is not None and fmt not in UNITS:
            return format(value, fmt).replace("-", labels.MINUS)
        if fmt is None and isinstance(value, (bool, int)):
            return str(value)
        return labels.number(UNITS[fmt], float(value))
    except (TypeError, ValueError) as error:
        raise HplabError(f"glue: cannot format {value!r} with {fmt!r}: {error}") from error


# ------------------------------------------------------------------------------- the results


def show(runs: pd.DataFrame, y: str | Sequence[str] = ("val_acc", "val_loss")) -> Html:
    """A table of settings: what was varied, mean and half-width of the 95 % interval, seeds.

    An argument that is the same wherever its component is, such as the eps of Adam beside SGD, has
    no column.

    Args:
        runs: One row a trial.
        y: Columns of metrics.

    Returns:
        The table, which shows itself in a notebook; `text` has it for a terminal.

    Raises:
        HplabError: If a column is missing.
    """
    if runs.empty:
        return nothing_recorded()
    metrics = [y] if isinstance(y, str) else list(y)
    summary.require(runs, *metrics, what="show")
    varied = _without_told(runs, summary.mixed(runs, []))
    tables = [summary.cells(runs, metric, varied) for metric in metrics]
    first = tables[0]
    columns = {labels.quantity(v): [labels.setting(x, v) for x in first[v]] for v in varied}
    for metric, cells in zip(metrics, tables, strict=True):
        means = [labels.give_or_take(metric, cell) for _, cell in cells.iterrows()]
        columns[labels.label(metric, labels.loss(runs))] = means
    columns["seeds"] = [str(n) for n in first["n"]]
    if first["n_diverged"].any():
        columns["diverged"] = [str(n) for n in first["n_diverged"]]
    caption = f"Means \u00b1 half the 95 % interval; {labels.context(runs)}".rstrip("; ")
    return _tabulated(pd.DataFrame(columns), caption)


def _without_told(runs: pd.DataFrame, varied: list[str]) -> list[str]:
    """The columns without arguments that the name of their component tells."""

    def is_told(name: str) -> bool:
        component = owner(name)
        if component not in varied or component == name:
            return False
        return bool((runs.groupby(component)[name].nunique(dropna=False) <= 1).all())

    return [name for name in varied if not is_told(name)]


def claims_table(verdicts: Iterable[Verdict]) -> Html:
    """A table of verdicts, a claim a row: what is claimed, and what each kind of data says.

    Claims without a run are one line beneath it; the ledger says more of each.

    Args:
        verdicts: What `hplab.claims.verdicts` returns; lists of them can be added.

    Returns:
        The table, which shows itself in a notebook; `text` has it for a terminal.
    """
    verdicts = list(verdicts)
    rows = [verdict.row() for verdict in verdicts]
    counts = Counter(WORDS[row["outcome"]].lower() for row in rows)
    summary_line = ", ".join(f"{n} {outcome}" for outcome, n in counts.most_common())
    caption = f"{len(rows)} claims: {summary_line} (* primary)"
    rows = [one.row() for one in verdicts if has_runs(one)]
    columns = {
        "claim": [_linked(row["claim"], "\u00a0*" if row["primary"] else "") for row in rows],
        "what the report says": [row["says"] for row in rows],
        "its own data": [row["own_data"].replace("-", " ") for row in rows],
        "in miniature": [SMALL.get(row["miniature"], "").lower() for row in rows],
        "our re-run": [WORDS[row["outcome"]].lower() for row in rows],
        "seeds": [str(row["n"] or "") for row in rows],
    }
    if not any(columns["in miniature"]):
        del columns["in miniature"]
    lines = not_run(verdicts, "row")
    plain = " ".join(re.sub(r"<[^>]+>", " ", lines).split()).replace(" ,", ",").replace(" .", ".")
    if not rows:
        return Html(f'<p class="hp-caption">{caption}.</p>{lines}', f"{caption}\n{plain}")
    shown = _tabulated(pd.DataFrame(columns), caption)
    return Html(shown.html + lines, f"{shown.text}\n{plain}".strip())


def _linked(claim: str, star: str) -> Html:
    """A claim's name as a cell: the ledger leads here."""
    return Html(named(claim, "row") + star, claim + star)


def _tabulated(rows: pd.DataFrame, caption: str) -> Html:
    plain = rows.to_string(index=False, max_colwidth=60)
    return Html(table(rows, caption), f"{caption}\n{plain}")


def preset_changes(
    preset: str | pd.DataFrame | Iterable[Mapping[str, str]],
    trials: Iterable[Trial] | None = None,
    *,
    n_report: int | None = 1,
) -> Html:
    """A table of what a preset changes, beside the report's own values.

    Args:
        preset: A table of runs, a preset's name, or rows as `hplab.sweeps.presets.changes` returns.
        trials: The trials as the study declares them; not needed with rows.
        n_report: Networks that the report trained for a setting; None where the study is about no
            report, and is held against what it declares.

    Returns:
        The table, which shows itself in a notebook; `text` has it for a terminal.

    Raises:
        HplabError: If the preset is unknown, or the trials are needed and missing.
    """
    name = preset.attrs.get("preset") if isinstance(preset, pd.DataFrame) else preset
    if isinstance(name, str) and trials is not None:
        rows = presets.changes(trials, name, n_report)
    elif name is None or isinstance(name, str):
        raise HplabError("preset_changes needs a preset (or runs that know theirs) and the trials")
    else:
        rows = [dict(row) for row in name]
    if isinstance(preset, pd.DataFrame) and "seed" in preset:
        for row in rows:
            if row["field"] == "seeds":
                row["preset"] = labels.span(_n_seeds(preset) or [0])
    for row in rows:
        if row["field"] == "n_directions" and n_report is not None:  # a report measured otherwise
            row["report"] = f"our plan: {row['report']}"
    names = {"field": "hyperparameter", "report": "in the report", "preset": "here"}
    if n_report is None:
        names["report"] = "as declared"
    shown = pd.DataFrame(rows, columns=list(names)).rename(columns=names)
    shown["hyperparameter"] = [labels.quantity(field) for field in shown["hyperparameter"]]
    if not isinstance(name, str):
        return _tabulated(shown, "What this preset changes")
    return _tabulated(shown, f"What the preset \u201c{name}\u201d changes")


# ----------------------------------------------------------------------------------- the cost


def cost(runs: pd.DataFrame) -> Html:
    """A card of what a table of runs cost: trials, seeds, seconds, device.

    Seconds are those of training, summed over runs; runs that were trained side by side took less
    time on the clock.

    Args:
        runs: One row a trial, with "train_s"; "device" and "lanes" are shown if there.

    Returns:
        The card, which shows itself in a notebook; `text` has it for a terminal.
    """
    if runs.empty:
        return nothing_recorded()
    seconds = list(runs["train_s"].dropna().astype(float)) if "train_s" in runs else []
    entries = {"runs": str(len(runs)), "settings": str(_n_settings(runs))}
    if "seed" in runs:
        entries["different seeds"] = str(runs["seed"].nunique())
    if seconds:
        entries["training time, all runs"] = duration(sum(seconds))
        entries["median of a run"] = duration(statistics.median(seconds))
    for column in ("device", "lanes"):
        if column in runs and runs[column].notna().any():
            entries[column] = labels.listed(map(str, runs[column].dropna().unique()))
    if (n_new := runs.attrs.get("n_new")) is not None:
        n_new = min(int(n_new), len(runs))
        entries["trained now"] = str(n_new)
        entries["from the store"] = str(len(runs) - n_new)
    if lost := int((runs["status"] == "diverged").sum() if "status" in runs else 0):
        entries["diverged"] = str(lost)
    if early := int((runs["status"] == "stopped").sum() if "status" in runs else 0):
        entries["stopped early"] = f"{early} (in no mean and no verdict)"
    body = "".join(
        f"<div><dt>{html.escape(term)}</dt><dd>{html.escape(value)}</dd></div>"
        for term, value in entries.items()
    )
    markup = f'<section class="hp-card" aria-label="What it cost"><dl>{body}</dl></section>'
    return Html(markup, "; ".join(f"{term}: {value}" for term, value in entries.items()))


def _n_seeds(runs: pd.DataFrame) -> list[int]:
    """How many seeds each setting has."""
    names = summary.telling(runs)
    if not names:
        return [runs["seed"].nunique()]
    return runs.groupby(names, dropna=False)["seed"].nunique().to_list()


def _n_settings(runs: pd.DataFrame) -> int:
    names = summary.telling(runs)
    return len(runs[names].drop_duplicates()) if names else 1


def duration(seconds: float) -> str:
    """Seconds as people say them: "0.84 s", "42 s", "3 min 20 s", "2 h 5 min"."""
    if not seconds >= 10 or math.isinf(seconds):
        return f"{seconds:.2g} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, rest = divmod(round(seconds / 60), 60)
    return f"{hours} h {rest} min" if rest else f"{hours} h"


# -------------------------------------------------------------------------------- provenance


def provenance(runs: pd.DataFrame, *, store: Any = None) -> Html:
    """A table of what the runs were made with: commit, versions, device, switches, date.

    Args:
        runs: One row a trial; column "prov" names each run's description in the store.
        store: Anything with `provenance(id) -> dict`; None takes the project's own store.

    Returns:
        The table, which shows itself in a notebook; `text` has it for a terminal.
    """
    if runs.empty:
        return nothing_recorded()
    counts = Counter(runs["prov"].dropna()) if "prov" in runs else Counter()
    store = store or stores.default_store()
    found = {name: _described(store, name) for name in counts}
    fields: dict[str, Counter[str]] = {}
    for name, known in found.items():
        for term, value in _terms(known).items():
            fields.setdefault(term, Counter())[value] += counts[name]
    rows = [(term, _shares(values, len(runs))) for term, values in fields.items()]
    rows.append(("descriptions", labels.listed(found, 12) if found else "none recorded"))
    if unknown := len(runs) - sum(n for name, n in counts.items() if found[name]):
        rows.append(("no description", labels.count(unknown, "run")))
    caption = f"What {labels.count(len(runs), 'run')} were made with"
    return _tabulated(pd.DataFrame(rows, columns=["what", "value"]), caption)


def _described(store: Any, name: str) -> dict[str, Any]:
    try:
        return store.provenance(name)
    except DamagedError:
        raise
    except HplabError:  # none is recorded, which the table says
        return {}


def _terms(known: Mapping[str, Any]) -> dict[str, str]:
    """The parts of a description that a reader asks for, in words."""
    git, device = known.get("git") or {}, known.get("device") or {}
    others = known.get("libraries") or {}
    switches, yes_or_no = known.get("switches") or {}, {True: "yes", False: "no", None: None}
    on_gpu = device.get("type") == "cuda"
    commit = str(git.get("commit", ""))[:12]
    terms = {
        "commit": f"{commit} with changes" if commit and git.get("dirty") else commit,
        "hplab": known.get("hplab"),
        "code that decides results": known.get("code"),
        "Python": known.get("python"),
        "PyTorch": known.get("torch"),
        "torchvision": known.get("torchvision"),
        "NumPy": known.get("numpy"),
        "other libraries": ", ".join(f"{name} {v}" for name, v in others.items()),
        "CUDA": known.get("cuda") if on_gpu else None,
        "cuDNN": known.get("cudnn") if on_gpu else None,
        "device": device.get("name"),
        "threads": known.get("threads"),
        "deterministic algorithms": yes_or_no.get(switches.get("deterministic")),
        "platform": known.get("platform"),
        "date": known.get("date"),
    }
    return {term: str(value) for term, value in terms.items() if value not in (None, "")}


def _shares(values: Counter[str], total: int) -> str:
    """One value if all runs share it, else each with its number of runs, most frequent first."""
    if len(values) == 1 and values.total() == total:
        return next(iter(values))
    return "; ".join(f"{value} ({labels.count(n, 'run')})" for value, n in values.most_common())
