"""Questions about anybody's runs: the numbers are those of the book's claims, or a refusal."""

import dataclasses
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import hplab as hp
from hplab.analysis.claims import judging
from hplab.analysis.claims.grammar import Arm, Arms, Size
from hplab.analysis.claims.kinds.contrasts import Direction, Equivalence, Sign
from hplab.analysis.claims.kinds.grids import Trend
from hplab.analysis.claims.ledger import Ledger, load
from hplab.analysis.claims.quantities import Quantity
from hplab.analysis.judge import arms, resolve
from hplab.analysis.judge import question as asking
from hplab.analysis.judge.judge import LAST_LOOK, judge
from hplab.analysis.judge.judgement import MOST
from hplab.analysis.judge.overview import overview
from hplab.analysis.stats import power, sequential
from hplab.analysis.stats.intervals import holm
from hplab.errors import HplabError
from hplab.sweeps import foreign


def table(n=5, lrs=(1e-4, 1e-3, 1e-2), *, sd=0.002, gain=0.01, draw=0, **columns):
    """Runs of a reader: accuracy rises by `gain` a decade; seeds share half of their luck."""
    rng = np.random.default_rng(draw)
    luck = rng.normal(0, sd, n)
    rows = [
        {"lr": lr, "seed": s, "val_acc": 0.9 + gain * i + luck[s] + rng.normal(0, sd), **columns}
        for i, lr in enumerate(lrs)
        for s in range(n)
    ]
    return pd.DataFrame(rows)


# ------------------------------------------------------------------ the book's own claims


@pytest.fixture(scope="module")
def recorded():
    base = hp.Trial(data="mnist", model="cnn", optimizer="adam", batch_size=64, epochs=5)
    return hp.recorded(hp.grid(base, lr=[1e-3, 5e-4, 1e-4], seed=range(20)), preset="paper")


@pytest.mark.parametrize(
    ("claim", "question"),
    [
        ("S4-08", "val_acc at lr=1e-3 is higher than lr=5e-4 by 0.1 pp"),
        ("S4-09", "running_loss at lr=1e-4 is higher than lr=1e-3 by 0.02"),
        ("S4-17", "lr=1e-3 is best in val_acc"),
        ("S4-18", "val_acc at lr=1e-3 reaches 98 % sooner than lr=5e-4 by 0.3 epochs"),
    ],
)
def test_a_claim_of_the_book_gets_the_books_numbers(recorded, claim, question):
    theirs, ours = hp.claims.verdict(claim, recorded), judge(recorded, question)
    assert ours.finding.evidence == theirs.finding.evidence
    assert ours.p == theirs.p
    assert ours.interval == theirs.interval
    assert ours.finding.outcome == theirs.finding.outcome
    assert ours.n == (20,) * len(ours.asked.arms)
    assert len(ours.runs) == 20 * len(ours.asked.arms)


ARMS = [Arm({"lr": lr, "epochs": 5}) for lr in (1e-4, 5e-4, 1e-3)]
ACC = Quantity("val_acc")


@pytest.mark.parametrize(
    ("question", "test"),
    [
        (
            "val_acc at lr=1e-3 is within 0.2 pp of lr=5e-4",
            Equivalence(quantity=ACC, first=ARMS[2], second=ARMS[1], margin=Size(0.2, "pp")),
        ),
        (
            "val_acc at lr=1e-3 reaches 98.5 %",
            Sign(quantity=ACC, arms=Arms((ARMS[2],)), way="up", margin=Size(98.5, "pp")),
        ),
        (
            "val_loss falls with lr",
            Trend(
                x="lr",
                levels=(1e-4, 5e-4, 1e-3),
                arm=Arm({"epochs": 5}),
                metrics={"val_loss": "down"},
                margin=Size(0, "nats"),
            ),
        ),
        (
            "val_loss at lr=1e-4 is higher than lr=1e-3 by a factor of 1.2",
            Direction(
                quantity=Quantity("val_loss", log=True),
                first=ARMS[0],
                second=ARMS[2],
                margin=Size(1.2, "ratio"),
            ),
        ),
    ],
)
def test_a_claim_with_another_test_gets_the_books_numbers(recorded, question, test):
    claim = dataclasses.replace(load()["S4-08"], test=test, primary=False)
    theirs = judging.verdict("S4-08", recorded, ledger=Ledger([claim]))
    ours = judge(recorded, question)
    assert ours.finding.evidence == theirs.finding.evidence
    assert ours.finding.interval == theirs.finding.interval
    assert ours.finding.outcome == theirs.finding.outcome


def test_a_plan_costs_what_it_costs_a_claim(recorded):
    claim = dataclasses.replace(load()["S4-08"], primary=False, seeds=40)
    theirs = judging.verdict("S4-08", recorded, ledger=Ledger([claim]))
    question = "val_acc at lr=1e-3 is higher than lr=5e-4 by 0.1 pp"
    assert judge(recorded, question, planned=40).outcome == theirs.outcome == "inconclusive"
    assert judge(recorded, question).outcome == "contradicted"


def test_the_rules_are_the_ledgers():
    claim = load()["S4-08"]
    assert (claim.alpha, claim.min_seeds) == (resolve.ALPHA, arms.MIN_SEEDS)
    assert claim.max_diverged_share == resolve.MAX_DIVERGED


