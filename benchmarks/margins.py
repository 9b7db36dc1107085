"""How often each rule of the ledger decides wrongly, and how often it decides at all.

Worlds are made up in which a claim is exactly at its margin, as hard to tell as can be, and in
which it is well past it or well short of it. Each world has a few seeds; the rule that judges real
runs judges them. At the margin neither verdict may come out in more than 2.5 % of worlds.

Run: `python benchmarks/margins.py [--worlds 20000] [--json FILE]`
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from scipy import stats

from hplab.analysis.stats import evidence, orders, power, proportions, sequential, variance
from hplab.analysis.stats.evidence import Evidence, all_of, beyond, three_way

SEEDS = (3, 5, 10, 20)
SHARED = 0.8  # of the variance, where two settings share seeds
FAR = 20.0  # standard deviations: beyond any doubt
MARGIN, PAST, SHORT = "at the margin", "past it", "short of it"
MOST_WRONG = 0.025 + 2 * math.sqrt(0.025 * 0.975 / 2000)  # 2.5 % and what 2,000 worlds may add


@dataclasses.dataclass(frozen=True)
class Worlds:
    """Many worlds alike: how many, how many seeds each has, and how runs scatter.

    Attributes:
        rng: Where the luck comes from.
        worlds, n: Number of worlds, and of seeds in each.
        heavy: Whether runs scatter as Student's t with 4 degrees, else normally; variance 1.
        paired: Whether settings share their seeds' luck.
    """

    rng: np.random.Generator
    worlds: int
    n: int
    heavy: bool
    paired: bool

    def luck(self, *shape: int) -> np.ndarray:
        """Return values of mean 0 and variance 1, of this shape for every seed of every world."""
        shape = (*shape, self.worlds, self.n)
        if self.heavy:
            return self.rng.standard_t(4, shape) / math.sqrt(2)
        return self.rng.normal(size=shape)

    def settings(self, *means: float) -> np.ndarray:
        """Return runs of settings with these means and variance 1: `(settings, worlds, n)`."""
        shared = SHARED if self.paired else 0.0
        own = math.sqrt(1 - shared) * self.luck(len(means))
        return np.array(means)[:, None, None] + math.sqrt(shared) * self.luck() + own

    @property
    def sd(self) -> float:
        """The standard deviation of the difference of two settings."""
        return math.sqrt(2 * (1 - SHARED)) if self.paired else math.sqrt(2)

    @property
    def enough(self) -> float:
        """The distance from a margin, in standard deviations, that is seen with power 0.9."""
        return float(power.smallest(power.paired_power, [self.n], wanted=0.9)[0])


Rule = Callable[[Worlds, float], Evidence]  # a distance past the margin, in standard deviations
CASES: dict[tuple[str, str], Rule] = {}


def case(kind: str, where: str = "") -> Callable[[Rule], Rule]:
    """Enter a function as the worlds of a kind of claim; `where` tells several of a kind apart."""

    def enter(rule: Rule) -> Rule:
        CASES[kind, where] = rule
        return rule

    return enter


@case("direction")
def _direction(w: Worlds, past: float) -> Evidence:
    a, b = w.settings((1 + past) * w.sd, 0)
    return beyond(a - b, margin=w.sd)


@case("interaction")
def _interaction(w: Worlds, past: float) -> Evidence:
    a, b, c, d = w.settings((1 + past) * w.sd * math.sqrt(2), 0, 0, 0)
    return beyond(a - b - (c - d), margin=w.sd * math.sqrt(2))


def _wider(w: Worlds, past: float, scatter: float, *, neighbours: bool = False) -> Evidence:
    """Two curves over three levels; the runs of the first scatter `scatter` times as much."""
    sd = scatter * w.sd
    further = sd * (1 + 3 * past)  # one pair of several is seen at about three times the distance
    first, second = np.split(w.settings(*[0.0] * 6), 2)
    curve = np.array([1, 1, 0])[:, None, None]  # with another sign its drop is its range
    first = curve * (2 * FAR * sd + further) + scatter * first
    return orders.wider(first, curve * 2 * FAR * sd + second, margin=sd, neighbours=neighbours)


@case("profile", "ranges")
def _profile(w: Worlds, past: float) -> Evidence:
    return _wider(w, past, 1.0)


@case("profile", "ranges, one with three times the scatter")
def _profile_scatter(w: Worlds, past: float) -> Evidence:
    return _wider(w, past, 3.0)


@case("profile", "largest drops")
def _profile_drop(w: Worlds, past: float) -> Evidence:
    return _wider(w, past, 1.0, neighbours=True)


@case("sign", "one of two")
def _sign_one(w: Worlds, past: float) -> Evidence:
    a, b = w.settings(1 + past, FAR)
    return all_of([beyond(a, margin=1), beyond(b, margin=1)])


@case("sign", "both")
def _sign_both(w: Worlds, past: float) -> Evidence:
    return all_of([beyond(x, margin=1) for x in w.settings(1 + past, 1 + past)])


def _within(w: Worlds, past: float, width: float) -> Evidence:
    margin = width * w.sd
    a, b = w.settings(margin - past * w.sd, 0)
    return evidence.within(a - b, margin=margin)


@case("equivalence", "wide margin")
def _equivalence(w: Worlds, past: float) -> Evidence:
    return _within(w, past, 2 * w.enough)


@case("equivalence", "narrow margin")
def _equivalence_narrow(w: Worlds, past: float) -> Evidence:
    return _within(w, min(past, 0.1), 0.1)


@case("difference", "wide margin")
def _difference(w: Worlds, past: float) -> Evidence:
    return _within(w, -past, 2 * w.enough).turned()


@case("difference", "narrow margin")
def _difference_narrow(w: Worlds, past: float) -> Evidence:
    return _within(w, -max(past, -0.1), 0.1).turned()


@case("variance")
def _variance(w: Worlds, past: float) -> Evidence:
    a, b = w.settings(0, 0)
    if w.n < 10:  # the rule gives no verdict
        return Evidence(np.ones(w.worlds), np.ones(w.worlds))
    effects = variance.log_spread_pseudo_values(1.3 * math.exp(past) * a, b)
    return beyond(effects, margin=math.log(1.3))


@case("correlation")
def _correlation(w: Worlds, past: float) -> Evidence:
    """Kendall's correlation is 2 / pi arcsin(rho), of normal and of t distributed pairs."""
    tau = float(np.clip(0.2 + past / 3, -0.99, 0.99))
    rho, cells = math.sin(math.pi / 2 * tau), 12
    draw = w.rng.normal(size=(2, w.worlds, w.n, cells))
    if w.heavy:
        draw = draw / np.sqrt(w.rng.chisquare(4, (w.worlds, w.n, cells)) / 4)
    x, y = draw[0], rho * draw[0] + math.sqrt(1 - rho**2) * draw[1]
    i, j = np.triu_indices(cells, 1)
    same = np.sign(x[..., i] - x[..., j]) * np.sign(y[..., i] - y[..., j])
    return orders.agreement(same.mean(-1), margin=0.2)


