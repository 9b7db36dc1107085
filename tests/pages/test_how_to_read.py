"""The verdict that is taken apart says what its box says."""

import html
import re
from types import SimpleNamespace

import pytest
from synthetic_runs import make_runs

from hplab.analysis.claims import judging
from hplab.analysis.stats.intervals import Interval
from hplab.pages.tables import evidence

ANY = "S4-08"  # like the page's own it is of one difference, and it needs no curves


def test_without_runs_it_says_so():
    assert evidence.apart([]).startswith("The runs of this claim are not recorded here")
    claim = SimpleNamespace(id=evidence.CLAIM)
    lacking = SimpleNamespace(claim=claim, finding=None, interval=None)
    assert evidence.apart([lacking]) == evidence.apart([])


@pytest.mark.parametrize(
    ("low", "high", "ahead", "beside"),
    [
        (-0.1, 0.05, "do not show which", "ruled out"),
        (0.02, 0.05, "one of the two is ahead", "ruled out"),
        (0.05, 0.2, "one of the two is ahead", "reaches over it"),
        (0.2, 0.3, "one of the two is ahead", "as large as was claimed"),
    ],
)
def test_what_an_interval_says_beside_nothing_and_beside_the_margin(low, high, ahead, beside):
    interval = Interval((low + high) / 2, low, high, 0.95, 20)
    assert ahead in evidence._reach(interval)
    assert beside in evidence._beside(interval, 0.1)


@pytest.fixture(scope="module")
def verdict():
    runs = make_runs((1e-4, 5e-4, 1e-3), 8, n_diverged=0, schedule="constant")
    return judging.verdict(ANY, runs)


def test_every_line_of_it_stands_in_the_box(verdict):
    said = " ".join(html.unescape(re.sub("<[^>]+>", " ", verdict._repr_html_())).split())
    lines = dict(evidence.lines(verdict, verdict.interval))
    assert len(lines) >= 7
    parts = [part for line in lines for part in re.split(r" pp, |; |\. ", line)]
    assert [part for part in parts if part.casefold() not in said.casefold()] == []
    for number in ("95 % interval", f"n = {verdict.n}", "0.10 pp", "for a chance of 80 %"):
        assert any(number in line for line in lines)
        assert number in said


def test_the_page_shows_the_box_and_a_line_for_each_meaning(verdict):
    page = evidence.apart([verdict], ANY)
    assert (
        page.count("<dt>")
        == page.count("<dd>")
        == len(list(evidence.lines(verdict, verdict.interval)))
    )
    assert page.count('id="claim-S4-08"') == 1
