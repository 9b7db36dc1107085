"""Claims: the ledger is checked, verdicts follow their rules and say what is missing."""

import copy
import dataclasses
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from hplab import places
from hplab.analysis.claims import committed, decisions, judging, ledger, quantities
from hplab.analysis.claims.grammar import Size
from hplab.analysis.stats import evidence, intervals, power, sequential
from hplab.pages.tables import terminal
from hplab.sweeps import runner, series
from hplab.trial import HplabError, Trial, grid

LEDGER = Path(__file__).parents[2] / "book" / "claims.yaml"
LRS = (1e-3, 5e-4, 1e-4)
ALL = [f"S4-{i:02d}" for i in range(1, 19)]
PRIMARY = ["S4-04", "S4-06", "S4-07", "S4-09", "S4-13", "S4-16"]
# What each setting ends at when the report is right: (lr, declared epochs) to validation error.
ERROR = {
    (1e-3, 5): 0.0127,
    (5e-4, 5): 0.0150,
    (1e-4, 5): 0.0250,
    (1e-3, 50): 0.0080,
    (1e-4, 50): 0.0160,
}


def make_runs(error=ERROR, *, n_seeds=20, data="mnist", stretch=1, noise=2e-4, seed=0, **columns):
    """One row a trial as the runner makes them; training error is 0.7 of validation error."""
    rng = np.random.default_rng(seed)
    rows = []
    for (lr, epochs), wrong in error.items():
        for number in range(n_seeds):
            trial = Trial(data=data, lr=lr, epochs=epochs * stretch, seed=number)
            e = wrong + noise * rng.normal()
            rows.append(
                {
                    **trial.flat(),
                    "arm_epochs": epochs,
                    "arm_data": None if data == "mnist" else "mnist",
                    "status": "ok",
                    "val_acc": 1 - e,
                    "val_loss": 3.4 * e,
                    "train_acc": 1 - 0.7 * e,
                    "train_loss": 2.2 * e,
                    "acc_gap": 0.3 * e,
                    "loss_gap": 1.2 * e,
                    "key": f"{data}-{lr}-{epochs}-{number}",
                    "device": "cpu",
                    "train_s": 1.0,
                    **columns,
                }
            )
    runs = pd.DataFrame(rows)
    runs.attrs["preset"] = "paper" if data == "mnist" else "laptop"
    return runs


def make_curves(runs, course=lambda share: 1 + 4 * (1 - share)):
    """Each run's error is its final one times `course`, a function of the share of training."""
    rows = [
        {
            "key": run.key,
            "epoch": epoch,
            "val_acc": 1 - (1 - run.val_acc) * course(epoch / run.epochs),
            "train_acc": 1 - (1 - run.train_acc) * course(epoch / run.epochs),
            "val_loss": run.val_loss * course(epoch / run.epochs),
            "train_loss": run.train_loss * course(epoch / run.epochs),
            "running_acc": 1 - (1 - run.train_acc) * course(epoch / run.epochs),
            "running_loss": run.train_loss * course(epoch / run.epochs),
        }
        for run in runs.itertuples()
        for epoch in range(1, run.epochs + 1)
    ]
    return pd.DataFrame(rows)


def outcome(claim_id, runs, **options):
    options.setdefault("curves", make_curves)
    return judging.verdict(claim_id, runs, **options).outcome


def diverge(runs, lr, seeds, epochs=5):
    """Return the runs with some of them diverged, as the runner writes it."""
    runs = runs.copy()
    rows = (runs.lr == lr) & (runs.arm_epochs == epochs) & runs.seed.isin(seeds)
    runs.loc[rows, "status"] = "diverged"
    runs.loc[rows, ["val_acc", "val_loss", "train_acc", "train_loss", "acc_gap"]] = np.nan
    return runs


@pytest.fixture(autouse=True)
def _one_comparison(monkeypatch):
    """Let S4-06 be one comparison, the first of its four, where these tests ask how one is judged.

    Curves are made up with the runs: training metrics are read off them.
    """
    plain = ledger.load()
    one = dataclasses.replace(plain["S4-06"], test=plain["S4-08"].test, rule=plain["S4-08"].rule)
    book = ledger.Ledger([one if claim.id == one.id else claim for claim in plain], plain.changes)
    monkeypatch.setattr(judging, "load", lambda: book)
    monkeypatch.setattr(judging, "_recorded_curves", make_curves)


@pytest.fixture(scope="module")
def as_reported():
    return make_runs()


# ------------------------------------------------------------------------------- the ledger


def test_the_ledger_holds_all_125_claims_of_the_four_reports():
    book = ledger.load()
    counts = {"000": ("S0", 45), "001": ("S1", 41), "002": ("S2", 21), "004": ("S4", 18)}
    expected = [f"{name}-{i:02d}" for name, n in counts.values() for i in range(1, n + 1)]
    assert [claim.id for claim in book] == expected
    assert {claim.report.id for claim in book} == set(counts)
    of_004 = [claim for claim in book if claim.report.id == "004"]
    assert [claim.id for claim in of_004] == ALL
    assert [claim.id for claim in of_004 if claim.primary] == PRIMARY
    assert [claim.id for claim in book.family(book["S4-06"])] == PRIMARY
    assert sum(claim.primary for claim in book) == 40


def test_an_unknown_claim_is_answered_with_the_nearest(as_reported):
    with pytest.raises(HplabError, match=r"unknown claim 'S4-6'.*did you mean 'S4-"):
        judging.verdict("S4-6", as_reported)