# ------------------------------------------------------------------ runs made elsewhere


def test_paired_runs_are_a_paired_t_test():
    runs = table()
    wide = runs.pivot(index="seed", columns="lr", values="val_acc")
    theirs = stats.ttest_rel(wide[1e-3] - 0.005, wide[1e-4], alternative="greater")
    found = judge(runs, "val_acc at lr=0.001 beats lr=0.0001 by 0.5 pp")
    assert found.asked.paired
    assert found.finding.evidence.p_for == pytest.approx(min(1, 2 * theirs.pvalue))
    assert found.estimate == pytest.approx(100 * (wide[1e-3] - wide[1e-4]).mean())


def test_runs_with_other_seeds_are_welchs_test():
    runs = table()
    runs.loc[runs["lr"] == 1e-3, "seed"] += 100
    found = judge(runs, "lr=0.001 beats lr=0.0001")
    groups = [runs.loc[runs["lr"] == lr, "val_acc"] for lr in (1e-3, 1e-4)]
    theirs = stats.ttest_ind(*groups, equal_var=False)
    assert not found.asked.paired
    assert found.p == pytest.approx(theirs.pvalue)
    assert "Seeds do not match" in repr(found)
    same = judge(table().drop(columns="seed"), "lr=0.001 beats lr=0.0001")
    assert not same.asked.paired


def test_the_words_and_the_arguments_ask_the_same():
    runs = table()
    one = judge(runs, "val_acc at lr=0.001 beats lr=0.0001 by 0.2 pp")
    two = judge(runs, metric="val_acc", a={"lr": 1e-3}, b="lr=1e-4", margin="0.2 pp")
    assert (one.p, one.interval, one.outcome) == (two.p, two.interval, two.outcome)
    trend = judge(runs, metric="val_acc", x="lr", way="up")
    assert trend.p == judge(runs, "val_acc rises with lr").p
    assert judge(runs, a="lr=0.01").asked.question.kind == asking.BEST
    assert judge(runs, a="lr=0.01", target=0.9).asked.question.kind == asking.THRESHOLD


def test_a_file_is_as_good_as_its_table(tmp_path):
    runs, path = table(), tmp_path / "runs.csv"
    runs.to_csv(path, index=False)
    assert judge(path, "lr=0.01 is best").p == pytest.approx(judge(runs, "lr=0.01 is best").p)
    with pytest.raises(HplabError, match="were read already"):
        judge(foreign.of(runs), "lr=0.01 is best", seed="seed")


def test_the_side_that_is_better_turns_the_claim():
    runs = table().assign(val_loss=lambda rows: 1 - rows["val_acc"])
    acc, loss = (judge(runs, f"{y} at lr=0.001 beats lr=0.0001") for y in ("val_acc", "val_loss"))
    assert acc.finding.evidence.p_for == pytest.approx(loss.finding.evidence.p_for)
    assert acc.outcome == loss.outcome == "supported"
    assert "lower at lr 1e-3" in loss.sentence


def test_every_kind_says_yes_and_no():
    runs = table(8)
    for question, outcome in {
        "lr=0.01 beats lr=0.0001 by 0.5 pp": "supported",
        "lr=0.0001 beats lr=0.01": "contradicted",
        "lr=0.01 is within 5 pp of lr=0.0001": "supported",
        "lr=0.01 is within 0.1 pp of lr=0.0001": "contradicted",
        "val_acc improves with lr": "supported",
        "val_acc falls with lr": "contradicted",
        "lr=0.01 is best": "supported",
        "lr=0.0001 is best": "contradicted",
        "lr=0.01 reaches 0.9": "supported",
        "lr=0.01 is below 90 %": "contradicted",
        "one run of lr=0.01 beats one of lr=0.0001": "supported",
        "one run of lr=0.0001 beats one of lr=0.01": "contradicted",
    }.items():
        assert judge(runs, question).outcome == outcome, question
        assert judge(runs, f"{question}, unpaired").outcome == outcome, question


def test_time_to_a_level_is_read_off_curves_that_rise_or_fall():
    rows = [
        {"run": f"{lr}-{s}", "lr": lr, "seed": s, "epoch": e, "val_acc": acc, "val_loss": 1 - acc}
        for lr, pace in ((0.1, 0.2), (0.01, 0.1))
        for s in range(5)
        for e in range(1, 9)
        for acc in [pace * e / 2 + 0.003 * s]
    ]
    runs = pd.DataFrame(rows)
    acc = judge(runs, "val_acc at lr=0.1 reaches 0.3 sooner than lr=0.01")
    loss = judge(runs, "val_loss at lr=0.1 reaches 0.7 sooner than lr=0.01")
    assert acc.outcome == "supported"
    assert acc.estimate == pytest.approx(3.0, abs=0.1)
    assert loss.interval.estimate == pytest.approx(acc.interval.estimate)
    with pytest.raises(HplabError, match="read off learning curves"):
        judge(table(), "lr=0.01 reaches 0.9 sooner than lr=0.0001")


