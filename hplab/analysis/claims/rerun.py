"""The verdicts of the whole ledger, from the committed records alone.

A study page judges its claims on the runs of its own grid. Here every record is at hand, and each
claim takes those that belong to it: runs of its arms, alike in everything else. Where several such
groups exist (another network, other data preparation), the one nearest to the report's setting is
taken, and of those the one with most of the arms and seeds. Only runs at the report's setting
decide; smaller ones are its miniature (see `hplab.analysis.claims.miniature`).
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator

import pandas as pd

from hplab.analysis.claims import groups, judging, miniature, samples, setups
from hplab.analysis.claims.claim import Claim
from hplab.analysis.claims.decisions import Finding
from hplab.analysis.claims.kinds import registry as kinds
from hplab.analysis.claims.ledger import Ledger, load
from hplab.analysis.claims.quantities import Curves, Missing
from hplab.analysis.claims.verdict import MISSING, UNTESTABLE, Verdict, Verdicts
from hplab.sweeps import runner, series
from hplab.sweeps.store import Store, default_store

SIZES = ("paper", "reduced")  # the presets that use a report's own data, the best first
Tried = tuple[Finding | Missing, pd.DataFrame]


def all_verdicts(
    *,
    store: Store | None = None,
    ledger: Ledger | None = None,
    precision: str = samples.PRECISION,
    shared_with: str | None = None,
    only: Collection[str] | None = None,
) -> Verdicts:
    """Return the verdict on every claim of the ledger, in its order.

    Args:
        store: Where records are; None takes the committed ones of this project.
        ledger: The claims; None reads the project's own.
        precision: Only runs trained in this number format.
        shared_with: Of those, only runs of which there is another that differs in nothing but its
            number format, which is this one.
        only: Names of claims; no others are judged, but for those that share Holm's correction with
            one of them.
    """
    store, ledger = store or committed_store(), ledger or load()
    curves = curves_of(store)
    wanted = [claim for claim in ledger if only is None or claim.id in only]
    families = (ledger.family(claim) if claim.primary else [claim] for claim in wanted)
    needed = {claim.id: claim for family in families for claim in family}

    def table(size: str, stands_for: str = "") -> pd.DataFrame:
        runs = runner.everything(size, stands_for=stands_for, store=store)
        runs = in_precision(runs, precision, shared_with).copy()
        runs.attrs = {"preset": size}  # pandas copies all of them with every selection
        return runs

    own = [table(size) for size in SIZES]
    sets = {claim.report.setting["data"] for claim in wanted}
    digits = {name: table(miniature.STAND_IN, name) for name in sets}
    found: dict[str, Finding | Missing] = {}
    chosen: dict[str, pd.DataFrame] = {}
    small: dict[str, Verdict | None] = {}
    for claim in needed.values():
        tried = list(_tried(claim, own, curves))
        found[claim.id], chosen[claim.id] = _deciding(claim, tried)
        if only is None or claim.id in only:
            small[claim.id] = _small(claim, tried, digits[claim.report.setting["data"]], curves)
    judged = [judging.judge(claim, found, ledger, chosen[claim.id]) for claim in wanted]
    made = _setups(wanted, own[0], store)
    settled = setups.robust(judged, made, curves)
    return Verdicts(dataclasses.replace(one, small=small[one.claim.id]) for one in settled)


def keys_of(claim: Claim, store: Store) -> set[str]:
    """Return the keys of the runs that the verdict on a claim rests on.

    Args:
        claim: The claim.
        store: Where records are.
    """
    own = [
        in_precision(runner.everything(size, store=store), samples.PRECISION, None)
        for size in SIZES
    ]
    runs = _deciding(claim, _tried(claim, own, curves_of(store)))[1]
    return set(runs["key"]) if len(runs) else set()


def curves_of(store: Store) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Return what gives the learning curves of runs; each is read once."""
    kept: dict[str, pd.DataFrame] = {}

    def curves(rows: pd.DataFrame) -> pd.DataFrame:
        new = rows.loc[~rows["key"].isin(kept), ["key"]]
        if len(new):
            kept.update(iter(series.curves(new, store=store).groupby("key")))
        found = [kept[key] for key in rows["key"] if key in kept]
        return pd.concat(found, ignore_index=True) if found else pd.DataFrame()

    return curves


