"""The whole ledger judged from records: the right runs are taken, and a stale copy is named."""

import functools
import json
from types import SimpleNamespace

import pandas as pd
import pytest
from synthetic_records import record

from hplab.analysis.claims import committed, groups, judging, ledger, phrases, rerun
from hplab.analysis.claims.decisions import Finding
from hplab.pages import cards
from hplab.pages.tables import fill, precision, terminal
from hplab.pages.tables import ledger as ledger_page
from hplab.sweeps import presets
from hplab.sweeps import store as stores
from hplab.trial import HplabError, Trial

DIGEST = "0" * 64
IN_TABLE = ("S0-22", "S0-23")
ROW = {"says": "S0-22 too.", "own_data": "supported", "outcome": "missing", "n": 0, "primary": True}
ROW["miniature"] = ""


@pytest.fixture
def mnist(tmp_path):
    """Report 004's two faster settings, right way round, and the same with another network."""
    made = stores.Store(tmp_path / "results", tmp_path / "pending")
    made.put_provenance({"device": "cpu"})
    records = []
    for lr, error in ((1e-3, 0.01), (5e-4, 0.02)):
        for seed in range(5):
            luck = 1e-4 * (seed - 2) * (1 if lr == 1e-3 else 2)
            plain = Trial("mnist", "cnn", lr=lr, epochs=5, seed=seed)
            records.append(record(plain, error + luck))
            other = plain.replace(model="mlp")
            records.append(record(other, 0.03 - error + luck))
    made.put(records)
    return made


def test_the_runs_nearest_to_the_report_s_setting_are_taken(mnist):
    found = {verdict.claim.id: verdict for verdict in rerun.all_verdicts(store=mnist)}
    sixth = found["S4-08"]  # the same comparison as S4-06, without Holm's correction
    assert (sixth.outcome, sixth.n, sixth.kind, sixth.preset) == ("supported", 5, "re-run", "paper")
    assert sixth.estimate == pytest.approx(1.0)
    assert found["S4-13"].outcome == "missing"
    assert found["S1-02"].reason.startswith("None of the runs")
    assert len(found) == 125


def test_groups_are_alike_in_all_that_the_claim_does_not_vary(mnist):
    runs = rerun.runner.everything(store=mnist)
    found = groups.of_claim(ledger.load()["S4-06"], runs)
    assert [set(group["model"]) for group in found] == [{"cnn"}, {"mlp"}]
    assert all(len(group) == 10 for group in found)
    assert groups.of_claim(ledger.load()["S0-06"], runs) == []


def test_of_runs_that_differ_in_what_was_measured_the_one_that_tells_most_is_taken(mnist):
    """The same training twice, once with more measured on it: one run a seed, not two."""
    plain = committed.summary(rerun.all_verdicts(store=mnist))
    more = Trial("mnist", "cnn", lr=1e-3, epochs=5, seed=2, measure=("curvature",))
    told = record(more, 0.01)
    told["final"] |= {"hessian_top": 3.0}
    mnist.put([told])
    found = groups.of_claim(ledger.load()["S4-08"], rerun.runner.everything(store=mnist))

    assert committed.summary(rerun.all_verdicts(store=mnist)) == plain
    assert found[0].groupby("lr")["seed"].apply(lambda seeds: seeds.is_unique).all()
    assert told["key"] in set(found[0]["key"])


def put_mixed(store):
    """Add four of the five seeds in bfloat16: there 5e-4 is the better rate."""
    records = []
    for lr, error in ((1e-3, 0.02), (5e-4, 0.015)):
        for seed in range(4):
            mixed = Trial("mnist", "cnn", lr=lr, epochs=5, seed=seed, precision="bf16")
            luck = 1e-7 * (seed - 1.5) * (1 if lr == 1e-3 else 2)
            records.append(record(mixed, error + luck))
    store.put(records)


@pytest.fixture
def both(mnist):
    """The store with runs in both number formats."""
    put_mixed(mnist)
    return mnist


