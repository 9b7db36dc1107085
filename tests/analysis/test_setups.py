"""Set-ups of a report that names none: what is tried, and which of them fit."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from hplab.analysis.claims import judging, ledger, setups
from hplab.analysis.claims.verdict import Verdict
from hplab.training import datasets, loop
from hplab.training.networks import models
from hplab.trial import HplabError, Trial

BASE = Trial(data="mnist", model="cnn", optimizer="adam", batch_size=64, epochs=5)
TRIED = setups.trials("004", BASE)


def channels_of(trial):
    return str(trial.argument("model", "channels")) if trial.model == "cnn" else ""


def test_the_set_ups_of_report_004_are_those_fixed_before_any_was_trained():
    """Every network with every scaling, and with both dropouts at the plainest scaling."""
    found = {
        (t.model, channels_of(t), t.normalize, t.argument("model", "dropout"))
        for some in TRIED.values()
        for t in some
    }
    networks = [("cnn", "[32, 64]"), ("cnn", "[32]"), ("mlp", "")]
    plain = {(*n, how, 0.0) for n in networks for how in ("standard", "unit", "symmetric")}
    dropped = {(*n, "unit", p) for n in networks for p in (0.25, 0.5)}

    assert found == plain | dropped
    assert len(TRIED) == 15
    assert {len(some) for some in TRIED.values()} == {15}
    assert {t.lr for t in TRIED["one convolution, 0 to 1"]} == {1e-3, 5e-4, 1e-4}


def test_the_first_set_up_is_the_one_the_study_has_always_used():
    assert TRIED["two convolutions, standardized"][0] == BASE.replace(lr=1e-3, seed=0)


def test_every_set_up_has_the_stated_hidden_units():
    assert {str(t.argument("model", "hidden")) for some in TRIED.values() for t in some} == {
        "128",
        "[128]",
    }


@pytest.mark.parametrize("name", TRIED)
def test_every_set_up_trains_in_lanes_as_it_does_alone(name):
    lanes = [t.replace(data="digits", n_train=128, epochs=1) for t in TRIED[name][::7]]
    digits = datasets.load("digits")
    network = models.build(lanes[0], (1, 8, 8), 10)
    together = loop.train_lanes(lanes, digits)
    alone = [loop.train(trial, digits) for trial in lanes]

    assert loop.can_stack(lanes[0], network)
    for one, other in zip(together, alone, strict=True):
        assert one.curves["running_loss"] == pytest.approx(other.curves["running_loss"], rel=1e-4)
        torch.testing.assert_close(
            list(one.model.parameters()), list(other.model.parameters()), rtol=1e-3, atol=1e-4
        )


def test_a_report_without_set_ups_is_refused():
    with pytest.raises(HplabError, match="unknown report '001'.*known: 004"):
        setups.trials("001", BASE)


# ------------------------------------------------------------------------------- which of them fit

REPORT = setups.of("004")
SPREAD = {"acc": 0.0005, "loss": 0.001}


def made_up(shift=0.0, *, seed=0, n_seeds=5, scale=1.0):
    """Runs of one set-up around the printed numbers, `shift` spreads better in everything.

    Training evaluated after the epoch is far better than running.
    """
    rng, rows, lines = np.random.default_rng(seed), [], []
    for run in REPORT.published:
        for number in range(n_seeds):
            trial = BASE.replace(lr=run["lr"], seed=number).flat()
            ends = {}
            for name in ("train_acc", "train_loss", "val_acc", "val_loss"):
                kind = name.rpartition("_")[2]
                better = 1 if kind == "acc" else -1
                ends[name] = run[name] + SPREAD[kind] * (better * shift + scale * rng.normal())
            key = f"{seed}-{run['lr']}-{number}"
            running = {"running_acc": ends["train_acc"], "running_loss": ends["train_loss"]}
            lines += [{"key": key, "epoch": e, **ends, **running} for e in (1, 2, 3, 4, 5)]
            ends |= {"train_acc": 0.9999, "train_loss": 0.0001}
            rows.append({**trial, **ends, "status": "ok", "key": key, "arm_epochs": 5})
    return pd.DataFrame(rows), pd.DataFrame(lines)


def tables(**shifts):
    """Runs of set-ups by name, and the curves of all of them."""
    found = {name: made_up(shift, seed=i) for i, (name, shift) in enumerate(shifts.items())}
    return {n: runs for n, (runs, _) in found.items()}, pd.concat([c for _, c in found.values()])


def test_a_set_up_fits_if_it_gives_all_twelve_numbers_by_running_metrics():
    made, curves = tables(right=0, near=1, far=30)
    compared = setups.compare(made, REPORT, curves)
    told = setups.summary(compared).set_index("set-up")

    assert len(compared) == 3 * 12
    assert setups.fitting(compared) == ["right", "near"]
    assert told.loc["right", "numbers met"] == "12 of 12"
    assert told.loc["right", "training evaluated"] == "6 of 12"
    assert told.loc["right", "missed"] == "none"
    assert told.loc["far", "missed"] == "6 in training, 6 in validation"


def test_what_fits_stands_first_in_the_table():
    made, curves = tables(far=30, right=0)
    told = setups.summary(setups.compare(made, REPORT, curves))

    assert told["set-up"].tolist() == ["right", "far"]
    assert told["fits"].tolist() == ["yes", "no"]


def test_one_number_missed_is_enough_to_be_dismissed():
    (runs, curves), name = made_up(), "right"
    low = runs["lr"] == 1e-4
    runs.loc[low, "val_loss"] += 0.5

    assert setups.fitting(setups.compare({name: runs}, REPORT, curves)) == []


def test_a_set_up_without_all_its_runs_is_not_judged():
    runs, curves = made_up()
    diverged = runs.assign(status=["diverged", *["ok"] * (len(runs) - 1)])

    for part in (runs.iloc[1:], diverged, runs.iloc[:0]):
        assert not setups.whole(part, REPORT)
        assert setups.compare({"part": part}, REPORT, curves).empty


def test_only_the_first_five_seeds_count():
    runs, curves = made_up(n_seeds=8)
    far = runs["seed"] >= setups.N_SEEDS
    moved = runs.assign(val_acc=runs["val_acc"].where(~far, 0.5))
    one, other = (setups.compare({"x": r}, REPORT, curves) for r in (runs, moved))

    pd.testing.assert_frame_equal(one, other)


def test_the_right_set_up_is_dismissed_in_at_most_one_world_of_twenty():
    """300 worlds in which the report's run is one more run of the set-up, numbers independent."""
    rng, missed = np.random.default_rng(1), 0
    for world in range(300):
        runs, curves = made_up(seed=world)
        published = [
            {**run, **{n: run[n] + SPREAD[n.rpartition("_")[2]] * rng.normal() for n in run
                       if n.endswith(("_acc", "_loss"))}}
            for run in REPORT.published
        ]  # fmt: skip
        report = dataclasses.replace(REPORT, published=tuple(published))
        missed += not setups.fitting(setups.compare({"right": runs}, report, curves))
    assert 0 < missed / 300 <= 0.05 + 2 * (0.05 * 0.95 / 300) ** 0.5