def _stated(w: Worlds, off: float, tolerance: float) -> Evidence:
    return evidence.stated(w.luck() + off, 0.0, tolerance=tolerance)


@case("value", "mean off by the tolerance")
def _value(w: Worlds, past: float) -> Evidence:
    tolerance = 3.0 + 4 * w.enough
    return _stated(w, tolerance - past, tolerance)


@case("value", "a run like ours")
def _value_run(w: Worlds, past: float) -> Evidence:
    """The report's run is one of ours, the tolerance is nothing: to contradict would be wrong."""
    runs = w.luck()
    theirs = Worlds(w.rng, w.worlds, 1, w.heavy, w.paired).luck()
    return evidence.stated(runs - theirs, 0.0, tolerance=1e-9)


@case("number", "one of two off by the tolerance")
def _number(w: Worlds, past: float) -> Evidence:
    tolerance = 3.0 + 4 * w.enough
    return all_of([_stated(w, tolerance - past, tolerance), _stated(w, 0, tolerance)])


@case("coverage")
def _coverage(w: Worlds, past: float) -> Evidence:
    cells, draws, margin = 12, 49, 1.25
    if w.n < 5:  # the rule gives no verdict
        return Evidence(np.ones(w.worlds), np.ones(w.worlds))
    shape = (cells, w.worlds, w.n)
    one = np.ones(shape)
    total = w.n * draws
    pooled = (margin * stats.t.ppf(0.975, total - 1)) ** 2 / ((total - 1) * total)
    honest = stats.t.ppf(0.975, w.n - 1) ** 2 / w.n
    limit = pooled * (draws - 1) * w.n / (honest - pooled * draws * (w.n - 1))
    means = math.sqrt(limit) * math.exp(-past) * w.settings(*[0.0] * cells)
    errors = one / math.sqrt(draws)
    effects = variance.width_effects(means, one, draws, margin=margin, errors=errors)
    return Evidence(np.ones(w.worlds), beyond(effects).p_for)


