"""What to train next: for each claim the missing trials that would most cheaply decide it.

The committed verdicts say how many more seeds would probably settle a claim (with a chance of 80 %,
at the scatter seen so far). A claim that no run has spoken to yet needs a first look; how often a
look settles one is what this ledger has seen. Claims that share trials pay for them once.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Any

import pandas as pd

from hplab.analysis.claims import groups, samples
from hplab.analysis.claims.claim import Claim
from hplab.analysis.claims.judging import PROBABLY
from hplab.analysis.claims.verdict import RERUN
from hplab.analysis.stats.intervals import CONTRADICTED, SUPPORTED
from hplab.trial import TASK, Trial

SETTLED = (SUPPORTED, CONTRADICTED)
Committed = Mapping[str, Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class Want:
    """What one claim still needs.

    Attributes:
        claim: The claim.
        outcome: What its runs say so far; "" without any.
        n: Seeds that every setting it compares has, or will have by what stands before it.
        more: Seeds to train beyond those.
        chance: Of a verdict once they are there; None if those planned will probably bring none.
        trials: What is missing, seed by seed, without what a claim before it in the plan trains.
        seconds: How long one core, or the card, trains them; None if no record tells.
        shared: What it needs of the trials of claims before it, by identity.
    """

    claim: Claim
    outcome: str
    n: int
    more: int
    chance: float | None
    trials: tuple[Trial, ...]
    seconds: float | None
    shared: frozenset[str] = frozenset()

    @property
    def worth(self) -> float:
        """Chance of a verdict a minute; nothing to train is worth most."""
        if self.chance is None or self.seconds is None:
            return 0.0
        return self.chance / max(self.seconds / 60, 1e-9)


def wants(
    claims: Iterable[Claim],
    declared: Sequence[Trial],
    verdicts: Committed,
    is_recorded: Callable[[Trial], bool],
    seconds: Callable[[Trial], float | None],
) -> list[Want]:
    """Return what each unsettled claim needs, the most worthwhile first, primary claims before all.

    Args:
        claims: Those to plan for; without those that no declared trial is about.
        declared: What the studies train at preset "paper".
        verdicts: The committed verdicts, as `committed.read` gives them.
        is_recorded: Whether a trial is recorded.
        seconds: What a trial takes, None where no record tells.
    """
    declared = [trial for trial in declared if trial.precision == samples.PRECISION]
    runs = _as_runs(declared)
    by_key = {trial.identity(): trial for trial in declared}
    first_look = _chance_of_a_look(verdicts)
    open_: list[tuple[Claim, Mapping[str, Any], list[Trial]]] = []
    planned: set[str] = set()
    for claim in claims:
        said = verdicts.get(claim.id, {})
        if said.get("outcome") in SETTLED or not (mine := groups.of_claim(claim, runs)):
            continue
        open_.append((claim, said, [by_key[key] for key in mine[0]["key"]]))
    found = []
    while open_:
        each = [_want(*one, first_look, planned, is_recorded, seconds) for one in open_]
        best = max(range(len(each)), key=lambda i: (each[i].claim.primary, each[i].worth))
        found.append(each[best])
        if each[best].chance is not None:
            planned |= {trial.identity() for trial in each[best].trials}
        del open_[best]
    return sorted(found, key=lambda one: one.chance is None)


@dataclasses.dataclass(frozen=True)
class Lack:
    """What of a claim's declared trials is not recorded.

    Attributes:
        studies: The studies that train them between them; none if no study declares any.
        first: What a first verdict takes, the seeds that lack least.
        n_seeds: How many seeds that verdict rests on.
        planned: What all planned seeds take.
    """

    studies: tuple[str, ...] = ()
    first: tuple[Trial, ...] = ()
    n_seeds: int = 0
    planned: tuple[Trial, ...] = ()


def lacks(
    claims: Iterable[Claim],
    declared: Sequence[tuple[str, Trial]],
    is_recorded: Callable[[Trial], bool],
) -> dict[str, Lack]:
    """Return what each claim lacks of what the studies declare at preset "paper", by its name.

    Args:
        claims: The claims.
        declared: The trials, each with the study that trains it.
        is_recorded: Whether a trial is recorded.
    """
    kept = [(study, one) for study, one in declared if one.precision == samples.PRECISION]
    runs = _as_runs([trial for _, trial in kept])
    by_key = {trial.identity(): trial for _, trial in kept}
    owners: dict[str, set[str]] = {}
    for study, trial in kept:
        owners.setdefault(trial.identity(), set()).add(study)
    found = {}
    for claim in claims:
        mine = groups.of_claim(claim, runs)
        if not mine:
            found[claim.id] = Lack()
            continue
        trials: dict[int, list[Trial]] = {}
        for key in mine[0]["key"]:
            trials.setdefault(by_key[key].seed, []).append(by_key[key])
        most = max(map(len, trials.values()))  # a seed that lacks a setting is never complete
        missing = {
            seed: [trial for trial in some if not is_recorded(trial)]
            for seed, some in trials.items()
            if len(some) == most
        }
        needed = max(claim.min_seeds, claim.test.fewest)
        nearest = sorted(missing, key=lambda seed: (len(missing[seed]), seed))
        planned = [trial for seed in nearest[: claim.seeds] for trial in missing[seed]]
        wanted = planned or [trial for seed in nearest for trial in trials[seed]]
        found[claim.id] = Lack(
            _cover([owners[trial.identity()] for trial in wanted], claim.study),
            tuple(trial for seed in nearest[:needed] for trial in missing[seed]),
            needed,
            tuple(planned),
        )
    return found


def _cover(owners: Sequence[Set[str]], study: str) -> tuple[str, ...]:
    """Return few studies that declare all trials; of those that declare as many the claim's own."""
    left, chosen = list(owners), []
    while left:
        counts = Counter(name for some in left for name in some)
        own = f"-{study}"
        best = min(counts, key=lambda name: (-counts[name], not name.endswith(own), name))
        chosen.append(best)
        left = [some for some in left if best not in some]
    return tuple(chosen)


