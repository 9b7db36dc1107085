"""A claim's fold has all that decided it; the ledger, its filter and its columns go together."""

import html
import json
import re
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from hplab.analysis.claims import ledger, rerun, verdict
from hplab.analysis.claims.verdict import Verdict
from hplab.pages.site import audit
from hplab.pages.site import build as site
from hplab.pages.tables import columns, folds, terminal
from hplab.pages.tables import ledger as ledger_page
from hplab.pages.tables.folds import Behind

BOOK = Path(__file__).resolve().parents[2] / "book"


def missing(name="S0-18"):
    """A claim without a run."""
    return Verdict(ledger.load()[name], "missing", "None of the runs is recorded yet.")


def decided(name="S4-06", **change):
    """A claim with two runs at each of two rates."""
    rows = tuple(
        pd.DataFrame({"val_acc": values, "key": keys}, index=pd.Index([3, 4], name="seed"))
        for values, keys in (([0.9897, 0.9923], ["a", "b"]), ([0.9907, 0.9911], ["c", "d"]))
    )
    arms = ("lr 1e-3", "lr 5e-4")
    sample = SimpleNamespace(arms=arms, rows=rows, n=2, seeds=[3, 4], differs={}, stretch=1.0)
    finding = SimpleNamespace(
        sample=sample,
        interval=None,
        unit="",
        parts=(),
        p=None,
        wins=None,
        in_short="",
        outcome="inconclusive",
        samples=[sample],
        each=(),
        identical=False,
    )
    given = {"kind": "re-run", "preset": "paper", "finding": finding} | change
    return Verdict(ledger.load()[name], "inconclusive", "Too few.", **given)


def text_of(markup):
    """The words of some HTML."""
    plain = html.unescape(re.sub(r"<[^>]+>", " ", markup))
    return " ".join(plain.replace("\u2060", "").split())


def test_a_fold_says_how_its_claim_was_decided():
    where = "studies/01-learning-rate.html#claim-S4-06"
    files = {"mnist/ab.jsonl": "https://example.org/results/mnist/ab.jsonl"}
    markup = folds.fold(decided("S4-08"), where, Behind(files=lambda _: files))
    claim, words = ledger.load()["S4-08"], text_of(markup)

    assert claim.says in words
    assert claim.rule in words
    assert claim.own_why in words
    assert "Test direction , margin 0.1 pp" in words
    assert f"Seeds 2 so far, {claim.seeds} planned, at least {claim.min_seeds} needed" in words
    assert "Too few. (On the paper preset: a re-run at the report's setting.)" in words
    assert "seeds 3 to 4 lr 1e-3 validation accuracy (%), at the end 99.10 98.97 99.23" in words
    assert f'<a href="{where}">' in markup
    assert '<a href="https://example.org/results/mnist/ab.jsonl"' in markup


def test_a_quote_stands_in_its_fold():
    quoted = next(claim for claim in ledger.load() if claim.quote and '"' not in claim.quote)
    markup = folds.fold(missing(quoted.id), None)
    assert quoted.quote in text_of(markup)


def test_a_claim_without_runs_says_so_and_has_no_empty_facts():
    markup = folds.fold(missing(), None)
    assert "Not run yet" in text_of(markup)
    assert "0 so far, 20 planned" in text_of(markup)
    assert "<table" not in markup
    assert "<dd></dd>" not in markup


def test_another_kind_of_evidence_is_one_entry(monkeypatch):
    small = columns.Column(
        "small", "On the moon", {"open": "Open"},
        lambda _: "open", lambda _: "n = 7", lambda _: "Why.",
    )  # fmt: skip
    monkeypatch.setattr(columns, "COLUMNS", (*columns.COLUMNS, small))
    page = ledger_page.whole([missing()], {}) + ledger_page.chooser([missing()])

    assert 'data-small="open"' in page
    assert '<select name="small"><option value="">all</option><option value="open">Open' in page
    assert "<span>On the moon</span>" in page
    assert "--hp-cells: 4" in page
    assert "On the moon Open n = 7" in text_of(page)
    assert "<dt>On the moon</dt><dd>Why.</dd>" in page


def test_the_filter_stands_before_the_prose_and_the_list():
    text = (BOOK / "ledger.md").read_text()
    marks = [text.index(f"% hplab: {name}\n") for name in ("ledger-filter", "ledger", "rules")]
    assert marks == sorted(marks)
    assert marks[0] < text.index("(read-the-ledger)=")


def test_what_was_not_run_has_one_word_everywhere():
    one = missing()
    shown = [
        repr(one), one._repr_html_(), terminal.table([one]), columns.RERUN.word(one),
        ledger_page.whole([one], {}), ledger_page.original([one], "000", {}),
        verdict.not_run([one], "row"),
    ]  # fmt: skip
    for text in shown:
        assert "not run yet" in text.lower()
        assert not re.search(r">Missing|\bmissing\b(?!\")", re.sub(r'="[^"]*"', "", text))
    assert not any('"Missing"' in page.read_text() for page in BOOK.rglob("*.md"))


