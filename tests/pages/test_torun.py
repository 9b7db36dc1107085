"""What a claim lacks is named with the study that trains it."""

import json
import re
from pathlib import Path

import pytest
from synthetic_records import SGD_ON_PHOTOS

from hplab.analysis.claims import ledger, rerun, wanted
from hplab.analysis.claims.verdict import Verdict
from hplab.pages.tables import torun
from hplab.sweeps import declared
from hplab.trial import grid

ROOT = Path(__file__).resolve().parents[2]
BOOK = ledger.load()
DECLARED = grid(SGD_ON_PHOTOS, lr=[1e-3, 1e-4], seed=range(20))


@pytest.fixture(scope="module")
def lacks():
    return torun.of_book(ROOT / "book", rerun.committed_store())[0]


def test_the_study_that_is_named_declares_every_run_that_a_claim_lacks(lacks):
    mine = {}
    for study, trial in declared.read(ROOT / "book" / "trials.jsonl"):
        mine.setdefault(study, set()).add(trial.identity())
    for name, lack in lacks.items():
        theirs = set().union(*(mine[study] for study in lack.studies))
        assert {trial.identity() for trial in lack.planned} <= theirs, name
        for study in lack.studies:  # and none is named in vain
            assert not lack.planned or any(t.identity() in mine[study] for t in lack.planned), name


def test_a_study_that_is_named_is_a_page_and_every_claim_to_come_has_one(lacks):
    pages = {path.stem for path in (ROOT / "book" / "studies").glob("*.md")}
    verdicts = json.loads((ROOT / "book" / "verdicts.json").read_text())
    for claim in BOOK:
        if claim.test.type != "none" and verdicts.get(claim.id, {}).get("kind") != "re-run":
            assert lacks[claim.id].studies, claim.id
            assert set(lacks[claim.id].studies) <= pages, claim.id


def test_a_study_that_only_looks_up_the_runs_of_another_is_not_named(lacks):
    """Study 1 shows report 001's rates, which study 3 trains."""
    assert BOOK["S1-08"].study == "learning-rate"
    assert lacks["S1-08"].studies == ("03-schedules",)
    assert lacks["S1-35"].studies == ("05-activations", "03-schedules")


def lack(have=(), studies=("01-a",), claim="S0-18"):
    trials = [(study, trial) for study in studies for trial in DECLARED]
    recorded = {trial.identity() for trial in have}
    return wanted.lacks([BOOK[claim]], trials, lambda t: t.identity() in recorded)[claim]


def test_a_first_verdict_takes_the_seeds_that_lack_least():
    have = [trial for trial in DECLARED if trial.seed == 7 or (trial.seed == 9 and trial.lr < 5e-4)]
    found = lack(have)

    assert found.n_seeds == 3
    assert sorted((t.seed, t.lr) for t in found.first) == [(0, 1e-4), (0, 1e-3), (9, 1e-3)]
    assert len(found.planned) == 2 * 20 - 3
    assert lack(DECLARED).planned == ()


def test_of_studies_that_declare_the_same_the_claim_s_own_is_named():
    assert lack(studies=("01-a", "09-learning-rate")).studies == ("09-learning-rate",)
    assert lack(studies=("02-b", "01-a")).studies == ("01-a",)
    assert lack(claim="S1-08").studies == ()


def test_where_one_study_has_not_all_of_them_two_are_named():
    trials = [("01-a" if trial.lr < 5e-4 else "02-b", trial) for trial in DECLARED]
    found = wanted.lacks([BOOK["S0-18"]], trials, lambda _: False)["S0-18"]
    assert found.studies == ("01-a", "02-b")


def test_a_seed_of_which_a_setting_is_not_declared_is_no_seed_of_the_claim():
    more = [("01-a", SGD_ON_PHOTOS.replace(lr=1e-3, seed=seed)) for seed in range(20, 40)]
    trials = [("01-a", trial) for trial in DECLARED] + more
    have = {trial.identity() for trial in DECLARED if trial.seed}
    found = wanted.lacks([BOOK["S0-18"]], trials, lambda t: t.identity() in have)["S0-18"]
    assert {trial.seed for trial in found.planned} == {0}


def said(hours):
    missing = Verdict(
        BOOK["S0-18"], "missing", "None.", small=Verdict(BOOK["S0-18"], "supported", "")
    )
    return re.sub(r"<[^>]+>", "", torun.fold(missing, lack(), lambda _: hours))


def test_the_fold_counts_runs_and_hours():
    assert said(3600.0 * 500) == (
        "our re-run, make execute STUDY=01-a PRESET=paper, which trains all of that study. This "
        "claim lacks 6 runs (about 3,000 hours of one core) for a first verdict (3 seeds), and 40 "
        "runs (about 20,000 hours of one core) for all 20 planned seeds."
    )
    assert "6 runs (about 1.8 hours of one core)" in said(1080.0)
    assert "6 runs (nobody has timed any like them)" in said(None)


def test_what_claims_wait_for_is_counted_once():
    names = ("S0-18", "S0-19")  # both need the same runs
    verdicts = [Verdict(BOOK[name], "missing", "None.") for name in names]
    lacks = {name: lack(claim=name) for name in names}

    assert torun.waiting(verdicts, lacks, lambda _: 7200.0) == (
        "2 claims wait because their runs are dear: a first verdict on each takes 6 runs, about 12 "
        "hours of one processor core, and all planned seeds 40 runs, about 80 hours."
    )
    assert torun.waiting([], lacks, lambda _: 1.0) == "No claim waits for its runs."