def test_several_questions_are_corrected_for_their_number():
    runs = table(4, sd=0.008)
    questions = [f"lr={a} beats lr={b}" for a, b in (("0.01", "0.001"), ("0.01", "1e-4"))]
    found = judge(runs, questions)
    assert [one.p_holm for one in found] == pytest.approx(list(holm([one.p for one in found])))
    assert judge(runs, questions[0]).p_holm is None


def test_what_one_question_settles_many_may_leave_open():
    runs = table(5, sd=0.008, draw=4)
    alone = judge(runs, "lr=0.01 beats lr=0.0001")
    many = judge(runs, ["lr=0.01 beats lr=0.0001", *["lr=0.001 is within 0.1 pp of lr=0.01"] * 9])
    assert alone.outcome == "supported"
    assert 10 * alone.p > 0.05
    assert many[0].outcome == "inconclusive"
    assert "over 10 questions of one call that is not enough" in repr(many[0])


def test_what_would_settle_it_is_the_power_of_its_test():
    runs = table(5, sd=0.02, gain=0.02)
    found = judge(runs, "lr=0.01 beats lr=0.0001")
    assert found.outcome == "inconclusive"
    n = 5 + found.more_seeds
    chance = found.finding.chance_of
    assert chance(n, 0.05 * LAST_LOOK) >= 0.8 > chance(n - 1, 0.05 * LAST_LOOK)
    assert f"(planned={n}, in a shell --planned {n})" in found.settles


def test_what_would_settle_it_never_asks_for_another_plan():
    runs = table(5, sd=0.02, gain=0.02)
    n = 5 + judge(runs, "lr=0.01 beats lr=0.0001").more_seeds
    far, near, done = (
        judge(runs, "lr=0.01 beats lr=0.0001", planned=planned) for planned in (3 * n, 6, 5)
    )
    assert far.settles.endswith(f"would settle it with a chance of 80 %; {3 * n} are planned.")
    assert near.settles.endswith("the 6 seeds that are planned would probably not settle it.")
    assert done.settles == "All 5 seeds that were planned are there, so it stays open."


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("lr=0.01 beats lr=0.001 by 1 pp", "differences are the same at every seed"),
        ("lr=0.01 is within 3 pp of lr=0.001", "differences are the same at every seed"),
        ("lr=0.01 is best", "differences are the same at every seed"),
        ("lr=0.01 beats lr=0.001 by 1 pp unpaired", "runs of a setting all have the same result"),
        ("val_acc at lr=0.01 reaches 80 %", "runs of a setting all have the same result"),
    ],
)
def test_runs_without_scatter_ask_whether_the_seed_is_used(question, words):
    """No number of seeds can be named where nothing scatters; six the same are a sign test."""
    runs = table(3, (1e-3, 1e-2), sd=0.0, gain=0.02)
    found = judge(runs, question)
    assert found.outcome == "inconclusive"
    assert found.settles == ""
    assert f"{words}, so nothing tells how far luck moves them. Is the seed used?" in repr(found)
    assert "Even 300 seeds" not in repr(found)
    many = judge(table(7, (1e-3, 1e-2), sd=0.0, gain=0.02), question)
    assert (many.outcome, "Is the seed used?" in repr(many)) == ("supported", True)
    assert "Is the seed used?" not in repr(judge(table(3, (1e-3, 1e-2)), question))


def test_the_last_look_at_the_longest_plan_leaves_that_much():
    assert sequential.levels(3, MOST, 0.05)[-1] == pytest.approx(0.05 * LAST_LOOK, rel=0.05)
    with pytest.raises(HplabError, match="at most 300 seeds, got 301"):
        judge(table(), "lr=0.01 beats lr=0.001", planned=MOST + 1)


def test_unfinished_runs_are_counted_and_pruned_ones_speak():
    runs = table(5).assign(state="finished")
    more = runs[runs["lr"] == 1e-2].assign(seed=lambda rows: rows["seed"] + 10, val_acc=0.1)
    crashed = judge(pd.concat([runs, more.assign(state="crashed")]), "lr=0.01 beats lr=0.001")
    pruned = judge(pd.concat([runs, more.assign(state="pruned")]), "lr=0.01 beats lr=0.001")
    alone = judge(runs, "lr=0.01 beats lr=0.001")
    assert crashed.p == alone.p
    assert "5 crashed at lr 0.01" in repr(crashed)
    assert (alone.outcome, pruned.outcome) == ("supported", "inconclusive")
    assert "5 of 10 runs at lr 0.01 were pruned" in repr(pruned)


@pytest.mark.parametrize("how", ["", " unpaired"])
def test_diverged_runs_keep_the_others_from_deciding(how):
    runs = table(10)
    runs.loc[(runs["lr"] == 1e-2) & (runs["seed"] < 2), "val_acc"] = np.nan
    found = judge(runs, f"lr=0.01 beats lr=0.001{how}")
    assert found.outcome == "inconclusive"
    assert "diverged" in repr(found)
    runs.loc[(runs["lr"] == 1e-2) & (runs["seed"] < 9), "val_acc"] = np.nan
    assert judge(runs, f"lr=0.01 beats lr=0.001{how}").outcome == "inconclusive"


