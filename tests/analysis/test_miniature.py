"""Smaller runs have words of their own: they are shown beside a verdict and never become one."""

import dataclasses
import html
import re
from pathlib import Path

import pandas as pd
import pytest
from synthetic_records import record
from test_rerun import mnist  # noqa: F401  (a fixture)

from hplab.analysis.claims import committed, ledger, miniature, rerun
from hplab.analysis.claims.verdict import SMALL, WORDS
from hplab.pages.tables import columns, folds, terminal, torun
from hplab.pages.tables import ledger as ledger_page
from hplab.sweeps import presets, runner
from hplab.sweeps import store as stores
from hplab.training import datasets
from hplab.trial import Trial

BOOK = Path(__file__).resolve().parents[2] / "book"
SETS = {"mnist": "cnn", "dinosaurs": "cnn", "cifar10": "mlp", "cifar100": "mobilenet"}
UNLESS = ("number", "value", "proportion", "proportions", "none")


@pytest.fixture
def empty(tmp_path):
    """A store without records."""
    return stores.Store(tmp_path / "few" / "results", tmp_path / "few" / "pending")


def trials(n_seeds, *, preset, gain=0.2):
    """Records of report 004's two rates at a preset; with a gain, the larger rate is worse."""
    scale = presets.PRESETS[preset].scale
    for lr, error in ((1e-3, 0.1 + gain), (5e-4, 0.1)):
        for seed in range(n_seeds):
            trial = scale(Trial("mnist", "cnn", lr=lr, epochs=5, seed=seed))
            yield record(trial, error + 1e-3 * seed * (1 if lr == 1e-3 else 2))


def judged(store):
    """Every claim's verdict by name."""
    return {verdict.claim.id: verdict for verdict in rerun.all_verdicts(store=store)}


# ------------------------------------------------------------------- which trials a record is of


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("preset", ["smoke", "laptop"])
def test_a_stand_in_leads_back_to_the_trial_it_stands_for(name, preset):
    size = presets.PRESETS[preset]
    long = {"mnist": 50, "dinosaurs": 100, "cifar10": 20_000, "cifar100": 300}[name]
    trial = Trial(
        name, SETS[name], epochs=long, lr=0.02, schedule="step", seed=3,
        schedule_args={"step_size": long / 2, "gamma": 0.5},
    )  # fmt: skip
    back = size.declared(size.scale(trial), name)
    assert (back.data, back.lr, back.seed) == (name, 0.02, 3)
    assert back.epochs == long or preset == "smoke"  # so few epochs that rounding shows
    assert size.scale(back).identity() == size.scale(trial).identity()


def test_a_record_that_a_preset_did_not_make_stands_for_nothing():
    laptop = presets.PRESETS["laptop"]
    photos = laptop.scale(Trial("dinosaurs", "cnn", epochs=100))
    assert laptop.declared(photos, "mnist") is None
    assert laptop.declared(photos.replace(n_train=256), "dinosaurs") is None


def test_records_of_another_preset_are_not_taken(empty):
    empty.put(trials(3, preset="smoke"))
    assert runner.everything("laptop", stands_for="mnist", store=empty).empty
    assert len(runner.everything("smoke", stands_for="mnist", store=empty)) == 6


# ------------------------------------------------------------------- what they show, and decide


@pytest.mark.parametrize("preset", ["laptop", "reduced"])
def test_a_miniature_never_changes_what_a_re_run_says(mnist, preset):  # noqa: F811
    before = judged(mnist)
    mnist.put(trials(20, preset=preset))
    after = judged(mnist)

    assert after["S4-08"].miniature == "contradicted"
    assert before["S4-08"].outcome == after["S4-08"].outcome == "supported"
    for name, verdict in after.items():
        assert dataclasses.replace(verdict, small=None).row() == {
            **dataclasses.replace(before[name], small=None).row()
        }


def test_alone_it_leaves_the_claim_not_run(empty):
    empty.put(trials(5, preset="reduced"))
    found = judged(empty)["S4-08"]

    assert (found.outcome, found.kind, found.interval, found.n) == ("missing", "", None, 0)
    small = found.smaller
    assert (small.miniature, small.outcome, small.preset) == ("contradicted", "missing", "reduced")
    assert small.runs_in_words == "mnist, 1 epoch, n = 5"
    assert ledger_page._counted([found]) == [1, *ledger_page._counted([found])[1:3], 0, 0, 0, 1]