def _want(
    claim: Claim,
    said: Mapping[str, Any],
    trials: Sequence[Trial],
    first_look: float,
    planned: Set[str],
    is_recorded: Callable[[Trial], bool],
    seconds: Callable[[Trial], float | None],
) -> Want:
    by_seed: dict[int, list[Trial]] = {}
    for trial in trials:
        by_seed.setdefault(trial.seed, []).append(trial)
    absent = {s: [t for t in some if not is_recorded(t)] for s, some in sorted(by_seed.items())}
    missing = {s: [t for t in some if t.identity() not in planned] for s, some in absent.items()}
    n, wanted = sum(not some for some in missing.values()), claim.min_seeds
    chance: float | None = first_look
    if said.get("kind") == RERUN:
        settles = said.get("more_seeds")
        n, chance = int(said["n"]), None if settles is None else PROBABLY
        wanted = claim.seeds if settles is None else n + int(settles)
    more = max(wanted - n, 0)
    open_seeds = [seed for seed in absent if absent[seed]]
    nearest = sorted(open_seeds, key=lambda s: (len(missing[s]), len(absent[s]), s))
    nearest = nearest[: max(wanted - len(absent) + len(open_seeds), 0)]
    todo = [t for seed in sorted(nearest) for t in missing[seed]]
    shared = {t.identity() for seed in nearest for t in absent[seed]} - {t.identity() for t in todo}
    each = [seconds(trial) for trial in todo]
    known = [one for one in each if one is not None]
    total = sum(known) if len(known) == len(each) else None
    outcome = str(said.get("outcome", ""))
    return Want(claim, outcome, n, more, chance, tuple(todo), total, frozenset(shared))


def _chance_of_a_look(verdicts: Committed) -> float:
    """Return in which share of the claims with runs of their own those have settled it.

    One is added to both numbers, so that it is neither 0 nor 1.
    """
    looked = [said for said in verdicts.values() if said.get("kind") == RERUN]
    return (1 + sum(said["outcome"] in SETTLED for said in looked)) / (2 + len(looked))


def _as_runs(declared: Sequence[Trial]) -> pd.DataFrame:
    """Return declared trials as the table that their runs would be."""
    flat: dict[str, dict[str, Any]] = {}
    for trial in declared:
        flat.setdefault(trial.setting, trial.flat())
    rows = [
        {**flat[trial.setting], "seed": trial.seed, "key": trial.identity(), "status": "ok"}
        for trial in declared
    ]
    return pd.DataFrame(rows)


def costs(records: Iterable[Mapping[str, Any]], device: str) -> Callable[[Trial], float | None]:
    """Return what tells how long a trial takes on a kind of device: as its like did, an epoch.

    Trials are alike in data, model and batch size, else in data and model. Of these the longest
    count, because a short run is mostly its beginning; of them the median.

    Args:
        records: Recorded trials.
        device: "cpu", "cuda" or "mps"; seconds on the CPU are those of one core.
    """
    seen: dict[tuple, list[tuple[int, float]]] = {}
    for record in records:
        config, cost = record["config"], record["cost"]
        if record["task"] != TASK or cost.get("device", "").partition(":")[0] != device:
            continue
        seconds = (cost.get("train_s", 0.0) + cost.get("eval_s", 0.0)) / config["epochs"]
        kind = (config["data"], config["model"])
        for key in (kind, (*kind, config["batch_size"])):
            seen.setdefault(key, []).append((config["epochs"], seconds))
    typical = {
        key: statistics.median(each for epochs, each in some if 2 * epochs >= max(some)[0])
        for key, some in seen.items()
    }

    def of(trial: Trial) -> float | None:
        kind = (trial.data, trial.model)
        each = typical.get((*kind, trial.batch_size), typical.get(kind))
        return None if each is None else each * trial.epochs

    return of