@pytest.mark.parametrize("how", ["", " unpaired"])
def test_a_run_without_a_result_is_said_to_have_none(how):
    """An empty cell is not a run that its tracker calls diverged, though it counts as one."""
    runs = table(20).assign(status="ok")
    lost = runs.index[(runs["lr"] == 1e-2) & (runs["seed"] == 2)]
    runs.loc[lost, "val_acc"] = np.nan
    found = judge(runs, f"lr=0.01 beats lr=0.001{how}")
    assert f"1 run has no val_acc (row {lost[0] + 1}) and so counts as diverged." in repr(found)
    assert "diverged or lacks val_acc." in repr(found)
    few = judge(runs[runs["seed"] < 5], f"lr=0.01 beats lr=0.001{how}")
    assert few.why_open.startswith(
        f"1 {'run' if how else 'seed'} of 5 diverged or lacks val_acc, and at most 10 % may"
    )
    assert few.why_open in few.card().partition("<details>")[0]  # it is seen without a click
    diverged = runs.assign(state="ok")
    diverged.loc[lost, "state"] = "diverged"
    found = judge(diverged.drop(columns="status"), f"lr=0.01 beats lr=0.001{how}")
    assert "lacks val_acc" not in repr(found)
    assert "diverged." in repr(found)
    [lrs] = overview(foreign.of(runs)).comparisons
    assert lrs.values[0].lost == {"without a result": 1}


@pytest.mark.parametrize(("n_lost", "needed"), [(1, 5), (2, 15)])
def test_as_many_seeds_as_it_says_let_the_rest_decide(n_lost, needed):
    """With five seeds one lost is 20 %; with ten it is the 10 % that may be."""
    runs = table(40)
    lost = runs.index[(runs["lr"] == 1e-2) & (runs["seed"] < n_lost)]
    runs.loc[lost, "val_acc"] = np.nan
    few = judge(runs[runs["seed"] < 5], "lr=0.01 beats lr=0.001")
    assert f"With {needed} more seeds of each setting that all finish" in few.why_open
    assert judge(runs[runs["seed"] < 4 + needed], "lr=0.01 beats lr=0.001").why_open
    enough = judge(runs[runs["seed"] < 5 + needed], "lr=0.01 beats lr=0.001")
    assert (enough.outcome, enough.why_open) == ("supported", "")
    assert "Up to 10 % may be lost in this way." in repr(enough)


def test_a_sentence_names_what_all_the_runs_have():
    """Two answers in one report differ in their condition alone."""
    runs = pd.concat([table(5).assign(batch_size=size) for size in (32, 128)], ignore_index=True)
    found = judge(runs, ["lr=0.01 beats lr=0.001 where batch_size=128"])[0]
    assert found.sentence.endswith("at lr 0.01 than at lr 1e-3, with batch size 128.")
    named = judge(runs, "lr=0.01, batch_size=32 beats lr=0.001, batch_size=32")
    assert named.sentence.endswith("at lr 0.01 than at lr 1e-3, with batch size 32.")
    other = judge(runs, "lr=0.01, batch_size=32 beats lr=0.001, batch_size=128")
    assert "with" not in other.sentence
    assert "with" not in judge(table(5), "lr=0.01 beats lr=0.001").sentence
    assert judge(runs, a="lr=0.01", b="lr=0.001", where="batch_size=32").sentence == named.sentence


@pytest.mark.parametrize(
    ("runs", "arguments", "said"),
    [
        (None, {}, "a DataFrame with a row a run, or the name of a file; got NoneType"),
        (5, {}, "got int"),
        ([], {}, "got list"),
        (table(5), {"question": 5}, "a question is text, as in .*; got 5"),
        (table(5), {"question": ["a", 5]}, "a question is text"),
        (table(5), {"question": "lr=0.01 beats lr=0.001 by 1e999 pp"}, "that is not infinite"),
        (table(5), {"metric": 5}, "unknown metric 5 in the runs"),
        (table(5).assign(val_acc=1j), {}, "val_acc holds complex numbers"),
        (table(5), {"planned": "20"}, "planned is a whole number of seeds, got '20'"),
    ],
)
def test_what_is_no_table_or_no_question_is_one_line(runs, arguments, said):
    with pytest.raises(HplabError, match=said):
        judge(runs, **{"question": "lr=0.01 beats lr=0.001", **arguments})


def test_a_list_of_runs_is_a_table():
    runs = table(5)
    claim = "lr=0.01 beats lr=0.001"
    assert repr(judge(runs.to_dict("records"), claim)) == repr(judge(runs, claim))


def test_a_run_that_was_pasted_twice_is_told_where_runs_are_not_paired():
    runs = table(5)
    twice = pd.concat([runs, runs], ignore_index=True)
    with pytest.raises(HplabError, match="and the same result: drop the rows that are there twice"):
        judge(twice, "lr=0.01 beats lr=0.001")
    found = judge(twice, "lr=0.01 beats lr=0.001", pair=False)
    assert any("are those of another row" in one for one in found.remarks)
    one = judge(runs, "lr=0.01 beats lr=0.001", pair=False)
    assert not any("another row" in one for one in one.remarks)


