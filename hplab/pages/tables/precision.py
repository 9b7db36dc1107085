"""What the page on speed shows of bfloat16: the claims it could decide, beside single precision."""

from __future__ import annotations

import functools
from collections.abc import Callable

from hplab.analysis.claims import phrases, rerun
from hplab.analysis.claims.judging import MISSING, UNTESTABLE
from hplab.analysis.claims.verdict import Verdict
from hplab.analysis.stats import intervals
from hplab.pages.tables import markdown
from hplab.pages.tables.terminal import estimate
from hplab.sweeps import runner
from hplab.sweeps.store import Store

PLAIN, MIXED = "fp32", "bf16"
_NONE = "No trial is recorded in both number formats yet."


def tables(store: Store | None) -> dict[str, Callable[[], str]]:
    """Return the tables of this part of the page by name.

    Args:
        store: Where records are; None takes the committed ones of this project.
    """
    return {
        "precision": functools.partial(verdicts, store),
        "precision-accuracy": functools.partial(accuracy, store),
    }


def verdicts(store: Store | None = None) -> str:
    """Each claim that both number formats can decide, with what each says on the same trials."""
    rows = [
        (
            f"{plain.claim.id}: {plain.claim.says}",
            plain.n,
            estimate(plain) or "several parts",
            estimate(mixed) or "several parts",
            plain.outcome,
            "the same" if mixed.outcome == plain.outcome else f"**{mixed.outcome}**",
        )
        for plain, mixed in judged_twice(store)
    ]
    head = ("claim", "seeds", "single precision", "bfloat16", "verdict", "in bfloat16")
    return markdown.table(head, rows) if rows else _NONE


def judged_twice(store: Store | None) -> list[tuple[Verdict, Verdict]]:
    """Return the verdicts on equal trials in single precision and in bfloat16."""
    plain = rerun.all_verdicts(store=store, precision=PLAIN, shared_with=MIXED)
    mixed = rerun.all_verdicts(store=store, precision=MIXED, shared_with=PLAIN)
    without = (MISSING, UNTESTABLE)
    return [
        (one, other)
        for one, other in zip(plain, mixed, strict=True)
        if one.outcome not in without and other.outcome not in without
    ]


def accuracy(store: Store | None = None) -> str:
    """A sentence: how far validation accuracy in bfloat16 is from that in single precision."""
    runs = runner.everything(store=store or rerun.committed_store())
    plain, mixed = (
        found.set_index(rerun.but_for_precision(found))["val_acc"] if len(found) else found
        for found in (
            rerun.in_precision(runs, PLAIN, MIXED),
            rerun.in_precision(runs, MIXED, PLAIN),
        )
    )
    if len(plain) < 2:
        return _NONE
    gap = intervals.paired_difference(mixed.loc[plain.index], plain).scaled(100)
    return (
        f"On {gap.n} trials recorded in both, validation accuracy in bfloat16 minus that in single "
        f"precision is {phrases.number(gap.estimate, 'pp')} on average "
        f"({phrases.limits(gap, 'pp')})."
    )