def test_a_fold_names_the_files_of_its_records(store):
    from synthetic_records import record

    from hplab.trial import Trial

    trials = [Trial("mnist", "cnn", lr=1e-3, epochs=5, seed=seed) for seed in range(2)]
    store.put([record(trial, 0.01) for trial in trials])
    (path,) = store.pack()
    keys = [trial.key("0" * 64) for trial in trials]
    sample = SimpleNamespace(rows=(pd.DataFrame({"key": keys}),))
    files = ledger_page._files(store, "https://example.org/hplab")

    name = f"mnist/{path.name}"
    found = files(SimpleNamespace(finding=SimpleNamespace(samples=[sample])))
    assert found == {name: f"https://example.org/hplab/blob/main/book/results/{name}"}
    assert files(missing()) == {}
    assert store.file_of("nothing") is None


# ---------------------------------------------------------------- links and search


def test_names_of_claims_become_links_in_the_book():
    page = verdict.named("S0-18", "row") + verdict.named("S4-06")
    assert site.link_claims(page, "../") == (
        '<a class="hp-claim" id="row-S0-18" href="../ledger.html#S0-18">S0-18</a>'
        '<a class="hp-claim" href="../ledger.html#S4-06">S4-06</a>'
    )


@pytest.fixture
def page(tmp_path):
    """What is read of a page with a fold and a verdict inside a section."""
    body = (
        '<section id="all"><h2>Claims</h2><p>Before.</p>'
        f"{folds.fold(decided(), None)}{decided()._repr_html_()}"
        "<p>After.</p></section>"
    )
    (tmp_path / "page.html").write_text(
        f'<!DOCTYPE html><html lang="en"><title>t</title><article><h1>T</h1>{body}</article></html>'
    )
    return audit.read(tmp_path / "page.html")


def test_the_search_finds_folds_and_boxes_by_name_and_words(page):
    top, around, fold, box = page.sections
    assert (fold.anchor, fold.kind, fold.title[:7]) == ("S4-06", "claim", "S4-06: ")
    assert "Too few." in fold.text
    assert "Inconclusive" in fold.text
    assert "TOST" not in fold.text  # a rule is the same in many folds
    assert (box.anchor, box.title) == ("claim-S4-06", "Verdict on claim S4-06: inconclusive")
    assert around.text.split() == ["Before.", "After."]
    assert top.title == "T"


def test_glossary_and_studies_weigh_more_than_the_ledger_and_the_bibliography_nothing():
    pages = [
        (name, audit.Page(sections=[audit.Section("a", "A", "x", kind)]))
        for name, kind in [("glossary.html", "term"), ("studies/1.html", ""), ("ledger.html", ""),
                           ("ledger.html", "claim"), ("bibliography.html", "")]
    ]  # fmt: skip
    weights = [float(w) for w in re.findall(r'"weight": ([\d.]+)', audit.search_script(pages))]
    term, study, prose, claim, bibliography = weights
    assert term > study > claim > prose > bibliography == 0


def test_what_keeps_a_number_on_one_line_does_not_hide_it_from_the_search(tmp_path):
    section = audit.Section("", "Rate 1e-\u20604", "98.7\u00a0%")
    script = audit.search_script([("page.html", audit.Page(sections=[section]))])
    assert '"title": "Rate 1e-4"' in script
    assert '"text": "98.7 %"' in script


def test_the_finding_in_the_readme_is_what_the_records_say():
    verdicts = json.loads((BOOK / "verdicts.json").read_text())
    said = verdicts["S0-18"]
    words = " ".join((BOOK.parent / "README.md").read_text().split())
    told = re.search(
        r"at 0.001 is (\S+) points above that at 0.0001 "
        r"\(95 % interval (\S+) to (\S+), n = (\d+) seeds of each\)",
        words,
    )

    assert said["outcome"] == "supported"
    wanted = [said[name] for name in ("estimate", "low", "high", "n")]
    assert [float(number) for number in told.groups()] == pytest.approx(wanted, abs=0.0051)
    assert verdicts["S4-08"]["outcome"] == "inconclusive", "the second is told as one that is open"
    [second] = rerun.all_verdicts(store=rerun.committed_store(), only={"S4-08"})
    fits = [one.interval for one in second.under.values() if one.interval]
    alike = sum(interval.estimate > 0 for interval in fits)
    assert len(fits) / 2 < alike < len(fits), "with most of those that give its other numbers"
    assert not any(one.low > second.claim.test.margin.tested for one in fits), "with none of them"
