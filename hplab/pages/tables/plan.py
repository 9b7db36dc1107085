"""What to train next, for a terminal: `hplab plan`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from hplab.analysis.claims import committed, ledger, wanted
from hplab.analysis.claims.wanted import Want
from hplab.pages import labels
from hplab.sweeps import declared
from hplab.sweeps.store import default_store
from hplab.trial import HplabError, unknown

WATTS = {"cpu": 15, "cuda": 400, "mps": 20}  # assumed, not measured: of a busy core, or the card
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def of_book(
    book: Path, device: str, *, study: str | None = None, report: str | None = None
) -> list[Want]:
    """Return what the claims of a book need, as its declared trials, verdicts and records say.

    Args:
        book: The folder with `trials.jsonl` and `verdicts.json`.
        device: Where the trials would be trained: "cpu", "cuda" or "mps".
        study: Only claims of this study.
        report: Only claims of this report.

    Raises:
        HplabError: If there is no such study or report, or a file is missing.
    """
    claims, store = list(ledger.load()), default_store()
    for what, name, known in (
        ("study", study, {claim.study for claim in claims}),
        ("report", report, {claim.report.id for claim in claims}),
    ):
        if name and name not in known:
            raise unknown(what, name, known)
    return wanted.wants(
        [c for c in claims if study in (None, c.study) and report in (None, c.report.id)],
        [trial for _, trial in declared.read(book / "trials.jsonl")],
        committed.read(book / "verdicts.json"),
        lambda trial: store.summary(trial) is not None,
        wanted.costs(store.records(), device),
    )


def seconds_of(budget: str) -> float:
    """Return a time such as "170m", "3h" or "1.5d" in seconds.

    Raises:
        HplabError: If it is none.

    Example:
        >>> seconds_of("1.5h")
        5400.0
    """
    number, unit = budget[:-1], budget[-1:]
    try:
        seconds = float(number) * UNITS[unit]
    except (ValueError, KeyError):
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise HplabError(f"budget {budget!r} is no time; write 45m, 3h or 2d")
    return seconds


def within(wants: Iterable[Want], budget: float | None) -> tuple[list[Want], list[Want]]:
    """Return what is done in a budget of seconds and what is not, both in the order of the plan.

    A claim that does not fit is passed over for cheaper ones after it. What will probably bring no
    verdict, and what no record tells the time of, is never in a budget.
    """
    kept: list[Want] = []
    left: list[Want] = []
    trained: set[str] = set()
    spent = 0.0
    for want in wants:
        cost = want.seconds
        fits = cost is not None and (budget is None or spent + cost <= budget)
        if want.chance is not None and fits and want.shared <= trained:
            kept.append(want)
            spent += cost or 0.0
            trained |= {trial.identity() for trial in want.trials}
        else:
            left.append(want)
    return kept, left


def text(wants: Sequence[Want], budget: float | None, device: str, workers: int = 1) -> str:
    """Return the plan as a table, and in words what it leaves out.

    Args:
        wants: As `wanted.wants` gives them.
        budget: Seconds of the machine there are; None for no limit.
        device: Where it would run.
        workers: Cores that train side by side.
    """
    kept, left = within(wants, None if budget is None else budget * workers)
    head = ("claim", "primary", "so far", "seeds", "trials", "hours", "chance", "says")
    rows = [head]
    for want in kept:
        if not want.trials:
            continue
        now = f"n = {want.n}" if want.outcome == "inconclusive" else "no run"
        rows.append(
            (
                want.claim.id,
                "yes" if want.claim.primary else "",
                now,
                f"+{want.more}",
                str(len(want.trials)),
                _hours(want, workers),
                f"{100 * (want.chance or 0):.0f} %",
                want.claim.says if len(want.claim.says) < 60 else f"{want.claim.says[:57]}...",
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = [
        "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    return "\n".join([*lines, "", *_in_words(kept, left, device, workers)])


def _hours(want: Want, workers: int) -> str:
    return f"{(want.seconds or 0) / 3600 / workers:.1f}"


def _in_words(
    kept: Sequence[Want], left: Sequence[Want], device: str, workers: int
) -> Iterable[str]:
    seconds = sum(want.seconds or 0.0 for want in kept)
    n, hours = sum(len(want.trials) for want in kept), seconds / 3600 / workers
    energy = seconds / 3600 * WATTS[device] / 1000
    where, each = (labels.count(workers, "core"), "a core") if device == "cpu" else (device, "it")
    energy_if = f"{energy:.1f} kWh if {each} takes {WATTS[device]} W"
    yield f"in all {labels.count(n, 'trial')}, {hours:.1f} hours on {where}; {energy_if}"
    along = [want.claim.id for want in kept if not want.trials]
    hopeless = [want.claim.id for want in left if want.chance is None]
    unknown = [want.claim.id for want in left if want.chance is not None and want.seconds is None]
    dear = [want.claim.id for want in left if want.chance is not None and want.seconds is not None]
    for names, words in (
        (along, "are served by the same trials"),
        (dear, "do not fit into the budget"),
        (unknown, "have no record like them, so how long they take is not known"),
        (hopeless, "will probably not be settled by the seeds that are planned"),
    ):
        if names:
            yield f"{words}: {', '.join(names)}"


def as_json(wants: Iterable[Want]) -> str:
    """Return the plan as JSON, a claim an entry, with the settings and seeds of its trials."""
    rows: list[dict[str, Any]] = [
        {
            "claim": want.claim.id,
            "primary": want.claim.primary,
            "outcome": want.outcome,
            "n": want.n,
            "more_seeds": want.more,
            "chance": want.chance,
            "seconds": want.seconds,
            "trials": [{"config": t.config(), "seed": t.seed} for t in want.trials],
        }
        for want in wants
    ]
    return json.dumps(rows, indent=1)
