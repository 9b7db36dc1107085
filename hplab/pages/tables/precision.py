"""What the page on speed shows of bfloat16: the claims it could decide, beside single precision."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pandas as pd

from hplab.analysis.claims import phrases, rerun, samples
from hplab.analysis.claims.judging import MISSING, UNTESTABLE
from hplab.analysis.claims.verdict import Verdict
from hplab.analysis.stats import intervals
from hplab.pages.tables import markdown
from hplab.pages.tables.terminal import estimate
from hplab.sweeps import runner
from hplab.sweeps.store import Store

PLAIN, MIXED = samples.PRECISION, "bf16"
PHOTOS = "dinosaurs"  # report 000's
# What a setting of the photos is called by, as far as it is not as usual.
_TOLD = ("optimizer", "lr", "batch_size", "loss", "schedule", "fold", "epochs")
_USUAL = {"loss": "cross_entropy", "schedule": "constant", "fold": 1}
_NONE = "No trial is recorded in both number formats yet."


def tables(store: Store | None) -> dict[str, Callable[[], str]]:
    """Return the tables of this part of the page by name.

    Args:
        store: Where records are; None takes the committed ones of this project.
    """
    return {
        "precision": functools.partial(verdicts, store),
        "precision-accuracy": functools.partial(accuracy, store),
        "precision-photos": functools.partial(photos, store),
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
    """A sentence: how far validation accuracy in bfloat16 is from that in single precision.

    Report 000's photos are told apart, in `photos`.
    """
    pairs = _pairs(store)
    pairs = pairs[pairs["data"] != PHOTOS] if len(pairs) else pairs
    if len(pairs) < 2:
        return _NONE
    gap = _gap(pairs)
    return (
        f"On {gap.n} trials recorded in both, validation accuracy in bfloat16 minus that in single "
        f"precision is {phrases.number(gap.estimate, 'pp')} on average "
        f"({phrases.limits(gap, 'pp')})."
    )


def photos(store: Store | None = None) -> str:
    """Report 000's photos: each setting in both number formats, compared seed by seed."""
    pairs = _pairs(store)
    pairs = pairs[pairs["data"] == PHOTOS] if len(pairs) else pairs
    if pairs.empty:
        return "No bfloat16 runs of the photos are recorded yet."
    rows = []
    for _, group in pairs.groupby(samples.settings(pairs), dropna=False, sort=False):
        first = group.iloc[0]
        setting = {name: first[name] for name in _TOLD if first[name] != _USUAL.get(name)}
        says = "one seed has no interval"
        if len(group) > 1:
            gap = _gap(group)
            says = f"{phrases.number(gap.estimate, 'pp')} ({phrases.span(gap, 'pp')})"
        rows.append((samples.describe(setting), len(group), says))
    return markdown.table(("setting", "seeds in both", "bfloat16 minus single precision"), rows)


def _gap(pairs: pd.DataFrame) -> intervals.Interval:
    return intervals.paired_difference(pairs["in_bf16"], pairs["val_acc"]).scaled(100)


def _pairs(store: Store | None) -> pd.DataFrame:
    """Return the runs in single precision that have one in bfloat16 beside them, both finished.

    Its validation accuracy is in the column "in_bf16".
    """
    runs = runner.everything(store=store or rerun.committed_store())
    plain, mixed = (
        _by_trial(rerun.in_precision(runs, *formats))
        for formats in ((PLAIN, MIXED), (MIXED, PLAIN))
    )
    if plain.empty or mixed.empty:
        return pd.DataFrame()
    pairs = plain.assign(in_bf16=mixed["val_acc"])
    return pairs.dropna(subset=["val_acc", "in_bf16"])


def _by_trial(runs: pd.DataFrame) -> pd.DataFrame:
    """Return runs by what they are but for their number format, each training once."""
    if runs.empty:
        return runs
    found = runs.set_index(rerun.but_for_precision(runs))
    return found[~found.index.duplicated()]