def changed(tmp_path, change):
    """Write the ledger with one change and return its path."""
    content = yaml.safe_load(LEDGER.read_text())
    change(content, {claim["id"]: claim for claim in content["claims"]})
    folder = tmp_path / "reference"
    folder.mkdir()
    for file in (LEDGER.parent / "reference").glob("*.yaml"):
        (folder / file.name).write_text(file.read_text())
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c, by: by["S4-08"]["test"].pop("margin"), "claim S4-08, test: .*'margin'.*missing"),
        (lambda c, by: by["S4-08"]["test"].update(type="directon"), "mean 'direction'"),
        (lambda c, by: by["S4-08"]["test"].update(quantity="val_ac"), "mean 'val_acc'"),
        (lambda c, by: by["S4-08"]["test"]["margin"].update(unit="nats"), "unknown unit 'nats'"),
        (lambda c, by: by["S4-08"]["test"]["margin"].update(value=-1), "must not be negative"),
        (lambda c, by: by["S4-08"]["test"]["margin"].update(value="x"), "must be a number"),
        (lambda c, by: by["S4-08"].update(say="x"), "mean 'says'"),
        (lambda c, by: by["S4-08"].update(primary="yes"), "must be true or false"),
        (lambda c, by: by["S4-08"].update(report="044"), "mean '004'"),
        (lambda c, by: by["S4-08"]["own_data"].update(verdict="suported"), "mean 'supported'"),
        (lambda c, by: by["S4-10"]["test"].update(form="lowst"), "mean 'lowest'"),
        (lambda c, by: by["S0-06"].update(primary=True), "cannot be primary"),
        (lambda c, by: by["S4-12"]["test"]["margin"].update(value=0.9), "at least 1"),
        (lambda c, by: by["S4-18"]["test"]["quantity"].pop("epochs_to"), "unknown unit .epochs."),
        (
            lambda c, by: by["S4-18"]["test"]["quantity"].update(roughness=5),
            "read in one way, got epochs_to and roughness",
        ),
        (lambda c, by: by["S4-08"].update(id="S4-05"), "S4-05 stands twice"),
        (lambda c, by: c.update(schema="hplab-claims/9"), "reads hplab-claims/1"),
        (lambda c, by: c["rules"].pop("shape"), "unknown rule 'shape'"),
        (lambda c, by: c["reports"]["004"].update(reference="no.yaml"), "cannot read .*no.yaml"),
        (lambda c, by: c["claims"].append("S4-19"), "a claim: expected fields"),
    ],
)
def test_a_mistake_in_the_ledger_is_named(tmp_path, change, words):
    with pytest.raises(HplabError, match=words):
        ledger.load(changed(tmp_path, change))


def test_a_ledger_that_is_absent_or_not_yaml_is_said(tmp_path, monkeypatch):
    with pytest.raises(HplabError, match="cannot read the ledger"):
        ledger.load(tmp_path / "claims.yaml")
    (tmp_path / "claims.yaml").write_text("claims: [")
    with pytest.raises(HplabError, match="not valid YAML"):
        ledger.load(tmp_path / "claims.yaml")


def test_the_ledger_is_found_from_a_folder_inside_the_book(monkeypatch):
    monkeypatch.chdir(LEDGER.parent / "reference")
    assert places.ledger() == LEDGER


# ------------------------------------------------------------------------------- own data


@pytest.fixture(scope="module")
def published():
    return {run["lr"]: run for run in ledger.load()["S4-01"].report.published}


def test_the_numbers_of_the_claims_are_those_of_the_reference(published):
    book = ledger.load()
    for claim_id, lr in [("S4-01", 1e-3), ("S4-02", 5e-4), ("S4-03", 1e-4)]:
        run, claim = published[lr], book[claim_id]
        said = [float(number) for number in re.findall(r"\d+\.\d+", claim.says)]
        printed = [100 * run["train_acc"], 100 * run["val_acc"], run["train_loss"], run["val_loss"]]
        assert said == pytest.approx(printed)
        assert claim.own_verdict == "supported"


def test_own_data_verdict_on_the_gap(published):
    run, claim = published[1e-3], ledger.load()["S4-04"]
    gap = 100 * (run["train_acc"] - run["val_acc"])
    assert gap == pytest.approx(0.41)
    assert (gap < claim.test.margin.value) == (claim.own_verdict == "supported")
    assert round(100 * (run["val_loss"] / run["train_loss"] - 1)) == 57
    assert "0.41 pp" in claim.own_why
    assert "57 %" in claim.own_why


def test_own_data_verdicts_on_the_order_of_the_learning_rates(published):
    book = ledger.load()
    for claim_id, metrics in [
        ("S4-06", ["val_acc", "val_loss"]),
        ("S4-07", book["S4-07"].test.metrics),
    ]:
        for metric in (quantities.EVALUATED.get(name, name) for name in metrics):
            sign = -1 if metric.endswith("loss") else 1
            ordered = sorted(LRS, key=lambda lr, m=metric, s=sign: s * published[lr][m])
            assert ordered == sorted(LRS), metric
        assert book[claim_id].own_verdict == "supported"


def test_own_data_verdict_on_the_small_drop(published):
    best, next_best = published[1e-3]["val_acc"], published[5e-4]["val_acc"]
    drop = best - next_best
    error = math.sqrt((best * (1 - best) + next_best * (1 - next_best)) / 10_000)
    assert round(10_000 * drop) == 11
    assert 100 * error == pytest.approx(0.16, abs=0.005)
    assert drop < 1.96 * error  # so the sign is open
    assert ledger.load()["S4-08"].own_verdict == "unclear"


def test_own_data_verdict_on_underfitting(published):
    claim = ledger.load()["S4-09"]
    more = published[1e-4]["train_loss"] - published[1e-3]["train_loss"]
    assert more > claim.test.margin.value
    assert claim.own_verdict == "supported"


# ------------------------------------------------------------------------------- verdicts

# What the opposite of each claim looks like, as final errors.
OPPOSITE = {
    "S4-04": {(1e-3, 5): 0.05},
    "S4-06": {(5e-4, 5): 0.0100},
    "S4-07": {(1e-4, 5): 0.0090},
    "S4-08": {(5e-4, 5): 0.0100},
    "S4-09": {(1e-4, 5): 0.0050},
    "S4-10": {(5e-4, 5): 0.0100},
    "S4-11": {(1e-4, 5): 0.0100},
    "S4-13": {(1e-4, 50): 0.0050},
    "S4-16": {(1e-4, 50): 0.0100},
    "S4-17": {(5e-4, 5): 0.0100},
    "S4-18": {(5e-4, 5): 0.0042},
}


@pytest.mark.parametrize("claim_id", OPPOSITE)
def test_runs_as_claimed_support_and_runs_the_other_way_contradict(claim_id, as_reported):
    clear = {"S4-18": {(5e-4, 5): 0.0170}}  # as reported, the times differ by just the margin
    as_claimed = make_runs({**ERROR, **clear[claim_id]}) if claim_id in clear else as_reported
    assert outcome(claim_id, as_claimed) == "supported"
    assert outcome(claim_id, make_runs({**ERROR, **OPPOSITE[claim_id]})) == "contradicted"


