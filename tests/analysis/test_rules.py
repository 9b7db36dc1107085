"""Every type of test: as claimed supports, the opposite contradicts, noise decides nothing.

Tables of runs are made up: one row a run of some settings, values drawn around a stated mean.
"""

import dataclasses
import itertools
import re

import numpy as np
import pandas as pd
import pytest
import yaml

from hplab import catalogue, places
from hplab.analysis.claims import judging, ledger, quantities, rerun, samples
from hplab.analysis.claims.kinds import registry as kinds
from hplab.analysis.claims.kinds.kind import Kind
from hplab.analysis.stats import evidence, intervals, orders
from hplab.sweeps import runner, series
from hplab.training.sharpness.average import _summary
from hplab.trial import HplabError, Trial

BOOK = ledger.load()
N = 12


def judged(test, runs, *, curves=None, **changes):
    """What a test of report 001 says about runs, without Holm's correction."""
    test = kinds.read({"common": {"epochs": 10}, **test}, "a test")
    options = {"primary": False, "min_seeds": 3, "seeds": 40, **changes}
    claim = dataclasses.replace(BOOK["S1-01"], test=test, **options)
    empty = pd.DataFrame({"key": [], "epoch": []})
    return kinds.evaluate(claim, runs, empty if curves is None else curves)


def made(settings, *, n=N, noise=0.1, metric="val_loss", seed=0, **columns):
    """Rows for settings: a mapping from (name, value) pairs to the mean of one metric."""
    rng = np.random.default_rng(seed)
    rows = []
    for setting, mean in settings.items():
        options = dict(setting)
        for number in range(n):
            trial = Trial("cifar100", "mobilenet", "sgd", epochs=10, seed=number)
            row = trial.replace(**options).flat()
            value = mean + noise * rng.normal()
            rows.append(
                {**row, "status": "ok", metric: value, "key": f"{setting}{number}", **columns}
            )
    return pd.DataFrame(rows)


def by(name, values):
    return {((name, level),): mean for level, mean in values.items()}


A, B = {"lr": 0.1}, {"lr": 0.2}
DIRECTION = {
    "type": "direction",
    "quantity": "val_loss",
    "first": A,
    "second": B,
    "margin": {"value": 0.2, "unit": "nats"},
}
CELLS = {"lr": [0.1, 0.2, 0.3]}
FOUR = {
    (("lr", lr), ("weight_decay", wd)): 0.0 for lr, wd in itertools.product((0.1, 0.2), (0.0, 1e-3))
}


def four(*means):
    return made(dict(zip(FOUR, means, strict=True)))


def interaction(margin=0.2):
    return {
        "type": "interaction",
        "quantity": "val_loss",
        "first": [{"lr": 0.1, "weight_decay": 0.0}, {"lr": 0.1, "weight_decay": 1e-3}],
        "second": [{"lr": 0.2, "weight_decay": 0.0}, {"lr": 0.2, "weight_decay": 1e-3}],
        "margin": {"value": margin, "unit": "nats"},
    }


