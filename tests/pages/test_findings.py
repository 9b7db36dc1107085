"""The first page: what has been found out, as sentences and as a figure of many claims."""

import dataclasses
import html
import math
import re
from types import SimpleNamespace

import pytest

from hplab.analysis.claims import ledger, published, verdict
from hplab.analysis.claims.decisions import Finding
from hplab.analysis.claims.verdict import Verdict
from hplab.analysis.stats import sequential
from hplab.analysis.stats.intervals import Interval
from hplab.pages.figures import claims as figure
from hplab.pages.tables import columns, findings
from hplab.pages.tables import ledger as ledger_page


def made(name, outcome, ends, unit="pp", n=20, in_short="a is 1.00 pp higher at lr 1e-3 than at b"):
    """A verdict with an estimate and its interval."""
    estimate, low, high = ends
    sample = SimpleNamespace(n=n, arms=("a", "b"), rows=(), length="5 epochs", differs={})
    interval = Interval(estimate, low, high, 0.95, n)
    finding = Finding(outcome, "Why.", unit, sample, interval=interval, in_short=in_short)
    return Verdict(ledger.load()[name], outcome, "Why.", "re-run", "paper", "mnist", finding)


def missing(name):
    return Verdict(ledger.load()[name], "missing", "None of the runs is recorded yet.")


def text_of(markup):
    plain = html.unescape(re.sub(r"<[^>]+>", "", markup))
    return " ".join(plain.replace("\u2060", "").split())


# ------------------------------------------------------------------------------------ sentences


def test_a_finding_has_its_interval_its_seeds_and_a_link():
    markup = findings.sentence(made("S0-18", "supported", (31.84, 31.01, 32.68), n=6))

    assert text_of(markup) == (
        "A tenth of the learning rate does slow SGD down, as a report says: a is 1.00 percentage "
        "points higher at learning rate 0.001 than at b (95 % interval 31.01 to 32.68, n = 6 seeds "
        "after 5 epochs; claim S0-18)."
    )
    assert '<a href="ledger.html#S0-18">' in markup


@pytest.mark.parametrize("outcome", ["contradicted", "inconclusive"])
def test_words_written_for_one_outcome_are_not_said_of_another(outcome):
    verdict = made("S0-18", outcome, (1.0, 0.5, 1.5))
    told = text_of(findings.sentence(verdict))

    assert "does slow SGD down" not in told
    assert told.startswith(verdict.sentence.removesuffix("."))


def test_what_is_proved_has_no_interval():
    verdict = made("S0-36", "contradicted", (0.0, 0.0, 0.0), n=6)
    same = dataclasses.replace(verdict.finding, identical=True)
    told = text_of(findings.sentence(dataclasses.replace(verdict, finding=same)))

    assert "which is proved and not measured" in told
    assert told.endswith("the same numbers in each of 6 seeds (claim S0-36).")
    assert "interval" not in told
    assert "proved" not in findings.sentence(verdict)  # without that they are runs like any


def test_of_a_guessed_network_those_that_fit_are_told_and_not_ours():
    ends = {"one": (0.16, 0.02, 0.31), "two": (0.14, 0.11, 0.2), "three": (-0.1, -0.5, 0.3)}
    ends["four"] = (-0.2, -0.3, -0.05)
    under = {name: made("S4-08", "x", three, n=5).finding for name, three in ends.items()}
    verdict = dataclasses.replace(made("S4-08", "inconclusive", (-0.02, -0.09, 0.06)), under=under)
    told = text_of(findings.sentence(verdict))

    assert told == (
        "Is what a report calls the best learning rate better than half of it? These runs cannot "
        "tell. The report names no network; with the 4 networks that fit its numbers the "
        "difference is between \u22120.20 and +0.16 percentage points (in the report +0.11). Of "
        "the 95 % intervals, n = 5 seeds each, 3 leave out 0 and 1 lies wholly beyond 0.10, the "
        "smallest difference that counts (claim S4-08)."
    )


def test_a_claim_without_runs_is_no_finding():
    assert findings.sentence(missing("S0-18")) == ""
    assert findings.findings([missing("S0-18")]) == "No claim has been decided yet."


def test_every_finding_is_a_claim_of_the_ledger():
    known = ledger.load()
    assert all(known[name].test.type in figure.KINDS for name in findings.BEGINNINGS)


def test_the_counts_have_no_zeros_and_add_up():
    some = [made("S4-08", "inconclusive", (0, -1, 1)), missing("S1-01"), missing("S1-02")]
    rows = re.findall(r"<tr><th scope=.row.>(.*?)</tr>", ledger_page.counts(some))
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in rows]

    assert not any(value == "0" for row in cells for value in row)
    assert [(row[0], row[5], row[6]) for row in cells] == [
        ("1", "1", "–"), ("2", "–", "2"), ("3", "1", "2"),
    ]  # fmt: skip


