"""Judge anybody's runs: a question in words or by name, a table of runs, and what they say."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from hplab.analysis.claims import judging
from hplab.analysis.claims.decisions import Finding
from hplab.analysis.claims.kinds import registry
from hplab.analysis.claims.quantities import Curves, Missing
from hplab.analysis.claims.samples import matches
from hplab.analysis.judge import question as asking
from hplab.analysis.judge import unpaired
from hplab.analysis.judge.arms import MIN_SEEDS
from hplab.analysis.judge.comparison import Overview
from hplab.analysis.judge.judgement import MOST, Judgement, Judgements
from hplab.analysis.judge.overview import overview
from hplab.analysis.judge.question import WAYS, Question
from hplab.analysis.judge.resolve import MAX_DIVERGED, Asked, resolve
from hplab.analysis.stats import intervals, sequential
from hplab.analysis.stats.evidence import three_way
from hplab.analysis.stats.intervals import INCONCLUSIVE
from hplab.errors import HplabError, unknown
from hplab.sweeps import files, foreign
from hplab.sweeps.foreign import RunTable
from hplab.sweeps.metrics import match

PROBABLY = 0.8  # the chance of a verdict that counts as probable
LAST_LOOK = 0.53  # of alpha is left for the last look at a plan of up to `MOST` seeds


def judge(
    runs: pd.DataFrame | RunTable | str | Path,
    question: str | Sequence[str] | None = None,
    *,
    kind: str | None = None,
    metric: str = "",
    a: Mapping[str, Any] | str | None = None,
    b: Mapping[str, Any] | str | None = None,
    margin: str | float | None = None,
    target: float | str | None = None,
    chance: float | None = None,
    x: str = "",
    way: str = "",
    where: Mapping[str, Any] | str | None = None,
    better: str = "",
    pair: bool | None = None,
    settings: Sequence[str] = (),
    seed: str | None = None,
    ignore: Sequence[str] = (),
    curves: Curves | None = None,
    planned: int | None = None,
) -> Judgement | Judgements | Overview:
    """Say what runs show about a question, by the rules that the book's claims are judged by.

    The question may be words, such as "val_acc at lr=0.001 beats lr=0.0001 by 0.2 pp", or be put
    together from the other arguments; those also add to words what words leave open. Where nothing
    is asked, the values of every setting are compared, as `hplab judge runs.csv` does. Several
    questions in one call are corrected for their number (Holm). An answer holds for one look at the
    runs: whoever adds seeds until it comes out has to say beforehand how many there may be
    (`planned`).

    Args:
        runs: One row a run: what `hplab.run` returns, or any other table (see
            `hplab.sweeps.foreign.of`), or the name of its file.
        question: Words, or several questions; None if the other arguments say it.
        kind: "direction", "equivalence", "trend", "best", "threshold", "sooner" or "chance"; None
            takes "direction" where two settings are named, else what the arguments fit.
        metric: The column that is asked about; the first of the metrics if it is not said.
        a: The first setting: {"lr": 0.001} or "lr=0.001".
        b: The second setting.
        margin: The smallest difference that counts: "0.2 pp", 0.01, "a factor of 1.2".
        target: The level to be reached: 0.9 or "90 %".
        chance: The probability to be exceeded, for "chance".
        x: The setting that a trend is along.
        way: "higher" or "lower" (a trend: "up" or "down"); "" is to the better side.
        where: What all runs must have.
        better: "higher" or "lower", for a metric whose name does not say it.
        pair: True to compare seed by seed, False not to; None does if the seeds match.
        settings: Columns that are settings, where that is not recognised.
        seed: The column of seeds.
        ignore: Columns to leave aside.
        curves: Learning curves in long form ("key", "epoch", metrics), for "sooner".
        planned: How many seeds there may be in the end, if this is not the last look.

    Returns:
        The judgement, or one a question: `outcome`, the estimate with its interval, n, p, and how
        many more seeds would settle it. Without a question, the comparison of all values. It shows
        itself in a notebook.

    Raises:
        HplabError: If the question cannot be judged on these runs; with what to do.

    Example:
        >>> runs = pd.DataFrame({"lr": [0.1] * 3 + [0.2] * 3, "seed": [0, 1, 2] * 2,
        ...                      "val_acc": [0.91, 0.92, 0.915, 0.88, 0.89, 0.886]})
        >>> judge(runs, "lr=0.1 beats lr=0.2 by 1 pp").outcome
        'supported'
    """
    if isinstance(runs, list) and runs and all(isinstance(run, Mapping) for run in runs):
        runs = pd.DataFrame(runs)
    if isinstance(runs, (str, Path)):
        runs = files.read(runs)
    if not isinstance(runs, pd.DataFrame | RunTable):
        raise HplabError(
            "judge needs runs: a DataFrame with a row a run, or the name of a file; got "
            f"{type(runs).__name__}"
        )
    asked_for = [question] if isinstance(question, str) or question is None else question
    if not isinstance(asked_for, Sequence) or not all(isinstance(q, str | None) for q in asked_for):
        raise HplabError(f"a question is text, as in {asking.FORMS[0]!r}; got {question!r:.60}")
    if planned is not None and (isinstance(planned, bool) or not isinstance(planned, int)):
        raise HplabError(f"planned is a whole number of seeds, got {planned!r}")
    if isinstance(runs, RunTable):
        if settings or seed or ignore:
            raise HplabError("these runs were read already; name columns where they are read")
        table = runs
    else:
        column = match(metric, map(str, runs.columns)) if metric else None
        named = [column] if column else []
        table = foreign.of(runs, settings=settings, seed=seed, metrics=named, ignore=ignore)
    texts = list(asked_for)
    given = {
        "kind": kind, "metric": metric, "a": a, "b": b, "margin": margin, "target": target,
        "chance": chance, "x": x, "way": way, "where": where, "better": better, "pair": pair,
    }  # fmt: skip
    names = (*table.settings, *table.metrics)
    if question is None and not any((kind, a, b, x, way, target, chance)):
        if planned is not None:
            raise HplabError("planned seeds belong to a question; ask one")
        if better and better not in WAYS:
            raise unknown("side", better, WAYS, "better")
        sides: dict[str, Any] = {"better": WAYS.get(better, 0), "margin": margin, "pair": pair}
        chosen = asking.arm(where, names) if where else {}
        return overview(table, metric=metric, where=chosen, **sides)
    asked = [resolve(_question(text, given, names), table, planned) for text in texts]
    found = of(asked, table, curves=curves, planned=planned)
    return found[0] if isinstance(question, str) or question is None else found


def of(
    asked: Sequence[Asked],
    table: RunTable,
    *,
    curves: Curves | None = None,
    planned: int | None = None,
) -> Judgements:
    """Judge questions of one call, corrected for their number.

    Args:
        asked: The questions, resolved on the table.
        table: The runs.
        curves: As for `judge`.
        planned: As for `judge`.
    """
    found = [_evaluate(one, table, curves) for one in asked]
    looks = [_look(one, finding, planned) for one, finding in zip(asked, found, strict=True)]
    p = [
        1.0 if not isinstance(finding, Finding) or finding.evidence is None
        else (look.adjusted(finding.evidence) if look else finding.evidence).p
        for finding, look in zip(found, looks, strict=True)
    ]  # fmt: skip
    adjusted = [float(one) for one in intervals.holm(p)]
    return Judgements(
        _judgement(*parts, n=len(asked))
        for parts in zip(asked, found, looks, adjusted, strict=True)
    )


def _question(text: str | None, given: Mapping[str, Any], names: Sequence[str]) -> Question:
    """Return the question that words and arguments say together, about columns of these names."""
    if given["better"] and given["better"] not in WAYS:
        raise unknown("side", given["better"], WAYS, "better")
    target = given["target"]
    if isinstance(target, str):
        bare = target.strip()
        target = (float(bare.rstrip("% ")), "%" if bare.endswith("%") else "")
    elif target is not None:
        target = (float(target), "")
    where = asking.arm(given["where"], names) if given["where"] else {}
    said: dict[str, Any] = {
        "metric": given["metric"],
        "size": asking.size(given["margin"]),
        "where": where,
        "better": WAYS.get(given["better"], 0),
        "pair": given["pair"],
        "target": target,
    }
    if text is not None:
        if any(given[name] not in (None, "") for name in ("kind", "a", "b", "x", "way", "chance")):
            raise HplabError("ask in words or by a=, b=, x=, kind=, way=, chance=; not both")
        added: dict[str, Any] = {name: one for name, one in said.items() if one is False or one}
        return dataclasses.replace(asking.parse(text, names), **added)
    arms = tuple(asking.arm(given[name], names) for name in ("a", "b") if given[name] is not None)
    kind = given["kind"] or _kind_of(given, len(arms))
    if kind not in asking.KINDS:
        raise unknown("kind of question", kind, asking.KINDS)
    wanted = {asking.TREND: 0, asking.BEST: 1, asking.THRESHOLD: 1}.get(kind, 2)
    if len(arms) != wanted:
        raise HplabError(f"a question of the kind {kind!r} names {wanted} settings (a=, b=)")
    if kind == asking.TREND and not given["x"]:
        raise HplabError("a trend is along a setting: name it, as in x='lr'")
    if kind in (asking.THRESHOLD, asking.SOONER) and target is None:
        raise HplabError(f"a question of the kind {kind!r} needs a level: target=0.9")
    ways = {"": 2, "higher": 1, "up": 1, "lower": -1, "down": -1, "sooner": 1, "later": -1}
    if given["way"] not in ways:
        raise unknown("way", given["way"], ways)
    made = Question(
        kind, "", arms=arms, way=ways[given["way"]], x=given["x"], chance=given["chance"] or 0.5,
        **said,
    )  # fmt: skip
    return dataclasses.replace(made, text=_in_words(made))


def _kind_of(given: Mapping[str, Any], n_arms: int) -> str:
    if given["chance"]:
        return asking.CHANCE
    if n_arms == 2:
        return asking.SOONER if given["target"] is not None else asking.DIRECTION
    if n_arms == 1:
        return asking.THRESHOLD if given["target"] is not None else asking.BEST
    if given["x"]:
        return asking.TREND
    raise HplabError(f"what is asked? Write a question, as in: {'; '.join(asking.FORMS)}")


def _in_words(question: Question) -> str:
    """Return a question that was put together, in words."""
    arms = [
        ", ".join(f"{k}={v}" for k, v in arm.items()) if isinstance(arm, Mapping) else str(arm)
        for arm in question.arms
    ]
    parts = [question.kind, question.metric, question.x, " against ".join(arms)]
    if question.size:
        parts.append("by " + " ".join(filter(None, (f"{question.size[0]:g}", question.size[1]))))
    return " ".join(part for part in parts if part)


def _evaluate(asked: Asked, table: RunTable, curves: Curves | None) -> Finding | Missing:
    """Return what the runs say by themselves, or that too many diverged.

    Raises:
        HplabError: If they say nothing for another reason.
    """
    read = _curves(asked, table, curves)
    try:
        if asked.paired or len(asked.arms) == 1:
            return registry.evaluate(asked.claim, asked.runs, read)
        return unpaired.evaluate(asked, read)
    except Missing as reason:
        if reason.diverged:
            return reason
        raise HplabError(str(reason).rstrip(".")) from reason


def _curves(asked: Asked, table: RunTable, given: Curves | None) -> Curves:
    """Return the learning curves; what is better low is turned, so that it rises."""
    if asked.question.kind != asking.SOONER:
        if given is not None:
            return given
        return _recorded if table.own else pd.DataFrame()
    curves = given if given is not None else table.curves
    if curves is None and not table.own:
        raise HplabError(
            "when a level is reached is read off learning curves; give a table with a row a step "
            "of each run, or curves=... with 'key', 'epoch' and the metric"
        )
    name, way = asked.metric.name, asked.way
    read: Callable[[pd.DataFrame], pd.DataFrame] = _recorded
    if curves is not None:
        read = curves if callable(curves) else lambda runs: curves

    def turned(runs: pd.DataFrame) -> pd.DataFrame:
        found = read(runs)
        if name not in found:
            raise unknown("curve", name, map(str, found.columns), "the learning curves")
        found = found[found[name].notna()]  # metrics may be logged at different steps
        return found.assign(**{asked.quantity.metric: way * found[name]})

    return turned


def _recorded(runs: pd.DataFrame) -> pd.DataFrame:
    from hplab.sweeps.series import curves  # reads the store; most questions need no curves

    return curves(runs)


def _look(asked: Asked, finding: Finding | Missing, planned: int | None) -> sequential.Look | None:
    """Return the look at a plan that these runs are; None without a plan."""
    if planned is None or isinstance(finding, Missing) or finding.evidence is None:
        return None
    n = max(finding.sample.n_run, MIN_SEEDS)
    if max(n, planned) > MOST:
        raise HplabError(f"a plan has at most {MOST} seeds, got {max(n, planned)}")
    return sequential.look(n, max(planned, n), first=MIN_SEEDS, alpha=asked.claim.alpha)


def _judgement(
    asked: Asked,
    finding: Finding | Missing,
    look: sequential.Look | None,
    p_holm: float,
    *,
    n: int,
) -> Judgement:
    """Return the judgement, after the corrections for looking early and for several questions."""
    remarks = [*asked.notes, *_left_out(asked)]
    if isinstance(finding, Missing):
        return Judgement(
            asked, INCONCLUSIVE, None, tuple(remarks), n_questions=n, why_open=str(finding)
        )
    outcome = finding.outcome
    why = _why_open(asked, finding) if finding.face else ""
    if pruned := _pruned(asked):
        why = " ".join(filter(None, (pruned, why)))
        finding = dataclasses.replace(
            finding, outcome=INCONCLUSIVE, face=finding.face or outcome, evidence=None
        )
        outcome = INCONCLUSIVE
    if look and finding.evidence and outcome != INCONCLUSIVE:
        now = three_way(look.adjusted(finding.evidence))
        if now != outcome:
            remarks.append(
                f"By itself it would count as {outcome}; after {look.n} of {look.planned} planned "
                f"seeds that takes p < {look.level:.1e}."
            )
            outcome = now
    if n > 1 and outcome != INCONCLUSIVE and p_holm >= asked.claim.alpha:
        remarks.append(
            f"Alone it would count as {outcome}; over {n} questions of one call that is not enough."
        )
        outcome = INCONCLUSIVE
    remarks += _remarks(asked, finding)
    more = _more(asked, finding, look, n) if outcome == INCONCLUSIVE else None
    holm = p_holm if n > 1 else None
    return Judgement(asked, outcome, finding, tuple(remarks), holm, n, more, why)


def _why_open(asked: Asked, finding: Finding) -> str:
    """Return why runs may not decide, the last sentence of the reason, and what would let them."""
    reason = finding.reason.rpartition(". ")[2].strip()
    n, bad = finding.sample.n_run, finding.sample.n_diverged
    if bad <= MAX_DIVERGED * n:  # it is for another reason
        return reason
    more = math.ceil(bad / MAX_DIVERGED) - n
    noun = "seed" if asked.paired else "run"
    lost = f"{bad} {noun}{'s' * (bad != 1)} of {n} diverged{_or_lacks(asked)}"
    return (
        f"{lost}, and at most {100 * MAX_DIVERGED:g} % may, so the others cannot decide for all of "
        f"them. With {more} more {noun}s of each setting that all finish they can; or, if it was "
        "an accident, train what was lost again."
    )


def _left_out(asked: Asked) -> list[str]:
    """Return how many runs of each setting did not finish, in a sentence."""
    said = [
        f"{n} {state} at {name or 'this setting'}"
        for name, states in zip(asked.names, asked.left_out, strict=True)
        for state, n in states.items()
    ]
    return [f"Runs that did not finish are left out: {', '.join(said)}."] if said else []


def _pruned(asked: Asked) -> str:
    """Return why runs that were stopped for doing badly leave too few, "" if they do not.

    That a run crashed says nothing of how well it did; that it was pruned does.
    """
    for arm, name, states in zip(asked.arms, asked.names, asked.left_out, strict=True):
        n_left = int(matches(asked.runs, arm).sum())
        n_pruned = states.get("pruned", 0)
        if n_pruned > MAX_DIVERGED * (n_left + n_pruned):
            return (
                f"{n_pruned} of {n_left + n_pruned} runs at {name} were pruned, for doing badly; "
                "those that finished cannot speak for all of them."
            )
    return ""


def _remarks(asked: Asked, finding: Finding) -> list[str]:
    """Return what a reader has to know about the runs that decide, in sentences."""
    sample, remarks = finding.sample, []
    if finding.lacks_scatter:
        same = "The differences are the same at every seed"
        if not asked.paired:
            same = "The runs of a setting all have the same result"
        remarks.append(f"{same}, so nothing tells how far luck moves them. Is the seed used?")
    if sample.n_collapsed:
        remarks.append(
            f"{sample.n_collapsed} {'seeds' if asked.paired else 'runs'} are left out in which a "
            "run collapsed; compared are those that learn."
        )
    if sample.n_diverged and not finding.face:
        noun = f"of {sample.n_run} seeds, in which a run" if asked.paired else "of the runs, which"
        remarks.append(
            f"Left out: {sample.n_diverged} {noun} diverged{_or_lacks(asked)}. Up to "
            f"{100 * MAX_DIVERGED:g} % may be lost in this way."
        )
    if sample.gaps:
        remarks.append(
            f"A seed counts if every setting has it: {'; '.join(sample.gaps)}. Runs of the other "
            "settings with such a seed are not used."
        )
    if sample.n_spare:
        remarks.append(f"Seeds beyond the plan are left out: {sample.n_spare}.")
    return remarks


def _or_lacks(asked: Asked) -> str:
    return f" or lacks {asked.metric.words}" if asked.n_lacking else ""


def _more(asked: Asked, finding: Finding, look: sequential.Look | None, n: int) -> int | None:
    """Return with how many more seeds there is an 80 % chance of a verdict, None if unknown."""
    if finding.face:
        return None
    if look:
        return judging.more_seeds(finding, look, n)
    level, seen = LAST_LOOK * asked.claim.alpha / n, min(map(len, finding.sample.rows))

    def enough(seeds: int) -> bool:
        return (finding.chance_of(seeds, level) or 0.0) >= PROBABLY

    if enough(seen + 1):
        return 1
    low, high = seen + 1, min(2 * seen + 2, MOST)  # the chance grows with n: double, then halve
    while not enough(high):
        if high >= MOST:
            return None
        low, high = high, min(2 * high, MOST)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high - seen