TESTS = {
    "direction": (DIRECTION, {0.1: 2.0, 0.2: 1.0}, {0.1: 1.0, 0.2: 2.0}),
    "ratio": (
        {
            **DIRECTION,
            "quantity": {"metric": "val_loss", "log": True},
            "margin": {"value": 1.5, "unit": "ratio"},
        },
        {0.1: 4.0, 0.2: 2.0},
        {0.1: 2.0, 0.2: 4.0},
    ),
    "equivalence": (
        {**DIRECTION, "type": "equivalence"},
        {0.1: 1.0, 0.2: 1.0},
        {0.1: 1.0, 0.2: 2.0},
    ),
    "difference": (
        {**DIRECTION, "type": "difference"},
        {0.1: 1.0, 0.2: 2.0},
        {0.1: 1.0, 0.2: 1.0},
    ),
    "centred": (
        {
            "type": "equivalence",
            "quantity": "val_loss",
            "centre": 3.0,
            "arm": A,
            "margin": {"value": 0.2, "unit": "nats"},
        },
        {0.1: 3.0},
        {0.1: 3.5},
    ),
    "sign": (
        {
            "type": "sign",
            "quantity": "val_loss",
            "arms": [A, B],
            "way": "down",
            "margin": {"value": 0.2, "unit": "nats"},
        },
        {0.1: -1.0, 0.2: -2.0},
        {0.1: -1.0, 0.2: 1.0},
    ),
    "value": (
        {
            "type": "value",
            "quantity": "val_loss",
            "arm": A,
            "value": {"value": 3, "unit": "nats"},
            "tolerance": {"value": 0.5, "unit": "nats"},
        },
        {0.1: 3.0},
        {0.1: 5.0},
    ),
    "trend": (
        {
            "type": "trend",
            "x": "lr",
            "levels": [0.1, 0.2, 0.4],
            "arm": {},
            "metrics": {"val_loss": "down"},
            "margin": {"value": 0.2, "unit": "nats"},
        },
        {0.1: 3.0, 0.2: 2.0, 0.4: 1.0},
        {0.1: 3.0, 0.2: 1.0, 0.4: 2.0},
    ),
    "lowest of three": (
        {
            "type": "ranking",
            "quantity": "val_loss",
            "cells": CELLS,
            "best": {"lr": 0.2},
            "way": "lowest",
        },
        {0.1: 2.0, 0.2: 1.0, 0.3: 2.0},
        {0.1: 1.0, 0.2: 2.0, 0.3: 2.0},
    ),
    "most cells": (
        {
            "type": "most_cells",
            "quantity": "val_loss",
            "cells": CELLS,
            "above": {"value": 2, "unit": "nats"},
        },
        {0.1: 3.0, 0.2: 3.0, 0.3: 1.0},
        {0.1: 1.0, 0.2: 1.0, 0.3: 3.0},
    ),
    "components": (
        {"type": "components", "quantity": "val_loss", "cells": CELLS, "share": 0.5},
        {0.1: 1.0, 0.2: 5.0, 0.3: 9.0},
        None,
    ),
    "all": (
        {
            "type": "all",
            "parts": [
                {**DIRECTION, "common": {"epochs": 10}},
                {**DIRECTION, "common": {"epochs": 10}, "first": {"lr": 0.3}},
            ],
        },
        {0.1: 2.0, 0.2: 1.0, 0.3: 2.0},
        {0.1: 2.0, 0.2: 1.0, 0.3: 0.5},
    ),
}


@pytest.mark.parametrize("name", TESTS)
def test_as_claimed_supports_and_the_opposite_contradicts(name):
    test, as_claimed, opposite = TESTS[name]
    at_setting = {"weight_decay": 0.0, "momentum": 0.9, "batch_size": 128}
    options = dict.fromkeys(("val_acc",), 0.5) | at_setting
    supported = judged(test, made(by("lr", as_claimed), **options))
    assert supported.outcome == "supported", supported.reason
    if opposite:
        contradicted = judged(test, made(by("lr", opposite), **options))
        assert contradicted.outcome == "contradicted", contradicted.reason


RATIO = {**TESTS["ratio"][0], "type": "equivalence"}
ONE = {name: value for name, value in TESTS["centred"][0].items() if name != "centre"}


@pytest.mark.parametrize(
    ("test", "means", "end"),
    [
        (
            ONE,
            {0.1: 0.5},
            "; the whole 97.5 % interval of the mean lies outside the margin of plus or minus "
            "0.2000 nats fixed beforehand.",
        ),
        (
            TESTS["centred"][0],
            {0.1: 2.5},
            "; the whole 97.5 % interval of the mean lies outside the margin of plus or minus "
            "0.2000 nats around 3 fixed beforehand.",
        ),
        (
            TESTS["equivalence"][0],
            {0.1: 1.0, 0.2: 2.0},
            "; the whole 97.5 % interval of the mean difference lies outside the margin of plus or "
            "minus 0.2000 nats fixed beforehand.",
        ),
        (
            RATIO,
            {0.1: 4.0, 0.2: 2.0},
            "; the whole 97.5 % interval of the ratio lies outside the margin of a factor of 1.5 "
            "either way fixed beforehand.",
        ),
        (
            {**DIRECTION, "type": "difference"},
            {0.1: 1.0, 0.2: 1.0},
            "; the whole 95 % interval of the mean difference lies inside the margin of plus or "
            "minus 0.2000 nats fixed beforehand.",
        ),
    ],
)
def test_a_margin_on_both_sides_is_said_of_the_right_thing(test, means, end):
    found = judged(test, made(by("lr", means)))
    assert found.reason.endswith(end)


def test_a_distance_from_a_stated_number_is_said_as_a_level():
    found = judged(TESTS["centred"][0], made(by("lr", {0.1: 2.5})))
    level = re.search(r"validation loss at lr 0.1 is (\S+) nats", found.reason)
    assert float(level.group(1)) == pytest.approx(2.5, abs=0.1)


PLAIN = ("direction", "equivalence", "difference", "centred", "sign", "value", "trend")


