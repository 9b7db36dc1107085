"""What makes the runs that a claim lacks, how many they are, and about how long they take."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from hplab.analysis.claims import ledger, miniature, wanted
from hplab.analysis.claims.claim import Claim
from hplab.analysis.claims.verdict import MISSING, Verdict
from hplab.analysis.claims.wanted import Lack
from hplab.pages import labels
from hplab.pages.tables import columns
from hplab.sweeps import declared
from hplab.sweeps.store import Store
from hplab.trial import Trial

Seconds = Callable[[Trial], float | None]


def of_book(book: Path, store: Store) -> tuple[dict[str, Lack], Seconds]:
    """Return what each claim of a book lacks, and what tells how long a trial takes on one core.

    Raises:
        HplabError: If the list of declared trials is missing.
    """
    trials = declared.read(book / "trials.jsonl")
    lacks = wanted.lacks(ledger.load(), trials, lambda trial: store.summary(trial) is not None)
    return lacks, wanted.costs(store.records(), "cpu")


def fold(verdict: Verdict, lack: Lack, seconds: Seconds) -> str:
    """Return what makes the evidence that is not there, as HTML; "" where nothing is lacking."""
    claim = verdict.claim
    told = [
        (column.title, preset)
        for column, preset in ((columns.MINIATURE, miniature.STAND_IN), (columns.RERUN, "paper"))
        if column.outcome(verdict) == MISSING
    ]
    if not told:
        return ""
    if not lack.studies:
        return "No study declares the runs that it takes."
    lines = []
    for title, preset in told:
        each = [f"<code>{html.escape(one)}</code>" for one in commands(claim, lack, preset)]
        lines.append(f"{title.lower()}, {' and '.join(each)}")
    words = "; ".join(lines)
    if columns.RERUN.outcome(verdict) != MISSING or not lack.planned:
        return words
    one = len(lack.studies) == 1
    first = f"{_dear(lack.first, seconds)} for a first verdict ({lack.n_seeds} seeds), and "
    return (
        f"{words}, which {'trains all of that study' if one else 'train all of those studies'}. "
        f"This claim lacks {first if lack.first else ''}{_dear(lack.planned, seconds)} for all "
        f"{claim.seeds} planned seeds."
    )


def commands(claim: Claim, lack: Lack, preset: str) -> list[str]:
    """Return what trains the runs that a claim lacks, a command a study."""
    return [miniature.command(claim, study, preset) for study in lack.studies]


def _dear(trials: Iterable[Trial], seconds: Seconds) -> str:
    trials = list(trials)
    hours = core_hours(trials, seconds)
    runs = labels.count(len(trials), "run")
    if hours is None:
        return f"{runs} (nobody has timed any like them)"
    return f"{runs} ({_about(trials)} {_rounded(hours)} hours of one core)"


def _about(trials: Iterable[Trial]) -> str:
    """Return how hours begin: runs with a stopping rule may take fewer epochs than they may."""
    return "at most about" if any(trial.stop != "epochs" for trial in trials) else "about"


def core_hours(trials: Iterable[Trial], seconds: Seconds) -> float | None:
    """Return how long one core trains them; None if of one no record tells."""
    each = [seconds(trial) for trial in trials]
    known = [one for one in each if one is not None]
    return sum(known) / 3600 if len(known) == len(each) else None


def waiting(verdicts: Iterable[Verdict], lacks: Mapping[str, Lack], seconds: Seconds) -> str:
    """Return in one sentence why claims wait for their runs: what those cost."""
    waiting = [one.claim.id for one in verdicts if one.outcome == MISSING]
    if not waiting:
        return "No claim waits for its runs."
    trials = {
        kind: {t.identity(): t for name in waiting for t in getattr(lacks[name], kind)}.values()
        for kind in ("first", "planned")
    }
    known = {kind: [t for t in some if seconds(t) is not None] for kind, some in trials.items()}
    hours = {kind: core_hours(some, seconds) or 0.0 for kind, some in known.items()}
    untimed = len(trials["planned"]) - len(known["planned"])
    stops = ""
    if _about(trials["planned"]) != "about":
        stops = "; less if those with a rule for stopping do so before their last epoch"
    dearer = f", without {untimed:,} runs that nobody has timed yet" if untimed else ""
    return (
        f"{labels.count(len(waiting), 'claim')} wait because their runs are dear: a first verdict "
        f"on each takes {len(trials['first']):,} runs, {_about(trials['first'])} "
        f"{_rounded(hours['first'])} hours of one processor core, and all planned seeds "
        f"{len(trials['planned']):,} runs, {_about(trials['planned'])} "
        f"{_rounded(hours['planned'])} hours{dearer}{stops}."
    )


def _rounded(hours: float) -> str:
    """Return hours to two digits: what they rest on is no better known."""
    return f"{float(f'{hours:.2g}'):,.{0 if hours >= 10 else 1}f}"


def none_yet(claim: Claim, lack: Lack, seconds: Seconds) -> str:
    """Return what `hplab cost` says of a claim that no recorded run decides."""
    words = f"no recorded run decides {claim.id}, so it has cost nothing yet"
    if not lack.planned:
        return words
    each = " and ".join(f"`{one}`" for one in commands(claim, lack, "paper"))
    train = "trains" if len(lack.studies) == 1 else "train"
    first = f"{_dear(lack.first, seconds)} for a first verdict and " if lack.first else ""
    return (
        f"{words}; it lacks {first}{_dear(lack.planned, seconds)} for all planned seeds; "
        f"{each} {train} them with all else there"
    )