def test_records_of_other_data_or_of_an_older_task_leave_the_ledger_as_it_is(mnist, capsys):
    """One trial stands in the store three times: no verdict may fail on it, or take all three."""
    alone = committed.summary(rerun.all_verdicts(store=mnist))
    trial = Trial("mnist", "cnn", lr=1e-3, epochs=5, seed=2)
    elsewhere, older = record(trial, 0.5), record(trial, 0.5)
    elsewhere |= {"data": "f" * 64, "key": trial.key("f" * 64)}
    older |= {"task_version": 0, "key": "0" * 32}
    mnist.put([elsewhere, older])

    assert committed.summary(rerun.all_verdicts(store=mnist)) == alone
    said = capsys.readouterr().err
    assert said.count("left out: 1 of the records, on other versions of their data than mnist") == 1


def without_miniatures(found):
    """Return what is committed of verdicts on re-runs."""
    rows = committed.summary(one for one in found if one.outcome not in ("missing", "not-testable"))
    return {
        name: {field: row[field] for field in row if "miniature" not in field}
        for name, row in rows.items()
    }


def test_records_of_the_laptop_preset_decide_no_claim(mnist):
    """In miniature 5e-4 is the better rate, with every seed: the verdict stays what mnist says."""
    alone = committed.summary(rerun.all_verdicts(store=mnist))
    laptop = presets.PRESETS["laptop"].scale
    trials = [
        laptop(Trial("mnist", "cnn", lr=lr, epochs=5, seed=seed))
        for lr in (1e-3, 5e-4)
        for seed in range(20)
    ]
    mnist.put([record(trial, 0.3 if trial.lr == 1e-3 else 0.01) for trial in trials])

    found = rerun.all_verdicts(store=mnist)
    assert without_miniatures(found) == {
        name: {field: row[field] for field in row if "miniature" not in field}
        for name, row in alone.items()
    }
    only = stores.Store(mnist.root.parent / "only", mnist.root.parent / "only-pending")
    only.put([record(trial, 0.3 if trial.lr == 1e-3 else 0.01) for trial in trials])
    found = {verdict.claim.id: verdict for verdict in rerun.all_verdicts(store=only)}
    assert {verdict.outcome for verdict in found.values()} == {"missing", "not-testable"}
    assert found["S4-08"].miniature == "contradicted"
    assert (found["S4-08"].interval, found["S4-08"].n) == (None, 0)


def test_a_page_shows_runs_on_one_version_of_the_data(tmp_path):
    store = stores.Store(tmp_path / "results", tmp_path / "pending")
    trials = [Trial("mnist", "cnn", lr=1e-3, epochs=5, seed=seed) for seed in range(3)]
    elsewhere = record(trials[2], 0.5) | {"data": "f" * 64, "key": trials[2].key("f" * 64)}
    store.put([elsewhere])
    store.put([record(trial, 0.01) for trial in trials])

    shown = rerun.runner.recorded(trials, preset="paper", store=store)
    assert shown["val_acc"].tolist() == [0.99] * 3


def test_the_digest_with_most_records_is_kept():
    records = [{"config": {"data": "photos"}, "data": digest} for digest in "abbca"]
    assert rerun.runner._main_digests(records) == {"photos": "a"}
    assert rerun.runner._main_digests([*records, records[1]]) == {"photos": "b"}
    assert rerun.runner._main_digests([]) == {}


def test_runs_in_bfloat16_leave_the_ledger_as_it_is(mnist):
    alone = committed.summary(rerun.all_verdicts(store=mnist))
    put_mixed(mnist)
    assert committed.summary(rerun.all_verdicts(store=mnist)) == alone
    assert alone["S4-08"]["n"] == 5


def test_each_number_format_is_judged_on_the_trials_that_both_have(both):
    pairs = {plain.claim.id: (plain, mixed) for plain, mixed in precision.judged_twice(both)}
    plain, mixed = pairs["S4-08"]
    assert (plain.n, mixed.n) == (4, 4)
    assert plain.estimate == pytest.approx(1.0, abs=0.05)
    assert mixed.estimate == pytest.approx(-0.5)
    assert (plain.outcome, mixed.outcome) == ("supported", "contradicted")
    assert "| supported | **contradicted** |" in precision.verdicts(both)