@pytest.mark.parametrize("name", [n for n in TESTS if n in PLAIN])
def test_much_noise_decides_nothing(name):
    test, as_claimed, _ = TESTS[name]
    middle = {level: 6.0 + 0.05 * i for i, level in enumerate(as_claimed)}
    centre = {"centred": 3.2, "value": 3.0, "sign": -0.1}.get(name)
    if centre is not None:
        middle = dict.fromkeys(as_claimed, centre)
    runs = made(by("lr", middle), n=4, noise=1.0, momentum=0.9, batch_size=128)
    assert judged(test, runs).outcome == "inconclusive"


def test_half_the_seeds_widen_the_interval():
    runs = made(by("lr", {0.1: 2.0, 0.2: 1.0}), n=40)
    whole, half = judged(DIRECTION, runs), judged(DIRECTION, runs[runs.seed < 20])
    widths = [found.interval.high - found.interval.low for found in (whole, half)]
    assert 1.1 < widths[1] / widths[0] < 2
    assert (whole.sample.n, half.sample.n) == (40, 20)


def test_an_interaction_is_the_difference_of_two_differences():
    runs = four(3.0, 1.0, 2.0, 1.0)  # lr 0.1: +2, lr 0.2: +1
    found = judged(interaction(), runs)
    assert found.outcome == "supported"
    values = runs.val_loss.to_numpy().reshape(4, N)
    expected = (values[0] - values[1] - values[2] + values[3]).mean()
    assert found.interval.estimate == pytest.approx(expected)
    assert judged(interaction(), four(1.0, 1.0, 3.0, 1.0)).outcome == "contradicted"
    assert judged(interaction(2.0), four(3.0, 1.0, 3.0, 1.0)).outcome == "contradicted"


def test_a_profile_compares_ranges_and_largest_drops():
    cells = {
        (("lr", lr), ("weight_decay", wd)): 0.0 for wd in (0.0, 1e-3) for lr in (0.1, 0.2, 0.4)
    }
    runs = made(dict(zip(cells, (9.0, 5.0, 4.0, 6.0, 5.0, 4.0), strict=True)))
    test = {
        "type": "profile",
        "quantity": "val_loss",
        "form": "range",
        "x": "lr",
        "levels": [0.1, 0.2, 0.4],
        "arm": {},
        "first": {"weight_decay": 0.0},
        "second": {"weight_decay": 1e-3},
        "margin": {"value": 0.5, "unit": "nats"},
    }
    spread = judged(test, runs)
    drop = judged({**test, "form": "largest_drop"}, runs)
    turned = judged({**test, "first": test["second"], "second": test["first"]}, runs)
    assert (spread.outcome, drop.outcome, turned.outcome) == (
        "supported",
        "supported",
        "contradicted",
    )
    assert spread.interval.estimate == pytest.approx(3.0, abs=0.2)
    assert drop.interval.estimate == pytest.approx(2.9, abs=0.3)


def test_winners_are_looked_for_in_every_group():
    test = {
        "type": "winners",
        "quantity": "val_loss",
        "groups": {"weight_decay": [0.0, 1e-3]},
        "rivals": {"lr": [0.1, 0.2]},
    }
    assert judged(test, four(2.0, 1.0, 1.0, 2.0)).outcome == "supported"
    assert judged(test, four(2.0, 2.0, 1.0, 1.0)).outcome == "contradicted"


def counted(first, second, n=40):
    runs = made(by("lr", {0.1: 1.0, 0.2: 1.0}), n=n)
    runs["collapsed"] = [float(i < k) for k in (first, second) for i in range(n)]
    return runs


@pytest.mark.parametrize(
    ("bound", "count", "outcome"),
    [
        ({"exists": 0.1}, 1, "supported"),
        ({"exists": 0.1}, 0, "contradicted"),
        ({"above": 0.5}, 30, "supported"),
        ({"above": 0.5}, 10, "contradicted"),
        ({"above": 0.5}, 20, "inconclusive"),
        ({"below": 0.2}, 1, "supported"),
        ({"below": 0.2}, 20, "contradicted"),
    ],
)
def test_a_share_of_runs_against_a_bound(bound, count, outcome):
    test = {"type": "proportion", "event": {"collapsed": 1}, "arm": A, "bound": bound}
    assert judged(test, counted(count, 0), seeds=40).outcome == outcome


def test_no_case_in_few_runs_is_open():
    """0.9**10 is 0.35: ten runs without a case do not rule out one in ten."""
    test = {"type": "proportion", "event": {"collapsed": 1}, "arm": A, "bound": {"exists": 0.1}}
    assert judged(test, counted(0, 0, n=10), seeds=40).outcome == "inconclusive"