def test_what_p_is_about_and_which_seeds_count_are_said():
    runs = table(5, (1e-3, 1e-2))
    assert (
        "(tested against the margin, not against no difference)"
        in judge(runs, "lr=0.01 beats lr=0.001 by 0.9 pp").basis
    )
    assert "tested against" not in judge(runs, "lr=0.01 beats lr=0.001").basis
    found = judge(runs.drop(index=4), "lr=0.01 beats lr=0.001")
    assert "A seed counts if every setting has it: lr 1e-3 lacks seed 4. Runs of" in repr(found)
    turned = judge(runs, "lr=0.001 beats lr=0.01")
    assert (
        turned.sentence == "The runs contradict that val_acc is higher at lr 1e-3 than at lr 0.01."
    )


def test_it_says_which_rows_it_rests_on():
    found = judge(table(5), "lr=0.01 beats lr=0.001")
    assert found.runs["row"].tolist() == list(range(6, 16))
    assert "lr 0.01: 11 to 15; lr 1e-3: 6 to 10" in found.rests_on
    turned = judge(table(5), "lr=0.01 is lower than lr=0.001")
    assert "lr 1e-3: 6 to 10; lr 0.01: 11 to 15" in turned.rests_on


def test_a_bare_value_names_the_only_setting_that_has_it():
    runs = pd.concat([table(4).assign(opt="adam"), table(4, gain=0).assign(opt="sgd")])
    found = judge(runs, "adam is within 9 pp of sgd where lr=0.01")
    assert found.asked.arms == ({"opt": "adam"}, {"opt": "sgd"})


def test_arguments_that_one_setting_alone_has_belong_to_it():
    adam, sgd = table(4).assign(opt="adam", beta1=0.9), table(4).assign(opt="sgd", momentum=0.5)
    runs = pd.concat([adam, sgd]).query("lr == 0.01")
    assert judge(runs, "opt=adam is within 9 pp of opt=sgd").outcome == "supported"


@pytest.mark.parametrize(
    "question",
    [
        "Validation Accuracy at learning rate=0.01 beats learning rate=0.001 by 0.2 pp",
        "validation_accuracy at learning_rate=0.01 beats Learning_Rate=0.001 by 0,2 pp",
        "'Validation Accuracy' at \"learning rate\"=0,01 beats 'learning rate'=0,001 by 0.2 pp",
        "VALIDATION ACCURACY at learning  rate = 0.01 is higher than learning rate=1e-3 by 0,2pp",
    ],
)
def test_names_of_several_words_are_read_however_they_are_spelled(question):
    plain = judge(table(), "val_acc at lr=0.01 beats lr=0.001 by 0.2 pp")
    runs = table().rename(columns={"lr": "learning rate", "val_acc": "Validation Accuracy"})
    found = judge(runs, question)
    assert (found.outcome, found.p, found.interval) == (plain.outcome, plain.p, plain.interval)
    assert found.asked.question.text == " ".join(question.split())
    rises = judge(runs, "Validation Accuracy rises with Learning Rate")
    assert rises.p == judge(table(), "val_acc rises with lr").p


def test_arguments_name_columns_of_several_words_too():
    runs = table(bs=8).rename(columns={"lr": "learning rate", "val_acc": "Val Acc"})
    runs = runs.rename(columns={"bs": "batch size"})
    said = {"metric": "val_acc", "margin": "0,2 pp", "where": "batch size=8"}
    found = judge(runs, a="learning rate=0,01", b={"learning_rate": 0.001}, **said)
    plain = judge(table(), "lr=0.01 beats lr=0.001 by 0.2 pp")
    assert (found.p, found.interval) == (plain.p, plain.interval)
    # Two columns that differ in upper case alone are told apart only as they are written.
    twice = table(LR=1)
    assert judge(twice, "lr=0.01 beats lr=0.001").outcome == "supported"
    with pytest.raises(HplabError, match="unknown setting 'Lr'"):
        judge(twice, "Lr=0.01 beats Lr=0.001")


def test_a_comma_that_may_divide_thousands_is_no_decimal_comma():
    with pytest.raises(HplabError, match=r"margin '2,125 pp'; write 0.2 pp, .* no share, 0.01"):
        judge(table(), "lr=0.01 beats lr=0.001 by 2,125 pp")


REFUSED = [
    ("lr=0.01 beets lr=0.1", {}, "cannot read the question"),
    ("lr=0.01 beats lr=0.1", {}, "no run has lr 0.1; lr is 1e-4, 1e-3 and 0.01"),
    ("lr=0.01 beats lr=0.01", {}, "both sides are lr 0.01"),
    ("lrr=0.01 beats lr=0.001", {}, "unknown setting 'lrr' in the runs; known: lr; did you mean"),
    ("val_ac at lr=0.01 beats lr=0.001", {}, "did you mean 'val_acc'"),
    ("lr=0.01 beats lr=0.001 by 0.2", {}, "could be 0.2 pp or 20 pp"),
    ("lr=0.01 beats lr=0.001 by 2 %", {}, "write 2 pp"),
    ("lr=0.01 beats lr=0.001 by 2 furlongs", {}, "unknown unit 'furlongs'"),
    ("lr=0.01 beats lr=0.001", {"margin": -1}, "must not be negative"),
    ("lr=0.01 is best", {"margin": "1 pp"}, "takes no margin"),
    ("adam beats sgd", {}, "unknown value 'adam' in the settings"),
    ("score at lr=0.01 beats lr=0.001", {"metrics": 1}, "better='higher' or 'lower'"),
    ("lr=0.01 beats lr=0.001", {"better": "up"}, "unknown side 'up'"),
    ("lr=0.01 beats lr=0.001 where seed=1", {}, "unknown setting 'seed'"),
]