def _trend(w: Worlds, *means: float, steps: bool = True) -> Evidence:
    return orders.trend(w.settings(*means)[None], [1, 2, 4], steps=steps)


@case("trend", "one step")
def _trend_step(w: Worlds, past: float) -> Evidence:
    return _trend(w, 0, FAR, FAR + past * w.sd)


@case("trend", "no step")
def _trend_flat(w: Worlds, past: float) -> Evidence:
    return _trend(w, 0, past * w.sd, 2 * past * w.sd)


@case("trend", "a tendency")
def _trend_free(w: Worlds, past: float) -> Evidence:
    return _trend(w, 0, 0, past * w.sd, steps=False)


@case("trend", "the last step back")
def _trend_back(w: Worlds, past: float) -> Evidence:
    """A slope that rises, over a last step that falls: a claim of an order is false here."""
    return _trend(w, 0, 3, 2.7)


@case("shape", "one point")
def _shape_one(w: Worlds, past: float) -> Evidence:
    points = w.settings(0, FAR, 2 * FAR, 2 * FAR + past * w.sd)
    return all_of([beyond(step) for step in np.diff(points, axis=0)])


@case("shape", "every point")
def _shape_flat(w: Worlds, past: float) -> Evidence:
    points = w.settings(*(past * w.sd * i for i in range(4)))
    return all_of([beyond(step) for step in np.diff(points, axis=0)])


@case("ranking", "two lead")
def _ranking_two(w: Worlds, past: float) -> Evidence:
    return orders.best(w.settings(past * w.sd, 0, -FAR, -FAR), 0)


@case("ranking", "all alike")
def _ranking_all(w: Worlds, past: float) -> Evidence:
    return orders.best(w.settings(past * w.sd, 0, 0, 0), 0)


def _groups(w: Worlds, means: np.ndarray) -> np.ndarray:
    return w.settings(*means.ravel()).reshape(*means.shape, w.worlds, w.n)


@case("winners", "first everywhere but for one tie")
def _winners_tie(w: Worlds, past: float) -> Evidence:
    means = np.array([[FAR, 0, 0]] * 3 + [[0, past * w.sd, -FAR]])
    return orders.no_single_best(_groups(w, means))


@case("winners", "all alike")
def _winners_flat(w: Worlds, past: float) -> Evidence:
    return orders.no_single_best(_groups(w, np.zeros((2, 2))))


@case("winners", "one better by half a deviation")
def _winners_half(w: Worlds, past: float) -> Evidence:
    """One rival is truly the best everywhere: to support the claim is wrong."""
    means = np.array([[0.5 * w.sd, 0, 0]] * 4)
    return orders.no_single_best(_groups(w, means))


@case("components")
def _components(w: Worlds, past: float) -> Evidence:
    means = np.arange(7) - 3.0
    share = float(np.clip(0.5 + past / 4, 0.02, 0.98))
    means *= math.sqrt(share / (1 - share)) / means.std(ddof=1)
    return orders.share_between(w.settings(*means), 0.5)