@pytest.mark.parametrize(
    ("counts", "outcome"),
    [
        ((30, 5), "supported"),
        ((5, 30), "contradicted"),
        ((1, 0), "contradicted"),
        ((9, 4), "inconclusive"),
    ],
)
def test_the_difference_of_two_shares(counts, outcome):
    test = {
        "type": "proportions",
        "event": {"collapsed": 1},
        "first": A,
        "second": B,
        "margin": {"value": 15, "unit": "pp"},
    }
    found = judged(test, counted(*counts))
    assert found.outcome == outcome, found.reason
    assert found.interval.estimate == pytest.approx(100 * (counts[0] - counts[1]) / 40)


def test_a_conditional_share_counts_only_the_given_runs():
    runs = counted(10, 0)
    runs["top_is_majority"] = runs["collapsed"]
    test = {
        "type": "proportion",
        "event": {"top_is_majority": 1},
        "given": {"collapsed": 1},
        "arm": A,
        "bound": {"above": 0.5},
    }
    assert judged(test, runs).interval.estimate == 100
    with pytest.raises(quantities.Missing, match="so the claim has no case"):
        judged(test, counted(0, 0).assign(top_is_majority=0.0))


def test_shares_of_shortened_runs_of_the_report_s_data_decide_nothing():
    runs = counted(0, 0).assign(arm_epochs=10, epochs=2)
    test = {"type": "proportion", "event": {"collapsed": 1}, "arm": A, "bound": {"above": 0.5}}
    with pytest.raises(quantities.Missing, match="after 10 epochs; the recorded runs have 2"):
        judged(test, runs)


def test_a_rank_correlation_is_taken_within_each_seed():
    runs = made(by("lr", {0.1: 1.0, 0.2: 2.0, 0.3: 3.0, 0.4: 4.0}))
    runs["sharpness"] = runs["val_loss"] ** 3  # the same ranks
    test = {
        "type": "correlation",
        "quantity": "sharpness",
        "with": "val_loss",
        "cells": {"lr": [0.1, 0.2, 0.3, 0.4]},
        "margin": {"value": 0.2, "unit": "tau"},
    }
    assert judged(test, runs).interval.estimate == pytest.approx(1.0)
    assert judged(test, runs.assign(sharpness=-runs.sharpness)).outcome == "contradicted"


COVERAGE = {
    "type": "coverage",
    "quantity": "sharpness",
    "spread": "sharpness_direction_sd",
    "error": "sharpness_se",
    "draws": 49,
    "cells": CELLS,
    "margin": {"value": 1.25, "unit": "ratio"},
}


def test_pooled_directions_are_found_out():
    runs = made(by("lr", {0.1: 1.0, 0.2: 2.0, 0.3: 3.0}), metric="sharpness", n=6)
    clear = runs.assign(sharpness_direction_sd=0.01, sharpness_se=0.01 / 7)
    assert judged(COVERAGE, clear).outcome == "contradicted"
    # Models that differ by no more than their directions say may do so by luck: few are open.
    alike = runs.assign(sharpness_direction_sd=0.7, sharpness_se=0.1)
    assert judged(COVERAGE, alike).outcome == "inconclusive"


def test_how_many_pairs_of_directions_we_draw_does_not_change_the_width_ratio():
    """The report drew 49 single directions a model, we draw pairs of opposite ones.

    Simulated models: standard deviation 0.3 between them and 1 over single directions, correlation
    -0.5 within a pair. The report's way of drawing gives 2.8. Taking the error of a mean over our
    pairs for one over 49 directions gave 2.0, 3.1 and 5.1 with 4, 16 and 64 pairs.
    """
    rng = np.random.default_rng(0)
    claim = dataclasses.replace(BOOK["S2-19"], test=kinds.read(COVERAGE, "a test"))

    def ratio(n_pairs):
        table = []
        for place in 0.3 * rng.normal(size=6):
            one, other = rng.normal(size=(2, n_pairs))
            pairs = np.stack([one, -0.5 * one + 0.75**0.5 * other], axis=1)
            found = _summary(place + pairs, 0.5)
            table.append({"sharpness": found.value, "sharpness_se": found.se})
            table[-1]["sharpness_direction_sd"] = found.direction_sd
        return claim.test.width_ratio(pd.DataFrame(table), claim.alpha)

    def theirs():
        draws = 0.3 * rng.normal(size=(6, 1)) + rng.normal(size=(6, 49))
        over, pooled = (intervals.mean_interval(x) for x in (draws.mean(axis=1), draws.ravel()))
        return (over.high - over.low) / (pooled.high - pooled.low)

    expected = np.mean([theirs() for _ in range(500)])
    for n_pairs in (4, 16, 64):
        got = np.mean([ratio(n_pairs) for _ in range(500)])
        assert got == pytest.approx(expected, rel=0.15), n_pairs