@pytest.mark.parametrize("claim_id", ["S4-06", "S4-09", "S4-13", "S4-16"])
def test_an_effect_below_the_margin_contradicts_though_it_is_real(claim_id):
    a, b = {
        "S4-06": ((1e-3, 5), (5e-4, 5)),
        "S4-09": ((1e-4, 5), (1e-3, 5)),
        "S4-13": ((1e-3, 50), (1e-4, 50)),
        "S4-16": ((1e-3, 5), (1e-4, 50)),
    }[claim_id]
    runs = make_runs({**ERROR, a: 0.0120, b: 0.0124 if claim_id != "S4-09" else 0.0116}, noise=1e-4)
    verdict = judging.verdict(claim_id, runs)
    assert verdict.outcome == "contradicted"
    assert verdict.interval.low > 0
    assert "the whole interval is short of that" in verdict.reason


def test_noise_larger_than_the_effect_is_inconclusive():
    runs = make_runs({**ERROR, (5e-4, 5): 0.0135}, noise=0.01, n_seeds=6)
    verdict = judging.verdict("S4-06", runs)
    assert verdict.outcome == "inconclusive"
    assert "leaves open which is ahead" in verdict.reason


def test_the_reason_gives_seeds_effect_interval_and_margin():
    error = {**ERROR, (1e-3, 5): 0.0127, (5e-4, 5): 0.0148}
    verdict = judging.verdict("S4-06", make_runs(error, n_seeds=5))
    low, high = verdict.interval.low, verdict.interval.high
    assert 0 < low < verdict.estimate < high
    assert verdict.reason == (
        f"On 5 seeds, after 5 epochs, validation accuracy is {verdict.estimate:.2f} pp higher at "
        f"lr 1e-3 than at lr 5e-4 (95 % interval of the difference {low:.2f} to {high:.2f}); the "
        "margin fixed beforehand was 0.10 pp. By itself it would count as supported; after 5 of 20 "
        "planned seeds only p below 1.4 × 10⁻⁵ decides. Interim: 5 of 20 planned seeds; at the "
        "scatter seen so far, 2 more would probably settle it."
    )


def test_the_estimate_is_the_mean_paired_difference_in_points(as_reported):
    arms = [as_reported[(as_reported.lr == lr) & (as_reported.arm_epochs == 5)] for lr in LRS[:2]]
    by_seed = [arm.set_index("seed").val_acc for arm in arms]
    verdict = judging.verdict("S4-06", as_reported)
    assert verdict.estimate == pytest.approx(100 * (by_seed[0] - by_seed[1]).mean())
    assert (verdict.unit, verdict.n) == ("pp", 20)


def test_order_and_index_of_the_rows_do_not_matter(as_reported):
    shuffled = as_reported.sample(frac=1, random_state=1)
    shuffled.index = [7] * len(shuffled)
    expected, got = (judging.verdict("S4-06", runs) for runs in (as_reported, shuffled))
    assert got.interval == expected.interval


def test_without_any_effect_a_claim_is_rarely_supported_and_rarely_contradicted():
    """With margin 0, one look and no correction: 2.5 % a side. Simulated tables."""
    claim = judging.load()["S4-06"]
    test = dataclasses.replace(claim.test, margin=Size(0.0, "pp"))
    plan = {"primary": False, "seeds": 5, "min_seeds": 5}
    book = ledger.Ledger([dataclasses.replace(claim, test=test, **plan)])
    runs = make_runs({(1e-3, 5): 0.02, (5e-4, 5): 0.02}, n_seeds=5)
    rng, got = np.random.default_rng(3), []
    for _ in range(600):
        runs["val_acc"] = 0.98 + 0.001 * rng.normal(size=len(runs))
        got.append(judging.verdict("S4-06", runs, ledger=book).outcome)
    # 2.5 % of 600 draws are 15; more than 26 or fewer than 5 have a chance of 0.005.
    assert 5 <= got.count("supported") <= 26
    assert 5 <= got.count("contradicted") <= 26


# ------------------------------------------------------------------------------- each type


def test_published_numbers_are_supported_only_when_all_of_them_fit():
    runs = make_runs({(1e-3, 5): 0.0127}, noise=5e-4)
    runs["train_acc"] += 0.9914 - runs.train_acc.mean()
    runs["train_loss"] += 0.02794 - runs.train_loss.mean()
    runs["val_loss"] += 0.04378 - runs.val_loss.mean()
    verdict = judging.verdict("S4-01", runs)
    assert verdict.outcome == "supported"
    assert "98.7" in verdict.reason
    assert outcome("S4-14", runs) == "supported"

    runs["val_loss"] += 0.02
    verdict = judging.verdict("S4-01", runs)
    assert verdict.outcome == "inconclusive"  # the setting is a reconstruction
    assert "the validation loss is missed" in verdict.reason
    assert "the miss may be ours" in verdict.reason

    runs["val_acc"] -= 0.02
    runs["train_acc"] += 0.003 * (-1.0) ** runs.seed
    assert (
        "Not all of it is met: the validation accuracy and the validation loss are missed; "
        "the running training accuracy is open."
    ) in judging.verdict("S4-01", runs).reason


def test_a_missed_number_contradicts_when_the_setting_is_known():
    claim = ledger.load()["S4-14"]
    known = dataclasses.replace(
        claim, report=dataclasses.replace(claim.report, reconstructed=False)
    )
    runs = make_runs({(1e-3, 5): 0.05})
    assert outcome("S4-14", runs, ledger=ledger.Ledger([known])) == "contradicted"


def test_numbers_that_vary_too_much_settle_nothing():
    runs = make_runs({(1e-3, 5): 0.0127}, noise=0.004)
    runs["train_acc"] += 0.9914 - runs.train_acc.mean()
    verdict = judging.verdict("S4-14", runs)
    assert verdict.outcome == "inconclusive"
    assert "Not all of it is met: the running training accuracy is open." in verdict.reason


def test_a_plateau_is_no_change_over_the_last_fifth(as_reported):
    flat = judging.verdict("S4-05", as_reported, curves=lambda r: make_curves(r, lambda share: 1))
    falling = judging.verdict("S4-05", as_reported, curves=make_curves)
    assert (flat.outcome, flat.estimate) == ("supported", 0.0)
    assert falling.outcome == "contradicted"
    assert falling.estimate == pytest.approx(-0.8 * 3.4 * 0.0127, rel=0.02)