@case("most_cells", "half of them sure")
def _most_half(w: Worlds, past: float) -> Evidence:
    runs = w.settings(*[FAR] * 6, *[past] * 6)
    return evidence.most_of([beyond(x) for x in runs])


@case("most_cells", "almost half surely not")
def _most_not(w: Worlds, past: float) -> Evidence:
    runs = w.settings(*[-FAR] * 5, *[past] * 7)
    return evidence.most_of([beyond(x) for x in runs])


def _share(w: Worlds, past: float, bound: float) -> Evidence:
    share = float(np.clip(bound + past / 4, 0.001, 0.999))
    return proportions.above(w.rng.binomial(w.n, share, w.worlds), w.n, bound)


@case("proportion", "half")
def _half(w: Worlds, past: float) -> Evidence:
    return _share(w, past, 0.5)


@case("proportion", "one in five")
def _fifth(w: Worlds, past: float) -> Evidence:
    return _share(w, past, 0.2)


def _two_shares(w: Worlds, past: float, second: float) -> Evidence:
    """Cases that share their luck where settings are paired, as a threshold of a normal value."""
    first = float(np.clip(second + 0.15 + past / 3, 0.001, 0.999))
    shared = SHARED if w.paired else 0.0
    luck = w.rng.normal(size=(2, w.worlds, w.n)) * math.sqrt(1 - shared)
    luck += w.rng.normal(size=(w.worlds, w.n)) * math.sqrt(shared)
    a, b = ((x < stats.norm.ppf(p)).sum(-1) for x, p in zip(luck, (first, second), strict=True))
    more, less = proportions.tails(w.n, 0.15)
    return Evidence(2 * more[a, b], 2 * less[a, b])


@case("proportions", "rare")
def _rare(w: Worlds, past: float) -> Evidence:
    return _two_shares(w, past, 0.01)


@case("proportions", "common")
def _common(w: Worlds, past: float) -> Evidence:
    return _two_shares(w, past, 0.4)


@case("all", "one part")
def _all_one(w: Worlds, past: float) -> Evidence:
    return all_of([_direction(w, past), _direction(w, FAR)])


@case("all", "three parts")
def _all_three(w: Worlds, past: float) -> Evidence:
    return all_of([_direction(w, past), _equivalence(w, past), _sign_both(w, past)])


@case("direction", "a fifth of the runs collapse")
def _two_part(w: Worlds, past: float) -> Evidence:
    """Runs that collapse are left out with their seeds; fewer than three left decide nothing."""
    a, b = w.settings((1 + past) * w.sd, 0)
    learn = (w.rng.random((2, w.worlds, w.n)) > 0.2).all(axis=0)
    found = Evidence(np.ones(w.worlds), np.ones(w.worlds))
    order = np.argsort(~learn, axis=-1, kind="stable")
    effects = np.take_along_axis(a - b, order, axis=-1)
    for left in range(3, w.n + 1):
        rows = learn.sum(-1) == left
        if rows.any():
            one = beyond(effects[rows, :left], margin=w.sd)
            found.p_for[rows], found.p_against[rows] = one.p_for, one.p_against
    return found


# Worlds in which one verdict is right; there only the other is wrong.
FALSE = {("trend", "the last step back"), ("winners", "one better by half a deviation")}
ONLY_MARGIN = {*FALSE, ("value", "a run like ours"), ("winners", "all alike")}


def cells(seeds: tuple[int, ...] = SEEDS) -> Iterator[dict]:
    """Yield every cell of the table: a kind, where its truth lies, and how its worlds are."""
    for kind, where in CASES:
        for truth in (MARGIN, PAST, SHORT):
            if truth != MARGIN and (kind, where) in ONLY_MARGIN:
                continue
            for n in seeds:
                for heavy in (False, True):
                    for paired in (False, True):
                        yield {
                            "kind": kind,
                            "where": where,
                            "truth": truth,
                            "n": n,
                            "heavy": heavy,
                            "paired": paired,
                        }


