"""Many claims in one figure: what our runs show of each, beside the report's own number."""

from __future__ import annotations

import html
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from hplab.analysis.claims import phrases, published
from hplab.analysis.claims.claim import Claim
from hplab.analysis.claims.ledger import load
from hplab.analysis.claims.verdict import NO_RUNS, WORDS, Verdict, word
from hplab.analysis.stats.intervals import CONTRADICTED, INCONCLUSIVE, SUPPORTED, Interval
from hplab.pages import labels
from hplab.pages.figures import svg
from hplab.pages.figures.figure import Figure, Html, nothing_recorded

WORDS_MOST = 64  # characters of a claim that stand over its row
KINDS = ("direction", "interaction", "profile", "proportions", "variance", "difference")
ROW_IN = 0.38  # height of a row, inches
OUTCOMES = (SUPPORTED, CONTRADICTED, INCONCLUSIVE)  # in the order they are drawn, from the top
# Colour, marker, and whether the marker is filled: no two outcomes differ in colour alone.
LOOKS: Mapping[str, tuple[str, str, bool]] = {
    SUPPORTED: (svg.SERIES[2], "o", True),
    CONTRADICTED: (svg.SERIES[1], "X", True),
    INCONCLUSIVE: (svg.MUTED, "o", False),
}
TICKS = (-10, -1, 0, 1, 10)


def claims(verdicts: Iterable[Verdict]) -> Figure | Html:
    """Draw claims that say how one setting differs from another, a row a claim.

    Effects of all units stand on one axis, since each is divided by the margin that was fixed for
    it: 1 is the smallest difference that counts, to the right what the report claims. The axis is
    linear between -1 and 1 and logarithmic beyond.

    Args:
        verdicts: Those without such an effect, or without runs at the report's setting, are left
            out, and the caption counts them.

    Returns:
        The figure; its data has a row a claim with `effect`, `low`, `high` and `report` in margins.
    """
    verdicts = list(verdicts)
    table = pd.DataFrame(filter(None, map(_row, verdicts)))
    if table.empty:
        return nothing_recorded("no claim of this kind has runs at its report's setting")
    table["order"] = table["outcome"].map(OUTCOMES.index)
    table = table.sort_values(["order", "effect"], ascending=[True, False], ignore_index=True)

    def draw(fig: Canvas) -> None:
        ax = fig.add_subplot()
        ax.set_xscale("symlog", linthresh=1, linscale=0.8)
        reach = 1.25 * max(10.0, *table[["low", "high", "report"]].abs().max().fillna(0))
        ax.set_xlim(-reach, reach)
        ax.set_ylim(len(table) - 0.4, -1.7)
        ax.axvspan(1, reach, color=svg.GRID, lw=0, alpha=0.55, zorder=0)
        rows = range(len(table))  # the line at 0 leaves out the words above each row
        ax.vlines(
            [0] * len(rows),
            [at - 0.28 for at in rows],
            [at + 0.3 for at in rows],
            color=svg.MUTED,
            lw=1,
            zorder=1,
        )
        ax.grid(visible=False)
        for name, at in (("the opposite", -4), ("too small", 0), ("as claimed", 4)):
            ax.text(at, -1.15, name, ha="center", va="center", color=svg.MUTED, fontsize=12)
        for at, row in enumerate(table.itertuples()):
            colour, marker, filled = LOOKS[str(row.outcome)]
            if not math.isnan(row.wide_low):
                ends = [max(row.wide_low, -reach), min(row.wide_high, reach)]
                ax.plot(ends, [at, at], color=colour, lw=0.8, zorder=2)
            ax.plot([row.low, row.high], [at, at], color=colour, lw=2.6, zorder=2)
            face = colour if filled else svg.PAPER
            ax.plot(row.effect, at, marker, color=colour, mfc=face, mew=1.6, ms=8, zorder=3)
            if not math.isnan(row.report):
                ax.plot(row.report, at, "D", color=svg.INK, mfc="none", mew=1.2, ms=5.5, zorder=4)
            words = labels.shortened(str(row.says), WORDS_MOST)
            left = {"transform": ax.get_yaxis_transform(), "ha": "left", "va": "center"}
            ax.text(0.005, at - 0.47, words, fontsize=10, color=svg.INK, zorder=5, **left)
        ax.set_yticks(range(len(table)), list(table["claim"]), fontsize=11)
        for label, name in zip(ax.get_yticklabels(), table["claim"], strict=True):
            label.set_url(f"ledger.html#{name}")
        ax.tick_params(axis="y", length=0)
        ax.xaxis.set_major_locator(FixedLocator(TICKS))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}".replace("-", "\u2212")))
        ax.set_xlabel("effect, divided by the smallest difference that counts")
        ax.spines["left"].set_visible(False)
        fig.legend(handles=_keys(table), loc="outside upper left", ncols=2, handlelength=1.4)

    counted = Counter(table["outcome"])
    said = labels.listed([f"{counted[x]} {WORDS[x].lower()}" for x in OUTCOMES if counted[x]])
    return Figure(
        draw,
        caption=_caption(table, verdicts, said),
        alt=_alt(table, said),
        data=table.drop(columns=["order", "shown", "says", "early"]),
        shown=pd.DataFrame(list(table["shown"])),
        height=ROW_IN * (len(table) + 1.3) + 1.35,
    )