def test_what_no_run_can_decide_is_said():
    verdict = judging.verdict("S0-06", pd.DataFrame())
    assert verdict.outcome == "not-testable"
    assert "one laptop" in verdict.reason
    for claim_id in ("S0-02", "S0-05"):  # times on machines that others used
        verdict = judging.verdict(claim_id, pd.DataFrame())
        assert verdict.outcome == "not-testable"
        assert "belongs to a machine" in verdict.reason


def test_every_claim_asks_for_what_some_run_records():
    """What the committed records do not hold would leave a claim without a verdict for ever."""
    store = rerun.committed_store()
    tables = [runner.everything("paper", store=store)]
    tables += [runner.everything("laptop", stands_for=data, store=store) for data in catalogue.DATA]
    columns = set().union(*(table.columns[table.notna().any()] for table in tables if len(table)))
    some = pd.concat(table.drop_duplicates(["model", "optimizer"]) for table in tables)
    lines = series.curves(some, store=store)
    curves = set(lines.columns[lines.notna().any()])
    for claim in BOOK:
        lacking = claim.test.columns - columns | claim.test.curves - curves
        assert not lacking, claim.id


# ---------------------------------------------------------------- quantities read off curves


def lines(runs, course):
    rows = [
        {"key": run.key, "epoch": epoch, **course(run, epoch / 10)}
        for run in runs.itertuples()
        for epoch in range(1, 11)
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [
        ({"metric": "train_acc", "epochs_to": 0.55}, 5.5),
        ({"metric": "train_acc", "epochs_to_own": 0.75}, 7.5),
        ({"metric": "train_acc", "mean_over_first": 1}, 55.0),
        ({"metric": "train_acc", "mean_over_last": 0.2}, 95.0),
        ({"metric": "train_acc", "fitted_change": [0.5, 1.0]}, 50.0),
        ({"metric": "train_acc", "change_over_last": 0.2}, 20.0),
        ({"metric": "acc_gap", "where": {"train_acc": 0.65}}, 32.5),
        ({"metric": "val_loss", "rise_from_minimum": True}, 0.49),
        ({"metric": "val_loss", "epoch_of_minimum": True}, 3.0),
    ],
)
def test_readings_of_a_curve_in_closed_form(quantity, expected):
    """Training accuracy is the share of training done, validation accuracy half of it."""
    runs = made(by("lr", {0.1: 1.0}), n=3)
    course = lambda run, x: {  # noqa: E731
        "train_acc": x,
        "val_acc": x / 2,
        "val_loss": 1 + (x - 0.3) ** 2,
    }
    found, _ = quantities.values(runs, quantities.parse(quantity), lines(runs, course), 1.0)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


TIMES = {
    **DIRECTION,
    "quantity": {"metric": "train_acc", "epochs_to": 0.5},
    "margin": {"value": 2, "unit": "epochs"},
}


@pytest.mark.parametrize(
    ("kind", "measured"), [("equivalence", "supported"), ("difference", "contradicted")]
)
def test_times_that_were_never_reached_show_no_equality(kind, measured):
    """Both settings climb alike. Where a run never gets there its time is not known, so TOST on
    times set to the last epoch must neither support "the same" nor contradict "different".
    """
    test = {**TIMES, "type": kind}
    runs = made(by("lr", {0.1: 1.0, 0.2: 1.0}))
    for n_never, outcome in ((0, measured), (1, "inconclusive"), (N, "inconclusive")):
        course = lambda run, x, n=n_never: {"train_acc": 0.4 * x if run.seed < n else x}  # noqa: E731
        found = judged(test, runs, curves=lines(runs, course))
        assert found.outcome == outcome, found.reason
        assert (found.interval is None) == (n_never == N)
        assert ("In 1 seed a run" in found.reason) == (n_never == 1)