def rates(cell: dict, n_worlds: int) -> dict[str, float]:
    """Return in which share of a cell's worlds the claim is supported and contradicted."""
    seed = zlib.crc32(json.dumps(cell, sort_keys=True).encode())
    w = Worlds(np.random.default_rng(seed), n_worlds, cell["n"], cell["heavy"], cell["paired"])
    past = {MARGIN: 0.0, PAST: w.enough, SHORT: -w.enough}[cell["truth"]]
    with np.errstate(divide="ignore", invalid="ignore"):
        words = three_way(CASES[cell["kind"], cell["where"]](w, past))
    return {word: float(np.mean(words == word)) for word in ("supported", "contradicted")}


def wrong(cell: dict, found: dict[str, float]) -> float:
    """Return the share of worlds with a wrong verdict, the larger of the two where both are."""
    if cell["truth"] == SHORT or (cell["kind"], cell["where"]) in FALSE:
        return found["supported"]
    return found["contradicted"] if cell["truth"] == PAST else max(found.values())


PLANS = {"3, 5, 10 and 20 of 20": (3, 5, 10, 20), "every seed from 3 to 20": tuple(range(3, 21))}


def looks(plan: str, heavy: bool, adjusted: bool, n_worlds: int) -> dict[str, float]:
    """Return in which share of worlds at the margin any look at a plan decides, and how.

    Args:
        plan: One of `PLANS`.
        heavy: As in `Worlds`.
        adjusted: Whether looks decide at the level of their share of the plan, or each at 0.05.
        n_worlds: How many worlds.
    """
    seed = zlib.crc32(f"{plan} {heavy}".encode())
    planned = PLANS[plan][-1]
    w = Worlds(np.random.default_rng(seed), n_worlds, planned, heavy, True)
    a, b = w.settings(w.sd, 0)
    decided = np.full(n_worlds, "inconclusive", dtype="<U12")
    for n in PLANS[plan]:
        level = sequential.look(n, planned).level if adjusted else 0.05
        words = three_way(beyond((a - b)[:, :n], margin=w.sd), alpha=level)
        decided = np.where(decided == "inconclusive", words, decided)
    return {word: float(np.mean(decided == word)) for word in ("supported", "contradicted")}


def all_looks(n_worlds: int) -> list[dict]:
    """Return the rows of the table of repeated looks."""
    return [
        {
            "plan": plan,
            "heavy": heavy,
            "adjusted": adjusted,
            **looks(plan, heavy, adjusted, n_worlds),
        }
        for plan in PLANS
        for heavy in (False, True)
        for adjusted in (True, False)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worlds", type=int, default=20_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = [{**cell, **rates(cell, options.worlds)} for cell in cells()]
    for kind, where in CASES:
        mine = [row for row in rows if (row["kind"], row["where"]) == (kind, where)]
        worst = max(wrong(row, {k: row[k] for k in ("supported", "contradicted")}) for row in mine)
        print(f"{kind:12} {where:36} wrong at most {100 * worst:5.2f} %", flush=True)
    again = all_looks(options.worlds)
    for row in again:
        how = "adjusted" if row["adjusted"] else "each at 5 %"
        print(f"looks at {row['plan']}, {how}: {row['supported']:.4f} {row['contradicted']:.4f}")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(as_json(rows, again, options.worlds), encoding="utf-8")


def as_json(rows: list[dict], again: list[dict], n_worlds: int) -> str:
    """Return the tables as JSON; the rates of a kind and truth are one line.

    Its pairs (supported, contradicted) are in the order of `cells`: by seeds, by tails, by pairing.
    `hplab.pages.tables.margins.rows` reads them.
    """
    lines = {}
    for row in rows:
        name = json.dumps([row[name] for name in ("kind", "where", "truth")])
        lines.setdefault(name, []).append([row["supported"], row["contradicted"]])
    shown = ",\n".join(json.dumps([*json.loads(name), rates]) for name, rates in lines.items())
    looked = ",\n".join(json.dumps(row) for row in again)
    return (
        f'{{"worlds": {n_worlds}, "seeds": {json.dumps(SEEDS)},\n"rates": [\n{shown}\n],\n'
        f'"looks": [\n{looked}\n]}}\n'
    )


if __name__ == "__main__":
    main()