def test_a_trend_whose_last_step_turns_back_is_contradicted():
    """The slope over three points is still positive, the claim of an order is wrong."""
    runs = make_runs({**ERROR, (1e-3, 5): 0.0156})
    verdict = judging.verdict("S4-07", runs)
    assert all(part["outcome"] == "supported" for part in verdict.finding.parts)
    assert verdict.outcome == "contradicted"
    assert "steps between neighbours go back" in verdict.reason


def test_a_ranking_is_supported_contradicted_or_open(as_reported):
    assert outcome("S4-17", as_reported) == "supported"
    tie = make_runs({**ERROR, (5e-4, 5): 0.0127})
    assert outcome("S4-17", tie) == "inconclusive"


def test_a_wider_grid_is_reported_and_decides_nothing():
    verdict = judging.verdict("S4-17", make_runs({**ERROR, (3e-3, 5): 0.010}))
    assert verdict.outcome == "supported"
    assert "On the wider grid of 4 values, lr 3e-3 comes first, at the edge" in verdict.reason
    inner = judging.verdict("S4-17", make_runs({**ERROR, (3e-3, 5): 0.010, (1e-2, 5): 0.05}))
    assert "lr 3e-3 comes first." in inner.reason


def test_a_wider_grid_is_compared_on_the_seeds_that_all_have():
    """Lr 1e-2 has five seeds, on which 3e-3, else the best, is unlucky."""
    runs = make_runs({**ERROR, (3e-3, 5): 0.010, (1e-2, 5): 0.05})
    kept = runs[(runs["lr"] != 1e-2) | (runs["seed"] < 5)].copy()
    low = (kept["lr"] == 3e-3) & (kept["seed"] < 5)
    kept.loc[low, "val_acc"] = 0.9
    verdict = judging.verdict("S4-17", kept)
    assert "values, on the 5 seeds that all have, lr 1e-3 comes first" in verdict.reason


def spread_runs(factor):
    runs = make_runs({(1e-3, 5): 0.02, (1e-4, 5): 0.02}, n_seeds=40, noise=1e-3)
    wide = runs.lr == 1e-3
    runs.loc[wide, "val_loss"] = 0.05 + factor * (runs.val_loss[wide] - runs.val_loss[wide].mean())
    return runs


@pytest.mark.parametrize(("factor", "expected"), [(3, "supported"), (1 / 3, "contradicted")])
def test_a_spread_over_seeds_is_compared_as_a_ratio(factor, expected):
    verdict = judging.verdict("S4-12", spread_runs(factor))
    assert verdict.outcome == expected
    assert verdict.estimate == pytest.approx(factor, rel=0.4)
    assert verdict.interval.low < verdict.estimate < verdict.interval.high


def test_a_spread_needs_spread():
    runs = spread_runs(1)
    runs["val_loss"] = 0.05
    assert "no spread over seeds" in judging.verdict("S4-12", runs).reason


def test_lowest_throughout_fails_on_one_crossing(as_reported):
    curves = make_curves(as_reported)
    rival = curves.key.str.startswith("mnist-0.0005-5-")
    curves.loc[rival & (curves.epoch == 2), "running_loss"] = 0.001
    verdict = judging.verdict("S4-10", as_reported, curves=curves)
    assert verdict.outcome == "contradicted"
    assert "is above them in 1" in verdict.reason
    assert sum(part["outcome"] == "contradicted" for part in verdict.finding.parts) == 1


def test_rising_fails_on_one_fall(as_reported):
    assert outcome("S4-15", as_reported) == "supported"
    curves = make_curves(as_reported)
    fourth = curves.epoch == 4
    curves.loc[fourth, "val_acc"] = curves.loc[curves.epoch == 3, "val_acc"].to_numpy()[
        : fourth.sum()
    ]
    curves.loc[fourth, "val_acc"] -= 0.01
    assert outcome("S4-15", as_reported, curves=curves) == "contradicted"


def test_checkpoints_keep_their_share_of_a_stretched_training():
    """Four times the epochs along the same course: the same differences at the same shares."""
    plain, long = make_runs(), make_runs(stretch=4)
    expected = judging.verdict("S4-10", plain, curves=make_curves).finding.parts
    got = judging.verdict("S4-10", long, curves=make_curves).finding.parts
    assert len(got) == len(expected) == 10
    for ours, theirs in zip(got, expected, strict=True):
        assert ours["interval"].estimate == pytest.approx(theirs["interval"].estimate, rel=1e-6)


def test_times_are_in_the_epochs_of_the_report():
    plain = judging.verdict("S4-18", make_runs(), curves=make_curves)
    long = judging.verdict("S4-18", make_runs(stretch=4), curves=make_curves)
    assert plain.unit == "epochs"
    # 1 - 0.02 is reached when 1 + 4 (1 - share) = 0.02 / error.
    expected = 5 * (0.02 / 0.0127 - 0.02 / 0.0150) / 4
    assert plain.estimate == pytest.approx(expected, rel=0.03)
    assert long.estimate == pytest.approx(expected, rel=0.03)


def test_a_threshold_never_reached_is_said_and_proves_no_equality():
    """Half of the seeds never get there: their differences are 0, and TOST would count them."""
    runs = make_runs({(1e-3, 5): 0.0127, (5e-4, 5): 0.0127}, noise=1e-5)
    runs.loc[runs.seed < 10, "val_acc"] = 0.95
    verdict = judging.verdict("S4-18", runs, curves=make_curves)
    assert verdict.outcome == "inconclusive"
    assert verdict.interval is not None
    assert "In 10 seeds a run passed the threshold in its first epoch or never" in verdict.reason


@pytest.mark.parametrize(
    ("epochs", "why"),
    [({}, "all runs need longer."), ({"epochs": 1}, "pass it in their first epoch or never.")],
)
def test_where_no_run_reaches_the_threshold_nothing_was_measured(epochs, why):
    """No number is given: a difference of 0 between times that are all cut off is none."""
    runs = make_runs({(1e-3, 5): 0.05, (5e-4, 5): 0.05}).assign(**epochs)
    verdict = judging.verdict("S4-18", runs, curves=make_curves)
    decides = "epochs" not in epochs
    assert verdict.outcome == ("inconclusive" if decides else "missing")
    assert (verdict.interval, verdict.p, verdict.miniature) == (
        None,
        None,
        "" if decides else "inconclusive",
    )
    assert "the time to 98 % validation accuracy could not be measured" in verdict.reason
    assert why in verdict.reason
    row = committed.summary([verdict])["S4-18"]
    assert (row["n"], row["estimate"], row["low"], row["high"]) == (20, None, None, None)


