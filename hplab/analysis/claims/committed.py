"""The committed copy of the verdicts: what the records said when it was written."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hplab.analysis.claims.claim import Claim
from hplab.analysis.claims.verdict import MISSING, UNTESTABLE, Verdict
from hplab.analysis.stats.intervals import Interval
from hplab.trial import HplabError

KEPT = (
    *("outcome", "kind", "preset", "n", "planned", "interim", "more_seeds"),
    *("miniature", "miniature_preset", "miniature_runs", "miniature_estimate"),
    *("estimate", "low", "high", "unit", "adjusted_low", "adjusted_high", "alpha", "p", "p_holm"),
)


@dataclasses.dataclass(frozen=True)
class Kept:
    """A verdict as it was committed, without the runs that it rests on.

    Attributes:
        claim: What was judged.
        kept: What is committed of it; `KEPT` has the names.
    """

    claim: Claim
    kept: Mapping[str, Any]

    def __getattr__(self, name: str) -> Any:
        if name not in KEPT:
            raise AttributeError(name)
        return self.kept[name]

    @property
    def interval(self) -> Interval | None:
        """The deciding estimate with its interval, None where there is none."""
        estimate, low, high = (self.kept[name] for name in ("estimate", "low", "high"))
        if None in (estimate, low, high):
            return None
        return Interval(estimate, low, high, level=1 - self.claim.alpha, n=self.kept["n"])

    def row(self) -> dict[str, Any]:
        """Return the verdict as one row of a table, as `Verdict.row` does; no reason is kept."""
        about = {"claim": self.claim.id, "says": self.claim.says}
        own = {"own_data": self.claim.own_verdict, "primary": self.claim.primary}
        return {**about, **own, **self.kept}


def kept(found: Iterable[Verdict], before: Mapping[str, Mapping[str, Any]]) -> list[Kept]:
    """Return committed verdicts where their records are not at hand.

    Args:
        found: The verdicts without records, which say of the other claims why they have none.
        before: The committed copy, as `read` returns it.
    """
    return [
        Kept(one.claim, before.get(one.claim.id) or {**one.row(), "preset": one.preset})
        for one in found
    ]


def read(path: Path) -> dict[str, dict[str, Any]]:
    """Return the committed verdicts by claim.

    Raises:
        HplabError: If the file is missing, is not JSON, or holds anything but verdicts.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise HplabError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise HplabError(f"{path.name} is not valid JSON: {error}") from error
    if not isinstance(found, dict) or not all(isinstance(row, dict) for row in found.values()):
        raise HplabError(f"{path.name} must map each claim to its verdict")
    return found


def summary(found: Iterable[Verdict]) -> dict[str, dict[str, Any]]:
    """Return what is committed of verdicts: those that rest on runs, or have a miniature."""
    kept = {}
    for verdict in found:
        if verdict.outcome in (MISSING, UNTESTABLE) and not verdict.miniature:
            continue
        row = {**verdict.row(), "preset": verdict.preset}
        kept[verdict.claim.id] = {name: _short(row[name]) for name in KEPT}
    return kept


def write(found: Iterable[Verdict], path: Path) -> None:
    """Write verdicts to the committed copy, one line a claim."""
    lines = [f"{json.dumps(name)}: {json.dumps(row)}" for name, row in summary(found).items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def problems(found: Iterable[Verdict], before: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return where committed verdicts do not follow from the records any more, in sentences."""
    now, faults = summary(found), []
    for name in sorted({*now, *before}):
        if name not in before:
            faults.append(f"{name}: has records now ({now[name]['outcome']})")
        elif name not in now:
            faults.append(f"{name}: was {before[name].get('outcome')}, and has no records now")
        else:
            changed = [one for one in KEPT if not _same(now[name][one], before[name].get(one))]
            if changed:
                field = changed[0]
                was, is_now = before[name].get(field), now[name][field]
                faults.append(f"{name}: {field} was {was}, the records say {is_now}")
    return faults


def _short(value: Any) -> Any:
    return float(f"{value:.6g}") if isinstance(value, float) and math.isfinite(value) else value


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, (int, float)):
        return math.isclose(a, b, rel_tol=1e-4, abs_tol=1e-9)
    return a == b