@pytest.mark.parametrize(("question", "more", "said"), REFUSED)
def test_what_cannot_be_judged_is_refused_in_a_line(question, more, said):
    runs = table(4)
    if more.pop("metrics", None) or "score" in question:
        runs["score"] = runs["val_acc"]
        runs = foreign.of(runs, metrics=["score"])
    with pytest.raises(HplabError, match=said.replace("(", r"\(")) as caught:
        judge(runs, question, **more)
    assert "\n" not in str(caught.value)


def test_one_seed_a_side_is_refused():
    with pytest.raises(HplabError, match="lr 0.01 has 1 run, .* train at least 3 seeds"):
        judge(table(1), "lr=0.01 beats lr=0.001")


def test_pairing_needs_seeds_that_match():
    runs = table(4)
    runs.loc[runs["lr"] == 1e-2, "seed"] += 10
    with pytest.raises(HplabError, match=r"seeds do not match \(lr 0.01 has 10 to 13; lr 1e-3 has"):
        judge(runs, "lr=0.01 beats lr=0.001 paired")
    with pytest.raises(HplabError, match="no column of seeds"):
        judge(runs.drop(columns="seed"), "lr=0.01 beats lr=0.001", pair=True)


def test_what_else_differs_is_named_with_what_to_do():
    runs = pd.concat([table(6, draw=b).assign(batch_size=b) for b in (32, 64)])
    with pytest.raises(
        HplabError, match=r"also differ in batch_size \(32 and 64\); .* where batch"
    ):
        judge(runs, "lr=0.01 beats lr=0.001")
    assert judge(runs, "lr=0.01 beats lr=0.001 where batch_size=64").n == (6, 6)
    apart = runs[(runs["lr"] == 1e-2) == (runs["batch_size"] == 32)]
    with pytest.raises(HplabError, match="no value of it is shared"):
        judge(apart, "lr=0.01 beats lr=0.001")
    both = judge(apart, "lr=0.01, batch_size=32 beats lr=0.001, batch_size=64")
    assert both.outcome == "supported"


def test_repeated_rows_are_refused():
    runs = table(3)
    with pytest.raises(HplabError, match="2 runs at lr 0.01 have seed 0"):
        judge(pd.concat([runs, runs]), "lr=0.01 beats lr=0.001")


# ------------------------------------------------------------------ what shows


def test_all_text_from_the_table_is_escaped():
    evil = "<script>alert(1)</script>"
    runs = pd.concat([table(4).assign(**{evil: evil}), table(4).assign(**{evil: "b"})])
    found = judge(runs, metric="val_acc", a={evil: evil}, b={evil: "b"}, where={"lr": 0.01})
    assert "<script>" not in found.card()
    assert "&lt;script&gt;" in found.card()
    assert evil in repr(found)


def test_a_card_says_what_the_text_says():
    found = judge(table(4), "lr=0.01 beats lr=0.001 by 0.1 pp")
    bundle = found._repr_mimebundle_()
    assert found.sentence in bundle["text/plain"]
    assert found.sentence in bundle["text/html"]
    assert repr(found).startswith("Supported: The runs show that val_acc is higher")
    assert found.row()["n"] == [4, 4]


# ------------------------------------------------------------------ without a question


def test_the_values_of_a_setting_are_compared_with_the_best():
    runs = table(6)
    found = overview(foreign.of(runs))
    [lr] = found.comparisons
    wide = runs.pivot(index="seed", columns="lr", values="val_acc")
    pairs = [(1e-2, 1e-3), (1e-2, 1e-4), (1e-3, 1e-4)]
    p = holm([stats.ttest_rel(wide[a], wide[b]).pvalue for a, b in pairs])
    assert [value.value for value in lr.values] == [1e-2, 1e-3, 1e-4]
    assert [value.p for value in lr.values[1:]] == pytest.approx(list(p[:2]))
    assert lr.values[1].behind.estimate == pytest.approx(100 * (wide[1e-2] - wide[1e-3]).mean())
    assert found.n_pairs == 3
    assert [value.outcome for value in lr.values] == ["best", "behind", "behind"]


def test_a_value_whose_runs_were_pruned_is_not_called_worse():
    runs = table(6).assign(state="finished")
    runs = pd.concat([runs, runs[runs["lr"] == 1e-4].assign(seed=9, state="pruned")])
    [lr] = overview(foreign.of(runs)).comparisons
    assert [value.outcome for value in lr.values] == ["best", "behind", "open"]
    assert lr.values[2].p < 0.05
    assert lr.values[2].why.startswith("12 runs at 1e-4: 6 pruned; with over 10 % lost")