def test_a_committed_verdict_says_without_its_runs_what_it_said_with_them(tmp_path):
    """An installed package has what is committed of the verdicts, and no records."""
    runs, none = make_runs(), make_runs({})
    with_runs = judging.verdicts(ALL, runs, curves=make_curves)
    committed.write(with_runs, tmp_path / "verdicts.json")
    without = judging.verdicts(ALL, none, curves=make_curves)

    kept = committed.kept(without, committed.read(tmp_path / "verdicts.json"))

    assert {one.outcome for one in without} <= {"missing", "untestable"}
    assert terminal.table(kept) == terminal.table(with_runs)
    for one, verdict in zip(kept, with_runs, strict=True):
        now = {**verdict.row(), "preset": verdict.preset}
        for name, value in one.row().items():
            assert value == now[name] or value == pytest.approx(now[name], rel=1e-5), name
    with pytest.raises(AttributeError, match="reason"):
        _ = kept[0].reason


def test_a_run_that_never_gets_there_speaks_against_more_than_is_seen():
    """Three seeds of the other arm never pass: theirs may be any number of epochs later."""
    margin = Size(0.3, "epochs")
    effects = np.array([1.0, 1.1, 0.9, 1.0, 1.1, 0.9, 1.0, 1.05, -0.1, -0.1, -0.1])
    cut = effects < 0
    assert decisions.claimed_side(effects, margin, 0.05).outcome == "supported"
    assert decisions.claimed_side(effects, margin, 0.05, cut=cut).outcome == "inconclusive"
    assert decisions.claimed_side(-effects, margin, 0.05, cut=cut).outcome == "inconclusive"
    near = Size(0.1, "epochs")
    assert decisions.not_same(effects, near, 0.05).outcome == "supported"
    assert decisions.not_same(effects, near, 0.05, cut=cut).outcome == "inconclusive"
    assert decisions.claimed_side(effects, margin, 0.05, cut=effects > 1).outcome == "supported"


def test_one_setting_at_once_and_the_other_never_is_a_difference():
    """All times are cut off, at opposite ends: the true difference is larger still."""
    runs = make_runs({(1e-3, 5): 0.001, (5e-4, 5): 0.05})
    verdict = judging.verdict("S4-18", runs, curves=make_curves)
    assert (verdict.outcome, verdict.estimate) == ("supported", 4.0)


# ------------------------------------------------------------------------------- what is missing


def test_too_few_seeds_are_counted(as_reported):
    verdict = judging.verdict("S4-06", as_reported[as_reported.seed < 2])
    assert verdict.outcome == "missing"
    assert verdict.reason == "Only 2 complete seeds; at least 3 are needed."
    assert verdict.interval is None


def test_an_arm_without_runs_is_named(as_reported):
    verdict = judging.verdict("S4-13", as_reported[as_reported.arm_epochs == 5])
    assert verdict.outcome == "missing"
    assert "No runs at lr 1e-3, 50 epochs and lr 1e-4, 50 epochs" in verdict.reason


def test_an_empty_table_is_missing_everything(as_reported):
    for empty in (pd.DataFrame(), as_reported.iloc[:0]):
        assert judging.verdict("S4-06", empty).outcome == "missing"


def test_a_seed_that_one_arm_lacks_is_left_out_and_named(as_reported):
    gone = (as_reported.lr == 5e-4) & as_reported.seed.isin([3, 7])
    verdict = judging.verdict("S4-06", as_reported[~gone])
    assert verdict.n == 18
    assert "Left out: lr 5e-4 lacks seeds 3 and 7." in verdict.reason


def test_runs_without_curves_are_counted(as_reported):
    curves = make_curves(as_reported)
    verdict = judging.verdict("S4-15", as_reported, curves=curves[curves.key != "mnist-0.0001-5-0"])
    assert (verdict.outcome, verdict.reason) == (
        "missing",
        "1 of 20 runs have no recorded learning curve.",
    )


def test_one_epoch_shows_no_course():
    runs = make_runs({(1e-4, 5): 0.02, (1e-3, 5): 0.02}).assign(epochs=1)
    assert "two or more" in judging.verdict("S4-15", runs, curves=make_curves).reason
    assert "too short" in judging.verdict("S4-05", runs, curves=make_curves).reason


def test_a_column_that_the_claim_needs_is_named(as_reported):
    verdict = judging.verdict("S4-06", as_reported.drop(columns="schedule"))
    assert verdict.reason == "The table of runs has no column 'schedule'."


def test_another_optimizer_does_not_count(as_reported):
    assert outcome("S4-06", as_reported.assign(optimizer="sgd")) == "missing"


# ------------------------------------------------------------------------------- divergence


def test_a_rare_divergence_is_counted_and_left_out_of_the_difference(as_reported):
    verdict = judging.verdict("S4-06", diverge(as_reported, 1e-3, [4]))
    assert (verdict.outcome, verdict.n) == ("supported", 19)
    assert "1 of 20 seeds diverged and cannot be part of a difference." in verdict.reason


def test_many_divergences_leave_nothing_to_decide(as_reported):
    verdict = judging.verdict("S4-06", diverge(as_reported, 1e-3, range(3)))
    assert verdict.outcome == "inconclusive"
    assert "3 of 20 seeds diverged" in verdict.reason


def test_an_arm_that_always_diverges_is_not_missing(as_reported):
    verdict = judging.verdict("S4-06", diverge(as_reported, 5e-4, range(20)))
    assert verdict.outcome == "inconclusive"
    assert "Only 0 complete seeds; at least 3 are needed; 20 more diverged" in verdict.reason


# ------------------------------------------------------------------------------- which runs


def test_the_report_s_own_setting_is_a_re_run(as_reported):
    verdict = judging.verdict("S4-06", as_reported)
    assert verdict.kind == "re-run"
    assert verdict.label == "on the paper preset: a re-run at the report's setting"