def test_accuracies_in_both_formats_are_compared_trial_by_trial(both):
    runs = rerun.runner.everything(store=both)
    score = {(r.precision, r.lr, r.seed): r.val_acc for r in runs.itertuples() if r.model == "cnn"}
    gaps = [
        100 * (score["bf16", lr, seed] - score["fp32", lr, seed])
        for lr in (1e-3, 5e-4)
        for seed in range(4)
    ]
    said = precision.accuracy(both)
    assert said.startswith("On 8 trials recorded in both")
    assert phrases.number(sum(gaps) / 8, "pp") in said


def photo_trials():
    base = Trial("dinosaurs", "cnn", optimizer="adam", lr=1e-4, batch_size=64, epochs=100)
    return [base.replace(seed=seed) for seed in range(5)]


@pytest.fixture
def photos(mnist):
    """Five seeds of report 000's photos in single precision, and one with RMSprop."""
    mnist.put([record(t, 0.3 + 0.01 * t.seed) for t in photo_trials()])
    mnist.put([record(photo_trials()[0].replace(optimizer="rmsprop"), 0.4)])
    return mnist


def test_photos_in_bfloat16_are_compared_seed_by_seed(photos):
    gaps = [0.01, -0.01, 0.03]
    mixed = [t.replace(precision="bf16") for t in photo_trials()]
    photos.put(
        [record(t, 0.3 + 0.01 * t.seed - gap) for t, gap in zip(mixed[:3], gaps, strict=True)]
    )
    whole, half = 1.0, 100 * 0.02 / 3**0.5 * 4.302653  # t for two degrees of freedom
    [row] = precision.photos(photos).splitlines()[2:]

    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:2] == ["optimizer adam, lr 1e-4, batch size 64, 100 epochs", "3"]
    span = f"{phrases.number(whole - half, 'pp')[:-3]} to {phrases.number(whole + half, 'pp')[:-3]}"
    assert cells[2] == f"{phrases.number(whole, 'pp')} ({span})"
    assert precision.accuracy(photos).startswith("No trial")  # they are told apart


def test_one_pair_of_photos_has_no_interval_and_a_diverged_one_is_none(photos):
    lost = record(photo_trials()[1].replace(precision="bf16"), 0.3)
    lost |= {"status": "diverged", "final": dict.fromkeys(lost["final"])}
    photos.put([record(photo_trials()[0].replace(precision="bf16"), 0.3), lost])

    assert "| 1 | one seed has no interval |" in precision.photos(photos)


def test_photos_in_bfloat16_change_no_verdict(photos):
    alone = committed.summary(rerun.all_verdicts(store=photos))
    photos.put([record(t.replace(precision="bf16"), 0.9) for t in photo_trials()])

    assert committed.summary(rerun.all_verdicts(store=photos)) == alone


def test_without_photos_in_bfloat16_the_page_says_so(photos, tmp_path):
    for store in (photos, stores.Store(tmp_path / "none", tmp_path / "none-pending")):
        assert precision.photos(store) == "No bfloat16 runs of the photos are recorded yet."


def test_without_a_pair_the_page_says_so(mnist, tmp_path):
    for store in (mnist, stores.Store(tmp_path / "none", tmp_path / "none-pending")):
        assert precision.accuracy(store).startswith("No trial is recorded in both")
        assert precision.verdicts(store).startswith("No trial is recorded in both")


def test_a_committed_verdict_that_no_longer_follows_is_named(mnist, tmp_path):
    path = tmp_path / "verdicts.json"
    found = rerun.all_verdicts(store=mnist)
    committed.write(found, path)
    kept = committed.read(path)
    assert committed.problems(found, kept) == []
    kept["S4-08"]["outcome"] = "contradicted"
    kept["S4-04"]["estimate"] = 1.0
    kept["S4-13"] = kept.pop("S4-14")
    faults = committed.problems(found, kept)
    assert [fault[:5] for fault in faults] == ["S4-04", "S4-08", "S4-13", "S4-14"]
    assert faults[0].startswith("S4-04: estimate was 1.0, the records say ")
    assert faults[1] == "S4-08: outcome was contradicted, the records say supported"
    path.write_text("{")
    with pytest.raises(HplabError, match="not valid JSON"):
        committed.read(path)