def test_death_and_revival_are_read_off_the_live_units():
    runs = made(by("lr", {0.1: 1.0}), n=3)
    live = {
        0: [3, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        1: [3, 0, 0, 0, 2, 0, 0, 0, 0, 0],
        2: [3, 0, 0, 1] * 3,
    }
    course = lambda run, x: {"live_units": live[run.seed][round(10 * x) - 1]}  # noqa: E731
    curves = lines(runs, course)
    assert quantities.event(runs, {"died": 1}, curves).tolist() == [True, True, False]
    assert quantities.event(runs, {"revived": 1}, curves).tolist() == [False, True, False]


def test_matched_values_are_read_at_the_loss_that_all_reach():
    fast, slow = (made(by("lr", {lr: 1.0}), n=3) for lr in (0.1, 0.2))
    speed = {0.1: 2.0, 0.2: 1.0}
    course = lambda run, x: {  # noqa: E731
        "train_loss": 3 - speed[run.lr] * x,
        "sharpness_path": 10 * x if round(10 * x) % 2 else np.nan,
    }
    curves = lines(pd.concat([fast, slow]), course)
    # Both reach 2.0: the fast one after half of training, the slow one at its end.
    quick, late = quantities.matched([fast, slow], "sharpness_path", "train_loss", curves)
    np.testing.assert_allclose(quick, 5.0)
    np.testing.assert_allclose(late, 9.0)  # measured at odd epochs only: level after the ninth


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"quantity": {"metric": "val_los"}}, "mean 'val_loss'"),
        ({"quantity": {"metric": "val_loss", "rougness": 5}}, "mean 'roughness'"),
        ({"margin": {"value": 0.5, "unit": "ratio"}}, "unknown unit 'ratio'"),
        ({"first": 0.1}, "claim X, first: expected fields with values, got 0.1"),
        ({"first": None, "frist": A}, "claim X, test; .*mean 'first'"),
        ({"type": ["direction"]}, "unknown test type .'direction'. in claim X"),
        ({"type": "sign", "arms": A}, "unknown field 'first'"),
        ({"common": 5}, "claim X, common: expected fields with values, got 5"),
    ],
)
def test_a_mistake_in_a_test_is_named(change, words):
    with pytest.raises(HplabError, match=words):
        kinds.read({**DIRECTION, **change}, "claim X")


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("components", {"share": "half"}, "claim X, share must be a number, got 'half'"),
        ("components", {"cells": {"lr": 0.1}}, "claim X, cells, lr: expected a list, got 0.1"),
        ("components", {"cells": "all"}, "claim X, cells: expected a list, got 'all'"),
        ("lowest of three", {"best": {"lr": 0.4}}, "best is none of the settings, .'lr': 0.4."),
        ("lowest of three", {"way": "low"}, "unknown way 'low' in claim X; .*mean 'lowest'"),
        ("trend", {"levels": [0.1, True]}, "claim X, levels must be a number, got True"),
        ("trend", {"metrics": {"val_loss": "dwn"}}, "metrics of val_loss 'dwn' .*mean 'down'"),
        ("all", {"parts": [DIRECTION]}, "'all' needs two parts or more"),
        ("all", {"parts": DIRECTION}, "claim X, parts: expected a list"),
    ],
)
def test_a_field_holds_what_its_type_says(name, change, words):
    with pytest.raises(HplabError, match=words):
        kinds.read({**TESTS[name][0], **change}, "claim X")


def test_every_kind_can_be_named_in_the_ledger_and_has_its_rule_there():
    def below(kind):
        return {kind}.union(*(below(one) for one in kind.__subclasses__()))

    assert {one for one in below(Kind) if one.type} == set(kinds.KINDS.values())
    rules = yaml.safe_load(places.ledger().read_text(encoding="utf-8"))["rules"]
    assert set(rules) == set(kinds.KINDS)


def test_a_missing_field_is_named():
    test = {name: value for name, value in DIRECTION.items() if name != "first"}
    with pytest.raises(HplabError, match="claim X, test: the field 'first' is missing"):
        kinds.read(test, "claim X")


def test_every_claim_says_what_it_needs():
    for claim in BOOK:
        test = claim.test
        assert test.columns or test.curves or test.type == "none", claim.id
        assert test.settings or test.type == "none", claim.id
    assert (BOOK["S0-26"].test.columns, BOOK["S0-26"].test.curves) == (set(), {"live_units"})
    matched = BOOK["S2-03"].test
    assert (matched.columns, matched.curves) == (set(), {"sharpness_path", "train_loss"})


# ------------------------------------------------------------------------------- who may decide


def paired_values(runs, levels, metric="val_loss"):
    table = runs.pivot(index="seed", columns="lr", values=metric)
    return [table[level].to_numpy() for level in levels]