def test_the_report_s_data_come_first_where_three_seeds_are_there(empty):
    empty.put(trials(4, preset="laptop"))
    empty.put(trials(2, preset="reduced", gain=-0.05))
    assert judged(empty)["S4-08"].smaller.runs_in_words == "digits, 20 epochs, n = 4"
    empty.put(list(trials(3, preset="reduced", gain=-0.05))[2::3])
    small = judged(empty)["S4-08"].smaller
    assert (small.runs_in_words, small.miniature) == ("mnist, 1 epoch, n = 3", "supported")


def test_another_set_up_of_full_length_is_neither(empty):
    empty.put(
        record(Trial("mnist", "cnn", lr=lr, epochs=5, normalize="unit", seed=seed), lr)
        for lr in (1e-3, 5e-4)
        for seed in range(5)
    )
    found = judged(empty)["S4-08"]
    assert (found.outcome, found.miniature) == ("missing", "")


def test_short_runs_of_a_report_whose_claims_name_no_length_are_a_miniature(empty):
    """Report 002 allows 20,000 epochs; two of them are not its setting."""
    net = {"hidden": [512, 256, 128], "logit_norm": True}
    short = [
        Trial("cifar10", "mlp", model_args=net, optimizer=name, lr=lr, batch_size=128, epochs=2,
              measure=("sharpness",), n_directions=4, seed=seed)
        for name in ("sgd", "adagrad") for lr in (1e-4, 0.1) for seed in range(4)
    ]  # fmt: skip
    made = [record(trial, trial.lr) for trial in short]
    for one in made:
        turn = 1 if one["config"]["optimizer"] == "sgd" else 1.3
        one["final"]["sharpness"] = turn * (0.1 + one["config"]["lr"]) + 0.01 * one["seed"]
        one["final"]["val_acc"] = turn * 0.3 + 0.01 * one["seed"]
    empty.put(made)
    found = judged(empty)
    of_report = [verdict for name, verdict in found.items() if name.startswith("S2-")]
    assert {verdict.outcome for verdict in of_report} == {"missing", "not-testable"}
    assert found["S2-11"].smaller.runs_in_words == "cifar10, 2 epochs, n = 4"


# ------------------------------------------------------------------- words


def test_a_miniature_has_its_own_words():
    assert set(SMALL.values()) == {"As claimed", "Not so", "Open"}
    assert not {*SMALL.values()} & {*WORDS.values()}


@pytest.mark.parametrize("claim", list(ledger.load()), ids=lambda claim: claim.id)
def test_a_claim_that_small_runs_cannot_show_says_why(claim):
    kinds = {part.type for part in getattr(claim.test, "parts", [claim.test])}
    assert bool(claim.test.no_miniature) == bool(kinds & set(UNLESS))


def test_the_command_names_study_preset_and_seeds_where_a_preset_has_too_few():
    judging = ledger.load()
    study = "01-learning-rate"
    assert miniature.command(judging["S4-08"], study) == (
        "make execute STUDY=01-learning-rate PRESET=laptop"
    )
    assert miniature.command(judging["S4-12"], study).endswith("PRESET=laptop SEEDS=10")
    assert miniature.command(judging["S4-12"], study, "paper").endswith("PRESET=paper")


def test_batches_larger_than_the_digits_have_no_miniature_on_them():
    judging, images = ledger.load(), datasets.load("digits")
    assert len(images.labels) == miniature.DIGITS
    assert "needs one of 50,000" in miniature.not_on_digits(judging["S2-08"])
    assert miniature.not_on_digits(judging["S2-12"]) == ""
    assert miniature.not_on_digits(judging["S0-45"]) == ""