# ------------------------------------------------------------------------------- robust verdicts

NAMES = ("one convolution, 0 to 1", "no convolution, 0 to 1")


def judged(own, made, curves, claim_id="S4-09"):
    """The verdict on our own runs, and what is left of it."""
    book = ledger.load()
    found = judging.evaluate(book[claim_id], own, curves)
    verdict = Verdict(book[claim_id], found.outcome, "Because.", "re-run", finding=found)
    [left] = setups.robust([verdict], made, curves)
    return verdict, left


def test_a_verdict_that_is_the_same_under_every_fitting_set_up_is_kept():
    own, own_curves = made_up(seed=50)
    made, curves = tables(**dict.fromkeys(NAMES, 0))
    before, after = judged(own, made, pd.concat([curves, own_curves]))

    assert before.outcome == after.outcome == "supported"
    assert "2 set-ups tried so far, of 15, 2 fit the report's numbers; the verdict is the same" in (
        after.reason
    )


def test_a_verdict_hangs_on_the_reconstruction_if_one_fitting_set_up_disagrees():
    """At S4-09's margin the wide set-up fits too and decides nothing."""
    own, own_curves = made_up(seed=50)
    wide, wide_curves = made_up(seed=51, scale=40)
    made, curves = tables(**{NAMES[0]: 0})
    every = pd.concat([curves, own_curves, wide_curves])
    before, after = judged(own, {**made, NAMES[1]: wide}, every)

    assert before.outcome == "supported"
    assert after.outcome == "inconclusive"
    assert "and stays open with \u201cno convolution, 0 to 1\u201d." in after.reason
    assert "it would be supported; as that may be the wrong one, the verdict stays open" in (
        after.reason
    )
    assert {name: found.outcome for name, found in after.under.items()} == {
        NAMES[0]: "supported",
        NAMES[1]: "inconclusive",
    }


def test_if_no_set_up_fits_verdicts_are_about_our_network_and_say_so():
    own, own_curves = made_up(seed=50)
    made, curves = tables(**dict.fromkeys(NAMES, 30))
    _, after = judged(own, made, pd.concat([curves, own_curves]))

    assert after.outcome == "supported"
    assert "None of the 2 set-ups tried so far, of 15, gives all" in after.reason
    assert "about our network" in after.reason


def test_what_was_not_run_with_a_fitting_set_up_is_not_decided_by_it():
    made, curves = tables(**{NAMES[0]: 0})
    book = ledger.load()
    verdict = Verdict(book["S4-13"], "supported", "Because.", "re-run")
    [left] = setups.robust([verdict], made, curves)

    assert left.outcome == "inconclusive"
    assert "has not been run with them" in left.reason


def test_verdicts_of_other_reports_and_before_any_set_up_is_run_pass_through():
    own, curves = made_up(seed=50)
    before, after = judged(own, {}, curves)
    other = Verdict(ledger.load()["S1-08"], "supported", "Because.", "re-run")

    assert after == before
    assert list(setups.robust([other], {}, curves)) == [other]