def test_each_kind_is_decided_by_the_rule_whose_errors_are_counted():
    """On noise about the margin, a kind's evidence is that of the function the benchmark tries."""
    for seed in range(5):
        runs = made(by("lr", {0.1: 1.2, 0.2: 1.0, 0.4: 0.8}), n=6, noise=0.3, seed=seed)
        one, two, four_ = paired_values(runs, (0.1, 0.2, 0.4))
        trend = {**TESTS["trend"][0], "margin": {"value": 0.1, "unit": "nats"}}
        cells = {"lr": [0.1, 0.2, 0.4]}
        ranking = {**TESTS["lowest of three"][0], "cells": cells, "best": {"lr": 0.4}}
        most = {**TESTS["most cells"][0], "cells": cells, "above": {"value": 1, "unit": "nats"}}
        share = {"type": "components", "quantity": "val_loss", "cells": cells, "share": 0.5}
        values = np.array([one, two, four_])
        expected = {
            "direction": (DIRECTION, evidence.beyond(one - two, margin=0.2)),
            "equivalence": (
                {**DIRECTION, "type": "equivalence"},
                evidence.within(one - two, margin=0.2),
            ),
            "difference": (
                {**DIRECTION, "type": "difference"},
                evidence.outside(one - two, margin=0.2),
            ),
            "trend": (trend, orders.trend(-values[None], [0.1, 0.2, 0.4], margin=0.1)),
            "ranking": (ranking, orders.best(-values, 2)),
            "most cells": (most, evidence.most_of([evidence.beyond(x, margin=1) for x in values])),
            "components": (share, orders.share_between(values, 0.5)),
        }
        for name, (test, found) in expected.items():
            got = judged(test, runs)
            pair = (got.evidence.p_for, got.evidence.p_against)
            assert pair == pytest.approx((found.p_for, found.p_against)), name
            assert got.outcome == evidence.three_way(found), name


def test_winners_are_decided_by_the_rule_whose_errors_are_counted():
    test = {
        "type": "winners",
        "quantity": "val_loss",
        "groups": {"weight_decay": [0.0, 1e-3]},
        "rivals": {"lr": [0.1, 0.2]},
    }
    runs = made(dict(zip(FOUR, (1.0, 1.1, 1.2, 0.9), strict=True)), noise=0.3)
    values = runs.val_loss.to_numpy().reshape(2, 2, N)  # by learning rate, by weight decay
    found = orders.no_single_best(np.swapaxes(values, 0, 1))
    assert judged(test, runs).evidence == found


def test_parts_are_corrected_before_one_contradicts():
    """One part fails at p = 0.04 by itself; with two parts it could be luck."""
    runs = made(by("lr", {0.1: 2.0, 0.2: 1.0, 0.3: 1.2}), n=4, noise=1e-9)
    off = np.array([-1.0, 1.0, -1.0, 1.0]) * 0.06
    runs.loc[runs.lr == 0.3, "val_loss"] += off - 0.12
    test = TESTS["all"][0]
    part = judged(test["parts"][1], runs)
    assert part.outcome == "contradicted"
    assert 0.025 < part.p < 0.05
    both = judged(test, runs)
    assert (both.outcome, both.p) == ("inconclusive", pytest.approx(2 * part.p))


@pytest.mark.parametrize("lost", ["diverged", "collapsed"])
def test_survivors_decide_no_part_either(lost):
    """Seven of twelve seeds are lost at one setting; the part without it has fewer seeds left."""
    runs = made(by("lr", {0.1: 2.0, 0.2: 1.0, 0.3: 2.0, 0.4: 1.0}), collapsed=0.0)
    gone = (runs.lr == 0.2) & (runs.seed < 7)
    column, value = {"diverged": ("status", "diverged"), "collapsed": ("collapsed", 1.0)}[lost]
    runs.loc[gone, column] = value
    runs = runs[(runs.lr < 0.3) | (runs.seed < 4)]
    test = TESTS["all"][0]
    lossy, whole = test["parts"][0], {**test["parts"][1], "second": {"lr": 0.4}}
    assert judged(lossy, runs).outcome == "inconclusive"
    assert judged(whole, runs).outcome == "supported"
    found = judged({**test, "parts": [lossy, whole]}, runs)
    assert (found.outcome, found.evidence.p_for) == ("inconclusive", 1.0)
    # Against a claim speaks one part, if by itself it may.
    turned = {**whole, "first": whole["second"], "second": whole["first"]}
    assert judged({**test, "parts": [lossy, turned]}, runs).outcome == "contradicted"


@pytest.mark.parametrize("column", ["epochs", "n_train"])
def test_runs_on_less_than_the_report_had_decide_nothing(column):
    runs = made(by("lr", {0.1: 2.0, 0.2: 1.0}))
    less = {"epochs": {"arm_epochs": 10, "epochs": 2}, "n_train": {"n_train": 500}}[column]
    found = judged(DIRECTION, runs.assign(**less))
    assert (found.outcome, found.face, found.p) == ("inconclusive", "supported", None)
    assert "they are a miniature, and do not decide the claim" in found.reason
    assert judged(DIRECTION, runs).outcome == "supported"