def test_too_few_seeds_ask_for_more_and_a_quantity_that_short_runs_lack_does_not(empty):
    empty.put(trials(2, preset="laptop"))
    few = judged(empty)["S4-08"].smaller
    assert (few.outcome, few.reason[:24]) == ("missing", "Only 2 complete seeds; a")
    photos = presets.PRESETS["laptop"].scale
    empty.put(
        record(photos(Trial("dinosaurs", "cnn", split="kfold", lr=1e-4, epochs=100,
                            batch_size=size, seed=seed)), 0.1)
        for size in (16, 64) for seed in range(3)
    )  # fmt: skip
    rough = judged(empty)["S0-01"].smaller
    assert rough.outcome == "not-testable"
    assert "roughness of running training loss has no value" in rough.reason


def cells(page):
    """The cells of each fold of the built ledger: name of the claim to a list of their words."""
    found = {}
    for one in re.findall(r'<details class="hp-fold" id="(.*?)".*?<summary>(.*?)</summary>', page):
        marked = one[1].split('<span class="hp-fold-cell">')[1:]
        plain = [html.unescape(re.sub(r"<[^>]+>", " ", cell)) for cell in marked]
        found[one[0]] = [" ".join(cell.replace("\u2060", "").split()) for cell in plain]
    return found


def test_every_row_of_the_ledger_has_three_kinds_of_evidence(mnist):  # noqa: F811
    mnist.put(trials(5, preset="laptop"))
    found = rerun.all_verdicts(store=mnist)
    page = ledger_page.whole(found, {})
    rows = cells(page)
    assert len(rows) == 125
    titles = ("Its own data", "In miniature", "Our re-run")
    for row in rows.values():
        assert len(row) == 3
        assert all(cell.startswith(title) for cell, title in zip(row, titles, strict=True))
    assert rows["S4-08"][1:] == [
        "In miniature Not so digits, 20 epochs, n = 5",
        "Our re-run Supported 1.00 pp (0.98 to 1.02), n = 5",
    ]
    assert rows["S4-01"][1] == "In miniature No miniature"
    assert page.count("--hp-cells: 3") == 7


def test_what_is_not_there_has_the_command_that_makes_it(mnist):  # noqa: F811
    lacks, seconds = torun.of_book(BOOK, mnist)
    for verdict in rerun.all_verdicts(store=mnist):
        lack = lacks[verdict.claim.id]
        said = torun.fold(verdict, lack, seconds)
        if not lack.studies:
            assert verdict.claim.test.type == "none"
            continue
        wanted = {
            "in miniature": columns.MINIATURE.outcome(verdict) == "missing",
            "our re-run": verdict.outcome == "missing",
        }
        for title, lacking in wanted.items():
            assert (f"{title}, <code>make execute STUDY={lack.studies[0]} " in said) == lacking


def test_a_miniature_has_no_colour_of_a_verdict(empty):
    empty.put(trials(5, preset="laptop"))
    found = judged(empty)["S4-08"]
    assert columns.MINIATURE.word(found) == '<strong class="hp-word">Not so</strong>'
    fold = folds.fold(found, None)
    assert "(Preset laptop: digits, 20 epochs, n = 5. It decides nothing.)" in (
        html.unescape(fold).replace("\u2060", "").replace("\u00a0", " ")
    )


def test_the_terminal_and_the_committed_copy_have_them_too(empty, tmp_path):
    empty.put(trials(5, preset="laptop"))
    found = rerun.all_verdicts(store=empty)
    assert re.search(r"S4-08 +[a-z ]+ not so +not run yet\n", terminal.table(found))
    committed.write(found, tmp_path / "verdicts.json")
    kept = committed.read(tmp_path / "verdicts.json")
    assert kept["S4-08"]["miniature_runs"] == "digits, 20 epochs, n = 5"
    assert committed.problems(found, kept) == []
    kept["S4-08"]["miniature"] = "supported"
    assert committed.problems(found, kept) == [
        "S4-08: miniature was supported, the records say contradicted"
    ]


def test_a_table_of_claims_shows_the_column_where_one_is_there(empty):
    from hplab.pages import cards

    empty.put(trials(5, preset="laptop"))
    runs = runner.everything("laptop", stands_for="mnist", store=empty)
    from hplab.analysis.claims import judging

    made = judging.verdicts(["S4-08"], runs, curves=pd.DataFrame())
    shown = cards.claims_table(made)
    assert "in miniature" in shown.html
    assert "not so" in shown.html
    assert "1 claims: 1 not run yet" in shown.html