def test_an_empty_store_has_no_verdicts(tmp_path):
    empty = stores.Store(tmp_path / "results", tmp_path / "pending")
    found = rerun.all_verdicts(store=empty)
    for verdict in found:
        untested = verdict.claim.test.type == "none"
        assert verdict.outcome == ("not-testable" if untested else "missing"), verdict.claim.id
    assert committed.summary(found) == {}


def test_verdicts_are_chosen_and_printed(mnist):
    found = rerun.all_verdicts(store=mnist)
    claims = list(ledger.load())
    asked = {one.id for one in terminal.choose(claims, report="004", study="learning-rate")}
    chosen = [verdict for verdict in found if verdict.claim.id in asked]
    assert len(chosen) == 18
    one = [verdict for verdict in found if verdict.claim.id == "S4-08"]
    assert terminal.choose(claims, ["S4-08"]) == [one[0].claim]
    text = terminal.table(one)
    assert "1.00 pp (" in text
    assert text.endswith("1 claims: 1 supported")
    assert json.loads(terminal.as_json(chosen))[7]["claim"] == "S4-08"
    with pytest.raises(HplabError, match="mean 'batch-size'"):
        terminal.choose(claims, study="batchsize")


def test_a_claim_judged_alone_has_the_verdict_that_it_has_among_all(mnist):
    every = committed.summary(rerun.all_verdicts(store=mnist))
    for name in ("S4-06", "S4-08"):  # one of a family of main claims, and one of none
        alone = rerun.all_verdicts(store=mnist, only={name})
        assert [verdict.claim.id for verdict in alone] == [name]
        assert committed.summary(alone) == {one: every[one] for one in [name] if one in every}


def test_the_pages_hold_every_claim_once(mnist):
    tables = fill.tables([], mnist)
    page = tables["ledger"]()
    for claim in ledger.load():
        assert page.count(f'<details class="hp-fold" id="{claim.id}"') == 1
    assert page.count("## ") == 7
    pairs = [tables[f"original-{report}"]() for report in ("000", "001", "002", "004")]
    assert sum(text.count('<details class="hp-fold"') for text in pairs) == 125
    assert "0.11\u00a0pp" in pairs[3]  # report 004's own difference, beside our 1.00 pp
    assert "1.00\u00a0pp" in pairs[3]
    assert all(f'id="rule-{claim.test.type}"' in tables["rules"]() for claim in ledger.load())
    assert "2026-11-22" in tables["changes"]()
    assert '<td class="hp-num">125</td>' in tables["claim-counts"]()


def test_pages_find_their_tables_by_name(mnist):
    tables = fill.tables([], mnist)
    filled = fill.fill("% hplab: original-004\n\n% hplab: seeds-needed", tables, "a page")
    assert "S4-18" in filled
    assert "| 0.5 | 34 | 44 | 52 | 44 |" in filled


def test_a_claim_leads_to_the_box_that_decides_it(tmp_path):
    notebook = tmp_path / "01-learning-rate.ipynb"
    notebook.write_text(r'{"html": "<section id=\"claim-S4-06\">"}')
    assert ledger_page.places([notebook]) == {"S4-06": "studies/01-learning-rate.html#claim-S4-06"}