def test_that_two_settings_compute_the_same_is_seen_in_short_runs():
    runs = made(by("lr", {0.1: 2.0, 0.2: 1.0})).assign(arm_epochs=10, epochs=2)
    same = runs.copy()
    same.loc[same.lr == 0.2, "val_loss"] = same.loc[same.lr == 0.1, "val_loss"].to_numpy()
    test = {**DIRECTION, "type": "difference"}
    assert judged(test, same).outcome == "contradicted"
    assert judged(test, runs).outcome == "inconclusive"
    stuck = same.assign(val_loss=2.7)  # all runs at one value: nothing says that seeds matter
    assert judged(test, stuck).outcome == "inconclusive"


def test_collapsed_runs_are_counted_beside_the_mean_of_those_that_learn():
    runs = made(by("lr", {0.1: 2.0, 0.2: 1.0}), n=12)
    runs["collapsed"] = 0.0
    gone = runs.seed.isin([3, 7]) & (runs.lr == 0.1)
    runs.loc[gone, ["collapsed", "val_loss"]] = [1.0, 50.0]
    found = judged(DIRECTION, runs)
    one, two = paired_values(runs[~runs.seed.isin([3, 7])], (0.1, 0.2))
    assert found.outcome == "supported"
    assert found.interval.estimate == pytest.approx((one - two).mean())
    assert (found.sample.n, found.sample.n_collapsed, found.sample.n_run) == (10, 2, 12)
    shares_shown = [part["part"] for part in found.parts]
    assert shares_shown == ["collapse at lr 0.1: 2 of 12", "collapse at lr 0.2: 0 of 12"]
    assert found.parts[0]["interval"].estimate == pytest.approx(100 / 6)


@pytest.mark.parametrize(
    ("test", "means", "noise", "said"),
    [
        # An accuracy of 97 % that scatters by 4 points: a new run could not pass 100 %.
        (
            {"type": "value", "quantity": "val_acc", "arm": {"lr": 0.1},
             "value": {"value": 90, "unit": "pp"}, "tolerance": {"value": 1, "unit": "pp"}},
            {0.1: 0.97}, 0.04, "to 100.00, where the scale ends)",
        ),
        (
            {"type": "direction", "quantity": "val_acc", "first": {"lr": 0.1},
             "second": {"lr": 0.2}, "margin": {"value": 1, "unit": "pp"}},
            {0.1: 0.99, 0.2: 0.01}, 0.2, "to 100.00, where the scale ends)",
        ),
    ],
)  # fmt: skip
def test_an_interval_stops_where_its_scale_ends_and_decides_as_before(test, means, noise, said):
    runs = made(by("lr", means), n=3, weight_decay=0.0, momentum=0.9, batch_size=128)
    rng = np.random.default_rng(1)
    runs["val_acc"] = [means[lr] + noise * rng.normal() for lr in runs.lr]
    found = judged(test, runs)

    assert found.interval.high > 100  # the t interval itself, which the rule goes by
    assert said in found.reason


def test_where_collapse_differs_those_that_learn_do_not_speak_for_the_setting():
    runs = made(by("lr", {0.1: 2.0, 0.2: 1.0}), n=20)
    runs["collapsed"] = ((runs.lr == 0.1) & (runs.seed < 10)).astype(float)
    found = judged(DIRECTION, runs)
    assert (found.outcome, found.face) == ("inconclusive", "supported")
    assert (
        "Runs collapse more often at one of lr 0.1 and lr 0.2 than at the other (p < 0.001"
        in found.reason
    )


def test_too_few_that_learn_leave_a_claim_open():
    runs = made(by("lr", {0.1: 2.0, 0.2: 1.0}), n=5)
    runs["collapsed"] = (runs.seed < 3).astype(float)
    with pytest.raises(quantities.Missing, match="In 3 of 5 seeds a run collapses") as missing:
        judged(DIRECTION, runs)
    assert missing.value.diverged
    shares_of = {"type": "proportion", "event": {"collapsed": 1}, "arm": A, "bound": {"above": 0.1}}
    assert judged(shares_of, runs).sample.n == 5


def test_a_bound_must_be_a_share():
    test = {"type": "proportion", "event": {"collapsed": 1}, "arm": A, "bound": {"exists": True}}
    with pytest.raises(HplabError, match="'exists' must be a share between 0 and 1, got True"):
        kinds.read({"common": {"epochs": 10}, **test}, "claim X")


def test_an_argument_that_an_optimizer_has_not_is_no_departure_from_the_report():
    """SGD has no eps: its runs are the report's own setting all the same."""
    report = BOOK["S0-18"].report
    table = pd.DataFrame(
        {
            "optimizer": ["sgd", "adam"],
            "eps": [np.nan, report.setting["eps"]],
            "weight_decay": [0.0, 0.0],
        }
    )

    assert samples._differs(table, report) == {}
    assert "eps" in samples._differs(table.assign(eps=[np.nan, 0.1]), report)