def _row(verdict: Verdict) -> dict[str, Any] | None:
    """Return one row of the figure, None for a claim that has no place in it."""
    claim, interval = verdict.claim, verdict.interval
    if claim.test.type not in KINDS or verdict.outcome in NO_RUNS or interval is None:
        return None
    if getattr(claim.test, "arm", None) and claim.test.type == "difference":
        return None
    margin = claim.test.margin
    if margin.tested <= 0 or margin.unit != verdict.unit:
        return None
    theirs = published.effect(claim)
    low, high = _ends(interval)
    wide = (-math.inf, math.inf) if verdict.interim else (math.nan, math.nan)
    if verdict.deciding:
        wide = _ends(verdict.deciding)
    if margin.unit == "ratio":
        wide = max(wide[0], 0.0), wide[1]
    found = [interval.estimate, low, high, theirs[0] if theirs else math.nan, *wide]
    effect, low, high, report, wide_low, wide_high = (_in_margins(x, claim) for x in found)
    if claim.test.type == "difference" and (report < 0 or (math.isnan(report) and effect < 0)):
        # That two differ has no side; 0.0 - x, as -0.0 would be shown.
        effect, low, high, report = 0.0 - effect, 0.0 - high, 0.0 - low, 0.0 - report
        wide_low, wide_high = 0.0 - wide_high, 0.0 - wide_low
    ours = "the very same, seed by seed"
    if verdict.finding is None or not verdict.finding.identical:
        mean = labels.effect(interval.estimate, verdict.unit)
        ours = f"{mean} ({phrases.span(interval, verdict.unit)})"
    shown = {
        "claim": Html(f'<a href="ledger.html#{claim.id}">{claim.id}</a>', claim.id),
        "what the report says": claim.says,
        "verdict": word(verdict).lower(),
        "ours (95 % interval)": ours,
        "its own number": labels.effect(*theirs) if theirs else "none",
        "counts from": labels.effect(margin.value, margin.unit),
        "n": verdict.n,
    }
    return {
        "claim": claim.id,
        "outcome": verdict.outcome,
        "effect": effect,
        "low": low,
        "high": high,
        "report": report,
        "wide_low": wide_low,
        "wide_high": wide_high,
        "n": verdict.n,
        "says": claim.says,
        "early": verdict.interim,
        "shown": shown,
    }


def _ends(interval: Interval) -> tuple[float, float]:
    """Return the limits of an interval, or the ends of its scale where it passes them."""
    least, greatest = interval.ends or (-math.inf, math.inf)
    return max(interval.low, least), min(interval.high, greatest)


def _in_margins(value: float, claim: Claim) -> float:
    """Return an effect divided by its margin; that of a ratio by its logarithm."""
    margin = claim.test.margin
    if margin.unit == "ratio":
        value = -math.inf if value <= 0 else math.log(value)
    return value / margin.tested


def _keys(table: pd.DataFrame) -> list[Line2D]:
    keys = []
    for outcome in OUTCOMES:
        if (table["outcome"] == outcome).any():
            colour, marker, filled = LOOKS[outcome]
            face = colour if filled else svg.PAPER
            style = {"color": colour, "marker": marker, "mfc": face, "mew": 1.6, "ms": 8}
            keys.append(Line2D([], [], label=WORDS[outcome].lower(), **style))
    keys.append(Line2D([], [], label="95 % interval", color=svg.MUTED, lw=2.6))
    if table["wide_low"].notna().any():
        words = "what its verdict goes by so far"
        keys.append(Line2D([], [], label=words, color=svg.MUTED, lw=0.8))
    if table["report"].notna().any():
        style = {"color": svg.INK, "marker": "D", "mfc": "none", "mew": 1.2, "ms": 5.5, "ls": ""}
        keys.append(Line2D([], [], label="the report's own number", **style))
    return keys


def _caption(table: pd.DataFrame, verdicts: Sequence[Verdict], said: str) -> str:
    left = len(verdicts) - len(table)
    others = f"; the other {left} claims have no such runs yet or are of another kind"
    return (
        f"What re-runs with several seeds show of {labels.count(len(table), 'claim')} that one "
        "setting beats another: mean effect and 95 % interval, divided by the smallest difference "
        f"that counts, its margin; {said}; n = "
        f"{labels.span(table['n'])} seeds a claim{_thin(table)}{_sideless(table)}"
        f"{others if left else ''}"
    )


def _thin(table: pd.DataFrame) -> str:
    """Return what the thin lines are, and which rows only they leave open."""
    if table["wide_low"].isna().all():
        return ""
    early = table["early"] & table["outcome"].eq(INCONCLUSIVE)
    early &= table["low"].gt(1) | table["high"].lt(1)
    names = labels.listed(table.loc[early, "claim"], len(table))
    verb = "stays" if early.sum() == 1 else "stay"
    open_ = f", so {names} {verb} open for now though the 95 % interval does not reach 1"
    return (
        "; the thin line is the interval that a verdict goes by while seeds are still to come, as "
        f"an early look decides only what is overwhelming{open_ if names else ''}"
    )


def _sideless(table: pd.DataFrame) -> str:
    """Return how claims are drawn that two settings differ, whichever is ahead."""
    kinds = (load()[name].test.type for name in table["claim"])
    mere = [name for name, kind in zip(table["claim"], kinds, strict=True) if kind == "difference"]
    if not mere:
        return ""
    return (
        f"; that two settings merely differ has no side, so {labels.listed(mere)} "
        f"{'has' if len(mere) == 1 else 'have'} the report's number to the right whatever its sign"
    )


def _alt(table: pd.DataFrame, said: str) -> str:
    wide = int(((table["low"] < 1) & (table["high"] > 1)).sum())
    sure = labels.listed(table.loc[table["outcome"] != INCONCLUSIVE, "claim"]) or "none"
    return html.unescape(
        f"One row for each of {len(table)} claims, {said}. Decided are {sure}. In {wide} rows the "
        "interval reaches from less than the smallest difference that counts to more"
    )
