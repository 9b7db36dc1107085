"""What the page on the number of seeds shows: tables, and the numbers behind its calculator."""

from __future__ import annotations

import functools
import html
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from hplab.analysis.claims import needs
from hplab.analysis.claims.verdict import Verdict
from hplab.analysis.stats import power
from hplab.pages.tables import luck, markdown

EFFECTS = (3, 2, 1.5, 1, 0.75, 0.5, 0.3)
SHARES = (0.3, 0.2, 0.1, 0.05, 0.02)
SEEDS = np.arange(2, 201)
QUESTIONS = {"see": "see a difference", "none": "show there is none"}
OF = {"differences": "differences, seed by seed", "setting": "one setting, seeds not shared"}
LEVELS = {"1": 0.05, "6": 0.05 / 6, "40": 0.05 / 40}  # by how many claims Holm corrects for


def needed() -> str:
    """Seeds for an effect, for a sample of effects: alone, with more power, and corrected.

    The effect is how far the expected difference is beyond the margin; in the last column it is the
    margin.
    """
    rows = []
    for effect in EFFECTS:
        alone = functools.partial(power.paired_power, alpha=0.05)
        worst = functools.partial(power.paired_power, alpha=0.05 / 6)
        rows.append(
            (
                f"{effect:g}",
                power.seeds_for(alone, effect),
                power.seeds_for(alone, effect, wanted=0.9),
                power.seeds_for(worst, effect),
                power.seeds_for(power.equivalence_power, effect),
            )
        )
    head = (
        "beyond the margin, in SDs",
        "see it, 80 %",
        "see it, 90 %",
        "see it, one of six",
        "show there is none",
    )
    return markdown.table(head, rows)


def never() -> str:
    """Runs without a case that rule a share out."""
    rows = [(f"{100 * share:g} %", power.runs_to_rule_out(share)) for share in SHARES]
    return markdown.table(
        ("a share of at least this is ruled out", "by this many runs without a case"), rows
    )


def observed(verdicts: Sequence[Verdict]) -> str:
    """What our own runs spread, and how many seeds the margin of each claim would need.

    Ratios are judged by their logarithms, so scatter and margin are compared there; both are shown
    as factors.
    """
    rows = []
    for verdict in verdicts:
        need = needs.of(verdict.claim, verdict.interval, verdict.n, verdict.unit)
        if need is None:
            continue
        rows.append(
            (
                markdown.Markup(f'<a href="ledger.html#{verdict.claim.id}">{verdict.claim.id}</a>'),
                html.escape(verdict.claim.says),
                needs.shown(need.sd, need.unit),
                needs.shown(need.margin, need.unit),
                need.n,
                need.seeds() or "more than 10 000",
            )
        )
    head = ("claim", "what it says", "scatter", "margin", "seeds so far", "seeds needed")
    return markdown.table(head, rows) if rows else "No claim of this kind has been run yet."


def calculator() -> str:
    """The calculator, as a page of the book takes it."""
    return markdown.raw(form())


def form(
    expected: float = 0.2,
    margin: float = 0.1,
    sd: float = 0.15,
    *,
    scatter: str = "differences",
    question: str = "see",
) -> str:
    """The calculator: a form for who has scripts, the exact numbers it looks up, and its script.

    It says what `power.seeds_needed` does.

    Args:
        expected: The expected difference that is filled in.
        margin: The margin that is filled in.
        sd: The standard deviation that is filled in.
        scatter: What that is of, one of `power.SCATTERS`.
        question: "see" a difference, or show that there is "none".
    """
    see = {
        f"{wanted:g}/{name}": power.smallest(
            functools.partial(power.paired_power, alpha=alpha), SEEDS, wanted=wanted
        )
        for wanted in (0.8, 0.9)
        for name, alpha in LEVELS.items()
    }
    none = {
        f"{wanted:g}/1": power.smallest(power.equivalence_power, SEEDS, wanted=wanted)
        for wanted in (0.8, 0.9)
    }
    numbers = {
        "first": int(SEEDS[0]),
        "see": {name: _least(values) for name, values in see.items()},
        "none": {name: _least(values) for name, values in none.items()},
        "t": _short(stats.t.ppf(0.975, SEEDS - 1)),
        "scatter": power.SCATTERS,
    }
    levels = {
        name: "one claim alone" if name == "1" else f"one of {name} claims" for name in LEVELS
    }
    script = Path(__file__).with_name("seeds.js").read_text(encoding="utf-8")
    return (
        '<form class="hp-filter" id="hp-seeds" hidden>'
        f"<label>Question {_choice('question', QUESTIONS, question)}</label>"
        f"<label>Expected difference {_number('expected', expected)}</label>"
        f"<label>Margin (0: any difference) {_number('margin', margin)}</label>"
        f"<label>Standard deviation {_number('sd', sd)}</label>"
        f"<label>My scatter is of {_choice('scatter', OF, scatter)}</label>"
        f"<label>Power {_choice('power', {'0.8': '80 %', '0.9': '90 %'})}</label>"
        f"<label>Correction {_choice('claims', levels)}</label></form>"
        '<p class="hp-seeds-answer" id="hp-seeds-answer" aria-live="polite" hidden></p>'
        f'<script type="application/json" id="hp-seeds-numbers">{json.dumps(numbers)}</script>'
        f"<script>{script}</script>"
    )


def _choice(name: str, choices: Mapping[str, str], chosen: str = "") -> str:
    options = "".join(
        f'<option value="{value}"{" selected" * (value == chosen)}>{words}</option>'
        for value, words in choices.items()
    )
    return f'<select name="{name}">{options}</select>'


def _number(name: str, value: float) -> str:
    return f'<input name="{name}" type="number" min="0" step="any" value="{value:.3g}">'


def tables(
    judged: Callable[[], Sequence[Verdict]], store: Any = None
) -> dict[str, Callable[[], str]]:
    """Return this page's tables by the names it asks for."""
    return {
        "seeds-needed": needed,
        "seeds-never": never,
        "seeds-observed": lambda: observed(judged()),
        "seeds-calculator": calculator,
        "seeds-luck": lambda: markdown.raw(luck.of_records(store).html),
    }


def _least(values: np.ndarray) -> list[float]:
    """Return smallest effects in five digits, rounded up: too few seeds are never called enough."""
    steps = 10 ** (np.floor(np.log10(values)) - 4)
    return [float(f"{value:.5g}") for value in np.ceil(values / steps) * steps]


def _short(values: np.ndarray) -> list[float]:
    return [float(f"{value:.4g}") for value in values]