def test_other_data_is_a_stand_in_and_says_so():
    runs = make_runs(data="digits", stretch=4, n_seeds=5)
    verdict = judging.verdict("S4-06", runs)
    assert (verdict.outcome, verdict.miniature, verdict.kind) == (
        "missing",
        "supported",
        "stand-in",
    )
    assert repr(verdict).startswith("S4-06 In miniature: as claimed (on the laptop preset")
    assert '<span class="hp-verdict-word">In miniature: as claimed<' in verdict._repr_html_()
    assert verdict.label == "on the laptop preset: a small stand-in, not a re-run of the report"
    assert "after 20 epochs (5 in the report)" in verdict.reason
    assert "data is digits instead of mnist" in verdict._repr_html_()
    assert "Interim" not in verdict.reason


def test_a_stand_in_is_still_labelled_when_the_table_lost_its_attributes():
    runs = make_runs(data="digits", stretch=4, n_seeds=5)
    runs.attrs = {}
    assert judging.verdict("S4-06", runs).label.startswith("on digits: a small stand-in")


def test_fewer_epochs_or_images_are_a_scaled_down_re_run():
    runs = make_runs(n_seeds=5).assign(n_train=10_000)
    assert judging.verdict("S4-06", runs).kind == "scaled-down re-run"


@pytest.mark.parametrize("claim_id", ["S4-01", "S4-02", "S4-03", "S4-14"])
def test_the_report_s_numbers_are_missing_on_a_stand_in(claim_id):
    verdict = judging.verdict(claim_id, make_runs(data="digits", stretch=4))
    assert verdict.outcome == "missing"
    assert "data is digits instead of mnist" in verdict.reason


def test_the_report_s_own_setting_wins_over_others_in_one_table(as_reported):
    both = pd.concat(
        [as_reported, make_runs(data="digits", stretch=4), as_reported.assign(model="mlp")]
    )
    verdict = judging.verdict("S4-06", both)
    assert verdict.kind == "re-run"
    assert verdict.interval == judging.verdict("S4-06", as_reported).interval


def test_arms_of_different_data_are_not_compared(as_reported):
    digits = make_runs(data="digits", stretch=4)
    mixed = pd.concat([as_reported[as_reported.arm_epochs == 5], digits[digits.arm_epochs == 50]])
    assert outcome("S4-16", mixed) == "missing"
    assert judging.verdict("S4-13", mixed).kind == "stand-in"


def test_arms_that_differ_in_something_else_are_not_compared(as_reported):
    mixed = as_reported.copy()
    mixed.loc[mixed.lr == 5e-4, "activation"] = "tanh"
    assert "also differ in activation (relu and tanh)" in judging.verdict("S4-06", mixed).reason
    wider = as_reported.copy()
    wider.loc[wider.lr == 5e-4, "hidden"] = 256
    assert "also differ in hidden (128 and 256)" in judging.verdict("S4-06", wider).reason


def test_arms_cut_by_different_factors_are_not_compared(as_reported):
    cut = as_reported.copy()
    cut.loc[cut.arm_epochs == 50, "epochs"] = 10
    assert "scaled by different factors" in judging.verdict("S4-16", cut).reason
    short = judging.verdict("S4-13", cut)
    assert (short.outcome, short.miniature) == ("missing", "supported")


@pytest.mark.parametrize("seeds", [range(20), range(20, 40)])
@pytest.mark.parametrize("claim_id", ["S4-06", "S4-13"])
def test_runs_in_another_number_format_do_not_count(as_reported, claim_id, seeds):
    """Neither as the same seeds once more nor as further ones: they would turn the verdict."""
    upside_down = as_reported.assign(precision="bf16", val_acc=1 - as_reported["val_acc"])
    upside_down["seed"] += seeds[0]
    upside_down["key"] += "-bf16"
    pooled = pd.concat([as_reported, upside_down], ignore_index=True)
    pooled.attrs = as_reported.attrs

    found = judging.verdict(claim_id, pooled, curves=make_curves)
    alone = judging.verdict(claim_id, as_reported, curves=make_curves)

    assert found.row() == alone.row()
    assert found.n == 20
    assert pooled["precision"].nunique() == 2  # the table stays as it is


def test_runs_of_which_none_is_in_single_precision_are_refused(as_reported):
    with pytest.raises(HplabError, match="runs in fp32 only; all of these are in bf16"):
        judging.verdict("S4-06", as_reported.assign(precision="bf16"))


def test_two_runs_for_one_seed_are_refused_with_what_they_differ_in(as_reported):
    two = pd.concat([as_reported, as_reported.assign(activation="tanh")])
    with pytest.raises(HplabError, match=r"several runs at lr 1e-3 for seed 0: .*activation"):
        judging.verdict("S4-06", two)
    with pytest.raises(HplabError, match="the rows are repeated"):
        judging.verdict("S4-06", pd.concat([as_reported, as_reported]))


def test_epochs_serve_where_the_declared_ones_are_not_kept(as_reported):
    runs = as_reported.drop(columns=["arm_epochs", "arm_data"])
    expected = judging.verdict("S4-13", as_reported).interval
    assert judging.verdict("S4-13", runs).interval == expected


# ------------------------------------------------------------------------------- Holm


def test_primary_claims_are_corrected_together_and_others_are_not(as_reported):
    found = judging.verdicts(ALL, as_reported, curves=make_curves)
    primary = [verdict for verdict in found if verdict.claim.primary]
    assert [verdict.p_holm for verdict in primary] == pytest.approx(
        intervals.holm([v.look.adjusted(v.finding.evidence).p for v in primary])
    )
    assert all(v.p_holm is None for v in found if not v.claim.primary)
    assert {verdict.n_family for verdict in primary} == {6}


def test_the_p_value_is_that_of_the_test_that_decided(as_reported):
    def gap(runs):
        return 100 * runs[(runs.lr == 1e-3) & (runs.arm_epochs == 5)].acc_gap

    wide = make_runs({**ERROR, (1e-3, 5): 0.05})
    inside = evidence.within(gap(as_reported), margin=0.5)
    assert judging.verdict("S4-04", as_reported).p == pytest.approx(inside.p_for)
    outside = evidence.within(gap(wide), margin=0.5)
    assert judging.verdict("S4-04", wide).p == pytest.approx(outside.p_against)

    close = make_runs({(1e-3, 5): 0.0125, (5e-4, 5): 0.0126}, noise=3e-4)
    by_lr = 100 * close.pivot(index="seed", columns="lr", values="val_acc")
    small = evidence.beyond(by_lr[1e-3] - by_lr[5e-4], margin=0.1)
    verdict = judging.verdict("S4-08", close)
    assert (verdict.outcome, verdict.p) == ("contradicted", pytest.approx(small.p_against))


