"""How many seeds a claim needs: the margin that was fixed for it, beside what its runs scatter."""

from __future__ import annotations

import dataclasses
import html
import math

from scipy import stats

from hplab.analysis.claims import phrases
from hplab.analysis.claims.claim import Claim
from hplab.analysis.stats import power
from hplab.analysis.stats.intervals import Interval


@dataclasses.dataclass(frozen=True)
class Need:
    """What decides how many seeds a claim needs.

    Attributes:
        sd: Standard deviation over seeds of what the claim is judged by; for a ratio, of its
            logarithm.
        margin: The smallest difference that was said to matter, on the same scale.
        unit: The unit of both.
        n: Seeds that the standard deviation is estimated from.
    """

    sd: float
    margin: float
    unit: str
    n: int

    def seeds(self, *, wanted: float = 0.8, n_claims: int = 1) -> int | None:
        """Return the seeds that tell a difference as large as the margin from none, or one twice as
        large from the margin; None for over 10,000.

        Args:
            wanted: The power.
            n_claims: Claims that Holm corrects for; the worst case is taken.
        """
        return power.seeds_needed(
            2 * self.margin, self.sd, margin=self.margin, wanted=wanted, n_claims=n_claims
        )

    def seeds_for_none(self) -> int | None:
        """Return the seeds that show with a power of 80 % that there is none, if there is none."""
        return power.seeds_needed(0.0, self.sd, margin=self.margin)


def of(claim: Claim, interval: Interval | None, n: int, unit: str) -> Need | None:
    """Return what decides how many seeds a claim of a difference needs; None for other claims.

    Args:
        claim: The claim.
        interval: The t interval of its difference, in `unit`.
        n: Seeds it rests on.
        unit: Unit of the interval.
    """
    test = claim.test
    if test.type != "direction" or test.margin.unit != unit or test.margin.tested <= 0:
        return None
    sd = scatter(interval, n, unit)
    return Need(sd, test.margin.tested, unit, n) if sd is not None else None


def scatter(interval: Interval | None, n: int, unit: str) -> float | None:
    """Return the standard deviation over seeds of what is judged; None for no scatter.

    Of runs that are not paired it is that of the difference of one run of each setting, which the
    interval knows; else it is read back from the t interval. For a ratio it is that of the
    logarithm.
    """
    if interval is None or n < 2:
        return None
    if interval.sd is not None:
        return interval.sd if interval.sd > 0 else None
    ends = interval.low, interval.high
    low, high = map(math.log, ends) if unit == "ratio" else ends
    sd = (high - low) / 2 * math.sqrt(n) / stats.t.ppf((1 + interval.level) / 2, n - 1)
    return sd if sd > 0 else None


def shown(value: float, unit: str) -> str:
    """Return a scatter or margin with its unit; a logarithm of a ratio as "1.2 times"."""
    if unit == "ratio":
        return f"{phrases.number(math.exp(value), unit)} times"
    return phrases.number(value, unit)


def fold(need: Need | None, *, n_family: int = 0) -> str:
    """Return what stands under a verdict on its seeds, as a fold of HTML; "" for None.

    Args:
        need: What decides it.
        n_family: Primary claims of the claim's report and study; 0 if it is none of them.
    """
    if need is None:
        return ""
    n, margin, sd = need.n, shown(need.margin, need.unit), shown(need.sd, need.unit)
    few = " Over so few seeds the scatter is a rough guess." if n < 10 else ""
    corrected = ""
    if n_family > 1:
        worst = _count(need.seeds(n_claims=n_family))
        corrected = f" As one of {n_family} main claims it takes up to {worst}, for 80 %."
    lines = [
        f"From seed to seed the difference scatters by {sd} (standard deviation, n = {n}).{few} "
        f"The smallest difference that was said to matter is {margin}.",
        f"To tell a difference of that size from none takes {_count(need.seeds())} seeds of each "
        f"setting for a chance of 80 %, and {_count(need.seeds(wanted=0.9))} for 90 %. As many "
        f"show that a difference twice as large is more than that margin.{corrected} To show that "
        f"there is none takes {_count(need.seeds_for_none())}.",
    ]
    text = "".join(f"<p>{html.escape(line)}</p>" for line in lines)
    summary = f"How many seeds it needs: {_count(need.seeds())} for a chance of 80 %"
    return (
        f"<details><summary>{html.escape(summary)}</summary>{text}"
        f'<p><span class="hp-seeds-link" data-margin="{need.margin:.3g}" data-sd="{need.sd:.3g}">'
        "The calculator of seeds</span> takes other numbers too.</p></details>"
    )


def _count(seeds: int | None) -> str:
    return "more than 10 000" if seeds is None else str(seeds)