def _setups(claims: Iterable[Claim], runs: pd.DataFrame, store: Store) -> dict[str, pd.DataFrame]:
    """Return the runs of every set-up of the reports that name none, by the set-up's name."""
    made = {}
    reports = {claim.report.id: claim.report for claim in claims if claim.report.setups}
    for report in reports.values():
        tried = setups.trials_of(report, setups.base_of(report))
        for name, some in tried.items():
            records = [store.summary(trial) for trial in some]
            keys = {record["key"] for record in records if record}
            made[name] = runs[runs["key"].isin(keys)] if len(runs) else runs
    return made


def in_precision(runs: pd.DataFrame, precision: str, shared_with: str | None) -> pd.DataFrame:
    """Return the runs of one number format; see `all_verdicts` for the arguments."""
    if runs.empty:
        return runs
    wanted = runs["precision"] == precision
    if shared_with is None:
        return runs[wanted]
    alike = but_for_precision(runs)
    return runs[wanted & alike.isin(alike[runs["precision"] == shared_with])]


def but_for_precision(runs: pd.DataFrame) -> pd.Series:
    """Return a text for each run: equal for runs that differ at most in their number format."""
    same = [name for name in samples.settings(runs) if name != "precision"]
    rows = runs[[*same, "seed"]].to_numpy()
    return pd.Series(["|".join(map(str, row)) for row in rows], runs.index, dtype=str)


def committed_store() -> Store:
    """Return the project's store without what is pending."""
    root = default_store().root
    return Store(root, root / "no-pending")


def _tried(claim: Claim, tables: Iterable[pd.DataFrame], curves: Curves) -> Iterator[Tried]:
    """Give what each group of a claim's runs says about it, the most fitting first."""
    for table in tables:
        for runs in groups.of_claim(claim, table):
            yield judging.evaluate(claim, runs, curves), runs


def _deciding(claim: Claim, tried: Iterable[Tried]) -> Tried:
    """Return what the best runs at the report's setting say, else why they say nothing.

    Two settings that compute the very same do so at any length, and runs in which rounding is left
    to chance, as on a graphics card, cannot show it: an identity comes first.
    """
    silent = None
    for found, runs in sorted(tried, key=lambda one: not _is_identity(one[0])):
        if isinstance(found, Missing):
            silent = silent or (found, runs)
        elif judging.decides(found):
            return found, runs
    return silent or (_nothing(claim), pd.DataFrame())


def _is_identity(found: Finding | Missing) -> bool:
    return isinstance(found, Finding) and found.identical


def _small(
    claim: Claim, tried: Iterable[Tried], digits: pd.DataFrame, curves: Curves
) -> Verdict | None:
    """Return what the best smaller runs show: of the report's data, else of the digits."""
    if why := claim.test.no_miniature:
        return Verdict(claim, UNTESTABLE, why)
    why = miniature.not_on_digits(claim)
    silent = Verdict(claim, UNTESTABLE, why) if why else None
    more = () if why else _tried(claim, [digits], curves)
    for found, runs in itertools.chain(tried, more):
        preset = str(runs.attrs.get("preset", ""))
        if isinstance(found, Finding) and miniature.smaller(found):
            return judging.of_runs(claim, found, preset)
        if isinstance(found, Missing) and groups.on_stand_in(runs):
            there = miniature.whole(claim, found, runs)
            outcome = UNTESTABLE if there else MISSING
            silent = silent or Verdict(claim, outcome, str(found), preset=preset)
    return silent or Verdict(claim, MISSING, "No smaller runs that could show it are recorded yet.")


def _nothing(claim: Claim) -> Missing:
    if isinstance(claim.test, kinds.Untested):
        return kinds.Untestable(claim.test.why)
    return Missing("None of the runs that would decide this is recorded yet.")