def test_a_verdict_does_not_depend_on_what_else_is_asked(as_reported):
    together = {v.claim.id: v for v in judging.verdicts(PRIMARY, as_reported)}
    for claim_id in PRIMARY:
        alone = judging.verdict(claim_id, as_reported)
        assert (alone.outcome, alone.p_holm) == (
            together[claim_id].outcome,
            together[claim_id].p_holm,
        )


def test_a_primary_claim_has_to_survive_the_correction():
    """Only the two arms of S4-06 exist: five members count with p = 1, so p is multiplied by 6."""
    runs = make_runs({key: ERROR[key] for key in [(1e-3, 5), (5e-4, 5)]}, n_seeds=4, noise=0)
    noise = np.array([-1.0, 1.0, -1.0, 1.0])
    runs.loc[runs.lr == 1e-3, "val_acc"] += 0.0006 * noise
    book = judging.load()
    plan = ledger.Ledger([dataclasses.replace(claim, seeds=4, min_seeds=4) for claim in book])
    runs = runs.assign(acc_gap=0.3 * np.tile(noise, 2))
    verdict = judging.verdict("S4-06", runs, ledger=plan)
    assert 0.05 / 6 < verdict.p < 0.05
    assert verdict.p_holm == pytest.approx(6 * verdict.look.adjusted(verdict.finding.evidence).p)
    assert verdict.outcome == "inconclusive"
    assert "Alone it would count as supported; over the 6 primary claims" in verdict.reason
    same_not_primary = outcome("S4-08", runs, ledger=plan)
    assert same_not_primary == "supported"


# ------------------------------------------------------------------------------- on the page


class Tags(HTMLParser):
    """Checks that every tag is closed in order, and keeps the text and classes."""

    def __init__(self, markup):
        super().__init__()
        self.open, self.text, self.classes = [], "", []
        self.feed(markup)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.classes += (dict(attrs).get("class") or "").split()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_every_verdict_is_sound_html_with_its_word_and_class(as_reported):
    for verdict in judging.verdicts(ALL, as_reported, curves=make_curves):
        page = Tags(verdict._repr_html_())
        assert {"hp-verdict", f"hp-{verdict.outcome}", "hp-verdict-word"} <= set(page.classes)
        assert verdict.outcome.capitalize() in page.text
        assert verdict.claim.says in page.text
        assert verdict.reason in page.text
        assert verdict.claim.rule in page.text


def test_a_box_says_the_finding_first_and_folds_the_statistics(as_reported):
    for verdict in judging.verdicts(ALL, as_reported, curves=make_curves):
        before, folded = verdict._repr_html_().split("<details>", 1)
        said = Tags(f"{before}</section>").text
        statistics = Tags(f"<section><details>{folded}").text

        assert said.startswith(verdict.outcome.capitalize())
        assert verdict.sentence in said
        assert verdict.sentence.count(". ") == 0  # one sentence
        for term in (" pp", "interval", "margin", "running", "Holm", "p =", "seed by seed"):
            assert term not in verdict.sentence, term
        assert verdict.reason not in said
        assert verdict.reason in statistics
        assert f"n = {verdict.n}" in statistics


def test_a_sentence_says_how_far_the_runs_go(as_reported):
    verdict = judging.verdict("S4-06", as_reported)
    finding = dataclasses.replace(verdict.finding, in_short="a is 1.00 pp higher at lr 5e-4 than b")
    look = sequential.look(3, 20, first=3)

    def said(outcome, alone, **change):
        found = dataclasses.replace(finding, outcome=alone)
        given = {"outcome": outcome, "finding": found, "look": None, "p_holm": None} | change
        return dataclasses.replace(verdict, **given).sentence

    what = ": a is 1.00 percentage points higher at learning rate 0.0005 than b."
    assert said("supported", "supported") == f"Our runs agree with the report{what}"
    assert said("contradicted", "contradicted") == f"Our runs disagree with the report{what}"
    assert (
        said("inconclusive", "inconclusive", look=look) == f"Open after 3 of 20 planned seeds{what}"
    )
    assert said("inconclusive", "contradicted", look=look) == (
        f"So far our runs disagree with the report, but 3 of 20 planned seeds are too few{what}"
    )
    assert said("inconclusive", "inconclusive") == f"Open, even with {verdict.n} seeds{what}"
    assert "not clearly enough for one of its" in said("inconclusive", "supported", p_holm=0.2)
    assert "ours, which agrees with it" in said("inconclusive", "supported", p_holm=0.01)


def test_text_from_the_ledger_cannot_break_the_page(as_reported):
    claim = dataclasses.replace(ledger.load()["S4-06"], says="<b>&", quote='"<i>', note="<script>")
    verdict = judging.verdict("S4-06", as_reported, ledger=ledger.Ledger([claim]))
    page = Tags(verdict._repr_html_())
    assert "<b>&" in page.text
    assert not re.search("<(b|i|script)>", verdict._repr_html_())


def test_a_verdict_shows_itself_as_html_and_as_text(as_reported):
    verdict = judging.verdict("S4-06", as_reported)
    bundle = verdict._repr_mimebundle_()
    assert set(bundle) == {"text/html", "text/plain"}
    assert bundle["text/html"].startswith("<style>")  # where no style sheet of the book's is
    assert bundle["text/html"].endswith(f"</style>{verdict._repr_html_()}")
    assert bundle["text/plain"] == repr(verdict)
    assert repr(verdict).splitlines()[0] == (
        "S4-06 Supported (on the paper preset: a re-run at the report's setting)"
    )
    both = judging.verdicts(["S4-06", "S4-09"], as_reported)
    assert both._repr_mimebundle_()["text/html"].count("<section") == 2
    assert both._repr_mimebundle_()["text/plain"].count("Supported") == 2


def test_a_run_for_the_book_leaves_the_look_to_its_style_sheet(as_reported, monkeypatch):
    monkeypatch.setenv("HPLAB_EXECUTION", "a-run")
    verdict = judging.verdict("S4-06", as_reported)
    assert verdict._repr_mimebundle_()["text/html"] == verdict._repr_html_()