def test_a_claim_without_a_box_leads_to_its_row(tmp_path):
    verdicts = [
        SimpleNamespace(
            claim=SimpleNamespace(id=name),
            outcome=outcome,
            shown_small=False,
            row=functools.partial(dict, ROW, claim=name, outcome=outcome),
        )
        for name, outcome in zip(IN_TABLE, ("missing", "inconclusive"), strict=True)
    ]
    notebook = tmp_path / "03-schedules.ipynb"
    notebook.write_text(json.dumps({"html": cards.claims_table(verdicts).html}))
    boxed = tmp_path / "06-kl-plateau.ipynb"
    boxed.write_text(json.dumps({"html": '<section id="claim-S0-23">'}))
    assert ledger_page.places([notebook, boxed]) == {
        "S0-22": "studies/03-schedules.html#row-S0-22",
        "S0-23": "studies/06-kl-plateau.html#claim-S0-23",
    }


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"outcome": "supported"}, ""),
        ({"outcome": "missing"}, ""),
        ({}, "More seeds are needed"),
        ({"parts": ({"report": 1.0, "outcome": "contradicted"},)}, "had to be reconstructed"),
        ({"parts": ({"outcome": "contradicted"},)}, "More seeds are needed"),
        ({"outcome": "contradicted"}, "rests on one run"),
        ({"outcome": "contradicted", "cause": "A typo."}, "A typo."),
    ],
)
def test_why_two_verdicts_differ_is_said(change, said):
    given = {"outcome": "inconclusive", "kind": "re-run", "parts": (), "cause": "", **change}
    verdict = SimpleNamespace(
        claim=SimpleNamespace(own_verdict="supported", own_cause=given["cause"]),
        outcome=given["outcome"],
        kind=given["kind"],
        finding=SimpleNamespace(parts=given["parts"]),
    )
    found = ledger_page._why_apart(verdict)
    assert said in found
    assert bool(found) == bool(said)


@pytest.mark.parametrize("short", [{"epochs": 2}, {"stop": "epochs"}])
def test_short_runs_of_a_report_whose_arms_name_no_epochs_decide_nothing(tmp_path, short):
    """A trial of two epochs is also one declared so, which no preset has scaled."""
    made = stores.Store(tmp_path / "results", tmp_path / "pending")
    made.put_provenance({"device": "cpu"})
    base = Trial("cifar10", "mlp", epochs=20_000, stop="loss_change", measure=("sharpness",))
    records = []
    for number, arm in enumerate(ledger.load()["S2-02"].test.settings):
        for seed in range(5):
            trial = base.replace(**{**arm, **short, "seed": seed})
            luck = 1e-3 * (seed - 2) * (1 + number % 3)
            told = record(trial.replace(epochs=2), 0.1)
            told |= {"key": trial.key(DIGEST), "config": trial.config()}
            told["final"] |= {"sharpness": 10.0 ** (number % 7) * (1 + luck)}
            records.append(told)
    made.put(records)
    found = {verdict.claim.id: verdict for verdict in rerun.all_verdicts(store=made)}["S2-02"]

    assert found.outcome not in ("supported", "contradicted")
    assert found.kind != "re-run"


def test_where_runs_of_the_report_s_setting_diverged_those_of_another_do_not_decide(tmp_path):
    made = stores.Store(tmp_path / "results", tmp_path / "pending")
    made.put_provenance({"device": "cpu"})
    records = []
    for model in ("cnn", "mlp"):
        for lr, error in ((1e-3, 0.01), (5e-4, 0.02)):
            for seed in range(5):
                trial = Trial("mnist", model, lr=lr, epochs=5, seed=seed)
                one = record(trial, error + 1e-7 * seed * (1 if lr == 1e-3 else 3))
                if model == "cnn" and lr == 1e-3 and seed < 3:
                    one |= {"status": "diverged", "at": 1}
                records.append(one)
    made.put(records)
    found = {verdict.claim.id: verdict for verdict in rerun.all_verdicts(store=made)}["S4-08"]

    assert (found.outcome, found.kind) == ("inconclusive", "")
    assert "3 more diverged" in found.reason


def test_an_identity_goes_before_longer_runs_whose_rounding_is_left_to_chance(monkeypatch):
    sample = SimpleNamespace(collapsed=())
    open_, same = (
        Finding(outcome, "", "", sample, identical=outcome == "contradicted")
        for outcome in ("inconclusive", "contradicted")
    )
    monkeypatch.setattr(judging, "decides", lambda found: True)
    claim, runs = ledger.load()["S0-36"], pd.DataFrame()

    assert rerun._deciding(claim, [(open_, runs), (same, runs)])[0] is same
    assert rerun._deciding(claim, [(open_, runs), (open_, runs)])[0] is open_
