"""A claim about training is judged on what its report measured; the other stands beside it."""

import numpy as np
import pandas as pd
import pytest

from hplab.analysis.claims import estimands, judging, ledger, published, quantities
from hplab.analysis.claims.kinds import registry as kinds
from hplab.analysis.claims.quantities import parse
from hplab.trial import Trial

BOOK = ledger.load()


def names(test):
    return {name for one in test.measured for name in (one.metric, one.per) if name}


def test_claims_measure_training_as_their_report_did():
    for claim in BOOK:
        how = estimands.of(claim)
        if claim.report.training == "running":
            assert how in ("", "running"), claim.id
        else:  # report 002 prints none
            assert how in ("", "evaluated"), claim.id
    counts = [sum(estimands.of(claim) == "running" for claim in BOOK if claim.report.id == report)
              for report in ("000", "001", "002", "004")]  # fmt: skip
    assert counts == [18, 10, 0, 8]


def test_every_way_of_measuring_has_its_reason():
    assert {claim.report.id: claim.report.training for claim in BOOK} == {
        "000": "running",
        "001": "running",
        "002": "not published",
        "004": "running",
    }
    assert all(claim.report.training_why for claim in BOOK)
    assert "inferred" in BOOK["S4-01"].report.training_why


@pytest.mark.parametrize("claim", [c for c in BOOK if estimands.of(c)], ids=lambda c: c.id)
def test_the_other_estimand_differs_in_training_metrics_only(claim):
    other = estimands.other(claim)
    exchanged = {**quantities.RUNNING, **quantities.EVALUATED}

    assert names(other.test) == {exchanged.get(name, name) for name in names(claim.test)}
    assert names(other.test) != names(claim.test) or claim.id == "S0-34"
    assert estimands.other(other).test == claim.test
    assert other.test.settings == claim.test.settings


def test_a_claim_about_validation_has_no_other_estimand():
    assert estimands.other(BOOK["S4-08"]) is None
    assert estimands.words(BOOK["S4-08"]) == ""


def table():
    """Two rates; evaluated losses are 0.1 and 0.3, running ones twice as high."""
    rng = np.random.default_rng(0)
    rows, lines = [], []
    for lr, loss in ((0.001, 0.1), (0.0001, 0.3)):
        for seed in range(5):
            value = loss + 0.001 * rng.normal()
            key = f"{lr}-{seed}"
            rows.append({"lr": lr, "seed": seed, "train_loss": value, "key": key})
            lines += [
                {"key": key, "epoch": 1, "running_loss": 9.0, "train_loss": 9.0, "val_loss": 9.0},
                {"key": key, "epoch": 2, "running_loss": 2 * value, "val_loss": 3 * value},
            ]
    return pd.DataFrame(rows), pd.DataFrame(lines)


def test_a_running_metric_ends_where_its_curve_ends():
    rows, curves = table()
    running, _ = quantities.values(rows, parse("running_loss"), curves, 1.0)
    gap, _ = quantities.values(rows, parse("running_loss_gap"), curves, 1.0)
    ratio, _ = quantities.values(
        rows, parse({"metric": "running_loss_gap", "per": "running_loss", "log": True}), curves, 1.0
    )

    assert running == pytest.approx(2 * rows["train_loss"])
    assert gap == pytest.approx(rows["train_loss"])  # validation minus training
    assert np.exp(ratio) == pytest.approx(0.5)
    assert parse("running_loss").columns == set()
    assert parse("running_acc_gap").curves == {"running_acc", "val_acc"}


def test_a_run_without_the_curve_is_missing_not_zero():
    rows, curves = table()
    with pytest.raises(quantities.Missing, match="no curve of running_acc"):
        quantities.values(rows, parse("running_acc"), curves, 1.0)
    curves.loc[curves.index[-1], "running_loss"] = np.nan
    with pytest.raises(quantities.Missing, match="1 of 10 runs do not record running_loss"):
        quantities.values(rows, parse("running_loss"), curves, 1.0)


def test_a_published_training_number_is_found_however_it_was_measured():
    claim = BOOK["S4-09"]
    effect, unit = published.effect(claim)

    assert claim.test.quantity.metric == "running_loss"
    assert (effect, unit) == (pytest.approx(0.08108 - 0.02794), "nats")


def test_the_two_estimands_can_disagree_and_the_report_s_own_decides():
    """An accuracy gap of 0.3 pp running and 0.9 pp evaluated, against a margin of 0.5 pp."""
    rng = np.random.default_rng(0)
    rows, lines = [], []
    for seed in range(20):
        acc = 0.98 + 1e-4 * rng.normal()
        trial = Trial(data="mnist", lr=1e-3, epochs=5, seed=seed).flat()
        ends = {"val_acc": acc, "train_acc": acc + 0.009, "acc_gap": 0.009 + 1e-5 * seed}
        rows.append({**trial, **ends, "status": "ok", "key": str(seed)})
        running = acc + 0.003 + 1e-5 * seed
        lines.append({"key": str(seed), "epoch": 1, "val_acc": acc, "running_acc": running})
    runs, curves = pd.DataFrame(rows), pd.DataFrame(lines)
    verdict = judging.verdict("S4-04", runs, curves=curves)

    assert verdict.finding.outcome == "supported"
    assert verdict.finding.beside.outcome == "contradicted"
    assert "judged by that alone it would count as contradicted" in verdict.reason
    assert kinds.evaluate(BOOK["S4-04"], runs, curves).beside is None