def test_verdicts_make_a_table(as_reported):
    table = judging.verdicts(ALL, as_reported, curves=make_curves).table()
    assert table.claim.tolist() == ALL
    sixth = table.set_index("claim").loc["S4-06"]
    verdict = judging.verdict("S4-06", as_reported)
    assert (sixth.outcome, sixth.own_data, sixth.n) == ("supported", "supported", 20)
    assert (sixth.low, sixth.high) == (verdict.interval.low, verdict.interval.high)


# ------------------------------------------------------------------------------- the real runner


def test_verdicts_on_runs_as_the_runner_makes_them(store):
    """Two learning rates on the embedded digits, trained for real on the smoke preset."""
    trials = grid(Trial(data="mnist", model="cnn", epochs=5), lr=[1e-3, 1e-4], seed=range(3))
    runs = runner.run(trials, preset="smoke", device="cpu", n_seeds=3, jobs=1, store=store)
    before = copy.deepcopy(runs)
    ids = ["S4-01", "S4-09", "S4-13", "S4-15"]

    found = judging.verdicts(ids, runs, curves=lambda table: series.curves(table, store=store))

    number, loss, later, rising = found
    ends = series.curves(runs, store=store).groupby(["seed", "lr"])["running_loss"].last()
    by_lr = ends.unstack("lr")
    assert loss.estimate == pytest.approx((by_lr[1e-4] - by_lr[1e-3]).mean())
    assert loss.kind == "stand-in"
    assert (loss.finding.outcome == "supported") == (loss.interval.low > 0.02)
    evaluated = runs.pivot(index="seed", columns="lr", values="train_loss")
    beside = loss.finding.beside.interval.estimate
    assert beside == pytest.approx((evaluated[1e-4] - evaluated[1e-3]).mean())
    assert "With training measured after the epoch, in evaluation mode: " in loss.reason
    assert loss.label.startswith("on the smoke preset: a small stand-in")
    assert rising.n == 3
    assert len(rising.finding.parts) == 4
    assert number.outcome == later.outcome == "missing"
    pd.testing.assert_frame_equal(runs, before)


# ------------------------------------------------------------------------------- looks at a plan


def test_an_interim_verdict_says_how_far_the_plan_is_and_what_it_needs():
    verdict = judging.verdict("S4-13", make_runs(n_seeds=10))
    assert (verdict.interim, verdict.n, verdict.planned, verdict.fraction) == (True, 10, 20, 0.5)
    assert (verdict.outcome, verdict.more_seeds) == ("supported", None)
    level = sequential.look(10, 20).level
    assert verdict.adjusted_alpha == level < 0.003
    gaps = (
        make_runs(n_seeds=10)
        .query("arm_epochs == 50")
        .pivot(index="seed", columns="lr", values="val_acc")
    )
    expected = intervals.mean_interval(100 * (gaps[1e-3] - gaps[1e-4]), level=1 - level)
    got = verdict.adjusted
    assert (got.low, got.high) == pytest.approx((expected.low, expected.high))
    assert got.low < verdict.interval.low
    assert verdict.row()["adjusted_low"] == got.low
    assert verdict.reason.endswith("Interim: 10 of 20 planned seeds.")
    whole = judging.verdict("S4-13", make_runs())
    assert (whole.interim, whole.fraction) == (False, 1.0)
    assert "Interim" not in whole.reason


def apart(n_seeds, mean, sd):
    """Runs of S4-08 whose paired differences have just this mean and deviation, in pp."""
    runs = make_runs({(1e-3, 5): 0.0127, (5e-4, 5): 0.0127}, n_seeds=n_seeds)
    pattern = np.linspace(-1, 1, n_seeds)
    other = runs.loc[runs.lr == 5e-4, "val_acc"].to_numpy()
    differences = mean + sd * pattern / pattern.std(ddof=1)
    runs.loc[runs.lr == 1e-3, "val_acc"] = other + differences / 100
    return runs


def test_what_counts_at_the_end_may_not_count_yet():
    """Ten seeds with p between the level of their look and that of a plan that ends with them."""
    runs, claim = apart(10, 0.3, 0.2), ledger.load()["S4-08"]
    early, late = (
        judging.verdict("S4-08", runs, ledger=ledger.Ledger([dataclasses.replace(claim, seeds=n)]))
        for n in (20, 10)
    )
    assert early.look.level < early.p < late.look.level
    assert (early.outcome, late.outcome) == ("inconclusive", "supported")
    assert "By itself it would count as supported" in early.reason
    assert f"{early.more_seeds} more would probably settle it" in early.reason


def test_the_seeds_that_would_settle_it_have_the_power_they_are_said_to_have():
    found = judging.verdict("S4-08", apart(8, 0.25, 0.2))
    chances = [
        float(power.paired_power(0.75, 8 + more, alpha=sequential.look(8 + more, 20).level))
        for more in (found.more_seeds - 1, found.more_seeds)
    ]
    assert chances[0] < judging.PROBABLY <= chances[1]


def test_seeds_past_the_plan_decide_nothing():
    """What may go wrong is spent with the last planned seed; more looks would add to it."""
    runs, claim = apart(20, 0.3, 0.6), ledger.load()["S4-08"]
    ten = ledger.Ledger([dataclasses.replace(claim, seeds=10)])
    whole = judging.verdict("S4-08", runs, ledger=ten)
    planned = judging.verdict("S4-08", runs[runs.seed < 10], ledger=ten)

    assert (whole.n, whole.outcome, whole.interval) == (10, planned.outcome, planned.interval)
    assert "Planned were 10 seeds; 10 more were run and are left out." in whole.reason
    assert "left out" not in planned.reason


def test_a_plan_that_cannot_settle_a_claim_says_so():
    verdict = judging.verdict("S4-08", apart(8, 0.12, 0.2))
    assert (verdict.outcome, verdict.more_seeds) == ("inconclusive", None)
    assert "all 20 will probably not settle it" in verdict.reason


def test_a_stand_in_is_no_look_at_the_plan():
    runs = make_runs(data="digits", stretch=4, n_seeds=5)
    verdict = judging.verdict("S4-06", runs)
    assert (verdict.look, verdict.adjusted, verdict.interim) == (None, None, False)
    assert (verdict.miniature, verdict.outcome) == ("supported", "missing")