def test_runs_that_are_lost_are_counted_once_and_the_rule_is_said():
    runs = table(8).assign(state="finished")
    low = runs.index[runs["lr"] == 1e-4]
    runs.loc[low[0], "state"] = "failed"
    runs.loc[low[1], "val_acc"] = np.nan
    [lr] = overview(foreign.of(runs)).comparisons
    assert lr.values[2].outcome == "open"
    assert lr.values[2].why.startswith("8 runs at 1e-4: 1 failed, 1 without a result; with over")


def test_the_same_difference_at_three_seeds_is_open_and_says_why():
    luck = np.array([0.0, 0.25, 0.125])
    runs = pd.DataFrame({"lr": [0.1] * 3 + [0.2] * 3, "seed": [0, 1, 2] * 2})
    runs["val_loss"] = np.concatenate([1 + luck, 1.5 + luck])
    [lr] = overview(foreign.of(runs)).comparisons
    assert lr.values[1].outcome == "open"
    assert lr.values[1].why.startswith("the same difference at all 3 seeds")
    runs["val_loss"] = [1.0] * 3 + [1.5] * 3
    [lr] = overview(foreign.of(runs)).comparisons
    assert lr.values[1].why == "the same at every seed: is the seed used?"


def test_what_may_differ_by_another_setting_is_said_as_that():
    """A large share of the variance in the estimate, though its interval begins at 0."""
    rng = np.random.default_rng(4)
    settings = [(lr, bs) for lr in (0.1, 0.01) for bs in (16, 64) for _ in range(4)]
    runs = pd.DataFrame(settings, columns=["lr", "bs"]).assign(seed=[*range(4)] * 4)
    both = (runs["lr"] == 0.1) & (runs["bs"] == 16)
    runs["val_acc"] = 0.8 + 0.015 * both + rng.normal(0, 0.02, len(runs))
    note = overview(foreign.of(runs)).comparisons[0].note

    assert "What lr does may differ by bs: their interaction has 11 % of the variance" in note
    assert "(95 % interval 0 to " in note


def test_what_a_setting_does_that_differs_by_another_is_said():
    rng = np.random.default_rng(1)
    rows = [
        {"lr": lr, "bs": bs, "seed": seed, "val_acc": 0.8 + 0.05 * (lr == 0.1) * (-1) ** bs}
        for lr in (0.1, 0.2)
        for bs in (1, 2)
        for seed in range(4)
    ]
    crossed = pd.DataFrame(rows)
    crossed["val_acc"] += rng.normal(0, 0.004, len(crossed))
    for one in overview(foreign.of(crossed)).comparisons:
        assert "their interaction has" in one.note
    assert "differs by bs" in overview(foreign.of(crossed)).comparisons[0].note
    assert 'where bs=1 (in a shell --where "bs=1")' in repr(overview(foreign.of(crossed)))
    added = crossed.assign(val_acc=0.8 + 0.1 * (crossed["lr"] == 0.1) + 0.001 * crossed["bs"])
    added["val_acc"] += np.tile(rng.normal(0, 0.004, 4), 4)
    assert not any(one.note for one in overview(foreign.of(added)).comparisons)


def search(n_points=3, n_seeds=4):
    rng = np.random.default_rng(2)
    drawn = rng.random((n_points, 2))
    rows = [
        {"lr": lr / 100, "dropout": dropout, "seed": seed, "val_acc": 0.9 - i / 20}
        for i, (lr, dropout) in enumerate(drawn)
        for seed in range(n_seeds)
    ]
    runs = pd.DataFrame(rows)
    return runs.assign(val_acc=runs["val_acc"] + rng.normal(0, 0.002, len(runs)))


def test_the_points_of_a_search_are_compared_as_they_are():
    runs = search()
    single = search(9, 1).iloc[3:]
    found = overview(foreign.of(pd.concat([runs, single])))
    [point] = found.comparisons
    assert [value.value for value in point.values] == ["#1", "#2", "#3"]
    assert [value.outcome for value in point.values] == ["best", "behind", "behind"]
    assert "6 points of fewer than 3 runs are left out" in found.note
    wide = runs.pivot_table(index="seed", columns="lr", values="val_acc")
    first, second = runs["lr"].unique()[:2]
    lead = 100 * (wide[first] - wide[second]).mean()
    assert point.values[1].behind.estimate == pytest.approx(lead)
    assert judge(runs, "val_acc at #1 beats #2").estimate == pytest.approx(lead)
    asked = f"val_acc at lr={first} beats lr={second}"
    with pytest.raises(
        HplabError, match='differ in dropout .* points of the search, "#1" and "#2"'
    ):
        judge(runs, asked)
    with pytest.raises(HplabError, match="no point #9; they are #1 to #3"):
        judge(runs, "val_acc at #1 beats #9")


@pytest.mark.parametrize("shown", ["{:.6g}", "{:.3e}", "{:.4g}"])
def test_a_value_as_it_was_printed_is_that_value(shown):
    runs = search(2)[["lr", "seed", "val_acc"]]
    first, second = (shown.format(lr) for lr in runs["lr"].unique())
    assert float(first) not in set(runs["lr"])
    found = judge(runs, f"val_acc at lr={first} beats lr={second}")
    assert found.estimate == judge(runs, a={"lr": runs["lr"][0]}, b={"lr": runs["lr"][4]}).estimate


