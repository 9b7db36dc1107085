"""What to train next: nearest to a verdict first, each trial paid for once."""

import dataclasses
import json

import pytest
from synthetic_records import SGD_ON_PHOTOS

from hplab.analysis.claims import ledger, wanted
from hplab.pages.tables import plan
from hplab.trial import TASK, HplabError, Trial, grid

BOOK = ledger.load()
DECLARED = grid(SGD_ON_PHOTOS, lr=[1e-3, 1e-4], seed=range(20))
NEAR = {"outcome": "inconclusive", "kind": "re-run", "n": 3}


def wants(ids, verdicts, *, done=3, declared=DECLARED, seconds=lambda trial: 600.0):
    claims = [BOOK[name] for name in ids]
    return wanted.wants(claims, declared, verdicts, lambda t: t.seed < done, seconds)


def said(want):
    return [(trial.lr, trial.seed) for trial in want.trials]


def test_the_next_seeds_of_both_settings_are_what_a_claim_needs():
    (want,) = wants(["S0-18"], {"S0-18": {**NEAR, "more_seeds": 2}})
    assert (want.n, want.more, want.chance) == (3, 2, 0.8)
    assert said(want) == [(1e-3, 3), (1e-4, 3), (1e-3, 4), (1e-4, 4)]
    assert want.seconds == 2400.0
    assert want.worth == pytest.approx(0.8 / 40)


def test_declared_trials_in_another_number_format_bring_no_verdict_nearer():
    verdicts = {"S0-18": {**NEAR, "more_seeds": 2}}
    mixed = [trial.replace(precision="bf16") for trial in DECLARED]

    assert wants(["S0-18"], verdicts, declared=[*mixed, *DECLARED]) == wants(["S0-18"], verdicts)
    assert wants(["S0-18"], verdicts, declared=mixed) == []


def test_seeds_that_lack_one_setting_are_filled_up_first():
    have = {(1e-3, 9), *((lr, seed) for lr in (1e-3, 1e-4) for seed in range(3))}
    (want,) = wanted.wants(
        [BOOK["S0-18"]],
        DECLARED,
        {"S0-18": {**NEAR, "more_seeds": 2}},
        lambda trial: (trial.lr, trial.seed) in have,
        lambda trial: 600.0,
    )
    assert said(want) == [(1e-3, 3), (1e-4, 3), (1e-4, 9)]


def test_a_claim_that_shares_trials_pays_for_them_once_and_says_what_it_needs():
    verdicts = {"S0-18": {**NEAR, "more_seeds": 2}, "S0-19": {**NEAR, "more_seeds": 3}}
    first, second = wants(["S0-19", "S0-18"], verdicts)
    assert [want.claim.id for want in (first, second)] == ["S0-18", "S0-19"]  # primary, nearer
    assert said(second) == [(1e-3, 5), (1e-4, 5)]
    assert second.shared == {trial.identity() for trial in first.trials}
    kept, left = plan.within([second], 1e9)
    assert (kept, left) == ([], [second])  # of no use without what it shares
    assert plan.within([first, second], 3000.0) == ([first], [second])
    assert plan.within([first, second], None) == ([first, second], [])


def test_settled_claims_are_done_and_hopeless_ones_come_last():
    verdicts = {
        "S0-18": {**NEAR, "outcome": "supported", "more_seeds": None},
        "S0-19": {**NEAR, "more_seeds": None},
    }
    (want,) = wants(["S0-18", "S0-19"], verdicts)
    assert (want.claim.id, want.chance, want.worth) == ("S0-19", None, 0.0)
    assert want.more == 17
    assert plan.within([want], None) == ([], [want])


def test_a_first_look_needs_the_fewest_seeds_and_has_the_chance_that_looks_had():
    looked = {f"S4-0{i}": {**NEAR, "outcome": "inconclusive"} for i in range(1, 6)}
    looked["S4-09"] = {**NEAR, "outcome": "supported"}
    (want,) = wants(["S0-18"], looked, done=0)
    assert (want.more, len(want.trials)) == (BOOK["S0-18"].min_seeds, 6)
    assert want.chance == pytest.approx(2 / 8)  # one of six, and one more each


def test_a_claim_that_no_study_declares_trials_for_is_not_planned():
    assert wants(["S4-06"], {}) == []


def record(trial, seconds, *, device="cpu", **changes):
    return {
        "task": TASK,
        "config": {**trial.replace(**changes).config()},
        "cost": {"train_s": seconds - 1.0, "eval_s": 1.0, "device": device},
    }


def test_costs_are_those_of_the_longest_of_its_like():
    short = record(SGD_ON_PHOTOS, 60.0, epochs=2)  # half a minute an epoch: mostly its beginning
    long = [
        record(SGD_ON_PHOTOS, 1000.0),
        record(SGD_ON_PHOTOS, 1400.0),
        record(SGD_ON_PHOTOS, 1200.0, epochs=60),
    ]
    of = wanted.costs([short, *long], "cpu")
    assert of(SGD_ON_PHOTOS) == pytest.approx(1400.0)  # 10, 14 and 20 s an epoch
    assert of(SGD_ON_PHOTOS.replace(epochs=50, batch_size=64)) == pytest.approx(700.0)
    assert of(SGD_ON_PHOTOS.replace(data="mnist")) is None
    assert wanted.costs([short, *long], "cuda")(SGD_ON_PHOTOS) is None
    assert (
        wanted.costs([record(SGD_ON_PHOTOS, 100.0, device="cuda:0")], "cuda")(SGD_ON_PHOTOS)
        == 100.0
    )


def test_what_no_record_tells_the_time_of_is_in_no_budget():
    (want,) = wants(["S0-18"], {"S0-18": {**NEAR, "more_seeds": 2}}, seconds=lambda trial: None)
    assert (want.seconds, want.worth) == (None, 0.0)
    text = plan.text([want], 3600.0, "cpu")
    assert "have no record like them, so how long they take is not known: S0-18" in text


def test_the_table_says_what_and_why_and_the_json_has_the_trials():
    verdicts = {"S0-18": {**NEAR, "more_seeds": 2}, "S0-19": {**NEAR, "more_seeds": None}}
    found = wants(["S0-18", "S0-19"], verdicts)
    lines = plan.text(found, None, "cpu", workers=2).splitlines()
    assert lines[1].split()[:9] == ["S0-18", "yes", "n", "=", "3", "+2", "4", "0.3", "80"]
    assert lines[3] == "in all 4 trials, 0.3 hours on 2 cores; 0.0 kWh if a core takes 15 W"
    assert lines[4].endswith("will probably not be settled by the seeds that are planned: S0-19")
    first = json.loads(plan.as_json(found))[0]
    again = [Trial.from_config(one["config"], one["seed"]) for one in first["trials"]]
    assert [t.identity() for t in again] == [t.identity() for t in found[0].trials]
    assert "do not fit into the budget: S0-18" in plan.text(found, 60.0, "cpu")
    free = dataclasses.replace(found[0], trials=(), seconds=0.0)
    assert "are served by the same trials: S0-18" in plan.text([free], None, "cpu")


@pytest.mark.parametrize(("said", "seconds"), [("170m", 10200), ("3h", 10800), ("1.5d", 129600)])
def test_budgets_are_times(said, seconds):
    assert plan.seconds_of(said) == seconds


@pytest.mark.parametrize("said", ["3", "h", "3 weeks", "-1h", "nanh", "infh", ""])
def test_what_is_no_time_is_refused(said):
    with pytest.raises(HplabError, match="is no time; write 45m, 3h or 2d"):
        plan.seconds_of(said)