# --------------------------------------------------------------------------------------- figure


def test_effects_stand_in_units_of_their_margin_beside_the_report_s_own():
    linear = made("S4-08", "inconclusive", (0.05, -0.1, 0.2))  # its margin is 0.1 pp
    ratio = made("S0-01", "inconclusive", (1.44, 1 / 1.2, 1.2**3), "ratio")  # 1.2 times
    rows = figure.claims([linear, ratio]).data.set_index("claim")

    assert rows.loc["S4-08", ["effect", "low", "high"]].tolist() == pytest.approx([0.5, -1, 2])
    assert rows.loc["S0-01", ["effect", "low", "high"]].tolist() == pytest.approx([2, -1, 3])
    theirs, unit = published.effect(ledger.load()["S4-08"])
    assert unit == "pp"
    assert rows.loc["S4-08", "report"] == pytest.approx(theirs / 0.1)
    assert math.isnan(rows.loc["S0-01", "report"])


def test_the_side_of_a_mere_difference_is_the_report_s():
    [row] = figure.claims([made("S0-36", "supported", (-3.0, -4.0, -2.0))]).data.itertuples()

    assert row.report == pytest.approx(abs(published.effect(ledger.load()["S0-36"])[0]))
    assert (row.effect, row.low, row.high) == (3.0, 2.0, 4.0)


def test_what_is_decided_comes_first_and_the_rest_is_counted():
    shown = [
        made("S4-08", "inconclusive", (0.5, 0.1, 0.9)),
        made("S0-36", "contradicted", (0.0, 0.0, 0.0)),
        made("S0-18", "supported", (30.0, 29.0, 31.0), n=6),
    ]
    left_out = [missing("S1-01"), made("S4-05", "supported", (0.0, -0.001, 0.001), "nats")]
    drawn = figure.claims([*shown, *left_out])

    assert drawn.data["claim"].tolist() == ["S0-18", "S0-36", "S4-08"]
    assert "3 claims" in drawn.caption
    assert "the other 2 claims" in drawn.caption
    assert "1 supported, 1 contradicted and 1 inconclusive" in drawn.alt
    assert "Decided are S0-18 and S0-36" in drawn.alt
    assert drawn.svg.count("S0-36") >= 1
    assert '<a href="ledger.html#S0-18">' in drawn.html


def interim(name, outcome, ends, alone, n=5, **more):
    """A verdict after few of 20 planned seeds that would by itself be another."""
    verdict = made(name, outcome, ends, n=n, **more)
    alone = dataclasses.replace(verdict.finding, outcome=alone)
    return dataclasses.replace(verdict, finding=alone, look=sequential.look(n, 20))


def test_an_early_verdict_points_somewhere_and_shows_what_it_goes_by():
    early = interim("S0-18", "inconclusive", (31.0, 30.0, 32.0), "supported")
    drawn = figure.claims([early, made("S4-08", "inconclusive", (0.5, 0.1, 0.9))])
    rows = drawn.data.set_index("claim")

    wide = early.finding.at_level(1 - early.look.level)
    assert (wide.low, wide.high) == pytest.approx((31 - 9.133, 31 + 9.133), abs=0.001)
    assert rows.loc["S0-18", ["wide_low", "wide_high"]].tolist() == pytest.approx(
        [wide.low / 5, wide.high / 5]  # its margin is 5 pp
    )
    assert rows.loc["S4-08", "wide_low":"wide_high"].isna().all()
    assert "so S0-18 stays open for now" in drawn.caption
    assert "what its verdict goes by so far" in drawn.svg
    assert "learns more slowly" in drawn.svg
    assert 'href="ledger.html#S0-18"' in drawn.svg
    cover = findings.cover([early])
    assert 'role="img"' not in cover  # what is an image has no links in it
    assert 'role="group"' in cover
    assert early.leaning == "supported"
    assert columns.RERUN.word(early) == (
        '<strong class="hp-word hp-inconclusive">Inconclusive so far: points to supported</strong>'
    )
    assert verdict.word(early) == "Inconclusive so far: points to supported"
    for other in (
        interim("S0-18", "inconclusive", (31.0, 30.0, 32.0), "inconclusive"),
        interim("S0-18", "supported", (31.0, 30.0, 32.0), "supported"),
        made("S0-18", "inconclusive", (31.0, 30.0, 32.0)),
    ):
        assert other.leaning == ""


def test_outcomes_differ_in_more_than_colour():
    looks = [(marker, filled) for _, marker, filled in figure.LOOKS.values()]
    assert len(set(looks)) == len(looks)
    assert len({colour for colour, _, _ in figure.LOOKS.values()}) == len(looks)


def test_without_such_claims_the_figure_says_so():
    assert "Nothing to show yet" in figure.claims([missing("S4-08")]).html