def test_a_printed_value_that_could_be_two_is_refused():
    runs = search(2)[["lr", "seed", "val_acc"]]
    runs["lr"] = np.where(runs["lr"] == runs["lr"][0], 0.00814489, 0.00814512)
    with pytest.raises(HplabError, match=r"could be 0\.00814489 or 0\.00814512; write more digits"):
        judge(runs, "val_acc at lr=8.145e-3 is best")
    with pytest.raises(HplabError, match="no run has lr 8e-3"):  # one digit is none of theirs
        judge(runs, "val_acc at lr=0.008 beats lr=0.00814489")


def test_one_setting_says_how_far_its_runs_scatter():
    values = [0.91, 0.92, 0.925, 0.905]
    runs = pd.DataFrame({"lr": 0.1, "seed": range(4), "val_acc": values})
    found = judge(runs)
    assert found.scatter.sd == pytest.approx(100 * np.std(values, ddof=1))
    assert found.scatter.low < found.scatter.sd < found.scatter.high
    assert f'seeds_needed(difference, {found.scatter.sd:.3g}, margin=0, scatter="setting")' in repr(
        found
    )
    # With that difference, 10 seeds of each have the power that is said.
    least = power.smallest(power.paired_power, [10])[0] * np.sqrt(2) * found.scatter.sd
    assert f"10 seeds of each see a difference of {least:.2f} pp" in repr(found)
    assert power.seeds_needed(least * 1.001, found.scatter.sd, scatter="setting") == 10


def test_without_a_question_all_values_are_compared():
    runs = table(6)
    found, again = judge(runs), overview(foreign.of(runs))
    assert repr(found) == repr(again)
    assert "<table" in found._repr_html_()
    with pytest.raises(HplabError, match="planned seeds belong to a question"):
        judge(runs, planned=10)


def test_why_runs_are_not_paired_is_said():
    runs = table(4)
    runs["seed"] = np.arange(len(runs))
    [lr] = overview(foreign.of(runs), pair=True).comparisons
    assert not lr.paired
    assert lr.apart.startswith("0 of 12 seeds have a result everywhere")
    [lr] = overview(foreign.of(runs.drop(columns="seed")), pair=True).comparisons
    assert "no column holds seeds to pair by" in lr.apart


def test_other_settings_are_averaged_over_where_all_values_have_them():
    runs = pd.concat(
        [table(4, gain=0.01 * (b == 64)).assign(batch_size=b) for b in (32, 64)]
    )  # fmt: skip
    extra = table(4, lrs=(1.0,), gain=0).assign(batch_size=16, val_acc=0.1)
    found = {one.name: one for one in overview(foreign.of(pd.concat([runs, extra]))).comparisons}
    lr = found["lr"]
    assert (lr.fixed, lr.paired) == (2, True)
    wide = runs.pivot_table(index="seed", columns="lr", values="val_acc")
    assert lr.values[1].behind.estimate == pytest.approx(100 * (wide[1e-2] - wide[1e-3]).mean())
    assert [value.value for value in lr.values if value.outcome == "not compared"] == [1.0]
    assert found["batch_size"].fixed == 3


def test_a_search_with_one_run_a_setting_compares_nothing():
    lr, acc = np.random.default_rng(0).random((2, 20))
    runs = pd.DataFrame({"lr": lr, "batch_size": [16, 32] * 10, "val_acc": acc})
    found = overview(foreign.of(runs))
    assert all(one.why for one in found.comparisons)
    assert "A search finds a setting" in found.comparisons[1].sentence


def test_equal_settings_are_told_apart_in_one_table_of_twenty():
    """All values alike, the best one picked by eye: some word is wrong in at most 5 % of tables."""
    rng, wrong, n = np.random.default_rng(5), 0, 150
    frame = pd.DataFrame({"lr": np.repeat([1, 2, 3, 4, 5], 4), "seed": [0, 1, 2, 3] * 5})
    for _ in range(n):
        found = overview(foreign.of(frame.assign(val_acc=rng.normal(0.5, 0.1, 20))))
        wrong += any(value.outcome == "behind" for value in found.comparisons[0].values)
    assert wrong / n <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / n)


BIG = """
import sys, resource
from click.testing import CliRunner
from hplab.cli import cli
found = CliRunner().invoke(cli, ["judge", sys.argv[1]])
assert found.exit_code == 0, found.output
assert "lr: 4 has the best mean" in found.output, found.output
assert not {"torch", "matplotlib"} & set(sys.modules)
used = resource.getrusage(resource.RUSAGE_SELF)
print(used.ru_utime + used.ru_stime)
"""


def test_a_hundred_thousand_runs_take_two_seconds(tmp_path):
    """Of the processor, so that a busy machine does not count; without torch or matplotlib."""
    n = 100_000
    lr, seed = np.arange(n) % 4 + 1, np.arange(n) // 4
    frame = pd.DataFrame({"lr": lr, "seed": seed, "name": "run", "val_acc": 0.5 + 0.01 * lr})
    frame["val_acc"] += np.random.default_rng(0).normal(0, 0.01, n)
    frame.to_csv(tmp_path / "runs.csv", index=False)
    command = [sys.executable, "-c", BIG, str(tmp_path / "runs.csv")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert float(done.stdout) < 2.0
